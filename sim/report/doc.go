// Package report says what a run did: summary.json for programs, manifest.json for whoever wants to repeat it, timeline.json for the page of
// the run (sim/report/page), and a table
// for people. docs/report.md gives the schema; SchemaSummary changes when it does.
//
// Pure but for WriteFiles. No goroutines.
package report

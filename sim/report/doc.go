// Package report says what a run did: summary.json for programs, manifest.json for whoever wants to repeat it, and a table
// for people. docs/report.md gives the schema; SchemaSummary changes when it does.
//
// Pure but for WriteFiles. No goroutines.
package report

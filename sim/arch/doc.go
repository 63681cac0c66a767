// Package arch holds the walls of the house as a test: who may import whom, which libraries have one importer, and what a
// pure core may not do. rooms.go is the plan; go test ./sim/arch compares it with the code.
//
// It reads source files and nothing else, so it needs no build. It does not see what types would tell: ranging over a map
// to produce an effect is left to review and to the tests that run a seed twice. Nobody imports it. No goroutines.
//
//	violations, err := arch.Check("../..")
package arch

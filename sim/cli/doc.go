// Package cli is the command tree of splitkernel.
//
// It parses, loads configurations, calls sim/launcher, sim/node, sim/replay, sim/experiment, sim/mrc and sim/trace, and prints. It decides nothing
// about pages or placement. main calls Main. Data goes to stdout, talk to stderr; the exit codes are 0 (done), 1 (failed),
// 2 (bad usage or configuration) and 3 (a wrong page was seen).
//
// Goroutines: the watcher of signals and the progress display of `run`; each ends before its command returns.
//
//	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
package cli

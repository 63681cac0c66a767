// Package reproduce computes the published figures of the LegoOS paper (OSDI'18) and puts ours beside each: `splitkernel reproduce legoos`.
//
// Microbenchmarks and applications run on package vcluster with the profile legoos-cx3; programs are generators (App) with a few stated
// parameters, those of TensorFlow and Phoenix fitted on the LegoOS rows of Figures 11 and 12 and on nothing else (Fit). LegoOS is set as its released source has
// it (cluster.go, threads.go). Linux that swaps is a model of its own (swap.go), and so is what it swaps to (disks.go). A row says whether it was fitted; what is far off says why, and is not tuned.
//
// Memory is scaled: working sets, ExCaches and vRegions are all divided by Options.Scale, which keeps their ratios, the ways of a set
// and every rate; only a run is shorter.
//
// Not here: hardware and its fit (packages configs and fit), the command (package cli). No goroutines; a seed gives one result.
package reproduce

// Package experiment runs matrices of runs and compares what came out: the sweep and the compare commands.
//
// A Plan is every run of a configs.Sweep in the order of its table, each with a digest of all that its result depends on: engine,
// effective configuration, bytes of the traces. A result lies in the folder of the sweep under that digest, written at once when its
// run has ended, so whoever comes later (the same command again, another shard, a merge) knows it by its content. The table is made
// of the plan and the results alone: who ran what, in which order and beside what cannot show in it.
//
// Compare reads folders of runs or of sweeps and says what differs, over seeds with confidence intervals (Student's t).
//
// It starts no cluster: what a live run is, the command line says (Options.Run). sim/cli calls it. Goroutines: the workers of Execute,
// which end before it returns. The lock of progress is held while a worker reports.
//
//	plan, err := experiment.NewPlan(ctx, sweep, os.Environ(), temp)
//	table, err := experiment.Execute(ctx, experiment.Options{Plan: plan, Dir: dir, Parallel: runtime.GOMAXPROCS(0)})
package experiment

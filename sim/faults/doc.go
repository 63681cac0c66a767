// Package faults is the language in which people say what goes wrong in a cluster, one for real processes and for virtual time:
//
//	at 30% kill m2
//	at 5s partition p1 | m1,m2 for 3s
//	lose 1% between p1 | m1
//
// docs/failures.md has the grammar. A Fault is parsed (Parse), printed (String; what is printed parses to the same), compared with the
// components that there are (Check), and made definite (Resolve: `any m` becomes an mComponent that the seed draws). Promise says of a
// list which of its faults cost what the cluster promises to keep.
//
// It makes nothing go wrong: sim/launcher does that to processes, sim/replay to a virtual cluster. Who else calls: configs reads the
// faults of a workload, sim/cli those of the command line.
//
// It is pure: no goroutines, no clock.
//
//	f, err := faults.Parse("at 5s pause any m for 1s") // err is a *SyntaxError with the column
//	err = faults.Check(f, nodes)
//	f = faults.Resolve(f, nodes, faults.Stream(seed, index))
package faults

// Package advise answers how large the local memory of a program must be: on each hardware profile, the smallest ExCache with which a trace
// runs at most so much slower than with all its memory local.
//
// It computes the trace's LRU curve (package mrc), and simulates the trace in virtual time (package replay) with ExCaches of several
// sizes, alone on a cluster of one component of each role. The curve says where to look first, the simulation what is true: between two
// sizes, of which one is too small and one suffices, it looks where the curve has as many misses as the slowdown allows, and in the
// middle, in turns, until they are a hundredth of the footprint apart. All times are modelled.
//
// It prints nothing and captures nothing: its caller is `splitkernel advise`.
//
// Goroutines: Run owns one for each profile, up to one for each processor, and returns after they have ended. When ctx ends it returns
// what it has, marked partial, with an error that wraps the cause.
//
//	o := advise.DefaultOptions()
//	o.Path = "sort.skt"
//	res, err := advise.Run(ctx, o)
//	for _, a := range res.Advice {
//		fmt.Println(res.Sentence(a))
//	}
package advise

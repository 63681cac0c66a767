// Package packing places the tasks of a cluster, as they come and go, on servers or on the pools of a disaggregated data centre, and measures
// what that makes of processors and memory.
//
// On servers a task takes processors, memory and GPUs of one server. In pools it takes processors, with the ExCache's share of its memory, at
// one pComponent; memory at mComponents, by vRegions, at one of them or spread over several; and GPUs at one component of those. Both are
// filled by the same policies: first-fit, best-fit, worst-fit and dot-product. A dimension that no server and no component has is not asked
// for. What does not fit is rejected, or waits in a queue in the order of arrival.
//
// Why not gmanagers/placement: its policies compare one number, the room of a component; a server is chosen by several at once. Nor does it
// know departures of ten thousand servers' worth of tasks in a second of processor time, for which there are the indices here (index.go, treap.go).
//
// A run measures from the first event until the last one of the stream. Averages are over that time. Energy and prices are not measured here: they
// follow from the integrals (Energy, and package cost).
//
// Who calls: `splitkernel study packing`. Pure: no goroutines, no clock, no chance: one stream and one Options, one Result.
//
//	r, err := packing.Run(src, packing.Options{Policy: "best-fit", Layout: packing.Layout{Server: packing.Part{Size: size, Count: 1000}}}, nil)
//	fmt.Println(r.Utilisation.Cores, r.Rejected.Tasks)
package packing

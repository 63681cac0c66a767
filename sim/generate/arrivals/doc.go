// Package arrivals makes the tasks of a cluster by rule: when they come, how long they last and what they ask for.
//
//	generator:cluster?tasks=100000&gap=10&day=1&durations=lognormal&seed=7
//
// Tasks come as a Poisson process whose rate has a day's shape (day=0 is even), durations are log-normal or of Pareto's law cut off at `longest`, sizes are
// drawn from a table. All defaults are fitted to openb, Alibaba's trace of 8 152 pods on 1 523 GPU nodes (cluster-trace-gpu-v2023,
// openb_pod_list_default.csv; Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent", USENIX ATC 2023):
//
//   - gap 358.4 s: (last - first)/number of the 8 094 pods created after second 10^7; the 58 before lie apart
//   - day: pods created in each hour of the day (of the trace's clock) by their mean
//   - log-normal: mean 6.330 and standard deviation 1.942 of the logarithm of the 8 151 durations in seconds above 0, from being scheduled
//     (or else created) until being deleted. Its mean is 3 700 s, that of the trace 25 800 s: the law has less of a tail
//   - Pareto: exponent 0.767 by Hill's estimator over the longest fifth, from 2 639 s on. Its mean does not exist, hence `longest`
//   - sizes: the 24 most frequent of the 151 triples of processors, memory and GPUs, which 6 541 of the 8 152 pods ask for, as often as there
//
// The gaps of openb vary more (coefficient 1.62) than those of a Poisson process (1): its bursts are not there.
//
// Who calls: sim/cluster makes a stream of it. Pure: no goroutines, no clock; all chance comes from the seed: one spec, one sequence.
//
//	spec, err := arrivals.Parse(text) // err has every fault, by key
//	g := arrivals.New(spec)
//	for e, ok := g.Next(); ok; e, ok = g.Next() { … }
package arrivals

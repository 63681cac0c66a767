// Package generate makes references to memory, or requests to a volume, by rule instead of from a recorded program: for workloads of
// thousands of processes, whose traces nobody wants to store, and for behaviour that must be known in advance.
//
//	block       requests to a volume: rw, bs, bssplit, random_distribution and so on as fio names them
//	chase       a random cycle through all pages
//	drift       a window of neighbouring pages that moves on
//	hotcold     most references to a few pages
//	phases      for `phase` references at a time, any of `hot` neighbouring pages, drawn anew for each phase
//	sequential  one page after the other, from the first again after the last
//	strided     every `stride`-th page, then those one further
//	training    steps of training: layers forward and backward, a stack of activations, optimizer state
//	wordcount   input in order, updates of a hash table by popularity, the table in order
//	ycsb        operations on records, core workloads A to F
//	zipf        pages by popularity: page of rank k is referenced as often as 1 / k^skew; the ranks lie scattered
//
// Kinds has all that there is to say of them: keys, ranges, defaults, and where each shape is from. A Spec is one line of text, the trace
// of a vNode:
//
//	generator:zipf?pages=1000&refs=20000&writes_percent=10&seed=7
//
// Who calls: package configs checks specs, package trace makes a Source of a generator, `splitkernel trace generators` prints Kinds.
//
//	spec, err := generate.Parse(text) // err has every fault, by key
//	g := generate.New(spec)           // NewBlocks if spec.Block()
//	page, write := g.Next()           // spec.Refs times
//
// It is pure: no goroutines, no clock. All chance comes from the spec's seed: one spec, one sequence. Memory does not depend on pages,
// records or references: random orders are computed, not stored.
package generate

// Package generate makes references to memory by rule instead of from a recorded program: for workloads of thousands of
// processes, whose traces nobody wants to store, and for behaviour that must be known in advance.
//
//	zipf        pages by popularity: page of rank k is referenced as often as 1 / k^skew; the ranks lie scattered
//	sequential  one page after the other, from the first again after the last
//	phases      for `phase` references at a time, any of `hot` neighbouring pages, drawn anew for each phase
//
// A Spec is one line of text, the trace of a vNode:
//
//	generator:zipf?pages=1000&refs=20000&writes_percent=10&seed=7
//
// Who calls: package configs checks specs, package trace makes a Source of a generator.
//
//	spec, err := generate.Parse(text) // err has every fault, by key
//	g := generate.New(spec)
//	page, write := g.Next()           // spec.Refs times
//
// It is pure: no goroutines, no clock. All chance comes from the spec's seed: one spec, one sequence.
package generate

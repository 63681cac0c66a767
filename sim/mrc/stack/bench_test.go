package stack

import (
	"testing"

	"splitkernel/sim/generate"
)

// benchKeys are the keys of requests to pages by popularity, as those of ratio of libCacheSim in package mrc.
func benchKeys(b *testing.B, pages, refs uint64) []uint64 {
	b.Helper()
	g := generate.New(generate.Spec{Kind: generate.Zipf, Pages: pages, Refs: refs, Skew: 1, Seed: 1})
	keys := make([]uint64, refs)
	for i := range keys {
		keys[i], _ = g.Next()
	}
	b.ResetTimer()
	return keys
}

func perSecond(b *testing.B, n int) {
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrefs/s")
}

func BenchmarkNumbers(b *testing.B) {
	keys := benchKeys(b, 1e6, 4e6)
	var out []uint32
	for b.Loop() {
		var x Numbers
		for i := 0; i < len(keys); i += 1 << 16 {
			out = x.Number(keys[i:min(i+1<<16, len(keys))], nil, out[:0])
		}
	}
	perSecond(b, len(keys))
}

// BenchmarkDistances is the whole curve, from keys on: numbers and distances.
func BenchmarkDistances(b *testing.B) {
	for _, c := range []struct {
		name  string
		pages uint64
	}{{"100kPages", 1e5}, {"1MPages", 1e6}} {
		b.Run(c.name, func(b *testing.B) {
			keys := benchKeys(b, c.pages, 8e6)
			var ids []uint32
			for b.Loop() {
				var x Numbers
				var d Distances
				for i := 0; i < len(keys); i += 1 << 14 {
					ids = x.Number(keys[i:min(i+1<<14, len(keys))], nil, ids[:0])
					d.Touch(ids)
				}
			}
			perSecond(b, len(keys))
		})
	}
}

func BenchmarkOffline(b *testing.B) {
	keys := benchKeys(b, 1e6, 8e6)
	var x Numbers
	ids := x.Number(keys, nil, nil)
	for _, c := range []struct {
		name string
		make func() interface{ Run(int) uint64 }
	}{
		{"lru", func() interface{ Run(int) uint64 } { return NewLRU(100_000, ids, x.Len()) }},
		{"fifo", func() interface{ Run(int) uint64 } { return NewFIFO(100_000, ids, x.Len()) }},
		{"clock", func() interface{ Run(int) uint64 } { return NewClock(100_000, ids, x.Len()) }},
		{"belady", func() interface{ Run(int) uint64 } { return NewBelady(100_000, NextUses(ids, x.Len())) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				c.make().Run(len(ids))
			}
			perSecond(b, len(ids))
		})
	}
}

// BenchmarkSample: nearly all references are rejected by the filter. The references are taken several times over, as a trace that is
// worth a sample is long.
func BenchmarkSample(b *testing.B) {
	const times = 16
	keys := benchKeys(b, 1e6, 8e6)
	for _, c := range []struct {
		name string
		o    SampleOptions
	}{{"rate0.001", SampleOptions{Rate: 0.001}}, {"8192pages", SampleOptions{Pages: DefaultSample}}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				s := NewSample(c.o)
				for range times {
					s.Touch(keys, nil)
				}
				s.Estimate()
			}
			perSecond(b, times*len(keys))
		})
	}
	b.Run("rejects", func(b *testing.B) {
		out, d := make([]uint64, chunk), makeDistinct()
		for b.Loop() {
			for i := 0; i+chunk <= len(keys); i += chunk {
				filter(out, keys[i:i+chunk], 0, d.rank)
			}
		}
		perSecond(b, len(keys))
	})
}

package prefetch

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/tape"
	"splitkernel/pcomponent/policy"
)

// run studies references with a prefetcher, or without one.
func run(t testing.TB, name string, lines int, refs []uint64) Counts {
	t.Helper()
	var p Prefetcher
	if name != "" {
		var err error
		if p, err = New(name, DefaultOptions()); err != nil {
			t.Fatal(err)
		}
	}
	s, err := NewStudy(p, "lru", lines, policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range refs {
		s.Access(r)
	}
	return s.Counts
}

func stream(n int, first uint64, step uint64) (refs []uint64) {
	for i := range uint64(n) {
		refs = append(refs, first+i*step)
	}
	return refs
}

func interleaved(a, b []uint64) (refs []uint64) {
	for i := range a {
		refs = append(refs, a[i], b[i])
	}
	return refs
}

// TestStreams: which streams each prefetcher follows, by the share of the misses
// that are left, and how much it brings in vain.
func TestStreams(t *testing.T) {
	const n = 20_000
	random := make([]uint64, n)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = rng.Uint64N(1 << 30)
	}
	follows := func(names ...string) []string { return names }
	for _, c := range []struct {
		name string
		refs []uint64
		by   []string
	}{
		{"sequential", stream(n, 1000, 1), follows("best-offset", "leap", "next-n", "stride")},
		{"strided by 6", stream(n, 1000, 6), follows("best-offset", "leap", "stride")},
		{"strided by 7, which is no offset", stream(n, 1000, 7), follows("leap", "stride")},
		{"backwards", stream(n, 1<<30, ^uint64(2)), follows("leap", "stride")},
		{"two interleaved", interleaved(stream(n/2, 1000, 1), stream(n/2, 1<<30, 3)), follows("stride")},
		{"random", random, nil},
	} {
		without := run(t, "", 1000, c.refs)
		if without.Misses != uint64(len(c.refs)) || without.Issued != 0 {
			t.Fatalf("%s: without a prefetcher %+v", c.name, without)
		}
		for _, name := range Names() {
			got := run(t, name, 1000, c.refs)
			left := float64(got.Misses) / float64(without.Misses)
			if slices.Contains(c.by, name) && left > 0.2 {
				t.Errorf("%s: %s leaves %.3f of the misses: %+v", c.name, name, left, got)
			}
			if c.by == nil && got.Issued > n/5 {
				t.Errorf("%s: %s does not stop: %+v", c.name, name, got)
			}
			if got.Useful+got.Wasted > got.Issued || got.Useful+got.Misses < without.Misses {
				t.Errorf("%s: %s counts %+v", c.name, name, got)
			}
		}
	}
}

// TestAgainAfterRandom: what stopped begins again when there is a stream.
func TestAgainAfterRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var refs []uint64
	for range 5000 {
		refs = append(refs, rng.Uint64N(1<<30))
	}
	before := len(refs)
	refs = append(refs, stream(20_000, 1<<32, 1)...)
	for _, name := range Names() {
		if got := run(t, name, 1000, refs); got.Misses > uint64(before)+8000 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestBounds: never more than Depth pages, none of them the page itself, and the same calls give
// the same answers.
func TestBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(Names()).Draw(t, "name")
		o := Options{Depth: rapid.IntRange(1, MaxDepth).Draw(t, "depth")}
		a, err := New(name, o)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := New(name, o)
		step := rapid.Uint64().Draw(t, "step")
		page := rapid.Uint64().Draw(t, "page")
		for range rapid.IntRange(1, 300).Draw(t, "calls") {
			page += step
			if rapid.IntRange(0, 9).Draw(t, "jump") == 0 {
				page = rapid.Uint64().Draw(t, "page")
			}
			useful := rapid.Bool().Draw(t, "useful")
			out := a.Observe(page, useful, nil)
			if len(out) > o.Depth || slices.Contains(out, page) {
				t.Fatalf("%s answers %v for page %d, at most %d", name, out, page, o.Depth)
			}
			if again := b.Observe(page, useful, nil); !slices.Equal(out, again) {
				t.Fatalf("%s answers %v and %v", name, out, again)
			}
		}
	})
}

func TestRefused(t *testing.T) {
	if _, err := New("laep", DefaultOptions()); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), `"laep", want one of best-offset, leap, next-n, stride`) {
		t.Errorf("an unknown name: %v", err)
	}
	for _, depth := range []int{0, MaxDepth + 1} {
		if _, err := New("leap", Options{Depth: depth}); err == nil || !strings.Contains(err.Error(), "want 1..64") {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	for _, name := range Names() {
		p, err := New(name, DefaultOptions())
		if err != nil {
			t.Fatal(err)
		}
		out, page := make([]uint64, 0, MaxDepth), uint64(0)
		if n := testing.AllocsPerRun(1000, func() {
			page += 3
			out = p.Observe(page, true, out[:0])
		}); n != 0 {
			t.Errorf("%s: %v allocations a call, want 0", name, n)
		}
	}
}

// TestState: one that was made like another answers as that does.
func TestState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(Names()).Draw(t, "name")
		o := Options{Depth: rapid.IntRange(1, MaxDepth).Draw(t, "depth")}
		a, err := New(name, o)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		page := uint64(1 << 20)
		call := func(p Prefetcher, page uint64, useful bool) []uint64 {
			out := p.Observe(page, useful, nil)
			p.Brought(len(out))
			return out
		}
		next := func() (uint64, bool) {
			if page += 3; rng.IntN(10) == 0 {
				page = rng.Uint64N(1 << 30)
			}
			return page, rng.IntN(3) > 0
		}
		for range rapid.IntRange(0, 3000).Draw(t, "calls") {
			p, useful := next()
			call(a, p, useful)
		}
		b, _ := New(name, o)
		state := a.AppendState(nil)
		r := tape.NewReader(state)
		if b.ReadState(&r); r.End() != nil || !bytes.Equal(b.AppendState(nil), state) {
			t.Fatalf("%s: %v, or another state", name, r.Err())
		}
		for range 200 {
			p, useful := next()
			if x, y := call(a, p, useful), call(b, p, useful); !slices.Equal(x, y) {
				t.Fatalf("%s answers %v and %v", name, x, y)
			}
		}
	})
}

package policy

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/tape"
)

// pageNames are the policies that paper_test.go has a second time.
var pageNames = []string{"2q", "arc", "belady", "lfu", "lirs", "mru", "s3-fifo", "sieve", "w-tinylfu"}

// papers makes a model of each set.
func papers(name string, sets, ways int, o Options, refs []uint64, at *int, lineOf map[uint64]uint32) []paper {
	count, accesses := map[uint64]int{}, 0
	sk := makeSketch(sets * ways) // says only where the counters of a page are
	type place struct {
		word  uint64
		shift uint
	}
	counters, added := map[place]int{}, 0
	places := func(p uint64) (out []place) {
		for row := range uint(sketchRows) {
			w, s := sk.counter(p, row)
			out = append(out, place{w, s})
		}
		return out
	}
	var out []paper
	for range sets {
		switch name {
		case "2q":
			out = append(out, &paper2Q{in: max(ways/4, 1), out: max(ways/2, 1)})
		case "arc":
			out = append(out, &paperARC{c: ways})
		case "belady":
			out = append(out, &paperMIN{refs: refs, at: at, lineOf: lineOf, uses: map[uint64]int{}})
		case "lfu":
			out = append(out, &paperLFU{count: count, age: func() {
				if accesses++; o.LFUAgeEvery > 0 && accesses%o.LFUAgeEvery == 0 {
					for p := range count {
						count[p] /= 2
					}
				}
			}})
		case "lirs":
			out = append(out, &paperLIRS{most: ways - max(ways/100, 1), stack: 2 * ways, lir: map[uint64]bool{}, here: map[uint64]bool{}})
		case "mru":
			out = append(out, &paperMRU{})
		case "s3-fifo":
			out = append(out, &paperS3{small: max(ways/10, 1), ghosts: max(ways*9/10, 1), freq: map[uint64]int{}})
		case "sieve":
			out = append(out, &paperSieve{visited: map[uint64]bool{}})
		case "w-tinylfu":
			window := max(ways/100, 1)
			out = append(out, &paperTiny{window: window, protected: (ways - window) * 4 / 5,
				used: func(p uint64) {
					for _, at := range places(p) {
						counters[at] = min(counters[at]+1, 15)
					}
					if added++; added == 10*sets*ways {
						for at := range counters {
							counters[at] /= 2
						}
						added /= 2
					}
				},
				estimate: func(p uint64) int {
					least := 15
					for _, at := range places(p) {
						least = min(least, counters[at])
					}
					return least
				}})
		}
	}
	return out
}

// TestAgainstPaper drives each policy beside its paper through references,
// removals, busy lines, questions without an eviction, and restored states.
func TestAgainstPaper(t *testing.T) {
	for _, name := range pageNames {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				sets := 1 << rapid.IntRange(0, 2).Draw(t, "log2 sets")
				ways := rapid.SampledFrom([]int{1, 2, 3, 4, 7, 12, 20}).Draw(t, "ways")
				lines := uint32(sets * ways)
				pages := uint64(rapid.IntRange(1, int(3*lines)+2).Draw(t, "pages"))
				refs := rapid.SliceOfN(rapid.Uint64Range(0, pages-1), 1, 300).Draw(t, "refs")
				others := rapid.SliceOfN(rapid.IntRange(0, 40), len(refs), len(refs)).Draw(t, "others")
				crowded := rapid.Bool().Draw(t, "with busy lines")
				future := NewFuture()
				for _, p := range refs {
					if err := future.Add(p); err != nil {
						t.Fatal(err)
					}
				}
				o := Options{SweepEvery: 3, LFUAgeEvery: rapid.SampledFrom([]int{0, 0, 5, 17}).Draw(t, "age every"), Future: future}
				mk := func() Policy {
					p, err := New(name, sets, ways, o)
					if err != nil {
						t.Fatal(err)
					}
					return p
				}
				at := 0
				lineOf, pageOf := map[uint64]uint32{}, make([]uint64, lines)
				p, models := mk(), papers(name, sets, ways, o, refs, &at, lineOf)
				busy := make(Busy, (lines+63)/64)
				isBusy := func(page uint64) bool { return busy.Has(lineOf[page]) }
				named := make([]uint64, sets) // the answer that s3-fifo keeps, + 1
				victim := func(set uint64, page uint64) (uint32, bool) {
					got, ok := p.Victim(uint32(set), page, busy)
					again, okAgain := p.Victim(uint32(set), page, busy)
					if got != again || ok != okAgain {
						t.Fatalf("reference %d: victim %d, %t, and asked again %d, %t", at, got, ok, again, okAgain)
					}
					want, wantOK := uint64(0), false
					if keep := named[set]; name == "s3-fifo" && keep > 0 && !isBusy(keep-1) {
						want, wantOK = keep-1, true
					} else {
						named[set] = 0
						if want, wantOK = models[set].victim(page, isBusy); wantOK {
							named[set] = want + 1
						}
					}
					if ok != wantOK || ok && pageOf[got] != want {
						t.Fatalf("reference %d to page %d: victim page %d, %t, want %d, %t\n%+v", at, page, pageOf[got], ok, want, wantOK, models[set])
					}
					return got, ok
				}
				leave := func(line uint32) { delete(lineOf, pageOf[line]) }
				for at = range refs {
					page := refs[at]
					set := page % uint64(sets)
					switch x := others[at]; {
					case x == 0:
						victim(set, page) // and then nothing leaves
					case x < 3:
						if line, ok := lineOf[page]; ok {
							p.Remove(line)
							models[set].remove(page)
							named[set] = 0
							leave(line)
						}
					case x < 6:
						state := p.AppendState(nil)
						again := mk()
						r := tape.NewReader(state)
						if again.ReadState(&r); r.End() != nil {
							t.Fatal(r.End())
						}
						if p = again; !bytes.Equal(state, p.AppendState(nil)) {
							t.Fatalf("restored from %x, it has %x", state, p.AppendState(nil))
						}
					case x < 12 && crowded:
						line := uint32(x*at) % lines
						busy[line/64] ^= 1 << (line % 64)
					}
					if line, ok := lineOf[page]; ok {
						p.Touch(line)
						models[set].hit(page)
					} else {
						line := uint32(set) * uint32(ways)
						for line < uint32(set+1)*uint32(ways) && p.Has(line) {
							line++
						}
						if line == uint32(set+1)*uint32(ways) {
							var ok bool
							if line, ok = victim(set, page); !ok {
								clear(busy)
								line, _ = victim(set, page)
							}
							if m, ok := models[set].(*paperARC); ok {
								m.leaving(page)
							}
							p.Evict(line)
							models[set].evict(pageOf[line])
							leave(line)
						}
						lineOf[page], pageOf[line], named[set] = line, page, 0
						p.Insert(line, page)
						models[set].insert(page)
					}
					if err := p.CheckInvariants(); err != nil {
						t.Fatalf("reference %d: %v", at, err)
					}
				}
			})
		})
	}
}

// drive makes references and counts misses.
func drive(t rapid.TB, name string, sets, ways int, refs []uint64, o Options) (misses int) {
	p, err := New(name, sets, ways, o)
	if err != nil {
		t.Fatal(err)
	}
	lineOf, pageOf, used := map[uint64]uint32{}, make([]uint64, sets*ways), make([]int, sets)
	for _, page := range refs {
		if line, ok := lineOf[page]; ok {
			p.Touch(line)
			continue
		}
		misses++
		set := uint32(page % uint64(sets))
		line := set*uint32(ways) + uint32(used[set])
		if used[set] < ways {
			used[set]++
		} else {
			var ok bool
			if line, ok = p.Victim(set, page, nil); !ok {
				t.Fatalf("%s: no victim in a full set", name)
			}
			p.Evict(line)
			delete(lineOf, pageOf[line])
		}
		p.Insert(line, page)
		lineOf[page], pageOf[line] = line, page
	}
	return misses
}

// TestNobodyBeatsBelady: on no references has any policy fewer misses.
func TestNobodyBeatsBelady(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sets := 1 << rapid.IntRange(0, 2).Draw(t, "log2 sets")
		ways := rapid.IntRange(1, 12).Draw(t, "ways")
		pages := uint64(rapid.IntRange(1, 4*sets*ways).Draw(t, "pages"))
		refs := rapid.SliceOfN(rapid.Uint64Range(0, pages-1), 1, 400).Draw(t, "refs")
		if loop := rapid.IntRange(0, 3).Draw(t, "loops"); loop > 0 {
			refs = slices.Repeat(refs[:1+len(refs)/(loop+1)], loop+1)
		}
		future := NewFuture()
		for _, p := range refs {
			if err := future.Add(p); err != nil {
				t.Fatal(err)
			}
		}
		o := Options{Seed: 3, SweepEvery: 5, Future: future}
		least := drive(t, "belady", sets, ways, refs, o)
		for _, name := range Names() {
			if n := drive(t, name, sets, ways, refs, o); n < least {
				t.Fatalf("%s has %d misses, belady %d", name, n, least)
			}
		}
	})
}

// TestLoop: what each is for. A loop over a tenth more pages than lines: LRU never
// hits, MRU and LIRS do, and belady most.
func TestLoop(t *testing.T) {
	var refs []uint64
	future := NewFuture()
	for i := range uint64(11_000) {
		refs = append(refs, i%1100)
		if err := future.Add(i % 1100); err != nil {
			t.Fatal(err)
		}
	}
	misses := map[string]int{}
	for _, name := range Names() {
		misses[name] = drive(t, name, 1, 1000, refs, Options{SweepEvery: 1000, Future: future})
	}
	if misses["lru"] != len(refs) || misses["fifo"] != len(refs) {
		t.Errorf("lru and fifo miss %d and %d of %d", misses["lru"], misses["fifo"], len(refs))
	}
	if misses["mru"] > 2100 || misses["lirs"] > 2200 || misses["belady"] > misses["mru"] {
		t.Errorf("misses %v", misses)
	}
}

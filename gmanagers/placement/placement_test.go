package placement

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

// fataler is what *testing.T, *testing.B and *rapid.T have in common.
type fataler interface{ Fatal(args ...any) }

func setOf(cs ...Candidate) *Set {
	s := &Set{}
	for _, c := range cs {
		s.Add(c)
	}
	return s
}

func policy(t fataler, name string) Policy {
	p, err := New(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNames(t *testing.T) {
	names := Names()
	if !slices.IsSorted(names) || len(names) != 11 {
		t.Errorf("names %v, want 11 in order", names)
	}
	for _, n := range names {
		if p, err := New(n); err != nil || p.Name != n {
			t.Errorf("%s: %v", n, err)
		}
	}
	_, err := New("clok")
	if want := `bad request: placement policy "clok", want one of best_fit, consistent_hash, fewest_threads, fewest_volumes, least_loaded, ` +
		`most_free, random, round_robin, two_choices, weighted, worst_fit`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestChoose: the cases that no oracle below decides, and those of the policies that were there first.
func TestChoose(t *testing.T) {
	for _, c := range []struct {
		policy string
		want   wire.NodeID
		ask    Ask
		from   []Candidate
	}{
		{"fewest_threads", "p2", Ask{}, []Candidate{{ID: "p1", Threads: 2}, {ID: "p2", Threads: 1}, {ID: "p3", Threads: 1}}},
		{"fewest_volumes", "m2", Ask{}, []Candidate{{ID: "m1", Volumes: 1}, {ID: "m2"}, {ID: "m3", Volumes: 1}}},
		{"fewest_threads", "p1", Ask{}, []Candidate{{ID: "p1", Threads: math.MaxUint64}}},
		{"least_loaded", "m2", Ask{}, []Candidate{{ID: "m1", Reserved: 5, Capacity: 10}, {ID: "m2", Reserved: 6, Capacity: 20}}},
		{"least_loaded", "m2", Ask{}, []Candidate{{ID: "m1", Reserved: 5, Capacity: 10, Traffic: 9}, {ID: "m2", Reserved: 10, Capacity: 20, Traffic: 8}}},
		{"least_loaded", "m1", Ask{}, []Candidate{{ID: "m1", Reserved: 10, Capacity: 20, Traffic: 9}, {ID: "m2", Reserved: 5, Capacity: 10, Traffic: 9}}},
		{"least_loaded", "m2", Ask{}, []Candidate{{ID: "m1", Homes: 2}, {ID: "m2", Homes: 1, Traffic: 9}}},
		{"least_loaded", "m2", Ask{}, []Candidate{{ID: "m1"}, {ID: "m2", Reserved: 9, Capacity: 1}}},
		{"least_loaded", "m1", Ask{}, []Candidate{{ID: "m1", Reserved: 1 << 62, Capacity: 1<<63 + 1}, {ID: "m2", Reserved: 1 << 62, Capacity: 1 << 63}}},
		{"most_free", "s2", Ask{}, []Candidate{{ID: "s1", Reserved: 5, Capacity: 10}, {ID: "s2", Reserved: 1, Capacity: 7}}},
		{"most_free", "s1", Ask{}, []Candidate{{ID: "s1", Capacity: 0}, {ID: "s2", Reserved: 9, Capacity: 7}}},
		{"best_fit", "s2", Ask{Need: 3}, []Candidate{{ID: "s1", Room: 2}, {ID: "s2", Room: 3}, {ID: "s3", Room: 4}}},
		{"best_fit", "s2", Ask{Need: 3}, []Candidate{{ID: "s1", Room: 3, Volumes: 1}, {ID: "s2", Room: 3}, {ID: "s3", Room: 3}}},
		{"worst_fit", "s3", Ask{Need: 3}, []Candidate{{ID: "s1", Room: 2}, {ID: "s2", Room: 3}, {ID: "s3", Room: 4}}},
		{"worst_fit", "s2", Ask{}, []Candidate{{ID: "s1", Room: 3, Threads: 1}, {ID: "s2", Room: 3}, {ID: "s3", Room: 3}}},
		{"round_robin", "m1", Ask{}, []Candidate{{ID: "m1"}, {ID: "m3"}}},
		{"round_robin", "m3", Ask{After: "m1"}, []Candidate{{ID: "m1"}, {ID: "m3"}}},
		{"round_robin", "m3", Ask{After: "m2"}, []Candidate{{ID: "m1"}, {ID: "m3"}}},
		{"round_robin", "m1", Ask{After: "m3"}, []Candidate{{ID: "m1"}, {ID: "m3"}}},
		{"round_robin", "m1", Ask{After: "zz"}, []Candidate{{ID: "m1"}, {ID: "m3"}}},
		{"round_robin", "m1", Ask{After: "m1", Need: 1}, []Candidate{{ID: "m1", Room: 1}, {ID: "m3"}}},
		{"weighted", "m2", Ask{}, []Candidate{{ID: "m1"}, {ID: "m2", Capacity: 1}, {ID: "m3"}}},
		// The one clockwise of the key is above the bound, and the bound yields when nothing else has room.
		{"consistent_hash", "m2", Ask{Key: keyAt(t, "m1")}, []Candidate{{ID: "m1", Volumes: 9}, {ID: "m2"}}},
		{"consistent_hash", "m1", Ask{Key: keyAt(t, "m1"), Need: 1}, []Candidate{{ID: "m1", Volumes: 9, Room: 1}, {ID: "m2"}}},
		{"consistent_hash", "m1", Ask{Key: keyAt(t, "m1")}, []Candidate{{ID: "m1", Reserved: 1, Capacity: math.MaxUint64}, {ID: "m2", Capacity: math.MaxUint64}}},
	} {
		s := setOf(c.from...)
		if got := s.ID(Choose(policy(t, c.policy), c.ask, s)); got != c.want {
			t.Errorf("%s of %+v for %+v: %s, want %s", c.policy, c.from, c.ask, got, c.want)
		}
	}
}

// keyAt finds a key for which id, one of m1 and m2, has the higher score.
func keyAt(t *testing.T, id wire.NodeID) uint64 {
	p := policy(t, "consistent_hash")
	s := setOf(Candidate{ID: "m1"}, Candidate{ID: "m2"})
	for key := range uint64(100) {
		if s.ID(Choose(p, Ask{Key: key}, s)) == id {
			return key
		}
	}
	t.Fatal("no key")
	return 0
}

// TestValuesStay: what chance and hashes give may never change, or replicas of two releases would choose otherwise.
func TestValuesStay(t *testing.T) {
	c := chance(0)
	if got := c.next(); got != 0xe220a8397b1dcdaf { // the first number of SplitMix64 from 0
		t.Errorf("chance %#x", got)
	}
	if got := Hash(1, 2); got != 0xfb5dfd0ed34747d9 {
		t.Errorf("Hash %#x", got)
	}
	if got := point("m1"); got != 0xb1f1c6d5119a7801 {
		t.Errorf("point %#x", got)
	}
}

func drawCandidates(t *rapid.T) []Candidate {
	number := rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64Range(0, 3), rapid.Uint64())
	count := rapid.Uint64Range(0, 3)
	var cs []Candidate
	for i := range rapid.IntRange(0, 12).Draw(t, "n") {
		cs = append(cs, Candidate{
			ID: wire.NodeID(fmt.Sprintf("n%02d", i)), Rack: rapid.SampledFrom([]string{"", "r1", "r2"}).Draw(t, "rack"),
			Room: number.Draw(t, "room"), Reserved: number.Draw(t, "reserved"), Capacity: number.Draw(t, "capacity"),
			Threads: count.Draw(t, "threads"), Volumes: count.Draw(t, "volumes"), Homes: count.Draw(t, "homes"), Traffic: count.Draw(t, "traffic"),
			Spare: count.Draw(t, "spare"), Closed: rapid.IntRange(0, 5).Draw(t, "closed") == 0,
		})
	}
	return cs
}

func drawAsk(t *rapid.T) Ask {
	a := Ask{
		Need: rapid.Uint64Range(0, 2).Draw(t, "need"), Key: rapid.Uint64().Draw(t, "key"), Chance: rapid.Uint64().Draw(t, "chance"),
		After: wire.NodeID(rapid.SampledFrom([]string{"", "n00", "n03", "n05x", "zz"}).Draw(t, "after")),
	}
	for range rapid.IntRange(0, 3).Draw(t, "avoid") {
		a.Avoid = append(a.Avoid, wire.NodeID(fmt.Sprintf("n%02d", rapid.IntRange(0, 12).Draw(t, "id"))))
	}
	a.AvoidRacks = rapid.SliceOfN(rapid.SampledFrom([]string{"", "r1", "r2", "r3"}), 0, 2).Draw(t, "avoid racks")
	slices.Sort(a.Avoid)
	slices.Sort(a.AvoidRacks)
	if rapid.IntRange(0, 4).Draw(t, "within") == 0 {
		a.Within, a.WithinRacks = []wire.NodeID{"n01", "n04"}, []string{"r1"}
	}
	a.Threads = rapid.SampledFrom([]uint64{0, 0, 0, 2}).Draw(t, "spare threads")
	return a
}

// allowed says it in the plainest way.
func allowed(a Ask, c Candidate) bool {
	if (len(a.Within) > 0 || len(a.WithinRacks) > 0) && !slices.Contains(a.Within, c.ID) && !slices.Contains(a.WithinRacks, c.Rack) {
		return false
	}
	return !c.Closed && c.Room >= a.Need && c.Spare >= a.Threads && !slices.Contains(a.Avoid, c.ID) && !slices.Contains(a.AvoidRacks, c.Rack)
}

// TestOnlyWhatFits: whatever the policy, it chooses a component with room, that is on no avoided component or rack, if
// there is one, and none otherwise; equal questions get equal answers, from a set that was used before too.
func TestOnlyWhatFits(t *testing.T) {
	used := &Set{} // over all cases
	rapid.Check(t, func(t *rapid.T) {
		p, _ := New(rapid.SampledFrom(Names()).Draw(t, "policy"))
		cs, a := drawCandidates(t), drawAsk(t)
		s := setOf(cs...)
		i := Choose(p, a, s)
		switch any := slices.ContainsFunc(cs, func(c Candidate) bool { return allowed(a, c) }); {
		case i < 0 && any:
			t.Fatalf("chose none of %+v for %+v", cs, a)
		case i >= 0 && !allowed(a, cs[i]):
			t.Fatalf("chose %+v for %+v", cs[i], a)
		}
		used.Reset()
		for _, c := range cs {
			used.Add(c)
		}
		if got := Choose(p, a, used); got != i {
			t.Fatalf("chose %d, from a set that was used before %d", i, got)
		}
	})
}

// TestReplicaApartFromPrimary: a copy whose ask names the component and rack of the primary, and those of the copies
// before, is on none of them.
func TestReplicaApartFromPrimary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, _ := New(rapid.SampledFrom(Names()).Draw(t, "policy"))
		cs := drawCandidates(t)
		s := setOf(cs...)
		var a Ask
		for range rapid.IntRange(1, 4).Draw(t, "copies") {
			a.Chance, a.Key = rapid.Uint64().Draw(t, "chance"), rapid.Uint64().Draw(t, "key")
			i := Choose(p, a, s)
			if i < 0 {
				return
			}
			if slices.Contains(a.Avoid, cs[i].ID) || slices.Contains(a.AvoidRacks, cs[i].Rack) {
				t.Fatalf("a copy at %+v, others at %v in %v", cs[i], a.Avoid, a.AvoidRacks)
			}
			a.Avoid, a.AvoidRacks, a.After = append(a.Avoid, cs[i].ID), append(a.AvoidRacks, cs[i].Rack), cs[i].ID
			slices.Sort(a.Avoid)
			slices.Sort(a.AvoidRacks)
		}
	})
}

// TestOrders: the policies that are orders choose what sorting gives.
func TestOrders(t *testing.T) {
	free := func(c Candidate) uint64 { return c.Capacity - min(c.Capacity, c.Reserved) }
	placed := func(c Candidate) uint64 { return c.Threads + c.Volumes + c.Homes }
	orders := map[string]func(a, b Candidate) int{
		"fewest_threads": func(a, b Candidate) int { return cmp.Compare(a.Threads, b.Threads) },
		"fewest_volumes": func(a, b Candidate) int { return cmp.Compare(a.Volumes, b.Volumes) },
		"most_free":      func(a, b Candidate) int { return cmp.Compare(free(b), free(a)) },
		"best_fit": func(a, b Candidate) int {
			return cmp.Or(cmp.Compare(a.Room, b.Room), cmp.Compare(placed(a), placed(b)))
		},
		"worst_fit": func(a, b Candidate) int {
			return cmp.Or(cmp.Compare(b.Room, a.Room), cmp.Compare(placed(a), placed(b)))
		},
		"least_loaded": func(a, b Candidate) int {
			return cmp.Or(shares(a, b), cmp.Compare(a.Homes, b.Homes), cmp.Compare(a.Traffic, b.Traffic))
		},
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"fewest_threads", "fewest_volumes", "most_free", "best_fit", "worst_fit", "least_loaded"}).Draw(t, "policy")
		p, _ := New(name)
		cs, a := drawCandidates(t), drawAsk(t)
		s := setOf(cs...)
		sorted := slices.DeleteFunc(slices.Clone(cs), func(c Candidate) bool { return !allowed(a, c) })
		slices.SortStableFunc(sorted, orders[name]) // of equals the lowest id stays first
		i := Choose(p, a, s)
		if i < 0 != (len(sorted) == 0) || i >= 0 && cs[i] != sorted[0] {
			t.Fatalf("%s of %+v for %+v: %d", name, cs, a, i)
		}
	})
}

// shares compares the reserved shares of the capacity as the policies do.
func shares(a, b Candidate) int {
	s := setOf(a, b)
	return compareShares(s.reserved[0], s.capacity[0], s.reserved[1], s.capacity[1])
}

// TestCompareShares: against fractions that a float64 holds exactly.
func TestCompareShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(0, 1000)
		a, b := Candidate{Reserved: n.Draw(t, "r"), Capacity: n.Draw(t, "c")}, Candidate{Reserved: n.Draw(t, "r"), Capacity: n.Draw(t, "c")}
		share := func(c Candidate) float64 {
			if c.Capacity == 0 {
				return math.Inf(1)
			}
			return float64(c.Reserved) / float64(c.Capacity) // two fractions of such numbers differ by more than rounding
		}
		if got, want := shares(a, b), cmp.Compare(share(a), share(b)); got != want {
			t.Fatalf("%+v and %+v: %d, want %d", a, b, got, want)
		}
	})
}

// play places n of need each on s and returns how many each got. Chance is a fixed stream.
func play(t fataler, name string, s *Set, n int, need uint64) []int {
	p := policy(t, name)
	got := make([]int, s.n)
	stamps := chance(20)
	var after wire.NodeID
	for key := range n {
		i := Choose(p, Ask{Need: need, Key: uint64(key), Chance: stamps.next(), After: after}, s)
		if i < 0 {
			return got
		}
		after = s.ID(i)
		got[i]++
		s.place(i, need)
	}
	return got
}

// place counts one more of need at candidate i, as if the set had been filled anew.
func (s *Set) place(i int, need uint64) {
	was, _ := s.load(i)
	s.room[i] -= need
	if s.capacity[i] > 0 {
		s.reserved[i] += need
	}
	s.volumes[i]++
	s.placed[i]++
	now, _ := s.load(i)
	s.loads = s.loads.plus(now - was)
}

func bins(n int, capacity uint64) *Set {
	s := &Set{}
	for i := range n {
		s.Add(Candidate{ID: wire.NodeID(fmt.Sprintf("m%05d", i)), Room: math.MaxUint64, Capacity: capacity})
	}
	return s
}

// TestTwoChoicesBeatsOne: of 1000 balls per bin and as many balls as bins, the fullest of two choices stays near
// ln ln n / ln 2, that of one choice near ln n / ln ln n, and many balls spread it by a constant instead of √(m/n).
func TestTwoChoicesBeatsOne(t *testing.T) {
	for _, c := range []struct {
		bins, balls        int
		capacity           uint64
		mostTwo, leastOnce int
	}{
		{10_000, 10_000, 1 << 20, 4, 6},        // ln ln n / ln 2 = 3.2, ln n / ln ln n = 4.1 + o(1)
		{1000, 100_000, 1 << 20, 105, 120},     // mean 100
		{1000, 100_000, 0, 105, 120},           // by volumes where nothing is reserved
		{16, 160_000, 1 << 20, 10_010, 10_050}, // mean 10 000
	} {
		two := slices.Max(play(t, "two_choices", bins(c.bins, c.capacity), c.balls, 1))
		once := slices.Max(play(t, "random", bins(c.bins, c.capacity), c.balls, 1))
		if two > c.mostTwo || once < c.leastOnce {
			t.Errorf("%d balls in %d bins: the fullest has %d after two choices, want at most %d; %d after one, want at least %d", c.balls, c.bins, two, c.mostTwo, once, c.leastOnce)
		}
	}
}

// chiSquared sums (got - want)²/want.
func chiSquared(got []int, want func(i int) float64) float64 {
	sum := 0.0
	for i, g := range got {
		sum += (float64(g) - want(i)) * (float64(g) - want(i)) / want(i)
	}
	return sum
}

// TestChancesAreEven: 100 components, 100 000 draws; chi squared with 99 degrees of freedom exceeds 170 once in 10^5.
func TestChancesAreEven(t *testing.T) {
	got := play(t, "random", bins(100, 1), 100_000, 0)
	if x := chiSquared(got, func(int) float64 { return 1000 }); x > 170 {
		t.Errorf("random: chi squared %.0f", x)
	}
	// Also when only a few fit, so that they must be counted.
	s := bins(1000, 1)
	for i := range s.n {
		if i%100 != 7 {
			s.room[i] = 0
		}
	}
	got = play(t, "random", s, 10_000, 1)
	got = slices.DeleteFunc(got, func(g int) bool { return g == 0 })
	if x := chiSquared(got, func(int) float64 { return 1000 }); len(got) != 10 || x > 40 { // 9 degrees: 10^-5
		t.Errorf("random among %d of 1000: chi squared %.0f", len(got), x)
	}
}

// TestWeightedIsProportional: components of capacity 1 to 20 get in proportion, of capacity 0 nothing, of huge ones too.
func TestWeightedIsProportional(t *testing.T) {
	for _, unit := range []uint64{1, 1 << 58} { // 20 << 58 and the sum are beyond 63 and 64 bits
		s := &Set{}
		for i := range 21 {
			s.Add(Candidate{ID: wire.NodeID(fmt.Sprintf("m%02d", i)), Room: 1, Capacity: min(uint64(i), 63) * unit})
		}
		got := play(t, "weighted", s, 210_000, 0)
		if got[0] != 0 {
			t.Errorf("a component without capacity got %d", got[0])
		}
		if x := chiSquared(got[1:], func(i int) float64 { return 1000 * float64(i+1) }); x > 60 { // 19 degrees: 10^-5 at 56
			t.Errorf("unit %d: chi squared %.0f: %v", unit, x, got)
		}
	}
	got := play(t, "weighted", bins(10, 0), 10_000, 0)
	if x := chiSquared(got, func(int) float64 { return 1000 }); x > 40 {
		t.Errorf("without capacities: chi squared %.0f", x)
	}
}

// TestRoundRobinIsFair: over any number of turns nobody is ahead by more than one; nor is any of those that stay while
// others come and go.
func TestRoundRobinIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "n")
		got := play(t, "round_robin", bins(n, 1), rapid.IntRange(0, 100).Draw(t, "turns"), 0)
		if slices.Max(got)-slices.Min(got) > 1 {
			t.Fatalf("turns %v", got)
		}
	})
	p := policy(t, "round_robin")
	rapid.Check(t, func(t *rapid.T) {
		// Members that stay are m00, m10, m20…; others come and go between them.
		const stay = 5
		turns := map[wire.NodeID]int{}
		var after wire.NodeID
		for range 40 {
			s := &Set{}
			for i := range 10 * stay {
				if i%10 == 0 || i%10 == 5 && rapid.Bool().Draw(t, "here") {
					s.Add(Candidate{ID: wire.NodeID(fmt.Sprintf("m%02d", i))})
				}
			}
			after = s.ID(Choose(p, Ask{After: after}, s))
			turns[after]++
		}
		low, high := math.MaxInt, 0
		for i := range stay {
			n := turns[wire.NodeID(fmt.Sprintf("m%d0", i))]
			low, high = min(low, n), max(high, n)
		}
		if high-low > 1 {
			t.Fatalf("turns %v", turns)
		}
	})
}

// TestConsistentHashBound: nobody gets more than 5/4 of its part, in proportion to the capacity.
func TestConsistentHashBound(t *testing.T) {
	for _, balls := range []int{1, 50, 500, 20_000} {
		for _, capacity := range []uint64{0, 1 << 40} {
			for i, g := range play(t, "consistent_hash", bins(50, capacity), balls, 1) {
				if bound := int(math.Ceil(1.25 * float64(balls) / 50)); g > bound {
					t.Errorf("%d balls: component %d got %d, at most %d", balls, i, g, bound)
				}
			}
		}
	}
	s := &Set{}
	for i := range 20 {
		s.Add(Candidate{ID: wire.NodeID(fmt.Sprintf("m%02d", i)), Room: math.MaxUint64, Capacity: uint64(i%4+1) << 32})
	}
	for i, g := range play(t, "consistent_hash", s, 10_000, 1<<20) {
		if bound := int(math.Ceil(1.25 * 10_000 * float64(i%4+1) / 50)); g > bound {
			t.Errorf("component %d of size %d got %d, at most %d", i, i%4+1, g, bound)
		}
	}
}

// TestConsistentHashKeepsKeys: while nobody is near the bound, only the keys of the component that goes go elsewhere.
func TestConsistentHashKeepsKeys(t *testing.T) {
	p := policy(t, "consistent_hash")
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 40).Draw(t, "n")
		gone := rapid.IntRange(0, n-1).Draw(t, "gone")
		all, rest := &Set{}, &Set{}
		for i := range n {
			c := Candidate{ID: wire.NodeID(fmt.Sprintf("m%02d", i)), Room: 1, Capacity: 10}
			all.Add(c)
			if i != gone {
				rest.Add(c)
			}
		}
		for key := range uint64(50) {
			was, now := all.ID(Choose(p, Ask{Key: key}, all)), rest.ID(Choose(p, Ask{Key: key}, rest))
			if was != now && was != all.ID(gone) {
				t.Fatalf("key %d went from %s to %s, and %s is gone", key, was, now, all.ID(gone))
			}
		}
	})
}

// TestConsistentHashMovesLittle: 100 keys per component, placed one by one, and again without one of the components: of
// the keys that were elsewhere at most a twentieth goes elsewhere, although every bound on the way is another.
func TestConsistentHashMovesLittle(t *testing.T) {
	p := policy(t, "consistent_hash")
	for _, n := range []int{10, 50, 200} {
		place := func(without int) []wire.NodeID {
			s, where := &Set{}, make([]wire.NodeID, 100*n)
			for i := range n {
				if i != without {
					s.Add(Candidate{ID: wire.NodeID(fmt.Sprintf("m%05d", i)), Room: math.MaxUint64, Capacity: 1 << 30})
				}
			}
			for key := range where {
				i := Choose(p, Ask{Need: 1, Key: uint64(key)}, s)
				s.place(i, 1)
				where[key] = s.ID(i)
			}
			return where
		}
		before := place(-1)
		most := 0
		for gone := range 10 {
			moved, id := 0, wire.NodeID(fmt.Sprintf("m%05d", gone))
			for key, now := range place(gone) {
				if now == id {
					t.Fatalf("key %d is at %s, which is gone", key, id)
				}
				if before[key] != id && before[key] != now {
					moved++
				}
			}
			most = max(most, moved)
		}
		t.Logf("%d components: at most %.1f %%", n, float64(most)/float64(n))
		if most > 100*n/20 {
			t.Errorf("%d components: %d of %d keys that were elsewhere moved", n, most, 100*n)
		}
	}
}

// TestNoAllocation: a set is filled again and asked without allocating.
func TestNoAllocation(t *testing.T) {
	s := bins(100, 1)
	c := Candidate{ID: s.ID(0), Room: 1, Capacity: 1}
	for _, name := range Names() {
		p := policy(t, name)
		a := Ask{Chance: 1, Key: 2, After: "m00050", Avoid: []wire.NodeID{"m00003"}}
		if n := testing.AllocsPerRun(10, func() {
			s.Reset()
			s.Add(c)
			s.n = 100
			Choose(p, a, s)
		}); n != 0 {
			t.Errorf("%s allocates %.0f times", name, n)
		}
	}
}

// TestKeptSetsChooseAlike: a set that is kept while candidates come, change and go chooses and explains as one that is filled
// anew, whatever the policy was before.
func TestKeptSetsChooseAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kept, are := &Set{}, map[wire.NodeID]Candidate{}
		kept.Index()
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			for _, c := range drawCandidates(t) {
				if rapid.IntRange(0, 4).Draw(t, "gone") == 0 {
					kept.Remove(c.ID)
					delete(are, c.ID)
				} else {
					kept.Put(c)
					are[c.ID] = c
				}
			}
			fresh, cs := &Set{}, []Candidate{}
			for _, id := range slices.Sorted(maps.Keys(are)) {
				fresh.Add(are[id])
				cs = append(cs, are[id])
			}
			p, _ := New(rapid.SampledFrom(Names()).Draw(t, "policy"))
			a := drawAsk(t)
			i := Choose(p, a, fresh)
			if got := Choose(p, a, kept); got != i {
				t.Fatalf("%s of %+v for %+v: %d, of the kept set %d", p.Name, cs, a, i, got)
			}
			if err := kept.Same(fresh); err != nil {
				t.Fatal(err)
			}
			if i < 0 {
				continue
			}
			limit := rapid.IntRange(1, 5).Draw(t, "limit")
			want, got := Explain(p, a, fresh, i, limit, nil), Explain(p, a, kept, i, limit, nil)
			if len(want) != len(got) || want[0] != got[0] {
				t.Fatalf("%s explains %+v, of the kept set %+v", p.Name, want, got)
			}
			for k := range want { // equal ones may stand in another order
				j := slices.IndexFunc(cs, func(c Candidate) bool { return c.ID == got[k].ID })
				if cs[j].Capacity > 0 && want[k].Value != got[k].Value && p.by.unit != byReserved.unit || !allowed(a, cs[j]) || slices.ContainsFunc(got[:k], func(w Weighed) bool { return w.ID == got[k].ID }) {
					t.Fatalf("%s explains %+v, of the kept set %+v", p.Name, want, got)
				}
			}
		}
	})
}

// BenchmarkKept: one decision of a kept set of 10 000, its explanation, and the change of the chosen one.
func BenchmarkKept(b *testing.B) {
	const n = 10_000
	for _, name := range Names() {
		for _, mixed := range []bool{true, false} {
			p, c, s := policy(b, name), chance(7), &Set{}
			s.Index()
			for i := range n {
				m := Candidate{ID: wire.NodeID(fmt.Sprintf("m%05d", i)), Room: 1 << 40, Capacity: 1 << 40}
				if mixed {
					m.Reserved = uint64(c.below(1 << 20))
					m.Room -= m.Reserved
					m.Threads, m.Traffic = uint64(c.below(64)), uint64(c.below(1<<20))
				}
				s.Put(m)
			}
			b.Run(fmt.Sprintf("%s/mixed=%v", name, mixed), func(b *testing.B) {
				b.ReportAllocs()
				a, c, out := Ask{Need: 500}, chance(8), []Weighed{}
				for b.Loop() {
					a.Chance, a.Key = c.next(), a.Key+1
					i := Choose(p, a, s)
					a.After = s.ID(i)
					out = Explain(p, a, s, i, 8, out[:0])
					m := s.row(i)
					m.Room, m.Reserved, m.Threads = m.Room-500, m.Reserved+500, m.Threads+1
					s.Put(m)
				}
			})
		}
	}
}

// BenchmarkChoose: one decision among 10 000 components. In "mixed" all have room and differ in every number, in "apart"
// one of them and one of 40 racks are to be avoided as well; in "fresh" all are alike and empty; in "full" one of a hundred
// has room.
func BenchmarkChoose(b *testing.B) {
	const n = 10_000
	c := chance(7)
	mixed, fresh, full := &Set{}, &Set{}, &Set{}
	for i := range n {
		m := Candidate{ID: wire.NodeID(fmt.Sprintf("m%05d", i)), Rack: fmt.Sprint("r", i%40), Room: 1 << 30, Capacity: 1 << 30}
		fresh.Add(m)
		m.Room, m.Reserved, m.Capacity = uint64(1000+c.below(1<<30)), uint64(c.below(1<<30)), uint64(1<<30+c.below(1<<30))
		m.Threads, m.Volumes, m.Homes, m.Traffic = uint64(c.below(64)), uint64(c.below(64)), uint64(c.below(64)), uint64(c.below(1<<20))
		mixed.Add(m)
		if c.below(100) > 0 {
			m.Room = 0
		}
		full.Add(m)
	}
	for _, name := range Names() {
		p := policy(b, name)
		for _, v := range []struct {
			name string
			set  *Set
			ask  Ask
		}{
			{"mixed", mixed, Ask{Need: 500}},
			{"apart", mixed, Ask{Need: 500, Avoid: []wire.NodeID{"m00017"}, AvoidRacks: []string{"r3"}}},
			{"fresh", fresh, Ask{Need: 500}},
			{"full", full, Ask{Need: 500}},
		} {
			b.Run(name+"/"+v.name, func(b *testing.B) {
				b.ReportAllocs()
				a, c := v.ask, chance(8)
				for b.Loop() {
					a.Chance, a.Key = c.next(), a.Key+1
					a.After = v.set.ID(Choose(p, a, v.set))
				}
			})
		}
	}
}

// BenchmarkFill: what it costs to fill a set of 10 000 again, whose components are the same.
func BenchmarkFill(b *testing.B) {
	s := bins(10_000, 1)
	ids := slices.Clone(s.ids)
	b.ReportAllocs()
	for b.Loop() {
		s.Reset()
		for _, id := range ids {
			s.Add(Candidate{ID: id, Room: 1})
		}
	}
}

func ExampleChoose() {
	var set Set
	set.Add(Candidate{ID: "m1", Rack: "r1", Room: 10, Capacity: 10})
	set.Add(Candidate{ID: "m2", Rack: "r1", Room: 20, Capacity: 20})
	set.Add(Candidate{ID: "m3", Rack: "r2", Room: 5, Capacity: 10})
	p, _ := New("worst_fit")
	primary := Choose(p, Ask{Need: 4}, &set)
	replica := Choose(p, Ask{Need: 4, Avoid: []wire.NodeID{"m2"}, AvoidRacks: []string{"r1"}}, &set)
	fmt.Println(set.ID(primary), set.ID(replica), Choose(p, Ask{Need: 21}, &set))
	// Output: m2 m3 -1
}

package placement

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

func TestNames(t *testing.T) {
	names := Names()
	if !slices.IsSorted(names) || len(names) != 4 {
		t.Errorf("names %v, want 4 in order", names)
	}
	for _, n := range names {
		if p, err := New(n); err != nil || p.Name != n {
			t.Errorf("%s: %v", n, err)
		}
	}
	_, err := New("clok")
	if want := `bad request: placement policy "clok", want one of fewest_threads, fewest_volumes, least_loaded, most_free`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		policy string
		want   wire.NodeID
		from   []Candidate
	}{
		{"fewest_threads", "p2", []Candidate{{ID: "p1", Threads: 2}, {ID: "p2", Threads: 1}, {ID: "p3", Threads: 1}}},
		{"fewest_volumes", "m3", []Candidate{{ID: "m1", Volumes: 1}, {ID: "m3"}, {ID: "m2", Volumes: 1}}},
		{"least_loaded", "m2", []Candidate{{ID: "m1", Reserved: 5, Capacity: 10}, {ID: "m2", Reserved: 6, Capacity: 20}}},
		{"least_loaded", "m2", []Candidate{{ID: "m1", Reserved: 5, Capacity: 10, Traffic: 9}, {ID: "m2", Reserved: 10, Capacity: 20, Traffic: 8}}},
		{"least_loaded", "m1", []Candidate{{ID: "m2", Reserved: 5, Capacity: 10, Traffic: 9}, {ID: "m1", Reserved: 10, Capacity: 20, Traffic: 9}}},
		{"least_loaded", "m2", []Candidate{{ID: "m1"}, {ID: "m2", Reserved: 9, Capacity: 1}}},
		{"least_loaded", "m1", []Candidate{{ID: "m1", Reserved: 1 << 62, Capacity: 1<<63 + 1}, {ID: "m2", Reserved: 1 << 62, Capacity: 1 << 63}}},
		{"most_free", "s2", []Candidate{{ID: "s1", Reserved: 5, Capacity: 10}, {ID: "s2", Reserved: 1, Capacity: 7}}},
		{"most_free", "s1", []Candidate{{ID: "s2", Reserved: 9, Capacity: 7}, {ID: "s1", Capacity: 0}}},
	} {
		p, _ := New(c.policy)
		if got := c.from[Choose(p, c.from)].ID; got != c.want {
			t.Errorf("%s of %+v: %s, want %s", c.policy, c.from, got, c.want)
		}
	}
	if p, _ := New("most_free"); Choose(p, nil) != -1 {
		t.Error("chose one of none")
	}
}

// TestOrderDoesNotMatter: replicas choose alike whatever the order of the candidates.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, _ := New(rapid.SampledFrom(Names()).Draw(t, "policy"))
		small := rapid.Uint64Range(0, 3)
		var cs []Candidate
		for i := range rapid.IntRange(1, 8).Draw(t, "n") {
			cs = append(cs, Candidate{
				ID: wire.NodeID(fmt.Sprint("n", i)), Reserved: small.Draw(t, "reserved"), Capacity: small.Draw(t, "capacity"),
				Threads: small.Draw(t, "threads"), Volumes: small.Draw(t, "volumes"), Traffic: small.Draw(t, "traffic"),
			})
		}
		want := cs[Choose(p, cs)]
		mixed := rapid.Permutation(cs).Draw(t, "order")
		if got := mixed[Choose(p, mixed)]; got != want {
			t.Fatalf("chose %+v, in another order %+v", want, got)
		}
	})
}

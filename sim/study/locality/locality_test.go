package locality

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestByHand: ten pages, of which the first has 91 of 100 accesses.
func TestByHand(t *testing.T) {
	c := New()
	for i := range uint64(91) {
		if err := c.Add(7); err != nil {
			t.Fatal(err)
		}
		if i%10 == 9 {
			if err := c.Add(100 + i); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := c.Result()
	if r.Total != 100 || r.Pages != 10 || r.Curve[0] != (Point{1, 0.1, 0.91}) || r.Curve[1] != (Point{2, 0.2, 0.92}) || r.Needed[2] != (Point{1, 0.1, 0.91}) || r.Needed[3].Count != 5 {
		t.Errorf("%+v", r)
	}
	if e := New().Result(); e.Pages != 0 || e.Curve != nil || e.Needed != nil {
		t.Errorf("nothing is %+v", e)
	}
}

// TestAsSorting: shares are those of the sorted counts, rise, and end at all.
func TestAsSorting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, n := New(), map[uint64]int{}
		pages := rapid.SliceOfN(rapid.Uint64Range(0, 40), 1, 300).Draw(t, "pages")
		for _, p := range pages {
			n[p]++
			if err := c.Add(p); err != nil {
				t.Fatal(err)
			}
		}
		var counts []int
		for _, k := range n {
			counts = append(counts, k)
		}
		slices.Sort(counts)
		slices.Reverse(counts)
		r := c.Result()
		for _, p := range append(r.Curve, r.Needed...) {
			sum := 0
			for _, k := range counts[:p.Count] {
				sum += k
			}
			if p.Accesses != float64(sum)/float64(len(pages)) || p.Pages != float64(p.Count)/float64(len(counts)) {
				t.Fatalf("%+v of %v", p, counts)
			}
		}
		if last := r.Curve[len(r.Curve)-1]; last.Accesses != 1 || last.Count != len(counts) {
			t.Fatalf("the curve ends with %+v", last)
		}
		for i, s := range accessShares {
			p := r.Needed[i]
			if p.Accesses < s || p.Count > 1 && p.Accesses-float64(counts[p.Count-1])/float64(len(pages)) >= s {
				t.Fatalf("%v of the accesses need %+v", s, p)
			}
		}
	})
}

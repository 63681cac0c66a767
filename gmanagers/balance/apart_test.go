package balance

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// index is where the groups of the world have something, what is on its way at both ends.
func (w *world) index() *apart.Index {
	x := apart.New()
	for _, t := range w.ts {
		x.Add(t.Apart, t.Holder, w.get(t.Holder).Rack, 1)
		if t.To != "" {
			x.Add(t.Apart, t.To, w.get(t.To).Rack, 1)
		}
	}
	return x
}

// TestGroupsStayApart: no plan puts two members of a group together, also not by two of its moves, while components are drained and
// loads balanced.
func TestGroupsStayApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawOptions(t)
		o.CoolDownMS, o.MaxMoves, o.MaxDrainMoves = 0, 20, 20
		w := newWorld(o, Bytes, rapid.Uint64().Draw(t, "seed"))
		w.looks = 2
		n := rapid.IntRange(3, 8).Draw(t, "components")
		for i := range n {
			w.component(1000, 1).Rack = fmt.Sprint("r", i%4)
		}
		for i := range rapid.IntRange(1, 16).Draw(t, "things") {
			x := w.thing(w.cs[rapid.IntRange(0, n-1).Draw(t, "holder")], 1, float64(rapid.IntRange(1000, 9000).Draw(t, "load")), true)
			rule := rapid.SampledFrom([]apart.Rule{{}, {Group: "g", Level: apart.Component}, {Group: "g", Level: apart.Rack}, {Group: "h", Level: apart.Component}}).Draw(t, "rule")
			if x.Apart = apart.Process(rule, wire.PID(i+1)); w.index().Check() != nil {
				x.Apart = nil // it is where it cannot be
			}
		}
		w.cs[0].Draining = true
		for range 40 {
			for _, x := range w.ts {
				x.Avoid, x.AvoidRacks = w.index().Avoid(x.Apart)
			}
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
			if err := w.index().Check(); err != nil {
				t.Fatalf("%v, by %+v", err, w.last.Moves)
			}
		}
		for _, s := range w.last.Stuck {
			if !s.Fixed && s.Short == 0 && !strings.Contains(s.Text, `is apart from group "`) {
				t.Fatalf("stuck %+v", s)
			}
		}
		stays := slices.ContainsFunc(w.ts, func(x *wthing) bool { return x.Holder == w.cs[0].ID && len(x.Apart) == 0 })
		if stays {
			t.Fatal("what is in no group did not leave what drains")
		}
	})
}

func TestStuckNamesTheGroup(t *testing.T) {
	p, _ := placement.New("best_fit")
	b := New(DefaultOptions(), "bytes", ByPolicy(p))
	cs := []Component{{ID: "m1", Alive: true, Draining: true}, {ID: "m2", Alive: true, Room: 60, Rack: "r1"}, {ID: "m3", Alive: true, Room: 5}}
	ms := apart.Process(apart.Rule{Group: "default/web", Level: apart.Rack}, 7)
	ts := []Thing{{ID: ThingID{Kind: wire.MoveHome, PID: 7}, Holder: "m1", Size: 10, Apart: ms, AvoidRacks: []string{"r1"}}}
	want := `short by 5, and it is apart from group "default/web" by rack, of which others are at the other 1 or in their racks`
	if got := b.Look(b.Next(), cs, ts); len(got.Stuck) != 1 || !strings.Contains(got.Stuck[0].Text, want) {
		t.Errorf("%+v, want %q", got.Stuck, want)
	}
	ts[0].Avoid = []wire.NodeID{"m3"}
	want = `the home of process 7 is apart from group "default/web" by rack, of which others are at all 2 other components or in their racks`
	if got := b.Look(b.Next(), cs, ts); len(got.Stuck) != 1 || !strings.Contains(got.Stuck[0].Text, want) {
		t.Errorf("%+v, want %q", got.Stuck, want)
	}
}

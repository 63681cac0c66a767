package weigh

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/moves"
	"splitkernel/netlayer/wire"
)

const region = 1 << 20

// world is a GMM with mComponents that bear what the test says.
type world struct {
	t     *rapid.T
	g     *gmm.State
	watch *membership.Watch
	seq   uint64
	now   time.Duration
	ops   map[wire.NodeID]uint64
	rate  map[movelist.Thing]uint64 // a second
}

func (w *world) apply(q gmm.Request) gmm.Result {
	w.seq++
	r := w.g.Apply(gmm.Command{Client: 1, Seq: w.seq, Stamp: membership.Stamp{NowMS: w.now.Milliseconds(), Policy: "least_loaded"}, Overcommit: 4000, Request: q})
	if err := r.Err(); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// beat has every mComponent tell what its vRegions bear.
func (w *world) beat() {
	for _, e := range w.g.Entries() {
		l := wire.Load{HotAll: []wire.MoveKind{wire.MoveRegion, wire.MoveHome}}
		w.g.Each(func(p *gmm.Process) {
			for _, r := range p.Regions {
				thing := movelist.Thing{Kind: wire.MoveRegion, PID: p.PID, Region: r.Region}
				if n := w.rate[thing]; r.Node == e.Member.ID && n > 0 {
					l.Hot = append(l.Hot, wire.ThingLoad{Kind: wire.MoveRegion, PID: p.PID, Region: r.Region, Ops: n})
					w.ops[e.Member.ID] += n / 2
				}
			}
		})
		l.Misses = w.ops[e.Member.ID]
		w.watch.Heard(w.now, e.Member, l)
	}
}

// TestALeaderSpreadsAndEmpties: whatever vRegions bear, the looks of a leader whose orders are carried out at once end; then loads are
// within the bounds or nothing gains, nothing has moved twice within the cool-down, rounds are told from begin to end, and what drains is empty and
// said to be.
func TestALeaderSpreadsAndEmpties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, g: gmm.New(), watch: membership.NewWatch(membership.DefaultLease, 0), ops: map[wire.NodeID]uint64{}, rate: map[movelist.Thing]uint64{}}
		for i := range rapid.IntRange(2, 4).Draw(t, "mComponents") {
			w.apply(gmm.Request{Op: gmm.OpRegister, Member: wire.Member{ID: wire.NodeID(fmt.Sprint("m", i)), Addr: "a", Role: wire.RoleMemory, Capacity: wire.Capacity{MemoryBytes: 64 * region, RegionBytes: region}}})
		}
		for pid := range wire.PID(rapid.IntRange(1, 5).Draw(t, "processes")) {
			step := admission.Step{Verb: admission.Prepare, PID: pid + 1, MemoryBytes: 4 * region}
			w.apply(gmm.Request{Op: gmm.OpSteps, Steps: []admission.Step{step}})
			step.Verb = admission.Commit
			w.apply(gmm.Request{Op: gmm.OpSteps, Steps: []admission.Step{step}})
			for no := range wire.RegionNo(rapid.IntRange(0, 4).Draw(t, "vRegions")) {
				w.apply(gmm.Request{Op: gmm.OpActivate, PID: pid + 1, Region: no})
				w.rate[movelist.Thing{Kind: wire.MoveRegion, PID: pid + 1, Region: no}] = rapid.Uint64Range(0, 5000).Draw(t, "rate")
			}
		}
		drained := wire.NodeID("")
		if rapid.Bool().Draw(t, "drains") {
			drained = "m0"
			w.apply(gmm.Request{Op: gmm.OpNode, Member: wire.Member{ID: drained}, Action: membership.Drain})
		}
		l := NewLooker(wire.GMM, Settings{Balance: DefaultBalance(), GPMPolicy: "fewest_threads", GMMPolicy: "least_loaded", GSMPolicy: "most_free", CachePolicy: "fewest_volumes", Overcommit: 4000}, membership.DefaultLease)
		var begun, ended int
		coolDown := time.Duration(DefaultBalance().GMM.CoolDownMS) * time.Millisecond
		balanced := map[movelist.Thing]time.Duration{} // when it moved last
		for ; w.now < 3*time.Minute; w.now += 500 * time.Millisecond {
			w.beat()
			l.News(w.now, w.g.Turn(), w.g.Moves().Changes()+1)
			for _, s := range l.Due(w.now) {
				if w.now < membership.DefaultLease {
					t.Fatalf("a look at %v", w.now)
				}
				x := l.Begin(s, w.now, w.now.Milliseconds(), w.g, nil, l.HeatOf(s, w.watch))
				components, things := x.Finish(w.watch)
				look := l.Look(s, w.now, components, things)
				s.Took(0)
				for _, n := range look.Notes {
					if n.Kind == events.Rebalanced && strings.Contains(n.Text, " begins") {
						begun++
					} else if n.Kind == events.Rebalanced {
						ended++
					}
				}
				for i := range look.Orders {
					o := &look.Orders[i]
					o.TimeoutMS = 1000
					if o.Cause == movelist.Balance {
						if at, ok := balanced[o.Thing]; ok && w.now-at < coolDown {
							t.Fatalf("%v moved at %v and again at %v", o.Thing, at, w.now)
						}
						balanced[o.Thing] = w.now
					} else if o.From != drained {
						t.Fatalf("%+v drains %s", o, o.From)
					}
				}
				for i, b := range w.apply(gmm.Request{Op: gmm.OpBegin, Orders: look.Orders, Notes: look.Notes}).Begun {
					if b.No == 0 {
						t.Fatalf("%+v was refused: %s", look.Orders[i], b.Text)
					}
					m := w.g.Moves().Moving(look.Orders[i].Thing)
					w.apply(gmm.Request{Op: gmm.OpEnd, Ends: []moves.End{{Move: m.Req.Move, State: wire.MoveDone, Epoch: m.Req.Epoch}}, Drops: []uint64{b.No}})
				}
			}
			if notes := l.Drained(); len(notes) > 0 {
				w.apply(gmm.Request{Op: gmm.OpBegin, Notes: notes})
			}
			if err := w.g.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
		}
		if begun != ended || (begun > 0) != (len(balanced) > 0) {
			t.Fatalf("%d rounds begun, %d ended, %d things moved", begun, ended, len(balanced))
		}
		if drained == "" {
			return
		}
		if l.Draining() != 0 {
			t.Fatalf("%d things are left at %s", l.Draining(), drained)
		}
		b, err := w.g.Query(membership.Query{Kind: membership.QueryEvents, Limit: 256})
		if err != nil {
			t.Fatal(err)
		}
		var page events.Page
		if err := membership.DecodeAnswer(b, &page); err != nil {
			t.Fatal(err)
		}
		if n := len(slices.DeleteFunc(page.Events, func(e events.Event) bool { return e.Kind != events.Drained || e.Node != drained })); n != 1 {
			t.Fatalf("it was told %d times that %s has nothing left", n, drained)
		}
	})
}

package restart

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/gpm"
	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

// world is books of some processes, pComponents that die and come back, and drivers of leaders that change. What a driver wants is done
// late, in any order, once or twice; its answer is lost, late, or comes twice.
type world struct {
	t       *rapid.T
	d       *Taped
	tapes   tapedtest.Tapes
	books   map[wire.PID]*gpm.Process
	nodes   []*node
	pending []Effect                     // of the present leader
	late    []Effect                     // copies of orders and proposals that are still on their way, whoever sent them
	ended   map[string]wire.RestartState // of restarts, by process and epoch
	had     map[string]bool              // the same, those that the books ever had
	placed  int
}

type node struct {
	id      wire.NodeID
	epoch   wire.Epoch // under which it is registered
	down    bool       // it does not answer
	dead    bool       // and is declared dead
	revived map[wire.PID]*revived
}

type revived struct {
	epoch wire.Epoch
	left  int // questions until it ends
	ends  wire.RestartState
}

func of(pid wire.PID, epoch wire.Epoch) string { return fmt.Sprintf("%d/%d", pid, epoch) }

func (w *world) node(id wire.NodeID) *node {
	return w.nodes[slices.IndexFunc(w.nodes, func(n *node) bool { return n.id == id })]
}

func (w *world) current(id wire.NodeID, epoch wire.Epoch) bool {
	n := w.node(id)
	return !n.dead && n.epoch == epoch
}

func (w *world) stranded() (out []Stranded) {
	for pid := range wire.PID(4) {
		p := w.books[pid]
		if current := w.current(p.Node, p.NodeEpoch); p.Restart && (p.Restarting || !current) {
			out = append(out, Stranded{*p, current})
		}
	}
	return out
}

// lead has another leader begin; what the one before waits for is heard by nobody.
func (w *world) lead() {
	w.late = append(w.late, w.pending...)
	w.pending = nil
	w.d = &Taped{Driver: New()}
	w.d.Record(&w.tapes, w.d.Driver, TapeKind, &TapeHead{Of: wire.GPM})
}

func (w *world) look() {
	w.pending = append(w.pending, w.d.Look(w.stranded())...)
	w.check()
}

func (w *world) check() {
	if err := w.d.CheckInvariants(); err != nil {
		w.t.Fatal(err)
	}
	if len(w.pending) != len(w.d.under) {
		w.t.Fatalf("%d effects are under way, of %d processes: one of each", len(w.pending), len(w.d.under))
	}
}

// perform does what an effect says, for good.
func (w *world) perform(e Effect) (o Outcome) {
	p, q := w.books[e.Process.PID], e.Process
	stale := wire.Errorf(wire.KindStale, "other books")
	switch e.Kind {
	case Place:
		if p.Epoch != q.Epoch || !p.Restart || w.current(p.Node, p.NodeEpoch) {
			return Outcome{Err: stale}
		}
		var up []*node
		for _, n := range w.nodes {
			if !n.dead {
				up = append(up, n)
			}
		}
		if len(up) == 0 {
			return Outcome{Err: wire.Errorf(wire.KindNoRoom, "no pComponent")}
		}
		n := up[w.placed%len(up)]
		w.placed++
		p.Node, p.NodeEpoch, p.Epoch, p.Restarting = n.id, n.epoch, p.Epoch+3, true
		w.had[of(p.PID, p.Epoch)] = true
	case Order:
		n := w.node(q.Node)
		if !w.had[of(q.PID, q.Epoch)] {
			w.t.Fatalf("process %d is ordered under epoch %d, which the books never had", q.PID, q.Epoch)
		}
		if n.down {
			return Outcome{Err: wire.Errorf(wire.KindUnavailable, "%s is down", n.id)}
		}
		r := n.revived[q.PID]
		switch {
		case r != nil && r.epoch > q.Epoch:
			return Outcome{Err: stale}
		case r == nil || r.epoch < q.Epoch:
			r = &revived{epoch: q.Epoch, left: int(q.Epoch) % 4, ends: []wire.RestartState{wire.RestartRunning, wire.RestartEmpty, wire.RestartRunning, wire.RestartFailed, wire.RestartRunning}[(int(q.Epoch)/3+int(q.PID))%5]}
			n.revived[q.PID] = r
		}
		if o.Rep.State = wire.RestartUnder; r.left == 0 {
			o.Rep.State, o.Rep.Text = r.ends, "so it ended"
			w.ended[of(q.PID, q.Epoch)] = r.ends
		} else {
			r.left--
		}
	case Report:
		if p.Epoch != q.Epoch || !p.Restarting {
			return Outcome{Err: stale}
		}
		if state, ok := w.ended[of(q.PID, q.Epoch)]; !ok || e.Failed != (state == wire.RestartFailed) {
			w.t.Fatalf("process %d: epoch %d is said to have ended, failed %t; it is in state %v", q.PID, q.Epoch, e.Failed, state)
		}
		p.Restarting = false
		if e.Failed {
			p.Restart = false // its vNode is ended
		}
	}
	return o
}

// answer hands the driver what came of an effect, perhaps twice.
func (w *world) answer(i int, o Outcome, twice bool) {
	e := w.pending[i]
	w.pending = slices.Delete(w.pending, i, i+1)
	w.pending = append(w.pending, w.d.Done(e.Process.PID, e.Call, o)...)
	w.check()
	if twice {
		if more := w.d.Done(e.Process.PID, e.Call, o); len(more) > 0 {
			w.t.Fatalf("the second answer to %v of process %d begins %v", e.Kind, e.Process.PID, more[0].Kind)
		}
		w.check()
	}
}

// TestEveryProcessIsBroughtBack: whatever dies, however often leaders change, whatever is late, lost or doubled, nothing is ordered or told
// that is not true, and when nothing more goes wrong every process runs or is given up, within a bound.
func TestEveryProcessIsBroughtBack(t *testing.T) {
	states := map[wire.RestartState]int{}
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, books: map[wire.PID]*gpm.Process{}, ended: map[string]wire.RestartState{}, had: map[string]bool{}}
		for _, id := range []wire.NodeID{"p1", "p2", "p3"} {
			w.nodes = append(w.nodes, &node{id: id, epoch: 1, revived: map[wire.PID]*revived{}})
		}
		for pid := range wire.PID(4) {
			w.books[pid] = &gpm.Process{PID: pid, Epoch: 1, Node: w.nodes[pid%2].id, NodeEpoch: 1, Restart: true}
		}
		w.lead()
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			n := w.nodes[rapid.IntRange(0, 2).Draw(t, "node")]
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				n.down = true
			case 1:
				n.dead = n.dead || n.down
			case 2: // started again, or only heard again; under another epoch
				if n.down || n.dead {
					n.epoch++
					n.down, n.dead, n.revived = false, false, map[wire.PID]*revived{}
				}
			case 3:
				w.lead()
			case 4:
				if len(w.late) > 0 {
					w.perform(w.late[0])
					w.late = w.late[1:]
				}
			default:
				if len(w.pending) == 0 {
					break
				}
				i := rapid.IntRange(0, len(w.pending)-1).Draw(t, "which")
				switch o := (Outcome{Err: wire.Errorf(wire.KindTimeout, "no answer")}); rapid.IntRange(0, 5).Draw(t, "message") {
				case 0: // lost
					w.answer(i, o, false)
				case 1: // its answer is
					w.perform(w.pending[i])
					w.answer(i, o, false)
				case 2: // late
					w.late = append(w.late, w.pending[i])
					w.answer(i, o, false)
				case 3:
					w.late = append(w.late, w.pending[i])
					w.answer(i, w.perform(w.pending[i]), true)
				default:
					w.answer(i, w.perform(w.pending[i]), false)
				}
			}
			w.look()
		}
		for _, n := range w.nodes {
			if n.down {
				n.epoch++
				n.revived = map[wire.PID]*revived{}
			}
			n.down, n.dead = false, false
		}
		for round := 0; len(w.stranded()) > 0 || len(w.pending) > 0; round++ {
			if round > 100 {
				t.Fatalf("after %d rounds: %+v, under way %+v", round, w.stranded(), w.pending)
			}
			for i := len(w.pending) - 1; i >= 0; i-- {
				w.answer(i, w.perform(w.pending[i]), false)
			}
			w.look()
		}
		for _, s := range w.ended {
			states[s]++
		}
		w.tapes.Again(t, rand.New(rand.NewPCG(uint64(w.placed), uint64(w.tapes.Records()))), func(string, []byte) (taped.Core, error) { return New(), nil })
	})
	for _, s := range []wire.RestartState{wire.RestartRunning, wire.RestartEmpty, wire.RestartFailed} {
		if states[s] == 0 {
			t.Errorf("no restart ended as %v", s)
		}
	}
}

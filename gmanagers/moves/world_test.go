package moves

import (
	"container/heap"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

// world is a replicated list, leaders with their Movers, components that give and take, and a network that loses,
// delays and repeats.
type world struct {
	tapes   tapedtest.Tapes
	rng     *rand.Rand
	now     time.Duration
	events  events
	seq     int
	faults  bool
	nodes   []*node
	list    []*entry
	ended   map[wire.MoveID]End // how each was taken down, once
	leaders []*leader           // the last one leads; those before it do not know yet
	over    map[wire.PID]bool   // what has ended
	calls   int                 // to components
	begun   int
	adopted int
	err     error
}

type event struct {
	at  time.Duration
	seq int
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	x := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return x
}

func (w *world) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.events, event{w.now + d, w.seq, do})
}

func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("%v: %s", w.now, fmt.Sprintf(format, args...))
	}
}

// node is a component: giver and taker.
type node struct {
	w        *world
	id       wire.NodeID
	epoch    wire.Epoch // of the membership, as replicated
	member   wire.Epoch // the same as the component knows it; 0 until it has registered
	life     int        // incarnation
	keeps    bool       // its things outlive it, as volumes do
	down     bool
	gone     bool // for good
	serves   map[wire.PID]wire.Epoch
	knows    map[wire.MoveID]*running
	copies   map[wire.MoveID]bool // complete, of moves to here that have not ended
	forgot   wire.Forgotten
	outcomes map[wire.MoveID]wire.MoveStatusRep // that it told or would have told, for the test
	restarts int
}

type running struct {
	req    wire.MoveReq
	status wire.MoveStatusRep
}

// entry is a move in the replicated list.
type entry struct {
	req   wire.MoveReq
	giver *node
	taker *node
	ended bool
	gave  int // restarts of the giver when the move was recorded
	took  int
	then  [2]wire.Epoch // the epochs of giver and taker
}

type leader struct {
	w       *world
	m       *Taped
	deposed bool
	dead    bool
	tick    time.Duration        // for which a tick is set
	done    map[wire.MoveID]bool // forgotten at the giver, as it was told
}

func (n *node) answer(e Effect) (rep wire.MoveStatusRep, held Held, err error) {
	switch e.Kind {
	case Start:
		if _, ok := n.knows[e.Move]; ok {
			return rep, held, nil
		}
		serves, ok := n.serves[e.Req.PID]
		switch {
		case n.forgot.Has(e.Move.No):
			return rep, held, wire.Errorf(wire.KindStale, "forgotten")
		case !ok:
			return rep, held, wire.Errorf(wire.KindNotOwner, "not here")
		case serves != e.Req.OldEpoch:
			return rep, held, wire.Errorf(wire.KindStale, "epoch %d, not %d", serves, e.Req.OldEpoch)
		case n.w.faults && n.w.rng.IntN(6) == 0:
			return rep, held, wire.Errorf(wire.KindBusy, "too many moves")
		case n.w.rng.IntN(12) == 0:
			return rep, held, wire.Errorf(wire.KindNoRoom, "no room at the taker")
		}
		n.begin(e.Req)
	case Poll:
		r, ok := n.knows[e.Move]
		if !ok {
			return rep, held, wire.Errorf(wire.KindNotFound, "no move %v", e.Move)
		}
		return r.status, held, nil
	case Forget:
		if r, ok := n.knows[e.Move]; ok && !r.status.State.Ended() {
			return rep, held, wire.Errorf(wire.KindBusy, "under way")
		}
		delete(n.knows, e.Move)
		n.forgot.Forget(e.Move.No)
	case Adopt:
		rep = wire.MoveStatusRep{Move: e.Move, State: wire.MoveLost, Text: "it is not complete"}
		if serves, ok := n.serves[e.Req.PID]; ok && serves >= e.Req.Epoch {
			rep.State, rep.Epoch = wire.MoveDone, serves
		} else if n.copies[e.Move] && !n.w.over[e.Req.PID] {
			n.serves[e.Req.PID] = e.Req.UndoEpoch + 1
			n.w.adopted++
			rep.State, rep.Epoch = wire.MoveDone, e.Req.UndoEpoch+1
		}
		delete(n.copies, e.Move)
	case Look:
		serves, ok := n.serves[e.Req.PID]
		held = Held{Serves: ok, Epoch: serves, Member: n.member}
	}
	return rep, held, nil
}

// begin copies for a while and then ends somehow.
func (n *node) begin(q wire.MoveReq) {
	w := n.w
	w.begun++
	if _, ok := w.ended[q.Move]; ok {
		w.fail("%v begins at %s although it has ended", q.Move, n.id)
	}
	r := &running{q, wire.MoveStatusRep{Move: q.Move, State: wire.MoveCopying, Epoch: q.OldEpoch}}
	n.knows[q.Move] = r
	life := n.life
	lasts := time.Duration(w.rng.IntN(3000)) * time.Millisecond
	w.after(lasts/2, func() {
		if to := w.node(q.To); n.life == life && !to.down {
			to.copies[q.Move] = true
		}
	})
	w.after(lasts, func() {
		if n.life != life {
			return
		}
		delete(w.node(q.To).copies, q.Move)
		s := &r.status
		s.Bytes, s.DurationUS, s.PauseUS = w.rng.Uint64(), w.rng.Uint64(), w.rng.Uint64()
		taker := w.node(q.To)
		switch k := w.rng.IntN(8); {
		case w.over[q.PID]:
			s.State, s.Text = wire.MoveUndone, "it ended"
		case k == 0:
			s.State, s.Text = wire.MoveUndone, "gave up early"
		case k == 1:
			s.State, s.Epoch, s.Text = wire.MoveUndone, q.UndoEpoch, "gave up late"
			n.serves[q.PID] = q.UndoEpoch
		case k == 2 || taker.down:
			s.State, s.Epoch, s.Text = wire.MoveLost, 0, "the taker fell silent"
			delete(n.serves, q.PID)
		default:
			s.State, s.Epoch = wire.MoveDone, q.Epoch
			delete(n.serves, q.PID)
			taker.serves[q.PID] = q.Epoch
		}
		n.outcomes[q.Move] = *s
	})
}

func (w *world) node(id wire.NodeID) *node {
	return w.nodes[slices.IndexFunc(w.nodes, func(n *node) bool { return n.id == id })]
}

// restart loses what the component has in memory.
func (n *node) restart() {
	n.down = true
	n.life++
	n.restarts++
	n.member = 0
	n.knows, n.copies = map[wire.MoveID]*running{}, map[wire.MoveID]bool{}
	if !n.keeps {
		n.serves, n.forgot = map[wire.PID]wire.Epoch{}, wire.Forgotten{}
	}
	n.w.after(time.Duration(n.w.rng.IntN(4000))*time.Millisecond, func() {
		if n.gone {
			return
		}
		n.down = false
		n.w.after(time.Duration(n.w.rng.IntN(1000))*time.Millisecond, func() {
			n.epoch++
			n.w.sync()
			n.w.after(time.Duration(n.w.rng.IntN(20))*time.Millisecond, func() {
				if !n.down {
					n.member = n.epoch
				}
			})
		})
	})
}

// listed is the list as replicated.
func (w *world) listed() []Listed {
	var out []Listed
	for _, e := range w.list {
		out = append(out, Listed{
			Req: e.req, Ended: e.ended,
			Giver: Party{Node: e.giver.id, Addr: "inproc:" + string(e.giver.id), Epoch: e.giver.epoch, Then: e.then[0], Gone: e.giver.gone},
			Taker: Party{Node: e.taker.id, Addr: "inproc:" + string(e.taker.id), Epoch: e.taker.epoch, Then: e.then[1], Gone: e.taker.gone},
		})
	}
	w.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// sync tells the leader of the list; those that are deposed hear of nothing.
func (w *world) sync() {
	if l := w.leader(); l != nil {
		l.do(l.m.Sync(w.now, w.listed(), nil))
	}
}

func (w *world) leader() *leader {
	if len(w.leaders) == 0 || w.leaders[len(w.leaders)-1].deposed {
		return nil
	}
	return w.leaders[len(w.leaders)-1]
}

// elect makes a new leader. The one before may live on without knowing.
func (w *world) elect() {
	if l := w.leader(); l != nil {
		l.deposed = true
		l.dead = w.rng.IntN(2) == 0
		w.after(time.Duration(w.rng.IntN(5000))*time.Millisecond, func() { l.dead = true })
	}
	w.after(time.Duration(w.rng.IntN(500))*time.Millisecond, func() {
		if w.leader() != nil {
			return
		}
		l := &leader{w: w, m: &Taped{Mover: New()}, done: map[wire.MoveID]bool{}}
		l.m.Record(&w.tapes, l.m.Mover, TapeKind, &TapeHead{Of: wire.GMM})
		w.leaders = append(w.leaders, l)
		w.sync()
	})
}

// do performs effects and sets the next tick.
func (l *leader) do(out []Effect) {
	w := l.w
	if err := l.m.CheckInvariants(); err != nil {
		w.fail("%v", err)
	}
	for _, e := range out {
		if e.Call == 0 || e.Move == (wire.MoveID{}) {
			w.fail("%+v", e)
		}
		if e.Kind == Propose || e.Kind == Drop {
			l.propose(e)
			continue
		}
		n := w.node(e.Node)
		w.calls++
		if n.gone && !l.deposed {
			w.fail("%v of %v to %s, which is gone", e.Kind, e.Move, n.id)
		}
		if l.done[e.Move] {
			w.fail("%v of %v to %s after it has forgotten the move", e.Kind, e.Move, n.id)
		}
		l.send(n, e)
	}
	if next, ok := l.m.Next(); ok && (l.tick <= w.now || next < l.tick) {
		l.tick = max(next, w.now+time.Millisecond)
		w.after(l.tick-w.now, func() {
			if !l.dead {
				l.do(l.m.Tick(w.now, nil))
			}
		})
	}
}

func (w *world) chance(n int) bool { return w.faults && w.rng.IntN(n) == 0 }

// delay is that of one message.
func (w *world) delay() time.Duration {
	if w.chance(20) {
		return time.Duration(w.rng.IntN(10_000)) * time.Millisecond // a straggler
	}
	return time.Duration(1+w.rng.IntN(20)) * time.Millisecond
}

// send makes a call. Its request may come twice and late; it is answered once, unless this process forgets it.
func (l *leader) send(n *node, e Effect) {
	w := l.w
	answered := false
	answer := func(rep wire.MoveStatusRep, held Held, err error) {
		if answered || l.dead {
			return
		}
		if answered = !w.chance(10); answered || w.rng.IntN(2) == 0 { // else the answer may come again
			if e.Kind == Look {
				l.do(l.m.Seen(w.now, e.Move, e.Call, held, err, nil))
				return
			}
			late := l.m.Stats().Late
			out := l.m.Answered(w.now, e.Move, e.Call, rep, err, nil)
			if x := w.entry(e.Move); e.Kind == Forget && err == nil && l.m.Stats().Late == late && x != nil && x.ended && !l.deposed {
				l.done[e.Move] = true
			}
			l.do(out)
		}
	}
	for range 1 + w.rng.IntN(2)*map[bool]int{true: 1}[w.faults] {
		if w.chance(5) {
			continue // lost
		}
		w.after(w.delay(), func() {
			if n.down {
				return
			}
			rep, held, err := n.answer(e)
			if !w.chance(5) {
				w.after(w.delay(), func() { answer(rep, held, err) })
			}
		})
	}
	if !w.chance(50) { // else this process loses the call altogether
		w.after(3*time.Second, func() { answer(wire.MoveStatusRep{}, Held{}, wire.Errorf(wire.KindTimeout, "no answer")) })
	}
}

func (w *world) entry(id wire.MoveID) *entry {
	if i := slices.IndexFunc(w.list, func(e *entry) bool { return e.req.Move == id }); i >= 0 {
		return w.list[i]
	}
	return nil
}

// propose applies, or not, at most after a while; only what the leader proposes.
func (l *leader) propose(e Effect) {
	w := l.w
	ok := !l.deposed && !w.chance(4)
	w.after(w.delay(), func() {
		var err error
		if !ok || l.deposed {
			err = wire.Errorf(wire.KindNotLeader, "")
		} else {
			w.apply(e)
		}
		if !l.dead && !w.chance(10) {
			l.do(l.m.Answered(w.now, e.Move, e.Call, wire.MoveStatusRep{}, err, nil))
		}
		if err == nil {
			w.after(time.Duration(w.rng.IntN(200))*time.Millisecond, w.sync)
		}
	})
}

func (w *world) apply(p Effect) {
	e := w.entry(p.Move)
	switch {
	case e == nil:
	case p.Kind == Drop:
		if !e.ended {
			w.fail("%v is dropped and has not ended", p.Move)
		}
		w.list = slices.DeleteFunc(w.list, func(x *entry) bool { return x == e })
	case !e.ended:
		e.ended = true
		if _, ok := w.ended[p.Move]; ok {
			w.fail("%v ended twice", p.Move)
		}
		w.ended[p.Move] = p.End
		w.check(e, p.End)
	}
}

// check compares an end with the truth.
func (w *world) check(e *entry, end End) {
	truth, told := e.giver.outcomes[e.req.Move]
	now, serves := e.giver.serves[e.req.PID]
	then, taken := e.taker.serves[e.req.PID]
	gave, took := e.giver.restarts != e.gave, e.taker.restarts != e.took
	over := w.over[e.req.PID]
	if strings.Contains(end.Text, notThere) && !over && !gave {
		w.fail("%v ends as %+v, and it did not end", e.req.Move, end)
	}
	if over && !told && end.State == wire.MoveLost && strings.Contains(end.Text, "not here") && !gave && !took && e.then == [2]wire.Epoch{e.giver.member, e.taker.member} {
		w.fail("%v ends as %+v, and nothing was lost", e.req.Move, end)
	}
	if over && (gave || took || !told || strings.Contains(end.Text, "refused the order")) {
		return // nobody serves it: it ended here or there, or who did cannot be asked
	}
	if truth.State == wire.MoveDone && !took && (end.State != wire.MoveDone || end.Epoch != e.req.Epoch) {
		w.fail("%v was done and ends as %+v", e.req.Move, end)
	}
	if gave {
		// The giver's memory went with it: what it serves, and what the taker serves, is the truth.
		if end.State == wire.MoveLost && (serves && !e.giver.gone && !e.giver.keeps || taken) {
			w.fail("%v ends as %+v, giver serves %v, taker %v", e.req.Move, end, serves, taken)
		}
		return
	}
	switch {
	case told:
		looked := strings.Contains(end.Text, "refused the order")
		if looked && took && truth.State == wire.MoveDone && end.State == wire.MoveLost && !taken {
			return // it was done, and lost since with the taker
		}
		// Whoever was refused and then looked has the outcome, though not the figures.
		figures := end.Bytes == truth.Bytes && end.PauseUS == truth.PauseUS && end.DurationUS == truth.DurationUS && end.Text == truth.Text
		if end.State != truth.State || end.Epoch != truth.Epoch || !figures && !looked {
			w.fail("%v ends as %+v, the giver says %+v", e.req.Move, end, truth)
		}
	case end.State != wire.MoveUndone || !serves || end.Epoch != now || taken && then >= e.req.Epoch:
		w.fail("%v never ended at %s and ends as %+v, which serves %v under %d", e.req.Move, e.giver.id, end, serves, now)
	}
}

// record begins a move of a thing that somebody serves and that does not move.
func (w *world) record(no uint64) {
	for range 20 {
		giver, taker := w.nodes[w.rng.IntN(len(w.nodes))], w.nodes[w.rng.IntN(len(w.nodes))]
		if giver == taker || giver.gone || taker.gone || len(giver.serves) == 0 {
			continue
		}
		var pids []wire.PID
		for pid := range giver.serves {
			if !slices.ContainsFunc(w.list, func(e *entry) bool { return e.req.PID == pid }) {
				pids = append(pids, pid)
			}
		}
		if len(pids) == 0 {
			continue
		}
		slices.Sort(pids)
		pid := pids[w.rng.IntN(len(pids))]
		old := giver.serves[pid]
		w.list = append(w.list, &entry{
			req: wire.MoveReq{
				Move: wire.MoveID{Manager: wire.GMM, No: no}, Kind: wire.MoveRegion, PID: pid, OldEpoch: old, Epoch: old + 1, UndoEpoch: old + 2,
				To: taker.id, ToAddr: "inproc:" + string(taker.id),
			},
			giver: giver, taker: taker, gave: giver.restarts, took: taker.restarts, then: [2]wire.Epoch{giver.epoch, taker.epoch},
		})
		w.sync()
		return
	}
}

// end ends something that somebody serves, whether it moves or not.
func (w *world) end() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	for _, pid := range slices.Sorted(maps.Keys(n.serves)) {
		if !n.down && w.rng.IntN(3) == 0 {
			w.over[pid] = true
			for _, n := range w.nodes {
				delete(n.serves, pid)
			}
			return
		}
	}
}

// run lets time pass until then.
func (w *world) run(until time.Duration) {
	for len(w.events) > 0 && w.events[0].at <= until && w.err == nil {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
	w.now = until
}

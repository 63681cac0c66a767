package membership

import (
	"cmp"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

const (
	testLease    = 3 * time.Second
	testPatience = testLease + 500*time.Millisecond
	testTick     = 250 * time.Millisecond
)

// proberWorld is components that beat, managers of which one leads, links that are cut, and messages that are lost.
type proberWorld struct {
	rng     *rand.Rand
	now     time.Duration
	queue   proberQueue
	seq     int
	table   *Table
	watch   [3]*Watch // of each manager
	tapes   tapedtest.Tapes
	prober  *TapedProber
	leader  int
	term    int
	loss    float64
	crashed map[wire.NodeID]time.Duration
	cut     map[[2]string]bool // links that are cut, by the names of their ends
	reached map[string]bool    // term, member and round: the leader was told in time that it was reached
	dead    map[wire.NodeID]time.Duration
	err     error
}

type proberEvent struct {
	at  time.Duration
	seq int
	do  func()
}

type proberQueue []proberEvent

func (q proberQueue) Len() int { return len(q) }
func (q proberQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q proberQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *proberQueue) Push(x any)   { *q = append(*q, x.(proberEvent)) }
func (q *proberQueue) Pop() any {
	x := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return x
}

func (w *proberWorld) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.queue, proberEvent{w.now + d, w.seq, do})
}

func (w *proberWorld) run(until time.Duration) {
	for len(w.queue) > 0 && w.queue[0].at <= until && w.err == nil {
		e := heap.Pop(&w.queue).(proberEvent)
		w.now = e.at
		e.do()
	}
	w.now = until
}

func manager(i int) string { return fmt.Sprint("g", i) }

func (w *proberWorld) linked(a, b string) bool { return !w.cut[[2]string{min(a, b), max(a, b)}] }
func (w *proberWorld) lives(id wire.NodeID) bool {
	_, crashed := w.crashed[id]
	return !crashed
}

func (w *proberWorld) delay() time.Duration { return time.Duration(w.rng.IntN(200)) * time.Millisecond }

// beat sends a heartbeat to each manager, again and again.
func (w *proberWorld) beat(m wire.Member) {
	if !w.lives(m.ID) {
		return
	}
	for i := range w.watch {
		if w.linked(string(m.ID), manager(i)) && w.rng.Float64() >= w.loss {
			w.after(w.delay(), func() { w.watch[i].Heard(w.now, m, wire.Load{}) })
		}
	}
	w.after(wire.HeartbeatMS*time.Millisecond, func() { w.beat(m) })
}

// lead makes another manager the leader.
func (w *proberWorld) lead(i int) {
	w.leader = i
	w.term++
	w.watch[i].Lead(wire.GMM, w.now)
	h := ProberHead{Of: wire.GMM, Lease: testLease, Patience: testPatience}
	w.prober = &TapedProber{Prober: h.New()}
	w.prober.Record(&w.tapes, w.prober.Prober, ProberTapeKind, &h)
}

func (w *proberWorld) tick() {
	var silent []wire.Member
	var witnesses []Witness
	watch := w.watch[w.leader]
	for _, e := range w.table.Entries() {
		switch {
		case e.Dead:
		case !watch.Alive(wire.GMM, w.now, e.Member):
			silent = append(silent, e.Member)
		case watch.Heeded(w.now, e.Member):
			witnesses = append(witnesses, Witness{ID: e.Member.ID, Addr: e.Member.Addr, Rack: e.Member.Rack})
		}
	}
	if len(witnesses) == 0 {
		for i := range w.watch {
			if i != w.leader {
				witnesses = append(witnesses, Witness{ID: wire.NodeID(manager(i))})
			}
		}
	}
	w.perform(w.prober.Tick(w.now, silent, witnesses, nil))
	w.after(testTick, w.tick)
}

func (w *proberWorld) perform(effects []ProbeEffect) {
	if err := w.prober.CheckInvariants(); err != nil && w.err == nil {
		w.err = err
	}
	for _, e := range effects {
		switch e.Kind {
		case Ask:
			w.ask(e)
		case Declare:
			w.declare(e)
		}
	}
}

// ask sends a question over links that lose messages; a witness tries three times.
func (w *proberWorld) ask(e ProbeEffect) {
	term := w.term
	from := manager(w.leader)
	a := ProbeAnswer{Of: e.Of.ID, By: e.By.ID, Round: e.Round, Text: "no answer"}
	answer := func() {
		if w.term == term {
			w.perform(w.prober.Answered(w.now, a, nil))
		}
	}
	by := string(e.By.ID)
	if by == "" {
		by = from
	} else if !w.linked(from, by) || !w.lives(e.By.ID) || w.rng.Float64() < w.loss {
		w.after(testPatience-time.Millisecond, answer)
		return
	}
	w.after(w.delay(), func() {
		a.Answered = true
		if w.lives(e.Of.ID) && w.linked(by, string(e.Of.ID)) {
			for range 3 { // lost thrice is what nobody can tell from dead
				a.Alive = a.Alive || w.rng.Float64() >= w.loss
			}
		}
		if w.rng.Float64() < w.loss { // the answer is lost
			a.Answered, a.Alive = false, false
			w.after(testPatience-time.Millisecond, answer)
			return
		}
		if a.Alive && w.term == term {
			w.after(w.delay(), func() {
				w.reached[fmt.Sprint(term, e.Of.ID, e.Round)] = true
				answer()
			})
			return
		}
		w.after(w.delay(), answer)
	})
}

// declare checks the law: nobody dies in a round in which somebody who was asked reached it and could tell.
func (w *proberWorld) declare(e ProbeEffect) {
	if w.reached[fmt.Sprint(w.term, e.Of.ID, e.Round)] {
		w.err = fmt.Errorf("%v: %s is declared dead, and was reached: %s", w.now, e.Of.ID, e.Text)
	}
	if w.watch[w.leader].Alive(wire.GMM, w.now, e.Of) {
		return // as the shell does
	}
	w.after(w.delay(), func() {
		if w.rng.Float64() >= w.loss {
			if changed, _ := w.table.DeclareDead(e.Of.ID, e.Of.Epoch); changed {
				w.dead[e.Of.ID] = w.now
			}
		}
	})
}

func newProberWorld(seed uint64, components int) *proberWorld {
	w := &proberWorld{
		rng: rand.New(rand.NewPCG(seed, 9)), table: NewTable(wire.RoleMemory), crashed: map[wire.NodeID]time.Duration{},
		cut: map[[2]string]bool{}, reached: map[string]bool{}, dead: map[wire.NodeID]time.Duration{},
	}
	for i := range w.watch {
		w.watch[i] = NewWatch(testLease, 0)
	}
	for i := range components {
		m := memory(fmt.Sprint("m", i))
		m.Rack = fmt.Sprint("r", i%3)
		m.Epoch, _ = w.table.Register(m)
		w.after(w.delay(), func() { w.beat(m) })
	}
	w.lead(0)
	w.after(0, w.tick)
	return w
}

// TestNobodyDiesWhomAWitnessReaches, under partitions, loss, crashes and changes of leader; and once the faults end, who
// crashed is declared dead within a bounded number of leases, and nobody else.
func TestNobodyDiesWhomAWitnessReaches(t *testing.T) {
	deaths := 0
	rapid.Check(t, func(t *rapid.T) {
		w := newProberWorld(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 8).Draw(t, "components"))
		w.loss = rapid.SampledFrom([]float64{0, 0, 0.1, 0.4}).Draw(t, "loss")
		members := w.table.Members()
		names := []string{"g0", "g1", "g2"}
		for _, m := range members {
			names = append(names, string(m.ID))
		}
		const troubled = 40 * time.Second
		at := func(do func()) { w.after(time.Duration(w.rng.IntN(int(troubled))), do) }
		for range rapid.IntRange(0, 30).Draw(t, "cuts") {
			a, b := names[w.rng.IntN(len(names))], names[w.rng.IntN(len(names))]
			at(func() { w.cut[[2]string{min(a, b), max(a, b)}] = true })
			at(func() { delete(w.cut, [2]string{min(a, b), max(a, b)}) })
		}
		for range rapid.IntRange(0, 3).Draw(t, "elections") {
			at(func() { w.lead(w.rng.IntN(3)) })
		}
		for range rapid.IntRange(0, 2).Draw(t, "crashes") {
			id := members[w.rng.IntN(len(members))].ID
			at(func() { w.crashed[id] = w.now })
		}
		w.run(troubled)
		w.loss, w.cut = 0, map[[2]string]bool{}
		before := len(w.dead)
		w.run(troubled + 4*testLease + 2*testPatience)
		if w.err != nil {
			t.Fatal(w.err)
		}
		deaths += len(w.dead)
		late := 0
		for _, m := range members {
			_, dead := w.dead[m.ID]
			if !w.lives(m.ID) && !dead {
				t.Fatalf("%s crashed at %v and is not declared dead at %v", m.ID, w.crashed[m.ID], w.now)
			}
			if dead && w.lives(m.ID) && w.dead[m.ID] > troubled+testPatience+time.Second {
				late++
			}
		}
		if late > 0 {
			t.Fatalf("%d of %d that live were declared dead after all faults had ended", late, len(w.dead)-before)
		}
		w.tapes.Again(t, w.rng, func(_ string, head []byte) (taped.Core, error) {
			h, err := taped.Read[ProberHead](head)
			return h.New(), err
		})
	})
	if deaths == 0 {
		t.Error("nobody ever died: the test sees nothing")
	}
}

// TestANewLeaderWaits: nobody is suspected within a lease of a change of leader.
func TestANewLeaderWaits(t *testing.T) {
	w := newProberWorld(1, 3)
	w.crashed["m1"] = 0
	w.run(testLease - testTick)
	w.lead(1)
	w.run(w.now + testLease - testTick)
	if len(w.prober.open) != 0 || len(w.dead) != 0 {
		t.Fatalf("%d suspected, %v dead within the first lease of a leader", len(w.prober.open), w.dead)
	}
	w.run(w.now + testLease)
	if len(w.dead) != 1 {
		t.Errorf("dead: %v, want m1", w.dead)
	}
}

func TestWitnesses(t *testing.T) {
	of := memory("m0")
	var pool []Witness
	for i, rack := range []string{"a", "a", "a", "a", "b", "c", "a"} {
		pool = append(pool, Witness{ID: wire.NodeID(fmt.Sprint("m", i)), Rack: rack})
	}
	seen := map[wire.NodeID]bool{}
	for round := range uint64(50) {
		got := choose(of, round, pool)
		racks := map[string]bool{}
		for _, w := range got {
			racks[w.Rack], seen[w.ID] = true, true
		}
		if len(got) != Witnesses || len(racks) != 3 {
			t.Fatalf("round %d asks %+v, want one of each rack", round, got)
		}
		slices.Reverse(pool)
		again := choose(of, round, pool)
		byID := func(a, b Witness) int { return cmp.Compare(a.ID, b.ID) }
		slices.SortFunc(got, byID)
		slices.SortFunc(again, byID)
		if !slices.Equal(got, again) {
			t.Fatal("the order of those who can be asked decides")
		}
	}
	if len(seen) != 6 || seen["m0"] {
		t.Errorf("over many rounds %v were asked, want all others", seen)
	}
}

// TestNoAnswerIsNoDeath: if all who were asked are silent themselves the question stays open, and is put again.
func TestNoAnswerIsNoDeath(t *testing.T) {
	p := NewProber(testLease, testPatience)
	m := memory("m0")
	m.Epoch = 1
	silent, others := []wire.Member{m}, []Witness{{ID: "m1"}, {ID: "m2"}}
	asked := 0
	for now := time.Duration(0); now < 10*testLease; now += testTick {
		for _, e := range p.Tick(now, silent, others, nil) {
			switch {
			case e.Kind == Ask && e.By.ID == "": // the leader itself does not reach it
				p.Answered(now, ProbeAnswer{Of: "m0", Round: e.Round, Answered: true}, nil)
			case e.Kind == Ask:
				asked++
			case e.Kind != Suspect:
				t.Fatalf("%v: %v", now, e)
			}
		}
	}
	if asked < 6 {
		t.Errorf("asked %d times", asked)
	}
	// One that answers decides.
	var out []ProbeEffect
	for now := 10 * testLease; len(out) == 0 && now < 13*testLease; now += testTick {
		for _, e := range p.Tick(now, silent, others, nil) {
			if e.Kind == Ask {
				out = p.Answered(now, ProbeAnswer{Of: "m0", By: e.By.ID, Round: e.Round, Answered: e.By.ID != "m2", Text: "refused"}, out)
				out = p.Answered(now, ProbeAnswer{Of: "m0", By: e.By.ID, Round: e.Round, Answered: true, Alive: true}, out) // again: ignored
			}
		}
	}
	if len(out) != 1 || out[0].Kind != Declare || !strings.Contains(out[0].Text, "m1 does not reach it: refused") || !strings.Contains(out[0].Text, "m2 does not tell") {
		t.Errorf("%+v", out)
	}
}

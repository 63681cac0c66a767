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
	testLease    = DefaultLease
	testPatience = DefaultProbe + probeSlack
	testTick     = 250 * time.Millisecond
)

// proberWorld is components that beat, end and stand still, managers of which one leads, connections that end, links that are cut, and
// messages that are lost.
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
	frozen  map[wire.NodeID]int // how often it is stopped
	looks   time.Duration       // when the leader looks because somebody may have become silent, or a round is over
	causes  [3]int              // deaths, by cause
	cut     map[[2]string]bool  // links that are cut, by the names of their ends
	reached map[string]bool     // term, member and round: the leader was told in time that it was reached
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
func (w *proberWorld) answers(id wire.NodeID) bool { return w.lives(id) && w.frozen[id] == 0 }

func (w *proberWorld) delay() time.Duration { return time.Duration(w.rng.IntN(200)) * time.Millisecond }

// beat sends a heartbeat to each manager, again and again.
func (w *proberWorld) beat(m wire.Member) {
	if !w.lives(m.ID) {
		return
	}
	for i := range w.watch {
		if w.frozen[m.ID] == 0 && w.linked(string(m.ID), manager(i)) && w.rng.Float64() >= w.loss {
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
	w.look()
	w.after(testTick, w.tick)
}

// look is one look of the leader, as the shells do it.
func (w *proberWorld) look() {
	s := w.watch[w.leader].Suspects(wire.GMM, w.now)
	s.Add(wire.GMM, w.table.Entries())
	if len(s.Witnesses) == 0 {
		for i := range w.watch {
			if i != w.leader {
				s.Witnesses = append(s.Witnesses, Witness{ID: wire.NodeID(manager(i))})
			}
		}
	}
	w.perform(w.prober.Tick(w.now, s.Doubts, s.Witnesses, nil))
	w.again(s.Next)
}

// again has the leader look when there will be something to see, if that is before the next tick.
func (w *proberWorld) again(next time.Duration) {
	if at, ok := w.prober.Wake(); ok {
		next = min(next, at)
	}
	if next = max(next, w.now); next < w.now+testTick && (w.looks <= w.now || next < w.looks) {
		w.looks = next
		w.after(next-w.now, w.look)
	}
}

// hangUp ends the connections of a component to the managers that it reaches.
func (w *proberWorld) hangUp(id wire.NodeID) {
	for i := range w.watch {
		if !w.linked(string(id), manager(i)) {
			continue
		}
		w.after(200*time.Millisecond, func() { // behind all that was sent before
			if w.watch[i].Disconnected(w.now, id) && w.leader == i {
				w.look()
			}
		})
	}
}

// crash ends a component.
func (w *proberWorld) crash(id wire.NodeID) {
	if w.lives(id) {
		w.crashed[id] = w.now
		w.hangUp(id)
	}
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
			w.again(w.now + testTick)
		}
	}
	by := string(e.By.ID)
	if by == "" {
		by = from
	} else if !w.linked(from, by) || !w.answers(e.By.ID) || w.rng.Float64() < w.loss {
		w.after(testPatience-time.Millisecond, answer)
		return
	}
	w.after(w.delay(), func() {
		a.Answered = true
		if w.linked(by, string(e.Of.ID)) {
			for range 3 { // lost thrice is what nobody can tell from dead
				a.Alive = a.Alive || w.answers(e.Of.ID) && w.rng.Float64() >= w.loss
				a.Refused = a.Refused || !w.lives(e.Of.ID) && w.rng.Float64() >= w.loss
			}
		}
		if w.rng.Float64() < w.loss { // the answer is lost
			a.Answered, a.Alive, a.Refused = false, false, false
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
	if e.Death.Cause == CauseRefused && w.lives(e.Of.ID) {
		w.err = fmt.Errorf("%v: %s is declared dead because its process has ended, and it lives: %s", w.now, e.Of.ID, e.Text)
	}
	if silent := w.now - w.watch[w.leader].heard[e.Of.ID].at; e.Death.Cause == CauseSilence && silent <= testLease && !w.watch[w.leader].Refutes(wire.GMM, w.now, e) {
		w.err = fmt.Errorf("%v: %s is declared dead for its silence of %v", w.now, e.Of.ID, silent)
	}
	if d, ok := ParseDeath(e.Reason()); !ok || d.Cause != e.Death.Cause || d.Detect != e.Death.Detect.Truncate(time.Millisecond) || d.Detect < 0 {
		w.err = fmt.Errorf("%v: %s: the reason %q tells %+v, want %+v", w.now, e.Of.ID, e.Reason(), d, e.Death)
	}
	if w.watch[w.leader].Refutes(wire.GMM, w.now, e) {
		return // as the shell does
	}
	w.after(w.delay(), func() {
		if w.rng.Float64() >= w.loss {
			if changed, _ := w.table.DeclareDead(e.Of.ID, e.Of.Epoch); changed {
				w.dead[e.Of.ID] = w.now
				w.causes[e.Death.Cause]++
			}
		}
	})
}

func newProberWorld(seed uint64, components int) *proberWorld {
	w := &proberWorld{
		rng: rand.New(rand.NewPCG(seed, 9)), table: NewTable(wire.RoleMemory), crashed: map[wire.NodeID]time.Duration{},
		frozen: map[wire.NodeID]int{}, cut: map[[2]string]bool{}, reached: map[string]bool{}, dead: map[wire.NodeID]time.Duration{},
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

// TestNobodyDiesWhomAWitnessReaches, under partitions, loss, crashes, stops, connections that end and changes of leader; and once the
// faults end, who crashed is declared dead within a bounded number of leases, and nobody else. Whoever is declared dead because nobody
// listens there has crashed.
func TestNobodyDiesWhomAWitnessReaches(t *testing.T) {
	deaths, causes := 0, [3]int{}
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
			at(func() { w.crash(id) })
		}
		for range rapid.IntRange(0, 4).Draw(t, "stops") {
			id := members[w.rng.IntN(len(members))].ID
			at(func() {
				w.frozen[id]++
				w.after(time.Duration(w.rng.IntN(int(3*testLease))), func() { w.frozen[id]-- })
			})
		}
		for range rapid.IntRange(0, 20).Draw(t, "ends of connections") {
			id := members[w.rng.IntN(len(members))].ID
			at(func() { w.hangUp(id) })
		}
		w.run(troubled + 3*testLease) // until whoever was stopped goes on
		w.loss, w.cut = 0, map[[2]string]bool{}
		before := len(w.dead)
		w.run(w.now + 4*testLease + 2*testPatience)
		if w.err != nil {
			t.Fatal(w.err)
		}
		deaths += len(w.dead)
		for i, n := range w.causes {
			causes[i] += n
		}
		late := 0
		for _, m := range members {
			_, dead := w.dead[m.ID]
			if !w.lives(m.ID) && !dead {
				t.Fatalf("%s crashed at %v and is not declared dead at %v", m.ID, w.crashed[m.ID], w.now)
			}
			if dead && w.lives(m.ID) && w.dead[m.ID] > troubled+3*testLease+testPatience+time.Second {
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
	if deaths == 0 || causes[CauseSilence] == 0 || causes[CauseRefused] == 0 {
		t.Errorf("%d deaths, by cause %v: the test sees nothing", deaths, causes)
	}
}

// TestANewLeaderWaits: nobody is suspected within a lease of a change of leader.
func TestANewLeaderWaits(t *testing.T) {
	w := newProberWorld(1, 3)
	w.frozen["m1"] = 1
	w.run(testLease - testTick)
	w.lead(1)
	w.run(w.now + testLease - testTick)
	if len(w.prober.open) != 0 || len(w.dead) != 0 {
		t.Fatalf("%d suspected, %v dead within the first lease of a leader", len(w.prober.open), w.dead)
	}
	w.run(w.now + testLease + testPatience)
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
	silent, others := []Doubt{{Member: m, Silent: true}}, []Witness{{ID: "m1"}, {ID: "m2"}}
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

// TestHowSoon: without other faults a component that ends is declared dead within the ways of a few messages, and one that is stopped
// within two seconds, of which the way of a message takes up to 0.1 s.
func TestHowSoon(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newProberWorld(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 8).Draw(t, "components"))
		members := w.table.Members()
		id := members[w.rng.IntN(len(members))].ID
		at := 2*testLease + time.Duration(w.rng.IntN(int(testLease)))
		crash := rapid.Bool().Draw(t, "crash")
		w.after(at, func() {
			if crash {
				w.crash(id)
			} else {
				w.frozen[id] = 1
			}
		})
		w.run(at + 4*testLease)
		died, dead := w.dead[id]
		within := 4 * 200 * time.Millisecond // the end of the connection, a question with its probe, the answer, a command
		if !crash {
			within = 200*time.Millisecond + testLease + testPatience + 200*time.Millisecond
		}
		if !dead || died-at > within || len(w.dead) != 1 || w.err != nil {
			t.Fatalf("crash %t: dead %v, %v after it ended at %v, want %s alone within %v (%v)", crash, w.dead, died-at, at, id, within, w.err)
		}
	})
}

// TestWhoIsRefused: of those who are asked one alone that is refused does not decide while others may answer, two do, and one who reaches
// it outweighs both.
func TestWhoIsRefused(t *testing.T) {
	m := memory("m0")
	m.Epoch = 1
	others := []Witness{{ID: "m1"}, {ID: "m2"}, {ID: "m3"}}
	type said = ProbeAnswer
	for name, c := range map[string]struct {
		answers []said
		want    ProbeKind
	}{
		"two":                   {[]said{{By: "m1", Refused: true}, {By: "", Refused: true}}, Declare},
		"one of many":           {[]said{{By: "m1", Refused: true}}, 0},
		"one, the others shrug": {[]said{{By: "m1", Refused: true}, {}, {By: "m2"}, {By: "m3"}}, Declare},
		"one reaches it":        {[]said{{By: "m1", Alive: true}, {Refused: true}, {By: "m2", Refused: true}}, 0},
		"nobody reaches it":     {[]said{{}, {By: "m1"}, {By: "m2"}, {By: "m3"}}, 0}, // it is not silent yet
	} {
		p := NewProber(testLease, testPatience)
		var got ProbeKind
		for _, e := range p.Tick(1, []Doubt{{Member: m, Since: 1, Broken: true}}, others, nil) {
			if e.Kind != Ask {
				t.Fatalf("%s: %v at first", name, e.Kind)
			}
		}
		for i, a := range c.answers {
			a.Of, a.Round, a.Answered = "m0", 1, true
			for _, e := range p.Answered(time.Duration(i+2), a, nil) {
				got = e.Kind
			}
		}
		if got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

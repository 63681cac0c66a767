package admission_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/admission/audit"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

// fataler is a *testing.T or a *rapid.T.
type fataler interface {
	Fatal(...any)
	Fatalf(string, ...any)
}

// world is the three managers' states, a coordinator that may die, and a network that loses, repeats and reorders. There
// is no deduplication: every copy of a message is a command of its own, which is worse than what the real log does.
type world struct {
	t       fataler
	gpm     *gpm.State
	gmm     *gmm.State
	gsm     *gsm.State
	tapes   tapedtest.Tapes
	core    *admission.Taped
	asks    map[wire.Manager]*admission.TapedInquirer
	now     time.Duration
	life    int // of the coordinator
	seq     uint64
	flight  []message
	specs   map[wire.PID]admission.VNodeSpec
	last    wire.PID // the last process that was tried
	answers map[wire.PID]admission.Answer
}

// message is an effect on its way, or the answer to it.
type message struct {
	life  int
	e     admission.Effect
	vote  *admission.Vote
	out   *admission.Outcome
	asker wire.Manager // of an inquiry
}

const grace = 10

func newWorld(t fataler) *world {
	w := &world{
		t: t, gpm: gpm.New(), gmm: gmm.New(), gsm: gsm.New(), life: 1, specs: map[wire.PID]admission.VNodeSpec{},
		answers: map[wire.PID]admission.Answer{}, asks: map[wire.Manager]*admission.TapedInquirer{},
	}
	w.coordinator()
	for _, g := range []wire.Manager{wire.GMM, wire.GSM} {
		h := admission.InquirerHead{Of: g, Patience: grace}
		w.asks[g] = &admission.TapedInquirer{Inquirer: h.New()}
		w.asks[g].Record(&w.tapes, w.asks[g].Inquirer, admission.InquirerTapeKind, &h)
	}
	for i := range 2 {
		id := fmt.Sprint(i + 1)
		w.applyGPM(gpm.Request{Op: gpm.OpRegister, Member: wire.Member{ID: wire.NodeID("p" + id), Role: wire.RoleCompute, Addr: "inproc:p", Capacity: wire.Capacity{Cores: 2, ExCacheLines: 100}}})
		w.applyGMM(gmm.Request{Op: gmm.OpRegister, Member: wire.Member{ID: wire.NodeID("m" + id), Role: wire.RoleMemory, Addr: "inproc:m", Capacity: wire.Capacity{MemoryBytes: 8 << 12, RegionBytes: 1 << 12}}})
		w.applyGSM(gsm.Request{Op: gsm.OpRegister, Member: wire.Member{ID: wire.NodeID("s" + id), Role: wire.RoleStorage, Addr: "inproc:s", Capacity: wire.Capacity{StorageBytes: 8 << 12}}})
	}
	return w
}

func live(ms []wire.Member) []membership.Live {
	var out []membership.Live
	for _, m := range ms {
		out = append(out, membership.Live{ID: m.ID, Epoch: m.Epoch, Addr: m.Addr})
	}
	return out
}

func (w *world) stamp(policy string, ms []wire.Member) membership.Stamp {
	return membership.Stamp{NowMS: int64(w.now), ClockMS: int64(w.now), Policy: policy, Live: live(ms)}
}

func (w *world) next() uint64 { w.seq++; return w.seq }

func (w *world) applyGPM(q gpm.Request) gpm.Result {
	return w.gpm.Apply(gpm.Command{Client: 1, Seq: w.next(), Stamp: w.stamp("fewest_threads", w.gpm.Members()), Coordinator: uint64(w.life), Request: q})
}

func (w *world) applyGMM(q gmm.Request) gmm.Result {
	return w.gmm.Apply(gmm.Command{Client: 1, Seq: w.next(), Stamp: w.stamp("least_loaded", w.gmm.Members()), Overcommit: 1000, Request: q})
}

func (w *world) applyGSM(q gsm.Request) gsm.Result {
	return w.gsm.Apply(gsm.Command{
		Client: 1, Seq: w.next(), Stamp: w.stamp("most_free", w.gsm.Members()), CachePolicy: "fewest_volumes", Caches: live(w.gmm.Members()), Request: q,
	})
}

// perform puts effects on the network and keeps answers.
func (w *world) perform(out []admission.Effect) {
	for _, e := range out {
		if e.To != 0 {
			w.flight = append(w.flight, message{life: w.life, e: e})
			continue
		}
		if was, ok := w.answers[e.Answer.PID]; ok && !was.Gone && e.Answer.Gone && e.Answer.Kind != wire.KindNone && !strings.HasPrefix(e.Answer.Text, "preempted by") {
			w.t.Fatalf("vNode %d was admitted and then refused: %s", e.Answer.PID, e.Answer.Text)
		}
		w.answers[e.Answer.PID] = e.Answer
	}
}

func (w *world) open(pid wire.PID) (admission.Open, bool) {
	ps := w.gpm.Processes(pid)
	if len(ps) == 0 {
		return admission.Open{}, false
	}
	return w.gpm.Transaction(ps[0]), true
}

func (w *world) begin(pid wire.PID) {
	if o, ok := w.open(pid); ok && o.Phase != admission.Running {
		out, ok := w.core.Begin(o, w.specs[pid], nil)
		if !ok {
			w.t.Fatal("too many")
		}
		w.perform(out)
	}
}

func (w *world) admit(spec admission.VNodeSpec, drive bool) {
	res := w.applyGPM(gpm.Request{Op: gpm.OpAdmit, Spec: spec})
	if res.Kind != wire.KindNone || res.VNode.PID == 0 { // refused, or it waits
		return
	}
	w.specs[res.VNode.PID], w.last = spec, res.VNode.PID
	if drive { // else the coordinator died between the intent and its first step
		w.begin(res.VNode.PID)
	}
}

// deliver carries out a request, or hands an answer to its coordinator if that still lives.
func (w *world) deliver(m message) {
	switch {
	case m.vote != nil:
		if m.life == w.life {
			w.perform(w.core.Voted(m.e.To, m.e.Step.Verb, *m.vote, nil))
		}
	case m.out != nil && m.asker != 0:
		if s, ok := admission.Resolve(*m.out); ok {
			w.flight = append(w.flight, message{e: admission.Effect{To: m.asker, Step: s}})
		}
	case m.out != nil:
		if m.life == w.life {
			w.perform(w.core.Settled(*m.out, nil))
		}
	case m.e.To == wire.GPM:
		m.out = &w.applyGPM(gpm.Request{Op: gpm.OpChanges, Changes: []admission.Change{m.e.Change}}).Outcomes[0]
		w.flight = append(w.flight, m)
	case m.e.To == wire.GMM:
		m.vote = &w.applyGMM(gmm.Request{Op: gmm.OpSteps, Steps: []admission.Step{m.e.Step}}).Votes[0]
		w.flight = append(w.flight, m)
	case m.e.To == wire.GSM:
		m.vote = &w.applyGSM(gsm.Request{Op: gsm.OpSteps, Steps: []admission.Step{m.e.Step}}).Votes[0]
		w.flight = append(w.flight, m)
	}
}

// look is what leaders do now and then.
func (w *world) look() {
	w.queue()
	w.perform(w.core.Found(w.now, w.gpm.Open(gpm.MaxProcesses), nil))
	for _, g := range []wire.Manager{wire.GMM, wire.GSM} {
		prepared := w.gmm.Prepared()
		if g == wire.GSM {
			prepared = w.gsm.Prepared()
		}
		for _, m := range w.asks[g].Due(w.now, prepared) {
			w.flight = append(w.flight, message{e: admission.Effect{To: wire.GPM, Change: m}, asker: g})
		}
	}
}

// queue is what the leader of GPM does for those that wait.
func (w *world) queue() {
	if w.gpm.Due(int64(w.now)) {
		for _, pid := range w.applyGPM(gpm.Request{Op: gpm.OpQueue}).Tried {
			spec, ok := w.gpm.Wanted(pid)
			if !ok {
				w.t.Fatalf("process %d was begun for nobody", pid)
			}
			w.specs[pid], w.last = spec, pid
			w.begin(pid)
		}
	}
	if first, ok := w.gpm.Preempting(); ok {
		fits := func(without []wire.PID) bool { return w.fits(first.Spec, without) }
		if !fits(nil) {
			victims := admission.Victims(first.Spec.Priority, w.gpm.Victims(), fits)
			for _, pid := range victims {
				if p := w.gpm.Processes(pid)[0]; p.Priority >= first.Spec.Priority || p.Phase != admission.Running {
					w.t.Fatalf("%+v is ended for %+v", p, first)
				}
			}
			if res := w.applyGPM(gpm.Request{Op: gpm.OpPreempt, PID: first.Ticket, Victims: victims}); res.Kind != wire.KindNone {
				w.t.Fatal(res.Err())
			}
		}
	}
	for _, e := range w.gpm.Evictions() {
		w.flight = append(w.flight, message{life: w.life, e: admission.Effect{To: wire.GPM, Change: admission.Change{Verb: admission.Evicted, PID: e.PID}}})
	}
}

func (w *world) fits(spec admission.VNodeSpec, without []wire.PID) bool {
	step := admission.Step{Verb: admission.Prepare, PID: 1 << 40, MemoryBytes: spec.MemoryBytes, Volumes: spec.Volumes}
	gmmStamp, gsmStamp := w.stamp("least_loaded", w.gmm.Members()), w.stamp("most_free", w.gsm.Members())
	return w.gpm.Fits(spec, without, gpm.Command{Stamp: w.stamp("fewest_threads", w.gpm.Members())}) == nil &&
		w.gmm.Fits(step, without, gmm.Command{Stamp: gmmStamp, Overcommit: 1000}) == nil &&
		(len(spec.Volumes) == 0 || w.gsm.Fits(step, without, gsm.Command{Stamp: gsmStamp, CachePolicy: "fewest_volumes", Caches: live(w.gmm.Members())}) == nil)
}

// lose tells the coordinator that a message of its own got no answer in time.
func (w *world) lose(m message) {
	if m.life != w.life || m.asker != 0 {
		return
	}
	pid := m.e.Step.PID
	if m.e.To == wire.GPM {
		pid = m.e.Change.PID
	}
	w.perform(w.core.Lost(m.e.To, pid, errors.New("lost"), nil))
}

// coordinator makes a coordinator, which is recorded.
func (w *world) coordinator() {
	h := admission.TapeHead{ID: uint64(w.life), Grace: grace}
	w.core = &admission.Taped{Coordinator: h.New()}
	w.core.Record(&w.tapes, w.core.Coordinator, admission.TapeKind, &h)
}

// remake makes a core by the head of its tape.
func remake(kind string, head []byte) (taped.Core, error) {
	if kind == admission.InquirerTapeKind {
		h, err := taped.Read[admission.InquirerHead](head)
		return h.New(), err
	}
	h, err := taped.Read[admission.TapeHead](head)
	return h.New(), err
}

func (w *world) die() {
	w.life++
	w.coordinator()
}

func name(e admission.Effect) string {
	if e.To == wire.GPM {
		return e.Change.Verb.String()
	}
	return e.Step.Verb.String() + " " + e.To.String()
}

func (w *world) take(i int) message {
	m := w.flight[i]
	w.flight = append(w.flight[:i:i], w.flight[i+1:]...)
	return m
}

func (w *world) check() {
	for _, err := range []error{w.gpm.CheckInvariants(), w.gmm.CheckInvariants(), w.gsm.CheckInvariants(), w.core.CheckInvariants(), w.gmm.CheckCapacity(1000), w.gsm.CheckCapacity()} {
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// settle lets everything heal: no more deaths and losses. It must come to rest within a bound.
func (w *world) settle() {
	for range 200 {
		w.now += grace
		w.look()
		for len(w.flight) > 0 {
			w.deliver(w.take(0))
			w.check()
		}
		if w.core.Driven() == 0 && len(w.gpm.Open(1)) == 0 && len(w.gpm.Queue(0)) == 0 && len(w.gmm.Prepared()) == 0 && len(w.gsm.Prepared()) == 0 {
			return
		}
	}
	w.t.Fatalf("does not come to rest: %d driven, open %+v, prepared %v and %v", w.core.Driven(), w.gpm.Open(9), w.gmm.Prepared(), w.gsm.Prepared())
}

func (w *world) books() audit.Books {
	var r gmm.Ratio
	answer, err := w.gmm.Query(membership.Query{Kind: gmm.QueryRatio})
	if err == nil {
		err = membership.DecodeAnswer(answer, &r)
	}
	if err != nil {
		panic(err) // a state answers its own queries
	}
	return audit.Books{Overcommit: r.Overcommit, Processes: w.gpm.Processes(0), Homes: w.gmm.Processes(0), Volumes: w.gsm.Volumes(0), Compute: w.gpm.Members(), Memory: w.gmm.Members(), Storage: w.gsm.Members()}
}

// TestEndsInCommitOrAbort: whatever is lost, repeated and reordered, and whenever the coordinator dies, every vNode is in
// the end there with all its parts or gone with all of them, what was answered is true, and the books balance.
func TestEndsInCommitOrAbort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(1, 300).Draw(t, "events") {
			w.now++
			switch n := rapid.IntRange(0, 49).Draw(t, "event"); {
			case n <= 2:
				spec := admission.VNodeSpec{Name: "v", Threads: 1, ExCacheLines: rapid.Uint64Range(1, 80).Draw(t, "lines"), MemoryBytes: rapid.Uint64Range(0, 10<<12).Draw(t, "memory")}
				for range rapid.IntRange(0, 3).Draw(t, "volumes") {
					spec.Volumes = append(spec.Volumes, admission.VolumeSpec{Name: "d", SizeBytes: rapid.Uint64Range(1, 4<<12).Draw(t, "size")})
				}
				spec.IfFull = admission.IfFull(rapid.IntRange(0, 2).Draw(t, "if full"))
				spec.Priority, spec.DeadlineMS = uint8(rapid.IntRange(1, 3).Draw(t, "priority")), uint32(rapid.IntRange(1, 200).Draw(t, "deadline"))
				w.admit(spec, rapid.IntRange(0, 9).Draw(t, "drive") > 0)
			case n == 3 && len(w.specs) > 0: // released, or its client asks again
				pid := wire.PID(rapid.IntRange(1, int(w.last)).Draw(t, "pid"))
				if rapid.Bool().Draw(t, "release") {
					w.applyGPM(gpm.Request{Op: gpm.OpRelease, PID: pid})
				}
				w.begin(pid)
			case n == 4:
				w.die()
			case n == 5:
				w.now += grace
				w.look()
			case n == 9: // all is quiet for a while
				for len(w.flight) > 0 {
					w.deliver(w.take(0))
				}
				w.look()
			case len(w.flight) == 0:
			case n == 6:
				w.lose(w.take(rapid.IntRange(0, len(w.flight)-1).Draw(t, "lost")))
			case n == 7: // its answer is late or lost, but it is on its way still
				w.lose(w.flight[rapid.IntRange(0, len(w.flight)-1).Draw(t, "late")])
			case n == 8: // twice
				w.flight = append(w.flight, w.flight[rapid.IntRange(0, len(w.flight)-1).Draw(t, "copied")])
			default:
				w.deliver(w.take(rapid.IntRange(0, len(w.flight)-1).Draw(t, "delivered")))
			}
			w.check()
		}
		w.settle()
		if diff := audit.Compare(w.books()); len(diff) > 0 {
			t.Fatalf("the books differ: %+v", diff)
		}
		for pid, a := range w.answers {
			ps := w.gpm.Processes(pid)
			if a.Gone && len(ps) > 0 {
				t.Fatalf("vNode %d was answered as gone (%s) and is there: %+v", pid, a.Text, ps)
			}
			if !a.Gone && len(ps) > 0 && (ps[0].Home != a.Placement.Home || len(ps[0].Volumes) != len(a.Placement.Volumes)) {
				t.Fatalf("vNode %d was answered with %+v and is %+v", pid, a.Placement, ps[0])
			}
		}
		// Nothing leaks: what is released gives back everything.
		for _, p := range w.gpm.Processes(0) {
			w.applyGPM(gpm.Request{Op: gpm.OpRelease, PID: p.PID})
		}
		w.settle()
		if a, b, c := len(w.gpm.Processes(0)), len(w.gmm.Processes(0)), len(w.gsm.Volumes(0)); a+b+c > 0 {
			t.Fatalf("%d processes, %d homes and %d volumes are left", a, b, c)
		}
		w.tapes.Again(t, rand.New(rand.NewPCG(w.seq, 1)), remake)
	})
}

// TestDiesAtEveryStep: one vNode with all parts, all messages in order; the coordinator dies after each number of them. The
// test names what was on its way when it died, and demands that this was everything.
func TestDiesAtEveryStep(t *testing.T) {
	fits := admission.VNodeSpec{Name: "v", Threads: 1, ExCacheLines: 10, MemoryBytes: 2 << 12, Volumes: []admission.VolumeSpec{{Name: "d", SizeBytes: 1}}}
	overfull := fits
	overfull.Volumes = []admission.VolumeSpec{{Name: "d", SizeBytes: 1 << 40}}
	died := map[string]bool{}
	for _, c := range []struct {
		name    string
		spec    admission.VNodeSpec
		release bool
		there   bool // in the end, if it does not die
	}{{"admission", fits, false, true}, {"refusal", overfull, false, false}, {"release", fits, true, false}} {
		for messages := range 15 { // 7 requests at most and their answers
			w := newWorld(t)
			w.admit(c.spec, true)
			if c.release {
				w.settle()
				w.applyGPM(gpm.Request{Op: gpm.OpRelease, PID: 1})
				w.begin(1)
			}
			for range messages {
				if len(w.flight) > 0 {
					w.deliver(w.take(0))
				}
			}
			for _, m := range w.flight {
				when := "before "
				if m.vote != nil || m.out != nil {
					when = "after "
				}
				died[when+name(m.e)] = true
			}
			a, answered := w.answers[1]
			ended := len(w.flight) == 0
			w.die()
			w.settle()
			if diff := audit.Compare(w.books()); len(diff) > 0 {
				t.Errorf("%s, dead after %d messages: the books differ: %+v", c.name, messages, diff)
			}
			there := len(w.gpm.Processes(1)) == 1
			if ended && there != c.there || !c.there && there || !c.release && answered && a.Gone == there {
				t.Errorf("%s, dead after %d messages: answered %+v, there %v", c.name, messages, a, there)
			}
		}
	}
	for _, when := range []string{"before ", "after "} {
		for _, step := range []string{"prepare gmm", "prepare gsm", "decide commit", "decide abort", "commit gmm", "commit gsm", "end commit", "free gmm", "free gsm", "end free"} {
			if !died[when+step] {
				t.Errorf("the coordinator never died %s%s: the test does not test it", when, step)
			}
		}
	}
}

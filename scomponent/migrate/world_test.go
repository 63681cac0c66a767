package migrate

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

const worldBlocks = 12

// msg is a request of the giver on its way, or its answer on the way back.
type msg struct {
	life int // of the giver: answers to a dead one are lost
	e    Effect
	data map[uint64]int // of a Copy
	back bool
	err  error
}

// disk is what survives a crash of a component.
type disk struct {
	files bool
	data  [worldBlocks]int
	epoch wire.Epoch
	note  Mark // of the giver
	in    bool // of the taker: complete and not served
}

// world is a giver, a taker, a buffer cache and a network that loses, doubles and reorders. Blocks hold one number each.
type world struct {
	t     interface{ Fatalf(string, ...any) }
	r     *rand.Rand
	now   time.Duration
	req   wire.MoveReq
	calm  bool // nothing goes wrong any more
	peace int  // steps from one trouble to the next, roughly
	life  int
	net   []msg
	local []Effect // steps of the giver that touch nobody else

	seed   uint64
	tapes  tapedtest.Tapes
	g      *TapedGiver // nil: the component is down
	gd     disk
	frozen bool

	tk   *TapedTaker // nil: nothing comes
	td   disk
	tUp  bool
	half [worldBlocks]int // what came and is not complete

	viaEpoch wire.Epoch
	viaAt    wire.NodeID
	refuses  bool // the buffer cache refuses to switch

	acked   [worldBlocks]int
	version int
	crashes int
	trace   []string
}

func (w *world) logf(f string, a ...any) { w.trace = append(w.trace, fmt.Sprintf(f, a...)) }

func (w *world) failf(f string, a ...any) {
	for _, l := range w.trace[max(0, len(w.trace)-60):] {
		fmt.Println(l)
	}
	w.t.Fatalf(f, a...)
}

func (w *world) do(out []Effect) {
	for _, e := range out {
		w.logf("%v giver: %v %d round %d %v", w.now, e.Step, e.ID, e.Round, e.Mark)
		switch e.Step {
		case Ended:
		case Freeze, Note, Retire, Thaw, Fail:
			w.local = append(w.local, e)
		default:
			m := msg{life: w.life, e: e}
			if e.Step == Copy {
				m.data = map[uint64]int{}
				for _, b := range e.Blocks {
					m.data[b] = w.gd.data[b]
				}
			}
			w.net = append(w.net, m)
		}
	}
	if w.g != nil {
		if err := w.g.CheckInvariants(); err != nil {
			w.failf("%v", err)
		}
	}
}

func (w *world) done(id uint64, err error) {
	w.do(w.g.Done(w.now, id, err, nil))
}

// perform does one local step of the giver.
func (w *world) perform() {
	e := w.local[0]
	w.local = w.local[1:]
	switch e.Step {
	case Freeze:
		w.frozen = true
	case Note:
		if !w.calm && w.r.IntN(20) == 0 {
			w.done(e.ID, wire.ErrInternal)
			return
		}
		w.gd.note = e.Mark
	case Retire:
		w.gd.files = false
	case Thaw:
		w.gd.epoch = max(w.gd.epoch, e.Epoch)
		if w.gd.note = 0; e.Epoch == w.req.UndoEpoch {
			w.gd.note = TakenBack
		}
		w.frozen = false
	case Fail:
		w.failf("the move was lost: %+v", w.g.Status(w.now))
	}
	if w.r.IntN(8) == 0 && !w.calm {
		w.crashGiver() // between the step and its report
		return
	}
	w.done(e.ID, nil)
}

func (w *world) crashGiver() {
	w.logf("%v the giver dies, note %d", w.now, w.gd.note)
	w.g, w.local, w.crashes = nil, nil, w.crashes+1
	w.life++
}

func (w *world) startGiver() {
	w.logf("%v the giver starts, note %d", w.now, w.gd.note)
	w.frozen = false
	switch w.gd.note {
	case 0:
		w.g = w.giver(GiverHead{Options: DefaultOptions(), Req: w.req, Blocks: worldBlocks}) // no move: it serves
		w.g.Refuse(wire.ErrNotFound)
		w.do(w.g.Start(w.now, nil))
	default:
		w.frozen = w.gd.note != TakenBack
		w.g = w.giver(GiverHead{Options: testOptions(), Req: w.req, Resumed: w.gd.note})
		w.do(w.g.Start(w.now, nil))
	}
}

func (w *world) crashTaker() {
	w.logf("%v the taker dies", w.now)
	w.tUp, w.crashes = false, w.crashes+1
}

func (w *world) startTaker() {
	w.logf("%v the taker starts", w.now)
	w.tUp, w.tk = true, nil
	if w.td.in {
		w.tk = w.taker(Kept(wire.VolumeMoveRef{Move: w.req.Move, Volume: 1, Epoch: w.req.Epoch}))
	}
}

// serve executes a request at the taker or the buffer cache.
func (w *world) serve(m msg) error {
	e := m.e
	if e.Step == Switch || e.Step == Recall {
		if w.refuses && e.Step == Switch && w.life == 0 { // a giver that started again goes on in any case
			return wire.ErrBadRequest
		}
		to, epoch := w.req.To, w.req.Epoch
		if e.Step == Recall {
			to, epoch = "s1", w.req.UndoEpoch
		}
		if epoch < w.viaEpoch {
			return wire.ErrStale
		}
		w.viaAt, w.viaEpoch = to, epoch
		return nil
	}
	if !w.tUp {
		return wire.ErrUnavailable
	}
	ref := wire.VolumeMoveRef{Move: w.req.Move, Volume: 1, Epoch: w.req.Epoch}
	switch e.Step {
	case Open:
		if w.tk == nil && w.td.files {
			return wire.ErrExists
		}
		if w.tk == nil {
			w.tk, w.half = w.taker(Take(wire.VolumeCopyOpenReq{Move: w.req.Move, Volume: 1, Epoch: w.req.Epoch})), [worldBlocks]int{}
		}
		return nil
	case Serve:
		if w.tk == nil {
			if w.td.files && w.td.epoch >= ref.Epoch {
				return nil
			}
			return wire.ErrNotFound
		}
		if err := w.tk.Serve(ref); err != nil {
			return err
		}
		w.td.in, w.tk = false, nil
		w.logf("%v the taker serves", w.now)
		return nil
	case Drop:
		if w.tk != nil {
			w.tk, w.td = nil, disk{}
			w.logf("%v the taker drops", w.now)
		}
		return nil
	}
	if w.tk == nil {
		return wire.ErrNotFound
	}
	switch e.Step {
	case Copy:
		if err := w.tk.Copy(w.req.Move, e.Round); err != nil {
			return err
		}
		for b, v := range m.data { // distinct blocks: the order does not matter
			w.half[b] = v
		}
	case Sync, Finish:
		again, err := w.tk.End(w.req.Move, e.Round, e.Step == Finish)
		if err != nil || again {
			return err
		}
		if e.Step == Finish {
			w.td = disk{files: true, data: w.half, epoch: w.req.Epoch, in: true}
			w.tk.Ended()
		}
	}
	return nil
}

func (w *world) giverServes() bool { return w.g != nil && w.gd.files && !w.frozen }
func (w *world) takerServes() bool { return w.tUp && w.td.files && !w.td.in && w.tk == nil }

// use writes a block and reads another where the buffer cache thinks that the volume is.
func (w *world) use() {
	b, c := w.r.IntN(worldBlocks), w.r.IntN(worldBlocks)
	d := &w.gd
	if w.viaAt == "s1" {
		if !w.giverServes() || w.viaEpoch < w.gd.epoch {
			return
		}
	} else {
		if d = &w.td; !w.takerServes() {
			return
		}
	}
	if d.data[c] != w.acked[c] {
		w.failf("%v: block %d at %s is %d, %d was acknowledged", w.now, c, w.viaAt, d.data[c], w.acked[c])
	}
	w.version++
	if d == &w.gd {
		w.g.Wrote(uint64(b))
	}
	d.data[b], w.acked[b] = w.version, w.version
}

func testOptions() Options {
	o := DefaultOptions()
	o.Window, o.BatchBlocks, o.SwitchBlocks, o.MaxRounds = 3, 2, 1, 4
	return o
}

// step does one thing that may happen next.
func (w *world) step() {
	w.now += time.Duration(w.r.IntN(40)) * time.Millisecond
	if !w.calm {
		switch w.r.IntN(w.peace) {
		case 0:
			if w.g != nil && w.crashes < 6 {
				w.crashGiver()
			}
		case 1:
			if w.tUp && w.crashes < 6 {
				w.crashTaker()
			}
		case 2:
			w.refuses = !w.refuses
		case 3:
			if w.tk != nil && w.tUp && !w.tk.Complete() && w.r.IntN(4) == 0 { // nothing came for too long
				w.tk = nil
			}
		case 4:
			w.now += time.Duration(w.r.IntN(9)) * time.Second
		}
	}
	if w.g == nil && (w.calm || w.r.IntN(10) == 0) {
		w.startGiver()
	}
	if !w.tUp && (w.calm || w.r.IntN(10) == 0) {
		w.startTaker()
	}
	w.use()
	if len(w.local) > 0 && w.r.IntN(2) == 0 {
		w.perform()
	}
	if len(w.net) == 0 {
		return
	}
	i := w.r.IntN(len(w.net))
	m := w.net[i]
	if keep := !w.calm && w.r.IntN(6) == 0; !keep { // else it comes again later
		w.net = append(w.net[:i], w.net[i+1:]...)
	}
	lost := !w.calm && w.r.IntN(8) == 0
	switch {
	case m.back:
		if m.life == w.life && w.g != nil {
			if lost {
				m.err = wire.ErrTimeout
			}
			w.done(m.e.ID, m.err)
		}
	case lost:
		if m.life == w.life && w.g != nil {
			w.done(m.e.ID, wire.ErrUnavailable)
		}
	default:
		err := w.serve(m)
		w.logf("%v %v %d → %v", w.now, m.e.Step, m.e.ID, err)
		w.net = append(w.net, msg{life: m.life, e: m.e, back: true, err: err})
	}
	if w.giverServes() && w.takerServes() {
		w.failf("%v: both serve", w.now)
	}
}

func runWorld(t interface{ Fatalf(string, ...any) }, seed uint64) wire.MoveState {
	w := &world{t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 1)), now: 1, tUp: true, viaAt: "s1", viaEpoch: 1,
		req: wire.MoveReq{Move: wire.MoveID{Manager: wire.GSM, No: 1}, Kind: wire.MoveVolume, Volume: 1, OldEpoch: 1, Epoch: 2, UndoEpoch: 3, To: "s2", Via: "m1", TimeoutMS: 600_000}}
	w.peace = 20 << w.r.IntN(6)
	w.gd = disk{files: true, epoch: 1}
	w.g = w.giver(GiverHead{Options: testOptions(), Req: w.req, Blocks: worldBlocks})
	for b := range uint64(worldBlocks) {
		if w.r.IntN(3) > 0 {
			w.version++
			w.gd.data[b], w.acked[b] = w.version, w.version
			w.g.Holds(b)
		}
	}
	w.do(w.g.Start(w.now, nil))
	for range 150 + w.r.IntN(200) {
		w.step()
	}
	w.calm, w.refuses = true, false
	for range 2000 {
		if w.step(); w.g != nil && w.g.Over() && len(w.net) == 0 && len(w.local) == 0 {
			break
		}
	}
	if w.g == nil || !w.g.Over() {
		w.failf("the move does not end: %+v", w.g.Status(w.now))
	}
	s := w.g.Status(w.now)
	if w.giverServes() == w.takerServes() {
		w.failf("the move is %v, the giver serves: %v, the taker: %v", s.State, w.giverServes(), w.takerServes())
	}
	d := &w.gd
	if w.takerServes() {
		d = &w.td
	}
	if d.data != w.acked {
		w.failf("%v, the blocks are %v, acknowledged were %v", s.State, d.data, w.acked)
	}
	if w.takerServes() && (w.viaAt != "s2" || w.viaEpoch != 2) || w.giverServes() && w.viaAt != "s1" {
		w.failf("%v, and the buffer cache looks for the volume at %s under epoch %d", s.State, w.viaAt, w.viaEpoch)
	}
	w.tapes.Again(t, w.r, remake)
	return s.State
}

// record has one world in sixteen recorded.
func (w *world) record() bool { return w.seed%16 == 0 }

func (w *world) giver(h GiverHead) *TapedGiver {
	g := &TapedGiver{Giver: h.Make()}
	if w.record() {
		g.Record(&w.tapes, g.Giver, GiverTapeKind, &h)
	}
	return g
}

func (w *world) taker(k *Taker) *TapedTaker {
	t, h := &TapedTaker{Taker: k}, k.Head("s2")
	if w.record() {
		t.Record(&w.tapes, k, TakerTapeKind, &h)
	}
	return t
}

// remake makes a core by the head of its tape.
func remake(kind string, head []byte) (taped.Core, error) {
	if kind == TakerTapeKind {
		h, err := taped.Read[TakerHead](head)
		return h.New(), err
	}
	h, err := taped.Read[GiverHead](head)
	if err != nil {
		return nil, err
	}
	return h.New()
}

// TestWorldsWithCrashes moves a volume in random worlds where everything that may go wrong does, at every step: nothing that was
// acknowledged is lost, never do two serve, and when the trouble is over one does.
func TestWorldsWithCrashes(t *testing.T) {
	ends := map[wire.MoveState]int{}
	for seed := range uint64(3000) {
		ends[runWorld(seeded{t, seed}, seed)]++
	}
	if ends[wire.MoveDone] < 100 || ends[wire.MoveUndone] < 100 {
		t.Errorf("ends %v: the worlds try too little", ends)
	}
}

// seeded names the seed of a failure.
type seeded struct {
	t    *testing.T
	seed uint64
}

func (s seeded) Fatalf(f string, a ...any) {
	s.t.Helper()
	s.t.Fatalf("seed %d: "+f, append([]any{s.seed}, a...)...)
}

func TestSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(1, 3*chunkBlocks).Draw(t, "blocks")
		s, want := newSet(n), map[uint64]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "add") {
				b := rapid.Uint64Range(0, n-1).Draw(t, "block")
				s.add(b)
				want[b] = true
				continue
			}
			limit := rapid.IntRange(1, 8).Draw(t, "limit")
			got := s.take(limit)
			if len(got) != min(limit, len(want)) {
				t.Fatalf("%d blocks taken of %d with limit %d", len(got), len(want), limit)
			}
			for i, b := range got {
				if !want[b] || i > 0 && b <= got[i-1] {
					t.Fatalf("took %v", got)
				}
				delete(want, b)
			}
		}
		if s.n != len(want) || s.count() != len(want) {
			t.Fatalf("%d and %d blocks, want %d", s.n, s.count(), len(want))
		}
	})
}

func TestNotes(t *testing.T) {
	in := Out{Mark: Giving, Req: wire.MoveReq{Move: wire.MoveID{Manager: wire.GSM, No: 3}, To: "s2", ToAddr: "unix:/run/s2"}}
	b := append(AppendNote(nil, in), 0, 0)
	var out Out
	if err := ParseNote(b, &out); err != nil || out != in {
		t.Errorf("%+v: %v", out, err)
	}
	for i := range b[:len(b)-2] {
		c := append([]byte(nil), b...)
		c[i] ^= 1
		if ParseNote(c, &out) == nil {
			t.Errorf("a changed byte %d is not noticed", i)
		}
	}
	if ParseNote(b[:NoteHeadLen-1], &out) == nil || ParseNote(b[:len(b)-3], &out) == nil {
		t.Error("a short note is accepted")
	}
	if err := (Options{}).Validate(); err == nil {
		t.Error("no options are accepted")
	}
	if err := DefaultOptions().Validate(); err != nil {
		t.Error(err)
	}
}

package migrate

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/wire"
)

const (
	pid    = wire.PID(7)
	region = wire.RegionNo(1)
	pages  = 32
	first  = wire.PageNo(pages)
)

// node is an mComponent: the cores that a move touches, with versions instead of bytes.
type node struct {
	id     wire.NodeID
	owners *vregion.Owners
	store  *pagestore.Store
	taker  *TapedTaker
	tape   *taped
}

func newNode(id wire.NodeID, o Options) *node {
	vo := vregion.DefaultOptions()
	vo.RegionBytes = pages * wire.PageSize
	taker := &TapedTaker{Taker: NewTaker(o, id)}
	return &node{id: id, owners: vregion.NewOwners(vo, id, 10), store: pagestore.New(2 * pages), taker: taker, tape: tapeTaker(taker)}
}

// leave frees a slot at once.
func (n *node) leave(slot uint32, to wire.NodeID, e wire.Epoch) {
	n.owners.Leave(slot, to, e)
	n.store.FreeGroup(slot, 1<<20)
	n.owners.Left(slot)
}

// serves gives the epoch under which the node serves the vRegion, or 0.
func (n *node) serves() wire.Epoch {
	for e := wire.Epoch(1); e < 20; e++ {
		if _, err := n.owners.Serving(pid, region, e); err == nil {
			return e
		}
	}
	return 0
}

// packet is a message of the giver on its way. It may be delivered many times, and after its answer was given up.
type packet struct {
	e       Effect
	entries []wire.PageEntry
	mapped  []wire.MappedPart
	held    int
}

// request is one of the client: a flush of version, or a miss if it is 0.
type request struct {
	page    wire.PageNo
	version uint64
	owner   wire.Owner
	acked   uint64 // what was acknowledged when the miss was sent
}

// world is a move between g and t of a vRegion that one client uses, all from one seed.
type world struct {
	t       *rapid.T
	rng     *rand.Rand
	o       Options
	req     wire.MoveReq
	now     time.Duration
	g, to   *node
	giver   *TapedGiver // nil when its node was started again
	slot    uint32
	freed   bool
	lossy   bool
	home    wire.Owner // as the home knows it
	lost    bool       // the home was started again
	exited  bool
	dead    bool       // the managers take the giver for dead; it may live on
	fenced  bool       // the taker has dropped all, and what it served is lost
	told    bool       // the home has heard that the taker adopts
	adopted string     // how that ended
	mute    EffectKind // the giver hears no answer to these
	tapes   []*taped
	packets []packet
	waiting []uint64 // messages whose answer the giver awaits
	answers []struct {
		id  uint64
		err error
	}

	client   wire.Owner
	inFlight []request
	next     uint64
	sent     map[wire.PageNo]uint64 // newest version sent
	acked    map[wire.PageNo]uint64
	cut      map[wire.PageNo]uint64 // versions up to this were unmapped
}

func kind(err error) *wire.Error {
	if err == nil {
		return nil
	}
	return wire.Errorf(wire.KindOf(err), "%v", err)
}

// perform does what the giver wants.
func (w *world) perform(out []Effect) {
	for len(out) > 0 {
		e := out[0]
		out = out[1:]
		switch e.Kind {
		case Freeze:
			w.g.owners.Freeze(w.slot, w.to.id)
		case Thaw:
			w.g.owners.Thaw(w.slot, e.Epoch)
			w.g.store.Unwatch(w.slot)
		case Lose:
			w.g.owners.Lose(w.slot)
			w.g.store.Unwatch(w.slot)
		case Forget:
			w.g.store.Unwatch(w.slot)
			to := w.to.id
			if e.Epoch == 0 {
				to = ""
			}
			w.g.leave(w.slot, to, e.Epoch)
			w.freed = true
		case Copy:
			p := packet{e: e}
			for page, ok := w.giver.Take(e.ID); ok; page, ok = w.giver.Take(e.ID) {
				_, c, have := w.g.store.Peek(pid, page)
				entry := wire.PageEntry{Page: page, State: wire.PageAbsent}
				switch {
				case have && c.Flushed:
					entry = wire.PageEntry{Page: page, State: wire.PageFull, Epoch: c.Epoch, Version: c.Version}
				case have:
					entry.State = wire.PageZero
				}
				p.entries = append(p.entries, entry)
				if w.rng.IntN(4) == 0 { // the lock is given up between pages
					w.clientStep()
				}
			}
			if len(p.entries) > 0 {
				w.packets, w.waiting = append(w.packets, p), append(w.waiting, e.ID)
			}
			out = append(out, w.giver.Filled(w.now, e.ID, len(p.entries), nil)...)
		default:
			p := packet{e: e}
			if e.Kind == Close {
				p.mapped, p.held = w.g.owners.Mapped(w.slot), w.g.store.GroupPages(w.slot)
			}
			w.packets, w.waiting = append(w.packets, p), append(w.waiting, e.ID)
		}
		w.check()
	}
}

// check holds the laws of every moment.
func (w *world) check() {
	if w.rng.IntN(50) == 0 {
		for _, x := range w.tapes {
			x.snapshot()
		}
	}
	if a, b := w.g.serves(), w.to.serves(); a > 0 && b > 0 && !(w.told && a < b && w.client.Epoch == b) { // one that nobody comes to any more is no second
		w.t.Fatalf("two serve: %s under %d and %s under %d", w.g.id, a, w.to.id, b)
	}
	for _, n := range []*node{w.g, w.to} {
		for _, err := range []error{n.owners.CheckInvariants(), n.store.CheckInvariants(), n.taker.CheckInvariants()} {
			if err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// deliver takes a message of the giver to its receiver.
func (w *world) deliver(p packet) error {
	switch p.e.Kind {
	case Tell:
		return w.tell(p.e)
	case Open:
		in, isNew, err := w.to.taker.Open(w.now, wire.RegionCopyOpenReq{Move: w.req.Move, Round: p.e.Round, PID: pid, Region: region, Epoch: w.req.Epoch, From: w.g.id})
		if err != nil || !isNew {
			return err
		}
		if in.Slot, err = w.to.owners.Arrive(pid, region, w.req.Epoch, w.g.id); err == nil {
			w.to.taker.Add(in)
		}
		return err
	case Copy:
		if !p.e.Exact && w.rng.IntN(4) == 0 || p.e.Exact && w.lossy && w.rng.IntN(20) == 0 {
			return wire.ErrCorrupt // a page changed while it was sent; or the network is to blame
		}
		in, err := w.to.taker.Copy(w.now, wire.RegionCopy{Move: w.req.Move, Round: p.e.Round, Count: uint32(len(p.entries))})
		if err != nil {
			return err
		}
		for _, e := range p.entries {
			if e.State == wire.PageAbsent {
				w.to.store.Remove(pid, e.Page)
			} else if _, ok := w.to.store.Put(in.Slot, pid, e.Page, pagestore.Content{Epoch: e.Epoch, Version: e.Version, Flushed: e.State == wire.PageFull}); !ok {
				return wire.ErrNoMemory
			}
		}
		return nil
	case Close:
		slot := w.to.taker.SlotOf(w.req.Move)
		return w.to.taker.Close(w.now, wire.RegionCopyEndReq{Move: w.req.Move, Round: p.e.Round, Parts: 1, Mapped: p.mapped, Pages: uint64(p.held)}, w.to.store.GroupPages(slot),
			func(m []wire.MappedPart) error { return w.to.owners.CheckMapped(slot, m) })
	case Serve:
		in, err := w.to.taker.Serve(wire.MoveServeReq{Move: w.req.Move, Epoch: p.e.Epoch})
		if in != nil {
			if w.client.Epoch < p.e.Epoch && !w.exited && !w.lost {
				w.t.Fatalf("the taker serves under %d, the client knows %d", p.e.Epoch, w.client.Epoch)
			}
			w.to.owners.Serve(in.Slot, in.Mapped)
		}
		return err
	case Drop:
		if in := w.to.taker.Drop(w.req.Move); in != nil {
			w.to.leave(in.Slot, "", 0)
		}
	}
	return nil
}

// tell is the home: it takes the news and tells the client, which may not hear it.
func (w *world) tell(e Effect) error {
	owner := wire.Owner{Region: region, Node: w.to.id, Epoch: e.Epoch}
	if e.Undo {
		owner.Node = w.g.id
	}
	switch {
	case w.exited:
		return wire.ErrFailed
	case w.lost:
		return wire.ErrNotFound
	case owner.Epoch < w.home.Epoch:
		return wire.ErrStale
	}
	w.home = owner
	if w.lossy && w.rng.IntN(3) == 0 {
		if e.Undo {
			return nil
		}
		return wire.ErrUnavailable
	}
	w.hear(owner)
	return nil
}

// adopt is a step of the adoption by the taker, which the leader orders until it has an answer.
func (w *world) adopt() {
	if w.adopted != "" {
		return
	}
	epoch := AdoptEpoch(w.req)
	drop := func(in *Incoming) {
		w.adopted = "lost"
		if in != nil {
			w.to.leave(in.Slot, "", 0)
		}
	}
	if e := w.to.serves(); e == w.req.Epoch || e == epoch {
		w.adopted = "done"
		return
	}
	in, err := w.to.taker.Adopting(w.req.Move)
	switch {
	case err != nil:
		drop(in)
	case w.exited || w.lost, w.home.Epoch != w.req.Epoch && w.home.Epoch != epoch: // it was not handed over
		drop(w.to.taker.Drop(w.req.Move))
	case !w.told || w.client.Epoch != epoch:
		w.home = wire.Owner{Region: region, Node: w.to.id, Epoch: epoch}
		if w.told = true; !w.lossy || w.rng.IntN(3) > 0 {
			w.hear(w.home)
		}
	default:
		if in := w.to.taker.Adopted(w.req.Move); in != nil {
			w.to.owners.Adopt(in.Slot, in.Mapped, epoch)
		}
	}
	w.check()
}

// hear is the client: what an older owner answers from now on is void.
func (w *world) hear(o wire.Owner) {
	if o.Epoch > w.client.Epoch {
		w.client = o
		for i := range w.inFlight {
			w.inFlight[i].owner = o // it is asked again
			w.inFlight[i].acked = w.acked[w.inFlight[i].page]
		}
	}
}

func (w *world) nodeOf(id wire.NodeID) *node {
	if id == w.g.id {
		return w.g
	}
	return w.to
}

// clientStep sends or answers a request of the client, or unmaps a page and maps it again.
func (w *world) clientStep() {
	if w.exited {
		return
	}
	if n := len(w.inFlight); n > 0 && w.rng.IntN(2) == 0 {
		i := w.rng.IntN(n)
		r := w.inFlight[i]
		if w.serve(r) {
			w.inFlight = append(w.inFlight[:i], w.inFlight[i+1:]...)
		} else if !w.lost { // turned away: it asks its home
			w.hear(w.home)
			w.inFlight[i].owner = w.client
		}
		return
	}
	page := first + wire.PageNo(w.rng.IntN(pages))
	busy := false
	for _, r := range w.inFlight {
		busy = busy || r.page == page
	}
	switch {
	case busy || len(w.inFlight) > 3:
	case w.rng.IntN(5) == 0:
		n := w.nodeOf(w.home.Node)
		at, length := uint64(page)<<wire.PageShift, uint64(wire.PageSize)
		slot, ok, err := n.owners.Unmap(wire.RegionUnmapReq{PID: pid, Region: region, Start: at, Length: length}, w.home.Epoch)
		if err != nil || !ok || w.lost {
			return
		}
		n.store.Unmap(slot, pid, page, 1)
		if err := n.owners.Map(wire.RegionMapReq{PID: pid, Region: region, RegionEpoch: w.home.Epoch, Start: at, Length: length}); err != nil {
			w.t.Fatalf("map after unmap: %v", err)
		}
		w.cut[page], w.acked[page] = w.sent[page], 0
	case w.rng.IntN(2) == 0:
		w.next++
		w.sent[page] = w.next
		w.inFlight = append(w.inFlight, request{page, w.next, w.client, 0})
	default:
		w.inFlight = append(w.inFlight, request{page, 0, w.client, w.acked[page]})
	}
}

// serve is the owner that the client believes in.
func (w *world) serve(r request) bool {
	n := w.nodeOf(r.owner.Node)
	slot, v := n.owners.Check(pid, r.page, r.owner.Epoch)
	if v != vregion.Serve {
		return false
	}
	if r.version > 0 {
		n.store.Flush(slot, pid, r.page, 1, r.version, 0)
		if w.lossy && w.rng.IntN(5) == 0 {
			return false // the acknowledgement is lost
		}
		w.acked[r.page] = max(w.acked[r.page], r.version)
		return true
	}
	f, _, _ := n.store.Miss(slot, pid, r.page)
	_, c, _ := n.store.Peek(pid, r.page)
	_ = f
	if c.Version < r.acked || c.Version > 0 && c.Version <= w.cut[r.page] {
		w.t.Fatalf("%s serves version %d of page %d under epoch %d; %d was acknowledged, up to %d unmapped", n.id, c.Version, r.page, r.owner.Epoch, r.acked, w.cut[r.page])
	}
	return true
}

// exit ends the process: its home tells the owner that it knows.
func (w *world) exit() {
	if w.exited || w.lost {
		return
	}
	w.exited, w.inFlight = true, nil
	w.exitAt(w.nodeOf(w.home.Node))
}

func (w *world) exitAt(n *node) {
	n.taker.Exit(pid)
	for _, s := range n.owners.Exit(pid, nil) {
		n.store.Unwatch(s)
		n.store.FreeGroup(s, 1<<20)
		n.owners.Release(s)
		if n == w.g && w.giver != nil {
			w.freed = true
			out := w.giver.Cancel(w.now, nil)
			w.waiting = nil
			w.perform(out)
		}
	}
}

// step lets one thing happen.
func (w *world) step() {
	if w.giver != nil {
		if err := w.giver.CheckInvariants(); err != nil {
			w.t.Fatal(err)
		}
	}
	if w.dead && w.rng.IntN(5) == 0 {
		w.adopt()
	}
	switch k := w.rng.IntN(10); {
	case k < 3:
		w.clientStep()
	case k < 7 && len(w.packets) > 0:
		i := w.rng.IntN(len(w.packets))
		if w.rng.IntN(2) == 0 {
			i = 0
		}
		p := w.packets[i]
		if !w.lossy || w.rng.IntN(6) > 0 { // else it stays, to be delivered again
			w.packets = append(w.packets[:i], w.packets[i+1:]...)
		}
		if w.lossy && w.rng.IntN(8) == 0 {
			return // lost
		}
		err := w.deliver(p)
		w.check()
		if p.e.Kind == w.mute && w.giver != nil && w.giver.Frozen() {
			return
		}
		if !w.lossy || w.rng.IntN(6) > 0 {
			w.answers = append(w.answers, struct {
				id  uint64
				err error
			}{p.e.ID, err})
		}
	case k < 9 && len(w.answers) > 0:
		i := w.rng.IntN(len(w.answers))
		a := w.answers[i]
		w.answers = append(w.answers[:i], w.answers[i+1:]...)
		w.answered(a.id, a.err)
	default:
		w.now += time.Duration(w.rng.IntN(20)) * time.Millisecond
		if w.giver == nil {
			return
		}
		if len(w.waiting) > 0 && len(w.packets)+len(w.answers) == 0 || len(w.waiting) > 0 && w.lossy && w.rng.IntN(4) == 0 {
			w.answered(w.waiting[0], wire.ErrTimeout)
		}
		if w.giver != nil {
			w.perform(w.giver.Tick(w.now, nil))
		}
	}
}

func (w *world) answered(id uint64, err error) {
	for i, x := range w.waiting {
		if x == id && w.giver != nil {
			w.waiting = append(w.waiting[:i], w.waiting[i+1:]...)
			w.perform(w.giver.Answered(w.now, id, kind(err), nil))
			return
		}
	}
}

// TestMoves: whatever is lost, delayed, doubled, reordered, and whoever crashes or exits at whatever step, at most one node
// serves, no page is older than the last acknowledged flush or was unmapped, the move ends, and nothing is left over.
func TestMoves(t *testing.T) {
	outcomes, adopted := map[wire.MoveState]int{}, map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		o := DefaultOptions()
		o.BatchPages, o.WindowMessages, o.FreezePages, o.MaxRounds = rapid.IntRange(1, 8).Draw(t, "batch"), rapid.IntRange(1, 4).Draw(t, "window"), rapid.IntRange(0, 8).Draw(t, "freeze"), rapid.IntRange(1, 5).Draw(t, "rounds")
		o.PatienceMS, o.SwitchMS, o.ServeMS, o.IdleMS = 400, 400, 400, 2000
		w := &world{
			t: t, rng: rand.New(rand.NewPCG(seed, 2)), o: o, g: newNode("g", o), to: newNode("t", o), lossy: rapid.Bool().Draw(t, "lossy"),
			sent: map[wire.PageNo]uint64{}, acked: map[wire.PageNo]uint64{}, cut: map[wire.PageNo]uint64{},
		}
		w.req = wire.MoveReq{Move: wire.MoveID{Manager: wire.GMM, No: 1}, Kind: wire.MoveRegion, PID: pid, Region: region, OldEpoch: 1, Epoch: 2, UndoEpoch: 3, To: "t", TimeoutMS: 5000}
		w.home = wire.Owner{Region: region, Node: "g", Epoch: 1}
		w.client = w.home
		if err := w.g.owners.Map(wire.RegionMapReq{PID: pid, Region: region, RegionEpoch: 1, Start: uint64(first) << wire.PageShift, Length: pages * wire.PageSize}); err != nil {
			t.Fatal(err)
		}
		for range 60 {
			w.clientStep()
		}
		var err error
		if w.slot, err = w.g.owners.Serving(pid, region, 1); err != nil {
			t.Fatal(err)
		}
		changes := pagestore.NewChanges(first, pages)
		w.g.store.Watch(w.slot, changes)
		w.giver = &TapedGiver{Giver: NewGiver(o, w.req, changes)}
		w.tapes = append(w.tapes, tapeGiver(w.giver, first, pages))
		w.tapes = append(w.tapes, w.g.tape, w.to.tape)
		defer w.verify()
		w.perform(w.giver.Begin(w.now, nil))

		who := rapid.SampledFrom([]string{"nobody", "giver", "cut off giver", "undone giver", "taker", "fenced taker", "home", "client"}).Draw(t, "crash")
		if who == "undone giver" {
			w.mute = rapid.SampledFrom([]EffectKind{Close, Tell}).Draw(t, "mute")
		}
		when := rapid.IntRange(0, 150).Draw(t, "at")
		for i := range 400 {
			if in := w.to.taker.find(w.req.Move); who == "undone giver" && !w.dead && in != nil && in.Complete && !w.giver.Frozen() && w.rng.IntN(8) == 0 {
				for range 20 { // it serves on, and the taker, which has an old copy, has not heard of that
					w.clientStep()
				}
				w.dead = true
			}
			if i == when {
				switch who {
				case "giver":
					w.g, w.giver, w.waiting = newNode("g", o), nil, nil
					w.dead = true
				case "cut off giver":
					w.dead = true
				case "taker":
					w.to = newNode("t", o)
					w.tapes = append(w.tapes, w.to.tape)
				case "fenced taker":
					for _, s := range w.to.owners.Fence("fenced", nil, nil) {
						w.to.store.FreeGroup(s, 1<<20)
						w.to.owners.Release(s)
					}
					w.to.taker.Fence()
					w.fenced = true
				case "home":
					w.lost = true
				case "client":
					w.exit()
				}
			}
			w.step()
		}
		w.lossy = false
		for i := 0; w.dead && w.adopted == ""; i++ {
			if w.step(); i > 10_000 {
				t.Fatal("the taker does not say whether it adopts")
			}
		}
		for i := 0; w.giver != nil && !w.told && !w.giver.Ended(); i++ {
			if w.step(); i > 100_000 {
				t.Fatalf("the move does not end: %+v", w.giver.Status(w.now))
			}
		}
		for range 200 { // what is still on its way arrives
			w.step()
		}
		w.packets = nil
		for i := 0; w.to.taker.Len() > 0; i++ {
			w.now += time.Second
			for _, in := range w.to.taker.Idle(w.now) {
				drop := !in.Complete
				if in.adopted {
					t.Fatal("what is adopted is kept and not served")
				}
				if !drop && w.giver != nil {
					drop = w.to.taker.Asked(w.now, in, w.giver.Status(w.now).State, nil)
				} else if !drop {
					drop = w.to.taker.Asked(w.now, in, 0, wire.ErrNotFound)
				}
				if drop {
					w.to.leave(w.to.taker.Drop(in.Move).Slot, "", 0)
				}
			}
			if i > 100 {
				t.Fatal("the taker does not give up what nobody ends")
			}
		}
		w.check()
		if w.adopted != "" {
			adopted[w.adopted]++
			w.adoptedWell(who)
			return
		}
		if w.giver == nil {
			return
		}
		s := w.giver.Status(w.now)
		outcomes[s.State]++
		var want *node // who serves
		switch {
		case w.exited:
		case s.State == wire.MoveDone:
			want = w.to
		case s.State == wire.MoveUndone:
			want = w.g
		case w.to.serves() > 0:
			want = w.to // it was lost as the giver could not learn that
		}
		for _, n := range []*node{w.g, w.to} {
			e := n.serves()
			if n == want && (e != s.Epoch && s.State != wire.MoveLost) && who != "taker" && !w.fenced {
				t.Fatalf("%s serves under %d: %+v", n.id, e, s)
			}
			if n != want && e != 0 {
				t.Fatalf("%s serves under %d: %+v", n.id, e, s)
			}
			if used := n.store.Stats().Used; n != want && used > 0 && !(s.State == wire.MoveLost && n == w.g) {
				t.Fatalf("%s keeps %d pages: %+v, crash of %s", n.id, used, s, who)
			}
		}
		if want == nil || (who == "taker" || w.fenced) && want == w.to {
			return
		}
		// The client goes on, and finds all that it wrote.
		if !w.lost {
			w.hear(w.home)
			for range 300 {
				w.clientStep()
			}
			for page := first; page < first+pages; page++ {
				if !w.serve(request{page, 0, w.client, w.acked[page]}) {
					t.Fatalf("page %d is not served by %+v: %+v, crash of %s", page, w.client, s, who)
				}
			}
		}
	})
	if fmt.Sprint(outcomes[wire.MoveDone] > 0, outcomes[wire.MoveUndone] > 0) != "true true" {
		t.Errorf("the worlds are too alike: %v", outcomes)
	}
	if adopted["done"] == 0 || adopted["lost"] == 0 {
		t.Errorf("takers of a giver that is gone end as %v, want both", adopted)
	}
	t.Logf("%v, adopted %v", outcomes, adopted)
}

// adoptedWell checks what became of a vRegion whose giver the managers took for dead: if the taker serves it, it has all that was ever
// acknowledged, and the giver, should it live, has nobody who comes to it.
func (w *world) adoptedWell(who string) {
	e := w.to.serves()
	if w.adopted == "lost" && e > 0 && w.giver == nil {
		w.t.Fatalf("the taker serves under %d what it said is lost", e)
	}
	if w.adopted == "lost" || w.exited {
		if w.giver == nil && w.to.store.Stats().Used > 0 {
			w.t.Fatalf("the taker keeps %d pages", w.to.store.Stats().Used)
		}
		return
	}
	if e != w.req.Epoch && e != AdoptEpoch(w.req) {
		w.t.Fatalf("the taker, which adopted, serves under %d (%s)", e, who)
	}
	w.hear(w.home)
	if w.client.Node != w.to.id || w.client.Epoch != e {
		w.t.Fatalf("the taker serves under %d, the client knows %+v, the home %+v", e, w.client, w.home)
	}
	for range 300 {
		w.clientStep()
	}
	for page := first; page < first+pages; page++ {
		if !w.serve(request{page, 0, w.client, w.acked[page]}) {
			w.t.Fatalf("page %d is not served by %+v (%s)", page, w.client, who)
		}
	}
}

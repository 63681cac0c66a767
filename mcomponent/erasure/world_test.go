package erasure

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/mcomponent/replica"
	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

const (
	pid   = wire.PID(7)
	no    = wire.RegionNo(1)
	pages = 16
	first = wire.PageNo(pages)
	slot  = uint32(1)
)

// place is where a share lies in the store of a holder.
type place struct {
	line wire.PageNo
	at   int
}

// holder is an mComponent that holds shares. What stands for the bytes of one is the version of its page, and the share's number.
type holder struct {
	id     wire.NodeID
	member wire.Epoch
	*replica.Holder
	index uint32
	store map[place]share
	down  bool
}

type share struct {
	page    wire.PageNo
	version uint64
	index   uint32
	wrong   bool // its bytes are not what they were
}

func (h *holder) restart() {
	h.member++
	h.Holder = replica.NewHolder(replica.DefaultOptions(), h.id, pages*wire.PageSize)
	h.Registered(h.member)
	h.store = map[place]share{}
}

// open is replica_open.
func (h *holder) open(q wire.ReplicaOpenReq) error {
	o, err := h.Open(q)
	if err != nil {
		return err
	}
	if o.New {
		h.Add(q, slot)
	} else if o.Free {
		h.store = map[place]share{}
	}
	h.index = q.Index
	return nil
}

func (h *holder) lines() map[wire.PageNo]bool {
	lines := map[wire.PageNo]bool{}
	for p := range h.store {
		lines[p.line] = true
	}
	return lines
}

// serve executes a message of replica.Primary as a shell does.
func (h *holder) serve(t *rapid.T, e replica.Effect) (a replica.Answer) {
	var err error
	switch e.Kind {
	case replica.Open:
		err = h.open(*e.Open)
	case replica.Send:
		var act replica.Action
		_, act, err = h.Write(e.Write, true)
		if err == nil && act == replica.Store {
			line, at, n := h.Place(slot, e.Write.Page)
			if at%n != 0 || at+n > wire.PageSize {
				t.Fatalf("a share of %d bytes at %d", n, at)
			}
			if old, ok := h.store[place{line, at}]; ok && old.page != e.Write.Page {
				if items, _, _ := h.Read(wire.ReplicaRead{PID: pid, Region: no, Page: old.page, OwnerEpoch: e.Write.OwnerEpoch, Config: e.Write.Config, Count: 1, Flags: wire.ReplicaExact}, nil); len(items) > 0 {
					t.Fatalf("pages %d and %d lie in one place", old.page, e.Write.Page)
				}
			}
			h.store[place{line, at}] = share{page: e.Write.Page, version: e.Write.Version, index: h.index}
		}
	case replica.Unmap:
		var ok bool
		if _, ok, err = h.Unmap(*e.Unmap); ok {
			from, n := h.Freed(slot, wire.PageNo(e.Unmap.Start>>wire.PageShift), e.Unmap.Length>>wire.PageShift)
			for p := range h.store {
				if p.line >= from && uint64(p.line-from) < n {
					delete(h.store, p)
				}
			}
		}
	case replica.Drop:
		if _, ok, _ := h.Drop(*e.Drop); ok {
			h.store = map[place]share{}
		}
	}
	if err != nil {
		a.Err = wire.Errorf(wire.KindOf(err), "%v", err)
	}
	return a
}

// read executes a replica_read.
func (h *holder) read(t *rapid.T, q wire.ReplicaRead) (a Answer) {
	items, head, err := h.Read(q, nil)
	if err != nil {
		a.Err = wire.Errorf(wire.KindOf(err), "%v", err)
		return a
	}
	a.Next, a.More = head.Next, head.More
	for _, it := range items {
		if q.Flags&wire.ReplicaList != 0 {
			a.Pages = append(a.Pages, it.PageEntry)
			continue
		}
		line, at, _ := h.Place(slot, it.Page)
		s, ok := h.store[place{line, at}]
		if !ok || s.page != it.Page || s.version != it.Version {
			t.Fatalf("%s: page %d is to be version %d, and its share is %+v", h.id, it.Page, it.Version, s)
		}
		a.Have, a.Epoch, a.Version, a.Share = true, it.Epoch, it.Version, s
	}
	return a
}

// sent is a message on its way.
type sent struct {
	life  int // of the owner
	write *replica.Effect
	ask   *Effect
}

type reply struct {
	life  int
	id    uint64
	write *replica.Answer
	ask   *Answer
}

// world is an owner that dies and is followed by others, holders, who decides about them, and a process that uses the memory.
type world struct {
	t       *rapid.T
	rng     *rand.Rand
	now     time.Duration
	o       Options
	po      replica.Options
	life    int // of the owner
	p       *replica.Primary
	c       *Taped
	tapes   tapedtest.Tapes
	taped   bool
	store   map[wire.PageNo]uint64 // of the owner: versions
	holders []*holder
	cfg     wire.RegionConfig
	net     []sent
	answers []reply
	lossy   bool
	spare   int // holders that may die until all is whole again

	call, next uint64
	reads      map[uint64]wire.PageNo
	fills      map[uint64]replica.Effect
	flushes    map[uint64]wire.PageNo
	unmaps     map[uint64]wire.PageNo
	acked      map[wire.PageNo]uint64
	pending    map[wire.PageNo]uint64 // flushes of which the process has not heard
	busy       map[wire.PageNo]bool   // a call for it is under way
	unmapping  map[wire.PageNo]bool   // it is to be asked for again

	served, made, zeros, owners, killed, wrong, failed, unknown, early int
}

func (w *world) holder(id wire.NodeID) *holder {
	for _, h := range w.holders {
		if h.id == id {
			return h
		}
	}
	return nil
}

// whole reports whether every share of everything is where it should be, as far as who decides knows.
func (w *world) whole() bool {
	if len(w.cfg.Holders) < w.cfg.Policy.Holders() {
		return false
	}
	for _, c := range w.cfg.Holders {
		if h := w.holder(c.Node); c.Filling || h.down || h.member != c.Member {
			return false
		}
	}
	return w.p.Status(slot).Config == w.cfg.Config && len(w.p.Status(slot).InSync) == len(w.cfg.Holders)
}

// perform does what replica.Primary wants.
func (w *world) perform(out []replica.Effect) {
	for i := 0; i < len(out); i++ {
		e := out[i]
		switch e.Kind {
		case replica.Send:
			page := e.Write.Page
			if v, ok := w.store[page]; ok {
				e.Write.ProcessEpoch, e.Write.Version = 1, v
			} else if w.c.Absent(slot, page) {
				out = w.p.Answered(w.now, e.ID, replica.Answer{}, out)
				continue
			} else {
				w.call++
				w.fills[w.call] = e
				w.collect(w.c.Read(w.now, slot, page, w.call, nil))
				continue
			}
			w.net = append(w.net, sent{life: w.life, write: &e})
		case replica.Open, replica.Unmap, replica.Drop:
			w.net = append(w.net, sent{life: w.life, write: &e})
		case replica.List:
			if w.c.Whole(slot) {
				out = w.p.Listed(w.now, slot, w.c.Written(slot), out)
			}
		case replica.Settled:
			delete(w.store, e.Write.Page)
		case replica.Ack:
			w.ack(e.Waiter)
		case replica.Fail:
			w.t.Fatalf("call %d failed: %v", e.Waiter, e.Err)
		}
	}
	if err := w.p.CheckInvariants(); err != nil {
		w.t.Fatal(err)
	}
}

// collect does what the Coordinator wants.
func (w *world) collect(out []Effect) {
	var made share
	for i := 0; i < len(out); i++ {
		e := out[i]
		switch e.Kind {
		case Ask:
			w.net = append(w.net, sent{life: w.life, ask: &e})
		case Decode:
			if len(e.Shares) != int(w.cfg.Policy.Data) {
				w.t.Fatalf("a page of %d shares", len(e.Shares))
			}
			seen := map[uint32]bool{}
			fits := true
			for k, s := range e.Shares {
				if made = s.(share); made.page != e.Page || made.version != e.Version || made.index != e.Index[k] || seen[made.index] {
					w.t.Fatalf("page %d, version %d is made of %+v as share %d", e.Page, e.Version, made, e.Index[k])
				}
				seen[made.index] = true
				fits = fits && !made.wrong
			}
			if !fits {
				w.wrong++
			}
			out = w.c.Decoded(w.now, slot, e.Page, fits, out)
		case Whole:
			w.perform(w.p.Listed(w.now, slot, w.c.Written(slot), nil))
		case Page:
			w.made++
			w.page(e.Waiter, e.Version, true)
		case Again:
			w.page(e.Waiter, 0, false)
		case Fail: // there was more wrong in the meantime than it can make good
			if w.wrong == 0 {
				w.t.Fatalf("page %d: %v", e.Page, e.Err)
			}
			if f, ok := w.fills[e.Waiter]; ok {
				delete(w.fills, e.Waiter)
				w.perform(w.p.Answered(w.now, f.ID, replica.Answer{Err: e.Err}, nil))
			} else {
				w.failed++
				delete(w.busy, w.reads[e.Waiter])
				delete(w.reads, e.Waiter)
			}
		}
	}
	if err := w.c.CheckInvariants(); err != nil {
		w.t.Fatal(err)
	}
}

// page goes on for who waited for a page.
func (w *world) page(call, v uint64, made bool) {
	if e, ok := w.fills[call]; ok {
		delete(w.fills, call)
		_, here := w.store[e.Write.Page]
		switch {
		case !w.p.Awaits(e.ID): // as live: there are other holders by now, or the page was unmapped
		case made && !here:
			w.store[e.Write.Page] = v // as live: it is with the owner until its holder has it
			w.perform([]replica.Effect{e})
		case here || !w.c.Absent(slot, e.Write.Page):
			w.perform([]replica.Effect{e})
		default:
			w.perform(w.p.Answered(w.now, e.ID, replica.Answer{}, nil))
		}
		return
	}
	page, ok := w.reads[call]
	if !ok {
		w.t.Fatalf("call %d is answered twice", call)
	}
	if !made {
		w.lookup(call, page)
		return
	}
	w.got(call, page, v)
}

// lookup serves a miss.
func (w *world) lookup(call uint64, page wire.PageNo) {
	if v, ok := w.store[page]; ok {
		w.got(call, page, v)
	} else if w.c.Absent(slot, page) {
		w.zeros++
		w.got(call, page, 0)
	} else {
		w.collect(w.c.Read(w.now, slot, page, call, nil))
	}
}

// got is law 3: what is read is what was written last.
func (w *world) got(call uint64, page wire.PageNo, v uint64) {
	if v != w.acked[page] {
		w.t.Fatalf("page %d: version %d is read, %d was written last", page, v, w.acked[page])
	}
	w.served++
	delete(w.reads, call)
	delete(w.busy, page)
}

func (w *world) ack(call uint64) {
	if page, ok := w.unmaps[call]; ok {
		delete(w.unmaps, call)
		delete(w.busy, page)
		return
	}
	page, ok := w.flushes[call]
	if !ok {
		w.t.Fatalf("call %d is answered twice", call)
	}
	w.served++
	delete(w.flushes, call)
	delete(w.busy, page)
	w.acked[page] = w.pending[page]
	delete(w.pending, page)
	w.promised(page)
}

// promised: every holder in sync has what was acknowledged, or what was sent since.
func (w *world) promised(page wire.PageNo) {
	v := w.acked[page]
	if v == 0 || w.pending[page] != 0 || w.busy[page] {
		return
	}
	for _, c := range w.cfg.Holders {
		h := w.holder(c.Node)
		if h.member != c.Member || c.Filling {
			continue
		}
		line, at, _ := h.PlaceOf(pid, page)
		if s := h.store[place{line, at}]; s.page != page || s.version != v {
			w.t.Fatalf("page %d: version %d is acknowledged, %s has %+v", page, v, h.id, s)
		}
	}
}

// configure is GMM.
func (w *world) configure() {
	s := w.p.Status(slot)
	if s.Config == w.cfg.Config && w.rng.IntN(2) == 0 {
		w.collect(w.c.Synced(w.now, slot, s.InSync, nil))
	}
	cfg := w.cfg
	cfg.Holders = nil
	used, shares := map[wire.NodeID]bool{}, map[uint32]bool{}
	for _, c := range w.cfg.Holders {
		h := w.holder(c.Node)
		used[h.id] = true
		if h.down || h.member != c.Member {
			continue
		}
		for _, id := range s.InSync {
			if id == h.id && s.Config == w.cfg.Config {
				c.Filling = false
			}
		}
		shares[c.Index] = true
		cfg.Holders = append(cfg.Holders, c)
	}
	for _, h := range w.holders {
		if len(cfg.Holders) < cfg.Policy.Holders() && !h.down && !used[h.id] {
			i := uint32(0)
			for shares[i] {
				i++
			}
			shares[i], used[h.id] = true, true
			cfg.Holders = append(cfg.Holders, wire.Holder{Node: h.id, Member: h.member, Filling: true, Index: i})
		}
	}
	if fmt.Sprint(cfg) == fmt.Sprint(w.cfg) {
		return
	}
	cfg.Config++
	w.cfg = cfg
	w.takeConfig(false)
}

func (w *world) takeConfig(fresh bool) {
	w.collect(w.c.Configure(w.now, slot, w.cfg, first, pages, fresh, nil))
	w.perform(w.p.Configure(w.now, slot, w.cfg, nil))
}

// owner makes a new owner: nothing is left of the one before but what it has sent.
func (w *world) owner() {
	w.life++
	w.p, w.c = replica.NewPrimary(w.po), &Taped{Coordinator: New(w.o)}
	if w.taped {
		w.c.Record(&w.tapes, w.c.Coordinator, TapeKind, &TapeHead{"m9", w.o})
	}
	w.store, w.fills = map[wire.PageNo]uint64{}, map[uint64]replica.Effect{}
	for call, page := range w.reads {
		delete(w.reads, call)
		delete(w.busy, page)
	}
	for call, page := range w.flushes { // it is sent again
		delete(w.flushes, call)
		delete(w.busy, page)
	}
	for call, page := range w.unmaps { // the home asks again, before anybody else uses the page
		delete(w.unmaps, call)
		w.unmapping[page] = true
	}
}

// die kills the owner, and as many holders as may die, and has another one follow: it serves when as many holders as make a page are fenced.
func (w *world) die() {
	w.owners++
	w.right()
	for w.spare > 0 && w.rng.IntN(2) == 0 {
		w.kill()
	}
	old := w.cfg
	w.cfg.Holders = nil
	for _, c := range old.Holders {
		if h := w.holder(c.Node); !h.down && h.member == c.Member {
			w.cfg.Holders = append(w.cfg.Holders, c)
		}
	}
	w.cfg.Epoch, w.cfg.Config = w.cfg.Epoch+3, w.cfg.Config+1
	fenced := 0
	for _, i := range w.rng.Perm(len(w.cfg.Holders)) {
		c := w.cfg.Holders[i]
		if c.Filling || fenced >= int(w.cfg.Policy.Data) && w.rng.IntN(2) == 0 {
			continue
		}
		fenced++
		q := wire.ReplicaOpenReq{PID: pid, Region: no, Epoch: w.cfg.Epoch, Config: w.cfg.Config, Policy: w.cfg.Policy, Index: c.Index, Member: c.Member}
		if err := w.holder(c.Node).open(q); err != nil {
			w.t.Fatal(err)
		}
	}
	if fenced < int(w.cfg.Policy.Data) {
		w.t.Fatalf("%d holders are left", fenced)
	}
	w.owner()
	w.takeConfig(false)
}

// kill kills a holder.
func (w *world) kill() {
	w.right()
	for range 20 {
		c := w.cfg.Holders[w.rng.IntN(len(w.cfg.Holders))]
		if h := w.holder(c.Node); !h.down && h.member == c.Member {
			w.spare--
			w.killed++
			h.restart()
			h.down = w.rng.IntN(2) == 0
			return
		}
	}
}

func (w *world) step() {
	w.now += time.Duration(w.rng.IntN(4)) * time.Millisecond
	page := first + wire.PageNo(w.rng.IntN(pages))
	switch n := w.rng.IntN(40); {
	case n < 8 && w.lossy && !w.busy[page] || n < 8 && w.pending[page] != 0 && !w.busy[page]:
		w.flush(page)
	case n < 10 && w.unmapping[page] || n == 8 && w.lossy && !w.busy[page] && w.pending[page] == 0:
		w.unmap(page)
	case n < 14 && !w.busy[page] && w.pending[page] == 0 && w.lossy:
		w.call++
		w.reads[w.call], w.busy[page] = page, true
		w.lookup(w.call, page)
	case n < 28 && len(w.net) > 0:
		w.deliver()
	case n < 34 && len(w.answers) > 0:
		i := w.rng.IntN(len(w.answers))
		a := w.answers[i]
		w.answers = append(w.answers[:i], w.answers[i+1:]...)
		switch {
		case a.life != w.life:
		case a.write != nil:
			w.perform(w.p.Answered(w.now, a.id, *a.write, nil))
		default:
			w.collect(w.c.Answered(w.now, a.id, *a.ask, nil))
		}
	case n == 34 && w.lossy && w.spare > 0 && w.rng.IntN(4) == 0:
		w.kill()
	case n == 35 && w.lossy && w.rng.IntN(6) == 0:
		w.die()
	case n == 36 && w.lossy: // memory of a holder is wrong, and then right again: one share of a page at a time
		h := w.holders[w.rng.IntN(len(w.holders))]
		w.right()
		if w.whole() && w.rng.IntN(3) == 0 {
			for at, s := range h.store {
				s.wrong = true
				h.store[at] = s
			}
		}
	case n == 37:
		for _, h := range w.holders {
			h.down = h.down && w.rng.IntN(3) > 0
		}
		w.configure()
		if w.whole() {
			w.spare = int(w.cfg.Policy.Parity)
		}
	default:
		w.perform(w.p.Tick(w.now, nil))
		w.collect(w.c.Tick(w.now, nil))
	}
	for page := range w.acked {
		w.promised(page)
	}
}

// right makes all shares what they were.
func (w *world) right() {
	for _, h := range w.holders {
		for at, s := range h.store {
			s.wrong = false
			h.store[at] = s
		}
	}
}

func (w *world) flush(page wire.PageNo) {
	if w.pending[page] == 0 {
		w.next++
		w.pending[page] = w.next
	}
	v := w.pending[page]
	switch w.c.Flushing(slot, page, 1, v) {
	case Unknown:
		w.unknown++
		w.collect(w.c.Seek(slot, page, nil))
		return // it comes again
	case Older:
		w.t.Fatalf("page %d: version %d is old", page, v)
	}
	if !w.c.Whole(slot) {
		w.early++
	}
	w.store[page] = v
	w.c.Flushed(slot, page, 1, v)
	w.call++
	w.flushes[w.call], w.busy[page] = page, true
	if w.lossy && w.rng.IntN(20) == 0 { // a late copy of an older one
		old := v - 1
		if w.c.Flushing(slot, page, 1, old) != Older {
			w.t.Fatalf("page %d: version %d after %d is taken", page, old, v)
		}
	}
	w.perform(w.p.Write(w.now, slot, page, w.call, nil))
}

func (w *world) unmap(page wire.PageNo) {
	delete(w.unmapping, page)
	w.call++
	call := w.call // who is woken may ask, by calls of their own
	w.unmaps[call], w.busy[page] = page, true
	delete(w.acked, page)
	delete(w.store, page)
	w.c.Unmapped(slot, page, 1)
	w.collect(w.c.Woken(nil))
	w.perform(w.p.Unmap(w.now, slot, uint64(page)<<wire.PageShift, wire.PageSize, call, nil))
}

// deliver delivers a message: late, again, or not at all.
func (w *world) deliver() {
	i := w.rng.IntN(len(w.net))
	m := w.net[i]
	if !w.lossy || w.rng.IntN(5) > 0 { // else it comes again
		w.net = append(w.net[:i], w.net[i+1:]...)
	}
	to := wire.NodeID("")
	if m.write != nil {
		to = m.write.To.Node
	} else {
		to = m.ask.To.Node
	}
	h := w.holder(to)
	lost := w.lossy && w.rng.IntN(6) == 0
	silence := wire.Errorf(wire.KindTimeout, "no answer")
	if m.ask != nil {
		a := Answer{Err: silence}
		if !h.down {
			a = h.read(w.t, m.ask.Read)
		}
		if lost {
			a = Answer{Err: silence}
		}
		w.answers = append(w.answers, reply{life: m.life, id: m.ask.ID, ask: &a})
		return
	}
	a := replica.Answer{Err: silence}
	if !h.down && (!lost || w.rng.IntN(2) == 0) {
		a = h.serve(w.t, *m.write)
		if err := h.CheckInvariants(); err != nil {
			w.t.Fatal(err)
		}
	}
	if lost {
		a = replica.Answer{Err: silence}
	}
	if m.write.Kind != replica.Drop {
		w.answers = append(w.answers, reply{life: m.life, id: m.write.ID, write: &a})
	}
}

// TestWorlds: whatever is lost, doubled, late or overtaken, and whoever dies, the owner and as many holders as there are parity shares at a time: what is read is
// what was written last, everybody gets an answer when all is well again, and then every share is where it belongs.
func TestWorlds(t *testing.T) {
	var served, made, zeros, owners, killed, wrong, unknown, early int
	var computed uint64
	rapid.Check(t, func(t *rapid.T) {
		w := &world{
			t: t, rng: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)), o: DefaultOptions(), po: replica.DefaultOptions(), lossy: true,
			reads: map[uint64]wire.PageNo{}, flushes: map[uint64]wire.PageNo{}, unmaps: map[uint64]wire.PageNo{}, acked: map[wire.PageNo]uint64{}, pending: map[wire.PageNo]uint64{}, busy: map[wire.PageNo]bool{}, unmapping: map[wire.PageNo]bool{},
		}
		w.po.WindowMessages = 2 + w.rng.IntN(6)
		w.taped = w.rng.IntN(6) == 0
		policy := [...]wire.MemoryPolicy{{Kind: wire.MemoryErasure, Data: 2, Parity: 1}, {Kind: wire.MemoryErasure, Data: 2, Parity: 2}, {Kind: wire.MemoryErasure, Data: 4, Parity: 2}, {Kind: wire.MemoryErasure, Data: 1, Parity: 1}}[w.rng.IntN(4)]
		for i := range policy.Holders() + 2 {
			h := &holder{id: wire.NodeID(fmt.Sprintf("m%d", i))}
			h.restart()
			w.holders = append(w.holders, h)
		}
		w.cfg = wire.RegionConfig{PID: pid, Region: no, Epoch: 1, Config: 1, Policy: policy}
		for i := range policy.Holders() {
			w.cfg.Holders = append(w.cfg.Holders, wire.Holder{Node: w.holders[i].id, Member: w.holders[i].member, Index: uint32(i)})
		}
		w.owner()
		w.takeConfig(true)
		for range 600 {
			w.step()
		}
		w.lossy = false
		for _, h := range w.holders {
			h.down = false
		}
		w.right()
		quiet := func() bool {
			return w.whole() && len(w.pending)+len(w.reads)+len(w.flushes)+len(w.unmaps)+len(w.unmapping)+len(w.net)+len(w.answers) == 0
		}
		for n := 0; !quiet(); n++ {
			if w.step(); n > 50_000 {
				t.Fatalf("still %v pending, %d reads, %d flushes, %d unmaps, %d messages: %+v\n%s%s", w.pending, len(w.reads), len(w.flushes), len(w.unmaps), len(w.net), w.p.Status(slot), w.p.Show(), w.c.Show())
			}
		}
		if len(w.store) > 0 {
			t.Fatalf("the owner still has %v", w.store)
		}
		for _, c := range w.cfg.Holders {
			h := w.holder(c.Node)
			for p := first; p < first+pages; p++ {
				line, at, _ := h.PlaceOf(pid, p)
				s, have := h.store[place{line, at}]
				if v := w.acked[p]; v != 0 && (!have || s.page != p || s.version != v || s.index != c.Index) {
					t.Fatalf("page %d: version %d was written last, %s has %+v", p, v, h.id, s)
				}
			}
			if n, most := len(h.lines()), (pages+int(policy.Data)-1)/int(policy.Data); n > most {
				t.Fatalf("%s has %d pages of its store for shares of %d pages", h.id, n, pages)
			}
		}
		if w.taped {
			w.tapes.Again(t, w.rng, func(_ string, head []byte) (taped.Core, error) {
				var h TapeHead
				if err := wire.Unmarshal(head, &h); err != nil {
					return nil, err
				}
				return h.New()
			})
		}
		served, made, zeros, owners, killed, wrong = served+w.served, made+w.made, zeros+w.zeros, owners+w.owners, killed+w.killed, wrong+w.wrong
		unknown, early = unknown+w.unknown, early+w.early
		computed += w.c.Stats().Computed
	})
	t.Logf("%d calls answered, %d pages made of shares, %d of them by the last owner with parity, %d zeros, %d owners and %d holders killed, %d pages of wrong shares, %d flushes before it was known whether they are new, %d taken before all was listed", served, made, computed, zeros, owners, killed, wrong, unknown, early)
	if few := 1000; made > few && (computed == 0 || zeros == 0 || owners == 0 || killed == 0 || wrong == 0 || unknown == 0 || early == 0) {
		t.Error("these worlds show nothing")
	}
}

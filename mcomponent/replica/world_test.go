package replica

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/mcomponent/pagestore"
	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

const (
	pid    = wire.PID(7)
	region = wire.RegionNo(1)
	pages  = 16
	first  = wire.PageNo(pages)
)

// content is what a holder's store or file has of a page: its version stands for its bytes.
type content map[wire.PageNo]uint64

// holder is an mComponent that holds.
type holder struct {
	id     wire.NodeID
	member wire.Epoch
	*TapedHolder
	store *pages_
	disks *disks
	saves []Save
	step  *FileStep // under way
	down  bool
	tapes *tapedtest.Tapes
}

// pages_ is a page store; a version stands for the bytes of a page.
type pages_ struct {
	*pagestore.Store
	bytes map[pagestore.Frame]uint64
}

func newPages() *pages_ {
	return &pages_{pagestore.New(2*pages + 4), map[pagestore.Frame]uint64{}}
}

const slot = uint32(region)

// version gives a page as it is.
func (s *pages_) version(page wire.PageNo) (uint64, bool) {
	if f, c, ok := s.Peek(pid, page); ok && c.Flushed {
		return s.bytes[f], true
	}
	return 0, false
}

func (h *holder) restart(o Options) {
	h.member++
	h.TapedHolder = &TapedHolder{Holder: NewHolder(o, h.id, pages*wire.PageSize)}
	if h.tapes != nil {
		h.Record(h.tapes, h.Holder, HolderTapeKind, &HolderTapeHead{h.id, pages * wire.PageSize, o})
	}
	h.Registered(h.member)
	h.store, h.saves, h.step = newPages(), nil, nil
}

// serve executes a message as a shell does.
func (h *holder) serve(e packet) (a Answer) {
	kind := func(err error) Answer {
		if err != nil {
			a.Err = wire.Errorf(wire.KindOf(err), "%v", err)
		}
		return a
	}
	switch e.Kind {
	case Open:
		o, err := h.TapedHolder.Open(*e.Open)
		if err == nil && o.New {
			h.Add(*e.Open, slot)
		} else if err == nil && o.Free {
			h.store.FreeGroup(slot, 100)
		}
		if k := h.Kept(slot); err == nil && k.Known {
			h.store.Cut(slot, k.Cut)
		}
		return kind(err)
	case Send:
		for _, w := range e.writes {
			_, act, err := h.Write(w, h.store.Free() > 0)
			if err != nil {
				return kind(err)
			}
			c := pagestore.Content{Epoch: w.ProcessEpoch, Version: w.Version, Flushed: true}
			switch {
			case act == Store:
				f, ok := h.store.Put(slot, pid, w.Page, c)
				if !ok {
					panic("no frame")
				}
				h.store.bytes[f] = w.Version
			case act == Keep:
				f, a := h.store.Keep(slot, pid, w.Page, c, w.Pre)
				if a != pagestore.Apply {
					panic(fmt.Sprintf("the store does not keep page %d: %d", w.Page, a))
				}
				h.store.bytes[f] = w.Version
			case act == Discard:
				h.store.Remove(pid, w.Page)
			case act == Skip && w.Pre == 0, act == Aside:
				h.store.Unmap(slot, pid, w.Page, 1)
				a.Skipped = act == Skip
			}
		}
	case Unmap:
		_, ok, err := h.TapedHolder.Unmap(*e.Unmap)
		if ok {
			h.store.Unmap(slot, pid, wire.PageNo(e.Unmap.Start>>wire.PageShift), e.Unmap.Length>>wire.PageShift)
		}
		return kind(err)
	case Cut:
		_, ok, err := h.TapedHolder.Cut(*e.Cut)
		if ok && e.Cut.Back {
			_, _, err = h.store.Rollback(slot, e.Cut.Cut)
		} else if ok {
			h.store.Cut(slot, e.Cut.Cut)
		}
		return kind(err)
	case Drop:
		if _, ok, _ := h.TapedHolder.Drop(*e.Drop); ok {
			h.store.FreeGroup(slot, 100)
		}
	}
	return a
}

// was gives what a new owner would find of a page after it went back to a checkpoint.
func (h *holder) was(t *rapid.T, page wire.PageNo, to wire.Cut) (v uint64, lost bool) {
	for _, it := range h.items(t, page) {
		if it.Pre == 0 && !to.Covers(it.Epoch, it.Version) {
			continue
		}
		if it.Pre != 0 && it.Pre != to.Pre() {
			t.Fatalf("%s keeps page %d of checkpoint %d, the last is %+v", h.id, page, it.Pre-1, to)
		}
		v, lost = it.Version, it.State == wire.PageLost
	}
	return v, lost
}

// items gives what is here of a page, and checks that its bytes are.
func (h *holder) items(t *rapid.T, page wire.PageNo) []Item {
	r := h.regions[key{pid, region}]
	if r == nil {
		return nil
	}
	items, _, err := h.Read(wire.ReplicaRead{PID: pid, Region: region, Page: page, OwnerEpoch: r.epoch, Config: r.config, Count: 1, Flags: wire.ReplicaExact}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		got, _ := h.store.version(page)
		if f, _, _, ok := h.store.PeekKept(slot, page); it.Pre != 0 && ok {
			got = h.store.bytes[f]
		}
		if it.Saved {
			got = h.disks.volumes[it.File].blocks[it.Block]
		}
		if it.State != wire.PageLost && got != it.Version {
			t.Fatalf("%s: page %d (of checkpoint %d) is to be version %d, and its bytes (saved %t) are of %d", h.id, page, int(it.Pre)-1, it.Version, it.Saved, got)
		}
	}
	return items
}

// version gives what a new owner would find of a page here.
func (h *holder) version(t *rapid.T, page wire.PageNo) (v uint64, lost bool) {
	for _, it := range h.items(t, page) {
		if it.Pre != 0 {
			continue
		}
		return it.Version, it.State == wire.PageLost
	}
	return 0, false
}

// packet is a message on its way.
type packet struct {
	Effect
	writes []wire.ReplicaWrite // of a Send
}

// world is an owner, its holders, and who decides about them.
type world struct {
	t       *rapid.T
	rng     *rand.Rand
	o       Options
	now     time.Duration
	p       *TapedPrimary
	tapes   tapedtest.Tapes
	taped   bool
	holders []*holder
	cfg     wire.RegionConfig
	net     []packet // may be delivered often and in any order
	answers []reply
	awaited map[uint64]bool
	lossy   bool

	disks      disks
	again      int     // questions for what was in a file that a holder leaves
	pages      *pages_ // at the owner
	next, call uint64
	sent       map[uint64]flushed // by call
	unmaps     map[uint64]wire.PageNo
	acked      content
	busy       map[wire.PageNo]bool // flushes or unmaps that wait
	done       int

	epoch     wire.Epoch // of the process
	cut       wire.Cut   // the last that is saved
	then      content    // what was acknowledged then
	cutting   bool       // a cut is saved
	telling   uint64     // the call by which the owner tells of it, or goes back
	goingBack bool
	fell      map[uint64]bool // calls of a process that is gone
	backs     int
	cuts      bool
}

type reply struct {
	id uint64
	a  Answer
}

type flushed struct {
	page    wire.PageNo
	version uint64
}

func (w *world) member(h *holder, filling bool) wire.Holder {
	return wire.Holder{Node: h.id, Member: h.member, Filling: filling}
}

func (w *world) holder(id wire.NodeID) *holder {
	for _, h := range w.holders {
		if h.id == id {
			return h
		}
	}
	return nil
}

func (w *world) perform(out []Effect) {
	for i := 0; i < len(out); i++ {
		e := out[i]
		switch e.Kind {
		case Open, Send, Unmap, Cut, Drop:
			m := packet{Effect: e}
			if e.Kind == Send {
				q := e.Write
				if _, c, ok := w.pages.Peek(pid, q.Page); ok && c.Flushed {
					q.ProcessEpoch, q.Version = c.Epoch, c.Version
					m.writes = append(m.writes, q)
				} else if q.Flags&wire.ReplicaLost != 0 {
					m.writes = append(m.writes, q)
				}
				if _, c, mark, ok := w.pages.PeekKept(slot, q.Page); ok && e.Kept {
					q.ProcessEpoch, q.Version, q.Pre, q.Flags = c.Epoch, c.Version, mark, q.Flags&^wire.ReplicaLost
					m.writes = append(m.writes, q)
				}
				if len(m.writes) == 0 {
					out = w.p.Answered(w.now, e.ID, Answer{}, out)
					continue
				}
			}
			if e.Kind == Open {
				m.Open.Kept.Cut, m.Open.Kept.Known = w.pages.Checkpoint(slot)
				m.Open.Kept.Process = w.epoch
				m.Open.Owner, m.Open.Addr = "owner", "inproc:owner"
			}
			if e.Kind != Drop {
				w.awaited[e.ID] = true
			}
			w.net = append(w.net, m)
		case List:
			out = w.p.Listed(w.now, e.Slot, append(w.pages.Pages(slot, nil), w.pages.Keeps(slot)...), out)
		case Ack:
			w.ack(e.Waiter)
		case Fail:
			if w.fell[e.Waiter] {
				continue
			}
			w.t.Fatalf("call %d failed: %v", e.Waiter, e.Err)
		}
		if err := w.p.CheckInvariants(); err != nil && i == len(out)-1 {
			w.t.Fatal(err)
		}
	}
}

// ack checks what was promised: every holder of the configuration that the owner knows has it.
func (w *world) ack(call uint64) {
	w.done++
	if w.fell[call] {
		return
	}
	if call == w.telling {
		w.heard()
		return
	}
	if page, ok := w.unmaps[call]; ok {
		delete(w.unmaps, call)
		delete(w.busy, page)
		for _, c := range w.cfg.Holders {
			if h := w.holder(c.Node); h.member == c.Member {
				if v, lost := h.version(w.t, page); v != 0 || lost {
					w.t.Fatalf("page %d is unmapped, and %s has version %d of it", page, h.id, v)
				}
			}
		}
		return
	}
	f, ok := w.sent[call]
	if !ok {
		w.t.Fatalf("call %d is answered twice", call)
	}
	delete(w.sent, call)
	if v, _ := w.pages.version(f.page); v != f.version {
		return // it was unmapped, or flushed again
	}
	delete(w.busy, f.page)
	w.acked[f.page] = f.version
	w.promised(f.page)
}

// heard checks what a checkpoint, or the way back to one, has promised: every holder in sync can go back, or is what it was.
func (w *world) heard() {
	w.telling, w.cutting = 0, false
	for _, h := range w.inSync() {
		for p := first; p < first+pages && w.goingBack; p++ {
			if v, lost := h.version(w.t, p); v != w.then[p] {
				w.t.Fatalf("back at %+v: page %d was version %d, %s has %d (lost %t)", w.cut, p, w.then[p], h.id, v, lost)
			}
		}
	}
	w.goingBack = false
	w.goesBack()
}

func (w *world) inSync() (list []*holder) {
	for _, c := range w.cfg.Holders {
		if h := w.holder(c.Node); h.member == c.Member && !c.Filling {
			list = append(list, h)
		}
	}
	return list
}

// goesBack checks that every holder in sync, and the owner, can go back to the last checkpoint of which all have heard.
func (w *world) goesBack() {
	if w.cut.Number == 0 || w.cutting || w.goingBack {
		return
	}
	for _, h := range w.inSync() {
		for p := first; p < first+pages; p++ {
			if v, lost := h.was(w.t, p, w.cut); v != w.then[p] || lost && (w.cfg.Policy.Kind != wire.MemoryLog || w.cfg.Policy.LogBlock) {
				w.t.Fatalf("page %d was version %d at %+v, %s would go back to %d (lost %t)", p, w.then[p], w.cut, h.id, v, lost)
			}
		}
	}
}

// checkpoint saves one, and tells of it.
func (w *world) checkpoint() {
	w.cutting = true
	w.cut = wire.Cut{Number: w.cut.Number + 1, Epoch: w.epoch, Version: w.next}
	w.then = content{}
	for p := first; p < first+pages; p++ {
		if v, ok := w.pages.version(p); ok {
			w.then[p] = v
		}
	}
}

func (w *world) tell() {
	w.call++
	w.telling = w.call
	w.pages.Cut(slot, w.cut)
	w.perform(w.p.Cut(w.now, 1, w.cut, w.epoch, w.call, nil))
}

// back is a process that is lost and goes on from its last checkpoint, which the owner may not have heard of.
func (w *world) back() {
	w.backs++
	for call := range w.sent {
		w.fell[call] = true
	}
	for call := range w.unmaps {
		w.fell[call] = true
	}
	if w.telling != 0 {
		w.fell[w.telling] = true
	}
	clear(w.sent)
	clear(w.unmaps)
	clear(w.busy)
	w.epoch += 3
	if _, _, err := w.pages.Rollback(slot, w.cut); err != nil {
		w.t.Fatal(err)
	}
	w.acked = content{}
	for p := first; p < first+pages; p++ {
		v, ok := w.pages.version(p)
		if v != w.then[p] {
			w.t.Fatalf("the owner went back to version %d of page %d, want %d", v, p, w.then[p])
		}
		if ok {
			w.acked[p] = v
		}
	}
	w.goingBack = true
	w.call++
	w.telling = w.call
	w.perform(w.p.Rollback(w.now, 1, w.cut, w.epoch, w.call, nil))
}

func (w *world) promised(page wire.PageNo) {
	for _, c := range w.cfg.Holders {
		h := w.holder(c.Node)
		if h.member != c.Member || c.Filling {
			continue // lost with its process, or not in sync yet
		}
		if v, lost := h.version(w.t, page); v < w.acked[page] {
			w.t.Fatalf("page %d: version %d is acknowledged, %s has %d (lost %t)", page, w.acked[page], h.id, v, lost)
		} else if lost && (w.cfg.Policy.Kind != wire.MemoryLog || w.cfg.Policy.LogBlock) {
			w.t.Fatalf("page %d: %s has lost version %d", page, h.id, v)
		}
	}
}

// configure is GMM: it takes out who was started again or does not answer, and takes as in sync who is said to be.
func (w *world) configure() {
	s := w.p.Status(1)
	cfg := w.cfg
	cfg.Holders = nil
	used := map[wire.NodeID]bool{}
	for _, c := range w.cfg.Holders {
		h := w.holder(c.Node)
		if h.down || h.member != c.Member {
			continue // one that was started again may be taken anew, at once
		}
		used[h.id] = true
		for _, id := range s.InSync {
			if id == h.id && s.Config == w.cfg.Config {
				c.Filling = false
			}
		}
		cfg.Holders = append(cfg.Holders, c)
	}
	for _, h := range w.holders {
		if len(cfg.Holders) < int(cfg.Policy.Copies) && !h.down && !used[h.id] {
			cfg.Holders = append(cfg.Holders, w.member(h, true))
			used[h.id] = true
		}
	}
	if fmt.Sprint(cfg) == fmt.Sprint(w.cfg) {
		return
	}
	cfg.Config++
	w.cfg = cfg
	w.perform(w.p.Configure(w.now, 1, cfg, nil))
}

func (w *world) step() {
	w.now += time.Duration(w.rng.IntN(4)) * time.Millisecond
	page := first + wire.PageNo(w.rng.IntN(pages))
	still := w.cutting || w.goingBack // the process stands still
	switch n := w.rng.IntN(32); {
	case n >= 30 && w.lossy && !still && w.cuts && len(w.sent)+len(w.unmaps) == 0:
		w.checkpoint()
		fallthrough
	case n >= 30 && w.cutting && w.telling == 0 && (!w.lossy || w.rng.IntN(2) == 0):
		if !w.lossy || w.rng.IntN(4) > 0 {
			w.tell()
		}
	case n >= 30 && w.lossy && w.cut.Number > 0 && w.rng.IntN(6) == 0:
		w.back()
	case n < 8 && w.lossy && len(w.sent) < 20 && !still:
		if w.unmapping(page) {
			break
		}
		f, act := w.pages.Flush(slot, pid, page, w.epoch, w.next+1, 0)
		if act != pagestore.Apply {
			break
		}
		w.next++
		w.call++
		w.pages.bytes[f] = w.next
		w.sent[w.call] = flushed{page, w.next}
		w.busy[page] = true
		w.perform(w.p.Write(w.now, 1, page, w.call, nil))
	case n == 8 && w.lossy && !w.unmapping(page) && !still:
		w.call++
		w.pages.Unmap(slot, pid, page, 1)
		delete(w.acked, page)
		w.unmaps[w.call] = page
		w.busy[page] = true
		w.perform(w.p.Unmap(w.now, 1, uint64(page)<<wire.PageShift, wire.PageSize, w.call, nil))
	case n < 20 && len(w.net) > 0:
		i := w.rng.IntN(len(w.net))
		e := w.net[i]
		if !w.lossy || w.rng.IntN(5) > 0 { // else it comes again
			w.net = append(w.net[:i], w.net[i+1:]...)
		}
		h := w.holder(e.To.Node)
		lost := w.lossy && w.rng.IntN(6) == 0
		if h.down || lost && w.rng.IntN(2) == 0 {
			w.answer(e.ID, Answer{Err: wire.Errorf(wire.KindTimeout, "no answer")})
			break
		}
		a := h.serve(e)
		if err := errors.Join(h.CheckInvariants(), h.store.CheckInvariants()); err != nil {
			w.t.Fatal(err)
		}
		if lost {
			a = Answer{Err: wire.Errorf(wire.KindTimeout, "no answer")}
		}
		if e.Kind != Drop {
			w.answer(e.ID, a)
		}
	case n < 26 && len(w.answers) > 0:
		i := w.rng.IntN(len(w.answers))
		a := w.answers[i]
		w.answers = append(w.answers[:i], w.answers[i+1:]...)
		w.perform(w.p.Answered(w.now, a.id, a.a, nil))
	case n == 26:
		for range 1 + w.rng.IntN(12) { // it is as fast as messages are
			w.save(w.holders[w.rng.IntN(len(w.holders))])
		}
	case n == 27 && w.lossy && w.rng.IntN(6) == 0:
		h := w.holders[w.rng.IntN(len(w.holders))]
		if w.rng.IntN(2) == 0 {
			h.restart(w.o)
		}
		h.down = w.rng.IntN(2) == 0
	case n == 28:
		w.configure()
	default:
		w.perform(w.p.Tick(w.now, nil))
	}
	if w.goingBack {
		return
	}
	for page := range w.acked {
		w.promised(page)
	}
	w.goesBack()
}

func (w *world) unmapping(page wire.PageNo) bool {
	for _, p := range w.unmaps {
		if p == page {
			return true
		}
	}
	return false
}

func (w *world) answer(id uint64, a Answer) {
	if w.awaited[id] {
		delete(w.awaited, id)
		w.answers = append(w.answers, reply{id, a})
	}
}

// TestWorlds: whatever is lost, doubled, late or started again, what was acknowledged is at every holder in sync, an unmapped page at none, and when all is
// well again everybody gets an answer and every holder has what the owner has.
func TestWorlds(t *testing.T) {
	backs, done, again, filled, skipped, saved := 0, 0, 0, uint64(0), uint64(0), uint64(0)
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, rng: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)), o: DefaultOptions(), awaited: map[uint64]bool{}, lossy: true,
			pages: newPages(), epoch: 1, fell: map[uint64]bool{}, cuts: true, sent: map[uint64]flushed{}, unmaps: map[uint64]wire.PageNo{}, acked: content{}, busy: map[wire.PageNo]bool{}}
		w.o.WindowMessages = 2 + w.rng.IntN(6)
		w.o.CheckMS, w.o.AgainMS = 100, 20
		w.o.LogBytes = uint64(4+w.rng.IntN(pages)) * wire.PageSize
		w.o.FileBytes = uint64(pages+w.rng.IntN(pages)) * wire.PageSize
		w.disks.volumes = map[wire.VolumeID]*disk{}
		policy := wire.MemoryPolicy{Kind: wire.MemorySync, Copies: uint32(1 + w.rng.IntN(2))}
		if w.rng.IntN(2) == 0 {
			policy = wire.MemoryPolicy{Kind: wire.MemoryLog, Copies: 1, LogBlock: w.rng.IntN(2) == 0}
		}
		w.tapes.Scratch = []string{"spare"} // used again, whatever is in it
		w.p = &TapedPrimary{Primary: NewPrimary(w.o)}
		if w.taped = w.rng.IntN(6) == 0; w.taped { // it takes its time
			w.p.Record(&w.tapes, w.p.Primary, PrimaryTapeKind, &PrimaryTapeHead{"m9", w.o})
		}
		for i := range 4 {
			h := &holder{id: wire.NodeID(fmt.Sprintf("m%d", i)), disks: &w.disks}
			if w.taped {
				h.tapes = &w.tapes
			}
			h.restart(w.o)
			w.holders = append(w.holders, h)
		}
		w.cfg = wire.RegionConfig{PID: pid, Region: region, Epoch: 1, Config: 1, Policy: policy}
		for i := range int(policy.Copies) {
			w.cfg.Holders = append(w.cfg.Holders, w.member(w.holders[i], false))
		}
		w.perform(w.p.Configure(0, 1, w.cfg, nil))
		for range 300 {
			w.step()
		}
		w.lossy = false
		for _, h := range w.holders {
			h.down = false
		}
		quiet := func() bool {
			s := w.p.Status(1)
			for _, c := range w.cfg.Holders { // what it had in files that are gone, or drain, is elsewhere
				if h := w.holder(c.Node); h.leaving() || h.current() != nil && w.disks.volumes[h.current().at.Volume].drains {
					return false
				}
			}
			return !w.cutting && !w.goingBack && len(w.sent) == 0 && len(w.unmaps) == 0 && len(w.net) == 0 && len(w.answers) == 0 && s.Config == w.cfg.Config && len(s.InSync) == int(policy.Copies)
		}
		for n := 0; !quiet(); n++ {
			if w.step(); n > 50_000 {
				t.Fatalf("still %d flushes and %d unmaps wait, %d messages: %+v", len(w.sent), len(w.unmaps), len(w.net), w.p.Status(1))
			}
		}
		for again := true; again; { // one that was started again may be found out only now, and another is filled
			last := w.cfg.Config
			w.configure()
			again = w.cfg.Config != last
			for n := 0; !quiet(); n++ {
				if w.step(); n > 50_000 {
					t.Fatalf("it does not open the last configuration: %+v", w.p.Status(1))
				}
			}
		}
		for _, c := range w.cfg.Holders {
			if c.Filling {
				t.Fatalf("%s is being filled still", c.Node)
			}
			h := w.holder(c.Node)
			for p := first; p < first+pages; p++ {
				want, _ := w.pages.version(p)
				if v, lost := h.version(t, p); v != want {
					t.Fatalf("page %d: the owner has version %d, %s %d (lost %t)", p, want, h.id, v, lost)
				}
			}
			skipped += h.Stats().Skipped
			saved += h.Stats().Saved
		}
		w.tapes.Again(t, w.rng, func(kind string, head []byte) (taped.Core, error) {
			if kind == PrimaryTapeKind {
				var h PrimaryTapeHead
				if err := wire.Unmarshal(head, &h); err != nil {
					return nil, err
				}
				return h.New()
			}
			var h HolderTapeHead
			if err := wire.Unmarshal(head, &h); err != nil {
				return nil, err
			}
			return h.New()
		})
		done += w.done
		backs += w.backs
		again += w.again
		filled += w.p.Stats().Filled
	})
	if backs == 0 || done == 0 || filled == 0 || skipped == 0 || saved == 0 || again == 0 {
		t.Errorf("%d went back, %d calls answered, %d pages filled, %d skipped, %d saved, %d asked for again: these worlds show nothing", backs, done, filled, skipped, saved, again)
	}
}

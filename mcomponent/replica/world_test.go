package replica

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
	store content
	disks *disks
	saves []Save
	step  *FileStep // under way
	room  int
	down  bool
	tapes *tapedtest.Tapes
}

func (h *holder) restart(o Options) {
	h.member++
	h.TapedHolder = &TapedHolder{Holder: NewHolder(o, h.id, pages*wire.PageSize)}
	if h.tapes != nil {
		h.Record(h.tapes, h.Holder, HolderTapeKind, &HolderTapeHead{h.id, pages * wire.PageSize, o})
	}
	h.Registered(h.member)
	h.store, h.saves, h.step = content{}, nil, nil
}

// serve executes a message as a shell does.
func (h *holder) serve(e Effect) (a Answer) {
	kind := func(err error) Answer {
		if err != nil {
			a.Err = wire.Errorf(wire.KindOf(err), "%v", err)
		}
		return a
	}
	switch e.Kind {
	case Open:
		o, err := h.TapedHolder.Open(e.Open)
		if err == nil && o.New {
			h.Add(e.Open, uint32(e.Open.Region))
		} else if err == nil && o.Free {
			h.store = content{}
		}
		return kind(err)
	case Send:
		_, act, err := h.Write(e.Write, len(h.store) < h.room)
		switch {
		case err != nil:
		case act == Store:
			h.store[e.Write.Page] = e.Write.Version
		case act == Skip:
			delete(h.store, e.Write.Page)
			a.Skipped = true
		case act == Discard:
			delete(h.store, e.Write.Page)
		}
		return kind(err)
	case Unmap:
		_, ok, err := h.TapedHolder.Unmap(e.Unmap)
		if ok {
			for p := range h.store {
				if at := uint64(p) << wire.PageShift; at >= e.Unmap.Start && at-e.Unmap.Start < e.Unmap.Length {
					delete(h.store, p)
				}
			}
		}
		return kind(err)
	case Drop:
		if _, ok, _ := h.TapedHolder.Drop(e.Drop); ok {
			h.store = content{}
		}
	}
	return a
}

// version gives what a new owner would find of a page here.
func (h *holder) version(t *rapid.T, page wire.PageNo) (v uint64, lost bool) {
	r := h.regions[key{pid, region}]
	if r == nil {
		return 0, false
	}
	items, _, err := h.Read(wire.ReplicaRead{PID: pid, Region: region, Page: page, OwnerEpoch: r.epoch, Config: r.config, Count: 1, Flags: wire.ReplicaExact}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		if it.State == wire.PageLost {
			return it.Version, true
		}
		got := h.store[page]
		if it.Saved {
			got = h.disks.volumes[it.File].blocks[it.Block]
		}
		if got != it.Version {
			t.Fatalf("%s: page %d is to be version %d, and its bytes (saved %t) are of %d", h.id, page, it.Version, it.Saved, got)
		}
		v = it.Version
	}
	return v, false
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
	net     []Effect // may be delivered often and in any order
	answers []reply
	awaited map[uint64]bool
	lossy   bool

	disks      disks
	pages      content // at the owner
	next, call uint64
	sent       map[uint64]flushed // by call
	unmaps     map[uint64]wire.PageNo
	acked      content
	busy       map[wire.PageNo]bool // flushes or unmaps that wait
	done       int
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
		case Open, Send, Unmap, Drop:
			if e.Kind == Send && e.Write.Flags&wire.ReplicaLost == 0 {
				v, ok := w.pages[e.Write.Page]
				if !ok {
					out = w.p.Answered(w.now, e.ID, Answer{}, out)
					continue
				}
				e.Write.ProcessEpoch, e.Write.Version = 1, v
			}
			if e.Kind != Drop {
				w.awaited[e.ID] = true
			}
			w.net = append(w.net, e)
		case List:
			var list []wire.PageNo
			for p := first; p < first+pages; p++ {
				if _, ok := w.pages[p]; ok {
					list = append(list, p)
				}
			}
			out = w.p.Listed(w.now, e.Slot, list, out)
		case Ack:
			w.ack(e.Waiter)
		case Fail:
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
	if w.pages[f.page] != f.version {
		return // it was unmapped, or flushed again
	}
	delete(w.busy, f.page)
	w.acked[f.page] = f.version
	w.promised(f.page)
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
		used[h.id] = true
		if h.down || h.member != c.Member {
			continue
		}
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
	switch n := w.rng.IntN(30); {
	case n < 8 && w.lossy && len(w.sent) < 20:
		if w.unmapping(page) {
			break
		}
		w.next++
		w.call++
		w.pages[page] = w.next
		w.sent[w.call] = flushed{page, w.next}
		w.busy[page] = true
		w.perform(w.p.Write(w.now, 1, page, w.call, nil))
	case n == 8 && w.lossy && !w.unmapping(page):
		w.call++
		delete(w.pages, page)
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
		if err := h.CheckInvariants(); err != nil {
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
		h := w.holders[w.rng.IntN(len(w.holders))]
		w.save(h)
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
	for page := range w.acked {
		w.promised(page)
	}
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
	done, filled, skipped, saved := 0, uint64(0), uint64(0), uint64(0)
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, rng: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)), o: DefaultOptions(), awaited: map[uint64]bool{}, lossy: true,
			pages: content{}, sent: map[uint64]flushed{}, unmaps: map[uint64]wire.PageNo{}, acked: content{}, busy: map[wire.PageNo]bool{}}
		w.o.WindowMessages = 2 + w.rng.IntN(6)
		w.o.LogBytes = uint64(4+w.rng.IntN(pages)) * wire.PageSize
		w.o.FileBytes = uint64(pages+w.rng.IntN(pages)) * wire.PageSize
		w.disks.volumes = map[wire.VolumeID]*disk{}
		policy := wire.MemoryPolicy{Kind: wire.MemorySync, Copies: uint32(1 + w.rng.IntN(2))}
		if w.rng.IntN(2) == 0 {
			policy = wire.MemoryPolicy{Kind: wire.MemoryLog, Copies: 1, LogBlock: w.rng.IntN(2) == 0}
		}
		w.tapes.Scratch = []string{"sorted"} // made when it is asked for
		w.p = &TapedPrimary{Primary: NewPrimary(w.o)}
		if w.taped = w.rng.IntN(6) == 0; w.taped { // it takes its time
			w.p.Record(&w.tapes, w.p.Primary, PrimaryTapeKind, &PrimaryTapeHead{"m9", w.o})
		}
		for i := range 4 {
			h := &holder{id: wire.NodeID(fmt.Sprintf("m%d", i)), room: pages, disks: &w.disks}
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
			return len(w.sent) == 0 && len(w.unmaps) == 0 && len(w.net) == 0 && len(w.answers) == 0 && s.Config == w.cfg.Config && len(s.InSync) == int(policy.Copies)
		}
		for n := 0; !quiet(); n++ {
			if w.step(); n > 50_000 {
				t.Fatalf("still %d flushes and %d unmaps wait, %d messages: %+v", len(w.sent), len(w.unmaps), len(w.net), w.p.Status(1))
			}
		}
		w.configure()
		for n := 0; !quiet(); n++ {
			if w.step(); n > 50_000 {
				t.Fatalf("it does not open the last configuration: %+v", w.p.Status(1))
			}
		}
		for _, c := range w.cfg.Holders {
			if c.Filling {
				t.Fatalf("%s is being filled still", c.Node)
			}
			h := w.holder(c.Node)
			for p := first; p < first+pages; p++ {
				if v, lost := h.version(t, p); v != w.pages[p] {
					t.Fatalf("page %d: the owner has version %d, %s %d (lost %t)", p, w.pages[p], h.id, v, lost)
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
		filled += w.p.Stats().Filled
	})
	if done == 0 || filled == 0 || skipped == 0 || saved == 0 {
		t.Errorf("%d calls answered, %d pages filled, %d skipped, %d saved: these worlds show nothing", done, filled, skipped, saved)
	}
}

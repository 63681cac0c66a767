package recovery

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/replica"
	"splitkernel/mcomponent/vregion"
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

// node is an mComponent with the cores of redundancy; a version stands for the bytes of a page.
type node struct {
	id      wire.NodeID
	member  wire.Epoch
	down    bool
	dead    bool // to the managers; it may live on, and joins again with nothing
	owners  *vregion.Owners
	store   *pagestore.Store
	primary *replica.Primary
	holder  *replica.Holder
	rec     *Taped
	frames  map[pagestore.Frame]uint64
	file    map[uint32]uint64
	waiting map[uint64]func(*wire.Error) // flushes
	misses  map[uint64]func()            // that wait for a page
	call    uint64
}

// packet is a message on its way.
type packet struct {
	to     wire.NodeID
	serve  func(n *node) any
	answer func(any, *wire.Error)
	failed bool
}

type world struct {
	t                 *rapid.T
	rng               *rand.Rand
	now               time.Duration
	nodes             []*node
	net               []packet
	tapes             tapedtest.Tapes
	lossy             bool
	o                 Options
	ro                replica.Options
	cfg               wire.RegionConfig
	owner             *node
	order             *wire.RegionRecoverReq // that is not done
	policy            wire.MemoryPolicy
	home              wire.Owner // as the home has it
	client            wire.Owner // as the client has it
	kills             int
	next              uint64
	pending           map[wire.PageNo]uint64 // newest flush that is not acknowledged
	acked             map[wire.PageNo]uint64
	lost              map[wire.PageNo]bool // named as lost
	reads             int
	waited            int
	recovered, pulled int

	epoch     wire.Epoch // of the process
	cut       wire.Cut   // the last that is saved
	then      map[wire.PageNo]uint64
	cutting   bool // it is saved, and not everybody has heard
	goingBack bool
	asked     uint64
	askAt     map[wire.PageNo]time.Duration
	tellAt    time.Duration
	order2    uint64 // counts checkpoints and ways back: what is late of one is void
	unmapping map[wire.PageNo]uint64
	wiped     map[wire.PageNo]uint64 // versions up to this were unmapped
	backs     int
	kept      int
}

func (w *world) node(id wire.NodeID) *node {
	for _, n := range w.nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}

func (w *world) start(n *node) {
	vo := vregion.DefaultOptions()
	vo.RegionBytes = pages * wire.PageSize
	n.member++
	n.owners, n.store, n.primary = vregion.NewOwners(vo, n.id, 4), pagestore.New(3*pages), replica.NewPrimary(w.ro)
	n.holder, n.rec = replica.NewHolder(w.ro, n.id, vo.RegionBytes), nil
	n.frames, n.file = map[pagestore.Frame]uint64{}, map[uint32]uint64{}
	n.waiting, n.misses = map[uint64]func(*wire.Error){}, map[uint64]func(){}
	n.owners.Registered(n.member)
	n.holder.Registered(n.member)
	n.down, n.dead = false, false
}

func asWire(err error) *wire.Error {
	if err == nil {
		return nil
	}
	return wire.Errorf(wire.KindOf(err), "%v", err)
}

// send puts a message into the net; whoever sent it and was started again since hears nothing.
func (w *world) send(from *node, to wire.NodeID, serve func(n *node) any, answer func(any, *wire.Error)) {
	m := from.member
	w.net = append(w.net, packet{to: to, serve: serve, answer: func(v any, err *wire.Error) {
		if from.member == m && !from.down {
			answer(v, err)
		}
	}})
}

type opened struct {
	rep wire.ReplicaOpenRep
	err error
}

func (w *world) open(n *node, q wire.ReplicaOpenReq) opened {
	o, err := n.holder.Open(q)
	switch {
	case err != nil:
	case o.New:
		var slot uint32
		if slot, err = n.owners.Hold(q.PID, q.Region, q.Epoch, ""); err == nil {
			n.holder.Add(q, slot)
		}
	case o.Free:
		n.store.FreeGroup(o.Slot, 1<<20)
	}
	if slot, ok, _ := n.held(q); ok && err == nil {
		if k := n.holder.Kept(slot); k.Known {
			n.store.Cut(slot, k.Cut)
		}
	}
	return opened{o.Rep, err}
}

// held gives the slot of what is held.
func (n *node) held(q wire.ReplicaOpenReq) (uint32, bool, error) {
	o, err := n.holder.Open(q)
	return o.Slot, err == nil && !o.New, err
}

func (n *node) kept(slot uint32) (k wire.CutState) {
	k.Cut, k.Known = n.store.Checkpoint(slot)
	k.Process = n.owners.Process(slot)
	return k
}

// performPrimary does what the owner's side of redundancy wants.
func (w *world) performPrimary(n *node, out []replica.Effect) {
	for i := 0; i < len(out); i++ {
		e := out[i]
		answered := func(v any, err *wire.Error) {
			a := replica.Answer{Err: err}
			if err == nil {
				switch v := v.(type) {
				case opened:
					a.Err = asWire(v.err)
				case skipped:
					a.Err, a.Skipped = asWire(v.err), v.is
				case error:
					a.Err = asWire(v)
				}
			}
			w.performPrimary(n, n.primary.Answered(w.now, e.ID, a, nil))
		}
		switch e.Kind {
		case replica.Open:
			e.Open.Kept = n.kept(e.Slot)
			w.send(n, e.To.Node, func(h *node) any { return w.open(h, *e.Open) }, answered)
		case replica.Send:
			q := e.Write
			var qs []wire.ReplicaWrite
			if f, c, ok := n.store.Peek(pid, q.Page); ok && c.Flushed {
				q.ProcessEpoch, q.Version = c.Epoch, n.frames[f]
				qs = append(qs, q)
			} else if q.Flags&wire.ReplicaLost != 0 {
				qs = append(qs, q)
			}
			if f, c, mark, ok := n.store.PeekKept(e.Slot, q.Page); ok && e.Kept {
				q.ProcessEpoch, q.Version, q.Pre, q.Flags = c.Epoch, n.frames[f], mark, q.Flags&^wire.ReplicaLost
				qs = append(qs, q)
			} else if epoch, v, ok := n.primary.KeptLost(e.Slot, q.Page); ok && e.Kept {
				at, _ := n.store.Checkpoint(e.Slot)
				q.ProcessEpoch, q.Version, q.Pre, q.Flags = epoch, v, at.Pre(), q.Flags|wire.ReplicaLost
				qs = append(qs, q)
			}
			if len(qs) == 0 {
				out = n.primary.Answered(w.now, e.ID, replica.Answer{}, out)
				continue
			}
			w.send(n, e.To.Node, func(h *node) any {
				var s skipped
				for _, q := range qs {
					one := w.write(h, q)
					if one.err != nil {
						return one
					}
					s.is = s.is || one.is
				}
				return s
			}, answered)
		case replica.Unmap:
			q := *e.Unmap
			w.send(n, e.To.Node, func(h *node) any {
				slot, ok, err := h.holder.Unmap(q)
				if ok {
					h.store.Unmap(slot, pid, wire.PageNo(q.Start>>wire.PageShift), q.Length>>wire.PageShift)
				}
				return asError(err)
			}, answered)
		case replica.Cut:
			q := *e.Cut
			w.send(n, e.To.Node, func(h *node) any {
				slot, ok, err := h.holder.Cut(q)
				if ok && q.Back {
					_, _, err = h.store.Rollback(slot, q.Cut)
				} else if ok {
					h.store.Cut(slot, q.Cut)
				}
				return asError(err)
			}, answered)
		case replica.List:
			out = n.primary.Listed(w.now, e.Slot, append(n.store.Pages(e.Slot, nil), n.store.Keeps(e.Slot)...), out)
		case replica.Ack, replica.Fail:
			done := n.waiting[e.Waiter]
			delete(n.waiting, e.Waiter)
			done(e.Err)
		}
	}
	if err := n.primary.CheckInvariants(); err != nil {
		w.t.Fatal(err)
	}
}

type skipped struct {
	is  bool
	err error
}

func (w *world) write(h *node, q wire.ReplicaWrite) skipped {
	slot, a, err := h.holder.Write(q, h.store.Free() > 0)
	switch a {
	case replica.Store:
		if f, act := h.store.Flush(slot, pid, q.Page, q.ProcessEpoch, q.Version, 0); act == pagestore.Apply {
			h.frames[f] = q.Version
		} else {
			w.t.Fatalf("%s is to store page %d, and that is %d", h.id, q.Page, act)
		}
	case replica.Keep:
		f, act := h.store.Keep(slot, pid, q.Page, pagestore.Content{Epoch: q.ProcessEpoch, Version: q.Version}, q.Pre)
		if act != pagestore.Apply {
			w.t.Fatalf("%s is to keep page %d, and that is %d", h.id, q.Page, act)
		}
		h.frames[f] = q.Version
	case replica.Discard:
		h.store.Remove(pid, q.Page)
	case replica.Skip, replica.Aside:
		if q.Pre == 0 {
			h.store.Unmap(slot, pid, q.Page, 1)
		}
	}
	return skipped{a == replica.Skip && q.Pre == 0, err}
}

type pulled struct {
	items []replica.Item
	head  wire.ReplicaPages
	bytes []uint64
	err   error
}

func (w *world) read(h *node, q wire.ReplicaRead) pulled {
	items, head, err := h.holder.Read(q, nil)
	p := pulled{items: items, head: head, err: err}
	for _, it := range items {
		v := h.file[it.Block]
		if f, _, ok := h.store.Peek(pid, it.Page); !it.Saved && it.Pre == 0 && ok {
			v = h.frames[f]
		} else if slot, ok := h.owners.SlotOf(pid, region); !it.Saved && ok {
			if f, _, _, ok := h.store.PeekKept(slot, it.Page); ok && it.Pre != 0 {
				v = h.frames[f]
			}
		}
		if it.State == wire.PageFull && v != it.Version {
			w.t.Fatalf("%s: page %d is to be %d (saved %t), its bytes are of %d", h.id, it.Page, it.Version, it.Saved, v)
		}
		p.bytes = append(p.bytes, v)
	}
	return p
}

// perform does what a recovery wants.
func (w *world) perform(n *node, r *Taped, out []Effect) {
	for _, e := range out {
		answered := func(v any, err *wire.Error) {
			a := Answer{Err: err}
			switch v := v.(type) {
			case opened:
				a.Err, a.Pages, a.Kept = asWire(v.err), v.rep.Pages, v.rep.Kept
			case wire.RegionPartsRep:
				a.Parts = v
			case error:
				a.Err = asWire(v)
			case pulled:
				if a.Err, a.Next, a.More, a.Count = asWire(v.err), v.head.Next, v.head.More, len(v.items); v.err == nil {
					for i, it := range v.items {
						_, c, have := n.store.Peek(pid, it.Page)
						have = have && c.Flushed && (c.Epoch > it.Epoch || c.Epoch == it.Epoch && c.Version >= it.Version)
						as, mark := r.Take(it.PageEntry, have)
						lost := it.State == wire.PageLost
						switch {
						case as == Page && lost:
							n.primary.Lose(r.Slot(), it.Page, it.Epoch, it.Version)
						case as == Page:
							w.pulled++
							if f, act := n.store.Flush(r.Slot(), pid, it.Page, it.Epoch, it.Version, it.Sum); act == pagestore.Apply {
								n.frames[f] = v.bytes[i]
							}
						case as == Kept && lost:
							n.primary.LoseKept(r.Slot(), it.Page, it.Epoch, it.Version)
						case as == Kept:
							if f, act := n.store.Keep(r.Slot(), pid, it.Page, pagestore.Content{Epoch: it.Epoch, Version: it.Version, Sum: it.Sum}, mark); act == pagestore.Apply {
								w.kept++
								n.frames[f] = v.bytes[i]
							}
						}
					}
				}
			}
			w.perform(n, r, r.Answered(w.now, e.ID, a, nil))
		}
		switch e.Kind {
		case Fence:
			if e.To.Node == n.id {
				o, _ := n.holder.Open(e.Open)
				answered(opened{rep: o.Rep}, nil)
				continue
			}
			w.send(n, e.To.Node, func(h *node) any { return w.open(h, e.Open) }, answered)
		case Tell: // the home, and by it the client
			w.send(n, "home", func(*node) any {
				if e.Switch.Owner.Epoch < w.home.Epoch {
					return error(wire.Errorf(wire.KindStale, "it has a newer owner"))
				}
				w.home, w.client = e.Switch.Owner, e.Switch.Owner
				return error(nil)
			}, answered)
		case Parts:
			w.send(n, "home", func(*node) any {
				return wire.RegionPartsRep{Process: w.epoch, Mapped: []wire.MappedPart{{Start: uint64(first) << wire.PageShift, End: uint64(first+pages) << wire.PageShift}}}
			}, answered)
		case Serve:
			n.owners.Serve(r.Slot(), e.Mapped)
			if _, _, err := n.owners.Cut(wire.RegionCutReq{PID: pid, Region: region, Cut: wire.Cut{Epoch: e.Kept.Process}}, r.Req().Config.Epoch); err != nil {
				w.t.Fatal(err)
			}
			if e.Kept.Known {
				n.store.Cut(r.Slot(), e.Kept.Cut)
			}
			w.performPrimary(n, n.primary.Configure(w.now, r.Slot(), r.Req().Config, nil))
			if k := n.kept(r.Slot()); k.Known {
				n.primary.Knows(r.Slot(), k.Cut)
			}
			if w.policy.Kind == wire.MemorySync {
				n.holder.Forget(pid, region)
			}
		case Pull:
			if e.To.Node == n.id {
				answered(w.read(n, e.Read), nil)
				continue
			}
			w.send(n, e.To.Node, func(h *node) any { return w.read(h, e.Read) }, answered)
		case Wake:
			miss := n.misses[e.Waiter]
			delete(n.misses, e.Waiter)
			miss()
		case Complete:
			n.holder.Forget(pid, region)
		}
	}
	if err := r.CheckInvariants(); err != nil {
		w.t.Fatal(err)
	}
}

// flush is one of the client, which sends it until it is acknowledged.
func (w *world) flush(page wire.PageNo, version uint64) {
	c, epoch := w.client, w.epoch
	from := w.nodes[len(w.nodes)-1] // the client's own
	w.send(from, c.Node, func(n *node) any {
		slot, v := n.owners.Check(pid, page, c.Epoch)
		if v != vregion.Serve || n.owners.Superseded(slot, epoch) {
			return false
		}
		if v := w.unmapping[page]; v != 0 || w.wiped[page] >= version {
			return false // a process does not flush what it unmaps
		}
		if n.primary.Flushing(slot, page, epoch, version) {
			return true
		}
		if f, act := n.store.Flush(slot, pid, page, epoch, version, 0); act == pagestore.Apply {
			n.frames[f] = version
		}
		n.call++
		n.waiting[n.call] = func(err *wire.Error) {
			if err == nil && w.pending[page] == version && w.epoch == epoch {
				delete(w.pending, page)
				w.acked[page] = version
			}
		}
		w.performPrimary(n, n.primary.Write(w.now, slot, page, n.call, nil))
		return true
	}, func(any, *wire.Error) {})
}

// miss is one of the client: it gets the last acknowledged version, or one that is newer, or hears that the page is lost.
func (w *world) miss(page wire.PageNo) {
	c, epoch := w.client, w.epoch
	want := w.acked[page]
	if w.pending[page] != 0 || w.goingBack || w.unmapping[page] != 0 {
		return // its frame is kept
	}
	w.send(w.nodes[len(w.nodes)-1], c.Node, func(n *node) any {
		var serve func()
		serve = func() {
			slot, v := n.owners.Check(pid, page, c.Epoch)
			if v != vregion.Serve || n.owners.Superseded(slot, epoch) || w.unmapping[page] != 0 {
				return
			}
			if n.rec != nil && !n.rec.Ended() {
				n.call++
				call := n.call
				waits, out := n.rec.Miss(w.now, page, call, nil)
				if waits {
					w.waited++
					n.misses[call] = serve
				}
				w.perform(n, n.rec, out)
				if waits {
					return
				}
			}
			if n.primary.Lost(slot, page) != nil {
				if w.policy.Kind != wire.MemoryLog || w.policy.LogBlock {
					w.t.Fatalf("page %d is lost", page)
				}
				w.lost[page] = true
				return
			}
			f, _, act := n.store.Miss(slot, pid, page)
			got := n.frames[f]
			if act == pagestore.Fresh {
				n.frames[f], got = 0, 0
			}
			if epoch == w.epoch && c == w.client && (got > max(w.acked[page], w.pending[page]) || got < want && got <= w.wiped[page] && got != 0) {
				w.t.Fatalf("%s under epoch %d of process epoch %d: page %d is version %d, %d was acknowledged and %d is under way, up to %d unmapped", n.id, c.Epoch, epoch, page, got, w.acked[page], w.pending[page], w.wiped[page])
			}
			if got < want && c == w.client && epoch == w.epoch && w.wiped[page] < want {
				w.t.Fatalf("%s under epoch %d: page %d is version %d, %d was acknowledged", n.id, c.Epoch, page, got, want)
			}
			w.reads++
		}
		serve()
		return nil
	}, func(any, *wire.Error) {})
}

// kill ends the owner or a holder, if nothing is to be restored still, and gives the managers' answer.
func (w *world) kill() {
	n := w.nodes[w.rng.IntN(len(w.nodes)-1)]
	if n.down || !w.settled() {
		return
	}
	isHolder := false
	for _, h := range w.cfg.Holders {
		isHolder = isHolder || h.Node == n.id
	}
	if n != w.owner && !isHolder {
		return
	}
	w.kills++
	paused := w.rng.IntN(3) == 0 // it lives on for a while, and hears nothing of it
	n.down, n.dead = !paused, true

	cfg := w.cfg
	cfg.Config++
	cfg.Holders = nil
	var sources []wire.Holder
	if n == w.owner {
		cfg.Epoch += 3
		sources = append(sources, w.cfg.Holders...)
		old := w.owner
		if w.policy.Kind == wire.MemorySync {
			w.owner = w.node(sources[0].Node)
			cfg.Holders = append(cfg.Holders, sources[1:]...)
		} else {
			for w.owner == old || w.owner.down || w.owner.id == sources[0].Node && w.rng.IntN(4) > 0 {
				w.owner = w.nodes[w.rng.IntN(len(w.nodes)-1)]
			}
			if w.owner.dead {
				w.start(w.owner)
			}
			if w.owner.id != sources[0].Node {
				cfg.Holders = append(cfg.Holders, sources...)
			}
		}
	} else {
		for _, h := range w.cfg.Holders {
			if h.Node != n.id {
				cfg.Holders = append(cfg.Holders, h)
			}
		}
	}
	w.cfg = cfg
	if sources != nil {
		w.order = &wire.RegionRecoverReq{Config: cfg, Sources: sources, Self: w.owner.id, Member: w.owner.member}
	}
}

func (w *world) settled() bool {
	if w.order != nil || len(w.cfg.Holders) < int(w.policy.Copies) {
		return false
	}
	for _, h := range w.cfg.Holders {
		if h.Filling {
			return false
		}
	}
	s := w.owner.primary.Status(w.slot())
	return s.Config == w.cfg.Config && len(s.InSync) == int(w.policy.Copies)
}

func (w *world) slot() uint32 {
	slot, _ := w.owner.owners.Serving(pid, region, w.cfg.Epoch)
	return slot
}

// manage is what the managers do now and then: they order, ask, and choose holders anew.
func (w *world) manage() {
	if q := w.order; q != nil {
		n := w.owner
		if n.rec == nil || n.rec.Req().Config.Epoch != q.Config.Epoch {
			if _, _, err := n.holder.Promote(pid, region, q.Config.Epoch, q.Config.Config); err != nil {
				w.t.Fatal(err)
			}
			slot, err := n.owners.Recover(pid, region, q.Config.Epoch, "")
			if err != nil {
				w.t.Fatal(err)
			}
			n.rec = &Taped{Recovery: New(w.o, *q, slot, first, pages, "")}
			n.rec.Record(&w.tapes, n.rec.Recovery, TapeKind, &TapeHead{w.o, *q, slot, first, pages, ""})
			w.perform(n, n.rec, n.rec.Begin(w.now, nil))
		}
		switch s := n.rec.Status(0, nil); s.State {
		case wire.RecoverDone:
			w.recovered++
			w.order = nil
		case wire.RecoverFailed:
			w.t.Fatalf("%+v", s)
		}
		return
	}
	s := w.owner.primary.Status(w.slot())
	cfg := w.cfg
	cfg.Holders = append([]wire.Holder(nil), cfg.Holders...)
	changed := false
	for i := range cfg.Holders {
		for _, id := range s.InSync {
			if h := &cfg.Holders[i]; h.Filling && h.Node == id && s.Config == w.cfg.Config {
				h.Filling, changed = false, true
			}
		}
	}
	for _, n := range w.nodes[:len(w.nodes)-1] {
		used := n == w.owner || n.down
		for _, h := range cfg.Holders {
			used = used || h.Node == n.id
		}
		if !used && len(cfg.Holders) < int(w.policy.Copies) {
			w.start(n) // whatever it had is lost with its membership
			cfg.Holders = append(cfg.Holders, wire.Holder{Node: n.id, Member: n.member, Filling: true})
			changed = true
		}
	}
	if changed {
		cfg.Config++
		w.cfg = cfg
	}
	if slot, err := w.owner.owners.Serving(pid, region, w.cfg.Epoch); err == nil {
		w.performPrimary(w.owner, w.owner.primary.Configure(w.now, slot, w.cfg, nil))
	}
}

func (w *world) step() {
	w.now += time.Duration(w.rng.IntN(3)) * time.Millisecond
	page := first + wire.PageNo(w.rng.IntN(pages))
	still := w.cutting || w.goingBack
	switch n := w.rng.IntN(44); {
	case n >= 42:
		w.checkpoints()
	case n >= 40:
		w.unmap(page, w.lossy && !still && w.rng.IntN(3) == 0)
	case n < 5 && w.lossy && w.pending[page] == 0 && !still && w.unmapping[page] == 0:
		w.next++
		w.pending[page] = w.next
		delete(w.lost, page)
		w.flush(page, w.next)
	case n < 8:
		if v := w.pending[page]; v != 0 {
			w.flush(page, v)
		}
	case n < 12:
		w.miss(page)
	case n < 32 && len(w.net) > 0:
		i := w.rng.IntN(len(w.net))
		p := w.net[i]
		if again := w.lossy && w.rng.IntN(8) == 0; !again {
			w.net = append(w.net[:i], w.net[i+1:]...)
		} else {
			w.net[i].failed = true // one answer each
		}
		to := w.node(p.to)
		lost := w.lossy && w.rng.IntN(8) == 0
		answer := func(v any, err *wire.Error) {
			if !p.failed {
				p.answer(v, err)
			}
		}
		if to != nil && to.down || lost && w.rng.IntN(2) == 0 {
			answer(nil, wire.Errorf(wire.KindTimeout, "no answer"))
			break
		}
		v := p.serve(to)
		if lost {
			answer(nil, wire.Errorf(wire.KindTimeout, "no answer"))
			break
		}
		answer(v, nil)
	case n == 32 && w.lossy && w.rng.IntN(3) == 0:
		w.kill()
	case n == 33:
		for _, n := range w.nodes {
			if n.down && !w.busy(n) {
				w.start(n)
			}
		}
	case n < 36:
		w.manage()
	case n == 36:
		for _, n := range w.nodes {
			if n.down {
				continue
			}
			if s, ok := n.holder.NextFile(w.now); ok { // of GSM and the sComponents there is only what works
				n.holder.FileDone(w.now, s, wire.ReplicaFile{Volume: 1, SizeBytes: 64 * wire.PageSize}, nil)
			}
			if s, ok := n.holder.NextSave(w.now); ok {
				f, _, ok := n.store.Peek(pid, s.Page)
				if s.Pre {
					f, _, _, ok = n.store.PeekKept(s.Slot, s.Page)
				}
				if ok {
					n.file[s.Block] = n.frames[f]
				}
				switch free, kept := n.holder.Saved(w.now, s, nil); {
				case kept:
					n.store.Forget(s.Slot, s.Page)
				case free:
					n.store.Remove(pid, s.Page)
				}
			}
		}
	default:
		for _, n := range w.nodes {
			if !n.down {
				w.performPrimary(n, n.primary.Tick(w.now, nil))
				if n.rec != nil {
					w.perform(n, n.rec, n.rec.Tick(w.now, nil))
				}
			}
		}
	}
}

// busy reports whether a node that is down is in use by the books still.
func (w *world) busy(n *node) bool { return n == w.owner }

// TestWorlds: the owner or a holder is killed, or taken for dead while it lives, again and again, each time when redundancy is restored; messages are lost, doubled and late. No read
// returns less than what was acknowledged when it was sent, and in the end everything that was acknowledged is there.
func TestWorlds(t *testing.T) {
	recovered, waited, came, reads, backs, kept := 0, 0, 0, 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, rng: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2)), o: DefaultOptions(), ro: replica.DefaultOptions(), lossy: true,
			epoch: 1, askAt: map[wire.PageNo]time.Duration{}, unmapping: map[wire.PageNo]uint64{}, wiped: map[wire.PageNo]uint64{}, pending: map[wire.PageNo]uint64{}, acked: map[wire.PageNo]uint64{}, lost: map[wire.PageNo]bool{}}
		w.o.WindowMessages, w.o.BatchPages, w.o.UrgentMessages = 1+w.rng.IntN(3), 1+w.rng.IntN(6), 1+w.rng.IntN(3)
		w.ro.LogBytes = uint64(pages/2) * wire.PageSize
		w.policy = wire.MemoryPolicy{Kind: wire.MemorySync, Copies: uint32(1 + w.rng.IntN(2))}
		if w.rng.IntN(2) == 0 {
			w.policy = wire.MemoryPolicy{Kind: wire.MemoryLog, Copies: 1, LogBlock: w.rng.IntN(2) == 0}
		}
		for i := range 6 {
			n := &node{id: wire.NodeID(fmt.Sprintf("m%d", i))}
			w.start(n)
			w.nodes = append(w.nodes, n)
		}
		w.owner = w.nodes[0]
		w.cfg = wire.RegionConfig{PID: pid, Region: region, Epoch: 1, Config: 1, Policy: w.policy}
		for i := range int(w.policy.Copies) {
			w.cfg.Holders = append(w.cfg.Holders, wire.Holder{Node: w.nodes[i+1].id, Member: 1})
		}
		w.home = wire.Owner{Region: region, Node: "m0", Epoch: 1, Member: 1}
		w.client = w.home
		if err := w.owner.owners.Map(wire.RegionMapReq{PID: pid, Region: region, RegionEpoch: 1, Start: uint64(first) << wire.PageShift, Length: pages * wire.PageSize}); err != nil {
			t.Fatal(err)
		}
		w.performPrimary(w.owner, w.owner.primary.Configure(0, w.slot(), w.cfg, nil))
		for range 1000 {
			w.step()
		}
		w.lossy = false
		w.settle()
		if w.cut.Number > 0 { // in the end it goes back once more
			w.back()
			w.settle()
		}
		for n := 0; !w.settled() || len(w.pending) > 0; n++ {
			if w.step(); n > 60_000 {
				t.Fatalf("after %d kills it does not settle: order %+v, %+v, %+v, %d pending, %d in the net, client %+v: %s", w.kills, w.order, w.cfg, w.owner.primary.Status(w.slot()), len(w.pending), len(w.net), w.client, w.owner.primary.Show())
			}
		}
		for page := range pages {
			p := first + wire.PageNo(page)
			slot := w.slot()
			if w.owner.primary.Lost(slot, p) != nil {
				if w.policy.Kind != wire.MemoryLog || w.policy.LogBlock {
					t.Fatalf("page %d is lost", p)
				}
				continue
			}
			f, c, ok := w.owner.store.Peek(pid, p)
			got := uint64(0)
			if ok && c.Flushed {
				got = w.owner.frames[f]
			}
			if got != w.acked[p] {
				t.Fatalf("page %d is version %d, %d was acknowledged", p, got, w.acked[p])
			}
		}
		w.tapes.Again(t, w.rng, func(_ string, head []byte) (taped.Core, error) {
			var h TapeHead
			if err := wire.Unmarshal(head, &h); err != nil {
				return nil, err
			}
			return h.New()
		})
		recovered += w.recovered
		waited += w.waited
		came += w.pulled
		reads += w.reads
		backs += w.backs
		kept += w.kept
	})
	if recovered == 0 || waited == 0 || came == 0 || reads == 0 || backs == 0 || kept == 0 {
		t.Errorf("%d recoveries, %d misses that waited, %d pages pulled, %d reads, %d ways back, %d kept pages pulled: these worlds show nothing", recovered, waited, came, reads, backs, kept)
	}
	t.Logf("%d recoveries, %d misses that waited, %d pages pulled, %d reads, %d ways back, %d kept pages pulled", recovered, waited, came, reads, backs, kept)
}

// settle lets everything come to an end.
func (w *world) settle() {
	for n := 0; !w.settled() || len(w.pending)+len(w.unmapping) > 0 || w.cutting || w.goingBack; n++ {
		if w.step(); n > 60_000 {
			w.t.Fatalf("after %d kills it does not settle: order %+v, %+v, %+v, %d pending, %d in the net, client %+v, checkpoint %+v %t %t: %s", w.kills, w.order, w.cfg, w.owner.primary.Status(w.slot()), len(w.pending), len(w.net), w.client,
				w.cut, w.cutting, w.goingBack, w.owner.primary.Show())
		}
	}
}

// checkpoints makes one now and then, and loses the process now and then; what is not told is told.
func (w *world) checkpoints() {
	switch {
	case w.goingBack:
		w.tell(true)
	case w.lossy && w.cut.Number > 0 && w.rng.IntN(8) == 0:
		w.back()
	case w.cutting:
		w.tell(false)
	case w.lossy && len(w.pending)+len(w.unmapping) == 0 && w.rng.IntN(2) == 0:
		w.order2++
		w.cutting, w.tellAt = true, 0
		w.cut = wire.Cut{Number: w.cut.Number + 1, Epoch: w.epoch, Version: w.next}
		w.then = maps.Clone(w.acked)
	}
}

// patience is how long the home waits for an answer.
const patience = 100 * time.Millisecond

// back is a process that is lost and goes on from its last checkpoint, of which the owner may not have heard.
func (w *world) back() {
	w.backs++
	w.order2++
	w.epoch += 3
	w.goingBack, w.cutting, w.tellAt = true, false, 0
	w.acked = maps.Clone(w.then)
	w.pending, w.unmapping, w.wiped = map[wire.PageNo]uint64{}, map[wire.PageNo]uint64{}, map[wire.PageNo]uint64{}
}

// tell is the home, which tells the owner until that has answered.
func (w *world) tell(back bool) {
	if w.now < w.tellAt {
		return
	}
	w.tellAt = w.now + patience
	w.order2++ // who asks again waits for the answer to that
	o, no, at, epoch := w.home, w.order2, w.cut, w.epoch
	from := w.nodes[len(w.nodes)-1]
	once := false // a connection doubles nothing that was answered
	w.send(from, o.Node, func(n *node) any {
		if once || no != w.order2 || !w.cutting && !w.goingBack {
			return nil
		}
		once = true
		var slot uint32
		var ok bool
		var err error
		if back {
			slot, ok, err = n.owners.Rollback(wire.RegionRollbackReq{PID: pid, Region: region, Process: epoch, Cut: at, Mapped: []wire.MappedPart{{Start: uint64(first) << wire.PageShift, End: uint64(first+pages) << wire.PageShift}}}, o.Epoch)
		} else {
			slot, ok, err = n.owners.Cut(wire.RegionCutReq{PID: pid, Region: region, Cut: at}, o.Epoch)
		}
		if !ok || err != nil {
			return nil
		}
		k := wire.CutState{Known: true, Cut: at, Process: epoch}
		n.call++
		n.waiting[n.call] = func(err *wire.Error) {
			if err == nil && no == w.order2 {
				w.cutting, w.goingBack = false, false
			}
		}
		n.holder.Own(slot, k, back)
		if !back {
			n.store.Cut(slot, at)
			if n.rec != nil {
				n.rec.Cut(k)
			}
			w.performPrimary(n, n.primary.Cut(w.now, slot, at, epoch, n.call, nil))
			return nil
		}
		if _, _, err := n.store.Rollback(slot, at); err != nil {
			w.t.Fatal(err)
		}
		if n.rec != nil {
			n.rec.Rollback(k)
		}
		w.performPrimary(n, n.primary.Rollback(w.now, slot, at, epoch, n.call, nil))
		return nil
	}, func(any, *wire.Error) {})
}

// unmap has a page unmapped, and mapped again at once; it is asked for until it is answered.
func (w *world) unmap(page wire.PageNo, begin bool) {
	if begin && w.pending[page] == 0 && w.unmapping[page] == 0 {
		w.unmapping[page], w.askAt[page] = 1, 0
	}
	for page := first; page < first+pages; page++ {
		if w.unmapping[page] == 0 {
			continue
		}
		if w.now < w.askAt[page] {
			continue
		}
		w.askAt[page] = w.now + patience
		w.asked++ // who asks again waits for the answer to that
		no, o := w.asked, w.home
		w.unmapping[page] = no
		upTo, once := w.next, false
		w.send(w.nodes[len(w.nodes)-1], o.Node, func(n *node) any {
			if once || w.unmapping[page] != no {
				return nil
			}
			once = true
			at := uint64(page) << wire.PageShift
			slot, ok, err := n.owners.Unmap(wire.RegionUnmapReq{PID: pid, Region: region, Start: at, Length: wire.PageSize}, o.Epoch)
			if err != nil || !ok {
				return nil
			}
			if n.rec != nil {
				n.rec.Unmapped(page, 1)
			}
			n.holder.Forgot(slot, page, 1)
			n.store.Unmap(slot, pid, page, 1)
			if err := n.owners.Map(wire.RegionMapReq{PID: pid, Region: region, RegionEpoch: o.Epoch, Start: at, Length: wire.PageSize}); err != nil {
				w.t.Fatal(err)
			}
			n.call++
			n.waiting[n.call] = func(err *wire.Error) {
				if err == nil && w.unmapping[page] == no {
					delete(w.unmapping, page)
					delete(w.acked, page)
					w.wiped[page] = upTo
				}
			}
			w.performPrimary(n, n.primary.Unmap(w.now, slot, at, wire.PageSize, n.call, nil))
			return nil
		}, func(any, *wire.Error) {})
	}
}

// asError is the answer to a message that gives nothing else.
func asError(err error) any {
	if err == nil {
		return nil
	}
	return err
}

// TestOptions: each fault is named by its key.
func TestOptions(t *testing.T) {
	if err := DefaultOptions().Validate(); err != nil {
		t.Fatal(err)
	}
	if err := (Options{}).Validate(); err == nil {
		t.Fatal("options of zeros are accepted")
	}
}

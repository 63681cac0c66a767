package recovery

import (
	"fmt"
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
	file    map[wire.PageNo]uint64
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
	n.frames, n.file = map[pagestore.Frame]uint64{}, map[wire.PageNo]uint64{}
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
	return opened{o.Rep, err}
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
				}
			}
			w.performPrimary(n, n.primary.Answered(w.now, e.ID, a, nil))
		}
		switch e.Kind {
		case replica.Open:
			w.send(n, e.To.Node, func(h *node) any { return w.open(h, e.Open) }, answered)
		case replica.Send:
			q := e.Write
			if f, c, ok := n.store.Peek(pid, q.Page); ok && c.Flushed {
				q.ProcessEpoch, q.Version = c.Epoch, n.frames[f]
			} else if q.Flags&wire.ReplicaLost == 0 {
				out = n.primary.Answered(w.now, e.ID, replica.Answer{}, out)
				continue
			}
			w.send(n, e.To.Node, func(h *node) any { return w.write(h, q) }, answered)
		case replica.Unmap:
			w.t.Fatal("nothing is unmapped here")
		case replica.List:
			out = n.primary.Listed(w.now, e.Slot, n.store.Pages(e.Slot, nil), out)
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
	case replica.Skip, replica.Discard:
		h.store.Remove(pid, q.Page)
	}
	return skipped{a == replica.Skip, err}
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
		v := h.file[it.Page]
		if !it.Saved {
			f, _, _ := h.store.Peek(pid, it.Page)
			v = h.frames[f]
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
				a.Err, a.Pages = asWire(v.err), v.rep.Pages
			case wire.RegionPartsRep:
				a.Parts = v
			case error:
				a.Err = asWire(v)
			case pulled:
				if a.Err, a.Next, a.More, a.Count = asWire(v.err), v.head.Next, v.head.More, len(v.items); v.err == nil {
					for i, it := range v.items {
						if !r.Take(it.Page) {
							continue
						}
						w.pulled++
						if it.State == wire.PageLost {
							n.primary.Lose(r.Slot(), it.Page, it.Epoch, it.Version)
						} else if f, act := n.store.Flush(r.Slot(), pid, it.Page, it.Epoch, it.Version, it.Sum); act == pagestore.Apply {
							n.frames[f] = v.bytes[i]
						}
					}
				}
			}
			w.perform(n, r, r.Answered(w.now, e.ID, a, nil))
		}
		switch e.Kind {
		case Fence:
			if e.To.Node == n.id {
				answered(opened{}, nil)
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
				return wire.RegionPartsRep{Mapped: []wire.MappedPart{{Start: uint64(first) << wire.PageShift, End: uint64(first+pages) << wire.PageShift}}}
			}, answered)
		case Serve:
			n.owners.Serve(r.Slot(), e.Mapped)
			w.performPrimary(n, n.primary.Configure(w.now, r.Slot(), r.Req().Config, nil))
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
	c := w.client
	from := w.nodes[len(w.nodes)-1] // the client's own
	w.send(from, c.Node, func(n *node) any {
		slot, v := n.owners.Check(pid, page, c.Epoch)
		if v != vregion.Serve {
			return false
		}
		if n.primary.Flushing(slot, page, 1, version) {
			return true
		}
		if f, act := n.store.Flush(slot, pid, page, 1, version, 0); act == pagestore.Apply {
			n.frames[f] = version
		}
		n.call++
		n.waiting[n.call] = func(err *wire.Error) {
			if err == nil && w.pending[page] == version {
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
	c := w.client
	want := w.acked[page]
	if w.pending[page] != 0 {
		return // its frame is kept
	}
	w.send(w.nodes[len(w.nodes)-1], c.Node, func(n *node) any {
		var serve func()
		serve = func() {
			slot, v := n.owners.Check(pid, page, c.Epoch)
			if v != vregion.Serve {
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
			if got < want && c == w.client {
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
	switch n := w.rng.IntN(40); {
	case n < 5 && w.lossy && w.pending[page] == 0:
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
				if f, _, ok := n.store.Peek(pid, s.Page); ok {
					n.file[s.Page] = n.frames[f]
				}
				if n.holder.Saved(w.now, s, nil) {
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
	recovered, waited, came, reads := 0, 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, rng: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2)), o: DefaultOptions(), ro: replica.DefaultOptions(), lossy: true,
			pending: map[wire.PageNo]uint64{}, acked: map[wire.PageNo]uint64{}, lost: map[wire.PageNo]bool{}}
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
	})
	if recovered == 0 || waited == 0 || came == 0 || reads == 0 {
		t.Errorf("%d recoveries, %d misses that waited, %d pages pulled, %d reads: these worlds show nothing", recovered, waited, came, reads)
	}
	t.Logf("%d recoveries, %d misses that waited, %d pages pulled, %d reads", recovered, waited, came, reads)
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

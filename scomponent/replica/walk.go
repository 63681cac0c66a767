package replica

import (
	"slices"
	"time"

	"splitkernel/netlayer/wire"
)

// walk compares the versions of all blocks, batch by batch, and has those repaired that differ.
type walk struct {
	active bool
	scrub  bool // for its own sake, and not in a hurry
	verify bool // the bytes are read, too
	next   uint64
	among  []int // the copies that are compared, by place
	out    int   // of them that have not answered for this batch
	copies [][]wire.BlockCopy
	todo   []uint64 // blocks to be repaired
	after  time.Duration
}

func (w *walk) on(i int) bool { return w.active && slices.Contains(w.among, i) }

// stopWalk gives a walk up; it begins again from the first block, not before after.
func (g *Group) stopWalk(after time.Duration) {
	for _, id := range g.sendIDs() {
		if g.sends[id].kind == SendVersions {
			delete(g.sends, id)
		}
	}
	g.walk = walk{after: after}
}

// drop takes a copy out of the walk: it is compared again by another.
func (w *walk) drop(i int) {
	if k := slices.Index(w.among, i); k >= 0 {
		w.among = slices.Delete(w.among, k, k+1)
		if w.copies != nil {
			w.copies = slices.Delete(w.copies, k, k+1)
		}
	}
}

// walkDue tells when the walk, or the next one, goes on by the clock.
func (g *Group) walkDue(due func(time.Duration)) {
	if g.walk.after > g.now && (g.walk.active || g.wanted()) {
		due(g.walk.after)
	}
	if !g.walk.active && g.opt.ScrubEvery > 0 {
		due(max(g.scrubAt, g.walk.after))
	}
}

// wanted reports whether a copy must be compared that can be.
func (g *Group) wanted() bool {
	return slices.ContainsFunc(g.sites, func(s *site) bool { return s.attached && s.need != needNone })
}

// counted is how many of the copies that are compared count for reads.
func (g *Group) counted() int {
	n := 0
	for _, i := range g.walk.among {
		if s := g.sites[i]; s.attached && s.places() && !s.behind {
			n++
		}
	}
	return n
}

// pump repairs what copies missed, and goes on with the walk.
func (g *Group) pump(out []Effect) []Effect {
	for i, s := range g.sites {
		for s.attached && s.need != needAll && len(s.missed) > 0 && g.repairs < g.opt.Window && g.now >= s.repairAt && len(s.order) > 0 {
			b := s.order[0]
			s.order = s.order[1:]
			if _, ok := s.missed[b]; ok && !g.repairing(b) {
				out = g.repair(b, false, out)
			} else if ok {
				s.order = append(s.order, b)
				break
			}
		}
		if len(s.missed) > 0 && len(s.order) == 0 && !g.repairsFor(i) {
			for b := range s.missed {
				s.order = append(s.order, b)
			}
			slices.Sort(s.order)
		}
	}
	w := &g.walk
	if !w.active {
		scrub := g.opt.ScrubEvery > 0 && g.now >= g.scrubAt
		if g.now < w.after || !scrub && !g.wanted() {
			return out
		}
		g.startWalk(scrub && !g.wanted())
		if !w.active {
			return out
		}
	}
	if w.scrub && g.wanted() { // who lacks something goes before
		g.stopWalk(g.now)
		g.changed = true
		return out
	}
	for len(w.todo) > 0 && g.repairs < g.opt.Window {
		b := w.todo[0]
		if g.repairing(b) {
			break
		}
		w.todo = w.todo[1:]
		out = g.repair(b, true, out)
	}
	if w.out > 0 || len(w.todo) > 0 || g.walkRepairs() || g.now < w.after {
		return out
	}
	if g.counted() < int(g.req.ReadQuorum) {
		g.stopWalk(g.now + g.opt.RetryMax)
		return out
	}
	if w.next >= g.blocks() {
		g.endWalk()
		return out
	}
	count := min(uint64(g.opt.Batch), g.blocks()-w.next)
	flags := uint32(0)
	if w.verify {
		flags = wire.ReplicaVerify
	}
	w.copies = make([][]wire.BlockCopy, len(w.among))
	for _, i := range w.among {
		w.out++
		_, out = g.send(i, nil, Effect{Kind: SendVersions, Block: w.next, Count: uint32(count), Flags: flags}, out)
	}
	return out
}

// startWalk begins with all copies that can be reached, if they are enough.
func (g *Group) startWalk(scrub bool) {
	w := &g.walk
	*w = walk{active: true, scrub: scrub, verify: scrub}
	for i, s := range g.sites {
		if s.attached {
			w.among = append(w.among, i)
			w.verify = w.verify || s.behind // of what was not synced an entry may be there and the bytes not
		}
	}
	if g.counted() < int(g.req.ReadQuorum) {
		g.stopWalk(g.now + g.opt.RetryMax)
		return
	}
	for _, i := range w.among {
		s := g.sites[i]
		if s.again = false; s.need == needAll {
			clear(s.missed)
			s.order = nil
		}
	}
}

// compared takes the versions that a copy has.
func (g *Group) compared(i int, a Answer) {
	w := &g.walk
	k := slices.Index(w.among, i)
	if !w.active || k < 0 {
		return
	}
	w.out--
	count := min(uint64(g.opt.Batch), g.blocks()-w.next)
	switch {
	case a.Err != nil:
		w.drop(i)
		w.after = g.now + g.opt.RetryMin
		switch wire.KindOf(a.Err) {
		case wire.KindUnavailable, wire.KindTimeout:
			g.detach(g.sites[i], a.Err, g.opt.RetryMin)
		case wire.KindNotOwner, wire.KindStale: // of a stale one the attach tells
			g.detach(g.sites[i], a.Err, 0)
		case wire.KindNotFound, wire.KindFailed:
			g.sites[i].lost = true
			g.detach(g.sites[i], a.Err, g.opt.RetryMax)
		}
	case uint64(len(a.Copies)) != count:
		w.drop(i)
	default:
		w.copies[k] = a.Copies
	}
	if w.out > 0 {
		return
	}
	if g.counted() < int(g.req.ReadQuorum) {
		g.stopWalk(g.now + g.opt.RetryMax)
		return
	}
	for n := range count {
		if g.differs(int(n)) {
			w.todo = append(w.todo, w.next+n)
		}
	}
	g.stats.Scrubbed += count * uint64(len(w.among))
	w.next += count
	w.copies = nil
	if w.scrub {
		w.after = g.now + g.opt.ScrubPause
	}
	g.changed = true
}

// differs reports whether the copies of a block of the batch are not all whole and the same.
func (g *Group) differs(n int) bool {
	w := &g.walk
	for _, l := range w.copies {
		if l[n].State != wire.CopyGood || l[n].Version != w.copies[0][n].Version || l[n].Sum != w.copies[0][n].Sum {
			return true
		}
	}
	return false
}

// endWalk notes who has everything now.
func (g *Group) endWalk() {
	w := &g.walk
	for _, i := range w.among {
		s := g.sites[i]
		if s.again || !s.attached {
			continue
		}
		if s.need == needAll {
			g.stats.CaughtUp++
		}
		s.need, s.behind = needNone, false
	}
	g.settled = g.settled || g.written(w.on)
	if w.scrub {
		g.stats.Scrubs++
		g.scrubAt = g.now + g.opt.ScrubEvery
	}
	g.stopWalk(g.now + g.opt.RetryMax) // who is behind still, is so for a reason
	g.changed = true
}

// repair makes all copies of a block the same.
func (g *Group) repair(block uint64, walks bool, out []Effect) []Effect {
	g.lastOwn++
	o := &op{id: Internal + g.lastOwn, kind: opRepair, block: block, number: g.no, phase: phaseGather, walks: walks, seats: make([]seat, len(g.sites)),
		end: g.now + g.opt.Patience, hedge: g.now + g.opt.Hedge}
	g.ops[o.id] = o
	g.order = append(g.order, o.id)
	g.repairs++
	g.changed = true
	return out
}

// repaired takes note of the end of a repair.
func (g *Group) repaired(o *op, err error) {
	g.repairs--
	if wire.KindOf(err) == wire.KindCorrupt {
		g.stats.Unrepaired++
	}
	for i, s := range g.sites {
		done := err == nil && (!o.put && o.seats[i].told || o.seats[i].state == seatGood)
		if m, ok := s.missed[o.block]; done && ok && !(wire.BlockVersion{Epoch: g.req.Epoch, No: o.number}).Less(m) {
			delete(s.missed, o.block) // it has what is known of all writes before the repair began, some of which nobody may have
		}
		if done {
			continue
		}
		s.repairAt = g.now + g.opt.RetryMax
		if o.walks && g.walk.on(i) {
			g.walk.drop(i)
		}
	}
}

func (g *Group) repairing(block uint64) bool {
	return slices.ContainsFunc(g.order, func(id uint64) bool {
		o := g.ops[id]
		return o.kind == opRepair && o.block == block && o.phase != phaseOver
	})
}

func (g *Group) repairsFor(i int) bool {
	return slices.ContainsFunc(g.order, func(id uint64) bool {
		o := g.ops[id]
		_, ok := g.sites[i].missed[o.block]
		return ok && o.kind == opRepair && o.phase != phaseOver
	})
}

func (g *Group) walkRepairs() bool {
	return slices.ContainsFunc(g.order, func(id uint64) bool { o := g.ops[id]; return o.walks && o.phase != phaseOver })
}

package replica

import (
	"fmt"
	"slices"
	"time"

	"splitkernel/netlayer/wire"
)

// Checkpoints of what is held. A holder knows the last checkpoint of the process and keeps by itself what the first change after it replaces: pages that the
// checkpoint covers, under the rule by which the owner keeps them. So both have the same, and any of them can go back. Only versions count: what a
// holder of shares keeps is shares.

// covers reports whether a version is in the checkpoint of a vRegion that is held, and nothing of its page is kept for it.
func (r *held) covers(page wire.PageNo, e *entry) bool {
	return e != nil && r.kept.Known && r.kept.Cut.Covers(e.epoch, e.version.version) && r.pre.at(page) == nil
}

// keep keeps an entry that changes as it is. Its bytes stay where they are.
func (r *held) keep(page wire.PageNo, e *entry) {
	r.pre.put(page, *e)
}

// cutAt takes news of a checkpoint. One that is not newer changes nothing but the epoch of the process.
func (h *Holder) cutAt(r *held, at wire.CutState) {
	if !at.Known {
		r.kept.Process = max(r.kept.Process, at.Process)
		return
	}
	if !r.kept.Known || at.Cut.Number > r.kept.Cut.Number {
		h.dropKept(r)
		r.kept.Known, r.kept.Cut = true, at.Cut
	}
	r.kept.Process = max(r.kept.Process, at.Process)
}

func (h *Holder) dropKept(r *held) {
	for _, e := range r.pre.all() {
		h.gone(r, e)
	}
	r.pre.clear()
}

// inLog reports whether an entry takes room in the memory of a log.
func (h *Holder) inLog(r *held, e *entry) bool {
	return r.policy.Kind == wire.MemoryLog && !r.promoted && e.where == stored
}

// gone gives up the room of an entry that is forgotten.
func (h *Holder) gone(r *held, e *entry) {
	if h.inLog(r, e) {
		h.logged--
	}
	h.release(e)
}

// Kept tells what is known here of the checkpoints of a vRegion that is held in a slot.
func (h *Holder) Kept(slot uint32) wire.CutState {
	if r := h.slots[slot]; r != nil {
		return r.kept
	}
	return wire.CutState{}
}

// Cut takes news of a checkpoint, or goes back to one. ok is false if it was done before; else the driver does the same with the slot's group of the
// page store.
func (h *Holder) Cut(req wire.ReplicaCutReq) (slot uint32, ok bool, err error) {
	r, err := h.find(req.PID, req.Region, req.Epoch, req.Config)
	if err != nil {
		return 0, false, err
	}
	if r.promoted {
		return 0, false, h.stale(r, req.Epoch, req.Config)
	}
	if req.Barrier <= r.barrier {
		return r.slot, false, nil
	}
	if req.Back && r.kept.Known && req.Cut.Number < r.kept.Cut.Number {
		return 0, false, wire.Errorf(wire.KindFailed, "%s cannot go back to checkpoint %d of process %d: it keeps checkpoint %d", h.self, req.Cut.Number, r.pid, r.kept.Cut.Number)
	}
	r.barrier = req.Barrier
	h.Own(r.slot, wire.CutState{Known: true, Cut: req.Cut, Process: req.Process}, req.Back)
	return r.slot, true, nil
}

// Own takes news of a checkpoint of what is held in a slot, or goes back to one, by its owner that may be this mComponent now.
func (h *Holder) Own(slot uint32, at wire.CutState, back bool) {
	r := h.slots[slot]
	if r == nil {
		return
	}
	if h.cutAt(r, at); !back {
		return
	}
	for page, e := range r.pages.all() {
		if r.kept.Cut.Covers(e.epoch, e.version.version) && r.pre.at(page) == nil {
			continue
		}
		h.gone(r, e)
		r.pages.drop(page)
	}
	for page, e := range r.pre.all() {
		r.pages.put(page, *e)
		if h.inLog(r, e) {
			h.save(savePlace{r.key, page})
		}
	}
	r.pre.clear()
}

// writeKept takes a page as it was at a checkpoint.
func (h *Holder) writeKept(r *held, w wire.ReplicaWrite, room bool) (slot uint32, a Action, err error) {
	was := r.pre.at(w.Page)
	again := h.comesAgain(was, w)
	switch {
	case !r.kept.Known || int32(w.Pre-r.kept.Cut.Pre()) > 0:
		return 0, 0, wire.Errorf(wire.KindBusy, "%s has not heard of the checkpoint of process %d of which page %#x is: retry", h.self, r.pid, uint64(w.Page)<<wire.PageShift)
	case w.Pre != r.kept.Cut.Pre() || was != nil && !again || !r.kept.Cut.Covers(w.ProcessEpoch, w.Version):
		h.stats.Old++
		return r.slot, Old, nil
	}
	v := version{w.ProcessEpoch, w.Version}
	if e := r.pages.at(w.Page); r.covers(w.Page, e) && !v.newer(e.version) {
		h.stats.Old++
		return r.slot, Old, nil // it did not change here
	}
	isLog := r.policy.Kind == wire.MemoryLog
	to := entry{version: v, sum: w.Sum, where: stored}
	switch {
	case w.Flags&wire.ReplicaLost != 0:
		to.where = lost
	case !room || isLog && uint64(h.logged+1)*wire.PageSize > h.o.LogBytes:
		if !isLog || r.policy.LogBlock {
			return h.full(r)
		}
		if again && !h.broken(was.file) {
			h.stats.Old++
			return r.slot, Old, nil
		}
		h.stats.Skipped++
		to.where, a = lost, Skip
	default:
		h.stats.Writes++
		a = Keep
		if isLog {
			h.logged++
			h.save(savePlace{r.key, w.Page})
		}
	}
	if a == 0 {
		a = Old
	}
	h.release(was)
	r.pre.put(w.Page, to)
	return r.slot, a, nil
}

// full turns away a page for which there is no room.
func (h *Holder) full(r *held) (slot uint32, a Action, err error) {
	h.stats.Full++
	if r.policy.Kind == wire.MemoryLog {
		a = Wait
	}
	return 0, a, wire.Errorf(wire.KindBusy, "%s: no room for another page of vRegion %d of process %d, %d of them as they were at the last checkpoint; give the component more memory_bytes or replica_log_bytes: retry",
		h.self, r.region, r.pid, r.pre.n)
}

// toSave gives what of a page is to be written to a backup file next: what was kept goes first, as it changes no more.
func (r *held) toSave(page wire.PageNo) (e *entry, pre bool) {
	if r == nil {
		return nil, false
	}
	if was := r.pre.at(page); was != nil && was.where == stored {
		return was, true
	}
	if now := r.pages.at(page); now != nil && now.where == stored {
		return now, false
	}
	return nil, false
}

// checkKept is CheckInvariants of what is kept.
func (h *Holder) checkKept(r *held) (logged int, err error) {
	for page, e := range r.pre.all() {
		switch {
		case uint64(page)>>h.shift != uint64(r.region):
			return 0, fmt.Errorf("replica: page %#x is not in vRegion %d", uint64(page), r.region)
		case !r.kept.Known || !r.kept.Cut.Covers(e.epoch, e.version.version):
			return 0, fmt.Errorf("replica: version %d of page %#x is kept, and not in checkpoint %d", e.version.version, uint64(page), r.kept.Cut.Number)
		}
		if h.inLog(r, e) {
			logged++
		}
	}
	return logged, nil
}

// Cut takes note of a checkpoint: call is answered when every holder knows it. Nothing is flushed meanwhile.
func (p *Primary) Cut(now time.Duration, slot uint32, at wire.Cut, process wire.Epoch, call uint64, out []Effect) []Effect {
	return p.tellCut(now, slot, &unmap{is: told, cut: at, process: process, call: call}, out)
}

// Rollback takes note that the pages went back to a checkpoint: call is answered when those of every holder have. Flushes that wait fail: their process goes on
// elsewhere. A holder that is filled is filled anew, and nobody is sent a page before he has gone back.
func (p *Primary) Rollback(now time.Duration, slot uint32, at wire.Cut, process wire.Epoch, call uint64, out []Effect) []Effect {
	r := p.regions[slot]
	if r == nil || r.deposed != nil {
		return p.tellCut(now, slot, &unmap{call: call}, out)
	}
	over := wire.Errorf(wire.KindFailed, "process %d goes on elsewhere under epoch %d, from its checkpoint %d", r.cfg.PID, process, at.Number)
	for _, page := range sortedPages(r.writes) {
		w := r.writes[page]
		for _, x := range w.waiters {
			out = append(out, Effect{Kind: Fail, Slot: slot, Waiter: x.call, Err: over})
		}
		r.forget(page, w)
	}
	for page, v := range r.lost { // no order: each is deleted
		if !at.Covers(v.epoch, v.version) {
			delete(r.lost, page)
		}
	}
	for _, page := range sortedPages(r.preLost) {
		r.lost[page] = r.preLost[page]
	}
	clear(r.preLost)
	for _, l := range r.links {
		if l.filling {
			l.listed, l.fill, l.filled, l.underFill = false, nil, 0, 0
			l.queue, l.next = nil, 0
			r.lists = true
		}
	}
	lists := r.lists
	out = p.tellCut(now, slot, &unmap{is: back, cut: at, process: process, call: call}, out)
	if lists {
		out = append(out, Effect{Kind: List, Slot: slot})
	}
	return out
}

func (p *Primary) tellCut(now time.Duration, slot uint32, u *unmap, out []Effect) []Effect {
	r := p.regions[slot]
	switch {
	case r == nil:
		return append(out, Effect{Kind: Ack, Slot: slot, Waiter: u.call})
	case r.deposed != nil:
		return append(out, Effect{Kind: Fail, Slot: slot, Waiter: u.call, Err: r.deposed})
	}
	if u.is != unmapped {
		r.knows(u.cut)
	}
	if len(r.links) == 0 {
		return append(out, Effect{Kind: Ack, Slot: slot, Waiter: u.call})
	}
	r.barrier++
	u.barrier, u.got = r.barrier, make([]bool, len(r.links))
	r.unmaps = append(r.unmaps, u)
	return p.pump(now, r, out)
}

// Knows says which is the last checkpoint of a vRegion that came here.
func (p *Primary) Knows(slot uint32, at wire.Cut) {
	if r := p.regions[slot]; r != nil {
		r.knows(at)
	}
}

func (r *owned) knows(at wire.Cut) {
	if !r.known || at.Number > r.cut.Number {
		clear(r.preLost) // of the one before
		r.known, r.cut = true, at
	}
}

// LoseKept takes note that of a page as it was at a checkpoint only the version is known.
func (p *Primary) LoseKept(slot uint32, page wire.PageNo, epoch wire.Epoch, v uint64) {
	if r := p.regions[slot]; r != nil && r.preLost[page].epoch == 0 {
		r.preLost[page] = version{epoch, v}
	}
}

// KeptLost gives the version of a page as it was at the last checkpoint, if that is all that is known of it.
func (p *Primary) KeptLost(slot uint32, page wire.PageNo) (epoch wire.Epoch, v uint64, ok bool) {
	if r := p.regions[slot]; r != nil {
		w, ok := r.preLost[page]
		return w.epoch, w.version, ok
	}
	return 0, 0, false
}

// KeepsLost reports whether of any page as it was at the last checkpoint only the version is known.
func (p *Primary) KeepsLost(slot uint32) bool {
	r := p.regions[slot]
	return r != nil && len(r.preLost) > 0
}

// refill has holders that are filled be sent again what is not known to have come of pages that are unmapped: they may be in a checkpoint, and then be kept.
func (r *owned) refill(pages []wire.PageNo) {
	for i, l := range r.links {
		if !l.filling || !l.listed {
			continue
		}
		var again []wire.PageNo
		for _, page := range pages {
			if w := r.writes[page]; w.got[i].gen < w.gen {
				again = append(again, page)
			}
		}
		if len(again) > 0 {
			l.fill = append(slices.Clip(l.fill), again...) // others may be filled with the same list
		}
	}
}

// goesBack reports whether holder i is still to go back to a checkpoint: until then it is sent no page, as what it has may be newer.
func (r *owned) goesBack(i int) bool {
	return slices.ContainsFunc(r.unmaps, func(u *unmap) bool { return u.is == back && !u.got[i] })
}

// unlose takes note that a lost page is not wanted any more as it is; at the last checkpoint it may have been the same.
func (r *owned) unlose(page wire.PageNo) {
	if v := r.lost[page]; r.known && r.cut.Covers(v.epoch, v.version) && r.preLost[page].epoch == 0 {
		r.preLost[page] = v
	}
	delete(r.lost, page)
}

package vregion

import (
	"fmt"
	"slices"

	"splitkernel/netlayer/wire"
)

// homeCut is the memory map of a process as it was at its last checkpoint.
type homeCut struct {
	at        wire.Cut
	tree      Tree
	heapStart uint64
	heapEnd   uint64
}

// take remembers the map as it is now.
func (p *process) take(at wire.Cut) {
	p.cut = &homeCut{at: at, tree: p.tree.clone(), heapStart: p.heapStart, heapEnd: p.heapEnd}
}

// keptMap is the last checkpoint on its way to another home.
func (p *process) keptMap() (k wire.HomeCut) {
	if c := p.cut; c != nil {
		k = wire.HomeCut{Known: true, Cut: c.at, HeapStart: c.heapStart, HeapEnd: c.heapEnd, Mapped: parts(&c.tree)}
	}
	return k
}

// keep takes the last checkpoint from another home.
func (p *process) keep(k wire.HomeCut) {
	if !k.Known {
		return
	}
	p.cut = &homeCut{at: k.Cut, heapStart: k.HeapStart, heapEnd: k.HeapEnd}
	for _, v := range k.Mapped {
		p.cut.tree.Insert(VMA{Start: v.Start, End: v.End, Anon: v.Anon, Writable: v.Writable, Name: v.Name})
	}
}

func (t *Tree) clone() Tree { return Tree{vmas: slices.Clone(t.vmas), bytes: t.bytes} }

// Cut takes the news that a checkpoint of a process is durable, and answers when every owner knows it. The process stands still
// meanwhile. The same checkpoint again is told again; one before the last is stale.
func (h *Home) Cut(call uint64, req wire.ProcessCutReq, out []Effect) []Effect {
	if p := h.procs[req.PID]; p != nil && p.cut != nil && req.Cut.Number < p.cut.at.Number {
		return h.refuse(call, wire.Errorf(wire.KindStale, "process %d: checkpoint %d, the last is %d", req.PID, req.Cut.Number, p.cut.at.Number), out)
	}
	return h.submit(req.PID, req.Epoch, &operation{call: call, kind: opCut, end: AddressEnd, cut: req.Cut}, out)
}

// Rollback brings the memory map of a process back to a checkpoint, and has every owner go back; it answers when all have. From its
// arrival on nothing under an older epoch of the process is served. It may be asked again, also under a newer epoch, until the process
// goes on: a copy of the request that comes later than that is stale.
//
// A home that knows the checkpoint before has the map of this one: nothing changes between the moment at which a checkpoint is saved and
// that at which its home knows it.
func (h *Home) Rollback(call uint64, req wire.ProcessRollbackReq, out []Effect) []Effect {
	p := h.procs[req.PID]
	if p != nil && !p.exited {
		if p.ran && req.Epoch == p.epoch {
			return h.refuse(call, ranOn(req.PID, req.Epoch), out)
		}
		if err := p.canGoBack(req.Cut); err != nil {
			return h.refuse(call, err, out)
		}
	}
	out = h.submit(req.PID, req.Epoch, &operation{call: call, kind: opRollback, end: AddressEnd, cut: req.Cut}, out)
	if p != nil && p.epoch == req.Epoch {
		p.addr = req.Addr
	}
	return out
}

// ranOn is the error of a rollback that comes when the process goes on already.
func ranOn(pid wire.PID, e wire.Epoch) error {
	return wire.Errorf(wire.KindStale, "process %d went on under epoch %d after it had gone back to its checkpoint", pid, e)
}

// LateRollback refuses a rollback of a vRegion if one of its pages was flushed under newest, an epoch of the process that is not older
// than that of the rollback: the process has gone on, so this is a late copy of a request that was answered, and would undo what it flushed.
func LateRollback(req wire.RegionRollbackReq, newest wire.Epoch) error {
	if newest >= req.Process {
		return ranOn(req.PID, req.Process)
	}
	return nil
}

// canGoBack says why a process cannot go back to a checkpoint.
func (p *process) canGoBack(to wire.Cut) error {
	switch {
	case p.cut == nil && to.Number == 0, p.cut != nil && to.Number == p.cut.at.Number+1:
		return nil
	case p.cut == nil:
		return wire.Errorf(wire.KindFailed, "process %d cannot go back to checkpoint %d: its home has not heard of one", p.pid, to.Number)
	case to.Number != p.cut.at.Number:
		return wire.Errorf(wire.KindFailed, "process %d cannot go back to checkpoint %d: its home keeps checkpoint %d", p.pid, to.Number, p.cut.at.Number)
	}
	return nil
}

// cutAll tells every owner of a checkpoint.
func (h *Home) cutAll(p *process, op *operation, out []Effect) []Effect {
	if p.cut == nil || op.cut.Number > p.cut.at.Number {
		p.take(op.cut)
	}
	for _, o := range h.owners(p, 0, AddressEnd) {
		op.pending++
		out = h.emit(Effect{Kind: CutAt, PID: p.pid, Region: o.Region, Owner: o, Cut: wire.RegionCutReq{PID: p.pid, Region: o.Region, Cut: op.cut, Member: p.given(o)}}, op, p, out)
	}
	return out
}

// rollbackAll goes back itself, and has every owner go back.
func (h *Home) rollbackAll(p *process, op *operation, out []Effect) []Effect {
	if op.err = p.canGoBack(op.cut); op.err != nil {
		return out
	}
	if p.cut == nil || op.cut.Number > p.cut.at.Number {
		p.take(op.cut)
	}
	h.mapped(p, func() { p.tree = p.cut.tree.clone() })
	p.heapStart, p.heapEnd = p.cut.heapStart, p.cut.heapEnd
	for _, o := range h.owners(p, 0, AddressEnd) {
		op.pending++
		lo, hi := h.clip(o.Region, 0, AddressEnd)
		out = h.emit(Effect{Kind: RollbackAt, PID: p.pid, Region: o.Region, Owner: o,
			Rollback: wire.RegionRollbackReq{PID: p.pid, Region: o.Region, Process: p.epoch, Cut: op.cut, Mapped: partsIn(&p.tree, lo, hi), Member: p.given(o)}}, op, p, out)
	}
	return out
}

// partsIn gives what of a tree lies in [lo, hi).
func partsIn(t *Tree, lo, hi uint64) []wire.MappedPart {
	part := t.clone()
	part.Remove(0, lo)
	part.Remove(hi, ^uint64(0))
	return parts(&part)
}

// Cut gives the slot of a vRegion whose pages are to be kept for a checkpoint; ok is false if nothing of it was ever mapped here. epoch
// is the one under which the home knows this owner.
func (o *Owners) Cut(req wire.RegionCutReq, epoch wire.Epoch) (slot uint32, ok bool, err error) {
	if slot, ok, err = o.known(req.PID, req.Region, epoch, req.Member); !ok {
		return 0, false, err
	}
	r := &o.slots[slot]
	r.process = max(r.process, req.Cut.Epoch)
	return slot, true, nil
}

// known gives the slot of a vRegion that is served here under epoch, if anything of it was ever mapped. One that was given to this mComponent under a
// membership which is over had copies, and whoever becomes its owner tells the home: until then that nothing is here must not be taken for an answer.
func (o *Owners) known(pid wire.PID, region wire.RegionNo, epoch, member wire.Epoch) (slot uint32, ok bool, err error) {
	if _, ok := o.index.Get(uint64(pid), uint64(region)); !ok {
		if err := o.member.granted(fmt.Sprintf("vRegion %d", region), pid, o.self, member); err != nil {
			return 0, false, wire.Errorf(wire.KindBusy, "%v", err)
		}
		if err := o.fenced(pid, region); err != nil {
			return 0, false, err
		}
		return 0, false, o.gone(pid, region, epoch)
	}
	slot, err = o.Serving(pid, region, epoch)
	return slot, err == nil, err
}

// Rollback makes what is mapped of a vRegion what it was, refuses the process from now on under older epochs, and gives the slot, whose
// pages then go back.
func (o *Owners) Rollback(req wire.RegionRollbackReq, epoch wire.Epoch) (slot uint32, ok bool, err error) {
	if slot, ok, err = o.known(req.PID, req.Region, epoch, req.Member); !ok {
		if err == nil && len(req.Mapped) > 0 {
			err = wire.Errorf(wire.KindFailed, "%s has nothing of vRegion %d of process %d, of which checkpoint %d has pages", o.self, req.Region, req.PID, req.Cut.Number)
		}
		return 0, false, err
	}
	r := &o.slots[slot]
	if req.Process < r.process {
		return 0, false, wire.Errorf(wire.KindStale, "process %d: a rollback under epoch %d, it is under %d", req.PID, req.Process, r.process)
	}
	if err := o.CheckMapped(slot, req.Mapped); err != nil {
		return 0, false, err
	}
	r.process = req.Process
	o.mapped -= r.tree.Bytes()
	r.tree = Tree{}
	for _, v := range req.Mapped {
		r.tree.Insert(VMA{Start: v.Start, End: v.End, Anon: v.Anon, Writable: v.Writable})
	}
	o.mapped += r.tree.Bytes()
	return slot, true, nil
}

// SlotOf gives the slot of a vRegion that is here, whatever it does.
func (o *Owners) SlotOf(pid wire.PID, region wire.RegionNo) (uint32, bool) {
	return o.index.Get(uint64(pid), uint64(region))
}

// Process is the newest epoch of the process of a vRegion of which this owner knows, 0 for none: whoever takes it over must refuse older ones, too.
func (o *Owners) Process(slot uint32) wire.Epoch { return o.slots[slot].process }

// Superseded reports whether a process goes on under a newer epoch than the one that it says. It is on the path of each miss and flush.
func (o *Owners) Superseded(slot uint32, process wire.Epoch) bool {
	return process < o.slots[slot].process
}

// SupersededError is the error of one that does.
func (o *Owners) SupersededError(slot uint32, process wire.Epoch) error {
	r := &o.slots[slot]
	return wire.Errorf(wire.KindFailed, "process %d goes on elsewhere under epoch %d: this is epoch %d", r.pid, r.process, process)
}

package vregion

import (
	"slices"

	"splitkernel/netlayer/wire"
)

type opKind uint8

const (
	opMmap   opKind = 1
	opMunmap opKind = 2
	opBrk    opKind = 3
	opExit   opKind = 4

	opCut      opKind = 5
	opRollback opKind = 6
)

// phase is how far an operation has come. It moves on when nothing that it waits for is pending.
type phase uint8

const (
	waiting  phase = 0 // an earlier operation on the same addresses runs
	clearing phase = 1 // asks for owners and unmaps of what is replaced are outstanding
	mapping  phase = 2 // requests to the owners are outstanding
	undoing  phase = 3 // a part failed: what was mapped is unmapped again
	telling  phase = 4 // of a checkpoint: the owners are told
)

// operation is one memory-map call from its arrival to its reply.
type operation struct {
	call       uint64
	kind       opKind
	phase      phase
	start, end uint64
	choose     bool // mmap with address 0: the range is chosen when the operation starts
	brk        uint64
	heap       uint64 // the end of the heap as the process knows it
	vma        VMA
	cut        wire.Cut
	grows      bool // mmap, and brk upwards
	inserted   bool // the range is in the tree
	pending    int  // answers outstanding
	freed      uint64
	err        error
}

// answered takes the outcome of an effect of c.op.
func (h *Home) answered(c outCall, res Result) {
	op, p := c.op, c.p
	op.pending--
	if reg := p.regions[c.region]; c.kind == MapAt && res.Err == nil && reg != nil && reg.config.Config == c.e.Map.Config.Config && reg.config.Epoch == c.e.Map.Config.Epoch {
		reg.config = wire.RegionConfig{}
	}
	op.freed += res.Freed
	if res.Err != nil && op.err == nil && op.phase != undoing {
		op.err = res.Err
	}
	if c.kind == ExitAt && res.Err == nil {
		// This owner is done: a retry of the exit asks only the others.
		node, before := p.regions[c.region].owner.Node, len(p.active)
		p.active = slices.DeleteFunc(p.active, func(r wire.RegionNo) bool { return p.regions[r].owner.Node == node })
		h.stats.Regions -= before - len(p.active)
	}
}

// conflicts reports whether op must wait for o, which arrived earlier.
func (op *operation) conflicts(o *operation) bool {
	if op.kind >= opExit || o.kind >= opExit || op.kind == opBrk && o.kind == opBrk {
		return true
	}
	if o.phase == waiting && o.choose {
		return false // it will choose around op
	}
	if op.choose {
		return o.phase == waiting // a waiting operation's range is not in the tree yet, so it could be chosen by mistake
	}
	return op.start < o.end && o.start < op.end
}

// advance moves every operation of p as far as it goes. Operations on disjoint ranges run side by side.
func (h *Home) advance(p *process, out []Effect) []Effect {
	for again := true; again; {
		again = false
		for i := 0; i < len(p.ops); i++ {
			op := p.ops[i]
			if op.phase == waiting {
				if op.kind == opBrk {
					p.heapRange(op)
				}
				if slices.ContainsFunc(p.ops[:i], op.conflicts) {
					continue
				}
				out = h.start(p, op, out)
			}
			for op.pending == 0 {
				var done bool
				if done, out = h.step(p, op, out); done {
					p.ops = slices.Delete(p.ops, i, i+1)
					again = true // whoever waited for it may start now
					break
				}
			}
			if again {
				break
			}
		}
	}
	return out
}

// heapRange sets the range that a brk moves over. It depends on the brks before it.
func (p *process) heapRange(op *operation) {
	if p.heapStart == 0 && op.heap != 0 { // the home before was lost before it had any memory to tell its backup of
		p.heapStart, p.heapEnd = op.heap, op.heap
	}
	if p.heapStart == 0 {
		op.start, op.end, op.grows = op.brk, op.brk, false
		return
	}
	up := func(a uint64) uint64 { return (a + wire.PageSize - 1) &^ (wire.PageSize - 1) }
	old, end := up(p.heapEnd), up(op.brk)
	op.start, op.end, op.grows = min(old, end), max(old, end), end > old
}

// start begins an operation whose range is free: it takes the range, asks for missing owners and unmaps what it replaces.
func (h *Home) start(p *process, op *operation, out []Effect) []Effect {
	op.phase = clearing
	switch op.kind {
	case opExit:
		op.phase = mapping
		var told []wire.NodeID
		for _, r := range slices.Clone(p.active) {
			o := p.regions[r].owner
			if slices.Contains(told, o.Node) {
				continue
			}
			told = append(told, o.Node)
			op.pending++
			out = h.emit(Effect{Kind: ExitAt, PID: p.pid, Region: r, Owner: o,
				Exit: wire.ProcessExitReq{PID: p.pid, Epoch: p.epoch, Owner: true}}, op, p, out)
		}
		return out
	case opCut:
		op.phase = telling
		return h.cutAll(p, op, out)
	case opRollback:
		op.phase = telling
		return h.rollbackAll(p, op, out)
	case opBrk:
		if p.heapStart == 0 {
			p.heapStart, p.heapEnd = op.brk, op.brk
			return out
		}
		if op.brk < p.heapStart {
			op.err = wire.Errorf(wire.KindBadRequest, "brk of process %d to %#x, which is below the start of its heap %#x", p.pid, op.brk, p.heapStart)
			return out
		}
		if op.grows && p.tree.Overlaps(op.start, op.end) {
			op.err = wire.Errorf(wire.KindNoMemory, "heap of process %d cannot grow to %#x: another mapping lies in [%#x, %#x)", p.pid, op.brk, op.start, op.end)
			return out
		}
	case opMmap:
		op.grows = true
		if op.choose {
			length := op.end
			addr, err := h.place(p, length)
			if err != nil {
				op.err = err
				return out
			}
			op.start, op.end = addr, addr+length
		}
	}
	if op.start == op.end {
		return out
	}
	need := p.tree.Len()
	if op.grows {
		need++
	}
	if p.tree.splits(op.start, op.end) {
		need++
	}
	if need > p.tree.Len() && need > h.opt.MaxVMAsPerProcess {
		op.err = wire.Errorf(wire.KindNoMemory, "process %d has %d vmas, at most max_vmas_per_process %d", p.pid, p.tree.Len(), h.opt.MaxVMAsPerProcess)
		return out
	}
	if op.grows {
		if out = h.claim(p, op, out); op.err != nil {
			return out
		}
	}
	for _, o := range h.owners(p, op.start, op.end) {
		lo, hi := h.clip(o.Region, op.start, op.end)
		if p.tree.Overlaps(lo, hi) {
			out = h.unmapAt(p, op, o, lo, hi, out)
		}
	}
	if op.grows {
		v := op.vma
		v.Start, v.End = op.start, op.end
		h.mapped(p, func() { p.tree.Insert(v) })
		op.inserted = true
	}
	return out
}

// claim makes sure that every vRegion of the range is active or asked for.
func (h *Home) claim(p *process, op *operation, out []Effect) []Effect {
	first, last := h.regionOf(op.start), h.regionOf(op.end-1)
	i, _ := slices.BinarySearch(p.active, first)
	j, _ := slices.BinarySearch(p.active, last+1)
	missing := uint64(last-first) + 1 - uint64(j-i)
	if limit := uint64(h.opt.MaxRegionsPerProcess); uint64(len(p.active))+missing > limit {
		op.err = wire.Errorf(wire.KindNoMemory, "process %d: [%#x, %#x) needs %d more vRegions of %d bytes, %d are active, at most max_regions_per_process %d",
			p.pid, op.start, op.end, missing, h.opt.RegionBytes, len(p.active), limit)
		return out
	}
	for r := first; r <= last; r++ {
		reg, ok := p.regions[r]
		if ok && reg.active {
			continue
		}
		op.pending++
		if ok {
			h.stats.SharedAsks++
			reg.waiters = append(reg.waiters, op)
			continue
		}
		p.regions[r] = &region{waiters: []*operation{op}}
		h.stats.Asks++
		out = h.emit(Effect{Kind: AskOwner, PID: p.pid, Region: r}, op, p, out)
	}
	return out
}

func (h *Home) unmapAt(p *process, op *operation, o wire.Owner, lo, hi uint64, out []Effect) []Effect {
	op.pending++
	return h.emit(Effect{Kind: UnmapAt, PID: p.pid, Region: o.Region, Owner: o,
		Unmap: wire.RegionUnmapReq{PID: p.pid, Region: o.Region, Start: lo, Length: hi - lo, Member: p.given(o)}}, op, p, out)
}

// mapped runs a change of p's tree and keeps the count of mapped bytes.
func (h *Home) mapped(p *process, change func()) {
	h.stats.MappedBytes -= p.tree.Bytes()
	change()
	h.stats.MappedBytes += p.tree.Bytes()
}

// step moves op to its next phase; nothing is pending. done means that its reply is in out.
func (h *Home) step(p *process, op *operation, out []Effect) (done bool, _ []Effect) {
	switch op.phase {
	case clearing:
		if op.err == nil {
			op.err = p.refused() // fenced meanwhile: what GMM granted before is not taken into use
		}
		if op.err == nil && op.grows && op.start < op.end {
			op.phase = mapping
			for _, o := range h.owners(p, op.start, op.end) {
				lo, hi := h.clip(o.Region, op.start, op.end)
				op.pending++
				out = h.emit(Effect{Kind: MapAt, PID: p.pid, Region: o.Region, Owner: o, Map: wire.RegionMapReq{PID: p.pid, Region: o.Region,
					RegionEpoch: o.Epoch, Member: o.Member, Start: lo, Length: hi - lo, Anon: op.vma.Anon, Writable: op.vma.Writable, Config: p.regions[o.Region].config}}, op, p, out)
			}
			return false, out
		}
		if op.err == nil && !op.grows {
			h.mapped(p, func() { p.tree.Remove(op.start, op.end) })
		}
		if op.err != nil && op.inserted {
			// GMM refused an owner: nothing new was mapped anywhere, only the claim in the tree goes.
			h.mapped(p, func() { p.tree.Remove(op.start, op.end) })
		}
	case mapping:
		if op.err != nil && op.kind != opExit {
			// Whether the failed owner mapped its part is unknown, so all of them are told to forget it.
			op.phase = undoing
			for _, o := range h.owners(p, op.start, op.end) {
				lo, hi := h.clip(o.Region, op.start, op.end)
				out = h.unmapAt(p, op, o, lo, hi, out)
			}
			return false, out
		}
	case undoing:
		h.mapped(p, func() { p.tree.Remove(op.start, op.end) })
	}
	return true, h.finish(p, op, out)
}

// finish makes the reply and forgets the process if it has ended.
func (h *Home) finish(p *process, op *operation, out []Effect) []Effect {
	if op.err != nil {
		return h.refuse(op.call, op.err, out)
	}
	e := Effect{Kind: Reply, Call: op.call, PID: p.pid, Freed: op.freed}
	switch op.kind {
	case opBrk:
		p.heapEnd = op.brk
		e.Rep = wire.MmapRep{Addr: p.heapEnd}
		if op.grows {
			e.Rep.Owners = h.owners(p, op.start, op.end)
		}
	case opRollback:
		e.Rep = wire.MmapRep{Addr: p.heapEnd, Owners: h.owners(p, 0, AddressEnd)}
	case opMmap:
		e.Rep = wire.MmapRep{Addr: op.start, Owners: h.owners(p, op.start, op.end)}
	case opExit:
		if h.procs[p.pid] == p { // not so for an exit that waited for an exit
			h.mapped(p, func() { p.tree = Tree{} })
			h.stats.Processes--
			delete(h.procs, p.pid)
			h.ended.bury(p.pid, struct{}{})
			for _, r := range p.replies { // of a process that is gone: nobody needs to know
				out = append(out, r.e)
			}
			p.replies = nil
			if b := p.backup.Backup; b.Node != "" {
				p.seq++
				out = h.backupAt(p, b, true, 0, out)
			}
		}
	}
	return h.reply(p, e, out)
}

package vregion

import (
	"fmt"
	"slices"

	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/wire"
)

// Home is the home role of one mComponent: the address spaces of the processes that live here. Its methods append to out
// what must happen next and never block. Use one goroutine at a time.
type Home struct {
	opt      Options
	procs    map[wire.PID]*process // looked up, never ranged over to make an effect
	calls    map[uint64]outCall    // outstanding effects by ID
	lastID   uint64
	asks     lane // to GMM
	requests lane // to owners: apart, so that without managers they go on
	stats    Stats

	arriving map[wire.PID]wire.NodeID   // memory maps on their way here, and from where
	away     graves[wire.PID, awayHome] // memory maps that went elsewhere
	ended    graves[wire.PID, struct{}] // processes that ended here
	backups  map[wire.PID]*backupMap
	taken    graves[wire.PID, wire.Epoch] // epochs under which this took over as the home
	member   registration
}

// lane bounds the effects of one kind that are outstanding.
type lane struct {
	outstanding int
	backlog     []Effect // beyond MaxOutstanding, in order; those before next are gone
	next        int
}

func (h *Home) lane(k EffectKind) *lane {
	if k == AskOwner {
		return &h.asks
	}
	return &h.requests
}

func (l *lane) waiting() int { return len(l.backlog) - l.next }

// Stats counts what Home did since its start.
type Stats struct {
	Processes   int    // alive now
	Regions     int    // active now, of all processes
	MappedBytes uint64 // now
	Mmaps       uint64
	Munmaps     uint64
	Brks        uint64
	Calls       uint64 // mmaps, munmaps, brks and questions for owners of processes whose home this is
	Activations uint64 // owners that GMM named
	Asks        uint64 // asks sent to GMM
	SharedAsks  uint64 // operations that waited for an ask of another
	BestFits    uint64 // placements into an active vRegion
	Failed      uint64 // operations answered with an error
	BacklogPeak int    // most effects that ever waited for MaxOutstanding
	Backlogged  uint64 // effects that had to wait for MaxOutstanding
	RefusedBusy uint64 // operations refused by MaxOperations

	Switches     uint64 // changes of owner or epoch of a vRegion that a giver reported
	OwnerRetries uint64 // requests to owners sent again because the vRegion was moving
}

// region is a vRegion of a process: being asked for (waiters) or active (owner).
type region struct {
	owner   wire.Owner
	active  bool
	config  wire.RegionConfig // that the owner is not known to have heard of; Config 0: none
	waiters []*operation
}

type process struct {
	pid       wire.PID
	epoch     wire.Epoch
	tree      Tree
	regions   map[wire.RegionNo]*region
	active    []wire.RegionNo // sorted
	ops       []*operation    // in the order of arrival, running and waiting
	heapStart uint64          // 0 before the first brk
	heapEnd   uint64
	exited    bool   // an exit has begun; only its retry is served
	fenced    string // why only its exit is served; empty if all is
	addr      string // of its pComponent, or empty
	ran       bool   // it has asked for a change of its map under its epoch: a rollback under it is a late copy of one that was answered
	calls     heat.Meter

	homeEpoch wire.Epoch  // under which this is its home; 0 is not known, as it did not move yet
	frozen    bool        // the map goes to another home: nothing changes it
	to        wire.NodeID // where it goes
	lost      bool        // nobody knows whether it is there

	cut     *homeCut // its last checkpoint; nil if it makes none
	backup  wire.HomeConfig
	seq     uint64 // of the newest change
	backed  uint64 // that the backup has, under this configuration
	backing bool   // a change is on its way
	backWhy string // it does not come further
	replies []heldReply
	taking  bool // this takes over as the home, and the pComponent is being told
}

// outCall is an effect that was not answered yet.
type outCall struct {
	op     *operation // nil for TellClient, BackupAt and TellHome
	p      *process
	kind   EffectKind
	region wire.RegionNo
	e      Effect
}

// NewHome makes the home role. opt has been validated.
func NewHome(opt Options) *Home {
	return &Home{opt: opt, procs: map[wire.PID]*process{}, calls: map[uint64]outCall{}, arriving: map[wire.PID]wire.NodeID{}, backups: map[wire.PID]*backupMap{}}
}

// Stats returns the counts.
func (h *Home) Stats() Stats { return h.stats }

// Open makes this mComponent the home of a process, unless its home was lost here and its backup takes over. Opening again under the same or a newer epoch changes nothing but the
// epoch, and where the process is. One that went elsewhere is opened only by who knows that it has come back.
func (h *Home) Open(req wire.ProcessOpenReq) error {
	p, ok := h.procs[req.PID]
	if !ok {
		if a, ok := h.away.stones[req.PID]; ok && req.Home >= a.epoch {
			h.away.raise(req.PID)
		}
		if err := h.elsewhere(req.PID); err != nil {
			return err
		}
		switch m := req.Member; {
		case h.member.over(m):
			return wire.Errorf(wire.KindNotOwner, "the home of process %d was here under epoch %d of this membership, which is over: its backup is the home, or will be", req.PID, m)
		case m != 0 && m != h.member.now:
			return wire.Errorf(wire.KindBusy, "the home of process %d was given to this mComponent under epoch %d of its membership, of which it has not heard: retry", req.PID, m)
		}
		h.ended.raise(req.PID) // its vNode is used again
		h.procs[req.PID] = &process{pid: req.PID, epoch: req.Epoch, addr: req.Addr, homeEpoch: req.Home, regions: map[wire.RegionNo]*region{}}
		h.stats.Processes++
		return nil
	}
	if p.exited {
		return wire.Errorf(wire.KindNotFound, "process %d has ended", req.PID)
	}
	if err := p.refused(); err != nil {
		return err
	}
	if p.taking && req.Epoch >= p.epoch {
		if p.addr = req.Addr; req.Home == p.homeEpoch { // its pComponent knows of this home
			p.taking = false
		}
	}
	if err := p.thawed(); err != nil {
		return err
	}
	if err := p.admit(req.Epoch); err != nil {
		return err
	}
	p.addr = req.Addr
	return nil
}

// admit checks the epoch of a request against the newest seen.
func (p *process) admit(e wire.Epoch) error {
	if e < p.epoch {
		return wire.Errorf(wire.KindStale, "process %d: epoch %d, want at least %d", p.pid, e, p.epoch)
	}
	p.ran = p.ran && e == p.epoch
	p.epoch = e
	return nil
}

// Mmap maps a range. Address 0 is placed by best fit; any other address replaces what was mapped there, as MAP_FIXED does.
func (h *Home) Mmap(call uint64, req wire.MmapReq, out []Effect) []Effect {
	length, err := pageRound(req.Addr, req.Length)
	if err != nil {
		return h.refuse(call, err, out)
	}
	h.stats.Mmaps++
	return h.submit(req.PID, req.Epoch, &operation{
		call: call, kind: opMmap, start: req.Addr, end: req.Addr + length, choose: req.Addr == 0 && !req.Fixed,
		vma: VMA{Anon: req.Anon, Writable: req.Writable, Name: req.Name},
	}, out)
}

// Munmap removes a range, which may be unmapped in part or in whole.
func (h *Home) Munmap(call uint64, req wire.MunmapReq, out []Effect) []Effect {
	length, err := pageRound(req.Addr, req.Length)
	if err != nil {
		return h.refuse(call, err, out)
	}
	h.stats.Munmaps++
	return h.submit(req.PID, req.Epoch, &operation{call: call, kind: opMunmap, start: req.Addr, end: req.Addr + length}, out)
}

// Brk moves the end of the heap. The first brk of a process sets its start. The reply's address is the new end.
func (h *Home) Brk(call uint64, req wire.BrkReq, out []Effect) []Effect {
	if req.End == 0 || req.End > AddressEnd || req.Heap > AddressEnd {
		return h.refuse(call, wire.Errorf(wire.KindBadRequest, "brk of process %d to %#x, want an address up to %#x", req.PID, req.End, AddressEnd), out)
	}
	h.stats.Brks++
	return h.submit(req.PID, req.Epoch, &operation{call: call, kind: opBrk, brk: req.End, heap: req.Heap, vma: VMA{Anon: true, Writable: true, Name: "[heap]"}}, out)
}

// Owners answers at once with the owners of the active vRegions of a range.
func (h *Home) Owners(call uint64, req wire.OwnersReq, out []Effect) []Effect {
	length, err := pageRound(req.Addr, max(req.Length, 1))
	if err != nil {
		return h.refuse(call, err, out)
	}
	p, ok := h.procs[req.PID]
	if !ok || p.exited {
		return h.refuse(call, h.notHome(req.PID), out)
	}
	h.stats.Calls++
	p.calls.Add(1)
	if err := p.refused(); err != nil {
		return h.refuse(call, err, out)
	}
	rep := wire.MmapRep{Addr: req.Addr, Owners: h.owners(p, req.Addr, req.Addr+length)}
	if len(rep.Owners) == 0 {
		return h.refuse(call, wire.Errorf(wire.KindUnmapped, "process %d has no active vRegion in [%#x, %#x)", req.PID, req.Addr, req.Addr+length), out)
	}
	return append(out, Effect{Kind: Reply, Call: call, PID: req.PID, Rep: rep})
}

// Exit ends a process: after the operations before it have ended, every owner frees its pages. The exit of an unknown
// process succeeds, so a retry does. If an owner cannot be reached the reply is an error, and a retry tries the rest.
func (h *Home) Exit(call uint64, req wire.ProcessExitReq, out []Effect) []Effect {
	p, ok := h.procs[req.PID]
	if !ok {
		if err := h.elsewhere(req.PID); err != nil && !h.away.stones[req.PID].empty {
			return h.refuse(call, err, out)
		}
		return append(out, Effect{Kind: Reply, Call: call, PID: req.PID})
	}
	if err := p.thawed(); err != nil && !p.lost && !p.taking {
		return h.refuse(call, err, out)
	}
	if err := p.admit(req.Epoch); err != nil {
		return h.refuse(call, err, out)
	}
	p.exited = true
	op := &operation{call: call, kind: opExit, end: AddressEnd}
	p.ran = p.ran || op.kind == opMmap || op.kind == opMunmap || op.kind == opBrk
	p.ops = append(p.ops, op)
	return h.advance(p, out)
}

func (h *Home) notHome(pid wire.PID) error {
	if err := h.elsewhere(pid); err != nil {
		return err
	}
	return wire.Errorf(wire.KindNotFound, "process %d is not at home here: open it first", pid)
}

// pageRound checks a range and rounds its length up to pages.
func pageRound(addr, length uint64) (uint64, error) {
	if addr%wire.PageSize != 0 {
		return 0, wire.Errorf(wire.KindBadRequest, "address %#x, want a multiple of %d", addr, wire.PageSize)
	}
	if length == 0 || length > AddressEnd || addr > AddressEnd-length {
		return 0, wire.Errorf(wire.KindBadRequest, "range of %d bytes at %#x, want 1 byte or more below %#x", length, addr, AddressEnd)
	}
	return (length + wire.PageSize - 1) &^ (wire.PageSize - 1), nil
}

func (h *Home) refuse(call uint64, err error, out []Effect) []Effect {
	h.stats.Failed++
	return append(out, Effect{Kind: Reply, Call: call, Err: err})
}

func (h *Home) submit(pid wire.PID, epoch wire.Epoch, op *operation, out []Effect) []Effect {
	p, ok := h.procs[pid]
	if !ok || p.exited {
		return h.refuse(op.call, h.notHome(pid), out)
	}
	h.stats.Calls++
	p.calls.Add(1)
	if err := p.thawed(); err != nil {
		return h.refuse(op.call, err, out)
	}
	if err := p.refused(); err != nil {
		return h.refuse(op.call, err, out)
	}
	if err := p.admit(epoch); err != nil {
		return h.refuse(op.call, err, out)
	}
	if len(p.ops) >= h.opt.MaxOperations {
		h.stats.RefusedBusy++
		return h.refuse(op.call, wire.Errorf(wire.KindBusy, "process %d has %d memory-map operations outstanding, at most %d", pid, len(p.ops), h.opt.MaxOperations), out)
	}
	p.ran = p.ran || op.kind == opMmap || op.kind == opMunmap || op.kind == opBrk
	p.ops = append(p.ops, op)
	return h.advance(p, out)
}

func (h *Home) regionOf(addr uint64) wire.RegionNo { return wire.RegionNo(addr / h.opt.RegionBytes) }

// clip returns the part of [start, end) inside region r.
func (h *Home) clip(r wire.RegionNo, start, end uint64) (uint64, uint64) {
	lo := uint64(r) * h.opt.RegionBytes
	return max(start, lo), min(end, lo+h.opt.RegionBytes)
}

// owners lists the owners of the active vRegions that [start, end) touches, in the order of addresses.
func (h *Home) owners(p *process, start, end uint64) []wire.Owner {
	if start >= end {
		return nil
	}
	i, _ := slices.BinarySearch(p.active, h.regionOf(start))
	var list []wire.Owner
	for ; i < len(p.active) && p.active[i] <= h.regionOf(end-1); i++ {
		list = append(list, p.regions[p.active[i]].owner)
	}
	return list
}

// place chooses the address of a mapping: the smallest gap of an active vRegion that holds it, else the lowest run of
// vRegions without any mapping.
func (h *Home) place(p *process, length uint64) (uint64, error) {
	var addr, size uint64
	found := false
	first, _ := slices.BinarySearch(p.active, h.regionOf(h.opt.PlaceBase))
	for _, r := range p.active[first:] {
		if length > h.opt.RegionBytes {
			break
		}
		lo := uint64(r) * h.opt.RegionBytes
		if a, g, ok := p.tree.Gap(lo, lo+h.opt.RegionBytes, length); ok && (!found || g < size) {
			addr, size, found = a, g, true
		}
	}
	if found {
		h.stats.BestFits++
		return addr, nil
	}
	// Vmas are ordered, so each one met moves the candidate past itself: one pass over the tree.
	round := func(a uint64) uint64 { return (a + h.opt.RegionBytes - 1) &^ (h.opt.RegionBytes - 1) }
	addr = h.opt.PlaceBase
	for i := p.tree.after(addr); i < p.tree.Len() && p.tree.vmas[i].Start < round(addr+length); i++ {
		addr = round(p.tree.vmas[i].End)
	}
	if addr > AddressEnd || length > AddressEnd-addr {
		return 0, wire.Errorf(wire.KindNoMemory, "process %d: no free address range of %d bytes", p.pid, length)
	}
	return addr, nil
}

// emit appends an effect that will be answered, or keeps it back while too many are outstanding.
func (h *Home) emit(e Effect, op *operation, p *process, out []Effect) []Effect {
	h.lastID++
	e.ID = h.lastID
	h.calls[e.ID] = outCall{op: op, p: p, kind: e.Kind, region: e.Region, e: e}
	l := h.lane(e.Kind)
	if l.outstanding >= h.opt.MaxOutstanding {
		l.backlog = append(l.backlog, e)
		h.stats.Backlogged++
		h.stats.BacklogPeak = max(h.stats.BacklogPeak, l.waiting())
		return out
	}
	l.outstanding++
	return append(out, e)
}

// Done reports the outcome of the effect id. An unknown id is ignored.
func (h *Home) Done(id uint64, res Result, out []Effect) []Effect {
	c, ok := h.calls[id]
	if !ok {
		return out
	}
	delete(h.calls, id)
	if c.kind == BackupAt {
		return h.backedUp(c, res, out)
	}
	l := h.lane(c.kind)
	l.outstanding--
	if l.waiting() > 0 {
		out = append(out, l.backlog[l.next])
		l.outstanding++
		if l.next++; l.next == len(l.backlog) {
			l.backlog, l.next = l.backlog[:0], 0
		}
	}
	if c.kind == AskOwner && c.p.homeEpoch != 0 && res.Err == nil && res.Home.Epoch > c.p.homeEpoch {
		// It was lost here and another is the home now, or will be. What is here was begun since by who did not know.
		res = Result{Err: wire.Errorf(wire.KindNotOwner, "the home of process %d is elsewhere, or will be, under epoch %d", c.p.pid, res.Home.Epoch)}
	}
	switch {
	case c.kind == TellClient:
		return h.clientTold(c, res, out)
	case c.kind == TellHome:
		return h.homeTold(c, res, out)
	case c.kind == AskOwner && c.e.Again != 0:
		return h.askedAgain(c, res, out)
	case c.kind == AskOwner:
		h.activated(c.p, c.region, res)
		if res.Err == nil && res.Home.Config != 0 && h.procs[c.p.pid] == c.p {
			out = h.configure(c.p, res.Home, out)
		}
	case h.again(c, res):
		return h.tryAgain(c, res, out)
	default:
		h.answered(c, res)
	}
	return h.advance(c.p, out)
}

// activated stores the owner that GMM named, or drops the vRegion, and releases everyone who waited for it.
func (h *Home) activated(p *process, r wire.RegionNo, res Result) {
	reg := p.regions[r]
	if res.Err == nil {
		reg.owner, reg.active, reg.config = res.Owner, true, res.Config
		reg.owner.Region = r
		i, _ := slices.BinarySearch(p.active, r)
		p.active = slices.Insert(p.active, i, r)
		h.stats.Activations++
		h.stats.Regions++
	} else {
		delete(p.regions, r)
	}
	for _, op := range reg.waiters {
		op.pending--
		if res.Err != nil && op.err == nil {
			op.err = res.Err
		}
	}
	reg.waiters = nil
}

// CheckInvariants checks the trees, that mapped ranges lie in known vRegions, and the counts.
func (h *Home) CheckInvariants() error {
	regions, outstanding := 0, 0
	for _, p := range h.procs {
		if err := p.tree.CheckInvariants(); err != nil {
			return fmt.Errorf("process %d: %w", p.pid, err)
		}
		if !slices.IsSorted(p.active) {
			return fmt.Errorf("vregion: process %d: active vRegions out of order", p.pid)
		}
		for _, r := range p.active {
			if reg := p.regions[r]; reg == nil || !reg.active || reg.owner.Node == "" {
				return fmt.Errorf("vregion: process %d: vRegion %d is active without an owner", p.pid, r)
			}
		}
		for r, reg := range p.regions {
			if !reg.active && len(reg.waiters) == 0 {
				return fmt.Errorf("vregion: process %d: vRegion %d is asked for and nobody waits", p.pid, r)
			}
		}
		if len(p.ops) == 0 && !p.exited {
			for _, v := range p.tree.All() {
				for r := h.regionOf(v.Start); r <= h.regionOf(v.End-1); r++ {
					if reg := p.regions[r]; reg == nil || !reg.active {
						return fmt.Errorf("vregion: process %d: [%#x, %#x) is mapped in vRegion %d, which is not active", p.pid, v.Start, v.End, r)
					}
				}
			}
		}
		regions += len(p.active)
	}
	for _, l := range []*lane{&h.asks, &h.requests} {
		if l.outstanding > h.opt.MaxOutstanding || l.waiting() > 0 && l.outstanding < h.opt.MaxOutstanding {
			return fmt.Errorf("vregion: %d effects outstanding of at most %d, and %d wait", l.outstanding, h.opt.MaxOutstanding, l.waiting())
		}
		outstanding += l.outstanding + l.waiting()
	}
	backing := map[*process]int{}
	for _, c := range h.calls {
		if c.kind == BackupAt {
			outstanding++
			if !c.e.Backup.Gone {
				backing[c.p]++
			}
		}
	}
	for _, p := range h.procs {
		if p.backing != (backing[p] == 1) || len(p.replies) > 0 && !p.backing {
			return fmt.Errorf("vregion: process %d: %d memory maps are on their way to its backup, and is to be so: %t, %d answers wait", p.pid, backing[p], p.backing, len(p.replies))
		}
	}
	if outstanding != len(h.calls) {
		return fmt.Errorf("vregion: %d effects outstanding, counted as %d", len(h.calls), outstanding)
	}
	if regions != h.stats.Regions {
		return fmt.Errorf("vregion: %d active vRegions, counted as %d", regions, h.stats.Regions)
	}
	return nil
}

package vregion

import (
	"slices"

	"splitkernel/netlayer/wire"
)

// elsewhere gives the error for a process whose memory map went elsewhere or is on its way here, or nil.
func (h *Home) elsewhere(pid wire.PID) error {
	if a, ok := h.away.stones[pid]; ok {
		return wire.Errorf(wire.KindNotOwner, "the home of process %d moved to %s under epoch %d", pid, a.to, a.epoch)
	}
	if from, ok := h.arriving[pid]; ok {
		return wire.Errorf(wire.KindBusy, "the home of process %d is moving here from %s: retry", pid, from)
	}
	return nil
}

// thawed refuses changes of a memory map that goes to another home.
func (p *process) thawed() error {
	if p.lost {
		return wire.Errorf(wire.KindFailed, "the memory map of process %d was lost on its way to %s, which fell silent before it was known to have it", p.pid, p.to)
	}
	if p.taking {
		return wire.Errorf(wire.KindBusy, "the home of process %d is lost, and its backup is taking over: retry", p.pid)
	}
	if p.frozen {
		return wire.Errorf(wire.KindBusy, "the home of process %d is moving to %s: retry", p.pid, p.to)
	}
	return nil
}

// here gives a process that lives here and can move. A process that has ended is an error of KindFailed: whoever holds
// something of it may free it.
func (h *Home) here(pid wire.PID) (*process, error) {
	p, ok := h.procs[pid]
	_, ended := h.ended.stones[pid]
	switch {
	case ended || ok && p.exited:
		return nil, wire.Errorf(wire.KindFailed, "process %d has ended", pid)
	case !ok:
		return nil, h.notHome(pid)
	}
	return p, nil
}

// Switch takes the news that a vRegion has another owner, or another epoch, and tells the process's pComponent, before it
// answers: after that nothing under an older epoch reaches the process. News that is not newer changes nothing.
func (h *Home) Switch(call uint64, req wire.RegionSwitchReq, out []Effect) []Effect {
	p, err := h.here(req.PID)
	if err == nil {
		err = p.thawed()
	}
	if err != nil {
		return h.refuse(call, err, out)
	}
	w := req.Owner
	reg := p.regions[w.Region]
	switch {
	case reg == nil && req.If == 0 && !req.Undo:
		// This home took over and had not heard of it. Who tells has the managers' word for it.
		reg = &region{owner: w, active: true}
		p.regions[w.Region] = reg
		i, _ := slices.BinarySearch(p.active, w.Region)
		p.active = slices.Insert(p.active, i, w.Region)
		h.stats.Regions++
	case reg == nil || !reg.active:
		return h.refuse(call, wire.Errorf(wire.KindBadRequest, "vRegion %d of process %d is not active", w.Region, req.PID), out)
	case req.If != 0 && reg.owner.Epoch != req.If && (w.Epoch != reg.owner.Epoch || w.Node != reg.owner.Node):
		return h.refuse(call, wire.Errorf(wire.KindStale, "vRegion %d of process %d belongs to %s under epoch %d, not under %d: it was not handed over",
			w.Region, req.PID, reg.owner.Node, reg.owner.Epoch, req.If), out)
	case w.Epoch < reg.owner.Epoch || w.Epoch == reg.owner.Epoch && w.Node != reg.owner.Node:
		return h.refuse(call, wire.Errorf(wire.KindStale, "vRegion %d of process %d belongs to %s under epoch %d, not to %s under %d",
			w.Region, req.PID, reg.owner.Node, reg.owner.Epoch, w.Node, w.Epoch), out)
	}
	if w.Epoch > reg.owner.Epoch {
		reg.config = wire.RegionConfig{} // who recovers it, or takes it, has heard of one that is as new
	}
	reg.owner = w
	h.stats.Switches++
	if p.addr == "" {
		return h.reply(p, Effect{Kind: Reply, Call: call, PID: req.PID}, out)
	}
	return h.emit(Effect{Kind: TellClient, Call: call, PID: req.PID, Region: w.Region, Owner: wire.Owner{Region: w.Region, Addr: p.addr}, Switch: req}, nil, p, out)
}

// clientTold answers a Switch. A pComponent that knows no such process does not run it: nothing reaches it there. After an
// undo nobody waits for the pComponent: it asks when the taker turns it away.
func (h *Home) clientTold(c outCall, res Result, out []Effect) []Effect {
	if res.Err != nil && !c.e.Switch.Undo && wire.KindOf(res.Err) != wire.KindNotFound {
		return h.refuse(c.e.Call, wire.Errorf(wire.KindUnavailable, "the pComponent of process %d at %s: %v", c.p.pid, c.p.addr, res.Err), out)
	}
	return h.reply(c.p, Effect{Kind: Reply, Call: c.e.Call, PID: c.p.pid}, out)
}

// again reports whether a request to an owner failed because its vRegion is moving, and may succeed later.
func (h *Home) again(c outCall, res Result) bool {
	if res.Err == nil || c.kind == ExitAt || c.e.Attempt >= h.opt.MaxOwnerAttempts {
		return false
	}
	switch wire.KindOf(res.Err) {
	case wire.KindBusy, wire.KindNotOwner, wire.KindStale:
		return true
	case wire.KindFailed:
		// Lost to an owner that was taken for dead and is back. If others have copies, who becomes the owner tells this home so; GMM is not asked, for
		// the new owner may not have heard of it, and would begin the vRegion anew.
		// Of a process that ends nobody tells it, for nobody becomes the owner any more.
		return (c.kind == MapAt || c.kind == UnmapAt) && c.p.copied() && !c.p.exited
	}
	return false
}

// copied reports whether the vRegions of a process may have copies: its home had a backup once.
func (p *process) copied() bool { return p.backup.Config != 0 }

// given is the membership of an owner under which it must still have a vRegion, so that what is unmapped there is unmapped where its copies are; 0 if there are none.
func (p *process) given(o wire.Owner) wire.Epoch {
	if !p.copied() {
		return 0
	}
	return o.Member
}

// tryAgain sends a request to whoever owns the vRegion now. If nobody told who that is, GMM is asked: a vRegion of which its owner
// had nothing yet moves without a word to its home.
func (h *Home) tryAgain(c outCall, res Result, out []Effect) []Effect {
	e := c.e
	e.Attempt++
	h.stats.OwnerRetries++
	now := c.p.regions[c.region].owner
	if now.Epoch == e.Owner.Epoch && (wire.KindOf(res.Err) == wire.KindNotOwner || c.p.asksIfLost(e.Attempt)) {
		e.Kind, e.Again = AskOwner, c.kind
		return h.emit(e, c.op, c.p, out)
	}
	return h.toOwner(e, c, out)
}

// lostEvery is after how many tries in vain GMM is asked whether a vRegion is lost for good.
const lostEvery = 8

// asksIfLost reports whether GMM is asked at a try whether the vRegion is lost for good: its owner was lost, and so many of its copies that
// nobody becomes the owner any more and tells this home. Only that is taken from the answer: an owner that GMM names may not have heard of it
// yet, and would have nothing of it.
func (p *process) asksIfLost(attempt int) bool { return p.copied() && attempt%lostEvery == 0 }

// toOwner sends a request to the owner that is known now.
func (h *Home) toOwner(e Effect, c outCall, out []Effect) []Effect {
	e.Owner = c.p.regions[c.region].owner
	e.Map.RegionEpoch, e.Map.Member = e.Owner.Epoch, e.Owner.Member
	e.Map.Config = c.p.regions[c.region].config
	e.Unmap.Member = c.p.given(e.Owner)
	e.Cut.Member, e.Rollback.Member = e.Unmap.Member, e.Unmap.Member
	return h.emit(e, c.op, c.p, out)
}

// askedAgain goes on with a request that its owner turned away, when GMM has said who the owner is. While the move ends GMM may name
// the one before.
func (h *Home) askedAgain(c outCall, res Result, out []Effect) []Effect {
	c.kind = c.e.Again
	c.e.Kind, c.e.Again = c.kind, 0
	if c.p.asksIfLost(c.e.Attempt) && wire.KindOf(res.Err) != wire.KindFailed {
		return h.toOwner(c.e, c, out)
	}
	if res.Err != nil {
		h.answered(c, res)
		return h.advance(c.p, out)
	}
	if reg := c.p.regions[c.region]; res.Owner.Epoch > reg.owner.Epoch {
		reg.owner, reg.config = res.Owner, res.Config
		reg.owner.Region = c.region
	}
	return h.toOwner(c.e, c, out)
}

// Map is the memory map of a process on its way to another home.
type Map struct {
	PID                wire.PID
	Epoch              wire.Epoch // of the process
	Addr               string
	HeapStart, HeapEnd uint64
	Mapped             []wire.MappedPart
	Owners             []wire.Owner
	Configs            []wire.RegionConfig // that their owners are not known to have heard of
	Backup             wire.HomeConfig
	Kept               wire.HomeCut
}

// Cut divides a memory map into parts that fit a message each, at least one.
func (all Map) Cut() (parts []Map) {
	parts = []Map{{}}
	entries, bytes := 0, 0
	next := func(n int) *Map {
		if entries++; entries > wire.MaxMapEntries || bytes+n > wire.MaxMapBytes && entries > 1 {
			parts = append(parts, Map{})
			entries, bytes = 1, 0
		}
		bytes += n
		return &parts[len(parts)-1]
	}
	for _, v := range all.Mapped {
		p := next(len(v.Name))
		p.Mapped = append(p.Mapped, v)
	}
	for _, w := range all.Owners {
		p := next(len(w.Node) + len(w.Addr))
		p.Owners = append(p.Owners, w)
	}
	for _, c := range all.Configs {
		p := next(64 * (1 + len(c.Holders)))
		p.Configs = append(p.Configs, c)
	}
	for _, v := range all.Kept.Mapped {
		p := next(len(v.Name))
		p.Kept.Mapped = append(p.Kept.Mapped, v)
	}
	return parts
}

// Messages gives the parts of a memory map as messages; head has what is the same in all of them beside what the map says of the process.
func (all Map) Messages(head wire.HomeCopyReq) []wire.HomeCopyReq {
	parts := all.Cut()
	list := make([]wire.HomeCopyReq, len(parts))
	for i, p := range parts {
		q := head
		q.Part, q.Parts, q.PID, q.Epoch, q.Addr, q.HeapStart, q.HeapEnd = uint32(i), uint32(len(parts)), all.PID, all.Epoch, all.Addr, all.HeapStart, all.HeapEnd
		q.Mapped, q.Owners, q.Configs, q.Backup = p.Mapped, p.Owners, p.Configs, all.Backup
		q.Kept = all.Kept
		q.Kept.Mapped = p.Kept.Mapped
		list[i] = q
	}
	return list
}

// Freeze refuses changes of a memory map as busy, under the epoch under which this is its home, if that is known here.
// Operations that run go on; the map may be exported when Settled.
func (h *Home) Freeze(pid wire.PID, epoch wire.Epoch, to wire.NodeID) error {
	err := h.Movable(pid, epoch)
	if err == nil {
		h.procs[pid].frozen, h.procs[pid].to = true, to
	}
	return err
}

// Movable gives an error if the map of a process cannot move from here.
func (h *Home) Movable(pid wire.PID, epoch wire.Epoch) error {
	p, err := h.here(pid)
	if err != nil {
		return err
	}
	if p.homeEpoch != 0 && p.homeEpoch != epoch {
		return wire.Errorf(wire.KindStale, "this is the home of process %d under epoch %d, not %d", pid, p.homeEpoch, epoch)
	}
	return p.thawed()
}

// Settled reports whether no operation of a process runs.
func (h *Home) Settled(pid wire.PID) bool {
	p := h.procs[pid]
	return p == nil || len(p.ops) == 0 && len(p.replies) == 0
}

// ClientOf gives the address of a process's pComponent.
func (h *Home) ClientOf(pid wire.PID) string { return h.procs[pid].addr }

// Export gives the memory map of a process that is frozen and settled.
func (h *Home) Export(pid wire.PID) Map {
	p := h.procs[pid]
	m := Map{PID: pid, Epoch: p.epoch, Addr: p.addr, HeapStart: p.heapStart, HeapEnd: p.heapEnd, Mapped: parts(&p.tree), Owners: h.owners(p, 0, AddressEnd), Backup: p.backup, Kept: p.keptMap()}
	for _, r := range p.active {
		if c := p.regions[r].config; c.Config != 0 {
			m.Configs = append(m.Configs, c)
		}
	}
	return m
}

// Thaw goes on under an epoch that is not older.
func (h *Home) Thaw(pid wire.PID, epoch wire.Epoch) {
	p := h.procs[pid]
	p.frozen, p.to, p.homeEpoch = false, "", epoch
}

// Lose ends serving for good: changes are refused as failed. The process may exit.
func (h *Home) Lose(pid wire.PID) { h.procs[pid].lost = true }

// Forget drops the memory map of a process that is frozen and settled: its home is elsewhere, under epoch.
func (h *Home) Forget(pid wire.PID, epoch wire.Epoch) {
	p := h.procs[pid]
	h.drop(p)
	h.away.bury(pid, awayHome{to: p.to, epoch: epoch})
}

func (h *Home) drop(p *process) {
	h.mapped(p, func() { p.tree = Tree{} })
	h.stats.Regions -= len(p.active)
	h.stats.Processes--
	delete(h.procs, p.pid)
}

// Arrive says that a memory map is on its way here: requests are refused as busy until Install or Depart.
func (h *Home) Arrive(pid wire.PID, from wire.NodeID) error {
	if _, ok := h.procs[pid]; ok {
		return wire.Errorf(wire.KindExists, "this is the home of process %d already", pid)
	}
	if old, ok := h.arriving[pid]; ok {
		return wire.Errorf(wire.KindExists, "the home of process %d is moving here from %s already", pid, old)
	}
	h.away.raise(pid)
	h.arriving[pid] = from
	return nil
}

// Depart says that it does not come.
func (h *Home) Depart(pid wire.PID) { delete(h.arriving, pid) }

// CheckMap checks a memory map that arrives.
func (h *Home) CheckMap(m Map) error {
	for _, list := range [][]wire.MappedPart{m.Mapped, m.Kept.Mapped} {
		for i, v := range list {
			if v.Start >= v.End || v.Start%wire.PageSize != 0 || v.End%wire.PageSize != 0 || v.End > AddressEnd || i > 0 && v.Start < list[i-1].End {
				return wire.Errorf(wire.KindBadRequest, "the memory map of process %d has a bad mapping [%#x, %#x)", m.PID, v.Start, v.End)
			}
		}
	}
	if len(m.Owners) > h.opt.MaxRegionsPerProcess || len(m.Mapped) > h.opt.MaxVMAsPerProcess {
		return wire.Errorf(wire.KindNoMemory, "the memory map of process %d has %d vmas in %d vRegions, at most max_vmas_per_process %d and max_regions_per_process %d",
			m.PID, len(m.Mapped), len(m.Owners), h.opt.MaxVMAsPerProcess, h.opt.MaxRegionsPerProcess)
	}
	for _, c := range m.Configs {
		if !slices.ContainsFunc(m.Owners, func(w wire.Owner) bool { return w.Region == c.Region }) {
			return wire.Errorf(wire.KindBadRequest, "the memory map of process %d has a configuration of vRegion %d, which has no owner", m.PID, c.Region)
		}
	}
	for i, w := range m.Owners {
		if w.Node == "" || i > 0 && w.Region <= m.Owners[i-1].Region {
			return wire.Errorf(wire.KindBadRequest, "the owners of process %d are out of order at vRegion %d", m.PID, w.Region)
		}
	}
	return nil
}

// Install makes this the home of a process that has arrived with a checked map, under epoch.
func (h *Home) Install(m Map, epoch wire.Epoch) {
	delete(h.arriving, m.PID)
	h.ended.raise(m.PID)
	p := &process{pid: m.PID, epoch: m.Epoch, addr: m.Addr, heapStart: m.HeapStart, heapEnd: m.HeapEnd, homeEpoch: epoch, regions: map[wire.RegionNo]*region{}}
	for _, w := range m.Owners {
		p.regions[w.Region] = &region{owner: w, active: true}
		p.active = append(p.active, w.Region)
	}
	for _, c := range m.Configs {
		p.regions[c.Region].config = c
	}
	if p.backup = m.Backup; p.backup.Backup.Node != "" {
		p.backup.Epoch = epoch // the former home's; it is sent what is here with the next change, or when the managers ask
		p.seq = 1
	}
	h.mapped(p, func() {
		for _, v := range m.Mapped {
			p.tree.Insert(VMA{Start: v.Start, End: v.End, Anon: v.Anon, Writable: v.Writable, Name: v.Name})
		}
	})
	p.keep(m.Kept)
	h.procs[m.PID] = p
	h.stats.Processes++
	h.stats.Regions += len(p.active)
}

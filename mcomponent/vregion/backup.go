package vregion

import (
	"cmp"
	"slices"

	"splitkernel/netlayer/wire"
)

// heldReply is an answer that waits until the backup knows what it says.
type heldReply struct {
	seq uint64
	e   Effect
}

// Configure takes who is the backup of a process's home from now on. One that is not newer changes nothing.
func (h *Home) Configure(cfg wire.HomeConfig, out []Effect) ([]Effect, error) {
	p, err := h.here(cfg.PID)
	if err != nil {
		return out, err
	}
	if p.homeEpoch != 0 && cfg.Epoch != p.homeEpoch {
		return out, wire.Errorf(wire.KindStale, "this is the home of process %d under epoch %d, not %d", p.pid, p.homeEpoch, cfg.Epoch)
	}
	return h.configure(p, cfg, out), nil
}

func (h *Home) configure(p *process, cfg wire.HomeConfig, out []Effect) []Effect {
	old := p.backup
	if cfg.Epoch < old.Epoch || cfg.Epoch == old.Epoch && cfg.Config <= old.Config {
		return out
	}
	p.backup, p.backed = cfg, 0
	if b := old.Backup; b.Node != "" && b.Node != cfg.Backup.Node {
		out = h.backupAt(p, b, true, 0, out)
	}
	if cfg.Backup.Node == "" {
		return h.releaseReplies(p, p.seq, out)
	}
	p.seq++
	return h.back(p, out)
}

// HomeStatus says how far a configuration of a process's home has come.
func (h *Home) HomeStatus(pid wire.PID) (wire.HomeConfigRep, error) {
	p, err := h.here(pid)
	if err != nil {
		return wire.HomeConfigRep{}, err
	}
	return wire.HomeConfigRep{Config: p.backup.Config, InSync: p.backup.Backup.Node != "" && p.backed > 0, Text: p.backWhy}, nil
}

// OpenBacked is Open that is answered when the backup knows of it too, if there is one.
func (h *Home) OpenBacked(call uint64, req wire.ProcessOpenReq, out []Effect) []Effect {
	if err := h.Open(req); err != nil {
		return h.refuse(call, err, out)
	}
	return h.reply(h.procs[req.PID], Effect{Kind: Reply, Call: call, PID: req.PID}, out)
}

// reply answers a call that has changed the memory map: once the backup knows of it, if there is one.
func (h *Home) reply(p *process, e Effect, out []Effect) []Effect {
	if p.backup.Backup.Node == "" || e.Err != nil || h.procs[p.pid] != p {
		return append(out, e)
	}
	p.seq++
	p.replies = append(p.replies, heldReply{p.seq, e})
	return h.back(p, out)
}

// back sends the memory map to the backup, if it has changed and is not on its way.
func (h *Home) back(p *process, out []Effect) []Effect {
	if p.backing || p.backup.Backup.Node == "" || p.backed >= p.seq {
		return out
	}
	p.backing = true
	return h.backupAt(p, p.backup.Backup, false, 0, out)
}

func (h *Home) backupAt(p *process, to wire.Holder, gone bool, attempt int, out []Effect) []Effect {
	h.lastID++
	e := Effect{Kind: BackupAt, ID: h.lastID, PID: p.pid, Owner: wire.Owner{Node: to.Node, Addr: to.Addr, Member: to.Member}, Attempt: attempt,
		Backup: wire.HomeBackupReq{HomeEpoch: p.homeEpoch, Config: p.backup.Config, Seq: p.seq, Member: to.Member, Gone: gone, Copy: wire.HomeCopyReq{PID: p.pid}}}
	h.calls[e.ID] = outCall{p: p, kind: BackupAt, e: e} // without the map: one that is sent again is a newer one
	if !gone {
		e.Copy = h.exportSettled(p)
	}
	return append(out, e)
}

// exportSettled gives the memory map as far as its vRegions have owners: whoever maps the rest hears of it when it is there.
func (h *Home) exportSettled(p *process) Map {
	m := h.Export(p.pid)
	var mapped []wire.MappedPart
	for _, v := range m.Mapped {
		from := v.Start // of what is still to be looked at
		for r := h.regionOf(v.Start); r <= h.regionOf(v.End-1); r++ {
			_, hi := h.clip(r, v.Start, v.End)
			if reg := p.regions[r]; reg == nil || !reg.active {
				lo, _ := h.clip(r, v.Start, v.End)
				if from < lo {
					mapped = append(mapped, wire.MappedPart{Start: from, End: lo, Anon: v.Anon, Writable: v.Writable, Name: v.Name})
				}
				from = hi
			}
		}
		if from < v.End {
			mapped = append(mapped, wire.MappedPart{Start: from, End: v.End, Anon: v.Anon, Writable: v.Writable, Name: v.Name})
		}
	}
	m.Mapped = mapped
	return m
}

// backedUp takes the answer of a backup.
func (h *Home) backedUp(c outCall, res Result, out []Effect) []Effect {
	p := c.p
	if c.e.Backup.Gone || h.procs[p.pid] != p {
		return out
	}
	p.backing = false
	if c.e.Backup.Config != p.backup.Config || c.e.Owner.Node != p.backup.Backup.Node || c.e.Backup.HomeEpoch != p.homeEpoch {
		return h.back(p, out)
	}
	if res.Err != nil {
		p.backing, p.backWhy = true, res.Err.Error()
		return h.backupAt(p, p.backup.Backup, false, c.e.Attempt+1, out)
	}
	p.backWhy = ""
	p.backed = max(p.backed, c.e.Backup.Seq)
	return h.back(p, h.releaseReplies(p, p.backed, out))
}

func (h *Home) releaseReplies(p *process, seq uint64, out []Effect) []Effect {
	n := 0
	for n < len(p.replies) && p.replies[n].seq <= seq {
		out = append(out, p.replies[n].e)
		n++
	}
	p.replies = slices.Delete(p.replies, 0, n)
	return out
}

// Parts lists the mapped parts of a vRegion for its new owner.
func (h *Home) Parts(req wire.RegionPartsReq) (rep wire.RegionPartsRep, err error) {
	p, err := h.here(req.PID)
	if err == nil {
		err = p.thawed()
	}
	if err != nil {
		return rep, err
	}
	reg := p.regions[req.Region]
	if reg == nil || !reg.active || reg.owner.Epoch != req.Epoch {
		return rep, wire.Errorf(wire.KindStale, "vRegion %d of process %d is not owned under epoch %d", req.Region, req.PID, req.Epoch)
	}
	lo := uint64(req.Region) * h.opt.RegionBytes
	hi := lo + h.opt.RegionBytes
	for _, op := range p.ops {
		removes := op.phase == clearing && !op.grows || op.phase == undoing
		if removes && op.start < hi && lo < op.end && !h.asksAt(op, req.Region) {
			return rep, wire.Errorf(wire.KindBusy, "a part of vRegion %d of process %d is being unmapped, and its former owner has heard of it: retry", req.Region, req.PID)
		}
	}
	for i := p.tree.after(max(lo, req.From)); i < p.tree.Len() && p.tree.vmas[i].Start < hi; i++ {
		if len(rep.Mapped) == wire.MaxMapEntries {
			rep.More = true
			break
		}
		v := p.tree.vmas[i]
		rep.Mapped = append(rep.Mapped, wire.MappedPart{Start: max(v.Start, lo, req.From), End: min(v.End, hi), Anon: v.Anon, Writable: v.Writable})
	}
	rep.Process = p.epoch
	return rep, nil
}

// asksAt reports whether a request of op to the owner of a vRegion is outstanding.
func (h *Home) asksAt(op *operation, region wire.RegionNo) bool {
	for _, c := range h.calls { // any: no order
		if c.op == op && c.region == region {
			return true
		}
	}
	return false
}

// backupMap is the memory map of a process whose home is elsewhere.
type backupMap struct {
	pid      wire.PID
	epoch    wire.Epoch // of the home
	config   uint64
	seq      uint64
	complete bool
	m        Map
	coming   *backupMap // a newer one, of which parts are missing
	parts    uint32
}

func (b *backupMap) before(req *wire.HomeBackupReq) int {
	return cmp.Or(cmp.Compare(b.epoch, req.HomeEpoch), cmp.Compare(b.config, req.Config), cmp.Compare(b.seq, req.Seq))
}

// Backup takes a part of the memory map of a process of whose home this is the backup.
func (h *Home) Backup(req wire.HomeBackupReq, self wire.NodeID, out []Effect) ([]Effect, error) {
	pid := req.Copy.PID
	if err := h.member.granted("the backup of the home", pid, self, req.Member); err != nil {
		return out, err
	}
	if e, ok := h.taken.stones[pid]; ok && req.HomeEpoch < e {
		return out, wire.Errorf(wire.KindStale, "the home of process %d was lost under epoch %d: there is another under %d", pid, req.HomeEpoch, e)
	}
	out, err := h.bequeath(pid, req.HomeEpoch, out)
	if err != nil {
		return out, err
	}
	if _, ok := h.procs[pid]; ok {
		return out, wire.Errorf(wire.KindStale, "%s is the home of process %d", self, pid)
	}
	b := h.backups[pid]
	if req.Gone {
		if b != nil && b.before(&req) <= 0 {
			delete(h.backups, pid)
		}
		return out, nil
	}
	if b == nil {
		b = &backupMap{pid: pid}
		h.backups[pid] = b
	}
	if c := b.before(&req); c > 0 || c == 0 && b.complete {
		return out, nil // again, or overtaken by a newer one
	}
	in := b.coming
	if req.Copy.Part == 0 && (in == nil || in.before(&req) <= 0) {
		in = &backupMap{pid: pid, epoch: req.HomeEpoch, config: req.Config, seq: req.Seq}
		b.coming = in
	}
	if in == nil || in.before(&req) != 0 || req.Copy.Part != in.parts {
		return out, wire.Errorf(wire.KindBadRequest, "part %d of %d of the memory map of process %d comes out of order", req.Copy.Part, req.Copy.Parts, pid)
	}
	q := &req.Copy
	in.m.PID, in.m.Epoch, in.m.Addr, in.m.HeapStart, in.m.HeapEnd = q.PID, q.Epoch, q.Addr, q.HeapStart, q.HeapEnd
	in.m.Mapped = append(in.m.Mapped, q.Mapped...)
	in.m.Owners = append(in.m.Owners, q.Owners...)
	in.m.Configs = append(in.m.Configs, q.Configs...)
	in.m.Kept = q.Kept.After(in.m.Kept)
	if in.parts++; in.parts == q.Parts {
		if err := h.CheckMap(in.m); err != nil {
			b.coming = nil
			return out, err
		}
		in.complete = true
		h.backups[pid] = in
	}
	return out, nil
}

// bequeath forgets a process whose home this was until it was taken for dead, or gave it away without an answer, when there is another under a newer epoch: whoever was home once
// may be the backup again.
func (h *Home) bequeath(pid wire.PID, to wire.Epoch, out []Effect) ([]Effect, error) {
	if p := h.procs[pid]; p == nil || p.fenced == "" && !p.lost || p.exited || p.homeEpoch >= to {
		return out, nil
	}
	return h.Drop(pid, to-1, out)
}

// Backups lists the processes of whose homes this is the backup, ascending.
func (h *Home) Backups() []wire.HeldHome {
	out := make([]wire.HeldHome, 0, len(h.backups))
	for pid, b := range h.backups {
		if b.complete {
			out = append(out, wire.HeldHome{PID: pid, Epoch: b.epoch})
		}
	}
	slices.SortFunc(out, func(a, b wire.HeldHome) int { return cmp.Compare(a.PID, b.PID) })
	return out
}

// DropBackup forgets the memory map of a process whose home is elsewhere, if it is of an epoch up to upTo.
func (h *Home) DropBackup(pid wire.PID, upTo wire.Epoch) {
	if b := h.backups[pid]; b != nil && b.epoch <= upTo {
		delete(h.backups, pid)
	}
}

// TakeOver makes this the home of a process whose home is lost. addr is where this mComponent is reached. The process's pComponent is told, and then it is served. The same
// order again changes nothing; HomeRecovered says how far it has come.
func (h *Home) TakeOver(req wire.HomeRecoverReq, addr string, out []Effect) ([]Effect, error) {
	pid, epoch := req.Config.PID, req.Config.Epoch
	out, err := h.bequeath(pid, epoch, out)
	if err != nil {
		return out, err
	}
	if p := h.procs[pid]; p != nil {
		if p.homeEpoch == epoch {
			if p.taking && req.ClientAddr != "" && req.Process >= p.epoch {
				p.addr = req.ClientAddr
			}
			return h.configure(p, req.Config, out), nil
		}
		return out, wire.Errorf(wire.KindStale, "this is the home of process %d under epoch %d, not %d", pid, p.homeEpoch, epoch)
	}
	if err := h.member.granted("the home", pid, req.Self, req.Member); err != nil {
		return out, err
	}
	if e, ok := h.taken.stones[pid]; ok && epoch < e {
		return out, wire.Errorf(wire.KindStale, "the home of process %d is one under epoch %d", pid, e)
	}
	if _, ok := h.ended.stones[pid]; ok {
		return out, wire.Errorf(wire.KindFailed, "process %d has ended", pid)
	}
	m := Map{PID: pid, Epoch: req.Process, Addr: req.ClientAddr}
	if b := h.backups[pid]; b != nil && b.complete {
		if m = b.m; req.ClientAddr != "" && req.Process > m.Epoch {
			m.Addr, m.Epoch = req.ClientAddr, req.Process
		}
	} else if req.ClientAddr == "" {
		return out, wire.Errorf(wire.KindNotFound, "%s has no memory map of process %d, and does not know where it runs", req.Self, pid)
	}
	delete(h.backups, pid)
	h.away.raise(pid)
	h.taken.bury(pid, epoch)
	h.Install(m, epoch)
	p := h.procs[pid]
	p.taking = p.addr != ""
	out = h.configure(p, req.Config, out)
	if !p.taking {
		return out, nil
	}
	return h.emit(Effect{Kind: TellHome, PID: pid, Owner: wire.Owner{Addr: p.addr}, NewHome: wire.HomeSwitchReq{PID: pid,
		Home: wire.Owner{Node: req.Self, Addr: addr, Epoch: epoch, Member: req.Member}}}, nil, p, out), nil
}

// homeTold takes the answer of the pComponent. One that knows no such process does not run it, and nobody else does before he has opened it
// at its home, for which he looks: an opening is answered when the backup has it.
func (h *Home) homeTold(c outCall, res Result, out []Effect) []Effect {
	if h.procs[c.p.pid] != c.p {
		return out
	}
	if !c.p.taking {
		return out // it has come by itself
	}
	if res.Err != nil && wire.KindOf(res.Err) != wire.KindNotFound {
		e := c.e
		e.Attempt++
		e.Owner.Addr = c.p.addr
		c.p.backWhy = res.Err.Error()
		return h.emit(e, nil, c.p, out)
	}
	c.p.taking, c.p.backWhy = false, ""
	return out
}

// HomeRecovered says how far TakeOver has come.
func (h *Home) HomeRecovered(pid wire.PID, epoch wire.Epoch) wire.HomeRecoverRep {
	p := h.procs[pid]
	switch {
	case p == nil || p.homeEpoch != epoch:
		return wire.HomeRecoverRep{State: wire.RecoverFailed, Text: "it is not the home"}
	case p.taking:
		return wire.HomeRecoverRep{State: wire.RecoverTelling, Text: p.backWhy}
	}
	return wire.HomeRecoverRep{State: wire.RecoverDone}
}

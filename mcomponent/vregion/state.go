package vregion

import (
	"cmp"
	"fmt"
	"slices"

	"splitkernel/mcomponent/tapes"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// maxListed bounds each list of a state.
const maxListed = 1 << 24

func (v *VMA) code(c *tape.Coder) {
	tape.Num(c, &v.Start)
	tape.Num(c, &v.End)
	c.Bool(&v.Anon)
	c.Bool(&v.Writable)
	tape.Text(c, &v.Name)
	if v.End > AddressEnd {
		c.Fail("a mapping up to %#x", v.End)
	}
}

func (t *Tree) code(c *tape.Coder) {
	tape.List(c, &t.vmas, maxListed, func(v *VMA) { v.code(c) })
	if !c.Reads() {
		return
	}
	for _, v := range t.vmas {
		t.bytes += v.End - v.Start
	}
}

func codeOwner(c *tape.Coder, w *wire.Owner) {
	tape.Num(c, &w.Region)
	tape.Text(c, &w.Node)
	tape.Text(c, &w.Addr)
	tape.Num(c, &w.Epoch)
	tape.Num(c, &w.Member)
}

func (r *registration) code(c *tape.Coder) {
	tape.Num(c, &r.now)
	tape.Num(c, &r.past)
}

// codeGraves goes over graves in the order in which they were dug.
func codeGraves[K comparable, V any](c *tape.Coder, g *graves[K, V], each func(*K, *V)) {
	tape.List(c, &g.order, maxGraves, func(k *K) {
		v := g.stones[*k]
		each(k, &v)
		if c.Reads() {
			if g.stones == nil {
				g.stones = map[K]V{}
			}
			g.stones[*k] = v
		}
	})
	if len(g.stones) != len(g.order) {
		c.Fail("%d are buried in %d graves", len(g.stones), len(g.order))
	}
}

// AppendState appends all that the owner role knows, from which ReadOwners makes it again: what it answers then is what this one
// answers. The same state has the same bytes. What was counted since the last reading of heat is left out: the next one tells it.
func (o *Owners) AppendState(b []byte) []byte {
	return tape.Encode(b, o.code)
}

// ReadOwners makes the owner role that AppendState has written. A state that cannot be is an error.
func (h *OwnersTapeHead) ReadOwners(b []byte) (*Owners, error) {
	o, err := h.New()
	if err != nil {
		return nil, err
	}
	if err := tape.Decode(b, o.code); err != nil {
		return nil, err
	}
	return o, o.CheckInvariants()
}

func (o *Owners) code(c *tape.Coder) {
	tape.List(c, &o.slots, maxTapeSlots, func(r *owned) {
		tape.Num(c, &r.pid)
		tape.Num(c, &r.region)
		tape.Num(c, &r.epoch)
		r.served.CodeRate(c)
		c.Bool(&r.warm)
		r.tree.code(c)
		c.Bool(&r.used)
		tape.Below(c, &r.life, uint64(reviving)+1)
		tape.Text(c, &r.other)
		tape.Num(c, &r.process)
	})
	slot := func(s *uint32) { tape.Below(c, s, uint64(len(o.slots))) }
	tape.List(c, &o.free, len(o.slots), slot)
	tape.List(c, &o.warm.slots, len(o.slots), slot)
	reading := o.warm.reading[o.warm.next:] // the others are read
	if tape.List(c, &reading, len(o.slots), slot); c.Reads() {
		o.warm.reading = reading
	}
	o.fence.code(c)
	o.member.code(c)
	codeGraves(c, &o.away, func(k *awayKey, a *away) {
		tape.Num(c, &k.pid)
		tape.Num(c, &k.region)
		tape.Text(c, &a.to)
		tape.Num(c, &a.epoch)
	})
	if !c.Reads() || c.Err() != nil {
		return
	}
	for i := range o.slots {
		r := &o.slots[i]
		if !r.used {
			continue
		}
		if _, ok := o.index.Get(uint64(r.pid), uint64(r.region)); ok {
			c.Fail("vRegion %d of process %d is there twice", r.region, r.pid)
			return
		}
		o.index.Put(uint64(r.pid), uint64(r.region), uint32(i))
		o.mapped += r.tree.Bytes()
	}
	seen := make(map[uint32]bool, len(o.free))
	for _, s := range o.free {
		if seen[s] || o.slots[s].used {
			c.Fail("slot %d is free twice, or used", s)
		}
		seen[s] = true
	}
}

// code goes over the vRegions that were lost to a fence, in order, with those that have come back since.
func (f *fence) code(c *tape.Coder) {
	tape.Text(c, &f.why)
	tape.List(c, &f.order, maxFenced, func(k *fenceKey) {
		tape.Num(c, &k.pid)
		tape.Num(c, &k.region)
		is := f.keys[*k]
		if c.Bool(&is); is && c.Reads() {
			if f.keys == nil {
				f.keys = map[fenceKey]bool{}
			}
			f.keys[*k] = true
		}
	})
}

// AppendState appends all that the home knows, from which ReadHome makes it again: what it does then is what this one does. The same
// state has the same bytes.
func (h *Home) AppendState(b []byte) []byte {
	return tape.Encode(b, h.code)
}

// ReadHome makes the home that AppendState has written. A state that cannot be is an error.
func (h *HomeTapeHead) ReadHome(b []byte) (*Home, error) {
	home, err := h.New()
	if err != nil {
		return nil, err
	}
	if err := tape.Decode(b, home.code); err != nil {
		return nil, err
	}
	return home, home.CheckInvariants()
}

func (h *Home) code(c *tape.Coder) {
	list := h.sorted()
	tape.List(c, &list, maxListed, func(p **process) {
		if c.Reads() {
			*p = &process{regions: map[wire.RegionNo]*region{}}
		}
		(*p).code(c)
		if old := h.procs[(*p).pid]; old != nil && old != *p {
			c.Fail("process %d lives here twice", (*p).pid)
		}
		h.procs[(*p).pid] = *p
	})
	ids := make([]uint64, 0, len(h.calls))
	for id := range h.calls {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	tape.List(c, &ids, maxListed, func(id *uint64) {
		tape.Num(c, id)
		call := h.calls[*id]
		call.code(c, h)
		h.calls[*id] = call
		if call.e.ID != *id {
			c.Fail("request %d is of id %d", call.e.ID, *id)
		}
	})
	tape.Num(c, &h.lastID)
	for _, l := range []*lane{&h.asks, &h.requests} {
		l.code(c, h)
	}
	tapes.Message(c, &h.stats)
	pids := make([]wire.PID, 0, len(h.arriving))
	for pid := range h.arriving {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	tape.List(c, &pids, maxListed, func(pid *wire.PID) {
		tape.Num(c, pid)
		from := h.arriving[*pid]
		tape.Text(c, &from)
		h.arriving[*pid] = from
	})
	codeGraves(c, &h.away, func(pid *wire.PID, a *awayHome) {
		tape.Num(c, pid)
		tape.Text(c, &a.to)
		tape.Num(c, &a.epoch)
		c.Bool(&a.empty)
	})
	codeGraves(c, &h.ended, func(pid *wire.PID, _ *struct{}) { tape.Num(c, pid) })
	h.member.code(c)
	backups := make([]*backupMap, 0, len(h.backups))
	for _, b := range h.backups {
		backups = append(backups, b)
	}
	slices.SortFunc(backups, func(a, b *backupMap) int { return cmp.Compare(a.pid, b.pid) })
	tape.List(c, &backups, maxListed, func(b **backupMap) {
		if c.Reads() {
			*b = new(backupMap)
		}
		(*b).code(c)
		h.backups[(*b).pid] = *b
	})
	codeGraves(c, &h.taken, func(pid *wire.PID, e *wire.Epoch) {
		tape.Num(c, pid)
		tape.Num(c, e)
	})
}

func (b *backupMap) code(c *tape.Coder) {
	tape.Num(c, &b.pid)
	tape.Num(c, &b.epoch)
	tape.Num(c, &b.config)
	tape.Num(c, &b.seq)
	tape.Num(c, &b.parts)
	c.Bool(&b.complete)
	tapes.Message(c, &b.m)
	tapes.Optional(c, &b.coming, func(in *backupMap) { in.code(c) })
}

func (p *process) code(c *tape.Coder) {
	tape.Num(c, &p.pid)
	tape.Num(c, &p.epoch)
	p.tree.code(c)
	tape.List(c, &p.ops, maxListed, func(op **operation) {
		if c.Reads() {
			*op = new(operation)
		}
		(*op).code(c)
	})
	numbers := make([]wire.RegionNo, 0, len(p.regions))
	for r := range p.regions {
		numbers = append(numbers, r)
	}
	slices.Sort(numbers)
	tape.List(c, &numbers, maxListed, func(r *wire.RegionNo) {
		tape.Num(c, r)
		if c.Reads() {
			p.regions[*r] = new(region)
		}
		p.regions[*r].code(c, p)
	})
	tape.List(c, &p.active, maxListed, func(r *wire.RegionNo) { tape.Num(c, r) })
	for _, n := range []*uint64{&p.heapStart, &p.heapEnd} {
		tape.Num(c, n)
	}
	c.Bool(&p.exited)
	tape.Text(c, &p.fenced)
	tape.Text(c, &p.addr)
	c.Bool(&p.ran)
	p.calls.Code(c)
	tape.Num(c, &p.homeEpoch)
	c.Bool(&p.frozen)
	tape.Text(c, &p.to)
	c.Bool(&p.lost)
	tapes.Message(c, &p.backup)
	tape.Num(c, &p.seq)
	tape.Num(c, &p.backed)
	c.Bool(&p.backing)
	tape.Text(c, &p.backWhy)
	tape.List(c, &p.replies, maxListed, func(r *heldReply) {
		tape.Num(c, &r.seq)
		r.e.code(c)
		tapes.Message(c, &r.e.Rep)
		tape.Num(c, &r.e.Freed)
	})
	c.Bool(&p.taking)
	has := p.cut != nil
	if c.Bool(&has); !has {
		return
	}
	if c.Reads() {
		p.cut = new(homeCut)
	}
	codeCut(c, &p.cut.at)
	p.cut.tree.code(c)
	tape.Num(c, &p.cut.heapStart)
	tape.Num(c, &p.cut.heapEnd)
}

func codeCut(c *tape.Coder, at *wire.Cut) {
	tape.Num(c, &at.Number)
	tape.Num(c, &at.Epoch)
	tape.Num(c, &at.Version)
}

func (r *region) code(c *tape.Coder, p *process) {
	c.Bool(&r.active)
	codeOwner(c, &r.owner)
	tapes.Message(c, &r.config)
	tape.List(c, &r.waiters, maxListed, func(op **operation) { p.codeRef(c, op) })
	if slices.Contains(r.waiters, nil) {
		c.Fail("nobody waits for vRegion %d", r.owner.Region)
	}
}

// codeRef goes over a reference to an operation of p, or to none.
func (p *process) codeRef(c *tape.Coder, op **operation) {
	n := slices.Index(p.ops, *op) + 1
	if tape.Below(c, &n, uint64(len(p.ops))+1); c.Reads() {
		if *op = nil; n > 0 {
			*op = p.ops[n-1]
		}
	}
}

func (op *operation) code(c *tape.Coder) {
	tape.Num(c, &op.call)
	tape.Below(c, &op.kind, uint64(opRollback)+1)
	tape.Below(c, &op.phase, uint64(telling)+1)
	tape.Num(c, &op.start)
	tape.Num(c, &op.end)
	c.Bool(&op.choose)
	tape.Num(c, &op.brk)
	op.vma.code(c)
	c.Bool(&op.grows)
	c.Bool(&op.inserted)
	codeCut(c, &op.cut)
	tape.Below(c, &op.pending, maxListed)
	tape.Num(c, &op.freed)
	tapes.Error(c, &op.err)
}

// code goes over what an effect that is answered has.
func (e *Effect) code(c *tape.Coder) {
	tape.Num(c, &e.Kind)
	tape.Num(c, &e.ID)
	tape.Num(c, &e.PID)
	tape.Num(c, &e.Region)
	codeOwner(c, &e.Owner)
	tape.Below(c, &e.Attempt, maxListed)
	tape.Num(c, &e.Again)
	tapes.Message(c, &e.Map)
	tapes.Message(c, &e.Switch)
	tapes.Message(c, &e.Unmap)
	tapes.Message(c, &e.Exit)
	tapes.Message(c, &e.Cut)
	tapes.Message(c, &e.Rollback)
	tapes.Message(c, &e.Backup) // the map that goes along is on its way, and not sent again
	tapes.Message(c, &e.NewHome)
	tape.Num(c, &e.Call)
}

// code goes over a request that was not answered. That of a process which is gone since is the news for its pComponent: of the process
// its id and address are used still.
func (o *outCall) code(c *tape.Coder, h *Home) {
	o.e.code(c)
	o.kind, o.region = o.e.Kind, o.e.Region
	here := !c.Reads() && h.procs[o.p.pid] == o.p
	c.Bool(&here)
	switch {
	case here && c.Reads():
		if o.p = h.procs[o.e.PID]; o.p == nil {
			c.Fail("a request of process %d, which is not here", o.e.PID)
			return
		}
	case !here:
		if c.Reads() {
			o.p = &process{regions: map[wire.RegionNo]*region{}}
		}
		tape.Num(c, &o.p.pid)
		tape.Text(c, &o.p.addr)
	}
	o.p.codeRef(c, &o.op)
	switch tells := o.kind >= TellClient && o.kind <= TellHome; {
	case o.kind == Reply || o.kind < AskOwner || o.kind > RollbackAt, tells != (o.op == nil), !tells && (!here || o.p.regions[o.region] == nil):
		c.Fail("%v of vRegion %d of process %d for nobody", o.kind, o.region, o.e.PID)
	}
}

// code goes over how many effects are outstanding, and the ids of those that wait.
func (l *lane) code(c *tape.Coder, h *Home) {
	tape.Below(c, &l.outstanding, maxListed)
	waiting := make([]uint64, 0, l.waiting())
	for i := range l.backlog[l.next:] {
		waiting = append(waiting, l.backlog[l.next+i].ID)
	}
	tape.List(c, &waiting, maxListed, func(id *uint64) {
		tape.Num(c, id)
		if call, ok := h.calls[*id]; !ok || h.lane(call.kind) != l {
			c.Fail("request %d waits and is not known", *id)
		} else if c.Reads() {
			l.backlog = append(l.backlog, call.e)
		}
	})
}

// Show describes the owner role for people: each vRegion, in the order of processes and vRegions.
func (o *Owners) Show() string {
	text := fmt.Sprintf("%d vRegions, %d bytes mapped in those served\n", o.Regions(), o.MappedBytes())
	order := make([]uint32, 0, len(o.slots))
	for i := range o.slots {
		if o.slots[i].used {
			order = append(order, uint32(i))
		}
	}
	slices.SortFunc(order, func(a, b uint32) int {
		x, y := &o.slots[a], &o.slots[b]
		if x.pid != y.pid {
			return int(x.pid) - int(y.pid)
		}
		return int(x.region) - int(y.region)
	})
	for n, i := range order {
		if n == maxShown {
			return text + fmt.Sprintf("and %d more\n", len(order)-n)
		}
		r := &o.slots[i]
		text += fmt.Sprintf("slot %d: vRegion %d of process %d under epoch %d: %v", i, r.region, r.pid, r.epoch, r.life)
		if r.other != "" {
			text += fmt.Sprintf(", with %s", r.other)
		}
		text += fmt.Sprintf(", %d bytes mapped\n", r.tree.Bytes())
	}
	return text
}

// maxShown is how many lines of one kind are shown.
const maxShown = 1000

func (l life) String() string {
	return [...]string{"served", "frozen", "arriving", "leaving", "lost", "held", "being recovered", "?"}[min(int(l), 7)]
}

// Show describes the home for people: each process, and its operations.
func (h *Home) Show() string {
	text := fmt.Sprintf("%+v\n%d requests outstanding\n", h.stats, len(h.calls))
	for n, p := range h.sorted() {
		if n == maxShown {
			return text + fmt.Sprintf("and %d more\n", len(h.procs)-n)
		}
		text += fmt.Sprintf("process %d, epoch %d, home under epoch %d: %d mappings, %d bytes, %d vRegions", p.pid, p.epoch, p.homeEpoch, p.tree.Len(), p.tree.Bytes(), len(p.active))
		for _, s := range []struct {
			is   bool
			what string
		}{{p.exited, "exits"}, {p.fenced != "", "fenced: " + p.fenced}, {p.frozen, "moves to " + string(p.to)}, {p.lost, "is lost"}} {
			if s.is {
				text += ", " + s.what
			}
		}
		text += "\n"
		for _, op := range p.ops {
			text += fmt.Sprintf("  %v, call %d: %v, [%#x, %#x), waits for %d answers\n", op.kind, op.call, op.phase, op.start, op.end, op.pending)
		}
	}
	return text
}

func (k opKind) String() string {
	return [...]string{"?", "mmap", "munmap", "brk", "exit", "cut", "rollback", "?"}[min(int(k), 7)]
}

func (p phase) String() string {
	return [...]string{"waiting", "clearing", "mapping", "undoing", "telling", "?"}[min(int(p), 5)]
}

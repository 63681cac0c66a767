package vcluster

import (
	"fmt"
	"slices"
	"time"

	"splitkernel/mcomponent/erasure"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/recovery"
	"splitkernel/mcomponent/replica"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/units"
)

// replicaPatience bounds a message about copies: who does not answer is asked again until the managers name another.
const replicaPatience = time.Second

// redundant is what makes the vRegions of an mComponent survive it, and what it holds for others.
type redundant struct {
	m       *memory
	primary *replica.Primary
	holder  *replica.Holder
	shares  *erasure.Coordinator
	reads   map[uint64]shareRead
	held    map[filePage]Stamp // of shares that this one holds
	recs    map[thing]*recovery.Recovery
	order   []thing // of recs, as they began
	calls   map[uint64]func(*wire.Error)
	last    uint64
	saving  bool // pages of logs are on their way to a file
	full    replica.Waiting[fullWrite]
	armed   time.Duration // when it looks again; 0 if it does not
	checks  time.Duration // the same for what comes again and again, in the background

	pulled, waited, made uint64 // pages that a recovery brought, misses that waited for one, and pages that were made of shares
}

type thing struct {
	pid    wire.PID
	region wire.RegionNo
}

// redundancy gives it, from when anything is redundant here.
func (m *memory) redundancy() *redundant {
	if m.red == nil {
		o, e := replica.DefaultOptions(), erasure.DefaultOptions()
		if m.o.Replica != (replica.Options{}) {
			o = m.o.Replica
		}
		if m.o.Erasure != (erasure.Options{}) {
			e = m.o.Erasure
		}
		if m.o.ReplicaLogBytes > 0 {
			o.LogBytes = m.o.ReplicaLogBytes
		}
		m.red = &redundant{m: m, primary: replica.NewPrimary(o), holder: replica.NewHolder(o, m.o.ID, m.c.o.RegionBytes), recs: map[thing]*recovery.Recovery{},
			shares: erasure.New(e), reads: map[uint64]shareRead{}, held: map[filePage]Stamp{},
			calls: map[uint64]func(*wire.Error){}}
		m.red.holder.Registered(m.epoch)
	}
	return m.red
}

// call keeps what is to be done when something has an answer.
func (r *redundant) call(done func(*wire.Error)) uint64 {
	r.last++
	r.calls[r.last] = done
	return r.last
}

func (r *redundant) answer(call uint64, err *wire.Error) {
	done := r.calls[call]
	delete(r.calls, call)
	if done != nil {
		done(err)
	}
}

// toPeer sends a message about copies. Whoever was started again since hears no answer.
func toPeer[Q, R any](r *redundant, op wire.Op, to wire.NodeID, q Q, serve func(m *memory, q Q, done func(R, error)), answer func(R, error)) {
	c, in := r.m.c, r.m.c.lives[r.m.no].no
	no, ok := c.byID[to]
	if !ok {
		panic(fmt.Sprintf("vcluster: no node %q", to)) // ids come from registered members
	}
	timed(c, op, r.m.no, no, replicaPatience, q, func(q Q, done func(R, error)) { serve(c.nodes[no].(*memory), q, done) }, func(got R, err error) {
		if c.runs(r.m.no, in) {
			answer(got, err)
		}
	})
}

// perform does what the owner's side wants.
func (r *redundant) perform(out []replica.Effect) {
	m, p := r.m, r.primary
	for i := 0; i < len(out); i++ {
		e := out[i]
		answered := func(err error) {
			r.perform(p.Answered(m.c.clock.Now(), e.ID, replica.Answer{Err: asWire(err)}, nil))
		}
		switch e.Kind {
		case replica.Open:
			e.Open.Kept, e.Open.Owner, e.Open.Addr = m.kept(e.Slot), m.o.ID, addr(m.o.ID)
			toPeer(r, wire.OpReplicaOpen, e.To.Node, *e.Open, (*memory).replicaOpen, func(rep wire.ReplicaOpenRep, err error) {
				r.perform(p.Answered(m.c.clock.Now(), e.ID, replica.Answer{Err: asWire(err), Skipped: err == nil && rep.Lost > 0}, nil))
			})
		case replica.Unmap:
			toPeer(r, wire.OpReplicaUnmap, e.To.Node, *e.Unmap, (*memory).replicaUnmap, func(_ struct{}, err error) { answered(err) })
		case replica.Cut:
			toPeer(r, wire.OpReplicaCut, e.To.Node, *e.Cut, (*memory).replicaCut, func(_ struct{}, err error) { answered(err) })
		case replica.Drop:
			toPeer(r, wire.OpReplicaDrop, e.To.Node, *e.Drop, (*memory).replicaDrop, func(struct{}, error) {})
		case replica.Send:
			if list := r.toSend(&e); len(list) > 0 {
				r.sendPage(e, list)
			} else if r.shares.Has(e.Slot) && !r.shares.Absent(e.Slot, e.Write.Page) {
				r.fillShare(e)
			} else {
				out = p.Answered(m.c.clock.Now(), e.ID, replica.Answer{}, out)
			}
		case replica.Settled:
			if m.moving == nil || m.moving.giving[e.Slot] == nil { // what moves is counted
				m.store.Remove(e.Write.PID, e.Write.Page)
			}
		case replica.List:
			if r.shares.Has(e.Slot) {
				if r.shares.Whole(e.Slot) {
					out = p.Listed(m.c.clock.Now(), e.Slot, r.shares.Written(e.Slot), out)
				}
				continue
			}
			if slices.ContainsFunc(r.order, func(k thing) bool { return r.recs[k].Slot() == e.Slot && !r.recs[k].Ended() }) {
				continue // what it still brings belongs to the list
			}
			out = p.Listed(m.c.clock.Now(), e.Slot, append(m.store.Pages(e.Slot, nil), m.store.Keeps(e.Slot)...), out)
		case replica.Ack:
			r.answer(e.Waiter, nil)
		case replica.Fail:
			r.answer(e.Waiter, e.Err)
		}
	}
	r.arm()
}

// sendPage sends a page to a holder: the owner reads it from its memory, a worker of the holder looks it up and stores it.
func (r *redundant) sendPage(e replica.Effect, list []sent) {
	full := 0
	for i := range list {
		if list[i].write.Flags&wire.ReplicaLost == 0 {
			full++
		}
	}
	m, c := r.m, r.m.c
	to, in := c.node(e.To.Node), c.lives[m.no].no
	now := c.clock.Now()
	leaves := now
	if full > 0 {
		leaves = c.ports[m.no].dram.Move(now, uint64(full)*wire.PageSize)
	}
	skipped := false
	answered := func(err error) {
		if c.runs(m.no, in) {
			r.perform(r.primary.Answered(c.clock.Now(), e.ID, replica.Answer{Err: asWire(err), Skipped: skipped && err == nil}, nil))
		}
	}
	c.of(m.no, leaves, func() {
		heard := c.heard(wire.OpReplicaWrite, to, replicaPatience, answered)
		c.sendCopy(wire.OpReplicaWrite, m.no, to, wire.HeaderLen+len(list)*wire.ReplicaWriteLen+full*r.primary.Config(e.Slot).Policy.ShareBytes(), len(list), full, func(done func(error)) {
			var take func(rest []sent)
			take = func(rest []sent) {
				if len(rest) == 0 {
					done(nil)
					return
				}
				c.nodes[to].(*memory).replicaWrite(rest[0].write, rest[0].stamp, func(is bool, err error) {
					if skipped = skipped || is; err != nil {
						done(err)
						return
					}
					take(rest[1:])
				})
			}
			take(list)
		}, func(err error) {
			if heard() {
				answered(err)
			}
		})
	})
}

// arm has it look again when something is due.
func (r *redundant) arm() {
	c := r.m.c
	due, ok := r.primary.Due()
	sooner := func(at time.Duration, is bool) {
		if is && (!ok || at < due) {
			due, ok = at, true
		}
	}
	for _, k := range r.order {
		sooner(r.recs[k].Due())
	}
	sooner(r.shares.Due())
	if len(c.storage) > 0 {
		sooner(r.holder.FileDue())
		if !r.saving {
			sooner(r.holder.SaveDue())
		}
	}
	sooner(r.full.Due())
	r.armLater()
	if !ok {
		return
	}
	due = max(due, c.clock.Now())
	if r.armed != 0 && r.armed <= due {
		return
	}
	r.armed = max(due, 1)
	c.of(r.m.no, due, func() {
		if r.m.red != r || r.armed > c.clock.Now() {
			return
		}
		r.armed = 0
		now := c.clock.Now()
		r.perform(r.primary.Tick(now, nil))
		r.performShares(r.shares.Tick(now, nil))
		for _, k := range append([]thing(nil), r.order...) {
			if v := r.recs[k]; v != nil {
				r.recover(v, v.Tick(now, nil))
			}
		}
		r.retryFull()
		r.save()
		r.arm()
	})
}

// replicaOpen makes this one a holder.
func (m *memory) replicaOpen(q wire.ReplicaOpenReq, done func(wire.ReplicaOpenRep, error)) {
	r := m.redundancy()
	o, err := r.holder.Open(q)
	switch {
	case err != nil:
	case o.New:
		var slot uint32
		if slot, err = m.owners.Hold(q.PID, q.Region, q.Epoch, ""); err == nil {
			r.holder.Add(q, slot)
			m.holdsCut(slot)
		}
	case o.Free:
		m.store.FreeGroup(o.Slot, m.frames())
		m.holdsCut(o.Slot)
	default:
		m.holdsCut(o.Slot)
	}
	done(o.Rep, err)
}

// replicaWrite stores a page for an owner, at once or when there is room.
func (m *memory) replicaWrite(w wire.ReplicaWrite, stamp Stamp, done func(skipped bool, err error)) {
	skipped, act, err := m.replicaStore(w, stamp)
	if act == replica.Wait && len(m.c.storage) > 0 {
		m.red.waitForRoom(w, stamp, err, done)
		return
	}
	done(skipped, err)
}

func (m *memory) replicaStore(w wire.ReplicaWrite, stamp Stamp) (skipped bool, act replica.Action, err error) {
	r := m.redundancy()
	slot, act, err := r.holder.Write(w, m.store.Free() > 0)
	switch act {
	case replica.Store:
		if line, _, n := r.holder.Place(slot, w.Page); n < wire.PageSize {
			m.store.Put(slot, w.PID, line, pagestore.Content{Flushed: true})
			r.held[filePage{w.PID, w.Page}] = stamp
			break
		}
		f, ok := m.store.Put(slot, w.PID, w.Page, pagestore.Content{Epoch: w.ProcessEpoch, Version: w.Version, Sum: w.Sum, Flushed: true})
		if !ok {
			panic(fmt.Sprintf("vcluster: %s is to store page %#x, and has no frame", m.o.ID, uint64(w.Page)))
		}
		*m.at(f) = stamp
		r.save()
	case replica.Keep:
		m.holdsKept(slot, &w, stamp)
		r.save()
	case replica.Discard:
		m.store.Remove(w.PID, w.Page)
	case replica.Skip, replica.Aside:
		if w.Pre == 0 {
			m.store.Unmap(slot, w.PID, w.Page, 1)
		}
	}
	return act == replica.Skip && w.Pre == 0, act, err
}

func (m *memory) replicaUnmap(q wire.ReplicaUnmapReq, done func(struct{}, error)) {
	slot, ok, err := m.redundancy().holder.Unmap(q)
	if ok {
		first, n := m.red.holder.Freed(slot, wire.PageNo(q.Start>>wire.PageShift), q.Length>>wire.PageShift)
		m.store.Unmap(slot, q.PID, first, n)
		m.red.arm()
	}
	done(struct{}{}, err)
}

func (m *memory) replicaDrop(q wire.ReplicaRef, done func(struct{}, error)) {
	slot, ok, err := m.redundancy().holder.Drop(q)
	if ok {
		m.leave(slot, "", 0)
		for at := range m.red.held { // no order: each is deleted
			if at.pid == q.PID && wire.RegionNo(uint64(at.page)<<wire.PageShift/m.c.o.RegionBytes) == q.Region {
				delete(m.red.held, at)
			}
		}
		m.red.arm()
	}
	done(struct{}{}, err)
}

// pagesOf is an answer to a replica_read.
type pagesOf struct {
	items  []replica.Item
	head   wire.ReplicaPages
	stamps []Stamp
}

// replicaRead gives pages; done comes when they were read from memory, or from the backup file.
func (m *memory) replicaRead(q wire.ReplicaRead, done func(pagesOf, error)) {
	r, c := m.redundancy(), m.c
	items, head, err := r.holder.Read(q, nil)
	if err != nil {
		done(pagesOf{}, err)
		return
	}
	p := pagesOf{items: items, head: head, stamps: make([]Stamp, len(items))}
	here := 0
	for i, it := range items {
		switch {
		case it.State == wire.PageLost, it.Saved:
		default:
			here++
			if _, _, n := r.holder.PlaceOf(q.PID, it.Page); n < wire.PageSize {
				p.stamps[i] = r.held[filePage{q.PID, it.Page}]
				break
			}
			f, ok := m.peekHeld(q.PID, q.Region, &it)
			if !ok {
				panic(fmt.Sprintf("vcluster: %s has not page %#x that it holds", m.o.ID, uint64(it.Page)))
			}
			p.stamps[i] = *m.at(f)
		}
	}
	at := c.clock.Now() + (units.Picos(len(items)) * c.o.Hardware.Processor.Lookup()).Duration()
	c.of(m.no, at, func() { // they were found: at the same moment others use the memory
		if here > 0 && head.Bytes > 0 { // of a list no bytes are read
			at = c.ports[m.no].dram.Move(at, uint64(here)*uint64(head.Bytes))
		}
		c.of(m.no, at, func() { r.readFile(q, p, done) })
	})
}

// regionConfig takes a configuration of a vRegion that is served here, and says how far it has come.
func (m *memory) regionConfig(q wire.RegionConfig, done func(wire.RegionConfigRep, error)) {
	slot, err := m.owners.Serving(q.PID, q.Region, q.Epoch)
	if err != nil {
		done(wire.RegionConfigRep{}, err)
		return
	}
	r := m.redundancy()
	r.configure(slot, q, false)
	s := r.primary.Status(slot)
	r.performShares(r.shares.Synced(m.c.clock.Now(), slot, s.InSync, nil))
	done(s, nil)
}

// regionRecover makes this one the owner of a vRegion whose owner is lost, and says how far it has come.
func (m *memory) regionRecover(q wire.RegionRecoverReq, done func(wire.RegionRecoverRep, error)) {
	r, k := m.redundancy(), thing{q.Config.PID, q.Config.Region}
	if q.Member != 0 && q.Member != m.epoch {
		done(wire.RegionRecoverRep{}, wire.Errorf(wire.KindStale, "%s is registered under epoch %d, not %d", m.o.ID, m.epoch, q.Member))
		return
	}
	v := r.recs[k]
	switch {
	case v != nil && v.Req().Config.Epoch > q.Config.Epoch:
		done(wire.RegionRecoverRep{}, wire.Errorf(wire.KindStale, "%s recovers vRegion %d of process %d under epoch %d", m.o.ID, k.region, k.pid, v.Req().Config.Epoch))
		return
	case v == nil || v.Req().Config.Epoch < q.Config.Epoch:
		if slot, err := m.owners.Serving(k.pid, k.region, q.Config.Epoch); err == nil { // it was recovered, and that is forgotten here
			done(wire.RegionRecoverRep{State: wire.RecoverDone, Done: uint64(m.store.GroupPages(slot)), Known: uint64(m.store.GroupPages(slot))}, nil)
			return
		}
		if v != nil {
			done(wire.RegionRecoverRep{}, wire.Errorf(wire.KindBusy, "%s recovers vRegion %d of process %d for an older order: retry", m.o.ID, k.region, k.pid))
			return
		}
		bare := false
		if q.Config.Policy.Kind == wire.MemoryErasure { // who serves it holds no share of it
			slot, held, err := r.holder.Drop(wire.ReplicaRef{PID: k.pid, Region: k.region, Epoch: q.Config.Epoch, Config: q.Config.Config})
			if err != nil {
				done(wire.RegionRecoverRep{}, err)
				return
			}
			if held {
				m.leave(slot, "", 0)
			}
		} else if _, had, err := r.holder.Promote(k.pid, k.region, q.Config.Epoch, q.Config.Config); err != nil {
			done(wire.RegionRecoverRep{}, err)
			return
		} else {
			bare = !had
		}
		slot, err := m.owners.Recover(k.pid, k.region, q.Config.Epoch, "")
		if err != nil {
			done(wire.RegionRecoverRep{}, err)
			return
		}
		_, first, pages := m.owners.Bounds(slot)
		v = recovery.New(recovery.DefaultOptions(), q, slot, first, pages, addr(m.o.ID)).Bare(bare)
		r.recs[k] = v
		r.order = append(r.order, k)
		r.recover(v, v.Begin(m.c.clock.Now(), nil))
	case v.Req().Config.Config < q.Config.Config && !v.Ended(): // a source or a holder has died since
		if q.Config.Policy.Kind != wire.MemoryErasure {
			if _, _, err := r.holder.Promote(k.pid, k.region, q.Config.Epoch, q.Config.Config); err != nil {
				done(wire.RegionRecoverRep{}, err)
				return
			}
		}
		r.recover(v, v.Changed(m.c.clock.Now(), q, nil))
		if v.Status(0, nil).State == wire.RecoverServing {
			r.configure(v.Slot(), q.Config, false)
		}
	}
	named := r.primary.LostPages(v.Slot(), wire.MaxLostNamed)
	lost := uint64(len(named))
	if lost == wire.MaxLostNamed {
		lost = r.primary.LostIn(v.Slot())
	}
	done(v.Status(lost, named), nil)
}

// recover does what a recovery wants.
func (r *redundant) recover(v *recovery.Recovery, out []recovery.Effect) {
	m, c := r.m, r.m.c
	now := c.clock.Now
	for _, e := range out {
		answered := func(a recovery.Answer, err error) {
			a.Err = asWire(err)
			r.recover(v, v.Answered(now(), e.ID, a, nil))
		}
		switch e.Kind {
		case recovery.Fence:
			if e.To.Node == m.o.ID { // Promote has done it
				rep, _ := r.holder.Open(e.Open)
				c.of(m.no, now(), func() { answered(recovery.Answer{Pages: rep.Rep.Pages, Kept: rep.Rep.Kept}, nil) })
				continue
			}
			toPeer(r, wire.OpReplicaOpen, e.To.Node, e.Open, (*memory).replicaOpen, func(rep wire.ReplicaOpenRep, err error) {
				answered(recovery.Answer{Pages: rep.Pages, Kept: rep.Kept}, err)
			})
		case recovery.Tell:
			toPeer(r, wire.OpRegionSwitch, v.Req().Via, e.Switch, func(h *memory, q wire.RegionSwitchReq, done func(struct{}, error)) {
				h.switchOwner(q, func(err error) { done(struct{}{}, err) })
			}, func(_ struct{}, err error) { answered(recovery.Answer{}, err) })
		case recovery.Parts:
			toPeer(r, wire.OpRegionParts, v.Req().Via, e.Parts, func(h *memory, q wire.RegionPartsReq, done func(wire.RegionPartsRep, error)) { done(h.home.Parts(q)) },
				func(rep wire.RegionPartsRep, err error) { answered(recovery.Answer{Parts: rep}, err) })
		case recovery.Serve:
			m.owners.Serve(v.Slot(), e.Mapped)
			q := v.Req().Config
			r.configure(v.Slot(), q, false)
			m.goOn(v.Slot(), q.PID, q.Region, q.Epoch, e.Kept)
		case recovery.Pull:
			r.pull(v, e, answered)
		case recovery.Wake:
			r.answer(e.Waiter, nil)
		case recovery.Complete:
			r.holder.Forget(v.Req().Config.PID, v.Req().Config.Region)
			if !r.shares.Has(v.Slot()) {
				r.perform(r.primary.Listed(now(), v.Slot(), append(m.store.Pages(v.Slot(), nil), m.store.Keeps(v.Slot())...), nil))
			}
		}
	}
	r.arm()
}

// pull asks a holder for pages and stores them.
func (r *redundant) pull(v *recovery.Recovery, e recovery.Effect, answered func(recovery.Answer, error)) {
	m, c := r.m, r.m.c
	in := c.lives[m.no].no
	came := func(p pagesOf, err error) {
		if !c.runs(m.no, in) {
			return
		}
		if err != nil {
			answered(recovery.Answer{}, err)
			return
		}
		stored := 0
		for i, it := range p.items {
			is, ok := r.take(v, &it, p.stamps[i])
			if !ok {
				answered(recovery.Answer{}, m.outOfMemory())
				return
			}
			if is {
				stored++
			}
		}
		at := c.clock.Now()
		if stored > 0 {
			at = c.ports[m.no].dram.Move(at, uint64(stored)*wire.PageSize)
		}
		c.of(m.no, at, func() { answered(recovery.Answer{Next: p.head.Next, More: p.head.More, Count: len(p.items)}, nil) })
	}
	if e.To.Node == m.o.ID {
		m.replicaRead(e.Read, came)
		return
	}
	m.readAt(c.node(e.To.Node), e.Read, CallTimeout, came)
}

// readAt asks a holder for pages, or shares of them, and waits so long.
func (m *memory) readAt(to int32, q wire.ReplicaRead, patience time.Duration, came func(pagesOf, error)) {
	c := m.c
	heard := c.heard(wire.OpReplicaRead, to, patience, func(err error) { came(pagesOf{}, err) })
	c.send(wire.OpReplicaRead, m.no, to, wire.HeaderLen+wire.ReplicaReadLen, func(reply func(int, func())) {
		c.nodes[to].(*memory).replicaRead(q, func(p pagesOf, err error) {
			bytes := wire.HeaderLen + wire.ReplicaHeadLen + len(p.items)*wire.PageEntryLen + len(p.items)*int(p.head.Bytes)
			if err != nil {
				bytes = wire.HeaderLen + len(err.Error())
			}
			reply(bytes, func() {
				if heard() {
					came(p, err)
				}
			})
		})
	}, func(err error) {
		if heard() {
			came(pagesOf{}, err)
		}
	})
}

// gone ends what there is of the redundancy of a slot that is given up here; drop has its holders forget it.
func (r *redundant) gone(slot uint32, drop bool, why *wire.Error) {
	if r == nil {
		return
	}
	for i := 0; i < len(r.order); i++ {
		if k := r.order[i]; r.recs[k].Slot() == slot {
			v := r.recs[k]
			delete(r.recs, k)
			r.order = append(r.order[:i], r.order[i+1:]...)
			i--
			r.recover(v, v.Cancel(why.Error(), nil))
			r.holder.Forget(k.pid, k.region)
		}
	}
	r.perform(r.primary.Close(slot, drop, why, nil))
	r.performShares(r.shares.Close(slot, why, nil))
}

// arrives reports whether a vRegion is being recovered here, so that it cannot be given away; neither can one with lost pages, of which a taker would not hear.
func (r *redundant) stays(pid wire.PID, region wire.RegionNo, slot uint32) error {
	if r == nil {
		return nil
	}
	if v := r.recs[thing{pid, region}]; v != nil && !v.Ended() {
		return wire.Errorf(wire.KindBusy, "vRegion %d of process %d is being recovered at %s: retry", region, pid, r.m.o.ID)
	}
	if r.primary.LostIn(slot) > 0 || r.primary.KeepsLost(slot) {
		return wire.Errorf(wire.KindBusy, "vRegion %d of process %d has pages that are lost: it stays until they are written", region, pid)
	}
	return nil
}

// backupTo sends the memory map of a process to the backup of its home, part by part.
func (m *memory) backupTo(e vregion.Effect, done func(vregion.Result)) {
	head := e.Backup
	parts := []wire.HomeCopyReq{head.Copy}
	if !head.Gone {
		parts = e.Copy.Messages(wire.HomeCopyReq{From: m.o.ID, FromAddr: addr(m.o.ID)})
	}
	var send func(i int)
	send = func(i int) {
		q := head
		q.Copy = parts[i]
		toPeer(m.redundancy(), wire.OpHomeBackup, e.Owner.Node, q, func(b *memory, q wire.HomeBackupReq, done func(struct{}, error)) {
			out, err := b.home.Backup(q, b.o.ID, nil)
			b.performHome(out)
			done(struct{}{}, err)
		}, func(_ struct{}, err error) {
			if err == nil && i+1 < len(parts) {
				send(i + 1)
				return
			}
			done(vregion.Result{Err: err})
		})
	}
	send(0)
}

// homeConfig takes who is the backup of a home, and says how far that has come.
func (m *memory) homeConfig(q wire.HomeConfig, done func(wire.HomeConfigRep, error)) {
	out, err := m.home.Configure(q, nil)
	if err != nil {
		done(wire.HomeConfigRep{}, err)
		return
	}
	m.performHome(out)
	done(m.home.HomeStatus(q.PID))
}

// homeRecover makes this one the home of a process whose home is lost, and says how far that has come.
func (m *memory) homeRecover(q wire.HomeRecoverReq, done func(wire.HomeRecoverRep, error)) {
	out, err := m.home.TakeOver(q, addr(m.o.ID), nil)
	if err != nil {
		done(wire.HomeRecoverRep{}, err)
		return
	}
	m.performHome(out)
	done(m.home.HomeRecovered(q.Config.PID, q.Config.Epoch), nil)
}

// waitsForPage has a miss wait for a page that a recovery has not brought yet.
func (r *redundant) waitsForPage(i uint32) bool {
	m, c := r.m, r.m.c
	if len(r.order) == 0 {
		return false
	}
	q := c.msgs.at(i)
	pid, page, epoch := q.p.o.PID, q.page, q.epoch
	v := r.recs[thing{pid, wire.RegionNo(uint64(page) << wire.PageShift / c.o.RegionBytes)}]
	if v == nil {
		return false
	}
	if _, verdict := m.owners.Check(pid, page, epoch); verdict != vregion.Serve {
		return false
	}
	call := r.call(func(*wire.Error) {
		q := c.msgs.at(i)
		if q.err = m.miss(pid, q.p.o.Epoch, page, epoch, &q.stamp); q.err == nil {
			q.back += c.o.Sizes.Page - c.o.Sizes.Ack
		}
		c.reply(i)
	})
	waits, out := v.Miss(c.clock.Now(), page, call, nil)
	if !waits {
		delete(r.calls, call)
		return false
	}
	r.waited++
	c.of(m.no, c.clock.Now(), func() { r.recover(v, out) }) // after the row is parked
	return true
}

// waitsForCopies has a flush wait until every holder has its page.
func (r *redundant) waitsForCopies(i, slot uint32) {
	c, page := r.m.c, r.m.c.msgs.at(i).flush.Page
	call := r.call(func(err *wire.Error) {
		c.msgs.at(i).flush.err = err
		c.reply(i)
	})
	out := r.primary.Write(c.clock.Now(), slot, page, call, nil)
	c.of(r.m.no, c.clock.Now(), func() { r.perform(out) })
}

// answerLater gives a flush that came with a miss an answer of its own.
func (r *redundant) answerLater(i, slot uint32) {
	c := r.m.c
	k := c.msgs.take()
	q := c.msgs.at(i)
	q.flush.later = true
	f := q.flush
	f.later = false
	*c.msgs.at(k) = message{op: wire.OpFlush, from: q.from, to: q.to, p: q.p, thread: q.thread, page: q.page, flush: f, back: c.o.Sizes.Ack, stage: working, waited: true, parked: true,
		fromLife: q.fromLife, toLife: q.toLife, sent: q.sent, arrived: q.arrived, queued: q.queued, started: q.started, ended: q.ended}
	r.waitsForCopies(k, slot)
}

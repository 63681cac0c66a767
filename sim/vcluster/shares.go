package vcluster

import (
	"splitkernel/mcomponent/erasure"
	"splitkernel/mcomponent/replica"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/units"
)

// shareRead is somebody who waits for a page that is made of shares; again is that it is looked up anew.
type shareRead struct {
	page  func(e *erasure.Effect, stamp Stamp)
	again func()
	fail  func(*wire.Error)
}

// filePage is a page of a process.
type filePage struct {
	pid  wire.PID
	page wire.PageNo
}

// configure gives a configuration to the owner's side. fresh says that nothing was ever written to the vRegion.
func (r *redundant) configure(slot uint32, cfg wire.RegionConfig, fresh bool) {
	now := r.m.c.clock.Now()
	_, first, pages := r.m.owners.Bounds(slot)
	r.performShares(r.shares.Configure(now, slot, cfg, first, pages, fresh, nil))
	r.perform(r.primary.Configure(now, slot, cfg, nil))
}

// readShares has somebody wait for a page that lies in shares.
func (r *redundant) readShares(slot uint32, page wire.PageNo, w shareRead) {
	r.last++
	r.reads[r.last] = w
	r.performShares(r.shares.Read(r.m.c.clock.Now(), slot, page, r.last, nil))
}

// performShares does what the collector of shares wants.
func (r *redundant) performShares(out []erasure.Effect) {
	m, now := r.m, r.m.c.clock.Now
	var made Stamp
	for i := 0; i < len(out); i++ {
		e := &out[i]
		w := r.reads[e.Waiter]
		switch e.Kind {
		case erasure.Ask:
			r.ask(*e)
			continue
		case erasure.Decode:
			made = e.Shares[0].(Stamp)
			fits := true
			for _, s := range e.Shares { // of one version, so of one page
				fits = fits && s.(Stamp) == made
			}
			r.made++
			out = r.shares.Decoded(now(), e.Slot, e.Page, fits, out)
			continue
		case erasure.Whole:
			r.perform(r.primary.Listed(now(), e.Slot, r.shares.Written(e.Slot), nil))
			continue
		}
		delete(r.reads, e.Waiter)
		switch e.Kind {
		case erasure.Page:
			w.page(e, made)
		case erasure.Again:
			m.c.of(m.no, now(), w.again)
		case erasure.Fail:
			w.fail(e.Err)
		}
	}
	r.arm()
}

// ask asks a holder for a share, or for a list of what it has.
func (r *redundant) ask(e erasure.Effect) {
	m, c := r.m, r.m.c
	in, to := c.lives[m.no].no, c.node(e.To.Node)
	came := func(p pagesOf, err error) {
		if !c.runs(m.no, in) {
			return
		}
		a := erasure.Answer{Err: asWire(err), Next: p.head.Next, More: p.head.More}
		for i, it := range p.items {
			if e.Read.Flags&wire.ReplicaList != 0 {
				a.Pages = append(a.Pages, it.PageEntry)
			} else {
				a.Have, a.Epoch, a.Version, a.Sum, a.Share = it.State == wire.PageFull, it.Epoch, it.Version, it.Sum, p.stamps[i]
			}
		}
		r.performShares(r.shares.Answered(c.clock.Now(), e.ID, a, nil))
	}
	m.readAt(to, e.Read, replicaPatience, came)
}

// fillShare sends a page that lies in shares to a holder that is filled.
func (r *redundant) fillShare(e replica.Effect) {
	now := r.m.c.clock.Now
	gone := func() { r.perform(r.primary.Answered(now(), e.ID, replica.Answer{}, nil)) }
	r.readShares(e.Slot, e.Write.Page, shareRead{
		page: func(s *erasure.Effect, stamp Stamp) {
			e.Write.ProcessEpoch, e.Write.Version, e.Write.Sum = s.Epoch, s.Version, s.Sum
			r.sendPage(e, []sent{{e.Write, stamp}})
		},
		again: func() {
			if _, content, ok := r.m.store.Peek(e.Write.PID, e.Write.Page); r.shares.Has(e.Slot) && (ok && content.Flushed || !r.shares.Absent(e.Slot, e.Write.Page)) {
				r.perform([]replica.Effect{e})
				return
			}
			gone()
		},
		fail: func(err *wire.Error) { r.perform(r.primary.Answered(now(), e.ID, replica.Answer{Err: err}, nil)) },
	})
}

// waitsForShares has a miss wait for the shares of its page, unless that is with the owner, or zeros.
func (r *redundant) waitsForShares(i uint32) bool {
	m, c := r.m, r.m.c
	q := c.msgs.at(i)
	pid, page, epoch := q.p.o.PID, q.page, q.epoch
	slot, v := m.owners.Check(pid, page, epoch)
	if v != vregion.Serve || !r.shares.Has(slot) || r.hereOrZeros(slot, pid, page) {
		return false
	}
	r.waited++
	answer := func(err *wire.Error, stamp Stamp) {
		q := c.msgs.at(i)
		if q.err = err; err == nil {
			q.stamp = stamp
			q.back += c.o.Sizes.Page - c.o.Sizes.Ack
			m.misses++
			m.tellServed(pid, page, epoch)
		}
		c.reply(i)
	}
	checked := func() bool {
		if _, v := m.owners.Check(pid, page, epoch); v != vregion.Serve {
			answer(m.refuse(m.owners.Error(v, pid, page, epoch)), Stamp{})
			return false
		}
		return true
	}
	var read func()
	read = func() {
		if !checked() {
			return
		}
		if r.hereOrZeros(slot, pid, page) {
			var stamp Stamp
			err := m.miss(pid, c.msgs.at(i).p.o.Epoch, page, epoch, &stamp)
			if err == nil {
				m.misses-- // it is counted once
			}
			answer(err, stamp)
			return
		}
		r.readShares(slot, page, shareRead{
			page: func(_ *erasure.Effect, stamp Stamp) {
				if checked() {
					at := c.clock.Now() + (units.Picos(1) * c.o.Hardware.Processor.Lookup()).Duration()
					c.of(m.no, at, func() { answer(nil, stamp) })
				}
			},
			again: read,
			fail:  func(err *wire.Error) { answer(m.refuse(err), Stamp{}) },
		})
	}
	c.of(m.no, c.clock.Now(), read) // after the row is parked
	return true
}

// hereOrZeros reports whether a page of a vRegion in shares needs no message.
func (r *redundant) hereOrZeros(slot uint32, pid wire.PID, page wire.PageNo) bool {
	_, content, ok := r.m.store.Peek(pid, page)
	return ok && content.Flushed || r.shares.Absent(slot, page)
}

// flushing says of a flush to a vRegion in shares that it is old, or cannot be taken yet.
func (r *redundant) flushing(slot uint32, pid wire.PID, process wire.Epoch, f *flushBody) (old bool, err error) {
	switch r.shares.Flushing(slot, f.Page, process, f.ID) {
	case erasure.Older:
		return true, nil
	case erasure.Unknown:
		r.performShares(r.shares.Seek(slot, f.Page, nil))
		return false, wire.Errorf(wire.KindBusy, "%s does not know yet what was written to the vRegion of page %#x of process %d: retry", r.m.o.ID, uint64(f.Page), pid)
	}
	return false, nil
}

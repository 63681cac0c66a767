package vcluster

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// pageRange gives the pages of a non-empty byte range.
func pageRange(addr, length uint64) (first, last wire.PageNo) {
	return wire.PageNo(addr >> wire.PageShift), wire.PageNo((addr + length - 1) >> wire.PageShift)
}

func roundUp(a uint64) uint64 { return (a + wire.PageSize - 1) &^ uint64(wire.PageSize-1) }

// Map maps [addr, addr+length). What was mapped there before is replaced. No thread may be within an access.
func (p *Process) Map(y *vtime.Proc, addr, length uint64, anon, writable bool, name string) error {
	if err := p.drop(y, addr, length); err != nil {
		return err
	}
	first, last := pageRange(addr, length)
	if p.o.Local {
		p.core.Map(first, last, true, nil)
		return nil
	}
	q := wire.MmapReq{PID: p.o.PID, Epoch: p.o.Epoch, Addr: addr, Length: length, Anon: anon, Writable: writable, Name: name, Fixed: true}
	if err := call(y, p, wire.OpMmap, q, (*memory).mmap, func(r wire.MmapRep) { p.core.Map(first, last, anon, r.Owners) }); err != nil {
		return fmt.Errorf("mmap of %d bytes at %#x by home %s: %w", length, addr, p.home.Node, err)
	}
	return nil
}

// Unmap unmaps [addr, addr+length): cached pages are dropped, dirty or not. No thread may be within an access.
func (p *Process) Unmap(y *vtime.Proc, addr, length uint64) error {
	if err := p.drop(y, addr, length); err != nil || p.o.Local {
		return err
	}
	q := wire.MunmapReq{PID: p.o.PID, Epoch: p.o.Epoch, Addr: addr, Length: length}
	if err := call(y, p, wire.OpMunmap, q, (*memory).munmap, func(wire.MunmapRep) {}); err != nil {
		return fmt.Errorf("munmap of %d bytes at %#x by home %s: %w", length, addr, p.home.Node, err)
	}
	return nil
}

// Brk sets the end of the heap; the first call sets where it begins.
func (p *Process) Brk(y *vtime.Proc, end uint64) error {
	old := p.heapEnd
	if old != 0 && end < old {
		if from := roundUp(end); from < old {
			if err := p.drop(y, from, old-from); err != nil {
				return err
			}
		}
	}
	grown := func(owners []wire.Owner) {
		if from, to := roundUp(old), roundUp(end); old != 0 && to > from {
			first, last := pageRange(from, to-from)
			p.core.Map(first, last, true, owners)
		}
	}
	if p.o.Local {
		grown(nil)
	} else if err := call(y, p, wire.OpBrk, wire.BrkReq{PID: p.o.PID, Epoch: p.o.Epoch, End: end, Heap: old}, (*memory).brk, func(r wire.MmapRep) { grown(r.Owners) }); err != nil {
		return fmt.Errorf("brk to %#x by home %s: %w", end, p.home.Node, err)
	}
	p.heapEnd = end
	return nil
}

// drop forgets the cached pages of a range once no flush and no prefetch of them is under way.
func (p *Process) drop(y *vtime.Proc, addr, length uint64) error {
	first, last := pageRange(addr, length)
	for p.core.PendingIn(first, last) != 0 {
		if err := p.core.Err(); err != nil {
			return err
		}
		y.Wait(&p.idle)
	}
	p.core.Unmap(first, last)
	return nil
}

// Drain writes every dirty line back and waits for all acknowledgements. No thread may be within an access.
func (p *Process) Drain(y *vtime.Proc) error {
	for !p.o.Local {
		p.perform(p.core.Drain(p.c.clock.Now(), p.out[:0]))
		if p.core.Drained() || p.core.Pending() == 0 || p.core.Err() != nil {
			return p.core.Err()
		}
		y.Wait(&p.idle)
	}
	return nil
}

// Stop ends the process's accesses: the next fault of each thread fails. Whoever drives it closes it.
func (p *Process) Stop(err *wire.Error) {
	if p.core.Err() == nil {
		p.perform(p.core.Fail(err, nil))
	}
}

// Err says why the process was stopped or failed; nil if neither.
func (p *Process) Err() error { return p.core.Err() }

// Close ends the process: its volumes are detached and its memory is freed. Dirty lines are not written back: Drain does that.
func (p *Process) Close(y *vtime.Proc) error {
	errs := p.detach(y)
	if !p.o.Local && p.gone == nil {
		err := call(y, p, wire.OpProcessExit, wire.ProcessExitReq{PID: p.o.PID, Epoch: p.o.Epoch}, (*memory).exit, func(struct{}) {})
		if err != nil {
			errs = append(errs, fmt.Errorf("process %s: exit at home %s: %w", p.o.Name, p.home.Node, err))
		}
	}
	p.forget()
	return errors.Join(errs...)
}

// Retire is Close, but the memory at the mComponents stays: if the pComponent is lost meanwhile, the process can still go on from a
// checkpoint. Exit frees it.
func (p *Process) Retire(y *vtime.Proc) error {
	errs := p.detach(y)
	p.forget()
	return errors.Join(errs...)
}

// Exit has the home free the memory of a process that retired, whether its pComponent lives or not.
func (p *Process) Exit(y *vtime.Proc) error {
	deadline := y.Now() + mapPatience
	for {
		q := wire.ProcessExitReq{PID: p.o.PID, Epoch: p.o.Epoch}
		if at, _, ok := p.c.Place(p.o.PID); ok {
			q.Epoch = max(q.Epoch, at.Epoch) // its pComponent was lost since, and the managers have begun to bring it back
		}
		at, from := p.home, p.c.whoAsks(p.o.Node)
		to := p.c.node(at.Node)
		_, err := controlling(y, p.c, wire.OpProcessExit, from, to, q, func(q wire.ProcessExitReq, done func(struct{}, error)) { p.c.nodes[to].(*memory).exit(q, done) })
		again := false
		switch wire.KindOf(err) {
		case wire.KindNotOwner:
			again = p.findHome(y, p.c.whoAsks(p.o.Node), &p.home, at.Epoch, deadline)
		case wire.KindBusy, wire.KindUnavailable, wire.KindTimeout:
			again = y.Now() < deadline
		}
		if err == nil {
			return nil
		} else if !again {
			return fmt.Errorf("process %s: exit at home %s: %w", p.o.Name, at.Node, err)
		}
	}
}

// detach ends what the process does and gives its volumes up.
func (p *Process) detach(y *vtime.Proc) (errs []error) {
	p.closed = true // it does not move any more
	if p.halt != nil {
		p.halt.stopped.Wake()
	}
	vs := make([]*Volume, 0, len(p.volumes))
	for _, v := range p.volumes {
		vs = append(vs, v)
	}
	slices.SortFunc(vs, func(a, b *Volume) int { return cmp.Compare(a.o.ID, b.o.ID) })
	for _, v := range vs {
		if err := v.detach(y); err != nil {
			errs = append(errs, fmt.Errorf("process %s: detach of volume %d: %w", p.o.Name, v.o.ID, err))
		}
	}
	for p.core.OldestFlush() != 0 && p.core.Err() == nil {
		y.Wait(&p.idle)
	}
	return errs
}

package gmanagers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

const (
	// maxEnding bounds the lost vNodes that are ended at a time.
	maxEnding = 16
	// lostPatience is how long the end of a lost vNode waits for components that do not answer. What they still hold then is
	// a difference that an audit tells.
	lostPatience = 10 * time.Second
)

// lostOnes is the lost vNodes that a leader of GPM ends. The driver's mutex guards it.
type lostOnes struct {
	since  map[wire.PID]time.Duration // looked up, and ranged over only to forget
	ending map[wire.PID]bool
}

// endLost ends the vNodes whose pComponent was declared dead or registered again, while this process leads GPM: their
// memory and volumes are given back by those who hold them, then by the books.
func (d *driver) endLost() {
	if !d.leads(wire.GPM) {
		d.mu.Lock()
		d.lost.since = nil // whoever leads is patient anew
		d.mu.Unlock()
		return
	}
	var lost []gpm.Process
	if err := d.host.Stale(wire.GPM, func(s raftsm.State) { lost = s.(*gpm.State).Lost(gpm.MaxProcesses) }); err != nil {
		return // stopping
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	l := &d.lost
	if len(lost) == 0 || l.since == nil {
		l.since = map[wire.PID]time.Duration{}
	}
	if l.ending == nil {
		l.ending = map[wire.PID]bool{}
	}
	now := d.m.now()
	for _, p := range lost {
		if len(l.ending) >= maxEnding || d.closed {
			return
		}
		if l.ending[p.PID] {
			continue
		}
		began, ok := l.since[p.PID]
		if !ok {
			began = now
			l.since[p.PID] = now
		}
		l.ending[p.PID] = true
		d.wg.Go(func() {
			d.endOne(p, now-began >= d.lostPatience)
			d.mu.Lock()
			delete(l.ending, p.PID)
			d.mu.Unlock()
		})
	}
}

// endOne ends one lost vNode; late, a component that does not answer keeps what it has. Managers that do not tell who has what are
// no excuse.
func (d *driver) endOne(p gpm.Process, late bool) {
	ctx, cancel := context.WithTimeout(d.ctx, d.endTimeout)
	defer cancel()
	if err := d.freeLost(ctx, p); err != nil {
		var silent *unanswered
		if !late || !errors.As(err, &silent) || d.ctx.Err() != nil {
			return // again, soon
		}
		d.m.log.Warn("a lost vNode is ended, and not all that it had is given back", "pid", uint64(p.PID), "error", err.Error())
	}
	// The components that do not answer have used up ctx.
	ctx, cancel = context.WithTimeout(d.ctx, d.endTimeout)
	defer cancel()
	err := d.client.Release(ctx, p.PID)
	switch {
	case err == nil:
		d.m.stats.lost.Add(1)
		d.m.log.Warn("a vNode is lost with its pComponent", "pid", uint64(p.PID), "pcomponent", string(p.Node))
	case !errors.Is(err, wire.ErrNotFound) && d.ctx.Err() == nil:
		d.m.log.Warn("a lost vNode stays in the books for now", "pid", uint64(p.PID), "error", err.Error())
	}
}

// freeLost has the components give back what a lost process has there.
func (d *driver) freeLost(ctx context.Context, p gpm.Process) error {
	homes, err := d.client.Regions(ctx, p.PID)
	if err != nil {
		return err
	}
	addrs := map[wire.NodeID]string{} // of those that are not dead
	for _, g := range []wire.Manager{wire.GMM, wire.GSM} {
		err := d.host.Stale(g, func(s raftsm.State) {
			for _, e := range s.Entries() {
				if e.State() != membership.Dead {
					addrs[e.Member.ID] = e.Member.Addr
				}
			}
		})
		if err != nil {
			return err
		}
	}
	var errs []error
	call := func(id wire.NodeID, op wire.Op, req any) {
		if addr, ok := addrs[id]; ok {
			if err := d.callOnce(ctx, addr, op, p.Epoch, req); err != nil && !errors.Is(err, wire.ErrNotFound) {
				errs = append(errs, fmt.Errorf("%v at %s: %w", op, id, err))
			}
		}
	}
	for _, h := range homes {
		call(h.Home, wire.OpProcessExit, &wire.ProcessExitReq{PID: p.PID, Epoch: p.Epoch})
		// The home has told the owners that it knew of; one that has started again since knew of none.
		for _, owner := range ownersOf(h) {
			call(owner, wire.OpProcessExit, &wire.ProcessExitReq{PID: p.PID, Epoch: p.Epoch, Owner: true})
		}
	}
	var volumes []gsm.Volume // where they are now; GPM knows where they were admitted to
	err = d.host.Stale(wire.GSM, func(s raftsm.State) {
		for _, v := range p.Volumes {
			volumes = append(volumes, s.(*gsm.State).Volumes(v.Volume)...)
		}
	})
	if err != nil {
		return err
	}
	for _, v := range volumes {
		ref := &wire.VolumeRef{Volume: v.Volume, Epoch: v.Epoch}
		call(v.Cache, wire.OpVolumeDetach, ref)
		call(v.Storage, wire.OpVolumeDelete, ref)
	}
	if len(errs) > 0 {
		return &unanswered{errors.Join(errs...)}
	}
	return nil
}

// unanswered is the error of components that do not give back what a vNode has. Only they are not waited for without end; while
// it is not known who has what, nothing was given back anywhere.
type unanswered struct{ error }

func (u *unanswered) Unwrap() error { return u.error }

// ownersOf returns the owners of a process's vRegions, each once.
func ownersOf(h gmm.Process) (out []wire.NodeID) {
	seen := map[wire.NodeID]bool{}
	for _, r := range h.Regions {
		if !seen[r.Node] {
			seen[r.Node] = true
			out = append(out, r.Node)
		}
	}
	return out
}

// callOnce makes one call over a connection of its own: vNodes are lost seldom.
func (d *driver) callOnce(ctx context.Context, addr string, op wire.Op, epoch wire.Epoch, req any) error {
	if err := netlayer.Addr(addr).Validate(); err != nil {
		return wire.Errorf(wire.KindBadRequest, "%v", err)
	}
	o := d.m.o.Net
	o.Slots, o.Metrics = 1, nil
	p := netlayer.NewPeer(netlayer.Addr(addr), o)
	defer p.Close()
	defer context.AfterFunc(ctx, func() { p.Close() })() // ends connecting too
	return p.Control(ctx, op, epoch, req, nil)
}

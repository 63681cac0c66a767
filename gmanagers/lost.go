package gmanagers

import (
	"context"
	"errors"
	"fmt"

	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/gmanagers/lost"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// endLost ends the vNodes whose pComponent was declared dead or registered again, while this process leads GPM.
func (d *driver) endLost() {
	if !d.leads(wire.GPM) {
		d.mu.Lock()
		d.lost.Rest()
		d.mu.Unlock()
		return
	}
	var gone []gpm.Process
	if err := d.host.Stale(wire.GPM, func(s raftsm.State) { gone = s.(*gpm.State).Lost(gpm.MaxProcesses) }); err != nil {
		return // stopping
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	for _, b := range d.lost.Look(d.m.now(), gone) {
		d.wg.Go(func() {
			d.endOne(b)
			d.mu.Lock()
			d.lost.Ended(b.Process.PID)
			d.mu.Unlock()
		})
	}
}

// endOne ends one lost vNode.
func (d *driver) endOne(b lost.Begun) {
	p := b.Process
	ctx, cancel := context.WithTimeout(d.ctx, d.endTimeout)
	defer cancel()
	err := d.freeLost(ctx, p)
	var silent *unanswered
	kept := errors.As(err, &silent)
	if !b.Ends(err == nil || kept, kept) || d.ctx.Err() != nil {
		return // again, soon
	}
	if kept {
		d.m.log.Warn("a lost vNode is ended, and not all that it had is given back", "pid", uint64(p.PID), "error", err.Error())
	}
	// The components that do not answer have used up ctx.
	ctx, cancel = context.WithTimeout(d.ctx, d.endTimeout)
	defer cancel()
	err = d.client.Release(ctx, p.PID)
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
	var volumes []gsm.Volume // where they are now; GPM knows where they were admitted to
	err = d.host.Stale(wire.GSM, func(s raftsm.State) {
		for _, v := range p.Volumes {
			volumes = append(volumes, s.(*gsm.State).Volumes(v.Volume)...)
		}
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range lost.Calls(p, homes, volumes, func(id wire.NodeID) bool { return addrs[id] != "" }) {
		if err := d.callOnce(ctx, addrs[c.Node], c.Op, p.Epoch, c.Req); err != nil && !errors.Is(err, wire.ErrNotFound) {
			errs = append(errs, fmt.Errorf("%v at %s: %w", c.Op, c.Node, err))
		}
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

package pcomponent

import (
	"context"
	"fmt"

	"splitkernel/netlayer/wire"
)

// LastFlush is the version of the last flush of the process.
func (p *Process) LastFlush() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.core.Cache().LastFlush()
}

// Undrain lets lines be dirty again after Drain: the threads go on.
func (p *Process) Undrain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.core.Undrain()
}

// Cut tells the home that a checkpoint is durable, and returns when every owner of the process's memory knows it.
func (p *Process) Cut(ctx context.Context, at wire.Cut) error {
	ctx, cancel := p.patient(ctx)
	defer cancel()
	if home, err := p.atHome(ctx, wire.OpProcessCut, wire.ProcessCutReq{PID: p.o.PID, Epoch: p.o.Epoch, Cut: at}, nil); err != nil {
		return fmt.Errorf("checkpoint %d at home %s: %w", at.Number, home, err)
	}
	return nil
}

// Moved takes whether something of the process has another owner, or another home, since it was asked last: then the checkpoint cannot be
// gone back to, for what it needs did not move along.
func (p *Process) Moved() bool { return p.moved.Swap(false) }

// Visitor is a process that does not run here yet: it has no ExCache and is not known at its home, and uses only its volumes, to be
// brought back. Leave it with Depart.
func (c *Component) Visitor(o ProcessOptions) *Process {
	home := c.homeOf(o)
	p := &Process{c: c, o: o, homeAt: home, volumes: map[wire.VolumeID]*Volume{}}
	for k := range p.blocks {
		p.blocks[k] = newHistogram()
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.homeIs, p.homeMoved = context.WithCancel(context.Background())
	return p
}

// Fence has the home refuse who ran the process before, also its exit, which would free what the process goes on with.
func (p *Process) Fence(ctx context.Context) error { return p.openHome(ctx) }

// Depart ends a visit. The volumes stay attached.
func (p *Process) Depart() {
	p.halt()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.homeMoved()
}

// Rollback has the home and the owners of a visitor's memory go back to a checkpoint, and gives where they are.
func (p *Process) Rollback(ctx context.Context, to wire.Cut) (home wire.Owner, rep wire.ProcessRollbackRep, err error) {
	ctx, cancel := p.patient(ctx)
	defer cancel()
	for {
		at := p.Home()
		_, err = p.atHome(ctx, wire.OpProcessRollback, wire.ProcessRollbackReq{PID: p.o.PID, Epoch: p.o.Epoch, Addr: p.c.Addr(), Cut: to}, &rep)
		if err == nil {
			return p.Home(), rep, nil
		}
		if wire.KindOf(err) != wire.KindNotOwner || !p.findHome(ctx, at.Epoch) {
			return at, rep, fmt.Errorf("rollback of process %s to checkpoint %d at home %s: %w", p.o.Name, to.Number, at.Node, err)
		}
	}
}

// State gives the volumes that a visitor has attached: writes to them go on behind its own.
func (p *Process) State() (out []VolumeState) {
	for _, v := range p.sortedVolumes() {
		out = append(out, VolumeState{v.options(), v.version})
	}
	return out
}

// Renew has the writes of an attached volume be newer than all that were made under older epochs of the process: what it wrote since the
// checkpoint may still be in the buffer cache.
func (v *Volume) Renew() { v.version = max(v.version, uint64(v.p.o.Epoch)<<renewShift) }

// renewShift leaves 2^40 writes to an epoch.
const renewShift = 40

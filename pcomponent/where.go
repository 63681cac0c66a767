package pcomponent

import (
	"context"
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
)

// Managers are asked where a volume or a home is that moved before this pComponent used it: then nobody told it.
type Managers interface {
	// Volume tells where a volume and its buffer cache are. While a move ends it may tell the place before.
	Volume(ctx context.Context, id wire.VolumeID) (VolumeOptions, error)
	// Home tells where a process is at home. While a move ends it may tell the place before.
	Home(ctx context.Context, pid wire.PID) (wire.Owner, error)
}

// askInterval is the pause before the managers are asked again: the end of a move takes a little until it is in their books.
const askInterval = 50 * time.Millisecond

// attach tells the buffer cache who uses the volume. If the volume is not where it was said to be it has moved since, and is
// looked for as long as the patience of block requests lasts.
func (v *Volume) attach(ctx context.Context) error {
	deadline := time.Now().Add(time.Duration(v.p.c.o.BlockPatienceMS) * time.Millisecond)
	for {
		o := v.options()
		err := v.attachAt(ctx, o)
		switch wire.KindOf(err) {
		case wire.KindStale, wire.KindNotOwner, wire.KindNotFound:
		default:
			return err
		}
		if v.place().epoch == o.Epoch && !v.find(ctx, o.Epoch, o.Config, deadline) {
			return err
		}
	}
}

// find asks the managers where the volume is until they know of a newer epoch than the one under which it was not found, or of other copies.
func (v *Volume) find(ctx context.Context, old wire.Epoch, config uint64, deadline time.Time) bool {
	for v.p.c.o.Managers != nil && ctx.Err() == nil && time.Now().Before(deadline) {
		now, err := v.p.c.o.Managers.Volume(ctx, v.id)
		if wire.KindOf(err) == wire.KindNotFound {
			return false // it was given back
		}
		if err == nil && (now.Epoch > old || now.Epoch == old && now.Config > config) {
			v.mu.Lock()
			v.opt.Storage, v.opt.StorageAddr, v.opt.Replicas, v.opt.Config = now.Storage, now.StorageAddr, now.Replicas, now.Config
			if now.Epoch > v.at.epoch {
				v.at = cachePlace{now.Cache, now.CacheAddr, now.Epoch}
			}
			v.mu.Unlock()
			return true
		}
		pause(ctx, askInterval)
	}
	return false
}

// openHome opens the process at its home under its epoch. If that is not the home any more, it has moved before the process began
// and is looked for as long as the patience of maps lasts.
func (p *Process) openHome(ctx context.Context) error {
	ctx, cancel := p.patient(ctx)
	defer cancel()
	for {
		at := p.Home()
		home, err := p.atHome(ctx, wire.OpProcessOpen, wire.ProcessOpenReq{PID: p.o.PID, Epoch: p.o.Epoch, Addr: p.c.Addr(), Home: at.Epoch, Member: at.Member}, nil)
		if err == nil {
			return nil
		}
		if wire.KindOf(err) != wire.KindNotOwner || !p.findHome(ctx, at.Epoch) {
			return fmt.Errorf("process %s: its home %s: %w", p.o.Name, home, err)
		}
	}
}

// findHome asks the managers for the home until they know of a newer epoch than the one under which it was turned away.
func (p *Process) findHome(ctx context.Context, old wire.Epoch) bool {
	for p.c.o.Managers != nil && ctx.Err() == nil {
		now, err := p.c.o.Managers.Home(ctx, p.o.PID)
		if wire.KindOf(err) == wire.KindNotFound {
			return false // it was given back
		}
		if err == nil && now.Epoch > old {
			p.mu.Lock()
			p.goneHome(now)
			p.mu.Unlock()
			return true
		}
		pause(ctx, askInterval)
	}
	return false
}

package mcomponent

import (
	"sync"
	"time"

	"splitkernel/mcomponent/buffercache"
	"splitkernel/mcomponent/cachemove"
	"splitkernel/netlayer"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
)

// cacheCallTimeout bounds one request of the move of a buffer cache; an attach includes a sync at the sComponent.
const cacheCallTimeout = 5 * time.Second

// cacheMove gives the buffer cache of a volume away: the shell of cachemove.Giver.
type cacheMove struct {
	c      *Component
	req    wire.MoveReq
	began  time.Time
	work   span.Work
	moving buffercache.Moving // as it was when the move began; Place is kept up to date

	mu    sync.Mutex
	core  *cachemove.Taped
	dirty uint64 // blocks written back
}

// startCacheMove begins the move of a buffer cache.
func (c *Component) startCacheMove(work span.Work, req wire.MoveReq) (move, error) {
	if req.OldEpoch >= req.Epoch || req.Epoch >= req.UndoEpoch || req.To == c.o.Node {
		return nil, wire.Errorf(wire.KindBadRequest, "volume %d: its buffer cache from %s to %s under epochs %d, %d and %d", req.Volume, c.o.Node, req.To, req.OldEpoch, req.Epoch, req.UndoEpoch)
	}
	if err := netlayer.Addr(req.ToAddr).Validate(); err != nil {
		return nil, wire.Errorf(wire.KindBadRequest, "volume %d: its buffer cache to %s: %v", req.Volume, req.To, err)
	}
	c.cacheMu.Lock()
	m, attached := c.cache.Moving(req.Volume)
	settling := c.cache.Settling(req.Volume)
	if !attached && !settling { // at once: who attaches it from now on is turned away
		c.cache.Leave(req.Volume, req.Epoch)
	}
	c.cacheMu.Unlock()
	switch {
	case settling:
		return nil, wire.Errorf(wire.KindBusy, "volume %d is being attached to the buffer cache of %s, or detached: retry", req.Volume, c.o.Node)
	case attached && m.Place.Epoch > req.OldEpoch:
		return nil, wire.Errorf(wire.KindStale, "volume %d: its buffer cache moves from epoch %d, it is attached under epoch %d", req.Volume, req.OldEpoch, m.Place.Epoch)
	case attached && m.Frozen:
		return nil, wire.Errorf(wire.KindBusy, "volume %d: its buffer cache is moving by another order", req.Volume)
	case attached && m.Attach.ClientAddr == "":
		return nil, wire.Errorf(wire.KindBadRequest, "volume %d: its pComponent gave no address and cannot be told where the buffer cache moves", req.Volume)
	}
	v := &cacheMove{c: c, req: req, work: work, began: time.Now(), moving: m, core: &cachemove.Taped{Giver: cachemove.New(c.o.cacheMove(), req, m.Dirty)}}
	c.recordCacheMove(v.core, req, m.Dirty)
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []cachemove.Effect
	if attached {
		out = v.core.Start(v.now(), nil)
	} else {
		out = v.core.Absent(v.now(), nil)
		out = v.core.Done(v.now(), out[0].ID, nil, out[:0]) // it has left
	}
	c.wg.Go(func() { v.run(out) })
	return v, nil
}

func (v *cacheMove) now() time.Duration { return time.Since(v.began) }

func (v *cacheMove) Status() wire.MoveStatusRep {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.core.Status(v.now())
	s.Bytes = v.dirty * wire.PageSize
	s.TotalBytes = s.Bytes
	return s
}

// run performs the steps one after the other, until the move is over or the component closes.
func (v *cacheMove) run(out []cachemove.Effect) {
	for {
		e := out[0]
		if e.Step == cachemove.Ended {
			break
		}
		if e.After > 0 {
			select {
			case <-time.After(e.After):
			case <-v.c.ctx.Done():
			}
		}
		if v.c.ctx.Err() != nil {
			v.c.cacheMu.Lock()
			v.c.cache.Thaw(v.req.Volume, 0) // Close detaches it
			v.c.cacheMu.Unlock()
			return
		}
		err := v.perform(e)
		v.mu.Lock()
		out = v.core.Done(v.now(), e.ID, err, out[:0])
		v.mu.Unlock()
	}
	s := v.Status()
	v.c.movedCache(s)
	v.work.Moved(s)
	v.c.log.Info("the move of a buffer cache has ended", "volume", v.req.Volume, "to", v.req.To, "state", s.State, "epoch", s.Epoch, "bytes", s.Bytes, "pause_us", s.PauseUS, "cause", s.Text)
}

// perform does one step.
func (v *cacheMove) perform(e cachemove.Effect) error {
	c, r := v.c, &v.req
	switch e.Step {
	case cachemove.Clean:
		err := v.clean()
		m, ok := v.look()
		if err == nil && !ok {
			err = wire.Errorf(wire.KindNotFound, "volume %d was detached", r.Volume)
		}
		v.mu.Lock()
		v.core.Cleaned(m.Dirty)
		v.mu.Unlock()
		return err
	case cachemove.Freeze:
		return v.freeze()
	case cachemove.Attach:
		return v.call(r.ToAddr, wire.OpVolumeAttach, v.attach(r.Epoch))
	case cachemove.Tell:
		return v.call(v.moving.Attach.ClientAddr, wire.OpCacheSwitch, wire.SwitchReq{Move: r.Move, Volume: r.Volume, Epoch: r.Epoch, To: r.To, ToAddr: r.ToAddr})
	case cachemove.Leave:
		c.cacheMu.Lock()
		c.cache.Leave(r.Volume, r.Epoch)
		c.cacheMu.Unlock()
		c.pruneGroups()
	case cachemove.Reattach:
		m := v.attach(r.UndoEpoch)
		m.ClientAddr = ""
		if len(m.Replicas) > 0 {
			return c.reattach(m)
		}
		return v.call(m.StorageAddr, wire.OpVolumeAttach, m)
	case cachemove.Thaw:
		c.cacheMu.Lock()
		defer c.cacheMu.Unlock()
		if e.Epoch == r.OldEpoch {
			e.Epoch = 0 // as before: the sComponent may know a lower one than GSM, and a newer would be another attachment to it
		}
		c.cache.Thaw(r.Volume, e.Epoch)
	case cachemove.Detach:
		return v.call(r.ToAddr, wire.OpVolumeDetach, wire.VolumeRef{Volume: r.Volume, Epoch: r.Epoch})
	case cachemove.Lose:
		c.cacheMu.Lock()
		defer c.cacheMu.Unlock()
		c.effects = c.cache.Lose(r.Volume, wire.Errorf(wire.KindFailed, "%s", v.core.Status(v.now()).Text), c.effects[:0])
		c.performCache(c.effects, nil, nil)
	}
	return nil
}

// look gives what is known about the volume now.
func (v *cacheMove) look() (buffercache.Moving, bool) {
	v.c.cacheMu.Lock()
	defer v.c.cacheMu.Unlock()
	return v.c.cache.Moving(v.req.Volume)
}

// clean makes durable what is dirty now.
func (v *cacheMove) clean() error {
	if m, ok := v.look(); ok {
		v.mu.Lock()
		v.dirty += uint64(m.Dirty)
		v.mu.Unlock()
	}
	return v.c.volumeOp(func(k *buffercache.Taped, call uint64, out []buffercache.Effect) []buffercache.Effect {
		return k.Clean(call, v.req.Volume, out)
	})
}

// freeze refuses the requests of the volume and leaves nothing dirty or under way.
func (v *cacheMove) freeze() error {
	c, id := v.c, v.req.Volume
	m, ok := v.look()
	if !ok || m.Place.Epoch > v.req.OldEpoch {
		return wire.Errorf(wire.KindStale, "volume %d was detached, or attached under a newer epoch than %d", id, v.req.OldEpoch)
	}
	c.cacheMu.Lock()
	c.effects = c.cache.Freeze(id, wire.Errorf(wire.KindBusy, "the buffer cache of volume %d is moving to %s: retry", id, v.req.To), c.effects[:0])
	c.performCache(c.effects, nil, nil)
	c.cacheMu.Unlock()
	if err := v.clean(); err != nil {
		return err
	}
	err := c.volumeOp(func(k *buffercache.Taped, call uint64, out []buffercache.Effect) []buffercache.Effect {
		return k.Quiet(call, id, out)
	})
	if err != nil {
		return err
	}
	m, ok = v.look()
	if !ok || m.Dirty > 0 {
		return wire.Errorf(wire.KindInternal, "volume %d: %d blocks are dirty after the last flush", id, m.Dirty)
	}
	v.moving = m // the volume may have moved meanwhile, and another client come
	return nil
}

func (v *cacheMove) attach(e wire.Epoch) wire.VolumeAttachReq {
	m := v.moving.Attach
	m.Epoch, m.Storage, m.StorageAddr = e, v.moving.Place.Storage, v.moving.Place.Addr
	return m
}

// call sends one request of the move. It does not retry: the core does.
func (v *cacheMove) call(addr string, op wire.Op, m any) error {
	p, err := v.c.peer(addr)
	if err != nil {
		return err
	}
	return p.DoIn(v.work.Context, &netlayer.Call{Op: op, Epoch: v.req.Epoch, Body: wire.Marshal(m), Timeout: cacheCallTimeout})
}

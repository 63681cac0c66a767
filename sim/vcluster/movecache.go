package vcluster

import (
	"time"

	"splitkernel/mcomponent/buffercache"
	"splitkernel/mcomponent/cachemove"
	"splitkernel/netlayer/given"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// cachePatience bounds one request of the move of a buffer cache, as live; an attach includes a sync at the sComponent.
const cachePatience = 5 * time.Second

// cacheMove gives the buffer cache of a volume away: the shell of cachemove.Giver.
type cacheMove struct {
	m      *memory
	req    wire.MoveReq
	began  time.Duration
	moving buffercache.Moving // as it was when the move began; Place is kept up to date
	core   *cachemove.Giver
	dirty  uint64 // blocks written back
}

// giveCache begins the move of a buffer cache.
func (m *memory) giveCache(req wire.MoveReq) (given.Move, error) {
	if err := m.checkEpochs(req); err != nil {
		return nil, err
	}
	at, attached := m.blocks.cache.Moving(req.Volume)
	switch {
	case m.blocks.cache.Settling(req.Volume):
		return nil, wire.Errorf(wire.KindBusy, "volume %d is being attached to the buffer cache of %s, or detached: retry", req.Volume, m.o.ID)
	case attached && at.Place.Epoch > req.OldEpoch:
		return nil, wire.Errorf(wire.KindStale, "volume %d: its buffer cache moves from epoch %d, it is attached under epoch %d", req.Volume, req.OldEpoch, at.Place.Epoch)
	case attached && at.Frozen:
		return nil, wire.Errorf(wire.KindBusy, "volume %d: its buffer cache is moving by another order", req.Volume)
	case attached && at.Attach.ClientAddr == "":
		return nil, wire.Errorf(wire.KindBadRequest, "volume %d: its pComponent gave no address and cannot be told where the buffer cache moves", req.Volume)
	}
	v := &cacheMove{m: m, req: req, began: m.c.clock.Now(), moving: at, core: cachemove.New(cachemove.DefaultOptions(), req, at.Dirty)}
	var out []cachemove.Effect
	if attached {
		out = v.core.Start(0, nil)
	} else {
		m.blocks.cache.Leave(req.Volume, req.Epoch) // at once: who attaches it from now on is turned away
		out = v.core.Absent(0, nil)
		out = v.core.Done(0, out[0].ID, nil, out[:0])
	}
	m.c.goAt(m.no, moveName(req), func(y *vtime.Proc) { v.run(y, out) })
	return v, nil
}

func (v *cacheMove) now() time.Duration { return v.m.c.clock.Now() - v.began }

// Status says how far the move has come.
func (v *cacheMove) Status() wire.MoveStatusRep {
	s := v.core.Status(v.now())
	s.Bytes = v.dirty * wire.PageSize
	s.TotalBytes = s.Bytes
	return s
}

// run performs the steps one after the other until the move is over.
func (v *cacheMove) run(y *vtime.Proc, out []cachemove.Effect) {
	for {
		e := out[0]
		if e.Step == cachemove.Ended {
			return
		}
		if e.After > 0 {
			y.Sleep(e.After)
		}
		err := v.perform(y, e)
		out = v.core.Done(v.now(), e.ID, err, out[:0])
	}
}

// perform does one step.
func (v *cacheMove) perform(y *vtime.Proc, e cachemove.Effect) error {
	c, b, r := v.m.c, &v.m.blocks, &v.req
	switch e.Step {
	case cachemove.Clean:
		err := v.clean(y)
		m, ok := b.cache.Moving(r.Volume)
		if err == nil && !ok {
			err = wire.Errorf(wire.KindNotFound, "volume %d was detached", r.Volume)
		}
		v.core.Cleaned(m.Dirty)
		return err
	case cachemove.Freeze:
		return v.freeze(y)
	case cachemove.Attach:
		to := c.node(r.To)
		_, err := tell(y, c, wire.OpVolumeAttach, v.m.no, to, cachePatience, v.attach(r.Epoch), func(q wire.VolumeAttachReq, done func(struct{}, error)) {
			c.nodes[to].(*memory).attach(q, func(err error) { done(struct{}{}, err) })
		})
		return err
	case cachemove.Tell:
		to, err := c.nodeAt(v.moving.Attach.ClientAddr)
		if err != nil {
			return err
		}
		q := wire.SwitchReq{Move: r.Move, Volume: r.Volume, Epoch: r.Epoch, To: r.To, ToAddr: r.ToAddr}
		return order(y, c, wire.OpCacheSwitch, v.m.no, to, cachePatience, q, c.nodes[to].(*compute).cacheSwitch)
	case cachemove.Leave:
		b.cache.Leave(r.Volume, r.Epoch)
	case cachemove.Reattach:
		q := v.attach(r.UndoEpoch)
		q.ClientAddr = ""
		if len(q.Replicas) > 0 {
			return wait(y, "the copies of a volume to be attached again", func(done func(error)) { b.attachCopies(q, 0, done) })
		}
		to := c.node(q.Storage)
		_, err := tell(y, c, wire.OpVolumeAttach, v.m.no, to, cachePatience, q, func(q wire.VolumeAttachReq, done func(struct{}, error)) {
			c.nodes[to].(*storage).attach(q, func(err error) { done(struct{}{}, err) })
		})
		return err
	case cachemove.Thaw:
		if e.Epoch == r.OldEpoch {
			e.Epoch = 0 // as before: the sComponent may know a lower one than GSM, and a newer would be another attachment to it
		}
		b.cache.Thaw(r.Volume, e.Epoch)
	case cachemove.Detach:
		to := c.node(r.To)
		_, err := tell(y, c, wire.OpVolumeDetach, v.m.no, to, cachePatience, wire.VolumeRef{Volume: r.Volume, Epoch: r.Epoch}, func(q wire.VolumeRef, done func(struct{}, error)) {
			c.nodes[to].(*memory).detach(q, func(err error) { done(struct{}{}, err) })
		})
		return err
	case cachemove.Lose:
		b.perform(b.cache.Lose(r.Volume, wire.Errorf(wire.KindFailed, "%s", v.core.Status(v.now()).Text), nil), nil)
	}
	return nil
}

// operate has the buffer cache do something for the move and waits for it.
func (v *cacheMove) operate(y *vtime.Proc, what string, do func(call uint64, out []buffercache.Effect) []buffercache.Effect) error {
	return wait(y, what, func(done func(error)) { v.m.blocks.event(&blockCall{reply: done}, do) })
}

// clean makes durable what is dirty now.
func (v *cacheMove) clean(y *vtime.Proc) error {
	k := v.m.blocks.cache
	if m, ok := k.Moving(v.req.Volume); ok {
		v.dirty += uint64(m.Dirty)
	}
	return v.operate(y, "what is dirty of a volume to be durable", func(call uint64, out []buffercache.Effect) []buffercache.Effect {
		return k.Clean(call, v.req.Volume, out)
	})
}

// freeze refuses the requests of the volume and leaves nothing dirty or under way.
func (v *cacheMove) freeze(y *vtime.Proc) error {
	b, id := &v.m.blocks, v.req.Volume
	m, ok := b.cache.Moving(id)
	if !ok || m.Place.Epoch > v.req.OldEpoch {
		return wire.Errorf(wire.KindStale, "volume %d was detached, or attached under a newer epoch than %d", id, v.req.OldEpoch)
	}
	b.perform(b.cache.Freeze(id, wire.Errorf(wire.KindBusy, "the buffer cache of volume %d is moving to %s: retry", id, v.req.To), nil), nil)
	if err := v.clean(y); err != nil {
		return err
	}
	err := v.operate(y, "nothing of a volume to be under way", func(call uint64, out []buffercache.Effect) []buffercache.Effect { return b.cache.Quiet(call, id, out) })
	if err != nil {
		return err
	}
	m, ok = b.cache.Moving(id)
	if !ok || m.Dirty > 0 {
		return wire.Errorf(wire.KindInternal, "volume %d: %d blocks are dirty after the last flush", id, m.Dirty)
	}
	v.moving = m // the volume may have moved meanwhile, and another client come
	return nil
}

func (v *cacheMove) attach(e wire.Epoch) wire.VolumeAttachReq {
	q := v.moving.Attach
	if g := v.m.blocks.copies[q.Volume]; g != nil { // others may have copies by now
		now := g.core.Request()
		q.Replicas, q.Config, q.Epoch = now.Replicas, now.Config, e
		return q
	}
	q.Epoch, q.Storage, q.StorageAddr = e, v.moving.Place.Storage, v.moving.Place.Addr
	return q
}

// cacheSwitch tells that the buffer cache of a volume is at another mComponent. A volume that nobody uses here needs nothing.
func (n *compute) cacheSwitch(q wire.SwitchReq) error {
	use := func(p *Process) {
		if v := p.volumes[q.Volume]; v != nil && q.Epoch > v.o.Epoch {
			v.o.Cache, v.o.Epoch = q.To, q.Epoch
		}
	}
	for _, p := range n.sorted() {
		use(p)
	}
	if n.moving != nil {
		for _, pid := range sorted(n.moving.here) {
			use(n.moving.here[pid].p)
		}
	}
	return nil
}

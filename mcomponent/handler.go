package mcomponent

import (
	"context"
	"time"

	"splitkernel/mcomponent/buffercache"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
)

// Handler serves the operations of an mComponent.
func (c *Component) Handler() netlayer.Handler { return handler{c} }

type handler struct{ c *Component }

// Inline is true for what waits for no other component. Block reads and writes are handed over when they would.
func (handler) Inline(op wire.Op) bool {
	switch op {
	case wire.OpMiss, wire.OpFlush, wire.OpMissFlush, wire.OpBlockRead, wire.OpBlockWrite, wire.OpRegionMap, wire.OpRegionUnmap, wire.OpOwners, wire.OpRegionCut, wire.OpRegionRollback,
		wire.OpRegionCopyOpen, wire.OpRegionCopy, wire.OpRegionCopyEnd, wire.OpRegionServe, wire.OpRegionDrop, wire.OpHomeCopy, wire.OpHomeServe, wire.OpHomeDrop,
		wire.OpReplicaOpen, wire.OpReplicaWrite, wire.OpReplicaWrites, wire.OpReplicaRead, wire.OpReplicaUnmap, wire.OpReplicaCut, wire.OpReplicaAgain, wire.OpReplicaDrop, wire.OpRegionParts, wire.OpHomeBackup,
		wire.OpVolumeSwitch: // which must get through when block requests wait for it
		return true
	}
	return false
}

// Place gives the frames for pages that come by a move.
func (h handler) Place(req *netlayer.Request, n int) [][]byte {
	switch req.Op {
	case wire.OpRegionCopy:
		return h.c.placeRegionCopy(req, n)
	case wire.OpReplicaWrites:
		return h.c.placeReplicaWrites(req, n)
	}
	return nil
}

// Unplace takes them back.
func (h handler) Unplace(req *netlayer.Request) {
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	h.c.unplace(req.Placed.(*placement), 0)
}

func (h handler) Serve(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	c := h.c
	switch req.Op {
	case wire.OpMiss:
		return c.miss(req, rep)
	case wire.OpFlush:
		return c.flush(req)
	case wire.OpReplicaWrites:
		return c.replicaWrites(req, rep)
	case wire.OpReplicaWrite:
		return c.replicaWrite(req, rep)
	case wire.OpReplicaRead:
		return c.replicaRead(req, rep)
	case wire.OpRegionCopy:
		return c.regionCopy(req)
	case wire.OpBlockRead, wire.OpBlockWrite, wire.OpBlockFlush:
		return c.block(ctx, req, rep)
	}
	return c.control(ctx, req, rep)
}

// block serves a block operation. It holds no worker of ours: the cache copies under its own lock, so what one would bound
// here is the checking and the checksums.
func (c *Component) block(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	k, ok := wire.ParseBlock(req.Body)
	if !ok {
		return badBody(req)
	}
	began := time.Now()
	var in span.Context
	if c.o.Net.Spans != nil {
		in = span.Of(ctx)
	}
	var err error
	if !req.MayHandOver {
		if err = c.blockSlot(k.Volume); err != nil {
			c.counts.blockErrors.Add(1)
			return err
		}
		defer c.freeBlockSlot(k.Volume)
	}
	switch req.Op {
	case wire.OpBlockRead:
		if err = c.blockRead(in, k, rep, req.MayHandOver); err == nil {
			c.counts.blockReadBytes.Add(uint64(k.Length))
		}
	case wire.OpBlockWrite:
		if err = c.blockWrite(in, k, req.Page, req.MayHandOver); err == nil {
			c.counts.blockWriteBytes.Add(uint64(k.Length))
		}
	case wire.OpBlockFlush:
		err = c.blockFlush(in, k)
	}
	if err == netlayer.ErrWouldWait {
		return err
	}
	took := time.Since(began)
	c.metrics.observe(req.Op, took)
	c.latency.Record(int(req.Op-wire.OpBlockRead), took)
	if err != nil {
		c.counts.blockErrors.Add(1)
	}
	return err
}

// control serves the operations with msgpack bodies.
func (c *Component) control(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	switch req.Op {
	case wire.OpMmap:
		return homeCall(c, req, rep, (*vregion.TapedHome).Mmap)
	case wire.OpBrk:
		return homeCall(c, req, rep, (*vregion.TapedHome).Brk)
	case wire.OpMunmap:
		return homeCall(c, req, rep, (*vregion.TapedHome).Munmap)
	case wire.OpOwners:
		return homeCall(c, req, rep, (*vregion.TapedHome).Owners)
	case wire.OpProcessOpen:
		return decoded(req, c.openProcess)
	case wire.OpProcessExit:
		return c.exit(req)
	case wire.OpRegionMap:
		var m wire.RegionMapReq
		if err := wire.Unmarshal(req.Body, &m); err != nil {
			return err
		}
		return c.regionMap(m)
	case wire.OpRegionUnmap:
		var m wire.RegionUnmapReq
		if err := wire.Unmarshal(req.Body, &m); err != nil {
			return err
		}
		freed, err := c.regionUnmap(m, req.Epoch, func() func(uint64, error) { return laterUnmap(req) })
		if err == nil {
			rep.SetControl(wire.MunmapRep{Freed: freed})
		}
		return err
	case wire.OpProcessCut:
		return c.processCut(req)
	case wire.OpProcessRollback:
		return c.processRollback(req, rep)
	case wire.OpRegionCut:
		return decoded(req, func(m wire.RegionCutReq) error { return c.regionCut(m, req.Epoch, laterDone(req)) })
	case wire.OpRegionRollback:
		return decoded(req, func(m wire.RegionRollbackReq) error { return c.regionRollback(m, req.Epoch, laterDone(req)) })
	case wire.OpVolumeAttach:
		var m wire.VolumeAttachReq
		if err := wire.Unmarshal(req.Body, &m); err != nil {
			return err
		}
		return c.attach(m)
	case wire.OpVolumeConfig:
		var m wire.VolumeConfigReq
		if err := wire.Unmarshal(req.Body, &m); err != nil {
			return err
		}
		s, err := c.volumeConfig(m)
		if err == nil {
			rep.SetControl(s)
		}
		return err
	case wire.OpVolumeDetach:
		var m wire.VolumeRef
		if err := wire.Unmarshal(req.Body, &m); err != nil {
			return err
		}
		if err := c.blockSlot(m.Volume); err != nil {
			return err
		}
		defer c.freeBlockSlot(m.Volume)
		return c.volumeOp(func(k *buffercache.Taped, call uint64, out []buffercache.Effect) []buffercache.Effect {
			return k.Detach(call, m, out)
		})
	case wire.OpVolumeSwitch:
		var m wire.SwitchReq
		if err := wire.Unmarshal(req.Body, &m); err != nil {
			return err
		}
		c.cacheMu.Lock()
		defer c.cacheMu.Unlock()
		return c.cache.Switch(m)
	case wire.OpMoveAdopt:
		var m wire.MoveReq
		if err := wire.Unmarshal(req.Body, &m); err != nil {
			return err
		}
		s, err := c.adopt(m)
		rep.SetControl(s)
		return err
	case wire.OpDrop:
		return decoded(req, c.drop)
	case wire.OpMoveStart, wire.OpMoveStatus, wire.OpMoveForget:
		return c.moveOp(ctx, req, rep)
	case wire.OpRegionSwitch:
		return c.regionSwitch(req)
	case wire.OpRegionCopyOpen:
		return decoded(req, c.regionCopyOpen)
	case wire.OpRegionCopyEnd:
		return decoded(req, c.regionCopyEnd)
	case wire.OpRegionServe:
		return decoded(req, c.regionServe)
	case wire.OpRegionDrop:
		return decoded(req, c.regionDrop)
	case wire.OpReplicaOpen:
		return answered(req, rep, func(q wire.ReplicaOpenReq) (wire.ReplicaOpenRep, error) { return c.replicaOpen(q, req.From.Node) })
	case wire.OpReplicaUnmap:
		return decoded(req, c.replicaUnmap)
	case wire.OpReplicaCut:
		return decoded(req, c.replicaCut)
	case wire.OpReplicaAgain:
		return decoded(req, c.replicaAgain)
	case wire.OpReplicaDrop:
		return decoded(req, c.replicaDrop)
	case wire.OpRegionConfig:
		return answered(req, rep, c.regionConfig)
	case wire.OpRegionRecover:
		return answered(req, rep, c.recoverRegion)
	case wire.OpRegionParts:
		return answered(req, rep, c.regionParts)
	case wire.OpHomeBackup:
		return decoded(req, c.homeBackup)
	case wire.OpHomeConfig:
		return answered(req, rep, c.homeConfig)
	case wire.OpHomeRecover:
		return answered(req, rep, c.homeRecover)
	case wire.OpHomeCopy:
		return decoded(req, c.homeCopy)
	case wire.OpHomeServe:
		return decoded(req, c.homeServe)
	case wire.OpHomeDrop:
		return decoded(req, c.homeDrop)
	}
	return wire.Errorf(wire.KindBadRequest, "%s is an mComponent and does not serve %v", c.o.Node, req.Op)
}

// decoded decodes a request that is answered without a body.
func decoded[R any](req *netlayer.Request, serve func(R) error) error {
	var m R
	if err := wire.Unmarshal(req.Body, &m); err != nil {
		return err
	}
	return serve(m)
}

// answered decodes a request and encodes what it is answered with.
func answered[Q, R any](req *netlayer.Request, rep *netlayer.Reply, serve func(Q) (R, error)) error {
	var m Q
	if err := wire.Unmarshal(req.Body, &m); err != nil {
		return err
	}
	r, err := serve(m)
	if err == nil {
		rep.SetControl(r)
	}
	return err
}

// laterUnmap takes the request of an unmap that waits for holders; nil if it cannot be answered later.
func laterUnmap(req *netlayer.Request) func(freed uint64, err error) {
	d := req.Defer()
	if d == nil {
		return nil
	}
	return func(freed uint64, err error) { d.Answer(wire.Marshal(wire.MunmapRep{Freed: freed}), err) }
}

// openProcess makes this the home of a process, or hears that the process is opened anew: answered when the backup of the home knows it too.
func (c *Component) openProcess(q wire.ProcessOpenReq) error {
	if err := c.homeSlot(c.waits, "memory maps wait for GMM or owners"); err != nil {
		return err
	}
	defer func() { <-c.waits }()
	return c.homeOp(func(h *vregion.TapedHome, call uint64, out []vregion.Effect) []vregion.Effect {
		return h.OpenBacked(call, q, out)
	}).Err
}

// homeCall decodes a request of a memory map, gives it to the home and encodes the reply.
func homeCall[R any](c *Component, req *netlayer.Request, rep *netlayer.Reply, event func(*vregion.TapedHome, uint64, R, []vregion.Effect) []vregion.Effect) error {
	var m R
	if err := wire.Unmarshal(req.Body, &m); err != nil {
		return err
	}
	if req.Op != wire.OpOwners { // which is answered at once
		if err := c.homeSlot(c.waits, "memory maps wait for GMM or owners"); err != nil {
			return err
		}
		defer func() { <-c.waits }()
	}
	e := c.homeOp(func(h *vregion.TapedHome, call uint64, out []vregion.Effect) []vregion.Effect {
		return event(h, call, m, out)
	})
	if e.Err != nil {
		c.counts.mapErrors.Add(1)
		return e.Err
	}
	switch req.Op {
	case wire.OpMunmap:
		rep.SetControl(wire.MunmapRep{Freed: e.Freed})
	case wire.OpProcessCut:
	case wire.OpProcessRollback:
		rep.SetControl(wire.ProcessRollbackRep{HeapEnd: e.Rep.Addr, Owners: e.Rep.Owners})
	default:
		rep.SetControl(e.Rep)
	}
	return nil
}

// exit ends a process: at an owner at once, at its home after every owner.
func (c *Component) exit(req *netlayer.Request) error {
	var m wire.ProcessExitReq
	if err := wire.Unmarshal(req.Body, &m); err != nil {
		return err
	}
	if m.Owner {
		c.ownerExit(m.PID)
		return nil
	}
	if err := c.homeSlot(c.exits, "exits of processes wait for owners"); err != nil {
		return err
	}
	defer func() { <-c.exits }()
	return c.homeOp(func(h *vregion.TapedHome, call uint64, out []vregion.Effect) []vregion.Effect {
		return h.Exit(call, m, out)
	}).Err
}

// homeSlot takes a place among those who wait, or refuses as busy: every one of them holds a worker of the server.
func (c *Component) homeSlot(slots chan struct{}, what string) error {
	select {
	case slots <- struct{}{}:
		return nil
	default:
		c.counts.homeRefused.Add(1)
		return wire.Errorf(wire.KindBusy, "%s: %d %s, at most as many: retry", c.o.Node, cap(slots), what)
	}
}

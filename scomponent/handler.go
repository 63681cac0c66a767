package scomponent

import (
	"context"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// Handler serves the operations of an sComponent.
func (c *Component) Handler() netlayer.Handler { return handler{c} }

type handler struct{ c *Component }

// Inline is false: each operation may wait for a disk.
func (handler) Inline(wire.Op) bool { return false }

func (h handler) Serve(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	c := h.c
	switch req.Op {
	case wire.OpBlockRead, wire.OpBlockWrite, wire.OpBlockFlush:
		begin := time.Now()
		err := c.block(req, rep)
		took := time.Since(begin)
		c.metrics.observe(req.Op, took)
		c.latency.Record(int(req.Op-wire.OpBlockRead), took)
		c.counts.op(req, err)
		return err
	case wire.OpReplicaBlockRead, wire.OpReplicaBlockWrite, wire.OpReplicaVersions:
		begin := time.Now()
		err := c.copyOp(req, rep)
		if op, ok := likeBlock[req.Op]; ok {
			took := time.Since(begin)
			c.metrics.observe(op, took)
			c.latency.Record(int(op-wire.OpBlockRead), took)
		}
		c.counts.op(req, err)
		return err
	case wire.OpStorageAttach:
		var m wire.StorageAttachReq
		if err := wire.Unmarshal(req.Body, &m); err != nil {
			return err
		}
		v, err := c.find(m.Volume)
		if err != nil {
			return err
		}
		r, err := v.copyAttach(m)
		if err == nil {
			rep.SetControl(r)
		}
		return err
	case wire.OpVolumeAttach:
		var m wire.VolumeAttachReq
		if err := wire.Unmarshal(req.Body, &m); err != nil {
			return err
		}
		v, err := c.find(m.Volume)
		if err != nil {
			return err
		}
		return v.attach(m)
	case wire.OpVolumeCreate:
		var m wire.VolumeCreateReq
		if err := wire.Unmarshal(req.Body, &m); err != nil {
			return err
		}
		return c.create(m)
	case wire.OpVolumeDelete:
		var m wire.VolumeRef
		if err := wire.Unmarshal(req.Body, &m); err != nil {
			return err
		}
		return c.remove(m)
	case wire.OpDrop:
		return decoded(req, c.drop)
	case wire.OpCorruptBlock:
		var m wire.CorruptReq
		if err := wire.Unmarshal(req.Body, &m); err != nil {
			return err
		}
		r, err := c.corrupt(m)
		if err == nil {
			rep.SetControl(r)
		}
		return err
	}
	if req.Op >= wire.OpVolumeCopyOpen && req.Op <= wire.OpVolumeDrop || req.Op >= wire.OpMoveStart && req.Op <= wire.OpMoveForget {
		return c.moveOp(ctx, req, rep)
	}
	return wire.Errorf(wire.KindBadRequest, "%s is an sComponent and does not serve %v", c.o.Node, req.Op)
}

// likeBlock says as what the operations on copies are measured.
var likeBlock = map[wire.Op]wire.Op{wire.OpReplicaBlockRead: wire.OpBlockRead, wire.OpReplicaBlockWrite: wire.OpBlockWrite}

func (c *Component) block(req *netlayer.Request, rep *netlayer.Reply) error {
	k, ok := wire.ParseBlock(req.Body)
	if !ok {
		return wire.Errorf(wire.KindBadRequest, "%v: a body that is no block, or off its alignment of %d bytes", req.Op, wire.SectorSize)
	}
	v, err := c.find(k.Volume)
	if err != nil {
		return err
	}
	switch req.Op {
	case wire.OpBlockRead:
		return v.read(k, rep)
	case wire.OpBlockWrite:
		return v.write(k, req.Page)
	}
	return v.flush(k)
}

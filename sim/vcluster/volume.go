package vcluster

import (
	"errors"
	"fmt"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/mcomponent/buffercache"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/blockio"
	"splitkernel/sim/vtime"
)

// VolumeOptions say where a volume is.
type VolumeOptions struct {
	ID        wire.VolumeID
	Epoch     wire.Epoch
	Name      string
	SizeBytes uint64
	Storage   wire.NodeID
	Cache     wire.NodeID
	// Of a volume with several copies, as admission.Volume has them.
	Copies   admission.Copies
	Replicas []wire.VolumeReplica
	Config   uint64
}

// VolumeAt is where an admitted volume is, under the name that it has at its sComponents.
func VolumeAt(v admission.Volume, name string) VolumeOptions {
	return VolumeOptions{ID: v.Volume, Epoch: v.Epoch, Name: name, SizeBytes: v.SizeBytes, Storage: v.Storage, Cache: v.Cache, Copies: v.Copies, Replicas: v.Replicas, Config: v.Config}
}

// attach is what a buffer cache is told.
func (o *VolumeOptions) attach(client string) wire.VolumeAttachReq {
	v := admission.Volume{Volume: o.ID, Epoch: o.Epoch, SizeBytes: o.SizeBytes, Storage: o.Storage, StorageAddr: addr(o.Storage), Copies: o.Copies, Replicas: o.Replicas, Config: o.Config}
	return v.Attach(client)
}

// places are the sComponents that have it.
func (o *VolumeOptions) places() []wire.NodeID {
	if len(o.Replicas) == 0 {
		return []wire.NodeID{o.Storage}
	}
	var ids []wire.NodeID
	for _, r := range o.Replicas {
		ids = append(ids, r.Node)
	}
	return ids
}

// known takes over where a volume is by the books.
func (o *VolumeOptions) known(now *gsm.Volume) {
	o.Storage, o.Config, o.Replicas = now.Storage, now.Config, nil
	for _, r := range now.Replicas {
		o.Replicas = append(o.Replicas, wire.VolumeReplica{Node: r.Node, Addr: addr(r.Node), Member: r.Member, State: r.State})
	}
}

// Volume is a volume as a process uses it. One coroutine uses it at a time.
type Volume struct {
	p       *Process
	o       VolumeOptions
	version uint64
}

// CreateVolume makes a volume at its sComponents. node is whoever asks.
func (c *Cluster) CreateVolume(y *vtime.Proc, node wire.NodeID, o VolumeOptions) error {
	made, errs := 0, []error(nil)
	for _, id := range o.places() {
		to := c.node(id)
		q := wire.VolumeCreateReq{Volume: o.ID, Epoch: o.Epoch, Name: o.Name, SizeBytes: o.SizeBytes, Config: o.Config}
		_, err := controlling(y, c, wire.OpVolumeCreate, c.whoAsks(node), to, q, func(q wire.VolumeCreateReq, done func(struct{}, error)) {
			done(struct{}{}, c.nodes[to].(*storage).create(q))
		})
		if err != nil {
			errs = append(errs, err)
		} else {
			made++
		}
	}
	if made >= o.Copies.Enough() { // the managers see to the others
		return nil
	}
	return errors.Join(errs...)
}

// deleteCopies deletes a volume at every sComponent that has a copy by the books. What does not run keeps it, and drops it when it is
// asked what it holds.
func (c *Cluster) deleteCopies(y *vtime.Proc, node wire.NodeID, o VolumeOptions) error {
	var page membership.Page[gsm.Volume]
	if c.replayed == nil {
		if err := c.gm.asked(y, c.whoAsks(node), wire.GSM, uint64(o.ID), &page); err != nil {
			return err
		}
	}
	for i := range page.Items {
		o.known(&page.Items[i])
		o.Epoch = page.Items[i].Epoch
	}
	var errs []error
	for _, id := range o.places() {
		to := c.node(id)
		_, err := controlling(y, c, wire.OpVolumeDelete, c.whoAsks(node), to, wire.VolumeRef{Volume: o.ID, Epoch: o.Epoch}, func(q wire.VolumeRef, done func(struct{}, error)) {
			done(struct{}{}, c.nodes[to].(*storage).remove(q))
		})
		switch wire.KindOf(err) {
		case wire.KindNone, wire.KindNotFound, wire.KindUnavailable, wire.KindTimeout:
		default:
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// DeleteVolume deletes a volume that nobody uses any more. If it is not where it was said to be it has moved, and is deleted where the
// managers know it.
func (c *Cluster) DeleteVolume(y *vtime.Proc, node wire.NodeID, o VolumeOptions) error {
	if o.Copies.Replicated() {
		return c.deleteCopies(y, node, o)
	}
	deadline := c.clock.Now() + c.o.BlockPatience
	for {
		to := c.node(o.Storage)
		_, err := controlling(y, c, wire.OpVolumeDelete, c.whoAsks(node), to, wire.VolumeRef{Volume: o.ID, Epoch: o.Epoch}, func(q wire.VolumeRef, done func(struct{}, error)) {
			done(struct{}{}, c.nodes[to].(*storage).remove(q))
		})
		switch wire.KindOf(err) {
		case wire.KindBusy:
			if c.clock.Now() >= deadline {
				return err
			}
			continue // it moves
		case wire.KindNotOwner, wire.KindNotFound, wire.KindStale: // it or its buffer cache has moved, perhaps just now
			if c.replayed != nil {
				return err
			}
		default:
			return err
		}
		var page membership.Page[gsm.Volume]
		if aerr := c.gm.asked(y, c.whoAsks(node), wire.GSM, uint64(o.ID), &page); aerr != nil {
			return aerr
		}
		if len(page.Items) == 0 {
			return err
		}
		if now := page.Items[0]; now.Storage != o.Storage || now.Epoch != o.Epoch {
			o.Storage, o.Epoch = now.Storage, now.Epoch
			continue
		}
		if c.clock.Now() >= deadline || wire.KindOf(err) == wire.KindNotFound {
			return err
		}
		y.Sleep(askInterval)
	}
}

// wait begins something and waits for its end. what says in a deadlock for what.
func wait(y *vtime.Proc, what string, begin func(done func(error))) (err error) {
	s := vtime.Signal{Name: what}
	ended := false
	begin(func(e error) {
		err, ended = e, true
		s.Wake()
	})
	if !ended {
		y.Wait(&s)
	}
	return err
}

// Attach makes a volume usable.
func (p *Process) Attach(y *vtime.Proc, o VolumeOptions) (*Volume, error) {
	if err := p.dead(); err != nil {
		return nil, err
	}
	v := &Volume{p: p, o: o}
	// Before the mComponent knows of us: it may tell us at once that the buffer cache has moved.
	old := p.volumes[o.ID]
	p.volumes[o.ID] = v
	if !p.o.Local {
		if err := v.attach(y, p.n); err != nil {
			if delete(p.volumes, o.ID); old != nil {
				p.volumes[o.ID] = old
			}
			return nil, err
		}
	}
	return v, nil
}

// attach tells the buffer cache that the process uses the volume at n. If the volume is not where it was said to be it has moved since,
// and is looked for.
func (v *Volume) attach(y *vtime.Proc, n *compute) error {
	c := v.p.c
	deadline := c.clock.Now() + c.o.BlockPatience
	for {
		o := v.o
		to := c.node(o.Cache)
		q := o.attach(addr(n.o.ID))
		q.Process = v.p.o.Epoch
		_, err := controlling(y, c, wire.OpVolumeAttach, n.no, to, q, func(q wire.VolumeAttachReq, done func(struct{}, error)) {
			c.nodes[to].(*memory).attach(q, func(err error) { done(struct{}{}, err) })
		})
		if err != nil {
			err = fmt.Errorf("volume %d: attach at %s: %w", o.ID, o.Cache, err)
		}
		switch wire.KindOf(err) {
		case wire.KindStale, wire.KindNotOwner, wire.KindNotFound:
		default:
			return err
		}
		if v.o.Epoch == o.Epoch && !v.find(y, o.Epoch, o.Config, deadline) {
			return err
		}
	}
}

// detach gives the volume up, where its buffer cache is; if that moves meanwhile, at the new place.
func (v *Volume) detach(y *vtime.Proc) error {
	p := v.p
	if p.o.Local {
		return nil
	}
	var retry blockio.Retry
	for began := p.c.clock.Now(); ; {
		if err := p.dead(); err != nil {
			return err
		}
		at := v.o
		to := p.c.node(at.Cache)
		_, err := controlling(y, p.c, wire.OpVolumeDetach, p.n.no, to, wire.VolumeRef{Volume: at.ID, Epoch: at.Epoch, Process: p.o.Epoch}, func(q wire.VolumeRef, done func(struct{}, error)) {
			p.c.nodes[to].(*memory).detach(q, func(err error) { done(struct{}{}, err) })
		})
		if v.o.Cache != at.Cache || v.o.Epoch != at.Epoch {
			continue
		}
		kind := wire.KindOf(err)
		if kind != wire.KindBusy && kind != wire.KindNotOwner {
			return err
		}
		for paused := false; v.o.Cache == at.Cache && v.o.Epoch == at.Epoch && (!paused || kind == wire.KindNotOwner); paused = true {
			pause, again := retry.Failed(kind, p.c.clock.Now()-began, p.c.o.BlockPatience, false)
			if !again || p.dead() != nil {
				return err
			}
			y.Sleep(pause)
		}
	}
}

// Options is where the volume is.
func (v *Volume) Options() VolumeOptions { return v.o }

// Read reads the stamps of sectors, one each SectorSize bytes of b. offset and len(b) are multiples of the sector size.
func (v *Volume) Read(y *vtime.Proc, offset uint64, b []byte) error {
	return v.transfer(y, wire.OpBlockRead, offset, b)
}

// Write writes the stamps of sectors into the buffer cache; Flush makes them durable.
func (v *Volume) Write(y *vtime.Proc, offset uint64, b []byte) error {
	return v.transfer(y, wire.OpBlockWrite, offset, b)
}

// Flush returns when everything written before is on the storage component's device.
func (v *Volume) Flush(y *vtime.Proc) error {
	began := v.p.c.clock.Now()
	err := wait(y, fmt.Sprintf("the flush of volume %d", v.o.ID), func(done func(error)) {
		v.start(wire.OpBlockFlush, 0, 0, new(sectors), done)
	})
	took := v.p.c.clock.Now() - began
	v.p.lat.block(2, took)
	v.p.blocked += took
	if err != nil {
		return fmt.Errorf("volume %d: flush at %s: %w", v.o.ID, v.o.Cache, err)
	}
	return nil
}

// transfer splits a request at the 4 KiB blocks and keeps up to blockio.Window parts under way.
func (v *Volume) transfer(y *vtime.Proc, op wire.Op, offset uint64, b []byte) error {
	if err := blockio.Check(v.o.SizeBytes, offset, len(b)); err != nil {
		return fmt.Errorf("volume %d: %v of %w", v.o.ID, op, err)
	}
	began := v.p.c.clock.Now()
	room := vtime.Signal{Name: fmt.Sprintf("%v of volume %d", op, v.o.ID)}
	under, errs := 0, []error(nil)
	for at := 0; at < len(b); {
		from := offset + uint64(at)
		n := blockio.Part(from, len(b)-at)
		for under == blockio.Window {
			y.Wait(&room)
		}
		if len(errs) > 0 { // as live: the request has failed
			break
		}
		part, data := b[at:at+n], new(sectors)
		first := int(from % wire.PageSize / wire.SectorSize)
		if op == wire.OpBlockWrite {
			for s := 0; s < n/wire.SectorSize; s++ {
				copy(data[first+s][:], part[s*wire.SectorSize:])
			}
		}
		under++
		v.start(op, from, n, data, func(err error) {
			if under--; err != nil {
				errs = append(errs, err)
			} else if op == wire.OpBlockRead {
				for s := 0; s < n/wire.SectorSize; s++ {
					copy(part[s*wire.SectorSize:], data[first+s][:])
				}
			}
			room.Wake()
		})
		at += n
	}
	for under > 0 {
		y.Wait(&room)
	}
	kind := 0
	if op == wire.OpBlockWrite {
		kind = 1
	}
	took := v.p.c.clock.Now() - began
	v.p.lat.block(kind, took)
	v.p.blocked += took
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("volume %d: %v of %d bytes at %d by %s: %w", v.o.ID, op, len(b), offset, v.o.Cache, err)
	}
	return nil
}

// start sends one part.
func (v *Volume) start(op wire.Op, offset uint64, n int, data *sectors, done func(error)) {
	p := v.p
	k := wire.Block{Volume: v.o.ID, VolumeEpoch: v.o.Epoch, Offset: offset, Length: uint32(n), PID: p.o.PID, Process: p.o.Epoch}
	if op != wire.OpBlockFlush {
		v.version++
		k.Version = v.version
	}
	if p.o.Local { // no buffer cache elsewhere: the device of the sComponent as if it were local
		p.c.local(op, v.o, k, data, done)
		return
	}
	began := p.c.clock.Now()
	var retry blockio.Retry
	var try func()
	try = func() {
		if err := p.dead(); err != nil {
			done(err)
			return
		}
		at := v.o
		k.VolumeEpoch = at.Epoch
		to := p.c.node(at.Cache)
		blockRequest(p.c, op, p.n.no, to, k, data, func(q *blockCall) { p.c.nodes[to].(*memory).block(op, k, q) }, func(err error) {
			if err != nil {
				moved := v.o.Cache != at.Cache || v.o.Epoch != at.Epoch
				if pause, again := retry.Failed(wire.KindOf(err), p.c.clock.Now()-began, p.c.o.BlockPatience, moved); again && p.core.Err() == nil {
					p.c.after(pause, try)
					return
				}
			}
			done(err)
		})
	}
	try()
}

// local serves a block request of a process that has everything at its pComponent: the page cache of its operating system holds
// what was used, so only flushes and first reads wait for a device.
func (c *Cluster) local(op wire.Op, o VolumeOptions, k wire.Block, data *sectors, done func(error)) {
	s := c.nodes[c.node(o.Storage)].(*storage)
	q := &blockCall{data: *data}
	q.reply = func(err error) {
		if op == wire.OpBlockRead && err == nil {
			each(buffercache.MaskOf(k), func(i int) { data[i] = q.data[i] })
		}
		done(err)
	}
	s.block(op, k, q)
}

package vcluster

import (
	"time"

	"splitkernel/mcomponent/buffercache"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/replica"
	"splitkernel/sim/vtime"
)

// copyPatience is how long a copy's answer is waited for. Its group has asked others before.
const copyPatience = time.Second

// copies is the coordinator of the copies of one volume at its buffer cache: the shell of replica.Group.
type copies struct {
	b     *blockCache
	core  *replica.Group
	ops   map[uint64]func(error, *sectors) // who waits for operations, by their numbers
	pages map[uint64]*sectors              // blocks of operations
	timer vtime.Timer                      // for its next look, if anybody waits
	slot  uint32                           // of the cluster's list of what is done later: what timer does
	armed bool
	turn  uint64 // of the look in the background that is due next
}

// attachment is under which number a buffer cache has had a volume under an epoch.
type attachment struct {
	epoch    wire.Epoch
	instance uint64
	last     uint64 // a number above all that were used
}

// many reports whether a storage operation goes to several copies, which are at no one place.
func (o *storageOp) many() bool { return o.e.Place.Storage == "" }

// attachCopies begins an attachment: what was before is over. id is the number of the operation, that of one of the buffer cache or 0.
func (b *blockCache) attachCopies(q wire.VolumeAttachReq, id uint64, done func(error)) {
	c := b.m.c
	b.closeCopies(q.Volume, wire.Errorf(wire.KindStale, "volume %d is attached anew, under epoch %d", q.Volume, q.Epoch))
	at := b.attached[q.Volume]
	if at == nil || at.epoch != q.Epoch {
		c.instances++
		at = &attachment{q.Epoch, c.instances, 0}
		b.attached[q.Volume] = at
	}
	g := &copies{b: b, core: replica.New(replica.DefaultOptions(), q, at.instance, at.last, c.clock.Now()), ops: map[uint64]func(error, *sectors){}, pages: map[uint64]*sectors{}}
	b.copies[q.Volume] = g
	g.ops[id] = func(err error, _ *sectors) { done(err) }
	g.perform(g.core.Attach(c.clock.Now(), id, nil), nil)
}

// closeCopies ends the coordination of a volume, if there is one.
func (b *blockCache) closeCopies(id wire.VolumeID, why error) {
	g := b.copies[id]
	if g == nil {
		return
	}
	delete(b.copies, id)
	if at := b.attached[id]; at != nil && at.epoch == g.core.Request().Epoch {
		at.last = g.core.Last()
	}
	g.perform(g.core.Close(b.m.c.clock.Now(), why, nil), nil)
}

// left ends the coordination of volumes that the buffer cache has given up.
func (b *blockCache) left() {
	if len(b.copies) == 0 {
		return
	}
	for _, id := range sorted(b.copies) {
		if !b.cache.Holds(id) {
			b.closeCopies(id, wire.Errorf(wire.KindNotOwner, "volume %d is not attached here any more", id))
		}
	}
}

// send begins a storage operation.
func (g *copies) send(o *storageOp) {
	now, e := g.b.m.c.clock.Now(), &o.e
	g.ops[e.ID] = func(err error, page *sectors) {
		if page != nil && e.Kind == buffercache.ReadStorage {
			o.data = *page
		}
		o.done(err)
	}
	switch e.Kind {
	case buffercache.MarkStorage:
		g.perform(g.core.Mark(now, e.ID, e.Version, nil), nil)
	case buffercache.FlushStorage:
		g.perform(g.core.Flush(now, e.ID, e.Version, nil), nil)
	case buffercache.ReadStorage:
		g.perform(g.core.Read(now, e.ID, e.Block, nil), nil)
	case buffercache.WriteStorage:
		data := o.data
		g.pages[e.ID] = &data
		g.perform(g.core.Write(now, e.ID, e.Block, uint8(e.Mask), nil), nil)
	}
}

// perform performs effects. brought is the block that an answer brought.
func (g *copies) perform(out []replica.Effect, brought *sectors) {
	var over []func()
	for i := range out {
		e := &out[i]
		switch e.Kind {
		case replica.Take:
			p := g.pages[e.Op]
			if p == nil {
				p = new(sectors)
				g.pages[e.Op] = p
			}
			each(^buffercache.Mask(e.Mask), func(s int) { p[s] = brought[s] })
		case replica.Finish:
			if done := g.ops[e.Op]; done != nil {
				page, err := g.pages[e.Op], e.Err
				delete(g.ops, e.Op)
				over = append(over, func() { done(err, page) })
			}
		case replica.Release:
			delete(g.pages, e.Op)
		default:
			g.ask(*e)
		}
	}
	g.arm()
	for _, done := range over { // what they lead to comes after all this
		done()
	}
}

// ask sends a message to a copy.
func (g *copies) ask(e replica.Effect) {
	m := g.b.m
	c, to, req := m.c, m.c.node(e.To), g.core.Request()
	k := wire.ReplicaBlock{Volume: req.Volume, Epoch: req.Epoch, Block: e.Block, Version: e.Version, Flags: e.Flags, Count: e.Count}
	var a replica.Answer
	var page sectors
	answered := func(err error) {
		if !m.lives() {
			return // another runs there now, or nobody
		}
		a.Err = err
		g.perform(g.core.Answered(c.clock.Now(), e.ID, a, nil), &page)
	}
	at := func() *storage { return c.nodes[to].(*storage) }
	post := func(op wire.Op, bytes int, serve func(reply func(bytes int, err error))) {
		heard := c.heard(op, to, copyPatience, answered)
		c.send(op, m.no, to, int(c.o.Sizes.BlockToStorage)+bytes, func(answer func(int, func())) {
			serve(func(bytes int, err error) {
				if err != nil {
					bytes = len(err.Error())
				}
				answer(int(c.o.Sizes.Ack)+bytes, func() {
					if heard() {
						answered(err)
					}
				})
			})
		}, func(err error) {
			if heard() {
				answered(err)
			}
		})
	}
	switch e.Kind {
	case replica.SendAttach:
		timed(c, wire.OpStorageAttach, m.no, to, copyPatience, e.Attach, func(q wire.StorageAttachReq, done func(wire.StorageAttachRep, error)) { at().copyAttach(q, done) },
			func(rep wire.StorageAttachRep, err error) {
				a.Attach = rep
				answered(err)
			})
	case replica.SendRead:
		post(wire.OpReplicaBlockRead, 0, func(reply func(int, error)) {
			at().copyRead(k, func(copy wire.BlockCopy, data sectors, err error) {
				n := wire.BlockCopyLen
				if a.Copy, page = copy, data; k.Flags&wire.ReplicaNoPage == 0 && copy.State == wire.CopyGood {
					n += wire.PageSize
				}
				reply(n, err)
			})
		})
	case replica.SendWrite:
		data := *g.pages[e.Op]
		post(wire.OpReplicaBlockWrite, wire.PageSize, func(reply func(int, error)) {
			at().copyWrite(k, data, func(err error) { reply(0, err) })
		})
	case replica.SendVersions:
		post(wire.OpReplicaVersions, 0, func(reply func(int, error)) {
			at().copyVersions(k, func(list []wire.BlockCopy, err error) {
				a.Copies = list
				reply(len(list)*wire.BlockCopyLen, err)
			})
		})
	case replica.SendMark, replica.SendFlush:
		op := wire.OpBlockFlush
		if e.Kind == replica.SendMark {
			op = wire.OpBlockWrite
		}
		b := wire.Block{Volume: req.Volume, VolumeEpoch: req.Epoch, Version: e.Number}
		post(op, 0, func(reply func(int, error)) {
			at().block(op, b, &blockCall{reply: func(err error) { reply(0, err) }})
		})
	}
}

// look does what is due, if it is still the one.
func (g *copies) look() {
	if m := g.b.m; m.lives() && g.core.Over() == nil {
		g.perform(g.core.Tick(m.c.clock.Now(), nil), nil)
	}
}

// lives reports whether it is still the one that runs at its node.
func (m *memory) lives() bool { return m.c.nodes[m.no] == any(m) && !m.c.lives[m.no].down }

// arm has it look when something is due: in the background if nobody waits for it.
func (g *copies) arm() {
	c := g.b.m.c
	if g.armed {
		c.clock.Cancel(g.timer)
		c.later.free(g.slot)
		g.armed = false
	}
	g.turn++
	at, ok := g.core.Wake()
	if !ok {
		return
	}
	at = max(at, c.clock.Now()+time.Microsecond)
	if turn := g.turn; len(g.ops) == 0 {
		c.leisurely(at, func() {
			if g.turn == turn {
				g.look()
			}
		})
		return
	}
	g.slot = c.later.take()
	*c.later.at(g.slot) = func() {
		g.armed = false
		g.look()
	}
	g.timer, g.armed = c.clock.Timer(at, c.run, g.slot), true
}

// configure tells the buffer cache of a volume its copies, and asks how far it is with them.
func (m *memory) configure(q wire.VolumeConfigReq, done func(wire.VolumeConfigRep, error)) {
	b := &m.blocks
	if err := q.Volume.CheckReplicas(); err != nil || len(q.Volume.Replicas) == 0 {
		done(wire.VolumeConfigRep{}, firstOf(err, wire.Errorf(wire.KindBadRequest, "volume %d has one copy, and no configuration", q.Volume.Volume)))
		return
	}
	tell := func() bool {
		g := b.copies[q.Volume.Volume]
		if g == nil || g.core.Over() != nil || b.cache.Settling(q.Volume.Volume) {
			return false
		}
		at := q.Volume
		at.Epoch = min(at.Epoch, g.core.Request().Epoch) // after a move that was undone the books may have a newer one
		g.perform(g.core.Configure(m.c.clock.Now(), at, nil), nil)
		done(g.core.Status(), nil)
		return true
	}
	if tell() {
		return
	}
	if !q.Attach {
		done(wire.VolumeConfigRep{}, wire.Errorf(wire.KindNotFound, "volume %d is not attached at %s", q.Volume.Volume, m.o.ID))
		return
	}
	m.attach(q.Volume, func(err error) {
		if err != nil || !tell() {
			done(wire.VolumeConfigRep{}, firstOf(err, wire.Errorf(wire.KindBusy, "volume %d is being attached or detached at %s: retry", q.Volume.Volume, m.o.ID)))
		}
	})
}

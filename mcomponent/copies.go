package mcomponent

import (
	"sync"
	"sync/atomic"
	"time"

	"splitkernel/mcomponent/buffercache"
	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
	quorum "splitkernel/scomponent/replica"
)

// copies are the groups of the volumes with several copies whose buffer cache is here. What goes to which copy, and when an operation is
// done, package replica decides; here are the messages and the bytes.
type copies struct {
	mu       sync.Mutex // before cacheMu and group.mu, of which nobody holds both
	groups   map[wire.VolumeID]*group
	instance uint64       // of this process: no other has it
	first    uint64       // above all numbers that groups used which are closed
	past     quorum.Stats // of those
	lastOp   uint64       // of operations that are none of the cache
}

// ownOps is where the numbers of operations begin that the cache has not asked for; those of the cache stay below.
const ownOps = 1 << 62

// group coordinates the copies of one volume.
type group struct {
	c     *Component
	id    wire.VolumeID
	epoch wire.Epoch

	mu     sync.Mutex
	core   *quorum.Taped
	ops    map[uint64]*copyOp
	out    []quorum.Effect
	armed  time.Duration // when run looks at the clock again; 0: not by itself
	kick   chan struct{} // capacity 1: look earlier
	closed chan struct{} // once the core is over
}

// copyOp is an operation of a group. Its block has several users: the operation and the messages under way that carry it.
type copyOp struct {
	done  chan error // capacity 1; nil of those that the group makes for itself
	block *sharedBlock
	in    span.Context
}

// sharedBlock is a block that messages carry while the next operation may have begun.
type sharedBlock struct {
	users atomic.Int32
	page  arena.Page
	crc   uint32
	known bool // crc is that of page, taken where it came from
}

var sharedBlocks = sync.Pool{New: func() any { return new(sharedBlock) }}

func newShared() *sharedBlock {
	b := sharedBlocks.Get().(*sharedBlock)
	b.known = false
	b.users.Store(1)
	return b
}

func (b *sharedBlock) free() {
	if b.users.Add(-1) == 0 {
		sharedBlocks.Put(b)
	}
}

// copyCall is one message to a copy.
type copyCall struct {
	e     quorum.Effect
	call  netlayer.Call
	body  [wire.BlockLen]byte
	reply [wire.BlockCopyLen]byte
	block *sharedBlock // of a write
	page  arena.Page   // of a read
	in    span.Context // of its operation
}

var copyCalls = sync.Pool{New: func() any { return new(copyCall) }}

func (c *Component) copiesNow() time.Duration { return time.Since(c.t0) }

// newGroup begins the group of a volume under a new attachment, in the place of an older one.
func (c *Component) newGroup(req wire.VolumeAttachReq) (*group, error) {
	if err := req.CheckReplicas(); err != nil {
		return nil, err
	}
	c.copies.mu.Lock()
	defer c.copies.mu.Unlock()
	if old := c.copies.groups[req.Volume]; old != nil {
		if old.epoch > req.Epoch {
			return nil, wire.Errorf(wire.KindStale, "volume %d: epoch %d, its copies are attached under epoch %d", req.Volume, req.Epoch, old.epoch)
		}
		c.closeGroup(old, wire.Errorf(wire.KindStale, "volume %d is attached anew under epoch %d", req.Volume, req.Epoch))
	}
	g := &group{c: c, id: req.Volume, epoch: req.Epoch, ops: map[uint64]*copyOp{}, kick: make(chan struct{}, 1), closed: make(chan struct{}),
		core: c.replicaCore(req, c.copies.instance, c.copies.first)}
	c.copies.groups[req.Volume] = g
	c.wg.Go(g.run)
	return g, nil
}

// closeGroup ends a group. copies.mu is held.
func (c *Component) closeGroup(g *group, why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.perform(g.core.Close(c.copiesNow(), why, g.out[:0]), nil)
	c.copies.first = max(c.copies.first, g.core.Last())
	addStats(&c.copies.past, g.core.Stats())
	g.core.End()
	delete(c.copies.groups, g.id)
}

// pruneGroups ends the groups of volumes that are not here any more.
func (c *Component) pruneGroups() {
	c.copies.mu.Lock()
	defer c.copies.mu.Unlock()
	for id, g := range c.copies.groups { // each by itself: the order does not matter
		c.cacheMu.Lock()
		has := c.cache.Has(id)
		c.cacheMu.Unlock()
		if !has {
			c.closeGroup(g, wire.Errorf(wire.KindNotOwner, "volume %d was detached", id))
		}
	}
}

func (c *Component) groupOf(id wire.VolumeID) *group {
	c.copies.mu.Lock()
	defer c.copies.mu.Unlock()
	return c.copies.groups[id]
}

// run has the core look at the clock when it wants to.
func (g *group) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		g.mu.Lock()
		if g.core.Over() != nil {
			g.mu.Unlock()
			return
		}
		now := g.c.copiesNow()
		at, ok := g.core.Wake()
		if ok && at <= now {
			g.perform(g.core.Tick(now, g.out[:0]), nil)
			at, ok = g.core.Wake()
		}
		g.armed = 0
		if ok {
			g.armed = max(at, now+minTick)
			timer.Reset(g.armed - now)
		}
		g.mu.Unlock()
		select {
		case <-timer.C:
		case <-g.kick:
		case <-g.closed:
		}
	}
}

// minTick is the shortest pause between two looks at the clock.
const minTick = time.Millisecond

// perform performs effects. mu is held. came is the message whose answer the core was just told, for its Take.
func (g *group) perform(out []quorum.Effect, came *copyCall) {
	for i := range out {
		e := &out[i]
		switch e.Kind {
		case quorum.Take:
			g.op(e.Op).take(e.Mask, came)
		case quorum.Finish:
			g.ops[e.Op].done <- e.Err
		case quorum.Release:
			if o := g.ops[e.Op]; o != nil {
				o.block.free()
				delete(g.ops, e.Op)
			}
		default:
			s := copyCalls.Get().(*copyCall)
			g.prepare(s, e)
			g.c.wg.Go(func() { g.send(s) })
		}
	}
	g.out = out[:0]
	if g.core.Over() != nil {
		select {
		case <-g.closed:
		default:
			close(g.closed)
		}
		return
	}
	if at, ok := g.core.Wake(); ok && (g.armed == 0 || at < g.armed-minTick) {
		select {
		case g.kick <- struct{}{}:
		default:
		}
	}
}

// op gives an operation; those that the group makes for itself begin here.
func (g *group) op(id uint64) *copyOp {
	o := g.ops[id]
	if o == nil {
		o = &copyOp{block: newShared()}
		g.ops[id] = o
	}
	return o
}

// take puts what a copy sent into the block, but for the sectors in mask.
func (o *copyOp) take(mask uint8, came *copyCall) {
	b := o.block
	for s := range wire.SectorsPerPage {
		if mask&(1<<s) == 0 {
			copy(b.page[s*wire.SectorSize:(s+1)*wire.SectorSize], came.page[s*wire.SectorSize:])
		}
	}
	b.crc, b.known = came.call.PageCRC, mask == 0
}

// prepare fills in a message.
func (g *group) prepare(s *copyCall, e *quorum.Effect) {
	s.e = *e
	s.call.Page, s.call.Into, s.call.HavePageCRC, s.call.Reply = nil, nil, false, s.reply[:0]
	s.call.Timeout = time.Duration(g.c.o.StorageTimeoutMS) * time.Millisecond
	s.in = span.Context{}
	if o := g.ops[e.Op]; o != nil {
		s.in = o.in
	}
	k := wire.ReplicaBlock{Volume: g.id, Epoch: g.epoch, Block: e.Block, Version: e.Version, Flags: e.Flags, Count: e.Count}
	switch e.Kind {
	case quorum.SendAttach:
		s.call.Op, s.call.Body = wire.OpStorageAttach, wire.Marshal(e.Attach)
		return
	case quorum.SendMark, quorum.SendFlush:
		s.call.Op = wire.OpBlockFlush
		if e.Kind == quorum.SendMark {
			s.call.Op = wire.OpBlockWrite // of length 0: docs/storage.md
		}
		s.call.Body = wire.Block{Volume: g.id, VolumeEpoch: g.epoch, Version: e.Number}.Append(s.body[:0])
		return
	case quorum.SendRead:
		s.call.Op, s.call.Into = wire.OpReplicaBlockRead, s.page[:]
	case quorum.SendVersions:
		s.call.Op, s.call.Reply = wire.OpReplicaVersions, make([]byte, 0, e.Count*wire.BlockCopyLen)
	case quorum.SendWrite:
		b := g.op(e.Op).block
		if !b.known {
			b.crc, b.known = wire.Checksum(b.page[:]), true
		}
		b.users.Add(1)
		s.block, s.call.Op, s.call.Page, s.call.PageCRC, s.call.HavePageCRC = b, wire.OpReplicaBlockWrite, b.page[:], b.crc, true
	}
	s.call.Body = k.Append(s.body[:0])
}

// send sends a message and gives the answer to the core.
func (g *group) send(s *copyCall) {
	var a quorum.Answer
	p, err := g.c.peer(s.e.Addr)
	if err == nil {
		err = p.DoIn(s.in, &s.call)
	}
	if a.Err = err; err == nil {
		a.Err = s.parse(&a)
	}
	if a.Err != nil && g.c.ctx.Err() == nil {
		g.c.log.Debug("a copy of a volume did not do what was asked", "volume", g.id, "storage", s.e.To, "operation", s.e.Kind, "block", s.e.Block, "cause", a.Err)
	}
	g.mu.Lock()
	g.perform(g.core.Answered(g.c.copiesNow(), s.e.ID, a, g.out[:0]), s)
	g.mu.Unlock()
	if s.block != nil {
		s.block.free()
		s.block = nil
	}
	s.call.Body, s.call.Page = nil, nil
	copyCalls.Put(s)
}

// parse reads an answer.
func (s *copyCall) parse(a *quorum.Answer) error {
	bad := func() error {
		return wire.Errorf(wire.KindInternal, "%s answered %v of block %d with %d bytes and a payload of %d", s.e.To, s.e.Kind, s.e.Block, len(s.call.Reply), s.call.N)
	}
	switch s.e.Kind {
	case quorum.SendAttach:
		return wire.Unmarshal(s.call.Reply, &a.Attach)
	case quorum.SendRead:
		c, ok := wire.ParseBlockCopy(s.call.Reply)
		whole := c.State == wire.CopyGood && s.e.Flags&wire.ReplicaNoPage == 0
		if !ok || len(s.call.Reply) != wire.BlockCopyLen || whole != (s.call.N == wire.PageSize) || whole && s.call.PageCRC != c.Sum {
			return bad()
		}
		a.Copy = c
	case quorum.SendVersions:
		b := s.call.Reply
		if len(b) != int(s.e.Count)*wire.BlockCopyLen {
			return bad()
		}
		a.Copies = make([]wire.BlockCopy, s.e.Count)
		for i := range a.Copies {
			var ok bool
			if a.Copies[i], ok = wire.ParseBlockCopy(b[i*wire.BlockCopyLen:]); !ok {
				return bad()
			}
		}
	}
	return nil
}

// copiesStorage performs a storage operation of the cache on the copies of its volume, and returns when it has ended.
func (c *Component) copiesStorage(s *storageCall) error {
	e := &s.op
	var g *group
	if e.Kind == buffercache.AttachStorage {
		req := e.Attach
		req.Epoch = e.Place.Epoch
		var err error
		if g, err = c.newGroup(req); err != nil {
			return err
		}
	} else if g = c.groupOf(e.Volume); g == nil || g.epoch != e.Place.Epoch {
		return wire.Errorf(wire.KindStale, "volume %d: its copies are not attached under epoch %d", e.Volume, e.Place.Epoch)
	}
	o := &copyOp{done: make(chan error, 1), block: newShared(), in: s.in}
	if e.Kind == buffercache.WriteStorage {
		o.block.page = s.page
		o.block.crc, o.block.known = s.call.PageCRC, s.call.HavePageCRC
	}
	o.block.users.Add(1)
	defer o.block.free()
	g.mu.Lock()
	g.ops[e.ID] = o
	g.begin(e)
	g.mu.Unlock()
	err := <-o.done
	switch {
	case e.Kind == buffercache.ReadStorage && err == nil:
		s.page, s.call.N = o.block.page, wire.PageSize // nobody changes the block of a read that has ended
	case e.Kind == buffercache.AttachStorage && err != nil:
		c.copies.mu.Lock()
		if c.copies.groups[g.id] == g {
			c.closeGroup(g, err)
		}
		c.copies.mu.Unlock()
	}
	return err
}

// begin gives an operation of the cache to the core. mu is held.
func (g *group) begin(e *buffercache.Effect) {
	now, k, out := g.c.copiesNow(), g.core, g.out[:0]
	switch e.Kind {
	case buffercache.AttachStorage:
		out = k.Attach(now, e.ID, out)
	case buffercache.MarkStorage:
		out = k.Mark(now, e.ID, e.Version, out)
	case buffercache.FlushStorage:
		out = k.Flush(now, e.ID, e.Version, out)
	case buffercache.ReadStorage:
		out = k.Read(now, e.ID, e.Block, out)
	case buffercache.WriteStorage:
		out = k.Write(now, e.ID, e.Block, uint8(e.Mask), out)
	}
	g.perform(out, nil)
}

// reattach attaches the copies of a volume under a new epoch: the move of its buffer cache was undone.
func (c *Component) reattach(req wire.VolumeAttachReq) error {
	c.copies.mu.Lock()
	c.copies.lastOp++
	id := ownOps + c.copies.lastOp
	c.copies.mu.Unlock()
	s := storageCall{op: buffercache.Effect{Kind: buffercache.AttachStorage, ID: id, Volume: req.Volume, Place: buffercache.Place{Epoch: req.Epoch}, Attach: req}}
	return c.copiesStorage(&s)
}

// volumeConfig tells the buffer cache of a volume which copies it has, and how far it is with them.
func (c *Component) volumeConfig(m wire.VolumeConfigReq) (rep wire.VolumeConfigRep, err error) {
	req := m.Volume
	if err := req.CheckReplicas(); err != nil {
		return rep, err
	}
	if len(req.Replicas) == 0 {
		return rep, wire.Errorf(wire.KindBadRequest, "volume %d: a configuration without replicas", req.Volume)
	}
	if m.Attach {
		if err := c.attach(req); err != nil {
			return rep, err
		}
	}
	g := c.groupOf(req.Volume)
	c.cacheMu.Lock()
	moving, ok := c.cache.Moving(req.Volume)
	c.cacheMu.Unlock()
	switch {
	case g == nil || !ok:
		return rep, wire.Errorf(wire.KindNotFound, "volume %d is not attached at %s", req.Volume, c.o.Node)
	case req.Epoch < moving.Place.Epoch && req.Epoch < moving.Attach.Epoch:
		return rep, wire.Errorf(wire.KindStale, "volume %d: a configuration of epoch %d, it is attached under %d", req.Volume, req.Epoch, moving.Place.Epoch)
	case req.Epoch > g.epoch:
		return rep, wire.Errorf(wire.KindNotFound, "volume %d is attached at %s under epoch %d, not %d", req.Volume, c.o.Node, g.epoch, req.Epoch)
	}
	c.configureCopies(g, req)
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.core.Status(), nil
}

// configureCopies gives a newer configuration to the cache and to the group.
func (c *Component) configureCopies(g *group, req wire.VolumeAttachReq) {
	c.cacheMu.Lock()
	c.cache.Configure(req)
	c.cacheMu.Unlock()
	req.Epoch = g.epoch // as GSM knows it, or as it is after a move that was undone
	g.mu.Lock()
	defer g.mu.Unlock()
	g.perform(g.core.Configure(c.copiesNow(), req, g.out[:0]), nil)
}

// attach makes this the buffer cache of a volume.
func (c *Component) attach(m wire.VolumeAttachReq) error {
	if err := m.CheckReplicas(); err != nil {
		return err
	}
	if err := c.blockSlot(m.Volume); err != nil {
		return err
	}
	defer c.freeBlockSlot(m.Volume)
	err := c.volumeOp(func(k *buffercache.Taped, call uint64, out []buffercache.Effect) []buffercache.Effect {
		return k.Attach(call, m, out)
	})
	if g := c.groupOf(m.Volume); err == nil && g != nil && len(m.Replicas) > 0 && m.Epoch == g.epoch {
		c.configureCopies(g, m) // it was attached already, and this may be newer
	}
	return err
}

func addStats(to *quorum.Stats, s quorum.Stats) {
	to.Reads += s.Reads
	to.Writes += s.Writes
	to.Flushes += s.Flushes
	to.WriteBacks += s.WriteBacks
	to.Repaired += s.Repaired
	to.Corrupt += s.Corrupt
	to.Scrubbed += s.Scrubbed
	to.Scrubs += s.Scrubs
	to.Waits += s.Waits
	to.Missed += s.Missed
	to.CaughtUp += s.CaughtUp
	to.Unrepaired += s.Unrepaired
}

// copyStats gives what groups did since the start, those that are closed too; behind is how many copies cannot be reached, or catch up.
func (c *Component) copyStats() (s quorum.Stats, volumes, behind int) {
	c.copies.mu.Lock()
	defer c.copies.mu.Unlock()
	s = c.copies.past
	for _, g := range c.copies.groups { // sums only: no order
		g.mu.Lock()
		addStats(&s, g.core.Stats())
		behind += len(g.core.Status().Behind)
		g.mu.Unlock()
	}
	return s, len(c.copies.groups), behind
}

package scomponent

import (
	"errors"
	"slices"
	"sync"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/migrate"
	"splitkernel/scomponent/volume"
)

// taking is the shell of a taker: a volume that comes. Lock order: Component.catMu, gate, mu.
type taking struct {
	c    *Component
	v    *vol
	open wire.VolumeCopyOpenReq

	gate sync.RWMutex // shared by blocks of a round; alone to begin a round, to end one, to serve and to drop
	mu   sync.Mutex
	core *migrate.TapedTaker
	done bool      // served or dropped; under gate
	last time.Time // when something came; under mu
	quit chan struct{}
}

// comes is what requests for an incoming volume are answered.
func (v *vol) comes(from wire.NodeID) error {
	return wire.Errorf(wire.KindBusy, "volume %d is moving to %s from %s: retry", v.id, v.node, from)
}

// takeOpen makes room and files for a volume that comes. A restart removes them while the volume is not complete, because
// its checksum file has not got its name.
func (c *Component) takeOpen(req wire.VolumeCopyOpenReq) error {
	if err := volume.CheckSize(req); err != nil {
		return err
	}
	if c.leaving(req.Volume) {
		return wire.Errorf(wire.KindBusy, "volume %d is leaving %s by an earlier move", req.Volume, c.o.Node)
	}
	c.catMu.Lock()
	defer c.catMu.Unlock()
	if t := c.incoming[req.Volume]; t != nil {
		if t.open == req {
			return nil
		}
		return wire.Errorf(wire.KindBusy, "volume %d comes to %s already, with move %d of %v", req.Volume, c.o.Node, t.open.Move.No, t.open.Move.Manager)
	}
	if c.vols[req.Volume] != nil {
		return wire.Errorf(wire.KindExists, "volume %d is at %s already", req.Volume, c.o.Node)
	}
	if err := c.room(req.SizeBytes); err != nil {
		return err
	}
	v := c.newVol(req.Volume)
	v.closed = v.comes(req.Giver)
	meta := volume.Meta{ID: req.Volume, Name: req.Name, SizeBytes: req.SizeBytes}
	v.core = c.volumeCore(volume.New(meta, c.boot))
	// Left-overs of an earlier stay go first, the note of its leaving last: it says that they are to go.
	err := c.removeFiles(volume.SumsName(v.id), volume.ImageName(v.id), volume.OutName(v.id))
	if err == nil {
		err = c.files(v, meta)
	}
	if err != nil {
		err = v.ioError("it cannot be taken", err)
		v.close()
		v.endTapes()
		c.store.Remove(volume.NewName(v.id)) // what stays is removed at the next start
		c.store.Remove(volume.ImageName(v.id))
		return err
	}
	c.add(v, req.SizeBytes)
	c.expect(&taking{c: c, v: v, open: req, core: c.takerCore(migrate.Take(req))})
	c.log.Info("a volume comes", "volume", v.id, "name", req.Name, "size_bytes", req.SizeBytes, "from", req.Giver, "epoch", req.Epoch)
	return nil
}

// expect takes a volume that comes into the books and watches over it. catMu is held.
func (c *Component) expect(t *taking) {
	t.last, t.quit = time.Now(), make(chan struct{})
	c.mu.Lock()
	c.incoming[t.v.id] = t
	c.mu.Unlock()
	c.wg.Go(t.watch)
}

// watch gives an incomplete volume up when nothing comes for IncomingTimeout, and asks the giver of a complete one, which
// must be kept, what became of the move.
func (t *taking) watch() {
	tick := time.NewTicker(t.c.o.IncomingTimeout / 4)
	defer tick.Stop()
	for {
		select {
		case <-t.quit:
			return
		case <-t.c.ctx.Done():
			return
		case <-tick.C:
		}
		t.mu.Lock()
		idle, complete := time.Since(t.last), t.core.Complete()
		t.mu.Unlock()
		switch {
		case idle < t.c.o.IncomingTimeout:
		case !complete:
			t.c.log.Warn("a volume that comes is given up: nothing came for too long", "volume", t.v.id, "from", t.open.Giver, "idle", idle)
			t.c.takeDrop(t.core.Ref(), false)
		case t.undone():
			t.c.log.Info("a volume that came is dropped: its giver serves it", "volume", t.v.id, "from", t.open.Giver)
			t.c.takeDrop(t.core.Ref(), true)
		}
	}
}

// undone asks the giver, and reports whether it serves the volume itself. One that does not know the move was restarted before it
// noted anything, so it never told us to serve; but it may also have lost its disk, and then what is here is all there is.
// So it is asked whether it has the volume: volume_serve of one that is served, whatever its epoch, succeeds.
func (t *taking) undone() bool {
	call := netlayer.Call{Op: wire.OpMoveStatus, Body: wire.Marshal(wire.MoveRef{Move: t.open.Move}), Timeout: moveCallTimeout}
	err := t.c.send(t.open.GiverAddr, &call)
	if wire.KindOf(err) == wire.KindNotFound {
		ask := wire.VolumeMoveRef{Move: t.open.Move, Volume: t.v.id}
		return t.c.send(t.open.GiverAddr, &netlayer.Call{Op: wire.OpVolumeServe, Body: wire.Marshal(ask), Timeout: moveCallTimeout}) == nil
	}
	var s wire.MoveStatusRep
	return err == nil && wire.Unmarshal(call.Reply, &s) == nil && s.State == wire.MoveUndone
}

// finds gives the incoming volume of a message.
func (c *Component) finds(id wire.VolumeID, move wire.MoveID) (*taking, error) {
	c.mu.RLock()
	t := c.incoming[id]
	c.mu.RUnlock()
	if t == nil {
		return nil, wire.Errorf(wire.KindNotFound, "volume %d does not come to %s with move %d of %v", id, c.o.Node, move.No, move.Manager)
	}
	t.mu.Lock()
	t.last = time.Now()
	t.mu.Unlock()
	return t, nil
}

// enter takes the gate for blocks of a round. The first of a round waits alone for those of older ones to end.
func (t *taking) enter(move wire.MoveID, round uint32) error {
	for {
		t.gate.RLock()
		t.mu.Lock()
		newer := t.core.Newer(round)
		var err error
		switch {
		case t.done:
			err = wire.Errorf(wire.KindNotFound, "volume %d does not come to %s any more", t.v.id, t.c.o.Node)
		case !newer:
			err = t.core.Copy(move, round)
		}
		t.mu.Unlock()
		if err == nil && !newer {
			return nil
		}
		t.gate.RUnlock()
		if err != nil {
			return err
		}
		t.gate.Lock()
		t.mu.Lock()
		err = t.core.Copy(move, round)
		t.mu.Unlock()
		t.gate.Unlock()
		if err != nil {
			return err
		}
	}
}

// takeBlocks checks and stores the blocks of a volume_copy.
func (c *Component) takeBlocks(body []byte) error {
	m, ok := wire.ParseVolumeCopy(body)
	if !ok {
		return wire.Errorf(wire.KindBadRequest, "%v: a body of %d bytes that holds no blocks", wire.OpVolumeCopy, len(body))
	}
	t, err := c.finds(m.Volume, m.Move)
	if err != nil {
		return err
	}
	if err := t.enter(m.Move, m.Round); err != nil {
		return err
	}
	defer t.gate.RUnlock()
	if err := t.v.scatter(&m); err != nil {
		return err
	}
	c.counts.movedInBytes.Add(uint64(m.Count) * wire.PageSize)
	return nil
}

// takeEnd makes a round durable. After the last the volume is complete: its note is durable, then its checksum file gets
// its name, so a restart finds both or removes both.
func (c *Component) takeEnd(end wire.VolumeCopyEndReq) error {
	t, err := c.finds(end.Volume, end.Move)
	if err != nil {
		return err
	}
	t.gate.Lock()
	defer t.gate.Unlock()
	if t.done {
		return wire.Errorf(wire.KindNotFound, "volume %d does not come to %s any more", t.v.id, c.o.Node)
	}
	t.mu.Lock()
	again, err := t.core.End(end.Move, end.Round, end.Last)
	t.mu.Unlock()
	if err != nil || again {
		return err
	}
	v := t.v
	if !end.Last {
		if err := v.sync(); err != nil {
			return v.ioError("fdatasync of what came", err)
		}
		return nil
	}
	v.st.Lock()
	v.core.End()
	v.core = c.volumeCore(volume.Arrive(t.open, end, c.boot))
	head, off := v.core.Header()
	v.st.Unlock()
	_, err = v.sums.WriteAt(head, off)
	if err == nil {
		err = firstError(
			v.sync,
			func() error {
				return c.putNote(v.id, volume.InName(v.id), migrate.In{Ref: t.core.Ref(), Giver: t.open.Giver, GiverAddr: t.open.GiverAddr})
			},
			func() error { return c.store.Rename(volume.NewName(v.id), volume.SumsName(v.id)) },
			c.store.Sync,
		)
	}
	if err != nil {
		return v.ioError("it cannot be completed", err)
	}
	t.mu.Lock()
	t.core.Ended()
	t.last = time.Now()
	t.mu.Unlock()
	return nil
}

// takeServe begins to serve a volume that came. An error that is none of the core's comes from the disk, and says nothing about
// what the next start will find.
func (c *Component) takeServe(ref wire.VolumeMoveRef) error {
	c.catMu.Lock()
	defer c.catMu.Unlock()
	t, v := c.incoming[ref.Volume], c.vols[ref.Volume]
	if t == nil {
		if v != nil && v.broken == nil && v.meta().Epoch >= ref.Epoch { // a duplicate, or the question of taking.undone
			return nil
		}
		return wire.Errorf(wire.KindNotFound, "volume %d did not come to %s with move %d of %v", ref.Volume, c.o.Node, ref.Move.No, ref.Move.Manager)
	}
	t.gate.Lock()
	defer t.gate.Unlock()
	t.mu.Lock()
	err := t.core.Serve(ref)
	t.mu.Unlock()
	if err != nil {
		return err
	}
	v.gate.Lock()
	defer v.gate.Unlock()
	v.st.Lock()
	err = v.persist(v.core.Arrived(), nil)
	v.st.Unlock()
	if err == nil {
		err = c.removeFiles(volume.InName(v.id))
	}
	if err != nil {
		return wire.Errorf(wire.KindUnknownState, "volume %d came to %s and cannot be served yet: %v", v.id, c.o.Node, err)
	}
	v.closed = nil
	c.left(t)
	c.counts.movesTaken.Add(1)
	c.log.Info("a volume that came is served", "volume", v.id, "from", t.open.Giver, "epoch", ref.Epoch)
	return nil
}

// left takes a volume that came out of the incoming ones. catMu and t.gate are held.
func (c *Component) left(t *taking) {
	t.done = true
	t.mu.Lock()
	t.core.Log.End() // of the log, not of a round
	t.mu.Unlock()
	close(t.quit)
	c.mu.Lock()
	delete(c.incoming, t.v.id)
	c.mu.Unlock()
}

// takeDrop forgets a volume that comes. One that is complete goes only by a word of its giver.
func (c *Component) takeDrop(ref wire.VolumeMoveRef, complete bool) error {
	c.catMu.Lock()
	defer c.catMu.Unlock()
	t := c.incoming[ref.Volume]
	if t == nil {
		return nil
	}
	t.gate.Lock()
	defer t.gate.Unlock()
	t.mu.Lock()
	err := t.core.Check(ref.Move)
	keep := t.core.Complete() && !complete
	t.mu.Unlock()
	if err != nil || keep {
		return err
	}
	c.forgetVol(t.v)
	// The checksum file first: without it the next start removes the others.
	err = c.removeFiles(volume.SumsName(t.v.id), volume.InName(t.v.id), volume.NewName(t.v.id), volume.ImageName(t.v.id))
	c.left(t) // counted as one that comes until nothing is left of it
	if err != nil {
		return t.v.ioError("drop of what came", err)
	}
	return nil
}

// kept finds the note of a volume that was complete before a restart.
func (c *Component) kept(v *vol) error {
	var in migrate.In
	if err := c.readNote(volume.InName(v.id), &in); err != nil {
		return err
	}
	meta := v.core.Meta()
	v.closed = v.comes(in.Giver)
	c.expect(&taking{c: c, v: v, core: c.takerCore(migrate.Kept(in.Ref)), open: wire.VolumeCopyOpenReq{Move: in.Ref.Move, Volume: v.id, Name: meta.Name,
		SizeBytes: meta.SizeBytes, Epoch: in.Ref.Epoch, Giver: in.Giver, GiverAddr: in.GiverAddr}})
	return nil
}

// runs calls f for each run of consecutive blocks of m, i to j.
func runs(m *wire.VolumeCopy, f func(i, j int) error) error {
	for i := 0; i < m.Count; {
		j := i + 1
		for j < m.Count && m.Block(j) == m.Block(j-1)+1 {
			j++
		}
		if err := f(i, j); err != nil {
			return err
		}
		i = j
	}
	return nil
}

// entryPool holds room for the entries of the blocks of one message.
var entryPool = sync.Pool{New: func() any {
	return new([wire.MaxCopyBlocks * volume.EntryLen]byte)
}}

// gather reads blocks and their checksums into m, so that both belong together whatever is written meanwhile.
func (v *vol) gather(blocks []uint64, m *wire.VolumeCopy) error {
	for i, b := range blocks {
		m.SetBlock(i, b)
	}
	room := entryPool.Get().(*[wire.MaxCopyBlocks * volume.EntryLen]byte)
	defer entryPool.Put(room)
	v.gate.RLock()
	defer v.gate.RUnlock()
	if v.gone {
		return wire.Errorf(wire.KindNotFound, "volume %d is not at %s", v.id, v.node)
	}
	return runs(m, func(i, j int) error {
		entries := room[:(j-i)*volume.EntryLen]
		off := blocks[i] * wire.PageSize
		held := v.hold(blocks[i:j])
		_, err := v.img.ReadAt(m.Bytes(i, j), int64(off))
		if err == nil {
			_, err = v.sums.ReadAt(entries, volume.EntryOffset(off/wire.PageSize))
		}
		v.release(held)
		if err != nil {
			return v.ioError("read of blocks that move", err)
		}
		for b := i; b < j; b++ {
			e, ok := volume.ParseEntry(entries[(b-i)*volume.EntryLen:])
			if !ok {
				return v.badEntry(blocks[b])
			}
			for s, sum := range e.Sums {
				m.SetSum(b, s, sum)
			}
		}
		return nil
	})
}

// hold takes the locks of blocks for reading, in the order of the locks: writers hold one each and take no other.
func (v *vol) hold(blocks []uint64) []int {
	locks := make([]int, 0, stripes)
	for _, b := range blocks[:min(len(blocks), stripes)] { // consecutive: the rest shares the same locks
		locks = append(locks, int(b%stripes))
	}
	slices.Sort(locks)
	for _, l := range locks {
		v.blocks[l].RLock()
	}
	return locks
}

func (v *vol) release(locks []int) {
	for _, l := range locks {
		v.blocks[l].RUnlock()
	}
}

// scatter checks the blocks of m against the checksums that came with them and stores both.
func (v *vol) scatter(m *wire.VolumeCopy) error {
	size := v.meta().SizeBytes / wire.PageSize
	var sums [wire.SectorsPerPage]uint32
	for i := range m.Count {
		if m.Block(i) >= size {
			return wire.Errorf(wire.KindBadRequest, "volume %d: block %d came, it has %d", v.id, m.Block(i), size)
		}
		wire.SectorChecksums(sums[:], m.Bytes(i, i+1))
		for s, sum := range sums {
			if want := m.Sum(i, s); sum != want {
				return wire.Errorf(wire.KindCorrupt, "volume %d: the sector at offset %d came to %s with checksum %#08x, its own is %#08x: its bytes changed on the disk that it comes from",
					v.id, m.Block(i)*wire.PageSize+uint64(s)*wire.SectorSize, v.node, sum, want)
			}
		}
	}
	room := entryPool.Get().(*[wire.MaxCopyBlocks * volume.EntryLen]byte)
	defer entryPool.Put(room)
	// What came is newer than all that was there, should the volume ever get more copies: no write under this epoch was before.
	e := volume.Entry{Version: wire.BlockVersion{Epoch: v.meta().Epoch}}
	return runs(m, func(i, j int) error {
		for b := i; b < j; b++ {
			for s := range e.Sums {
				e.Sums[s] = m.Sum(b, s)
			}
			e.Put(room[(b-i)*volume.EntryLen:])
		}
		off := m.Block(i) * wire.PageSize
		_, err := v.img.WriteAt(m.Bytes(i, j), int64(off))
		if err == nil {
			_, err = v.sums.WriteAt(room[:(j-i)*volume.EntryLen], volume.EntryOffset(off/wire.PageSize))
		}
		if err != nil {
			return v.ioError("write of blocks that came", err)
		}
		return nil
	})
}

// meta gives the durable facts.
func (v *vol) meta() volume.Meta {
	v.st.Lock()
	defer v.st.Unlock()
	return v.core.Meta()
}

var errNote = errors.New("the note of its move cannot be read")

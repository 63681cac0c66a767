package vcluster

import (
	"fmt"
	"time"

	"splitkernel/netlayer/given"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/device"
	"splitkernel/scomponent/migrate"
	"splitkernel/scomponent/volume"
	"splitkernel/sim/vtime"
)

const (
	// volumePatience bounds one request of a move of a volume, as live; the last includes a flush at the taker.
	volumePatience = 5 * time.Second
	// incomingPatience is after how long without news an incomplete volume is given up, or the giver of a complete one asked, as live.
	incomingPatience = 30 * time.Second
)

// storageMoves is what moves to and from an sComponent.
type storageMoves struct {
	book     given.Book[*volumeMove]
	incoming map[wire.VolumeID]*takingVolume
}

func (s *storage) moves() *storageMoves {
	if s.moving == nil {
		s.moving = &storageMoves{incoming: map[wire.VolumeID]*takingVolume{}}
	}
	return s.moving
}

func (s *storage) member() wire.Epoch { return s.epoch }

func (s *storage) moveStart(req wire.MoveReq) error {
	return s.moves().book.Start(req, func() (*volumeMove, error) { return s.giveVolume(req) })
}

func (s *storage) moveStatus(ref wire.MoveRef) (wire.MoveStatusRep, error) {
	return s.moves().book.Status(ref)
}

func (s *storage) moveForget(ref wire.MoveRef) error { return s.moves().book.Forget(ref) }

func (s *storage) holdings() wire.Holdings {
	held := make([]wire.HeldVolume, 0, len(s.vols))
	for _, id := range sorted(s.vols) {
		if s.moving != nil && s.moving.incoming[id] != nil {
			continue // on its way here, and not served
		}
		meta := s.vols[id].core.Meta()
		held = append(held, wire.HeldVolume{Volume: id, Epoch: meta.Epoch, SizeBytes: meta.SizeBytes})
	}
	return wire.Holdings{Volumes: held}
}

// leaving reports whether a move of the volume is still at work here, and gaveAway where one that was here has moved.
func (s *storage) leaving(id wire.VolumeID) bool {
	for _, g := range s.moves().book.All() {
		if g.req.Volume == id && !g.core.Over() {
			return true
		}
	}
	return false
}

func (s *storage) gaveAway(id wire.VolumeID) error {
	if s.moving == nil {
		return nil
	}
	all := s.moving.book.All()
	for i := len(all) - 1; i >= 0; i-- {
		if g := all[i]; g.req.Volume != id {
			continue
		} else if g.core.Over() && g.Status().State != wire.MoveDone {
			return nil
		} else {
			return wire.Errorf(wire.KindNotOwner, "volume %d is not at %s any more, it has moved to %s: ask GSM", id, s.o.ID, g.req.To)
		}
	}
	return nil
}

// volumeMove is the shell of a giver: it performs what the core asks for.
type volumeMove struct {
	s     *storage
	req   wire.MoveReq
	began time.Duration
	v     *vol
	core  *migrate.Giver

	results []volumeResult
	news    vtime.Signal
}

// volumeResult is how an effect ended.
type volumeResult struct {
	id  uint64
	err error
}

func (g *volumeMove) now() time.Duration { return g.s.c.clock.Now() - g.began + 1 }

// Status says how far the move has come.
func (g *volumeMove) Status() wire.MoveStatusRep { return g.core.Status(g.now()) }

// giveVolume begins to give a volume away.
func (s *storage) giveVolume(req wire.MoveReq) (*volumeMove, error) {
	if req.Kind != wire.MoveVolume {
		return nil, wire.Errorf(wire.KindBadRequest, "%s is an sComponent and does not move a %v", s.o.ID, req.Kind)
	}
	if _, ok := s.c.byID[req.To]; !ok || req.OldEpoch >= req.Epoch || req.Epoch >= req.UndoEpoch || req.To == s.o.ID {
		return nil, wire.Errorf(wire.KindBadRequest, "volume %d: a move from %s to %q under epochs %d, %d and %d", req.Volume, s.o.ID, req.To, req.OldEpoch, req.Epoch, req.UndoEpoch)
	}
	v, err := s.find(req.Volume)
	if err == nil {
		err = v.closed
	}
	if err != nil {
		return nil, err
	}
	meta := v.core.Meta()
	switch {
	case v.give != nil:
		return nil, wire.Errorf(wire.KindBusy, "volume %d (%s) is moving to %s by another order", req.Volume, meta.Name, v.give.req.To)
	case meta.Epoch > req.OldEpoch:
		return nil, wire.Errorf(wire.KindStale, "volume %d (%s): a move from epoch %d, want at least %d", req.Volume, meta.Name, req.OldEpoch, meta.Epoch)
	}
	g := &volumeMove{s: s, req: req, began: s.c.clock.Now(), v: v, core: migrate.New(migrate.DefaultOptions(), req, meta.SizeBytes/wire.PageSize)}
	g.news.Name = "the steps of " + moveName(req)
	v.give = g // from here on it hears of every write
	for _, b := range sorted(v.blocks) {
		g.core.Holds(b)
	}
	s.c.goAt(s.no, moveName(req), g.run)
	return g, nil
}

// run performs the effects of the core until it is over. Several may be under way.
func (g *volumeMove) run(y *vtime.Proc) {
	out := g.core.Start(g.now(), nil)
	for {
		for _, e := range out {
			if e.Step == migrate.Ended {
				if g.Status().State == wire.MoveUndone {
					g.v.give = nil
				}
				return
			}
			g.s.c.goAt(g.s.no, g.news.Name, func(y *vtime.Proc) {
				if e.After > 0 {
					y.Sleep(e.After)
				}
				err := g.perform(y, e)
				g.results = append(g.results, volumeResult{e.ID, err})
				g.news.Wake()
			})
		}
		for len(g.results) == 0 {
			y.Wait(&g.news)
		}
		r := g.results[0]
		g.results = g.results[1:]
		out = g.core.Done(g.now(), r.id, r.err, out[:0])
	}
}

// perform does one effect.
func (g *volumeMove) perform(y *vtime.Proc, e migrate.Effect) error {
	s, c, r := g.s, g.s.c, &g.req
	at := c.node(r.To)
	to := c.nodes[at].(*storage)
	ref := wire.VolumeMoveRef{Move: r.Move, Volume: r.Volume, Epoch: r.Epoch}
	switch e.Step {
	case migrate.Open:
		meta := g.v.core.Meta()
		q := wire.VolumeCopyOpenReq{Move: r.Move, Volume: r.Volume, Name: meta.Name, SizeBytes: meta.SizeBytes, Epoch: r.Epoch, Giver: s.o.ID, GiverAddr: addr(s.o.ID)}
		return order(y, c, wire.OpVolumeCopyOpen, s.no, at, volumePatience, q, to.takeOpen)
	case migrate.Copy:
		return g.copy(y, e)
	case migrate.Sync, migrate.Finish:
		q := wire.VolumeCopyEndReq{Move: r.Move, Volume: r.Volume, Round: e.Round}
		if q.Last = e.Step == migrate.Finish; q.Last {
			g.v.core.Leave(&q)
		}
		_, err := tell(y, c, wire.OpVolumeCopyEnd, s.no, at, volumePatience, q, func(q wire.VolumeCopyEndReq, done func(struct{}, error)) {
			to.takeEnd(q, func(err error) { done(struct{}{}, err) })
		})
		return err
	case migrate.Freeze:
		return g.freeze(y)
	case migrate.Note:
		return s.note(y)
	case migrate.Switch:
		return g.tellCache(y, wire.SwitchReq{Move: r.Move, Volume: r.Volume, Epoch: r.Epoch, To: r.To, ToAddr: r.ToAddr})
	case migrate.Recall:
		return g.tellCache(y, wire.SwitchReq{Move: r.Move, Volume: r.Volume, Epoch: r.UndoEpoch, To: s.o.ID, ToAddr: addr(s.o.ID)})
	case migrate.Serve:
		_, err := tell(y, c, wire.OpVolumeServe, s.no, at, volumePatience, ref, func(q wire.VolumeMoveRef, done func(struct{}, error)) {
			to.takeServe(q, func(err error) { done(struct{}{}, err) })
		})
		return err
	case migrate.Retire:
		if s.vols[r.Volume] == g.v {
			s.forget(r.Volume)
		}
	case migrate.Thaw:
		return g.thaw(y, e.Epoch)
	case migrate.Drop:
		return order(y, c, wire.OpVolumeDrop, s.no, at, volumePatience, ref, to.takeDrop)
	case migrate.Fail:
		g.v.closed = wire.Errorf(wire.KindFailed, "volume %d was moving from %s to %s, and whether it is served there cannot be known: what was flushed is kept at both; restart %s or delete the volume", r.Volume, s.o.ID, r.To, s.o.ID)
	}
	return nil
}

// tellCache tells the buffer cache of the volume where it is.
func (g *volumeMove) tellCache(y *vtime.Proc, q wire.SwitchReq) error {
	via := g.s.c.node(g.req.Via)
	return order(y, g.s.c, wire.OpVolumeSwitch, g.s.no, via, volumePatience, q, g.s.c.nodes[via].(*memory).blocks.cache.Switch)
}

// stamped is a block on its way.
type stamped struct {
	block uint64
	data  sectors
}

// copy sends blocks as they are: those of which the last write is not on the device yet come from memory.
func (g *volumeMove) copy(y *vtime.Proc, e migrate.Effect) error {
	s, c := g.s, g.s.c
	left := vtime.Signal{Name: "blocks that move to be read"}
	reading := 0
	for i := 0; i < len(e.Blocks); { // runs of blocks are one operation
		j := i + 1
		for j < len(e.Blocks) && e.Blocks[j] == e.Blocks[j-1]+1 && g.v.dirty[e.Blocks[j]] == g.v.dirty[e.Blocks[i]] {
			j++
		}
		if !g.v.dirty[e.Blocks[i]] {
			reading++
			s.io(device.Read, g.v.base+e.Blocks[i]*wire.PageSize, (j-i)*wire.PageSize, func() {
				reading--
				left.Wake()
			})
		}
		i = j
	}
	for reading > 0 {
		y.Wait(&left)
	}
	if s.vols[g.req.Volume] != g.v {
		return wire.Errorf(wire.KindNotFound, "volume %d is not at %s", g.req.Volume, s.o.ID)
	}
	c.gather(y, s.no, len(e.Blocks), len(e.Blocks))
	blocks := make([]stamped, len(e.Blocks))
	for i, b := range e.Blocks {
		if err := g.v.checked(s, wire.Block{Volume: g.req.Volume, Offset: b * wire.PageSize, Length: wire.PageSize}, 1<<wire.SectorsPerPage-1); err != nil {
			return err
		}
		blocks[i].block = b
		if data := g.v.blocks[b]; data != nil {
			blocks[i].data = *data
		}
	}
	at := c.node(g.req.To)
	return wait(y, "the answer to a copy of blocks by "+string(g.req.To), func(done func(error)) {
		heard := c.heard(wire.OpVolumeCopy, at, volumePatience, done)
		bytes := wire.HeaderLen + wire.VolumeCopyHeadLen + len(blocks)*(wire.VolumeCopyEntryLen+wire.PageSize)
		c.sendCopy(wire.OpVolumeCopy, s.no, at, bytes, len(blocks), len(blocks), func(answer func(error)) {
			c.nodes[at].(*storage).takeBlocks(g.req.Move, g.req.Volume, e.Round, blocks, answer)
		}, func(err error) {
			if heard() {
				done(err)
			}
		})
	})
}

// freeze holds the volume still: requests that run end, later ones are refused as busy.
func (g *volumeMove) freeze(y *vtime.Proc) error {
	v := g.v
	if g.s.vols[g.req.Volume] != v {
		return wire.Errorf(wire.KindNotFound, "volume %d is not at %s", g.req.Volume, g.s.o.ID)
	}
	if v.closed != nil {
		return v.closed
	}
	v.closed = wire.Errorf(wire.KindBusy, "volume %d is moving to %s: retry", g.req.Volume, g.req.To)
	v.quiet.Name = "the requests of a volume that moves to end"
	for v.running > 0 {
		y.Wait(&v.quiet)
	}
	if e := v.core.Meta().Epoch; e > g.req.OldEpoch {
		v.closed = nil
		return wire.Errorf(wire.KindStale, "volume %d was attached under epoch %d, newer than %d of the move", g.req.Volume, e, g.req.OldEpoch)
	}
	return nil
}

// thaw serves the volume again, under an epoch that is durable first.
func (g *volumeMove) thaw(y *vtime.Proc, e wire.Epoch) error {
	v, s := g.v, g.s
	if s.vols[g.req.Volume] != v {
		return wire.Errorf(wire.KindNotFound, "volume %d is not at %s", g.req.Volume, s.o.ID)
	}
	if e == g.req.UndoEpoch { // the old one changes nothing: the buffer cache may know a lower one than GSM
		p := v.core.Raise(e)
		if err := wait(y, "the header of a volume", func(done func(error)) { s.persist(v, p, func() { done(nil) }) }); err != nil {
			return err
		}
		if err := s.note(y); err != nil {
			return err
		}
	}
	v.closed, v.give = nil, nil
	return nil
}

// note makes something durable that takes a block of the device and a flush: how far a move has come.
func (s *storage) note(y *vtime.Proc) error {
	return wait(y, "a note of a move to be durable", func(done func(error)) {
		s.io(device.Write, s.next, wire.PageSize, func() { s.flush(func() { done(nil) }) })
	})
}

// takingVolume is a volume that comes.
type takingVolume struct {
	v    *vol
	open wire.VolumeCopyOpenReq
	core *migrate.Taker
	last time.Duration // when something came
	left vtime.Signal  // it is served or dropped
	gone bool
	busy bool // the last round is being made durable
}

// takeOpen makes room for a volume that comes.
func (s *storage) takeOpen(q wire.VolumeCopyOpenReq) error {
	if err := volume.CheckSize(q); err != nil {
		return err
	}
	if s.leaving(q.Volume) {
		return wire.Errorf(wire.KindBusy, "volume %d is leaving %s by an earlier move", q.Volume, s.o.ID)
	}
	if t := s.moves().incoming[q.Volume]; t != nil {
		if t.open == q {
			return nil
		}
		return wire.Errorf(wire.KindBusy, "volume %d comes to %s already, with move %d of %v", q.Volume, s.o.ID, t.open.Move.No, t.open.Move.Manager)
	}
	if s.vols[q.Volume] != nil {
		return wire.Errorf(wire.KindExists, "volume %d is at %s already", q.Volume, s.o.ID)
	}
	if err := s.room(q.SizeBytes); err != nil {
		return err
	}
	if err := s.noSpace(fmt.Sprintf("volume %d cannot come", q.Volume)); err != nil {
		return err
	}
	v := s.place(q.Volume, volume.Meta{ID: q.Volume, Name: q.Name, SizeBytes: q.SizeBytes})
	v.closed = wire.Errorf(wire.KindBusy, "volume %d is moving to %s from %s: retry", q.Volume, s.o.ID, q.Giver)
	t := &takingVolume{v: v, open: q, core: migrate.Take(q), last: s.c.clock.Now()}
	t.left.Name = "a volume that comes"
	s.moving.incoming[q.Volume] = t
	s.c.goAt(s.no, "a volume that comes to "+string(s.o.ID), func(y *vtime.Proc) { s.watch(y, t) })
	return nil
}

// watch gives an incomplete volume up when nothing comes for long, and asks the giver of a complete one what became of the move.
func (s *storage) watch(y *vtime.Proc, t *takingVolume) {
	for !t.gone && !y.WaitFor(&t.left, incomingPatience/4) {
		switch {
		case t.gone || s.c.clock.Now()-t.last < incomingPatience:
		case !t.core.Complete():
			_ = s.takeDrop(t.core.Ref()) // it is that of the move
		case s.undone(y, t) && !t.gone:
			_ = s.takeDrop(t.core.Ref())
		}
	}
}

// undone asks the giver, and reports whether it serves the volume itself.
func (s *storage) undone(y *vtime.Proc, t *takingVolume) bool {
	from := s.c.node(t.open.Giver)
	giver := s.c.nodes[from].(*storage)
	st, err := tell(y, s.c, wire.OpMoveStatus, s.no, from, volumePatience, wire.MoveRef{Move: t.open.Move}, func(q wire.MoveRef, done func(wire.MoveStatusRep, error)) { done(giver.moveStatus(q)) })
	if wire.KindOf(err) == wire.KindNotFound {
		_, err := tell(y, s.c, wire.OpVolumeServe, s.no, from, volumePatience, wire.VolumeMoveRef{Move: t.open.Move, Volume: t.open.Volume}, func(q wire.VolumeMoveRef, done func(struct{}, error)) {
			giver.takeServe(q, func(err error) { done(struct{}{}, err) })
		})
		return err == nil
	}
	return err == nil && st.State == wire.MoveUndone
}

// comes gives the incoming volume of a message.
func (s *storage) comes(id wire.VolumeID, move wire.MoveID) (*takingVolume, error) {
	t := s.moves().incoming[id]
	if t == nil {
		return nil, wire.Errorf(wire.KindNotFound, "volume %d does not come to %s with move %d of %v", id, s.o.ID, move.No, move.Manager)
	}
	t.last = s.c.clock.Now()
	return t, nil
}

// takeBlocks stores blocks: they lie in memory until the end of the round takes them to the device.
func (s *storage) takeBlocks(move wire.MoveID, id wire.VolumeID, round uint32, blocks []stamped, done func(error)) {
	t, err := s.comes(id, move)
	if err == nil {
		err = t.core.Copy(move, round)
	}
	if err == nil {
		err = s.noSpace(fmt.Sprintf("volume %d: a copy of %d blocks", id, len(blocks)))
	}
	for i := 0; i < len(blocks) && err == nil; i++ {
		b := &blocks[i]
		if b.block >= t.open.SizeBytes/wire.PageSize {
			err = wire.Errorf(wire.KindBadRequest, "volume %d: block %d came, it has %d", id, b.block, t.open.SizeBytes/wire.PageSize)
			break
		}
		data := b.data
		t.v.blocks[b.block] = &data
		t.v.dirty[b.block] = true
	}
	done(err)
}

// takeEnd makes a round durable. After the last the volume is complete.
func (s *storage) takeEnd(q wire.VolumeCopyEndReq, done func(error)) {
	t, err := s.comes(q.Volume, q.Move)
	again := false
	if err == nil {
		again, err = t.core.End(q.Move, q.Round, q.Last)
	}
	if err == nil && !again && t.busy {
		err = wire.Errorf(wire.KindBusy, "volume %d: a round is being made durable", q.Volume)
	}
	if err != nil || again {
		done(err)
		return
	}
	t.busy = true
	s.write(t.v, func() {
		end := func() {
			if t.busy = false; t.gone {
				done(wire.Errorf(wire.KindNotFound, "volume %d does not come to %s any more", q.Volume, s.o.ID))
				return
			}
			done(nil)
		}
		if !q.Last {
			end()
			return
		}
		t.v.core = volume.Arrive(t.open, q, volume.BootID{})
		t.v.core.Header()
		s.io(device.Write, t.v.base, volume.HeaderLen+wire.PageSize, func() { // with its note
			s.flush(func() {
				if !t.gone {
					t.core.Ended()
					t.last = s.c.clock.Now()
				}
				end()
			})
		})
	})
}

// takeServe begins to serve a volume that came.
func (s *storage) takeServe(q wire.VolumeMoveRef, done func(error)) {
	t, v := s.moves().incoming[q.Volume], s.vols[q.Volume]
	if t == nil {
		if v != nil && v.core.Meta().Epoch >= q.Epoch { // a duplicate, or the question of undone
			done(nil)
			return
		}
		done(wire.Errorf(wire.KindNotFound, "volume %d did not come to %s with move %d of %v", q.Volume, s.o.ID, q.Move.No, q.Move.Manager))
		return
	}
	if err := t.core.Serve(q); err != nil {
		done(err)
		return
	}
	s.persist(v, v.core.Arrived(), func() {
		if !t.gone {
			v.closed = nil
			s.leftTaking(t)
		}
		done(nil)
	})
}

func (s *storage) leftTaking(t *takingVolume) {
	t.gone = true
	delete(s.moving.incoming, t.open.Volume)
	t.left.Broadcast()
}

// takeDrop forgets a volume that comes, by a word of its giver or because it is given up.
func (s *storage) takeDrop(q wire.VolumeMoveRef) error {
	t := s.moves().incoming[q.Volume]
	if t == nil {
		return nil
	}
	if err := t.core.Check(q.Move); err != nil {
		return err
	}
	s.leftTaking(t)
	if s.vols[q.Volume] == t.v {
		s.forget(q.Volume)
	}
	return nil
}

// room refuses a volume for which there is none.
func (s *storage) room(size uint64) error {
	switch {
	case len(s.vols) >= s.o.MaxVolumes:
		return wire.Errorf(wire.KindNoRoom, "%s holds %d volumes, at most max_volumes %d", s.o.ID, len(s.vols), s.o.MaxVolumes)
	case s.reserved+size > s.o.StorageBytes:
		return wire.Errorf(wire.KindNoRoom, "%s: a volume of %d bytes does not fit: %d of capacity_bytes %d are taken", s.o.ID, size, s.reserved, s.o.StorageBytes)
	}
	return nil
}

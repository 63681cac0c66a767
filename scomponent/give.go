package scomponent

import (
	"sync"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/migrate"
	"splitkernel/scomponent/volume"
)

// moveCallTimeout bounds one request of a move; the last includes an fdatasync at the taker.
const moveCallTimeout = 5 * time.Second

// giving is the shell of a giver: it performs what the core asks for. Lock order: vol.st before mu.
type giving struct {
	c     *Component
	req   wire.MoveReq
	began time.Time
	work  span.Work
	v     *vol // nil if the volume was given away before a restart

	mu    sync.Mutex
	core  *migrate.TapedGiver
	noted bool                // a note of this move is on disk
	final *wire.MoveStatusRep // of a move that ended before a restart
	over  bool
}

// result is how an effect ended.
type result struct {
	id  uint64
	err error
}

func (g *giving) now() time.Duration { return time.Since(g.began) + 1 }

// giveVolume begins to give a volume away.
func (c *Component) giveVolume(work span.Work, req wire.MoveReq) (*giving, error) {
	if req.Kind != wire.MoveVolume {
		return nil, wire.Errorf(wire.KindBadRequest, "%s is an sComponent and does not move a %v", c.o.Node, req.Kind)
	}
	if req.OldEpoch >= req.Epoch || req.Epoch >= req.UndoEpoch || req.To == c.o.Node {
		return nil, wire.Errorf(wire.KindBadRequest, "volume %d: a move from %s to %s under epochs %d, %d and %d", req.Volume, c.o.Node, req.To, req.OldEpoch, req.Epoch, req.UndoEpoch)
	}
	for _, addr := range []string{c.o.Addr, req.ToAddr} {
		if err := netlayer.Addr(addr).Validate(); err != nil {
			return nil, wire.Errorf(wire.KindBadRequest, "volume %d: a move from %s to %s: %v", req.Volume, c.o.Node, req.To, err)
		}
	}
	v, err := c.find(req.Volume)
	if err != nil {
		return nil, err
	}
	v.gate.Lock() // a write that was admitted before has also written its checksums, so the survey sees it
	defer v.gate.Unlock()
	if err := v.usable(); err != nil {
		return nil, err
	}
	v.st.Lock()
	defer v.st.Unlock()
	meta := v.core.Meta()
	switch {
	case v.give != nil:
		return nil, wire.Errorf(wire.KindBusy, "volume %d (%s) is moving to %s by another order", v.id, meta.Name, v.give.req.To)
	case meta.Config > 0: // its buffer cache fills the new copy from all that there are, and writes to it meanwhile
		return nil, wire.Errorf(wire.KindBadRequest, "volume %d (%s) here is one of several copies: such a copy is replaced, not moved", v.id, meta.Name)
	case meta.Epoch > req.OldEpoch:
		return nil, wire.Errorf(wire.KindStale, "volume %d (%s): a move from epoch %d, want at least %d", v.id, meta.Name, req.OldEpoch, meta.Epoch)
	}
	g := &giving{c: c, req: req, work: work, v: v, began: time.Now(), core: c.giverCore(req, meta.SizeBytes/wire.PageSize, 0)}
	v.give = g // from here on it hears of every write
	c.counts.movesStarted.Add(1)
	c.log.Info("a volume moves", "volume", v.id, "name", meta.Name, "to", req.To, "epoch", req.Epoch)
	c.wg.Go(func() {
		if err := g.survey(meta.SizeBytes); err != nil {
			c.log.Warn("the checksums of a volume that moves cannot be read", "volume", v.id, "cause", err)
			g.mu.Lock()
			g.core.Refuse(err)
			g.mu.Unlock()
		}
		g.run()
	})
	return g, nil
}

// survey tells the core which blocks were ever written: those with an entry that is not that of zeros, and those whose entry cannot
// be read, which is found when they are sent. Blocks of zeros need not be sent, whoever wrote them.
func (g *giving) survey(size uint64) error {
	const perRead = 64 << 10
	b := make([]byte, perRead)
	const entry = volume.EntryLen
	end := volume.SumsSize(size)
	for off := int64(volume.SumsOffset); off < end; off += perRead {
		if g.c.ctx.Err() != nil {
			return wire.Errorf(wire.KindUnavailable, "%s stops", g.c.o.Node)
		}
		part := b[:min(perRead, end-off)]
		if _, err := g.v.sums.ReadAt(part, off); err != nil {
			return g.v.ioError("its checksums cannot be read", err)
		}
		first := uint64(off-volume.SumsOffset) / entry
		g.mu.Lock()
		for i := 0; i < len(part); i += entry {
			if [entry]byte(part[i:]) == [entry]byte{} {
				continue
			}
			if e, ok := volume.ParseEntry(part[i:]); !ok || !e.Zeros() {
				g.core.Holds(first + uint64(i/entry))
			}
		}
		g.mu.Unlock()
	}
	return nil
}

// wrote is called by writers of the volume, under v.st and the lock of the block.
func (g *giving) wrote(block uint64) {
	g.mu.Lock()
	g.core.Wrote(block)
	g.mu.Unlock()
}

// run performs the effects of the core until it is over or the component closes; what was noted goes on at the next start.
func (g *giving) run() {
	results := make(chan result, 2*g.c.o.Migrate.Window+4) // room for copies that were given up and their successor
	g.mu.Lock()
	out := g.core.Start(g.now(), nil)
	g.mu.Unlock()
	for {
		for _, e := range out {
			if e.Step == migrate.Ended {
				g.ended()
				return
			}
			g.c.wg.Go(func() { results <- result{e.ID, g.perform(e)} })
		}
		select {
		case r := <-results:
			g.mu.Lock()
			out = g.core.Done(g.now(), r.id, r.err, out[:0])
			g.mu.Unlock()
		case <-g.c.ctx.Done():
			return
		}
	}
}

// ended takes the move into the books.
func (g *giving) ended() {
	s := g.status()
	if g.v != nil && s.State == wire.MoveUndone {
		g.v.st.Lock()
		g.v.give = nil
		g.v.st.Unlock()
	}
	g.mu.Lock()
	g.over = true
	g.core.End()
	g.mu.Unlock()
	n := &g.c.counts
	switch s.State {
	case wire.MoveDone:
		n.movesDone.Add(1)
	case wire.MoveUndone:
		n.movesUndone.Add(1)
	case wire.MoveLost:
		n.movesLost.Add(1)
	}
	g.work.Moved(s)
	g.c.metrics.pause.Observe(float64(s.PauseUS) / 1e6)
	g.c.log.Info("the move of a volume has ended", "volume", g.req.Volume, "to", g.req.To, "state", s.State, "epoch", s.Epoch,
		"bytes", s.Bytes, "rounds", s.Rounds, "pause_us", s.PauseUS, "cause", s.Text)
}

// status says how far the move has come.
func (g *giving) status() wire.MoveStatusRep {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.final != nil {
		return *g.final
	}
	return g.core.Status(g.now())
}

// call sends a control message to a component of the move.
func (g *giving) call(addr string, op wire.Op, m any) error {
	return g.c.sendIn(g.work.Context, addr, &netlayer.Call{Op: op, Epoch: g.req.Epoch, Body: wire.Marshal(m), Timeout: moveCallTimeout})
}

func (g *giving) ref() wire.VolumeMoveRef {
	return wire.VolumeMoveRef{Move: g.req.Move, Volume: g.req.Volume, Epoch: g.req.Epoch}
}

// perform does one effect.
func (g *giving) perform(e migrate.Effect) error {
	if e.After > 0 {
		select {
		case <-time.After(e.After):
		case <-g.c.ctx.Done():
		}
	}
	if g.c.ctx.Err() != nil {
		return wire.Errorf(wire.KindUnavailable, "%s stops", g.c.o.Node)
	}
	r := &g.req
	switch e.Step {
	case migrate.Open:
		meta := g.v.meta()
		return g.call(r.ToAddr, wire.OpVolumeCopyOpen, wire.VolumeCopyOpenReq{Move: r.Move, Volume: r.Volume, Name: meta.Name,
			SizeBytes: meta.SizeBytes, Epoch: r.Epoch, Giver: g.c.o.Node, GiverAddr: g.c.o.Addr})
	case migrate.Copy:
		return g.copy(e)
	case migrate.Sync:
		return g.call(r.ToAddr, wire.OpVolumeCopyEnd, wire.VolumeCopyEndReq{Move: r.Move, Volume: r.Volume, Round: e.Round})
	case migrate.Freeze:
		return g.freeze()
	case migrate.Finish:
		end := wire.VolumeCopyEndReq{Move: r.Move, Volume: r.Volume, Round: e.Round, Last: true}
		g.v.st.Lock()
		g.v.core.Leave(&end)
		g.v.st.Unlock()
		return g.call(r.ToAddr, wire.OpVolumeCopyEnd, end)
	case migrate.Note:
		return g.note(e.Mark)
	case migrate.Switch:
		return g.call(r.ViaAddr, wire.OpVolumeSwitch, wire.SwitchReq{Move: r.Move, Volume: r.Volume, Epoch: r.Epoch, To: r.To, ToAddr: r.ToAddr})
	case migrate.Serve:
		return g.call(r.ToAddr, wire.OpVolumeServe, g.ref())
	case migrate.Retire:
		return g.retire()
	case migrate.Recall:
		return g.call(r.ViaAddr, wire.OpVolumeSwitch, wire.SwitchReq{Move: r.Move, Volume: r.Volume, Epoch: r.UndoEpoch, To: g.c.o.Node, ToAddr: g.c.o.Addr})
	case migrate.Thaw:
		return g.thaw(e.Epoch)
	case migrate.Drop:
		return g.call(r.ToAddr, wire.OpVolumeDrop, g.ref())
	case migrate.Fail:
		g.close(wire.Errorf(wire.KindFailed, "volume %d was moving from %s to %s, and whether it is served there cannot be known: what was flushed is kept at both; restart %s or delete the volume", r.Volume, g.c.o.Node, r.To, g.c.o.Node))
	}
	return nil
}

// buffers are the bodies of volume_copy messages.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// copy sends blocks with the checksums that are stored with them. The taker checks them: a sector that changed on the disk
// here is not made right by moving it.
func (g *giving) copy(e migrate.Effect) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	body, m := wire.NewVolumeCopy(*buf, wire.VolumeCopy{Move: g.req.Move, Volume: g.req.Volume, Round: e.Round, Count: len(e.Blocks)})
	*buf = body
	if err := g.v.gather(e.Blocks, &m); err != nil {
		return err
	}
	err := g.c.send(g.req.ToAddr, &netlayer.Call{Op: wire.OpVolumeCopy, Epoch: g.req.Epoch, Body: body, Timeout: moveCallTimeout})
	if err == nil {
		g.c.counts.movedOutBytes.Add(uint64(len(e.Blocks)) * wire.PageSize)
	}
	return err
}

// freeze holds the volume still: requests that run end, later ones are refused as busy.
func (g *giving) freeze() error {
	v := g.v
	v.gate.Lock()
	defer v.gate.Unlock()
	if err := v.usable(); err != nil {
		return err
	}
	if e := v.meta().Epoch; e > g.req.OldEpoch {
		return wire.Errorf(wire.KindStale, "volume %d was attached under epoch %d, newer than %d of the move", v.id, e, g.req.OldEpoch)
	}
	v.closed = v.moving(g.req.To)
	return nil
}

func (v *vol) moving(to wire.NodeID) error {
	return wire.Errorf(wire.KindBusy, "volume %d is moving to %s: retry", v.id, to)
}

// close answers the requests of the volume with err from now on.
func (g *giving) close(err error) {
	if g.v != nil {
		g.v.gate.Lock()
		g.v.closed = err
		g.v.gate.Unlock()
	}
}

// note makes durable how far the move has come.
func (g *giving) note(m migrate.Mark) error {
	g.mu.Lock()
	g.noted = true // also if it fails: it may be there
	g.mu.Unlock()
	return g.c.putNote(g.req.Volume, volume.OutName(g.req.Volume), migrate.Out{Mark: m, Req: g.req, Status: g.status()})
}

// retire removes the volume, which is served elsewhere.
func (g *giving) retire() error {
	c, id := g.c, g.req.Volume
	c.catMu.Lock()
	defer c.catMu.Unlock()
	// By the note, not by what is in memory: after a restart it may be that another move has brought the volume back.
	if v := g.v; v != nil && c.vols[id] == v {
		c.forgetVol(v)
	}
	return c.removeFiles(volume.SumsName(id), volume.ImageName(id))
}

// thaw serves the volume again, under an epoch that is durable first.
func (g *giving) thaw(e wire.Epoch) error {
	v := g.v
	if v == nil {
		return wire.Errorf(wire.KindFailed, "volume %d: its files are not at %s", g.req.Volume, g.c.o.Node)
	}
	v.gate.Lock()
	defer v.gate.Unlock()
	if v.gone || v.broken != nil {
		return v.usable()
	}
	var err error
	if e == g.req.UndoEpoch { // the old one changes nothing: the buffer cache may know a lower one than GSM
		v.st.Lock()
		err = v.persist(v.core.Raise(e), nil)
		v.st.Unlock()
	}
	g.mu.Lock()
	noted := g.noted
	g.mu.Unlock()
	switch {
	case err != nil:
		return err
	case e == g.req.UndoEpoch:
		s := g.status()
		s.State = wire.MoveUndone
		err = g.c.putNote(v.id, volume.OutName(v.id), migrate.Out{Mark: migrate.TakenBack, Req: g.req, Status: s})
	case noted: // it could not be written, or not be synced
		err = g.c.removeFiles(volume.NoteNewName(v.id), volume.OutName(v.id))
	}
	if err != nil {
		return v.ioError("the note of its move", err)
	}
	v.closed = nil
	v.st.Lock()
	v.give = nil
	v.st.Unlock()
	return nil
}

// send performs one request of a move. It does not retry: the cores do.
func (c *Component) send(addr string, call *netlayer.Call) error {
	return c.sendIn(span.Context{}, addr, call)
}

// sendIn is send of a call that may belong to a trace.
func (c *Component) sendIn(in span.Context, addr string, call *netlayer.Call) error {
	p, err := c.peer(addr)
	if err != nil {
		return err
	}
	return p.DoIn(in, call)
}

// peer gives the peer of an address. They live until Close.
func (c *Component) peer(addr string) (*netlayer.Peer, error) {
	c.peersMu.Lock()
	defer c.peersMu.Unlock()
	if p, ok := c.peers[addr]; ok {
		return p, nil
	}
	if c.ctx.Err() != nil {
		return nil, wire.Errorf(wire.KindUnavailable, "%s stops", c.o.Node)
	}
	if err := netlayer.Addr(addr).Validate(); err != nil {
		return nil, wire.Errorf(wire.KindBadRequest, "%v", err)
	}
	if len(c.peers) >= maxPeers { // addresses come and go
		for at, p := range c.peers {
			if p.Unused() {
				delete(c.peers, at)
				p.Close()
			}
		}
	}
	if len(c.peers) >= maxPeers {
		return nil, wire.Errorf(wire.KindBusy, "%s talks to %d components, at most as many", c.o.Node, maxPeers)
	}
	p := netlayer.NewPeer(netlayer.Addr(addr), c.o.Net)
	c.peers[addr] = p
	return p, nil
}

// maxPeers bounds the other components that this one talks to.
const maxPeers = 4096

// stopMoves ends what moves do; it waits for their goroutines.
func (c *Component) stopMoves() {
	c.stop()
	c.peersMu.Lock()
	for _, p := range c.peers {
		p.Close()
	}
	c.peersMu.Unlock()
	c.wg.Wait()
}

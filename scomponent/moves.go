package scomponent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/migrate"
	"splitkernel/scomponent/volume"
)

// maxMoves bounds the moves that this component remembers as their giver. The oldest that has ended makes room.
const maxMoves = 1024

// moveOp serves the operations of moves, of the giver's side and of the taker's.
func (c *Component) moveOp(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	switch req.Op {
	case wire.OpMoveStart:
		return decoded(req, func(m wire.MoveReq) error {
			return c.moveStart(span.NewWork(ctx, c.o.Net.Spans, span.Internal, "give "+m.Kind.String(), span.Moving(&m)...), m)
		})
	case wire.OpMoveStatus:
		return decoded(req, func(m wire.MoveRef) error {
			s, err := c.moveStatus(m)
			if err == nil {
				rep.SetControl(s)
			}
			return err
		})
	case wire.OpMoveForget:
		return decoded(req, c.moveForget)
	case wire.OpVolumeCopyOpen:
		return decoded(req, c.takeOpen)
	case wire.OpVolumeCopy:
		return c.takeBlocks(req.Body)
	case wire.OpVolumeCopyEnd:
		return decoded(req, c.takeEnd)
	case wire.OpVolumeServe:
		return decoded(req, c.takeServe)
	}
	return decoded(req, func(m wire.VolumeMoveRef) error { return c.takeDrop(m, true) })
}

// decoded gives the message of a request to f.
func decoded[M any](req *netlayer.Request, f func(M) error) error {
	var m M
	if err := wire.Unmarshal(req.Body, &m); err != nil {
		return err
	}
	return f(m)
}

// moveStart begins a move. The same order again changes nothing.
func (c *Component) moveStart(work span.Work, req wire.MoveReq) error {
	c.ordersMu.Lock()
	defer c.ordersMu.Unlock()
	if _, ok := c.moves[req.Move]; ok {
		return nil
	}
	if g := req.Move.Manager; g < wire.GPM || g > wire.GSM {
		return wire.Errorf(wire.KindBadRequest, "move of manager %d, want 1 to 3", g)
	} else if c.forgot[g].Has(req.Move.No) {
		return wire.Errorf(wire.KindStale, "move %d of %v has ended and was forgotten, or may have been before a restart", req.Move.No, g)
	}
	if len(c.moveOrder) >= maxMoves && !c.dropMove() {
		return wire.Errorf(wire.KindBusy, "%d moves are under way at %s, at most as many: retry", maxMoves, c.o.Node)
	}
	g, err := c.giveVolume(work, req)
	if err != nil {
		return err
	}
	c.remember(g)
	return nil
}

func (c *Component) remember(g *giving) {
	c.movesMu.Lock()
	defer c.movesMu.Unlock()
	c.moves[g.req.Move] = g
	c.moveOrder = append(c.moveOrder, g.req.Move)
}

// dropMove forgets the oldest move that is over.
func (c *Component) dropMove() bool {
	for i, id := range c.moveOrder {
		if g := c.moves[id]; g.isOver() {
			c.forgetMove(i)
			return true
		}
	}
	return false
}

func (g *giving) isOver() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.over
}

// forgetMove forgets a move and its note, unless the volume has a newer one. ordersMu is held.
func (c *Component) forgetMove(i int) {
	id := c.moveOrder[i]
	g := c.moves[id]
	c.movesMu.Lock()
	delete(c.moves, id)
	c.moveOrder = append(c.moveOrder[:i], c.moveOrder[i+1:]...)
	c.movesMu.Unlock()
	g.mu.Lock()
	noted, state := g.noted, g.core.Status(g.now()).State
	g.mu.Unlock()
	if !noted || state == wire.MoveLost { // a lost one is tried again at the next start
		return
	}
	c.catMu.Lock()
	defer c.catMu.Unlock()
	var out migrate.Out
	if err := c.readNote(volume.OutName(g.req.Volume), &out); err != nil || out.Req.Move != id || out.Mark != migrate.Given && out.Mark != migrate.TakenBack {
		return // none, another's, or one by which the next start has work to do
	}
	names := []string{volume.OutName(g.req.Volume)}
	if out.Mark == migrate.Given { // files that could not be removed before: without the note the next start would serve them
		names = []string{volume.SumsName(g.req.Volume), volume.ImageName(g.req.Volume), names[0]}
	}
	if err := c.removeFiles(names...); err != nil {
		c.log.Warn("the note of a move that has ended cannot be removed", "volume", g.req.Volume, "cause", err)
	}
}

func (c *Component) moveStatus(ref wire.MoveRef) (wire.MoveStatusRep, error) {
	c.movesMu.Lock()
	g, ok := c.moves[ref.Move]
	c.movesMu.Unlock()
	if !ok {
		return wire.MoveStatusRep{}, wire.Errorf(wire.KindNotFound, "move %d of %v was not ordered at %s, or was forgotten", ref.Move.No, ref.Move.Manager, c.o.Node)
	}
	return g.status(), nil
}

// moveForget forgets a move that has ended. One that is unknown is forgotten already.
func (c *Component) moveForget(ref wire.MoveRef) error {
	c.ordersMu.Lock()
	defer c.ordersMu.Unlock()
	for i, id := range c.moveOrder {
		if id != ref.Move {
			continue
		}
		if g := c.moves[id]; !g.isOver() {
			return wire.Errorf(wire.KindBusy, "move %d of %v is %v and cannot be forgotten yet", id.No, id.Manager, g.status().State)
		}
		if err := c.noteForgot(ref.Move); err != nil {
			return err
		}
		c.forgetMove(i)
		return nil
	}
	return c.noteForgot(ref.Move)
}

// leaving reports whether a move of the volume is still at work here.
func (c *Component) leaving(id wire.VolumeID) bool {
	c.movesMu.Lock()
	defer c.movesMu.Unlock()
	for _, m := range c.moveOrder {
		if g := c.moves[m]; g.req.Volume == id && !g.isOver() {
			return true
		}
	}
	return false
}

// gaveAway gives the error of a volume that has moved away from here, as long as the move is remembered: whoever wants to
// delete it must not take it for deleted. It is nil for others.
func (c *Component) gaveAway(id wire.VolumeID) error {
	c.movesMu.Lock()
	defer c.movesMu.Unlock()
	for i := len(c.moveOrder) - 1; i >= 0; i-- {
		if g := c.moves[c.moveOrder[i]]; g.req.Volume != id {
			continue
		} else if g.isOver() && g.status().State != wire.MoveDone {
			return nil
		} else {
			return wire.Errorf(wire.KindNotOwner, "volume %d is not at %s any more, it has moved to %s: ask GSM", id, c.o.Node, g.req.To)
		}
	}
	return nil
}

// resume goes on with the move of a volume that was noted before a restart. v is nil if its files are gone.
func (c *Component) resume(id wire.VolumeID, v *vol) error {
	var out migrate.Out
	if err := c.readNote(volume.OutName(id), &out); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("%w: %w", errNote, err)
	}
	g := &giving{c: c, req: out.Req, v: v, began: time.Now(), noted: true, core: c.giverCore(out.Req, 0, out.Mark)}
	switch out.Mark {
	case migrate.Giving, migrate.Undoing:
		if v != nil {
			v.closed, v.give = v.moving(out.Req.To), g
		}
	case migrate.Given, migrate.TakenBack:
		s := out.Status
		g.final = &s
	}
	c.remember(g)
	c.log.Info("the move of a volume goes on after a restart", "volume", id, "to", out.Req.To, "mark", out.Mark)
	c.wg.Go(g.run)
	return nil
}

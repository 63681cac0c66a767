package vcluster

import (
	"slices"
	"time"

	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/moves"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// componentPatience bounds a call of a manager to a component, as live.
const componentPatience = 5 * time.Second

// mover looks after the moves of one group while its leader leads: it performs what the core decides, as live.
type mover struct {
	g *managers
	k wire.Manager

	core   *moves.Mover // nil before the first move
	listed []moves.Listed
	queue  []moves.Effect // to be proposed, of core
	busy   bool           // a proposal is under way
	woken  bool
	timer  vtime.Timer
	step   vtime.Kind
}

// giver is a component that gives things away, as managers call it.
type giver interface {
	moveStart(wire.MoveReq) error
	moveStatus(wire.MoveRef) (wire.MoveStatusRep, error)
	moveForget(wire.MoveRef) error
	holdings() wire.Holdings
	member() wire.Epoch
}

func (g *managers) newMover(k wire.Manager) *mover {
	v := &mover{g: g, k: k}
	v.step = g.c.clock.Handle("a look at the moves of "+k.String(), func(uint32) {
		v.woken = false
		v.look()
	})
	return v
}

// wake has it look at its list at this moment, after what is being done.
func (v *mover) wake() {
	if v.woken || v.core == nil && len(v.g.state(v.k).Moves().Moves()) == 0 {
		return
	}
	v.woken = true
	v.g.c.clock.Cancel(v.timer)
	v.g.c.clock.After(0, v.step, 0)
}

// depose ends what the leader of before did: another begins anew with what is in the list.
func (v *mover) depose() {
	v.core, v.listed, v.queue, v.busy = nil, nil, nil, false
	v.wake()
}

// look takes over the list as it is now and does what is due.
func (v *mover) look() {
	g, now := v.g, v.g.c.clock.Now()
	if v.core == nil {
		v.core = moves.New()
	}
	list := g.state(v.k).Moves().Moves()
	var listed []moves.Listed
	if len(list) > 0 {
		listed = movelist.Listed(list, g.state(v.k).Entries(), g.gmm.Entries())
	}
	if !slices.Equal(listed, v.listed) {
		v.listed = listed
		v.perform(v.core.Sync(now, listed, nil))
	}
	v.perform(v.core.Tick(now, nil))
	v.commit()
	if len(list) == 0 { // the next begins anew
		v.core, v.queue, v.busy = nil, nil, false
		return
	}
	if next, ok := v.core.Next(); ok && !v.woken {
		g.c.clock.Cancel(v.timer)
		v.timer = g.c.clock.Timer(max(next, now), v.step, 0)
	}
}

// perform makes the calls that the core wants, and keeps for commit what it wants proposed.
func (v *mover) perform(effects []moves.Effect) {
	core, c := v.core, v.g.c
	for _, e := range effects {
		if e.Kind == moves.Propose || e.Kind == moves.Drop {
			v.queue = append(v.queue, e)
			continue
		}
		answered := func(rep wire.MoveStatusRep, err error) {
			if v.core == core {
				v.perform(core.Answered(c.clock.Now(), e.Move, e.Call, rep, err, nil))
				v.wake()
			}
		}
		from, to := v.g.leader, c.node(e.Node)
		at := c.nodes[to].(giver) // managers do not move
		switch e.Kind {
		case moves.Start:
			timed(c, wire.OpMoveStart, from, to, componentPatience, e.Req, func(q wire.MoveReq, done func(struct{}, error)) { done(struct{}{}, at.moveStart(q)) },
				func(_ struct{}, err error) { answered(wire.MoveStatusRep{}, err) })
		case moves.Poll:
			timed(c, wire.OpMoveStatus, from, to, componentPatience, wire.MoveRef{Move: e.Move}, func(q wire.MoveRef, done func(wire.MoveStatusRep, error)) { done(at.moveStatus(q)) }, answered)
		case moves.Forget:
			timed(c, wire.OpMoveForget, from, to, componentPatience, wire.MoveRef{Move: e.Move}, func(q wire.MoveRef, done func(struct{}, error)) { done(struct{}{}, at.moveForget(q)) },
				func(_ struct{}, err error) { answered(wire.MoveStatusRep{}, err) })
		case moves.Adopt:
			timed(c, wire.OpMoveAdopt, from, to, componentPatience, e.Req, func(q wire.MoveReq, done func(wire.MoveStatusRep, error)) {
				m, ok := at.(*memory)
				if !ok {
					done(wire.MoveStatusRep{}, wire.Errorf(wire.KindBadRequest, "%s adopts nothing", e.Node))
					return
				}
				m.adopt(q, done)
			}, answered)
		case moves.Look:
			timed(c, wire.OpHoldings, from, to, componentPatience, wire.HoldingsReq{From: moves.PlaceOf(e.Req), Limit: 1}, func(q wire.HoldingsReq, done func(wire.HoldingsRep, error)) {
				all := at.holdings()
				page, next := all.Page(q.From, q.Limit)
				done(wire.HoldingsRep{Node: e.Node, Role: c.o.Nodes[to].Role, Epoch: at.member(), Holds: page, Next: next}, nil)
			}, func(rep wire.HoldingsRep, err error) {
				held := moves.HeldOf(e.Req, rep.Holds)
				held.Member = rep.Epoch
				if v.core == core {
					v.perform(core.Seen(c.clock.Now(), e.Move, e.Call, held, err, nil))
					v.wake()
				}
			})
		}
	}
}

// commit proposes what waits for it, unless a proposal is under way.
func (v *mover) commit() {
	if v.busy || len(v.queue) == 0 {
		return
	}
	n := min(len(v.queue), movelist.MaxBatch)
	proposed := slices.Clone(v.queue[:n])
	v.queue = slices.Delete(v.queue, 0, n)
	v.busy = true
	var ends []moves.End
	var drops []uint64
	for _, e := range proposed {
		if e.Kind == moves.Propose {
			ends = append(ends, e.End)
		} else {
			drops = append(drops, e.Move.No)
		}
	}
	core := v.core
	v.g.end(v.k, ends, drops, func(err error) {
		if v.core != core {
			return
		}
		v.busy = false
		for _, e := range proposed {
			v.perform(core.Answered(v.g.c.clock.Now(), e.Move, e.Call, wire.MoveStatusRep{}, err, nil))
		}
		v.wake()
	})
}

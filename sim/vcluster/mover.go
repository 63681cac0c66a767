package vcluster

import (
	"slices"
	"time"

	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/moves"
	"splitkernel/netlayer/wire"
)

// componentPatience bounds a call of a manager to a component, as live.
const componentPatience = 5 * time.Second

// mover looks after the moves of one group while its leader leads: it performs what the core decides, as live.
type mover struct {
	*leading[moves.Effect, moveAnswer]
	k      wire.Manager
	core   *moves.Mover // nil before the first move
	listed []moves.Listed
}

// moveAnswer is what a call answers.
type moveAnswer struct {
	rep  wire.MoveStatusRep
	held moves.Held // of Look
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
	v := &mover{k: k}
	v.leading = newLeading(g, "a look at the moves of "+k.String(), movelist.MaxBatch, false, v)
	return v
}

func (v *mover) list() []movelist.Move { return v.g.state(v.k).Moves().Moves() }

func (v *mover) stirred() bool { return v.core != nil || len(v.list()) > 0 }

func (v *mover) end() { v.core, v.listed = nil, nil }

func (v *mover) books(now time.Duration) (ticker[moves.Effect], []moves.Effect, bool) {
	list := v.list()
	if len(list) == 0 {
		return nil, nil, false
	}
	if v.core == nil {
		v.core = moves.New()
	}
	listed := movelist.Listed(list, v.g.state(v.k).Entries(), v.g.gmm.Entries())
	if slices.Equal(listed, v.listed) {
		return v.core, nil, true
	}
	v.listed = listed
	return v.core, v.core.Sync(now, listed, nil), true
}

func (v *mover) proposed(e *moves.Effect) bool {
	return e.Kind == moves.Propose || e.Kind == moves.Drop
}

func (v *mover) call(e *moves.Effect, done func(moveAnswer, error)) {
	c := v.g.c
	from, to := v.g.leader, c.node(e.Node)
	at := c.nodes[to].(giver) // managers do not move
	ended := func(_ struct{}, err error) { done(moveAnswer{}, err) }
	told := func(rep wire.MoveStatusRep, err error) { done(moveAnswer{rep: rep}, err) }
	switch e.Kind {
	case moves.Start:
		timed(c, wire.OpMoveStart, from, to, componentPatience, e.Req, func(q wire.MoveReq, done func(struct{}, error)) { done(struct{}{}, at.moveStart(q)) }, ended)
	case moves.Poll:
		timed(c, wire.OpMoveStatus, from, to, componentPatience, wire.MoveRef{Move: e.Move}, func(q wire.MoveRef, done func(wire.MoveStatusRep, error)) { done(at.moveStatus(q)) }, told)
	case moves.Forget:
		timed(c, wire.OpMoveForget, from, to, componentPatience, wire.MoveRef{Move: e.Move}, func(q wire.MoveRef, done func(struct{}, error)) { done(struct{}{}, at.moveForget(q)) }, ended)
	case moves.Adopt:
		timed(c, wire.OpMoveAdopt, from, to, componentPatience, e.Req, func(q wire.MoveReq, done func(wire.MoveStatusRep, error)) {
			m, ok := at.(*memory)
			if !ok {
				done(wire.MoveStatusRep{}, wire.Errorf(wire.KindBadRequest, "%s adopts nothing", e.Node))
				return
			}
			m.adopt(q, done)
		}, told)
	case moves.Look:
		timed(c, wire.OpHoldings, from, to, componentPatience, wire.HoldingsReq{From: moves.PlaceOf(e.Req), Limit: 1}, func(q wire.HoldingsReq, done func(wire.HoldingsRep, error)) {
			all := at.holdings()
			page, next := all.Page(q.From, q.Limit)
			done(wire.HoldingsRep{Node: e.Node, Role: c.o.Nodes[to].Role, Epoch: at.member(), Holds: page, Next: next}, nil)
		}, func(rep wire.HoldingsRep, err error) {
			held := moves.HeldOf(e.Req, rep.Holds)
			held.Member = rep.Epoch
			done(moveAnswer{held: held}, err)
		})
	}
}

func (v *mover) propose(effects []moves.Effect, done func([]error)) {
	var ends []moves.End
	var drops []uint64
	for i := range effects {
		if e := &effects[i]; e.Kind == moves.Propose {
			ends = append(ends, e.End)
		} else {
			drops = append(drops, e.Move.No)
		}
	}
	v.g.end(v.k, ends, drops, func(err error) { done(slices.Repeat([]error{err}, len(effects))) })
}

func (v *mover) answered(now time.Duration, e *moves.Effect, a moveAnswer, err error) []moves.Effect {
	if e.Kind == moves.Look {
		return v.core.Seen(now, e.Move, e.Call, a.held, err, nil)
	}
	return v.core.Answered(now, e.Move, e.Call, a.rep, err, nil)
}

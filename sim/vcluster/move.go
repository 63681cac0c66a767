package vcluster

import (
	"errors"
	"fmt"
	"time"

	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/moves"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// DefaultMoveTimeout is how long a move may copy before it begins to switch over, as live.
const DefaultMoveTimeout = 10 * time.Minute

// Order is what is ordered by hand at a moment: that a thing moves, or what is to be done with a component.
type Order struct {
	At time.Duration

	Thing movelist.Thing // what moves; zero if Node is set
	To    wire.NodeID    // who gets it; empty: the placement policy chooses

	Node   wire.NodeID // what is drained or not any more, or removed
	Action membership.Action
}

// Ordered is what came of an Order.
type Ordered struct {
	Order
	Move wire.MoveID // of a thing; how it ends is told by Moves
	Err  error       // it was refused
}

func (o *Order) validate(i int, nodes map[wire.NodeID]bool) error {
	var errs []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("orders[%d].%s", i, fmt.Sprintf(format, args...)))
		}
	}
	add(o.At < 0, "at: %v, want 0 or more", o.At)
	if o.Node != "" {
		add(!nodes[o.Node], "node: %q, want a node of the cluster", o.Node)
		add(o.Action < membership.Drain || o.Action > membership.Remove, "action: %v, want drain, undrain or remove", o.Action)
		add(o.Thing != movelist.Thing{} || o.To != "", "node: %q and %v to %q, want one of them", o.Node, o.Thing, o.To)
		return errors.Join(errs...)
	}
	add(o.To != "" && !nodes[o.To], "to: %q, want a node of the cluster or none", o.To)
	if err := o.Thing.Check(movelist.ManagerOf(o.Thing.Kind)); err != nil {
		add(true, "thing: %v", err)
	}
	return errors.Join(errs...)
}

// follow has the orders of the options given at their moments.
func (c *Cluster) follow() {
	c.ordered = make([]Ordered, len(c.o.Orders))
	for i := range c.o.Orders {
		o := &c.ordered[i]
		o.Order = c.o.Orders[i]
		c.Go(fmt.Sprintf("order %d", i), func(y *vtime.Proc) {
			y.Sleep(o.At)
			if o.Node != "" {
				o.Err = c.Act(y, o.Node, o.Action)
			} else {
				o.Move, o.Err = c.Move(y, o.Thing, o.To)
			}
		})
	}
}

// Ordered tells what came of Options.Orders so far.
func (c *Cluster) Ordered() []Ordered { return append([]Ordered{}, c.ordered...) }

// Move orders that a thing moves to a component; to "" leaves the choice to the placement policy. It returns when the order is taken
// down: the move goes on by itself, and Moves tells how it ends.
func (c *Cluster) Move(y *vtime.Proc, t movelist.Thing, to wire.NodeID) (wire.MoveID, error) {
	k := movelist.ManagerOf(t.Kind)
	if k == 0 {
		return wire.MoveID{}, wire.Errorf(wire.KindBadRequest, "move of kind %d, want 1 to 5", t.Kind)
	}
	if c.replayed != nil {
		return wire.MoveID{}, wire.Errorf(wire.KindBadRequest, "%v cannot move: the managers decide nothing in a run with the placement of another", t)
	}
	var begun []movelist.Begun
	err := c.gm.repeat(y, "the order to move "+t.String(), func(client, seq uint64, done func(error)) {
		c.gm.beginMoves(k, client, seq, []movelist.Order{{Thing: t, To: to, Cause: movelist.ByHand}}, nil, func(b []movelist.Begun, err error) {
			begun = b
			done(err)
		})
	})
	if err != nil {
		return wire.MoveID{}, err
	}
	return wire.MoveID{Manager: k, No: begun[0].No}, begun[0].Err()
}

// Act drains a component, ends its drain, or removes it.
func (c *Cluster) Act(y *vtime.Proc, id wire.NodeID, a membership.Action) error {
	no, ok := c.byID[id]
	if !ok {
		return wire.Errorf(wire.KindNotFound, "no node %q", id)
	}
	if c.replayed != nil {
		return wire.Errorf(wire.KindBadRequest, "%v of %s: the managers decide nothing in a run with the placement of another", a, id)
	}
	g, m := c.gm, wire.Member{ID: id}
	return g.repeat(y, a.String()+" of "+string(id), func(client, seq uint64, done func(error)) {
		switch c.o.Nodes[no].Role {
		case wire.RoleCompute:
			g.toGPM(client, seq, gpm.Request{Op: gpm.OpNode, Member: m, Action: a}, func(r gpm.Result, err error) { done(firstOf(err, r.Err())) })
		case wire.RoleMemory:
			g.cached(id, a, func(cached gmm.Cached, err error) {
				if err != nil {
					done(lostAnswer{err})
					return
				}
				g.toGMMCached(client, seq, gmm.Request{Op: gmm.OpNode, Member: m, Action: a}, cached, func(r gmm.Result, err error) { done(firstOf(err, r.Err())) })
			})
		case wire.RoleStorage:
			g.toGSM(client, seq, gsm.Request{Op: gsm.OpNode, Member: m, Action: a}, func(r gsm.Result, err error) { done(firstOf(err, r.Err())) })
		default:
			done(wire.Errorf(wire.KindBadRequest, "%s is a manager: managers are neither drained nor removed", id))
		}
	})
}

// cached asks GSM, for the removal of an mComponent, how many buffer caches it has, and sees to it that it gets no more: GSM closes it
// under the turn of its present state, which GMM compares when it carries out the removal.
func (g *managers) cached(id wire.NodeID, a membership.Action, done func(gmm.Cached, error)) {
	var gate gsm.Gate
	for _, e := range g.gmm.Entries() {
		if e.Member.ID == id && e.State() != membership.Active {
			gate = gsm.GateOf(e)
		}
	}
	if a != membership.Remove || gate.ID == "" { // GMM says why it is not removed
		done(gmm.Cached{}, nil)
		return
	}
	client, seq := g.session()
	g.toGSM(client, seq, gsm.Request{Op: gsm.OpGates, Gates: []gsm.Gate{gate}}, func(r gsm.Result, err error) {
		if err == nil {
			err = r.Err()
		}
		if err != nil {
			done(gmm.Cached{}, err)
			return
		}
		done(gmm.Cached{Turn: r.Cached[0].Turn, Volumes: r.Cached[0].Volumes}, nil)
	})
}

// lostAnswer is what becomes of a command of which nobody knows; what a result says is not one.
type lostAnswer struct{ error }

func firstOf(lost, refused error) error {
	if lost != nil {
		return lostAnswer{lost}
	}
	return refused
}

// repeat puts a command to a manager until an answer comes, under one session.
func (g *managers) repeat(y *vtime.Proc, what string, propose func(client, seq uint64, done func(error))) (err error) {
	client, seq := g.session()
	for range clientAttempts {
		err = wait(y, what, func(done func(error)) { propose(client, seq, done) })
		if lost := (lostAnswer{}); !errors.As(err, &lost) {
			return err
		}
	}
	return wire.Errorf(wire.KindUnavailable, "%s: nobody knows what became of it after %d attempts: %v", what, clientAttempts, err)
}

// Holds tells what a manager has at a component, above all while it drains.
func (c *Cluster) Holds(k wire.Manager, id wire.NodeID) (movelist.Holds, error) {
	b, err := c.gm.answer(k, membership.Query{Kind: membership.QueryHolds, Node: id})
	if err != nil {
		return movelist.Holds{}, err
	}
	var h movelist.Holds
	err = membership.DecodeAnswer(b, &h)
	return h, err
}

// Moves gives the moves of the three managers: those that have ended, as far as they are remembered, and those that are listed.
func (c *Cluster) Moves() (out []movelist.Move) {
	for _, k := range managersOf {
		out = append(out, c.gm.state(k).Moves().All()...)
	}
	return out
}

var managersOf = []wire.Manager{wire.GPM, wire.GMM, wire.GSM}

// moveState is what the three states are to moves.
type moveState interface {
	Entries() []membership.Entry
	Moves() *movelist.List
	Turn() uint64
}

func (g *managers) state(k wire.Manager) moveState {
	switch k {
	case wire.GPM:
		return g.gpm
	case wire.GMM:
		return g.gmm
	}
	return g.gsm
}

// beginMoves proposes orders and notes.
func (g *managers) beginMoves(k wire.Manager, client, seq uint64, orders []movelist.Order, notes []movelist.Note, done func([]movelist.Begun, error)) {
	for i := range orders {
		orders[i].TimeoutMS = uint32(g.c.o.MoveTimeout / time.Millisecond)
	}
	switch k {
	case wire.GPM:
		g.toGPM(client, seq, gpm.Request{Op: gpm.OpBegin, Orders: orders, Notes: notes}, func(r gpm.Result, err error) { done(r.Begun, firstOf(err, r.Err())) })
	case wire.GMM:
		g.toGMM(client, seq, gmm.Request{Op: gmm.OpBegin, Orders: orders, Notes: notes}, func(r gmm.Result, err error) { done(r.Begun, firstOf(err, r.Err())) })
	default:
		g.toGSM(client, seq, gsm.Request{Op: gsm.OpBegin, Orders: orders, Notes: notes}, func(r gsm.Result, err error) { done(r.Begun, firstOf(err, r.Err())) })
	}
}

// end proposes how moves ended, and that givers have forgotten them.
func (g *managers) end(k wire.Manager, ends []moves.End, drops []uint64, done func(error)) {
	client, seq := g.session()
	switch k {
	case wire.GPM:
		g.toGPM(client, seq, gpm.Request{Op: gpm.OpEnd, Ends: ends, Drops: drops}, func(r gpm.Result, err error) { done(firstOf(err, r.Err())) })
	case wire.GMM:
		g.toGMM(client, seq, gmm.Request{Op: gmm.OpEnd, Ends: ends, Drops: drops}, func(r gmm.Result, err error) { done(firstOf(err, r.Err())) })
	default:
		g.toGSM(client, seq, gsm.Request{Op: gsm.OpEnd, Ends: ends, Drops: drops}, func(r gsm.Result, err error) { done(firstOf(err, r.Err())) })
	}
}

// applied looks after what may have changed with a command: moves, and as GSM's buffer caches are GMM's members, theirs.
func (g *managers) applied(k wire.Manager) {
	g.movers[k].wake()
	if k == wire.GMM {
		g.movers[wire.GSM].wake()
	}
	g.balance.news()
	g.c.phased()
}

// answer answers a query of a manager from its state.
func (g *managers) answer(k wire.Manager, q membership.Query) ([]byte, error) {
	switch k {
	case wire.GPM:
		return g.gpm.Query(q)
	case wire.GMM:
		return g.gmm.Query(q)
	}
	return g.gsm.Query(q)
}

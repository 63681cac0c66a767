package vcluster

import (
	"errors"
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/fifo"
	"splitkernel/sim/units"
)

// SMT is what hyper-threads cost the threads of a pComponent whose system does not look at siblings: each thread is on any free place
// with the same probability, and two threads of one core are each slower.
type SMT struct {
	// Cores have two places each; 0 is a pComponent without this model.
	Cores int
	// Taken are places of threads of the system that never sleep, each on a core of its own.
	Taken int
	// Gain is what a core does with two threads, compared with one: 1 to 2.
	Gain units.Ratio
}

func (s SMT) validate() error {
	if s == (SMT{}) {
		return nil
	}
	if s.Cores < 1 || s.Taken < 0 || s.Taken > s.Cores || s.Gain < units.One || s.Gain > 2*units.One {
		return fmt.Errorf("smt: %+v, want at least 1 core, 0 to as many taken places, and a gain of 1 to 2", s)
	}
	return nil
}

// slow is how many times longer a thread takes when n run, on average over all ways to place them.
//
//	P(sibling busy) = taken/places + (1 − taken/places) · (n − 1)/(places − 1)        places = 2 · cores − taken
//	speed           = 1 − P · (1 − gain/2)
func (s SMT) slow(n int) units.Ratio {
	places := 2*s.Cores - s.Taken
	if n = min(n, places); n < 1 || places < 2 {
		return units.One
	}
	busy, of := s.Taken*(places-1)+(places-s.Taken)*(n-1), places*(places-1)
	loss := units.Ratio(busy) * (2*units.One - s.Gain) / units.Ratio(2*of)
	return units.One * units.One / (units.One - loss)
}

// slowed is what work takes that takes d alone.
func (n *compute) slowed(d time.Duration) time.Duration {
	if n.slow == units.One {
		return d
	}
	return n.slow.Of(units.Of(d)).Duration()
}

// running changes how many threads run.
func (n *compute) running(by int) {
	n.run += by
	n.slow = n.o.SMT.slow(n.run)
}

// workers are those of a component: one queue for all of them, or one for each, which requests join in turn.
type workers struct {
	pools []*fifo.Pool[uint32] // of messages
	turn  int
}

func newWorkers(n *Node, queue int) *workers {
	if !n.OwnQueues {
		return &workers{pools: []*fifo.Pool[uint32]{fifo.NewPool[uint32](n.workers(), queue)}}
	}
	w := &workers{}
	for range n.workers() {
		w.pools = append(w.pools, fifo.NewPool[uint32](1, queue))
	}
	return w
}

// arrive brings a request, and says which queue it joined.
func (w *workers) arrive(now time.Duration, job uint32) (fifo.Outcome, int32) {
	q := w.turn
	if w.turn++; w.turn == len(w.pools) {
		w.turn = 0
	}
	return w.pools[q].Arrive(now, job), int32(q)
}

// busy is how long workers were busy, all together.
func (w *workers) busy() (d time.Duration) {
	for _, p := range w.pools {
		d += p.Stats().Busy
	}
	return d
}

// copied goes on when a line has been copied into a message, which LegoOS's released code does before it sends one.
func (p *Process) copied(then func()) {
	if !p.c.o.Released {
		then()
		return
	}
	now := p.c.clock.Now()
	end := p.c.ports[p.n.no].dram.Move(now, wire.PageSize)
	p.c.at(now+p.n.slowed(end-now), then)
}

// replicaSent sends a replica that nobody answers, and goes on when the network card has delivered it.
func (p *Process) replicaSent(then func()) {
	if p.c.o.Replication == nil || p.c.o.Replication.Wait {
		then()
		return
	}
	p.copied(func() {
		c, to := p.c, p.c.secondary(p.c.node(p.o.Home.Node))
		c.at(c.tell(opReplica, p.n.no, to.no, c.o.Replication.EntryBytes, to.replica), then)
	})
}

// tell sends a message that has no answer and gives the moment at which its sender goes on.
func (c *Cluster) tell(op wire.Op, from, to int32, bytes int, do func()) time.Duration {
	i := c.msgs.take()
	m := c.msgs.at(i)
	*m = message{op: op, from: from, to: to, bytes: int32(bytes), silent: true, serve: func(func(int, func())) { do() }}
	return c.post(i)
}

func (o *Options) validateReleased() error {
	var errs []error
	for i := range o.Nodes {
		if err := o.Nodes[i].SMT.validate(); err != nil {
			errs = append(errs, fmt.Errorf("nodes.%s: %w", o.Nodes[i].ID, err))
		}
	}
	return errors.Join(errs...)
}

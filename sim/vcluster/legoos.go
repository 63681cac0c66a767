package vcluster

import (
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/fifo"
	"splitkernel/sim/units"
)

// slowness is how many times longer n threads at a pComponent take than one that shares nothing.
func (o *Node) slowness(n int) units.Ratio {
	if n < 1 || len(o.Slow) == 0 {
		return units.One
	}
	return o.Slow[min(n, len(o.Slow))-1]
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
	n.slow = n.o.slowness(n.run)
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

func (o *Node) validateSlow() error {
	for i, r := range o.Slow {
		if r < units.One || r > maxSlow {
			return fmt.Errorf("nodes.%s: slow with %d threads: %v, want 1 to %v", o.ID, i+1, r, maxSlow)
		}
	}
	return nil
}

// maxSlow bounds Node.Slow.
const maxSlow = 1000 * units.One

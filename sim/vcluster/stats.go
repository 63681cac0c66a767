package vcluster

import (
	"time"

	"splitkernel/mcomponent/erasure"
	"splitkernel/mcomponent/replica"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/fault"
)

// Stages of a fetch, in order: what it waited for.
var Stages = []string{"processor", "request_nic_and_wire", "poll", "worker_queue", "service", "reply_nic_and_wire", "reply_poll"}

// stages is how long a fetch was in each of Stages.
type stages [7]time.Duration

// stagesOf takes the times of a fetch apart that was answered now.
func stagesOf(m *message, now time.Duration) stages {
	return stages{0, m.arrived - m.sent, m.queued - m.arrived, m.started - m.queued, m.ended - m.started, m.came - m.returned, now - m.came}
}

// Latencies of a process, in ns.
type Latencies struct {
	Fault  [6]Histogram     // by fault.How - 1
	Block  [3]Histogram     // read, write, flush
	Stages [7]time.Duration // sums over fetches
	N      uint64           // fetches
}

func (l *Latencies) record(how fault.How, took time.Duration, s *stages) {
	l.Fault[how-fault.PLocal].add(took)
	if how != fault.Fetched {
		return
	}
	l.N++
	rest := took
	for i, d := range s {
		l.Stages[i] += d
		rest -= d
	}
	l.Stages[0] += rest // at the processor of the thread: the trap, the message, mapping the line
}

func (l *Latencies) block(kind int, took time.Duration) {
	l.Block[kind].add(took)
}

// Latencies gives what was measured.
func (p *Process) Latencies() *Latencies { return &p.lat }

// Component is what one component counted.
type Component struct {
	ID      wire.NodeID
	Role    wire.Role
	Epoch   wire.Epoch
	Fetches uint64 // misses served
	Flushes uint64
	Reads   uint64
	Writes  uint64
	Syncs   uint64
	Used    uint64        // pages
	Busy    time.Duration // of its workers
	// Copies, Held and Shares, of a memory component, are of what it serves, holds for others, and serves of shares.
	Copies replica.Stats
	Held   replica.HolderStats
	Shares erasure.Stats
}

// Components gives the counters of all components but managers, in the order of the nodes.
func (c *Cluster) Components() []Component {
	var out []Component
	for i, n := range c.nodes {
		o := &c.o.Nodes[i]
		x := Component{ID: o.ID, Role: o.Role}
		switch n := n.(type) {
		case *compute:
			x.Epoch = n.epoch
		case *memory:
			x.Epoch, x.Fetches, x.Flushes, x.Used = n.epoch, n.misses, n.flushes, uint64(n.store.Stats().Used)
			x.Busy = c.ports[i].workers.busy()
			if n.red != nil {
				x.Copies, x.Held, x.Shares = n.red.primary.Stats(), n.red.holder.Stats(), n.red.shares.Stats()
			}
			s := n.blocks.cache.Stats()
			x.Reads, x.Writes, x.Syncs = s.Reads, s.Writes, s.Flushes
		case *storage:
			x.Epoch, x.Reads, x.Writes, x.Syncs = n.epoch, n.reads, n.writes, n.flushes
			x.Busy = c.ports[i].workers.busy()
		default:
			continue
		}
		out = append(out, x)
	}
	return out
}

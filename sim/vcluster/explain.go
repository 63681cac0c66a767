package vcluster

import (
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/fault"
)

// spent is where the time of a fault goes beside the stages of its last fetch.
type spent struct {
	waited  time.Duration // for whatever came, fetches included
	fetches uint32
	flush   bool
	owner   wire.NodeID
}

// waits has the thread wait for what its fault needs.
func (t *Thread) waits() {
	from := t.p.c.clock.Now()
	t.y.Wait(&t.wake)
	t.spent.waited += t.p.c.clock.Now() - from
}

// fetched notes a fetch that was answered.
func (s *spent) fetched(m *message, owner wire.NodeID) {
	s.flush, s.owner = m.paired, owner
	s.fetches++
}

// stageOf are Stages but for the first, as they are told of a single fault.
var stageOf = [...]wire.Stage{wire.StageRequest, wire.StagePoll, wire.StageQueue, wire.StageService, wire.StageReply, wire.StageReplyPoll}

// explain takes the time of a fault apart that was answered at now, and whose line is filled at ends.
func (t *Thread) explain(page wire.PageNo, write bool, how fault.How, began, now, ends time.Duration) wire.SlowFault {
	p, s, g := t.p, &t.spent, &t.stage
	f := wire.SlowFault{
		PID: p.o.PID, Process: p.o.Name, Node: p.n.o.ID, Thread: uint32(t.id), Page: page, Write: write, How: uint8(how), Fetches: s.fetches, Flush: s.flush, Owner: s.owner,
		Timed: true, BeganNS: int64(began), TookNS: uint64(ends - began),
	}
	message, whole := time.Duration(0), true
	for _, d := range g {
		message += d
		whole = whole && d >= 0
	}
	if whole = whole && message <= s.waited; whole { // else it never arrived, and somebody else brought the page
		for k, stage := range stageOf {
			f.Stages[stage] = uint64(g[k+1])
		}
	} else {
		message = 0
	}
	f.Stages[wire.StageWait] = uint64(s.waited - message)
	f.Stages[wire.StageFill] = uint64(ends - now)
	rest := ends - began
	for _, d := range f.Stages {
		rest -= time.Duration(d)
	}
	f.Stages[wire.StageProcessor] = uint64(max(rest, 0))
	return f
}

// SlowFaults gives at most limit of the faults that took longest of all processes, the slowest first.
func (c *Cluster) SlowFaults(limit int) []wire.SlowFault { return c.slow.Slowest(limit) }

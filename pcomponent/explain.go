package pcomponent

import (
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/fault"
	"splitkernel/pcomponent/slowest"
)

// spent is where the time of a fault goes, as far as its thread notes it: beside the times that the histograms need anyway only of a fetch
// that is timed.
type spent struct {
	wait    time.Duration // not for the last message
	message time.Duration // of the last message, from when the thread looked at the clock before
	fetches uint32
	flush   bool // it carried the write-back of the victim
	owner   wire.NodeID
	trace   uint32        // of its call
	at      time.Duration // of a call with a trace: when it was begun
}

// timeFetch prepares the message of a fault: one in slowest.TimedEvery is timed, and one in TraceSample is a trace. The lock is held.
func (p *Process) timeFetch(t *Thread, e *fault.Effect, peer *netlayer.Peer, flush bool) {
	s := &t.spent
	s.wait += s.message // of an earlier attempt
	s.fetches, s.flush, s.owner, s.message = s.fetches+1, flush, e.Owner.Node, 0
	p.fetched++
	if s.trace < wire.FirstTrace {
		s.trace = 0
		if p.fetched%slowest.TimedEvery == 0 {
			s.trace = wire.Timed
		}
		if n := p.c.o.TraceSample; n > 0 && p.c.o.Net.Spans != nil && p.fetched%uint64(n) == 0 {
			s.trace = span.New()
		}
	}
	if t.miss.Trace = s.trace; s.trace != 0 {
		s.at = p.now()
	}
	if s.trace >= wire.FirstTrace {
		t.asked, t.askedAt = peer, time.Now()
	}
}

// explain keeps a fault that has ended if it is one of the slowest, and tells its spans if it is a trace. The lock is held.
func (t *Thread) explain(page wire.PageNo, write bool, how fault.How, began, took time.Duration) {
	p, s := t.p, &t.spent
	call, timed := &t.miss, s.trace != 0 && t.miss.Err == nil
	if p.slow.Beats(took, timed) {
		f := wire.SlowFault{
			PID: p.o.PID, Process: p.o.Name, Node: p.c.o.ID, Thread: uint32(t.id), Page: page, Write: write, How: uint8(how), Fetches: s.fetches, Flush: s.flush,
			Owner: s.owner, Timed: timed, BeganNS: p.opened.UnixNano() + int64(began), TookNS: uint64(took),
		}
		stage := func(k wire.Stage, d time.Duration) { f.Stages[k] = uint64(max(d, 0)) }
		stage(wire.StageWait, s.wait)
		if x := &call.Times; timed {
			came := x.Came
			sent := min(x.Sent, came) // who wrote it may have come to that later than the answer
			stage(wire.StageSlot, min(x.Slot, sent))
			stage(wire.StageSend, sent-x.Slot)
			stage(wire.StageQueue, min(x.Queue, came-sent))
			stage(wire.StageService, min(x.Service, came-sent-time.Duration(f.Stages[wire.StageQueue])))
			stage(wire.StageWay, came-sent-time.Duration(f.Stages[wire.StageQueue]+f.Stages[wire.StageService]))
			stage(wire.StageWakeUp, t.now-s.at-came)
		} else {
			stage(wire.StageMessage, s.message)
		}
		rest := took
		for _, d := range f.Stages {
			rest -= time.Duration(d)
		}
		stage(wire.StageProcessor, rest)
		p.slow.Add(f)
	}
	if s.trace < wire.FirstTrace {
		return
	}
	sink := p.c.o.Net.Spans
	root := span.Root(s.trace)
	now := t.askedAt.Add(t.now - s.at) // when the answer was there
	t.asked.TellSpan(call, root, t.askedAt, now)
	sink.Tell(span.Span{
		Trace: s.trace, ID: root, Kind: span.Internal, Name: "fault", Start: t.askedAt.Add(began - s.at), End: now,
		Attrs: []span.Attr{
			{Key: "process", Text: p.o.Name}, {Key: "pid", N: int64(p.o.PID)}, {Key: "thread", N: int64(t.id)}, {Key: "page", N: int64(page)},
			{Key: "how", Text: faultNames[how-fault.PLocal]}, {Key: "owner", Text: string(s.owner)}, {Key: "messages", N: int64(s.fetches)}, {Key: "wait_ns", N: int64(s.wait)},
		},
	})
}

// leave takes a process that has ended here out of the books, and keeps what it counted.
func (p *Process) leave() {
	p.mu.Lock()
	slow := p.slow
	p.mu.Unlock()
	p.c.mu.Lock()
	p.c.slow.Join(&slow)
	p.c.mu.Unlock()
	p.c.release(p.o.PID, p.o.ExCache.Lines, p.totals())
}

// SlowFaults gives at most limit of the faults that took longest of all processes that ran here, the slowest first.
func (c *Component) SlowFaults(limit int) wire.SlowFaultsRep {
	if limit <= 0 || limit > wire.MaxSlowFaults {
		limit = wire.MaxSlowFaults
	}
	var all slowest.Keeper
	for _, p := range c.open() {
		p.mu.Lock()
		all.Join(&p.slow)
		p.mu.Unlock()
	}
	c.mu.Lock()
	all.Join(&c.slow)
	c.mu.Unlock()
	return wire.SlowFaultsRep{Node: c.o.ID, Every: slowest.TimedEvery, Faults: all.Slowest(limit)}
}

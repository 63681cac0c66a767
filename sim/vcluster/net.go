package vcluster

import (
	"fmt"
	"time"

	"splitkernel/netlayer/link"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/fault"
	"splitkernel/sim/fifo"
	"splitkernel/sim/hardware/endpoint"
	"splitkernel/sim/hardware/processor"
	"splitkernel/sim/units"
	"splitkernel/sim/vtime"
)

// message is a request on its way, with its answer. The hot ones are told apart by op and have their fields here; every other
// one brings two functions.
type message struct {
	op       wire.Op
	from, to int32
	bytes    int32 // of the request
	back     int32 // of the answer

	p      *Process // of a miss or flush: who asks
	thread int32    // of a miss
	page   wire.PageNo
	frame  uint32 // of a miss: where the page goes at the asker
	ahead  uint64 // of a miss for which no thread waits: the id of the prefetch
	epoch  wire.Epoch
	stamp  Stamp // of the page that goes either way
	err    *wire.Error
	paired bool // a flush travels with the miss
	flush  flushBody

	serve  func(done func(back int, then func())) // of any other: done sends the answer, and then runs where it arrives
	answer func()
	fail   func(error) // of any other: what is done if no answer comes

	fromLife, toLife uint16 // of the nodes, when it was sent
	stage            stage

	silent  bool   // nobody answers it
	worker  int32  // or its queue, where each worker has one
	waited  bool   // its worker was given back while it waited for others
	parked  bool   // of a miss or flush: it waits for other mComponents, and nothing comes for it if its receiver ends
	refused bool   // it never had one
	entries uint16 // pages or blocks of a copy that moves, and how many of them have bytes
	full    uint16

	sent, arrived, queued, started, ended time.Duration // of the request
	returned, came                        time.Duration // of the answer
}

// flushBody is a page that is written back.
type flushBody struct {
	fault.Flush
	epoch wire.Epoch // of the owner
	stamp Stamp
	err   *wire.Error
	later bool // its answer is a message of its own, as it came with a miss and waits for holders
}

// Sizes of messages, in bytes with their headers.
type Sizes struct {
	Miss, Flush, MissFlush int32
	Page                   int32 // the answer to a miss
	Ack                    int32 // the answer to a flush, or to a write of blocks
	BlockToMemory          int32 // a block request of a process, beside its data
	BlockToStorage         int32 // one of a buffer cache, beside its data
}

// ownSizes are those of the message layer.
var ownSizes = Sizes{
	Miss: wire.HeaderLen + wire.MissLen, Flush: wire.HeaderLen + wire.FlushLen + wire.PageSize, MissFlush: wire.HeaderLen + wire.MissFlushLen + wire.PageSize,
	Page: wire.HeaderLen + wire.PageSize, Ack: wire.HeaderLen, BlockToMemory: wire.HeaderLen + wire.BlockLen, BlockToStorage: wire.HeaderLen + wire.BlockLen,
}

// validate wants all sizes or none, since nobody sends a message of no bytes.
func (s Sizes) validate() error {
	if s == (Sizes{}) {
		return nil
	}
	if min(s.Miss, s.Flush, s.MissFlush, s.Page, s.Ack, s.BlockToMemory, s.BlockToStorage) < 1 {
		return fmt.Errorf("sizes: %+v, want each at least 1 byte, or none set", s)
	}
	return nil
}

// CallTimeout is after how long a request whose message or answer was lost counts as such: that of a live connection.
const CallTimeout = 5 * time.Second

// port is the messages' side of a node: its NIC, its polling thread, its workers, its memory.
type port struct {
	*endpoint.Node
	workers *workers
	dram    *processor.Memory
}

// post sends a message that was filled in and gives the moment at which its sender could go on.
func (c *Cluster) post(i uint32) time.Duration {
	m := c.msgs.at(i)
	m.sent = c.clock.Now()
	if c.mortal && !c.leaves(i) {
		return c.clock.Now()
	}
	if m.from == m.to { // within a component nothing is sent
		m.arrived, m.stage = m.sent, polled
		c.clock.At(m.sent, c.begin, i)
		return m.sent
	}
	out := c.ports[m.from].Send(m.sent, link.NIC(m.to), uint64(m.bytes))
	c.onTheWay(i, out, c.arrive)
	return out.Free
}

// onTheWay schedules the arrival of a message, or, if it is lost, the moment at which its sender gives it up. A second copy is
// recognised by the receiver and dropped.
func (c *Cluster) onTheWay(i uint32, out endpoint.Out, arrives vtime.Kind) {
	at := out.Arrivals()
	if len(at) == 0 {
		c.neverComes(i)
		return
	}
	first := at[0]
	for _, t := range at {
		first = min(first, t)
	}
	c.clock.At(first, arrives, i)
}

// onLost answers a request that got no answer.
func (c *Cluster) onLost(i uint32) {
	m := c.msgs.at(i)
	c.failed(i, wire.Errorf(wire.KindTimeout, "%v to %s: no answer within %v", m.op, c.o.Nodes[m.to].ID, CallTimeout))
}

// failed answers a request with an error of the way.
func (c *Cluster) failed(i uint32, err *wire.Error) {
	if c.mortal && !c.asks(i) {
		return
	}
	m := c.msgs.at(i)
	if m.silent {
		c.msgs.free(i)
		return
	}
	if m.err = err; !m.flush.later {
		m.flush.err = err
	}
	if m.fail != nil {
		fail, err := m.fail, m.err
		c.msgs.free(i)
		fail(err)
		return
	}
	c.onAnswered(i)
}

// onArrive takes a message from the NIC to its receiver's polling thread.
func (c *Cluster) onArrive(i uint32) {
	m := c.msgs.at(i)
	m.arrived = c.clock.Now()
	c.digest.mark(m.arrived, markMessage, uint64(m.from)<<32|uint64(m.to), uint64(m.op)<<32|uint64(m.bytes))
	if c.mortal && !c.runs(m.to, m.toLife) {
		c.refuse(i)
		return
	}
	at, ok := c.ports[m.to].Receive(m.arrived, uint64(m.bytes))
	if !ok {
		c.neverComes(i)
		return
	}
	m.stage = polled
	c.clock.At(at, c.begin, i)
}

// onBegin gives a request to a worker, or has it wait for one.
func (c *Cluster) onBegin(i uint32) {
	m := c.msgs.at(i)
	if m.op == opGone {
		c.msgs.free(i)
		return
	}
	m.queued, m.stage = c.clock.Now(), queued
	outcome, worker := c.ports[m.to].workers.arrive(m.queued, i)
	m.worker = worker
	switch outcome {
	case fifo.Begin:
		c.work(i)
	case fifo.Refused:
		if m.silent {
			c.msgs.free(i)
			return
		}
		m.err = wire.Errorf(wire.KindBusy, "%s: %d requests wait for a worker", c.o.Nodes[m.to].ID, c.o.Hardware.Endpoint.WorkerQueue)
		m.flush.err, m.refused = m.err, true
		c.reply(i)
	}
}

// work has a worker perform a request.
func (c *Cluster) work(i uint32) {
	m := c.msgs.at(i)
	now := c.clock.Now()
	m.started, m.stage = now, working
	p := &c.ports[m.to]
	if n := c.moves(m); n > 0 { // bytes that go through the memory of the component
		now = p.dram.Move(now, uint64(n))
	}
	if c.host != nil {
		_, end := c.host.Serve(m.started, units.Of(now-m.started)+c.o.Hardware.Endpoint.Worker+c.service(m))
		c.clock.At(end, c.served, i)
		return
	}
	c.clock.At(now+p.Work(c.service(m)), c.served, i)
}

// moves is how many bytes of pages and blocks a request moves in its receiver's memory.
func (c *Cluster) moves(m *message) int {
	switch m.op {
	case wire.OpMiss, wire.OpMissFlush: // a flush that came with it is applied after the miss was answered
		if c.o.Released {
			n := 0
			if _, _, ok := c.nodes[m.to].(*memory).store.Peek(m.p.o.PID, m.page); !ok {
				n = wire.PageSize // it becomes zeros
			}
			if m.op == wire.OpMissFlush {
				n += wire.PageSize
			}
			return n
		}
		return wire.PageSize
	case wire.OpFlush:
		return wire.PageSize
	case wire.OpBlockRead, wire.OpBlockWrite, wire.OpReplicaBlockRead, wire.OpReplicaBlockWrite:
		return wire.PageSize
	case wire.OpReplicaWrite: // of a share less than a page
		return min(int(m.full)*wire.PageSize, int(m.bytes))
	case wire.OpRegionCopy, wire.OpVolumeCopy:
		return int(m.full) * wire.PageSize
	case opReplica:
		if n := c.nodes[m.to].(*memory); !n.log.flushing {
			return wire.PageSize
		}
	}
	return 0
}

// service is what a worker does beside moving bytes: it finds the page or block.
func (c *Cluster) service(m *message) units.Picos {
	switch m.op {
	case wire.OpMissFlush:
		if c.o.Released {
			return 2 * c.o.Hardware.Processor.Lookup()
		}
		return c.o.Hardware.Processor.Lookup()
	case wire.OpMiss, wire.OpFlush, wire.OpBlockRead, wire.OpBlockWrite, wire.OpReplicaBlockRead, wire.OpReplicaBlockWrite, wire.OpReplicaVersions:
		return c.o.Hardware.Processor.Lookup()
	case wire.OpRegionCopy, wire.OpVolumeCopy, wire.OpReplicaWrite:
		return units.Picos(m.entries) * c.o.Hardware.Processor.Lookup()
	}
	return 0
}

// onServed performs a request, whose answer leaves now or later. A worker is busy until its answer has left, but not while it
// would only wait for others.
func (c *Cluster) onServed(i uint32) {
	m := c.msgs.at(i)
	m.ended = c.clock.Now()
	switch m.op {
	case wire.OpMiss, wire.OpFlush, wire.OpMissFlush:
		if c.nodes[m.to].(*memory).page(i) {
			m := c.msgs.at(i)
			m.parked, m.waited = true, true
			c.freeWorker(m.to, m.worker)
			return
		}
		c.reply(i)
		return
	case opGone:
		c.msgs.free(i)
		return
	}
	if m.silent {
		to, worker := m.to, m.worker
		m.serve(nil)
		c.msgs.free(i)
		c.freeWorker(to, worker)
		return
	}
	inside, answered, waits := true, false, c.o.Nodes[m.to].WorkersWait
	m.serve(func(back int, then func()) {
		m := c.msgs.at(i)
		answered = true
		if m.op == opGone {
			c.msgs.free(i)
			return
		}
		m.back, m.answer, m.waited = int32(back), then, !inside && !waits
		c.reply(i)
	})
	if inside = false; !answered && !waits {
		m := c.msgs.at(i)
		c.freeWorker(m.to, m.worker)
	}
}

// freeWorker ends the work of a worker.
func (c *Cluster) freeWorker(of, worker int32) {
	if next, ok := c.ports[of].workers.pools[worker].Release(c.clock.Now()); ok {
		c.work(next)
	}
}

// reply sends an answer now.
func (c *Cluster) reply(i uint32) {
	m := c.msgs.at(i)
	m.returned, m.stage = c.clock.Now(), returned
	if m.from == m.to {
		if !m.waited && !m.refused {
			c.freeWorker(m.to, m.worker)
		}
		c.clock.At(m.returned, c.answered, i)
		return
	}
	out := c.ports[m.to].Reply(m.returned, link.NIC(m.from), uint64(m.back))
	c.onTheWay(i, out, c.back)
	if m.waited || m.refused {
		return
	}
	after := c.moveAfter(m)
	c.clock.At(out.Free+after, c.freed, freedAs(m.to, m.worker, m.toLife))
}

// moveAfter is what a worker does after it has answered: the flush of a message that brought a miss, too.
func (c *Cluster) moveAfter(m *message) time.Duration {
	if m.op != wire.OpMissFlush || c.o.Released {
		return 0
	}
	p := &c.ports[m.to]
	end := p.dram.Move(m.returned, wire.PageSize)
	return end - m.returned + c.o.Hardware.Processor.Lookup().Duration()
}

// onBack takes an answer from the NIC to the polling thread of who asked.
func (c *Cluster) onBack(i uint32) {
	m := c.msgs.at(i)
	m.came = c.clock.Now()
	if c.mortal && !c.asks(i) {
		return
	}
	at, ok := c.ports[m.from].Receive(m.came, uint64(m.back))
	if !ok {
		c.neverComes(i)
		return
	}
	c.clock.At(at, c.answered, i)
}

// onAnswered takes an answer to who asked.
func (c *Cluster) onAnswered(i uint32) {
	if c.mortal && !c.asks(i) {
		return
	}
	m := *c.msgs.at(i)
	c.msgs.free(i)
	c.digest.mark(c.clock.Now(), markMessage, uint64(m.to)<<32|uint64(m.from), uint64(m.op)<<32|uint64(m.back))
	switch m.op {
	case wire.OpMiss, wire.OpMissFlush:
		m.p.fetched(&m)
	case wire.OpFlush:
		m.p.flushed(&m)
	default:
		if m.answer != nil {
			m.answer()
		} else if m.refused && m.fail != nil { // nobody served it
			m.fail(m.err)
		}
	}
}

// ask sends a request that is not hot. serve runs at the receiver and calls done, then or later, with the size of the answer's
// body and what is to be done where it arrives.
func (c *Cluster) ask(op wire.Op, from, to int32, body int, serve func(done func(back int, then func())), fail func(error)) {
	c.send(op, from, to, wire.HeaderLen+body, func(done func(int, func())) {
		serve(func(back int, then func()) { done(wire.HeaderLen+back, then) })
	}, fail)
}

// send is ask with sizes that have the headers in them.
func (c *Cluster) send(op wire.Op, from, to int32, bytes int, serve func(done func(back int, then func())), fail func(error)) {
	i := c.msgs.take()
	*c.msgs.at(i) = message{op: op, from: from, to: to, bytes: int32(bytes), serve: serve, fail: fail}
	c.post(i)
}

// controlAttempts is how often a control message is sent in all, as by a live connection.
const controlAttempts = 10

// control is ask with a request and an answer in msgpack: their lengths are those of the wire. What gets no answer is sent again, and
// executed at most once for as long as its receiver lives, as by the sessions of live connections.
func control[Q, R any](c *Cluster, op wire.Op, from, to int32, q Q, serve func(q Q, done func(R, error)), answer func(R, error)) {
	request(c, op, from, to, controlAttempts, q, serve, answer)
}

// request is control that is sent so often at most.
func request[Q, R any](c *Cluster, op wire.Op, from, to int32, most int, q Q, serve func(q Q, done func(R, error)), answer func(R, error)) {
	size := len(wire.Marshal(q))
	var (
		begun, done bool
		life        uint16 // of the receiver when it began
		kept        R
		keptErr     error
		waiting     []func()
	)
	send, attempts := func() {}, 0
	send = func() {
		attempts++
		c.ask(op, from, to, size, func(reply func(int, func())) {
			give := func() {
				n := 0
				if keptErr == nil {
					n = len(wire.Marshal(kept))
				} else {
					n = len(keptErr.Error()) // a kind and a text
				}
				r, err := kept, keptErr
				reply(n, func() { answer(r, err) })
			}
			if now := c.lives[to].no; begun && now != life {
				begun, done, waiting = false, false, nil
			}
			switch {
			case done:
				give()
			case begun:
				waiting = append(waiting, give)
			default:
				begun, life, waiting = true, c.lives[to].no, append(waiting, give)
				in := life
				serve(q, func(r R, err error) {
					if in != life { // of a life that has ended
						return
					}
					done, kept, keptErr = true, r, err
					all := waiting
					for waiting = nil; len(all) > 0; all = all[1:] {
						all[0]()
					}
				})
			}
		}, func(err error) {
			if wire.KindOf(err) == wire.KindTimeout && attempts < most {
				send()
				return
			}
			var none R
			answer(none, err)
		})
	}
	send()
}

package vcluster

import (
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/fault"
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
	epoch  wire.Epoch
	stamp  Stamp // of the page that goes either way
	err    *wire.Error
	paired bool // a flush travels with the miss
	flush  flushBody

	serve  func(done func(back int, then func())) // of any other: done sends the answer, and then runs where it arrives
	answer func()

	sent, arrived, started, ended time.Duration // of the request
	returned                      time.Duration // when its answer left
}

// flushBody is a page that is written back.
type flushBody struct {
	fault.Flush
	epoch wire.Epoch // of the owner
	stamp Stamp
	err   *wire.Error
}

// Sizes on the wire, as the message layer has them.
const (
	missBytes      = wire.HeaderLen + wire.MissLen
	flushBytes     = wire.HeaderLen + wire.FlushLen + wire.PageSize
	missFlushBytes = wire.HeaderLen + wire.MissFlushLen + wire.PageSize
	ackBytes       = wire.HeaderLen
	pageBytes      = wire.HeaderLen + wire.PageSize
)

// network is the NICs and links of the nodes.
type network struct {
	c     *Cluster
	links Links
	left  []time.Duration // by node: when its last message was handed to its NIC
}

func (n *network) init(c *Cluster, nodes int) {
	n.c, n.links, n.left = c, c.hw.Links(nodes, c.o.Seed), make([]time.Duration, nodes)
}

// send gives the moment at which a message arrives that leaves its sender's processor at a moment. Messages of a node are handed
// to its NIC in order.
func (n *network) send(from, to int32, leaves time.Duration, bytes int) (arrives time.Duration) {
	leaves = max(leaves, n.left[from])
	n.left[from] = leaves
	if from == to {
		return leaves // within a component nothing is sent
	}
	return n.links.Send(leaves, int(from), int(to), bytes)
}

// post sends a message that was filled in. cost is what its sender's processor has to do for it before it leaves.
func (c *Cluster) post(i uint32, cost time.Duration) {
	m := c.msgs.at(i)
	m.sent = c.clock.Now()
	at := c.net.send(m.from, m.to, m.sent+cost, int(m.bytes))
	c.clock.At(at, c.arrive, i)
}

// onArrive queues a request at its receiver's processor.
func (c *Cluster) onArrive(i uint32) {
	m := c.msgs.at(i)
	m.arrived = c.clock.Now()
	c.digest.mark(m.arrived, markMessage, uint64(m.from)<<32|uint64(m.to), uint64(m.op)<<32|uint64(m.bytes))
	switch to := c.nodes[m.to].(type) {
	case *memory:
		m.started, m.ended = to.queue(m)
	case *storage:
		m.started, m.ended = to.queue(m)
	default: // a pComponent, or a manager: whoever takes the message has a processor to itself
		m.started = m.arrived
		m.ended = m.arrived + c.hw.Receive(int(m.bytes))
	}
	c.clock.At(m.ended, c.served, i)
}

// onServed performs a request and sends its answer.
func (c *Cluster) onServed(i uint32) {
	m := c.msgs.at(i)
	switch m.op {
	case wire.OpMiss, wire.OpFlush, wire.OpMissFlush:
		c.nodes[m.to].(*memory).page(m)
		c.reply(i)
	default:
		m.serve(func(back int, then func()) {
			m := c.msgs.at(i)
			m.back, m.answer = int32(back), then
			c.reply(i)
		})
	}
}

// reply sends an answer now. Its sender's cost was part of the service.
func (c *Cluster) reply(i uint32) {
	m := c.msgs.at(i)
	m.returned = c.clock.Now()
	at := c.net.send(m.to, m.from, m.returned, int(m.back))
	c.clock.At(at+c.hw.Receive(int(m.back)), c.answered, i)
}

// onAnswered takes an answer to who asked.
func (c *Cluster) onAnswered(i uint32) {
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
		}
	}
}

// ask sends a request that is not hot. serve runs at the receiver and calls done, then or later, with the size of the answer's
// body and what is to be done where it arrives.
func (c *Cluster) ask(op wire.Op, from, to int32, body int, serve func(done func(back int, then func()))) {
	i := c.msgs.take()
	*c.msgs.at(i) = message{op: op, from: from, to: to, bytes: int32(wire.HeaderLen + body), serve: func(done func(int, func())) {
		serve(func(back int, then func()) { done(wire.HeaderLen+back, then) })
	}}
	c.post(i, c.hw.Post(wire.HeaderLen+body))
}

// control is ask with a request and an answer in msgpack: their lengths are those of the wire.
func control[Q, R any](c *Cluster, op wire.Op, from, to int32, q Q, serve func(q Q, done func(R, error)), answer func(R, error)) {
	c.ask(op, from, to, len(wire.Marshal(q)), func(done func(int, func())) {
		serve(q, func(r R, err error) {
			n := 0
			if err == nil {
				n = len(wire.Marshal(r))
			} else {
				n = len(err.Error()) // a kind and a text
			}
			done(n, func() { answer(r, err) })
		})
	})
}

package fit

import (
	"fmt"
	"time"

	"splitkernel/netlayer/link"
	"splitkernel/sim/fifo"
	"splitkernel/sim/hardware"
	"splitkernel/sim/hardware/endpoint"
	"splitkernel/sim/hardware/processor"
	"splitkernel/sim/units"
	"splitkernel/sim/vtime"
)

// RPC is a closed-loop microbenchmark: Threads at one component each call one of the Servers, wait for the reply, and call again.
type RPC struct {
	Threads          int
	Servers, Workers int // 0 is 1
	Request, Reply   uint64
	Socket           bool        // through the socket interface
	Service          units.Picos // at the worker
	// Fault adds what a page fault costs the thread before each call.
	Fault bool
}

// Calls per thread. The first are not counted, until the threads have found their places.
const (
	warmUp  = 20
	counted = 40
)

// Result of a microbenchmark.
type Result struct {
	Latency time.Duration // mean of a call
	Rate    float64       // calls per second of all threads
}

// rpcRun is a microbenchmark under way.
type rpcRun struct {
	b       RPC
	clock   *vtime.Clock
	client  *endpoint.Node
	faults  *processor.Faults
	servers []*rpcServer
	threads []rpcThread
	left    int // threads that have not made all their calls
	total   time.Duration
	calls   int

	call, faulted, atServer, begin, work, release, atClient, reply vtime.Kind
}

type rpcThread struct {
	made  int
	began time.Duration
}

type rpcServer struct {
	node *endpoint.Node
	pool *fifo.Pool[uint32]
}

// Run runs the microbenchmark on some hardware.
func (b RPC) Run(h *hardware.Hardware) (Result, error) {
	b.Servers, b.Workers = max(b.Servers, 1), max(b.Workers, 1)
	r := &rpcRun{b: b, clock: vtime.New(), threads: make([]rpcThread, b.Threads), left: b.Threads, faults: processor.NewFaults(h.Processor)}
	net, err := link.New(h.Link, 1+b.Servers, vtime.Stream(1, "rpc", 0))
	if err != nil {
		return Result{}, err
	}
	if r.client, err = endpoint.New(h.Endpoint, net, 0); err != nil {
		return Result{}, err
	}
	for i := range b.Servers {
		node, err := endpoint.New(h.Endpoint, net, link.NIC(1+i))
		if err != nil {
			return Result{}, err
		}
		r.servers = append(r.servers, &rpcServer{node, fifo.NewPool[uint32](b.Workers, int(h.Endpoint.WorkerQueue))})
	}
	var socket units.Picos // of a request at both ends, and of a reply
	if b.Socket {
		socket = h.Endpoint.SocketCost(b.Request) + h.Endpoint.SocketCost(b.Reply)
	}
	r.handlers(socket)
	for t := range r.threads {
		r.clock.At(0, r.call, uint32(t))
	}
	r.clock.WhoWaits(func(report func(who, what string)) {
		if r.left > 0 {
			report(fmt.Sprintf("each of %d threads", r.left), "a reply that was lost or refused")
		}
	})
	if err := r.clock.Run(vtime.Limits{}); err != nil {
		return Result{}, err
	}
	latency := r.total / time.Duration(r.calls)
	return Result{latency, float64(b.Threads) / latency.Seconds()}, nil // a closed loop: Little's law
}

// handlers registers the stages of a call. who is the thread throughout; a thread calls the servers in turn.
func (r *rpcRun) handlers(socket units.Picos) {
	c := r.clock
	server := func(t uint32) (*rpcServer, link.NIC) {
		i := (int(t) + r.threads[t].made) % len(r.servers)
		return r.servers[i], link.NIC(1 + i)
	}
	r.call = c.Handle("call", func(t uint32) {
		r.threads[t].began = c.Now()
		if r.b.Fault {
			c.At(r.faults.Fault(c.Now()), r.faulted, t)
			return
		}
		c.After(socket.Duration(), r.faulted, t) // both ends' socket cost at once: neither end is ever busy with more than this call
	})
	r.faulted = c.Handle("send", func(t uint32) {
		_, nic := server(t)
		out := r.client.Send(c.Now(), nic, r.b.Request)
		for _, at := range out.Arrivals() {
			c.At(at, r.atServer, t)
		}
	})
	r.atServer = c.Handle("request arrives", func(t uint32) {
		s, _ := server(t)
		at, _ := s.node.Receive(c.Now(), r.b.Request)
		c.At(at, r.begin, t)
	})
	r.begin = c.Handle("request at a worker", func(t uint32) {
		s, _ := server(t)
		if s.pool.Arrive(c.Now(), t) == fifo.Begin {
			c.After(s.node.Work(r.b.Service), r.work, t)
		}
	})
	r.work = c.Handle("work is done", func(t uint32) {
		s, nic := server(t)
		out := s.node.Reply(c.Now(), 0, r.b.Reply)
		c.At(out.Free, r.release, uint32(nic-1))
		for _, at := range out.Arrivals() {
			c.At(at, r.atClient, t)
		}
	})
	r.release = c.Handle("worker is free", func(i uint32) {
		s := r.servers[i]
		if next, ok := s.pool.Release(c.Now()); ok {
			c.After(s.node.Work(r.b.Service), r.work, next)
		}
	})
	r.atClient = c.Handle("reply arrives", func(t uint32) {
		at, _ := r.client.Receive(c.Now(), r.b.Reply)
		c.At(at, r.reply, t)
	})
	r.reply = c.Handle("reply", func(t uint32) { r.replied(t) })
}

// replied ends a call of a thread and begins its next. A thread that has made all its calls goes on, so that the others do not
// find the servers less busy than before.
func (r *rpcRun) replied(t uint32) {
	th := &r.threads[t]
	th.made++
	if th.made > warmUp && th.made <= warmUp+counted {
		r.calls++
		r.total += r.clock.Now() - th.began
	}
	if th.made == warmUp+counted {
		if r.left--; r.left == 0 {
			r.clock.Stop()
			return
		}
	}
	r.clock.At(r.clock.Now(), r.call, t)
}

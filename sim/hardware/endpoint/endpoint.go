// Package endpoint models what messages cost the processors at both ends, around netlayer/link: the sender's, a polling thread
// that takes messages from the NIC, and the workers behind it.
//
//	sender      waits for one of `connections`, then post + send_per_kib·size until the NIC has the message; with acknowledge above 0
//	            sender and connection are busy until it is acknowledged:
//	                busy = post + send_per_kib·size + transfer(size) + acknowledge
//	polling     poll + poll_per_kib·size for each message, one after the other, then hand_off until the thread that it is for, a worker
//	            or the one that waits for a reply, goes on
//	worker      worker + the service itself, then it sends the reply as a sender does, on a connection of its own
//
// As LegoOS has it: one polling thread and 1 to 16 workers at a memory component, and a worker that waits until its reply is sent.
// A node without a polling thread (interrupts, kernel sockets) has the same costs spread differently; its profile says so.
//
// It is pure: no goroutines, no clock. Send and Receive are called in the order of time, Receive at the event of an arrival; the
// workers are a fifo.Pool of the model, because a worker ends when its reply is sent. Limits: polling needs a processor of its own;
// messages of a node reach its NIC in the order in which they were given to Send.
//
//	out := node.Send(now, to, 40)              // client; an event at each of out.Arrivals()
//	at, ok := server.Receive(now, 40)          // at the arrival; an event at `at`: a worker begins
//	end := now + options.Work(service)         // worker; an event at `end`
//	out := server.Reply(now, from, 4096)       // an event at out.Free: the worker is free
package endpoint

import (
	"errors"
	"fmt"
	"time"

	"splitkernel/netlayer/link"
	"splitkernel/sim/fifo"
	"splitkernel/sim/units"
)

// Bounds of options.
const (
	MaxCost        = 10 * units.Millisecond
	MaxWorkerQueue = 1 << 20
)

// Options are the parameters.
type Options struct {
	// Post is for a processor to give a message to the NIC, and SendPerKiB what its size adds (a copy, checksums).
	Post       units.Picos
	SendPerKiB units.PerKiB `yaml:"send_per_kib"`
	// Acknowledge is from a message being in the receiver's memory to the sender knowing; 0: the sender does not wait for that.
	Acknowledge units.Picos
	// Connections are how many messages of a node's own threads may be on their way to being acknowledged, at least 1.
	Connections units.Count
	// Poll is for the polling thread to take a message, and PollPerKiB what its size adds.
	Poll       units.Picos
	PollPerKiB units.PerKiB `yaml:"poll_per_kib"`
	// HandOff is from the polling thread to the thread that a message is for.
	HandOff units.Picos
	// Worker is what every request costs a worker beside the service itself.
	Worker units.Picos
	// WorkerQueue is how many requests may wait for a worker, 1 to MaxWorkerQueue.
	WorkerQueue units.Count
	// Socket is what the socket interface adds to each message at each end, and SocketPerKiB what its size adds; messages of the
	// kernels themselves do not pay it.
	Socket       units.Picos
	SocketPerKiB units.PerKiB `yaml:"socket_per_kib"`
}

// DefaultOptions are a kernel on RDMA that polls.
func DefaultOptions() Options {
	return Options{
		Post: 300 * units.Nanosecond, Acknowledge: 400 * units.Nanosecond, Connections: 1, Poll: 300 * units.Nanosecond,
		HandOff: 300 * units.Nanosecond, Worker: units.Microsecond, WorkerQueue: 4096, Socket: 500 * units.Nanosecond, SocketPerKiB: 200_000,
	}
}

// Validate returns every fault, by key.
func (o Options) Validate() error {
	var errs []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	cost := func(key string, p units.Picos) { add(p < 0 || p > MaxCost, "%s: %v, want 0 ps to %v", key, p, MaxCost) }
	per := func(key string, p units.PerKiB) {
		add(p < 0 || units.Picos(p) > MaxCost, "%s: %v, want 0 ps/KiB to %v", key, p, units.PerKiB(MaxCost))
	}
	cost("post", o.Post)
	per("send_per_kib", o.SendPerKiB)
	cost("acknowledge", o.Acknowledge)
	add(o.Connections < 1 || o.Connections > fifo.MaxWorkers, "connections: %v, want 1 to %d", o.Connections, fifo.MaxWorkers)
	cost("poll", o.Poll)
	per("poll_per_kib", o.PollPerKiB)
	cost("hand_off", o.HandOff)
	cost("worker", o.Worker)
	add(o.WorkerQueue < 1 || o.WorkerQueue > MaxWorkerQueue, "worker_queue: %v, want 1 to %d", o.WorkerQueue, MaxWorkerQueue)
	cost("socket", o.Socket)
	per("socket_per_kib", o.SocketPerKiB)
	return errors.Join(errs...)
}

// SocketCost is what the socket interface adds to a message at one end.
func (o *Options) SocketCost(size uint64) units.Picos { return o.Socket + o.SocketPerKiB.Cost(size) }

// Node is the messages' side of one component. Make one with New.
type Node struct {
	o           Options
	net         *link.Net
	transfer    link.Options
	nic         link.NIC
	connections *fifo.Server
	poll        *fifo.Server
	shared      bool          // poll is also for others
	given       time.Duration // when the NIC was given the latest message
	carry       units.Carry
}

// New makes the node of a NIC of net.
func New(o Options, net *link.Net, nic link.NIC) (*Node, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Node{o: o, net: net, transfer: net.Options(), nic: nic, connections: fifo.New(int(o.Connections)), poll: fifo.New(1)}, nil
}

// Share has the polling thread run on processors that it shares with others, whose work is served by s in the order of time. A
// processor is the message's while its last bytes come in, which is exact only for links on which that takes next to nothing.
func (n *Node) Share(s *fifo.Server) { n.poll, n.shared = s, true }

// Out is a message that was sent.
type Out struct {
	link.Sent
	// Free is when the sender goes on.
	Free time.Duration
}

// Send sends a message of one of the node's own threads, which share the connections.
func (n *Node) Send(now time.Duration, to link.NIC, size uint64) Out {
	start := n.connections.Start(now)
	out := n.send(start, to, size)
	n.connections.End(start, out.Free)
	return out
}

// Reply sends a message of a worker, which has a connection of its own.
func (n *Node) Reply(now time.Duration, to link.NIC, size uint64) Out { return n.send(now, to, size) }

func (n *Node) send(start time.Duration, to link.NIC, size uint64) Out {
	posted := max(start+n.carry.Take(n.o.Post+n.o.SendPerKiB.Cost(size)), n.given)
	n.given = posted
	out := Out{Sent: n.net.Send(posted, n.nic, to, size), Free: posted}
	if n.o.Acknowledge > 0 {
		// The rest of the way, after the wire of the sender, is taken as empty.
		rest := n.transfer.Latency + n.transfer.DMARate.Cost(min(size, uint64(n.transfer.Packet)))
		out.Free = out.Left + n.carry.Take(rest+n.o.Acknowledge)
	}
	return out
}

// Receive takes a message at the moment of its arrival and says when the thread that it is for goes on. ok is false if the node
// is down.
func (n *Node) Receive(now time.Duration, size uint64) (at time.Duration, ok bool) {
	in, ok := n.net.Receive(now, n.nic, size)
	if !ok {
		return 0, false
	}
	cost := n.o.Poll + n.o.PollPerKiB.Cost(size)
	var polled time.Duration
	if n.shared { // others' messages are at their NICs at other moments, so only now is in the order of all
		start := max(n.poll.Start(now), in)
		polled = start + n.carry.Take(cost)
		n.poll.End(start, polled)
	} else {
		_, polled = n.poll.Serve(in, cost)
	}
	return polled + n.o.HandOff.Duration(), true
}

// Work is how long a worker is busy with a request until it begins to reply.
func (n *Node) Work(service units.Picos) time.Duration { return n.carry.Take(n.o.Worker + service) }

// Polled says how long the polling thread has been or will be busy; with shared processors, how long all on them.
func (n *Node) Polled() (messages uint64, busy time.Duration) { return n.poll.Stats() }

// CheckInvariants says what is wrong with the node's own state.
func (n *Node) CheckInvariants() error {
	if err := n.connections.CheckInvariants(); err != nil {
		return err
	}
	return n.poll.CheckInvariants()
}

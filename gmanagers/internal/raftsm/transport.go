package raftsm

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/lni/dragonboat/v3/config"
	"github.com/lni/dragonboat/v3/raftio"
	pb "github.com/lni/dragonboat/v3/raftpb"

	"splitkernel/netlayer/wire"
)

// Sender sends one-way requests to one manager process: a netlayer.Peer. It must copy body, bound what it queues and
// fail soon when the other side cannot be reached.
type Sender interface {
	Send(op wire.Op, body []byte) error
}

// chunkQueue bounds the snapshot chunks that were received and not yet written to disk. A chunk is at most 2 MiB, so
// this is memory too; when it is full a chunk is dropped and Raft sends the snapshot again.
const chunkQueue = 8

// maxNodes bounds the manager processes whose fragments are assembled.
const maxNodes = 16

var errStopped = errors.New("raftsm: the transport is stopped")

// transport carries Raft over the message layer. Addresses are node ids, so a manager may come back elsewhere. It is
// dragonboat's TransportFactory and its ITransport. Dragonboat has a bounded queue and a goroutine per target and calls
// a connection from one goroutine.
type transport struct {
	connect func(wire.NodeID) (Sender, error)
	log     *slog.Logger
	stats   *Stats

	mu        sync.Mutex // of what follows; not held while a handler is called
	messages  raftio.MessageHandler
	chunks    raftio.ChunkHandler
	running   bool
	assembled map[source]*inbox
	busy      sync.WaitGroup // handlers that are being called

	numbers atomic.Uint64
	queue   chan pb.Chunk
	stop    chan struct{}
	done    sync.WaitGroup
}

// source names a stream of fragments: a sender and a kind of message.
type source struct {
	from wire.NodeID
	op   wire.Op
}

// inbox is what was received of a stream. Its mutex is taken alone.
type inbox struct {
	mu sync.Mutex
	a  assembler
}

func newTransport(connect func(wire.NodeID) (Sender, error), log *slog.Logger, stats *Stats) *transport {
	return &transport{connect: connect, log: log, stats: stats, assembled: map[source]*inbox{}, queue: make(chan pb.Chunk, chunkQueue), stop: make(chan struct{})}
}

// Create is called once, by NewNodeHost.
func (t *transport) Create(_ config.NodeHostConfig, m raftio.MessageHandler, c raftio.ChunkHandler) raftio.ITransport {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.messages, t.chunks = m, c
	return t
}

// Validate accepts node ids.
func (t *transport) Validate(addr string) bool { return addr != "" }

// Name names the transport in dragonboat's log.
func (t *transport) Name() string { return "splitkernel-netlayer" }

// Start begins to take what Deliver brings.
func (t *transport) Start() error {
	t.mu.Lock()
	t.running = true
	t.mu.Unlock()
	t.done.Add(1)
	go func() {
		defer t.done.Done()
		for {
			select {
			case <-t.stop:
				return
			case c := <-t.queue:
				if !t.chunks(c) {
					t.stats.ChunksRefused.Add(1)
				}
			}
		}
	}()
	return nil
}

// Stop ends the transport and waits until no handler is called any more. Dragonboat calls it once, or twice after a
// failed start.
func (t *transport) Stop() {
	t.mu.Lock()
	was := t.running
	t.running = false
	t.mu.Unlock()
	if was {
		close(t.stop)
	}
	t.busy.Wait()
	t.done.Wait()
}

// enter reports whether handlers may be called; if so, leave must be called after.
func (t *transport) enter(s source) (*inbox, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	in := t.assembled[s]
	if in == nil {
		if len(t.assembled) >= 2*maxNodes {
			return nil, false
		}
		in = &inbox{}
		t.assembled[s] = in
	}
	if !t.running {
		return nil, false
	}
	t.busy.Add(1)
	return in, true
}

// deliver takes a body that arrived from another manager. It does not block on the disk, and keeps nothing of body.
// Bodies of one sender must come in the order in which they were sent; others may come at the same time.
func (t *transport) deliver(from wire.NodeID, op wire.Op, body []byte) error {
	in, ok := t.enter(source{from, op})
	if !ok {
		return wire.Errorf(wire.KindUnavailable, "%v from %q: the replica is not running", op, from)
	}
	defer t.busy.Done()
	in.mu.Lock()
	msg, ok, err := in.a.add(body)
	in.mu.Unlock()
	if err != nil {
		t.stats.FragmentsDropped.Add(1)
		return wire.Errorf(wire.KindBadRequest, "%v from %q: %v", op, from, err)
	}
	if !ok {
		return nil
	}
	// gogo-proto copies what it keeps of msg.
	switch op {
	case wire.OpRaft:
		var b pb.MessageBatch
		if err := b.Unmarshal(msg); err != nil {
			return wire.Errorf(wire.KindBadRequest, "raft batch from %q: %v", from, err)
		}
		t.stats.BatchesReceived.Add(1)
		t.messages(b)
	case wire.OpRaftChunk:
		var c pb.Chunk
		if err := c.Unmarshal(msg); err != nil {
			return wire.Errorf(wire.KindBadRequest, "snapshot chunk from %q: %v", from, err)
		}
		t.stats.ChunksReceived.Add(1)
		select {
		case t.queue <- c:
		default:
			t.stats.ChunksDropped.Add(1)
			return wire.Errorf(wire.KindBusy, "snapshot chunk from %q: %d wait for the disk", from, chunkQueue)
		}
	default:
		return wire.Errorf(wire.KindBadRequest, "%v is not Raft's", op)
	}
	return nil
}

// GetConnection gives a way to a target.
func (t *transport) GetConnection(_ context.Context, target string) (raftio.IConnection, error) {
	return t.link(target)
}

// GetSnapshotConnection gives a way for snapshots to a target.
func (t *transport) GetSnapshotConnection(_ context.Context, target string) (raftio.ISnapshotConnection, error) {
	return t.link(target)
}

func (t *transport) link(target string) (*link, error) {
	s, err := t.connect(wire.NodeID(target))
	if err != nil {
		return nil, err
	}
	return &link{t: t, to: s}, nil
}

// link is a connection to a target. The connection below it is shared and outlives it.
type link struct {
	t  *transport
	to Sender
}

// Close does nothing: the shell owns the connections of the process.
func (l *link) Close() {}

// SendMessageBatch sends a batch of Raft messages. A batch that cannot be sent is lost, as on any network, and counted:
// Raft sends again what matters. To an error dragonboat answers by not speaking to the target for 0.25 to 1 s, and a
// restarted replica that hears no leader for so long stands for election; Sender has its own, shorter pause.
func (l *link) SendMessageBatch(b pb.MessageBatch) error {
	msg, err := b.Marshal()
	if err != nil {
		return err
	}
	l.t.stats.BatchesSent.Add(1)
	if err := l.send(wire.OpRaft, msg); errors.Is(err, errStopped) {
		return err
	}
	return nil
}

// SendChunk sends a part of a snapshot.
func (l *link) SendChunk(c pb.Chunk) error {
	msg, err := c.Marshal()
	if err != nil {
		return err
	}
	l.t.stats.ChunksSent.Add(1)
	return l.send(wire.OpRaftChunk, msg)
}

func (l *link) send(op wire.Op, msg []byte) error {
	err := fragments(l.t.numbers.Add(1), msg, wire.MaxBody, func(body []byte) error {
		select {
		case <-l.t.stop:
			return errStopped
		default:
		}
		return l.to.Send(op, body)
	})
	if err != nil {
		l.t.stats.SendErrors.Add(1)
	}
	return err
}

package raftsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/lni/dragonboat/v3"
	"github.com/lni/dragonboat/v3/config"
	"github.com/lni/dragonboat/v3/raftio"
	sm "github.com/lni/dragonboat/v3/statemachine"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// FS is a file system for the log and the snapshots.
type FS = config.IFS

// Replica is one manager process.
type Replica struct {
	Node wire.NodeID
	ID   uint64 // its Raft node id in every group, above 0, never given to another
}

// Group is one manager to replicate.
type Group struct {
	Manager wire.Manager
	New     func() State // the state before any command
}

// Config says what a Host runs.
type Config struct {
	Self       wire.NodeID
	Replicas   []Replica // all of them, Self included; the same at each
	Groups     []Group
	Dir        string // absolute or relative; made if missing
	FS         FS     // nil: the disk
	Deployment uint64 // messages of another deployment are dropped
	Connect    func(wire.NodeID) (Sender, error)
	Log        *slog.Logger
	Recorder   tape.Recorder                   // gets what the states are told; nil is off
	OnLeader   func(wire.Manager, wire.NodeID) // a group's leader changed; empty: none is known. Called from one goroutine

	RTTMillisecond     uint64 // the tick, in ms
	ElectionRTT        uint64 // ticks without a leader until an election
	HeartbeatRTT       uint64 // ticks between the leader's heartbeats
	SnapshotEntries    uint64 // entries between two snapshots; 0 takes none
	CompactionOverhead uint64 // entries that stay in the log behind a snapshot
}

// logShards is the number of write-ahead logs: one shared by all groups, because each preallocates a log file and a
// memory table and three small groups fill none.
const logShards = 1

// execShards is the number of dragonboat's workers per stage: one per group.
const execShards = 3

// Stats counts what the transport did. Read with Load.
type Stats struct {
	BatchesSent, BatchesReceived, ChunksSent, ChunksReceived   atomic.Uint64
	ChunksDropped, ChunksRefused, FragmentsDropped, SendErrors atomic.Uint64
}

// GroupStatus is one group as this replica sees it.
type GroupStatus struct {
	Leader        wire.NodeID // empty: none is known
	Term          uint64
	Applied       uint64 // commands
	LeaderChanges uint64 // since Open, the first leader not counted
}

// Host is one replica of every group. Make one with Open.
type Host struct {
	c     Config
	nh    *dragonboat.NodeHost
	t     *transport
	stats Stats
	nodes map[uint64]wire.NodeID

	mu     sync.Mutex
	groups map[wire.Manager]*group

	closing sync.Once
}

type group struct {
	leader  uint64
	term    uint64
	changes uint64
	applied atomic.Uint64
}

// Open starts or restarts the replica of every group. It returns before a leader is known.
func Open(c Config) (*Host, error) {
	h := &Host{c: c, nodes: map[uint64]wire.NodeID{}, groups: map[wire.Manager]*group{}}
	h.t = newTransport(c.Connect, c.Log, &h.stats)
	members := map[uint64]dragonboat.Target{}
	var self uint64
	for _, r := range c.Replicas {
		members[r.ID] = string(r.Node)
		h.nodes[r.ID] = r.Node
		if r.Node == c.Self {
			self = r.ID
		}
	}
	if self == 0 || len(members) != len(c.Replicas) {
		return nil, fmt.Errorf("raftsm: replicas %v: want %q among them and ids above 0 that differ", c.Replicas, c.Self)
	}
	for _, g := range c.Groups {
		h.groups[g.Manager] = &group{}
	}
	routeLogs(c.Log)
	db := config.GetTinyMemLogDBConfig()
	db.Shards = logShards
	nh, err := newNodeHost(config.NodeHostConfig{
		DeploymentID:      c.Deployment,
		NodeHostDir:       c.Dir,
		RTTMillisecond:    c.RTTMillisecond,
		RaftAddress:       string(c.Self),
		EnableMetrics:     true,
		RaftEventListener: listener{h},
		Expert: config.ExpertConfig{
			TransportFactory: h.t,
			LogDB:            db,
			Engine: config.EngineConfig{
				ExecShards: execShards, CommitShards: execShards, ApplyShards: execShards, SnapshotShards: execShards, CloseShards: execShards,
			},
			FS: c.FS,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("raftsm: open %s: %w", c.Dir, err)
	}
	h.nh = nh
	for _, g := range c.Groups {
		create := func(_, _ uint64) sm.IConcurrentStateMachine {
			m := &machine{state: g.New(), applied: &h.groups[g.Manager].applied}
			if c.Recorder != nil {
				m.tape = c.Recorder.Open("gmanagers/"+g.Manager.String(), nil)
			}
			return m
		}
		err := nh.StartConcurrentCluster(members, false, create, config.Config{
			NodeID: self, ClusterID: uint64(g.Manager), CheckQuorum: true,
			ElectionRTT: c.ElectionRTT, HeartbeatRTT: c.HeartbeatRTT,
			SnapshotEntries: c.SnapshotEntries, CompactionOverhead: c.CompactionOverhead,
		})
		if err != nil {
			h.Close()
			return nil, fmt.Errorf("raftsm: start %v: %w", g.Manager, err)
		}
	}
	return h, nil
}

// newNodeHost turns dragonboat's panics about its directory into errors.
func newNodeHost(c config.NodeHostConfig) (nh *dragonboat.NodeHost, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return dragonboat.NewNodeHost(c)
}

// Close stops every group and the NodeHost, once, and waits.
func (h *Host) Close() { h.closing.Do(h.nh.Stop) }

// Deliver takes a body of OpRaft or OpRaftChunk from another manager; see transport.deliver.
func (h *Host) Deliver(from wire.NodeID, op wire.Op, body []byte) error {
	return h.t.deliver(from, op, body)
}

// Stats returns the counters of the transport.
func (h *Host) Stats() *Stats { return &h.stats }

// Leader returns the leader of a group as known here; empty if none is.
func (h *Host) Leader(m wire.Manager) wire.NodeID {
	id, ok, err := h.nh.GetLeaderID(uint64(m))
	if err != nil || !ok {
		return ""
	}
	return h.nodes[id]
}

// Status returns a group as known here.
func (h *Host) Status(m wire.Manager) GroupStatus {
	leader := h.Leader(m)
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.groups[m]
	if g == nil {
		return GroupStatus{}
	}
	return GroupStatus{Leader: leader, Term: g.term, Applied: g.applied.Load(), LeaderChanges: g.changes}
}

// Propose has a command applied by all replicas and returns its result here. ctx must have a deadline. Errors are
// *wire.Error: KindUnknownState if it may have been or may still be applied.
func (h *Host) Propose(ctx context.Context, m wire.Manager, command []byte) ([]byte, error) {
	res, err := h.nh.SyncPropose(ctx, h.nh.GetNoOPSession(uint64(m)), command)
	if err != nil {
		return nil, translate(m, "propose", err)
	}
	return res.Data, nil
}

// Read runs read on the state when it includes every command that was answered before Read began. read must change
// nothing, keep nothing of the state, and may run at the same time as other reads. ctx must have a deadline.
func (h *Host) Read(ctx context.Context, m wire.Manager, read func(State)) error {
	_, err := h.nh.SyncRead(ctx, uint64(m), read)
	return translate(m, "read", err)
}

// Stale runs read on the state of this replica as it is.
func (h *Host) Stale(m wire.Manager, read func(State)) error {
	_, err := h.nh.StaleRead(uint64(m), read)
	return translate(m, "stale read", err)
}

// translate gives dragonboat's errors a kind of the wire.
func translate(m wire.Manager, what string, err error) error {
	if err == nil {
		return nil
	}
	kind := wire.KindInternal
	switch {
	case errors.Is(err, dragonboat.ErrTimeout), errors.Is(err, dragonboat.ErrCanceled), errors.Is(err, dragonboat.ErrAborted),
		errors.Is(err, dragonboat.ErrRejected), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		kind = wire.KindUnknownState
	case errors.Is(err, dragonboat.ErrSystemBusy):
		kind = wire.KindBusy
	case errors.Is(err, dragonboat.ErrClusterNotReady), errors.Is(err, dragonboat.ErrClusterNotInitialized), errors.Is(err, dragonboat.ErrClosed),
		errors.Is(err, dragonboat.ErrClusterClosed), errors.Is(err, dragonboat.ErrClusterNotFound), errors.Is(err, dragonboat.ErrTimeoutTooSmall),
		errors.Is(err, dragonboat.ErrInvalidDeadline):
		kind = wire.KindUnavailable
	case errors.Is(err, dragonboat.ErrPayloadTooBig):
		kind = wire.KindBadRequest
	}
	return wire.Errorf(kind, "%v: %s: %v", m, what, err)
}

// WriteHealthMetrics writes dragonboat's own metrics of this process in Prometheus' text format.
func WriteHealthMetrics(w io.Writer) { dragonboat.WriteHealthMetrics(w) }

// listener hears of leaders.
type listener struct{ h *Host }

// LeaderUpdated is called by one goroutine of dragonboat.
func (l listener) LeaderUpdated(info raftio.LeaderInfo) {
	h, m := l.h, wire.Manager(info.ClusterID)
	h.mu.Lock()
	g := h.groups[m]
	if g == nil {
		h.mu.Unlock()
		return
	}
	g.term = info.Term
	changed := info.LeaderID != raftio.NoLeader && info.LeaderID != g.leader
	if changed {
		if g.leader != raftio.NoLeader {
			g.changes++
		}
		g.leader = info.LeaderID // NoLeader is not remembered: losing and finding the same leader is no change
	}
	h.mu.Unlock()
	if h.c.OnLeader != nil {
		h.c.OnLeader(m, h.nodes[info.LeaderID])
	}
}

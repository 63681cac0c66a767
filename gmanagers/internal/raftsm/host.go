package raftsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lni/dragonboat/v3"
	"github.com/lni/dragonboat/v3/config"
	"github.com/lni/dragonboat/v3/raftio"
	sm "github.com/lni/dragonboat/v3/statemachine"
	"github.com/lni/goutils/vfs"

	"splitkernel/gmanagers/internal/ledger"
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
	Self     wire.NodeID
	Replicas []Replica // with which the groups began, Self included; the same at each
	// Readmitted is the number under which Self came into the groups later, by Readmit, instead of the one that it began with; 0: it
	// has that one.
	Readmitted uint64
	Groups     []Group
	Dir        string // absolute or relative; made if missing
	FS         FS     // nil: the disk, with a ledger of what was written: Open fails with a *ledger.Damaged if that is not there
	Deployment uint64 // messages of another deployment are dropped
	Connect    func(wire.NodeID) (Sender, error)
	Log        *slog.Logger
	Recorder   tape.Recorder                   // gets what the states are told; nil is off
	OnLeader   func(wire.Manager, wire.NodeID) // a group's leader changed; empty: none is known. Called from one goroutine
	// OnFailure is called when a replica cannot go on: its disk fails, or Raft finds that its state makes no sense. The process must
	// end; it is called by whoever noticed, more than once perhaps, and must not wait. May be nil.
	OnFailure func(error)

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
	kept  *ledger.FS // nil unless Config.FS was
	fail  func(error)
	stats Stats

	mu     sync.Mutex
	nodes  map[uint64]wire.NodeID // by replica
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
	if c.Readmitted != 0 { // under its old number it is nobody any more
		c.Replicas = slices.Clone(c.Replicas)
		for i := range c.Replicas {
			if c.Replicas[i].Node == c.Self {
				c.Replicas[i].ID = c.Readmitted
			}
		}
	}
	h.fail = func(err error) {
		if c.OnFailure != nil {
			c.OnFailure(err)
		}
	}
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
	initial := members
	if c.Readmitted != 0 {
		initial = nil // the others tell
	}
	if c.FS == nil {
		kept, err := ledger.Open(c.Dir, h.fail)
		if err != nil {
			return nil, fmt.Errorf("raftsm: %w", err)
		}
		// Dragonboat knows three file systems; the one that injects errors may be any, and injects none here. With it, workers that panic
		// end silently, so those who can make them panic tell us before: fail, and raftLog.
		h.kept, c.FS = kept, vfs.Wrap(kept, calm{})
	}
	routeLogs(c.Log)
	gaveUp.Store(&h.fail)
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
		return nil, fmt.Errorf("raftsm: open %s: %w", c.Dir, errors.Join(err, h.abandon()))
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
		err := startCluster(nh, initial, create, config.Config{
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
	defer caught(&err)
	if nh, err = dragonboat.NewNodeHost(c); nh == nil && err == nil { // it caught a panic of its own
		err = errors.New("dragonboat gave up; its log says why")
	}
	return nh, err
}

// startCluster starts the replica of a group: without members it joins those who know it. Panics are errors, as above.
func startCluster(nh *dragonboat.NodeHost, members map[uint64]dragonboat.Target, create sm.CreateConcurrentStateMachineFunc, c config.Config) (err error) {
	defer caught(&err)
	return nh.StartConcurrentCluster(members, len(members) == 0, create, c)
}

// calm injects no errors.
type calm struct{}

func (calm) MaybeError(vfs.Op) error { return nil }

func caught(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%v", r)
	}
}

// Close stops every group and the NodeHost, once, and waits.
func (h *Host) Close() {
	h.closing.Do(func() {
		h.nh.Stop()
		if h.kept == nil {
			return
		}
		if err := h.kept.Close(); err != nil {
			h.c.Log.Warn("what is in the folder of Raft is not kept account of", "error", err.Error())
		}
	})
}

// abandon lets go of the ledger of a host that did not open.
func (h *Host) abandon() error {
	if h.kept == nil {
		return nil
	}
	return h.kept.Abandon()
}

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
	return h.nodeOf(m, id)
}

// nodeOf is the manager process of a replica. Those that came into a group later are asked of dragonboat.
func (h *Host) nodeOf(m wire.Manager, id uint64) wire.NodeID {
	h.mu.Lock()
	node, ok := h.nodes[id]
	h.mu.Unlock()
	if ok || id == raftio.NoLeader {
		return node
	}
	for _, c := range h.nh.GetNodeHostInfo(dragonboat.NodeHostInfoOption{SkipLogInfo: true}).ClusterInfoList {
		if c.ClusterID == uint64(m) && c.Nodes[id] != "" {
			node = wire.NodeID(c.Nodes[id])
			h.mu.Lock()
			h.nodes[id] = node // numbers are given once, in all groups
			h.mu.Unlock()
		}
	}
	return node
}

// Readmit has a group take the replicas of a manager process out and one under another number in, of which nothing is known yet. Asked
// again for the same it does what is left. The process must not run. ctx must have a deadline.
func (h *Host) Readmit(ctx context.Context, m wire.Manager, node wire.NodeID, id uint64) ([]wire.Replica, error) {
	ms, err := h.nh.SyncGetClusterMembership(ctx, uint64(m))
	if err != nil {
		return nil, translate(m, "membership", err)
	}
	if _, gone := ms.Removed[id]; gone {
		return nil, wire.Errorf(wire.KindBadRequest, "%v: replica %d was taken out: its number is never used again", m, id)
	}
	if at, ok := ms.Nodes[id]; ok && at != string(node) {
		return nil, wire.Errorf(wire.KindBadRequest, "%v: replica %d is %s's, want another number for %s", m, id, at, node)
	}
	// Out before in: between the two a majority is one of those that run, and a replica that has nothing yet must not be needed for it.
	for _, old := range slices.Sorted(maps.Keys(ms.Nodes)) {
		if ms.Nodes[old] != string(node) || old == id {
			continue
		}
		if err := h.nh.SyncRequestDeleteNode(ctx, uint64(m), old, 0); err != nil {
			return nil, translate(m, fmt.Sprintf("take replica %d out", old), err)
		}
	}
	if _, ok := ms.Nodes[id]; !ok {
		if err := h.nh.SyncRequestAddNode(ctx, uint64(m), id, string(node), 0); err != nil {
			return nil, translate(m, fmt.Sprintf("take replica %d in", id), err)
		}
	}
	if ms, err = h.nh.SyncGetClusterMembership(ctx, uint64(m)); err != nil {
		return nil, translate(m, "membership", err)
	}
	var out []wire.Replica
	for _, id := range slices.Sorted(maps.Keys(ms.Nodes)) {
		out = append(out, wire.Replica{ID: id, Node: wire.NodeID(ms.Nodes[id])})
	}
	return out, nil
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
		h.c.OnLeader(m, h.nodeOf(m, info.LeaderID))
	}
}

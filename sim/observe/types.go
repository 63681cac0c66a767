package observe

import (
	"time"

	"splitkernel/netlayer/wire"
)

// Limits of what is kept and published.
const (
	// MaxSamples is how many points the series has: an hour at an interval of a second.
	MaxSamples = 3600
	// MaxEvents is how many events are kept.
	MaxEvents = 512
	// MaxVNodes is how many vNodes a snapshot has; VNodesTotal tells all.
	MaxVNodes = 256
	// MaxLinks and MaxOwns bound the links, the busiest first, and who has what, by vNode.
	MaxLinks, MaxOwns = 4096, 4096
	// MaxMoves is how many moves a snapshot has, the latest ones.
	MaxMoves = 64
	// MaxSubscribers bounds those who listen at a time.
	MaxSubscribers = 64
)

// State is how a component is.
type State string

// States, from the best to the worst.
const (
	Up       State = "up"
	Starting State = "starting" // its process runs and does not serve yet
	Draining State = "draining" // gives away what it has
	CutOff   State = "cut_off"  // answers here, and the managers do not hear it or declared it dead
	Paused   State = "paused"   // stopped by a fault
	Silent   State = "silent"   // its process runs and does not answer
	Dead     State = "dead"     // its process has ended
)

// Well reports whether a component does its work.
func (s State) Well() bool { return s == Up || s == Draining }

// Snapshot is the cluster after one round.
type Snapshot struct {
	Seq       uint64    `json:"seq"` // of the round, from 1
	Time      time.Time `json:"time"`
	Cluster   string    `json:"cluster"`
	ClusterID string    `json:"cluster_id"`
	Owner     string    `json:"owner"` // "up" or "run"
	Started   time.Time `json:"started"`

	Nodes       []Node   `json:"nodes"` // managers, pComponents, mComponents, sComponents; each by id
	Leaders     []Leader `json:"leaders"`
	VNodes      []VNode  `json:"vnodes"` // by id, at most MaxVNodes
	VNodesTotal int      `json:"vnodes_total"`
	Links       []Link   `json:"links"`
	Owns        []Own    `json:"owns"`
	Moves       []Move   `json:"moves"`  // the latest first
	Faults      []Fault  `json:"faults"` // that were injected, the latest first
	Totals      Sample   `json:"totals"` // the last point of the series
	Events      []Event  `json:"events"` // in the order in which they became known, at most MaxEvents
	// Warnings say what the managers warn of and who does not answer, in sentences.
	Warnings []string `json:"warnings"`
}

// EventsAfter are the events of a snapshot with a higher number, oldest first.
func (s *Snapshot) EventsAfter(seq uint64) []Event {
	for i, e := range s.Events {
		if e.Seq > seq {
			return s.Events[i:]
		}
	}
	return nil
}

// Node is a component, or a manager process.
type Node struct {
	ID    string `json:"id"`
	Role  string `json:"role"` // manager, pcomponent, mcomponent or scomponent
	State State  `json:"state"`
	// Why explains a state other than up in a sentence; of one that is up, what was made to go wrong with it.
	Why   string    `json:"why,omitempty"`
	Since time.Time `json:"since"` // when it was first seen so, or when its process ended
	Addr  string    `json:"addr"`
	HTTP  string    `json:"http,omitempty"` // "127.0.0.1:port" of its metrics
	PID   int       `json:"pid"`
	Rack  string    `json:"rack,omitempty"`
	Epoch uint32    `json:"epoch"`           // of its membership; 0 of a manager
	Leads []string  `json:"leads,omitempty"` // managers that it leads
	Load  *Load     `json:"load,omitempty"`  // missing while it does not answer, and before its second answer
}

// Load is what a component bears, as means since the answer before the last. What its role does not have is 0.
type Load struct {
	Processors   float64  `json:"processors"`
	BusyCores    float64  `json:"busy_cores"`
	InPerSec     float64  `json:"in_bytes_per_second"` // of frames
	OutPerSec    float64  `json:"out_bytes_per_second"`
	Capacity     float64  `json:"capacity_bytes"` // of the ExCache, of memory, of storage
	Used         float64  `json:"used_bytes"`     // resident; of a manager that of its process
	Reserved     float64  `json:"reserved_bytes"`
	OpsPerSec    float64  `json:"ops_per_second"` // accesses; pages and block requests served; block requests; commands and queries
	FaultsPerSec float64  `json:"faults_per_second"`
	HitRatio     *float64 `json:"hit_ratio"` // null without accesses
	FaultP50     *float64 `json:"fault_p50_seconds"`
	FaultP99     *float64 `json:"fault_p99_seconds"`
	Queue        float64  `json:"queue"`               // requests that wait for a worker now
	QueueDelay   float64  `json:"queue_delay_seconds"` // mean wait for a worker
	Processes    int      `json:"processes"`           // that run at a pComponent
}

// Leader is who leads a manager.
type Leader struct {
	Manager string    `json:"manager"` // gpm, gmm or gsm
	Node    string    `json:"node"`    // empty: none is known
	Term    uint64    `json:"term"`
	Since   time.Time `json:"since"`
	Changes uint64    `json:"changes"` // seen here
}

// VNode is a vNode and how far its process is.
type VNode struct {
	PID   wire.PID `json:"pid"`
	Name  string   `json:"name"`
	Phase string   `json:"phase"` // intent, committed, running or leaving
	// State is that of its process: running, done, failed or moved; empty if it has none, or none that tells.
	State      string   `json:"state,omitempty"`
	Error      string   `json:"error,omitempty"` // why it failed, or why nothing is known of it
	On         string   `json:"on"`              // its pComponent
	Home       string   `json:"home,omitempty"`
	Threads    uint32   `json:"threads"`
	References uint64   `json:"references"` // replayed so far
	RefsPerSec float64  `json:"references_per_second"`
	Steps      uint64   `json:"steps"`        // of its trace that were replayed: references and block requests; of one that is cut by max_refs references
	StepsTotal uint64   `json:"steps_total"`  // of all repetitions; 0: not known
	Left       *float64 `json:"left_seconds"` // at the pace of the last ten seconds or so; null: not known, or it has ended
	Hits       uint64   `json:"hits"`
	Blocks     uint64   `json:"block_requests"`
	Regions    int      `json:"vregions"` // active ones, as far as they were asked for
	Volumes    int      `json:"volumes"`
	Lost       []string `json:"lost,omitempty"` // what a component that is gone took along
}

// Link is what one component sends to another, over connections that either made.
type Link struct {
	From        string  `json:"from"`
	To          string  `json:"to"`
	BytesPerSec float64 `json:"bytes_per_second"`
}

// Own is what one component has of one vNode.
type Own struct {
	PID     wire.PID `json:"pid"`
	Node    string   `json:"node"`
	Process bool     `json:"process,omitempty"`
	Home    bool     `json:"home,omitempty"`
	Regions int      `json:"vregions,omitempty"` // that it owns
	Copies  int      `json:"copies,omitempty"`   // of vRegions of others
	Caches  int      `json:"buffer_caches,omitempty"`
	Volumes int      `json:"volumes,omitempty"` // of which it stores a copy
}

// Move is a move that was ordered.
type Move struct {
	Manager string     `json:"manager"`
	Move    uint64     `json:"move"`
	What    string     `json:"what"` // "vregion 3 of vNode 7"
	From    string     `json:"from"`
	To      string     `json:"to"`
	State   string     `json:"state"` // under_way, done, undone or lost
	Cause   string     `json:"cause"`
	Begun   time.Time  `json:"begun"`
	Ended   *time.Time `json:"ended,omitempty"`
	PauseUS uint64     `json:"pause_us"`
}

// Fault is something that was made to go wrong.
type Fault struct {
	ID    int        `json:"id"`
	Fault string     `json:"fault"` // "pause m1 for 3s"
	Kind  string     `json:"kind"`
	Nodes []string   `json:"nodes"`
	Began time.Time  `json:"began"`
	Ended *time.Time `json:"ended,omitempty"`
	What  string     `json:"what"`
}

// Marks of events, for charts.
const (
	MarkFault  = "fault"  // was injected, or ended
	MarkMove   = "move"   // of something began or ended
	MarkLeader = "leader" // of a manager changed
	MarkDown   = "down"   // a component is not well any more
	MarkUp     = "up"     // it is again
)

// Event is something that happened: a decision of a manager, or what was seen here.
type Event struct {
	Seq    uint64    `json:"seq"` // of the observer, from 1
	Time   time.Time `json:"time"`
	Source string    `json:"source"` // gpm, gmm, gsm, or "observer"
	Kind   string    `json:"kind"`
	Node   string    `json:"node,omitempty"`
	PID    wire.PID  `json:"pid,omitempty"`
	Mark   string    `json:"mark,omitempty"`
	Text   string    `json:"text"` // all of it in words
}

// Sample is one point of the series: sums over the components that answer. What is null was not there to measure.
type Sample struct {
	Time           time.Time `json:"time"`
	HitRatio       *float64  `json:"hit_ratio"`
	AccessesPerSec float64   `json:"accesses_per_second"`
	FaultsPerSec   float64   `json:"faults_per_second"`
	FaultP50       *float64  `json:"fault_p50_seconds"`
	FaultP99       *float64  `json:"fault_p99_seconds"`
	LinkPerSec     float64   `json:"link_bytes_per_second"` // that nodes sent
	BlockPerSec    float64   `json:"block_requests_per_second"`

	Processors      float64 `json:"processors"` // of pComponents, as below
	BusyCores       float64 `json:"busy_cores"`
	ExCacheCapacity float64 `json:"excache_capacity_bytes"`
	ExCacheUsed     float64 `json:"excache_used_bytes"`
	MemoryCapacity  float64 `json:"memory_capacity_bytes"`
	MemoryUsed      float64 `json:"memory_used_bytes"`
	StorageCapacity float64 `json:"storage_capacity_bytes"`
	StorageUsed     float64 `json:"storage_used_bytes"`

	Queue         float64 `json:"queue"`          // requests that wait for a worker, at all components
	QueueDelay    float64 `json:"queue_delay"`    // the longest mean wait at a component, in seconds
	LeaderChanges uint64  `json:"leader_changes"` // since the observer began
	Moving        int     `json:"moving"`         // moves under way
	VNodes        int     `json:"vnodes"`
	Nodes         int     `json:"nodes"`
	NodesWell     int     `json:"nodes_well"`
}

package report

import (
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
)

// SchemaSummary and SchemaManifest name the schemas of docs/report.md. They change with every change of meaning.
const (
	SchemaSummary  = "splitkernel.summary/1"
	SchemaManifest = "splitkernel.manifest/1"
)

// Latency sums up a distribution, in µs.
type Latency struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50_us"`
	P95   float64 `json:"p95_us"`
	P99   float64 `json:"p99_us"`
	Max   float64 `json:"max_us"`
}

// FaultKinds and BlockKinds are the keys of the latencies.
var (
	FaultKinds = []string{"p_local", "fetch", "coalesced", "victim_hit", "prefetched", "late"}
	BlockKinds = []string{"read", "write", "flush"}
)

// Counters are what a vNode, a component or the whole run counted. A counter that a component's role does not have is 0.
type Counters struct {
	Accesses        uint64 `json:"accesses"`
	Reads           uint64 `json:"reads"`
	Writes          uint64 `json:"writes"`
	Hits            uint64 `json:"hits"`
	Misses          uint64 `json:"misses"`
	PLocal          uint64 `json:"p_local"`
	Fetches         uint64 `json:"fetches"`
	Coalesced       uint64 `json:"coalesced"`
	VictimHits      uint64 `json:"victim_hits"`
	Evictions       uint64 `json:"evictions"`
	Flushes         uint64 `json:"flushes"`
	FinalFlushes    uint64 `json:"final_flushes"`
	Piggybacked     uint64 `json:"piggybacked"`
	PrefetchIssued  uint64 `json:"prefetch_issued"`
	PrefetchUseful  uint64 `json:"prefetch_useful"`
	PrefetchLate    uint64 `json:"prefetch_late"`
	PrefetchWasted  uint64 `json:"prefetch_wasted"`
	PrefetchDropped uint64 `json:"prefetch_dropped"`
	PrefetchRefused uint64 `json:"prefetch_refused"`
	FetchedBytes    uint64 `json:"fetched_bytes"`
	FlushedBytes    uint64 `json:"flushed_bytes"`
	PagesChecked    uint64 `json:"pages_checked"`
	SectorsChecked  uint64 `json:"sectors_checked"`
	IntegrityErrors uint64 `json:"integrity_errors"`
	Retries         uint64 `json:"retries"`
	Redirects       uint64 `json:"redirects"`
	BlockReads      uint64 `json:"block_reads"`
	BlockWrites     uint64 `json:"block_writes"`
	BlockFlushes    uint64 `json:"block_flushes"`
	BlockReadBytes  uint64 `json:"block_read_bytes"`
	BlockWriteBytes uint64 `json:"block_write_bytes"`

	// FaultLatency is by kind of fault: every one of FaultKinds, count 0 where there was none.
	FaultLatency map[string]Latency `json:"fault_latency"`
	// BlockLatency is by kind of request: every one of BlockKinds.
	BlockLatency map[string]Latency `json:"block_latency"`
}

// SetCache takes over the logical counters of an ExCache.
func (c *Counters) SetCache(s excache.Stats) {
	c.Accesses, c.Reads, c.Writes, c.Hits, c.Misses = s.Accesses, s.Reads, s.Writes, s.Hits, s.Misses
	c.PLocal, c.Fetches, c.Coalesced, c.VictimHits = s.PLocal, s.Fetches, s.Coalesced, s.VictimHits
	c.Evictions, c.Flushes, c.FinalFlushes, c.Piggybacked = s.Evictions, s.Flushes, s.FinalFlushes, s.Piggybacked
	c.PrefetchIssued, c.PrefetchUseful, c.PrefetchLate = s.PrefetchIssued, s.PrefetchUseful, s.PrefetchLate
	c.PrefetchWasted, c.PrefetchDropped, c.PrefetchRefused = s.PrefetchWasted, s.PrefetchDropped, s.PrefetchRefused
	c.FetchedBytes = s.Fetched() * wire.PageSize
	c.FlushedBytes = (s.Flushes + s.FinalFlushes) * wire.PageSize
}

// Add adds the counts of d; latencies are not added, since quantiles do not add up.
func (c *Counters) Add(d Counters) {
	c.Accesses += d.Accesses
	c.Reads += d.Reads
	c.Writes += d.Writes
	c.Hits += d.Hits
	c.Misses += d.Misses
	c.PLocal += d.PLocal
	c.Fetches += d.Fetches
	c.Coalesced += d.Coalesced
	c.VictimHits += d.VictimHits
	c.Evictions += d.Evictions
	c.Flushes += d.Flushes
	c.FinalFlushes += d.FinalFlushes
	c.Piggybacked += d.Piggybacked
	c.PrefetchIssued += d.PrefetchIssued
	c.PrefetchUseful += d.PrefetchUseful
	c.PrefetchLate += d.PrefetchLate
	c.PrefetchWasted += d.PrefetchWasted
	c.PrefetchDropped += d.PrefetchDropped
	c.PrefetchRefused += d.PrefetchRefused
	c.FetchedBytes += d.FetchedBytes
	c.FlushedBytes += d.FlushedBytes
	c.PagesChecked += d.PagesChecked
	c.SectorsChecked += d.SectorsChecked
	c.IntegrityErrors += d.IntegrityErrors
	c.Retries += d.Retries
	c.Redirects += d.Redirects
	c.BlockReads += d.BlockReads
	c.BlockWrites += d.BlockWrites
	c.BlockFlushes += d.BlockFlushes
	c.BlockReadBytes += d.BlockReadBytes
	c.BlockWriteBytes += d.BlockWriteBytes
}

// VNode is what one program did.
type VNode struct {
	Name        string      `json:"name"`
	PID         wire.PID    `json:"pid"`
	State       string      `json:"state"` // done, failed or stopped
	Error       string      `json:"error,omitempty"`
	PComponent  wire.NodeID `json:"pcomponent"`
	Home        wire.NodeID `json:"home"`
	Threads     int         `json:"threads"`
	Order       string      `json:"order"`
	Policy      string      `json:"policy"`
	Mechanism   string      `json:"mechanism"`
	Lines       int         `json:"excache_lines"`
	Ways        int         `json:"excache_ways"`
	Footprint   uint64      `json:"footprint_pages"`
	Seconds     float64     `json:"seconds"`
	Activations uint64      `json:"activations"`            // vRegions activated
	Late        uint64      `json:"activations_during_run"` // of them, after the first access
	// Of a virtual run: how long it takes with all memory at hand, and Seconds as a multiple of that.
	LocalSeconds float64 `json:"local_seconds,omitempty"`
	// Checkpoints that are durable, the beginning included, and the times it went on from one.
	Checkpoints uint64    `json:"checkpoints,omitempty"`
	Restarts    []Restart `json:"process_restarts,omitempty"`
	Slowdown    float64   `json:"slowdown,omitempty"`
	Memory      *Memory   `json:"memory,omitempty"` // what it survives, if it does
	Counters
}

// Restart is a process that went on from a checkpoint, because its pComponent was lost. What is counted of it elsewhere has each access
// once, as the process of the checkpoint and since made it; what was repeated is counted here and nowhere else.
type Restart struct {
	From             wire.NodeID `json:"from"`
	To               wire.NodeID `json:"to"`
	Epoch            wire.Epoch  `json:"epoch"` // of the process
	Checkpoint       uint64      `json:"checkpoint"`
	LostAtSeconds    float64     `json:"lost_at_seconds"` // when it answered last
	BackAtSeconds    float64     `json:"back_at_seconds"` // when it answered again
	AccessesRepeated uint64      `json:"accesses_repeated"`
	RequestsRepeated uint64      `json:"block_requests_repeated"`
}

// Component is what one component did for all vNodes.
type Component struct {
	ID    wire.NodeID `json:"id"`
	Role  string      `json:"role"`
	Epoch wire.Epoch  `json:"epoch"`
	// FetchShare is the share of all fetches that this mComponent served.
	FetchShare float64 `json:"fetch_share"`
	Counters
	// Other are the counters of this component alone, by name.
	Other map[string]float64 `json:"other,omitempty"`
}

// Summary is summary.json.
type Summary struct {
	Schema            string      `json:"schema"`
	Engine            string      `json:"engine"` // live or virtual
	Workload          string      `json:"workload"`
	Cluster           string      `json:"cluster"`
	Seed              uint64      `json:"seed"`
	Commit            string      `json:"commit"`
	ConfigDigest      string      `json:"config_digest"`
	Started           time.Time   `json:"started"`
	WallSeconds       float64     `json:"wall_seconds"`
	AccessesPerSecond float64     `json:"accesses_per_second"`
	ProcessesStarted  int         `json:"processes_started"`
	Restarts          int         `json:"restarts"`
	LeaderChanges     uint64      `json:"leader_changes"`
	Failed            []string    `json:"failed"`    // vNodes that did not end well, and why
	Integrity         []string    `json:"integrity"` // the first wrong pages, described
	Warnings          []string    `json:"warnings"`
	Faults            []Fault     `json:"faults"`   // what was to go wrong on purpose, in the order in which it did; what never did is last
	Lost              []string    `json:"lost"`     // what nobody has any more because of faults, by name
	Failures          []Failure   `json:"failures"` // components that were declared dead, the first first
	Total             Counters    `json:"total"`
	VNodes            []VNode     `json:"vnodes"`
	Components        []Component `json:"components"`
	Moves             []Moves     `json:"moves"`   // of the kinds that moved
	Balance           []Balance   `json:"balance"` // of each role and measure
	// Redundancy is there if the memory of a vNode survives something.
	Redundancy *Redundancy `json:"redundancy,omitempty"`
	// Modelled is there in a virtual run, whose seconds and latencies all are modelled.
	Modelled *Modelled `json:"modelled,omitempty"`
	// Timeline goes into a file of its own.
	Timeline *Timeline `json:"-"`
	// Slowest too.
	Slowest *Slowest `json:"-"`
}

// Modelled is what only a virtual run knows.
type Modelled struct {
	Hardware string  `json:"hardware"`
	Seconds  float64 `json:"seconds"` // of modelled time
	Events   uint64  `json:"events"`
	Stages   []Stage `json:"stages"` // of fetches
	Digest   string  `json:"digest"` // over everything that happened, in order: equal for equal seeds
}

// Stage is a part of the way of a fetch.
type Stage struct {
	Name         string  `json:"stage"`
	MeanUS       float64 `json:"mean_us"`
	TotalSeconds float64 `json:"total_seconds"`
}

// ExitCode is 3 if a wrong page was seen, 1 if a vNode failed, else 0.
func (s *Summary) ExitCode() int {
	switch {
	case s.Total.IntegrityErrors > 0:
		return 3
	case len(s.Failed) > 0:
		return 1
	}
	return 0
}

// Manifest is manifest.json: what one must know to repeat the run.
type Manifest struct {
	Schema  string `json:"schema"`
	Seed    uint64 `json:"seed"`
	Commit  string `json:"commit"`
	Version string `json:"version"`
	// Command is the command line that made the run, without secrets; environment variables that it had stand before it.
	Command      []string `json:"command,omitempty"`
	ConfigDigest string   `json:"config_digest"`
	// Config is the effective configuration by key, as in --set; sizes are text, a token is left out.
	Config    map[string]any `json:"config"`
	Traces    []Trace        `json:"traces"`
	Placement []Placement    `json:"placement"`
	Host      Host           `json:"host"`
	Started   time.Time      `json:"started"`
}

// Trace is a trace that was replayed.
type Trace struct {
	VNode  string `json:"vnode"`
	Name   string `json:"name"`
	Format string `json:"format"`
	SHA256 string `json:"sha256"`
	Refs   uint64 `json:"references"`
}

// Placement says where the managers put a vNode.
type Placement struct {
	VNode      string        `json:"vnode"`
	PID        wire.PID      `json:"pid"`
	PComponent wire.NodeID   `json:"pcomponent"` // where it ran last
	Hosts      []wire.NodeID `json:"hosts"`      // the pComponents that it ran at, in the order of its moves
	Home       wire.NodeID   `json:"home"`
	Regions    []Region      `json:"regions"`
	Volumes    []Volume      `json:"volumes"`
}

// Region is a vRegion and its owner.
type Region struct {
	Number wire.RegionNo `json:"number"`
	Owner  wire.NodeID   `json:"owner"`
	Epoch  wire.Epoch    `json:"epoch"`
}

// Volume is a volume, where it lies and where its buffer cache is.
type Volume struct {
	ID      wire.VolumeID `json:"id"`
	Name    string        `json:"name"`
	Storage wire.NodeID   `json:"storage"`
	Cache   wire.NodeID   `json:"cache"`
}

// Host is the machine of the run.
type Host struct {
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	CPUs   int    `json:"cpus"`
	CPU    string `json:"cpu"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

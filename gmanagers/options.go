package gmanagers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/balance"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// Peer is one manager process of the cluster.
type Peer struct {
	ID        wire.NodeID
	Addr      netlayer.Addr
	ReplicaID uint64 // its Raft node id at the start of the cluster: above 0, never given to another, not even after it is gone
}

// FS is a file system for Raft's log and snapshots, for tests.
type FS = raftsm.FS

// Options are the settings of a manager process. Who we are is set by the program; the rest may come from a file.
type Options struct {
	ID      wire.NodeID `mapstructure:"-" yaml:"-"`
	Peers   []Peer      `mapstructure:"-" yaml:"-"` // every manager process, this one included; the same at each
	DataDir string      `mapstructure:"-" yaml:"-"` // of this process alone
	// Readmitted is the Raft node id under which this process came into the groups again after it had lost what it had on its disk
	// (client.Readmit), instead of the one in Peers; 0: it never did.
	Readmitted uint64           `mapstructure:"-" yaml:"-"`
	Net        netlayer.Options `mapstructure:"-" yaml:"-"` // identity and bounds of the connections to the other managers
	Log        *slog.Logger     `mapstructure:"-" yaml:"-"` // nil discards
	FS         FS               `mapstructure:"-" yaml:"-"` // nil is the disk
	// Recorder gets what the states of the managers are told; nil is off.
	Recorder tape.Recorder `mapstructure:"-" yaml:"-"`
	// OnStep, if not nil, is called with the name of each step of an admission, a release or a move that this process
	// coordinates: before it is sent ("prepare gmm", "decide commit", "poll gsm"), and when it was answered, before anything
	// follows from that ("prepare gmm answered"); also when an admission or a release is in the log and nobody was asked yet
	// ("admit logged", "release logged"). It is for tests, which may block in it until ctx ends, or end the process.
	OnStep func(ctx context.Context, step string) `mapstructure:"-" yaml:"-" json:"-"`
	// Wall is the clock of the wall, for listings, and for how long something has been where it is when balancing looks; nil is the
	// machine's. What is decided goes by monotonic clocks (membership.Clock), so tests set it wrong.
	Wall func() time.Time `mapstructure:"-" yaml:"-" json:"-"`
	// patience, if not 0, is instead of lost.Patience, evictPatience and the stepTimeout of what they bound, for tests.
	patience time.Duration

	// LeaseMS is how long a component without a heartbeat remains a candidate for placement, in ms. A new leader waits as
	// long before it calls anybody silent. Default: four heartbeats.
	LeaseMS int `mapstructure:"lease_ms" yaml:"lease_ms"`
	// ProbeMS is how long a silent component may take to answer a probe, in ms, 100 to 30000: one that stands still for longer than
	// lease and probe together is declared dead. The default is what two seconds leave of both.
	ProbeMS int `mapstructure:"probe_ms" yaml:"probe_ms"`
	// SweepMS is how often a component is asked for what it holds, to drop what no vNode has there, in ms, 100 to an hour: besides
	// when it joins and when it is heard again after a silence, which is when something may be left. The default costs a large
	// cluster next to nothing.
	SweepMS int `mapstructure:"sweep_ms" yaml:"sweep_ms"`
	// GPMPolicy, GMMPolicy and GSMPolicy place processes, homes and vRegions, and volumes; CachePolicy chooses buffer
	// caches. One of placement.Names; docs/managers.md says what each does. The leader's setting decides.
	GPMPolicy   string `mapstructure:"gpm_policy" yaml:"gpm_policy"`
	GMMPolicy   string `mapstructure:"gmm_policy" yaml:"gmm_policy"`
	GSMPolicy   string `mapstructure:"gsm_policy" yaml:"gsm_policy"`
	CachePolicy string `mapstructure:"cache_policy" yaml:"cache_policy"`
	// Overcommit is how many times its memory an mComponent may own in vRegions, 1 to 1000, kept to a thousandth. vRegions
	// are address space, of which programs touch a part, so the default is 4; what is really full says the mComponent.
	Overcommit float64 `mapstructure:"overcommit" yaml:"overcommit"`
	// ThreadsPerCore is how many threads of vNodes a pComponent may have for each of its cores; 0, the default, is no bound:
	// threads share processors, they only get slower. Lines of the ExCache and bytes of volumes are frames and blocks that
	// are really there, so there is no such ratio for them.
	ThreadsPerCore int `mapstructure:"threads_per_core" yaml:"threads_per_core"`
	// Quotas bound what the vNodes of a tenant have together; tenants that none names have that of admission.EveryTenant, if
	// there is one. The leader's settings count for all.
	Quotas []admission.Quota `mapstructure:"quotas" yaml:"quotas"`

	// MoveTimeoutMS is how long a move may copy before it begins to switch over, in ms; then its giver gives it up.
	// Default: ten minutes.
	MoveTimeoutMS int `mapstructure:"move_timeout_ms" yaml:"move_timeout_ms"`

	// ReplaceAfterMS is how long an sComponent that was declared dead is waited for before copies of its volumes are made elsewhere, in
	// ms, 0 to a day. If it comes back before, its copies catch up where they are. Default: half a minute, for a restart is much
	// cheaper than a copy; 0 does not wait.
	ReplaceAfterMS int `mapstructure:"replace_after_ms" yaml:"replace_after_ms"`

	// Balance is when each manager moves work by itself.
	Balance Balance `mapstructure:"balance" yaml:"balance"`

	// TickMS is Raft's clock, in ms. Default 10: at 5 leaders change under load (dependencies design notes).
	TickMS int `mapstructure:"tick_ms" yaml:"tick_ms"`
	// ElectionTicks is how long a follower waits for a leader, in ticks, at least five times HeartbeatTicks. Default 20:
	// elections take 200 to 400 ms.
	ElectionTicks int `mapstructure:"election_ticks" yaml:"election_ticks"`
	// HeartbeatTicks is the interval of a leader's heartbeats, in ticks.
	HeartbeatTicks int `mapstructure:"heartbeat_ticks" yaml:"heartbeat_ticks"`
	// SnapshotEntries is how many commands lie between two snapshots of a group.
	SnapshotEntries int `mapstructure:"snapshot_entries" yaml:"snapshot_entries"`
	// CompactionEntries is how many commands stay in the log behind a snapshot, so that a replica that was away shortly
	// catches up from the log.
	CompactionEntries int `mapstructure:"compaction_entries" yaml:"compaction_entries"`
	// ProposeTimeoutMS bounds one proposal or read at this process, in ms; less than a client's attempt, so that a leader
	// that was cut off sends its clients away.
	ProposeTimeoutMS int `mapstructure:"propose_timeout_ms" yaml:"propose_timeout_ms"`
}

// MinWorkers is how many workers the server of a manager process should have: one for each admission that waits, and one
// for each other proposal that waits for Raft, several components' worth of them. Admissions wait for such proposals, so
// the latter must not wait for the former.
const MinWorkers = MaxAdmitting + 64

// maxPeers bounds the manager processes.
const maxPeers = 7

// DefaultOptions gives the settings without an identity.
func DefaultOptions() Options {
	return Options{
		Net:     netlayer.DefaultOptions(),
		LeaseMS: int(membership.DefaultLease / time.Millisecond), ProbeMS: int(membership.DefaultProbe / time.Millisecond), SweepMS: 30_000, GPMPolicy: "fewest_threads", GMMPolicy: "least_loaded",
		GSMPolicy: "most_free", CachePolicy: "fewest_volumes", Overcommit: 4, MoveTimeoutMS: 600_000, ReplaceAfterMS: 30_000, Balance: DefaultBalance(), TickMS: 10, ElectionTicks: 20, HeartbeatTicks: 2,
		SnapshotEntries: 4096, CompactionEntries: 1024, ProposeTimeoutMS: 1000,
	}
}

// Validate reports every fault by key.
func (o Options) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	between := func(key string, v, lo, hi int) {
		if v < lo || v > hi {
			fault("%s: %d, want %d to %d", key, v, lo, hi)
		}
	}
	if len(o.Peers) == 0 || len(o.Peers) > maxPeers || len(o.Peers)%2 == 0 {
		fault("peers: %d managers, want an odd number up to %d", len(o.Peers), maxPeers)
	}
	if !slices.ContainsFunc(o.Peers, func(p Peer) bool { return p.ID == o.ID && p.ID != "" }) {
		fault("id: %q, want the id of one of the peers", o.ID)
	}
	ids, replicas := map[wire.NodeID]bool{}, map[uint64]bool{}
	for i, p := range o.Peers {
		if p.ID == "" || len(p.ID) > membership.MaxIDBytes || ids[p.ID] {
			fault("peers[%d].id: %q, want 1 to %d bytes that no other peer has", i, p.ID, membership.MaxIDBytes)
		}
		if p.ReplicaID == 0 || replicas[p.ReplicaID] {
			fault("peers[%d].replica_id: %d, want a number above 0 that no other peer has", i, p.ReplicaID)
		}
		if err := p.Addr.Validate(); err != nil {
			fault("peers[%d].addr: %w", i, err)
		}
		ids[p.ID], replicas[p.ReplicaID] = true, true
	}
	if replicas[o.Readmitted] {
		fault("readmitted: %d, want the number of no peer", o.Readmitted)
	}
	if o.DataDir == "" {
		fault("data_dir: empty, want a folder of this process alone")
	}
	if err := o.Net.Validate(); err != nil {
		fault("net: %w", err)
	}
	if o.SweepMS < 100 || o.SweepMS > 3_600_000 {
		fault("sweep_ms: %d, want 100 to 3600000", o.SweepMS)
	}
	if err := membership.CheckLease("lease_ms", ms(o.LeaseMS)); err != nil {
		faults = append(faults, err)
	}
	if err := membership.CheckProbe("probe_ms", ms(o.ProbeMS)); err != nil {
		faults = append(faults, err)
	}
	for _, p := range []struct{ key, name string }{
		{"gpm_policy", o.GPMPolicy}, {"gmm_policy", o.GMMPolicy}, {"gsm_policy", o.GSMPolicy}, {"cache_policy", o.CachePolicy},
	} {
		if _, err := placement.New(p.name); err != nil {
			fault("%s: %q, want one of %v", p.key, p.name, placement.Names())
		}
	}
	if m := o.Overcommit * 1000; !(m >= gmm.MinOvercommit && m <= gmm.MaxOvercommit) {
		fault("overcommit: %g, want %d to %d", o.Overcommit, gmm.MinOvercommit/1000, gmm.MaxOvercommit/1000)
	}
	for _, b := range []struct {
		key string
		o   balance.Options
	}{{"gpm", o.Balance.GPM}, {"gmm", o.Balance.GMM}, {"homes", o.Balance.Homes}, {"gsm", o.Balance.GSM}, {"caches", o.Balance.Caches}} {
		for _, err := range faultsOf(b.o.Validate()) {
			fault("balance.%s.%w", b.key, err)
		}
	}
	between("move_timeout_ms", o.MoveTimeoutMS, 100, movelist.MaxTimeoutMS)
	between("replace_after_ms", o.ReplaceAfterMS, 0, 86_400_000)
	between("threads_per_core", o.ThreadsPerCore, 0, 1<<20)
	if len(o.Quotas) > admission.MaxQuotas {
		fault("quotas: %d, want at most %d", len(o.Quotas), admission.MaxQuotas)
	}
	tenants := map[string]bool{}
	for i, q := range o.Quotas {
		if q.Tenant == "" || len(q.Tenant) > admission.MaxTenantBytes || tenants[q.Tenant] {
			fault("quotas[%d].tenant: %q, want 1 to %d bytes that no other quota has", i, q.Tenant, admission.MaxTenantBytes)
		}
		tenants[q.Tenant] = true
	}
	between("tick_ms", o.TickMS, 1, 1000)
	between("heartbeat_ticks", o.HeartbeatTicks, 1, 1000)
	between("election_ticks", o.ElectionTicks, 5*o.HeartbeatTicks, 10_000)
	between("snapshot_entries", o.SnapshotEntries, 16, 1<<24)
	between("compaction_entries", o.CompactionEntries, 16, 1<<24)
	between("propose_timeout_ms", o.ProposeTimeoutMS, 10*o.TickMS, 600_000)
	return errors.Join(faults...)
}

// faultsOf takes joined errors apart.
func faultsOf(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return nil
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

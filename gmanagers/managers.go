package gmanagers

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/internal/ledger"
	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/weigh"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// groups are the managers, in the order of their numbers.
var groups = [...]wire.Manager{wire.GPM, wire.GMM, wire.GSM}

// Managers is the replicas of one manager process. Make one with New and run it once.
type Managers struct {
	o     Options
	log   *slog.Logger
	start time.Time
	stats stats
	// prober makes the probes of this process, its own and those that other managers ask for.
	prober *netlayer.Prober

	mu      sync.Mutex
	host    *raftsm.Host // while Run serves
	serving context.Context
	calls   sync.WaitGroup // handlers that use host
	watch   *membership.Watch
	clock   membership.Clock                               // of GPM
	tidings [wire.GSM + 1][wire.GSM + 1]membership.Tidings // by group and by who registers the members
	leading [wire.GSM + 1]bool
	terms   [wire.GSM + 1]uint64 // how often this process began to lead
	// balanced is what the last looks saw, by group that this process leads.
	balanced [wire.GSM + 1][]weigh.Look
	driver   *driver // while Run serves
	// reached holds, by group that this process leads, the epochs of members that are silent here and that others reach.
	reached [wire.GSM + 1]map[wire.NodeID]wire.Epoch
}

// stats counts what the shell did; metrics.go exports it.
type stats struct {
	proposals [wire.GSM + 1]atomic.Uint64 // answered
	refused   [wire.GSM + 1]atomic.Uint64 // failed here: no leader, busy, outcome unknown
	queries   [wire.GSM + 1]atomic.Uint64
	beats     atomic.Uint64
	unheard   atomic.Uint64 // heartbeats of an older epoch or beyond the bound
	admitted  atomic.Uint64 // vNodes that this process coordinated
	aborted   atomic.Uint64 // and refused after their intent
	released  atomic.Uint64
	probes    atomic.Uint64 // of silent components, asked for or made as a leader
	deaths    atomic.Uint64 // declared
	lost      atomic.Uint64 // vNodes ended because their pComponent was lost
	dropped   atomic.Uint64 // things that nobody owned, at components
	batches   atomic.Uint64 // commands that carried steps and moves
	inquiries atomic.Uint64 // questions of participants about prepared holds
}

// answered counts the end of an admission or of a vNode.
func (s *stats) answered(a admission.Answer) {
	switch {
	case !a.Gone:
		s.admitted.Add(1)
	case a.Kind != wire.KindNone:
		s.aborted.Add(1)
	default:
		s.released.Add(1)
	}
}

// New makes the replicas of a manager process; nothing runs yet.
func New(o Options) (*Managers, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Managers{
		o: o, log: log, start: time.Now(), watch: membership.NewWatch(ms(o.LeaseMS), 0),
		prober: netlayer.NewProber(o.Net, maxProbing),
	}, nil
}

// wall is the clock of the wall.
func (m *Managers) wall() time.Time {
	if m.o.Wall != nil {
		return m.o.Wall()
	}
	return time.Now()
}

// clockMS is the time by which GPM decides.
func (m *Managers) clockMS(host *raftsm.Host) (ms int64, err error) {
	var seen int64
	if err := host.Stale(wire.GPM, func(s raftsm.State) { seen = s.(*gpm.State).ClockMS() }); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock.Saw(m.now(), seen)
	return m.clock.Now(m.now()), nil
}

// now is the time of the watch.
func (m *Managers) now() time.Duration { return time.Since(m.start) }

// Run runs the replicas until ctx ends. It returns nil then, or why they cannot run, for example that the data folder
// is in use, or cannot go on: then the process must end, as not all of its goroutines may. It must be called once.
func (m *Managers) Run(ctx context.Context) error {
	links := newLinks(m.o)
	defer links.close()
	failed := make(chan error, 1)
	config := raftsm.Config{
		Self: m.o.ID, Readmitted: m.o.Readmitted, Dir: m.o.DataDir, FS: m.o.FS, Deployment: deployment(m.o.Net.Cluster), Connect: links.connect, Log: m.log, Recorder: m.o.Recorder,
		OnLeader: m.leaderChanged, OnFailure: func(err error) {
			select {
			case failed <- err:
			default: // the first one counts
			}
		}, RTTMillisecond: uint64(m.o.TickMS), ElectionRTT: uint64(m.o.ElectionTicks),
		HeartbeatRTT: uint64(m.o.HeartbeatTicks), SnapshotEntries: uint64(m.o.SnapshotEntries), CompactionOverhead: uint64(m.o.CompactionEntries),
		Groups: []raftsm.Group{
			{Manager: wire.GPM, New: func() raftsm.State { return gpm.New() }},
			{Manager: wire.GMM, New: func() raftsm.State { return gmm.New() }},
			{Manager: wire.GSM, New: func() raftsm.State { return gsm.New() }},
		},
	}
	for _, p := range m.o.Peers {
		config.Replicas = append(config.Replicas, raftsm.Replica{Node: p.ID, ID: p.ReplicaID})
	}
	host, err := raftsm.Open(config)
	var damaged *ledger.Damaged
	if errors.As(err, &damaged) {
		return fmt.Errorf("manager %s has lost part of its state, and does not serve what is left: %w. %s", m.o.ID, damaged, m.advice())
	}
	if err != nil {
		return fmt.Errorf("manager %s: %w", m.o.ID, err)
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	driver, err := newDriver(serving, m, host)
	if err != nil {
		host.Close()
		return fmt.Errorf("manager %s: %w", m.o.ID, err)
	}
	m.mu.Lock()
	if m.serving != nil {
		m.mu.Unlock()
		driver.client.Close()
		driver.moving.Close()
		host.Close()
		return errors.New("gmanagers: Run was called twice")
	}
	m.host, m.serving, m.driver = host, serving, driver
	m.watch = membership.NewWatch(ms(m.o.LeaseMS), m.now()) // the grace begins when others can be heard
	m.mu.Unlock()

	driving := make(chan struct{})
	go func() {
		defer close(driving)
		driver.run()
	}()
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-failed:
	}

	m.mu.Lock()
	m.host, m.driver = nil, nil
	m.mu.Unlock()
	cancel()
	<-driving
	m.calls.Wait()
	links.close() // so that no sender waits for a peer
	if failure != nil {
		return fmt.Errorf("manager %s cannot go on: %w", m.o.ID, failure) // what is left of Raft may not end any more: the process will
	}
	host.Close()
	return nil
}

// advice says what to do about a replica that has lost what it had on its disk.
func (m *Managers) advice() string {
	if len(m.o.Peers) == 1 {
		return "It is the only manager: nobody else knows what it knew, start the cluster anew"
	}
	return fmt.Sprintf("The other managers go on without it: `splitkernel node readmit %s` has them take it in again, empty and under a new Raft node id", m.o.ID)
}

// enter gives the host to a handler, which must call leave. The context ends with Run, too.
func (m *Managers) enter(ctx context.Context) (host *raftsm.Host, joined context.Context, leave func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.host == nil {
		return nil, nil, nil, wire.Errorf(wire.KindUnavailable, "manager %s is starting or stopping", m.o.ID)
	}
	m.calls.Add(1)
	joined, cancel := context.WithTimeout(ctx, ms(m.o.ProposeTimeoutMS))
	stop := context.AfterFunc(m.serving, cancel)
	return m.host, joined, func() { stop(); cancel(); m.calls.Done() }, nil
}

// deployment makes dragonboat drop the messages of another cluster, should the hello ever let them pass.
func deployment(cluster string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(cluster))
	return max(1, h.Sum64())
}

// leaderChanged is called when Raft tells of a leader.
func (m *Managers) leaderChanged(g wire.Manager, leader wire.NodeID) {
	m.log.Info("leader", "manager", g.String(), "leader", string(leader))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lead(g, leader == m.o.ID)
}

// lead notes whether this process leads a group; a new leader calls nobody silent for one lease. m.mu is held.
func (m *Managers) lead(g wire.Manager, leads bool) {
	if leads && !m.leading[g] {
		m.watch.Lead(g, m.now())
		m.terms[g]++
	}
	m.leading[g] = leads
}

// Ready reports whether every group knows a leader.
func (m *Managers) Ready() bool {
	for _, s := range m.Status() {
		if !s.Ready {
			return false
		}
	}
	return true
}

// Status returns the groups as this replica sees them.
func (m *Managers) Status() []membership.GroupStatus {
	m.mu.Lock()
	host := m.host
	m.mu.Unlock()
	out := make([]membership.GroupStatus, 0, len(groups))
	for _, g := range groups {
		out = append(out, m.status(host, g))
	}
	return out
}

func (m *Managers) status(host *raftsm.Host, g wire.Manager) membership.GroupStatus {
	st := membership.GroupStatus{Manager: g, Node: m.o.ID}
	if host != nil {
		s := host.Status(g)
		st.Leader, st.Term, st.Applied, st.LeaderChanges, st.Ready = s.Leader, s.Term, s.Applied, s.LeaderChanges, s.Leader != ""
	}
	return st
}

// links are the connections to the other manager processes.
type links struct {
	mu     sync.Mutex
	peers  map[wire.NodeID]*netlayer.Peer
	addrs  map[wire.NodeID]netlayer.Addr
	o      netlayer.Options
	closed bool
}

// raftSlots is how many calls a connection to another manager may have open: Raft's messages are one way and need none.
const raftSlots = 1

func newLinks(o Options) *links {
	l := &links{peers: map[wire.NodeID]*netlayer.Peer{}, addrs: map[wire.NodeID]netlayer.Addr{}, o: o.Net}
	l.o.Slots = raftSlots
	for _, p := range o.Peers {
		l.addrs[p.ID] = p.Addr
	}
	return l
}

// connect gives the connection to a manager process.
func (l *links) connect(id wire.NodeID) (raftsm.Sender, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	addr, ok := l.addrs[id]
	if !ok || l.closed {
		return nil, wire.Errorf(wire.KindUnavailable, "no way to manager %q", id)
	}
	if l.peers[id] == nil {
		l.peers[id] = netlayer.NewPeer(addr, l.o)
	}
	return l.peers[id], nil
}

// close ends the connections; it may be called again.
func (l *links) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, p := range l.peers {
		p.Close()
	}
}

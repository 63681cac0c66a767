package gmanagers

import (
	"io"
	"slices"
	"sort"

	"github.com/prometheus/client_golang/prometheus"

	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/weigh"
	"splitkernel/netlayer/wire"
)

// WriteHealthMetrics appends dragonboat's own metrics of this process to a page of metrics in Prometheus' text format.
// They come from another library, so they cannot be registered.
func WriteHealthMetrics(w io.Writer) { raftsm.WriteHealthMetrics(w) }

// RegisterMetrics registers the metrics of the managers.
func (m *Managers) RegisterMetrics(r prometheus.Registerer) error { return r.Register(collector{m}) }

// collector reads the counters when they are asked for.
type collector struct{ m *Managers }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("splitkernel", "manager", name), help, labels, nil)
}

var (
	leaderDesc    = desc("leads", "1 if this process leads the group.", "manager")
	readyDesc     = desc("has_leader", "1 if this process knows a leader of the group.", "manager")
	termDesc      = desc("term", "Raft term of the group.", "manager")
	appliedDesc   = desc("applied_commands_total", "Commands applied over the life of the group.", "manager")
	changesDesc   = desc("leader_changes_total", "Changes of leader seen since this process started.", "manager")
	proposalsDesc = desc("proposals_total", "Proposals by outcome: answered, or failed here (no leader, busy, unknown).", "manager", "outcome")
	queriesDesc   = desc("queries_total", "Queries answered.", "manager")
	beatsDesc     = desc("heartbeats_total", "Heartbeats of components.")
	unheardDesc   = desc("heartbeats_ignored_total", "Heartbeats of an older epoch, or of components beyond the bound.")
	vnodesDesc    = desc("vnodes_total", "vNodes whose admission or release this process coordinated, by how it ended.", "outcome")
	batchesDesc   = desc("admission_batches_total", "Commands with steps of admissions that this process sent.")
	inquiryDesc   = desc("admission_inquiries_total", "Questions to GPM about holds that stayed prepared.")
	openDesc      = desc("admissions_open", "Admissions and releases that this process drives.")
	waitDesc      = desc("admissions_waiting", "Admissions and releases whose callers wait here; more than the bound are refused as busy.")
	probesDesc    = desc("probes_total", "Probes of silent components that this process made or asked others for while it led.")
	deathsDesc    = desc("components_declared_dead_total", "Components that this process declared dead.")
	movesDesc     = desc("moves_total", "Moves that ended, by what moved and how, over the life of the group.", "thing", "outcome")
	movingDesc    = desc("moves_open", "Moves under way, or whose givers have not forgotten them.", "manager")
	spreadDesc    = desc("spread_ratio", "Coefficient of variation of what components bear, at the leader's last look; 0 elsewhere.", "thing")
	jainDesc      = desc("fairness_ratio", "Jain's fairness index of what components bear, at the leader's last look; 0 elsewhere.", "thing")
	balancingDesc = desc("balancing", "1 while the spread has been above its bound and not yet at its target.", "thing")
	weighedDesc   = desc("things_weighed", "Things that the leader's last look weighed; 0 elsewhere.", "thing")
	measuredDesc  = desc("things_measured", "Of the things that the leader's last look weighed those whose own load is known; 0 elsewhere.", "thing")
	queueDesc     = desc("queue_waiting", "vNodes that wait in GPM's queue, as this replica has it.")
	queuedDesc    = desc("queue_vnodes_total", "vNodes that had to wait over the life of the group, by what became of them; queued are all.", "outcome")
	waitedDesc    = desc("queue_waited_seconds_total", "Time that those took that left the queue, over the life of the group.")
	preemptedDesc = desc("vnodes_preempted_total", "vNodes ended for others over the life of the group.")
	shortDesc     = desc("vnodes_refused_total", "Refusals of vNodes over the life of the group, by resource that was short; one may name several.", "resource")
	raftDesc      = desc("raft_messages_total", "Raft message batches and snapshot chunks by what became of them.", "event")
)

// Describe sends the descriptions.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		leaderDesc, readyDesc, termDesc, appliedDesc, changesDesc, proposalsDesc, queriesDesc, beatsDesc, unheardDesc,
		vnodesDesc, batchesDesc, inquiryDesc, openDesc, waitDesc, probesDesc, deathsDesc, raftDesc, movesDesc, movingDesc, spreadDesc, jainDesc, balancingDesc, weighedDesc, measuredDesc,
		queueDesc, queuedDesc, waitedDesc, preemptedDesc, shortDesc,
	} {
		ch <- d
	}
}

// Collect sends the present values.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	m := c.m
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, s := range m.Status() {
		g := s.Manager.String()
		gauge(leaderDesc, flag(s.Leader == m.o.ID), g)
		gauge(readyDesc, flag(s.Ready), g)
		gauge(termDesc, float64(s.Term), g)
		counter(appliedDesc, s.Applied, g)
		counter(changesDesc, s.LeaderChanges, g)
		counter(proposalsDesc, m.stats.proposals[s.Manager].Load(), g, "answered")
		counter(proposalsDesc, m.stats.refused[s.Manager].Load(), g, "failed")
		counter(queriesDesc, m.stats.queries[s.Manager].Load(), g)
	}
	counter(beatsDesc, m.stats.beats.Load())
	counter(unheardDesc, m.stats.unheard.Load())
	counter(vnodesDesc, m.stats.admitted.Load(), "admitted")
	counter(vnodesDesc, m.stats.aborted.Load(), "refused")
	counter(vnodesDesc, m.stats.released.Load(), "released")
	counter(vnodesDesc, m.stats.lost.Load(), "lost")
	counter(probesDesc, m.stats.probes.Load())
	counter(deathsDesc, m.stats.deaths.Load())
	counter(batchesDesc, m.stats.batches.Load())
	counter(inquiryDesc, m.stats.inquiries.Load())
	driven, waiting := m.admitting()
	gauge(openDesc, float64(driven))
	gauge(waitDesc, float64(waiting))
	for _, g := range m.moves() {
		gauge(movingDesc, float64(g.open), g.manager.String())
		for k := wire.MoveRegion; k <= wire.MoveCache; k++ {
			for s := wire.MoveDone; s <= wire.MoveLost; s++ {
				if movelist.ManagerOf(k) == g.manager {
					counter(movesDesc, g.ended[k][s], k.String(), s.String())
				}
			}
		}
		for k := wire.MoveRegion; k <= wire.MoveCache; k++ {
			if movelist.ManagerOf(k) == g.manager {
				b := g.of(k)
				gauge(spreadDesc, b.Spread, k.String())
				gauge(jainDesc, b.Jain, k.String())
				gauge(balancingDesc, flag(b.Balancing), k.String())
				gauge(weighedDesc, float64(b.Things), k.String())
				gauge(measuredDesc, float64(b.Measured), k.String())
			}
		}
	}
	if counts, n, ok := m.queueCounts(); ok {
		gauge(queueDesc, float64(n))
		counter(queuedDesc, counts.Queued, "queued")
		counter(queuedDesc, counts.Dequeued, "admitted")
		counter(queuedDesc, counts.Expired, "expired")
		counter(queuedDesc, counts.Cancelled, "cancelled")
		ch <- prometheus.MustNewConstMetric(waitedDesc, prometheus.CounterValue, float64(counts.WaitedMS)/1000)
		counter(preemptedDesc, counts.Preempted)
		for i, name := range gpm.Resources() {
			counter(shortDesc, counts.Refused[i], name)
		}
	}
	for _, e := range m.raftEvents() {
		counter(raftDesc, uint64(e.Value), e.Name)
	}
}

// admitting returns how many transactions are driven and how many callers wait; none while Run does not serve.
func (m *Managers) admitting() (driven, waiting int) {
	d, err := m.drives()
	if err != nil {
		return 0, 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.core.Driven(), d.slots
}

// groupMoves is what a group's list of moves says here, and what the last looks saw if this process leads it.
type groupMoves struct {
	manager wire.Manager
	open    int
	ended   movelist.Totals
	seen    []weigh.Look
}

// of returns what the last look at a kind saw; zero if there was none.
func (g *groupMoves) of(k wire.MoveKind) (b weigh.Look) {
	for _, s := range g.seen {
		if s.Kind == k {
			b = s
		}
	}
	return b
}

// moves reads the lists of moves; none while Run does not serve.
func (m *Managers) moves() (out []groupMoves) {
	d, err := m.drives()
	if err != nil {
		return nil
	}
	for _, g := range groups {
		v := groupMoves{manager: g}
		err := d.host.Stale(g, func(s raftsm.State) {
			list := s.(moveState).Moves()
			v.open, v.ended = len(list.Moves()), list.Ended()
		})
		if err != nil {
			return out
		}
		m.mu.Lock()
		v.seen = slices.Clone(m.balanced[g])
		m.mu.Unlock()
		out = append(out, v)
	}
	return out
}

// queueCounts returns what GPM's replica here counted; false while Run does not serve.
func (m *Managers) queueCounts() (c gpm.Counts, waiting int, ok bool) {
	d, err := m.drives()
	if err != nil {
		return c, 0, false
	}
	err = d.host.Stale(wire.GPM, func(s raftsm.State) { c, waiting = s.(*gpm.State).Counts() })
	return c, waiting, err == nil
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// raftEvents returns the transport's counters, by name; none while Run does not serve.
func (m *Managers) raftEvents() []wire.Counter {
	m.mu.Lock()
	host := m.host
	m.mu.Unlock()
	if host == nil {
		return nil
	}
	s := host.Stats()
	return []wire.Counter{
		{Name: "batches_received", Value: float64(s.BatchesReceived.Load())},
		{Name: "batches_sent", Value: float64(s.BatchesSent.Load())},
		{Name: "chunks_dropped", Value: float64(s.ChunksDropped.Load())},
		{Name: "chunks_received", Value: float64(s.ChunksReceived.Load())},
		{Name: "chunks_refused", Value: float64(s.ChunksRefused.Load())},
		{Name: "chunks_sent", Value: float64(s.ChunksSent.Load())},
		{Name: "fragments_dropped", Value: float64(s.FragmentsDropped.Load())},
		{Name: "send_errors", Value: float64(s.SendErrors.Load())},
	}
}

// nodeStats returns the counters of this process for wire.OpNodeStats.
func (m *Managers) nodeStats() wire.NodeStatsRep {
	rep := wire.NodeStatsRep{Node: m.o.ID, Role: wire.RoleManager}
	add := func(name string, v float64) { rep.Counters = append(rep.Counters, wire.Counter{Name: name, Value: v}) }
	for _, s := range m.Status() {
		g := s.Manager.String() + "_"
		add(g+"applied", float64(s.Applied))
		add(g+"leader_changes", float64(s.LeaderChanges))
		add(g+"leads", flag(s.Leader == m.o.ID))
		add(g+"proposals", float64(m.stats.proposals[s.Manager].Load()))
		add(g+"proposals_failed", float64(m.stats.refused[s.Manager].Load()))
		add(g+"queries", float64(m.stats.queries[s.Manager].Load()))
		add(g+"term", float64(s.Term))
	}
	add("heartbeats", float64(m.stats.beats.Load()))
	add("vnodes_admitted", float64(m.stats.admitted.Load()))
	add("vnodes_refused", float64(m.stats.aborted.Load()))
	add("vnodes_released", float64(m.stats.released.Load()))
	add("vnodes_lost", float64(m.stats.lost.Load()))
	add("things_dropped", float64(m.stats.dropped.Load()))
	add("probes", float64(m.stats.probes.Load()))
	add("components_declared_dead", float64(m.stats.deaths.Load()))
	if counts, n, ok := m.queueCounts(); ok {
		add("queue_waiting", float64(n))
		add("queue_queued", float64(counts.Queued))
		add("queue_expired", float64(counts.Expired))
		add("vnodes_preempted", float64(counts.Preempted))
	}
	add("admission_batches", float64(m.stats.batches.Load()))
	add("admission_inquiries", float64(m.stats.inquiries.Load()))
	for _, g := range m.moves() {
		add(g.manager.String()+"_moves_open", float64(g.open))
		for k := range g.ended {
			for s, n := range g.ended[k] {
				if n > 0 {
					add("moves_"+wire.MoveKind(k).String()+"_"+wire.MoveState(s).String(), float64(n))
				}
			}
		}
		for _, b := range g.seen {
			add("spread_"+b.Kind.String(), b.Spread)
			add("fairness_"+b.Kind.String(), b.Jain)
		}
	}
	for _, e := range m.raftEvents() {
		add("raft_"+e.Name, e.Value)
	}
	sort.Slice(rep.Counters, func(i, j int) bool { return rep.Counters[i].Name < rep.Counters[j].Name })
	return rep
}

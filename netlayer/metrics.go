package netlayer

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics exports the counters of the servers and peers of one component. Peers are summed, because their number is that
// of the cluster; labels are the kind of operation, the direction, the side and the reason. Peers whose Options name a
// Metrics are counted there by themselves.
type Metrics struct {
	mu      sync.Mutex
	servers []*Server
	peers   []*Peer
	gone    peerSums // of peers that were removed, so that counters never fall
}

// peerSums are the counters of several peers together.
type peerSums struct {
	in, out                                                   [NumOpKinds]Traffic
	connects, dialFailures, lost, unavailable, timeouts, late uint64
	retries, roomWaits, writeTimeouts                         uint64
	bad                                                       map[string]uint64
	inFlight, inFlightBytes                                   int
}

// NewMetrics registers the metrics of a component's netlayer.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{gone: peerSums{bad: make(map[string]uint64)}}
	return m, reg.Register(m)
}

// AddServer adds a server.
func (m *Metrics) AddServer(s *Server) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.servers = append(m.servers, s)
}

// AddPeer adds a peer, as NewPeer does.
func (m *Metrics) AddPeer(p *Peer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.peers = append(m.peers, p)
}

// RemovePeer takes a peer away once it is closed, as Close does; what it counted stays.
func (m *Metrics) RemovePeer(p *Peer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.Index(m.peers, p); i >= 0 {
		m.peers = slices.Delete(m.peers, i, i+1)
		m.gone.add(p.Stats())
		m.gone.inFlight, m.gone.inFlightBytes = 0, 0
	}
}

func (t *peerSums) add(s PeerStats) {
	for i := range s.In {
		t.in[i].Frames += s.In[i].Frames
		t.in[i].Bytes += s.In[i].Bytes
		t.out[i].Frames += s.Out[i].Frames
		t.out[i].Bytes += s.Out[i].Bytes
	}
	t.connects += s.Connects
	t.dialFailures += s.DialFailures
	t.lost += s.Lost
	t.unavailable += s.Unavailable
	t.timeouts += s.Timeouts
	t.late += s.Late
	t.retries += s.Retries
	t.roomWaits += s.RoomWaits
	t.writeTimeouts += s.WriteTimeouts
	t.inFlight += s.InFlight
	t.inFlightBytes += s.InFlightBytes
	for _, r := range s.BadFrames {
		t.bad[r.Reason] += r.Count
	}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("splitkernel", "netlayer", name), help, labels, nil)
}

var (
	descFrames       = desc("frames_total", "Frames by side, direction and kind of operation.", "side", "direction", "kind")
	descBytes        = desc("transferred_bytes_total", "Bytes of frames by side, direction and kind of operation.", "side", "direction", "kind")
	descConnects     = desc("peer_connects_total", "Connections that peers have made.")
	descDialFailures = desc("peer_dial_failures_total", "Connections that peers could not make.")
	descLost         = desc("peer_connections_lost_total", "Connections of peers that ended other than by close.")
	descUnavailable  = desc("peer_calls_unavailable_total", "Calls that failed with their connection.")
	descTimeouts     = desc("peer_calls_timed_out_total", "Calls without a reply before their deadline.")
	descLate         = desc("peer_late_replies_total", "Replies that nobody waited for any more.")
	descRetries      = desc("peer_retries_total", "Control messages that were sent again.")
	descRoomWaits    = desc("peer_room_waits_total", "Calls that found all slots or the bytes in flight used up.")
	descWriteStuck   = desc("peer_write_timeouts_total", "Connections that were closed because the other side took nothing.")
	descBadFrames    = desc("peer_bad_frames_total", "Connections of peers that were closed for a bad frame, by reason.", "reason")
	descInFlight     = desc("peer_calls_in_flight", "Calls that wait for a reply.")
	descInFlightB    = desc("peer_in_flight_bytes", "Bytes of requests that wait for a reply.")
	descConns        = desc("server_connections", "Connections with an accepted hello.")
	descAccepted     = desc("server_hellos_accepted_total", "Connections that were accepted.")
	descRefused      = desc("server_connections_refused_total", "Connections that were closed, by reason.", "reason")
	descQueueFull    = desc("server_queue_full_total", "Requests that found the queue of the workers full.")
	descQueued       = desc("server_requests_queued", "Requests that wait for a worker.")
	descHandedOver   = desc("server_requests_handed_over_total", "Requests that would have waited where they were read and went to a worker.")
	descDeferred     = desc("server_requests_deferred", "Requests that were served and are answered later.")
	descDeferredFull = desc("server_requests_deferred_full_total", "Requests that found max_deferred others deferred.")
	descExpired      = desc("server_requests_expired_total", "Requests whose deadline passed while they waited for a worker.")
	descReplayed     = desc("server_replies_replayed_total", "Retries that were answered without a second execution.")
	descErrors       = desc("server_error_replies_total", "Replies that carry an error.")
	descCorrupt      = desc("server_corrupt_payloads_total", "Requests whose payload does not fit its checksum.")
	descAcceptErrs   = desc("server_accept_errors_total", "Failed accepts of connections.")
	descWorkers      = desc("server_workers", "Requests that may be served at once, apart from those that are answered where they are read.")
	descWorkerBusy   = desc("server_worker_busy_seconds_total", "Time in which workers had a request, summed over them, waits for disks and other components included.")
)

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descFrames, descBytes, descConnects, descDialFailures, descLost, descUnavailable, descTimeouts, descLate, descRetries, descRoomWaits,
		descWriteStuck, descBadFrames, descInFlight, descInFlightB, descConns, descAccepted, descRefused, descQueueFull, descQueued,
		descHandedOver, descDeferred, descDeferredFull, descExpired, descReplayed, descErrors, descCorrupt, descAcceptErrs, descWorkers, descWorkerBusy,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, n int) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
	}
	traffic := func(side, direction string, ts *[NumOpKinds]Traffic) {
		for k, t := range ts {
			count(descFrames, t.Frames, side, direction, OpKind(k).String())
			count(descBytes, t.Bytes, side, direction, OpKind(k).String())
		}
	}

	p := m.sumPeers()
	traffic("peer", "in", &p.in)
	traffic("peer", "out", &p.out)
	count(descConnects, p.connects)
	count(descDialFailures, p.dialFailures)
	count(descLost, p.lost)
	count(descUnavailable, p.unavailable)
	count(descTimeouts, p.timeouts)
	count(descLate, p.late)
	count(descRetries, p.retries)
	count(descRoomWaits, p.roomWaits)
	count(descWriteStuck, p.writeTimeouts)
	gauge(descInFlight, p.inFlight)
	gauge(descInFlightB, p.inFlightBytes)

	s, refused := m.sumServers()
	traffic("server", "in", &s.In)
	traffic("server", "out", &s.Out)
	gauge(descConns, s.Conns)
	count(descAccepted, s.Accepted)
	count(descQueueFull, s.QueueFull)
	gauge(descQueued, s.Queued)
	count(descHandedOver, s.HandedOver)
	gauge(descDeferred, s.Deferred)
	count(descDeferredFull, s.DeferredFull)
	count(descExpired, s.Expired)
	count(descReplayed, s.Replayed)
	count(descErrors, s.Errors)
	count(descCorrupt, s.Corrupt)
	count(descAcceptErrs, s.AcceptErrs)
	gauge(descWorkers, s.Workers)
	ch <- prometheus.MustNewConstMetric(descWorkerBusy, prometheus.CounterValue, s.WorkerBusy.Seconds())

	for _, reason := range badReasons {
		count(descBadFrames, p.bad[reason], reason)
		count(descRefused, refused[reason], reason)
	}
}

// sumPeers sums the peers, those that are gone included. The mutex is held.
func (m *Metrics) sumPeers() peerSums {
	p := m.gone
	p.bad = maps.Clone(m.gone.bad)
	for _, peer := range m.peers {
		p.add(peer.Stats())
	}
	return p
}

// sumServers sums the servers; what they refused is by reason. The mutex is held.
func (m *Metrics) sumServers() (s ServerStats, refused map[string]uint64) {
	refused = make(map[string]uint64)
	for _, server := range m.servers {
		t := server.Stats()
		for i := range t.In {
			s.In[i].Frames += t.In[i].Frames
			s.In[i].Bytes += t.In[i].Bytes
			s.Out[i].Frames += t.Out[i].Frames
			s.Out[i].Bytes += t.Out[i].Bytes
		}
		s.Conns += t.Conns
		s.Accepted += t.Accepted
		s.QueueFull += t.QueueFull
		s.Queued += t.Queued
		s.HandedOver += t.HandedOver
		s.Deferred += t.Deferred
		s.DeferredFull += t.DeferredFull
		s.Expired += t.Expired
		s.Replayed += t.Replayed
		s.Errors += t.Errors
		s.Corrupt += t.Corrupt
		s.AcceptErrs += t.AcceptErrs
		s.Workers += t.Workers
		s.WorkerBusy += t.WorkerBusy
		for _, r := range t.Refused {
			refused[r.Reason] += r.Count
		}
	}
	return s, refused
}

// Usage is what the servers and peers of a component have used so far.
type Usage struct {
	InBytes, OutBytes uint64 // of frames, headers included, of all connections
	WorkerBusy        time.Duration
	Workers           int
}

// Usage gives the sums, for whoever computes rates.
func (m *Metrics) Usage() (u Usage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.sumPeers()
	s, _ := m.sumServers()
	for k := range NumOpKinds {
		u.InBytes += p.in[k].Bytes + s.In[k].Bytes
		u.OutBytes += p.out[k].Bytes + s.Out[k].Bytes
	}
	u.Workers, u.WorkerBusy = s.Workers, s.WorkerBusy
	return u
}

// LinkUse is what went between this component and one that it calls, over the connections that it made.
type LinkUse struct {
	Addr Addr   `json:"addr"`
	In   uint64 `json:"in"`  // bytes of frames, headers included, from it
	Out  uint64 `json:"out"` // and to it
}

// Links gives what the peers that are open have transferred, by address. A peer that is closed takes its bytes along. What came over connections
// that others made is told by those. It is no Prometheus metric, because its labels would be those of the whole cluster squared.
func (m *Metrics) Links() []LinkUse {
	m.mu.Lock()
	defer m.mu.Unlock()
	byAddr := make(map[Addr]LinkUse, len(m.peers))
	for _, peer := range m.peers {
		s, l := peer.Stats(), byAddr[peer.addr]
		for k := range NumOpKinds {
			l.In += s.In[k].Bytes
			l.Out += s.Out[k].Bytes
		}
		byAddr[peer.addr] = l
	}
	links := make([]LinkUse, 0, len(byAddr))
	for _, addr := range slices.Sorted(maps.Keys(byAddr)) {
		l := byAddr[addr]
		l.Addr = addr
		links = append(links, l)
	}
	return links
}

package link

import (
	"fmt"
	"math/rand/v2"
	"time"

	"splitkernel/sim/fifo"
	"splitkernel/sim/units"
)

// MaxNICs bounds the NICs of a network.
const MaxNICs = 1 << 20

// NIC is the number of a NIC, from 0.
type NIC uint32

// Net is a network of NICs, each of which reaches every other. Make one with New.
type Net struct {
	o       Options
	latency time.Duration
	nics    []nic
	rng     *rand.Rand
	cut     map[pair]bool          // looked up, never ranged over
	last    map[pair]time.Duration // latest arrival, kept only if there is jitter
	stats   Stats

	ill    map[pair][]illness // what goes wrong on purpose; nil until something does
	illRNG *rand.Rand
	held   map[NIC]time.Duration
}

// pair is a direction between two NICs.
type pair struct{ from, to NIC }

// nic has the queues of one NIC in the order in which a message passes them.
type nic struct {
	read, tx, rx, write *fifo.Server
	down                bool
}

// Stats count messages and bytes since New.
type Stats struct {
	Sent, SentBytes, Received, ReceivedBytes uint64
	Lost, Duplicated, Reordered, Cut         uint64 // Cut: by a partition or a NIC that is down
}

// New makes a network. rng may be nil if no option needs chance.
func New(o Options, nics int, rng *rand.Rand) (*Net, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if nics < 1 || nics > MaxNICs {
		return nil, fmt.Errorf("link: %d NICs, want 1 to %d", nics, MaxNICs)
	}
	if rng == nil && o.Chance() {
		return nil, fmt.Errorf("link: no generator, but jitter %v, loss %v, duplicate %v, reorder %v need chance", o.Jitter, o.Loss, o.Duplicate, o.Reorder)
	}
	n := &Net{o: o, latency: o.Latency.Duration(), rng: rng, nics: make([]nic, nics), cut: map[pair]bool{}}
	for i := range n.nics {
		n.nics[i] = nic{fifo.New(1), fifo.New(1), fifo.New(1), fifo.New(1), false}
	}
	if o.Jitter > 0 {
		n.last = map[pair]time.Duration{}
	}
	return n, nil
}

// Options of the network.
func (n *Net) Options() Options { return n.o }

// Sent is what becomes of a message.
type Sent struct {
	// Left is when its last bit has left the sender's NIC.
	Left     time.Duration
	arrivals [2]time.Duration
	n        int
}

// Arrivals are when the message reaches the receiver's NIC: never, once or twice.
func (s *Sent) Arrivals() []time.Duration { return s.arrivals[:s.n] }

// Send gives a message to the NIC of from now.
func (n *Net) Send(now time.Duration, from, to NIC, size uint64) Sent {
	a := &n.nics[from]
	n.stats.Sent++
	n.stats.SentBytes += size
	if a.down {
		n.stats.Cut++
		return Sent{Left: now}
	}
	first := n.o.first(size)
	start, _ := a.read.Serve(now, n.o.DMARate.Cost(size))
	ready := start + n.o.DMARate.Cost(first).Floor() // never after the next message's, as it might be if it were rounded up
	begin, left := a.tx.Serve(ready, n.o.wire(size))
	s := Sent{Left: left}
	if n.cut[pair{from, to}] {
		n.stats.Cut++
		return s
	}
	if n.happens(n.o.Loss) {
		n.stats.Lost++
		return s
	}
	at := begin + n.latency
	if n.happens(n.o.Reorder) {
		n.stats.Reordered++
		s.arrivals[0] = at + n.late()
	} else {
		s.arrivals[0] = n.jittered(pair{from, to}, at)
	}
	s.n = 1
	if n.happens(n.o.Duplicate) {
		n.stats.Duplicated++
		s.arrivals[1] = s.arrivals[0] + n.late()
		s.n = 2
	}
	if n.ill != nil || n.held != nil {
		n.suffer(pair{from, to}, &s)
	}
	return s
}

// Receive takes a message from the wire at the moment of its arrival and says when it is in the receiver's memory. ok is false
// if the receiver is down.
func (n *Net) Receive(now time.Duration, to NIC, size uint64) (done time.Duration, ok bool) {
	b := &n.nics[to]
	if b.down {
		n.stats.Cut++
		return 0, false
	}
	n.stats.Received++
	n.stats.ReceivedBytes += size
	_, in := b.rx.Serve(now, n.o.wire(size))
	_, done = b.write.Serve(in, n.o.DMARate.Cost(n.o.first(size)))
	return done, true
}

// Cut ends one direction, Heal restores it. What is on the wire arrives.
func (n *Net) Cut(from, to NIC) { n.cut[pair{from, to}] = true }

// Heal restores a direction that was cut.
func (n *Net) Heal(from, to NIC) { delete(n.cut, pair{from, to}) }

// SetDown takes a NIC out of the network, or brings it back. What arrives meanwhile is gone.
func (n *Net) SetDown(of NIC, down bool) { n.nics[of].down = down }

// Stats since New.
func (n *Net) Stats() Stats { return n.stats }

// Busy says how long a NIC's wires have been or will be busy, sending and receiving.
func (n *Net) Busy(of NIC) (tx, rx time.Duration) {
	_, tx = n.nics[of].tx.Stats()
	_, rx = n.nics[of].rx.Stats()
	return tx, rx
}

// Backlog is how long a message given to the NIC now would wait before its first byte is read.
func (n *Net) Backlog(now time.Duration, of NIC) time.Duration {
	return n.nics[of].read.Free(now) - now
}

// CheckInvariants says what is wrong with the network's own state.
func (n *Net) CheckInvariants() error {
	s := n.stats
	if s.Received > s.Sent+s.Duplicated {
		return fmt.Errorf("link: %d messages received of %d sent and %d duplicated", s.Received, s.Sent, s.Duplicated)
	}
	for i := range n.nics {
		for _, q := range []*fifo.Server{n.nics[i].read, n.nics[i].tx, n.nics[i].rx, n.nics[i].write} {
			if err := q.CheckInvariants(); err != nil {
				return fmt.Errorf("link: NIC %d: %w", i, err)
			}
		}
	}
	return nil
}

// happens draws only for what can happen, so that a perfect network needs no generator.
func (n *Net) happens(s units.Share) bool {
	return s > 0 && n.rng.Int64N(int64(units.Whole)) < int64(s)
}

// late is how much a message is late that may be overtaken.
func (n *Net) late() time.Duration {
	if n.o.ReorderDelay == 0 {
		return 0
	}
	return units.Picos(1 + n.rng.Int64N(int64(n.o.ReorderDelay))).Duration()
}

// jittered delays an arrival without letting it overtake the one before.
func (n *Net) jittered(p pair, at time.Duration) time.Duration {
	if n.o.Jitter == 0 {
		return at
	}
	at += time.Duration(n.rng.ExpFloat64() * float64(n.o.Jitter.Duration()))
	at = max(at, n.last[p])
	n.last[p] = at
	return at
}

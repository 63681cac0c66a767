package netlayer

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"splitkernel/netlayer/wire"
)

// OpKind groups operations for the counters, so that they stay few.
type OpKind uint8

// The kinds of operations.
const (
	KindSession OpKind = iota // hello, ping
	KindPage                  // miss, flush and their pair
	KindBlock
	KindMap
	KindVolume
	KindProcess
	KindManager
	KindRaft
	KindNode
	KindReplica // what makes memory and volumes redundant
	NumOpKinds
)

var opKindNames = [NumOpKinds]string{"session", "page", "block", "map", "volume", "process", "manager", "raft", "node", "replica"}

func (k OpKind) String() string { return opKindNames[k] }

var opKinds = func() (t [256]OpKind) {
	byRange := [16]OpKind{1: KindPage, 2: KindMap, 3: KindVolume, 4: KindProcess, 5: KindManager, 6: KindNode, 8: KindReplica, 9: KindReplica}
	for i := range t {
		t[i] = byRange[i>>4]
	}
	t[wire.OpBlockRead], t[wire.OpBlockWrite], t[wire.OpBlockFlush] = KindBlock, KindBlock, KindBlock
	t[wire.OpRaft], t[wire.OpRaftChunk] = KindRaft, KindRaft
	return t
}()

// badReasons are the reasons for which a connection is closed; the last stands for any other.
var badReasons = []string{
	"magic", "version", "checksum", "op", "flags", "length", "reserved", "body_checksum", "direction", "body", "call", "no_hello",
	"hello_version", "hello_cluster", "hello_token", "hello_sessions", "hello_timeout", "hello_closed", "frame_timeout", "write_timeout",
	"too_many_conns", "other",
}

func reasonIndex(reason string) int {
	for i, r := range badReasons {
		if r == reason {
			return i
		}
	}
	return len(badReasons) - 1
}

func reasonOf(err error) string {
	var e *wire.FrameError
	if errors.As(err, &e) {
		return e.Reason
	}
	return "other"
}

// Traffic counts what crossed connections in one direction.
type Traffic struct {
	Frames uint64
	Bytes  uint64
}

// Refusal counts connections that were closed for a reason.
type Refusal struct {
	Reason string
	Count  uint64
}

// PeerStats are the counters of a Peer since it was made.
type PeerStats struct {
	In, Out       [NumOpKinds]Traffic
	Connects      uint64 // connections made; all but the first are reconnects
	DialFailures  uint64
	Lost          uint64 // connections that ended other than by Close
	Unavailable   uint64 // calls that failed because the connection was lost
	Timeouts      uint64
	Late          uint64 // replies to calls that nobody waits for any more
	Retries       uint64 // of Control
	RoomWaits     uint64 // calls that found no slot or too many bytes in flight
	HandOvers     uint64 // of the leadership to a follower
	Reads, Writes uint64 // system calls, or what stands for them
	WriteTimeouts uint64
	BadFrames     []Refusal // by reason, those that occurred
	InFlight      int       // calls now
	InFlightBytes int
	FreeSlots     int
	Idle          bool // no call for a second: the housekeeper sleeps
}

// peerStats are the counters under the peer's mutex.
type peerStats struct {
	inT, outT                            [NumOpKinds]Traffic
	connects, dialFailures, lost         uint64
	unavailable, timeouts, late, retries uint64
	roomWaits, handOvers, reads, writes  uint64
	writeTimeouts                        uint64
	bad                                  [64]uint64
}

func (s *peerStats) in(op wire.Op, n int) {
	t := &s.inT[opKinds[op]]
	t.Frames++
	t.Bytes += uint64(n)
}

func (s *peerStats) out(op wire.Op, n int) {
	t := &s.outT[opKinds[op]]
	t.Frames++
	t.Bytes += uint64(n)
}

func (s *peerStats) framesOut() (n uint64) {
	for i := range s.outT {
		n += s.outT[i].Frames
	}
	return n
}

func (s *peerStats) badFrame(err error) { s.bad[reasonIndex(reasonOf(err))]++ }

// Stats gives the counters.
func (p *Peer) Stats() PeerStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.stats
	r := PeerStats{
		In: s.inT, Out: s.outT, Connects: s.connects, DialFailures: s.dialFailures, Lost: s.lost, Unavailable: s.unavailable, Timeouts: s.timeouts,
		Late: s.late, Retries: s.retries, RoomWaits: s.roomWaits, HandOvers: s.handOvers, Reads: s.reads, Writes: s.writes,
		WriteTimeouts: s.writeTimeouts, InFlight: p.inFlight, InFlightBytes: p.inBytes, FreeSlots: len(p.free), Idle: p.idle,
	}
	for i, reason := range badReasons {
		if s.bad[i] > 0 {
			r.BadFrames = append(r.BadFrames, Refusal{reason, s.bad[i]})
		}
	}
	return r
}

// ServerStats are the counters of a Server since it was made.
type ServerStats struct {
	In, Out      [NumOpKinds]Traffic
	Conns        int    // with an accepted hello, now
	Accepted     uint64 // hellos accepted
	Refused      []Refusal
	QueueFull    uint64 // requests answered with wire.ErrBusy because no place in the queue was left
	Expired      uint64 // requests whose deadline passed before a worker took them
	HandedOver   uint64 // inline requests that would have waited and went to the workers: see ErrWouldWait
	Deferred     int    // requests that were served and are answered later, now: see Request.Defer
	DeferredFull uint64 // requests that could not be deferred because max_deferred were
	Replayed     uint64 // retries answered from memory
	Errors       uint64 // replies that carry an error
	Corrupt      uint64 // requests whose payload does not fit its checksum
	Queued       int    // requests that wait for a worker, now
	AcceptErrs   uint64
	Workers      int
	WorkerBusy   time.Duration // in which workers had a request, summed over them, waits for others included
}

type traffic struct{ frames, bytes atomic.Uint64 }

type serverStats struct {
	in, out                                                                         [NumOpKinds]traffic
	accepted, queueFull, expired, handedOver, replayed, errors, corrupt, acceptErrs atomic.Uint64

	deferred     atomic.Int64
	deferredFull atomic.Uint64

	refused [64]atomic.Uint64
	busy    busyTime
	waitNS  atomic.Int64 // of requests for a worker, from the queue to its end
	waited  atomic.Uint64
}

// busyTime sums the time that workers have a request, that of running ones up to now. The clock is read under the lock, so
// that the sum never falls from one look to the next.
type busyTime struct {
	mu      sync.Mutex
	running int64
	sum     time.Duration // ends minus beginnings since epoch; running ones lack their end
}

// epoch is what beginnings and ends are measured from.
var epoch = time.Now()

func (b *busyTime) begin() { b.change(1) }
func (b *busyTime) end()   { b.change(-1) }

func (b *busyTime) change(by int64) {
	b.mu.Lock()
	b.running += by
	b.sum -= time.Duration(by) * time.Since(epoch)
	b.mu.Unlock()
}

func (b *busyTime) total() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sum + time.Duration(b.running)*time.Since(epoch)
}

// tally collects the traffic of a batch, so that the shared counters are touched once per batch.
type tally [NumOpKinds]Traffic

func (t *tally) add(op wire.Op, n int) {
	k := &t[opKinds[op]]
	k.Frames++
	k.Bytes += uint64(n)
}

func (t *tally) flushTo(to *[NumOpKinds]traffic) {
	for i := range t {
		if t[i].Frames > 0 {
			to[i].frames.Add(t[i].Frames)
			to[i].bytes.Add(t[i].Bytes)
			t[i] = Traffic{}
		}
	}
}

func (s *serverStats) refuse(reason string) { s.refused[reasonIndex(reason)].Add(1) }

// Stats gives the counters.
func (s *Server) Stats() ServerStats {
	st := &s.stats
	r := ServerStats{
		Accepted: st.accepted.Load(), QueueFull: st.queueFull.Load(), Expired: st.expired.Load(), HandedOver: st.handedOver.Load(), Replayed: st.replayed.Load(),
		Errors: st.errors.Load(), Corrupt: st.corrupt.Load(), AcceptErrs: st.acceptErrs.Load(), Queued: len(s.queue),
		Deferred: int(st.deferred.Load()), DeferredFull: st.deferredFull.Load(),
		Workers: s.o.Workers, WorkerBusy: st.busy.total(),
	}
	s.mu.Lock()
	r.Conns = s.members
	s.mu.Unlock()
	for i := range r.In {
		r.In[i] = Traffic{st.in[i].frames.Load(), st.in[i].bytes.Load()}
		r.Out[i] = Traffic{st.out[i].frames.Load(), st.out[i].bytes.Load()}
	}
	for i, reason := range badReasons {
		if n := st.refused[i].Load(); n > 0 {
			r.Refused = append(r.Refused, Refusal{reason, n})
		}
	}
	return r
}

// QueueWait is how long requests have waited for a worker since the server was made, in all, and how many went that way.
// Inline requests need none.
func (s *Server) QueueWait() (time.Duration, uint64) {
	return time.Duration(s.stats.waitNS.Load()), s.stats.waited.Load()
}

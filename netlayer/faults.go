package netlayer

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"splitkernel/netlayer/wire"
)

// Bounds of frames that are late on purpose, of one connection.
const (
	// maxLateFrames bounds their number; beyond it a frame is lost.
	maxLateFrames = 1 << 14
	// maxLateBytes bounds their bytes.
	maxLateBytes = 64 << 20
	// defaultLate is how late a doubled frame comes if nothing says it.
	defaultLate = 5 * time.Millisecond
)

// Faults is what goes wrong on purpose with the frames that a component sends: they are lost, late, doubled or overtaken. The peers and
// the server of a component share one. Frames from and to clients, and those to the component itself, are never touched: clients are not
// in the cluster whose network fails. While nothing goes wrong it costs one atomic load a frame, or a batch of replies.
//
// Its mutex is taken with the mutex of a peer or the write lock of a connection held, and takes no other.
type Faults struct {
	on   atomic.Bool
	self wire.NodeID

	lost, delayed, duplicated, reordered, dropped atomic.Uint64

	mu    sync.Mutex
	seq   uint64
	links []wire.LinkFault
	nodes map[Addr]wire.NodeID
	rng   *rand.Rand
}

// NewFaults makes one for a component. nodes says who is at which address, for the hello of a connection that is not there yet; whom it
// does not know is told by his own hello.
func NewFaults(self wire.NodeID, nodes map[Addr]wire.NodeID) *Faults {
	return &Faults{self: self, nodes: nodes, rng: rand.New(rand.NewPCG(0, 0))}
}

// Set says all that goes wrong from now on. It is false, and nothing changes, if a newer one is known.
func (f *Faults) Set(req wire.FaultReq) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if req.Seq < f.seq {
		return false
	}
	if req.Seq > f.seq {
		f.rng = rand.New(rand.NewPCG(req.Seed, req.Seq))
	}
	f.seq, f.links = req.Seq, req.Links
	f.on.Store(len(req.Links) > 0)
	return true
}

// Counts adds up what went wrong on purpose.
func (f *Faults) Counts() wire.FaultRep {
	return wire.FaultRep{Lost: f.lost.Load(), Delayed: f.delayed.Load(), Duplicated: f.duplicated.Load(), Reordered: f.reordered.Load(), Dropped: f.dropped.Load()}
}

// active reports whether anything goes wrong. It may be asked of none.
func (f *Faults) active() bool { return f != nil && f.on.Load() }

// fate is what becomes of a frame: it leaves at none, one or two moments from now.
type fate struct {
	n       int
	in      [2]time.Duration
	ordered bool // the first stays behind frames that are late and ordered, too
}

// touches reports whether frames to a component of this name and role can go wrong.
func (f *Faults) touches(to wire.NodeID, role wire.Role) bool {
	return role != wire.RoleClient && to != f.self
}

// draw says what becomes of a frame to a component.
func (f *Faults) draw(to wire.NodeID) fate {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := fate{n: 1, ordered: true}
	var late, again time.Duration
	delayed := false
	for i := range f.links {
		l := &f.links[i]
		if l.To != "" && l.To != to {
			continue
		}
		if f.happens(l.Lose) {
			f.lost.Add(1)
			return fate{}
		}
		if l.DelayNS > 0 || l.JitterNS > 0 {
			delayed = true
			out.in[0] += time.Duration(l.DelayNS) + time.Duration(f.rng.ExpFloat64()*float64(l.JitterNS))
		}
		most := time.Duration(l.LateNS)
		if most == 0 {
			most = defaultLate
		}
		if f.happens(l.Reorder) {
			late += 1 + time.Duration(f.rng.Int64N(int64(most)))
		}
		if f.happens(l.Duplicate) {
			again += 1 + time.Duration(f.rng.Int64N(int64(most)))
		}
	}
	if delayed {
		f.delayed.Add(1)
	}
	if late > 0 {
		f.reordered.Add(1)
		out.in[0] += late
		out.ordered = false
	}
	if again > 0 {
		f.duplicated.Add(1)
		out.n, out.in[1] = 2, out.in[0]+again
	}
	return out
}

func (f *Faults) happens(share uint32) bool {
	return share > 0 && f.rng.Uint32N(wire.Million) < share
}

// swallows reports whether a hello to an address, or to a component, is lost. Hellos are not late, doubled or overtaken: they are alone.
func (f *Faults) swallows(addr Addr, to wire.NodeID, role wire.Role) bool {
	if !f.active() {
		return false
	}
	if to == "" {
		if to = f.nodes[addr]; to == "" { // the other side will know us
			return false
		}
	}
	if !f.touches(to, role) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.links {
		if l := &f.links[i]; (l.To == "" || l.To == to) && f.happens(l.Lose) {
			f.lost.Add(1)
			return true
		}
	}
	return false
}

// sort decides about whole frames to a component: those that go now are appended to now, the others are lost or given to late.
func (f *Faults) sort(now, frames []byte, to wire.NodeID, late func(after time.Duration, ordered bool, frame []byte) bool) []byte {
	for len(frames) > 0 {
		n := wire.FrameLen(frames)
		frame := frames[:n]
		frames = frames[n:]
		d := f.draw(to)
		for i := range d.n {
			ordered := d.ordered && i == 0
			if late(d.in[i], ordered, frame) {
				continue
			}
			now = append(now, frame...)
		}
	}
	return now
}

// delayLine holds the frames of a connection that are late on purpose. Its goroutine is started with the first, and ends with stop.
type delayLine struct {
	f     *Faults
	write func(frames []byte) // takes whole frames; called by the goroutine only
	group *sync.WaitGroup     // of whoever waits for the goroutine

	mu      sync.Mutex
	late    lateFrames
	bytes   int
	seq     uint64
	last    time.Time // when the last ordered frame leaves
	running bool
	stopped bool
	wake    chan struct{}
}

type lateFrame struct {
	at    time.Time
	seq   uint64
	bytes []byte
}

// lateFrames are a heap: the first to leave is in front, and of those that leave at once the first that came.
type lateFrames []lateFrame

func (h lateFrames) Len() int      { return len(h) }
func (h lateFrames) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *lateFrames) Push(x any)   { *h = append(*h, x.(lateFrame)) }

func (h lateFrames) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].seq < h[j].seq
	}
	return h[i].at.Before(h[j].at)
}

func (h *lateFrames) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = lateFrame{}
	*h = (*h)[:last]
	return x
}

// add takes a frame that leaves after some time. It is false if it may leave now. An ordered frame waits for the ordered ones before it.
func (d *delayLine) add(after time.Duration, ordered bool, frame []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	at := now.Add(after)
	if ordered {
		if at.Before(d.last) {
			at = d.last
		}
		if !at.After(now) {
			return false
		}
		d.last = at
	}
	if d.stopped {
		return true
	}
	if len(d.late) >= maxLateFrames || d.bytes+len(frame) > maxLateBytes {
		d.f.dropped.Add(1)
		return true
	}
	d.seq++
	d.bytes += len(frame)
	heap.Push(&d.late, lateFrame{at, d.seq, append([]byte(nil), frame...)})
	if !d.running {
		d.running = true
		d.wake = make(chan struct{}, 1)
		d.group.Go(d.run)
		return true
	}
	select {
	case d.wake <- struct{}{}:
	default:
	}
	return true
}

// stop ends the goroutine; what it had is lost, as the connection is.
func (d *delayLine) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return
	}
	d.stopped, d.late, d.bytes = true, nil, 0
	if d.running {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

func (d *delayLine) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var due []byte
	for {
		d.mu.Lock()
		now := time.Now()
		due = due[:0]
		for len(d.late) > 0 && !d.late[0].at.After(now) {
			fr := heap.Pop(&d.late).(lateFrame)
			d.bytes -= len(fr.bytes)
			due = append(due, fr.bytes...)
		}
		wait := time.Hour
		if len(d.late) > 0 {
			wait = d.late[0].at.Sub(now)
		}
		stopped := d.stopped
		d.mu.Unlock()
		if stopped {
			return
		}
		if len(due) > 0 {
			d.write(due)
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-d.wake:
		}
	}
}

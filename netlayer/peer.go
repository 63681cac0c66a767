package netlayer

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"splitkernel/netlayer/session"
	"splitkernel/netlayer/wire"
)

// Peer is one multiplexed connection to one address. It connects when first needed and again after the connection was
// lost; the calls in flight at that moment fail with wire.ErrUnavailable. Safe for concurrent use.
//
// One mutex covers the slots, the bytes to be written and who reads. There is no reader goroutine: whoever waits for a
// reply reads, and delivers what it finds to the others (leader and followers), because handing every reply from a reader
// to its caller costs a wake-up each.
type Peer struct {
	addr    Addr
	o       Options
	log     *slog.Logger
	session uint64
	t0      time.Time
	ctx     context.Context // ended by Close; bounds dialing
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu       sync.Mutex
	room     sync.Cond // waited on for a slot, for room in the bounds, or for another's dial
	waiters  int       // on room
	slots    []slot
	free     []int32 // indexes of free slots; the last is taken first, as its data is warm
	seq      uint64  // of the last call
	inFlight int     // calls sent and not completed
	inBytes  int     // of their requests
	cn       *clientConn
	closed   bool
	rng      *rand.Rand
	stats    peerStats

	suffering []byte // frames that are about to go wrong on purpose

	dialing  bool
	dials    uint64 // attempts that ended
	dialErr  error  // of the last attempt
	dialedAt time.Duration

	// While nothing is in flight nobody ticks: idle is set.
	idle    bool
	running bool // the housekeeper was started
	wakeup  chan struct{}
}

// slot is where a call waits for its reply.
type slot struct {
	call     *Call
	id       session.ID
	cn       *clientConn
	deadline time.Duration // since Peer.t0
	bytes    int
	// parked says that the waiter of the call is in the list of followers and sleeps on wake. Whoever takes it off the
	// list sends exactly one token, so wake never blocks.
	parked     bool
	woken      bool // a token was sent and not taken yet: the slot must not be given away before
	prev, next int32
	wake       chan struct{}
	filling    bool // the payload of its reply is being read: it is ended by who reads
}

const none = int32(-1)

// NewPeer makes a peer of an address; it connects with the first call. It panics if the options are not valid.
func NewPeer(addr Addr, o Options) *Peer {
	if err := o.Validate(); err != nil {
		panic("netlayer: options of a peer: " + err.Error())
	}
	var b [8]byte
	crand.Read(b[:]) // never fails (crypto/rand)
	p := &Peer{
		addr: addr, o: o, log: logger(o.Log), session: binary.LittleEndian.Uint64(b[:]), t0: time.Now(), slots: make([]slot, o.Slots),
		idle: true, wakeup: make(chan struct{}, 1), dialedAt: -time.Hour,
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.rng = rand.New(rand.NewPCG(o.Seed, p.session))
	p.room.L = &p.mu
	for i := o.Slots - 1; i >= 0; i-- {
		p.slots[i].wake = make(chan struct{}, 1)
		p.free = append(p.free, int32(i))
	}
	if o.Metrics != nil {
		o.Metrics.AddPeer(p)
	}
	return p
}

// Addr gives the address of the peer.
func (p *Peer) Addr() Addr { return p.addr }

// clock gives the time since the peer was made.
func (p *Peer) clock() time.Duration { return time.Since(p.t0) }

// Start sends c. It blocks only while there is no connection, no free slot or too many bytes in flight, and then up to the
// deadline of c. An error completes c.
func (p *Peer) Start(c *Call) error {
	if err := c.prepare(); err != nil {
		return err
	}
	return p.send(c, nil, true)
}

// StartPair sends a miss and a flush in one frame, OpMissFlush. Each has its own reply and completes by itself; the
// deadline is the miss's. miss.Body is a wire.Miss, flush.Body a wire.Flush and flush.Page the page. An error completes
// both.
func (p *Peer) StartPair(miss, flush *Call) error {
	if err := miss.prepare(); err != nil {
		return err
	}
	if err := flush.prepare(); err != nil {
		return miss.refuse(err)
	}
	if len(miss.Body) != wire.MissLen || len(flush.Body) != wire.FlushLen || len(miss.Page) != 0 {
		err := wire.Errorf(wire.KindBadRequest, "pair: bodies of %d and %d bytes, want a miss of %d and a flush of %d", len(miss.Body), len(flush.Body), wire.MissLen, wire.FlushLen)
		flush.refuse(err)
		return miss.refuse(err)
	}
	return p.send(miss, flush, true)
}

// send puts c, or the pair of c and flush, into slots and writes their frame. If it may not wait and would have to, nothing has happened and the error
// is errWouldWait.
func (p *Peer) send(c, flush *Call, wait bool) error {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = ms(p.o.CallTimeoutMS)
	}
	timeout = min(timeout, ms(maxTimeoutMS))
	payload := c.payload()
	n := wire.HeaderLen + len(c.Body) + payload
	need, op := 1, c.Op
	if flush != nil {
		op = wire.OpMissFlush
		n += wire.PairedLen + len(flush.Body) + len(flush.Page)
		need = 2
	}
	if c.held {
		need = 0
	}

	p.mu.Lock()
	p.rouse()
	began := p.clock()
	deadline := began + timeout
	var cn *clientConn
	var err error
	if wait {
		cn, err = p.admit(deadline, need, n)
	} else if cn = p.cn; cn == nil || !p.hasRoom(cn, need, n) {
		p.mu.Unlock()
		c.state.Store(callIdle)
		return errWouldWait
	}
	if err != nil {
		p.mu.Unlock()
		if flush != nil {
			flush.refuse(err)
		}
		return c.refuse(err)
	}
	h := wire.Header{
		Op: c.Op, Flags: c.flags, Epoch: c.Epoch, TimeoutUS: uint32(timeout / time.Microsecond),
		BodyLen: uint32(len(c.Body)), PayloadLen: uint32(payload), PayloadCRC: c.PageCRC,
	}
	if c.Trace != 0 {
		c.traced(p, cn, &h, began)
	}
	h.Call = uint64(p.occupy(c, cn, deadline, n))
	p.stats.out(op, n)
	ill := p.o.Faults.active()
	if wait && flush == nil && payload > wire.MaxPayload && !cn.flushing && !ill {
		p.writeLong(cn, &h, c)
		c.sent(p)
		p.mu.Unlock()
		return nil
	}
	from := len(cn.out)
	if flush == nil {
		cn.append(&h, c.Body, c.Page)
		for _, b := range c.Pages {
			cn.out = append(cn.out, b...)
		}
	} else {
		h.Op, h.BodyLen, h.PayloadLen, h.PayloadCRC = op, wire.MissFlushLen, uint32(len(flush.Page)), flush.PageCRC
		id := p.occupy(flush, cn, deadline, 0)
		cn.appendPair(&h, c.Body, uint64(id), flush.Body, flush.Page)
	}
	if ill {
		p.suffer(cn, from)
	}
	if wait {
		p.flush(cn)
	} else {
		p.push(cn)
	}
	c.sent(p)
	p.mu.Unlock()
	return nil
}

// Send sends a request that is not answered. It blocks for room as Start does, up to the default deadline.
func (p *Peer) Send(op wire.Op, body []byte) error {
	if len(body) > wire.MaxBody {
		return wire.Errorf(wire.KindBadRequest, "%v: body of %d bytes, at most %d", op, len(body), wire.MaxBody)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rouse()
	cn, err := p.admit(p.clock()+ms(p.o.CallTimeoutMS), 0, wire.HeaderLen+len(body))
	if err != nil {
		return err
	}
	from := len(cn.out)
	cn.append(&wire.Header{Op: op, Flags: wire.FlagOneWay, BodyLen: uint32(len(body))}, body, nil)
	p.stats.out(op, wire.HeaderLen+len(body))
	if p.o.Faults.active() {
		p.suffer(cn, from)
	}
	p.flush(cn)
	return nil
}

// occupy gives c a slot and an id, or puts it back into the slot that it still holds. The caller has seen that one is free.
func (p *Peer) occupy(c *Call, cn *clientConn, deadline time.Duration, n int) session.ID {
	if !c.held {
		i := p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
		p.seq++
		c.id = session.NewID(p.seq, int(i))
		c.held = true
	}
	s := &p.slots[c.id.Slot()]
	s.call, s.id, s.cn, s.deadline, s.bytes = c, c.id, cn, deadline, n
	p.inFlight++
	p.inBytes += n
	return c.id
}

// admit returns the connection once there are need free slots and room for n bytes. The mutex is held; it is given up
// while waiting.
func (p *Peer) admit(deadline time.Duration, need, n int) (*clientConn, error) {
	waited, counted := false, false
	for {
		cn := p.cn
		switch {
		case p.closed:
			return nil, wire.Errorf(wire.KindUnavailable, "%s: this side has closed the connection", p.addr)
		case waited && p.clock() >= deadline:
			return nil, wire.Errorf(wire.KindTimeout, "%s: the deadline passed before the request was sent (%d calls with %d bytes in flight)", p.addr, p.inFlight, p.inBytes)
		case cn == nil:
			waited = true
			if err := p.connect(deadline); err != nil {
				return nil, err
			}
			continue
		case p.hasRoom(cn, need, n):
			if waited {
				p.handOver(cn)
			}
			return cn, nil
		}
		if !counted {
			waited, counted = true, true
			p.stats.roomWaits++
		}
		if cn.reading || p.inFlight == 0 {
			p.waitRoom()
		} else {
			// Replies will come and nobody reads, so nobody makes room: this caller does. Without this a burst of calls
			// that nobody waits for yet would stand still, and so would a server that cannot write its replies.
			cn.forRoom = true
			p.read(cn, nil, deadline)
			cn.forRoom = false
		}
	}
}

// hasRoom says whether there are need free slots, and room for n bytes.
func (p *Peer) hasRoom(cn *clientConn, need, n int) bool {
	return len(p.free) >= need && fits(p.inBytes, n, p.o.InFlightBytes) && fits(len(cn.out), n, p.o.InFlightBytes)
}

func fits(have, n, limit int) bool { return have == 0 || have+n <= limit }

// roomChanged tells those who wait for room, when it was not a reader that made some.
func (p *Peer) roomChanged(cn *clientConn) {
	if p.waiters > 0 {
		p.room.Broadcast()
	}
	if cn != nil && cn.forRoom {
		p.callBack(cn)
	}
}

func (p *Peer) waitRoom() {
	p.waiters++
	p.room.Wait()
	p.waiters--
}

// flush writes what was appended. One goroutine writes at a time; what others append meanwhile it writes too. If calls of
// others are in flight it yields once, so that those who run next add their frames to the same write.
func (p *Peer) flush(cn *clientConn) {
	if cn.flushing {
		return
	}
	cn.flushing = true
	if p.inFlight > 1 {
		p.mu.Unlock()
		runtime.Gosched()
		p.mu.Lock()
	}
	p.writeRest(cn)
}

// writeRest writes what was appended until there is no more. The caller has set flushing.
func (p *Peer) writeRest(cn *clientConn) {
	for len(cn.out) > 0 && cn.err == nil {
		p.writeOut(cn, nil)
	}
	cn.flushing = false
	p.roomChanged(cn)
}

// writeOut writes what was appended, and pieces behind it. The mutex is held, and given up while writing.
func (p *Peer) writeOut(cn *clientConn, pieces [][]byte) {
	buf := cn.out
	cn.out = cn.spare[:0]
	cn.writes++
	p.stats.writes++
	p.mu.Unlock()
	var err error
	if len(pieces) == 0 {
		_, err = cn.nc.Write(buf)
	} else {
		cn.all = append(append(cn.all[:0], buf), pieces...)
		cn.rest = cn.all // which WriteTo shortens
		_, err = cn.rest.WriteTo(cn.nc)
		clear(cn.all)
	}
	p.mu.Lock()
	if cn.spare = buf[:0]; cap(buf) > keepBuffer {
		cn.spare = nil
	}
	if err != nil {
		p.fail(cn, err)
	}
}

// writeLong writes a frame with a long payload, which is not copied: it is written before it returns. Nobody else writes.
func (p *Peer) writeLong(cn *clientConn, h *wire.Header, c *Call) {
	cn.flushing = true
	cn.append(h, c.Body, nil)
	p.writeOut(cn, c.pieces()) // at once, so that nobody appends in between
	p.writeRest(cn)
}

// Done reports whether c has completed. It never blocks. A call that nobody waits for completes when the waiter of
// another call reads, or within about 10 ms by the housekeeper.
func (p *Peer) Done(c *Call) bool { return c.state.Load() == callDone }

// Wait waits until c has completed and returns c.Err: nil, the error of the other side, wire.ErrTimeout or
// wire.ErrUnavailable.
func (p *Peer) Wait(c *Call) error {
	if c.state.Load() == callDone {
		return c.Err
	}
	p.mu.Lock()
	switch c.state.Load() {
	case callIdle:
		p.mu.Unlock()
		return wire.Errorf(wire.KindInternal, "%v: wait for a call that was not started", c.Op)
	case callDone:
		p.mu.Unlock()
		return c.Err
	}
	s := &p.slots[c.id.Slot()]
	cn := s.cn
	for c.state.Load() != callDone {
		if !cn.reading {
			p.read(cn, c, s.deadline)
			continue
		}
		p.park(cn, s, int32(c.id.Slot()))
		p.mu.Unlock()
		<-s.wake
		p.mu.Lock()
		s.woken = false
		if s.call == nil && !c.held {
			p.release(int32(c.id.Slot()))
		}
	}
	p.handOver(cn)
	p.mu.Unlock()
	return c.Err
}

// Do is Start and Wait. It does not retry.
func (p *Peer) Do(c *Call) error {
	if err := p.Start(c); err != nil {
		return err
	}
	return p.Wait(c)
}

// park puts a waiter into the list of followers. The newest is elected first: its reply is the farthest away, so it
// leads longest.
func (p *Peer) park(cn *clientConn, s *slot, i int32) {
	if s.parked {
		panic("netlayer: two goroutines wait for one call")
	}
	s.parked, s.prev, s.next = true, none, cn.parked
	if cn.parked != none {
		p.slots[cn.parked].prev = i
	}
	cn.parked = i
}

// unpark takes a waiter off the list and wakes it.
func (p *Peer) unpark(cn *clientConn, s *slot) {
	if s.prev != none {
		p.slots[s.prev].next = s.next
	} else {
		cn.parked = s.next
	}
	if s.next != none {
		p.slots[s.next].prev = s.prev
	}
	s.parked, s.woken = false, true
	s.wake <- struct{}{}
}

// handOver wakes somebody who will read, if nobody does and somebody waits.
func (p *Peer) handOver(cn *clientConn) {
	if cn.reading || cn.err != nil {
		return
	}
	if cn.parked != none {
		p.stats.handOvers++
		p.unpark(cn, &p.slots[cn.parked])
	} else if p.waiters > 0 {
		p.room.Signal()
	}
}

// complete ends the call in slot i.
func (p *Peer) complete(i int32, err error) {
	s := &p.slots[i]
	c, cn := s.call, s.cn
	p.inFlight--
	p.inBytes -= s.bytes
	s.call, s.cn = nil, nil
	c.Err = err
	c.held = c.keep
	parked := s.parked
	if parked {
		p.unpark(cn, s)
	}
	if !c.keep && !s.woken {
		p.release(i)
	}
	if p.waiters > 0 {
		p.room.Signal()
	}
	c.state.Store(callDone)
}

func (p *Peer) release(i int32) {
	p.free = append(p.free, i)
	if p.waiters > 0 {
		p.room.Signal()
	}
}

// fail ends a connection and the calls on it.
func (p *Peer) fail(cn *clientConn, cause error) {
	if cn.err != nil {
		return
	}
	cn.err = wire.Errorf(wire.KindUnavailable, "%s: connection lost: %v", p.addr, cause)
	cn.nc.Close()
	if cn.late != nil {
		cn.late.stop()
	}
	if p.cn == cn {
		p.cn = nil
	}
	p.stats.lost++
	failed := 0
	for i := range p.slots {
		if s := &p.slots[i]; s.call != nil && s.cn == cn && !s.filling { // whose memory is still written to
			p.complete(int32(i), cn.err)
			failed++
		}
	}
	p.stats.unavailable += uint64(failed)
	if !p.closed {
		p.log.Warn("connection lost", "peer", p.addr, "failed_calls", failed, "cause", cause)
	}
	p.room.Broadcast()
}

// Unused reports whether the peer has no connection, and nobody has called it for about a second: whoever keeps peers by address may close it and make
// another when it is needed again.
func (p *Peer) Unused() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.idle && p.cn == nil && !p.dialing && p.inFlight == 0 && p.waiters == 0
}

// Close fails the calls in flight and waits for the peer's own goroutines. Later calls fail. It may be called again.
func (p *Peer) Close() error {
	p.mu.Lock()
	p.closed = true
	p.cancel()
	if p.cn != nil {
		p.fail(p.cn, errClosed)
	}
	p.room.Broadcast()
	p.mu.Unlock()
	p.wg.Wait()
	if p.o.Metrics != nil {
		p.o.Metrics.RemovePeer(p)
	}
	return nil
}

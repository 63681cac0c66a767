package netlayer

import (
	"errors"
	"net"
	"os"
	"time"

	"splitkernel/netlayer/session"
	"splitkernel/netlayer/wire"
)

// errClosed is the cause of a connection's end by Peer.Close.
var errClosed = errors.New("closed by this side")

// clientConn is a connection of a Peer after its hello. The fields are under the peer's mutex, except in, which belongs to
// whoever set reading, and the buffer that is being written.
type clientConn struct {
	nc    net.Conn
	poll  *poller
	in    *frameReader
	peer  wire.Hello
	trace bool  // the other side knows wire.Header.Trace
	err   error // why it ended

	out, spare []byte      // appended frames; the buffer to append to while out is written
	all        [][]byte    // of a frame with a long payload
	rest       net.Buffers // of all, to be written
	flushing   bool
	writes     uint64 // writes begun
	seenWrites uint64 // writes at the last tick
	stuckTicks int    // ticks since the write in progress began

	late *delayLine // of frames that are late on purpose; nil until something goes wrong

	reading     bool
	leader      *Call         // for whom is read; nil is the housekeeper or somebody who waits for room
	leaderLimit time.Duration // when the reader must be called back
	calledBack  bool          // the read deadline was set to the past for that
	ahead       int           // bytes to read at most, as then a long payload may follow; 0 is all that there is room for
	forRoom     bool          // the reader waits for room
	parked      int32         // the newest follower
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

func (cn *clientConn) append(h *wire.Header, body, page []byte) {
	cn.out = appendFrame(cn.out, h, body, page)
}

func (cn *clientConn) appendPair(h *wire.Header, miss []byte, flushCall uint64, flush, page []byte) {
	n := len(cn.out)
	cn.out = h.Append(cn.out)
	cn.out = wire.AppendMissFlush(cn.out, miss, flushCall, flush)
	h.BodyCRC = wire.Checksum(cn.out[n+wire.HeaderLen:])
	h.Put(cn.out[n:])
	cn.out = append(cn.out, page...)
}

// suffer has what was appended from n on go wrong as Faults say. The mutex is held.
func (p *Peer) suffer(cn *clientConn, n int) {
	f := p.o.Faults
	if !f.touches(cn.peer.Node, cn.peer.Role) {
		return
	}
	if cn.late == nil {
		cn.late = &delayLine{f: f, group: &p.wg, write: func(frames []byte) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if cn.err != nil {
				return
			}
			cn.out = append(cn.out, frames...)
			p.flush(cn)
		}}
	}
	p.suffering = append(p.suffering[:0], cn.out[n:]...)
	cn.out = f.sort(cn.out[:n], p.suffering, cn.peer.Node, cn.late.add)
	if cap(p.suffering) > keepBuffer {
		p.suffering = nil
	}
}

// read reads once, for the call c or for nobody, and delivers what came. The mutex is held before and after, and given up
// while reading.
func (p *Peer) read(cn *clientConn, c *Call, limit time.Duration) {
	cn.reading, cn.leader, cn.leaderLimit = true, c, limit
	buf := cn.in.space()
	if cn.ahead > 0 {
		buf = buf[:min(len(buf), cn.ahead)]
		cn.ahead = 0
	}
	p.mu.Unlock()
	n, err := 0, error(nil)
	if len(buf) > 0 { // else a long payload has begun
		n, err = cn.nc.Read(buf)
	}
	p.received(cn, n, err, true)
}

// pollRead reads what is there without waiting.
func (p *Peer) pollRead(cn *clientConn) {
	for {
		buf := cn.in.space()
		if len(buf) == 0 {
			return // the rest of a long payload is for who waits for it
		}
		cn.reading, cn.leader, cn.leaderLimit = true, nil, forever
		p.mu.Unlock()
		n, err := cn.poll.tryRead(buf)
		full := n == len(buf)
		p.received(cn, n, err, false)
		if !full || cn.err != nil {
			return
		}
	}
}

const forever = time.Duration(1<<63 - 1)

// received takes n bytes that were read and the error of the read. If it may wait it reads the rest of a long payload that has begun. The mutex is not
// held before and held after.
func (p *Peer) received(cn *clientConn, n int, err error, wait bool) {
	cn.in.filled(n)
	var bad error
	for more := n > 0; more && bad == nil; {
		var frames []frame
		frames, bad = cn.in.next() // checksums are taken without the mutex
		more = len(frames) == batch
		p.mu.Lock()
		for i := range frames {
			if e := p.deliver(cn, &frames[i]); e != nil {
				bad = e
				break
			}
		}
		p.mu.Unlock()
	}
	if bad == nil && err == nil && wait {
		bad, err = p.takeLong(cn)
	}
	p.mu.Lock()
	p.stats.reads++
	cn.reading, cn.leader = false, nil
	switch {
	case bad != nil:
		p.stats.badFrame(bad)
		p.fail(cn, bad)
	case errors.Is(err, os.ErrDeadlineExceeded) && cn.calledBack:
		cn.calledBack = false
		cn.nc.SetReadDeadline(time.Time{})
	case err != nil:
		p.fail(cn, err)
	}
}

// deliver completes the call that fr answers.
func (p *Peer) deliver(cn *clientConn, fr *frame) error {
	h := &fr.h
	p.stats.in(h.Op, wire.HeaderLen+len(fr.body)+len(fr.payload))
	if h.Flags&wire.FlagReply == 0 {
		return &wire.FrameError{Reason: "direction", Text: "a request of " + h.Op.String() + " came to a client"}
	}
	i := session.ID(h.Call).Slot()
	if i >= len(p.slots) {
		return &wire.FrameError{Reason: "call", Text: "a reply to a call that was never made"}
	}
	if h.Trace != 0 && !cn.trace {
		return &wire.FrameError{Reason: "reserved", Text: "a reply has times, and its sender said that it knows none"}
	}
	s := &p.slots[i]
	c := s.call
	if c == nil || s.id != session.ID(h.Call) || s.cn != cn {
		p.stats.late++ // its deadline passed, or a retry was answered twice
		return nil
	}
	var err error
	switch {
	case h.Flags&wire.FlagError != 0:
		err = &wire.Error{Kind: max(h.Status, wire.KindInternal), Text: string(fr.body)}
	case fr.corrupt:
		err = wire.Errorf(wire.KindCorrupt, "%v from %s: the payload of %d bytes does not fit its checksum %#08x", h.Op, p.addr, len(fr.payload), h.PayloadCRC)
	case len(fr.payload) > c.room():
		err = wire.Errorf(wire.KindInternal, "%v from %s: payload of %d bytes, room for %d", h.Op, p.addr, len(fr.payload), c.room())
	default:
		if old := c.Reply; cn.in.steal(fr, old) {
			c.Reply = fr.body
		} else {
			c.Reply = append(c.Reply[:0], fr.body...)
		}
		c.put(fr.payload)
		c.PageCRC = h.PayloadCRC
		if c.Trace != 0 {
			c.came(p, h.Trace)
		}
	}
	p.complete(int32(i), err)
	return nil
}

// callBack makes the reader of cn return from its read.
func (p *Peer) callBack(cn *clientConn) {
	if cn.reading && !cn.calledBack {
		cn.calledBack = true
		cn.nc.SetReadDeadline(longAgo)
	}
}

// Abandon ends c with err if it is on its way: whoever waits for it goes on, and what is answered later is dropped. It does not wait.
func (p *Peer) Abandon(c *Call, err error) { p.abort(c, err) }

// abort ends c with err if it has not completed.
func (p *Peer) abort(c *Call, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !c.held {
		return
	}
	s := &p.slots[c.id.Slot()]
	if s.call != c {
		return
	}
	cn := s.cn
	if s.filling {
		return // it ends when its payload is there
	}
	p.complete(int32(c.id.Slot()), err)
	if cn.leader == c {
		p.callBack(cn)
	}
	p.roomChanged(cn)
}

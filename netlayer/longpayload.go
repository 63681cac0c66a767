package netlayer

import (
	"errors"
	"os"
	"time"

	"splitkernel/netlayer/session"
	"splitkernel/netlayer/wire"
)

// errStops ends a read of a server that stops.
var errStops = errors.New("the server stops")

// takeLong takes a frame whose body is there and whose payload does not fit into the buffer. It reads the payload to where the handler
// wants it, and serves the request; or it makes room for it, and the frame is taken as others are.
func (c *serverConn) takeLong(fr *frame) error {
	h := &fr.h
	var pieces [][]byte
	if h.Flags&(wire.FlagReply|wire.FlagError) == 0 && !onlyOnce(h) && c.s.h.Inline(h.Op) {
		c.req = Request{
			trace: c.traceOf(h), Op: h.Op, Epoch: h.Epoch, Session: c.hello.Session, Call: h.Call, Body: fr.body, From: c.hello,
			Deadline: deadlineOf(h, time.Now()), OneWay: h.Flags&wire.FlagOneWay != 0,
		}
		pieces = c.placer.Place(&c.req, int(h.PayloadLen))
	}
	head := wire.HeaderLen + len(fr.body)
	if pieces == nil {
		c.in.grow(head + int(h.PayloadLen))
		return nil
	}
	c.limitFrame(true)
	sum, err := c.readInto(pieces, fr.payload)
	if err != nil {
		c.placer.Unplace(&c.req)
		return err
	}
	c.in.taken() // the body is used below, before the next read
	// Who sends long frames sends many, with heads of one length: nothing behind the next head is read into the buffer, so nothing of its
	// payload has to be copied out of it.
	c.ahead = head
	c.inTally.add(h.Op, head+int(h.PayloadLen))
	if sum != h.PayloadCRC {
		c.placer.Unplace(&c.req)
		c.s.stats.corrupt.Add(1)
		c.out = c.decline(c.out, h, fr.body, corrupt(h))
	} else {
		fr.payload, fr.placed = nil, c.req.Placed
		c.out, _ = c.serve(c.t.ctx, c.out, &c.req, &c.rep, fr, c.req.Deadline, inline)
	}
	return c.flush()
}

// fillTimeout bounds the rest of a reply whose long payload has begun.
const fillTimeout = 10 * time.Second

// takeLong reads the payload of a reply that has begun, and does not fit into the buffer, to where its call wants it; or it makes room for it,
// and the frame is taken as others are. The mutex is not held. bad is of a frame, err of the connection.
func (p *Peer) takeLong(cn *clientConn) (bad, err error) {
	fr, ok, bad := cn.in.long()
	if bad != nil || !ok {
		return bad, nil
	}
	h, head := &fr.h, wire.HeaderLen+len(fr.body)
	i := session.ID(h.Call).Slot()
	p.mu.Lock()
	var s *slot
	if i < len(p.slots) && p.slots[i].call != nil && p.slots[i].id == session.ID(h.Call) && p.slots[i].cn == cn {
		s = &p.slots[i]
	}
	if s == nil || h.Flags&wire.FlagReply == 0 || h.Flags&wire.FlagError != 0 || len(s.call.Pieces) == 0 || int(h.PayloadLen) > s.call.room() {
		p.mu.Unlock()
		cn.in.grow(head + int(h.PayloadLen))
		return nil, nil
	}
	c := s.call
	s.filling = true
	limit := p.clock() + fillTimeout
	p.mu.Unlock()
	sum, late, err := p.readInto(cn, c.Pieces, fr.payload, int(h.PayloadLen), limit)
	cn.in.taken() // the body is used below, before the next read
	cn.ahead = head
	p.mu.Lock()
	defer p.mu.Unlock()
	s.filling = false
	if late {
		cn.calledBack = false
		cn.nc.SetReadDeadline(time.Time{})
	}
	p.stats.in(h.Op, head+int(h.PayloadLen))
	switch {
	case err != nil:
		p.fail(cn, err)
		if s.call == c { // it had failed before
			p.complete(int32(i), cn.err)
		}
	case sum != h.PayloadCRC:
		p.complete(int32(i), wire.Errorf(wire.KindCorrupt, "%v from %s: the payload of %d bytes does not fit its checksum %#08x", h.Op, p.addr, h.PayloadLen, h.PayloadCRC))
	default:
		c.Reply = append(c.Reply[:0], fr.body...)
		c.N, c.PageCRC = int(h.PayloadLen), h.PayloadCRC
		if c.Trace != 0 {
			c.came(p, h.Trace)
		}
		p.complete(int32(i), nil)
	}
	return nil, err
}

// readInto fills the first n bytes of pieces with have and what comes behind it, and gives their checksum. Who calls the reader back waits until
// limit; late says that somebody did, and that the read deadline is set.
func (p *Peer) readInto(cn *clientConn, pieces [][]byte, have []byte, n int, limit time.Duration) (sum uint32, late bool, err error) {
	for _, b := range pieces {
		b = b[:min(len(b), n)]
		n -= len(b)
		at := copy(b, have)
		have = have[at:]
		for at < len(b) {
			k, err := cn.nc.Read(b[at:])
			if at += k; err == nil || at == len(b) {
				continue
			}
			p.mu.Lock()
			again := errors.Is(err, os.ErrDeadlineExceeded) && cn.err == nil && p.clock() < limit
			if again {
				late, cn.calledBack = true, false
				cn.nc.SetReadDeadline(time.Now().Add(limit - p.clock()))
			}
			p.mu.Unlock()
			if !again {
				return 0, late, err
			}
		}
		sum = wire.ChecksumMore(sum, b)
	}
	return sum, late, nil
}

// readInto fills pieces with have and what comes behind it, and gives the checksum of all.
func (c *serverConn) readInto(pieces [][]byte, have []byte) (sum uint32, err error) {
	for _, p := range pieces {
		n := copy(p, have)
		have = have[n:]
		for n < len(p) {
			if c.t.closing.Load() { // after the deadline was set, which the end of the server would have set to the past
				return 0, errStops
			}
			k, err := c.nc.Read(p[n:])
			if n += k; err != nil && n < len(p) {
				return 0, err
			}
		}
		sum = wire.ChecksumMore(sum, p) // while the processor's cache has it
	}
	return sum, nil
}

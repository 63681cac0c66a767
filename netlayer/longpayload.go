package netlayer

import (
	"errors"
	"time"

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
			Op: h.Op, Epoch: h.Epoch, Session: c.hello.Session, Call: h.Call, Body: fr.body, From: c.hello,
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

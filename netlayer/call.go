package netlayer

import (
	"sync/atomic"
	"time"

	"splitkernel/netlayer/session"
	"splitkernel/netlayer/wire"
)

// Call is one request and its reply. The caller owns it and may use it again once it has completed; between Start and
// completion it must not touch any field, nor the bytes of Reply and Into. At most one goroutine waits for a call.
type Call struct {
	Op      wire.Op
	Epoch   wire.Epoch
	Timeout time.Duration // 0 is Options.CallTimeoutMS

	Body []byte // of the request; copied before Start returns
	Page []byte // payload of the request, at most Op.MaxPayload bytes; copied or written before Start returns
	// Pages is the payload in pieces, if Page is empty, as long as Page may be. Bytes that change before Start returns no longer fit a
	// PageCRC that was given, which the receiver notices.
	Pages [][]byte

	// Reply is the body of the reply, in the capacity that was given. If it is longer than a connection reads at once it comes in other memory, which
	// is the caller's, and what was given is the peer's.
	Reply []byte
	Into  []byte // the payload of the reply is put here
	N     int    // bytes put into Into
	// Pieces are where the payload of the reply is put, in order, if there are any, in the place of Into: up to all of them. It is read there from
	// the connection. While that goes on the call is not ended by its deadline, and somebody must wait for it.
	Pieces [][]byte

	// PageCRC is the checksum of Page if HavePageCRC, else Start computes it. After completion it is the checksum of the
	// reply's payload, which was verified.
	PageCRC     uint32
	HavePageCRC bool

	// Trace is 0, wire.Timed, or the number of the trace that the call belongs to; with one of the last two Times are taken. The other side is told if
	// it knows what that means.
	Trace uint32
	Times Times // after completion without an error

	Err error // after completion; also what Wait returns

	state atomic.Uint32
	id    session.ID
	flags wire.Flags
	began time.Duration // since Peer.t0, of a call with Trace
	one   [1][]byte     // Page as pieces
	keep  bool          // Control keeps the slot, and with it the id, from one attempt to the next
	held  bool          // the slot of id is still ours
}

// Times are where the time of a call went, since its message was begun.
type Times struct {
	Slot time.Duration // until there were a connection, a slot and room
	Sent time.Duration // until the connection had the frame, or another was to write it
	Came time.Duration // until the reply was read; if nobody waits for it that may be long after it was there

	// At the other side, if Told: until its turn came, and then until there was the reply.
	Queue, Service time.Duration
	Told           bool
}

// The states of a call.
const (
	callIdle uint32 = iota
	callPending
	callDone
)

// prepare checks a request and computes its checksum before any lock is taken.
func (c *Call) prepare() error {
	if !c.state.CompareAndSwap(callIdle, callPending) && !c.state.CompareAndSwap(callDone, callPending) {
		return wire.Errorf(wire.KindInternal, "%v: the call was started and has not completed", c.Op)
	}
	c.Err, c.N, c.Reply = nil, 0, c.Reply[:0]
	if c.Trace != 0 {
		c.Times = Times{}
	}
	if n, most := c.payload(), c.Op.MaxPayload(); len(c.Body) > wire.MaxBody || n > most {
		return c.refuse(wire.Errorf(wire.KindBadRequest, "%v: body of %d and page of %d bytes, at most %d and %d", c.Op, len(c.Body), n, wire.MaxBody, most))
	}
	if len(c.Page) > 0 && len(c.Pages) > 0 {
		return c.refuse(wire.Errorf(wire.KindInternal, "%v: the call has both Page and Pages", c.Op))
	}
	if !c.HavePageCRC || c.payload() == 0 {
		c.PageCRC = wire.Checksum(c.Page)
		for _, b := range c.Pages {
			c.PageCRC = wire.ChecksumMore(c.PageCRC, b)
		}
	}
	return nil
}

// payload is the length of the request's payload.
func (c *Call) payload() int {
	n := len(c.Page)
	for _, b := range c.Pages {
		n += len(b)
	}
	return n
}

// room is how long the payload of the reply may be.
func (c *Call) room() int {
	n := len(c.Into)
	for _, b := range c.Pieces {
		n += len(b)
	}
	return n
}

// put takes the payload of the reply.
func (c *Call) put(payload []byte) {
	c.N = len(payload)
	if len(c.Pieces) == 0 {
		copy(c.Into, payload)
		return
	}
	for _, b := range c.Pieces {
		payload = payload[copy(b, payload):]
	}
}

// pieces gives the payload of the request.
func (c *Call) pieces() [][]byte {
	if len(c.Pages) > 0 {
		return c.Pages
	}
	c.one[0] = c.Page
	return c.one[:]
}

// refuse completes a call that was not sent.
func (c *Call) refuse(err error) error {
	c.Err = err
	c.state.Store(callDone)
	return err
}

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
	Page []byte // payload of the request, at most a page; copied before Start returns

	Reply []byte // the body of the reply, in the capacity that was given
	Into  []byte // the payload of the reply is put here
	N     int    // bytes put into Into

	// PageCRC is the checksum of Page if HavePageCRC, else Start computes it. After completion it is the checksum of the
	// reply's payload, which was verified.
	PageCRC     uint32
	HavePageCRC bool

	Err error // after completion; also what Wait returns

	state atomic.Uint32
	id    session.ID
	flags wire.Flags
	keep  bool // Control keeps the slot, and with it the id, from one attempt to the next
	held  bool // the slot of id is still ours
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
	if len(c.Body) > wire.MaxBody || len(c.Page) > wire.MaxPayload {
		return c.refuse(wire.Errorf(wire.KindBadRequest, "%v: body of %d and page of %d bytes, at most %d and %d", c.Op, len(c.Body), len(c.Page), wire.MaxBody, wire.MaxPayload))
	}
	if len(c.Page) == 0 {
		c.PageCRC = 0
	} else if !c.HavePageCRC {
		c.PageCRC = wire.Checksum(c.Page)
	}
	return nil
}

// refuse completes a call that was not sent.
func (c *Call) refuse(err error) error {
	c.Err = err
	c.state.Store(callDone)
	return err
}

package netlayer

import (
	"context"
	"errors"
	"slices"
	"time"

	"splitkernel/netlayer/wire"
)

// Handler serves requests.
type Handler interface {
	// Inline reports whether requests of op are served on the connection's own goroutine, in order and in batches, which
	// is for operations that do not wait for anything. Others go to the workers. It is asked for every request, and once
	// for a pair, with OpMissFlush. An operation that waits only sometimes may be inline too: see ErrWouldWait.
	Inline(op wire.Op) bool

	// Serve serves one request. It fills rep, or returns an error, which crosses the wire by kind and text; what was put
	// into rep is then dropped. It is called by many goroutines. req, its slices, rep and ctx are valid until it returns.
	// ctx ends when the server stops, for workers also at the request's deadline. Serve is never called for OpPing, OpHello
	// and OpMissFlush: the server answers the first two and cuts the last into an OpMiss and an OpFlush.
	//
	// A request may also be answered after Serve has returned: see Request.Defer.
	//
	// The reply to an at-most-once request is remembered and given to its retries, but for errors of KindBusy and
	// KindUnavailable: by those a handler says that the request may be executed again.
	Serve(ctx context.Context, req *Request, rep *Reply) error
}

// ErrWouldWait is what Serve returns for a request with MayHandOver that would have to wait: the server gives it to the
// workers, which call Serve again, with a copy of the request. Serve must have done nothing yet. Any later request of the
// connection may be served before it.
var ErrWouldWait = errors.New("netlayer: the request would wait and must be served by a worker")

// Placer is what a Handler may be, too: one that takes long payloads into memory of its own, so that nobody copies them.
type Placer interface {
	// Place is asked when a request with n bytes of payload has begun that do not fit into the connection's buffer, if its operation is
	// inline and not at most once. Its body is there and was verified. Place gives pieces of memory of n bytes together, into which the
	// payload is read in order, and leaves in req.Placed what Serve needs to find them, not nil. Or it gives none: then the payload comes to
	// Serve as any other. It must not wait.
	Place(req *Request, n int) [][]byte
	// Unplace is called instead of Serve when the payload did not come or does not fit its checksum.
	Unplace(req *Request)
}

// Request is a request as its handler sees it.
type Request struct {
	Op       wire.Op
	Epoch    wire.Epoch
	Session  uint64 // of the client: survives its reconnects
	Call     uint64
	Body     []byte
	Page     []byte     // payload; at most a page
	PageCRC  uint32     // of Page, verified
	From     wire.Hello // of the client
	Deadline time.Time  // zero if there is none
	OneWay   bool       // nobody reads the reply

	MayHandOver bool // it is served inline, and Serve may return ErrWouldWait; never for the halves of a pair
	Placed      any  // what Place has left here; then Page is empty, and the payload where Place wanted it

	conn    *serverConn // nil if it cannot be deferred
	trace   uint32      // that of the header
	came    time.Time   // when it was read, if it has one
	frameOp wire.Op     // of the frame: of a half that of the pair
}

// Reply is built by a handler, in place in the connection's write buffer.
type Reply struct {
	buf   []byte // buf[start:] is this frame
	start int
	body  int // bytes
	page  int // bytes, -1 while there is no page
	crc   uint32
	known bool     // crc was given
	pages [][]byte // the payload, which is written from where it is
	times uint32   // for the header
}

func (r *Reply) begin(buf []byte) {
	r.buf, r.start = append(buf, zeroHeader[:]...), len(buf)
	r.body, r.page, r.crc, r.known, r.pages, r.times = 0, -1, 0, false, nil, 0
}

var zeroHeader [wire.HeaderLen]byte

// AppendBody appends to the body. It must come before Page.
func (r *Reply) AppendBody(b []byte) {
	if r.page >= 0 {
		panic("netlayer: the body of a reply grows after its page was taken")
	}
	if r.body+len(b) > wire.MaxBody {
		panic("netlayer: the body of a reply is longer than wire.MaxBody")
	}
	r.buf = append(r.buf, b...)
	r.body += len(b)
}

// SetBody replaces the body. It must come before Page.
func (r *Reply) SetBody(b []byte) {
	if r.page < 0 {
		r.buf, r.body = r.buf[:r.start+wire.HeaderLen], 0
	}
	r.AppendBody(b)
}

// Body appends n bytes to the body, for the caller to fill before Serve returns. Their content before is undefined. It must come before
// Page.
func (r *Reply) Body(n int) []byte {
	if r.page >= 0 || n < 0 || r.body+n > wire.MaxBody {
		panic("netlayer: the body of a reply grows after its page was taken, or is longer than wire.MaxBody")
	}
	m := len(r.buf)
	r.buf = slices.Grow(r.buf, n)[:m+n]
	r.body += n
	return r.buf[m : m+n : m+n]
}

// SetControl sets the body to an encoded control message.
func (r *Reply) SetControl(v any) { r.SetBody(wire.Marshal(v)) }

// Page gives n bytes inside the write buffer, at most a page, for the caller to fill before Serve returns. Their content
// before is undefined. It is called at most once, after the body.
func (r *Reply) Page(n int) []byte {
	if r.page >= 0 || n < 0 || n > wire.MaxPayload {
		panic("netlayer: the page of a reply is taken twice or has a bad length")
	}
	r.page = n
	m := len(r.buf)
	r.buf = slices.Grow(r.buf, n)[:m+n]
	return r.buf[m : m+n : m+n]
}

// Pages makes pieces the payload, with the checksum of all of them, at most as many bytes as the operation carries. They are written from where they
// are, after Serve has returned: what changes until then does not fit the checksum, which the reader notices. It is called at most once, after the body.
func (r *Reply) Pages(pieces [][]byte, crc uint32) {
	if r.page >= 0 {
		panic("netlayer: the payload of a reply is given twice")
	}
	r.page = 0
	for _, b := range pieces {
		r.page += len(b)
	}
	r.pages, r.crc, r.known = pieces, crc, true
}

// SetPageCRC gives the checksum that is kept with the page, so that it is not computed again, and so that the reader
// notices if the page changed while it lay here.
func (r *Reply) SetPageCRC(crc uint32) { r.crc, r.known = crc, true }

// end completes the frame and gives the buffer back. With an error the frame carries that instead.
func (r *Reply) end(op wire.Op, call uint64, err error) []byte {
	if err != nil {
		r.buf, r.pages = errorFrame(r.buf[:r.start], op, call, err), nil
		return r.buf
	}
	body := r.buf[r.start+wire.HeaderLen:]
	h := wire.Header{Op: op, Flags: wire.FlagReply, Call: call, BodyLen: uint32(r.body), BodyCRC: wire.Checksum(body[:r.body]), Trace: r.times}
	if r.page > 0 {
		h.PayloadLen = uint32(r.page)
		if h.PayloadCRC = r.crc; !r.known {
			h.PayloadCRC = wire.Checksum(body[r.body:])
		}
	}
	h.Put(r.buf[r.start:])
	return r.buf
}

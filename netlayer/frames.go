package netlayer

import (
	"fmt"
	"io"
	"time"

	"splitkernel/netlayer/wire"
)

// readBuffer is the size of a connection's read buffer in bytes: room for 15 pages with their headers.
const readBuffer = 64 << 10

// keepBuffer bounds the write buffers that are kept for the next write, in bytes; larger ones go to the collector.
const keepBuffer = 1 << 20

// batch bounds the frames that are taken from the read buffer at once.
const batch = 64

// frame is a parsed frame; its parts lie in the read buffer.
type frame struct {
	h       wire.Header
	body    []byte
	payload []byte
	corrupt bool      // the payload does not fit its checksum
	placed  any       // of a long one whose payload is where the handler wanted it: see Placer
	came    time.Time // when it was read, of a request of a trace
}

// frameReader cuts a stream of bytes into frames. It allocates nothing, except a larger buffer for a frame that does not
// fit into the usual one; the frame's lengths were checked before. maxBody bounds the bodies.
type frameReader struct {
	buf     []byte
	r, w    int // buf[r:w] was read and not parsed
	usual   []byte
	large   []byte // for the next frame that does not fit into the usual one; nil if there is none, and at most keepBuffer
	maxBody uint32
	places  bool // payloads that do not fit into the buffer are asked for by long
	frames  [batch]frame
}

func newFrameReader(size int, maxBody uint32) *frameReader {
	b := make([]byte, size)
	return &frameReader{buf: b, usual: b, maxBody: maxBody}
}

// space gives room for the next read. Frames that were parsed before are invalid from now on.
func (f *frameReader) space() []byte {
	if f.r == f.w {
		if len(f.buf) > len(f.usual) {
			f.keep(f.buf)
		}
		f.buf, f.r, f.w = f.usual, 0, 0
	} else if f.r > 0 && len(f.buf)-f.w < len(f.buf)/2 {
		f.w = copy(f.buf, f.buf[f.r:f.w])
		f.r = 0
	}
	return f.buf[f.w:]
}

// filled notes that n bytes were read into space.
func (f *frameReader) filled(n int) { f.w += n }

// partial reports whether a frame has begun and not ended.
func (f *frameReader) partial() bool { return f.r < f.w }

// next parses up to batch whole frames. It gives fewer only if no further whole frame is there. The error is a
// *wire.FrameError; frames before the bad one are given with it.
func (f *frameReader) next() ([]frame, error) {
	k := 0
	for k < batch && f.w-f.r >= wire.HeaderLen {
		h, err := wire.ParseHeader(f.buf[f.r:f.w])
		if err != nil {
			return f.frames[:k], err
		}
		if h.BodyLen > f.maxBody {
			return f.frames[:k], &wire.FrameError{Reason: "length", Text: fmt.Sprintf("body of %d bytes, at most %d here", h.BodyLen, f.maxBody)}
		}
		body := wire.HeaderLen + int(h.BodyLen)
		n := body + int(h.PayloadLen)
		if f.w-f.r < n {
			if n > len(f.buf) && !f.isLong(&h) {
				f.grow(n)
			}
			break
		}
		b := f.buf[f.r : f.r+n]
		fr := &f.frames[k]
		fr.h, fr.body, fr.payload = h, b[wire.HeaderLen:body:body], b[body:n:n]
		if wire.Checksum(fr.body) != h.BodyCRC {
			return f.frames[:k], &wire.FrameError{Reason: "body_checksum", Text: fmt.Sprintf("body checksum of a frame of %v does not fit", h.Op)}
		}
		fr.corrupt = h.PayloadCRC != wire.Checksum(fr.payload)
		f.r += n
		k++
	}
	return f.frames[:k], nil
}

// grow makes a buffer for a frame of n bytes. Frames that were parsed before keep pointing into the old one.
func (f *frameReader) grow(n int) {
	b := f.large
	if f.large = nil; cap(b) < n {
		b = make([]byte, n)
	}
	b = b[:n] // nothing behind the frame is read into it: see steal
	f.w = copy(b, f.buf[f.r:f.w])
	f.r, f.buf = 0, b
}

// keep has a buffer used for the next frame that does not fit into the usual one.
func (f *frameReader) keep(b []byte) {
	if cap(b) <= keepBuffer && cap(b) > max(cap(f.large), len(f.usual)) {
		f.large = b[:cap(b)]
	}
}

// steal reports whether the body of a frame that was parsed last lies in a buffer of its own, which then is the caller's. The reader
// gets another for it.
func (f *frameReader) steal(fr *frame, other []byte) bool {
	if len(f.buf) == len(f.usual) || f.r != f.w || wire.HeaderLen+len(fr.body)+len(fr.payload) != len(f.buf) {
		return false
	}
	f.buf, f.r, f.w = f.usual, 0, 0
	f.keep(other)
	return true
}

// isLong reports whether the payload of a frame is to be placed elsewhere, as the frame does not fit into the buffer.
func (f *frameReader) isLong(h *wire.Header) bool {
	body := wire.HeaderLen + int(h.BodyLen)
	return f.places && h.PayloadLen > wire.MaxPayload && body <= len(f.buf) && body+int(h.PayloadLen) > len(f.buf)
}

// long gives the frame that has begun, once its body is there, if its payload is to be placed elsewhere; its payload is what was read of
// it so far. Call it after next.
func (f *frameReader) long() (fr frame, ok bool, err error) {
	if f.w-f.r < wire.HeaderLen {
		return fr, false, nil
	}
	h, err := wire.ParseHeader(f.buf[f.r:f.w])
	body := wire.HeaderLen + int(h.BodyLen)
	if err != nil || !f.isLong(&h) || f.w-f.r < body {
		return fr, false, err
	}
	b := f.buf[f.r:f.w]
	fr = frame{h: h, body: b[wire.HeaderLen:body:body], payload: b[body:]}
	if wire.Checksum(fr.body) != h.BodyCRC {
		return fr, false, &wire.FrameError{Reason: "body_checksum", Text: fmt.Sprintf("body checksum of a frame of %v does not fit", h.Op)}
	}
	return fr, true, nil
}

// taken says that all that was read of a long frame was taken.
func (f *frameReader) taken() { f.r = f.w }

// readHello reads one frame of at most maxHello bytes of body, nothing behind it being read.
func readHello(r io.Reader) (wire.Header, []byte, error) {
	var head [wire.HeaderLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return wire.Header{}, nil, err
	}
	h, err := wire.ParseHeader(head[:])
	if err != nil {
		return h, nil, err
	}
	if h.Op != wire.OpHello {
		return h, nil, &wire.FrameError{Reason: "no_hello", Text: fmt.Sprintf("the first frame is %v, want hello", h.Op)}
	}
	if h.BodyLen > maxHello || h.PayloadLen != 0 {
		return h, nil, &wire.FrameError{Reason: "length", Text: fmt.Sprintf("hello of %d and %d bytes, at most %d and 0", h.BodyLen, h.PayloadLen, maxHello)}
	}
	body := make([]byte, h.BodyLen)
	if _, err := io.ReadFull(r, body); err != nil {
		return h, nil, err
	}
	if wire.Checksum(body) != h.BodyCRC {
		return h, nil, &wire.FrameError{Reason: "body_checksum", Text: "body checksum of the hello does not fit"}
	}
	return h, body, nil
}

// appendFrame appends a frame to b. The lengths and the checksum of the payload are in h; the body's is computed.
func appendFrame(b []byte, h *wire.Header, body, payload []byte) []byte {
	h.BodyCRC = wire.Checksum(body)
	b = h.Append(b)
	b = append(b, body...)
	return append(b, payload...)
}

// errorFrame appends the reply that carries err.
func errorFrame(b []byte, op wire.Op, call uint64, err error) []byte {
	kind, text := wire.KindOf(err), errorText(err)
	return appendFrame(b, &wire.Header{Op: op, Flags: wire.FlagReply | wire.FlagError, Status: kind, Call: call, BodyLen: uint32(len(text))}, []byte(text), nil)
}

package wire

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// HeaderLen is the length of a frame's header in bytes.
const HeaderLen = 48

// Magic is the first two bytes of every frame: "SK".
const Magic uint16 = 0x4b53

// Version is the version of the protocol. A frame of another version closes the connection.
const Version uint8 = 1

// MaxBody bounds the body of a frame, in bytes; it is checked before anything is allocated.
const MaxBody = 1 << 20

// MaxPayload bounds the payload (page or block bytes) of a frame, in bytes, but for the operations that carry many pages: see
// Op.MaxPayload.
const MaxPayload = PageSize

// MaxLongPayload bounds the payload of a frame that carries many pages, in bytes.
const MaxLongPayload = 128 * PageSize

// MaxPayload bounds the payload of a request of the operation, and of its reply, in bytes.
func (o Op) MaxPayload() int {
	switch o {
	case OpRegionCopy:
		return MaxLongPayload
	case OpReplicaWrites, OpReplicaRead:
		return MaxReplicaPages * PageSize
	}
	return MaxPayload
}

// castagnoli is the polynomial of every checksum of this program (RFC 3720).
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is CRC32C of b. It guards headers, bodies, pages and blocks.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// ChecksumMore is the checksum of what has the checksum sum, followed by b.
func ChecksumMore(sum uint32, b []byte) uint32 { return crc32.Update(sum, castagnoli, b) }

// Header is the fixed head of a frame. All numbers are little-endian.
//
//	0        2    3    4       6        8              16      20           24       28          32         36           40        44     48
//	+--------+----+----+-------+--------+--------------+-------+------------+--------+-----------+----------+------------+---------+------+
//	| magic  |ver | op | flags | status | call id      | epoch | timeout µs | body   | payload   | body     | payload    | trace   | head |
//	|        |    |    |       |        |              |       |            | length | length    | CRC32C   | CRC32C     |         | CRC  |
//	+--------+----+----+-------+--------+--------------+-------+------------+--------+-----------+----------+------------+---------+------+
//
// The body follows, then the payload. The payload's checksum travels with the page from the moment it is taken, so it
// also guards the page while it lies in an mComponent.
type Header struct {
	Op         Op
	Flags      Flags
	Status     Kind
	Call       uint64
	Epoch      Epoch
	TimeoutUS  uint32 // what is left of the caller's deadline, in µs; 0 is none
	BodyLen    uint32
	PayloadLen uint32
	BodyCRC    uint32
	PayloadCRC uint32
	// Trace is of a request the number of its trace (see trace.go), of its reply how long it was served; 0 is neither. It is sent only
	// to those whose hello said that they know it: the others have 0 there, and refuse anything else.
	Trace uint32
}

// Append appends the 48 bytes of h to b.
func (h *Header) Append(b []byte) []byte {
	n := len(b)
	b = append(b, make([]byte, HeaderLen)...)
	h.Put(b[n:])
	return b
}

// Put writes h into the first 48 bytes of b.
func (h *Header) Put(b []byte) {
	_ = b[HeaderLen-1]
	le := binary.LittleEndian
	le.PutUint16(b[0:], Magic)
	b[2], b[3] = Version, byte(h.Op)
	le.PutUint16(b[4:], uint16(h.Flags))
	le.PutUint16(b[6:], uint16(h.Status))
	le.PutUint64(b[8:], h.Call)
	le.PutUint32(b[16:], uint32(h.Epoch))
	le.PutUint32(b[20:], h.TimeoutUS)
	le.PutUint32(b[24:], h.BodyLen)
	le.PutUint32(b[28:], h.PayloadLen)
	le.PutUint32(b[32:], h.BodyCRC)
	le.PutUint32(b[36:], h.PayloadCRC)
	le.PutUint32(b[40:], h.Trace)
	le.PutUint32(b[44:], Checksum(b[:44]))
}

// FrameError says why bytes are not a frame. Reason is a bounded label for a counter.
type FrameError struct {
	Reason string // "magic", "version", "checksum", "op", "flags", "length", "body_checksum", "reserved", "direction", "body"
	Text   string
}

func (e *FrameError) Error() string { return "bad frame: " + e.Text }

// ParseHeader reads a header from the first 48 bytes of b and checks magic, version, checksum, op and lengths.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, &FrameError{"length", fmt.Sprintf("%d bytes, want a header of %d", len(b), HeaderLen)}
	}
	le := binary.LittleEndian
	if m := le.Uint16(b[0:]); m != Magic {
		return Header{}, &FrameError{"magic", fmt.Sprintf("magic %#04x, want %#04x", m, Magic)}
	}
	if b[2] != Version {
		return Header{}, &FrameError{"version", fmt.Sprintf("protocol version %d, want %d", b[2], Version)}
	}
	if got, want := le.Uint32(b[44:]), Checksum(b[:44]); got != want {
		return Header{}, &FrameError{"checksum", fmt.Sprintf("header checksum %#08x, want %#08x", got, want)}
	}
	h := Header{
		Op: Op(b[3]), Flags: Flags(le.Uint16(b[4:])), Status: Kind(le.Uint16(b[6:])), Call: le.Uint64(b[8:]),
		Epoch: Epoch(le.Uint32(b[16:])), TimeoutUS: le.Uint32(b[20:]), BodyLen: le.Uint32(b[24:]), PayloadLen: le.Uint32(b[28:]),
		BodyCRC: le.Uint32(b[32:]), PayloadCRC: le.Uint32(b[36:]), Trace: le.Uint32(b[40:]),
	}
	if !h.Op.Known() {
		return Header{}, &FrameError{"op", fmt.Sprintf("operation %d is unknown", b[3])}
	}
	if h.Flags&^flagsKnown != 0 {
		return Header{}, &FrameError{"flags", fmt.Sprintf("flags %#04x, known are %#04x", uint16(h.Flags), uint16(flagsKnown))}
	}
	if h.BodyLen > MaxBody {
		return Header{}, &FrameError{"length", fmt.Sprintf("body of %d bytes, at most %d", h.BodyLen, MaxBody)}
	}
	if most := h.Op.MaxPayload(); h.PayloadLen > uint32(most) {
		return Header{}, &FrameError{"length", fmt.Sprintf("payload of %d bytes, at most %d", h.PayloadLen, most)}
	}
	return h, nil
}

// FrameLen gives the length of the frame that begins with the header in b, which must be one that Put wrote.
func FrameLen(b []byte) int {
	return HeaderLen + int(binary.LittleEndian.Uint32(b[24:])) + int(binary.LittleEndian.Uint32(b[28:]))
}

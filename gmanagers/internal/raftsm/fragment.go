package raftsm

import (
	"encoding/binary"
	"fmt"
)

// A Raft batch or snapshot chunk that does not fit into one frame crosses in fragments. Each body is
//
//	0         1          9        13      17
//	+---------+----------+--------+-------+------------+
//	| version | message  | index  | count | data       |
//	+---------+----------+--------+-------+------------+
//
// little-endian. The number of the message grows per connection and kind. Fragments of one message arrive in order or
// not at all: a gap drops the message, which Raft sends again.
const (
	fragmentVersion = 1
	fragmentHeader  = 17
	// maxFragments bounds the fragments of one message: 64 MiB is what dragonboat puts into a batch, and some more.
	maxFragments = 72
)

// fragments splits a message into bodies of at most limit bytes and hands them to send, which must copy.
func fragments(number uint64, msg []byte, limit int, send func(body []byte) error) error {
	room := limit - fragmentHeader
	count := max(1, (len(msg)+room-1)/room)
	if count > maxFragments {
		return fmt.Errorf("raftsm: message of %d bytes needs %d fragments, at most %d", len(msg), count, maxFragments)
	}
	buf := make([]byte, 0, min(limit, fragmentHeader+len(msg)))
	for i := range count {
		buf = append(buf[:0], fragmentVersion)
		buf = binary.LittleEndian.AppendUint64(buf, number)
		buf = binary.LittleEndian.AppendUint32(buf, uint32(i))
		buf = binary.LittleEndian.AppendUint32(buf, uint32(count))
		part := msg[i*room : min(len(msg), (i+1)*room)]
		if err := send(append(buf, part...)); err != nil {
			return err
		}
	}
	return nil
}

// assembler puts the fragments of one sender's messages together again. It holds at most one message.
type assembler struct {
	number uint64
	next   uint32
	count  uint32
	data   []byte
}

// add takes a fragment. It returns the message when it is complete; the message of a single fragment is not copied.
// A fragment that does not fit drops what was collected.
func (a *assembler) add(body []byte) (msg []byte, ok bool, err error) {
	if len(body) < fragmentHeader || body[0] != fragmentVersion {
		return nil, false, fmt.Errorf("raftsm: fragment of %d bytes, want version %d and at least %d bytes", len(body), fragmentVersion, fragmentHeader)
	}
	le := binary.LittleEndian
	number, index, count, data := le.Uint64(body[1:]), le.Uint32(body[9:]), le.Uint32(body[13:]), body[fragmentHeader:]
	if count == 0 || count > maxFragments || index >= count {
		return nil, false, fmt.Errorf("raftsm: fragment %d of %d, at most %d", index, count, maxFragments)
	}
	if count == 1 {
		*a = assembler{}
		return data, true, nil
	}
	if index == 0 {
		*a = assembler{number: number, count: count}
	} else if number != a.number || index != a.next || count != a.count {
		was := *a
		*a = assembler{}
		return nil, false, fmt.Errorf("raftsm: fragment %d of message %d, want %d of %d: message dropped", index, number, was.next, was.number)
	}
	a.data = append(a.data, data...)
	a.next++
	if a.next < a.count {
		return nil, false, nil
	}
	msg = a.data
	*a = assembler{}
	return msg, true, nil
}

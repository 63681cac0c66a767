package unpack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// newXz unpacks .xz. The unpacker takes as large a dictionary as a block asks for, 4 GiB if it says so, before it has seen a byte of it; so xzGuard goes
// before it.
func newXz(r io.Reader) (io.Reader, error) {
	return xz.ReaderConfig{DictCap: lzma.MinDictCap}.NewReader(&xzGuard{r: r})
}

// xzGuard passes an .xz on as it is, up to a block that asks for more than MaxXzDictBytes. It follows the format (https://tukaani.org/xz/xz-file-format.txt,
// 1.2.1) so far that it knows where blocks begin:
//
//	stream header 12 │ block … │ index │ footer 12 │ padding, or the next stream
//	block:  header, of which the first byte tells the size │ LZMA2 chunks, a zero │ zeros up to 4 │ check
//	index:  a zero │ number of blocks │ two numbers of each │ zeros up to 4 │ CRC 4
//
// What is not so is passed on too, for the unpacker to say what is wrong, and ends the guard's work: nothing comes after it.
type xzGuard struct {
	r     io.Reader
	unit  []byte // read, and not yet passed on
	pass  int64  // bytes that may then be passed on without a look
	at    xzPart // what comes then
	size  int64  // of the chunks of this block, or of this index, so far
	check int64  // size of the check of each block
	left  uint64 // numbers of the index
	err   error  // of r, or of the guard
}

type xzPart int

const (
	xzStream xzPart = iota
	xzBlock
	xzChunk
	xzIndex  // the number of blocks
	xzRecord // a number of an index
	xzBroken
)

// errXz says that the unpacker will refuse what was passed on.
var errXz = errors.New("not of the format")

// Read implements io.Reader.
func (g *xzGuard) Read(b []byte) (int, error) {
	for {
		switch {
		case len(g.unit) > 0:
			n := copy(b, g.unit)
			g.unit = g.unit[n:]
			return n, nil
		case g.err != nil:
			return 0, g.err
		case g.pass > 0:
			n, err := g.r.Read(b[:min(int64(len(b)), g.pass)])
			if g.pass -= int64(n); err == io.EOF && g.pass > 0 {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
		switch err := g.next(); err {
		case nil:
		case errXz:
			g.at = xzBroken
		case io.EOF:
			g.err = err
		default: // what it is about must not reach the unpacker
			g.unit, g.err = nil, err
		}
	}
}

// take reads n bytes more of the unit.
func (g *xzGuard) take(n int) ([]byte, error) {
	from := len(g.unit)
	g.unit = append(g.unit, make([]byte, n)...)
	k, err := io.ReadFull(g.r, g.unit[from:])
	g.unit = g.unit[:from+k]
	if err == io.EOF && (g.at != xzStream || from > 0) {
		err = io.ErrUnexpectedEOF // the unpacker takes the end of a file that ends before a block for the end of a stream
	}
	return g.unit[from:], err
}

// next reads the next unit of which something must be known.
func (g *xzGuard) next() error {
	switch g.at {
	case xzStream:
		head, err := g.take(4)
		if err != nil || bytes.Equal(head, []byte{0, 0, 0, 0}) { // padding
			return err
		}
		if head, err = g.take(8); err != nil {
			return err
		}
		check, ok := map[byte]int64{0: 0, 1: 4, 4: 8, 10: 32}[head[3]]
		if !ok {
			return errXz
		}
		g.check, g.at = check, xzBlock
	case xzBlock:
		size, err := g.take(1)
		if err != nil {
			return err
		}
		if size[0] == 0 {
			g.at, g.size = xzIndex, 1
			return nil
		}
		head, err := g.take(4*int(size[0]) + 3)
		if err != nil {
			return err
		}
		g.at, g.size = xzChunk, 0
		return checkXzBlock(head)
	case xzChunk:
		return g.chunk()
	case xzIndex:
		n, err := g.number()
		if err != nil {
			return err
		}
		if n > 1<<62 {
			return errXz
		}
		g.left = 2 * n
		g.records()
	case xzRecord:
		if _, err := g.number(); err != nil {
			return err
		}
		g.left--
		g.records()
	default:
		return io.EOF
	}
	return nil
}

// records goes on with the index, or after its last number with what is behind it: CRC and footer.
func (g *xzGuard) records() {
	if g.at = xzRecord; g.left == 0 {
		g.at, g.pass = xzStream, -g.size&3+4+12
	}
}

// chunk reads the head of a chunk of LZMA2, or the zero after the last.
func (g *xzGuard) chunk() error {
	control, err := g.take(1)
	if err != nil {
		return err
	}
	switch c := control[0]; {
	case c == 0:
		g.size++
		g.pass, g.at = -g.size&3+g.check, xzBlock
		return nil
	case c <= 2:
		size, err := g.take(2)
		if err != nil {
			return err
		}
		g.pass = int64(binary.BigEndian.Uint16(size)) + 1
	case c >= 0x80:
		size, err := g.take(4)
		if err != nil {
			return err
		}
		g.pass = int64(binary.BigEndian.Uint16(size[2:])) + 1
		if c >= 0xc0 {
			g.pass++ // properties
		}
	default:
		return errXz
	}
	g.size += int64(len(g.unit)) + g.pass
	return nil
}

// number reads a number of an index: seven bits a byte, the lowest first.
func (g *xzGuard) number() (n uint64, err error) {
	for shift := 0; shift < 63; shift += 7 {
		b, err := g.take(1)
		if err != nil {
			return 0, err
		}
		g.size++
		n |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			return n, nil
		}
	}
	return 0, errXz
}

// checkXzBlock reports a block that asks for too large a dictionary. head is its header without the first byte.
func checkXzBlock(head []byte) error {
	const (
		filters, packedSize, size = 0x03, 0x40, 0x80
		lzma2                     = 0x21
	)
	flags, rest := head[0], head[1:]
	for _, there := range []bool{flags&packedSize != 0, flags&size != 0} {
		if _, n := binary.Uvarint(rest); there {
			if n <= 0 {
				return errXz
			}
			rest = rest[n:]
		}
	}
	if flags&filters != 0 || len(rest) < 3 || rest[0] != lzma2 || rest[1] != 1 {
		return errXz // other filters, which the unpacker does not know
	}
	dict, err := lzma.DecodeDictCap(rest[2])
	if err != nil {
		return errXz
	}
	if dict > MaxXzDictBytes {
		return fmt.Errorf("a dictionary of %d bytes, at most %d", dict, MaxXzDictBytes)
	}
	return nil
}

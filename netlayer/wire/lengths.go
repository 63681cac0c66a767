package wire

import (
	"encoding/binary"
	"errors"
)

var errLengths = errors.New("it declares more than it holds")

// checkLengths walks over one msgpack value and refuses lengths that its bytes cannot fill. The decoder allocates a slice for
// the length that is declared, so five bytes could ask for all memory of the process; a length is checked before anything is
// allocated. What follows the value is not looked at.
func checkLengths(b []byte) error {
	for want := uint64(1); want > 0; want-- { // values still to come
		if want > uint64(len(b)) { // each has a byte at least
			return errLengths
		}
		code := b[0]
		b = b[1:]
		sizeLen, skip, elements := 0, uint64(0), uint64(0) // bytes of a length field; bytes and values that follow
		switch {
		case code <= 0x7f, code >= 0xe0: // small integers
		case code <= 0x8f: // map
			elements = 2 * uint64(code&0x0f)
		case code <= 0x9f: // array
			elements = uint64(code & 0x0f)
		case code <= 0xbf: // string
			skip = uint64(code & 0x1f)
		case code <= 0xc3: // nil, booleans
		case code <= 0xc6: // bytes with a length of 1, 2, 4
			sizeLen = 1 << (code - 0xc4)
		case code <= 0xc9: // extensions, the same and a type
			sizeLen, skip = 1<<(code-0xc7), 1
		case code <= 0xcb: // float32, float64
			skip = 4 << (code - 0xca)
		case code <= 0xcf: // unsigned integers of 1, 2, 4, 8
			skip = 1 << (code - 0xcc)
		case code <= 0xd3: // signed ones
			skip = 1 << (code - 0xd0)
		case code <= 0xd8: // extensions of 1, 2, 4, 8, 16 and a type
			skip = 1 + 1<<(code-0xd4)
		case code <= 0xdb: // strings with a length of 1, 2, 4
			sizeLen = 1 << (code - 0xd9)
		case code <= 0xdd: // arrays with a length of 2, 4
			sizeLen = 2 << (code - 0xdc)
		default: // maps with a length of 2, 4
			sizeLen = 2 << (code - 0xde)
		}
		if sizeLen > 0 {
			if len(b) < sizeLen {
				return errLengths
			}
			var field [8]byte
			copy(field[8-sizeLen:], b[:sizeLen])
			n := binary.BigEndian.Uint64(field[:])
			b = b[sizeLen:]
			switch {
			case code >= 0xde:
				elements = 2 * n
			case code >= 0xdc:
				elements = n
			default:
				skip += n
			}
		}
		if skip > uint64(len(b)) {
			return errLengths
		}
		b = b[skip:]
		want += elements
	}
	return nil
}

package tape

import (
	"encoding/binary"
	"fmt"
)

// AppendString appends a text behind its length.
func AppendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// AppendBytes appends bytes behind their length.
func AppendBytes(b, s []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// AppendBool appends a truth.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// Reader takes a record apart. After the first fault every read gives zero, and Err tells what was wrong and where; so a
// whole record is read before it is looked at.
type Reader struct {
	b   []byte
	off int
	err error
}

// NewReader reads b, of which it keeps none.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Err is the first fault, or nil.
func (r *Reader) Err() error { return r.err }

// Rest is how many bytes are left.
func (r *Reader) Rest() int { return len(r.b) - r.off }

// Fail reports a value that was read and cannot be.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("byte %d of the record: %s", r.off, fmt.Sprintf(format, args...))
	}
	r.off = len(r.b)
}

// End gives the first fault, and one if bytes are left.
func (r *Reader) End() error {
	if r.err == nil && r.Rest() > 0 {
		r.Fail("%d bytes are left over", r.Rest())
	}
	return r.err
}

// Uint reads a number in binary.AppendUvarint's form.
func (r *Reader) Uint() uint64 {
	v, n := binary.Uvarint(r.b[r.off:])
	if n <= 0 {
		r.Fail("no number, want one")
		return 0
	}
	r.off += n
	return v
}

// Below reads a number that must be less than limit.
func (r *Reader) Below(limit uint64) uint64 {
	v := r.Uint()
	if v >= limit {
		r.Fail("%d, want less than %d", v, limit)
		return 0
	}
	return v
}

// Int reads a number in binary.AppendVarint's form.
func (r *Reader) Int() int64 {
	v, n := binary.Varint(r.b[r.off:])
	if n <= 0 {
		r.Fail("no number, want one")
		return 0
	}
	r.off += n
	return v
}

// Bool reads a truth.
func (r *Reader) Bool() bool { return r.Byte(2) == 1 }

// Byte reads one byte that must be less than limit, if that is not 0.
func (r *Reader) Byte(limit byte) byte {
	if r.Rest() < 1 {
		r.Fail("it ends where a byte should be")
		return 0
	}
	v := r.b[r.off]
	if limit > 0 && v >= limit {
		r.Fail("%d, want less than %d", v, limit)
		return 0
	}
	r.off++
	return v
}

// Bytes reads what AppendBytes wrote. They belong to the record.
func (r *Reader) Bytes() []byte {
	n := r.Uint()
	if n > uint64(r.Rest()) {
		r.Fail("%d bytes are announced, %d are left", n, r.Rest())
		return nil
	}
	r.off += int(n)
	return r.b[r.off-int(n) : r.off]
}

// String reads what AppendString wrote.
func (r *Reader) String() string { return string(r.Bytes()) }

// Word reads four bytes, little-endian.
func (r *Reader) Word() uint32 {
	if r.Rest() < 4 {
		r.Fail("it ends where a checksum should be")
		return 0
	}
	r.off += 4
	return binary.LittleEndian.Uint32(r.b[r.off-4:])
}

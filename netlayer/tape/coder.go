package tape

import "encoding/binary"

// Coder goes over the fields of a record, or of the state of a core, once: it writes them, or it reads them, so that what
// writes a thing is what reads it. After the first fault of a reading every field is zero; Err or End tells of it.
//
//	func (in *Input) code(c *tape.Coder) {
//		tape.Num(c, &in.Kind)
//		c.Bool(&in.Again)
//		tape.List(c, &in.Pages, maxPages, func(p *wire.PageNo) { tape.Num(c, p) })
//	}
type Coder struct {
	b     []byte
	r     Reader
	reads bool
}

// Encode writes what code goes over behind b.
func Encode(b []byte, code func(*Coder)) []byte {
	c := Coder{b: b}
	code(&c)
	return c.b
}

// Decode reads what code goes over. All of b is it, or that is an error.
func Decode(b []byte, code func(*Coder)) error {
	var c Coder
	c.Read(b)
	code(&c)
	return c.End()
}

// Write begins to write behind b.
func (c *Coder) Write(b []byte) { c.b, c.reads = b, false }

// Read begins to read b, of which it keeps nothing that was read.
func (c *Coder) Read(b []byte) { c.r, c.reads = NewReader(b), true }

// Reads reports whether fields are being read.
func (c *Coder) Reads() bool { return c.reads }

// Written is what was written, behind what Write was given.
func (c *Coder) Written() []byte { return c.b }

// Fail reports a value that was read and cannot be. What is written is taken to be right.
func (c *Coder) Fail(format string, args ...any) {
	if c.reads {
		c.r.Fail(format, args...)
	}
}

// Err is the first fault of a reading, or nil.
func (c *Coder) Err() error { return c.r.err }

// Rest is how many bytes are left to be read.
func (c *Coder) Rest() int { return c.r.Rest() }

// End gives the first fault, and one if bytes are left.
func (c *Coder) End() error { return c.r.End() }

// Num is a number without a sign.
func Num[T ~uint8 | ~uint16 | ~uint32 | ~uint64](c *Coder, v *T) {
	if !c.reads {
		c.b = binary.AppendUvarint(c.b, uint64(*v))
		return
	}
	n := c.r.Uint()
	if *v = T(n); uint64(*v) != n {
		c.r.Fail("%d, want a number of fewer bits", n)
		*v = 0
	}
}

// Below is a number that must be less than limit.
func Below[T ~int | ~uint8 | ~uint16 | ~uint32 | ~uint64](c *Coder, v *T, limit uint64) {
	if !c.reads {
		c.b = binary.AppendUvarint(c.b, uint64(*v))
		return
	}
	*v = T(c.r.Below(limit))
}

// Int is a number with a sign.
func Int[T ~int | ~int64](c *Coder, v *T) {
	if !c.reads {
		c.b = binary.AppendVarint(c.b, int64(*v))
		return
	}
	*v = T(c.r.Int())
}

// Bool is a truth.
func (c *Coder) Bool(v *bool) {
	if !c.reads {
		c.b = AppendBool(c.b, *v)
		return
	}
	*v = c.r.Bool()
}

// Word is four bytes.
func (c *Coder) Word(v *uint32) {
	if !c.reads {
		c.b = binary.LittleEndian.AppendUint32(c.b, *v)
		return
	}
	*v = c.r.Word()
}

// Text is a text behind its length.
func Text[T ~string](c *Coder, v *T) {
	if !c.reads {
		c.b = AppendString(c.b, string(*v))
		return
	}
	*v = T(c.r.String())
}

// Bytes are bytes behind their length. Those that are read belong to what is read.
func (c *Coder) Bytes(v *[]byte) {
	if !c.reads {
		c.b = AppendBytes(c.b, *v)
		return
	}
	*v = c.r.Bytes()
}

// List is a list of at most limit values behind their number, each of which takes a byte at least. None are nil. What is read takes the
// place of what s has.
func List[T any](c *Coder, s *[]T, limit int, each func(*T)) {
	n := len(*s)
	Below(c, &n, uint64(limit)+1)
	if !c.reads {
		for i := range *s {
			each(&(*s)[i])
		}
		return
	}
	if n > c.r.Rest() {
		c.r.Fail("%d values are announced, %d bytes are left", n, c.r.Rest())
		n = 0
	}
	*s = (*s)[:0]
	for range n {
		var v T
		if each(&v); c.r.err != nil {
			return
		}
		*s = append(*s, v)
	}
}

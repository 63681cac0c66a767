package taped

import (
	"cmp"
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// Codec writes values one after the other, or reads them back: one function says for both what a snapshot holds, so the two
// cannot differ. After a fault values read are zero; End tells it.
type Codec struct {
	b       []byte
	r       tape.Reader
	reading bool
}

// Write returns a codec that writes behind b.
func Write(b []byte) *Codec { return &Codec{b: b} }

// Parse returns a codec that reads b.
func Parse(b []byte) *Codec { return &Codec{r: tape.NewReader(b), reading: true} }

// Reading reports whether values are read.
func (c *Codec) Reading() bool { return c.reading }

// Bytes gives what was written.
func (c *Codec) Bytes() []byte { return c.b }

// Fail reports a value that was read and cannot be.
func (c *Codec) Fail(format string, args ...any) { c.r.Fail(format, args...) }

// Err is the first fault of reading.
func (c *Codec) Err() error { return c.r.Err() }

// End gives the first fault of reading, and one if something is left over.
func (c *Codec) End() error { return c.r.End() }

// Uint is a number that is not negative.
func Uint[T ~uint8 | ~uint16 | ~uint32 | ~uint64](c *Codec, v *T) {
	if !c.reading {
		c.b = binary.AppendUvarint(c.b, uint64(*v))
		return
	}
	n := c.r.Uint()
	if *v = T(n); uint64(*v) != n {
		c.Fail("%d, which is too large for its field", n)
	}
}

// Int is a number.
func Int[T ~int | ~int64](c *Codec, v *T) {
	if !c.reading {
		c.b = binary.AppendVarint(c.b, int64(*v))
		return
	}
	*v = T(c.r.Int())
}

// Within is a number from 0 to most.
func Within[T ~int | ~uint8 | ~uint32 | ~uint64](c *Codec, v *T, most T) {
	if !c.reading {
		c.b = binary.AppendUvarint(c.b, uint64(*v))
		return
	}
	n := c.r.Uint()
	if n > uint64(most) {
		c.Fail("%d, want at most %d", n, most)
		n = 0
	}
	*v = T(n)
}

// Text is a text.
func Text[T ~string](c *Codec, v *T) {
	if !c.reading {
		c.b = tape.AppendString(c.b, string(*v))
		return
	}
	*v = T(c.r.String())
}

// Bool is a truth.
func (c *Codec) Bool(v *bool) {
	if !c.reading {
		c.b = tape.AppendBool(c.b, *v)
		return
	}
	*v = c.r.Bool()
}

// Float is a number with a fraction, to the bit.
func (c *Codec) Float(v *float64) {
	n := math.Float64bits(*v)
	Uint(c, &n)
	*v = math.Float64frombits(n)
}

// Message is a message of package wire, or anything that can be one. V points to it.
func (c *Codec) Message(v any) {
	if !c.reading {
		c.b = tape.AppendBytes(c.b, wire.Marshal(v))
		return
	}
	if b := c.r.Bytes(); c.r.Err() == nil {
		if err := wire.Unmarshal(b, v); err != nil {
			c.Fail("%v", err)
		}
	}
}

// Map is at most so many values by key, ascending. None is read back as an empty map.
func Map[K cmp.Ordered, V any](c *Codec, m *map[K]V, most int, key func(*Codec, *K), value func(*Codec, *V)) {
	keys := slices.Sorted(maps.Keys(*m))
	if c.reading {
		*m, keys = map[K]V{}, nil
	}
	List(c, &keys, most, func(c *Codec, k *K) {
		key(c, k)
		v := (*m)[*k]
		if value(c, &v); !c.reading || c.r.Err() != nil {
			return
		}
		if _, twice := (*m)[*k]; twice {
			c.Fail("%v twice", *k)
			return
		}
		(*m)[*k] = v
	})
}

// List is at most so many values. None is read back as nil.
func List[T any](c *Codec, s *[]T, most int, each func(*Codec, *T)) {
	n := len(*s)
	Within(c, &n, most)
	if c.reading {
		*s = nil
	}
	for i := 0; i < n && c.r.Err() == nil; i++ {
		if c.reading {
			var v T
			*s = append(*s, v)
		}
		each(c, &(*s)[i])
	}
}

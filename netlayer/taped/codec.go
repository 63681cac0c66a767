package taped

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// Codec is a tape.Coder for states that have floats, messages and maps too. After a fault values read are zero; End tells it.
type Codec struct {
	tape.Coder
}

// Write returns a codec that writes behind b.
func Write(b []byte) *Codec {
	c := &Codec{}
	c.Coder.Write(b)
	return c
}

// Parse returns a codec that reads b.
func Parse(b []byte) *Codec {
	c := &Codec{}
	c.Coder.Read(b)
	return c
}

// Uint is tape.Num.
func Uint[T ~uint8 | ~uint16 | ~uint32 | ~uint64](c *Codec, v *T) { tape.Num(&c.Coder, v) }

// Int is tape.Int.
func Int[T ~int | ~int64](c *Codec, v *T) { tape.Int(&c.Coder, v) }

// Within is a number from 0 to most.
func Within[T ~int | ~uint8 | ~uint32 | ~uint64](c *Codec, v *T, most T) {
	tape.Below(&c.Coder, v, uint64(most)+1)
}

// Text is tape.Text.
func Text[T ~string](c *Codec, v *T) { tape.Text(&c.Coder, v) }

// Float is a number with a fraction, to the bit.
func (c *Codec) Float(v *float64) {
	n := math.Float64bits(*v)
	tape.Num(&c.Coder, &n)
	*v = math.Float64frombits(n)
}

// Message is a message of package wire, or anything that can be one. V points to it.
func (c *Codec) Message(v any) {
	var b []byte
	if !c.Reads() {
		b = wire.Marshal(v)
	}
	if c.Bytes(&b); !c.Reads() || c.Err() != nil {
		return
	}
	if err := wire.Unmarshal(b, v); err != nil {
		c.Fail("%v", err)
	}
}

// Map is at most so many values by key, ascending. None is read back as an empty map.
func Map[K cmp.Ordered, V any](c *Codec, m *map[K]V, most int, key func(*Codec, *K), value func(*Codec, *V)) {
	keys := slices.Sorted(maps.Keys(*m))
	if c.Reads() {
		*m, keys = map[K]V{}, nil
	}
	List(c, &keys, most, func(c *Codec, k *K) {
		key(c, k)
		v := (*m)[*k]
		if value(c, &v); !c.Reads() || c.Err() != nil {
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
	if c.Reads() {
		*s = nil
	}
	tape.List(&c.Coder, s, most, func(v *T) { each(c, v) })
}

package tape

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type coded struct {
	small uint8
	num   uint64
	below int
	sign  time.Duration
	truth bool
	word  uint32
	text  string
	raw   []byte
	list  []uint16
}

func (x *coded) code(c *Coder) {
	Num(c, &x.small)
	Num(c, &x.num)
	Below(c, &x.below, 100)
	Int(c, &x.sign)
	c.Bool(&x.truth)
	c.Word(&x.word)
	Text(c, &x.text)
	c.Bytes(&x.raw)
	List(c, &x.list, 8, func(v *uint16) { Num(c, v) })
}

// TestCoder reads back what was written, and finds every cut and what is over a bound.
func TestCoder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := coded{rapid.Uint8().Draw(t, "small"), rapid.Uint64().Draw(t, "num"), rapid.IntRange(0, 99).Draw(t, "below"), time.Duration(rapid.Int64().Draw(t, "sign")),
			rapid.Bool().Draw(t, "truth"), rapid.Uint32().Draw(t, "word"), rapid.String().Draw(t, "text"), rapid.SliceOf(rapid.Byte()).Draw(t, "raw"),
			rapid.SliceOfN(rapid.Uint16(), 0, 8).Draw(t, "list")}
		var c Coder
		c.Write([]byte{7})
		x.code(&c)
		b := c.Written()
		if b[0] != 7 || c.Reads() {
			t.Fatalf("%x", b)
		}
		b = b[1:]
		var y coded
		read := func(b []byte) error {
			y = coded{list: []uint16{1, 2, 3}}
			c.Read(b)
			y.code(&c)
			return c.End()
		}
		if err := read(b); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(x.raw, y.raw) || !slices.Equal(x.list, y.list) || x.small != y.small || x.num != y.num || x.below != y.below || x.sign != y.sign ||
			x.truth != y.truth || x.word != y.word || x.text != y.text {
			t.Errorf("%+v, want %+v", y, x)
		}
		for k := range b {
			if read(b[:k]) == nil {
				t.Errorf("%d of %d bytes are read", k, len(b))
			}
		}
		if read(append(bytes.Clone(b), 0)) == nil {
			t.Error("one byte more is read")
		}
	})
	for name, x := range map[string]coded{"below": {below: 100}, "list": {list: make([]uint16, 9)}} {
		var c Coder
		c.Write(nil)
		x.code(&c)
		c.Read(c.Written())
		if (&coded{}).code(&c); c.Err() == nil {
			t.Errorf("%s is over its bound and is read", name)
		}
	}
	var c Coder
	n, small := uint64(256), uint8(0)
	c.Write(nil)
	Num(&c, &n)
	c.Read(c.Written())
	if Num(&c, &small); c.Err() == nil {
		t.Error("256 is read into a byte")
	}
}

package tapes

import (
	"errors"
	"fmt"
	"testing"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// TestError: what is read back has the kind, the text and the checksum of what was written, also inside another error.
func TestError(t *testing.T) {
	busy := wire.Errorf(wire.KindBusy, "retry")
	sums := map[uint32]bool{}
	for _, err := range []error{nil, busy, fmt.Errorf("volume 3: %w", busy), errors.New("plain"), wire.Errorf(wire.KindStale, "retry"), wire.Errorf(wire.KindBusy, "")} {
		var c tape.Coder
		c.Write(nil)
		Error(&c, &err)
		b := c.Written()
		c.Read(b)
		got := errors.New("before")
		Error(&c, &got)
		if e := c.End(); e != nil || fmt.Sprint(got) != fmt.Sprint(err) || (got == nil) != (err == nil) || wire.KindOf(got) != wire.KindOf(err) {
			t.Errorf("%v reads back as %v, %v", err, got, e)
		}
		for _, f := range []string{"volume 1: %v", "it: %w"} {
			if err != nil && wire.KindOf(fmt.Errorf(f, err)) != wire.KindOf(fmt.Errorf(f, got)) {
				t.Errorf("%v within %q has another kind", err, f)
			}
		}
		if SumError(0, got) != SumError(0, err) || sums[SumError(0, err).Word()] {
			t.Errorf("%v: its checksum is another's, or not its own", err)
		}
		sums[SumError(0, err).Word()] = true
		for n := range b {
			c.Read(b[:n])
			if Error(&c, &got); c.End() == nil {
				t.Errorf("%v: %d of %d bytes are read", err, n, len(b))
			}
		}
	}
}

// TestMessage reads back a message and an optional one, and refuses one of other bytes.
func TestMessage(t *testing.T) {
	m := wire.VolumeRef{Volume: 3, Epoch: 4}
	code := func(c *tape.Coder, m *wire.VolumeRef, p **wire.VolumeRef) {
		Message(c, m)
		Optional(c, p, func(m *wire.VolumeRef) { Message(c, m) })
	}
	for _, p := range []*wire.VolumeRef{nil, {Volume: 5, Epoch: 6}} {
		var c tape.Coder
		c.Write(nil)
		code(&c, &m, &p)
		b := c.Written()
		got, q := wire.VolumeRef{}, &wire.VolumeRef{Volume: 9}
		c.Read(b)
		if code(&c, &got, &q); c.End() != nil || got != m || (q == nil) != (p == nil) || p != nil && *q != *p {
			t.Errorf("%+v %+v, want %+v %+v: %v", got, q, m, p, c.End())
		}
		b[1] ^= 1 // the version
		c.Read(b)
		if code(&c, &got, &q); c.Err() == nil {
			t.Error("a message of another version is read")
		}
	}
	if SumMessage(0, &m) == SumMessage(0, &wire.VolumeRef{Volume: 3, Epoch: 5}) {
		t.Error("two messages have one checksum")
	}
}

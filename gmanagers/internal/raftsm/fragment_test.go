package raftsm

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// TestFragments: what is split comes together again, every body fits, and a lost fragment loses its message alone.
func TestFragments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(fragmentHeader+1, 64).Draw(t, "limit")
		var a assembler
		for n := range uint64(rapid.IntRange(1, 5).Draw(t, "messages")) {
			msg := rapid.SliceOfN(rapid.Byte(), 0, 10*(limit-fragmentHeader)).Draw(t, "message")
			var bodies [][]byte
			err := fragments(n, msg, limit, func(b []byte) error {
				if len(b) > limit {
					t.Fatalf("a body of %d bytes, at most %d", len(b), limit)
				}
				bodies = append(bodies, bytes.Clone(b))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			lost := rapid.IntRange(-len(bodies), len(bodies)-1).Draw(t, "lost")
			var got []byte
			done := false
			for i, b := range bodies {
				if i == lost {
					continue
				}
				part, ok, err := a.add(b)
				if err != nil && lost < 0 {
					t.Fatal(err)
				}
				if ok {
					got, done = part, true
				}
			}
			if done != (lost < 0) {
				t.Fatalf("complete: %v, fragment %d of %d was lost", done, lost, len(bodies))
			}
			if done && !bytes.Equal(got, msg) {
				t.Fatalf("got %x, sent %x", got, msg)
			}
		}
	})
}

func TestFragmentsRefuses(t *testing.T) {
	if err := fragments(1, make([]byte, maxFragments*10+1), fragmentHeader+10, func([]byte) error { return nil }); err == nil {
		t.Error("a message of too many fragments was sent")
	}
	broken := errors.New("broken")
	if err := fragments(1, []byte("x"), 100, func([]byte) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// FuzzAssembler: nothing that arrives makes it panic, hold more than a message, or return more than came.
func FuzzAssembler(f *testing.F) {
	fragments(7, []byte("hello, replica"), fragmentHeader+5, func(b []byte) error {
		f.Add(bytes.Clone(b), bytes.Clone(b))
		return nil
	})
	fragments(8, []byte("whole"), 100, func(b []byte) error {
		f.Add(bytes.Clone(b), []byte{})
		return nil
	})
	f.Fuzz(func(t *testing.T, x, y []byte) {
		var a assembler
		for _, b := range [][]byte{x, y, x, y} {
			msg, ok, err := a.add(b)
			if ok && err != nil || ok && len(msg) > 2*(len(x)+len(y)) || len(a.data) > 2*(len(x)+len(y)) {
				t.Fatalf("message of %d bytes, %v, holds %d", len(msg), err, len(a.data))
			}
		}
	})
}

package excache

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"splitkernel/netlayer/tape"
)

// restored gives a cache that goes on from the state of c.
func restored(t testing.TB, c *Cache) *Cache {
	t.Helper()
	state := c.AppendState(nil)
	again, err := New(c.Options())
	if err != nil {
		t.Fatal(err)
	}
	r := tape.NewReader(state)
	if err := again.ReadState(&r); err != nil {
		t.Fatal(err)
	}
	if err := r.End(); err != nil {
		t.Fatal(err)
	}
	if got := again.AppendState(nil); !bytes.Equal(got, state) {
		t.Fatalf("restored has the state\n%x, want\n%x", got, state)
	}
	return again
}

// TestRestoredGoesOn runs each random world twice. In one the cache is replaced now and then by one that was restored from its
// state: nothing shows of it, and in the end both are equal.
func TestRestoredGoesOn(t *testing.T) {
	const worlds, events = 8, 300
	for _, name := range policyNames() {
		for _, mechanism := range Mechanisms() {
			t.Run(name+"/"+mechanism, func(t *testing.T) {
				for seed := range few(name, worlds) {
					when := rand.New(rand.NewPCG(seed, 1))
					run := func(replace bool) *world {
						w := drawWorld(t, name, mechanism, rand.New(rand.NewPCG(seed, 2)).IntN)
						for range events {
							if replace && when.IntN(10) == 0 {
								w.c = restored(t, w.c)
							}
							w.step()
						}
						return w
					}
					a, b := run(false), run(true)
					if x, y := a.c.AppendState(nil), b.c.AppendState(nil); !bytes.Equal(x, y) {
						t.Fatalf("world %d ends with\n%x, with restored caches\n%x", seed, x, y)
					}
					b.heal()
				}
			})
		}
	}
}

// TestBadStates cuts states everywhere and changes each byte: an error, or a cache that is sound; and never a panic.
func TestBadStates(t *testing.T) {
	for _, name := range policyNames() {
		w := drawWorld(t, name, MechanismVictim, rand.New(rand.NewPCG(5, 6)).IntN)
		for range 200 {
			w.step()
		}
		state := w.c.AppendState(nil)
		try := func(what string, b []byte) error {
			c, err := New(w.c.Options())
			if err != nil {
				t.Fatal(err)
			}
			r := tape.NewReader(b)
			if err = c.ReadState(&r); err == nil {
				err = r.End()
			}
			if err == nil {
				if bad := c.CheckInvariants(); bad != nil {
					t.Errorf("%s, %s: %v", name, what, bad)
				}
			}
			return err
		}
		for n := range state {
			if try("", state[:n]) == nil {
				t.Errorf("%s: %d of %d bytes are restored", name, n, len(state))
			}
			for _, x := range []byte{1, 0x10, 0x80, 0xff} {
				b := bytes.Clone(state)
				b[n] ^= x
				_ = try(fmt.Sprintf("byte %d ^ %#x", n, x), b)
			}
		}
		if try("", append(bytes.Clone(state), 0)) == nil {
			t.Errorf("%s: a longer state is restored", name)
		}
	}
}

// BenchmarkState encodes the state of a cache of 256 MiB.
func BenchmarkState(b *testing.B) {
	for _, name := range policyNames() {
		b.Run(name, func(b *testing.B) {
			o := DefaultOptions()
			o.Lines, o.Policy = 1<<16, name
			c, err := New(o)
			if err != nil {
				b.Fatal(err)
			}
			for p := range uint64(3 << 16) {
				m := c.Miss(p*31, false)
				c.CountFill(m.Line, false)
				c.Filled(m.Line)
				c.Complete(m.Line, false)
			}
			var state []byte
			for b.Loop() {
				state = c.AppendState(state[:0])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(o.Lines), "ns/line")
			b.ReportMetric(float64(len(state))/float64(o.Lines), "B/line")
		})
	}
}

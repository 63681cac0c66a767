package link

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/sim/units"
)

// TestIllLinks: what a fault says happens to the messages of its direction, and to no other; when it ends, all is as before.
func TestIllLinks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		share := func(label string) units.Share {
			return units.Share(rapid.Int64Range(0, int64(units.Whole)).Draw(t, label))
		}
		pico := func(label string) units.Picos {
			return units.Picos(rapid.Int64Range(0, int64(10*units.Millisecond)).Draw(t, label))
		}
		ill := Ill{Delay: pico("delay"), Jitter: pico("jitter"), Loss: share("loss"), Duplicate: share("duplicate"), Reorder: share("reorder"), ReorderDelay: pico("late")}
		sick, err := New(DefaultOptions(), 3, nil)
		if err != nil {
			t.Fatal(err)
		}
		well, err := New(DefaultOptions(), 3, nil)
		if err != nil {
			t.Fatal(err)
		}
		seed := rapid.Uint64().Draw(t, "seed")
		sick.MakeIll(7, 0, 1, ill, rand.New(rand.NewPCG(seed, 1)))
		var lost, twice uint64
		last := time.Duration(0)
		for i := range 40 {
			now := time.Duration(i) * time.Microsecond
			for _, p := range []pair{{0, 1}, {1, 0}, {0, 2}} {
				a, b := sick.Send(now, p.from, p.to, 4096), well.Send(now, p.from, p.to, 4096)
				first := b.Arrivals()[0]
				if p != (pair{0, 1}) {
					if len(a.Arrivals()) != 1 || a.Arrivals()[0] != first {
						t.Fatalf("%v: arrives %v, without the fault %v", p, a.Arrivals(), first)
					}
					continue
				}
				switch got := a.Arrivals(); len(got) {
				case 0:
					lost++
				case 2:
					if twice++; got[1] < got[0] {
						t.Fatalf("the second copy is first: %v", got)
					}
					fallthrough
				default:
					if got[0] < first+ill.Delay.Duration() {
						t.Fatalf("arrives at %v, want %v or later", got[0], first+ill.Delay.Duration())
					}
					if ill.Reorder == 0 && (ill.Delay > 0 || ill.Jitter > 0) {
						if got[0] < last {
							t.Fatalf("overtakes: %v after %v", got[0], last)
						}
						last = got[0]
					}
				}
			}
		}
		if s := sick.Stats(); s.Lost != lost || s.Duplicated != twice {
			t.Fatalf("%d lost and %d doubled, counted are %+v", lost, twice, s)
		}
		if ill.Loss == units.Whole && lost != 40 || ill.Loss == 0 && lost != 0 {
			t.Fatalf("%d of 40 lost with %v", lost, ill.Loss)
		}
		sick.MakeWell(7)
		a, b := sick.Send(time.Second, 0, 1, 4096), well.Send(time.Second, 0, 1, 4096)
		if len(a.Arrivals()) != 1 || a.Arrivals()[0] != b.Arrivals()[0] {
			t.Fatalf("after the fault: %v, want %v", a.Arrivals(), b.Arrivals())
		}
		sick.Hold(1, 2*time.Second)
		for _, p := range []pair{{0, 1}, {1, 2}} {
			if held := sick.Send(time.Second, p.from, p.to, 1); held.Arrivals()[0] != 2*time.Second {
				t.Fatalf("%v is held until %v, want 2 s", p, held.Arrivals()[0])
			}
		}
		if free := sick.Send(time.Second, 0, 2, 1); free.Arrivals()[0] >= 2*time.Second {
			t.Fatal("others are held, too")
		}
	})
}

package units

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestCarryLosesNothing: what was taken is the sum of the costs, less than a nanosecond short.
func TestCarryLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Carry
		var sum Picos
		var taken time.Duration
		for _, p := range rapid.SliceOf(rapid.Int64Range(0, 5e6)).Draw(t, "costs") {
			sum += Picos(p)
			taken += c.Take(Picos(p))
			if short := sum - Of(taken); short < 0 || short >= Nanosecond {
				t.Fatalf("costs of %d ps gave %d ns", sum, taken)
			}
		}
	})
	var c Carry
	var now time.Duration
	for range 5_000_000 {
		now += c.Take(400)
	}
	if now != 2*time.Millisecond {
		t.Errorf("5 M hits of 0.4 ns take %v, want 2ms", now)
	}
}

func TestCostsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Uint64().Draw(t, "size")
		rate := rapid.Uint64Range(1, math.MaxUint64).Draw(t, "rate")
		nearest := func(num, a, b *big.Int) Picos {
			q := new(big.Int).Mul(num, a)
			q.Mul(q, big.NewInt(2)).Add(q, b).Div(q, new(big.Int).Mul(b, big.NewInt(2)))
			if !q.IsInt64() {
				return math.MaxInt64
			}
			return Picos(q.Int64())
		}
		u := func(n uint64) *big.Int { return new(big.Int).SetUint64(n) }
		if got, want := Rate(rate).Cost(size), nearest(u(size), big.NewInt(int64(Second)), u(rate)); got != want {
			t.Fatalf("%d bytes at %d B/s: %d ps, want %d", size, rate, got, want)
		}
		per := rapid.Int64Range(0, math.MaxInt64).Draw(t, "per")
		if got, want := PerKiB(per).Cost(size), nearest(u(size), big.NewInt(per), big.NewInt(1024)); got != want {
			t.Fatalf("%d bytes at %d ps/KiB: %d ps, want %d", size, per, got, want)
		}
		p := rapid.Int64Range(0, math.MaxInt64).Draw(t, "p")
		if got, want := Ratio(per).Of(Picos(p)), nearest(big.NewInt(per), big.NewInt(p), big.NewInt(int64(One))); got != want {
			t.Fatalf("%d millionths of %d: %d, want %d", per, p, got, want)
		}
	})
	if got := Rate(5_000_000_000).Cost(4096); got != 819_200 {
		t.Errorf("4 KiB at 40 Gbit/s: %d ps, want 819200", got)
	}
	if Rate(0).Cost(4096) != 0 || Frequency(2_400_000_000).Cycles(24) != 10*Nanosecond {
		t.Error("a rate without bound costs something, or 24 cycles of 2.4 GHz are not 10 ns")
	}
}

func TestRoundingIsToTheNearest(t *testing.T) {
	for p, want := range map[Picos]time.Duration{0: 0, 499: 0, 500: 1, 1499: 1, -499: 0, -500: -1, 1_200_000: 1200} {
		if got := p.Duration(); got != want {
			t.Errorf("%d ps are %v, want %v", p, got, want)
		}
	}
	if Of(200*24*time.Hour) != math.MaxInt64 {
		t.Error("200 days fit into picoseconds")
	}
}

// TestWhatIsWrittenIsRead holds for every type and value.
func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, math.MaxInt64).Draw(t, "n") >> rapid.IntRange(0, 62).Draw(t, "shift")
		check := func(q Quantity, into Parser, back func() int64) {
			if err := into.Parse(q.String()); err != nil || back() != n {
				t.Fatalf("%T of %d is written %q and read %d (%v)", q, n, q, back(), err)
			}
		}
		var p Picos
		check(Picos(n), &p, func() int64 { return int64(p) })
		var r Rate
		check(Rate(n), &r, func() int64 { return int64(r) })
		var k PerKiB
		check(PerKiB(n), &k, func() int64 { return int64(k) })
		var s Share
		check(Share(n), &s, func() int64 { return int64(s) })
		var x Ratio
		check(Ratio(n), &x, func() int64 { return int64(x) })
		var f Frequency
		check(Frequency(n), &f, func() int64 { return int64(f) })
		var b Size
		check(Size(n), &b, func() int64 { return int64(b) })
		var c Count
		check(Count(n), &c, func() int64 { return int64(c) })
	})
}

func TestParse(t *testing.T) {
	good := []struct {
		into Parser
		text string
		want string
	}{
		{new(Picos), "1.2 us", "1.2 us"},
		{new(Picos), "1200ns", "1.2 us"},
		{new(Picos), "1.2 µs", "1.2 us"},
		{new(Picos), "0.4 ns", "400 ps"},
		{new(Picos), "0 ns", "0 ps"},
		{new(Rate), "40 Gbit/s", "5 GB/s"},
		{new(Rate), "25 Gbit/s", "3.125 GB/s"},
		{new(Share), "0.001 %", "10 ppm"},
		{new(Ratio), "1.25", "1.25"},
		{new(Size), "2048 B", "2 KiB"},
		{new(Count), "16", "16"},
		{new(Frequency), "2.4 GHz", "2.4 GHz"},
		{new(PerKiB), "0.12 us/KiB", "120 ns/KiB"},
	}
	for _, c := range good {
		if err := c.into.Parse(c.text); err != nil || c.into.String() != c.want {
			t.Errorf("%q is read as %q (%v), want %q", c.text, c.into, err, c.want)
		}
	}
	bad := []struct {
		into       Parser
		text, want string
	}{
		{new(Picos), "5", "has no unit, want a number and one of s, ms, us, ns, ps"},
		{new(Picos), "", "has no unit"},
		{new(Picos), "5 parsec", "want a number and one of"},
		{new(Picos), "-1 ns", "is negative"},
		{new(Picos), "0.0001 ns", "is too fine, want a multiple of 1 ps"},
		{new(Picos), "1e9 s", "want a number"},
		{new(Picos), "99999999999 s", "is too large"},
		{new(Picos), "1.2.3 ns", "want a number"},
		{new(Picos), "+1 ns", "want a number"},
		{new(Picos), strings.Repeat("9", 100) + " ns", "characters long"},
		{new(Rate), "40 Gb/s", "want a number and one of GB/s, Gbit/s"},
		{new(Count), "1.5", "is too fine, want a multiple of 1"},
		{new(Count), "5 ns", "want a number without unit"},
		{new(Ratio), "", "want a number without unit"},
	}
	for _, c := range bad {
		if err := c.into.Parse(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want an error with %q", c.text, err, c.want)
		}
	}
}

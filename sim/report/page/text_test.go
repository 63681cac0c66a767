package page

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/sim/report"
)

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		micros(0): "0 s", micros(0.4): "400 ns", micros(14): "14 µs", micros(999.4): "999 µs", micros(999.7): "1 ms", micros(12_345): "12.3 ms", micros(3_210_000): "3.21 s", micros(7.2e9): "7 200 s",
		count(0): "0", count(1234567): "1 234 567", size(1536): "1.5 KiB", size(3 << 20): "3 MiB", percent(1, 3): "33.33 %", percent(999_999, 1_000_000): "99.99 %", percent(1, 1_000_000): "0.01 %", percent(3, 3): "100 %",
		wholePercent(929, 1000): "92 %", wholePercent(9999, 10_000): "99.99 %", wholePercent(99_999, 100_000): "99.99 %", wholePercent(5, 5): "100 %", digits(1234.5): "1 235", digits(0.01234): "0.0123",
		list([]string{"a", "b", "c"}, 5): "a, b and c", list([]string{"a", "b", "c"}, 1): "a and 2 more", CommandLine([]string{"a b", "it's", "", "x=1"}): `'a b' 'it'\''s' '' x=1`,
	} {
		if strings.ReplaceAll(got, space, " ") != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestUnder: so many are under the time that is said, and under no smaller one of the distribution are there enough.
func TestUnder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var bs []report.Bucket
		for i := range rapid.IntRange(1, 20).Draw(t, "n") {
			bs = append(bs, report.Bucket{UnderUS: float64(i + 1), Count: rapid.Uint64Range(1, 100).Draw(t, "count")})
		}
		n, us := under(bs, quantileFrom)
		have, before := uint64(0), uint64(0)
		for _, b := range bs {
			if b.UnderUS <= us {
				have += b.Count
			}
			if b.UnderUS < us {
				before += b.Count
			}
		}
		total := float64(totalOf(bs))
		if have != n || float64(n) < quantileFrom*total || float64(before) >= quantileFrom*total {
			t.Fatalf("%d under %v of %v", n, us, bs)
		}
	})
}

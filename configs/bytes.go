package configs

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteUnits are the units of byte sizes, largest first. Decimal units are left out on purpose: pages and regions are
// powers of two, and a "64MB" that is not 64 MiB has cost many an evening.
var byteUnits = []struct {
	name  string
	shift uint
}{{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}}

// ParseBytes reads a byte size: a whole number and one of B, KiB, MiB, GiB, TiB, without a blank between.
func ParseBytes(s string) (uint64, error) {
	for _, u := range byteUnits {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			break
		}
		if n > math.MaxInt64>>u.shift {
			return 0, fmt.Errorf("%q is more than %s", s, FormatBytes(math.MaxInt64>>40<<40))
		}
		return n << u.shift, nil
	}
	return 0, fmt.Errorf("%q, want a whole number and a unit: B, KiB, MiB, GiB or TiB, as in 64MiB", s)
}

// FormatBytes writes n in the largest unit that divides it. ParseBytes reads it back.
func FormatBytes(n uint64) string {
	for _, u := range byteUnits {
		if n != 0 && n&(1<<u.shift-1) == 0 {
			return strconv.FormatUint(n>>u.shift, 10) + u.name
		}
	}
	return "0B"
}

package tasks

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// One is a whole core, GPU, or machine of a trace that counts in fractions.
const One = 1_000_000_000

// MaxAmount bounds every amount of one task or machine, so that sums over a million of them do not overflow.
const MaxAmount = 1 << 53

// Size is what a task asks for or a machine has.
type Size struct {
	Cores  int64 // billionths of a core, or of a machine
	Memory int64 // bytes, or billionths of a machine
	GPUs   int64 // billionths of a GPU
}

// Fits reports whether a task of this size goes into what is free.
func (s Size) Fits(free Size) bool {
	return s.Cores <= free.Cores && s.Memory <= free.Memory && s.GPUs <= free.GPUs
}

// Plus adds.
func (s Size) Plus(t Size) Size { return Size{s.Cores + t.Cores, s.Memory + t.Memory, s.GPUs + t.GPUs} }

// Minus takes away.
func (s Size) Minus(t Size) Size {
	return Size{s.Cores - t.Cores, s.Memory - t.Memory, s.GPUs - t.GPUs}
}

// Max is the larger of each.
func (s Size) Max(t Size) Size {
	return Size{max(s.Cores, t.Cores), max(s.Memory, t.Memory), max(s.GPUs, t.GPUs)}
}

// Check reports an amount that is negative or beyond MaxAmount.
func (s Size) Check() error {
	for _, a := range []struct {
		what string
		n    int64
	}{{"processors", s.Cores}, {"memory", s.Memory}, {"GPUs", s.GPUs}} {
		if a.n < 0 || a.n > MaxAmount {
			return fmt.Errorf("%s: %d, expected 0 to %d", a.what, a.n, int64(MaxAmount))
		}
	}
	return nil
}

// Scaled is n billionths of whole, rounded down so that parts never come to more than their sum. Both are at least 0; what is beyond MaxAmount
// is refused by Check.
func Scaled(n, whole int64) int64 {
	hi, lo := bits.Mul64(uint64(n), uint64(whole))
	if hi >= One {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, One)
	return int64(min(q, math.MaxInt64))
}

// Billionths reads a decimal number of at least 0 exactly, as far as nine places; more places are cut off.
func Billionths(text string) (int64, error) {
	whole, part, _ := strings.Cut(text, ".")
	if len(whole) <= 7 && digits(whole) && digits(part) && whole+part != "" {
		n := int64(0)
		for _, c := range []byte(whole) {
			n = n*10 + int64(c-'0')
		}
		for i := range 9 {
			n *= 10
			if i < len(part) {
				n += int64(part[i] - '0')
			}
		}
		return n, nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !(x >= 0 && x <= MaxAmount/One) {
		return 0, fmt.Errorf("%q, expected a number of 0 to %d", text, MaxAmount/One)
	}
	// A number in exponents is a binary fraction written out: the nearest billionth below, but not one below a whole one for rounding's sake.
	return int64(x*One + 1e-6), nil
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

package units

import (
	"math"
	"math/bits"
	"time"
)

// Picos is a cost in picoseconds; at most 106 days.
type Picos int64

// Units of Picos.
const (
	Picosecond  Picos = 1
	Nanosecond        = 1000 * Picosecond
	Microsecond       = 1000 * Nanosecond
	Millisecond       = 1000 * Microsecond
	Second            = 1000 * Millisecond
)

// Duration gives p in the nearest whole number of nanoseconds. To add many, use a Carry.
func (p Picos) Duration() time.Duration {
	if p < 0 {
		return -time.Duration((-p + Nanosecond/2) / Nanosecond)
	}
	return time.Duration((p + Nanosecond/2) / Nanosecond)
}

// Floor gives the whole nanoseconds of p, which is at least 0. Unlike Duration it never runs ahead of a Carry.
func (p Picos) Floor() time.Duration { return time.Duration(p / Nanosecond) }

// Of gives d in picoseconds, the largest number if d is more than Picos can hold.
func Of(d time.Duration) Picos {
	if d > math.MaxInt64/time.Duration(Nanosecond) {
		return math.MaxInt64
	}
	return Picos(d) * Nanosecond
}

// Carry turns costs into whole nanoseconds without losing fractions: what Take has given in all is the sum of the costs,
// less than a nanosecond short. The zero value is ready.
type Carry struct{ rest Picos }

// Take gives the whole nanoseconds of the rest and p, at least 0, and keeps what is left.
func (c *Carry) Take(p Picos) time.Duration {
	p += c.rest
	c.rest = p % Nanosecond
	return time.Duration(p / Nanosecond)
}

// Rate is a flow in bytes per second.
type Rate uint64

// Cost is the time that so many bytes take; 0 for a rate of 0, which means without bound.
func (r Rate) Cost(size uint64) Picos {
	if r == 0 {
		return 0
	}
	hi, lo := bits.Mul64(size, uint64(Second))
	if hi >= uint64(r) {
		return math.MaxInt64
	}
	q, rem := bits.Div64(hi, lo, uint64(r))
	if rem >= uint64(r)-rem { // to the nearest picosecond
		q++
	}
	return Picos(min(q, math.MaxInt64))
}

// PerKiB is a cost in picoseconds for each 1024 bytes.
type PerKiB int64

// Cost is what so many bytes cost.
func (p PerKiB) Cost(size uint64) Picos {
	hi, lo := bits.Mul64(size, uint64(p))
	lo, carry := bits.Add64(lo, 512, 0)
	hi += carry
	if hi >= 1<<9 {
		return math.MaxInt64
	}
	return Picos(hi<<54 | lo>>10)
}

// Share is a probability or a fraction in parts per thousand million: 1 000 000 000 is certain.
type Share int64

// Whole is the Share of 100 %.
const Whole Share = 1_000_000_000

// Ratio is a number without unit, in millionths: 1 500 000 is 1.5.
type Ratio int64

// One is the Ratio of 1.
const One Ratio = 1_000_000

// Of gives r times p, rounded to the nearest picosecond. Both are at least 0.
func (r Ratio) Of(p Picos) Picos {
	hi, lo := bits.Mul64(uint64(r), uint64(p))
	lo, carry := bits.Add64(lo, uint64(One)/2, 0)
	hi += carry
	if hi >= uint64(One) {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, uint64(One))
	return Picos(min(q, math.MaxInt64))
}

// Frequency is in hertz.
type Frequency uint64

// Cycles is the time of n cycles; 0 for a frequency of 0.
func (f Frequency) Cycles(n uint64) Picos { return Rate(f).Cost(n) }

// Size is a number of bytes.
type Size uint64

// Count is a number of things: workers, channels, processors.
type Count int64

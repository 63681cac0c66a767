package wire

import (
	"math/bits"
	"time"
)

// Numbers in Header.Trace of a request: 0 is none, Timed asks for the times of the reply, and whatever is above is the number of a
// trace, which asks for them too and has the receiver tell a span.
const (
	Timed      uint32 = 1
	FirstTrace uint32 = 2
)

// KnowsTrace is the bit of Header.Epoch in a hello by which its sender says that it knows Header.Trace. Who does not know it sends
// 0 there and ignores it.
const KnowsTrace Epoch = 1 << 0

// ServedTimes packs how long a request waited for its turn at the receiver, and how long it was served, for Header.Trace of the reply: the
// wait in the low half, the rest in the high one. It is never 0.
func ServedTimes(queue, service time.Duration) uint32 {
	return uint32(packTime(service))<<16 | uint32(packTime(queue)) | 1<<15
}

// ParseServedTimes takes them apart; ok is false if there are none.
func ParseServedTimes(t uint32) (queue, service time.Duration, ok bool) {
	return unpackTime(uint16(t &^ (1 << 15))), unpackTime(uint16(t >> 16)), t&(1<<15) != 0
}

// A time of 15 bits has 5 bits of an exponent and 10 of a mantissa, in ns: a thousandth apart, and up to 36 minutes.
const (
	timeBits = 10
	timeMost = 1<<15 - 1
)

func packTime(d time.Duration) uint16 {
	v := uint64(max(d, 0))
	e := max(bits.Len64(v)-timeBits, 0)
	if e > timeMost>>timeBits {
		return timeMost
	}
	return uint16(e<<timeBits | int(v>>e))
}

func unpackTime(t uint16) time.Duration {
	t &= timeMost
	return time.Duration(t&(1<<timeBits-1)) << (t >> timeBits)
}

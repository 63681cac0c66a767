package generate

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Op is what a Request does.
type Op uint8

// Operations on a volume.
const (
	Read Op = iota
	Write
	Flush
)

// Request is one request to the volume.
type Request struct {
	At             time.Duration // since the start
	Op             Op
	Offset, Length uint64 // bytes; a flush has neither
}

// Blocks makes the requests of a Spec of kind Block. Make one with NewBlocks.
type Blocks struct {
	s      Spec
	rng    *rand.Rand
	sizes  []sized
	cum    []uint64 // of 2^53: up to which share of the requests each size is drawn
	grain  uint64   // offsets of random requests are multiples of it
	blocks uint64   // grains of the volume
	at     float64  // ns
	last   [2]uint64
	writes uint64 // since the last flush
	mix    uint64
	place  func() uint64 // grain of the next random request
}

// NewBlocks makes the requests of a spec that Parse has read, of kind Block.
func NewBlocks(s Spec) *Blocks {
	b := &Blocks{s: s, rng: newRand(s.Seed), sizes: splitOf(s), mix: share(s.MixRead)}
	b.cum = cumulated(b.sizes)
	b.grain = smallest(b.sizes)
	b.blocks = s.Size / b.grain
	switch {
	case strings.HasPrefix(s.Spread, spreadZipf):
		theta, _ := strconv.ParseFloat(s.Spread[len(spreadZipf):], 64) // Parse has checked it
		z, step := newZipf(b.blocks, theta), scatter(b.blocks)
		b.place = func() uint64 { return scattered(z.draw(b.rng)-1, step, b.blocks) }
	case strings.HasPrefix(s.Spread, spreadZoned):
		zones, _ := readZones(s.Spread[len(spreadZoned):])
		b.place = b.zoned(zones)
	case len(b.sizes) > 1:
		b.place = func() uint64 { return b.rng.Uint64N(b.blocks) }
	default:
		b.place = b.each()
	}
	return b
}

// cumulated are the upper ends of shares.
func cumulated(list []sized) (cum []uint64) {
	sum := 0.0
	for _, p := range list {
		sum += p.percent
		cum = append(cum, share(min(sum, 100)))
	}
	cum[len(cum)-1] = 1 << 53
	return cum
}

// pick draws one of shares.
func (b *Blocks) pick(cum []uint64) int {
	if len(cum) == 1 {
		return 0
	}
	u, i := b.rng.Uint64()>>11, 0
	for u >= cum[i] {
		i++
	}
	return i
}

// each passes every block once, in an order of its own in each pass.
func (b *Blocks) each() func() uint64 {
	var order permutation
	n := uint64(0)
	return func() uint64 {
		if n%b.blocks == 0 {
			order = newPermutation(b.blocks, b.rng.Uint64())
		}
		n++
		return order.at((n - 1) % b.blocks)
	}
}

// zoned draws a zone, then evenly in it.
func (b *Blocks) zoned(zones []sized) func() uint64 {
	cum := cumulated(zones)
	ends := []uint64{0}
	sum := 0.0
	for _, z := range zones {
		sum += z.area
		ends = append(ends, part(b.blocks, min(sum, 100)))
	}
	ends[len(zones)] = b.blocks
	return func() uint64 {
		z := b.pick(cum)
		from, to := ends[z], ends[z+1]
		if from == to { // a zone smaller than a block has the one that it lies in
			return min(from, b.blocks-1)
		}
		return from + b.rng.Uint64N(to-from)
	}
}

// Next gives the next request. A flush that is due comes before it, so there are more calls than number_ios if there is fsync.
func (b *Blocks) Next() Request {
	if b.s.Fsync > 0 && b.writes >= b.s.Fsync {
		b.writes = 0
		return Request{At: time.Duration(b.at), Op: Flush}
	}
	r := Request{At: time.Duration(b.at), Op: b.op()}
	r.Length = b.sizes[b.pick(b.cum)].bytes
	if strings.HasPrefix(b.s.RW, "rand") {
		r.Offset = min(b.place()*b.grain, b.lastGrain(r.Length))
	} else {
		at := &b.last[r.Op]
		if *at+r.Length > b.s.Size {
			*at = 0
		}
		r.Offset = *at
		*at += r.Length
	}
	if r.Op == Write {
		b.writes++
	}
	gap := 1e9 / b.s.Rate
	if b.s.RateProcess == "poisson" {
		gap *= -math.Log(1 - b.rng.Float64())
	}
	b.at = min(b.at+gap, maxNs)
	return r
}

// maxNs keeps moments within what a duration holds: 292 years, which a very slow rate would pass.
const maxNs = float64(1 << 62)

// lastGrain is the last offset at which a request of that length still fits.
func (b *Blocks) lastGrain(length uint64) uint64 { return (b.s.Size - length) / b.grain * b.grain }

func (b *Blocks) op() Op {
	switch b.s.RW {
	case "read", "randread":
		return Read
	case "write", "randwrite":
		return Write
	}
	if chance(b.rng, b.mix) {
		return Read
	}
	return Write
}

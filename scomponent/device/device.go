package device

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"splitkernel/sim/fifo"
	"splitkernel/sim/units"
)

// Op is what a request does.
type Op uint8

// Operations.
const (
	Read  Op = 1
	Write Op = 2
)

// Device is one block device. Make one with New.
type Device struct {
	o        Options
	rng      *rand.Rand
	depth    *fifo.Server // one worker for each request that may be in the device
	channels *fifo.Server
	transfer *fifo.Server
	next     [2]uint64     // where the last request of a direction ended
	arm      uint64        // where the last request ended
	written  time.Duration // when the latest write is done
	dirty    uint64        // bytes in a volatile cache …
	dirtyAt  time.Duration // … at this moment
	stats    Stats
	times    float64     // an operation takes so many times its time; 0 is 1
	add      units.Picos // and so much more
}

// Slow has operations take so many times their time, and so much more, from now on; 0 or 1, and 0, are as ever.
func (d *Device) Slow(times float64, add units.Picos) { d.times, d.add = times, add }

// slowed is what a cost has become.
func (d *Device) slowed(c units.Picos) units.Picos {
	if d.times > 1 {
		return units.Picos(float64(c) * d.times)
	}
	return c
}

// Stats count since New.
type Stats struct {
	Reads, Writes, Flushes, Sequential uint64
	ReadBytes, WrittenBytes            uint64
}

// New makes a device. Without a generator every rotation takes its mean, half a revolution.
func New(o Options, rng *rand.Rand) (*Device, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Device{
		o: o, rng: rng, depth: fifo.New(int(o.QueueDepth)), transfer: fifo.New(1), channels: fifo.New(int(o.Channels)),
		next: [2]uint64{math.MaxUint64, math.MaxUint64},
	}, nil
}

// Do gives a request of at least one byte to the device and says when it is done. Calls are in the order of now.
func (d *Device) Do(now time.Duration, op Op, offset, size uint64) time.Duration {
	i := op - Read
	sequential := d.next[i] == offset
	class := d.class(op, sequential)
	d.count(op, sequential, size)

	admitted := d.depth.Start(now)
	cost := class.Latency
	if d.arm != offset {
		cost += d.position(offset)
	}
	cost = d.slowed(cost) + d.add
	_, passed := d.transfer.Serve(admitted, d.slowed(class.Rate.Cost(size)))
	done := passed
	for rest := size; ; rest -= uint64(d.o.Stripe) {
		_, end := d.channels.Serve(passed, cost)
		done = max(done, end)
		if rest <= uint64(d.o.Stripe) {
			break
		}
	}
	d.depth.End(admitted, done)

	d.next[i] = offset + size
	d.arm = offset + size
	if op == Write {
		d.written = max(d.written, done)
		if d.o.DrainRate > 0 {
			d.dirty = d.stillDirty(done) + size
			d.dirtyAt = max(d.dirtyAt, done)
		}
	}
	return done
}

// Flush says when everything that was written before lasts.
func (d *Device) Flush(now time.Duration) time.Duration {
	d.stats.Flushes++
	begin := max(now, d.written)
	drained := begin + d.o.DrainRate.Cost(d.stillDirty(begin)).Duration()
	if d.o.DrainRate > 0 {
		d.dirty, d.dirtyAt = 0, drained
	}
	return drained + (d.slowed(d.o.Flush) + d.add).Duration()
}

// stillDirty is what of the volatile cache has not drained by itself at t.
func (d *Device) stillDirty(t time.Duration) uint64 {
	if d.dirty == 0 || t <= d.dirtyAt {
		return d.dirty
	}
	if need := d.o.DrainRate.Cost(d.dirty); units.Of(t-d.dirtyAt) >= need {
		return 0
	}
	// Less than the whole: the product is at most Second · dirty and the quotient fits.
	drained := uint64(float64(d.o.DrainRate) * float64(t-d.dirtyAt) / 1e9)
	return d.dirty - min(drained, d.dirty)
}

func (d *Device) class(op Op, sequential bool) *Class {
	switch {
	case op == Read && sequential:
		return &d.o.SequentialRead
	case op == Read:
		return &d.o.RandomRead
	case op == Write && sequential:
		return &d.o.SequentialWrite
	case op == Write:
		return &d.o.RandomWrite
	}
	panic(fmt.Sprintf("device: operation %d, want Read or Write", op))
}

// position is the time for arm and platter to come to an offset.
func (d *Device) position(offset uint64) units.Picos {
	var p units.Picos
	if d.o.SeekFull > 0 {
		distance := max(offset, d.arm) - min(offset, d.arm)
		share := math.Sqrt(min(1, float64(distance)/float64(d.o.Capacity)))
		p = d.o.SeekTrack + units.Picos(share*float64(d.o.SeekFull-d.o.SeekTrack))
	}
	switch {
	case d.o.Rotation == 0:
	case d.rng == nil:
		p += d.o.Rotation / 2
	default:
		p += units.Picos(d.rng.Int64N(int64(d.o.Rotation)))
	}
	return p
}

func (d *Device) count(op Op, sequential bool, size uint64) {
	if op == Read {
		d.stats.Reads++
		d.stats.ReadBytes += size
	} else {
		d.stats.Writes++
		d.stats.WrittenBytes += size
	}
	if sequential {
		d.stats.Sequential++
	}
}

// Stats since New.
func (d *Device) Stats() Stats { return d.stats }

// CheckInvariants says what is wrong with the device's own state.
func (d *Device) CheckInvariants() error {
	if d.o.DrainRate == 0 && d.dirty > 0 {
		return fmt.Errorf("device: %d bytes in a volatile cache that it has not", d.dirty)
	}
	if err := d.depth.CheckInvariants(); err != nil {
		return err
	}
	return d.channels.CheckInvariants()
}

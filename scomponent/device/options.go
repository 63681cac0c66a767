package device

import (
	"errors"
	"fmt"

	"splitkernel/sim/fifo"
	"splitkernel/sim/units"
)

// Bounds of options.
const (
	MaxLatency = 10 * units.Second
	MaxDepth   = fifo.MaxWorkers
)

// Class is how requests of one kind are served.
type Class struct {
	// Latency that a stripe occupies a channel, besides seek and rotation.
	Latency units.Picos
	// Rate at which the bytes of all requests of the class pass; 0 is without bound.
	Rate units.Rate
}

// Options of a device.
type Options struct {
	// RandomRead, SequentialRead, RandomWrite and SequentialWrite are the four classes.
	RandomRead, SequentialRead, RandomWrite, SequentialWrite Class
	// Channels that work at once, 1 to MaxDepth. A disk has 1.
	Channels units.Count
	// Stripe is how much of a request one channel serves.
	Stripe units.Size
	// QueueDepth is how many requests are in the device at once, 1 to MaxDepth.
	QueueDepth units.Count
	// Flush costs so much beside what DrainRate says.
	Flush units.Picos
	// DrainRate is that of a volatile write cache to what lasts; 0 if what is written lasts at once.
	DrainRate units.Rate
	// SeekTrack is the seek to the next track, and SeekFull that over the whole capacity; both 0 for what has no arm.
	SeekTrack, SeekFull units.Picos
	// Rotation is one revolution, 0 for what does not turn.
	Rotation units.Picos
	// Capacity is what a full seek passes.
	Capacity units.Size
}

// DefaultOptions are an NVMe drive without a volatile cache.
func DefaultOptions() Options {
	return Options{
		RandomRead:      Class{90 * units.Microsecond, 3_300_000_000},
		SequentialRead:  Class{20 * units.Microsecond, 3_300_000_000},
		RandomWrite:     Class{20 * units.Microsecond, 650_000_000},
		SequentialWrite: Class{20 * units.Microsecond, 3_000_000_000},
		Channels:        16, Stripe: 16 << 10, QueueDepth: 64, Capacity: 1 << 40,
	}
}

// Validate returns every fault, by key.
func (o Options) Validate() error {
	var errs []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	latency := func(key string, p units.Picos) {
		add(p < 0 || p > MaxLatency, "%s: %v, want 0 ps to %v", key, p, MaxLatency)
	}
	latency("random_read.latency", o.RandomRead.Latency)
	latency("sequential_read.latency", o.SequentialRead.Latency)
	latency("random_write.latency", o.RandomWrite.Latency)
	latency("sequential_write.latency", o.SequentialWrite.Latency)
	add(o.Channels < 1 || o.Channels > MaxDepth, "channels: %v, want 1 to %d", o.Channels, MaxDepth)
	add(o.Stripe < 512, "stripe: %v, want at least 512 B", o.Stripe)
	add(o.QueueDepth < 1 || o.QueueDepth > MaxDepth, "queue_depth: %v, want 1 to %d", o.QueueDepth, MaxDepth)
	latency("flush", o.Flush)
	latency("seek_track", o.SeekTrack)
	latency("seek_full", o.SeekFull)
	add(o.SeekFull < o.SeekTrack, "seek_full: %v, want at least seek_track, %v", o.SeekFull, o.SeekTrack)
	latency("rotation", o.Rotation)
	add((o.SeekFull > 0 || o.Rotation > 0) && o.Channels > 1, "channels: %v, want 1 for what seeks or turns", o.Channels)
	add(o.Capacity < 512 || o.Capacity > 1<<60, "capacity: %v, want 512 B to %v", o.Capacity, units.Size(1<<60))
	return errors.Join(errs...)
}

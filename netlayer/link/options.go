package link

import (
	"errors"
	"fmt"

	"splitkernel/sim/units"
)

// Bounds of options.
const (
	MaxLatency = units.Second
	MaxPacket  = 1 << 20 // bytes
)

// Options are the parameters of all links of a network.
type Options struct {
	// Latency is from the first bit leaving a NIC to the first bit reaching the other: cables, switch, the NICs' own work. At most
	// MaxLatency.
	Latency units.Picos
	// Bandwidth of a NIC in each direction, above 0.
	Bandwidth units.Rate
	// Packet is the payload of a packet, 1 byte to MaxPacket.
	Packet units.Size
	// PacketOverhead are the headers that each packet adds on the wire.
	PacketOverhead units.Size
	// DMARate is between memory and NIC, at each end; 0 is without bound.
	DMARate units.Rate
	// Jitter is the mean of an exponentially distributed delay that is added to the latency; 0 is none.
	Jitter units.Picos
	// Loss is the share of messages that do not arrive.
	Loss units.Share
	// Duplicate is the share of messages that arrive twice.
	Duplicate units.Share
	// Reorder is the share of messages that are late by up to ReorderDelay and may be overtaken. All others of one sender to one
	// receiver stay in order.
	Reorder units.Share
	// ReorderDelay is the most that a reordered message, or the second of a duplicate, is late.
	ReorderDelay units.Picos
}

// DefaultOptions are 40 Gbit/s and 1 µs, with nothing lost.
func DefaultOptions() Options {
	return Options{Latency: units.Microsecond, Bandwidth: 5_000_000_000, Packet: 2048, PacketOverhead: 30, DMARate: 6_000_000_000}
}

// Validate returns every fault, by key.
func (o Options) Validate() error {
	var errs []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	add(o.Latency < 0 || o.Latency > MaxLatency, "latency: %v, want 0 ps to %v", o.Latency, MaxLatency)
	add(o.Bandwidth == 0, "bandwidth: %v, want more than 0", o.Bandwidth)
	add(o.Packet < 1 || o.Packet > MaxPacket, "packet: %v, want 1 B to %v", o.Packet, units.Size(MaxPacket))
	add(o.PacketOverhead > MaxPacket, "packet_overhead: %v, want at most %v", o.PacketOverhead, units.Size(MaxPacket))
	add(o.Jitter < 0 || o.Jitter > MaxLatency, "jitter: %v, want 0 ps to %v", o.Jitter, MaxLatency)
	for _, s := range []struct {
		key   string
		share units.Share
	}{{"loss", o.Loss}, {"duplicate", o.Duplicate}, {"reorder", o.Reorder}} {
		add(s.share < 0 || s.share > units.Whole, "%s: %v, want 0 %% to 100 %%", s.key, s.share)
	}
	add(o.ReorderDelay < 0 || o.ReorderDelay > MaxLatency, "reorder_delay: %v, want 0 ps to %v", o.ReorderDelay, MaxLatency)
	add(o.Reorder > 0 && o.ReorderDelay == 0, "reorder_delay: 0 ps, want more than 0 since reorder is %v", o.Reorder)
	return errors.Join(errs...)
}

// Chance reports whether the options need a generator.
func (o Options) Chance() bool { return o.Jitter > 0 || o.Loss > 0 || o.Duplicate > 0 || o.Reorder > 0 }

// wire is how long a message is on the wire, headers included. Beyond the first packet the slower of wire and DMA counts.
func (o *Options) wire(size uint64) units.Picos {
	packets := max((size+uint64(o.Packet)-1)/uint64(o.Packet), 1)
	w := o.Bandwidth.Cost(size + packets*uint64(o.PacketOverhead))
	if rest := size - o.first(size); rest > 0 {
		w += max(0, o.DMARate.Cost(rest)-o.Bandwidth.Cost(rest+(packets-1)*uint64(o.PacketOverhead)))
	}
	return w
}

// first is the payload of the first packet, and of the last as the model has it.
func (o *Options) first(size uint64) uint64 { return min(size, uint64(o.Packet)) }

// Transfer is the time from Send to the message being in the receiver's memory when nothing else is under way, without jitter.
func (o *Options) Transfer(size uint64) units.Picos {
	return o.Latency + o.wire(size) + 2*o.DMARate.Cost(o.first(size))
}

// Package processor models what a component's processors and memory cost: instructions, references that hit, page faults, TLB
// shootdowns, walks of page tables, and moving pages through DRAM.
//
//	instructions(n) = n · cpi / frequency
//	lookup          = table_levels · dram_latency
//	move(size)      = dram_latency + size / copy_rate, on one of dram_channels
//	shootdown(n)    = shootdown + (n − 1) · shootdown_each        n processors that run the process
//	fault           = fault, of which fault_locked under a lock of the process
//
// A hit costs no event: its cost is added to the time of the thread that makes it (units.Carry). It is pure: no goroutines, no
// clock. Limits: no caches but the ExCache, no hyper-threads; memory is one pool, not NUMA.
package processor

import (
	"errors"
	"fmt"
	"time"

	"splitkernel/sim/fifo"
	"splitkernel/sim/units"
)

// MaxCost bounds each cost.
const MaxCost = units.Millisecond

// Options are the parameters.
type Options struct {
	// Frequency of a processor, above 0.
	Frequency units.Frequency
	// CPI is the mean number of cycles per instruction when all memory is local, above 0.
	CPI units.Ratio
	// Hit is what a reference to a line of the ExCache costs beyond its instruction.
	Hit units.Picos
	// Reference is what each reference of a trace costs a program that replays it live: to decode it, to check its page, its share of
	// the locks. In a prediction of a live replay it takes the place of the instructions; 0 is unknown.
	Reference units.Picos
	// Shared is how many processors all components of a cluster have together, as when their processes are pinned to one; 0:
	// polling thread, workers and threads have processors of their own.
	Shared units.Count
	// DRAMLatency is that of a load that no processor cache has.
	DRAMLatency units.Picos
	// CopyRate is how fast one processor moves or clears pages, above 0.
	CopyRate units.Rate
	// DRAMChannels is how many processors may do so at once at full rate, at least 1.
	DRAMChannels units.Count
	// TableLevels is how many dependent loads find a page in a page table.
	TableLevels units.Count
	// Fault is to enter and leave the handler of a page fault and to change the page table.
	Fault units.Picos
	// FaultLocked is the part of Fault that the threads of one process do one after the other.
	FaultLocked units.Picos
	// Shootdown is that of one page at one processor, ShootdownEach what each further processor adds.
	Shootdown, ShootdownEach units.Picos
}

// DefaultOptions are a server of some years ago.
func DefaultOptions() Options {
	return Options{
		Frequency: 2_400_000_000, CPI: units.One, Hit: 400, DRAMLatency: 90 * units.Nanosecond,
		CopyRate: 10_000_000_000, DRAMChannels: 4, TableLevels: 4,
		Fault: units.Microsecond, Shootdown: 1500 * units.Nanosecond, ShootdownEach: 300 * units.Nanosecond,
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
	add(o.Frequency < 1_000_000, "frequency: %v, want at least 1 MHz", o.Frequency)
	add(o.CPI <= 0 || o.CPI > 1000*units.One, "cpi: %v, want more than 0, at most 1000", o.CPI)
	cost := func(key string, p units.Picos) { add(p < 0 || p > MaxCost, "%s: %v, want 0 ps to %v", key, p, MaxCost) }
	cost("hit", o.Hit)
	cost("reference", o.Reference)
	add(o.Shared < 0 || o.Shared > fifo.MaxWorkers, "shared: %v, want 0 to %d", o.Shared, fifo.MaxWorkers)
	cost("dram_latency", o.DRAMLatency)
	add(o.CopyRate == 0, "copy_rate: %v, want more than 0", o.CopyRate)
	add(o.DRAMChannels < 1 || o.DRAMChannels > fifo.MaxWorkers, "dram_channels: %v, want 1 to %d", o.DRAMChannels, fifo.MaxWorkers)
	add(o.TableLevels < 0 || o.TableLevels > 16, "table_levels: %v, want 0 to 16", o.TableLevels)
	cost("fault", o.Fault)
	cost("fault_locked", o.FaultLocked)
	add(o.FaultLocked > o.Fault, "fault_locked: %v, want at most fault, %v", o.FaultLocked, o.Fault)
	cost("shootdown", o.Shootdown)
	cost("shootdown_each", o.ShootdownEach)
	return errors.Join(errs...)
}

// Instructions is the time of n instructions that touch no memory beyond the processor's caches.
func (o *Options) Instructions(n uint64) units.Picos { return o.CPI.Of(o.Frequency.Cycles(n)) }

// Lookup is to find a page in a page table.
func (o *Options) Lookup() units.Picos { return units.Picos(o.TableLevels) * o.DRAMLatency }

// ShootdownOf is to remove a translation from n processors; 0 for none.
func (o *Options) ShootdownOf(n int) units.Picos {
	if n <= 0 {
		return 0
	}
	return o.Shootdown + units.Picos(n-1)*o.ShootdownEach
}

// Move is to copy or clear so many bytes when the memory has nothing else to do.
func (o *Options) Move(size uint64) units.Picos { return o.DRAMLatency + o.CopyRate.Cost(size) }

// Memory is the DRAM of one component, shared by its processors. Make one with NewMemory.
type Memory struct {
	o        Options
	channels *fifo.Server
}

// NewMemory makes one of options that are valid.
func NewMemory(o Options) *Memory {
	return &Memory{o: o, channels: fifo.New(int(o.DRAMChannels))}
}

// Move copies or clears so many bytes and says when that is done. Calls are in the order of now.
func (m *Memory) Move(now time.Duration, size uint64) time.Duration {
	_, end := m.channels.Serve(now, m.o.Move(size))
	return end
}

// Faults are the page faults of one process: the part under its lock, one after the other.
type Faults struct {
	rest  units.Picos
	lock  *fifo.Server
	carry units.Carry
	cost  units.Picos
}

// NewFaults makes those of a process of options that are valid.
func NewFaults(o Options) *Faults {
	return &Faults{rest: o.Fault - o.FaultLocked, cost: o.FaultLocked, lock: fifo.New(1)}
}

// Fault says when a fault that begins now has been handled, but for what it waits for. Calls are in the order of now.
func (f *Faults) Fault(now time.Duration) time.Duration {
	_, end := f.lock.Serve(now, f.cost)
	return end + f.carry.Take(f.rest)
}

// CheckInvariants says what is wrong with the memory's own state.
func (m *Memory) CheckInvariants() error { return m.channels.CheckInvariants() }

// CheckInvariants says what is wrong with the own state of the faults.
func (f *Faults) CheckInvariants() error { return f.lock.CheckInvariants() }

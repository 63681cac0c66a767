package processor

import (
	"strings"
	"testing"
	"time"

	"splitkernel/sim/units"
)

func TestCosts(t *testing.T) {
	o := DefaultOptions()
	o.CPI = 1_500_000
	o.Shootdown, o.ShootdownEach = 1470*units.Nanosecond, 277_727
	for name, c := range map[string]struct{ got, want units.Picos }{
		"2400 instructions at 1.5":       {o.Instructions(2400), 1500 * units.Nanosecond},
		"a walk of four levels":          {o.Lookup(), 360 * units.Nanosecond},
		"a shootdown at one processor":   {o.ShootdownOf(1), 1470 * units.Nanosecond},
		"a shootdown at 23 processors":   {o.ShootdownOf(23), 7_579_994},
		"a shootdown that concerns none": {o.ShootdownOf(0), 0},
		"to clear a page":                {o.Move(4096), 90*units.Nanosecond + 409_600},
	} {
		if c.got != c.want {
			t.Errorf("%s takes %v, want %v", name, c.got, c.want)
		}
	}
}

// TestMemoryIsShared: four move pages at full rate, the fifth waits for one of them.
func TestMemoryIsShared(t *testing.T) {
	m := NewMemory(DefaultOptions())
	var ends []time.Duration
	for range 5 {
		ends = append(ends, m.Move(0, 4096))
	}
	if err := m.CheckInvariants(); err != nil {
		t.Error(err)
	}
	if ends[3] > 500 || ends[4] < 2*ends[0]-1 {
		t.Errorf("five pages at once are moved at %v, want four at once and one after", ends)
	}
}

// TestFaultsShareALock: the part under the lock is one after the other, the rest is not.
func TestFaultsShareALock(t *testing.T) {
	o := DefaultOptions()
	o.FaultLocked = 200 * units.Nanosecond
	f := NewFaults(o)
	for i := range 4 {
		if got, want := f.Fault(0), time.Microsecond+time.Duration(i)*200; got != want {
			t.Errorf("fault %d is handled at %v, want %v", i, got, want)
		}
	}
	if err := f.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

func TestFaultsAreNamed(t *testing.T) {
	o := Options{Hit: -1, Reference: -1, Shared: -1, DRAMLatency: -1, TableLevels: -1, Fault: 1, FaultLocked: 2, Shootdown: -1, ShootdownEach: MaxCost + 1}
	err := o.Validate()
	for _, key := range []string{"frequency: 0 Hz", "cpi: 0", "hit: -1 ps", "reference: -1 ps", "shared: -1", "dram_latency: ", "copy_rate: 0 B/s", "dram_channels: 0", "table_levels: -1", "fault_locked: 2 ps", "shootdown: ", "shootdown_each: "} {
		if err == nil || !strings.Contains("\n"+err.Error(), "\n"+key) {
			t.Errorf("%v, want a fault that begins with %q", err, key)
		}
	}
	if err := DefaultOptions().Validate(); err != nil {
		t.Error(err)
	}
}

package admission

import (
	"errors"
	"fmt"

	"splitkernel/netlayer/wire"
)

const (
	// MaxCopies bounds the holders of a vRegion whose policy is log or sync.
	MaxCopies = 7
	// MaxShares bounds the shares of a page, data and parity together.
	MaxShares = wire.MaxHolders
)

// MemoryFault is a fault of a policy of memory.
type MemoryFault struct{ Key, Text string }

// MemoryFaults are what is wrong with a policy, each under the key of a workload that says it.
func MemoryFaults(p wire.MemoryPolicy) (out []MemoryFault) {
	bad := func(key, format string, args ...any) {
		out = append(out, MemoryFault{key, fmt.Sprintf(format, args...)})
	}
	switch p.Kind {
	case wire.MemoryNone, wire.MemoryLog, wire.MemorySync, wire.MemoryErasure:
	default:
		bad("replication", "%v, want %v, %v, %v or %v", p.Kind, wire.MemoryErasure, wire.MemoryLog, wire.MemoryNone, wire.MemorySync)
		return out
	}
	if copied := p.Kind == wire.MemoryLog || p.Kind == wire.MemorySync; copied && (p.Copies < 1 || p.Copies > MaxCopies) {
		bad("copies", "%d, want 1 to %d beside the mComponent that serves", p.Copies, MaxCopies)
	} else if !copied && p.Copies != 0 {
		bad("copies", "%d with replication %v, which has none", p.Copies, p.Kind)
	}
	if shared := p.Kind == wire.MemoryErasure; shared && (p.Data < 1 || p.Data >= MaxShares || wire.PageSize%p.Data != 0) {
		bad("data", "%d, want 1, 2, 4 or 8, of which a page of %d bytes can be made", p.Data, wire.PageSize)
	} else if shared && (p.Parity < 1 || p.Parity > MaxShares || p.Data+p.Parity > MaxShares) {
		bad("parity", "%d with %d data, want at least 1 and together at most %d", p.Parity, p.Data, MaxShares)
	} else if !shared && (p.Data != 0 || p.Parity != 0) {
		bad("data", "%d, and parity: %d, with replication %v, which has no shares", p.Data, p.Parity, p.Kind)
	}
	if p.LogBlock && p.Kind != wire.MemoryLog {
		bad("log_full", "block with replication %v, which has no log", p.Kind)
	}
	return out
}

// ParseMemoryKind reads the name of a kind of policy.
func ParseMemoryKind(name string) (wire.MemoryKind, bool) {
	for _, k := range []wire.MemoryKind{wire.MemoryNone, wire.MemoryLog, wire.MemorySync, wire.MemoryErasure} {
		if k.String() == name {
			return k, true
		}
	}
	return 0, false
}

// CheckMemory says why no cluster can keep a policy, as an error of wire.KindBadRequest.
func CheckMemory(p wire.MemoryPolicy) error {
	var errs []error
	for _, f := range MemoryFaults(p) {
		errs = append(errs, fmt.Errorf("memory.%s: %s", f.Key, f.Text))
	}
	if len(errs) > 0 {
		return wire.Errorf(wire.KindBadRequest, "%v", errors.Join(errs...))
	}
	return nil
}

// Survives is how many mComponents may be lost at a time, of those that have a vRegion, without a page of it being lost.
func Survives(p wire.MemoryPolicy) int {
	if p.Kind == wire.MemoryErasure {
		return int(p.Parity) // Data shares are enough; who serves it has none
	}
	return int(p.Copies)
}

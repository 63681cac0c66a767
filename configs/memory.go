package configs

import (
	"fmt"
	"math"

	"splitkernel/gmanagers/admission"
	"splitkernel/netlayer/wire"
)

// Memory is what the memory of a vNode survives.
type Memory struct {
	// Replication is none; sync, full copies at other mComponents; log, logs at other mComponents with a backup file at an sComponent; or
	// erasure, shares at other mComponents.
	Replication string
	// Copies is how many other mComponents have each vRegion, of sync and log.
	Copies int
	// LogFull is block or skip, of log: what becomes of a flush while the log is full.
	LogFull string
	// Data and Parity, of erasure, are how many shares make a page, which divide it, and how many more there are.
	Data   int
	Parity int
}

// What becomes of a flush while the log is full.
const (
	// LogBlock has it wait until there is room.
	LogBlock = "block"
	// LogSkip acknowledges it; the page has no copy until it is flushed again, and is named as lost if its owner dies before.
	LogSkip = "skip"
)

// DefaultMemory survives nothing. What else is there is of the kinds that are asked for.
func DefaultMemory() Memory {
	return Memory{Replication: wire.MemoryNone.String(), Copies: 1, LogFull: LogBlock, Data: 2, Parity: 1}
}

// Policy is m as the managers are asked for it. It is validated.
func (m Memory) Policy() wire.MemoryPolicy {
	number := func(n int) uint32 { return uint32(max(0, min(n, math.MaxInt32))) }
	kind, _ := admission.ParseMemoryKind(m.Replication)
	p := wire.MemoryPolicy{Kind: kind}
	switch kind {
	case wire.MemoryLog:
		p.Copies, p.LogBlock = number(m.Copies), m.LogFull == LogBlock
	case wire.MemorySync:
		p.Copies = number(m.Copies)
	case wire.MemoryErasure:
		p.Data, p.Parity = number(m.Data), number(m.Parity)
	}
	return p
}

// validate reports what is wrong, and what is set that the kind does not have.
func (m Memory) validate(fs *faults, prefix string) {
	kind, ok := admission.ParseMemoryKind(m.Replication)
	if !ok {
		fs.add(prefix+"replication", "%q, want one of %v, %v, %v, %v", m.Replication, wire.MemoryErasure, wire.MemoryLog, wire.MemoryNone, wire.MemorySync)
		return
	}
	if m.LogFull != LogBlock && m.LogFull != LogSkip {
		fs.add(prefix+"log_full", "%q, want one of %s, %s", m.LogFull, LogBlock, LogSkip)
	}
	d := DefaultMemory()
	for _, x := range []struct {
		key string
		is  bool
		of  bool
	}{
		{"copies", m.Copies != d.Copies, kind == wire.MemoryLog || kind == wire.MemorySync},
		{"log_full", m.LogFull != d.LogFull, kind == wire.MemoryLog},
		{"data", m.Data != d.Data, kind == wire.MemoryErasure},
		{"parity", m.Parity != d.Parity, kind == wire.MemoryErasure},
	} {
		if x.is && !x.of {
			fs.add(prefix+x.key, "is set, and replication %s has none: leave it out", m.Replication)
		}
	}
	for _, f := range admission.MemoryFaults(m.Policy()) {
		fs.add(prefix+f.Key, "%s", f.Text)
	}
}

// Fits reports what a cluster cannot do for the workload: copies of which there are more than it has mComponents.
func (w *Workload) Fits(c *Cluster) error {
	memories := 0
	for i := range c.Nodes {
		if role, ok := ParseRole(c.Nodes[i].Role); ok && role == wire.RoleMemory {
			memories++
		}
	}
	var list []string
	for i := range w.Vnodes {
		v := &w.Vnodes[i]
		if n := v.Memory.Policy().Holders() + 1; n > 1 && n > memories {
			key := "copies"
			if v.Memory.Policy().Kind == wire.MemoryErasure {
				key = "parity"
			}
			list = append(list, fmt.Sprintf("vnodes.%s.memory.%s: replication %s keeps each vRegion at %d mComponents, cluster %s has %d", v.Name, key, v.Memory.Replication, n, c.Name, memories))
		}
	}
	if len(list) > 0 {
		return &FaultsError{Faults: list}
	}
	return nil
}

// Outlives is how many mComponents the memory of every vNode survives at a time.
func (w *Workload) Outlives() int {
	least := math.MaxInt
	for i := range w.Vnodes {
		least = min(least, admission.Survives(w.Vnodes[i].Memory.Policy()))
	}
	if len(w.Vnodes) == 0 {
		return 0
	}
	return least
}

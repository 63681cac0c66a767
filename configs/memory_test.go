package configs

import (
	"strings"
	"testing"

	"splitkernel/netlayer/wire"
)

// TestMemory: what is asked for is what the managers are told, and what a cluster cannot do is said by key.
func TestMemory(t *testing.T) {
	d := DefaultMemory()
	with := func(change func(*Memory)) Memory { m := d; change(&m); return m }
	for _, c := range []struct {
		m       Memory
		want    wire.MemoryPolicy
		holders int // beside the owner
	}{
		{d, wire.MemoryPolicy{}, 0},
		{with(func(m *Memory) { m.Replication, m.Copies = "sync", 2 }), wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 2}, 2},
		{with(func(m *Memory) { m.Replication = "log" }), wire.MemoryPolicy{Kind: wire.MemoryLog, Copies: 1, LogBlock: true}, 1},
		{with(func(m *Memory) { m.Replication, m.LogFull = "log", LogSkip }), wire.MemoryPolicy{Kind: wire.MemoryLog, Copies: 1}, 1},
		{with(func(m *Memory) { m.Replication = "erasure" }), wire.MemoryPolicy{Kind: wire.MemoryErasure, Data: 2, Parity: 1}, 3},
	} {
		if got := c.m.Policy(); got != c.want || got.Holders() != c.holders {
			t.Errorf("%+v: %+v with %d holders, want %+v with %d", c.m, got, got.Holders(), c.want, c.holders)
		}
		w := DefaultWorkload()
		w.Vnodes = []VNode{{Name: "a", Memory: c.m}}
		cluster := DefaultCluster()
		cluster.Name = "two"
		cluster.Nodes = []Node{{ID: "m1", Role: "mcomponent"}, {ID: "m2", Role: "mcomponent"}, {ID: "p1", Role: "pcomponent"}}
		err := w.Fits(&cluster)
		if fits := c.holders < 2; fits != (err == nil) || err != nil && !strings.Contains(err.Error(), "vnodes.a.memory.") {
			t.Errorf("%+v in a cluster of two mComponents: %v", c.m, err)
		}
	}
}

package cli

import (
	"slices"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/admission/audit"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/faults"
)

// TestWhatOnlyOneHas: what a fault takes that nobody else has, of books with every policy, with others gone before.
func TestWhatOnlyOneHas(t *testing.T) {
	copies := func(nodes ...wire.NodeID) *gmm.Copies {
		c := &gmm.Copies{Config: 1}
		for _, n := range nodes {
			c.Holders = append(c.Holders, gmm.Holder{Node: n})
		}
		return c
	}
	filling, recovering := copies("m2", "m3"), copies("m3")
	filling.Holders[0].Filling = true
	recovering.Recovering, recovering.Sources = true, []gmm.Holder{{Node: "m3"}}
	sync := wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 2}
	inSync := func(nodes ...wire.NodeID) (out []gsm.Replica) {
		for _, n := range nodes {
			out = append(out, gsm.Replica{Node: n, State: wire.ReplicaInSync, Member: 1})
		}
		return out
	}
	three := admission.Copies{Replicas: 3, WriteQuorum: 2, ReadQuorum: 2, Through: true}
	b := &audit.Books{
		Processes: []gpm.Process{{PID: 1, Name: "one", Node: "p1", Phase: admission.Running}, {PID: 2, Name: "two", Node: "p1", Phase: admission.Running, Restart: true}},
		Homes: []gmm.Process{
			{PID: 1, Home: "m1", Regions: []gmm.Region{{Region: 4, Node: "m2"}}},
			{PID: 2, Home: "m1", Memory: sync, Copies: copies("m2"), Regions: []gmm.Region{
				{Region: 1, Node: "m1", Copies: copies("m2", "m3")}, {Region: 2, Node: "m1", Copies: filling}, {Region: 3, Node: "m2", Copies: recovering},
			}},
		},
		Storage: []wire.Member{{ID: "s1", Epoch: 1}, {ID: "s2", Epoch: 1}, {ID: "s3", Epoch: 1}},
		Volumes: []gsm.Volume{
			{Volume: 7, Name: "a", PID: 1, Storage: "s1", Cache: "m2"},
			{Volume: 8, Name: "b", PID: 2, Storage: "s1", Cache: "m2", Copies: three, Replicas: inSync("s1", "s2", "s3")},
		},
	}
	const (
		one, two = "one (1)", "two (2)"
		region2  = "vRegion 2 of vNode two (2)"
		region3  = "vRegion 3 of vNode two (2)"
		volume7  = "volume 7 (a) of vNode one (1)"
		volume8  = "volume 8 (b) of vNode two (2)"
	)
	for _, c := range []struct {
		takes, gone []wire.NodeID
		only        wire.VolumeID
		want        map[wire.NodeID]faults.Held
	}{
		{takes: []wire.NodeID{"p1"}, want: map[wire.NodeID]faults.Held{"p1": {Runs: []string{one, two}, Ends: []string{one}}}},
		{takes: []wire.NodeID{"m1"}, want: map[wire.NodeID]faults.Held{"m1": {Memory: []string{"the home of vNode one (1)"}}}},
		{takes: []wire.NodeID{"m2"}, want: map[wire.NodeID]faults.Held{"m2": {Memory: []string{"vRegion 4 of vNode one (1)"}, Cached: []string{volume7}}}},
		{takes: []wire.NodeID{"m3"}, want: map[wire.NodeID]faults.Held{"m3": {Memory: []string{region3}}}}, // the source of what recovers
		{takes: []wire.NodeID{"m1"}, gone: []wire.NodeID{"m3"}, want: map[wire.NodeID]faults.Held{"m1": {Memory: []string{"the home of vNode one (1)", region2}}}},
		{takes: []wire.NodeID{"m1", "m2"}, want: map[wire.NodeID]faults.Held{
			"m1": {Memory: []string{"the home of vNode one (1)", "the home of vNode two (2)", "vRegion 1 of vNode two (2)", region2}},
			"m2": {Memory: []string{"vRegion 4 of vNode one (1)", "the home of vNode two (2)", "vRegion 1 of vNode two (2)", region2, region3}, Cached: []string{volume7}},
		}},
		{takes: []wire.NodeID{"s1"}, want: map[wire.NodeID]faults.Held{"s1": {Stored: []string{volume7}}}},
		{takes: []wire.NodeID{"s1"}, only: 8, want: map[wire.NodeID]faults.Held{"s1": {}}},
		{takes: []wire.NodeID{"s2"}, gone: []wire.NodeID{"s3"}, want: map[wire.NodeID]faults.Held{"s2": {Stored: []string{volume8}}}},
	} {
		got := heldBy(b, c.takes, c.gone, c.only)
		for id, want := range c.want {
			h := got[id]
			if !slices.Equal(h.Runs, want.Runs) || !slices.Equal(h.Ends, want.Ends) || !slices.Equal(h.Memory, want.Memory) || !slices.Equal(h.Cached, want.Cached) || !slices.Equal(h.Stored, want.Stored) {
				t.Errorf("%v gone, %v goes: %s has %+v, want %+v", c.gone, c.takes, id, h, want)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%v gone, %v goes: %+v, want %+v", c.gone, c.takes, got, c.want)
		}
	}
}

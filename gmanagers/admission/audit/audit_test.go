package audit_test

import (
	"fmt"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/admission/audit"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
)

// sound are books that agree: vNode 1 runs with a home, two vRegions and a volume.
func sound() audit.Books {
	v := admission.Volume{Volume: 4, Epoch: 1, SizeBytes: 8192, Storage: "s1", StorageAddr: "inproc:s1", Cache: "m1", CacheAddr: "inproc:m1"}
	return audit.Books{
		Processes: []gpm.Process{{
			PID: 1, Epoch: 1, Threads: 1, ExCacheLines: 10, Node: "p1", NodeEpoch: 1, Phase: admission.Running, Wants: 1,
			Home: admission.Home{Node: "m1", Epoch: 1}, Volumes: []admission.Volume{v},
		}},
		Homes:   []gmm.Process{{PID: 1, Home: "m1", HomeEpoch: 1, NodeEpoch: 1, Regions: []gmm.Region{{Region: 0, Node: "m1", NodeEpoch: 1, Epoch: 1}, {Region: 1, Node: "m1", NodeEpoch: 1, Epoch: 1}}}},
		Volumes: []gsm.Volume{{Volume: 4, Epoch: 1, SizeBytes: 8192, PID: 1, Storage: "s1", Cache: "m1"}},
		Compute: []wire.Member{{ID: "p1", Role: wire.RoleCompute, Epoch: 1, Capacity: wire.Capacity{ExCacheLines: 10}}},
		Memory:  []wire.Member{{ID: "m1", Role: wire.RoleMemory, Epoch: 1, Capacity: wire.Capacity{MemoryBytes: 4096, RegionBytes: 4096}}},
		// Two vRegions of an mComponent that has the memory of one.
		Overcommit: 2000,
		Storage:    []wire.Member{{ID: "s1", Role: wire.RoleStorage, Epoch: 1, Capacity: wire.Capacity{StorageBytes: 8192}}},
		Held: []wire.HoldingsRep{
			{Node: "m1", Role: wire.RoleMemory, Epoch: 1, Holds: wire.Holdings{Homes: []wire.HeldHome{{PID: 1}}, Regions: []wire.HeldRegion{{PID: 1, Region: 1, Epoch: 1}}}},
			{Node: "p1", Role: wire.RoleCompute, Epoch: 1, Holds: wire.Holdings{Processes: []wire.HeldProcess{{PID: 1, Epoch: 1, ExCacheLines: 10}}}},
			{Node: "s1", Role: wire.RoleStorage, Epoch: 1, Holds: wire.Holdings{Volumes: []wire.HeldVolume{{Volume: 4, Epoch: 1, SizeBytes: 8192}}}},
		},
	}
}

// TestCompare: each fault of otherwise sound books is told, and alone unless it is one of several books.
func TestCompare(t *testing.T) {
	if d := audit.Compare(sound()); len(d) != 0 {
		t.Fatalf("sound books: %+v", d)
	}
	for _, c := range []struct {
		name  string
		spoil func(b *audit.Books)
		want  string
	}{
		{"open admission", func(b *audit.Books) { b.Processes[0].Phase = admission.Leaving }, "[{gpm 1 its admission or release has not ended: phase leaving}]"},
		{"no home", func(b *audit.Books) { b.Homes, b.Held[0].Holds = nil, wire.Holdings{} }, "[{gmm 1 GPM has its home at m1, GMM has none}]"},
		{"other home", func(b *audit.Books) { b.Processes[0].Home.Node = "m2" }, "[{gmm 1 GPM has its home at m2 (epoch 1), GMM at m1 (epoch 1)}]"},
		{"older home", func(b *audit.Books) { b.Processes[0].Home.Epoch = 3 }, "[{gmm 1 GPM has its home at m1 (epoch 3), GMM at m1 (epoch 1)}]"},
		{"home under another epoch", func(b *audit.Books) { b.Held[0].Holds.Homes[0].Epoch = 3 }, "[{m1 1 is its home under epoch 3, GMM has epoch 1}]"},
		{"other cache", func(b *audit.Books) { b.Held[0].Holds.Caches = []wire.HeldVolume{{Volume: 5}} }, "[{m1 0 is the buffer cache of volume 5, which GSM does not have there}]"},
		{"prepared home", func(b *audit.Books) { b.Homes[0].Prepared = true }, "[{gmm 1 its home at m1 is prepared and neither committed nor freed}]"},
		{"no volume", func(b *audit.Books) { b.Volumes, b.Held[2].Holds = nil, wire.Holdings{} }, "[{gsm 1 GPM has its volume 4 at s1, GSM has none}]"},
		{"other size", func(b *audit.Books) { b.Volumes[0].SizeBytes, b.Held[2].Holds.Volumes[0].SizeBytes = 4096, 4096 },
			"[{gsm 1 volume 4: GPM has 8192 bytes at s1, cache m1, epoch 1; GSM has 4096 bytes of process 1 at s1, cache m1, epoch 1}]"},
		{"prepared volume", func(b *audit.Books) { b.Volumes[0].Prepared = true }, "[{gsm 1 its volume 4 at s1 is prepared and neither committed nor freed}]"},
		{"volume of nobody", func(b *audit.Books) { b.Processes[0].Volumes = nil }, "[{gsm 1 has volume 4 at s1, which GPM did not give the process}]"},
		{"no process", func(b *audit.Books) { b.Processes = nil }, "[{gmm 1 has a home at m1 and 2 vRegions for a process that GPM does not have}" +
			" {gsm 1 has volume 4 of 8192 bytes at s1 for a process that GPM does not have} {p1 1 runs a process that GPM does not have there}]"},
		{"too many lines", func(b *audit.Books) { b.Compute[0].Capacity.ExCacheLines = 9 }, "[{gpm 0 p1: processes take 10 lines of 9}]"},
		{"too many bytes", func(b *audit.Books) { b.Storage[0].Capacity.StorageBytes = 9 }, "[{gsm 0 s1: volumes take 8192 bytes of 9}]"},
		{"too many vRegions", func(b *audit.Books) { b.Overcommit = 1999 },
			"[{gmm 0 m1: 2 vRegions, 0 reserved and 0 on their way there are more than the 1 of 4096 bytes that it has room for at an overcommit of 1.999}]"},
		{"too many reserved", func(b *audit.Books) {
			b.Homes[0].Reserved = []gmm.Reserve{{Node: "m1", NodeEpoch: 1, Regions: 3}}
		}, "[{gmm 0 m1: 2 vRegions, 3 reserved and 0 on their way there are more than the 2 of 4096 bytes that it has room for at an overcommit of 2}]"},
		{"too many on their way", func(b *audit.Books) {
			b.Moves = []movelist.Move{{From: "m2", ToEpoch: 1, Req: wire.MoveReq{Kind: wire.MoveRegion, PID: 1, Region: 5, To: "m1"}}}
		}, "[{gmm 0 m1: 2 vRegions, 0 reserved and 1 on their way there are more than the 2 of 4096 bytes that it has room for at an overcommit of 2}]"},
		{"shares are parts, and who serves them has none", func(b *audit.Books) {
			b.Overcommit, b.Homes[0].Memory = 1000, wire.MemoryPolicy{Kind: wire.MemoryErasure, Data: 2, Parity: 1}
			b.Homes[0].Reserved = []gmm.Reserve{{Node: "m1", NodeEpoch: 1, Regions: 2}}
		}, "[]"},
		{"a share too many", func(b *audit.Books) {
			b.Overcommit, b.Homes[0].Memory = 1000, wire.MemoryPolicy{Kind: wire.MemoryErasure, Data: 2, Parity: 1}
			b.Homes[0].Reserved = []gmm.Reserve{{Node: "m1", NodeEpoch: 1, Regions: 3}}
		}, "[{gmm 0 m1: 0 vRegions, 1.5 reserved and 0 on their way there are more than the 1 of 4096 bytes that it has room for at an overcommit of 1}]"},
		{"what was there under another epoch takes no room", func(b *audit.Books) {
			b.Homes[0].Reserved = []gmm.Reserve{{Node: "m1", NodeEpoch: 7, Regions: 3}}
		}, "[]"},
		{"a component owns too many", func(b *audit.Books) {
			b.Overcommit, b.Homes[0].Regions = 1000, b.Homes[0].Regions[:1]
			b.Held[0].Holds.Regions = []wire.HeldRegion{{PID: 1, Region: 0, Epoch: 1}, {PID: 1, Region: 1, Epoch: 1}}
		}, "[{m1 0 owns 2 vRegions of 4096 bytes, it has room for 1 at an overcommit of 1} {m1 1 owns vRegion 1, which GMM has not active}]"},
		{"lost home", func(b *audit.Books) { b.Homes[0].NodeEpoch, b.Held[0].Holds.Homes = 2, nil },
			"[{gmm 1 its home is lost with m1 (epoch 2), and its vNode has not ended}]"},
		{"home lost in a move", func(b *audit.Books) { b.Homes[0].NodeEpoch, b.Held[0].Holds.Homes = 0, nil },
			"[{gmm 1 its home is lost with m1 (epoch 0), and its vNode has not ended}]"},
		{"home and vRegions lost with a dead one", func(b *audit.Books) { b.Dead, b.Held = []wire.NodeID{"m1"}, b.Held[1:] },
			"[{gmm 1 its home is lost with m1 (epoch 1), and its vNode has not ended} {gmm 1 2 of its 2 vRegions are lost, the first is vRegion 0 with m1 (epoch 1), and its vNode has not ended}]"},
		{"lost vRegion", func(b *audit.Books) { b.Homes[0].Regions[0].NodeEpoch = 3 },
			"[{gmm 1 1 of its 2 vRegions are lost, the first is vRegion 0 with m1 (epoch 3), and its vNode has not ended}]"},
		{"lost home that moves", func(b *audit.Books) {
			b.Homes[0].NodeEpoch, b.Held[0].Holds.Homes = 2, nil
			b.Moves = []movelist.Move{{From: "m1", FromEpoch: 2, Req: wire.MoveReq{Kind: wire.MoveHome, PID: 1, To: "m2"}}}
		}, "[]"},
		{"lost vRegion that moves", func(b *audit.Books) {
			b.Homes[0].Regions[0].NodeEpoch = 3
			b.Moves = []movelist.Move{{From: "m1", FromEpoch: 3, Req: wire.MoveReq{Kind: wire.MoveRegion, PID: 1, Region: 0, To: "m2"}}}
		}, "[]"},
		{"lost volume", func(b *audit.Books) { b.Volumes[0].Lost, b.Held[2].Holds = wire.MoveVolume, wire.Holdings{} },
			"[{gsm 1 its volume 4 was lost when it moved, and its vNode has not ended}]"},
		{"lost cache", func(b *audit.Books) { b.Volumes[0].Lost = wire.MoveCache },
			"[{gsm 1 the buffer cache of its volume 4 was lost with what was not flushed, and its vNode has not ended}]"},
		{"lost process", func(b *audit.Books) { b.Compute[0].Epoch, b.Held[1].Epoch, b.Held[1].Holds = 2, 2, wire.Holdings{} },
			"[{gpm 1 is lost with p1 (epoch 1), and its vNode has not ended}]"},
		{"silence", func(b *audit.Books) { b.Held = b.Held[1:] }, "[{m1 0 does not answer}]"},
		{"other epoch", func(b *audit.Books) { b.Held[0].Epoch = 2 }, "[{m1 0 is epoch 2, its manager registered epoch 1}]"},
		{"other lines", func(b *audit.Books) { b.Held[1].Holds.Processes[0].ExCacheLines = 9 }, "[{p1 1 runs it under epoch 1 with 9 lines, GPM has epoch 1 and 10 lines}]"},
		{"home unknown", func(b *audit.Books) { b.Held[0].Holds.Homes = []wire.HeldHome{{PID: 2}} }, "[{m1 2 is the home of a process whose home GMM does not have there}]"},
		{"vRegion unknown", func(b *audit.Books) { b.Held[0].Holds.Regions[0].Region = 7 }, "[{m1 1 owns vRegion 7, which GMM has not active}]"},
		{"vRegion elsewhere", func(b *audit.Books) { b.Homes[0].Regions[1].Node = "m2" }, "[{gmm 1 1 of its 2 vRegions are lost, the first is vRegion 1 with m2 (epoch 1), and its vNode has not ended} {m1 1 owns vRegion 1 under epoch 1, GMM has it at m2 under epoch 1}]"},
		{"volume unknown", func(b *audit.Books) { b.Held[2].Holds.Volumes[0].Volume = 9 },
			"[{s1 0 stores volume 9 of 8192 bytes, which GSM does not have there} {s1 1 does not store volume 4 of 8192 bytes, which GSM has there}]"},
		{"other volume epoch", func(b *audit.Books) { b.Held[2].Holds.Volumes[0].Epoch = 2 },
			"[{s1 1 stores volume 4 of 8192 bytes under epoch 2, GSM has 8192 bytes and epoch 1}]"},
		{"a volume whose buffer cache moved before it was attached", func(b *audit.Books) { b.Held[2].Holds.Volumes[0].Epoch = 0 }, "[]"},
	} {
		b := sound()
		c.spoil(&b)
		if got := fmt.Sprint(audit.Compare(b)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestABufferCacheThatIsNotAttached: it moves in the books alone, so what the sComponent has seen is older, until an
// mComponent has it under the new epoch.
func TestABufferCacheThatIsNotAttached(t *testing.T) {
	b := sound()
	b.Volumes[0].Epoch = 2
	if d := audit.Compare(b); len(d) != 0 {
		t.Errorf("nobody has it: %+v", d)
	}
	b.Held[0].Holds.Caches = []wire.HeldVolume{{Volume: 4, Epoch: 1, SizeBytes: 8192}}
	if d := audit.Compare(b); len(d) != 0 {
		t.Errorf("one has it under the epoch before: %+v", d)
	}
	b.Held[0].Holds.Caches[0].Epoch = 2
	if d := audit.Compare(b); len(d) != 1 || d[0].Where != "s1" {
		t.Errorf("one has it under the epoch of the books, the sComponent has not: %+v", d)
	}
}

func TestPersisting(t *testing.T) {
	a, b, c := audit.Difference{Where: "gpm", PID: 1}, audit.Difference{Where: "gpm", PID: 2}, audit.Difference{Where: "gmm", PID: 1}
	if got := audit.Persisting([]audit.Difference{a, b}, []audit.Difference{c, b}); len(got) != 1 || got[0] != b {
		t.Errorf("%+v", got)
	}
}

// TestMoved: what has moved since it was admitted is no difference, nor is what moves, at either end.
func TestMoved(t *testing.T) {
	b := sound()
	b.Memory = append(b.Memory, wire.Member{ID: "m2", Role: wire.RoleMemory, Epoch: 1})
	b.Homes[0].Home, b.Homes[0].HomeEpoch = "m2", 2
	b.Held[0].Holds.Homes = nil
	b.Held = append(b.Held, wire.HoldingsRep{Node: "m2", Role: wire.RoleMemory, Epoch: 1, Holds: wire.Holdings{
		Homes: []wire.HeldHome{{PID: 1, Epoch: 2}}, Regions: []wire.HeldRegion{{PID: 1, Region: 1, Epoch: 2}},
	}})
	if d := audit.Compare(b); len(d) != 1 || d[0].Where != "m2" {
		t.Errorf("a vRegion at another owner: %+v", d)
	}
	b.Moves = []movelist.Move{{From: "m1", FromEpoch: 1, ToEpoch: 1, Req: wire.MoveReq{Kind: wire.MoveRegion, PID: 1, Region: 1, OldEpoch: 1, Epoch: 2, UndoEpoch: 3, To: "m2"}}}
	if d := audit.Compare(b); len(d) != 0 {
		t.Errorf("while it moves there: %+v", d)
	}
	b.Moves[0].State = wire.MoveUndone
	if d := audit.Compare(b); len(d) != 1 {
		t.Errorf("after the move was undone: %+v", d)
	}
}

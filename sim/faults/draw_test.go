package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"splitkernel/netlayer/wire"
)

// TestWhatIsDrawnIsKept: what is drawn says what it prints, keeps the promise, comes in order, is the same for the same chance, and is of
// every kind that the promise is kept through.
func TestWhatIsDrawnIsKept(t *testing.T) {
	p := &Promise{Lease: 2 * time.Second, Patience: 20 * time.Second, CallTimeout: time.Second, Nodes: cluster}
	kinds := map[Kind]int{}
	for seed := range uint64(200) {
		list := Draw(rand.New(rand.NewPCG(seed, 1)), p, 8)
		if len(list) != 8 {
			t.Errorf("seed %d: %d faults", seed, len(list))
		}
		if again := Draw(rand.New(rand.NewPCG(seed, 1)), p, 8); fmt.Sprint(again) != fmt.Sprint(list) {
			t.Errorf("seed %d: %v and then %v", seed, list, again)
		}
		if b := p.Breaches(list); len(b) > 0 {
			t.Errorf("seed %d: %v", seed, b)
		}
		if !slices.IsSortedFunc(list, func(a, b Fault) int { return int(a.At.Share) - int(b.At.Share) }) {
			t.Errorf("seed %d: not in order: %v", seed, list)
		}
		for _, f := range list {
			kinds[f.Kind]++
			if again, err := Parse(f.String()); err != nil || again.String() != f.String() {
				t.Errorf("seed %d: %q parses as %q, %v", seed, f, again, err)
			}
			if err := Check(f, cluster); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		}
	}
	for _, k := range []Kind{Kill, Restart, Pause, Partition, Delay, Lose, Duplicate, Reorder, SlowDisk} {
		if kinds[k] == 0 {
			t.Errorf("no %v was drawn: %v", k, kinds)
		}
	}
	if kinds[CorruptBlock] > 0 {
		t.Errorf("%d corrupt-block, through which nothing is kept: no volume has a copy", kinds[CorruptBlock])
	}
}

// TestAPromiseThatIsHardlyKept gives fewer faults, and does not hang.
func TestAPromiseThatIsHardlyKept(t *testing.T) {
	p := &Promise{Nodes: cluster[3:]} // no lease, no patience, nobody to lead
	list := Draw(rand.New(rand.NewPCG(1, 1)), p, 20)
	if b := p.Breaches(list); len(b) > 0 {
		t.Error(b)
	}
	for _, f := range list {
		if f.Kind == Pause || f.Kind == Partition || f.Kind == Kill && f.For > 0 {
			t.Errorf("%v", f)
		}
	}
}

// TestKillsOfAllAreDrawn: where the promise is kept through it, everybody is killed for good, and those who end make up much of what is drawn. Who is left
// can go on: a majority of managers, and one of each role.
func TestKillsOfAllAreDrawn(t *testing.T) {
	p := &Promise{Lease: 2 * time.Second, Patience: 20 * time.Second, CallTimeout: time.Second, Outlives: 1, Survives: 1, Known: true}
	for k, r := range []wire.Role{wire.RoleManager, wire.RoleCompute, wire.RoleMemory, wire.RoleStorage} {
		for i := range 3 {
			p.Nodes = append(p.Nodes, Node{wire.NodeID(fmt.Sprintf("%c%d", "gpms"[k], i+1)), r})
		}
	}
	killed, all, ends, kinds := map[wire.Role]int{}, 0, 0, map[Kind]int{}
	for seed := range uint64(300) {
		dead := map[wire.NodeID]bool{}
		for _, f := range Draw(rand.New(rand.NewPCG(seed, 2)), p, 6) {
			all++
			kinds[f.Kind]++
			role, _ := f.Node.role(p.Nodes)
			switch f.Kind {
			case Kill:
				killed[role]++
				dead[f.Node.ID] = f.For == 0
				ends++
			case Restart:
				dead[f.Node.ID] = false
				ends++
			}
		}
		left, needs := map[wire.Role]int{}, false
		for _, n := range p.Nodes {
			if !dead[n.ID] {
				left[n.Role]++
			} else if n.Role == wire.RoleMemory || n.Role == wire.RoleCompute {
				needs = true
			}
		}
		if left[wire.RoleCompute] == 0 || left[wire.RoleMemory] == 0 || left[wire.RoleStorage] < 2 || needs && left[wire.RoleManager] < 2 {
			t.Errorf("seed %d leaves %v", seed, left)
		}
	}
	for _, r := range []wire.Role{wire.RoleManager, wire.RoleCompute, wire.RoleMemory, wire.RoleStorage} {
		if killed[r] < all/40 {
			t.Errorf("%d of %d faults kill a %v", killed[r], all, r)
		}
	}
	if ends < all/4 || ends > all/2 || kinds[CorruptBlock] == 0 || kinds[DiskFull] == 0 {
		t.Errorf("%d of %d faults end somebody: %v", ends, all, kinds)
	}
}

package buffercache

import (
	"math/rand/v2"
	"strings"
	"testing"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/policy"
)

// TestPolicies: reads one after the other miss as often as the policy alone says.
func TestPolicies(t *testing.T) {
	const blocks, distinct, reads = 20, 60, 3000
	for _, name := range Policies() {
		o := DefaultOptions()
		o.Blocks, o.Policy = blocks, name
		c := New(o)
		out := c.Attach(1, wire.VolumeAttachReq{Volume: 1, Epoch: 1, SizeBytes: distinct * wire.PageSize}, nil)
		c.Done(out[0].ID, nil, nil)
		p, err := policy.New(name, 1, blocks, policy.Options{SweepEvery: sweepEvery})
		if err != nil {
			t.Fatal(err)
		}
		lineOf, blockOf, used := map[uint64]uint32{}, make([]uint64, blocks), uint32(0)
		rng := rand.New(rand.NewPCG(1, 2))
		misses := uint64(0)
		for i := range uint64(reads) {
			n := rng.Uint64N(distinct)
			if i%3 == 0 {
				n = rng.Uint64N(8) // some are popular
			}
			for _, e := range c.Read(i+10, wire.Block{Volume: 1, VolumeEpoch: 1, Offset: n * wire.PageSize, Length: 512}, nil) {
				if e.Kind == ReadStorage {
					c.Done(e.ID, nil, nil)
				}
			}
			if line, ok := lineOf[n]; ok {
				p.Touch(line)
			} else {
				misses++
				line := used
				if used < blocks {
					used++
				} else {
					line, _ = p.Victim(0, pageOf(1, n), nil)
					p.Evict(line)
					delete(lineOf, blockOf[line])
				}
				p.Insert(line, pageOf(1, n))
				lineOf[n], blockOf[line] = line, n
			}
			if err := c.CheckInvariants(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if got := c.Stats().Misses; got != misses {
			t.Errorf("%s: %d misses, the policy alone has %d", name, got, misses)
		}
	}
}

// TestNoSuchPolicy: a wrong name is refused by key.
func TestNoSuchPolicy(t *testing.T) {
	for _, name := range []string{"belady", "lur"} {
		o := DefaultOptions()
		o.Policy = name
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), `buffer_cache_policy: "`+name+`", want one of 2q, arc, clock`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

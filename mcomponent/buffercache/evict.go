package buffercache

import (
	"fmt"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/policy"
)

// Who leaves is decided by a policy of package policy, over one set of all slots. Every block that is in the index is in the policy; one
// that is dirty, being written back or being read is busy, and so no victim.
//
// The default, lru, is told besides when a block becomes clean, as if that were a use: so the victim is the clean block that was used or
// written back longest ago. The others learn of accesses only, as one that was read once should count as used once.

// evictor is the policy of a cache, made when the first block comes: most mComponents of a large cluster never have one.
type evictor struct {
	policy policy.Policy
	busy   policy.Busy
	clean  int // blocks that may leave
}

// pageOf is the name of a block for the policy. A volume has at most 2^32 blocks, so no two blocks share one.
func pageOf(volume wire.VolumeID, number uint64) uint64 { return uint64(volume)<<32 | number }

// evict gives the policy.
func (c *Cache) evict() policy.Policy {
	if c.evictor.policy == nil {
		p, err := policy.New(c.opt.policy(), 1, c.opt.Blocks, policy.Options{SweepEvery: sweepEvery, Most: maxBlocks})
		if err != nil {
			panic(err) // the options were validated
		}
		c.evictor.policy, c.evictor.busy = p, make(policy.Busy, (c.opt.Blocks+63)/64)
	}
	return c.evictor.policy
}

// enter tells the policy of a block that comes to a slot, where it is busy until it is clean.
func (c *Cache) enter(s uint32, v *volume, number uint64) {
	c.evict().Insert(s, pageOf(v.req.Volume, number))
	c.evictor.busy.Set(s)
}

// victim gives the slot that one to come may have, without the block that was there; ok is false if no block is clean.
func (c *Cache) victim(v *volume, number uint64) (s uint32, ok bool) {
	if c.evictor.clean == 0 {
		return 0, false
	}
	p := c.evict()
	s, ok = p.Victim(0, pageOf(v.req.Volume, number), c.evictor.busy)
	if !ok {
		panic("buffercache: there are clean blocks, and the policy names none")
	}
	p.Evict(s)
	c.setClean(s, false)
	return s, true
}

// leave takes a block out of the policy that leaves the index for another reason.
func (c *Cache) leave(s uint32) {
	c.unlist(s)
	c.evict().Remove(s)
}

// setClean says whether the block of a slot may leave.
func (c *Cache) setClean(s uint32, clean bool) {
	b := &c.blocks[s]
	if clean {
		b.list = listClean
		c.evictor.clean++
		c.evictor.busy.Clear(s)
		if c.opt.policy() == defaultPolicy {
			c.evictor.policy.Touch(s)
		}
		return
	}
	b.list = listNone
	c.evictor.clean--
	c.evictor.busy.Set(s)
}

// code goes over the state of the policy; nothing if no block ever came.
func (e *evictor) code(w *tape.Coder, c *Cache) {
	var state []byte
	if e.policy != nil {
		state = e.policy.AppendState(nil)
	}
	if w.Bytes(&state); !w.Reads() || len(state) == 0 || w.Err() != nil {
		return
	}
	r := tape.NewReader(state)
	if c.evict().ReadState(&r); r.End() != nil {
		w.Fail("the policy of the cache: %v", r.End())
		return
	}
	for s := range c.blocks {
		if c.blocks[s].list == listClean {
			e.clean++
		} else {
			e.busy.Set(uint32(s))
		}
	}
}

// check compares the policy with the blocks.
func (e *evictor) check(c *Cache) error {
	if e.policy == nil {
		if c.index.Len() > 0 {
			return fmt.Errorf("buffercache: there are blocks, and no policy")
		}
		return nil
	}
	clean := 0
	for s := range c.blocks {
		b, slot := &c.blocks[s], uint32(s)
		switch isClean := b.v != nil && b.list == listClean; {
		case e.policy.Has(slot) != (b.v != nil && !b.orphan):
			return fmt.Errorf("buffercache: slot %d with a block: %t, an orphan: %t, in the policy: %t", s, b.v != nil, b.orphan, e.policy.Has(slot))
		case isClean:
			clean++
			fallthrough
		default:
			if e.policy.Has(slot) && e.busy.Has(slot) == isClean {
				return fmt.Errorf("buffercache: slot %d is clean: %t, and busy for the policy: %t", s, isClean, isClean)
			}
		}
	}
	if clean != e.clean {
		return fmt.Errorf("buffercache: %d blocks are clean, counted %d", clean, e.clean)
	}
	return e.policy.CheckInvariants()
}

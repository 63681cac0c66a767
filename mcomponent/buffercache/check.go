package buffercache

import "fmt"

// CheckInvariants checks masks, lists, counts and that each cached block is found by the index.
func (c *Cache) CheckInvariants() error {
	if err := c.index.CheckInvariants(); err != nil {
		return err
	}
	used, dirty, indexed, writes, reads := 0, 0, 0, 0, 0
	for s := range c.blocks {
		b := &c.blocks[s]
		if b.v == nil {
			continue
		}
		used++
		if b.dirty|b.writing != 0 && !b.orphan {
			dirty++
		}
		if b.runs > 0 {
			writes++
		}
		if b.reading {
			reads++
		}
		if (b.dirty|b.writing)&^b.valid != 0 {
			return fmt.Errorf("buffercache: block %d has dirty sectors %08b that are not valid %08b", b.number, b.dirty|b.writing, b.valid)
		}
		if b.orphan {
			continue
		}
		indexed++
		if got, ok := c.index.Get(uint64(b.v.req.Volume), b.number); !ok || got != uint32(s) {
			return fmt.Errorf("buffercache: the index does not know block %d of volume %d in slot %d", b.number, b.v.req.Volume, s)
		}
		want := listNone
		if b.dirty != 0 && b.writing == 0 {
			want = listDirty
		} else if b.dirty|b.writing == 0 && !b.reading {
			want = listClean
		}
		if b.list != want {
			return fmt.Errorf("buffercache: block %d is in list %d, want %d", b.number, b.list, want)
		}
	}
	if used != c.stats.Used || dirty != c.stats.Dirty || indexed != c.index.Len() || writes != c.writes || reads != c.reads {
		return fmt.Errorf("buffercache: used %d dirty %d indexed %d written back %d read %d, counted as %d %d %d %d %d",
			used, dirty, indexed, writes, reads, c.stats.Used, c.stats.Dirty, c.index.Len(), c.writes, c.reads)
	}
	if dirty > c.dirtyLimit() || writes > c.opt.Window || len(c.waiting) > c.opt.MaxWaiters {
		return fmt.Errorf("buffercache: %d dirty blocks, %d write-backs, %d waiters, at most %d, %d, %d", dirty, writes, len(c.waiting), c.dirtyLimit(), c.opt.Window, c.opt.MaxWaiters)
	}
	for _, id := range c.order {
		v := c.volumes[id]
		last := uint64(0)
		for s := v.first; s != none; s = c.blocks[s].next {
			if b := &c.blocks[s]; b.v != v || b.seq < last {
				return fmt.Errorf("buffercache: the dirty list of volume %d is out of order at block %d", id, b.number)
			} else {
				last = b.seq
			}
		}
	}
	return c.evictor.check(c)
}

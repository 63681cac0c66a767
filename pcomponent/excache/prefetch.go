package excache

import "fmt"

// prefetchVictims is how many lines of a set are looked at, in the order of the
// policy, for one that a prefetched page may take.
const prefetchVictims = 8

// Holds reports whether a page has a line, also if it is on its way, or is in the
// victim cache: nothing of it needs to be brought.
func (c *Cache) Holds(page uint64) bool {
	_, ok := c.index.find(page)
	return ok || c.findEntry(page) >= 0
}

// Prefetch reserves a line for a page that the cache does not hold, and that nobody
// has missed: the caller fills the frame and calls Filled, or PrefetchFailed. The
// policy is told now, as of a miss. The page takes a free line or that of a clean
// one, so nothing is flushed; neither a line in use nor one that was prefetched and
// is not used yet leaves for it. If there is none that may, it counts a refusal and
// returns false. A newer flush of the page that is under way must be acknowledged
// before its owner is asked: see PendingFlush.
//
// The line is not busy meanwhile, because then the victims of others would depend on
// when it is filled: a miss whose victim it is waits for it, see StallPrefetch.
func (c *Cache) Prefetch(page uint64) (line, frame uint32, ok bool) {
	set := uint32(page & c.setMask)
	if line = c.free[set]; line != none {
		c.free[set] = c.lines[line].next
	} else {
		if line, ok = c.cleanVictim(set, page); !ok {
			c.counts.PrefetchRefused++
			return 0, 0, false
		}
		var m Miss // of a clean page nothing is to be done
		c.evict(line, &m)
	}
	frame = c.takeFrame()
	c.lines[line] = slot{page: page, state: lineFilling}
	c.hot[line] = frame | hotFilling | hotFresh
	c.index.insert(page, line)
	c.policy.Insert(line, page)
	c.counts.PrefetchIssued++
	return line, frame, true
}

// cleanVictim asks the policy for victims until one is clean and was used.
func (c *Cache) cleanVictim(set uint32, page uint64) (line uint32, ok bool) {
	var no [prefetchVictims]uint32 // marked as busy while it looks
	n := 0
	for ; n < len(no); n++ {
		if line, ok = c.policy.Victim(set, page, c.busy); !ok || c.hot[line]&(hotDirty|hotFresh) == 0 {
			break
		}
		c.busy.Set(line)
		no[n], ok = line, false
	}
	for _, l := range no[:n] {
		c.busy.Clear(l)
	}
	return line, ok
}

// firstUse makes an access to a page that was prefetched and not used before: a hit,
// though the page may not have come yet.
func (c *Cache) firstUse(line uint32, write bool) Miss {
	if write {
		c.counts.Writes++
	} else {
		c.counts.Reads++
	}
	c.counts.PrefetchUseful++
	c.hot[line] &^= hotFresh
	c.policy.Touch(line)
	c.pin(line)
	h := c.hot[line]
	if h&hotFilling != 0 {
		c.counts.PrefetchLate++
		return Miss{Kind: MissLate, Line: line, Frame: h & hotFrame}
	}
	return Miss{Kind: MissPrefetched, Line: line, Frame: h & hotFrame}
}

// PrefetchFailed reports that a page that was prefetched, and that nobody has used
// since, will not come. Its line is free.
func (c *Cache) PrefetchFailed(line uint32) {
	c.endFill(line, "PrefetchFailed")
	if c.hot[line]&hotFresh == 0 {
		panic(fmt.Sprintf("excache: PrefetchFailed of line %d, for which an access waits", line))
	}
	c.index.remove(c.lines[line].page)
	c.policy.Remove(line)
	c.giveFrame(c.hot[line] & hotFrame)
	c.freeLine(line)
	c.counts.PrefetchDropped++
}

// Fresh is how many pages were prefetched and are not used yet, those on their way
// included.
func (c *Cache) Fresh() uint64 {
	s := &c.counts
	return s.PrefetchIssued - s.PrefetchUseful - s.PrefetchWasted - s.PrefetchDropped
}

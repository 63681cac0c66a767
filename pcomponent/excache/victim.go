package excache

// entry is a page in the victim cache. There are at most MaxVictimLines of them,
// oldest first, so they are searched in order: at 16 bytes each that is less than
// what an index over them would cost a miss.
type entry struct {
	page  uint64
	frame uint32
}

// findEntry returns the place of a page in the victim cache, or -1.
func (c *Cache) findEntry(page uint64) int {
	for i := range c.victims {
		if c.victims[i].page == page {
			return i
		}
	}
	return -1
}

// removeEntry takes an entry out; its frame is the caller's.
func (c *Cache) removeEntry(i int) entry {
	e := c.victims[i]
	c.victims = append(c.victims[:i], c.victims[i+1:]...)
	return e
}

// pushEntry puts a page into the victim cache; when it is full the oldest entry
// leaves, and its frame stays with its flush if that is not acknowledged.
func (c *Cache) pushEntry(e entry) {
	if len(c.victims) == cap(c.victims) {
		c.giveFrame(c.removeEntry(0).frame)
	}
	c.victims = append(c.victims, e)
}

package excache

// LastFlush is the id of the last flush that was ordered, 0 if none was.
func (c *Cache) LastFlush() uint64 { return c.lastID }

// SetLastFlush makes the ids of the flushes go on behind id: the process ran elsewhere before. It must not have flushed here.
func (c *Cache) SetLastFlush(id uint64) {
	if c.lastID != 0 {
		panic("excache: the ids of flushes were set after the first flush")
	}
	c.lastID = id
}

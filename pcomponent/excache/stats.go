package excache

// Stats counts what the cache has decided. After every access that came to its
// end, Accesses = Reads + Writes = Hits + Misses and Misses = PLocal + Fetches +
// Coalesced + VictimHits; between Miss and CountFill of a MissFill the sum of the
// second is one less.
type Stats struct {
	Accesses uint64 // references, hits and misses
	Reads    uint64 // accesses that read
	Writes   uint64 // accesses that write
	Hits     uint64 // the page had a valid line
	Misses   uint64 // it had not

	PLocal     uint64 // misses filled with zeros, without a message
	Fetches    uint64 // misses filled by the owner of the page
	Coalesced  uint64 // misses that waited for the fill of another thread
	VictimHits uint64 // misses taken back from the victim cache or from a flush

	Evictions    uint64 // valid lines that left for another page
	Flushes      uint64 // dirty evictions
	FinalFlushes uint64 // dirty lines written back by NextDirty
	Piggybacked  uint64 // flushes that travelled with a miss, as the caller counted
}

// fields are the counts in the order of a state.
func (s *Stats) fields() []*uint64 {
	return []*uint64{&s.Accesses, &s.Reads, &s.Writes, &s.Hits, &s.Misses, &s.PLocal, &s.Fetches, &s.Coalesced, &s.VictimHits, &s.Evictions, &s.Flushes,
		&s.FinalFlushes, &s.Piggybacked}
}

// Stats returns the counts so far.
func (c *Cache) Stats() Stats {
	s := c.counts
	s.Accesses = s.Reads + s.Writes
	s.Hits = s.Accesses - s.Misses
	return s
}

// Add adds what another cache counted: that of the same process elsewhere.
func (s *Stats) Add(o Stats) {
	s.Accesses += o.Accesses
	s.Reads += o.Reads
	s.Writes += o.Writes
	s.Hits += o.Hits
	s.Misses += o.Misses
	s.PLocal += o.PLocal
	s.Fetches += o.Fetches
	s.Coalesced += o.Coalesced
	s.VictimHits += o.VictimHits
	s.Evictions += o.Evictions
	s.Flushes += o.Flushes
	s.FinalFlushes += o.FinalFlushes
	s.Piggybacked += o.Piggybacked
}

// Hits is Stats().Hits.
func (c *Cache) Hits() uint64 { return c.counts.Reads + c.counts.Writes - c.counts.Misses }

// CountPiggyback counts a flush that travelled in one message with a miss. Only
// the caller knows; it is a timing counter and outside the law of equal counts.
func (c *Cache) CountPiggyback() { c.counts.Piggybacked++ }

// countMiss counts an access that missed.
func (c *Cache) countMiss(write bool) {
	c.counts.Misses++
	if write {
		c.counts.Writes++
	} else {
		c.counts.Reads++
	}
}

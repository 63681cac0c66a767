package excache

// Stats counts what the cache has decided. After every access that came to its
// end, Accesses = Reads + Writes = Hits + Misses and Misses = PLocal + Fetches +
// Coalesced + VictimHits; between Miss and CountFill of a MissFill the sum of the
// second is one less. PrefetchIssued = PrefetchUseful + PrefetchWasted +
// PrefetchDropped and the lines whose page was prefetched and is not used yet.
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

	PrefetchIssued  uint64 // pages prefetched; no misses
	PrefetchUseful  uint64 // of them, used: the first accesses to them are hits
	PrefetchLate    uint64 // of the useful ones, not there yet when they were used
	PrefetchWasted  uint64 // evicted or unmapped unused
	PrefetchDropped uint64 // they did not come: their owner failed, refused, or is another
	PrefetchRefused uint64 // guesses that were not followed: the bound was reached, or there was no clean victim
}

// fields are the counts in the order of a state.
func (s *Stats) fields() []*uint64 {
	return []*uint64{&s.Accesses, &s.Reads, &s.Writes, &s.Hits, &s.Misses, &s.PLocal, &s.Fetches, &s.Coalesced, &s.VictimHits, &s.Evictions, &s.Flushes,
		&s.FinalFlushes, &s.Piggybacked, &s.PrefetchIssued, &s.PrefetchUseful, &s.PrefetchLate, &s.PrefetchWasted, &s.PrefetchDropped, &s.PrefetchRefused}
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
	to, from := s.fields(), o.fields()
	for i := range to {
		*to[i] += *from[i]
	}
}

// Fetched is how many pages came from their owners, missed or prefetched, if nothing
// is on its way.
func (s *Stats) Fetched() uint64 { return s.Fetches + s.PrefetchIssued - s.PrefetchDropped }

// HitsOnly is how many accesses Hit made: all hits but the first ones to pages that
// were prefetched, which Miss counts.
func (c *Cache) HitsOnly() uint64 {
	return c.counts.Reads + c.counts.Writes - c.counts.Misses - c.counts.PrefetchUseful
}

// Fetches is Stats().Fetches.
func (c *Cache) Fetches() uint64 { return c.counts.Fetches }

// CountRefused counts a guess that the caller did not follow.
func (c *Cache) CountRefused() { c.counts.PrefetchRefused++ }

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

package stack

// Distances finds the stack distance of each reference: how many other pages were referenced since the last reference to the same
// page. A reference hits in every LRU cache that holds more pages than its distance (Mattson et al., "Evaluation techniques for
// storage hierarchies", IBM Systems Journal 9(2), 1970). The zero value is empty.
type Distances struct {
	order order
	hist  []uint64 // references by distance
	cold  uint64   // first references
	total uint64
	sink  uint64 // see order.warm
}

// Touch takes references to pages of these numbers, which are below MaxPages.
func (d *Distances) Touch(ids []uint32) {
	for len(ids) > 0 {
		n := min(len(ids), window)
		top := uint32(0)
		for _, id := range ids[:n] {
			top = max(top, id)
		}
		d.order.reach(top)
		if len(d.hist) < len(d.order.last) {
			grown := make([]uint64, len(d.order.last))
			copy(grown, d.hist)
			d.hist = grown
		}
		d.sink += d.order.warm(ids[:n])
		for _, id := range ids[:n] {
			if dist := d.order.touch(id); dist == never {
				d.cold++
			} else {
				d.hist[dist]++
			}
		}
		d.total += uint64(n)
		ids = ids[n:]
	}
}

// Curve is what was found until now.
func (d *Distances) Curve() *Curve {
	c := &Curve{Requests: d.total, Pages: d.cold, misses: make([]uint64, d.cold+1)}
	// misses[n] is of a cache of n pages: all whose distance is n or more, and the first references.
	sum := d.cold
	for n := int(d.cold); n >= 0; n-- {
		if n < len(d.hist) {
			sum += d.hist[n]
		}
		c.misses[n] = sum
	}
	return c
}

// Curve has the misses of LRU for all sizes.
type Curve struct {
	Requests uint64
	Pages    uint64 // different pages
	misses   []uint64
}

// Misses is how many requests miss in a cache of so many pages.
func (c *Curve) Misses(pages uint64) uint64 { return c.misses[min(pages, uint64(len(c.misses)-1))] }

package excache

import (
	"fmt"
	"slices"
)

// PendingIn returns the oldest unacknowledged flush of a page in [first, last].
// Before a range is unmapped the caller waits until there is none.
func (c *Cache) PendingIn(first, last uint64) (FlushOrder, bool) {
	for i := range c.pending {
		if f := &c.pending[i]; first <= f.page && f.page <= last {
			return f.order(), true
		}
	}
	return FlushOrder{}, false
}

// PinnedIn reports whether a page in [first, last] is pinned or has a fill in
// flight that somebody waits for. Before a range is unmapped the caller waits until
// there is none, and no prefetch in flight, which the caller has issued.
func (c *Cache) PinnedIn(first, last uint64) bool {
	if c.busyCount == 0 {
		return false
	}
	for line := range c.lines {
		l := &c.lines[line]
		if (l.state == lineFilling || l.state == lineValid) && c.busy.Has(uint32(line)) && first <= l.page && l.page <= last {
			return true
		}
	}
	return false
}

// Drop discards every page in [first, last] from the lines and the victim cache,
// dirty or not, because the range was unmapped, and calls visit, which may be nil
// and must not call the cache, for each in ascending order. It is no eviction and
// counts nothing but prefetched pages that were wasted. It panics if one of the pages is pinned or being filled (see
// PinnedIn). Flushes in flight are not called back (see PendingIn): their frames
// stay with them.
func (c *Cache) Drop(first, last uint64, visit func(page uint64)) {
	for _, page := range c.pagesIn(first, last) {
		if line, ok := c.index.find(page); ok {
			if c.busy.Has(line) || c.hot[line]&hotFilling != 0 {
				panic(fmt.Sprintf("excache: page %#x was dropped while it is pinned on line %d, or on its way", page, line))
			}
			if c.hot[line]&hotFresh != 0 {
				c.counts.PrefetchWasted++
			}
			c.index.remove(page)
			c.policy.Remove(line)
			c.giveFrame(c.hot[line] & hotFrame)
			c.freeLine(line)
		} else {
			c.giveFrame(c.removeEntry(c.findEntry(page)).frame)
		}
		if visit != nil {
			visit(page)
		}
	}
}

// pagesIn lists the pages of a range that a line or an entry holds, ascending. A
// small range is looked up page by page, a large one found by walking the lines.
func (c *Cache) pagesIn(first, last uint64) []uint64 {
	if first > last {
		return nil
	}
	var pages []uint64
	if last-first < uint64(len(c.lines)) {
		for page := first; ; page++ {
			if _, ok := c.index.find(page); ok {
				pages = append(pages, page)
			}
			if page == last { // and not page <= last, which never ends at the top
				break
			}
		}
	} else {
		for line := range c.lines {
			l := &c.lines[line]
			if (l.state == lineFilling || l.state == lineValid) && first <= l.page && l.page <= last {
				pages = append(pages, l.page)
			}
		}
	}
	for i := range c.victims {
		if page := c.victims[i].page; first <= page && page <= last {
			pages = append(pages, page)
		}
	}
	slices.Sort(pages)
	return pages
}

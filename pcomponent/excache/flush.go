package excache

import "fmt"

// FlushOrder asks the caller to send the bytes of a frame to the owner of a page,
// again and again until the owner acknowledges. The frame does not change or move
// until then.
type FlushOrder struct {
	// ID names the flush and is the version of the page: it grows strictly with
	// each flush of the process, so the owner can refuse an older one that a retry
	// brings late.
	ID    uint64
	Page  uint64
	Frame uint32
	// MustAckFirst: the fill of the line that the page left starts only after the
	// acknowledgement (write-protect). With a take-back there is no fill, and
	// nothing waits.
	MustAckFirst bool
}

// flush is an order that is not acknowledged.
type flush struct {
	id      uint64
	page    uint64
	frame   uint32
	owner   bool // nobody else holds the frame: it is free after the acknowledgement
	mustAck bool
	stale   bool // a newer flush of the page was acknowledged: these are not its newest bytes
}

func (f *flush) order() FlushOrder {
	return FlushOrder{ID: f.id, Page: f.page, Frame: f.frame, MustAckFirst: f.mustAck}
}

// startFlush puts a flush at the end of those pending; the caller has made sure
// that there is room.
func (c *Cache) startFlush(f flush) FlushOrder {
	if len(c.pending) == cap(c.pending) {
		panic("excache: a flush was started beyond flush_frames")
	}
	c.lastID++
	f.id = c.lastID
	c.pending = append(c.pending, f)
	return f.order()
}

// newestFlush returns the pending flush that has the newest bytes of a page, or
// nil if the owner has them. It is valid until the next change of the pending
// flushes.
func (c *Cache) newestFlush(page uint64) *flush {
	for i := len(c.pending) - 1; i >= 0; i-- {
		if c.pending[i].page == page {
			if c.pending[i].stale {
				return nil // and so are all older ones
			}
			return &c.pending[i]
		}
	}
	return nil
}

// flushReads reports whether a pending flush reads the frame.
func (c *Cache) flushReads(frame uint32) bool {
	for i := range c.pending {
		if c.pending[i].frame == frame {
			return true
		}
	}
	return false
}

// FlushAcked reports that the owner has applied a flush, or something newer. The
// frame becomes free, unless a line or the victim cache still holds the page in
// it. A second acknowledgement of one flush is ignored; one of a flush that was
// never ordered panics.
func (c *Cache) FlushAcked(id uint64) {
	if id == 0 || id > c.lastID {
		panic(fmt.Sprintf("excache: flush %d was acknowledged, the last one ordered is %d", id, c.lastID))
	}
	for i := range c.pending {
		if c.pending[i].id != id {
			continue
		}
		f := c.pending[i]
		c.pending = append(c.pending[:i], c.pending[i+1:]...)
		for k := range c.pending[:i] { // those with lower ids
			if c.pending[k].page == f.page {
				c.pending[k].stale = true
			}
		}
		if f.owner {
			c.frames = append(c.frames, f.frame)
		} else if line, ok := c.index.find(f.page); ok && c.hot[line]&hotFrame == f.frame {
			c.hot[line] &^= hotWriteback
		}
		return
	}
}

// Flushing is the number of flushes that are not acknowledged.
func (c *Cache) Flushing() int { return len(c.pending) }

// FlushingPages appends the pages of the unacknowledged flushes to dst, oldest
// first. A page appears once for each of its flushes.
func (c *Cache) FlushingPages(dst []uint64) []uint64 {
	for i := range c.pending {
		dst = append(dst, c.pending[i].page)
	}
	return dst
}

// OldestFlush returns the unacknowledged flush with the lowest id.
func (c *Cache) OldestFlush() (FlushOrder, bool) {
	if len(c.pending) == 0 {
		return FlushOrder{}, false
	}
	return c.pending[0].order(), true
}

// PendingFlush returns the newest flush of a page unless it is acknowledged. An
// older one that is still under way then does not matter: the owner ignores it.
func (c *Cache) PendingFlush(page uint64) (FlushOrder, bool) {
	if f := c.newestFlush(page); f != nil {
		return f.order(), true
	}
	return FlushOrder{}, false
}

// WritebackKind says what a step of the final write-back came to.
type WritebackKind uint8

const (
	// WritebackDone: no line from the given one on is dirty.
	WritebackDone WritebackKind = iota + 1
	// WritebackFlush: Flush must be sent now; go on from Next.
	WritebackFlush
	// WritebackStallFlush: nothing changed. Wait for the acknowledgement of the
	// flush StallOn, then ask again from Next.
	WritebackStallFlush
	// WritebackStallLine: nothing changed. The next dirty line is pinned, or a
	// line has a fill in flight; wait for any completion, then ask again from
	// Next.
	WritebackStallLine
)

// Writeback is one step of the final write-back.
type Writeback struct {
	Kind    WritebackKind
	Flush   FlushOrder
	StallOn uint64
	Next    uint32 // the line to go on from
}

// NextDirty starts the write-back of the first dirty line at or after from, in
// the order of lines. The first call is from 0, each further one from Next, until
// WritebackDone:
//
//	for from := uint32(0); ; {
//		w := c.NextDirty(from)
//		from = w.Next
//		switch w.Kind { ... }
//	}
//
// The page keeps its line and is clean; it is counted as a final flush. Reads of
// it go on. A write to it waits for the acknowledgement (Hit returns false, Miss
// returns StallFlush), because the flush reads the frame. Whoever wants equal
// counts from equal references waits for all acknowledgements before going on.
func (c *Cache) NextDirty(from uint32) Writeback {
	for line := from; line < uint32(len(c.lines)); line++ {
		h := c.hot[line]
		if h&(hotDirty|hotFilling) == 0 || h&hotFresh != 0 {
			continue // clean, or prefetched: nobody writes to it before it is used
		}
		if c.busy.Has(line) {
			return Writeback{Kind: WritebackStallLine, Next: line}
		}
		if len(c.pending) == c.options.FlushFrames {
			return Writeback{Kind: WritebackStallFlush, StallOn: c.pending[0].id, Next: line}
		}
		c.counts.FinalFlushes++
		c.hot[line] = h&^hotDirty | hotWriteback
		order := c.startFlush(flush{page: c.lines[line].page, frame: h & hotFrame})
		return Writeback{Kind: WritebackFlush, Flush: order, Next: line + 1}
	}
	return Writeback{Kind: WritebackDone, Next: uint32(len(c.lines))}
}

package excache

import (
	"fmt"

	"splitkernel/pcomponent/policy"
)

// MissKind says what a miss came to.
type MissKind uint8

const (
	// MissFill: Line and Frame are reserved and pinned for the caller, who calls
	// CountFill, fills the frame, and calls Filled or FillFailed.
	MissFill MissKind = iota + 1
	// MissCoalesced: another thread's fill of this page is in flight on Line,
	// now pinned for this caller too, who waits until that fill has ended and
	// then calls Complete, or Unpin if it failed.
	MissCoalesced
	// MissTakeBack: the bytes were still here. Line is valid and pinned; if Copy,
	// the caller copies CopyFrom to Frame before it releases its lock; then
	// Complete.
	MissTakeBack
	// StallFlush: nothing was counted or changed. The caller waits until the
	// flush StallOn is acknowledged and starts the access again, with Hit.
	StallFlush
	// StallLine: nothing was counted or changed. Every line of the set is
	// pinned or in flight; the caller waits for any Filled, FillFailed, Complete
	// or Unpin and starts the access again, with Hit.
	StallLine
	// MissPresent: nothing was counted or changed. The page has a valid line: the
	// caller starts the access again, with Hit. Only a caller that did not call
	// Hit first, under the same lock, sees this.
	MissPresent
	// MissPrefetched is the first use of a page that was prefetched: it is counted as
	// a hit. Line is valid and pinned; then Complete.
	MissPrefetched
	// MissLate is the same for a page that has not come yet. Line is pinned; the
	// caller waits for Filled and then calls Complete.
	MissLate
	// StallPrefetch: nothing was counted or changed. The victim is Line, and its
	// prefetch is in flight. Another one would be a victim that depends on when it
	// comes, so the caller waits for its Filled or PrefetchFailed and starts the
	// access again, with Hit.
	StallPrefetch
)

// String returns the name of the kind, for messages and logs.
func (k MissKind) String() string {
	switch k {
	case MissFill:
		return "fill"
	case MissCoalesced:
		return "coalesced"
	case MissTakeBack:
		return "take-back"
	case StallFlush:
		return "stall-flush"
	case StallLine:
		return "stall-line"
	case MissPresent:
		return "present"
	case MissPrefetched:
		return "prefetched"
	case MissLate:
		return "late"
	case StallPrefetch:
		return "stall-prefetch"
	}
	return fmt.Sprintf("MissKind(%d)", uint8(k))
}

// Miss is the outcome of a miss, and all that the caller must do about it.
type Miss struct {
	Kind  MissKind
	Line  uint32 // of fill, coalesced and take-back: pinned for the caller
	Frame uint32 // the frame of Line

	Copy     bool   // take-back: copy CopyFrom to Frame before releasing the lock
	CopyFrom uint32 // the frame of a flush in flight

	Evicted     bool   // another page left Line
	EvictedPage uint64 // that page
	HasFlush    bool   // that page was dirty, and Flush must be sent now
	Flush       FlushOrder

	StallOn uint64 // stall-flush: the flush to wait for
}

// Miss makes an access to a page for which Hit returned false. Unless it stalls,
// it counts the access, the miss and the eviction, and tells the policy. It
// panics on a page of MaxPages or more.
func (c *Cache) Miss(page uint64, write bool) Miss {
	if page >= MaxPages {
		panic(fmt.Sprintf("excache: page %#x, want less than %#x", page, MaxPages))
	}
	if line, ok := c.index.find(page); ok {
		return c.missOnLine(page, line, write)
	}

	// Where are the newest bytes? Everything that can stall comes before the
	// first change, so that a stalled access leaves no trace.
	found := c.findEntry(page)
	var back *flush
	if found < 0 {
		if back = c.newestFlush(page); back != nil && c.options.Mechanism != MechanismWriteProtect {
			return Miss{Kind: StallFlush, StallOn: back.id}
		}
	}
	set := uint32(page & c.setMask)
	line, full := c.free[set], false
	if line == none {
		var ok bool
		if line, ok = c.policy.Victim(set, page, c.busyLines()); !ok {
			return Miss{Kind: StallLine}
		}
		if c.hot[line]&hotFilling != 0 {
			return Miss{Kind: StallPrefetch, Line: line}
		}
		if c.hot[line]&hotDirty != 0 && len(c.pending) == c.options.FlushFrames {
			return Miss{Kind: StallFlush, StallOn: c.pending[0].id}
		}
		full = true
	}

	c.countMiss(write)
	m := Miss{Kind: MissFill, Line: line}
	var taken entry
	if found >= 0 { // before the eviction, which may need the room
		taken = c.removeEntry(found)
	}
	var backFrame uint32
	if back != nil { // before the eviction, which moves the flushes
		backFrame = back.frame
	}
	if full {
		c.evict(line, &m)
	} else {
		c.free[set] = c.lines[line].next
	}

	switch {
	case found >= 0 && !c.flushReads(taken.frame):
		m.Kind, m.Frame = MissTakeBack, taken.frame
	case found >= 0:
		c.giveFrame(taken.frame) // to its flush
		m.Kind, m.Frame, m.Copy, m.CopyFrom = MissTakeBack, c.takeFrame(), true, taken.frame
	case back != nil:
		m.Kind, m.Frame, m.Copy, m.CopyFrom = MissTakeBack, c.takeFrame(), true, backFrame
	default:
		m.Frame = c.takeFrame()
	}
	s := slot{page: page, state: lineValid}
	c.hot[line] = m.Frame
	if m.Kind == MissFill {
		s.state, s.unclassified = lineFilling, true
		c.hot[line] |= hotFilling
	} else {
		c.counts.VictimHits++
	}
	c.lines[line] = s
	c.index.insert(page, line)
	c.policy.Insert(line, page)
	c.pin(line)
	return m
}

// missOnLine is a miss on a page that has a line after all.
func (c *Cache) missOnLine(page uint64, line uint32, write bool) Miss {
	h := c.hot[line]
	switch {
	case h&hotFresh != 0:
		return c.firstUse(line, write)
	case h&hotFilling != 0:
		c.countMiss(write)
		c.counts.Coalesced++
		c.policy.Touch(line)
		c.pin(line)
		return Miss{Kind: MissCoalesced, Line: line, Frame: h & hotFrame}
	case h&hotWriteback != 0 && write:
		return Miss{Kind: StallFlush, StallOn: c.newestFlush(page).id}
	}
	return Miss{Kind: MissPresent, Line: line, Frame: h & hotFrame}
}

// busyLines is what the policy must not choose; nil when there is nothing to ask,
// as always with one access outstanding.
func (c *Cache) busyLines() policy.Busy {
	if c.busyCount == 0 {
		return nil
	}
	return c.busy
}

// evict takes the page off a valid line, by the mechanism of the cache.
func (c *Cache) evict(line uint32, m *Miss) {
	page, h := c.lines[line].page, c.hot[line]
	frame, dirty := h&hotFrame, h&hotDirty != 0
	c.index.remove(page)
	c.policy.Evict(line)
	c.counts.Evictions++
	if h&hotFresh != 0 {
		c.counts.PrefetchWasted++
	}
	m.Evicted, m.EvictedPage = true, page

	kept := c.options.Mechanism == MechanismVictim
	if dirty {
		c.counts.Flushes++
		m.HasFlush = true
		m.Flush = c.startFlush(flush{
			page:    page,
			frame:   frame,
			owner:   !kept,
			mustAck: c.options.Mechanism == MechanismWriteProtect,
		})
	}
	switch {
	case kept:
		c.pushEntry(entry{page: page, frame: frame})
	case !dirty:
		c.giveFrame(frame)
	}
}

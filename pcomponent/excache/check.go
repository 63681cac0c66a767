package excache

import "fmt"

// CheckInvariants reports the first inconsistency of the inner state. It costs a
// walk over everything and is for tests and for debugging.
func (c *Cache) CheckInvariants() error {
	held := make([]holder, c.Frames()) // by frame
	hold := func(frame uint32, by holder) error {
		if int(frame) >= len(held) {
			return fmt.Errorf("excache: %s has frame %d, there are %d", by, frame, len(held))
		}
		if held[frame] != (holder{}) {
			return fmt.Errorf("excache: frame %d is held by %s and by %s", frame, held[frame], by)
		}
		held[frame] = by
		return nil
	}
	for _, check := range []func(holdFunc) error{
		c.checkLines, c.checkIndex, c.checkFree, c.checkEntries, c.checkFlushes, c.checkCounts,
	} {
		if err := check(hold); err != nil {
			return err
		}
	}
	for frame, who := range held {
		if who == (holder{}) {
			return fmt.Errorf("excache: frame %d is held by nobody and is not free", frame)
		}
	}
	return c.policy.CheckInvariants()
}

// holder is who holds a frame; a name is made of it only for an error.
type holder struct {
	kind string
	id   uint64
}

func (h holder) String() string { return fmt.Sprintf("%s %d", h.kind, h.id) }

// holdFunc notes the holder of a frame and refuses a second one.
type holdFunc func(frame uint32, by holder) error

func (c *Cache) checkLines(hold holdFunc) error {
	busy := 0
	for i := range c.lines {
		line, l, h := uint32(i), &c.lines[i], c.hot[i]
		inUse := l.state == lineFilling || l.state == lineValid
		found, indexed := c.index.find(l.page)
		switch {
		case inUse && (!indexed || found != line):
			return fmt.Errorf("excache: page %#x is on line %d, the index says line %d, %t", l.page, line, found, indexed)
		case inUse && uint32(l.page&c.setMask) != line/c.ways:
			return fmt.Errorf("excache: page %#x is on line %d of set %d", l.page, line, line/c.ways)
		case inUse != c.policy.Has(line):
			return fmt.Errorf("excache: line %d in use: %t, in the policy: %t", line, inUse, !inUse)
		case !inUse && h != 0:
			return fmt.Errorf("excache: line %d holds no page, its word is %#x", line, h)
		case (l.state == lineFilling) != (h&hotFilling != 0):
			return fmt.Errorf("excache: line %d has state %d, its word is %#x", line, l.state, h)
		case h&hotDirty != 0 && h&(hotFilling|hotWriteback) != 0:
			return fmt.Errorf("excache: line %d is dirty while it is filled or written back: %#x", line, h)
		case l.state == lineFree && l.pins > 0, l.state == lineFailed && l.pins == 0:
			return fmt.Errorf("excache: line %d has state %d and %d pins", line, l.state, l.pins)
		case h&hotFresh != 0 && (h&(hotDirty|hotWriteback) != 0 || l.pins > 0 || l.unclassified):
			return fmt.Errorf("excache: line %d was prefetched and is not used, its word is %#x, with %d pins", line, h, l.pins)
		case c.busy.Has(line) != (l.pins > 0 || l.state == lineFilling && h&hotFresh == 0):
			return fmt.Errorf("excache: line %d busy: %t, with state %d and %d pins", line, c.busy.Has(line), l.state, l.pins)
		}
		if c.busy.Has(line) {
			busy++
		}
		if inUse {
			if err := hold(h&hotFrame, holder{"line", uint64(line)}); err != nil {
				return err
			}
		}
	}
	if busy != c.busyCount {
		return fmt.Errorf("excache: %d lines are busy, counted %d", busy, c.busyCount)
	}
	return nil
}

func (c *Cache) checkIndex(holdFunc) error {
	indexed, inUse := 0, 0
	for _, e := range c.index.table {
		if e != 0 {
			indexed++
		}
	}
	for i := range c.lines {
		if s := c.lines[i].state; s == lineFilling || s == lineValid {
			inUse++
		}
	}
	if indexed != inUse || 2*indexed > len(c.index.table) {
		return fmt.Errorf("excache: the index has %d entries in %d places for %d lines in use", indexed, len(c.index.table), inUse)
	}
	return nil
}

func (c *Cache) checkFree(hold holdFunc) error {
	chained := 0
	for set, first := range c.free {
		for line := first; line != none; line = c.lines[line].next {
			if c.lines[line].state != lineFree || line/c.ways != uint32(set) {
				return fmt.Errorf("excache: line %d with state %d is on the free chain of set %d", line, c.lines[line].state, set)
			}
			if chained++; chained > len(c.lines) {
				return fmt.Errorf("excache: the free chain of set %d has no end", set)
			}
		}
	}
	for i := range c.lines {
		if c.lines[i].state == lineFree {
			chained--
		}
	}
	if chained != 0 {
		return fmt.Errorf("excache: %d more lines are chained than free", chained)
	}
	for _, frame := range c.frames {
		if err := hold(frame, holder{"free frame", uint64(frame)}); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cache) checkEntries(hold holdFunc) error {
	if len(c.victims) > 0 && (c.options.Mechanism != MechanismVictim || len(c.victims) > c.options.VictimLines) {
		return fmt.Errorf("excache: %d victim entries with mechanism %s, at most %d", len(c.victims), c.options.Mechanism, c.options.VictimLines)
	}
	for i, e := range c.victims {
		if line, ok := c.index.find(e.page); ok {
			return fmt.Errorf("excache: page %#x is in the victim cache and on line %d", e.page, line)
		}
		if c.findEntry(e.page) != i {
			return fmt.Errorf("excache: page %#x is in the victim cache twice", e.page)
		}
		if err := hold(e.frame, holder{"the victim entry of page", e.page}); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cache) checkFlushes(hold holdFunc) error {
	if len(c.pending) > c.options.FlushFrames {
		return fmt.Errorf("excache: %d flushes are pending, at most %d", len(c.pending), c.options.FlushFrames)
	}
	writebacks := 0
	for _, h := range c.hot {
		if h&hotWriteback != 0 {
			writebacks++
		}
	}
	last := uint64(0)
	for i := range c.pending {
		f := &c.pending[i]
		if f.id <= last || f.id > c.lastID {
			return fmt.Errorf("excache: flush %d is pending after flush %d, the last one ordered is %d", f.id, last, c.lastID)
		}
		last = f.id
		if f.owner {
			if err := hold(f.frame, holder{"flush", f.id}); err != nil {
				return err
			}
			continue
		}
		// Shared: the frame must be that of the page's line or victim entry.
		if line, ok := c.index.find(f.page); ok && c.hot[line]&(hotFrame|hotWriteback) == f.frame|hotWriteback {
			writebacks--
			continue
		}
		if e := c.findEntry(f.page); e < 0 || c.victims[e].frame != f.frame {
			return fmt.Errorf("excache: flush %d of page %#x shares frame %d with nobody", f.id, f.page, f.frame)
		}
	}
	if writebacks != 0 {
		return fmt.Errorf("excache: %d lines are written back without a flush", writebacks)
	}
	return nil
}

func (c *Cache) checkCounts(holdFunc) error {
	open, fresh := uint64(0), uint64(0)
	for i := range c.lines {
		if c.lines[i].unclassified {
			open++
		}
		if c.hot[i]&hotFresh != 0 {
			fresh++
		}
	}
	if c.Fresh() != fresh {
		return fmt.Errorf("excache: %d pages were prefetched and are not used, the counts say %+v", fresh, c.counts)
	}
	s := c.Stats()
	if s.Accesses < s.Misses || s.Misses != s.PLocal+s.Fetches+s.Coalesced+s.VictimHits+open {
		return fmt.Errorf("excache: with %d fills not yet counted, the counts do not add up: %+v", open, s)
	}
	return nil
}

package excache

import "fmt"

// CountFill says what the fill of a line is that Miss returned as MissFill: zeros
// made locally (plocal) or a fetch. The caller calls it once for each MissFill,
// before it completes the access.
func (c *Cache) CountFill(line uint32, plocal bool) {
	l := &c.lines[line]
	if !l.unclassified {
		panic(fmt.Sprintf("excache: CountFill of line %d, whose fill was counted already", line))
	}
	l.unclassified = false
	if plocal {
		c.counts.PLocal++
	} else {
		c.counts.Fetches++
	}
}

// Filled reports that the bytes of a line have come: from now on it is hit. It
// touches no replacement state and no pin.
func (c *Cache) Filled(line uint32) {
	c.endFill(line, "Filled")
	c.lines[line].state = lineValid
	c.hot[line] &^= hotFilling
	c.settle(line)
}

// FillFailed reports that the bytes will not come. The page loses the line and
// the frame at once, so that the next access to it tries again. All who pinned the
// line, the one who filled it included, still call Unpin; the last frees it. A
// fill that was not classified counts as a fetch.
func (c *Cache) FillFailed(line uint32) {
	c.endFill(line, "FillFailed")
	if c.lines[line].unclassified {
		c.CountFill(line, false)
	}
	c.index.remove(c.lines[line].page)
	c.policy.Remove(line)
	c.giveFrame(c.hot[line] & hotFrame)
	c.lines[line].state = lineFailed
	c.hot[line] = 0
	c.settle(line)
}

func (c *Cache) endFill(line uint32, call string) {
	if c.lines[line].state != lineFilling {
		panic(fmt.Sprintf("excache: %s of line %d, which has no fill in flight", call, line))
	}
}

// Complete makes the access for which a line was pinned: it marks the line dirty
// if the access writes, gives up the pin, and returns the frame, which the caller
// uses before it releases its lock. The access was counted by Miss.
func (c *Cache) Complete(line uint32, write bool) (frame uint32) {
	l := &c.lines[line]
	switch {
	case l.state != lineValid:
		panic(fmt.Sprintf("excache: Complete of line %d, which is not filled: wait for Filled, or Unpin after FillFailed", line))
	case l.unclassified:
		panic(fmt.Sprintf("excache: Complete of line %d before CountFill", line))
	}
	if write {
		c.hot[line] |= hotDirty
	}
	c.Unpin(line)
	return c.hot[line] & hotFrame
}

// Unpin gives up a pin without an access.
func (c *Cache) Unpin(line uint32) {
	l := &c.lines[line]
	if l.pins == 0 {
		panic(fmt.Sprintf("excache: Unpin of line %d, which is not pinned", line))
	}
	l.pins--
	c.settle(line)
}

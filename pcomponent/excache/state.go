package excache

import (
	"encoding/binary"
	"fmt"

	"splitkernel/netlayer/tape"
	"splitkernel/pcomponent/policy"
)

// Bits of what a state says of a line.
const (
	tapeInUse        = 1 // it has a page and a frame
	tapeFailed       = 2
	tapeFilling      = 4
	tapeDirty        = 8
	tapeWriteback    = 16
	tapePinned       = 32
	tapeUnclassified = 64
	tapeFresh        = 128
)

// AppendState appends all on which later outcomes depend. Caches that were made and called alike append the same.
//
//	the counters, the last flush
//	each line: bits, page − that of the line in use before, frame, pins
//	each set: the number of its free lines, and their ways, in the order in which they are taken
//	number of free frames, and each; of flushes, and of each its number − that of the one before, page, frame, bits (owner, must ack, stale);
//	of victim entries, and of each page and frame
//	the state of the policy
//
// Numbers have 7 bits a byte, differences of pages are zigzag; of a line there is only what its bits say.
func (c *Cache) AppendState(b []byte) []byte {
	u := binary.AppendUvarint
	for _, n := range c.counts.fields() {
		b = u(b, *n)
	}
	b = u(b, c.lastID)
	page := uint64(0)
	for i := range c.lines {
		l, h := &c.lines[i], c.hot[i]
		x := byte(0)
		set := func(bit byte, v bool) {
			if v {
				x |= bit
			}
		}
		set(tapeInUse, l.state == lineFilling || l.state == lineValid)
		set(tapeFailed, l.state == lineFailed)
		set(tapeFilling, l.state == lineFilling)
		set(tapeDirty, h&hotDirty != 0)
		set(tapeWriteback, h&hotWriteback != 0)
		set(tapePinned, l.pins > 0)
		set(tapeUnclassified, l.unclassified)
		set(tapeFresh, h&hotFresh != 0)
		b = append(b, x)
		if x&tapeInUse != 0 {
			b = u(binary.AppendVarint(b, int64(l.page-page)), uint64(h&hotFrame))
			page = l.page
		}
		if x&tapePinned != 0 {
			b = u(b, uint64(l.pins))
		}
	}
	for set, first := range c.free {
		n := uint64(0)
		for line := first; line != none; line = c.lines[line].next {
			n++
		}
		b = u(b, n)
		for line := first; line != none; line = c.lines[line].next {
			b = u(b, uint64(line)-uint64(set)*uint64(c.ways))
		}
	}
	b = u(b, uint64(len(c.frames)))
	for _, f := range c.frames {
		b = u(b, uint64(f))
	}
	b = u(b, uint64(len(c.pending)))
	last := uint64(0)
	for i := range c.pending {
		f := &c.pending[i]
		b = u(u(u(b, f.id-last), f.page), uint64(f.frame))
		b = tape.AppendBool(tape.AppendBool(tape.AppendBool(b, f.owner), f.mustAck), f.stale)
		last = f.id
	}
	b = u(b, uint64(len(c.victims)))
	for _, e := range c.victims {
		b = u(u(b, e.page), uint64(e.frame))
	}
	return c.policy.AppendState(b)
}

// ReadState makes a cache that was just made like the one that appended. After an error it is of no use.
func (c *Cache) ReadState(r *tape.Reader) error {
	for _, n := range c.counts.fields() {
		*n = r.Uint()
	}
	c.lastID = r.Uint()
	frame := func() uint32 { return uint32(r.Below(uint64(c.Frames()))) }
	page := uint64(0)
	for i := range c.lines {
		x := r.Byte(0)
		if r.Err() != nil {
			return r.Err()
		}
		line, l := uint32(i), &c.lines[i]
		*l = slot{next: none, unclassified: x&tapeUnclassified != 0}
		switch {
		case x&tapeInUse != 0:
			page += uint64(r.Int())
			f := frame()
			if _, twice := c.index.find(page); page >= MaxPages || twice || x&tapeFailed != 0 {
				r.Fail("page %#x of line %d is too large, or on another line, too, or its fill has failed", page, line)
			}
			if r.Err() != nil {
				return r.Err()
			}
			l.page, l.state = page, lineValid
			c.hot[line] = f
			if x&tapeFilling != 0 {
				l.state = lineFilling
				c.hot[line] |= hotFilling
			}
			if x&tapeDirty != 0 {
				c.hot[line] |= hotDirty
			}
			if x&tapeWriteback != 0 {
				c.hot[line] |= hotWriteback
			}
			if x&tapeFresh != 0 {
				c.hot[line] |= hotFresh
			}
			c.index.insert(page, line)
		case x&tapeFailed != 0:
			l.state = lineFailed
		}
		if x&tapePinned != 0 {
			l.pins = uint32(r.Below(1 << 32))
		}
		if l.pins > 0 || l.state == lineFilling && c.hot[line]&hotFresh == 0 {
			c.setBusy(line)
		}
	}
	c.readFree(r)
	c.frames = c.frames[:0]
	for n := r.Below(uint64(c.Frames()) + 1); n > 0 && r.Err() == nil; n-- {
		c.frames = append(c.frames, frame())
	}
	last := uint64(0)
	for n := r.Below(uint64(c.options.FlushFrames) + 1); n > 0 && r.Err() == nil; n-- {
		last += r.Uint()
		c.pending = append(c.pending, flush{id: last, page: r.Below(MaxPages), frame: frame(), owner: r.Bool(), mustAck: r.Bool(), stale: r.Bool()})
	}
	for n := r.Below(uint64(cap(c.victims)) + 1); n > 0 && r.Err() == nil; n-- {
		c.victims = append(c.victims, entry{r.Below(MaxPages), frame()})
	}
	c.policy.ReadState(r)
	if r.Err() != nil {
		return r.Err()
	}
	if err := c.CheckInvariants(); err != nil {
		return fmt.Errorf("the state is inconsistent: %w", err)
	}
	return nil
}

// readFree reads the chains of free lines.
func (c *Cache) readFree(r *tape.Reader) {
	chained := make(policy.Busy, (len(c.lines)+63)/64)
	for set := range c.free {
		c.free[set] = none
		last := &c.free[set]
		for n := r.Below(uint64(c.ways) + 1); n > 0; n-- {
			line := uint32(set)*c.ways + uint32(r.Below(uint64(c.ways)))
			if r.Err() != nil {
				return
			}
			if chained.Has(line) {
				r.Fail("line %d is free twice", line)
				return
			}
			chained.Set(line)
			*last = line
			last = &c.lines[line].next
		}
	}
}

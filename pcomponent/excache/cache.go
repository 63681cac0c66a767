package excache

import (
	"fmt"

	"splitkernel/pcomponent/policy"
)

// Cache is the ExCache of one process; see the package documentation for who may
// call what, and when.
type Cache struct {
	index  index
	hot    []uint32 // by line: all that a hit needs, see below
	policy policy.Policy
	counts Stats // Accesses and Hits stay 0 here: they follow from the others

	lines   []slot
	free    []uint32 // by set: first line without a page, chained by slot.next
	setMask uint64
	ways    uint32

	busy      policy.Busy // lines that must not be victims
	busyCount int

	frames  []uint32 // free frames, the last is used first: its bytes are warm
	pending []flush  // unacknowledged flushes, in the order of their ids
	lastID  uint64   // id of the last flush
	victims []entry  // the victim cache, oldest first; empty for other mechanisms

	options Options
}

// The word of a line in hot is its frame and these bits. A hit loads this word
// and the entry of the index, and nothing else of a line.
const (
	hotDirty     = 1 << 31      // written since it was filled or flushed
	hotFilling   = 1 << 30      // the fill is in flight: not yet a hit
	hotWriteback = 1 << 29      // a final flush reads the frame: no writes now
	hotFresh     = 1 << 28      // prefetched, and not used yet: the first use is not a plain hit
	hotFrame     = hotFresh - 1 // the frame
)

// none ends a chain of free lines.
const none = ^uint32(0)

// slot is what only misses need of a line.
type slot struct {
	page  uint64
	pins  uint32
	next  uint32 // of a free line: the next free line of the set
	state lineState
	// unclassified: CountFill has yet to say what the fill of this line was.
	unclassified bool
}

type lineState uint8

const (
	lineFree    lineState = iota // on the chain of free lines
	lineFilling                  // has a page and a frame; bytes are coming
	lineValid                    // has a page and a frame
	lineFailed                   // its fill failed; has neither, waits for its last pin
)

// New makes an empty cache. It fails with the faults of Validate, and for belady,
// which needs NewForeseeing.
func New(o Options) (*Cache, error) { return NewForeseeing(o, nil) }

// NewForeseeing makes an empty cache that is told all accesses that will be made,
// for belady; the other policies do not look at future.
func NewForeseeing(o Options, future *policy.Future) (*Cache, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("excache: %w", err)
	}
	ways := o.Ways
	if ways == 0 {
		ways = o.Lines
	}
	sets := o.Lines / ways
	p, err := policy.New(o.Policy, sets, ways, policy.Options{Seed: o.Seed, SweepEvery: o.SweepEvery, LFUAgeEvery: o.LFUAgeEvery, Future: future})
	if err != nil {
		return nil, fmt.Errorf("excache: %w", err)
	}
	c := &Cache{
		index:   makeIndex(o.Lines),
		hot:     make([]uint32, o.Lines),
		policy:  p,
		lines:   make([]slot, o.Lines),
		free:    make([]uint32, sets),
		setMask: uint64(sets - 1),
		ways:    uint32(ways),
		busy:    make(policy.Busy, (o.Lines+63)/64),
		frames:  make([]uint32, o.Frames()),
		pending: make([]flush, 0, o.FlushFrames),
		options: o,
	}
	if o.Mechanism == MechanismVictim {
		c.victims = make([]entry, 0, o.VictimLines)
	}
	for set := range c.free {
		first := uint32(set * ways)
		c.free[set] = first
		for l := first; l < first+c.ways; l++ {
			c.lines[l].next = l + 1
		}
		c.lines[first+c.ways-1].next = none
	}
	for i := range c.frames {
		c.frames[i] = uint32(len(c.frames) - 1 - i)
	}
	return c, nil
}

// Options returns what the cache was made of.
func (c *Cache) Options() Options { return c.options }

// Frames is the number of frames that the shell must hold; frames are numbered
// from 0.
func (c *Cache) Frames() int { return c.options.Frames() }

// Hit makes an access to a page that has a valid line: it counts the access,
// tells the policy, marks the line dirty if it is a write, and returns the frame,
// which the caller uses before it releases its lock. If it returns false nothing
// was counted or changed, and the caller goes on to Miss, also for the first use of
// a page that was prefetched.
func (c *Cache) Hit(page uint64, write bool) (frame uint32, ok bool) {
	line, ok := c.index.find(page)
	if !ok {
		return 0, false
	}
	h := c.hot[line]
	if h&(hotFilling|hotWriteback|hotFresh) != 0 && (write || h&(hotFilling|hotFresh) != 0) {
		return 0, false
	}
	if write {
		c.hot[line] = h | hotDirty
		c.counts.Writes++
	} else {
		c.counts.Reads++
	}
	c.policy.Touch(line)
	return h & hotFrame, true
}

// Page returns the page of a pinned line, for messages and checks.
func (c *Cache) Page(line uint32) uint64 { return c.lines[line].page }

// Valid reports whether a pinned line holds its page: false while the fill is in
// flight and after it failed.
func (c *Cache) Valid(line uint32) bool { return c.lines[line].state == lineValid }

// pin takes one more pin on a line.
func (c *Cache) pin(line uint32) {
	c.lines[line].pins++
	c.setBusy(line)
}

func (c *Cache) setBusy(line uint32) {
	if !c.busy.Has(line) {
		c.busy.Set(line)
		c.busyCount++
	}
}

// settle clears the busy mark of a line that nobody needs any more, and frees it
// if its fill failed.
func (c *Cache) settle(line uint32) {
	l := &c.lines[line]
	if l.pins > 0 || l.state == lineFilling || !c.busy.Has(line) {
		return
	}
	c.busy.Clear(line)
	c.busyCount--
	if l.state == lineFailed {
		c.freeLine(line)
	}
}

// freeLine puts a line without page, frame and pins on the chain of its set.
func (c *Cache) freeLine(line uint32) {
	set := line / c.ways
	c.lines[line] = slot{next: c.free[set]}
	c.hot[line] = 0
	c.free[set] = line
}

// takeFrame returns a free frame. There is always one: see Options.Frames.
func (c *Cache) takeFrame() uint32 {
	last := len(c.frames) - 1
	frame := c.frames[last]
	c.frames = c.frames[:last]
	return frame
}

// giveFrame is called when a line or an entry lets go of a frame: the frame
// becomes free, or stays with the flush that still reads it.
func (c *Cache) giveFrame(frame uint32) {
	for i := range c.pending {
		if c.pending[i].frame == frame {
			c.pending[i].owner = true
			return
		}
	}
	c.frames = append(c.frames, frame)
}

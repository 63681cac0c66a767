package pagestore

import (
	"fmt"
	"math/bits"
	"slices"

	"splitkernel/netlayer/canary"
	"splitkernel/netlayer/wire"
)

// Changes is a set of pages of one group: those whose state somebody who copies the group does not know. While a group is
// watched the store marks in it every page that is allocated, written or freed.
type Changes struct {
	first wire.PageNo
	words []uint64
	n     int
	noted []uint64 // of a set that is recorded: what was marked since Noted told it; in words [lo, hi)
	lo    int
	hi    int
	notes bool
}

// NewChanges makes an empty set that can hold pages [first, first+pages).
func NewChanges(first wire.PageNo, pages uint64) *Changes {
	return &Changes{first: first, words: make([]uint64, (pages+63)/64)}
}

// Len is the number of pages in the set.
func (c *Changes) Len() int { return c.n }

// Mark puts a page in.
func (c *Changes) Mark(p wire.PageNo) {
	i := p - c.first
	if w, bit := &c.words[i/64], uint64(1)<<(i%64); *w&bit == 0 {
		*w |= bit
		c.n++
		if c.notes {
			at := int(i / 64)
			c.noted[at] |= bit
			c.lo, c.hi = min(c.lo, at), max(c.hi, at+1)
		}
	}
}

// MarkRun puts neighbours in.
func (c *Changes) MarkRun(first wire.PageNo, pages uint64) {
	for pages > 0 {
		at := uint64(first - c.first)
		if at%64 != 0 || pages < 64 || c.notes {
			c.Mark(first)
			first, pages = first+1, pages-1
			continue
		}
		w := &c.words[at/64]
		c.n += 64 - bits.OnesCount64(*w)
		*w = ^uint64(0)
		first, pages = first+64, pages-64
	}
}

// Note begins or ends to note what is marked; Noted tells it. At first all that is in the set counts as marked.
func (c *Changes) Note(on bool) {
	if c.noted == nil {
		c.noted, c.lo, c.hi = slices.Clone(c.words), 0, len(c.words)
	}
	c.notes = on
}

// Noted gives what was marked since it was called last, in runs of neighbours, ascending.
func (c *Changes) Noted(each func(first wire.PageNo, pages uint64)) {
	if c.lo < c.hi {
		c.runs(c.noted, c.lo, c.hi, each)
		clear(c.noted[c.lo:c.hi])
	}
	c.lo, c.hi = len(c.words), 0
}

// Known gives the set in runs of neighbours, ascending, without what was marked since Noted told it.
func (c *Changes) Known(each func(first wire.PageNo, pages uint64)) {
	words := c.words
	if c.lo < c.hi {
		words = slices.Clone(words)
		for w := c.lo; w < c.hi; w++ {
			words[w] &^= c.noted[w]
		}
	}
	c.runs(words, 0, len(words), each)
}

// Holds reports whether pages [first, first+pages) may be in the set.
func (c *Changes) Holds(first wire.PageNo, pages uint64) bool {
	last := uint64(first-c.first) + pages
	return first >= c.first && last >= pages && last <= uint64(len(c.words))*64
}

func (c *Changes) runs(words []uint64, lo, hi int, each func(first wire.PageNo, pages uint64)) {
	begin, in := 0, false // of the run that goes on
	for w := lo; w < hi; w++ {
		for at := 0; at < 64; {
			rest := words[w] >> at
			if in {
				rest = ^rest
			}
			n := min(bits.TrailingZeros64(rest), 64-at)
			if at += n; at == 64 {
				break
			}
			if in {
				each(c.first+wire.PageNo(begin), uint64(w*64+at-begin))
			}
			begin, in = w*64+at, !in
		}
	}
	if in {
		each(c.first+wire.PageNo(begin), uint64(hi*64-begin))
	}
}

// Take takes out the first page at or after from.
func (c *Changes) Take(from wire.PageNo) (wire.PageNo, bool) {
	if c.n == 0 {
		return 0, false
	}
	if from < c.first {
		from = c.first
	}
	at := uint64(from - c.first)
	for w := at / 64; w < uint64(len(c.words)); w++ {
		word := c.words[w]
		if w == at/64 {
			word &= ^uint64(0) << (at % 64)
		}
		if word != 0 {
			bit := uint64(bits.TrailingZeros64(word))
			c.words[w] &^= 1 << bit
			c.n--
			return c.first + wire.PageNo(w*64+bit), true
		}
	}
	return 0, false
}

// Watch marks in c every page that the group holds, or keeps for a checkpoint, and from now on every one that changes, until Unwatch.
func (s *Store) Watch(g uint32, c *Changes) {
	gr := s.group(g)
	gr.changes = c
	for f := gr.head; f != none; f = s.frames[f].next {
		c.Mark(s.frames[f].page)
	}
	for _, p := range s.Keeps(g) {
		c.Mark(p)
	}
}

// Unwatch ends Watch.
func (s *Store) Unwatch(g uint32) {
	if uint64(g) < uint64(len(s.groups)) {
		s.groups[g].changes = nil
	}
}

// Content is what a copy needs of a page beside its bytes. A page that was never flushed is zeros of no version.
type Content struct {
	Epoch   wire.Epoch
	Version uint64
	Sum     uint32
	Flushed bool
}

// Peek looks a page up for a copy. It counts nothing.
func (s *Store) Peek(pid wire.PID, page wire.PageNo) (Frame, Content, bool) {
	f, ok := s.index.Get(uint64(pid), uint64(page))
	if !ok {
		return 0, Content{}, false
	}
	m := &s.frames[f]
	return f, Content{m.epoch, m.version, m.sum, m.flushed}, true
}

// Flushes lists the pages of a group that were flushed, in no order that means anything.
func (s *Store) Flushes(g uint32) []wire.PageNo {
	if uint64(g) >= uint64(len(s.groups)) {
		return nil
	}
	list := make([]wire.PageNo, 0, s.groups[g].count)
	for f := s.groups[g].head; f != none; f = s.frames[f].next {
		if s.frames[f].flushed {
			list = append(list, s.frames[f].page)
		}
	}
	return list
}

// Put makes a page what it is at another store, whatever it is here. ok is false if no frame is free. The caller fills the
// frame with the bytes, or with zeros if the page was not flushed. What a checkpoint has is kept, as with a flush.
func (s *Store) Put(g uint32, pid wire.PID, page wire.PageNo, c Content) (f Frame, ok bool) {
	if f, ok = s.index.Get(uint64(pid), uint64(page)); !ok {
		if f, ok = s.allocate(g, pid, page); !ok {
			return 0, false
		}
	} else if s.changes(f, c) {
		if s.Free() == 0 {
			s.stats.NoFrame++
			return 0, false
		}
		s.keep(f)
		f, _ = s.allocate(g, pid, page)
	}
	m := &s.frames[f]
	m.epoch, m.version, m.sum, m.flushed = c.Epoch, c.Version, c.Sum, c.Flushed
	if canary.On(canary.RetryTwice) {
		m.version = 0
	}
	if !c.Flushed {
		m.sum = wire.ZeroPageChecksum
	}
	return f, true
}

// changes reports whether c is the first change of a page since the checkpoint of its group.
func (s *Store) changes(f Frame, c Content) bool {
	m := &s.frames[f]
	gr := &s.groups[m.group]
	return gr.precious(m) && !(c.Flushed && gr.cut.at.Covers(c.Epoch, c.Version))
}

// Reserve takes as many frames as into has room for, into which the caller may put bytes without holding a lock: they are no page's until
// Install. It takes all or none.
func (s *Store) Reserve(into []Frame) bool {
	if s.Free() < len(into) {
		return false
	}
	for i := range into {
		into[i], _ = s.take()
		s.frames[into[i]].reserved = true
	}
	s.out += len(into)
	return true
}

// Release gives reserved frames back.
func (s *Store) Release(frames []Frame) {
	for i := len(frames) - 1; i >= 0; i-- { // the first is taken next
		s.giveBack(frames[i])
	}
	s.out -= len(frames)
}

func (s *Store) giveBack(f Frame) {
	s.frames[f] = meta{next: s.free}
	s.free = f
}

// Reserved is how many frames are reserved.
func (s *Store) Reserved() int { return s.out }

// Free is how many frames are neither a page's nor reserved.
func (s *Store) Free() int { return s.stats.Capacity - s.stats.Used - s.out }

// Install is Put of a page that was flushed, whose bytes are in the reserved frame f. A frame that the page had is free, or kept.
func (s *Store) Install(g uint32, pid wire.PID, page wire.PageNo, c Content, f Frame) {
	if old, ok := s.index.Get(uint64(pid), uint64(page)); ok && s.changes(old, c) {
		s.keep(old)
	} else if ok {
		s.release(old)
		s.stats.Freed-- // the page is not
	}
	s.out--
	s.enter(f, g, pid, page)
	m := &s.frames[f]
	m.epoch, m.version, m.sum, m.flushed = c.Epoch, c.Version, c.Sum, true
}

// Remove frees one page, if it is here, and keeps nothing of it: its bytes are elsewhere. One that changes is freed by Unmap.
func (s *Store) Remove(pid wire.PID, page wire.PageNo) {
	if f, ok := s.index.Get(uint64(pid), uint64(page)); ok {
		s.release(f)
	}
}

func (c *Changes) check() error {
	n := 0
	for _, w := range c.words {
		n += bits.OnesCount64(w)
	}
	if n != c.n {
		return fmt.Errorf("pagestore: %d changed pages, counted as %d", n, c.n)
	}
	return nil
}

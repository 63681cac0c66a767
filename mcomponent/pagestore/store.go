package pagestore

import (
	"fmt"

	"splitkernel/mcomponent/pairindex"
	"splitkernel/netlayer/canary"
	"splitkernel/netlayer/wire"
)

// Frame numbers the pages of the arena.
type Frame = uint32

// Action says what the caller must do with the frame.
type Action uint8

// The actions.
const (
	Hit   Action = 1 // copy the frame out
	Fresh Action = 2 // zero the frame, then copy it out
	Apply Action = 3 // copy the page into the frame
	Old   Action = 4 // nothing: what is stored is as new or newer
	Full  Action = 5 // nothing: no frame is free
)

const none = ^uint32(0)

// meta describes one frame. Frames of a group form a ring-less doubly linked list, so that a group is freed in the time of its pages.
type meta struct {
	pid        wire.PID
	page       wire.PageNo
	version    uint64
	epoch      wire.Epoch
	sum        uint32
	group      uint32
	prev, next uint32 // in the group's list; next also links free frames
	used       bool
	flushed    bool // a flush was applied; without it the page is zeros of no version
	reserved   bool
	pre        bool // the page as it was at the checkpoint of its group
}

// group is the pages of one vRegion of one process.
type group struct {
	head    uint32
	count   uint32
	changes *Changes // of a watched group
	cut     *cut     // of a process with checkpoints
}

// changed tells whoever watches the group.
func (gr *group) changed(p wire.PageNo) {
	if gr.changes != nil {
		gr.changes.Mark(p)
	}
}

// sent reports whether a page was taken out of the set of whoever watches: for a canary.
func (gr *group) sent(p wire.PageNo) bool {
	if gr.changes == nil {
		return false
	}
	i := p - gr.changes.first
	return gr.changes.words[i/64]&(1<<(i%64)) == 0
}

// Stats counts what the store did since its start.
type Stats struct {
	Capacity   int    // pages
	Used       int    // pages now
	Peak       int    // most pages ever
	Misses     uint64 // served
	ZeroFills  uint64 // misses that found no page
	Flushes    uint64 // applied
	OldFlushes uint64 // acknowledged without effect
	NoFrame    uint64 // misses and flushes for which no frame was free
	Freed      uint64 // pages
	PreImages  int    // of Used: pages as they were at the last checkpoint, which changed since
}

// Store is the index of the pages. Use one goroutine at a time.
type Store struct {
	index  *pairindex.Index
	frames []meta
	groups []group
	fresh  uint32 // frames from here on were never used: low ones first, so that the arena stays small
	free   uint32 // list of used frames
	out    int    // frames that are reserved: neither free nor of a page
	stats  Stats
}

// New makes a store of capacity pages.
func New(capacity int) *Store {
	return &Store{index: pairindex.New(capacity), frames: make([]meta, capacity), free: none, stats: Stats{Capacity: capacity}}
}

// NewGrowing makes a store of capacity pages whose own memory grows, by doubling, with the most pages that it ever held: for a
// simulation of thousands of stores. A live one must not stop to copy its index.
func NewGrowing(capacity int) *Store {
	return &Store{index: pairindex.New(0), free: none, stats: Stats{Capacity: capacity}}
}

// Stats returns the counts.
func (s *Store) Stats() Stats { return s.stats }

// Miss finds the page or allocates a zeroed one. sum is the checksum to send with it.
func (s *Store) Miss(g uint32, pid wire.PID, page wire.PageNo) (f Frame, sum uint32, a Action) {
	if f, ok := s.index.Get(uint64(pid), uint64(page)); ok {
		s.stats.Misses++
		return f, s.frames[f].sum, Hit
	}
	f, ok := s.allocate(g, pid, page)
	if !ok {
		return 0, 0, Full
	}
	s.stats.Misses++
	s.stats.ZeroFills++
	s.frames[f].sum = wire.ZeroPageChecksum
	return f, wire.ZeroPageChecksum, Fresh
}

// Flush stores version, epoch and checksum of a newer page.
func (s *Store) Flush(g uint32, pid wire.PID, page wire.PageNo, epoch wire.Epoch, version uint64, sum uint32) (f Frame, a Action) {
	f, ok := s.index.Get(uint64(pid), uint64(page))
	if !ok {
		if f, ok = s.allocate(g, pid, page); !ok {
			return 0, Full
		}
		ok = false // as it was
	}
	m := &s.frames[f]
	if m.flushed && (epoch < m.epoch || epoch == m.epoch && version <= m.version) {
		s.stats.OldFlushes++
		return f, Old
	}
	if ok && s.groups[m.group].precious(m) {
		if s.Free() == 0 {
			s.stats.NoFrame++
			return 0, Full
		}
		s.keep(f)
		f, _ = s.allocate(g, pid, page)
		m = &s.frames[f]
	}
	m.epoch, m.version, m.sum, m.flushed = epoch, version, sum, true
	if !canary.On(canary.FlushInFlight) || !s.groups[m.group].sent(page) {
		s.groups[m.group].changed(page)
	}
	s.stats.Flushes++
	return f, Apply
}

// Untouched gives the frames [first, end) among the next pages that are allocated which were never used before.
func (s *Store) Untouched(pages int) (first, end Frame) {
	pages -= int(s.fresh) - s.stats.Used - s.out // frames that were freed are taken first
	return s.fresh, s.fresh + Frame(min(max(pages, 0), s.stats.Capacity-int(s.fresh)))
}

// Flushed reports whether the page in frame f was ever flushed.
func (s *Store) Flushed(f Frame) bool { return s.frames[f].flushed }

// allocate takes a frame for the page, the last freed first as its memory is warm.
func (s *Store) allocate(g uint32, pid wire.PID, page wire.PageNo) (Frame, bool) {
	f, ok := s.take()
	if !ok {
		s.stats.NoFrame++
		return 0, false
	}
	s.enter(f, g, pid, page)
	return f, true
}

// take takes a frame that is free.
func (s *Store) take() (Frame, bool) {
	f := s.free
	switch {
	case f != none:
		s.free = s.frames[f].next
	case int(s.fresh) < s.stats.Capacity:
		if f = s.fresh; int(f) == len(s.frames) { // one that grows
			s.frames = append(s.frames, meta{})
		}
		s.fresh++
	default:
		return 0, false
	}
	return f, true
}

// enter makes a frame that was taken the page's.
func (s *Store) enter(f Frame, g uint32, pid wire.PID, page wire.PageNo) {
	gr := s.group(g)
	s.frames[f] = meta{pid: pid, page: page, group: g, prev: none, next: gr.head, used: true}
	if gr.head != none {
		s.frames[gr.head].prev = f
	}
	gr.head = f
	gr.count++
	gr.changed(page)
	s.index.Put(uint64(pid), uint64(page), f)
	s.stats.Used++
	s.stats.Peak = max(s.stats.Peak, s.stats.Used)
}

// group gives a group, making it if need be.
func (s *Store) group(g uint32) *group {
	for uint32(len(s.groups)) <= g {
		s.groups = append(s.groups, group{head: none})
	}
	return &s.groups[g]
}

// unlink takes the page of a frame out of the index and out of its group.
func (s *Store) unlink(f Frame) {
	m := &s.frames[f]
	gr := &s.groups[m.group]
	if m.prev != none {
		s.frames[m.prev].next = m.next
	} else {
		gr.head = m.next
	}
	if m.next != none {
		s.frames[m.next].prev = m.prev
	}
	gr.count--
	s.index.Delete(uint64(m.pid), uint64(m.page))
}

func (s *Store) release(f Frame) {
	m := &s.frames[f]
	s.unlink(f)
	s.groups[m.group].changed(m.page)
	s.giveBack(f)
	s.stats.Used--
	s.stats.Freed++
}

// Unmap frees the pages of [first, first+n) of a group. It looks at the pages of the range or at those of the group,
// whichever are fewer, so its time is bounded by what is resident.
func (s *Store) Unmap(g uint32, pid wire.PID, first wire.PageNo, n uint64) (freed uint64) {
	if uint64(len(s.groups)) <= uint64(g) {
		return 0
	}
	if n <= uint64(s.groups[g].count) {
		for p := first; p < first+wire.PageNo(n); p++ {
			if f, ok := s.index.Get(uint64(pid), uint64(p)); ok {
				s.unmap(f)
				freed++
			}
		}
		return freed
	}
	for f := s.groups[g].head; f != none; {
		m := &s.frames[f]
		next := m.next
		if m.pid == pid && m.page >= first && m.page-first < wire.PageNo(n) {
			s.unmap(f)
			freed++
		}
		f = next
	}
	return freed
}

// unmap takes a page away that its process has unmapped: its frame is free, unless a checkpoint has the page.
func (s *Store) unmap(f Frame) {
	if m := &s.frames[f]; s.groups[m.group].precious(m) {
		s.keep(f)
		return
	}
	s.release(f)
}

// FreeGroup frees at most limit pages of a group, with what it keeps for a checkpoint, and reports how many; fewer than limit means that
// none is left. The bound lets the caller give up its lock between batches.
func (s *Store) FreeGroup(g uint32, limit int) (freed int) {
	if uint64(g) >= uint64(len(s.groups)) {
		return 0
	}
	gr := &s.groups[g]
	for freed < limit && gr.head != none {
		s.release(gr.head)
		freed++
	}
	if freed += s.forgetCut(gr, limit-freed); freed < limit {
		gr.cut = nil
	}
	return freed
}

// CheckInvariants checks that index, lists and counts agree and that each frame is used once.
func (s *Store) CheckInvariants() error {
	if err := s.index.CheckInvariants(); err != nil {
		return err
	}
	used, reserved := 0, 0
	for f := range s.frames {
		m := &s.frames[f]
		if m.reserved {
			reserved++
		}
		if !m.used {
			continue
		}
		used++
		if got, ok := s.index.Get(uint64(m.pid), uint64(m.page)); !ok || got != uint32(f) {
			return fmt.Errorf("pagestore: frame %d holds page %#x of process %d, which the index puts elsewhere", f, m.page, m.pid)
		}
	}
	inGroups, kept := 0, 0
	for g, gr := range s.groups {
		pre, err := s.checkCut(g)
		if err != nil {
			return err
		}
		kept += pre
		n, prev := uint32(0), none
		for f := gr.head; f != none; f = s.frames[f].next {
			if m := &s.frames[f]; !m.used || m.group != uint32(g) || m.prev != prev {
				return fmt.Errorf("pagestore: frame %d is out of place in the list of group %d", f, g)
			}
			prev = f
			n++
		}
		if n != gr.count {
			return fmt.Errorf("pagestore: group %d has %d pages, counted as %d", g, n, gr.count)
		}
		if gr.changes != nil {
			if err := gr.changes.check(); err != nil {
				return err
			}
		}
		inGroups += int(n)
	}
	free := 0
	for f := s.free; f != none; f = s.frames[f].next {
		free++
	}
	if reserved != s.out {
		return fmt.Errorf("pagestore: %d frames are reserved, counted as %d", reserved, s.out)
	}
	if kept != s.stats.PreImages {
		return fmt.Errorf("pagestore: %d pages are kept for checkpoints, counted as %d", kept, s.stats.PreImages)
	}
	if used+kept != s.stats.Used || used != s.index.Len() || used != inGroups || used+kept+free+s.out != int(s.fresh) {
		return fmt.Errorf("pagestore: %d pages used, %d counted, %d indexed, %d in groups, %d free and %d reserved of %d ever used", used, s.stats.Used, s.index.Len(), inGroups, free, s.out, s.fresh)
	}
	return nil
}

// Pages appends the pages of a group that were flushed, in no order.
func (s *Store) Pages(g uint32, list []wire.PageNo) []wire.PageNo {
	if uint64(g) >= uint64(len(s.groups)) {
		return list
	}
	for f := s.groups[g].head; f != none; f = s.frames[f].next {
		if s.frames[f].flushed {
			list = append(list, s.frames[f].page)
		}
	}
	return list
}

// GroupPages is the number of pages of a group.
func (s *Store) GroupPages(g uint32) int {
	if uint64(g) >= uint64(len(s.groups)) {
		return 0
	}
	return int(s.groups[g].count)
}

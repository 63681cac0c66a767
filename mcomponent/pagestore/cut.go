package pagestore

import (
	"fmt"

	"splitkernel/netlayer/wire"
)

// cut is what a group keeps of the checkpoint of its process: the pages as they were then, of those that changed since.
type cut struct {
	at   wire.Cut
	head uint32                 // list of pre-images, linked by meta.next
	kept map[wire.PageNo]uint32 // looked up, never ranged over
}

// Cut begins a checkpoint of a group, and drops what the one before kept: from now on the first flush or removal of a page that the
// checkpoint has keeps the page as it was. One that is not newer than the last changes nothing.
func (s *Store) Cut(g uint32, at wire.Cut) (dropped int) {
	gr := s.group(g)
	if gr.cut != nil && at.Number <= gr.cut.at.Number {
		return 0
	}
	if gr.cut == nil {
		gr.cut = &cut{head: none, kept: map[wire.PageNo]uint32{}}
	}
	dropped = s.forgetCut(gr, s.stats.Capacity)
	gr.cut.at = at
	return dropped
}

// forgetCut drops at most limit pre-images of a group.
func (s *Store) forgetCut(gr *group, limit int) (dropped int) {
	k := gr.cut
	for ; k != nil && k.head != none && dropped < limit; dropped++ {
		f := k.head
		delete(k.kept, s.frames[f].page)
		k.head = s.frames[f].next
		s.giveBack(f)
		s.stats.Used--
		s.stats.PreImages--
	}
	return dropped
}

// precious reports whether a page must be kept as it is when it changes. Pages that were never flushed are zeros, as absent ones are.
func (gr *group) precious(m *meta) bool {
	if gr.cut == nil || !m.flushed || !gr.cut.at.Covers(m.epoch, m.version) {
		return false
	}
	_, kept := gr.cut.kept[m.page] // then this one came by a move since
	return !kept
}

// keep makes the frame of a page, which leaves the group, its pre-image. Its bytes stay where they are.
func (s *Store) keep(f Frame) {
	m := &s.frames[f]
	gr := &s.groups[m.group]
	s.unlink(f)
	gr.changed(m.page)
	m.used, m.pre, m.prev, m.next = false, true, none, gr.cut.head
	gr.cut.head = f
	gr.cut.kept[m.page] = f
	s.stats.PreImages++
}

// Rollback makes a group what it was at a checkpoint: pages that changed since are as they were, pages that came since are gone. If the
// group has not heard of the checkpoint nothing has changed since. What is kept stays kept: it may be gone back to again. One older than
// the group's is an error, and nothing changes.
func (s *Store) Rollback(g uint32, at wire.Cut) (restored, freed int, err error) {
	gr := s.group(g)
	if gr.cut != nil && at.Number < gr.cut.at.Number {
		return 0, 0, wire.Errorf(wire.KindStale, "a rollback to checkpoint %d: the pages as they were at it are dropped since checkpoint %d", at.Number, gr.cut.at.Number)
	}
	s.Cut(g, at)
	gr = s.group(g)
	for f := gr.head; f != none; {
		m := &s.frames[f]
		next := m.next
		if !m.flushed || !at.Covers(m.epoch, m.version) {
			s.release(f)
			freed++
		}
		f = next
	}
	for f := gr.cut.head; f != none; restored++ {
		m := &s.frames[f]
		next := m.next
		c := *m
		delete(gr.cut.kept, c.page)
		if now, ok := s.index.Get(uint64(c.pid), uint64(c.page)); ok {
			s.release(now)
		}
		s.stats.PreImages--
		s.stats.Used-- // enter counts it again
		s.enter(f, g, c.pid, c.page)
		m.epoch, m.version, m.sum, m.flushed = c.epoch, c.version, c.sum, true
		f = next
	}
	gr.cut.head = none
	return restored, freed, nil
}

// Checkpoint tells the checkpoint of a group; false if it has none.
func (s *Store) Checkpoint(g uint32) (wire.Cut, bool) {
	if uint64(g) >= uint64(len(s.groups)) || s.groups[g].cut == nil {
		return wire.Cut{}, false
	}
	return s.groups[g].cut.at, true
}

// checkCut checks what a group keeps, and counts it.
func (s *Store) checkCut(g int) (n int, err error) {
	gr := &s.groups[g]
	if gr.cut == nil {
		return 0, nil
	}
	for f := gr.cut.head; f != none; f = s.frames[f].next {
		m := &s.frames[f]
		switch at, ok := gr.cut.kept[m.page]; {
		case !m.pre || m.used || m.reserved || m.group != uint32(g):
			return n, fmt.Errorf("pagestore: frame %d is kept for checkpoint %d of group %d, and is something else", f, gr.cut.at.Number, g)
		case !ok || at != f:
			return n, fmt.Errorf("pagestore: group %d keeps page %#x twice", g, m.page)
		case !m.flushed || !gr.cut.at.Covers(m.epoch, m.version):
			return n, fmt.Errorf("pagestore: group %d keeps page %#x of version %d, which is not in checkpoint %d", g, m.page, m.version, gr.cut.at.Number)
		}
		n++
	}
	if n != len(gr.cut.kept) {
		return n, fmt.Errorf("pagestore: group %d keeps %d pages, %d are listed", g, len(gr.cut.kept), n)
	}
	return n, nil
}

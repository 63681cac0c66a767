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
// checkpoint has keeps the page as it was. One that is not newer than the last changes nothing. A group whose pages come from elsewhere knows the number
// before the rest: of a checkpoint that has none nothing is covered, and what is kept of it comes by Keep.
func (s *Store) Cut(g uint32, at wire.Cut) (dropped int) {
	gr := s.group(g)
	if gr.cut != nil && at.Number <= gr.cut.at.Number {
		if gr.cut.named() && at.Number == gr.cut.at.Number {
			gr.cut.at = at
		}
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
		k.take(s, f)
		s.giveBack(f)
		s.stats.Used--
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
	m.used, m.pre = false, true
	gr.cut.add(s, f)
}

// add puts a frame into the list.
func (k *cut) add(s *Store, f Frame) {
	m := &s.frames[f]
	m.prev, m.next = none, k.head
	if k.head != none {
		s.frames[k.head].prev = f
	}
	k.head = f
	k.kept[m.page] = f
	s.stats.PreImages++
}

// take takes a frame out of the list.
func (k *cut) take(s *Store, f Frame) {
	m := &s.frames[f]
	if m.prev != none {
		s.frames[m.prev].next = m.next
	} else {
		k.head = m.next
	}
	if m.next != none {
		s.frames[m.next].prev = m.prev
	}
	delete(k.kept, m.page)
	s.stats.PreImages--
}

// named reports whether only the number of the checkpoint is known.
func (k *cut) named() bool { return k.at.Epoch == 0 && k.at.Version == 0 }

// Keep has a group keep a page as another store has kept it; mark says of which checkpoint. Apply says that the frame is to be filled with its bytes; Old that
// it is known here, or of another checkpoint.
func (s *Store) Keep(g uint32, pid wire.PID, page wire.PageNo, c Content, mark uint32) (f Frame, a Action) {
	gr := s.group(g)
	if gr.cut == nil || gr.cut.at.Pre() != mark || !gr.cut.named() && !gr.cut.at.Covers(c.Epoch, c.Version) {
		return 0, Old
	}
	if _, ok := gr.cut.kept[page]; ok {
		return 0, Old
	}
	if now, ok := s.index.Get(uint64(pid), uint64(page)); ok {
		if m := &s.frames[now]; m.flushed && gr.cut.at.Covers(m.epoch, m.version) && (m.epoch > c.Epoch || m.epoch == c.Epoch && m.version >= c.Version) {
			return 0, Old // it did not change
		}
	}
	f, ok := s.take()
	if !ok {
		s.stats.NoFrame++
		return 0, Full
	}
	s.frames[f] = meta{pid: pid, page: page, version: c.Version, epoch: c.Epoch, sum: c.Sum, group: g, flushed: true, pre: true}
	gr.cut.add(s, f)
	gr.changed(page)
	s.stats.Used++
	s.stats.Peak = max(s.stats.Peak, s.stats.Used)
	return f, Apply
}

// Forget frees a page that a group keeps for its checkpoint, if it does: its bytes are elsewhere.
func (s *Store) Forget(g uint32, page wire.PageNo) {
	if uint64(g) >= uint64(len(s.groups)) || s.groups[g].cut == nil {
		return
	}
	k := s.groups[g].cut
	if f, ok := k.kept[page]; ok {
		k.take(s, f)
		s.giveBack(f)
		s.stats.Used--
	}
}

// PeekKept looks up a page as it was at the checkpoint of its group, if it changed since. mark says which checkpoint that is.
func (s *Store) PeekKept(g uint32, page wire.PageNo) (f Frame, c Content, mark uint32, ok bool) {
	if uint64(g) >= uint64(len(s.groups)) || s.groups[g].cut == nil {
		return 0, c, 0, false
	}
	k := s.groups[g].cut
	if f, ok = k.kept[page]; !ok {
		return 0, c, 0, false
	}
	m := &s.frames[f]
	return f, Content{m.epoch, m.version, m.sum, true}, k.at.Pre(), true
}

// Keeping reports whether a group keeps anything for its checkpoint.
func (s *Store) Keeping(g uint32) bool {
	return uint64(g) < uint64(len(s.groups)) && s.groups[g].cut != nil && s.groups[g].cut.head != none
}

// Keeps lists the pages that a group keeps for its checkpoint, in no order that means anything.
func (s *Store) Keeps(g uint32) []wire.PageNo {
	if uint64(g) >= uint64(len(s.groups)) || s.groups[g].cut == nil {
		return nil
	}
	k := s.groups[g].cut
	list := make([]wire.PageNo, 0, len(k.kept))
	for f := k.head; f != none; f = s.frames[f].next {
		list = append(list, s.frames[f].page)
	}
	return list
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

// NewestEpoch is the newest epoch of its process under which a page of a group was flushed, 0 if none was. It looks at all pages.
func (s *Store) NewestEpoch(g uint32) (newest wire.Epoch) {
	if uint64(g) >= uint64(len(s.groups)) {
		return 0
	}
	for f := s.groups[g].head; f != none; f = s.frames[f].next {
		if m := &s.frames[f]; m.flushed {
			newest = max(newest, m.epoch)
		}
	}
	return newest
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
	prev := uint32(none)
	for f := gr.cut.head; f != none; f = s.frames[f].next {
		m := &s.frames[f]
		if m.prev != prev {
			return n, fmt.Errorf("pagestore: frame %d is out of place among what group %d keeps", f, g)
		}
		prev = f
		switch at, ok := gr.cut.kept[m.page]; {
		case !m.pre || m.used || m.reserved || m.group != uint32(g):
			return n, fmt.Errorf("pagestore: frame %d is kept for checkpoint %d of group %d, and is something else", f, gr.cut.at.Number, g)
		case !ok || at != f:
			return n, fmt.Errorf("pagestore: group %d keeps page %#x twice", g, m.page)
		case !m.flushed || !gr.cut.named() && !gr.cut.at.Covers(m.epoch, m.version):
			return n, fmt.Errorf("pagestore: group %d keeps page %#x of version %d, which is not in checkpoint %d", g, m.page, m.version, gr.cut.at.Number)
		}
		n++
	}
	if n != len(gr.cut.kept) {
		return n, fmt.Errorf("pagestore: group %d keeps %d pages, %d are listed", g, len(gr.cut.kept), n)
	}
	return n, nil
}

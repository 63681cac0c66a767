package replica

import "splitkernel/netlayer/wire"

// Shares of neighbouring pages, as many as make a page, lie together in one page of the page store: a line. So what a holder has takes as little room as
// its shares do. Of full copies a line is a page.

// together is how many pages have their shares in one line.
func (r *held) together() uint64 {
	if r.policy.Kind == wire.MemoryErasure {
		return uint64(wire.PageSize / r.policy.ShareBytes())
	}
	return 1
}

// line is the page of the store in which a page's share lies.
func (h *Holder) line(r *held, page wire.PageNo) wire.PageNo {
	first := wire.PageNo(uint64(r.region) << h.shift)
	return first + wire.PageNo(uint64(page-first)/r.together())
}

// count notes that a line has one page more, or, with ^0, one fewer.
func (h *Holder) count(r *held, page wire.PageNo, n uint32) {
	if r.together() == 1 {
		return
	}
	if r.lines == nil {
		r.lines = map[wire.PageNo]uint32{}
	}
	at := h.line(r, page)
	if r.lines[at] += n; r.lines[at] == 0 {
		delete(r.lines, at)
	}
}

// Place says where the share of a page lies, or is to: in a page of the slot's group, so many bytes from an offset on. Of full copies it is the page itself.
func (h *Holder) Place(slot uint32, page wire.PageNo) (line wire.PageNo, offset, n int) {
	r := h.slots[slot]
	k := r.together()
	first := wire.PageNo(uint64(r.region) << h.shift)
	n = wire.PageSize / int(k)
	return h.line(r, page), int(uint64(page-first)%k) * n, n
}

// PlaceOf is Place by the process; of what is not held it is the page itself.
func (h *Holder) PlaceOf(pid wire.PID, page wire.PageNo) (line wire.PageNo, offset, n int) {
	if r := h.regions[key{pid, wire.RegionNo(uint64(page) >> h.shift)}]; r != nil {
		return h.Place(r.slot, page)
	}
	return page, 0, wire.PageSize
}

// ShareBytes is how many bytes a holder wants of a page: those of a share, or of a page.
func (h *Holder) ShareBytes(pid wire.PID, page wire.PageNo) int {
	if r := h.regions[key{pid, wire.RegionNo(uint64(page) >> h.shift)}]; r != nil {
		return wire.PageSize / int(r.together())
	}
	return wire.PageSize
}

// Freed gives the pages of the slot's group that have nothing any more, after n pages from first on were unmapped.
func (h *Holder) Freed(slot uint32, first wire.PageNo, n uint64) (wire.PageNo, uint64) {
	r := h.slots[slot]
	if r.together() == 1 || n == 0 {
		return first, n
	}
	from, to := h.line(r, first), h.line(r, first+wire.PageNo(n-1))+1
	if r.lines[from] > 0 {
		from++
	}
	if to > from && r.lines[to-1] > 0 {
		to--
	}
	if to <= from {
		return from, 0
	}
	return from, uint64(to - from)
}

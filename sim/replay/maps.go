package replay

import "splitkernel/netlayer/wire"

// span is a mapped range of bytes.
type span struct{ addr, length uint64 }

// mapped knows what a replay has mapped, so that a repetition can begin with nothing mapped, as the trace does.
type mapped struct {
	ranges []span // disjoint, in the order in which they were mapped
	brk    uint64
}

func (m *mapped) add(addr, length uint64) {
	m.remove(addr, length)
	m.ranges = append(m.ranges, span{addr, length})
}

func (m *mapped) remove(addr, length uint64) {
	end := addr + length
	var kept []span
	for _, s := range m.ranges {
		send := s.addr + s.length
		if send <= addr || s.addr >= end {
			kept = append(kept, s)
			continue
		}
		if s.addr < addr {
			kept = append(kept, span{s.addr, addr - s.addr})
		}
		if send > end {
			kept = append(kept, span{end, send - end})
		}
	}
	m.ranges = kept
}

// brk moves the end of the heap; the first record of a trace says where it begins.
func (j *player) brk(p memory, end uint64, maps *mapped) error {
	old := maps.brk
	if err := p.Brk(j.ctx, end); err != nil {
		return err
	}
	maps.brk = end
	up := func(a uint64) uint64 { return (a + wire.PageSize - 1) &^ uint64(wire.PageSize-1) }
	switch from, to := up(old), up(end); {
	case old == 0:
	case to > from:
		maps.add(from, to-from)
	case to < from:
		maps.remove(to, from-to)
		j.pages.Forget(to>>wire.PageShift, (from-1)>>wire.PageShift)
	}
	return nil
}

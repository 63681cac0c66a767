package gpm

import (
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// never says, as an error of wire.KindNoRoom, why a vNode would fit at no pComponent even if all were empty; nil if it would at
// one. Silent ones count, as they may be back; draining and dead ones do not. Without any it is not known.
func (s *State) never(spec *admission.VNodeSpec) error {
	var lines, threads, most uint64
	n := 0
	members := s.members.View()
	for i := range members {
		if s.members.Placeable(i) {
			c, bound := members[i].Capacity, ^uint64(0)
			if per := s.settings.ThreadsPerCore; per > 0 {
				bound = per * uint64(c.Cores)
			}
			if c.ExCacheLines >= spec.ExCacheLines && bound >= uint64(spec.Threads) {
				return nil
			}
			n++
			lines, threads, most = lines+c.ExCacheLines, max(threads, bound), max(most, c.ExCacheLines)
		}
	}
	if n == 0 {
		return nil
	}
	text := membership.Never(n, "pComponents", lines, most)
	if threads < uint64(spec.Threads) {
		return wire.Errorf(wire.KindNoRoom, "threads: vNode %q wants %d at one pComponent, none of %d has more than %d even empty; raise manager.threads_per_core or pcomponent.cores", spec.Name, spec.Threads, n, threads)
	}
	return wire.Errorf(wire.KindNoRoom, "excache_lines: vNode %q wants %d and %d threads at one pComponent: %s; raise pcomponent.excache_bytes", spec.Name, spec.ExCacheLines, spec.Threads, text)
}

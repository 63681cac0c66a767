package gsm

import (
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// page is the answer to membership.QueryListing.
func (s *State) page(q membership.Query) membership.Page[Volume] {
	list, from := s.volumes, 0
	if q.ID != 0 {
		list = s.Volumes(wire.VolumeID(q.ID))
	} else if q.From.ID > 0 {
		from, _ = s.find(wire.VolumeID(min(q.From.ID, s.next)))
	}
	bytes := func(v *Volume) int {
		return 96 + len(v.Name) + len(v.Storage) + len(v.Cache) + len(v.CacheAddr) + 32*len(v.Replicas)
	}
	return membership.PageOf(list, from, q.Limit, bytes, func(v *Volume) membership.Cursor { return membership.Cursor{ID: uint64(v.Volume)} })
}

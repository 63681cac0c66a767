package gpm

import (
	"cmp"
	"slices"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// processPage is the answer to membership.QueryListing.
func (s *State) processPage(q membership.Query) membership.Page[Process] {
	list, from := s.processes, 0
	if q.ID != 0 {
		list = s.Processes(wire.PID(q.ID))
	} else {
		from, _ = s.find(wire.PID(q.From.ID))
	}
	return membership.PageOf(list, from, q.Limit, (*Process).bytes, func(p *Process) membership.Cursor { return membership.Cursor{ID: uint64(p.PID)} })
}

// bytes is about how many p takes when it is encoded.
func (p *Process) bytes() int {
	n := 256 + len(p.Name) + len(p.Text) + len(p.Tenant) + len(p.Node) + len(p.Home.Node) + len(p.Home.Addr)
	for i := range p.Volumes {
		v := &p.Volumes[i]
		n += 64 + len(v.Storage) + len(v.StorageAddr) + len(v.Cache) + len(v.CacheAddr)
	}
	return n
}

// queuePage is the answer to QueryQueue.
func (s *State) queuePage(q membership.Query) membership.Page[Waiting] {
	list, from := s.queue, 0
	if q.ID != 0 {
		list = s.Queue(wire.PID(q.ID))
	} else {
		from, _ = slices.BinarySearchFunc(list, q.From, func(w Waiting, at membership.Cursor) int {
			c := cursorOf(&w)
			return cmp.Or(cmp.Compare(c.Part, at.Part), cmp.Compare(c.ID, at.ID))
		})
	}
	return membership.PageOf(list, from, q.Limit, (*Waiting).bytes, cursorOf)
}

// cursorOf orders the queue by turns, as byTurn does: the higher priority comes first.
func cursorOf(w *Waiting) membership.Cursor {
	return membership.Cursor{Part: admission.MaxPriority - uint64(w.Spec.Priority), ID: uint64(w.Ticket)}
}

func (w *Waiting) bytes() int {
	n := 512 + len(w.Spec.Name) + len(w.Spec.Tenant) + len(w.Text) + len(w.Placed.Reason) + 128*len(w.Placed.Candidates)
	for i := range w.Spec.Volumes {
		n += 16 + len(w.Spec.Volumes[i].Name)
	}
	return n
}

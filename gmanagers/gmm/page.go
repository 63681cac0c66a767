package gmm

import (
	"cmp"
	"slices"

	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// maxPagePlaces bounds the vRegions with their copies and the reservations of one process in a page: those of a process go on in the next page.
const maxPagePlaces = 2048

// page is the answer to membership.QueryListing. A process whose vRegions do not fit is in several pages: the first has what it
// has beside them, and as many of them as fit, the others go on with a copy of it without reservations. Its cursor names the process
// and the first vRegion that is missing.
func (s *State) page(q membership.Query) membership.Page[Process] {
	out := membership.Page[Process]{Items: []Process{}}
	i, _ := s.find(wire.PID(max(q.ID, q.From.ID)))
	budget := membership.NewBudget(q.Limit)
	for ; i < len(s.processes) && (q.ID == 0 || uint64(s.processes[i].PID) == q.ID); i++ {
		p, first := s.processes[i], 0
		rest := uint64(p.PID) == q.From.ID && q.From.Part > 0
		if rest {
			first, _ = slices.BinarySearchFunc(p.Regions, wire.RegionNo(q.From.Part), func(r Region, no wire.RegionNo) int { return cmp.Compare(r.Region, no) })
		}
		c := *p
		c.Reserved = []Reserve{}
		if !rest {
			c.Reserved = append(c.Reserved, p.Reserved...)
		}
		n := p.fits(first, max(maxPagePlaces-len(c.Reserved), 1))
		c.Regions = append([]Region{}, p.Regions[first:first+n]...)
		if !budget.Take(128 + 96*(p.places(first, n)+len(c.Reserved))) { // ids have up to membership.MaxIDBytes
			out.More, out.Next = true, membership.Cursor{ID: uint64(p.PID)}
			if rest {
				out.Next.Part = q.From.Part
			}
			return out
		}
		out.Items = append(out.Items, c)
		if first+n < len(p.Regions) {
			out.More, out.Next = true, membership.Cursor{ID: uint64(p.PID), Part: uint64(p.Regions[first+n].Region)}
			return out
		}
	}
	return out
}

// places counts n vRegions from one on, with their copies.
func (p *Process) places(first, n int) int {
	places := n
	for _, r := range p.Regions[first : first+n] {
		if r.Copies != nil {
			places += len(r.Copies.Holders) + len(r.Copies.Sources)
		}
	}
	return places
}

// fits returns how many vRegions from one on take at most so many places with their copies, at least one if there is one.
func (p *Process) fits(first, most int) (n int) {
	for places := 0; first+n < len(p.Regions); n++ {
		if places += p.places(first+n, 1); places > most && n > 0 {
			break
		}
	}
	return n
}

// Joined puts the parts together in which pages have processes.
func Joined(parts []Process) []Process {
	out := make([]Process, 0, len(parts))
	for _, p := range parts {
		if n := len(out); n > 0 && out[n-1].PID == p.PID {
			out[n-1].Regions = append(out[n-1].Regions, p.Regions...)
			continue
		}
		out = append(out, p)
	}
	return out
}

package prefetch

import "splitkernel/pcomponent/policy"

// Counts are what prefetching came to.
type Counts struct {
	References uint64
	Misses     uint64 // by demand: what was neither there nor prefetched
	Issued     uint64 // pages prefetched
	Useful     uint64 // of them, used before they left
	Wasted     uint64 // of them, left unused
}

// Study makes references in a fully associative cache beside a prefetcher. A page
// that is prefetched is there at once, and takes the place of the policy's victim:
// it is a bound for what a real prefetcher, whose pages come late, may bring.
type Study struct {
	Counts
	policy policy.Policy
	guess  Prefetcher // nil prefetches nothing
	line   map[uint64]uint32
	page   []uint64
	fresh  []bool // by line: prefetched, and not used yet
	used   uint32
	out    []uint64
}

// NewStudy makes a study of a cache of so many lines under a policy; a nil
// prefetcher is for comparison.
func NewStudy(p Prefetcher, policyName string, lines int, o policy.Options) (*Study, error) {
	pol, err := policy.New(policyName, 1, lines, o)
	if err != nil {
		return nil, err
	}
	return &Study{policy: pol, guess: p, line: make(map[uint64]uint32, lines), page: make([]uint64, lines), fresh: make([]bool, lines), out: make([]uint64, 0, MaxDepth)}, nil
}

// Access makes one reference.
func (s *Study) Access(page uint64) {
	s.References++
	line, hit := s.line[page]
	useful := hit && s.fresh[line]
	switch {
	case useful:
		s.fresh[line] = false
		s.Useful++
		s.policy.Touch(line)
	case hit:
		s.policy.Touch(line)
		return
	default:
		s.Misses++
		s.insert(page, false)
	}
	if s.guess == nil {
		return
	}
	s.out = s.guess.Observe(page, useful, s.out[:0])
	brought := 0
	for _, p := range s.out {
		if _, there := s.line[p]; !there {
			brought++
			s.insert(p, true)
		}
	}
	s.Issued += uint64(brought)
	s.guess.Brought(brought)
}

func (s *Study) insert(page uint64, fresh bool) {
	line := s.used
	if int(s.used) < len(s.page) {
		s.used++
	} else {
		line, _ = s.policy.Victim(0, page, nil) // all lines are in it, and none is busy
		s.policy.Evict(line)
		delete(s.line, s.page[line])
		if s.fresh[line] {
			s.Wasted++
		}
	}
	s.policy.Insert(line, page)
	s.line[page], s.page[line], s.fresh[line] = line, page, fresh
}

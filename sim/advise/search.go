package advise

import (
	"cmp"
	"slices"
	"sort"
)

// Point is a simulation of one size. The JSON keys are for programs and stay.
type Point struct {
	Pages     uint64  `json:"pages"`
	Bytes     uint64  `json:"bytes"`
	Share     float64 `json:"share_of_footprint"`
	Seconds   float64 `json:"seconds"`
	Slowdown  float64 `json:"slowdown"` // longer than with all memory local, as a share
	Accesses  uint64  `json:"accesses"`
	Misses    uint64  `json:"misses"`
	MissRatio float64 `json:"miss_ratio"`
}

// Verdict is what a search comes to.
type Verdict string

const (
	Found Verdict = "found" // Needed is the smallest that suffices, as far as Apart tells sizes apart
	Any   Verdict = "any"   // the smallest size that was looked at suffices
	None  Verdict = "none"  // even with room for all pages it is too slow; the point is the smallest that comes as near to that as was allowed
)

// shares of the footprint that are always simulated, for the plot.
var shares = []float64{0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75}

// search looks for the smallest size, from least to most pages, whose slowdown is at most target.
type search struct {
	target      float64
	least, most uint64
	misses      func(pages uint64) float64 // of the curve: falls with pages
	simulate    func(pages uint64) (Point, error)
	points      []Point // by pages
}

// apart is how near two sizes come: a hundredth of the footprint.
func apart(most uint64) uint64 { return max(most/100, 1) }

// run simulates until the answer is known, or simulate fails. Its points stay in any case.
func (s *search) run() (Verdict, *Point, error) {
	sizes := []uint64{s.most, s.least}
	for _, share := range shares {
		sizes = append(sizes, uint64(share*float64(s.most)))
	}
	for _, n := range sizes {
		if n < s.least || n > s.most || s.has(n) {
			continue
		}
		if err := s.try(n); err != nil {
			return "", nil, err
		}
	}
	suffices := Found
	for turn := 0; ; turn++ {
		i := s.first()
		switch {
		case i == len(s.points):
			suffices = None
			s.target = (1+s.points[i-1].Slowdown)*(1+s.target) - 1
			continue
		case i == 0 && suffices == None:
			return None, &s.points[0], nil
		case i == 0:
			return Any, &s.points[0], nil
		}
		low, high := s.points[i-1], s.points[i]
		if high.Pages-low.Pages <= apart(s.most) {
			return suffices, &s.points[i], nil
		}
		next := low.Pages + (high.Pages-low.Pages)/2
		if turn%2 == 0 {
			next = s.guess(low, high)
		}
		if err := s.try(next); err != nil {
			return "", nil, err
		}
	}
}

// first is the first point from which on all suffice.
func (s *search) first() int {
	i := len(s.points)
	for i > 0 && s.points[i-1].Slowdown <= s.target {
		i--
	}
	return i
}

// guess is the size between two where the curve has as many misses as the target allows, if the time grows with the misses.
func (s *search) guess(low, high Point) uint64 {
	share := (s.target - high.Slowdown) / (low.Slowdown - high.Slowdown)
	allowed := s.misses(high.Pages) + share*(s.misses(low.Pages)-s.misses(high.Pages))
	n := uint64(sort.Search(int(high.Pages-low.Pages-1), func(i int) bool { return s.misses(low.Pages+1+uint64(i)) <= allowed }))
	return min(low.Pages+1+n, high.Pages-1)
}

func (s *search) has(pages uint64) bool {
	return slices.ContainsFunc(s.points, func(p Point) bool { return p.Pages == pages })
}

func (s *search) try(pages uint64) error {
	p, err := s.simulate(pages)
	if err != nil {
		return err
	}
	s.points = append(s.points, p)
	slices.SortFunc(s.points, func(a, b Point) int { return cmp.Compare(a.Pages, b.Pages) })
	return nil
}

// Package locality counts how much of the accesses of a trace go to how small a part of its pages: the property on which an ExCache that is much
// smaller than memory rests (LegoOS, OSDI'18, §4.2). Whichever pages they are is not asked, nor when: a curve of this kind bounds what a
// cache of the most frequent pages would hit, and says nothing of one with a policy (for which there is the curve of misses).
//
// Who calls: `splitkernel study locality`. Pure: no goroutines, no clock.
//
//	c := locality.New()
//	for … { err := c.Add(page) }
//	for _, p := range c.Curve() { fmt.Println(p.Pages, p.Accesses) }
package locality

import (
	"fmt"
	"slices"
)

// MaxPages bounds what is counted: 2^27 pages of 4 KiB are 512 GiB.
const MaxPages = 1 << 27

// Counter counts accesses by page.
type Counter struct {
	n     map[uint64]uint64
	total uint64
	// last spares the map where a page is accessed again and again.
	last, held uint64
}

// New makes a counter.
func New() *Counter { return &Counter{n: map[uint64]uint64{}} }

// Add counts one access.
func (c *Counter) Add(page uint64) error {
	c.total++
	if c.held > 0 && page == c.last {
		c.held++
		return nil
	}
	c.flush()
	if _, there := c.n[page]; !there && len(c.n) >= MaxPages {
		return fmt.Errorf("more than %d pages", MaxPages)
	}
	c.last, c.held = page, 1
	c.n[page] += 0 // so that what is held is bounded as what is counted
	return nil
}

func (c *Counter) flush() {
	if c.held > 0 {
		c.n[c.last] += c.held
		c.held = 0
	}
}

// Point says that a share of the pages, those accessed most, has a share of the accesses.
type Point struct {
	Count    int     `json:"pages"`
	Pages    float64 `json:"share_of_pages"`
	Accesses float64 `json:"share_of_accesses"`
}

// Result is what was counted.
type Result struct {
	Total  uint64  `json:"accesses"`
	Pages  int     `json:"pages"`
	Curve  []Point `json:"curve"`  // at shares of pages
	Needed []Point `json:"needed"` // the fewest pages for shares of accesses
}

// Shares at which the curve is told.
var (
	pageShares   = []float64{0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1}
	accessShares = []float64{0.5, 0.8, 0.9, 0.95, 0.99, 0.999}
)

// Result gives the curve. Pages are at least one.
func (c *Counter) Result() Result {
	c.flush()
	counts := make([]uint64, 0, len(c.n))
	for _, n := range c.n { // sorted below
		counts = append(counts, n)
	}
	slices.Sort(counts)
	slices.Reverse(counts)
	r := Result{Total: c.total, Pages: len(counts)}
	sums := make([]uint64, len(counts)+1)
	for i, n := range counts {
		sums[i+1] = sums[i] + n
	}
	point := func(pages int) Point {
		return Point{pages, float64(pages) / float64(len(counts)), float64(sums[pages]) / float64(c.total)}
	}
	if len(counts) == 0 {
		return r
	}
	for _, s := range pageShares {
		// Of fewer than one page there is no point.
		if n := int(s * float64(len(counts))); n >= 1 && (len(r.Curve) == 0 || r.Curve[len(r.Curve)-1].Count < n) {
			r.Curve = append(r.Curve, point(n))
		}
	}
	for _, s := range accessShares {
		n, _ := slices.BinarySearchFunc(sums, s*float64(c.total), func(sum uint64, want float64) int {
			if float64(sum) < want {
				return -1
			}
			return 1
		})
		r.Needed = append(r.Needed, point(min(n, len(counts))))
	}
	return r
}

package prefetch

// nextN guesses the Depth pages that follow. Cheap, and right for a sequence.
//
// Source: Smith, "Sequential program prefetching in memory hierarchies", IEEE
// Computer 11(12), 1978; with n pages as in the swap read-ahead of kernels.
type nextN struct{ depth int }

func newNextN(depth int) guesser { return &nextN{depth} }

func (p *nextN) guess(page uint64, _ bool, out []uint64) []uint64 {
	return ahead(page, 1, p.depth, out)
}

package prefetch

// The table of recent calls, the scores at which a round of learning ends, and the
// score that is too bad to prefetch with.
const (
	offsetRecent   = 256
	offsetScoreMax = 31
	offsetRounds   = 100
	offsetBad      = 10
)

// offsets are those that are tried: up to 64, with no prime factors above 5.
var offsets = [...]uint64{1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 15, 16, 18, 20, 24, 25, 27, 30, 32, 36, 40, 45, 48, 50, 54, 60, 64}

// bestOffset learns the one offset at which most calls had a call before them lately,
// by trying one offset a call in turn; when one has offsetScoreMax points, or each
// was tried offsetRounds times, the best is used until the next learning is over, and
// none if it had offsetBad points or fewer. It guesses Depth multiples of it.
//
// Source: Michaud, "Best-offset hardware prefetching", HPCA 2016, sections 4 and 4.4.
// There the table of recent requests is filled when a prefetched line arrives, so
// that the offset covers its latency; here it is filled by the calls themselves,
// because completions must not decide anything, and Depth covers the latency.
type bestOffset struct {
	depth  int
	recent [offsetRecent]uint64 // page + 1, by a hash
	scores [len(offsets)]int
	try    int // the offset to try next
	round  int
	best   uint64 // 0: none
}

func newBestOffset(depth int) guesser { return &bestOffset{depth: depth, best: 1} }

func place(page uint64) uint64 { return page * 0x9E3779B97F4A7C15 >> 56 }

func (p *bestOffset) guess(page uint64, _ bool, out []uint64) []uint64 {
	if o := offsets[p.try]; page >= o && p.recent[place(page-o)] == page-o+1 {
		p.scores[p.try]++
	}
	end := p.scores[p.try] >= offsetScoreMax
	if p.try++; p.try == len(offsets) {
		p.try = 0
		p.round++
		end = end || p.round == offsetRounds
	}
	if end {
		p.learned()
	}
	p.recent[place(page)] = page + 1
	if p.best == 0 {
		return out
	}
	return ahead(page, int64(p.best), p.depth, out)
}

// learned ends a learning and begins the next. Of equal scores the least offset wins.
func (p *bestOffset) learned() {
	most := offsetBad
	p.best = 0
	for i, s := range p.scores {
		if s > most {
			most, p.best = s, offsets[i]
		}
	}
	p.scores, p.try, p.round = [len(offsets)]int{}, 0, 0
}

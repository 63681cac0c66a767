package reproduce

import (
	"math"
	"math/rand/v2"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// App is a program as a generator of visits to pages. First its threads write all pages of the working set once, each thread its own
// part; then each visit is one of three: to the next page of the thread's part of what is not hot (Scan), to a page that nobody has
// touched (as often as Touched wants), or to the hot set: Run pages in order, from a start that is the k-th of a random order with
// probability ~ 1/k^Skew, all read or all written.
type App struct {
	Name       string
	Threads    int
	WorkingSet uint64 // bytes
	Hot        uint64 // bytes of the working set
	Touched    uint64 // bytes in all: what is beyond the working set is written once
	// Seconds is how long a run with all memory local takes, where that is known, 0 if not. Ours is shorter: it has as much less of what is touched once,
	// and counts from the end of the first pass.
	Seconds    float64
	Visits     int // after the first pass, per page of the working set
	Writes     float64
	ScanWrites float64
	// Instructions between two visits of a thread, on average; each gap is uniform within half and one and a half of it.
	Instructions uint64
	Run          int // pages
	// Together has all threads make the same choices, as those of one operation on one tensor do: each walks its part of the run.
	Together bool
	Skew     float64
	Scan     float64 // share of visits; all of them if nothing is hot
	Source   string  // where the parameters come from
}

// base is where the memory of an App begins.
const base = 1 << 30

// layout is an App at a scale.
type layout struct {
	app         *App
	pages       int // of the working set, the hot ones last
	cold        int
	fresh       int      // beyond
	visits      int      // of one thread
	freshVisits int      // of one thread
	order       []uint32 // of the runs of the hot set
	pick        *alias
}

func (a *App) layout(o *Options, scale int) *layout {
	l := &layout{app: a, pages: int(a.WorkingSet) / scale / wire.PageSize, fresh: int(a.Touched-a.WorkingSet) / scale / wire.PageSize}
	l.cold = l.pages - int(a.Hot)/scale/wire.PageSize
	l.visits = l.pages * a.Visits / a.Threads
	if a.Seconds > 0 {
		ours := float64(a.WorkingSet/wire.PageSize) * float64(a.Visits) / float64(a.Threads) * o.Hardware.Processor.Instructions(a.Instructions).Duration().Seconds()
		l.fresh = int(float64(l.fresh) * min(ours/a.Seconds, 1))
	}
	l.freshVisits = l.fresh / a.Threads
	l.order = make([]uint32, (l.pages-l.cold)/max(a.Run, 1))
	for i, p := range vtime.Stream(o.Seed, a.Name+" order", 0).Perm(len(l.order)) {
		l.order[i] = uint32(l.cold + p*max(a.Run, 1))
	}
	if len(l.order) > 0 {
		l.pick = zipf(len(l.order), a.Skew)
	}
	return l
}

// begun is the end of the first pass of all threads, from which an App of known length is timed.
type begun struct {
	left int
	all  vtime.Signal
	at   time.Duration
}

func newBegun(a *App) *begun {
	b := &begun{all: vtime.Signal{Name: "the end of the first pass of " + a.Name}}
	if a.Seconds > 0 {
		b.left = a.Threads
	}
	return b
}

// due says whether a thread must wait before its next visit.
func (b *begun) due(w *walker) bool { return b.left > 0 && w.pass == w.passEnd && !w.begun }

func (b *begun) wait(y *vtime.Proc, w *walker) {
	w.begun = true
	if b.left--; b.left > 0 {
		y.Wait(&b.all)
		return
	}
	b.at = y.Now()
	b.all.Broadcast()
}

func (l *layout) bytes() uint64 { return uint64(l.pages+l.fresh) * wire.PageSize }

// walker makes the visits of one thread.
type walker struct {
	l         *layout
	rng       *rand.Rand // of its gaps
	choice    *rand.Rand // of everything else
	thread    int
	from, to  int // its part of what is not hot
	scan      int
	pass      int // next page of the first pass
	begun     bool
	passEnd   int
	left      int
	fresh     int // next page that nobody has touched
	freshLeft int
	hot       int  // next page of a run of the hot set
	hotLeft   int  // pages of it
	hotWrite  bool // it is written
}

func (l *layout) walker(o *Options, thread int) *walker {
	w := &walker{l: l, rng: vtime.Stream(o.Seed, l.app.Name+" gaps", uint64(thread)), thread: thread, left: l.visits, freshLeft: l.freshVisits}
	choices := uint64(thread)
	if l.app.Together {
		choices = 0
	}
	w.choice = vtime.Stream(o.Seed, l.app.Name, choices)
	n := l.app.Threads
	w.from, w.to = l.cold*thread/n, l.cold*(thread+1)/n
	w.pass, w.passEnd, w.scan = l.pages*thread/n, l.pages*(thread+1)/n, w.from
	w.fresh = l.pages + thread*l.freshVisits
	return w
}

// next gives the page to visit, counted from 0, and how many instructions come before it.
func (w *walker) next() (page int, write bool, instructions uint64, ok bool) {
	a := w.l.app
	instructions = a.Instructions/2 + w.rng.Uint64N(a.Instructions)
	if w.pass < w.passEnd {
		w.pass++
		return w.pass - 1, true, instructions, true
	}
	if w.left == 0 {
		return 0, false, 0, false
	}
	w.left--
	if w.freshLeft > 0 && w.choice.IntN(w.left+1) < w.freshLeft {
		w.freshLeft--
		w.fresh++
		return w.fresh - 1, true, instructions, true
	}
	if w.choice.Float64() < a.Scan {
		page = w.scan
		if w.scan++; w.scan == w.to {
			w.scan = w.from
		}
		return page, w.choice.Float64() < a.ScanWrites, instructions, true
	}
	if w.hotLeft == 0 {
		w.hot, w.hotLeft, w.hotWrite = int(w.l.order[w.l.pick.draw(w.choice)]), max(a.Run, 1), w.choice.Float64() < a.Writes
		if a.Together {
			w.hotLeft = a.Run / a.Threads
			w.hot += w.thread * w.hotLeft
		}
	}
	w.hotLeft--
	w.hot++
	return w.hot - 1, w.hotWrite, instructions, true
}

// alias draws from a distribution in constant time (Walker's alias method, as Vose, IEEE TSE 1991, builds it).
type alias struct {
	keep  []float64
	other []uint32
}

// zipf is ranks 0 to n−1 with probabilities ~ 1/(rank+1)^skew.
func zipf(n int, skew float64) *alias {
	p := make([]float64, n)
	sum := 0.0
	for i := range p {
		p[i] = math.Pow(float64(i+1), -skew)
		sum += p[i]
	}
	a := &alias{make([]float64, n), make([]uint32, n)}
	var small, large []uint32
	for i := range p {
		p[i] *= float64(n) / sum
		if p[i] < 1 {
			small = append(small, uint32(i))
		} else {
			large = append(large, uint32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, g := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		a.keep[s], a.other[s] = p[s], g
		if p[g] -= 1 - p[s]; p[g] < 1 {
			large, small = large[:len(large)-1], append(small, g)
		}
	}
	for _, i := range append(small, large...) { // what rounding left
		a.keep[i] = 1
	}
	return a
}

func (a *alias) draw(rng *rand.Rand) int {
	i := rng.IntN(len(a.keep))
	if rng.Float64() < a.keep[i] {
		return i
	}
	return int(a.other[i])
}

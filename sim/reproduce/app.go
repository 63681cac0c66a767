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
	// Together has all threads make the same choices, as those of one operation on one tensor do: each walks its part of the run, and none begins the
	// next before all have ended this one.
	Together bool
	Skew     float64
	Scan     float64 // share of visits; all of them if nothing is hot
	// Once has what is not hot be a file that is mapped and walked once, in place of the first pass and of Scan.
	Once   bool
	Source string // where the parameters come from
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

// crew is the threads of an App, which wait for each other after the first pass, from which an App of known length is timed, and those that work
// together also before each run of pages.
type crew struct {
	app     *App
	began   time.Duration
	waiting int
	all     vtime.Signal
}

func newCrew(a *App, now time.Duration) *crew {
	return &crew{app: a, began: now, all: vtime.Signal{Name: "the other threads of " + a.Name}}
}

// due says whether a thread must wait before its next visit.
func (c *crew) due(w *walker) bool {
	return w.pass == w.passEnd && (!w.begun && (c.app.Seconds > 0 || c.app.Together) || w.joins)
}

// wait has a thread wait until all are there. It must be at the time of the clock.
func (c *crew) wait(y *vtime.Proc, w *walker) {
	first := !w.begun
	w.begun, w.joins = true, false
	if c.waiting++; c.waiting < c.app.Threads {
		y.Wait(&c.all)
		return
	}
	c.waiting = 0
	if first && c.app.Seconds > 0 {
		c.began = y.Now()
	}
	c.all.Broadcast()
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
	pass      int  // next page of the first pass
	begun     bool // the first pass is over
	joins     bool // it has ended its part of a run, on which the others also work
	passEnd   int
	left      int
	fresh     int // next page that nobody has touched
	freshLeft int
	run       int  // next page of a run
	runLeft   int  // pages of it
	runWrite  bool // it is written
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
	w.scan = w.from
	if l.app.Together {
		w.scan = 0
	}
	if l.app.Once {
		w.pass, w.passEnd = l.cold+(l.pages-l.cold)*thread/n, l.cold+(l.pages-l.cold)*(thread+1)/n
	} else if l.app.Together {
		w.pass, w.passEnd = 0, l.pages/l.app.Run*(l.app.Run/n)
	} else {
		w.pass, w.passEnd = l.pages*thread/n, l.pages*(thread+1)/n
	}
	w.fresh = l.pages + thread*l.freshVisits
	return w
}

// next gives the page to visit, counted from 0, and how many instructions come before it.
func (w *walker) next() (page int, write bool, instructions uint64, ok bool) {
	a := w.l.app
	instructions = a.Instructions/2 + w.rng.Uint64N(a.Instructions)
	if w.pass < w.passEnd {
		w.pass++
		return w.passed(w.pass - 1), true, instructions, true
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
	if !a.Together && w.scans() {
		page = w.scan
		if w.scan++; w.scan == w.to && !a.Once {
			w.scan = w.from
		}
		return page, w.choice.Float64() < a.ScanWrites, instructions, true
	}
	if w.runLeft == 0 {
		w.begin()
	}
	w.runLeft--
	w.run++
	w.joins = a.Together && w.runLeft == 0
	return w.run - 1, w.runWrite, instructions, true
}

// passed is the k-th page of the first pass: threads that work together walk their parts of one run after the other.
func (w *walker) passed(k int) int {
	a := w.l.app
	if !a.Together {
		return k
	}
	part := a.Run / a.Threads
	return k/part*a.Run + w.thread*part + k%part
}

// scans says whether the next visit is to what is not hot.
func (w *walker) scans() bool {
	if w.l.app.Once {
		return w.choice.IntN(w.left+1) < w.to-w.scan
	}
	return w.choice.Float64() < w.l.app.Scan
}

// begin begins a run: of the hot set, or, if threads work together, as often as Scan says the next of what is not hot.
func (w *walker) begin() {
	a := w.l.app
	w.runLeft = max(a.Run, 1)
	if a.Together && w.scans() {
		if w.scan+a.Run > w.l.cold {
			w.scan = 0
		}
		w.run, w.runWrite = w.scan, w.choice.Float64() < a.ScanWrites
		w.scan += a.Run
	} else {
		w.run, w.runWrite = int(w.l.order[w.l.pick.draw(w.choice)]), w.choice.Float64() < a.Writes
	}
	if a.Together {
		w.runLeft = a.Run / a.Threads
		w.run += w.thread * w.runLeft
	}
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

package fuzz

import (
	"slices"
	"time"

	"splitkernel/sim/faults"
	"splitkernel/sim/vcluster"
)

// ShrinkTries is how many worlds Shrink plays by default.
const ShrinkTries = 300

// Shrink looks for a shorter world that fails as w does, by leaving out faults, orders, processes and references, and by making what is
// left simpler. It plays at most so many worlds, with play, which is Play. It returns the shortest that it found, its outcome, and how many it played.
func Shrink(w *World, failure *Failure, tries int, play func(*World) *Outcome) (*World, *Outcome, int) {
	s := shrinker{best: w, what: failure.What, left: tries, play: play}
	for again := true; again && s.left > 0; {
		again = s.round()
	}
	return s.best, s.out, tries - s.left
}

type shrinker struct {
	best *World
	out  *Outcome
	what string
	left int
	play func(*World) *Outcome
}

// try plays a changed world; if it fails alike it is the best from now on.
func (s *shrinker) try(change func(w *World)) bool {
	if s.left == 0 {
		return false
	}
	w := s.best.clone()
	change(w)
	if w.String() == s.best.String() {
		return false
	}
	s.left--
	out := s.play(w)
	if out.Failure == nil || out.Failure.What != s.what {
		return false
	}
	s.best, s.out = w, out
	return true
}

func (w *World) clone() *World {
	x := *w
	x.Processes, x.Orders, x.Faults = slices.Clone(w.Processes), slices.Clone(w.Orders), slices.Clone(w.Faults)
	return &x
}

// round tries every way once; it is true if one made the world shorter.
func (s *shrinker) round() (shorter bool) {
	did := func(ok bool) { shorter = shorter || ok }
	did(thin(s, func(w *World) *[]faults.Fault { return &w.Faults }))
	did(thin(s, func(w *World) *[]vcluster.Order { return &w.Orders }))
	did(thin(s, func(w *World) *[]Process { return &w.Processes }))
	d := DefaultWorld()
	for _, change := range []func(w *World){
		func(w *World) { w.Lost, w.Unheard, w.Late, w.Twice, w.LeaderChange = 0, 0, 0, 0, 0 },
		func(w *World) { w.LeaderChange = 0 },
		func(w *World) { w.Lost, w.Unheard, w.Late, w.Twice = 0, 0, 0, 0 },
		func(w *World) { w.Balance = false },
		func(w *World) { w.Jitter = 0 },
		func(w *World) { w.LogPages = d.LogPages },
		func(w *World) { w.Latency = d.Latency },
		func(w *World) { w.GPM, w.GMM, w.GSM, w.Caches = d.GPM, d.GMM, d.GSM, d.Caches },
		func(w *World) { w.Racks = 1 },
		func(w *World) { w.Managers = 1 },
		func(w *World) { w.Compute-- },
		func(w *World) { w.Memory-- },
		func(w *World) { w.Storage-- },
	} {
		did(s.try(func(w *World) {
			if change(w); w.check() != nil || w.Compute < 1 || w.Memory < 1 || w.Storage < 0 {
				*w = *s.best // it names what would not be there
			}
		}))
	}
	for i := range s.best.Processes {
		for _, change := range []func(p *Process){
			func(p *Process) { p.Volumes, p.Blocks = 0, 0 },
			func(p *Process) { p.Volumes = min(p.Volumes, 1) },
			func(p *Process) { p.Copies, p.WriteQuorum, p.ReadQuorum, p.Through = 1, 1, 1, false },
			func(p *Process) { p.Remaps = 0 },
			func(p *Process) { p.Threads = 1 },
			func(p *Process) { p.Begin = 0 },
			func(p *Process) { p.Policy, p.Mechanism = defaultProcess().Policy, defaultProcess().Mechanism },
			func(p *Process) {
				p.Prefetcher, p.Degree, p.InFlight = defaultProcess().Prefetcher, defaultProcess().Degree, defaultProcess().InFlight
			},
			func(p *Process) { p.MemoryBytes = 0 },
			func(p *Process) { p.Replication, p.MemoryCopies, p.LogBlock = "none", 1, false },
			func(p *Process) { p.MemoryCopies = 1 },
			func(p *Process) { p.Parity = 1 },
			func(p *Process) { p.Data, p.Parity = defaultProcess().Data, defaultProcess().Parity },
			func(p *Process) { p.Checkpoint = 0 },
			func(p *Process) { p.Refs /= 4 },
			func(p *Process) { p.Refs /= 2 },
			func(p *Process) { p.Pages = max(p.Pages/2, 1) },
			func(p *Process) { p.Blocks /= 2 },
		} {
			did(s.try(func(w *World) { change(&w.Processes[i]) }))
		}
	}
	for i := range s.best.Faults {
		did(s.try(func(w *World) { w.Faults[i].Jitter = 0 }))
		did(s.try(func(w *World) { w.Faults[i].For = (w.Faults[i].For / 2).Truncate(time.Microsecond) }))
	}
	did(s.try(func(w *World) { w.Heal = max(w.Heal/2, 1) }))
	return shorter
}

// thin leaves out runs of a list: all of it, halves, and so on down to single ones.
func thin[T any](s *shrinker, of func(w *World) *[]T) (shorter bool) {
	for n := len(*of(s.best)); n > 0; n /= 2 {
		for i := 0; i < len(*of(s.best)); {
			if s.try(func(w *World) { l := of(w); *l = slices.Delete(*l, i, min(i+n, len(*l))) }) {
				shorter = true
			} else {
				i += n
			}
			if s.left == 0 {
				return shorter
			}
		}
	}
	return shorter
}

package advise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"splitkernel/configs"
	"splitkernel/sim/hardware"
	"splitkernel/sim/mrc"
	"splitkernel/sim/trace"
)

// Advice is the answer for one profile. The JSON keys are for programs and stay.
type Advice struct {
	Profile      string  `json:"profile"`
	LocalSeconds float64 `json:"local_seconds"` // with all memory local, modelled
	Verdict      Verdict `json:"verdict"`       // "" if it was stopped before it was known
	Needed       *Point  `json:"needed"`
	NearBest     *Point  `json:"near_best"` // of none: the smallest that is slower than room for all pages by no more than is allowed
	Points       []Point `json:"points"`    // by pages
}

// Curve is a point of the trace's LRU curve.
type Curve struct {
	Pages     uint64  `json:"pages"`
	MissRatio float64 `json:"miss_ratio"`
}

// Result is what Run finds. The JSON keys are for programs and stay.
type Result struct {
	Program      string  `json:"program"`
	Slowdown     float64 `json:"slowdown"` // that is allowed
	Footprint    uint64  `json:"footprint_pages"`
	References   uint64  `json:"references"`
	Instructions uint64  `json:"instructions"`
	Least        uint64  `json:"least_pages"` // the smallest size that was looked at
	ApartPages   uint64  `json:"apart_pages"` // how far sizes can be told apart
	Thinning     string  `json:"thinning"`
	// FileOperations are those of the trace, which are left out: what they take does not depend on the ExCache.
	FileOperations uint64   `json:"file_operations_left_out"`
	Curve          []Curve  `json:"curve"`
	Advice         []Advice `json:"advice"`
	Partial        bool     `json:"partial"`
}

// fewPages is a footprint below which advice is of little use: less than 1 MiB.
const fewPages = 256

// leastPages is the smallest ExCache that is looked at, unless the trace was thinned out beyond it.
const leastPages = 16

// Run advises.
func Run(ctx context.Context, o Options) (res *Result, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	var profiles []*hardware.Profile
	for _, name := range o.Profiles {
		h, err := configs.LoadHardware(name)
		if err != nil {
			return nil, err
		}
		profiles = append(profiles, h)
	}
	t, err := stat(ctx, o)
	if err != nil {
		return nil, err
	}
	files := t.Info.BlockReads + t.Info.BlockWrites + t.Info.BlockFlushes
	if files > 0 {
		if o, err = withoutFiles(ctx, o); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(filepath.Dir(o.Path))) }()
		if t, err = stat(ctx, o); err != nil {
			return nil, err
		}
	}
	res = &Result{FileOperations: files, Program: o.Name, Slowdown: o.Slowdown, Footprint: t.Info.FootprintPages, References: t.Info.Refs, Instructions: t.Info.Instructions,
		ApartPages: apart(t.Info.FootprintPages), Thinning: t.Info.Header.Thinning}
	res.Least = min(max(leastPages, trace.ThinnedPages(t.Info.Header)), res.Footprint)
	misses, err := res.curve(ctx, o)
	if err != nil {
		return nil, err
	}
	w, err := newWorld(o, t)
	if err != nil {
		return nil, err
	}
	return res, res.advise(ctx, w, profiles, misses)
}

// curvePoints is at how many sizes, evenly spread, the curve is known.
const curvePoints = 200

// curve computes the LRU curve, and gives it as a function.
func (r *Result) curve(ctx context.Context, o Options) (func(pages uint64) float64, error) {
	mo := mrc.DefaultOptions()
	mo.Records = mrc.Memory
	for i := range curvePoints {
		mo.Sizes = append(mo.Sizes, mrc.Size{Share: float64(i+1) / curvePoints})
	}
	open := func() (trace.Source, error) {
		src, err := trace.OpenFormat(o.Path, o.Format)
		if err != nil {
			return nil, err
		}
		return &memory{Source: src, most: o.MaxRefs, tell: o.Reading}, nil
	}
	c, err := mrc.Run(ctx, open, mo)
	if err != nil {
		return nil, err
	}
	for _, row := range c.Dense {
		r.Curve = append(r.Curve, Curve{row.Size, row.MissRatio})
	}
	rows := c.Rows
	return func(pages uint64) float64 {
		before := mrc.Row{Misses: c.Requests}
		for _, row := range rows {
			if row.Size >= pages {
				share := float64(pages-before.Size) / float64(row.Size-before.Size)
				return float64(before.Misses) - share*float64(before.Misses-row.Misses)
			}
			before = row
		}
		return float64(before.Misses)
	}, nil
}

// advise searches on all profiles, as many at a time as there are workers.
func (r *Result) advise(ctx context.Context, w *world, profiles []*hardware.Profile, misses func(uint64) float64) error {
	r.Advice = make([]Advice, len(profiles))
	for i, h := range profiles {
		r.Advice[i] = Advice{Profile: h.Name, Points: []Point{}}
	}
	errs := make([]error, len(profiles))
	var mu sync.Mutex
	done := uint64(0)
	least := uint64(len(profiles)*(len(shares)+2)) * r.References
	tell := func(refs uint64) {
		mu.Lock()
		defer mu.Unlock()
		if done += refs; w.o.Progress != nil {
			w.o.Progress(done, max(least, done))
		}
	}
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(w.o.Workers, len(profiles)) {
		wg.Go(func() {
			for i := range next {
				r.Advice[i], errs[i] = r.on(ctx, w, profiles[i], misses, tell)
			}
		})
	}
	for i := range profiles {
		next <- i
	}
	close(next)
	wg.Wait()
	err := errors.Join(errs...)
	if ctx.Err() != nil && err != nil {
		r.Partial = true
		return fmt.Errorf("advise: %w", context.Cause(ctx))
	}
	return err
}

// on searches on one profile.
func (r *Result) on(ctx context.Context, w *world, h *hardware.Profile, misses func(uint64) float64, tell func(refs uint64)) (a Advice, err error) {
	a = Advice{Profile: h.Name, Points: []Point{}}
	s := search{target: r.Slowdown, least: r.Least, most: r.Footprint, misses: misses, simulate: func(pages uint64) (Point, error) {
		if ctx.Err() != nil {
			return Point{}, context.Cause(ctx)
		}
		told := uint64(0)
		p, local, err := w.simulate(ctx, h, pages, a.LocalSeconds == 0, func(done, total uint64) {
			so := uint64(float64(r.References) * float64(done) / float64(max(total, 1)))
			tell(so - told)
			told = so
		})
		if err != nil {
			return p, err
		}
		if a.LocalSeconds == 0 {
			a.LocalSeconds = local
		}
		if !(a.LocalSeconds > 0) {
			return p, fmt.Errorf("%s: with all memory local the program takes no time, so nothing can be compared with it", h.Name)
		}
		p.Slowdown = p.Seconds/a.LocalSeconds - 1
		tell(r.References - told)
		return p, nil
	}}
	verdict, at, err := s.run()
	a.Verdict, a.Points = verdict, append(a.Points, s.points...)
	if at != nil {
		p := *at
		if a.Needed = &p; verdict == None {
			a.Needed, a.NearBest = nil, &p
		}
	}
	return a, err
}

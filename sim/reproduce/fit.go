package reproduce

import (
	"context"
	"fmt"
	"math"
)

// Fit finds Instructions, Hot and Scan, or Skew of one that walks a file once, of the applications of Figures 11 and 12 from their LegoOS rows: one figure of three cells for
// each, and nothing else. The search is by coordinates: each parameter in turn goes a step up or down if that makes the sum of the squares of
// the relative errors smaller; when none does, steps are halved. Values are whole multiples of the last step, so every processor finds the same.
func Fit(ctx context.Context, o Options, tell func(string)) ([]App, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	out := append([]App(nil), apps...)
	for f := range slowdowns {
		for i := range out {
			if out[i].Name == slowdowns[f].app {
				if err := fitApp(ctx, &o, &out[i], f, tell); err != nil {
					return nil, err
				}
			}
		}
	}
	return out, nil
}

// fitted is a parameter.
type fitted struct {
	step     float64
	min, max float64
	at       func(a *App) float64
	set      func(a *App, x float64)
	once     bool // of Apps that walk a file once
	scans    bool // of those that do not
}

var fittedParameters = []fitted{
	{500, 2000, 1_000_000, func(a *App) float64 { return float64(a.Instructions) }, func(a *App, x float64) { a.Instructions = uint64(math.Round(x)) }, false, false},
	{4, 4, 1600, func(a *App) float64 { return float64(a.Hot / mib) }, func(a *App, x float64) { a.Hot = uint64(math.Round(x)) * mib }, false, false},
	{0.005, 0, 1, func(a *App) float64 { return a.Scan }, func(a *App, x float64) { a.Scan = math.Round(x*1000) / 1000 }, false, true},
	{0.02, 0, 2, func(a *App) float64 { return a.Skew }, func(a *App, x float64) { a.Skew = math.Round(x*100) / 100 }, true, false},
}

// coarsest is the first step of the search in multiples of the last.
const coarsest = 16

func fitApp(ctx context.Context, o *Options, a *App, figure int, tell func(string)) error {
	s := &slowdowns[figure]
	loss := func(a *App) (float64, error) {
		r := &run{o: *o, local: map[string]float64{}, stop: func() error { return context.Cause(ctx) }}
		sum := 0.0
		for i, m := range s.mib {
			x, err := r.slowdown(a, paperCluster, legoCache(m*mib, o.Scale))
			if err != nil {
				return 0, err
			}
			e := x/s.rows[0].x[i] - 1
			sum += e * e
		}
		return sum, nil
	}
	best, err := loss(a)
	if err != nil {
		return err
	}
	for scale := float64(coarsest); scale >= 1; scale /= 2 {
		for better := true; better; {
			better = false
			for _, p := range fittedParameters {
				if p.once && !a.Once || p.scans && a.Once {
					continue
				}
				for _, d := range []float64{scale * p.step, -scale * p.step} {
					try := *a
					if x := p.at(a) + d; x < p.min || x > p.max {
						continue
					} else {
						p.set(&try, x)
					}
					if try.Hot >= try.WorkingSet {
						continue
					}
					l, err := loss(&try)
					if err != nil {
						return err
					}
					if l < best {
						*a, best, better = try, l, true
						break
					}
				}
			}
			tell(fmt.Sprintf("%s: %d instructions, %d MiB hot, scan %.3f, skew %.2f: error %.2f %%", a.Name, a.Instructions, a.Hot/mib, a.Scan, a.Skew, 100*math.Sqrt(best/float64(len(s.mib)))))
		}
	}
	return nil
}

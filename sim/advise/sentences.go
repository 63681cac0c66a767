package advise

import (
	"fmt"
	"math"

	"splitkernel/sim/report/plot"
	"splitkernel/sim/trace"
)

// Sentence is the answer for one profile, in words.
func (r *Result) Sentence(a Advice) string {
	limit := percent(r.Slowdown)
	switch {
	case a.Verdict == Any:
		return fmt.Sprintf("On %s an ExCache of %s is enough, the smallest that was looked at: it is %s slower there than with all memory local, and at most %s are allowed.",
			a.Profile, size(a.Needed.Bytes), percent(a.Needed.Slowdown), limit)
	case a.Verdict == None:
		full := a.Points[len(a.Points)-1]
		return fmt.Sprintf("On %s no size is enough: even with room for all its pages (%s) it is %s slower than with all memory local, for each page must be fetched or made once, and memory is mapped by messages; at most %s are allowed. To be at most %s slower than that, it needs %s, %s of its footprint.",
			a.Profile, size(full.Bytes), percent(full.Slowdown), limit, limit, size(a.NearBest.Bytes), percent(a.NearBest.Share))
	case a.Verdict == Found:
		n := a.Needed
		return fmt.Sprintf("On %s it needs an ExCache of %s, %s of its footprint, to be at most %s slower than with all memory local: there it is %s slower (%.4g s in place of %.4g s) and misses %s of the references in the trace.",
			a.Profile, size(n.Bytes), percent(n.Share), limit, percent(n.Slowdown), n.Seconds, a.LocalSeconds, percent(n.MissRatio))
	case len(a.Points) == 0:
		return fmt.Sprintf("On %s nothing was simulated before the stop.", a.Profile)
	}
	return fmt.Sprintf("On %s the search was stopped: %s.", a.Profile, between(a.Points, r.Slowdown))
}

// between says what points tell of a search that did not end.
func between(points []Point, limit float64) string {
	enough := len(points)
	for enough > 0 && points[enough-1].Slowdown <= limit {
		enough--
	}
	switch {
	case enough == len(points):
		return fmt.Sprintf("%s is not enough", size(points[enough-1].Bytes))
	case enough == 0:
		return fmt.Sprintf("%s is enough", size(points[0].Bytes))
	}
	return fmt.Sprintf("%s is not enough, %s is", size(points[enough-1].Bytes), size(points[enough].Bytes))
}

// About says what the answers are about: the program, and what limits them.
func (r *Result) About() (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	add("%s: %d references to %d pages (%s), %d instructions. All times are modelled, in virtual time; the ExCache is fully associative, with LRU; the program runs alone.",
		r.Program, r.References, r.Footprint, size(r.Footprint*trace.PageBytes), r.Instructions)
	add("Sizes are told apart to %s.", size(r.ApartPages*trace.PageBytes))
	if r.FileOperations > 0 {
		add("Its %d file operations are left out on both sides: what they take does not depend on the ExCache.", r.FileOperations)
	}
	if r.Footprint < fewPages {
		add("Its footprint is small: an ExCache that holds all of it costs next to nothing, and nobody needs to look for less.")
	}
	if r.Thinning != "" {
		add("The trace was thinned out: %s. What a smaller ExCache than %s would do cannot be told from it.", r.Thinning, size(r.Least*trace.PageBytes))
	}
	if r.Partial {
		add("Partial: it was stopped; what follows is what was known then.")
	}
	return lines
}

// Plot draws the slowdown over the size of the ExCache, on each profile, with the limit: what package plot takes for lines.
func (r *Result) Plot() (plot.Axes, []plot.Series) {
	axes := plot.Axes{Title: "Slowdown of " + r.Program + ", modelled", X: "ExCache (share of the footprint of " + size(r.Footprint*trace.PageBytes) + ", %)",
		Y: "longer than with all memory local (%)", LogY: true}
	var series []plot.Series
	from, to := math.Inf(1), 0.0
	for _, a := range r.Advice {
		s := plot.Series{Name: a.Profile}
		for _, p := range a.Points {
			s.X, s.Y = append(s.X, 100*p.Share), append(s.Y, math.Max(100*p.Slowdown, leastShown))
			from, to = min(from, 100*p.Share), max(to, 100*p.Share)
		}
		if len(s.X) > 0 {
			series = append(series, s)
		}
	}
	if len(series) < plot.MaxSeries && to > from {
		series = append(series, plot.Series{Name: "allowed: " + percent(r.Slowdown), X: []float64{from, to}, Y: []float64{100 * r.Slowdown, 100 * r.Slowdown}})
	}
	return axes, series
}

// leastShown is the least slowdown of a plot, in percent: its axis is logarithmic.
const leastShown = 0.01

// percent of a share, with three digits.
func percent(share float64) string { return fmt.Sprintf("%.3g %%", 100*share) }

// size of so many bytes, with three digits.
func size(bytes uint64) string {
	x, unit := float64(bytes)/(1<<10), "KiB"
	for _, larger := range []string{"MiB", "GiB", "TiB"} {
		if x < 1000 {
			break
		}
		x, unit = x/(1<<10), larger
	}
	return fmt.Sprintf("%.3g %s", x, unit)
}

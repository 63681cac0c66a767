package page

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"splitkernel/sim/report"
	"splitkernel/sim/report/plot"
)

// Sizes and bounds of charts.
const (
	chartWidth, chartHeight = 400, 190
	// MaxBars bounds the bars of a chart; the longest are drawn.
	MaxBars = 32
	// leastIntervals is from how many intervals on something over time is worth a chart.
	leastIntervals = 3
)

// Small gives the axes of a chart of a page.
func Small(x, y string) plot.Axes {
	return plot.Axes{X: x, Y: y, Width: chartWidth, Height: chartHeight}
}

// ChartOf takes over what a plot of sim/report/plot gave, without its title.
func ChartOf(svg string, err error) Chart { return chart("", svg, err) }

// chart takes over what a plot gave. One that cannot be drawn, as of values that are none, leaves a note.
func chart(title string, svg string, err error) Chart {
	if err != nil {
		return Chart{Title: title, SVG: blank, Note: "Not drawn: " + err.Error()}
	}
	return Chart{Title: title, SVG: svg}
}

const blank = `<svg viewBox="0 0 500 8"></svg>`

// titled marks the title of a chart of a virtual run.
func (r *Run) titled(title string) string { return title + r.modelled() }

// overTime are the charts of the series.
func (r *Run) overTime() Section {
	s := Section{Title: "Over time"}
	if r.Timeline == nil || len(r.Timeline.Series.Intervals) < leastIntervals {
		return s
	}
	clock := "wall time since the start"
	if r.virtual() {
		clock = "virtual time"
	}
	unit, name := unitOf(r.Timeline.Series.IntervalSeconds * float64(len(r.Timeline.Series.Intervals)))
	lines := func(title, y string, most float64, of func(report.Interval, float64) float64) {
		a := Small(fmt.Sprintf("%s, %s", clock, name), y)
		a.YMax, a.Marks = most, r.marks(unit)
		x, v := valuesOf(r.Timeline, unit, of)
		svg, err := plot.Lines(a, []plot.Series{{X: x, Y: v}})
		s.Charts = append(s.Charts, chart(r.titled(title), svg, err))
	}
	lines("Hit ratio over time", "hits, %", 100, hitPercent)
	rate := func(title, what string, of func(report.Interval) uint64) {
		most := 0.0
		_, all := valuesOf(r.Timeline, unit, func(i report.Interval, s float64) float64 { return float64(of(i)) / s })
		for _, v := range all {
			most = max(most, v)
		}
		per, thousands := 1.0, ""
		switch {
		case most >= 2e6:
			per, thousands = 1e6, "million "
		case most >= 2e3:
			per, thousands = 1e3, "thousand "
		}
		lines(title, thousands+what+"/s", 0, func(i report.Interval, s float64) float64 { return float64(of(i)) / s / per })
	}
	rate("Accesses over time", "accesses", func(i report.Interval) uint64 { return i.Accesses })
	rate("Faults over time", "faults", func(i report.Interval) uint64 { return i.Faults })
	lines("Pages fetched and flushed over time", "MiB/s", 0, func(i report.Interval, s float64) float64 { return float64(i.Bytes) / s / (1 << 20) })
	if n := len(r.marks(unit)); n > 0 {
		s.Notes = append(s.Notes, "Dashed lines: faults that were put in on purpose, and components that were declared dead. The tables say which.")
	}
	return s
}

func hitPercent(i report.Interval, _ float64) float64 {
	if i.Accesses == 0 {
		return math.NaN()
	}
	return 100 * float64(i.Hits) / float64(i.Accesses)
}

// unitOf is a unit of time for an axis that ends at s seconds.
func unitOf(s float64) (perSecond float64, name string) {
	switch {
	case s < 2e-3:
		return 1e6, "µs"
	case s < 2:
		return 1e3, "ms"
	}
	return 1, "s"
}

// valuesOf gives the middles of intervals, and a figure of each. The last interval may not be full, which a rate must not show.
func valuesOf(t *report.Timeline, unit float64, of func(i report.Interval, seconds float64) float64) (x, y []float64) {
	n := len(t.Series.Intervals)
	for i, v := range t.Series.Intervals {
		if i == n-1 && n > leastIntervals {
			break
		}
		x = append(x, (float64(i)+0.5)*t.Series.IntervalSeconds*unit)
		y = append(y, of(v, t.Series.IntervalSeconds))
	}
	return x, y
}

// marks are the moments at which something went wrong.
func (r *Run) marks(unit float64) (out []plot.Mark) {
	for _, f := range r.Summary.Faults {
		if f.State == report.FaultDone {
			out = append(out, plot.Mark{X: f.AtSeconds * unit, Name: f.Fault})
		}
	}
	for _, f := range r.Summary.Failures {
		out = append(out, plot.Mark{X: f.AtSeconds * unit, Name: string(f.Component) + " declared dead"})
	}
	return out
}

// latencies are how long faults and block requests took.
func (r *Run) latencies() Section {
	s := Section{Title: "Latencies"}
	t := &r.Summary.Total
	if r.Timeline != nil {
		for _, of := range []struct {
			title, x string
			kinds    []string
			buckets  map[string][]report.Bucket
		}{{"Faults served within a time", "µs from the miss to the access", report.FaultKinds, r.Timeline.Faults}, {"Block requests served within a time", "µs", report.BlockKinds, r.Timeline.Blocks}} {
			var series []plot.Series
			for _, k := range of.kinds {
				if bs := of.buckets[k]; len(bs) > 0 {
					series = append(series, cumulative(strings.ReplaceAll(k, "_", " "), bs))
				}
			}
			if len(series) > 0 {
				a := Small(of.x, "share served, %")
				a.LogX, a.YMax, a.Step = true, 100, true
				svg, err := plot.Lines(a, series)
				s.Charts = append(s.Charts, chart(r.titled(of.title), svg, err))
			}
		}
	}
	if r.virtual() {
		var labels []string
		var mean []float64
		for _, x := range r.Summary.Modelled.Stages {
			labels, mean = append(labels, strings.ReplaceAll(x.Name, "_", " ")), append(mean, x.MeanUS)
		}
		if len(labels) > 0 && t.Fetches > 0 {
			svg, err := plot.Bars(Small("stage of a fetch", "mean, µs"), labels, []plot.Series{{Y: mean}})
			s.Charts = append(s.Charts, chart("Where a fetch spends its time (modelled)", svg, err))
		}
	}
	s.Tables = []Table{latencyTable("Faults"+r.modelled(), report.FaultKinds, t.FaultLatency), latencyTable("Block requests"+r.modelled(), report.BlockKinds, t.BlockLatency), r.stages(), r.slowest()}
	return s
}

// cumulative is a distribution as a line that rises to 100.
func cumulative(name string, bs []report.Bucket) plot.Series {
	s := plot.Series{Name: name}
	total, n := float64(totalOf(bs)), uint64(0)
	for _, b := range bs {
		n += b.Count
		s.X, s.Y = append(s.X, b.UnderUS), append(s.Y, 100*float64(n)/total)
	}
	return s
}

// bar is one of a chart of names.
type bar struct {
	name string
	y    []float64
}

// bars draws the longest, in the order that they come in.
func bars(title string, a plot.Axes, names []string, of []bar) Chart {
	note := ""
	if n := len(of); n > MaxBars {
		long := slices.Clone(of)
		slices.SortStableFunc(long, func(a, b bar) int { return cmp.Compare(b.y[0], a.y[0]) })
		least := long[MaxBars-1].y[0]
		of = slices.DeleteFunc(slices.Clone(of), func(b bar) bool { return b.y[0] < least })
		of = of[:min(len(of), MaxBars)]
		note = fmt.Sprintf("The %d longest of %d.", len(of), n)
	}
	var labels []string
	series := make([]plot.Series, len(names))
	for i, n := range names {
		series[i].Name = n
	}
	for _, b := range of {
		labels = append(labels, b.name)
		for i := range series {
			series[i].Y = append(series[i].Y, b.y[i])
		}
	}
	svg, err := plot.Bars(a, labels, series)
	c := chart(title, svg, err)
	if err == nil {
		c.Note = note
	}
	return c
}

// slowdownChart is of virtual runs only.
func (r *Run) slowdownChart() []Chart {
	var of []bar
	if r.virtual() {
		for _, v := range slowed(r.Summary) {
			of = append(of, bar{v.Name, []float64{v.Slowdown}})
		}
	}
	if len(of) == 0 {
		return nil
	}
	return []Chart{bars("Slowdown against all memory local (modelled)", Small("vNode", "times the time"), []string{""}, of)}
}

// componentChart is what each mComponent served.
func (r *Run) componentChart() []Chart {
	var of []bar
	for i := range r.Summary.Components {
		if c := &r.Summary.Components[i]; c.Role == "mcomponent" {
			of = append(of, bar{string(c.ID), []float64{float64(c.Fetches) / 1e3, float64(c.Flushes+c.FinalFlushes) / 1e3}})
		}
	}
	if len(of) == 0 {
		return nil
	}
	return []Chart{bars("Pages that mComponents served", Small("mComponent", "thousand pages"), []string{"fetched", "flushed"}, of)}
}

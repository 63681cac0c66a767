package page

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"

	"splitkernel/sim/report"
	"splitkernel/sim/report/plot"
)

// MaxCompared bounds what is compared at once: each has a colour and a column.
const MaxCompared = 12

// Names gives folders names that tell them apart: the last part of each, or if that is not enough their paths.
func Names(dirs []string) []string {
	var out []string
	for _, d := range dirs {
		out = append(out, filepath.Base(filepath.Clean(d)))
	}
	if s := slices.Sorted(slices.Values(out)); len(slices.Compact(s)) < len(out) {
		return slices.Clone(dirs)
	}
	return out
}

// figure is a row of a comparison: one text a run, and what it is compared by, if it is a number.
type figure struct {
	name string
	of   func(*Run) (text string, ok bool)
}

// Compare makes the document of several runs beside each other; the first is what the others are compared with.
func Compare(runs []*Run) *Document {
	var dirs []string
	for _, r := range runs {
		dirs = append(dirs, r.Dir)
	}
	names := Names(dirs)
	d := &Document{Kind: "comparison of runs", Title: fmt.Sprintf("%d runs beside each other", len(runs))}
	compareSentences(d, runs, names)
	d.Sections = []Section{
		{Title: "Figures", Tables: []Table{figuresTable(runs, names)}},
		{Title: "Charts", Charts: compareCharts(runs, names)},
		configDifferences(runs, names),
	}
	d.Repeat = []string{CommandLine(append([]string{"splitkernel", "report"}, dirs...))}
	for i, r := range runs {
		if r.Manifest != nil && len(r.Manifest.Command) > 0 {
			d.RepeatNotes = append(d.RepeatNotes, fmt.Sprintf("%s: %s", names[i], CommandLine(r.Manifest.Command)))
		}
	}
	d.Limits = append(d.Limits, "One run of each: there is no interval of confidence. `splitkernel sweep` makes several seeds, and `splitkernel compare` their intervals.")
	if kinds := engines(runs); len(kinds) > 1 {
		d.Limits = append(d.Limits, "Some of these runs are live and some virtual: wall time of a replay and modelled time of programs are not of one kind. Counters are.")
	}
	return d
}

func engines(runs []*Run) (out []string) {
	for _, r := range runs {
		if !slices.Contains(out, r.Summary.Engine) {
			out = append(out, r.Summary.Engine)
		}
	}
	return out
}

func compareSentences(d *Document, runs []*Run, names []string) {
	say := func(format string, args ...any) { d.Sentences = append(d.Sentences, fmt.Sprintf(format, args...)) }
	for i, r := range runs {
		how := "ended well"
		if r.Summary.ExitCode() != 0 {
			how, d.Bad, d.Verdict = "did not end well", true, "not all ended well"
		}
		say("%s: %s It %s.", names[i], r.what(), how)
	}
	first := &runs[0].Summary.Total
	for i, r := range runs[1:] {
		t := &r.Summary.Total
		switch {
		case t.Accesses != first.Accesses:
			say("%s made %s, %s %s: they are not of one size.", names[i+1], counted(t.Accesses, "access", "accesses"), names[0], count(first.Accesses))
		case t.Misses == first.Misses:
			say("%s had as many faults as %s: %s.", names[i+1], names[0], count(t.Misses))
		case first.Misses > 0:
			say("%s had %s, %+.1f%s%% of those of %s.", names[i+1], counted(t.Misses, "fault", "faults"), 100*(float64(t.Misses)/float64(first.Misses)-1), space, names[0])
		}
	}
}

// figures are the rows of a comparison.
func figures(runs []*Run) (out []figure) {
	add := func(name string, of func(*Run) (string, bool)) { out = append(out, figure{name, of}) }
	always := func(name string, of func(*Run) string) {
		add(name, func(r *Run) (string, bool) { return of(r), true })
	}
	always("engine", func(r *Run) string {
		if r.virtual() {
			return "virtual, " + r.Summary.Modelled.Hardware
		}
		return r.Summary.Engine
	})
	always("workload", func(r *Run) string { return r.Summary.Workload })
	always("cluster", func(r *Run) string { return r.Summary.Cluster })
	always("seed", func(r *Run) string { return fmt.Sprint(r.Summary.Seed) })
	always("commit", func(r *Run) string { return r.Summary.Commit })
	always("time", func(r *Run) string { return seconds(r.Summary.WallSeconds) + r.modelled() })
	always("accesses", func(r *Run) string { return count(r.Summary.Total.Accesses) })
	always("hits", func(r *Run) string { return percent(r.Summary.Total.Hits, r.Summary.Total.Accesses) })
	always("faults", func(r *Run) string { return count(r.Summary.Total.Misses) })
	always("fetches", func(r *Run) string { return count(r.Summary.Total.Fetches) })
	always("pages flushed", func(r *Run) string { return count(r.Summary.Total.Flushes + r.Summary.Total.FinalFlushes) })
	for _, q := range []struct {
		name string
		of   func(l report.Latency) float64
	}{{"fetch, p50", func(l report.Latency) float64 { return l.P50 }}, {"fetch, p99", func(l report.Latency) float64 { return l.P99 }}} {
		add(q.name, func(r *Run) (string, bool) {
			l := r.Summary.Total.FaultLatency["fetch"]
			return micros(q.of(l)) + r.modelled(), l.Count > 0
		})
	}
	add("90 % of faults in under", func(r *Run) (string, bool) {
		_, us := under(r.all(), quantileFrom)
		return micros(us) + r.modelled(), us > 0
	})
	for _, name := range vnodeNames(runs) {
		add("slowdown of "+name, func(r *Run) (string, bool) {
			v := r.slowdownOf(name)
			return slowdown(v) + "× (modelled)", v > 0
		})
	}
	always("wrong pages and sectors", func(r *Run) string { return count(r.Summary.Total.IntegrityErrors) })
	always("declared dead", func(r *Run) string { return fmt.Sprint(len(r.Summary.Failures)) })
	always("lost", func(r *Run) string { return fmt.Sprint(len(r.Summary.Lost)) })
	always("warnings", func(r *Run) string { return fmt.Sprint(len(r.Summary.Warnings)) })
	return out
}

// vnodeNames are those with a slowdown in some run.
func vnodeNames(runs []*Run) (names []string) {
	for _, r := range runs {
		if !r.virtual() {
			continue
		}
		for _, v := range slowed(r.Summary) {
			if !slices.Contains(names, v.Name) && len(names) < MaxBars {
				names = append(names, v.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// slowdownOf is 0 if it is not known, as of every live run.
func (r *Run) slowdownOf(name string) float64 {
	if r.virtual() {
		for i := range r.Summary.VNodes {
			if v := &r.Summary.VNodes[i]; v.Name == name {
				return v.Slowdown
			}
		}
	}
	return 0
}

func figuresTable(runs []*Run, names []string) Table {
	t := Table{Head: append([]string{"figure"}, names...)}
	for _, f := range figures(runs) {
		row, some := []string{f.name}, false
		for _, r := range runs {
			text, ok := f.of(r)
			if !ok {
				text = "-"
			}
			row, some = append(row, text), some || ok
		}
		if some {
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// configDifferences lists the keys whose values are not the same in all runs.
func configDifferences(runs []*Run, names []string) Section {
	s := Section{Title: "Differences in configuration"}
	keys := map[string]bool{}
	for i, r := range runs {
		if r.Manifest == nil || r.Manifest.Config == nil {
			s.Notes = append(s.Notes, names[i]+": its configuration is not known.")
			continue
		}
		for k := range r.Manifest.Config {
			keys[k] = true
		}
	}
	t := Table{Head: append([]string{"key"}, names...)}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		var values []any
		row := []string{k}
		for _, r := range runs {
			if r.Manifest == nil || r.Manifest.Config == nil {
				row = append(row, "?")
				continue
			}
			v := r.Manifest.Config[k]
			values, row = append(values, v), append(row, value(v))
		}
		if slices.ContainsFunc(values, func(v any) bool { return !reflect.DeepEqual(v, values[0]) }) {
			t.Rows = append(t.Rows, row)
		}
	}
	if s.Tables = []Table{t}; len(t.Rows) == 0 {
		s.Notes = append(s.Notes, "No difference is known.")
	}
	return s
}

// compareCharts have one series a run.
func compareCharts(runs []*Run, names []string) (out []Chart) {
	var spread, hits []plot.Series
	modelledAll, modelledSome := true, false
	for _, r := range runs {
		modelledAll, modelledSome = modelledAll && r.virtual(), modelledSome || r.virtual()
	}
	kind := ""
	if modelledAll {
		kind = " (modelled)"
	} else if modelledSome {
		kind = " (virtual runs: modelled)"
	}
	for i, r := range runs {
		if all := r.all(); len(all) > 0 {
			spread = append(spread, cumulative(names[i], all))
		}
		if r.Timeline != nil && len(r.Timeline.Series.Intervals) >= leastIntervals {
			whole := r.Timeline.Series.IntervalSeconds * float64(len(r.Timeline.Series.Intervals))
			x, y := valuesOf(r.Timeline, 100/whole, hitPercent)
			hits = append(hits, plot.Series{Name: names[i], X: x, Y: y})
		}
	}
	if len(spread) > 0 {
		a := Small("µs from the miss to the access", "share of faults served, %")
		a.LogX, a.YMax, a.Step = true, 100, true
		svg, err := plot.Lines(a, spread)
		out = append(out, chart("Faults served within a time"+kind, svg, err))
	}
	if len(hits) > 0 {
		a := Small("time, % of the run", "hits, %")
		a.YMax = 100
		svg, err := plot.Lines(a, hits)
		out = append(out, chart("Hit ratio over the time of each run"+kind, svg, err))
	}
	grouped := func(title, x, y string, labels []string, of func(*Run, int) float64) {
		series := make([]plot.Series, len(runs))
		for i, r := range runs {
			series[i].Name = names[i]
			for j := range labels {
				series[i].Y = append(series[i].Y, of(r, j))
			}
		}
		svg, err := plot.Bars(Small(x, y), labels, series)
		out = append(out, chart(title, svg, err))
	}
	grouped("Faults by what they came to", "kind", "thousand faults", []string{"p-local", "fetch", "coalesced", "victim hit"}, func(r *Run, j int) float64 {
		t := &r.Summary.Total
		return float64([]uint64{t.PLocal, t.Fetches, t.Coalesced, t.VictimHits}[j]) / 1e3
	})
	if vs := vnodeNames(runs); len(vs) > 0 {
		grouped("Slowdown against all memory local (modelled)", "vNode", "times the time", vs, func(r *Run, j int) float64 { return r.slowdownOf(vs[j]) })
	}
	return out
}

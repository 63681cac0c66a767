package experiment

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"splitkernel/sim/report/page"
	"splitkernel/sim/report/plot"
)

// maxComparedGroups bounds the groups of bars of a chart over sweeps.
const maxComparedGroups = 16

// compareFolders puts sweeps beside each other: each combination of the keys that all have.
func compareFolders(fs []*folder, dirs []string) *page.Document {
	var names []string
	for _, f := range fs {
		names = append(names, f.name)
	}
	d := &page.Document{Kind: "comparison of sweeps", Title: fmt.Sprintf("%d sweeps beside each other", len(fs))}
	say := func(format string, args ...any) { d.Sentences = append(d.Sentences, fmt.Sprintf(format, args...)) }
	keys := slices.Clone(fs[0].set.axes)
	for _, f := range fs {
		keys = slices.DeleteFunc(keys, func(k string) bool { return !slices.Contains(f.set.axes, k) })
		how := "all ended well"
		if f.set.failed > 0 {
			how, d.Bad, d.Verdict = fmt.Sprintf("%d of them failed and are left out", f.set.failed), true, "not all ended well"
		}
		say("%s: the %s sweep %s of %d runs, %s.", f.name, f.about.Engine, f.about.Name, len(f.table)-1, how)
	}
	labels := comparedLabels(fs, keys)
	say("%d combinations of %s are in one of them at least.", len(labels), or(keys, "no key that all have"))
	figures := page.Section{Title: "Figures", Notes: []string{fmt.Sprintf("Means over all runs of a combination ± half of the %d %% confidence interval; “-” where a sweep has none.", Confidence)}}
	charts := page.Section{Title: "Charts"}
	for _, m := range comparedMeasures(fs) {
		t, c := compareMeasure(fs, names, keys, labels, m)
		figures.Tables, charts.Charts = append(figures.Tables, t), append(charts.Charts, c)
	}
	d.Sections = []page.Section{charts, figures, differences(fs, names)}
	d.Repeat = []string{page.CommandLine(append([]string{"splitkernel", "report"}, dirs...))}
	d.Limits = []string{"The intervals are those of each mean. Whether two sweeps differ, seed by seed, `splitkernel compare A B` says.",
		"Times of virtual sweeps are modelled, those of live ones are of the machine that made them."}
	return d
}

func or(keys []string, none string) string {
	if len(keys) == 0 {
		return none
	}
	return strings.Join(keys, ", ")
}

// comparedLabels are the combinations that some sweep has, in the order in which they come.
func comparedLabels(fs []*folder, keys []string) (labels []string) {
	for _, f := range fs {
		for _, c := range f.combinations(keys) {
			if l := c.label(); !slices.Contains(labels, l) && len(labels) < page.MaxRows {
				labels = append(labels, l)
			}
		}
	}
	return labels
}

func comparedMeasures(fs []*folder) (out []measure) {
	for _, f := range fs {
		for _, m := range f.measures() {
			if !slices.Contains(out, m) && len(out) < maxSweepCharts {
				out = append(out, m)
			}
		}
	}
	return out
}

// compareMeasure makes the table and the chart of one figure.
func compareMeasure(fs []*folder, names, keys, labels []string, m measure) (page.Table, page.Chart) {
	title := m.title
	if slices.ContainsFunc(fs, (*folder).virtual) && m.timed {
		title += " (virtual sweeps: modelled)"
	}
	t := page.Table{Caption: title + ", " + m.y, Head: append([]string{or(keys, "all runs")}, names...)}
	rows := make([][]string, len(labels))
	shown := min(len(labels), maxComparedGroups)
	var series []plot.Series
	for i, f := range fs {
		s := plot.Series{Name: names[i], Y: make([]float64, shown), Half: make([]float64, shown)}
		cs := f.combinations(keys)
		some := false
		for j, l := range labels {
			at := slices.IndexFunc(cs, func(c combination) bool { return c.label() == l })
			text, v, half := "-", math.NaN(), math.NaN()
			if at >= 0 {
				text = cs[at].text(m.column)
				if x, ok := cs[at].sample(m.column); ok {
					v, half = x.mean, x.half()
				}
			}
			if rows[j] == nil {
				rows[j] = []string{l}
			}
			if rows[j] = append(rows[j], text); j < shown {
				s.Y[j], s.Half[j], some = v, half, some || !math.IsNaN(v)
			}
		}
		if some {
			series = append(series, s)
		}
	}
	t.Rows = rows
	var bars, axes []string // the keys are at the axis
	for _, l := range labels[:shown] {
		var values []string
		for part := range strings.SplitSeq(l, ", ") {
			values = append(values, part[strings.IndexByte(part, '=')+1:])
		}
		bars = append(bars, strings.Join(values, ", "))
	}
	for _, k := range keys {
		axes = append(axes, lastPart(k))
	}
	svg, err := plot.Bars(page.Small(or(axes, "all runs"), m.y), bars, series)
	c := page.ChartOf(svg, err)
	if c.Title = title; shown < len(labels) {
		c.Note = fmt.Sprintf("The first %d of %d combinations; the others are in the table.", shown, len(labels))
	}
	return t, c
}

// differences are the keys that all sweeps have for all their runs, with values that are not the same.
func differences(fs []*folder, names []string) page.Section {
	t := page.Table{Head: append([]string{"key"}, names...)}
	for k, v := range fs[0].about.Config {
		row, differs := []string{k}, false
		for _, f := range fs {
			other, ok := f.about.Config[k]
			if !ok {
				differs, row = false, nil
				break
			}
			row, differs = append(row, text(other)), differs || !reflect.DeepEqual(v, other)
		}
		if differs && row != nil {
			t.Rows = append(t.Rows, row)
		}
	}
	slices.SortFunc(t.Rows, func(a, b []string) int { return slices.Compare(a, b) })
	s := page.Section{Title: "Differences in configuration", Tables: []page.Table{t}}
	if len(t.Rows) == 0 {
		s.Notes = []string{"No difference is known in what all runs of each sweep have in common."}
	}
	return s
}

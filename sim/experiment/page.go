package experiment

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"splitkernel/sim/report/page"
	"splitkernel/sim/report/plot"
)

// What is drawn of a sweep.
const (
	maxSweepCharts = 12
	maxSweepSeries = 8
)

// folder is a sweep as it lies in its folder.
type folder struct {
	name  string // that tells it from others
	about *about
	set   *set
	table [][]string // of table.csv
}

// IsSweep reports whether a folder is that of a sweep.
func IsSweep(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, sweepName))
	return err == nil
}

// readFolder reads sweep.json and table.csv.
func readFolder(dir string) (*folder, error) {
	text, err := os.ReadFile(filepath.Join(dir, sweepName))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sweepName, err)
	}
	f := &folder{name: dir, about: &about{}}
	if err := page.Parse(filepath.Join(dir, sweepName), text, schemaSweep, f.about); err != nil {
		return nil, err
	}
	side, err := Load(dir)
	if err != nil {
		return nil, err
	}
	f.set = side.set
	table, err := os.Open(filepath.Join(dir, tableName(Shard{})+".csv"))
	if err != nil {
		return nil, fmt.Errorf("the table: %w", err)
	}
	defer table.Close()
	if f.table, err = csv.NewReader(table).ReadAll(); err != nil {
		return nil, fmt.Errorf("the table: %w", err)
	}
	return f, nil
}

// WritePage makes the page of a sweep from the files in its folder, puts it there and gives its path.
func WritePage(dir string) (string, error) {
	d, err := PageOf([]string{dir})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, page.Name)
	return path, page.WriteFile(path, d)
}

// PageOf makes the document of a sweep, or of several beside each other.
func PageOf(dirs []string) (*page.Document, error) {
	if len(dirs) == 1 {
		f, err := readFolder(dirs[0])
		if err != nil {
			return nil, err
		}
		return f.document(dirs[0]), nil
	}
	var fs []*folder
	for i, name := range page.Names(dirs) {
		f, err := readFolder(dirs[i])
		if err != nil {
			return nil, err
		}
		f.name = name
		fs = append(fs, f)
	}
	return compareFolders(fs, dirs), nil
}

// cell of a sweep: a combination, and its seeds.
type combination struct {
	keys, values []string
	rows         []chosenRow
}

// label names it; of a key its last part is enough.
func (c *combination) label() string {
	if len(c.values) == 0 {
		return "all"
	}
	var out []string
	for i, v := range c.values {
		out = append(out, lastPart(c.keys[i])+"="+v)
	}
	return strings.Join(out, ", ")
}

func lastPart(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// sample of a figure over the seeds.
func (c *combination) sample(metric string) (sample, bool) {
	var values []float64
	for _, r := range c.rows {
		if v, ok := r.metrics[metric]; ok {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return sample{}, false
	}
	return newSample(values), true
}

// text is the mean, with its interval.
func (c *combination) text(metric string) string {
	var values []float64
	for _, r := range c.rows {
		if v, ok := r.metrics[metric]; ok {
			values = append(values, v)
		}
	}
	return meanText(values)
}

// combinations are those of some keys, in the order of the table.
func (f *folder) combinations(keys []string) (out []combination) {
	cells, order := f.set.cells(keys)
	for _, at := range order {
		out = append(out, combination{keys, cells[at][0].chosen, cells[at]})
	}
	return out
}

// virtual reports whether times are modelled.
func (f *folder) virtual() bool { return f.about.Engine == "virtual" }

func (f *folder) modelled() string {
	if f.virtual() {
		return " (modelled)"
	}
	return ""
}

// measure is a figure of a sweep that is shown.
type measure struct {
	column, title, y string
	timed            bool // and so modelled in a virtual run
}

// measures are those that some run has. A live sweep has no slowdowns, whatever its table says.
func (f *folder) measures() (out []measure) {
	all := []measure{{"seconds", "Time of a run", "s", true}}
	for _, m := range f.set.metrics {
		if v, ok := strings.CutPrefix(m, "slowdown."); ok && f.virtual() {
			all = append(all, measure{m, "Slowdown of " + v + " against all memory local", "times the time", true})
		}
	}
	all = append(all, measure{"misses", "Faults", "faults", false}, measure{"fetches", "Fetches", "fetches", false}, measure{"fetch_p50_us", "Median time of a fetch", "µs", true},
		measure{"fetch_p99_us", "99 % of fetches within", "µs", true})
	for _, m := range all {
		if slices.ContainsFunc(f.set.rows, func(r setRow) bool { _, ok := r.metrics[m.column]; return ok }) {
			out = append(out, m)
		}
	}
	return out
}

func (f *folder) titled(m measure) string {
	if m.timed {
		return m.title + f.modelled()
	}
	return m.title
}

// document is the page of one sweep.
func (f *folder) document(dir string) *page.Document {
	d := &page.Document{Kind: f.about.Engine + " sweep", Title: f.about.Name, Verdict: "ended well"}
	cs := f.combinations(f.set.axes)
	say := func(format string, args ...any) { d.Sentences = append(d.Sentences, fmt.Sprintf(format, args...)) }
	say("The %s sweep %s has %d of %d runs: each combination of %s, with %d seeds.", f.about.Engine, f.about.Name, len(f.table)-1, f.about.Runs, axesText(f.about.Matrix), len(f.about.Seeds))
	if f.set.failed > 0 {
		d.Verdict, d.Bad = fmt.Sprintf("%d failed", f.set.failed), true
		say("%d runs failed; they are in no mean. The table of runs says why.", f.set.failed)
	} else {
		say("All runs ended well.")
	}
	for _, m := range f.measures() {
		f.extremes(m, cs, say)
	}
	d.Sections = []page.Section{
		{Title: "Charts", Charts: f.charts()},
		{Title: "Combinations", Notes: []string{fmt.Sprintf("Means over the seeds ± half of the %d %% confidence interval (Student's t), where there are several that differ.", Confidence)}, Tables: []page.Table{f.means(cs)}},
		{Title: "Runs", Tables: []page.Table{f.runs()}, Folded: true},
		{Title: "Digests", Tables: []page.Table{f.digests()}},
		{Title: "Configuration", Tables: []page.Table{f.common()}, Folded: true},
	}
	if len(f.about.Command) > 0 {
		d.Repeat = []string{page.CommandLine(f.about.Command)}
	} else {
		d.Repeat = []string{page.CommandLine([]string{"splitkernel", "sweep", f.about.Name})}
		d.RepeatNotes = append(d.RepeatNotes, "The sweep did not keep its command line: this one names it as a bundled sweep.")
	}
	d.RepeatNotes = append(d.RepeatNotes, "What has a result in the folder is not made again. The page of one of the runs: "+page.CommandLine([]string{"splitkernel", "report", filepath.Join(filepath.Base(dir), "runs", "RUN")})+", with a name of the column run.")
	if f.virtual() {
		d.Limits = append(d.Limits, "All times are modelled by the hardware profiles of the runs, and a seed gives one result: the intervals say how much seeds differ, not how far a model is from hardware.")
	} else {
		d.Limits = append(d.Limits, "Times are of this machine, one run after the other; a live run replays accesses without the computing of the programs, so there is no slowdown.")
	}
	d.Limits = append(d.Limits, "Intervals are of single figures; of many figures one in twenty lies outside by chance.")
	return d
}

func axesText(axes []aboutAxis) string {
	var out []string
	for _, a := range axes {
		out = append(out, fmt.Sprintf("%d values of %s", len(a.Values), a.Key))
	}
	if len(out) == 0 {
		return "no keys"
	}
	return strings.Join(out, " and ")
}

// extremes says where a figure is least and most.
func (f *folder) extremes(m measure, cs []combination, say func(string, ...any)) {
	least, most := -1, -1
	var low, high float64
	for i := range cs {
		s, ok := cs[i].sample(m.column)
		if !ok {
			continue
		}
		if least < 0 || s.mean < low {
			least, low = i, s.mean
		}
		if most < 0 || s.mean > high {
			most, high = i, s.mean
		}
	}
	unit := ""
	if m.timed {
		unit = " " + m.y
	}
	if strings.HasPrefix(m.column, "slowdown.") {
		unit = "×"
	}
	switch {
	case least < 0:
	case low == high:
		say("%s: %s%s everywhere.", f.titled(m), digits(low), unit)
	default:
		say("%s: from %s%s (%s) to %s%s (%s).", f.titled(m), digits(low), unit, cs[least].label(), digits(high), unit, cs[most].label())
	}
}

// means has a row for each combination.
func (f *folder) means(cs []combination) page.Table {
	ms := f.measures()
	t := page.Table{Head: append(slices.Clone(f.set.axes), "seeds")}
	for _, m := range ms {
		head := f.titled(m)
		if m.timed {
			head += ", " + m.y
		}
		t.Head = append(t.Head, head)
	}
	for i, c := range cs {
		if i == page.MaxRows {
			t.LeftOut = uint64(len(cs) - i)
			break
		}
		row := append(slices.Clone(c.values), strconv.Itoa(len(c.rows)))
		for _, m := range ms {
			row = append(row, c.text(m.column))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// runs has what tells runs apart, and what became of each.
func (f *folder) runs() page.Table {
	head := f.table[0]
	keep := []string{columnIndex}
	keep = append(append(keep, f.set.axes...), columnSeed, columnExit, "seconds", "accesses", "hits", "misses", "fetches", "run", "events_digest", "commit", "error")
	t := page.Table{}
	var at []int
	for _, name := range keep {
		if i := slices.Index(head, name); i >= 0 && len(at) < page.MaxColumns {
			at, t.Head = append(at, i), append(t.Head, strings.ReplaceAll(name, "_", " "))
		}
	}
	for i, rec := range f.table[1:] {
		if i == page.MaxRows {
			t.LeftOut = uint64(len(f.table) - 1 - i)
			break
		}
		var row []string
		for _, j := range at {
			row = append(row, rec[j])
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (f *folder) digests() page.Table {
	t := page.Table{Head: []string{"what", "value"}, Rows: [][]string{{"all runs of the sweep, SHA-256", f.about.Digest}}}
	var commits, seeds []string
	if i := slices.Index(f.table[0], "commit"); i >= 0 {
		for _, rec := range f.table[1:] {
			if !slices.Contains(commits, rec[i]) {
				commits = append(commits, rec[i])
			}
		}
	}
	for _, s := range f.about.Seeds {
		seeds = append(seeds, strconv.FormatUint(s, 10))
	}
	t.Rows = append(t.Rows, []string{"commits of the programs", strings.Join(commits, ", ")}, []string{"seeds", strings.Join(seeds, ", ")})
	for _, a := range f.about.Matrix {
		t.Rows = append(t.Rows, []string{a.Key, strings.Join(a.Values, ", ")})
	}
	return t
}

// common is what all runs have in common.
func (f *folder) common() page.Table {
	t := page.Table{Caption: "What all runs have in common, by key as --set takes it", Head: []string{"key", "value"}}
	for k := range f.about.Config {
		t.Rows = append(t.Rows, []string{k, text(f.about.Config[k])})
	}
	slices.SortFunc(t.Rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return t
}

// charts has one for each figure: over the key with most values, a series for each combination of the others.
func (f *folder) charts() (out []page.Chart) {
	if len(f.set.axes) == 0 || len(f.set.rows) == 0 {
		return nil
	}
	over := f.set.axes[0]
	for _, a := range f.set.axes[1:] {
		if len(f.set.values(a)) > len(f.set.values(over)) {
			over = a
		}
	}
	others := slices.DeleteFunc(slices.Clone(f.set.axes), func(a string) bool { return a == over })
	xs := f.set.values(over)
	groups := f.combinations(others)
	for _, m := range f.measures() {
		if len(out) == maxSweepCharts {
			break
		}
		var series []plot.Series
		for _, g := range groups[:min(len(groups), maxSweepSeries)] {
			s := plot.Series{Name: g.label()}
			if len(others) == 0 {
				s.Name = ""
			}
			for _, x := range xs {
				at := combination{rows: slices.DeleteFunc(slices.Clone(g.rows), func(r chosenRow) bool { return r.values[slices.Index(f.set.axes, over)] != x })}
				v, half := math.NaN(), math.NaN()
				if got, ok := at.sample(m.column); ok {
					v, half = got.mean, got.half()
				}
				s.Y, s.Half = append(s.Y, v), append(s.Half, half)
			}
			if slices.ContainsFunc(s.Y, func(v float64) bool { return !math.IsNaN(v) }) {
				series = append(series, s)
			}
		}
		c := draw(over, m.y, xs, series)
		c.Title = f.titled(m)
		if n := len(groups) - maxSweepSeries; n > 0 {
			c.Note = fmt.Sprintf("The first %d of %d combinations of %s; the others are in the table.", maxSweepSeries, len(groups), strings.Join(others, ", "))
		}
		out = append(out, c)
	}
	return out
}

// draw makes lines over numbers, and bars over anything else.
func draw(x, y string, labels []string, series []plot.Series) page.Chart {
	var at []float64
	for _, l := range labels {
		if v, err := strconv.ParseFloat(l, 64); err == nil {
			at = append(at, v)
		}
	}
	a := page.Small(x, y)
	if len(at) < len(labels) || len(at) < 2 {
		svg, err := plot.Bars(a, labels, series)
		return page.ChartOf(svg, err)
	}
	order := make([]int, len(at))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case at[i] < at[j]:
			return -1
		case at[i] > at[j]:
			return 1
		}
		return 0
	})
	for k := range series {
		sorted := plot.Series{Name: series[k].Name}
		for _, i := range order {
			sorted.X, sorted.Y, sorted.Half = append(sorted.X, at[i]), append(sorted.Y, series[k].Y[i]), append(sorted.Half, series[k].Half[i])
		}
		series[k] = sorted
	}
	svg, err := plot.Lines(a, series)
	return page.ChartOf(svg, err)
}

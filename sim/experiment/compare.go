package experiment

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"splitkernel/configs"
	"splitkernel/sim/report"
)

// Comparison is what differs between two sides.
type Comparison struct {
	A string `json:"a"`
	B string `json:"b"`
	// Config are the keys whose values differ; what is not known of a side, or is not the same in all its runs, is no difference.
	Config []ConfigChange `json:"config"`
	// Runs are set if two runs were compared: the figures that differ.
	Runs []Figure `json:"runs,omitempty"`
	// Sets are set if two sets were compared: all figures of each combination that both have.
	Sets []Cell `json:"sets,omitempty"`
	// Equal counts figures that are the same in both.
	Equal int      `json:"equal"`
	Notes []string `json:"notes"`
}

// ConfigChange is a key with its values in both; nil where the key is not.
type ConfigChange struct {
	Key string `json:"key"`
	A   any    `json:"a"`
	B   any    `json:"b"`
}

// Figure of two runs.
type Figure struct {
	Name       string   `json:"name"`
	A          float64  `json:"a"`
	B          float64  `json:"b"`
	Difference float64  `json:"difference"`        // b - a
	Percent    *float64 `json:"percent,omitempty"` // of a, unless a is 0
}

// Cell is a combination of the matrix that both sets have.
type Cell struct {
	Matrix  []KeyValue `json:"matrix"`
	Figures []Spread   `json:"figures"`
}

// KeyValue is a key and its value.
type KeyValue struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Verdicts of a figure over seeds.
const (
	VerdictNone    = "none"    // the interval of the difference holds 0
	VerdictDiffers = "differs" // it does not
	VerdictUnknown = "unknown" // one seed gives no interval
)

// Spread is a figure of two sets of seeds.
type Spread struct {
	Name   string  `json:"name"`
	A      float64 `json:"a"` // mean
	B      float64 `json:"b"`
	NA     int     `json:"n_a"`
	NB     int     `json:"n_b"`
	Paired bool    `json:"paired"` // the same seeds in both: the interval is that of their differences
	// Difference of the means, b - a, and its 95 % confidence interval, which is missing for one seed.
	Difference float64  `json:"difference"`
	Low        *float64 `json:"low,omitempty"`
	High       *float64 `json:"high,omitempty"`
	Verdict    string   `json:"verdict"`
}

// Compare compares two runs, or two sets of runs.
func Compare(a, b *Side) (*Comparison, error) {
	if (a.run == nil) != (b.run == nil) {
		kind := func(s *Side) string {
			if s.run != nil {
				return s.Path + " is a run"
			}
			return s.Path + " is a sweep"
		}
		return nil, &configs.FaultsError{Faults: []string{kind(a) + ", " + kind(b) + ", want two of a kind"}}
	}
	c := &Comparison{A: a.Path, B: b.Path, Config: []ConfigChange{}, Notes: []string{}}
	c.compareConfig(a, b)
	if a.run != nil {
		c.compareRuns(a.run, b.run)
		return c, nil
	}
	return c, c.compareSets(a.set, b.set)
}

func (c *Comparison) compareConfig(a, b *Side) {
	for _, s := range []*Side{a, b} {
		if s.Config == nil {
			c.Notes = append(c.Notes, s.Path+": its configuration is not known")
		}
	}
	if a.Config == nil || b.Config == nil {
		return
	}
	keys := slices.Collect(maps.Keys(a.Config))
	for k := range b.Config {
		if _, ok := a.Config[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		va, inA := a.Config[k]
		vb, inB := b.Config[k]
		if !inA && a.set != nil || !inB && b.set != nil {
			continue // it may be one of the matrix, which the rows tell
		}
		if !reflect.DeepEqual(va, vb) {
			c.Config = append(c.Config, ConfigChange{k, va, vb})
		}
	}
}

// figuresOf lists the figures of a run by name, in the order in which they are told.
func figuresOf(s *report.Summary) (names []string, values map[string]float64) {
	values = map[string]float64{}
	add := func(name string, v float64) {
		if _, ok := values[name]; !ok {
			names = append(names, name)
		}
		values[name] = v
	}
	add("exit_code", float64(s.ExitCode()))
	add("seconds", s.WallSeconds)
	add("accesses_per_second", s.AccessesPerSecond)
	ofCounters := func(prefix string, c *report.Counters) {
		for i, v := range counts(c) {
			add(prefix+counters[i], float64(v.(uint64)))
		}
		for _, part := range []struct {
			name  string
			kinds []string
			of    map[string]report.Latency
		}{{"fault_latency.", report.FaultKinds, c.FaultLatency}, {"block_latency.", report.BlockKinds, c.BlockLatency}} {
			for _, kind := range part.kinds {
				l := part.of[kind]
				add(prefix+part.name+kind+".count", float64(l.Count))
				for _, q := range []struct {
					name string
					us   float64
				}{{"p50_us", l.P50}, {"p95_us", l.P95}, {"p99_us", l.P99}, {"max_us", l.Max}} {
					add(prefix+part.name+kind+"."+q.name, q.us)
				}
			}
		}
	}
	ofCounters("", &s.Total)
	if s.Modelled != nil {
		for _, x := range s.Modelled.Stages {
			add("stage."+x.Name+".mean_us", x.MeanUS)
		}
	}
	for i := range s.VNodes {
		v := &s.VNodes[i]
		prefix := "vnodes." + v.Name + "."
		add(prefix+"seconds", v.Seconds)
		if v.Slowdown > 0 {
			add(prefix+"slowdown", v.Slowdown)
		}
		if len(s.VNodes) > 1 { // else they are those of the whole run
			ofCounters(prefix, &v.Counters)
		}
	}
	return names, values
}

func (c *Comparison) compareRuns(a, b *report.Summary) {
	names, va := figuresOf(a)
	more, vb := figuresOf(b)
	c.Runs = []Figure{}
	onlyIn := func(path string, names []string, of map[string]float64) {
		var only []string
		for _, n := range names {
			if _, ok := of[n]; !ok {
				only = append(only, n)
			}
		}
		if len(only) > 0 {
			c.Notes = append(c.Notes, "only in "+path+": "+strings.Join(only, ", "))
		}
	}
	for _, n := range names {
		x, y := va[n], vb[n]
		if _, ok := vb[n]; !ok {
			continue
		}
		if x == y {
			c.Equal++
			continue
		}
		f := Figure{Name: n, A: x, B: y, Difference: y - x}
		if x != 0 {
			p := 100 * (y - x) / x
			f.Percent = &p
		}
		c.Runs = append(c.Runs, f)
	}
	onlyIn(c.A, names, vb)
	onlyIn(c.B, more, va)
}

// compareSets finds the combinations of both sets and compares their seeds. A key with one value in each set that is not the same, or
// that only one set has, is a difference of the sets and not of their combinations.
func (c *Comparison) compareSets(a, b *set) error {
	for i, s := range []*set{a, b} {
		if s.failed > 0 {
			c.Notes = append(c.Notes, fmt.Sprintf("%s: %d runs that failed are left out", []string{c.A, c.B}[i], s.failed))
		}
	}
	var match []string
	for _, key := range union(a.axes, b.axes) {
		va, vb := a.values(key), b.values(key)
		switch {
		case len(va) > 1 && len(vb) > 1, len(va) == 1 && slices.Equal(va, vb):
			match = append(match, key)
		case len(va) <= 1 && len(vb) <= 1:
			if slices.ContainsFunc(c.Config, func(x ConfigChange) bool { return x.Key == key }) {
				continue // what all runs have in common has said so
			}
			c.Config = append(c.Config, ConfigChange{key, oneOf(va), oneOf(vb)})
		case len(va) == 1 || len(vb) == 1: // one value against many: those that both have
			match = append(match, key)
		default:
			path, flag, values := c.A, "a", va
			if len(vb) > 1 {
				path, flag, values = c.B, "b", vb
			}
			return &configs.FaultsError{Faults: []string{fmt.Sprintf("%s: only %s has it, with %d values, want one: --%s %s=%s", key, path, len(values), flag, key, values[0])}}
		}
	}
	cellsA, orderA := a.cells(match)
	cellsB, orderB := b.cells(match)
	c.Sets = []Cell{}
	alone := [2]int{}
	for _, at := range orderA {
		rowsB, ok := cellsB[at]
		if !ok {
			alone[0]++
			continue
		}
		cell := Cell{Matrix: []KeyValue{}, Figures: []Spread{}}
		for i, v := range cellsA[at][0].chosen {
			cell.Matrix = append(cell.Matrix, KeyValue{match[i], v})
		}
		for _, m := range a.metrics {
			if slices.Contains(b.metrics, m) {
				c.spread(&cell, m, cellsA[at], rowsB)
			}
		}
		c.Sets = append(c.Sets, cell)
	}
	for _, at := range orderB {
		if _, ok := cellsA[at]; !ok {
			alone[1]++
		}
	}
	for i, n := range alone {
		if n > 0 {
			c.Notes = append(c.Notes, fmt.Sprintf("%d combinations are only in %s", n, []string{c.A, c.B}[i]))
		}
	}
	if len(c.Sets) == 0 {
		return &configs.FaultsError{Faults: []string{fmt.Sprintf("%s and %s have no combination of %s in common", c.A, c.B, strings.Join(match, ", "))}}
	}
	return nil
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, k := range b {
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

// oneOf is the value of a key in a set, nil if its matrix has no such key.
func oneOf(values []string) any {
	if len(values) == 1 {
		return values[0]
	}
	return nil
}

// values of a key in the rows of a set, none if it has no such key.
func (s *set) values(key string) (out []string) {
	i := slices.Index(s.axes, key)
	if i < 0 {
		return nil
	}
	for _, r := range s.rows {
		if !slices.Contains(out, r.values[i]) {
			out = append(out, r.values[i])
		}
	}
	return out
}

// chosenRow is a row and its values of some keys.
type chosenRow struct {
	setRow
	chosen []string
}

// cells groups the rows by their values of some keys.
func (s *set) cells(keys []string) (cells map[string][]chosenRow, order []string) {
	cells = map[string][]chosenRow{}
	for _, r := range s.rows {
		var chosen []string
		for _, k := range keys {
			chosen = append(chosen, r.values[slices.Index(s.axes, k)])
		}
		at := strings.Join(chosen, "\x00")
		if cells[at] == nil {
			order = append(order, at)
		}
		cells[at] = append(cells[at], chosenRow{r, chosen})
	}
	return cells, order
}

// spread compares one figure of two sets of seeds. What is equal in every seed is counted only.
func (c *Comparison) spread(cell *Cell, metric string, a, b []chosenRow) {
	bySeed := map[string]float64{}
	var va, vb []float64
	for _, r := range b {
		if v, ok := r.metrics[metric]; ok {
			bySeed[r.seed] = v
			vb = append(vb, v)
		}
	}
	var differences []float64
	for _, r := range a {
		v, ok := r.metrics[metric]
		if !ok {
			continue
		}
		va = append(va, v)
		if w, ok := bySeed[r.seed]; ok {
			differences = append(differences, w-v)
		}
	}
	if len(va) == 0 || len(vb) == 0 {
		return
	}
	sa, sb := newSample(va), newSample(vb)
	f := Spread{Name: metric, A: sa.mean, B: sb.mean, NA: sa.n, NB: sb.n, Difference: sb.mean - sa.mean}
	f.Paired = len(bySeed) == len(vb) && len(differences) == len(va) && len(va) == len(vb)
	half := welch(sa, sb)
	if f.Paired {
		d := newSample(differences)
		f.Difference, half = d.mean, d.half()
	}
	if f.Difference == 0 && half == 0 || constant(append(va, vb...)) {
		c.Equal++
		return
	}
	f.Verdict = VerdictUnknown
	if !math.IsNaN(half) {
		low, high := f.Difference-half, f.Difference+half
		f.Low, f.High = &low, &high
		f.Verdict = VerdictDiffers
		if low <= 0 && high >= 0 {
			f.Verdict = VerdictNone
		}
	}
	cell.Figures = append(cell.Figures, f)
}

// text shows a value of a configuration.
func text(v any) string {
	if v == nil {
		return "-"
	}
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

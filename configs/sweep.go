package configs

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"splitkernel/sim/hardware"
)

// Bounds of a sweep.
const (
	// MaxSweepRuns bounds the runs of a sweep: all of them are planned before the first begins.
	MaxSweepRuns = 100_000
	// MaxSweepSeeds bounds its seeds.
	MaxSweepSeeds = 10_000
)

// Engines of a run.
const (
	EngineLive    = "live"
	EngineVirtual = "virtual"
)

// DefaultHardware is the profile of a virtual run that names none.
const DefaultHardware = "legoos-cx3"

// keys of a matrix that name a file, and the prefix of those of the hardware.
const (
	clusterKey     = "cluster"
	workloadKey    = "workload"
	hardwareKey    = "hardware"
	hardwarePrefix = "hardware."
)

// Sweep is a matrix of runs: every combination of the values of its keys, with every seed.
type Sweep struct {
	// Name is used for its folder.
	Name string
	// Engine is EngineVirtual (the default) or EngineLive.
	Engine string
	// Cluster, Workload and Hardware are paths beside the sweep's file, or names of bundled files.
	Cluster, Workload, Hardware string
	// Slowdown also runs each vNode of a virtual run with all its memory local, for its slowdown.
	Slowdown bool
	// Seeds of the runs of each combination, each once.
	Seeds []uint64
	// Matrix in the order of the file: the last key varies fastest, and below it the seeds.
	Matrix []Axis
	// Exclude leaves out the combinations that match one of them; Only, if there are any, all that match none.
	Exclude, Only []Match

	label, dir string
	bundled    bool
}

// Axis is a key and its values.
type Axis struct {
	// Key as in --set, or cluster, workload or hardware for the file itself.
	Key    string
	Values []Value
}

// Value of a key: a scalar of YAML and how it is written.
type Value struct {
	Text   string
	scalar any
}

// Number gives the value as a number, false if it is none.
func (v Value) Number() (float64, bool) {
	switch n := v.scalar.(type) {
	case int:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

// Match is a set of combinations: those that have one of the values of each key.
type Match map[string][]string

// DefaultSweep is virtual, of the bundled programs on the bundled laptop, with one seed.
func DefaultSweep() Sweep {
	return Sweep{Engine: EngineVirtual, Cluster: "laptop", Workload: "programs", Slowdown: true, Seeds: []uint64{1}}
}

// read reads what is no scalar and reports every fault of the file.
func (s *Sweep) read(fs *faults, raw map[string]any, text []byte) {
	checkName(fs, "name", s.Name)
	switch {
	case s.Engine != EngineLive && s.Engine != EngineVirtual:
		fs.add("engine", "%q, want %s or %s", s.Engine, EngineLive, EngineVirtual)
	case s.Engine == EngineLive && s.Hardware != "":
		fs.add("hardware", "%q, but a live run has the hardware that it runs on, want engine: %s", s.Hardware, EngineVirtual)
	case s.Engine == EngineVirtual && s.Hardware == "":
		s.Hardware = DefaultHardware
	}
	if v, ok := raw["seeds"]; ok {
		s.readSeeds(fs, v)
	}
	s.readMatrix(fs, raw["matrix"], text)
	if _, ok := raw["matrix"]; ok && len(s.Matrix) == 0 && len(fs.list) == 0 {
		fs.add("matrix", "%s, want keys with lists of values", show(raw["matrix"]))
	}
	s.Exclude = s.readMatches(fs, "exclude", raw)
	s.Only = s.readMatches(fs, "only", raw)
}

// readSeeds reads a list of seeds, or how many there are from 1 on.
func (s *Sweep) readSeeds(fs *faults, v any) {
	s.Seeds = nil
	switch v := v.(type) {
	case int:
		if v < 1 || v > MaxSweepSeeds {
			fs.add("seeds", "%d, want 1 to %d, or a list of seeds", v, MaxSweepSeeds)
			return
		}
		for n := range uint64(v) {
			s.Seeds = append(s.Seeds, n+1)
		}
		return
	case []any:
		if len(v) == 0 || len(v) > MaxSweepSeeds {
			fs.add("seeds", "%d of them, want 1 to %d", len(v), MaxSweepSeeds)
			return
		}
		for i, e := range v {
			var seed uint64
			switch n := e.(type) {
			case int:
				if n < 0 {
					fs.add(fmt.Sprintf("seeds[%d]", i), "%d, want a number of at least 0", n)
					continue
				}
				seed = uint64(n)
			case uint64:
				seed = n
			default:
				fs.add(fmt.Sprintf("seeds[%d]", i), "%s, want a whole number", show(e))
				continue
			}
			if slices.Contains(s.Seeds, seed) {
				fs.add(fmt.Sprintf("seeds[%d]", i), "%d is there twice, want each seed once", seed)
			}
			s.Seeds = append(s.Seeds, seed)
		}
		return
	}
	fs.add("seeds", "%s, want how many, or a list of seeds", show(v))
}

// readMatrix reads the keys in the order in which they are written: that is the order of the table.
func (s *Sweep) readMatrix(fs *faults, raw any, text []byte) {
	if raw == nil {
		return
	}
	m, ok := raw.(map[string]any)
	if !ok {
		fs.add("matrix", "%s, want keys with lists of values", show(raw))
		return
	}
	var order struct{ Matrix yaml.Node }
	if err := yaml.Unmarshal(text, &order); err != nil {
		fs.add("matrix", "%s", firstLine(err))
		return
	}
	combinations := len(s.Seeds)
	for _, key := range keysInOrder(&order.Matrix, m) {
		at := "matrix." + key
		switch {
		case key == "workload.seed":
			fs.add(at, "a run's seed is no key of the matrix, want seeds")
			continue
		case s.Engine == EngineLive && (key == hardwareKey || strings.HasPrefix(key, hardwarePrefix)):
			fs.add(at, "a live run has the hardware that it runs on, want engine: %s", EngineVirtual)
			continue
		case key == "token":
			fs.add(at, "a secret is no value to compare, and would stand in the table")
			continue
		}
		a := Axis{Key: key, Values: readValues(fs, at, m[key])}
		s.Matrix = append(s.Matrix, a)
		if combinations *= max(len(a.Values), 1); combinations > MaxSweepRuns {
			fs.add("matrix", "more than %d runs with its seeds, want fewer values or seeds", MaxSweepRuns)
			return
		}
	}
}

// keysInOrder gives the keys of a section as they are written, and then those that an alias or a merge brought.
func keysInOrder(n *yaml.Node, m map[string]any) []string {
	var keys []string
	for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
		if key := n.Content[i].Value; !slices.Contains(keys, key) {
			if _, ok := m[key]; ok {
				keys = append(keys, key)
			}
		}
	}
	for _, key := range sortedKeys(m) {
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// readValues reads the values of a key.
func readValues(fs *faults, at string, raw any) []Value {
	list, ok := raw.([]any)
	if !ok || len(list) == 0 {
		fs.add(at, "%s, want a list of at least one value", show(raw))
		return nil
	}
	var values []Value
	for i, e := range list {
		v, ok := valueOf(e)
		if !ok {
			fs.add(fmt.Sprintf("%s[%d]", at, i), "%s, want text, a number, true or false", show(e))
			continue
		}
		if slices.ContainsFunc(values, func(w Value) bool { return w.Text == v.Text }) {
			fs.add(fmt.Sprintf("%s[%d]", at, i), "%s is there twice, want each value once", show(e))
		}
		values = append(values, v)
	}
	return values
}

// valueOf reads one scalar.
func valueOf(e any) (Value, bool) {
	switch e := e.(type) {
	case string:
		return Value{e, e}, true
	case float64:
		if math.IsNaN(e) || math.IsInf(e, 0) {
			return Value{}, false
		}
		return Value{fmt.Sprint(e), e}, true
	case int, uint64, bool:
		return Value{fmt.Sprint(e), e}, true
	}
	return Value{}, false
}

// readMatches reads exclude or only: a list of sections, each with keys of the matrix and a value or a list of values.
func (s *Sweep) readMatches(fs *faults, section string, raw map[string]any) []Match {
	v, ok := raw[section]
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		fs.add(section, "%s, want a list of sections of keys of the matrix", show(v))
		return nil
	}
	var out []Match
	for i, e := range list {
		at := fmt.Sprintf("%s[%d]", section, i)
		m, ok := e.(map[string]any)
		if !ok || len(m) == 0 {
			fs.add(at, "%s, want a section of keys of the matrix", show(e))
			continue
		}
		match := Match{}
		for _, key := range sortedKeys(m) {
			match[key] = s.readMatch(fs, at+"."+key, key, m[key])
		}
		out = append(out, match)
	}
	return out
}

// readMatch reads the values of one key of a match; each must be one of the matrix.
func (s *Sweep) readMatch(fs *faults, at, key string, raw any) []string {
	i := slices.IndexFunc(s.Matrix, func(a Axis) bool { return a.Key == key })
	if i < 0 {
		fs.add(at, "no key of the matrix")
		return nil
	}
	list, ok := raw.([]any)
	if !ok {
		list = []any{raw}
	}
	var texts []string
	for _, e := range list {
		v, ok := valueOf(e)
		if !ok || !slices.ContainsFunc(s.Matrix[i].Values, func(w Value) bool { return w.Text == v.Text }) {
			fs.add(at, "%s, want a value that the matrix has for it", show(e))
			continue
		}
		texts = append(texts, v.Text)
	}
	return texts
}

// wanted reports whether a combination is one of the sweep.
func (s *Sweep) wanted(c []Value) bool {
	in := func(m Match) bool {
		for i, a := range s.Matrix {
			if texts, ok := m[a.Key]; ok && !slices.Contains(texts, c[i].Text) {
				return false
			}
		}
		return true
	}
	return !slices.ContainsFunc(s.Exclude, in) && (len(s.Only) == 0 || slices.ContainsFunc(s.Only, in))
}

// SweepRun is one run of a sweep: what to run is shared with others and not to be changed.
type SweepRun struct {
	Values   []Value // one for each key of the matrix
	Seed     uint64
	Cluster  *Cluster
	Workload *Workload
	Hardware *hardware.Profile // of a virtual run
}

// Runs gives the runs in the order of the table. env lies over the files, and the matrix over both. The error is a *FaultsError
// with the faults of every run, each once.
func (s *Sweep) Runs(env []string) ([]SweepRun, error) {
	l := sweepLoader{s: s, env: env, clusters: map[string]*Cluster{}, workloads: map[string]*Workload{}, hardware: map[string]*hardware.Profile{}, seen: map[string]bool{}}
	var runs []SweepRun
	combination := make([]Value, len(s.Matrix))
	var walk func(i int)
	walk = func(i int) {
		if i < len(s.Matrix) {
			for _, v := range s.Matrix[i].Values {
				combination[i] = v
				walk(i + 1)
			}
			return
		}
		if !s.wanted(combination) {
			return
		}
		r := SweepRun{Values: slices.Clone(combination), Cluster: l.cluster(combination), Hardware: l.profile(combination)}
		w := l.workload(combination)
		for _, seed := range s.Seeds {
			r.Seed = seed
			if w != nil {
				own := *w
				own.Seed, r.Workload = seed, &own
			}
			runs = append(runs, r)
		}
	}
	walk(0)
	if len(l.faults) > 0 {
		return nil, &FaultsError{l.faults}
	}
	if len(runs) == 0 {
		return nil, &FaultsError{[]string{s.label + ": exclude and only leave no run"}}
	}
	return runs, nil
}

// sweepLoader loads each file once for each combination of its own keys.
type sweepLoader struct {
	s         *Sweep
	env       []string
	clusters  map[string]*Cluster
	workloads map[string]*Workload
	hardware  map[string]*hardware.Profile
	faults    []string
	seen      map[string]bool
}

// part gives the file of a part of a run and the values of its keys: memo tells combinations apart, where names them for people.
func (l *sweepLoader) part(fileKey, file string, c []Value, of func(key string) bool) (path, memo, where string, set []int) {
	for i, a := range l.s.Matrix {
		switch {
		case a.Key == fileKey:
			file = c[i].Text
			memo += c[i].Text + "\x00"
		case of(a.Key):
			set = append(set, i)
			memo += c[i].Text + "\x00"
			where += ", " + a.Key + "=" + c[i].Text
		}
	}
	if len(set) < 2 {
		where = "" // the fault names the key
	}
	return l.s.path(file), memo, strings.TrimPrefix(where, ", "), set
}

// path of a file that the sweep names: beside its own file, unless it is a bundled one.
func (s *Sweep) path(name string) string {
	if s.bundled || filepath.IsAbs(name) || !strings.ContainsAny(name, `/\.`) {
		return name
	}
	return filepath.Join(s.dir, name)
}

// overrides says the values of some keys as --set does.
func (l *sweepLoader) overrides(c []Value, set []int) Overrides {
	o := Overrides{Env: l.env, From: l.s.label + ": matrix."}
	for _, i := range set {
		text, err := yaml.Marshal(c[i].scalar)
		if err != nil {
			panic(err) // a scalar that was read from YAML
		}
		o.Set = append(o.Set, l.s.Matrix[i].Key+"="+strings.TrimSpace(string(text)))
	}
	return o
}

// add keeps the faults of one load, each once.
func (l *sweepLoader) add(err error, where string) {
	for _, text := range flatten("", err) {
		for line := range strings.SplitSeq(text, "\n") {
			if l.seen[line] {
				continue
			}
			l.seen[line] = true
			if where != "" {
				line += " (first with " + where + ")"
			}
			l.faults = append(l.faults, line)
		}
	}
}

func isHardwareKey(key string) bool { return strings.HasPrefix(key, hardwarePrefix) }

func (l *sweepLoader) cluster(c []Value) *Cluster {
	path, memo, where, set := l.part(clusterKey, l.s.Cluster, c, func(key string) bool {
		return !strings.HasPrefix(key, workloadPrefix) && !isHardwareKey(key) && key != workloadKey && key != hardwareKey
	})
	v, ok := l.clusters[memo]
	if !ok {
		var err error
		v, err = LoadCluster(path, l.overrides(c, set))
		l.add(err, where)
		l.clusters[memo] = v
	}
	return v
}

func (l *sweepLoader) workload(c []Value) *Workload {
	path, memo, where, set := l.part(workloadKey, l.s.Workload, c, func(key string) bool { return strings.HasPrefix(key, workloadPrefix) })
	v, ok := l.workloads[memo]
	if !ok {
		var err error
		v, err = LoadWorkload(path, l.overrides(c, set))
		l.add(err, where)
		l.workloads[memo] = v
	}
	return v
}

func (l *sweepLoader) profile(c []Value) *hardware.Profile {
	if l.s.Engine != EngineVirtual {
		return nil
	}
	path, memo, where, set := l.part(hardwareKey, l.s.Hardware, c, isHardwareKey)
	v, ok := l.hardware[memo]
	if !ok {
		var changes []changedValue
		for _, i := range set {
			key := l.s.Matrix[i].Key
			changes = append(changes, changedValue{strings.TrimPrefix(key, hardwarePrefix), c[i].scalar, l.s.label + ": matrix." + key})
		}
		var err error
		v, err = loadHardware(path, changes)
		l.add(err, where)
		l.hardware[memo] = v
	}
	return v
}

// BundledSweeps are the names of the sweeps that come with the program.
func BundledSweeps() []string { return bundledNames("experiments") }

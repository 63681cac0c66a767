package experiment

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"splitkernel/configs"
	"splitkernel/sim/report"
)

// Side is one of the two things that are compared: a run, or a set of runs.
type Side struct {
	Path string
	// Config by key, nil if it is not known; of a set what all its runs have in common.
	Config map[string]any
	run    *report.Summary
	set    *set
}

// set is a table of a sweep as it was read.
type set struct {
	axes    []string
	metrics []string
	rows    []setRow
	failed  int // rows left out
}

// setRow is one run that ended well.
type setRow struct {
	values  []string // of the axes
	seed    string
	metrics map[string]float64
}

// Load reads a folder of a run or of a sweep, a summary.json, or a table.csv. What is none of them is a *configs.FaultsError.
func Load(path string) (*Side, error) {
	fault := func(format string, args ...any) error {
		return &configs.FaultsError{Faults: []string{path + ": " + fmt.Sprintf(format, args...)}}
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, fault("cannot be opened, want the folder of a run or of a sweep: %s", err)
	}
	if st.IsDir() {
		for _, name := range []string{"summary.json", tableName(Shard{}) + ".csv"} {
			if _, err := os.Stat(filepath.Join(path, name)); err == nil {
				s, err := Load(filepath.Join(path, name))
				if s != nil {
					s.Path = path
				}
				return s, err
			}
		}
		if _, err := os.Stat(filepath.Join(path, sweepName)); err == nil {
			return nil, fault("a sweep without a table: run it to its end, or `sweep FILE --merge`")
		}
		return nil, fault("no summary.json and no table.csv, want the folder of a run or of a sweep")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fault("cannot be read: %s", err)
	}
	s := &Side{Path: path}
	switch filepath.Ext(path) {
	case ".json":
		s.run = &report.Summary{}
		if err := json.Unmarshal(text, s.run); err != nil {
			return nil, fault("%s, want a summary.json", err)
		}
		if s.run.Schema != report.SchemaSummary {
			return nil, fault("schema %q, want %s", s.run.Schema, report.SchemaSummary)
		}
		s.Config, err = manifestConfig(filepath.Join(filepath.Dir(path), "manifest.json"))
	case ".csv":
		if s.set, err = readSet(text); err != nil {
			return nil, fault("%s", err)
		}
		a, aerr := readAbout(filepath.Dir(path))
		if err = aerr; a != nil {
			s.Config = a.Config
		}
	default:
		return nil, fault("want a folder, a summary.json or a table.csv")
	}
	return s, err
}

// manifestConfig gives the configuration of a run; runs of other versions have none.
func manifestConfig(path string) (map[string]any, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var m report.Manifest
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m.Config, nil
}

// readSet reads a table: its axes are the columns between index and seed, its metrics those after error that are numbers.
func readSet(text []byte) (*set, error) {
	records, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(records) == 0 || records[0][0] != columnIndex {
		return nil, fmt.Errorf("no table of a sweep: its first column is not %s", columnIndex)
	}
	head := records[0]
	seed, exit := slices.Index(head, columnSeed), slices.Index(head, columnExit)
	if seed < 0 || exit != seed+1 || len(head) < exit+6 {
		return nil, fmt.Errorf("no table of a sweep: want columns %s and %s after those of the matrix", columnSeed, columnExit)
	}
	s := &set{axes: head[1:seed]}
	from, to := exit+2, slices.Index(head, "run")
	if to < 0 {
		return nil, errors.New("no table of a sweep: no column run")
	}
	s.metrics = head[from:to]
	for i, rec := range records[1:] {
		if rec[exit] != strconv.Itoa(exitOK) {
			s.failed++
			continue
		}
		r := setRow{values: rec[1:seed], seed: rec[seed], metrics: map[string]float64{}}
		for j := from; j < to; j++ {
			if rec[j] == "" {
				continue
			}
			v, err := strconv.ParseFloat(rec[j], 64)
			if err != nil {
				return nil, fmt.Errorf("row %d: %s: %q, want a number", i+1, head[j], rec[j])
			}
			r.metrics[head[j]] = v
		}
		s.rows = append(s.rows, r)
	}
	return s, nil
}

// Choose keeps the rows of a set that have the given values, as in "hardware=cxl".
func (s *Side) Choose(flag string, choices []string) error {
	fault := func(format string, args ...any) error {
		return &configs.FaultsError{Faults: []string{"--" + flag + ": " + fmt.Sprintf(format, args...)}}
	}
	for _, c := range choices {
		key, value, ok := strings.Cut(c, "=")
		if !ok || key == "" {
			return fault("%q, want key=value", c)
		}
		if s.set == nil {
			return fault("%s: %s is a run, want a sweep", c, s.Path)
		}
		var column func(r setRow) string
		if i := slices.Index(s.set.axes, key); i >= 0 {
			column = func(r setRow) string { return r.values[i] }
		} else if key == columnSeed {
			column = func(r setRow) string { return r.seed }
		} else {
			return fault("%s: no key of the matrix of %s, want one of %s", key, s.Path, strings.Join(append(slices.Clone(s.set.axes), columnSeed), ", "))
		}
		var values []string
		var rows []setRow
		for _, r := range s.set.rows {
			if v := column(r); v == value {
				rows = append(rows, r)
			} else if !slices.Contains(values, v) {
				values = append(values, v)
			}
		}
		if len(rows) == 0 {
			return fault("%s: no run of %s that ended well has it, want one of %s", c, s.Path, strings.Join(values, ", "))
		}
		s.set.rows = rows
	}
	return nil
}

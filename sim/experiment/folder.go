package experiment

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"splitkernel/configs"
)

// schemaSweep names the format of sweep.json.
const schemaSweep = "splitkernel.sweep/1"

// sweepName is the file that says what a folder of a sweep is of.
const sweepName = "sweep.json"

// about is sweep.json.
type about struct {
	Schema string      `json:"schema"`
	Name   string      `json:"name"`
	Engine string      `json:"engine"`
	Digest string      `json:"digest"` // of all its runs
	Runs   int         `json:"runs"`
	Seeds  []uint64    `json:"seeds"`
	Matrix []aboutAxis `json:"matrix"`
	// Config is what all runs have in common, by key.
	Config map[string]any `json:"config"`
	// Command is the command line that made runs last, as that of a manifest.
	Command []string `json:"command,omitempty"`
}

type aboutAxis struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

func (p *Plan) about(command []string) *about {
	a := &about{
		Schema: schemaSweep, Name: p.Sweep.Name, Engine: p.Sweep.Engine, Digest: p.digest(), Runs: len(p.Runs), Seeds: p.Sweep.Seeds,
		Matrix: []aboutAxis{}, Config: p.Config, Command: command,
	}
	for _, x := range p.Sweep.Matrix {
		axis := aboutAxis{Key: x.Key}
		for _, v := range x.Values {
			axis.Values = append(axis.Values, v.Text)
		}
		a.Matrix = append(a.Matrix, axis)
	}
	return a
}

// readAbout reads sweep.json of a folder; it is nil if there is none.
func readAbout(dir string) (*about, error) {
	text, err := os.ReadFile(filepath.Join(dir, sweepName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sweepName, err)
	}
	a := &about{}
	if err := json.Unmarshal(text, a); err != nil || a.Schema != schemaSweep {
		return nil, &configs.FaultsError{Faults: []string{fmt.Sprintf("%s: schema %q (%v), want %s", filepath.Join(dir, sweepName), a.Schema, err, schemaSweep)}}
	}
	return a, nil
}

// checkFolder refuses a folder of something else.
func (p *Plan) checkFolder(flag, dir string) error {
	fault := func(format string, args ...any) error {
		return &configs.FaultsError{Faults: []string{flag + ": " + dir + ": " + fmt.Sprintf(format, args...)}}
	}
	st, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", flag, err)
	case !st.IsDir():
		return fault("no folder, want one, or a name that is free")
	}
	a, err := readAbout(dir)
	if err != nil {
		return err
	}
	if a != nil {
		if a.Name != p.Sweep.Name {
			return fault("has the sweep %q, not %q, want another folder", a.Name, p.Sweep.Name)
		}
		return nil
	}
	for _, name := range []string{"runs", tableName(Shard{}) + ".csv", tableName(Shard{}) + ".parquet"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return fault("has %s but no %s, so it is of something else, want another folder", name, sweepName)
		}
	}
	return nil
}

// tableName is the name of the table of a shard, without its ending.
func tableName(s Shard) string {
	if s.whole() {
		return "table"
	}
	return fmt.Sprintf("table-%d-of-%d", s.Index, s.Of)
}

// removeTables removes the table of a shard, and that of all: runs that are to come will change them.
func removeTables(dir string, s Shard) error {
	var errs []error
	for _, name := range []string{tableName(s), tableName(Shard{})} {
		for _, ending := range []string{".csv", ".parquet"} {
			if err := os.Remove(filepath.Join(dir, name+ending)); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// MissingError tells which runs a merge did not find.
type MissingError struct {
	Missing []int // indices
	Of      int
}

// shownMissing is how many indices are told.
const shownMissing = 10

func (e *MissingError) Error() string {
	var shown []string
	for _, i := range e.Missing[:min(len(e.Missing), shownMissing)] {
		shown = append(shown, fmt.Sprint(i))
	}
	if len(e.Missing) > shownMissing {
		shown = append(shown, "…")
	}
	return fmt.Sprintf("%d of %d runs have no result (%s): run their shards to the end, or the sweep without --merge", len(e.Missing), e.Of, strings.Join(shown, ", "))
}

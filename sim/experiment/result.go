package experiment

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"splitkernel/sim/report"
)

// schemaResult names the format of a result; another one is run again.
const schemaResult = "splitkernel.result/1"

// exit codes of runs, as those of the program.
const (
	exitOK     = 0
	exitFailed = 1
)

// Result is what a run came to: result.json in its folder.
type Result struct {
	Schema   string `json:"schema"`
	Digest   string `json:"digest"`
	Commit   string `json:"commit"`
	ExitCode int    `json:"exit_code"`
	Error    string `json:"error"`
	// Report is what the report of the run says, nil if it has none.
	Report *Figures `json:"report"`
}

// Figures of a run.
type Figures struct {
	Seconds           float64          `json:"seconds"` // of a virtual run, modelled
	AccessesPerSecond float64          `json:"accesses_per_second"`
	Total             report.Counters  `json:"total"`
	VNodes            []VNodeFigures   `json:"vnodes"`
	Modelled          *report.Modelled `json:"modelled,omitempty"`
}

// VNodeFigures are those of a vNode.
type VNodeFigures struct {
	Name     string  `json:"name"`
	Seconds  float64 `json:"seconds"`
	Slowdown float64 `json:"slowdown,omitempty"` // 0 if it is not known
}

// resultOf sums up a run that has ended.
func resultOf(r *Run, commit string, s *report.Summary, err error) *Result {
	res := &Result{Schema: schemaResult, Digest: r.Digest, Commit: commit}
	if s != nil {
		f := &Figures{Seconds: s.WallSeconds, AccessesPerSecond: s.AccessesPerSecond, Total: s.Total, VNodes: []VNodeFigures{}, Modelled: s.Modelled}
		for i := range s.VNodes {
			f.VNodes = append(f.VNodes, VNodeFigures{s.VNodes[i].Name, s.VNodes[i].Seconds, s.VNodes[i].Slowdown})
		}
		res.Report = f
		if res.ExitCode = s.ExitCode(); res.ExitCode != exitOK {
			var errs []error
			for _, text := range append(s.Failed, s.Integrity...) {
				errs = append(errs, errors.New(text))
			}
			err = errors.Join(append(errs, err)...)
		}
	}
	if err != nil {
		res.Error = err.Error()
		if res.ExitCode == exitOK {
			res.ExitCode = exitFailed
		}
	}
	return res
}

// runDir is the folder of a run.
func runDir(dir string, r *Run) string { return filepath.Join(dir, "runs", r.ID()) }

// resultName is the file of a result in the folder of its run.
const resultName = "result.json"

// readResult gives the result of a run, nil if there is none. One that cannot be read, or is of something else, is none: the run is
// made again.
func readResult(dir string, r *Run) *Result {
	text, err := os.ReadFile(filepath.Join(runDir(dir, r), resultName))
	if err != nil {
		return nil
	}
	res := &Result{}
	if json.Unmarshal(text, res) != nil || res.Schema != schemaResult || res.Digest != r.Digest {
		return nil
	}
	return res
}

// writeResult writes a result so that it is there whole or not at all.
func writeResult(dir string, r *Run, res *Result) error {
	return writeJSON(filepath.Join(runDir(dir, r), resultName), res)
}

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return writeWhole(path, append(text, '\n'))
}

// writeWhole replaces a file at once. Shards may write one file together: it has the name of whoever was last.
func writeWhole(path string, text []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", filepath.Base(path), err), os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

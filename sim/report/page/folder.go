package page

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"splitkernel/configs"
	"splitkernel/sim/report"
)

// MaxFileBytes bounds a file of a run that is read: a summary of ten thousand processes has some 30 MiB.
const MaxFileBytes = 512 << 20

// Run is what the folder of a run has. Manifest, Timeline and Slowest are nil if it has none, as of runs of older versions.
type Run struct {
	Dir      string
	Summary  *report.Summary
	Manifest *report.Manifest
	Timeline *report.Timeline
	Slowest  *report.Slowest
}

// Has reports whether a folder is that of a run.
func Has(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, report.SummaryName))
	return err == nil
}

// Read reads the folder of a run. What cannot be read as one is a *configs.FaultsError.
func Read(dir string) (*Run, error) {
	r := &Run{Dir: dir, Summary: &report.Summary{}}
	found, err := readFile(dir, report.SummaryName, report.SchemaSummary, r.Summary)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fault("%s: no %s, want the folder of a run or of a sweep", dir, report.SummaryName)
	}
	m, t := &report.Manifest{}, &report.Timeline{}
	if found, err = readFile(dir, report.ManifestName, report.SchemaManifest, m); err != nil {
		return nil, err
	} else if found {
		r.Manifest = m
	}
	if found, err = readFile(dir, report.TimelineName, report.SchemaTimeline, t); err != nil {
		return nil, err
	} else if found {
		r.Timeline = t
	}
	if r.Slowest, err = ReadSlowest(dir); err != nil {
		return nil, err
	}
	return r, nil
}

// ReadSlowest reads the slowest faults of the folder of a run; nil if it has none.
func ReadSlowest(dir string) (*report.Slowest, error) {
	s := &report.Slowest{}
	found, err := readFile(dir, report.SlowestName, report.SchemaSlowest, s)
	if err != nil || !found {
		return nil, err
	}
	return s, nil
}

func fault(format string, args ...any) error {
	return &configs.FaultsError{Faults: []string{fmt.Sprintf(format, args...)}}
}

// readFile reads a file of one schema; false if there is none.
func readFile(dir, name, schema string, to any) (bool, error) {
	path := filepath.Join(dir, name)
	st, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fault("%s: cannot be read: %s", path, err)
	}
	if st.Size() > MaxFileBytes {
		return false, fault("%s: %d bytes, want at most %d", path, st.Size(), MaxFileBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return false, fault("%s: cannot be read: %s", path, err)
	}
	return true, Parse(path, text, schema, to)
}

// Parse reads JSON of a schema, and says what is wrong with it: path is for the message. One of a newer number may mean anything by its
// fields, so it is refused before they are read.
func Parse(path string, text []byte, schema string, to any) error {
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return fault("%s: %s, want JSON of %s", path, err, schema)
	}
	if head.Schema != schema {
		name, number := cutSchema(schema)
		if n, theirs := cutSchema(head.Schema); n == name && theirs > number {
			return fault("%s: schema %s is newer than %s, which this program reads: use the version that wrote it", path, head.Schema, schema)
		}
		return fault("%s: schema %q, want %s", path, head.Schema, schema)
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fault("%s: %s, want what %s has", path, err, schema)
	}
	return nil
}

// cutSchema takes a schema into its name and its number, 0 if it has none.
func cutSchema(s string) (string, int) {
	name, number, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(number)
	if err != nil {
		n = 0
	}
	return name, n
}

// WriteRun makes the page of a run from the files in its folder, puts it there and gives its path.
func WriteRun(dir string) (string, error) {
	r, err := Read(dir)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, Name)
	return path, WriteFile(path, OfRun(r))
}

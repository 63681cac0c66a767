package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Files of a run.
const (
	SummaryName  = "summary.json"
	ManifestName = "manifest.json"
	TimelineName = "timeline.json"
	SlowestName  = "slowest.json"
)

// WriteFiles writes summary.json and manifest.json, slowest.json if the summary has that, and timeline.json, which no person reads, if it has one.
func WriteFiles(dir string, s *Summary, m *Manifest) error {
	if s.Timeline != nil {
		b, err := json.Marshal(s.Timeline)
		if err != nil {
			return fmt.Errorf("%s: %w", TimelineName, err)
		}
		if err := os.WriteFile(filepath.Join(dir, TimelineName), append(b, '\n'), 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	type file struct {
		name string
		v    any
	}
	files := []file{{SummaryName, s}, {ManifestName, m}}
	if s.Slowest != nil {
		files = append(files, file{SlowestName, s.Slowest})
	}
	for _, f := range files {
		b, err := json.MarshalIndent(f.v, "", "  ")
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, f.name), append(b, '\n'), 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}

// ThisHost describes the machine.
func ThisHost() Host {
	h := Host{OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version()}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		h.Kernel = strings.TrimSpace(string(b))
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				h.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	return h
}

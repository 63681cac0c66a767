package cli

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTheExamplesOfTraces runs what docs/traces.md shows.
func TestTheExamplesOfTraces(t *testing.T) {
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", console(t, "traces.md"))
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"lackey, granularity 1 B", "3 (2 reads, 1 writes)", "perf-script, granularity 1 B", "layout unverified", "columns, granularity 1 B",
		"2 (1 reads, 1 writes)", "1 reads (8192 B), 1 writes (4096 B), 0 flushes", "sda, 1060864 B", "regex, granularity 1 B"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the examples do not print %q:\n%s", want, out)
		}
	}
}

// trace formats prints what there is to say of each format, and of those that are named their settings.
func TestTraceFormats(t *testing.T) {
	c := call("trace", "formats", "-o", "json")
	var list []traceFormat
	if err := json.Unmarshal([]byte(c.stdout), &list); c.code != 0 || err != nil {
		t.Fatalf("%v: %+v", err, c)
	}
	i := slices.IndexFunc(list, func(f traceFormat) bool { return f.Name == "champsim" })
	if i < 0 || !list[i].Recognised || !list[i].Unverified || list[i].Class != "memory" || len(list[i].Keys) != 1 || list[i].Keys[0].Name != "variant" {
		t.Errorf("%+v", list)
	}
	if c := call("trace", "formats", "valpin"); c.code != 0 || !strings.Contains(c.stdout, "no: --format valpin") || !strings.Contains(c.stdout, "skip-bad") || strings.Contains(c.stdout, "lackey") {
		t.Errorf("%+v", c)
	}
	if c := call("trace", "formats", "cobol"); c.code != 2 || !strings.Contains(c.stderr, `trace format "cobol", want some of skt, `) {
		t.Errorf("%+v", c)
	}
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("0x1: R 0x2\nx\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var files []traceFile
	c = call("trace", "info", "--format", "auto:skip-bad=1", "-o", "json", path)
	if err := json.Unmarshal([]byte(c.stdout), &files); c.code != 0 || err != nil || len(files) != 1 || files[0].Source != "pinatrace" || files[0].BadRecords != 1 {
		t.Errorf("%v: %+v", err, c)
	}
}

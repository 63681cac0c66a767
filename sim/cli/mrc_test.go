package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// zipfTrace has few pages and references.
const zipfTrace = "generator:zipf?pages=3000&refs=20000&seed=1"

func TestMrcJSON(t *testing.T) {
	c := call("mrc", zipfTrace, "--policy", "lru,belady,fifo", "--sizes", "10%,100,1MiB", "-o", "json")
	c.want(t, exitOK, "20000 references to memory", "20000 requests for")
	var rows []map[string]any
	if err := json.Unmarshal([]byte(c.stdout), &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 9 {
		t.Fatalf("%d rows, want 9:\n%s", len(rows), c.stdout)
	}
	best := map[any]float64{}
	for i, r := range rows {
		if len(r) != 5 || r["policy"] != []string{"lru", "belady", "fifo"}[i/3] || r["requests"] != 20000.0 || r["miss_ratio"] != r["misses"].(float64)/20000 {
			t.Errorf("row %d: %v", i, r)
		}
		if r["policy"] == "belady" {
			best[r["size"]] = r["misses"].(float64)
		}
	}
	for _, r := range rows {
		if r["misses"].(float64) < best[r["size"]] {
			t.Errorf("%v, belady has %v misses", r, best[r["size"]])
		}
	}
	for i, want := range []float64{100, 237, 256} { // 10 % of the 2374 pages that are referenced
		if rows[i]["size"] != want {
			t.Errorf("size %d is %v, want %v", i, rows[i]["size"], want)
		}
	}
}

func TestMrcCSVAndPlots(t *testing.T) {
	dir := t.TempDir()
	svg, raster := filepath.Join(dir, "a.svg"), filepath.Join(dir, "a.png")
	c := call("mrc", zipfTrace, "--policy", "lru,clock", "-o", "csv", "--plot", svg)
	c.want(t, exitOK, "plot: "+svg)
	lines, err := csv.NewReader(strings.NewReader(c.stdout)).ReadAll()
	if err != nil || len(lines) < 20 || !slices.Equal(lines[0][:5], []string{"policy", "size", "requests", "misses", "miss_ratio"}) {
		t.Errorf("%v, %v", lines, err)
	}
	text, err := os.ReadFile(svg)
	if err != nil || !strings.Contains(string(text), "cache size (pages of 4 KiB)") || strings.Count(string(text), "<polyline") != 4 {
		t.Errorf("the plot is %.200s (%v)", text, err)
	}
	call("mrc", zipfTrace, "--plot", raster).want(t, exitOK)
	b, err := os.ReadFile(raster)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := png.DecodeConfig(bytes.NewReader(b)); err != nil {
		t.Error(err)
	}
	call("mrc", zipfTrace, "--plot", filepath.Join(dir, "no", "a.svg")).want(t, exitFailed, "write the plot")
}

func TestMrcSample(t *testing.T) {
	big := "generator:zipf?pages=6000&refs=40000&seed=2"
	c := call("mrc", big, "--shards", "2000", "--sizes", "50%")
	c.want(t, exitOK, "estimated from 2000 pages", "40000 requests for about")
	if !strings.Contains(c.stdout, "STANDARD ERROR") || !strings.Contains(c.stdout, "±") {
		t.Errorf("the table is\n%s", c.stdout)
	}
	call("mrc", big, "--shards", "0.01").want(t, exitOK, "exact: a sample would have")
	call("mrc", big, "--shards", "20000").want(t, exitOK, "exact: all pages fit")
}

func TestMrcUsage(t *testing.T) {
	for _, c := range []struct {
		want string
		args []string
	}{
		{`policy "clok", want one of`, []string{"--policy", "clok"}},
		{`--sizes: size "0"`, []string{"--sizes", "0"}},
		{"only lru can be estimated", []string{"--policy", "fifo", "--shards", "0.1"}},
		{"--shards: \"x\"", []string{"--shards", "x"}},
		{"999 pages, want 1000", []string{"--shards", "999"}},
		{"want a name that ends with .svg or .png", []string{"--plot", "a.gif"}},
		{`records "all"`, []string{"--records", "all"}},
		{"--format", []string{"--format", "nonsense"}},
		{`"xml", want one of csv, json, table`, []string{"-o", "xml"}},
	} {
		call(append([]string{"mrc", zipfTrace}, c.args...)...).want(t, exitUsage, c.want)
	}
	call("version", "-o", "csv").want(t, exitUsage, "want one of json, table")
	call("mrc").want(t, exitUsage)
	call("mrc", filepath.Join(t.TempDir(), "none.skt")).want(t, exitFailed, "cannot read a trace")
}

// TestMrcStopped: Ctrl-C prints what there is, says that it is partial, and exits with 1.
func TestMrcStopped(t *testing.T) {
	cause := errors.New("stopped by a signal (interrupt)")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	var out, talk bytes.Buffer
	a := &app{stdout: &out, stderr: &talk, output: "json"}
	err := a.mrc(ctx, &mrcFlags{policies: "lru", sizes: "5", records: "auto"}, zipfTrace)
	if code := a.exitCode(&ranError{err}); code != exitFailed || !errors.Is(err, cause) {
		t.Errorf("%v, exit code %d", err, code)
	}
	if !strings.Contains(out.String(), `"partial": true`) || !strings.Contains(talk.String(), "partial: the work was stopped") {
		t.Errorf("it prints %s and says %s", out.String(), talk.String())
	}
}

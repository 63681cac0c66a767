package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"splitkernel/sim/reproduce"
)

// TestReproducedPage: the page of a reproduction has what is not reached first, with the reason, both tables and the plots.
func TestReproducedPage(t *testing.T) {
	r := &reproduce.Result{
		Seed: 3, Scale: 64, Hardware: "legoos-cx3",
		Rows: []reproduce.Row{
			{Figure: "Fig 8", Case: "get <1>", Published: 10, Ours: 11, Error: 0.1, Unit: "µs", Kind: reproduce.Predicted},
			{Figure: "Fig 8", Case: "1 ×", Published: 4, Ours: 4, Unit: "µs", Kind: reproduce.Predicted},
		},
		Targets: []reproduce.Target{
			{Figure: "Fig 8", What: "mean error", Wanted: 0.2, Got: 0.05, Reached: true},
			{Figure: "Fig 9", What: "slowdown", Wanted: 1.5, Got: 2.25, Reason: "Locks are not modelled."},
		},
	}
	files, err := r.Files()
	if err != nil {
		t.Fatal(err)
	}
	s := reproduced(r)
	s.files, s.figures = files, "rows.json"
	dir := t.TempDir()
	a := &app{stderr: &bytes.Buffer{}, args: []string{"reproduce", "legoos", "--seed", "3"}}
	if err := a.studyPage(dir, s); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "report.html"))
	for _, want := range []string{
		"1 of 2 targets are reached.", "Not reached: Fig 9, slowdown: 2.25, wanted 1.5. Locks are not modelled.", "NOT REACHED", "get &lt;1&gt;", "10.0 %", "<svg ",
		"splitkernel reproduce legoos --seed 3", "rows.json beside this page", reproduce.NotModelled[4],
	} {
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%v: no %q in the page\n%.3000s", err, want, text)
		}
	}
}

func TestReproduceBadUsage(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct{ line, want string }{
		{"reproduce legoos --scale 3", "scale: 3, want a power of two of 1 to 64"},
		{"reproduce legoos --scale 128", "scale: 128"},
		{"reproduce legoos more", "unknown command"},
		{"reproduce nonsense", `unknown command "nonsense"`},
	} {
		got := call(strings.Fields(c.line)...)
		if got.code != exitUsage || !strings.Contains(got.stderr, c.want) || got.stdout != "" {
			t.Errorf("%s: exit %d, %q, want %d and %q", c.line, got.code, got.stderr, exitUsage, c.want)
		}
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("bad usage left %v, %v", left, err)
	}
}

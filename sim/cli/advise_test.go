package cli

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"splitkernel/sim/advise"
)

const advised = "generator:hotcold?pages=100&refs=2000&hot=20&gap=20000&seed=1"

// TestAdviseOnATrace: sentences, JSON and a plot.
func TestAdviseOnATrace(t *testing.T) {
	picture := filepath.Join(t.TempDir(), "x.svg")
	c := call("advise", advised, "--hardware", "cxl,tcp-25g", "--plot", picture)
	for _, want := range []string{"All times are modelled", "On cxl ", "On tcp-25g ", "at most 5 % ", "ALL LOCAL"} {
		if c.code != 0 || !strings.Contains(c.stdout, want) {
			t.Errorf("%d, no %q in\n%s%s", c.code, want, c.stdout, c.stderr)
		}
	}
	if svg, err := os.ReadFile(picture); err != nil || !strings.Contains(string(svg), "longer than with all memory local") {
		t.Errorf("plot: %v", err)
	}
	c = call("advise", advised, "--hardware", "cxl", "--slowdown", "7.5 %", "-o", "json")
	var res advise.Result
	if err := json.Unmarshal([]byte(c.stdout), &res); err != nil || res.Slowdown < 0.0749 || res.Slowdown > 0.0751 || len(res.Advice) != 1 || res.Advice[0].Verdict != advise.Found {
		t.Errorf("%v %+v", err, c)
	}
}

// TestAdviseOnAProgram records it first, and keeps its trace where that was asked for.
func TestAdviseOnAProgram(t *testing.T) {
	if _, err := exec.LookPath("valgrind"); err != nil {
		t.Skip("NOT TESTED: advice on a program, because valgrind is not installed (apt-get install valgrind)")
	}
	kept := filepath.Join(t.TempDir(), "kept.skt")
	c := call("advise", "--hardware", "cxl", "--keep", kept, "--max-refs", "2000", "--", "sh", "-c", "exit 3")
	if c.code != 0 || !strings.Contains(c.stdout, "sh: ") || !strings.Contains(c.stdout, "On cxl ") || !strings.Contains(c.stderr, "sh") {
		t.Errorf("%+v", c)
	}
	if c := call("trace", "info", kept); c.code != 0 || !strings.Contains(c.stdout, "the last 64 distinct pages") {
		t.Errorf("%+v", c)
	}
}

func TestAdviseUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"want one trace, or -- and a program":          {},
		"want one trace, or":                           {"a", "b"},
		`--slowdown: "5", want a percentage`:           {advised, "--slowdown", "5"},
		"slowdown: 0, want a share above 0":            {advised, "--slowdown", "0%"},
		"--plot: x.gif, want a name that ends":         {advised, "--plot", "x.gif"},
		"--keep x.skt: a trace was given":              {advised, "--keep", "x.skt"},
		"thin: -1, want 0 to 1024 pages":               {"--thin", "-1", "--", "true"},
		"no-such: no such file, want a path or one of": {advised, "--hardware", "no-such"},
		"time budget: -1s, want 0 (none) or more":      {"--time-budget", "-1s", "--", "true"},
		"executable file not found":                    {"--", "no-such-program"},
		`trace format "nope", want one of skt, `:       {advised, "--format", "nope"},
	} {
		if c := call(append([]string{"advise"}, args...)...); c.code != 2 || !strings.Contains(c.stderr, want) {
			t.Errorf("%q: %+v, want %s", args, c, want)
		}
	}
}

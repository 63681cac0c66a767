package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"splitkernel/sim/report/page"
)

// wantPage reads a page that a command said it wrote.
func wantPage(t *testing.T, got called, path string, parts ...string) {
	t.Helper()
	got.want(t, exitOK, "page: "+path+"\n")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if !strings.Contains(string(text), p) {
			t.Errorf("no %q in %s", p, path)
		}
	}
}

func TestReport(t *testing.T) {
	t.Setenv("SPLITKERNEL_TOKEN", "s3cret-of-the-environment")
	w, c, temp := sample(t), small(t), t.TempDir()
	a, b := filepath.Join(temp, "a"), filepath.Join(temp, "b")
	wantPage(t, call("simulate", w, "--cluster", c, "--out", a, "--set", "token=s3cret-of-the-flag"), filepath.Join(a, page.Name), "virtual run", "a ran ", "slower than all-local on legoos-cx3",
		"SPLITKERNEL_TOKEN=&#39;(set)&#39; splitkernel simulate "+w+" --cluster "+c+" --out "+a+" --set &#39;token=(set)&#39;")
	wantPage(t, call("simulate", w, "--cluster", c, "--out", b, "--hardware", "cxl", "-o", "json"), filepath.Join(b, page.Name), "modelled on cxl")
	for _, dir := range []string{a, b} {
		for _, name := range []string{page.Name, "manifest.json"} {
			if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || strings.Contains(string(text), "s3cret") {
				t.Errorf("%s has a token (%v)", name, err)
			}
		}
	}
	first, err := os.ReadFile(filepath.Join(a, page.Name))
	if err != nil {
		t.Fatal(err)
	}
	wantPage(t, call("report", a), filepath.Join(a, page.Name))
	if again, err := os.ReadFile(filepath.Join(a, page.Name)); err != nil || string(again) != string(first) {
		t.Errorf("made anew it is another page (%v)", err)
	}
	both := filepath.Join(temp, "both.html")
	wantPage(t, call("report", a, b, "--out", both), both, "2 runs beside each other", "virtual, cxl", "hardware.link.latency")

	sweep := filepath.Join(temp, "sweep")
	wantPage(t, call("sweep", sweepFile(t, "seeds: 2\nmatrix:\n  workload.vnodes.a.excache.lines: [2, 8]\n"), "--out", sweep), filepath.Join(sweep, page.Name), "virtual sweep", "Slowdown of a against all memory local (modelled)")
	wantPage(t, call("report", sweep), filepath.Join(sweep, page.Name))
	wantPage(t, call("report", sweep, sweep, "--out", both), both, "2 sweeps beside each other")
	runs, err := filepath.Glob(filepath.Join(sweep, "runs", "*"))
	if err != nil || len(runs) != 4 {
		t.Fatalf("%v (%v)", runs, err)
	}
	wantPage(t, call("report", runs[0]), filepath.Join(runs[0], page.Name), "virtual run")

	call("report").want(t, exitUsage, "accepts between 1 and 12 arg(s), received 0")
	call("report", temp).want(t, exitUsage, temp+": no summary.json and no sweep.json, want the folder of a run or of a sweep")
	call("report", a, sweep).want(t, exitUsage, "1 of these folders are of sweeps and 1 of runs, want all of a kind")
	call("report", a, "--out", filepath.Join(temp, "missing", "x.html")).want(t, exitFailed, "write x.html")
	write(t, b, "summary.json", `{"schema":"splitkernel.summary/99"}`)
	call("report", a, b).want(t, exitUsage, "splitkernel.summary/99 is newer than splitkernel.summary/1")
}

func TestCommandLine(t *testing.T) {
	a := &app{env: []string{"HOME=/x", "SPLITKERNEL_SEED=1"}, args: []string{"sweep", "f", "--shard", "0/2", "--set=token=x", "--shard=1/2"}}
	if got := strings.Join(withoutFlag(a.command(), "--shard"), " "); got != "SPLITKERNEL_SEED=1 splitkernel sweep f --set=token=(set)" {
		t.Error(got)
	}
}

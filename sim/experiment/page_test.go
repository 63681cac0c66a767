package experiment

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"splitkernel/sim/report"
	"splitkernel/sim/report/page"
)

// shownText reads a page as strict XML and gives its text, and how many elements of each name it has.
func shownText(t testing.TB, html string) (string, map[string]int) {
	t.Helper()
	var text strings.Builder
	n := map[string]int{}
	for d := xml.NewDecoder(strings.NewReader(html)); ; {
		token, err := d.Token()
		if err == io.EOF {
			return strings.ReplaceAll(text.String(), "\u00a0", " "), n
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			n[e.Name.Local]++
		case xml.CharData:
			text.Write(e)
			text.WriteByte(' ')
		}
	}
}

// TestPage: the page of a sweep has the means of its table with their intervals, and is made of the folder alone.
func TestPage(t *testing.T) {
	w := newWorld(t)
	p := w.plan(slow)
	dir := filepath.Join(w.dir, "out")
	table, err := Execute(t.Context(), Options{Plan: p, Dir: dir, Parallel: 2, Commit: "c0ffee", Command: []string{"splitkernel", "sweep", "<b>.yaml"}})
	if err != nil {
		t.Fatal(err)
	}
	path, err := WritePage(dir)
	if err != nil {
		t.Fatal(err)
	}
	text, n := shownText(t, w.read("out", filepath.Base(path)))
	for _, want := range []string{
		"The virtual sweep sizes has 8 of 8 runs: each combination of 2 values of hardware and 2 values of workload.vnodes.one.excache.share_percent, with 2 seeds.", "All runs ended well.",
		"Slowdown of one against all memory local (modelled)", "splitkernel sweep '<b>.yaml'", "c0ffee", p.digest(), "1, 5", "All times are modelled",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	at := map[string]int{}
	for i, c := range table.Columns {
		at[c.Name] = i
	}
	for first := 0; first < len(table.Rows); first += 2 {
		for _, column := range []string{"seconds", "slowdown.one", "misses", "fetch_p50_us"} {
			a, okA := number(table.Rows[first][at[column]])
			b, okB := number(table.Rows[first+1][at[column]])
			if !okA || !okB {
				t.Fatalf("%s of row %d is missing", column, first)
			}
			want := digits((a + b) / 2)
			if a != b {
				want += " ± " + digits(12.706204736*math.Abs(a-b)/2) // Student's t for one degree of freedom
			}
			if !strings.Contains(text, " "+want+" ") {
				t.Errorf("%s of rows %d and %d: no %q in the page", column, first, first+1, want)
			}
		}
	}
	if n["svg"] < 5 || n["path"] == 0 || n["script"] > 0 {
		t.Errorf("%v, want charts with whiskers", n)
	}
	d, err := PageOf([]string{dir, dir})
	if err != nil {
		t.Fatal(err)
	}
	html, err := page.HTML(d)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := shownText(t, string(html)); !strings.Contains(text, "4 combinations of hardware, workload.vnodes.one.excache.share_percent are in one of them at least.") || !strings.Contains(text, "hardware=cxl, share_percent=25") {
		t.Error("the comparison does not name the combinations")
	}
	// What a merge makes of the folder has the command of who made the runs.
	if _, err := Merge(p, []string{dir}, filepath.Join(w.dir, "merged")); err != nil {
		t.Fatal(err)
	}
	var a about
	if err := json.Unmarshal([]byte(w.read("merged", sweepName)), &a); err != nil || len(a.Command) != 3 {
		t.Errorf("%v (%v)", a.Command, err)
	}
	text = strings.Replace(w.read("out", sweepName), schemaSweep, "splitkernel.sweep/2", 1)
	if err := os.WriteFile(filepath.Join(dir, sweepName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := PageOf([]string{dir}); err == nil || !strings.Contains(err.Error(), "splitkernel.sweep/2 is newer than splitkernel.sweep/1") {
		t.Errorf("%v", err)
	}
}

// TestPageOfFailedRuns: they are in no mean, and the page says so.
func TestPageOfFailedRuns(t *testing.T) {
	w := newWorld(t)
	p := w.plan(lives)
	f := &fake{run: func(_ context.Context, r *Run) (*report.Summary, error) {
		s := done(r)
		if r.Index == 1 {
			s.Failed = []string{"one: <i>broken</i>"}
		}
		return s, nil
	}}
	if _, err := Execute(t.Context(), f.options(p, filepath.Join(w.dir, "out"))); err != nil {
		t.Fatal(err)
	}
	if _, err := WritePage(filepath.Join(w.dir, "out")); err != nil {
		t.Fatal(err)
	}
	text, n := shownText(t, w.read("out", page.Name))
	for _, want := range []string{"1 failed", "1 runs failed; they are in no mean.", "one: <i>broken</i>", "no slowdown"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	if n["i"] > 0 || strings.Contains(text, "modelled") {
		t.Error("a live sweep has something modelled, or markup of its own")
	}
}

package launcher

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// TestMetricsAreNamedAsTheyShould lints what each role serves: names, units, help texts, and compares it with the manual, both
// ways. What other libraries export is theirs.
func TestMetricsAreNamedAsTheyShould(t *testing.T) {
	ownTemp(t)
	cl := start(t, load(t, clusterFile(t, "unix")))
	served := map[string]bool{} // rows of the manual
	for _, n := range cl.Nodes() {
		_, body := get(t, "http://"+n.Metrics+"/metrics")
		var own strings.Builder
		families := 0
		for line := range strings.Lines(body) {
			name := strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE ")
			if !strings.HasPrefix(name, "splitkernel_") {
				continue
			}
			if strings.HasPrefix(line, "# TYPE ") {
				families++
			}
			own.WriteString(line)
		}
		for _, row := range manualRows(own.String()) {
			served[row] = true
		}
		if families < 5 {
			t.Errorf("%s: only %d metrics of its own", n.ID, families)
		}
		problems, err := promlint.New(strings.NewReader(own.String())).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s: %s", n.ID, p.Metric, p.Text)
		}
	}
	stop(t, cl)

	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		row := strings.TrimSpace(line)
		if strings.HasPrefix(row, "| `splitkernel_") && !served[row] {
			t.Errorf("docs/metrics.md has a row that no process serves so:\n%s", row)
		}
		delete(served, row)
	}
	for _, row := range slices.Sorted(maps.Keys(served)) {
		t.Errorf("docs/metrics.md lacks the row\n%s", row)
	}
}

// manualRows gives the row that the manual must have for each metric of a page.
func manualRows(page string) (rows []string) {
	help, kind, labels := map[string]string{}, map[string]string{}, map[string][]string{}
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, text, _ := strings.Cut(rest, " ")
			help[name] = text
		} else if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, text, _ := strings.Cut(rest, " ")
			kind[name] = text
		} else if name, rest, ok := strings.Cut(line, "{"); ok {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base, ok := strings.CutSuffix(name, suffix); ok && kind[base] == "histogram" {
					name = base
				}
			}
			set, _, _ := strings.Cut(rest, "}")
			labels[name] = nil
			for _, pair := range strings.Split(set, ",") {
				if label, _, _ := strings.Cut(pair, "="); label != "le" {
					labels[name] = append(labels[name], label)
				}
			}
		}
	}
	for name, k := range kind {
		unit := ""
		for _, u := range []struct{ suffix, unit string }{{"_bytes_per_second", "B/s"}, {"_seconds", "s"}, {"_bytes", "B"}, {"_ratio", "1"}} {
			if unit == "" && strings.HasSuffix(strings.TrimSuffix(name, "_total"), u.suffix) {
				unit = u.unit
			}
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s | %s |", name, k, unit, strings.Join(labels[name], ", "), help[name]))
	}
	return rows
}

package launcher

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// TestMetricsAreNamedAsTheyShould lints what each role serves: names, units, help texts. What other libraries export is
// theirs.
func TestMetricsAreNamedAsTheyShould(t *testing.T) {
	ownTemp(t)
	cl := start(t, load(t, clusterFile(t, "unix")))
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
}

package mcomponent

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"splitkernel/netlayer/wire"
)

func TestMetricsAndCounters(t *testing.T) {
	cl := newCluster(t, 1, nil)
	r := prometheus.NewPedanticRegistry()
	if err := cl.m[0].Register(r); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if !slices.IsSortedFunc(cl.m[0].Counters(), func(a, b wire.Counter) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the counters are not sorted by name")
	}
}

package gmanagers_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"splitkernel/gmanagers"
)

func TestMetrics(t *testing.T) {
	m, err := gmanagers.New(goodOptions())
	if err != nil {
		t.Fatal(err)
	}
	if m.Ready() {
		t.Error("ready before Run")
	}
	r := prometheus.NewPedanticRegistry()
	if err := m.RegisterMetrics(r); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(r)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	n, err := testutil.GatherAndCount(r, "splitkernel_manager_proposals_total")
	if err != nil || n != 6 {
		t.Errorf("%d series of proposals, %v, want 6", n, err)
	}
	var b strings.Builder
	gmanagers.WriteHealthMetrics(&b)
}

package pcomponent

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	os := startOwners(t, 1)
	p := open(t, os[0], small(4, "list"), 1, nil)
	mapPages(t, p, 0, 64, true)
	w := counts{}
	th := p.Thread(0)
	th.Begin()
	for k := range uint64(64) {
		w.touch(t, th, k%32, true)
	}
	th.End()
	r := prometheus.NewPedanticRegistry()
	if err := p.c.Register(r); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(r)
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v %v", problems, err)
	}
	want := `
# HELP splitkernel_pcomponent_faults_total Misses of the ExCache by what they came to.
# TYPE splitkernel_pcomponent_faults_total counter
splitkernel_pcomponent_faults_total{kind="coalesced"} 0
splitkernel_pcomponent_faults_total{kind="fetch"} 32
splitkernel_pcomponent_faults_total{kind="p_local"} 32
splitkernel_pcomponent_faults_total{kind="victim_hit"} 0
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "splitkernel_pcomponent_faults_total"); err != nil {
		t.Fatal(err)
	}
	if n, err := testutil.GatherAndCount(r, "splitkernel_pcomponent_fault_seconds"); err != nil || n != 4 {
		t.Fatalf("%d series, %v", n, err)
	}
}

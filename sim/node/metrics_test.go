package node

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"splitkernel/netlayer"
)

// TestUtilisationOfAKnownLoad: two of four processors, a quarter of the workers, a tenth and half of the link.
func TestUtilisationOfAKnownLoad(t *testing.T) {
	l := load{net: netlayer.Usage{Workers: 8}}
	u := l.usage(4, 1e6)
	start := time.Now()
	u.step(start)
	l.busy, l.net.WorkerBusy, l.net.InBytes, l.net.OutBytes = 4*time.Second, 4*time.Second, 200_000, 1_000_000
	u.step(start.Add(2 * time.Second))
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(u)
	problems, err := testutil.GatherAndLint(r)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	want := `
# HELP splitkernel_node_link_capacity_bytes_per_second Configured capacity of the link in each direction.
# TYPE splitkernel_node_link_capacity_bytes_per_second gauge
splitkernel_node_link_capacity_bytes_per_second 1e+06
# HELP splitkernel_node_link_transferred_bytes_total Bytes of frames, headers included, of all connections, by direction.
# TYPE splitkernel_node_link_transferred_bytes_total counter
splitkernel_node_link_transferred_bytes_total{direction="in"} 200000
splitkernel_node_link_transferred_bytes_total{direction="out"} 1e+06
# HELP splitkernel_node_link_utilisation_ratio Bytes of frames per second over the capacity of the link, over the last window, by direction.
# TYPE splitkernel_node_link_utilisation_ratio gauge
splitkernel_node_link_utilisation_ratio{direction="in"} 0.1
splitkernel_node_link_utilisation_ratio{direction="out"} 0.5
# HELP splitkernel_node_processor_busy_seconds_total Time in which threads did not wait: of a pComponent those of its processes, elsewhere those of the process.
# TYPE splitkernel_node_processor_busy_seconds_total counter
splitkernel_node_processor_busy_seconds_total 4
# HELP splitkernel_node_processor_utilisation_ratio Thread time not waiting over processors times time, over the last window; above 1 there were more threads than processors.
# TYPE splitkernel_node_processor_utilisation_ratio gauge
splitkernel_node_processor_utilisation_ratio 0.5
# HELP splitkernel_node_processors Processors: those that a pComponent offers to its processes, elsewhere those that the process may use.
# TYPE splitkernel_node_processors gauge
splitkernel_node_processors 4
# HELP splitkernel_node_utilisation_window_seconds Length of the last window; 0 while none has ended.
# TYPE splitkernel_node_utilisation_window_seconds gauge
splitkernel_node_utilisation_window_seconds 2
# HELP splitkernel_node_worker_utilisation_ratio Time in which the server's workers had a request over workers times time, over the last window.
# TYPE splitkernel_node_worker_utilisation_ratio gauge
splitkernel_node_worker_utilisation_ratio 0.25
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want)); err != nil {
		t.Error(err)
	}

	u.link = 0 // unknown: no ratio is better than a wrong one
	for _, name := range []string{"splitkernel_node_link_capacity_bytes_per_second", "splitkernel_node_link_utilisation_ratio"} {
		if n, err := testutil.GatherAndCount(r, name); err != nil || n != 0 {
			t.Errorf("%d series of %s without a capacity, %v", n, name, err)
		}
	}
}

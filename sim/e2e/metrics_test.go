package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"splitkernel/sim/observe"
)

// scrape reads the metrics of a node: value by name and labels, as they stand in the text.
func (c *cluster) scrape(id string) (map[string]float64, error) {
	for _, n := range c.Nodes() {
		if n.ID == id {
			return scrape("http://" + n.Metrics + "/metrics")
		}
	}
	return nil, fmt.Errorf("no node %s", id)
}

func scrape(url string) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	rep, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer rep.Body.Close()
	m, err := observe.ParseMetrics(rep.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	got := map[string]float64{}
	for name, points := range m {
		if name, ours := strings.CutPrefix(name, "splitkernel_"); ours {
			for _, p := range points {
				got[name+p.Labels] = p.Value
			}
		}
	}
	return got, nil
}

// checkUtilisation compares ratios with the counters and capacities of the same scrape.
func checkUtilisation(t *testing.T, id string, m map[string]float64) {
	t.Helper()
	want := func(ok bool, format string, args ...any) {
		if !ok {
			t.Errorf("%s: "+format, append([]any{id}, args...)...)
		}
	}
	const rounding = 1 + 1e-9
	window := m["node_utilisation_window_seconds"]
	want(m["node_processors"] >= 1, "%v processors", m["node_processors"])
	used := m["node_processor_utilisation_ratio"] * m["node_processors"] * window
	want(used >= 0 && used <= m["node_processor_busy_seconds_total"]*rounding, "busy for %v s in the last window, for %v s in all", used, m["node_processor_busy_seconds_total"])
	want(m["node_worker_utilisation_ratio"] >= 0, "workers: %v", m["node_worker_utilisation_ratio"])
	for _, d := range []string{"in", "out"} {
		label := `{direction="` + d + `"}`
		moved := m["node_link_utilisation_ratio"+label] * m["node_link_capacity_bytes_per_second"] * window
		want(moved >= 0 && moved <= m["node_link_transferred_bytes_total"+label]*rounding, "%v bytes %s in the last window, %v in all", moved, d, m["node_link_transferred_bytes_total"+label])
	}
	for _, x := range []struct{ role, part string }{
		{"p", "pcomponent_excache_%s"}, {"m", "mcomponent_memory_%s"}, {"s", "scomponent_%s"},
	} {
		if id[:1] != x.role {
			continue
		}
		capacity := m[fmt.Sprintf(x.part, "capacity_bytes")]
		want(capacity > 0, "capacity %v", capacity)
		for _, kind := range []string{"reserved", "resident"} {
			bytes, ratio := m[fmt.Sprintf(x.part, kind+"_bytes")], m[fmt.Sprintf(x.part, kind+"_ratio")]
			want(bytes >= 0 && ratio == bytes/capacity, "%s: ratio %v of %v bytes in %v", kind, ratio, bytes, capacity)
		}
	}
}

// rest is the pause between two looks, so that looking does not take the machine from what is looked at.
func rest(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Millisecond):
	}
}

// TestMetricsOfARun replays a trace while every node is scraped: both ends of the pages' way count the same, and every
// ratio fits the counters beside it.
func TestMetricsOfARun(t *testing.T) {
	const link = 1_000_000
	c := start(t, onePonem, fmt.Sprintf("nodes.p1.link_bytes_per_second=%d", link))
	w := workload(t, one(t, synthetic(t, "metrics", 2, 2048, 0, 200_000, true), 512, ""))

	// Two look at once: neither spoils the other's figures.
	ctx, cancel := context.WithCancel(background(t))
	var watch sync.WaitGroup
	var mu sync.Mutex
	most := map[string]float64{} // by node and metric
	for range 2 {
		watch.Go(func() {
			for ; ctx.Err() == nil; rest(ctx) {
				for _, id := range []string{"g1", "p1", "m1", "s1"} {
					m, err := c.scrape(id)
					if err != nil {
						t.Errorf("%s: %v", id, err)
						return
					}
					mu.Lock()
					checkUtilisation(t, id, m)
					for k, v := range m {
						most[id+" "+k] = max(most[id+" "+k], v)
					}
					mu.Unlock()
				}
			}
		})
	}
	s := c.run(w, nil)
	ok(t, s)
	// The window in which pages were moved ends after they were.
	seen := func() bool {
		mu.Lock()
		defer mu.Unlock()
		moved := most[`p1 node_link_utilisation_ratio{direction="in"}`] * link * most["p1 node_utilisation_window_seconds"]
		return moved > 100*4096 && most["p1 node_processor_utilisation_ratio"] > 0 && most["m1 node_processor_utilisation_ratio"] > 0 && most["g1 node_processor_utilisation_ratio"] > 0
	}
	for end := time.Now().Add(deadline); !seen() && time.Now().Before(end); rest(ctx) {
	}
	cancel()
	watch.Wait()
	if !seen() {
		t.Errorf("no window of the run shows its load: %v", most)
	}
	if r := most["p1 pcomponent_excache_resident_bytes"]; r < 512*4096 {
		t.Errorf("at most %v bytes of the ExCache were resident, want its 512 lines at least", r)
	}
	if r := most["m1 mcomponent_memory_resident_bytes"]; r < 1024*4096 {
		t.Errorf("at most %v bytes were resident at m1", r)
	}

	p, err := c.scrape("p1")
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.scrape("m1")
	if err != nil {
		t.Fatal(err)
	}
	if p["netlayer_peer_connects_total"] < 2 || p["node_link_capacity_bytes_per_second"] != link {
		t.Errorf("p1: %v connections to m1 and g1, link %v", p["netlayer_peer_connects_total"], p["node_link_capacity_bytes_per_second"])
	}
	for _, x := range []struct{ peer, server string }{{"in", "out"}, {"out", "in"}} {
		for _, name := range []string{"frames_total", "transferred_bytes_total"} {
			a := p[fmt.Sprintf(`netlayer_%s{direction="%s",kind="page",side="peer"}`, name, x.peer)]
			b := m[fmt.Sprintf(`netlayer_%s{direction="%s",kind="page",side="server"}`, name, x.server)]
			if a == 0 || a != b {
				t.Errorf("%s of pages: %v %s at p1's peers, %v %s at m1's server", name, a, x.peer, b, x.server)
			}
		}
	}
	// A page comes with each fetch, a header and 4 KiB; what goes back acknowledges or carries a flush.
	if in, least := p[`netlayer_transferred_bytes_total{direction="in",kind="page",side="peer"}`], float64(s.Total.FetchedBytes); in <= least || in > 1.2*least {
		t.Errorf("%v bytes came in for %v bytes of pages", in, least)
	}
	if v := p["pcomponent_accesses_total{op=\"read\"}"] + p["pcomponent_accesses_total{op=\"write\"}"]; v != float64(s.Total.Accesses) {
		t.Errorf("%v accesses, the report has %d", v, s.Total.Accesses)
	}
	if n, ok := p[`pcomponent_stalls_total{reason="flush_frames"}`]; !ok || n < 0 {
		t.Errorf("stalls are not exported: %v", n)
	}
	if p["pcomponent_excache_reserved_bytes"] != 0 || p["pcomponent_excache_resident_bytes"] != 0 {
		t.Errorf("the ended process still holds %v bytes, %v of them resident", p["pcomponent_excache_reserved_bytes"], p["pcomponent_excache_resident_bytes"])
	}
}

// own leaves of a page of metrics what is ours; what other libraries export is theirs.
func own(page string) string {
	var out strings.Builder
	for line := range strings.Lines(page) {
		if strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), "splitkernel_") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// lint has names, units and help texts of every role checked, by the library and by promtool.
func lint(t *testing.T, pages map[string]string) {
	promtool, missing := exec.LookPath("promtool")
	for id, page := range pages {
		problems, err := promlint.New(strings.NewReader(own(page))).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s: %s", id, p.Metric, p.Text)
		}
		if missing == nil {
			check := exec.Command(promtool, "check", "metrics")
			check.Stdin = strings.NewReader(own(page))
			if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s: promtool check metrics: %v\n%s", id, err, out)
			}
		}
	}
	if missing != nil {
		t.Skip("no promtool on the PATH: only the library has linted; install it with `apt-get install --no-install-recommends prometheus`")
	}
}

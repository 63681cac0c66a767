package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"splitkernel/configs"
	"splitkernel/sim/launcher"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

// scrapeEvery is how often the Prometheus of these tests looks.
const scrapeEvery = 250 * time.Millisecond

// watched is a cluster of which every role has a node.
const watched = `name: watched
transport: unix
region_bytes: 1MiB
nodes:
  - {id: g1, role: manager}
  - {id: p1, role: pcomponent}
  - {id: m1, role: mcomponent}
  - {id: m2, role: mcomponent}
  - {id: s1, role: scomponent}
`

// TestDashboards runs a workload on one cluster, has a node come, die, return and go, and looks at all that people see of it through Prometheus: the
// pages of metrics and their manual, the targets, the rules, and every query of every panel.
func TestDashboards(t *testing.T) {
	t.Parallel() // it waits more than it works
	_, missing := exec.LookPath("prometheus")
	c := startChanged(t, watched, nil, func(o *launcher.Options) {
		if missing == nil {
			o.Prometheus = &launcher.Prometheus{Addr: "127.0.0.1:0", Interval: scrapeEvery}
		}
	})
	began := time.Now()
	p := prometheusAPI{t: t}
	if _, err := c.Add(background(t), configs.NewNode{ID: "p2", Role: "pcomponent", Set: []string{"excache_bytes=64KiB"}}); err != nil {
		t.Fatal(err)
	}
	if missing == nil {
		// Prometheus gives itself some seconds before it takes note of targets.
		p.url = c.Prometheus().URL
		eventually(t, "Prometheus sees all nodes, that which was added included", func() bool { v, _ := p.now(`count(up{job="splitkernel"} == 1)`); return v == 6 })
	}
	c.checkTargets("g1", "p1", "m1", "m2", "s1", "p2")

	// The node that came dies, and returns when Prometheus has told of it; meanwhile a vNode runs at p1, for p2 is too small for it.
	if err := c.Kill("p2"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(background(t))
	defer cancel()
	var aside sync.WaitGroup
	pages := map[string]string{} // by node, p1's while its vNode runs
	aside.Go(func() {
		for ; ctx.Err() == nil; rest(ctx) {
			text, err := c.page("p1")
			if err != nil {
				t.Error(err)
				return
			}
			pages["p1"] = text
			if strings.Contains(text, `vnode_steps{vnode="sqlite"}`) { // the last that comes
				return
			}
		}
	})
	aside.Go(func() {
		const fires = `ALERTS{alertname="SplitkernelNodeDown",node="p2",alertstate="firing"}`
		for fired := missing != nil; !fired; rest(ctx) {
			found, err := p.ask(fires)
			if err != nil || ctx.Err() != nil {
				t.Errorf("no alert tells of the node that died: %v, %v", err, ctx.Err())
				return
			}
			fired = len(found) == 1
		}
		if err := c.Restart(ctx, "p2"); err != nil {
			t.Error(err)
		}
	})
	s := c.run(workload(t, "name: watched\nvnodes:\n  - {name: sqlite, trace: "+bundledTrace(t, "sqlite.skt")+", excache: {share_percent: 25}}\n"), nil)
	aside.Wait()
	ok(t, s)
	for _, n := range c.Nodes() {
		if n.ID != "p1" {
			text, err := c.page(n.ID)
			if err != nil {
				t.Fatal(err)
			}
			pages[n.ID] = text
		}
	}

	t.Run("MetricsPage", func(t *testing.T) { checkManual(t, pages) })
	t.Run("Lint", func(t *testing.T) { lint(t, pages) })
	t.Run("Cardinality", func(t *testing.T) { checkCardinality(t, pages) })
	c.checkTargets("g1", "p1", "m1", "m2", "s1", "p2") // p2 has another port
	if missing == nil {
		// What Prometheus counted is what the report says.
		for query, want := range map[string]uint64{
			`sum(splitkernel_pcomponent_accesses_total)`:                             s.Total.Accesses,
			`sum(splitkernel_pcomponent_hits_total)`:                                 s.Total.Hits,
			`sum(splitkernel_pcomponent_faults_total{kind="fetch"})`:                 s.Total.Fetches,
			`sum(splitkernel_pcomponent_fault_duration_seconds_count{kind="fetch"})`: s.Total.Fetches,
			`sum(splitkernel_pcomponent_flushes_total)`:                              s.Total.Flushes + s.Total.FinalFlushes,
		} {
			eventually(t, fmt.Sprintf("%s is %d", query, want), func() bool { v, known := p.now(query); return known && v == float64(want) })
		}
		eventually(t, "Prometheus sees the node that returned at another port", func() bool { v, known := p.now(`up{node="p2"}`); return known && v == 1 })
		t.Run("Rules", func(t *testing.T) { prometheusAPI{t, p.url}.checkRules(began) })
		t.Run("Panels", func(t *testing.T) { prometheusAPI{t, p.url}.checkPanels(began) })
	}
	if err := c.Remove(background(t), "p2"); err != nil {
		t.Fatal(err)
	}
	c.checkTargets("g1", "p1", "m1", "m2", "s1")
	if missing != nil {
		t.Skip("no prometheus on the PATH: no rule and no dashboard was looked at; install it with `apt-get install --no-install-recommends prometheus`")
	}
}

// checkTargets compares targets.json with the nodes of these ids.
func (c *cluster) checkTargets(ids ...string) {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(filepath.Dir(c.logs), "targets.json"))
	if err != nil {
		c.t.Fatal(err)
	}
	type group struct {
		Targets []string
		Labels  map[string]string
	}
	var is, want []group
	if err := json.Unmarshal(text, &is); err != nil {
		c.t.Fatal(err)
	}
	for _, n := range c.Nodes() {
		if slices.Contains(ids, n.ID) {
			want = append(want, group{[]string{n.Metrics}, map[string]string{"cluster": c.config.Name, "node": n.ID, "role": n.Role}})
		}
	}
	if len(want) != len(ids) || !reflect.DeepEqual(is, want) {
		c.t.Errorf("targets.json has %v, want %v", is, want)
	}
}

// bundledTrace is the path of a trace that comes with the program.
func bundledTrace(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "configs", "traces", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// page is what a node serves at /metrics.
func (c *cluster) page(id string) (string, error) {
	for _, n := range c.Nodes() {
		if n.ID == id {
			rep, err := http.Get("http://" + n.Metrics + "/metrics")
			if err != nil {
				return "", err
			}
			defer rep.Body.Close()
			text, err := io.ReadAll(rep.Body)
			return string(text), err
		}
	}
	return "", fmt.Errorf("no node %s", id)
}

// maxSeries is how many series a node may have, whatever the size of the cluster: a thousand make a million. docs/metrics.md promises it.
const maxSeries = 1000

// checkCardinality: no label is that of a peer, a page, a process or another component, and no node has more series than it may, the vNodes that a
// pComponent tells of included.
func checkCardinality(t *testing.T, pages map[string]string) {
	allowed := []string{"le", "op", "kind", "final", "reason", "outcome", "thing", "direction", "side", "manager", "resource", "event", "vnode"}
	pair := regexp.MustCompile(`([a-z_]+)="`)
	for id, page := range pages {
		series, names := 0, map[string]bool{}
		for line := range strings.Lines(page) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			series++
			if strings.HasPrefix(line, "splitkernel_") {
				for _, m := range pair.FindAllStringSubmatch(line, -1) {
					names[m[1]] = true
				}
			}
		}
		for name := range names {
			if !slices.Contains(allowed, name) {
				t.Errorf("%s has a label %s: say here and in docs/metrics.md why it is bounded", id, name)
			}
		}
		if id == "p1" { // one vNode runs; at most 33 names have series
			one := strings.Count(page, `vnode="sqlite"`)
			if one == 0 {
				t.Error("p1 says nothing of its vNode")
			}
			series += 32 * one
		}
		if series == 0 || series > maxSeries {
			t.Errorf("%s has %d series, at most %d", id, series, maxSeries)
		}
	}
}

// prometheusAPI asks a Prometheus.
type prometheusAPI struct {
	t   *testing.T
	url string
}

// series is one answer to a query.
type series struct {
	Metric map[string]string
	Value  [2]any
	Values [][2]any
}

// get asks for what lies at a path of the API.
func (p prometheusAPI) get(path string, form url.Values, into any) {
	p.t.Helper()
	if err := p.fetch(path, form, into); err != nil {
		p.t.Fatal(err)
	}
}

// fetch is get for other goroutines than the test's.
func (p prometheusAPI) fetch(path string, form url.Values, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/api/v1/"+path+"?"+form.Encode(), nil)
	if err != nil {
		return err
	}
	rep, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer rep.Body.Close()
	text, err := io.ReadAll(rep.Body)
	if err != nil || rep.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %v: %s %s %v", path, form, rep.Status, text, err)
	}
	return json.Unmarshal(text, &struct{ Data any }{into})
}

// ask gives what a query finds now.
func (p prometheusAPI) ask(query string) ([]series, error) {
	var d struct{ Result []series }
	err := p.fetch("query", url.Values{"query": {query}}, &d)
	return d.Result, err
}

// now gives the value of a query that has one series; false if it has none.
func (p prometheusAPI) now(query string) (float64, bool) {
	p.t.Helper()
	found, err := p.ask(query)
	if err != nil {
		p.t.Fatal(err)
	}
	if len(found) != 1 {
		return 0, false
	}
	return number(found[0].Value), true
}

func number(sample [2]any) float64 {
	text, _ := sample[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

// has reports whether a query has had a number at some time.
func (p prometheusAPI) has(query string, since time.Time) bool {
	p.t.Helper()
	stamp := func(at time.Time) string { return strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64) }
	var d struct{ Result []series }
	p.get("query_range", url.Values{"query": {query}, "start": {stamp(since)}, "end": {stamp(time.Now())}, "step": {"0.5"}}, &d)
	return slices.ContainsFunc(d.Result, func(s series) bool {
		return slices.ContainsFunc(s.Values, func(v [2]any) bool { return !math.IsNaN(number(v)) })
	})
}

// checkRules: every recording rule has recorded something, and no rule failed.
func (p prometheusAPI) checkRules(since time.Time) {
	var d struct {
		Groups []struct {
			Rules []struct{ Name, Type, Health, LastError string }
		}
	}
	p.get("rules", nil, &d)
	recorded := 0
	for _, g := range d.Groups {
		for _, r := range g.Rules {
			if r.Health != "ok" {
				p.t.Errorf("rule %s: %s %s", r.Name, r.Health, r.LastError)
			}
			if r.Type == "recording" {
				if recorded++; !p.has(r.Name, since) {
					p.t.Errorf("rule %s has recorded nothing", r.Name)
				}
			}
		}
	}
	if recorded == 0 {
		p.t.Error("there are no rules")
	}
}

var labelValues = regexp.MustCompile(`^label_values\((.*), ([a-z]+)\)$`)

// checkPanels runs every query of every panel as Grafana would, and asks for the choices of every variable. Each must have data.
func (p prometheusAPI) checkPanels(since time.Time) {
	files, err := filepath.Glob(filepath.Join("..", "..", "configs", "grafana", "dashboards", "*.json"))
	if err != nil || len(files) == 0 {
		p.t.Fatalf("no dashboards: %v", err)
	}
	asked := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			p.t.Fatal(err)
		}
		var d struct {
			Title      string
			Templating struct {
				List []struct {
					Name, Query string
					Multi       bool
				}
			}
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(text, &d); err != nil {
			p.t.Fatalf("%s: %v", file, err)
		}
		given := []string{"$__rate_interval", "2s"} // Grafana takes four scrapes at least
		for _, v := range d.Templating.List {
			m := labelValues.FindStringSubmatch(v.Query)
			if m == nil {
				p.t.Fatalf("%s: variable %s: %s", d.Title, v.Name, v.Query)
			}
			var values []string
			p.get("label/"+m[2]+"/values", url.Values{"match[]": {strings.NewReplacer(given...).Replace(m[1])}, "start": {strconv.FormatInt(since.Unix(), 10)}}, &values)
			if len(values) == 0 {
				p.t.Errorf("%s: variable %s has nothing to choose: %s", d.Title, v.Name, v.Query)
				values = []string{""}
			}
			chosen := values[0]
			if v.Multi {
				chosen = "(" + strings.Join(values, "|") + ")"
			}
			given = append(given, "$"+v.Name, chosen)
		}
		for _, panel := range d.Panels {
			for _, q := range panel.Targets {
				asked++
				if query := strings.NewReplacer(given...).Replace(q.Expr); !p.has(query, since) {
					p.t.Errorf("%s, %s: no data for\n%s", d.Title, panel.Title, query)
				}
			}
		}
	}
	p.t.Logf("%d queries on %d dashboards", asked, len(files))
}

// manualSections are the tables of docs/metrics.md, by what the names in them begin with.
var manualSections = []string{"node", "netlayer", "pcomponent", "mcomponent", "scomponent", "manager"}

// checkManual compares docs/metrics.md with what is served, or writes its tables anew.
func checkManual(t *testing.T, pages map[string]string) {
	const made = "go test ./sim/e2e -run TestDashboards -update"
	rows := map[string]bool{}
	for _, page := range pages {
		for _, row := range manualRows(own(page)) {
			rows[row] = true
		}
	}
	path := filepath.Join("..", "..", "docs", "metrics.md")
	is, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, placed := is, 0
	for _, section := range manualSections {
		begin := fmt.Appendf(nil, "<!-- metrics of %s: made by %s -->\n", section, made)
		end := fmt.Appendf(nil, "<!-- metrics of %s: end -->\n", section)
		before, rest, ok1 := bytes.Cut(want, begin)
		_, after, ok2 := bytes.Cut(rest, end)
		if !ok1 || !ok2 {
			t.Fatalf("%s lacks the comments round the table of %s", path, section)
		}
		table := "| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n"
		for _, row := range slices.Sorted(maps.Keys(rows)) {
			if strings.HasPrefix(row, "| `splitkernel_"+section+"_") {
				table += row + "\n"
				placed++
			}
		}
		want = slices.Concat(before, begin, []byte(table), end, after)
	}
	if placed != len(rows) || placed < 100 {
		t.Errorf("%d of %d metrics are in a section", placed, len(rows))
	}
	switch {
	case bytes.Equal(is, want):
	case !*update:
		t.Errorf("the tables of docs/metrics.md are not those of what is served: run %s", made)
	default:
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
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

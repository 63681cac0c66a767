package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"splitkernel/sim/node"
	"splitkernel/sim/replay"
)

// collected is a span as a collector has it.
type collected struct {
	node               string
	TraceID            string `json:"traceId"`
	SpanID             string `json:"spanId"`
	ParentSpanID       string `json:"parentSpanId"`
	Name               string `json:"name"`
	Kind               int    `json:"kind"`
	StartTimeUnixNano  string `json:"startTimeUnixNano"`
	EndTimeUnixNano    string `json:"endTimeUnixNano"`
	Status             struct{ Code int }
	startedAt, endedAt int64
}

// within reports whether a span lies in another in time.
func (c collected) within(o collected) bool {
	return o.startedAt <= c.startedAt && c.endedAt <= o.endedAt
}

// collector takes spans by OTLP over HTTP in JSON.
type collector struct {
	t      *testing.T
	mu     sync.Mutex
	traces map[string][]collected
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q struct {
		ResourceSpans []struct {
			Resource struct {
				Attributes []struct {
					Key   string
					Value struct{ StringValue string }
				}
			}
			ScopeSpans []struct{ Spans []collected }
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" {
		c.t.Errorf("%s %s of %s: %v", r.Method, r.URL.Path, r.Header.Get("Content-Type"), err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range q.ResourceSpans {
		who := ""
		for _, a := range rs.Resource.Attributes {
			if a.Key == "service.instance.id" {
				who = a.Value.StringValue
			}
		}
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				var err1, err2 error
				s.node = who
				s.startedAt, err1 = strconv.ParseInt(s.StartTimeUnixNano, 10, 64)
				s.endedAt, err2 = strconv.ParseInt(s.EndTimeUnixNano, 10, 64)
				if err1 != nil || err2 != nil || len(s.TraceID) != 32 || len(s.SpanID) != 16 || who == "" {
					c.t.Errorf("no span of the protocol: %+v", s)
				}
				c.traces[s.TraceID] = append(c.traces[s.TraceID], s)
			}
		}
	}
}

// all gives the traces whose first span has a name.
func (c *collector) all(name string) (out [][]collected) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, spans := range c.traces {
		for _, s := range spans {
			if s.ParentSpanID == "" && s.Name == name {
				out = append(out, spans)
			}
		}
	}
	return out
}

// find gives the span of a name and a kind that a node told.
func find(spans []collected, node, name string, kind int) (collected, bool) {
	for _, s := range spans {
		if s.node == node && s.Name == name && s.Kind == kind {
			return s, true
		}
	}
	return collected{}, false
}

// below gives a span of a kind that a node told and that another is the parent of.
func below(spans []collected, parent collected, node string, kind int) (collected, bool) {
	for _, s := range spans {
		if s.node == node && s.Kind == kind && parent.SpanID != "" && s.ParentSpanID == parent.SpanID {
			return s, true
		}
	}
	return collected{}, false
}

// The kinds of OTLP.
const (
	kindInternal = 1
	kindServer   = 2
	kindClient   = 3
)

// TestTraces replays a trace while a collector takes the spans of its faults and of its admission: a fault is a span at the pComponent, with the call in
// it, with what the mComponent did in that; an admission goes through four processes. The slowest faults of the run have all their time explained.
func TestTraces(t *testing.T) {
	got := &collector{t: t, traces: map[string][]collected{}}
	at := httptest.NewServer(got)
	defer at.Close()
	c := start(t, onePonem, "trace.otlp_endpoint="+at.URL, "trace.sample=50")
	spans := node.NewSpans(at.URL, c.ID(), "run", "client", slog.New(slog.NewTextHandler(io.Discard, nil)))
	s := c.run(workload(t, one(t, synthetic(t, "traced", 5, 2048, 0, 100_000, true), 256, "")), func(o *replay.RunOptions) { o.Net.Spans = spans })
	ok(t, s)
	spans.Close()

	eventually(t, "a fault with what its owner did", func() bool {
		for _, trace := range got.all("fault") {
			fault, ok1 := find(trace, "p1", "fault", kindInternal)
			call, ok2 := find(trace, "p1", "miss", kindClient)
			served, ok3 := find(trace, "m1", "miss", kindServer)
			if !ok1 || !ok2 || !ok3 {
				continue // a part is still on its way
			}
			if call.ParentSpanID != fault.SpanID || served.ParentSpanID != call.SpanID {
				t.Fatalf("not in each other: %+v", trace)
			}
			if !served.within(call) || !call.within(fault) {
				t.Fatalf("not within each other: %+v", trace)
			}
			return true
		}
		return false
	})
	eventually(t, "an admission through four processes", func() bool {
		for _, trace := range got.all("admission") {
			admission, ok1 := find(trace, "run", "admission", kindInternal)
			asked, ok2 := find(trace, "run", "propose", kindClient)
			propose, ok3 := below(trace, asked, "g1", kindServer)
			step, ok6 := below(trace, propose, "g1", kindClient) // of the transaction: to GMM, GSM or GPM
			started, ok4 := find(trace, "p1", "process_start", kindServer)
			opened, ok5 := find(trace, "m1", "process_open", kindServer)
			if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 {
				continue
			}
			ids := map[string]collected{}
			for _, x := range trace {
				ids[x.SpanID] = x
			}
			for _, x := range []collected{propose, step, started, opened} {
				up := x
				for up.ParentSpanID != "" {
					p, ok := ids[up.ParentSpanID]
					if !ok {
						return false // its parent is still on its way
					}
					up = p
				}
				if up.SpanID != admission.SpanID {
					t.Fatalf("%+v is not of the admission: %+v", x, trace)
				}
			}
			if !propose.within(admission) || !step.within(propose) {
				t.Fatalf("not within each other: %+v", trace)
			}
			return true
		}
		return false
	})
	if m, err := c.scrape("p1"); err != nil || m[`node_spans_total{outcome="sent"}`] == 0 {
		t.Errorf("p1 counts no spans: %v, %v", m[`node_spans_total{outcome="sent"}`], err)
	}

	if s.Slowest == nil || len(s.Slowest.Faults) == 0 {
		t.Fatal("the slowest faults were not kept")
	}
	timed := 0
	for i, f := range s.Slowest.Faults {
		sum, served := 0.0, false
		for _, g := range f.Stages {
			sum += g.Micros
			served = served || g.Name == "service"
		}
		if math.Abs(sum-f.Micros) > 0.1 || f.Micros <= 0 || f.AtSeconds < 0 || i > 0 && f.Micros > s.Slowest.Faults[i-1].Micros {
			t.Errorf("fault %d of %v µs is explained by %v", i, f.Micros, f)
		}
		if f.Timed && f.Kind == "fetch" {
			if timed++; !served || f.Owner != "m1" {
				t.Errorf("what m1 did is missing: %+v", f)
			}
		}
	}
	if timed == 0 {
		t.Errorf("no fetch among the slowest was timed: %+v", s.Slowest)
	}
}

// commandOf runs a command of the program to its end.
func commandOf(t *testing.T, dir string, args ...string) (stdout []byte) {
	t.Helper()
	cmd := exec.CommandContext(background(t), program, args...)
	cmd.Dir = dir
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("splitkernel %s: %v\n%s%s", strings.Join(args, " "), err, out, &said)
	}
	return out
}

// chain reports whether a trace has spans that are each below the one before, the first without a parent; steps are "node name kind", and any node may be meant by "*".
func chain(trace []collected, steps ...string) bool {
	at := []string{""}
	for _, step := range steps {
		var next []string
		for _, s := range trace {
			if slices.Contains(at, s.ParentSpanID) && (step == fmt.Sprintf("%s %s %d", s.node, s.Name, s.Kind) || step == fmt.Sprintf("* %s %d", s.Name, s.Kind)) {
				next = append(next, s.SpanID)
			}
		}
		if at = next; len(at) == 0 {
			return false
		}
	}
	return true
}

// TestTracesOfCommands has a cluster that is up make traces of block requests, of an admission that a command asked for and of a move of each kind: each goes through
// all the processes that have a part in it.
func TestTracesOfCommands(t *testing.T) {
	got := &collector{t: t, traces: map[string][]collected{}}
	at := httptest.NewServer(got)
	defer at.Close()
	dir := t.TempDir()
	cluster, blocks := filepath.Join(dir, "cluster.yaml"), filepath.Join(dir, "blocks.yaml")
	kept, pages := filepath.Join(dir, "kept.yaml"), filepath.Join(dir, "pages.yaml")
	for path, text := range map[string]string{
		cluster: strings.Replace(onePonem, "nodes:\n", "nodes:\n  - {id: p2, role: pcomponent}\n  - {id: m2, role: mcomponent}\n  - {id: s2, role: scomponent}\n", 1),
		blocks:  "name: blocks\nvnodes:\n  - {name: plain, trace: 'generator:block?size=16m&number_ios=100000000&rw=randrw&bs=4k&fsync=20', excache: {lines: 64}}\n",
		kept:    "name: kept\nvnodes:\n  - {name: kept, trace: 'generator:block?size=1m&number_ios=1000&rw=randrw&bs=4k&fsync=20', excache: {lines: 64}, volumes: [{name: disk, replicas: 2}]}\n",
		pages:   "name: pages\nvnodes:\n  - {name: zipf, trace: 'generator:zipf?pages=1100&refs=900000000', excache: {lines: 1024}}\n", // few faults: their spans would crowd out others
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	name := fmt.Sprintf("traces-%d", os.Getpid())
	commandOf(t, dir, "up", "--cluster", cluster, "--name", name, "--set", "trace.otlp_endpoint="+at.URL, "--set", "trace.sample=17")
	t.Cleanup(func() {
		down := exec.Command(program, "down", name)
		if out, err := down.CombinedOutput(); err != nil {
			t.Errorf("down: %v\n%s", err, out)
		}
	})
	begin(t, dir, "run", pages, "--on", name)
	begin(t, dir, "run", blocks, "--on", name)
	has := func(root string, steps ...string) {
		t.Helper()
		eventually(t, root+" through "+strings.Join(steps, ", "), func() bool {
			return slices.ContainsFunc(got.all(root), func(trace []collected) bool { return chain(trace, steps...) })
		})
	}
	commandOf(t, dir, "run", kept, "--on", name)
	has("block flush", "* block flush 1", "* block_flush 3", "* block_flush 2", "* replica_block_write 3", "* replica_block_write 2")
	has("block read", "* block read 1", "* block_read 3", "* block_read 2", "* block_read 3", "* block_read 2")
	has("block write", "* block write 1", "* block_write 3", "* block_write 2")
	has("block flush", "* block flush 1", "* block_flush 3", "* block_flush 2", "* block_write 3", "* block_write 2")
	has("block flush", "* block flush 1", "* block_flush 3", "* block_flush 2", "* block_flush 3", "* block_flush 2")

	commandOf(t, dir, "vnode", "create", "--on", name, "--trace", synthetic(t, "asked", 5, 64, 0, 1000, true))
	has("admission", "vnode admission 1", "g1 POST /vnodes 2", "g1 propose 3", "g1 propose 2")
	has("admission", "vnode admission 1", "vnode process_start 3", "* process_start 2", "* process_open 3", "* process_open 2")

	var list struct {
		VNodes []struct {
			PID     int
			Name    string
			Node    string
			Volumes []struct{ Volume int }
		}
	}
	if err := json.Unmarshal(commandOf(t, dir, "vnode", "list", "--on", name, "-o", "json"), &list); err != nil {
		t.Fatal(err)
	}
	for _, v := range list.VNodes {
		var moves [][]string
		switch pid := strconv.Itoa(v.PID); v.Name {
		case "zipf":
			to := map[string]string{"p1": "p2", "p2": "p1"}[v.Node]
			var d struct{ VRegions []struct{ VRegion int } }
			if err := json.Unmarshal(commandOf(t, dir, "vnode", "show", pid, "--on", name, "-o", "json"), &d); err != nil || len(d.VRegions) == 0 {
				t.Fatalf("vRegions of process %s: %+v, %v", pid, d, err)
			}
			moves = [][]string{{"process", pid, "--to", to}, {"home", pid}, {"vregion", pid, strconv.Itoa(d.VRegions[0].VRegion)}}
		case "plain":
			moves = [][]string{{"volume", strconv.Itoa(v.Volumes[0].Volume)}, {"buffer-cache", strconv.Itoa(v.Volumes[0].Volume)}}
		}
		for _, m := range moves {
			commandOf(t, dir, append(append([]string{"move"}, m...), "--wait", "60s", "--on", name)...)
		}
	}
	for kind, op := range map[string]string{"process": "process_copy", "home": "home_copy", "vregion": "region_copy_open", "volume": "volume_copy_open", "buffer_cache": "volume_attach"} {
		has("move", "g1 move 1", "g1 move_start 3", "* move_start 2", "* give "+kind+" 1", "* "+op+" 3", "* "+op+" 2")
	}
}

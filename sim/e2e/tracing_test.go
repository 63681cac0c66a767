package e2e

import (
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
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

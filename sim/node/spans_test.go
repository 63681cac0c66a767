package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"splitkernel/netlayer/span"
)

// until polls, or fails the test at its deadline.
func spansUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// locked is a log that goroutines write.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) lines() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), "\n")
}

// TestADeadCollectorHarmsNothing: what is told never waits, the queue is bounded, what it cannot hold and what nobody takes is counted, that is
// said once, and the exporter ends.
func TestADeadCollectorHarmsNothing(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"refuses":        func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) },
		"is not there":   nil,
		"closes at once": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			at := httptest.NewServer(h)
			if h == nil {
				at.Close()
			} else {
				defer at.Close()
			}
			said := &locked{}
			s := NewSpans(at.URL, "c", "p1", "pcomponent", slog.New(slog.NewTextHandler(said, nil)))
			const n = 3*spanQueue + 1
			for range n {
				s.Tell(span.Span{Trace: 7, ID: 1, Name: "miss"})
			}
			spansUntil(t, "a word that spans are lost", func() bool { return said.lines() > 0 })
			for range n {
				s.Tell(span.Span{Trace: 7, ID: 1, Name: "miss"})
			}
			s.Close()
			s.Close()
			if sent, dropped := s.Counts(); sent != 0 || dropped != 2*n {
				t.Errorf("%d spans were sent and %d dropped of %d, want none sent and all counted", sent, dropped, 2*n)
			}
			if said.lines() != 1 {
				t.Errorf("it was said %d times, want once", said.lines())
			}
		})
	}
}

// TestSpansAreThoseOfTheProtocol: every span arrives once, in batches that are bounded, with ids in hexadecimal, and none is lost at the end.
func TestSpansAreThoseOfTheProtocol(t *testing.T) {
	var mu sync.Mutex
	names := map[string]int{}
	var first []byte
	at := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		var q otlpRequest
		if err := errors.Join(err, json.Unmarshal(b, &q)); err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = b
		}
		spans := q.ResourceSpans[0].ScopeSpans[0].Spans
		if len(spans) > spanBatch {
			t.Errorf("%d spans in a request, want at most %d", len(spans), spanBatch)
		}
		for _, s := range spans {
			names[s.SpanID]++
		}
	}))
	defer at.Close()
	s := NewSpans(at.URL, "c-1", "m1", "mcomponent", slog.New(slog.DiscardHandler))
	const n = 2*spanBatch + 5
	moment := time.Unix(1_700_000_000, 42)
	for i := range n {
		s.Tell(span.Span{Trace: 9, ID: span.ID(i + 1), Parent: 3, Kind: span.Server, Name: "miss", Start: moment, End: moment.Add(1500), Err: "stale", Attrs: []span.Attr{{Key: "client.node", Text: "p1"}, {Key: "queue_ns", N: 12}}})
	}
	s.Close()
	mu.Lock()
	defer mu.Unlock()
	if sent, dropped := s.Counts(); sent != n || dropped != 0 || len(names) != n {
		t.Errorf("%d sent, %d dropped, %d arrived, want all of %d", sent, dropped, len(names), n)
	}
	want := `{"traceId":"` + traceID("c-1", 9) + `","spanId":"0000000000000001","parentSpanId":"0000000000000003","name":"miss","kind":2,` +
		`"startTimeUnixNano":"1700000000000000042","endTimeUnixNano":"1700000000000001542","attributes":[{"key":"client.node","value":{"stringValue":"p1"}},{"key":"queue_ns","value":{"intValue":"12"}}],` +
		`"status":{"code":2,"message":"stale"}}`
	if !bytes.Contains(first, []byte(want)) {
		t.Errorf("the first request is\n%.900s\nwant in it\n%s", first, want)
	}
	if a, b := traceID("c-1", 9), traceID("c-2", 9); a == b || len(a) != 32 {
		t.Errorf("trace ids %s and %s of two clusters", a, b)
	}
}

package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"splitkernel/netlayer/span"
)

// Bounds of the exporter of spans.
const (
	spanQueue    = 4096 // spans that wait to be sent; more are dropped, and counted
	spanBatch    = 512  // of one request
	spanInterval = 500 * time.Millisecond
	spanTimeout  = 2 * time.Second  // of a request
	spanPause    = 10 * time.Second // after a request that failed: what comes meanwhile is dropped when the queue is full
)

// Spans sends spans to a collector, in the JSON encoding of OTLP over HTTP (opentelemetry.io/docs/specs/otlp, version 1.5: POST of an
// ExportTraceServiceRequest, ids in hexadecimal, numbers of 64 bits as strings). A collector that does not answer costs the spans, and nothing
// else: it is said once, and again only after it had answered. Safe for concurrent use.
type Spans struct {
	url, cluster string
	resource     []otlpAttr
	log          *slog.Logger
	queue        chan span.Span
	client       http.Client
	sent         atomic.Uint64
	dropped      atomic.Uint64 // for lack of room, or of a collector
	silent       bool          // of the goroutine: the last request failed

	stop  chan struct{}
	once  sync.Once
	ended chan struct{}
}

// NewSpans begins to send what it is told to the OTLP/HTTP endpoint of a collector, "http://127.0.0.1:4318", to which /v1/traces is added. Close
// ends it. cluster is the id of the cluster, which all its processes know: the ids of traces follow from it.
func NewSpans(endpoint, cluster, node, role string, log *slog.Logger) *Spans {
	s := &Spans{
		url: endpoint + "/v1/traces", cluster: cluster, log: log, queue: make(chan span.Span, spanQueue), stop: make(chan struct{}), ended: make(chan struct{}),
		resource: []otlpAttr{text("service.name", "splitkernel"), text("service.namespace", cluster), text("service.instance.id", node), text("splitkernel.role", role)},
		client:   http.Client{Timeout: spanTimeout, Transport: &http.Transport{Proxy: nil, MaxIdleConns: 1}},
	}
	go s.run()
	return s
}

// Tell implements span.Sink.
func (s *Spans) Tell(x span.Span) {
	select {
	case s.queue <- x:
	default:
		s.dropped.Add(1)
	}
}

// Counts gives how many spans a collector took, and how many were dropped.
func (s *Spans) Counts() (sent, dropped uint64) { return s.sent.Load(), s.dropped.Load() }

// Close sends what waits, once, and ends.
func (s *Spans) Close() error {
	s.once.Do(func() { close(s.stop) })
	<-s.ended
	return nil
}

func (s *Spans) run() {
	defer close(s.ended)
	defer s.client.CloseIdleConnections()
	tick := time.NewTicker(spanInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.stop:
			for s.flush() {
			}
			s.dropped.Add(uint64(len(s.queue)))
			return
		}
		for s.flush() {
		}
		if s.silent {
			select {
			case <-time.After(spanPause):
			case <-s.stop:
				s.dropped.Add(uint64(len(s.queue)))
				return
			}
		}
	}
}

// flush sends a batch, and says whether there may be more.
func (s *Spans) flush() (more bool) {
	var batch []span.Span
	for len(batch) < spanBatch && len(s.queue) > 0 { // nobody else takes any
		batch = append(batch, <-s.queue)
	}
	if len(batch) == 0 {
		return false
	}
	if err := s.post(batch); err != nil {
		s.dropped.Add(uint64(len(batch)))
		if !s.silent {
			s.log.Warn("spans are lost: the collector does not take them; this is said once", "trace.otlp_endpoint", s.url, "error", err)
		}
		s.silent = true
		return false
	}
	s.sent.Add(uint64(len(batch)))
	s.silent = false
	return true
}

func (s *Spans) post(batch []span.Span) error {
	ctx, cancel := context.WithTimeout(context.Background(), spanTimeout)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(s.encode(batch)))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", "application/json")
	r, err := s.client.Do(q)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(r.Body, 512))
	if r.StatusCode/100 != 2 {
		return fmt.Errorf("HTTP status %d, want 200: %.200s", r.StatusCode, said)
	}
	return nil
}

// What follows is of the protocol, as far as it is used: opentelemetry/proto/trace/v1/trace.proto.
type (
	otlpRequest struct {
		ResourceSpans []otlpResourceSpans `json:"resourceSpans"`
	}
	otlpResourceSpans struct {
		Resource   otlpResource     `json:"resource"`
		ScopeSpans []otlpScopeSpans `json:"scopeSpans"`
	}
	otlpResource struct {
		Attributes []otlpAttr `json:"attributes"`
	}
	otlpScopeSpans struct {
		Scope otlpScope  `json:"scope"`
		Spans []otlpSpan `json:"spans"`
	}
	otlpScope struct {
		Name string `json:"name"`
	}
	otlpSpan struct {
		TraceID    string     `json:"traceId"`
		SpanID     string     `json:"spanId"`
		Parent     string     `json:"parentSpanId,omitempty"`
		Name       string     `json:"name"`
		Kind       span.Kind  `json:"kind"`
		Start      string     `json:"startTimeUnixNano"`
		End        string     `json:"endTimeUnixNano"`
		Attributes []otlpAttr `json:"attributes"`
		Status     otlpStatus `json:"status"`
	}
	otlpStatus struct {
		Code    int    `json:"code,omitempty"` // 2 is an error
		Message string `json:"message,omitempty"`
	}
	otlpAttr struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	otlpValue struct {
		String *string `json:"stringValue,omitempty"`
		Int    *string `json:"intValue,omitempty"`
	}
)

func text(key, v string) otlpAttr { return otlpAttr{key, otlpValue{String: &v}} }

func number(key string, n int64) otlpAttr {
	v := strconv.FormatInt(n, 10)
	return otlpAttr{key, otlpValue{Int: &v}}
}

func (s *Spans) encode(batch []span.Span) []byte {
	spans := make([]otlpSpan, len(batch))
	for i := range batch {
		x := &batch[i]
		o := otlpSpan{
			TraceID: traceID(s.cluster, x.Trace), SpanID: spanID(x.ID), Name: x.Name, Kind: x.Kind,
			Start: strconv.FormatInt(x.Start.UnixNano(), 10), End: strconv.FormatInt(x.End.UnixNano(), 10), Attributes: []otlpAttr{},
		}
		if x.Parent != 0 {
			o.Parent = spanID(x.Parent)
		}
		for _, a := range x.Attrs {
			if a.Text != "" {
				o.Attributes = append(o.Attributes, text(a.Key, a.Text))
			} else {
				o.Attributes = append(o.Attributes, number(a.Key, a.N))
			}
		}
		if x.Err != "" {
			o.Status = otlpStatus{2, x.Err}
		}
		spans[i] = o
	}
	b, err := json.Marshal(otlpRequest{[]otlpResourceSpans{{otlpResource{s.resource}, []otlpScopeSpans{{otlpScope{"splitkernel"}, spans}}}}})
	if err != nil {
		panic(err) // strings and numbers
	}
	return b
}

// traceID gives the id of a trace of a cluster as every process of it knows it.
func traceID(cluster string, trace uint32) string {
	sum := sha256.Sum256(binary.LittleEndian.AppendUint32([]byte(cluster), trace))
	return hex.EncodeToString(sum[:16])
}

func spanID(id span.ID) string { return fmt.Sprintf("%016x", uint64(id)) }

package observe

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"splitkernel/netlayer"
)

// Point is one series of a metric at one moment.
type Point struct {
	Labels string // as they stand in the text, braces included: `{kind="fetch"}`; empty without labels
	Value  float64
}

// Metrics are what a node serves at /metrics, by name.
type Metrics map[string][]Point

// Limits of a text of metrics.
const (
	maxMetricsBytes = 8 << 20
	maxLineBytes    = 64 << 10
)

// ParseMetrics reads the text format of Prometheus, of which it takes the lines of this program and of its process, without time stamps, which no
// node writes. The error names the line.
func ParseMetrics(r io.Reader) (Metrics, error) {
	m := Metrics{}
	lines := bufio.NewScanner(io.LimitReader(r, maxMetricsBytes))
	lines.Buffer(nil, maxLineBytes)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if !strings.HasPrefix(line, "splitkernel_") && !strings.HasPrefix(line, "process_") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		if i < 0 {
			return nil, fmt.Errorf("metrics, line %d: %.100q, want a name and a value", n, line)
		}
		v, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("metrics, line %d: %.100q: the value is no number", n, line)
		}
		name, labels := line[:i], ""
		if j := strings.IndexByte(name, '{'); j >= 0 {
			name, labels = name[:j], name[j:]
		}
		m[name] = append(m[name], Point{labels, v})
	}
	return m, lines.Err()
}

// sum adds the series of a metric whose labels contain each of some, as in `kind="fetch"`.
func (m Metrics) sum(name string, labels ...string) (v float64) {
	for _, p := range m[name] {
		if !slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(p.Labels, l) }) {
			v += p.Value
		}
	}
	return v
}

// label gives the value of a label, empty if it is not there. The values of this program have no quotes.
func (p Point) label(name string) string {
	_, rest, ok := strings.Cut(p.Labels, name+`="`)
	if !ok {
		return ""
	}
	v, _, _ := strings.Cut(rest, `"`)
	return v
}

// Reading is one answer of a node.
type Reading struct {
	At      time.Time
	Metrics Metrics
	Links   []netlayer.LinkUse
}

// startOf is when the process of a reading started, in seconds since 1970: counters begin again with another one.
func (r *Reading) startOf() float64 { return r.Metrics.sum("process_start_time_seconds") }

// span is what happened between two answers of a node.
type span struct {
	was, is *Reading
	seconds float64
	again   bool // the process of was has ended: counters began at 0
}

// spanOf gives the span from one reading to a later one; false if there is none.
func spanOf(was, is *Reading) (s span, ok bool) {
	if was == nil || is == nil || !is.At.After(was.At) {
		return s, false
	}
	return span{was, is, is.At.Sub(was.At).Seconds(), was.startOf() != is.startOf()}, true
}

// delta is by how much a counter has grown. One that fell has begun again.
func (s *span) delta(was, is float64) float64 {
	if s.again || is < was {
		return is
	}
	return is - was
}

// rate is the mean growth per second of the sum of counters.
func (s *span) rate(name string, labels ...string) float64 {
	return s.delta(s.was.Metrics.sum(name, labels...), s.is.Metrics.sum(name, labels...)) / s.seconds
}

// bucket is one of a histogram.
type bucket struct {
	le float64 // upper bound
	n  float64 // per second, not above the bound
}

// histogram gives what a histogram has counted per second, all its labels but le together, by bounds.
func (s *span) histogram(name string) []bucket {
	byBound := map[float64]float64{}
	was := map[string]float64{}
	for _, p := range s.was.Metrics[name+"_bucket"] {
		was[p.Labels] = p.Value
	}
	for _, p := range s.is.Metrics[name+"_bucket"] {
		le, err := strconv.ParseFloat(p.label("le"), 64)
		if err != nil {
			continue // no bucket
		}
		byBound[le] += s.delta(was[p.Labels], p.Value) / s.seconds
	}
	return bucketsOf(byBound)
}

func bucketsOf(byBound map[float64]float64) []bucket {
	out := make([]bucket, 0, len(byBound))
	for le, n := range byBound {
		out = append(out, bucket{le, n})
	}
	slices.SortFunc(out, func(a, b bucket) int {
		if a.le < b.le {
			return -1
		}
		return 1
	})
	return out
}

// mergeBuckets adds histograms, which have the same bounds.
func mergeBuckets(hs ...[]bucket) []bucket {
	byBound := map[float64]float64{}
	for _, h := range hs {
		for _, b := range h {
			byBound[b.le] += b.n
		}
	}
	return bucketsOf(byBound)
}

// quantile estimates the value below which a share q of the observations lies, as Prometheus does: evenly spread within a bucket. What lies
// above the last bound is told as that bound. Nil without observations.
func quantile(q float64, h []bucket) *float64 {
	if len(h) == 0 || h[len(h)-1].n <= 0 {
		return nil
	}
	rank, low, below := q*h[len(h)-1].n, 0.0, 0.0
	for i, b := range h {
		if b.n < rank {
			low, below = b.le, b.n
			continue
		}
		if math.IsInf(b.le, 1) {
			if i == 0 {
				return nil // there is no bound
			}
			return &low
		}
		v := b.le
		if b.n > below {
			v = low + (b.le-low)*(rank-below)/(b.n-below)
		}
		return &v
	}
	return &low
}

// ratio is a over b, nil if b is nothing.
func ratio(a, b float64) *float64 {
	if b <= 0 {
		return nil
	}
	v := a / b
	return &v
}

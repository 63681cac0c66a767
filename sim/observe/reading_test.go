package observe

import (
	"math"
	"strings"
	"testing"
	"time"
)

func metrics(t *testing.T, text string) Metrics {
	t.Helper()
	m, err := ParseMetrics(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMetricsAreRead(t *testing.T) {
	m := metrics(t, `# HELP splitkernel_x_total Things.
# TYPE splitkernel_x_total counter
splitkernel_x_total{kind="a",side="in"} 3
splitkernel_x_total{kind="b",side="in"} 4e+00
go_goroutines 7
process_start_time_seconds 12.5
`)
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"splitkernel_x_total", nil, 7},
		{"splitkernel_x_total", []string{`kind="b"`}, 4},
		{"splitkernel_x_total", []string{`kind="b"`, `side="out"`}, 0},
		{"process_start_time_seconds", nil, 12.5},
		{"go_goroutines", nil, 0}, // of no use here
	} {
		if got := m.sum(c.name, c.labels...); got != c.want {
			t.Errorf("%s %v: %v, want %v", c.name, c.labels, got, c.want)
		}
	}
	if got := m["splitkernel_x_total"][0].label("side"); got != "in" {
		t.Errorf("label side: %q", got)
	}
	for text, want := range map[string]string{
		"splitkernel_x\n":                     `line 1: "splitkernel_x", want a name and a value`,
		"# HELP\nsplitkernel_x{a=\"b\"} many": "line 2: \"splitkernel_x{a=\\\"b\\\"} many\": the value is no number",
	} {
		if _, err := ParseMetrics(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestRates(t *testing.T) {
	at := time.Unix(1000, 0)
	text := func(start, n string) Metrics {
		return metrics(t, "process_start_time_seconds "+start+"\nsplitkernel_n_total{k=\"a\"} "+n+"\nsplitkernel_n_total{k=\"b\"} 1\n")
	}
	for _, c := range []struct {
		name    string
		was, is *Reading
		want    float64 // per second; NaN: no span
	}{
		{"grows", &Reading{At: at, Metrics: text("1", "10")}, &Reading{At: at.Add(2 * time.Second), Metrics: text("1", "30")}, 10},
		{"stands", &Reading{At: at, Metrics: text("1", "10")}, &Reading{At: at.Add(time.Second), Metrics: text("1", "10")}, 0},
		{"falls: began again", &Reading{At: at, Metrics: text("1", "10")}, &Reading{At: at.Add(time.Second), Metrics: text("1", "4")}, 5},
		{"another process that counted further", &Reading{At: at, Metrics: text("1", "10")}, &Reading{At: at.Add(time.Second), Metrics: text("2", "40")}, 41},
		{"no time", &Reading{At: at, Metrics: text("1", "10")}, &Reading{At: at, Metrics: text("1", "40")}, math.NaN()},
		{"first", nil, &Reading{At: at, Metrics: text("1", "40")}, math.NaN()},
	} {
		s, ok := spanOf(c.was, c.is)
		if ok == math.IsNaN(c.want) {
			t.Errorf("%s: a span: %v", c.name, ok)
		} else if ok && s.rate("splitkernel_n_total") != c.want {
			t.Errorf("%s: %v/s, want %v", c.name, s.rate("splitkernel_n_total"), c.want)
		}
	}
}

func TestQuantiles(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		name string
		q    float64
		h    []bucket
		want float64 // NaN: none
	}{
		{"none", 0.5, nil, math.NaN()},
		{"no observation", 0.5, []bucket{{1, 0}, {inf, 0}}, math.NaN()},
		{"half of one bucket", 0.5, []bucket{{1, 0}, {2, 10}, {inf, 10}}, 1.5},
		{"first bucket begins at 0", 0.5, []bucket{{1, 10}, {inf, 10}}, 0.5},
		{"at a bound", 0.5, []bucket{{1, 5}, {2, 10}, {inf, 10}}, 1},
		{"over several", 0.9, []bucket{{1, 50}, {2, 80}, {4, 100}, {inf, 100}}, 3},
		{"above the last bound", 0.99, []bucket{{1, 5}, {2, 6}, {inf, 10}}, 2},
		{"only above", 0.5, []bucket{{inf, 10}}, math.NaN()},
	} {
		got := quantile(c.q, c.h)
		if (got == nil) != math.IsNaN(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		} else if got != nil && math.Abs(*got-c.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", c.name, *got, c.want)
		}
	}
}

// TestHistogramsMerge: two components, two kinds of fault, one of which began again.
func TestHistogramsMerge(t *testing.T) {
	hist := func(start string, a, b, c string) Metrics {
		return metrics(t, "process_start_time_seconds "+start+`
splitkernel_h_bucket{kind="x",le="1"} `+a+`
splitkernel_h_bucket{kind="y",le="1"} `+b+`
splitkernel_h_bucket{kind="x",le="+Inf"} `+c+`
`)
	}
	at := time.Unix(1000, 0)
	span1, _ := spanOf(&Reading{At: at, Metrics: hist("1", "5", "1", "9")}, &Reading{At: at.Add(2 * time.Second), Metrics: hist("1", "7", "5", "19")})
	span2, _ := spanOf(&Reading{At: at, Metrics: hist("1", "5", "1", "9")}, &Reading{At: at.Add(time.Second), Metrics: hist("2", "6", "0", "10")})
	got := mergeBuckets(span1.histogram("splitkernel_h"), span2.histogram("splitkernel_h"))
	want := []bucket{{1, 3 + 6}, {math.Inf(1), 5 + 10}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestRingKeepsTheLast(t *testing.T) {
	r := ring[int]{max: 3}
	for i := range 8 {
		r.put(i)
	}
	if got := r.all(); len(got) != 3 || got[0] != 5 || got[1] != 6 || got[2] != 7 {
		t.Errorf("%v, want 5 6 7", got)
	}
}

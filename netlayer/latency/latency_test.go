package latency

import (
	"math"
	"testing"
	"time"
)

func TestPercentiles(t *testing.T) {
	r := New("a", "b", "c")
	for i := 1; i <= 1000; i++ {
		r.Record(1, time.Duration(i)*time.Microsecond)
	}
	r.Record(2, time.Hour) // beyond the range
	r.Record(2, -1)
	got := map[string]float64{}
	for _, c := range r.Counters() {
		got[c.Name] = c.Value
	}
	for name, want := range map[string]float64{
		"a_max_us": 0, "a_p50_us": 0, "a_p95_us": 0, "a_p99_us": 0,
		"b_max_us": 1000, "b_p50_us": 500, "b_p95_us": 950, "b_p99_us": 990,
		"c_max_us": 600e6, "c_p50_us": 0.001,
	} {
		if v, ok := got[name]; !ok || math.Abs(v-want) > want*0.01 {
			t.Errorf("%s is %v, want %v within 1 %%", name, v, want)
		}
	}
	if len(got) != 12 {
		t.Errorf("%d counters, want 12", len(got))
	}
	if n := testing.AllocsPerRun(100, func() { r.Record(0, time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations per record", n)
	}
}

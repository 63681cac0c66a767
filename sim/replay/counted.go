package replay

import (
	"reflect"
	"strings"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/report"
)

// counterFields are the counters of a report by name.
var counterFields = func() map[string]int {
	fields := map[string]int{}
	t := reflect.TypeFor[report.Counters]()
	for i := range t.NumField() {
		if f := t.Field(i); f.Type.Kind() == reflect.Uint64 {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			fields[name] = i
		}
	}
	return fields
}()

// counted gives what a node counted between two answers: counters of the report as differences, the others as they are
// at the end.
// Latencies of block requests, which a component gives since its start, are taken as they are at the end.
func counted(before, after []wire.Counter) (report.Counters, map[string]float64) {
	old := map[string]float64{}
	for _, c := range before {
		old[c.Name] = c.Value
	}
	r := newMerge().counters()
	other := map[string]float64{}
	v := reflect.ValueOf(&r).Elem()
	for _, c := range after {
		if i, ok := counterFields[c.Name]; ok {
			n := c.Value - old[c.Name]
			if n < 0 { // it was restarted in between and counted from 0 again
				n = c.Value
			}
			v.Field(i).SetUint(uint64(n))
		} else if !blockLatency(&r, c) {
			other[c.Name] = c.Value
		}
	}
	for kind, n := range map[string]uint64{"read": r.BlockReads, "write": r.BlockWrites, "flush": r.BlockFlushes} {
		l := r.BlockLatency[kind]
		l.Count = n
		r.BlockLatency[kind] = l
	}
	return r, other
}

// blockLatency takes over a counter such as block_read_p99_us, and reports whether it is one.
func blockLatency(r *report.Counters, c wire.Counter) bool {
	rest, ok := strings.CutPrefix(c.Name, "block_")
	kind, which, ok2 := strings.Cut(rest, "_")
	l, ok3 := r.BlockLatency[kind]
	if !ok || !ok2 || !ok3 {
		return false
	}
	switch which {
	case "p50_us":
		l.P50 = c.Value
	case "p95_us":
		l.P95 = c.Value
	case "p99_us":
		l.P99 = c.Value
	case "max_us":
		l.Max = c.Value
	default:
		return false
	}
	r.BlockLatency[kind] = l
	return true
}

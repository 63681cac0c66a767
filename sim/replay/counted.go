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
func counted(before, after []wire.Counter) (report.Counters, map[string]float64) {
	old := map[string]float64{}
	for _, c := range before {
		old[c.Name] = c.Value
	}
	var r report.Counters
	other := map[string]float64{}
	v := reflect.ValueOf(&r).Elem()
	for _, c := range after {
		if i, ok := counterFields[c.Name]; ok {
			n := c.Value - old[c.Name]
			if n < 0 { // it was restarted in between and counted from 0 again
				n = c.Value
			}
			v.Field(i).SetUint(uint64(n))
		} else {
			other[c.Name] = c.Value
		}
	}
	return r, other
}

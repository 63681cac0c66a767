package cluster

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"splitkernel/sim/tasks"
)

// moment reads a time in a unit: whole, or with a decimal point.
func moment(what, text string, unit time.Duration) (time.Duration, error) {
	text = strings.TrimSpace(text)
	most := int64(math.MaxInt64 / int64(unit))
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= -most && n <= most {
		return time.Duration(n) * unit, nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !(math.Abs(x) < float64(most)) {
		return 0, fmt.Errorf("%s: %q, expected a time in units of %s", what, text, unit)
	}
	return time.Duration(math.Round(x * float64(unit))), nil
}

// amount reads a number of at least 0 times a unit.
func amount(what, text string, unit float64) (int64, error) {
	text = strings.TrimSpace(text)
	if unit == tasks.One {
		n, err := tasks.Billionths(text)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", what, err)
		}
		return n, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 && n <= int64(tasks.MaxAmount/unit) {
		return int64(float64(n) * unit), nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !(x >= 0 && x*unit <= tasks.MaxAmount) {
		return 0, fmt.Errorf("%s: %q, expected a number of 0 to %.0f", what, text, tasks.MaxAmount/unit)
	}
	return int64(x * unit), nil
}

// count reads a whole number of 0 to most.
func count(what, text string, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil || n > most {
		return 0, fmt.Errorf("%s: %q, expected a whole number of 0 to %d", what, text, most)
	}
	return n, nil
}

// between is what lies between two times.
func between(from, to time.Duration) (time.Duration, error) {
	if to < from {
		return 0, fmt.Errorf("it ends %s before it begins", from-to)
	}
	return to - from, nil
}

// find finds columns by name.
func find(names []string, want ...string) ([]int, error) {
	at := make([]int, len(want))
	for i, w := range want {
		at[i] = -1
		for k, n := range names {
			if n == w {
				at[i] = k
			}
		}
		if at[i] < 0 {
			return nil, fmt.Errorf("no column %q, expected %s", w, strings.Join(want, ", "))
		}
	}
	return at, nil
}

// names numbers names.
type names struct {
	of map[string]uint64
}

// number is that of a name, from 1; fresh says that it is a new one.
func (n *names) number(name string) (id uint64, fresh bool, err error) {
	if id, ok := n.of[name]; ok {
		return id, false, nil
	}
	if len(n.of) >= MaxNames {
		return 0, false, fmt.Errorf("more than %d names", MaxNames)
	}
	if n.of == nil {
		n.of = map[string]uint64{}
	}
	id = uint64(len(n.of)) + 1
	n.of[strings.Clone(name)] = id
	return id, true, nil
}

// parse collects the first error of several readings.
type parse struct{ err error }

func (p *parse) moment(what, text string, unit time.Duration) time.Duration {
	v, err := moment(what, text, unit)
	if p.err == nil {
		p.err = err
	}
	return v
}

func (p *parse) amount(what, text string, unit float64) int64 {
	v, err := amount(what, text, unit)
	if p.err == nil {
		p.err = err
	}
	return v
}

func (p *parse) count(what, text string, most uint64) uint64 {
	v, err := count(what, text, most)
	if p.err == nil {
		p.err = err
	}
	return v
}

func (p *parse) between(from, to time.Duration) time.Duration {
	v, err := between(from, to)
	if p.err == nil {
		p.err = err
	}
	return v
}

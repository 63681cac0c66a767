package cluster

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"splitkernel/sim/tasks"
)

// genericFormats read tables whose columns are named.
var genericFormats = []format{{
	name: "csv", about: "any table of tasks: columns by name, or by number from 1", example: "csv:start=submit,duration=seconds,cores-column=cpus,memory-column=mem,memory-unit=MiB", sample: "any table: its columns are named by whoever reads it",
	keys: []Key{
		{"start", "column of the time at which a task comes"}, {"end", "column of the time at which it ends"}, {"duration", "column of how long it lasts, instead of end"},
		{"cores-column", "column of the cores that it asks for (cores)"}, {"memory-column", "column of the memory (memory)"}, {"gpus-column", "column of the GPUs"}, {"priority", "column of the priority"},
		{"time-unit", "`ns`, `us`, `ms`, `s`, `min`, `h` or `d` (s)"}, {"cores-unit", "cores that a 1 is (1)"}, {"memory-unit", "bytes that a 1 is (1GiB)"}, {"sep", "`comma`, `semicolon`, `tab` or `blank` (comma)"},
		{"fractions", "`yes`: cores and memory are fractions of a machine"},
	},
	open: openCSV,
}}

var timeUnits = map[string]time.Duration{"ns": 1, "us": time.Microsecond, "ms": time.Millisecond, "s": time.Second, "min": time.Minute, "h": time.Hour, "d": 24 * time.Hour}

// named is a table by the settings of its spec.
type named struct {
	noEnd
	g             *group
	time          time.Duration
	cores, memory float64
	fractions     bool
	want          [7]string // columns as they are named; "" = none
	at            [7]int
	n, unended    uint64
}

// Columns of named.
const (
	colStart = iota
	colEnd
	colDuration
	colCores
	colMemory
	colGPUs
	colPriority
)

func openCSV(g *group) (parser, error) {
	c := &named{g: g, fractions: g.spec.key("fractions", "no") == "yes"}
	var ok bool
	if c.time, ok = timeUnits[g.spec.key("time-unit", "s")]; !ok {
		return nil, fmt.Errorf("--format: time-unit: %q, want ns, us, ms, s, min, h or d", g.spec.key("time-unit", "s"))
	}
	seps := map[string]byte{"comma": ',', "semicolon": ';', "tab": '\t', "blank": ' '}
	sep, ok := seps[g.spec.key("sep", "comma")]
	if !ok {
		return nil, fmt.Errorf("--format: sep: %q, want comma, semicolon, tab or blank", g.spec.key("sep", "comma"))
	}
	one, err := tasks.Billionths(g.spec.key("cores-unit", "1"))
	if err != nil {
		return nil, fmt.Errorf("--format: cores-unit: %w", err)
	}
	c.cores = float64(one)
	unit, err := Bytes(g.spec.key("memory-unit", "1GiB"))
	if err != nil {
		return nil, fmt.Errorf("--format: memory-unit: %w", err)
	}
	c.memory = float64(unit)
	c.want = [7]string{g.spec.key("start", "start"), g.spec.key("end", ""), g.spec.key("duration", ""), g.spec.key("cores-column", "cores"), g.spec.key("memory-column", "memory"), g.spec.key("gpus-column", ""), g.spec.key("priority", "")}
	if c.want[colEnd] != "" && c.want[colDuration] != "" {
		return nil, fmt.Errorf("--format: end and duration are both given, want one")
	}
	numbered := true
	for i, w := range c.want {
		c.at[i] = -1
		if w == "" {
			continue
		}
		n, err := strconv.Atoi(w)
		if err != nil || n < 1 || n > 1<<10 {
			numbered = false
			continue
		}
		c.at[i] = n - 1
	}
	return &lines{table: table{sep: sep, comment: "#", named: !numbered, numeric: max(c.at[colStart], 0), least: 1, most: 1 << 10}, rows: c, paths: g.paths}, nil
}

func (c *named) columns(names []string) error {
	for i, w := range c.want {
		if w == "" {
			continue
		}
		k := slices.Index(names, w)
		if n, err := strconv.Atoi(w); k < 0 && err == nil && n >= 1 && n <= len(names) {
			k = n - 1
		}
		if k < 0 {
			return fmt.Errorf("no column %q, expected one of %s", w, strings.Join(names, ", "))
		}
		c.at[i] = k
	}
	return nil
}

func (c *named) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	cell := func(col int) (string, bool) {
		i := c.at[col]
		if i < 0 {
			return "", false
		}
		if i >= len(f) {
			p.err = fmt.Errorf("%d columns, expected %d", len(f), i+1)
			return "", false
		}
		t := strings.TrimSpace(strings.Trim(f[i], `"`))
		return t, t != ""
	}
	e := tasks.Event{Kind: tasks.TaskComes, Lasts: tasks.Unknown}
	start, _ := cell(colStart)
	e.At = p.moment(c.want[colStart], start, c.time)
	if t, ok := cell(colEnd); ok {
		e.Lasts = p.between(e.At, p.moment(c.want[colEnd], t, c.time))
	} else if t, ok := cell(colDuration); ok {
		if e.Lasts = p.moment(c.want[colDuration], t, c.time); e.Lasts < 0 && p.err == nil {
			p.err = fmt.Errorf("%s: %q, expected at least 0", c.want[colDuration], t)
		}
	} else {
		c.unended++
	}
	t, _ := cell(colCores)
	e.Size.Cores = p.amount(c.want[colCores], t, c.cores)
	t, _ = cell(colMemory)
	if c.fractions {
		e.Size.Cores = fraction(e.Size.Cores, c.g.spec.Cores)
		e.Size.Memory = fraction(p.amount(c.want[colMemory], t, tasks.One), c.g.spec.Memory)
	} else {
		e.Size.Memory = p.amount(c.want[colMemory], t, c.memory)
	}
	if t, ok := cell(colGPUs); ok {
		e.Size.GPUs = p.amount(c.want[colGPUs], t, tasks.One)
	}
	if t, ok := cell(colPriority); ok {
		n, err := strconv.ParseInt(t, 10, 32)
		if err != nil && p.err == nil {
			p.err = fmt.Errorf("%s: %q, expected a whole number", c.want[colPriority], t)
		}
		e.Priority = int32(n)
	}
	c.n++
	e.ID = c.g.id(c.n)
	return append(out, e), p.err
}

func (c *named) header(h *Header) {
	h.Units.CoresAreFractions, h.Units.MemoryIsFraction = c.fractions && c.g.spec.Cores == 0, c.fractions && c.g.spec.Memory == 0
	h.counted(c.unended, "tasks: %d do not say when they end and stay")
}

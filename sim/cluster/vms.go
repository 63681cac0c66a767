package cluster

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"splitkernel/sim/tasks"
)

// vmFormats tell what virtual machines used over time: GWA-T-12 Bitbrains (Shen et al., CCGrid 2015), a file for each machine, and OpenDC's as CSV.
var vmFormats = []format{
	{
		name: "bitbrains", about: "Bitbrains GWA-T-12: use of one virtual machine in each file", example: "1376314846;1;2925.99;0.0;0.0;181352.8;0;0;0;0;0",
		sniff: func(h *head) bool { return strings.HasPrefix(h.first, "Timestamp [ms];") },
		keys:  []Key{{"every", "seconds between two lines, which the last one lasts (300)"}},
		open: text(table{sep: ';', named: true, least: 7, most: 13}, func(g *group) (rows, error) {
			every, err := moment("every", g.spec.key("every", "300"), time.Second)
			if err != nil {
				return nil, fmt.Errorf("--format: %w", err)
			}
			return &bitbrains{g: g, every: every}, nil
		}),
	},
	{
		name: "opendc-tasks", about: "OpenDC: tasks as CSV", example: "1019,1376314546000,2592252000,1,2926.0,181352", sample: "bitbrains-small.tasks.csv",
		sniff: func(h *head) bool {
			return h.names("id", "submission_time", "duration", "cpu_count", "cpu_capacity", "mem_capacity")
		},
		keys: []Key{{"memory-unit", "of mem_capacity (1KB, as in bitbrains-small)"}},
		open: text(table{sep: ',', named: true, least: 6, most: 6}, func(g *group) (rows, error) {
			unit, err := Bytes(g.spec.key("memory-unit", "1KB"))
			if err != nil {
				return nil, fmt.Errorf("--format: memory-unit: %w", err)
			}
			return &opendc{g: g, unit: unit}, nil
		}),
	},
	{
		name: "opendc-fragments", about: "OpenDC: fragments as CSV", example: "1019,300000,11.70399824", sample: "bitbrains-small.fragments.csv.gz", joins: "opendc-tasks",
		sniff: func(h *head) bool { return h.names("id", "duration", "cpu_usage") },
		open: text(table{sep: ',', named: true, least: 3, most: 4}, func(g *group) (rows, error) {
			if g.with == nil {
				return nil, fmt.Errorf("%s: fragments without their tasks, want the file of tasks (id, submission_time, …) beside it", g.paths[0])
			}
			return &openFragments{g: g}, nil
		}),
	},
}

// bitbrains has times in seconds, whatever its header says.
type bitbrains struct {
	g     *group
	every time.Duration
	at    []int
	n     uint64
	begun bool
	last  time.Duration
}

func (b *bitbrains) columns(names []string) (err error) {
	for i, n := range names {
		names[i] = strings.TrimSpace(n)
	}
	b.at, err = find(names, "Timestamp [ms]", "CPU cores", "CPU usage [%]", "Memory capacity provisioned [KB]", "Memory usage [KB]")
	b.n++
	b.begun = false
	return err
}

func (b *bitbrains) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	for _, c := range b.at {
		if c >= len(f) {
			return out, fmt.Errorf("%d columns, expected %d", len(f), c+1)
		}
	}
	var p parse
	at := p.moment("timestamp", f[b.at[0]], time.Second)
	asks := tasks.Size{Cores: p.amount("CPU cores", f[b.at[1]], tasks.One), Memory: p.amount("memory capacity", f[b.at[3]], 1<<10)}
	share := p.amount("CPU usage", f[b.at[2]], centi)
	uses := tasks.Size{Cores: tasks.Scaled(share, asks.Cores), Memory: p.amount("memory usage", f[b.at[4]], 1<<10)}
	if p.err != nil {
		return out, p.err
	}
	if b.begun && at < b.last {
		return out, fmt.Errorf("its time is %s before the one before it, expected times that do not run backwards", b.last-at)
	}
	id := b.g.id(b.n)
	if !b.begun {
		out = append(out, tasks.Event{Kind: tasks.TaskComes, At: at, ID: id, Size: asks, Lasts: tasks.Unknown})
	}
	b.begun, b.last = true, at
	return append(out, tasks.Event{Kind: tasks.TaskUses, At: at, ID: id, Size: uses}), nil
}

func (b *bitbrains) fileEnds(out []tasks.Event) []tasks.Event {
	if !b.begun {
		return out
	}
	b.begun = false
	return append(out, tasks.Event{Kind: tasks.TaskEnds, At: b.last + b.every, ID: b.g.id(b.n)})
}

func (b *bitbrains) header(h *Header) {
	h.assume("times: seconds (the header says ms); the last line of a machine lasts %s", b.every)
	h.assume("tasks: a machine asks for what its first line says")
}

type opendc struct {
	noEnd
	g    *group
	unit int64
	at   []int
	n    uint64
}

func (o *opendc) columns(names []string) (err error) {
	o.at, err = find(names, "submission_time", "duration", "cpu_count", "mem_capacity", "id", "cpu_capacity")
	return err
}

func (o *opendc) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	o.n++
	e := tasks.Event{
		Kind: tasks.TaskComes, ID: o.g.id(o.n), At: p.moment("submission_time", f[o.at[0]], time.Millisecond), Lasts: p.moment("duration", f[o.at[1]], time.Millisecond),
		Size: tasks.Size{Cores: p.amount("cpu_count", f[o.at[2]], tasks.One), Memory: p.amount("mem_capacity", f[o.at[3]], float64(o.unit))},
	}
	if p.err == nil && e.Lasts < 0 {
		return out, fmt.Errorf("duration %s, expected at least 0", e.Lasts)
	}
	if err := errors.Join(p.err, e.Size.Check()); err != nil || !o.g.wanted {
		return append(out, e), err
	}
	mhz, err := strconv.ParseFloat(f[o.at[5]], 64)
	if err != nil || !(mhz >= 0) {
		return out, fmt.Errorf("cpu_capacity %q, expected MHz of at least 0", f[o.at[5]])
	}
	return append(out, e), o.g.task(f[o.at[4]], e, mhz)
}

func (o *opendc) header(h *Header) {
	h.assume("memory: mem_capacity is in units of %d bytes (memory-unit)", o.unit)
	if o.g.with == nil && !o.g.wanted {
		h.assume("use over time: fragments are not among the files")
	}
}

// task keeps what the fragments of a task of OpenDC need.
func (g *group) task(name string, e tasks.Event, mhz float64) error {
	fresh, err := g.known.add(asked{id: e.ID, size: e.Size, next: e.At, mhz: mhz}, name)
	if err == nil && !fresh {
		err = fmt.Errorf("task %s is there twice", name)
	}
	return err
}

// fragment is what a task of OpenDC uses for a while; of memory it says nothing. Those of a task follow one another. Known is false of one of no task; one of no length is no
// event either.
func (r *register) fragment(name string, lasts time.Duration, mhz float64) (e tasks.Event, known bool, err error) {
	if !(mhz >= 0 && mhz < 1e9) {
		return e, true, fmt.Errorf("cpu_usage %v, expected MHz of at least 0", mhz)
	}
	a := r.find(name)
	if a == nil {
		return e, false, nil
	}
	if lasts < 0 || a.next+lasts < a.next {
		return e, true, fmt.Errorf("duration %s, expected at least 0 and an end that is a time", lasts)
	}
	e = tasks.Event{Kind: tasks.TaskUses, At: a.next, Lasts: lasts, ID: a.id}
	if a.mhz > 0 {
		e.Size.Cores = int64(mhz / a.mhz * float64(a.size.Cores))
	}
	a.next += lasts
	return e, true, nil
}

// fragmentHeader says how fragments were read.
func fragmentHeader(h *Header, stray uint64) {
	h.assume("use over time: fragments of a task follow one another from its submission on; MHz by cpu_capacity are the share of its processors; that of memory is not told")
	h.counted(stray, "use over time: %d fragments are of no task")
}

// openFragments are OpenDC's fragments as CSV.
type openFragments struct {
	noEnd
	g     *group
	at    []int
	stray uint64
}

func (o *openFragments) columns(names []string) (err error) {
	o.at, err = find(names, "id", "duration", "cpu_usage")
	return err
}

func (o *openFragments) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	lasts, err := moment("duration", f[o.at[1]], time.Millisecond)
	if err != nil {
		return out, err
	}
	mhz, err := strconv.ParseFloat(f[o.at[2]], 64)
	if err != nil {
		return out, fmt.Errorf("cpu_usage: %q, expected MHz", f[o.at[2]])
	}
	e, known, err := o.g.with.known.fragment(f[o.at[0]], lasts, mhz)
	if !known {
		o.stray++
	}
	if err != nil || e.Lasts == 0 {
		return out, err
	}
	return append(out, e), nil
}

func (o *openFragments) header(h *Header) { fragmentHeader(h, o.stray) }

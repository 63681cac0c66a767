package cluster

import (
	"fmt"
	"strings"
	"time"

	"splitkernel/sim/tasks"
)

// jobFormats are logs of jobs: the Standard Workload Format (Chapin et al., 1999; cs.huji.ac.il/labs/parallel/workload/swf.html) and SWIM's
// (Chen et al., MASCOTS 2011).
var jobFormats = []format{
	{
		name: "swim", about: "SWIM: MapReduce jobs by their bytes", example: "job0\t49\t49\t740773\t2339561\t627471", sample: "FB-2009_samples_24_times_1hr_0.tsv of SWIMProjectUCB/SWIM",
		sorted: true,
		sniff: func(h *head) bool {
			f := strings.Split(h.first, "\t")
			return (len(f) == 6 || len(f) == 7) && strings.HasPrefix(f[0], "job") && numbers(f, 1, 2, 3, 4, 5)
		},
		keys: []Key{{"task-cores", "cores of a task (1)"}, {"task-memory", "memory of a task (1GiB)"}, {"split", "bytes of input of a task (64MiB)"}, {"rate", "bytes that a task moves in a second (32MiB)"}},
		open: text(table{sep: '\t', numeric: 1, least: 6, most: 7}, openSWIM),
	},
	{
		name: "swf", about: "Standard Workload Format: jobs of parallel machines", example: "1 0 -1 1451 128 -1 -1 -1 -1 -1 -1 1 1 -1 -1 -1 -1 -1",
		sample: "NASA-iPSC-1993-3.1-cln.swf of cloudsimplus/cloudsimplus-examples",
		sniff: func(h *head) bool {
			f := strings.Fields(h.first)
			return len(f) == 18 && numbers(f, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17)
		},
		keys: []Key{{"task-memory", "memory of a processor's share of a job that does not say it (0)"}, {"begin", "`submit` or `start`: when a job comes (submit)"}},
		open: text(table{sep: ' ', comment: ";", numeric: 0, least: 18, most: 18}, openSWF),
	},
}

type swim struct {
	noColumns
	noEnd
	g           *group
	size        tasks.Size
	split, rate int64
	n           uint64
}

func openSWIM(g *group) (rows, error) {
	s := &swim{g: g}
	var err error
	keys := []struct {
		key, otherwise string
		to             *int64
	}{{"task-memory", "1GiB", &s.size.Memory}, {"split", "64MiB", &s.split}, {"rate", "32MiB", &s.rate}}
	for _, k := range keys {
		if *k.to, err = Bytes(g.spec.key(k.key, k.otherwise)); err != nil {
			return nil, fmt.Errorf("--format: %s: %w", k.key, err)
		}
	}
	if s.split == 0 || s.rate == 0 {
		return nil, fmt.Errorf("--format: split, rate: want more than 0")
	}
	if s.size.Cores, err = tasks.Billionths(g.spec.key("task-cores", "1")); err != nil {
		return nil, fmt.Errorf("--format: task-cores: %w", err)
	}
	return s, nil
}

func (s *swim) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	e := tasks.Event{Kind: tasks.TaskComes, At: p.moment("submit time", f[1], time.Second), Size: s.size}
	read := p.amount("map input", f[3], 1)
	bytes := float64(read) + float64(p.amount("shuffle", f[4], 1)) + float64(p.amount("output", f[5], 1))
	n := max((read+s.split-1)/s.split, 1)
	if n > MaxInstances {
		return out, fmt.Errorf("%d tasks of %d bytes, at most %d", n, s.split, MaxInstances)
	}
	if p.err != nil {
		return out, p.err
	}
	e.Lasts = time.Duration(bytes / float64(n) / float64(s.rate) * float64(time.Second))
	for range n {
		s.n++
		e.ID = s.g.id(s.n)
		out = append(out, e)
	}
	return out, nil
}

func (s *swim) header(h *Header) {
	h.assume("tasks: the format has bytes only; a job is a task for each %d bytes of input, of %g cores and %d bytes, that moves %d bytes/s", s.split, float64(s.size.Cores)/tasks.One, s.size.Memory, s.rate)
}

type swf struct {
	noColumns
	noEnd
	g         *group
	memory    int64
	start     bool
	n         uint64
	without   uint64
	nothingOf uint64
}

func openSWF(g *group) (rows, error) {
	s := &swf{g: g}
	var err error
	if s.memory, err = Bytes(g.spec.key("task-memory", "0")); err != nil {
		return nil, fmt.Errorf("--format: task-memory: %w", err)
	}
	b := g.spec.key("begin", "submit")
	if s.start = b == "start"; !s.start && b != "submit" {
		return nil, fmt.Errorf("--format: begin: %q, want submit or start", b)
	}
	return s, nil
}

func (s *swf) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	at := func(i int) (int64, bool) { // -1 is unknown
		if strings.HasPrefix(f[i], "-") {
			return 0, false
		}
		return p.amount(fmt.Sprintf("column %d", i+1), f[i], 1), true
	}
	e := tasks.Event{Kind: tasks.TaskComes, At: p.moment("submit time", f[1], time.Second), Size: tasks.Size{Cores: tasks.One, Memory: s.memory}}
	if wait, ok := at(2); ok && s.start {
		e.At += time.Duration(wait) * time.Second
	}
	runs, known := at(3)
	procs, ok := at(4)
	if !ok || procs == 0 {
		procs, ok = at(7)
	}
	memory, has := at(6)
	if !has {
		memory, has = at(9)
	}
	if p.err != nil {
		return out, p.err
	}
	if !known || !ok || procs == 0 {
		s.without++
		return out, nil
	}
	if procs > MaxInstances {
		return out, fmt.Errorf("%d processors, at most %d", procs, MaxInstances)
	}
	if has && memory > tasks.MaxAmount>>10 {
		return out, fmt.Errorf("%d KB of memory", memory)
	}
	if has {
		e.Size.Memory = memory << 10
	} else {
		s.nothingOf++
	}
	e.Lasts = time.Duration(runs) * time.Second
	for range procs {
		s.n++
		e.ID = s.g.id(s.n)
		out = append(out, e)
	}
	return out, nil
}

func (s *swf) header(h *Header) {
	h.assume("tasks: each processor of a job is a task of one core, which may be anywhere")
	h.counted(s.without, "tasks: %d jobs without a run time or processors are left out")
	h.counted(s.nothingOf, fmt.Sprintf("memory: %%d jobs do not say it; %d bytes for each processor (task-memory)", s.memory))
}

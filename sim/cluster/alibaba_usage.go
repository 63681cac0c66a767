package cluster

import (
	"path/filepath"
	"strings"
	"time"

	"splitkernel/sim/tasks"
)

// alibabaUsageFormats are the tables of what was used of cluster-trace-v2018 and cluster-trace-v2017 of alibaba/clusterdata, after their schemas. Two of 2017
// are nothing but numbers, which other tables are, too: they are recognised by their file names as well.
var alibabaUsageFormats = []format{
	{
		name: "alibaba2018-machine-usage", about: "Alibaba 2018: machine_usage", example: "m_1932,386640,41,92,,,43.04,33.08,5", sample: "alibaba_v2018_machine_usage_excerpt.csv",
		sniff: func(h *head) bool {
			f, ok := h.row(9)
			return ok && strings.HasPrefix(f[0], "m_") && numbers(f, 1, 2, 3, 4, 5, 6, 7, 8)
		},
		joins: "alibaba2018-machines",
		open: text(table{sep: ',', numeric: 1, least: 9, most: 9}, func(g *group) (rows, error) {
			return &aliMachineUse{g: g, machine: 0, at: 1, cores: 2, memory: 3}, nil
		}),
	},
	{
		name: "alibaba2018-container-usage", about: "Alibaba 2018: container_usage", example: "c_1,m_2556,386640,7,61,1.5,0.3,1,0.2,0.1,4",
		sniff: func(h *head) bool {
			f, ok := h.row(11)
			return ok && strings.HasPrefix(f[0], "c_") && strings.HasPrefix(f[1], "m_") && numbers(f, 2, 3, 4, 5, 6, 7, 8, 9, 10)
		},
		joins: "alibaba2018-containers",
		open: text(table{sep: ',', numeric: 2, least: 11, most: 11}, func(g *group) (rows, error) {
			return &aliContainerUse{g: g, container: 0, at: 2, cores: 3, memory: 4}, g.alone()
		}),
	},
	{
		name: "alibaba2018-instances", about: "Alibaba 2018: batch_instance", example: "ins_1,M1,j_1,1,Terminated,158478,158520,m_2556,1,1,50,75,0.1,0.2",
		sniff: func(h *head) bool {
			f, ok := h.row(14)
			return ok && numbers(f, 3, 5, 6, 8, 9, 10, 11, 12, 13) && !number(f[0]) && !number(f[4]) && f[4] != "" && (f[7] == "" || strings.HasPrefix(f[7], "m_"))
		},
		joins: "alibaba2018-tasks",
		open: text(table{sep: ',', numeric: 5, least: 14, most: 14}, func(g *group) (rows, error) {
			return &aliInstances{g: g, job: 2, task: 1, start: 5, end: 6, cores: 10, mostCores: 11, memory: 12, mostMemory: 13, coresUnit: centi, memoryUnit: centi}, nil
		}),
	},
	{
		name: "alibaba2017-machine-usage", about: "Alibaba 2017: server_usage", example: "39600,1,12.5,43.8,41.2,7.1,7.3,7.2",
		sniff: func(h *head) bool {
			f, ok := h.row(8)
			return ok && strings.Contains(filepath.Base(h.path), "server_usage") && numbers(f, 0, 1, 2, 3, 4, 5, 6, 7)
		},
		joins: "alibaba2017-machines",
		open: text(table{sep: ',', numeric: 0, least: 8, most: 8}, func(g *group) (rows, error) {
			return &aliMachineUse{g: g, numbered: true, machine: 1, at: 0, cores: 2, memory: 3}, nil
		}),
	},
	{
		name: "alibaba2017-container-usage", about: "Alibaba 2017: container_usage", example: "39600,7,4.5,61.2,11.5,0.3,0.3,0.2,1.2,0.4,1.9,0.8",
		sniff: func(h *head) bool {
			f, ok := h.row(12)
			return ok && strings.Contains(filepath.Base(h.path), "container_usage") && numbers(f, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
		},
		joins: "alibaba2017-containers",
		open: text(table{sep: ',', numeric: 0, least: 12, most: 12}, func(g *group) (rows, error) {
			return &aliContainerUse{g: g, container: 1, at: 0, cores: 2, memory: 3}, g.alone()
		}),
	},
	{
		name: "alibaba2017-instances", about: "Alibaba 2017: batch_instance", example: "6459,6524,3,4,112,Terminated,1,1,1.5,0.5,0.0079,0.0061",
		sniff: func(h *head) bool {
			f, ok := h.row(12)
			return ok && numbers(f, 0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11) && !number(f[5]) && f[5] != ""
		},
		joins: "alibaba2017-tasks",
		open: text(table{sep: ',', numeric: 0, least: 12, most: 12}, func(g *group) (rows, error) {
			return &aliInstances{g: g, job: 2, task: 3, start: 0, end: 1, cores: 9, mostCores: 8, memory: 11, mostMemory: 10, coresUnit: tasks.One, memoryUnit: tasks.One}, nil
		}),
	},
}

// shares reads percents of processors and memory; not ok are those that are empty or not of 0 to 100, as the traces mark what they do not know.
func shares(p *parse, cores, memory string) (s tasks.Size, ok bool) {
	for i, to := range []*int64{&s.Cores, &s.Memory} {
		text, what := []string{cores, memory}[i], []string{"cpu_util_percent", "mem_util_percent"}[i]
		if text == "" || strings.HasPrefix(text, "-") && number(text) {
			return s, false
		}
		if *to = p.amount(what, text, centi); *to > tasks.One {
			return s, false
		}
	}
	return s, true
}

// aliMachineUse is what of each machine was used, in percent.
type aliMachineUse struct {
	noColumns
	noEnd
	g                          *group
	numbered                   bool // machines have numbers, not names
	machine, at, cores, memory int  // columns
	invalid                    uint64
}

func (m *aliMachineUse) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	e := tasks.Event{Kind: tasks.MachineUses, At: p.moment("timestamp", f[m.at], time.Second)}
	var ok bool
	if e.Size, ok = shares(&p, f[m.cores], f[m.memory]); !ok || p.err != nil {
		m.invalid++
		return out, p.err
	}
	if m.numbered {
		e.ID.Job = p.count("machine", f[m.machine], 1<<62)
		return append(out, e), p.err
	}
	known := &m.g.known
	if m.g.with != nil {
		known = &m.g.with.known
	}
	id, _, err := known.number(f[m.machine])
	e.ID.Job = id
	return append(out, e), err
}

func (m *aliMachineUse) header(h *Header) {
	h.assume("use of machines: a reading stands until the next of the machine")
	h.counted(m.invalid, "use of machines: %d readings are no percents of 0 to 100 and are left out")
}

// aliContainerUse is what of that which it asks for each container used, in percent.
type aliContainerUse struct {
	noColumns
	noEnd
	g                            *group
	container, at, cores, memory int // columns
	invalid, stray               uint64
}

func (c *aliContainerUse) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	e := tasks.Event{Kind: tasks.TaskUses, At: p.moment("timestamp", f[c.at], time.Second)}
	share, ok := shares(&p, f[c.cores], f[c.memory])
	if !ok || p.err != nil {
		c.invalid++
		return out, p.err
	}
	var err error
	if e.ID, e.Size, ok, err = c.g.partOf(f[c.container], share); err != nil || !ok {
		c.stray++
		return out, err
	}
	return append(out, e), nil
}

// partOf is what a share of that which a task asks for comes to, and whose it is. Not ok is a name that the table of tasks does not have. Without that table the share
// is of what the spec says that 1.0 is.
func (g *group) partOf(name string, share tasks.Size) (id tasks.ID, s tasks.Size, ok bool, err error) {
	if g.with == nil {
		n, _, err := g.known.number(name)
		return g.id(n), tasks.Size{Cores: fraction(share.Cores, g.spec.Cores), Memory: fraction(share.Memory, g.spec.Memory)}, err == nil, err
	}
	a := g.with.known.find(name)
	if a == nil {
		return id, s, false, nil
	}
	return a.id, tasks.Size{Cores: tasks.Scaled(share.Cores, a.size.Cores), Memory: tasks.Scaled(share.Memory, a.size.Memory)}, true, nil
}

// shareHeader says what the shares of partOf are of.
func (g *group) shareHeader(h *Header) {
	if g.with != nil {
		return
	}
	h.Units.CoresAreFractions, h.Units.MemoryIsFraction = g.spec.Cores == 0, g.spec.Memory == 0
	h.assume("use over time: 1.0 is all that one of them has, which the table of %s would say (cores=N,memory=SIZE gives all the same)", g.format.joins)
}

func (c *aliContainerUse) header(h *Header) {
	c.g.shareHeader(h)
	h.assume("use over time: a reading is in percent of what a container asks for, and stands until the next")
	h.counted(c.invalid, "use over time: %d readings are no percents of 0 to 100 and are left out")
	h.counted(c.stray, "use over time: %d readings are of no container")
}

// aliInstances are the instances of batch tasks, with what each used. Each try of one is a task of its own.
type aliInstances struct {
	noColumns
	noEnd
	g                                                           *group
	job, task, start, end, cores, mostCores, memory, mostMemory int // columns
	coresUnit, memoryUnit                                       float64
	n, without, unasked, unused                                 uint64
}

func (a *aliInstances) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	begins, ends := p.moment("start", f[a.start], time.Second), p.moment("end", f[a.end], time.Second)
	if p.err != nil {
		return out, p.err
	}
	if begins <= 0 || ends < begins {
		a.without++ // never ran, or is not known to have ended
		return out, nil
	}
	e := tasks.Event{Kind: tasks.TaskComes, At: begins, Lasts: ends - begins}
	size := func(cores, memory int) tasks.Size {
		return tasks.Size{Cores: p.amount("cpu", f[cores], a.coresUnit), Memory: fraction(p.amount("memory", f[memory], a.memoryUnit), a.g.spec.Memory)}
	}
	var asks *asked
	if a.g.with != nil {
		asks = a.g.with.known.find(f[a.job], f[a.task])
	}
	tells := f[a.cores] != "" && f[a.memory] != ""
	switch {
	case asks != nil:
		asks.used = true
		e.Size = asks.size
	case f[a.mostCores] != "" && f[a.mostMemory] != "":
		a.unasked++
		e.Size = size(a.mostCores, a.mostMemory)
	default:
		a.unused++
		return out, nil
	}
	a.n++
	e.ID = a.g.id(a.n)
	out = append(out, e)
	switch {
	case !tells:
		a.unused++
	case e.Lasts > 0:
		out = append(out, tasks.Event{Kind: tasks.TaskUses, At: begins, Lasts: e.Lasts, ID: e.ID, Size: size(a.cores, a.memory)})
	}
	return out, p.err
}

func (a *aliInstances) header(h *Header) {
	aliHeader(a.g, h)
	h.assume("tasks: an instance of a batch task uses its average while it lasts; where it ran is not read")
	h.counted(a.unasked, "tasks: %d instances are of no batch task that is read and ask for the most that they used")
	h.counted(a.without, "tasks: %d instances without both times are left out")
	h.counted(a.unused, "tasks: %d instances do not say what they used")
}

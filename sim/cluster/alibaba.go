package cluster

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"splitkernel/sim/tasks"
)

const centi = tasks.One / 100

// alibabaFormats are cluster-trace-v2018 and cluster-trace-v2017 of alibaba/clusterdata, after their schemas.
var alibabaFormats = []format{
	{
		name: "alibaba2018-machines", about: "Alibaba 2018: machine_meta", example: "m_1,0,219,17,96,100,USING", sample: "alibaba_v2018_machine_meta_excerpt.csv",
		sniff: func(h *head) bool {
			f, ok := h.row(7)
			return ok && strings.HasPrefix(f[0], "m_") && numbers(f, 1, 2, 4, 5) && !number(f[6])
		},
		open: text(table{sep: ',', numeric: 1, least: 7, most: 7}, func(g *group) (rows, error) { return &ali18Machines{g: g}, nil }),
	},
	{
		name: "alibaba2018-tasks", about: "Alibaba 2018: batch_task", example: "M1,1,j_1,1,Terminated,158478,158545,100,0.3", sample: "batch_task.csv of abhinav269747/Capstone-cloud",
		sniff: func(h *head) bool {
			f, ok := h.row(9)
			return ok && numbers(f, 1, 5, 6, 7, 8) && !number(f[0]) && !number(f[4]) && f[4] != ""
		},
		open: text(table{sep: ',', numeric: 1, least: 9, most: 9}, func(g *group) (rows, error) {
			return &aliTasks{g: g, job: 2, task: 0, inst: 1, start: 5, end: 6, cores: 7, memory: 8, memoryUnit: centi}, nil
		}),
	},
	{
		name: "alibaba2018-containers", about: "Alibaba 2018: container_meta", example: "c_1,m_2556,0,app_5052,started,400,400,1.56",
		sniff: func(h *head) bool {
			f, ok := h.row(8)
			return ok && strings.HasPrefix(f[0], "c_") && numbers(f, 2, 5, 6, 7)
		},
		open: text(table{sep: ',', numeric: 2, least: 8, most: 8}, func(g *group) (rows, error) { return &ali18Containers{g: g}, nil }),
	},
	{
		name: "alibaba2017-tasks", about: "Alibaba 2017: batch_task", example: "6459,6524,3,4,15740,Terminated,50,0.007956928",
		sample: "batch_task.csv of PriyadarshiniDas/Workload-Prediction-of-Alibaba-Cluster-Dataset",
		sniff: func(h *head) bool {
			f, ok := h.row(8)
			return ok && numbers(f, 0, 1, 2, 3, 4, 6, 7) && !number(f[5]) && f[5] != ""
		},
		open: text(table{sep: ',', numeric: 0, least: 8, most: 8}, func(g *group) (rows, error) {
			return &aliTasks{g: g, job: 2, task: 3, inst: 4, start: 0, end: 1, cores: 6, memory: 7, memoryUnit: tasks.One}, nil
		}),
	},
	{
		name: "alibaba2017-machines", about: "Alibaba 2017: server_event", example: "0,1,add,,64,0.6899697150103833,1",
		sniff: func(h *head) bool {
			f, ok := h.row(7)
			return ok && numbers(f, 0, 1, 4, 5, 6) && (f[2] == "add" || strings.HasSuffix(f[2], "error"))
		},
		open: text(table{sep: ',', numeric: 0, least: 7, most: 7}, func(g *group) (rows, error) { return &ali17Machines{g: g}, nil }),
	},
	{
		name: "alibaba2017-containers", about: "Alibaba 2017: container_event", example: "0,Create,1,200,4,0.0848,0.0104,1|2|3|4",
		sniff: func(h *head) bool {
			f, ok := h.row(8)
			return ok && (f[1] == "Create" || f[1] == "Remove") && numbers(f, 0, 2, 3, 4, 5, 6)
		},
		open: text(table{sep: ',', numeric: 0, least: 8, most: 8}, func(g *group) (rows, error) { return &ali17Containers{g: g}, nil }),
	},
}

// aliHeader says how memory is counted: normalised to a machine.
func aliHeader(g *group, h *Header) {
	h.Units.MemoryIsFraction = g.spec.Memory == 0
	if g.spec.Memory == 0 {
		h.assume("memory: 1.0 is that of the largest machine (memory=SIZE says how much that is)")
	}
}

type ali18Machines struct {
	noColumns
	noEnd
	g *group
}

func (m *ali18Machines) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	id, _, err := m.g.known.number(f[0])
	if err != nil {
		return out, err
	}
	e := tasks.Event{Kind: tasks.MachineComes, ID: tasks.ID{Job: id}, At: p.moment("time_stamp", f[1], time.Second)}
	if f[6] != "USING" {
		e.Kind = tasks.MachineLeaves
		return append(out, e), p.err
	}
	if f[4] != "" {
		e.Size.Cores = p.amount("cpu_num", f[4], tasks.One)
	}
	if f[5] != "" {
		e.Size.Memory = fraction(p.amount("mem_size", f[5], centi), m.g.spec.Memory)
	}
	return append(out, e), p.err
}

func (m *ali18Machines) header(h *Header) {
	aliHeader(m.g, h)
	h.assume("machines: a status that is not USING is that of one that left")
}

// aliTasks are the batch tasks of both traces, each of several instances. If the table of instances is there, too, that says when each came and ended, and
// this one what it asked for.
type aliTasks struct {
	noColumns
	noEnd
	g                                          *group
	job, task, inst, start, end, cores, memory int // columns
	memoryUnit                                 float64
	n, without                                 uint64
}

func (a *aliTasks) size(p *parse, f []string) tasks.Size {
	return tasks.Size{Cores: p.amount("cpu", f[a.cores], centi), Memory: fraction(p.amount("memory", f[a.memory], a.memoryUnit), a.g.spec.Memory)}
}

func (a *aliTasks) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	if a.g.wanted {
		if f[a.cores] == "" || f[a.memory] == "" {
			a.without++
			return out, nil
		}
		size := a.size(&p, f)
		if err := errors.Join(p.err, size.Check()); err != nil {
			return out, err
		}
		_, err := a.g.known.add(asked{size: size}, f[a.job], f[a.task])
		return out, err
	}
	begins, ends := p.moment("start", f[a.start], time.Second), p.moment("end", f[a.end], time.Second)
	n := p.count("instances", f[a.inst], MaxInstances)
	if p.err != nil {
		return out, p.err
	}
	if f[a.cores] == "" || f[a.memory] == "" || begins <= 0 || ends < begins {
		a.without++ // never ran, or is not known to have ended
		return out, nil
	}
	e := tasks.Event{Kind: tasks.TaskComes, At: begins, Lasts: ends - begins, Size: a.size(&p, f)}
	if p.err != nil {
		return out, p.err
	}
	for range n {
		a.n++
		e.ID = a.g.id(a.n)
		out = append(out, e)
	}
	return out, nil
}

func (a *aliTasks) header(h *Header) {
	aliHeader(a.g, h)
	if a.g.wanted {
		h.counted(a.without, "tasks: %d lines of batch tasks have no request")
		var idle uint64
		for i := range a.g.known.rows {
			if !a.g.known.rows[i].used {
				idle++
			}
		}
		h.counted(idle, "tasks: %d batch tasks have no instance and are left out")
		return
	}
	h.assume("tasks: all instances of a batch task last as long as the task")
	h.counted(a.without, "tasks: %d lines without a request or without both times are left out")
}

type ali18Containers struct {
	noColumns
	noEnd
	g *group
}

func (c *ali18Containers) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	if c.g.known.find(f[0]) != nil {
		return out, nil
	}
	var p parse
	e := tasks.Event{
		Kind: tasks.TaskComes, ID: c.g.id(c.g.known.next()), Lasts: tasks.Unknown, Priority: 1, At: p.moment("time_stamp", f[2], time.Second),
		Size: tasks.Size{Cores: p.amount("cpu_request", f[5], centi), Memory: fraction(p.amount("mem_size", f[7], centi), c.g.spec.Memory)},
	}
	if err := errors.Join(p.err, e.Size.Check()); err != nil {
		return out, err
	}
	_, err := c.g.known.add(asked{id: e.ID, size: e.Size}, f[0])
	return append(out, e), err
}

func (c *ali18Containers) header(h *Header) {
	aliHeader(c.g, h)
	h.assume("containers: come with their first line and stay")
}

type ali17Machines struct {
	noColumns
	noEnd
	g *group
}

func (m *ali17Machines) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	e := tasks.Event{Kind: tasks.MachineComes, ID: tasks.ID{Job: p.count("machine", f[1], 1<<62)}, At: p.moment("timestamp", f[0], time.Second)}
	switch {
	case strings.HasSuffix(f[2], "error"):
		e.Kind = tasks.MachineLeaves
		return append(out, e), p.err
	case f[2] != "add":
		return out, fmt.Errorf("event %q, expected add, softerror or harderror", f[2])
	}
	e.Size = tasks.Size{Cores: p.amount("cpu", f[4], tasks.One), Memory: fraction(p.amount("memory", f[5], tasks.One), m.g.spec.Memory)}
	return append(out, e), p.err
}

func (m *ali17Machines) header(h *Header) {
	aliHeader(m.g, h)
	h.assume("machines: an error is the end of a machine")
}

type ali17Containers struct {
	noColumns
	noEnd
	g *group
}

func (c *ali17Containers) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	e := tasks.Event{Kind: tasks.TaskEnds, ID: c.g.id(p.count("instance", f[2], 1<<40)), At: p.moment("timestamp", f[0], time.Second)}
	switch {
	case f[1] == "Remove":
		return append(out, e), p.err
	case f[1] != "Create":
		return out, fmt.Errorf("event %q, expected Create or Remove", f[1])
	}
	e.Kind, e.Lasts, e.Priority = tasks.TaskComes, tasks.Unknown, 1
	e.Size = tasks.Size{Cores: p.amount("cpu", f[4], tasks.One), Memory: fraction(p.amount("memory", f[5], tasks.One), c.g.spec.Memory)}
	if err := errors.Join(p.err, e.Size.Check()); err != nil || !c.g.wanted {
		return append(out, e), err
	}
	_, err := c.g.known.add(asked{id: e.ID, size: e.Size}, f[2])
	return append(out, e), err
}

func (c *ali17Containers) header(h *Header) {
	aliHeader(c.g, h)
	h.assume("containers: come when they are created and stay until they are removed")
}

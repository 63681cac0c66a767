package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"splitkernel/sim/tasks"
)

// googleFormats are Google's cluster traces: clusterdata-2011-2 (Reiss et al., format + schema 2.1) and clusterdata-2019 (Wilkes, v3) as rows of JSON.
var googleFormats = []format{
	{
		name: "google2011-machines", about: "Google 2011: machine_events", example: "0,5,0,HofLGzk1Or/8Ildj2,0.5,0.2493", sorted: true,
		sample: "machine-events-sample-1.csv of cloudsimplus/cloudsimplus-examples (an excerpt edited by hand)",
		sniff: func(h *head) bool {
			f, ok := h.row(6)
			return ok && numbers(f, 0, 1, 2, 4, 5) && len(f[2]) == 1 && (f[3] == "" || !number(f[3]))
		},
		open: text(table{sep: ',', comment: "#", least: 6, most: 6}, func(g *group) (rows, error) { return &google11Machines{g: g}, nil }),
	},
	{
		name: "google2011-tasks", about: "Google 2011: task_events", example: "0,,3418309,0,4155527081,0,70s3v5qRyCO/1PCdI6fVXnrW8FU,3,9,0.125,0.07446,0.0004244,0", sorted: true,
		sample: "task-events-sample-1.csv of cloudsimplus/cloudsimplus-examples (an excerpt edited by hand)",
		sniff: func(h *head) bool {
			f, ok := h.row(13)
			return ok && numbers(f, 0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12)
		},
		keys: []Key{{"begin", "`schedule` or `submit`: when a task comes"}},
		open: text(table{sep: ',', comment: "#", least: 13, most: 13}, func(g *group) (rows, error) {
			b := g.spec.key("begin", "schedule")
			if b != "schedule" && b != "submit" {
				return nil, fmt.Errorf("--format: begin: %q, want schedule or submit", b)
			}
			return &google11Tasks{googleTasks{g: g, submit: b == "submit"}}, nil
		}),
	},
	{
		name: "google2011-usage", about: "Google 2011: task_usage", example: "600000000,900000000,3418309,0,4155527081,0.0015,0.0684,0.0773,0.0003,0.0008,0.0684,0.0001,0.0003,0.0397,0.0004,2.45,0.0072,0,1,0",
		sample: "task-usage-sample-1.csv of cloudsimplus/cloudsimplus-examples (an excerpt edited by hand)",
		sniff: func(h *head) bool {
			f, ok := h.row(20)
			if !ok {
				f, ok = h.row(19) // of the first release, which has no sampled use
			}
			return ok && numbers(f, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18) && f[2] != "" && f[3] != "" && (f[18] == "0" || f[18] == "1")
		},
		open: text(table{sep: ',', comment: "#", least: 19, most: 20}, func(g *group) (rows, error) { return &google11Usage{g: g}, nil }),
	},
	{
		name: "google2019", about: "Google 2019: rows of JSON, of machine_events, instance_events and instance_usage", example: `{"time":"0","machine_id":"5","type":"1","capacity":{"cpus":0.5,"memory":0.25}}`,
		sniff: func(h *head) bool {
			return strings.HasPrefix(h.first, "{") && strings.Contains(h.first, `"machine_id"`) && (strings.Contains(h.first, `"capacity"`) || strings.Contains(h.first, `"instance_index"`))
		},
		keys: []Key{{"begin", "`schedule` or `submit`: when a task comes"}},
		open: text(table{sep: '\x00', numeric: 1, least: 1, most: 1}, func(g *group) (rows, error) {
			b := g.spec.key("begin", "schedule")
			if b != "schedule" && b != "submit" {
				return nil, fmt.Errorf("--format: begin: %q, want schedule or submit", b)
			}
			return &google19{googleTasks: googleTasks{g: g, submit: b == "submit", whole: true}}, nil
		}),
	},
}

// googleTime is a time in µs, of which 0 is before the trace and the largest after it.
func googleTime(p *parse, text string) time.Duration {
	us := p.moment("time", text, 1)
	if us <= 0 {
		return beginning
	}
	if us > 1<<53 {
		us = 1 << 53
	}
	return us * time.Microsecond
}

func googleHeader(g *group, h *Header) {
	h.Units.CoresAreFractions, h.Units.MemoryIsFraction = g.spec.Cores == 0, g.spec.Memory == 0
	if g.spec.Cores == 0 || g.spec.Memory == 0 {
		h.assume("units: 1.0 is the largest machine of the trace (cores=N,memory=SIZE says what that is)")
	}
}

type google11Machines struct {
	noColumns
	noEnd
	g *group
}

func (m *google11Machines) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	e := tasks.Event{At: googleTime(&p, f[0]), ID: tasks.ID{Job: p.count("machine", f[1], 1<<62)}}
	switch f[2] {
	case "0":
		e.Kind = tasks.MachineComes
	case "1":
		e.Kind = tasks.MachineLeaves
		return append(out, e), p.err
	case "2":
		e.Kind = tasks.MachineChanges
	default:
		return out, fmt.Errorf("event %q, expected 0, 1 or 2", f[2])
	}
	for i, to := range []*int64{&e.Size.Cores, &e.Size.Memory} { // they may be missing
		if t := f[4+i]; t != "" {
			*to = fraction(p.amount("capacity", t, tasks.One), []int64{m.g.spec.Cores, m.g.spec.Memory}[i])
		}
	}
	return append(out, e), p.err
}

func (m *google11Machines) header(h *Header) { googleHeader(m.g, h) }

// googleTasks knows which tasks run, so that each comes once and ends once whatever events are missing.
type googleTasks struct {
	noColumns
	noEnd
	g       *group
	submit  bool
	whole   bool // several events of one kind do not matter: rows are not in order yet
	running map[tasks.ID]bool
	updates uint64
	again   uint64
}

// happens turns an event of the trace into one of ours: began and ended say what it is.
func (t *googleTasks) happens(e tasks.Event, submitted, scheduled, ended bool, out []tasks.Event) ([]tasks.Event, error) {
	if t.running == nil {
		t.running = map[tasks.ID]bool{}
	}
	switch begins := scheduled && !t.submit || submitted && t.submit; {
	case begins && t.running[e.ID]:
		t.again++
	case begins:
		if len(t.running) >= MaxNames {
			return out, fmt.Errorf("more than %d tasks at one time", MaxNames)
		}
		t.running[e.ID] = true
		e.Kind, e.Lasts = tasks.TaskComes, tasks.Unknown
		return append(out, e), nil
	case ended && t.running[e.ID]:
		delete(t.running, e.ID)
		return append(out, tasks.Event{Kind: tasks.TaskEnds, At: e.At, ID: e.ID}), nil
	case !submitted && !scheduled && !ended:
		t.updates++
	}
	return out, nil
}

func (t *googleTasks) header(h *Header) {
	googleHeader(t.g, h)
	if t.submit {
		h.assume("tasks: come when they are submitted")
	} else {
		h.assume("tasks: come when they are scheduled, once for each time (begin=submit takes the other)")
	}
	h.counted(t.updates, "tasks: %d updates of requests are not read")
	h.counted(t.again, "tasks: %d events that begin a task which has begun are not read")
}

type google11Tasks struct{ googleTasks }

func (t *google11Tasks) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	e := tasks.Event{At: googleTime(&p, f[0]), ID: tasks.ID{Job: p.count("job", f[2], 1<<62), Index: uint32(p.count("task", f[3], 1<<31))}}
	kind := p.count("event", f[5], 8)
	e.Priority = int32(p.count("priority", f[8], 1<<20))
	if f[9] != "" {
		e.Size.Cores = fraction(p.amount("cpu request", f[9], tasks.One), t.g.spec.Cores)
	}
	if f[10] != "" {
		e.Size.Memory = fraction(p.amount("memory request", f[10], tasks.One), t.g.spec.Memory)
	}
	if p.err != nil {
		return out, p.err
	}
	return t.happens(e, kind == 0, kind == 1, kind >= 2 && kind <= 6, out)
}

// google19 are rows of JSON. They come in no order; of one time, what ends comes first, so that a task which is evicted and scheduled again at one
// time does both.
type google19 struct {
	googleTasks
	unused uint64
}

// loose is a number that is written as one or as a string, as BigQuery does with those of 64 bits; "" if it is missing or null.
type loose string

func (l *loose) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "null" {
		text = ""
	}
	if len(text) > 40 {
		return errors.New("expected a number")
	}
	*l = loose(text)
	return nil
}

type google19Row struct {
	Time    loose `json:"time"`
	Start   loose `json:"start_time"` // of instance_usage
	End     loose `json:"end_time"`
	Average *struct {
		CPUs   loose `json:"cpus"`
		Memory loose `json:"memory"`
	} `json:"average_usage"`
	Type     loose `json:"type"`
	Machine  loose `json:"machine_id"`
	Job      loose `json:"collection_id"`
	Index    loose `json:"instance_index"`
	Priority loose `json:"priority"`
	Kind     loose `json:"collection_type"`
	Alloc    loose `json:"alloc_collection_id"`
	Request  *struct {
		CPUs   loose `json:"cpus"`
		Memory loose `json:"memory"`
	} `json:"resource_request"`
	Capacity *struct {
		CPUs   loose `json:"cpus"`
		Memory loose `json:"memory"`
	} `json:"capacity"`
}

// google19Types are the names of events, as some exports have them instead of numbers.
var google19Types = map[loose]loose{
	"SUBMIT": "0", "QUEUE": "1", "ENABLE": "2", "SCHEDULE": "3", "EVICT": "4", "FAIL": "5", "FINISH": "6", "KILL": "7", "LOST": "8", "UPDATE_PENDING": "9", "UPDATE_RUNNING": "10",
	"ADD": "1", "REMOVE": "2", "UPDATE": "3",
}

func (t *google19) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var r google19Row
	if err := json.Unmarshal([]byte(f[0]), &r); err != nil {
		return out, fmt.Errorf("%w, expected a row of JSON", err)
	}
	if n, ok := google19Types[r.Type]; ok {
		r.Type = n
	}
	var p parse
	if r.Start != "" {
		return t.usage(&r, out)
	}
	e := tasks.Event{At: googleTime(&p, string(r.Time))}
	kind := p.count("type", string(r.Type), 10)
	size := func(c, m loose) {
		if c != "" {
			e.Size.Cores = fraction(p.amount("cpus", string(c), tasks.One), t.g.spec.Cores)
		}
		if m != "" {
			e.Size.Memory = fraction(p.amount("memory", string(m), tasks.One), t.g.spec.Memory)
		}
	}
	if r.Job == "" {
		e.ID.Job = p.count("machine_id", string(r.Machine), 1<<63)
		if r.Capacity != nil {
			size(r.Capacity.CPUs, r.Capacity.Memory)
		}
		switch kind {
		case 1:
			e.Kind = tasks.MachineComes
		case 2:
			e.Kind, e.Size = tasks.MachineLeaves, tasks.Size{}
		case 3:
			e.Kind = tasks.MachineChanges
		default:
			return out, fmt.Errorf("type of a machine event %d, expected 1 to 3", kind)
		}
		return append(out, e), p.err
	}
	e.ID = tasks.ID{Job: p.count("collection_id", string(r.Job), 1<<63), Index: uint32(p.count("instance_index", string(r.Index), 1<<32-1))}
	if r.Priority != "" {
		prio, err := strconv.ParseInt(string(r.Priority), 10, 32)
		if err != nil {
			return out, fmt.Errorf("priority: %q, expected a whole number", r.Priority)
		}
		e.Priority = int32(prio)
	}
	if r.Request != nil {
		size(r.Request.CPUs, r.Request.Memory)
	}
	if p.err != nil {
		return out, p.err
	}
	// What runs in an alloc takes what the alloc has taken.
	if r.Alloc != "" && r.Alloc != "0" {
		t.updates++
		return out, nil
	}
	begins := kind == 3 && !t.submit || kind == 0 && t.submit
	switch {
	case begins:
		e.Kind, e.Lasts = tasks.TaskComes, tasks.Unknown
		return append(out, e), nil
	case kind >= 4 && kind <= 8:
		return append(out, tasks.Event{Kind: tasks.TaskEnds, At: e.At, ID: e.ID}), nil
	}
	if kind == 9 || kind == 10 {
		t.updates++
	}
	return out, nil
}

// usage is a row of instance_usage.
func (t *google19) usage(r *google19Row, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	if r.Average == nil || r.Average.CPUs == "" || r.Average.Memory == "" {
		t.unused++
		return out, nil
	}
	id := tasks.ID{Job: p.count("collection_id", string(r.Job), 1<<63), Index: uint32(p.count("instance_index", string(r.Index), 1<<32-1))}
	e := googleUse(&p, t.g, id, string(r.Start), string(r.End), string(r.Average.CPUs), string(r.Average.Memory))
	if e.Lasts > 0 {
		out = append(out, e)
	}
	return out, p.err
}

// googleUse is what a task uses in a window of time.
func googleUse(p *parse, g *group, id tasks.ID, start, end, cores, memory string) tasks.Event {
	e := tasks.Event{Kind: tasks.TaskUses, ID: id, At: googleTime(p, start)}
	begins := max(e.At, 0) // before the trace is as at its beginning
	e.Lasts = p.between(begins, max(googleTime(p, end), 0))
	e.Size = tasks.Size{Cores: fraction(p.amount("cpu usage", cores, tasks.One), g.spec.Cores), Memory: fraction(p.amount("memory usage", memory, tasks.One), g.spec.Memory)}
	return e
}

// google11Usage is task_usage.
type google11Usage struct {
	noColumns
	noEnd
	g      *group
	unused uint64
}

func (u *google11Usage) row(f []string, out []tasks.Event) ([]tasks.Event, error) {
	var p parse
	id := tasks.ID{Job: p.count("job", f[2], 1<<62), Index: uint32(p.count("task", f[3], 1<<31))}
	if f[5] == "" || f[6] == "" {
		u.unused++
		return out, p.err
	}
	e := googleUse(&p, u.g, id, f[0], f[1], f[5], f[6])
	if e.Lasts > 0 {
		out = append(out, e)
	}
	return out, p.err
}

func (u *google11Usage) header(h *Header) {
	googleHeader(u.g, h)
	googleUseHeader(h, u.unused)
}

func googleUseHeader(h *Header, unused uint64) {
	h.assume("use over time: a task uses its average of a window while that lasts")
	h.counted(unused, "use over time: %d rows do not say it")
}

func (t *google19) header(h *Header) {
	t.googleTasks.header(h)
	googleUseHeader(h, t.unused)
	h.assume("tasks: instances within an alloc are not read, for the alloc has what they take; what they use is")
}

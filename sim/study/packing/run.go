package packing

import (
	"fmt"
	"io"
	"time"

	"splitkernel/sim/tasks"
)

// task is one that is placed or waits.
type task struct {
	id         tasks.ID
	ask, uses  tasks.Size
	came       time.Duration
	began      time.Duration // when it was placed
	lasts      time.Duration
	at         place
	runs       bool
	waits      bool
	age        uint32 // of the slot: how often it was used
	prev, next int32  // of the tasks at one host, if machines come and go
}

// watchEvery is after how many events Run asks whether to go on.
const watchEvery = 1 << 13

// run is a run under way.
type run struct {
	o       Options
	site    *site
	now     time.Duration
	slots   []task
	unused  []int32
	byID    map[tasks.ID]int32
	ends    ends
	queue   queue
	first   []int32 // of the tasks at each host, if machines come and go
	machine map[tasks.ID]int
	m       *measures
	asked   tasks.Size // by the tasks that run
	used    tasks.Size
	runs    int
	r       Result
	waited  time.Duration // in all
}

// Run places a stream. watch, if not nil, is told now and then how many events there were; if it returns false the run ends there and the result is
// partial.
func Run(src tasks.Source, o Options, watch func(events uint64) bool) (*Result, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	r := &run{o: o, site: newSite(o), byID: map[tasks.ID]int32{}, machine: map[tasks.ID]int{}, m: newMeasures()}
	r.sample()
	for {
		e, err := src.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = r.happen(e)
		}
		if err != nil {
			return nil, err
		}
		if r.r.Events++; watch != nil && r.r.Events%watchEvery == 0 && !watch(r.r.Events) {
			r.r.Partial = true
			break
		}
	}
	r.finish(src.Units())
	return &r.r, nil
}

// happen does one event, after everything that ends until then.
func (r *run) happen(e tasks.Event) error {
	if r.o.Static && e.Kind != tasks.TaskComes {
		return nil
	}
	if r.o.Static {
		e.At, e.Lasts = 0, tasks.Unknown
	}
	if e.At < r.now {
		return fmt.Errorf("event %d is at %s, after one at %s", r.r.Events+1, e.At, r.now)
	}
	for len(r.ends) > 0 && r.ends[0].at <= e.At {
		r.now = max(r.now, r.ends[0].at)
		r.m.until(r.now)
		r.end(r.ends.pop())
		r.drain()
		r.sample()
	}
	r.now = e.At
	r.m.until(e.At)
	switch e.Kind {
	case tasks.TaskComes:
		if err := r.come(e); err != nil {
			return err
		}
	case tasks.TaskEnds:
		r.told(e.ID)
	case tasks.TaskUses:
		r.uses(e)
	case tasks.MachineUses: // of what it was that the trace had on a machine; here it is on another
	default:
		if err := r.machines(e); err != nil {
			return err
		}
	}
	r.drain()
	r.sample()
	return nil
}

func (r *run) come(e tasks.Event) error {
	r.r.Tasks++
	if r.site.tooLarge(e.Size) {
		r.r.Rejected.TooLarge++
		r.reject(e.Size, e.Lasts)
		return nil
	}
	if _, there := r.byID[e.ID]; there {
		return fmt.Errorf("task %d/%d comes again at %s and has not ended, expected ids that are used once at a time", e.ID.Job, e.ID.Index, e.At)
	}
	i, err := r.slot()
	if err != nil {
		return err
	}
	t := &r.slots[i]
	*t = task{id: e.ID, ask: e.Size, came: e.At, lasts: e.Lasts, age: t.age, prev: -1, next: -1}
	r.byID[e.ID] = i
	r.admit(i)
	return nil
}

// admit places a task, or has it wait, or rejects it.
func (r *run) admit(i int32) {
	t := &r.slots[i]
	if r.queue.n == 0 && r.begin(i) {
		return
	}
	if r.queue.n < r.o.Queue {
		t.waits = true
		r.queue.push(i)
		return
	}
	r.reject(t.ask, t.lasts)
	r.forget(i)
}

// begin places a task if it fits.
func (r *run) begin(i int32) bool {
	t := &r.slots[i]
	at, ok := r.site.put(t.ask)
	if !ok {
		return false
	}
	t.at, t.began, t.runs, t.waits = at, r.now, true, false
	if wait := r.now - t.came; wait > 0 {
		r.r.Waited.Tasks++
		r.waited += wait
		r.r.Waited.LongestSeconds = max(r.r.Waited.LongestSeconds, wait.Seconds())
	}
	r.r.Placed++
	r.runs++
	r.asked, r.used = r.asked.Plus(t.ask), r.used.Plus(t.uses)
	if t.lasts != tasks.Unknown {
		r.ends.push(end{at: later(r.now, t.lasts), slot: i, age: t.age})
	}
	if r.o.Layout.Own {
		r.link(i)
	}
	return true
}

// later is t + d, or the end of time.
func later(t, d time.Duration) time.Duration {
	if s := t + d; s >= t {
		return s
	}
	return 1<<63 - 1
}

// leave takes a task that runs from where it is.
func (r *run) leave(i int32) {
	t := &r.slots[i]
	if r.o.Layout.Own {
		r.unlink(i)
	}
	r.site.remove(t.ask, t.at)
	r.asked, r.used = r.asked.Minus(t.ask), r.used.Minus(t.uses)
	r.runs--
	t.runs = false
}

// end ends a task whose time is over, unless it was displaced meanwhile.
func (r *run) end(e end) {
	if t := &r.slots[e.slot]; t.age == e.age && t.runs {
		r.leave(e.slot)
		r.forget(e.slot)
	}
}

// told hears that the task of an unknown duration ended in the trace. If it began later here, because it waited, it ends as much later.
func (r *run) told(id tasks.ID) {
	i, ok := r.byID[id]
	if !ok {
		return // rejected
	}
	t := &r.slots[i]
	if t.lasts != tasks.Unknown {
		return
	}
	t.lasts = r.now - t.came
	if !t.runs {
		return
	}
	if at := later(t.began, t.lasts); at > r.now {
		r.ends.push(end{at: at, slot: i, age: t.age})
		return
	}
	r.leave(i)
	r.forget(i)
}

func (r *run) uses(e tasks.Event) {
	i, ok := r.byID[e.ID]
	if !ok {
		return
	}
	r.r.UsageKnown = true
	t := &r.slots[i]
	if t.runs {
		r.used = r.used.Plus(e.Size).Minus(t.uses)
	}
	t.uses = e.Size
}

// drain begins what waits, in the order of arrival, until one does not fit.
func (r *run) drain() {
	for r.queue.n > 0 && r.begin(r.queue.head()) {
		r.queue.pop()
	}
}

func (r *run) reject(ask tasks.Size, lasts time.Duration) {
	r.r.Rejected.Tasks++
	if lasts == tasks.Unknown {
		r.r.Rejected.OfUnknownDuration++
		return
	}
	r.r.Rejected.CoreHours += float64(ask.Cores) / tasks.One * lasts.Hours()
	r.r.Rejected.MemoryHours += float64(ask.Memory) * lasts.Hours()
}

// slot finds room for a task.
func (r *run) slot() (int32, error) {
	if n := len(r.unused); n > 0 {
		i := r.unused[n-1]
		r.unused = r.unused[:n-1]
		return i, nil
	}
	if len(r.slots) >= MaxLive {
		return 0, fmt.Errorf("more than %d tasks at one time", MaxLive)
	}
	r.slots = append(r.slots, task{})
	return int32(len(r.slots) - 1), nil
}

func (r *run) forget(i int32) {
	t := &r.slots[i]
	delete(r.byID, t.id)
	*t = task{age: t.age + 1, prev: -1, next: -1}
	r.unused = append(r.unused, i)
}

// sample takes the values as they are now.
func (r *run) sample() {
	var s sample
	h := r.site.hosts
	s[hostsPresent], s[hostsActive] = float64(h.present), float64(h.active)
	capacity, taken := h.capacity, h.taken
	if m := r.site.memory; m != nil {
		s[memoryPresent], s[memoryActive] = float64(m.present), float64(m.active)
		capacity, taken = capacity.Plus(m.capacity), taken.Plus(m.taken)
	}
	if g := r.site.gpus; g != nil {
		s[gpusPresent], s[gpusActive] = float64(g.present), float64(g.active)
		capacity, taken = capacity.Plus(g.capacity), taken.Plus(g.taken)
	}
	s[capacityCores], s[takenCores] = float64(capacity.Cores), float64(taken.Cores)
	s[capacityMemory], s[takenMemory] = float64(capacity.Memory), float64(taken.Memory)
	s[capacityGPUs], s[takenGPUs] = float64(capacity.GPUs), float64(taken.GPUs)
	s[askedMemory] = float64(r.asked.Memory)
	s[strandedCores], s[strandedMemory] = float64(h.stranded.Cores), float64(h.stranded.Memory)
	s[running], s[waiting] = float64(r.runs), float64(r.queue.n)
	s[usedCores], s[usedMemory] = float64(r.used.Cores), float64(r.used.Memory)
	r.m.set(&s)
}

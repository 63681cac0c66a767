package packing

import (
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/sim/tasks"
)

// list is a source of what is in it.
type list []tasks.Event

func (l *list) Next() (tasks.Event, error) {
	if len(*l) == 0 {
		return tasks.Event{}, io.EOF
	}
	e := (*l)[0]
	*l = (*l)[1:]
	return e, nil
}

func (l *list) Units() tasks.Units { return tasks.Units{} }

const hour = 3600 * time.Second

func comes(at, lasts time.Duration, id uint64, cores, memory int64) tasks.Event {
	return tasks.Event{Kind: tasks.TaskComes, At: at, Lasts: lasts, ID: tasks.ID{Job: id}, Size: tasks.Size{Cores: cores * tasks.One, Memory: memory}}
}

func servers(n int, policy string) Options {
	o := DefaultOptions()
	o.Policy = policy
	o.Layout.Server = Part{tasks.Size{Cores: 10 * tasks.One, Memory: 100}, n}
	return o
}

func must(t interface {
	Helper()
	Fatal(...any)
}, o Options, events ...tasks.Event) *Result {
	t.Helper()
	l := list(events)
	r, err := Run(&l, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9*max(1, math.Abs(want)) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// TestHoursByHand: two servers, three tasks, all sums worked out on paper.
func TestHoursByHand(t *testing.T) {
	r := must(t, servers(2, "first-fit"),
		comes(0, 2*hour, 1, 10, 20),     // fills the processors of the first server
		comes(0, 4*hour, 2, 2, 98),      // and this the memory of the second
		comes(1*hour, 1*hour, 3, 1, 10), // fits nowhere
		comes(2*hour, 2*hour, 4, 5, 50), // takes the place of the first
		comes(4*hour, hour, 5, 0, 0),
	)
	near(t, "span", r.Span, 4*3600)
	near(t, "utilisation of processors", r.Utilisation.Cores, (2*12+2*7)/80.0)
	near(t, "utilisation of memory", r.Utilisation.Memory, (2*118+2*148)/800.0)
	near(t, "stranded memory", r.Stranded.Memory, 2*80/800.0)
	near(t, "stranded processors", r.Stranded.Cores, 4*8/80.0)
	near(t, "peak", r.Peak.Memory, 148/200.0)
	near(t, "active", r.Hosts.MeanActive, 2)
	if r.Placed != 4 || r.Rejected.Tasks != 1 || r.Rejected.TooLarge != 0 || r.Rejected.CoreHours != 1 || r.Rejected.MemoryHours != 10 {
		t.Errorf("%+v", r)
	}
}

// TestQueueKeepsTheOrder: the head of the queue is not overtaken, and what waited ends as much later, whether its end is known or told.
func TestQueueKeepsTheOrder(t *testing.T) {
	o := servers(1, "first-fit")
	o.Queue = 2
	r := must(t, o,
		comes(0, 3*hour, 1, 6, 1),
		comes(hour, tasks.Unknown, 2, 8, 1),                                   // waits for 1
		comes(hour, hour, 3, 1, 1),                                            // would fit, but waits behind
		comes(hour, hour, 4, 1, 1),                                            // no room in the queue
		tasks.Event{Kind: tasks.TaskEnds, At: 2 * hour, ID: tasks.ID{Job: 2}}, // before it has begun: it lasts an hour
		comes(5*hour, hour, 5, 10, 1),
	)
	if r.Rejected.Tasks != 1 || r.Waited.Tasks != 2 || r.Waited.LongestSeconds != 7200 || r.Waited.MeanSeconds != 7200 || r.Placed != 4 {
		t.Errorf("%+v", r)
	}
	near(t, "utilisation", r.Utilisation.Cores, (3*6+9)/50.0)
}

// TestMachinesComeAndGo: tasks of a machine that leaves go on elsewhere with what they have left.
func TestMachinesComeAndGo(t *testing.T) {
	o := DefaultOptions()
	o.Layout = Layout{Own: true}
	machine := func(k tasks.Kind, at time.Duration, id uint64, cores int64) tasks.Event {
		return tasks.Event{Kind: k, At: at, ID: tasks.ID{Job: id}, Size: tasks.Size{Cores: cores * tasks.One, Memory: 100}}
	}
	r := must(t, o,
		machine(tasks.MachineComes, 0, 1, 10),
		comes(0, 4*hour, 1, 4, 40),
		machine(tasks.MachineComes, hour, 2, 4),
		machine(tasks.MachineLeaves, 2*hour, 1, 0), // 1 moves to machine 2
		comes(3*hour, hour, 2, 1, 1),               // no room
		machine(tasks.MachineUses, 3*hour, 2, 50),  // is no change of what it has
		machine(tasks.MachineChanges, 3*hour, 2, 5),
		comes(3*hour, hour, 3, 1, 1), // now there is
		comes(4*hour, hour, 4, 5, 1), // all have ended
	)
	if r.Displaced != 1 || r.Rejected.Tasks != 1 || r.Placed != 3 || r.Machines != 2 {
		t.Errorf("%+v", r)
	}
	near(t, "capacity", r.Hours.CoresThere, 10+14+4+5)
	near(t, "taken", r.Hours.CoresTaken, 4*4+1)
}

// TestPools: memory in regions over several components, the ExCache beside processors.
func TestPools(t *testing.T) {
	o := DefaultOptions()
	o.Policy = "first-fit"
	o.Layout = Layout{
		Pools: true, P: Part{tasks.Size{Cores: 10 * tasks.One, Memory: 30}, 1}, M: Part{tasks.Size{Memory: 100}, 2},
		ExCache: tasks.One / 4, Region: 10,
	}
	events := []tasks.Event{comes(0, 2*hour, 1, 1, 64), comes(0, 2*hour, 2, 1, 64), comes(2*hour, 0, 3, 1, 1)}
	r := must(t, o, events...)
	// 64 is rounded up to 70: one at the first, the other 70 at the second. ExCache 16 of 30: the second does not fit there.
	if r.Placed != 2 || r.Rejected.Tasks != 1 || r.MemoryHost.There != 2 {
		t.Errorf("%+v", r)
	}
	near(t, "overhead", r.Overhead, (70+16-64)/230.0)
	o.Layout.P.Size.Memory = 200
	r = must(t, o, append([]tasks.Event{comes(0, 2*hour, 9, 1, 60)}, events...)...)
	// 60 and 70 go to different ones; the third finds 40 and 30, so 70 in two pieces.
	if r.Rejected.Tasks != 0 || r.MemoryHost.PeakActive != 2 {
		t.Errorf("%+v", r)
	}
	o.Layout.Whole = true
	if r = must(t, o, append([]tasks.Event{comes(0, 2*hour, 9, 1, 60)}, events...)...); r.Rejected.Tasks != 1 {
		t.Errorf("in one piece: %+v", r)
	}
	o.Layout.Exclusive, o.Layout.Whole, o.Layout.Region = true, false, 0
	r = must(t, o, events...)
	near(t, "overhead of exclusive caches", r.Overhead, 0)
}

// TestNothingIsLost: whatever comes, in every layout and by every policy, hosts never have more than they have, and all is free in the end.
func TestNothingIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := servers(rapid.IntRange(0, 3).Draw(t, "servers"), rapid.SampledFrom(Policies()).Draw(t, "policy"))
		o.Queue = rapid.IntRange(0, 4).Draw(t, "queue")
		if rapid.Bool().Draw(t, "pools") {
			o.Layout = Layout{
				Pools: true, P: Part{tasks.Size{Cores: 10 * tasks.One, Memory: 50}, rapid.IntRange(0, 3).Draw(t, "p")},
				M: Part{tasks.Size{Memory: 60}, rapid.IntRange(0, 3).Draw(t, "m")}, ExCache: tasks.One / 2, Region: rapid.Int64Range(0, 20).Draw(t, "region"),
				Whole: rapid.Bool().Draw(t, "whole"), Exclusive: rapid.Bool().Draw(t, "exclusive"),
			}
		}
		r := &run{o: o, site: newSite(o), byID: map[tasks.ID]int32{}, machine: map[tasks.ID]int{}, m: newMeasures()}
		at := time.Duration(0)
		for i := range uint64(rapid.IntRange(1, 40).Draw(t, "tasks")) {
			at += time.Duration(rapid.IntRange(0, 3).Draw(t, "gap"))
			lasts := time.Duration(rapid.IntRange(-1, 9).Draw(t, "lasts"))
			if err := r.happen(comes(at, lasts, i, rapid.Int64Range(0, 12).Draw(t, "cores"), rapid.Int64Range(0, 120).Draw(t, "memory"))); err != nil {
				t.Fatal(err)
			}
			for _, p := range []*pool{r.site.hosts, r.site.memory} {
				check(t, p)
			}
		}
		for i := range uint64(40) {
			if err := r.happen(tasks.Event{Kind: tasks.TaskEnds, At: at, ID: tasks.ID{Job: i}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.happen(tasks.Event{Kind: tasks.TaskEnds, At: at + 10_000, ID: tasks.ID{Job: 99}}); err != nil {
			t.Fatal(err)
		}
		if r.runs != 0 || r.queue.n != 0 || r.site.hosts.taken != (tasks.Size{}) || r.site.hosts.active != 0 || r.asked != (tasks.Size{}) {
			t.Fatalf("%d run and %d wait at the end, %+v is taken", r.runs, r.queue.n, r.site.hosts.taken)
		}
		if r.r.Placed+r.r.Rejected.Tasks != r.r.Tasks {
			t.Fatalf("%d placed and %d rejected of %d", r.r.Placed, r.r.Rejected.Tasks, r.r.Tasks)
		}
	})
}

func check(t *rapid.T, p *pool) {
	if p == nil {
		return
	}
	var taken, stranded tasks.Size
	for i, f := range p.free {
		if !(tasks.Size{}).Fits(f) || !f.Fits(p.size[i]) {
			t.Fatalf("host %d has %+v free of %+v", i, f, p.size[i])
		}
		taken, stranded = taken.Plus(p.size[i].Minus(f)), stranded.Plus(p.strandedAt(i))
	}
	if taken != p.taken || stranded != p.stranded {
		t.Fatalf("taken %+v, stranded %+v, want %+v and %+v", p.taken, p.stranded, taken, stranded)
	}
}

// TestNeed: the smallest number is between the bound and what was opened, and one run with it rejects nothing.
func TestNeed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var events []tasks.Event
		for i := range uint64(rapid.IntRange(1, 60).Draw(t, "tasks")) {
			events = append(events, comes(time.Duration(i), time.Duration(rapid.IntRange(1, 30).Draw(t, "lasts")), i, rapid.Int64Range(1, 11).Draw(t, "cores"), rapid.Int64Range(1, 100).Draw(t, "memory")))
		}
		o := servers(0, rapid.SampledFrom(Policies()).Draw(t, "policy"))
		open := func() (tasks.Source, error) { l := list(slices.Clone(events)); return &l, nil }
		all, _, err := Need(open, o, nil)
		if err != nil {
			t.Fatal(err)
		}
		n := all[0]
		if n.Bound > n.Least || n.Bound > n.Opened || n.Least > n.Opened && (o.Policy == "first-fit" || o.Policy == "best-fit") {
			t.Fatalf("%+v", n)
		}
		if n.Least > 0 {
			o.Layout.Server.Count = n.Least
			if r := must(t, o, events...); r.Rejected.Tasks != r.Rejected.TooLarge {
				t.Fatalf("%+v rejects %d", n, r.Rejected.Tasks)
			}
		}
	})
}

// TestFaults: all are named.
func TestFaults(t *testing.T) {
	o := Options{Policy: "next-fit", Queue: -1, Full: -1, Layout: Layout{Pools: true, ExCache: 2 * tasks.One, Region: 5}}
	err := o.Validate()
	for _, want := range []string{"next-fit", "queue", "full", "pcomponent", "mcomponent", "excache", "region"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s in it", err, want)
		}
	}
	l := list{comes(5, 1, 1, 1, 1), comes(4, 1, 2, 1, 1)}
	if _, err := Run(&l, servers(1, "best-fit"), nil); err == nil || !strings.Contains(err.Error(), "event 2 is at 4ns, after one at 5ns") {
		t.Error(err)
	}
	l = list{comes(5, 5, 1, 1, 1), comes(6, 1, 1, 1, 1)}
	if _, err := Run(&l, servers(1, "best-fit"), nil); err == nil || !strings.Contains(err.Error(), "comes again") {
		t.Error(err)
	}
}

// TestEnergyByHand: what a server draws idle, for its processors and for its memory, on paper.
func TestEnergyByHand(t *testing.T) {
	o := servers(2, "first-fit")
	o.Layout.Server.Size.Memory = 100 << 30
	r := must(t, o, comes(0, hour, 1, 5, 1), comes(2*hour, hour, 2, 1, 1))
	v := func(x float64) Value { return Value{x, "by hand"} }
	p := Power{Server: Draw{v(100), v(300)}, MemoryPerGiB: v(0.5)}
	e := p.Energy(r, o.Layout)
	near(t, "idle", e.Idle, 2*2*100/1000.0)
	near(t, "processors", e.Cores, 0.5*200/1000)
	near(t, "memory", e.Memory, 2*2*100*0.5/1000)
	p.Off = true
	e = p.Energy(r, o.Layout)
	near(t, "idle of those that are on", e.Idle, 1*100/1000.0)
	near(t, "memory of those that are on", e.Memory, 100*0.5/1000)
	if err := p.Validate(); err == nil || !strings.Contains(err.Error(), "pcomponent.idle_watts: no source") {
		t.Error(err)
	}
}

// TestStops: what was done until then is there, and marked.
func TestStops(t *testing.T) {
	var l list
	for i := range uint64(3 * watchEvery) {
		l = append(l, comes(time.Duration(i), 1, i, 1, 1))
	}
	r, err := Run(&l, servers(1, "best-fit"), func(n uint64) bool { return n < 2*watchEvery })
	if err != nil || !r.Partial || r.Tasks != 2*watchEvery {
		t.Errorf("%+v, %v", r, err)
	}
}

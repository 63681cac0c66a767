package replay

import (
	"log/slog"
	"strings"
	"testing"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/pcomponent/excache"
	"splitkernel/sim/trace"
)

func newTestHost(t *testing.T) *Host {
	t.Helper()
	o := pcomponent.DefaultOptions()
	o.ID = "p1"
	o.Net.Cluster, o.Net.Role, o.Net.Node = "test", wire.RoleCompute, "p1"
	o.Net.DialTimeoutMS = 50
	c, err := pcomponent.New(o)
	if err != nil {
		t.Fatal(err)
	}
	h := NewHost(c, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return h
}

// TestHostForgetsTheOldest starts more processes than a host remembers, one after the other: none is refused, the first are
// forgotten, and of those that ended only the result is kept.
func TestHostForgetsTheOldest(t *testing.T) {
	h := newTestHost(t)
	spec := Spec{Epoch: 1, Name: "x", Trace: "missing", Threads: 1, Order: OrderTrace, Repeat: 1, RegionBytes: wire.PageSize, ExCache: excache.DefaultOptions()}
	spec.ExCache.Policy = "none such" // fails at once, before anything is asked of anybody
	const extra = 20
	for i := range MaxJobs + extra {
		spec.PID = wire.PID(i + 1)
		if r := h.Await(spec); !strings.Contains(r.Error, "none such") {
			t.Fatalf("process %d: %q", spec.PID, r.Error)
		}
	}
	if n := len(h.jobs); n > MaxJobs {
		t.Errorf("%d processes are remembered, at most %d", n, MaxJobs)
	}
	if _, err := h.job(1); wire.KindOf(err) != wire.KindNotFound {
		t.Errorf("the first process: %v", err)
	}
	j, err := h.job(MaxJobs + extra)
	if err != nil {
		t.Fatal(err)
	}
	if j.pages != nil || j.events.ring != nil || j.volumes != nil || j.proc.Load() != nil {
		t.Error("an ended process keeps what made its accesses")
	}
	if st := j.status(); st.State != StateFailed || st.Result == nil {
		t.Errorf("%+v", st)
	}
	if r := h.Await(spec); !strings.Contains(r.Error, "was started here before") {
		t.Errorf("started twice: %q", r.Error)
	}
}

// TestStopBeforeStart: a process that the managers ended before it was started does not start any more, and its runner learns why.
func TestStopBeforeStart(t *testing.T) {
	h := newTestHost(t)
	if err := h.Stop(t.Context(), wire.ProcessStopReq{PID: 1}); wire.KindOf(err) != wire.KindNotFound {
		t.Fatal(err)
	}
	for pid := range wire.PID(MaxJobs + 1) {
		if err := h.Stop(t.Context(), wire.ProcessStopReq{PID: pid + 2, Text: "preempted", WaitMS: 1000}); wire.KindOf(err) != wire.KindNotFound {
			t.Fatal(err)
		}
	}
	spec := Spec{PID: MaxJobs + 2, Epoch: 1, Name: "x", Trace: "missing", Threads: 1, Order: OrderTrace, Repeat: 1, RegionBytes: wire.PageSize, ExCache: excache.DefaultOptions()}
	if r := h.Await(spec); r.ErrorKind != wire.KindFailed || !strings.Contains(r.Error, "preempted") || len(h.barred) != MaxJobs {
		t.Fatalf("%+v, %d are remembered", r, len(h.barred))
	}
	spec.PID = 1                      // stopped by its runner, who may start it again
	spec.ExCache.Policy = "none such" // fails at once
	if r := h.Await(spec); strings.Contains(r.Error, "preempted") {
		t.Fatalf("%+v", r)
	}
}

// TestLengthOfAReplay: the header tells it, of all repetitions; a cut leaves references alone; what no header tells is known after a repetition.
func TestLengthOfAReplay(t *testing.T) {
	h := trace.Header{Refs: 100, BlockOps: 7}
	for _, c := range []struct {
		spec  Spec
		h     trace.Header
		steps uint64 // after 150 references and 9 block requests
		whole uint64
	}{
		{Spec{Repeat: 2}, h, 159, 214},
		{Spec{Repeat: 2, MaxRefs: 90}, h, 150, 180},
		{Spec{Repeat: 2, MaxRefs: 100}, h, 150, 200},
		{Spec{Repeat: 2, MaxRefs: 101}, h, 159, 214},
		{Spec{Repeat: 1}, h, 107, 107}, // never more than all
		{Spec{Repeat: 3, MaxRefs: 5}, trace.Header{BlockOps: 4}, 9, 12},
		{Spec{Repeat: 2}, trace.Header{}, 0, 0},
		{Spec{Repeat: 2, MaxRefs: 50}, trace.Header{}, 0, 0},
	} {
		p := &player{spec: c.spec}
		p.length.Store(c.spec.length(c.h))
		p.done.Store(150)
		p.requests.Store(9)
		if steps, whole := p.far(); steps != c.steps || whole != c.whole {
			t.Errorf("%+v of %+v: %d of %d steps, want %d of %d", c.spec, c.h, steps, whole, c.steps, c.whole)
		}
	}
	p := &player{spec: Spec{Repeat: 3}, issued: 150, at: place{Repeat: 1}}
	p.done.Store(150)
	p.requests.Store(9)
	p.learn()
	if steps, whole := p.far(); steps != 159 || whole != 3*159 {
		t.Errorf("after the first of three repetitions %d of %d steps, want 159 of %d", steps, whole, 3*159)
	}
}

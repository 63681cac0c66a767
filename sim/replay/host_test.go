package replay

import (
	"log/slog"
	"strings"
	"testing"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/pcomponent/excache"
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

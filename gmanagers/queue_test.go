package gmanagers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"splitkernel/gmanagers"
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/events"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// stopper is a component that only takes note of which processes it is told to stop.
type stopper struct {
	mu      sync.Mutex
	stopped map[wire.PID]string
}

func (*stopper) Inline(wire.Op) bool { return false }

func (s *stopper) Serve(_ context.Context, req *netlayer.Request, _ *netlayer.Reply) error {
	if req.Op != wire.OpProcessStop {
		return nil
	}
	var r wire.ProcessStopReq
	if err := wire.Unmarshal(req.Body, &r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped[r.PID] = r.Text
	return nil
}

func (s *stopper) text(pid wire.PID) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped[pid]
}

// serveAs serves h at m's address until the test ends.
func serveAs(t *testing.T, h netlayer.Handler, m wire.Member) {
	t.Helper()
	so := netlayer.DefaultServerOptions()
	so.Cluster, so.Role, so.Node = "test", m.Role, m.ID
	l, err := netlayer.Listen(netlayer.Addr(m.Addr))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- netlayer.NewServer(h, so).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// tight is a cluster with one component of each role: 100 lines, 8 vRegions and 8 pages of volumes; its pComponent notes what
// it is told to stop.
func tight(t *testing.T, edit func(*gmanagers.Options)) (*cluster, *client.Client, *stopper) {
	c := startCluster(t, func(o *gmanagers.Options) {
		o.Overcommit = 1
		if edit != nil {
			edit(o)
		}
	})
	cl := c.client()
	st := &stopper{stopped: map[wire.PID]string{}}
	for _, m := range []wire.Member{pcomponent(1, 100), mcomponent(1, 8<<20), scomponent(1, 8<<12)} {
		m.Addr = fmt.Sprintf("inproc:%s-%s", m.ID, c.peers[0].Addr[len("inproc:"):])
		serveAs(t, st, m)
		if _, err := cl.Register(within(t), m); err != nil {
			t.Fatal(err)
		}
	}
	return c, cl, st
}

// vnode is a spec in units of a cluster that tight makes.
func vnode(name string, lines, regions, pages uint64) admission.VNodeSpec {
	s := admission.VNodeSpec{Name: name, Threads: 1, ExCacheLines: lines, MemoryBytes: regions << 20, DeadlineMS: 1000 * uint32(failover.Seconds())}
	if pages > 0 {
		s.Volumes = []admission.VolumeSpec{{Name: name + "-v", SizeBytes: pages << 12}}
	}
	return s
}

func waiting(s admission.VNodeSpec, how admission.IfFull, priority uint8) admission.VNodeSpec {
	s.IfFull, s.Priority = how, priority
	return s
}

// admitted is an admission under way.
type admitted struct {
	p    admission.Placement
	err  error
	done chan struct{}
}

func admit(t *testing.T, cl *client.Client, s admission.VNodeSpec) *admitted {
	a := &admitted{done: make(chan struct{})}
	ctx := within(t)
	go func() {
		defer close(a.done)
		a.p, a.err = cl.Admit(ctx, s)
	}()
	t.Cleanup(func() { <-a.done })
	return a
}

func (a *admitted) must(t *testing.T) admission.Placement {
	t.Helper()
	<-a.done
	if a.err != nil {
		t.Fatal(a.err)
	}
	return a.p
}

// names gives the vNodes that wait, in order.
func names(t *testing.T, cl *client.Client) string {
	t.Helper()
	q, err := cl.Queue(within(t))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, w := range q {
		if w.WaitsFrom != 0 {
			out = append(out, w.Spec.Name)
		}
	}
	return strings.Join(out, " ")
}

// told returns the events of a manager of a kind.
func told(t *testing.T, cl *client.Client, g wire.Manager, kind events.Kind) []events.Event {
	t.Helper()
	var out []events.Event
	for since := uint64(0); ; {
		page, _, err := cl.Events(within(t), g, since, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return out
		}
		since = page[len(page)-1].Seq
		out = append(out, slices.DeleteFunc(page, func(e events.Event) bool { return e.Kind != kind })...)
	}
}

// TestQueue: what does not fit at any of the three managers waits and is admitted when there is room, the higher priority
// first; the leader of GPM ends meanwhile.
func TestQueue(t *testing.T) {
	t.Parallel()
	c, cl, _ := tight(t, nil)
	holds := admit(t, cl, vnode("holds", 90, 7, 7)).must(t)
	lines := admit(t, cl, waiting(vnode("lines", 50, 0, 0), admission.Queue, 0))
	until(t, "lines waits", func() bool { return names(t, cl) == "lines" })
	memory := admit(t, cl, waiting(vnode("memory", 1, 4, 0), admission.Queue, 9))
	until(t, "memory waits", func() bool { return names(t, cl) == "memory lines" })
	disk := admit(t, cl, waiting(vnode("disk", 1, 0, 4), admission.Queue, 5))
	until(t, "disk waits", func() bool { return names(t, cl) == "memory lines disk" })
	leader := -1
	until(t, "a leader is known", func() bool { leader = c.leader(wire.GPM); return leader >= 0 })
	c.crash(leader)
	c.start(leader)
	if got := names(t, cl); got != "memory lines disk" {
		t.Fatalf("after the leader's end %q wait", got)
	}
	if err := cl.Release(within(t), holds.PID); err != nil {
		t.Fatal(err)
	}
	for _, a := range []*admitted{lines, memory, disk} {
		if p := a.must(t); p.Home.Node != "m1" {
			t.Errorf("%+v", p)
		}
	}
	if b := settled(t, cl); len(b.Processes) != 3 {
		t.Fatalf("%+v", b.Processes)
	}
	for kind, want := range map[events.Kind][]string{
		events.Queued: {
			`vNode "lines", priority 5: excache_lines: vNode "lines" wants 50 at one pComponent: p1 has 10 of 100 free (40 short)`,
			`vNode "memory", priority 9: memory_bytes: `, `vNode "disk", priority 5: storage_bytes: volume "disk-v" wants 16384 at one sComponent: s1 has 4096 of 32768 free (12288 short)`,
		},
		events.Dequeued: {"", "", ""},
	} {
		got := told(t, cl, wire.GPM, kind)
		if len(got) < len(want) || kind == events.Queued && len(got) != len(want) {
			t.Fatalf("%v: %v", kind, got)
		}
		for i := range want {
			if !strings.HasPrefix(got[i].Reason, want[i]) {
				t.Errorf("%v %d: %s", kind, i, got[i])
			}
		}
	}
}

// TestQueueDeadline: who waits past its deadline is refused with what was short; whose caller is gone waits no more.
func TestQueueDeadline(t *testing.T) {
	t.Parallel()
	_, cl, _ := tight(t, nil)
	admit(t, cl, vnode("holds", 90, 1, 0)).must(t)
	late := waiting(vnode("late", 20, 0, 0), admission.Queue, 0)
	late.DeadlineMS = 100
	if _, err := cl.Admit(within(t), late); !errors.Is(err, wire.ErrNoRoom) || !has(err, "its deadline: excache_lines: vNode \"late\" wants 20 at one pComponent: p1 has 10 of 100 free (10 short)") {
		t.Fatal(err)
	}
	if e := told(t, cl, wire.GPM, events.Expired); len(e) != 1 || !strings.Contains(e[0].Reason, "10 short") {
		t.Fatalf("%v", e)
	}
	for try := 1; ; try++ {
		ctx, cancel := context.WithCancel(within(t))
		gone := make(chan error, 1)
		go func() {
			_, err := cl.Admit(ctx, waiting(vnode("gone", 20, 0, 0), admission.Queue, 0))
			gone <- err
		}()
		until(t, "gone waits", func() bool { return names(t, cl) == "gone" })
		cancel()
		err := <-gone
		if has(err, "waits no more") && errors.Is(err, wire.ErrTimeout) {
			break
		}
		if try == 50 || !has(err, "the outcome is unknown") {
			t.Fatal(err)
		}
		// It went before it was told its ticket, so nobody could give that up.
		q, err := cl.Queue(within(t))
		if err != nil || len(q) != 1 {
			t.Fatalf("%v %v", q, err)
		}
		if err := cl.Release(within(t), wire.PID(q[0].Ticket)); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, cl); got != "" {
		t.Fatalf("%s waits", got)
	}
}

// TestPreempt: the fewest vNodes of the lowest priority are ended, newest first, only if that makes room at all three
// managers, and their processes are stopped.
func TestPreempt(t *testing.T) {
	t.Parallel()
	_, cl, st := tight(t, nil)
	low := make([]admission.Placement, 3)
	for i := range low {
		low[i] = admit(t, cl, waiting(vnode(fmt.Sprint("low", i), 20, 2, 2), admission.Refuse, uint8(2+i/2))).must(t)
	}
	settled(t, cl) // those that are not known to run yet are nobody's victims
	if _, err := cl.Admit(within(t), waiting(vnode("equal", 60, 0, 0), admission.Preempt, 2)); !errors.Is(err, wire.ErrNoRoom) || !has(err, "ending vNodes of a priority below 2 would not make room") {
		t.Fatal(err)
	}
	if _, err := cl.Admit(within(t), waiting(vnode("huge", 10, 0, 9), admission.Preempt, 9)); !errors.Is(err, wire.ErrNoRoom) || !has(err, "the whole cluster has 32768 in 1 sComponents, at most 32768 in one, even empty") {
		t.Fatal(err)
	}
	if e := told(t, cl, wire.GPM, events.Preempted); len(e) != 0 {
		t.Fatalf("%v", e)
	}
	// 40 lines, 2 vRegions and 2 pages are free; one of the two of priority 2 is enough, and the newer goes.
	p := admit(t, cl, waiting(vnode("high", 50, 3, 3), admission.Preempt, 8)).must(t)
	e := told(t, cl, wire.GPM, events.Preempted)
	if len(e) != 1 || e[0].PID != low[1].PID || !strings.HasPrefix(st.text(low[1].PID), `preempted by vNode "high"`) {
		t.Fatalf("%v, told %q", e, st.text(low[1].PID))
	}
	if got := e[0].String(); !strings.Contains(got, fmt.Sprintf("among process %d (priority 2, ended), process %d (priority 2, spared), process %d (priority 3, spared): ", low[1].PID, low[0].PID, low[2].PID)) {
		t.Error(got)
	}
	b := settled(t, cl)
	if len(b.Processes) != 3 || b.Processes[2].PID != p.PID {
		t.Fatalf("%+v", b.Processes)
	}
	if err := cl.Release(within(t), low[1].PID); !errors.Is(err, wire.ErrNotFound) {
		t.Fatalf("release of what was preempted: %v", err)
	}
}

// TestQuota: a tenant gets no more than its quota; what can never be is refused, the rest may wait for its own tenant.
func TestQuota(t *testing.T) {
	t.Parallel()
	_, cl, _ := tight(t, func(o *gmanagers.Options) {
		o.ThreadsPerCore = 2
		o.Quotas = []admission.Quota{{Tenant: "batch", ExCacheLines: 50, VNodes: 2}, {Tenant: admission.EveryTenant, MemoryBytes: 4 << 20}}
	})
	of := func(tenant string, s admission.VNodeSpec) admission.VNodeSpec { s.Tenant = tenant; return s }
	first := admit(t, cl, of("batch", vnode("a", 40, 0, 0))).must(t)
	for _, c := range []struct {
		spec admission.VNodeSpec
		want string
	}{
		{of("batch", vnode("b", 20, 0, 0)), `quota of tenant "batch": excache_lines: wants 20, 10 of 50 left (10 short)`},
		{of("batch", waiting(vnode("b", 60, 0, 0), admission.Queue, 0)), `quota of tenant "batch": excache_lines: wants 60, 50 of 50 left (10 short)`},
		{of("other", vnode("c", 1, 5, 0)), `quota of tenant "other": memory_bytes: wants 5242880, 4194304 of 4194304 left (1048576 short)`},
		{of("", admission.VNodeSpec{Name: "d", Threads: 4, ExCacheLines: 1}), `threads: vNode "d" wants 4 at one pComponent: p1 has 3 of 4 free (1 short); raise manager.threads_per_core`},
	} {
		if _, err := cl.Admit(within(t), c.spec); !errors.Is(err, wire.ErrNoRoom) || !has(err, c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	b := admit(t, cl, of("batch", waiting(vnode("b", 20, 0, 0), admission.Queue, 0)))
	until(t, "b waits", func() bool { return names(t, cl) == "b" })
	admit(t, cl, of("other", vnode("c", 60, 4, 0))).must(t) // another tenant's vNode does not wait behind it
	if err := cl.Release(within(t), first.PID); err != nil {
		t.Fatal(err)
	}
	b.must(t)
	if e := told(t, cl, wire.GPM, events.QuotaSet); len(e) != 1 || !strings.Contains(e[0].Reason, `tenant "batch": threads 0, excache_lines 50`) {
		t.Fatalf("%v", e)
	}
	settled(t, cl)
}

// TestNeverWaits: what would not fit into the empty cluster is refused at once, whatever it would wait for, and says what there is.
func TestNeverWaits(t *testing.T) {
	t.Parallel()
	_, cl, _ := tight(t, nil)
	admit(t, cl, waiting(vnode("holds", 50, 1, 1), admission.Refuse, 1)).must(t)
	for _, how := range []admission.IfFull{admission.Queue, admission.Preempt} {
		for want, s := range map[string]admission.VNodeSpec{
			"at one pComponent: the whole cluster has 100 in 1 pComponents, at most 100 in one, even empty": vnode("lines", 101, 0, 0),
			"9 vRegions wanted the whole cluster has 8 in 1 mComponents, at most 8 in one, even empty":      vnode("memory", 1, 9, 0),
			"the whole cluster has 32768 in 1 sComponents, at most 32768 in one, even empty":                vnode("disk", 1, 0, 9),
		} {
			if _, err := cl.Admit(within(t), waiting(s, how, 9)); !errors.Is(err, wire.ErrNoRoom) || !has(err, want) || has(err, "deadline") {
				t.Errorf("%v: %v, want %s", how, err, want)
			}
		}
	}
	if e := append(told(t, cl, wire.GPM, events.Queued), told(t, cl, wire.GPM, events.Preempted)...); len(e) != 0 {
		t.Errorf("%v", e)
	}
	settled(t, cl)
}

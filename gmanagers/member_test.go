package gmanagers_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"splitkernel/gmanagers"
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// component is one that listens, answers probes, takes down what it is asked, and beats while it may.
type component struct {
	m      wire.Member
	prober *netlayer.Prober
	stop   func() // ends it as a crash would
	mute   atomic.Bool
	deaf   wire.Op // it never answers; set before it is asked
	ended  <-chan struct{}

	mu    sync.Mutex
	asked []wire.Op
}

func (*component) Inline(wire.Op) bool { return false }

func (c *component) Serve(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	if req.Op == wire.OpProbe {
		return c.prober.Serve(ctx, req, rep)
	}
	c.mu.Lock()
	c.asked = append(c.asked, req.Op)
	c.mu.Unlock()
	if req.Op == c.deaf {
		<-c.ended
	}
	return nil
}

func (c *component) ops() []wire.Op {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]wire.Op(nil), c.asked...)
}

// component starts and registers one; it beats until the test or it ends.
func (c *cluster) component(cl *client.Client, m wire.Member) *component {
	c.t.Helper()
	m.Addr = string(c.peers[0].Addr) + "-" + string(m.ID) // apart from other tests'
	k := &component{m: m, prober: netlayer.NewProber(netOptions(m.Role, m.ID), 2)}
	so := netlayer.DefaultServerOptions()
	so.Cluster, so.Role, so.Node, so.DrainMS = "test", m.Role, m.ID, 0
	l, err := netlayer.Listen(netlayer.Addr(m.Addr))
	if err != nil {
		c.t.Fatal(err)
	}
	if k.m.Epoch, err = cl.Register(within(c.t), m); err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	k.ended = ctx.Done()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := netlayer.NewServer(k, so).Serve(ctx, l); err != nil {
			c.t.Error(err)
		}
	})
	beating := k.m
	wg.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			if !k.mute.Load() {
				cl.Heartbeat(ctx, beating, wire.Load{})
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	k.stop = func() { cancel(); wg.Wait() }
	c.t.Cleanup(k.stop)
	return k
}

// short makes leases short, and long enough for a machine that runs much else.
func short(o *gmanagers.Options) { o.LeaseMS = 1500 }

// member returns the status of a member.
func member(t *testing.T, cl *client.Client, m wire.Member) membership.Status {
	t.Helper()
	g, err := membership.ManagerOf(m.Role)
	if err != nil {
		t.Fatal(err)
	}
	ms, err := cl.Members(within(t), g)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range ms {
		if st.Member.ID == m.ID {
			return st
		}
	}
	return membership.Status{}
}

// TestAPartitionKillsNobody: a component that no manager hears and others reach stays a member under its epoch, through a
// change of leader too.
func TestAPartitionKillsNobody(t *testing.T) {
	t.Parallel()
	c := startCluster(t, short)
	cl := c.client()
	c.component(cl, mcomponent(1, 1<<20))
	m2 := c.component(cl, mcomponent(2, 1<<20))
	m2.mute.Store(true)
	unreachable := func() bool { st := member(t, cl, m2.m); return st.Unreachable && !st.Alive }
	until(t, "m2 is known to be reached by others", unreachable)
	c.stop(c.leader(wire.GMM))
	until(t, "the new leader finds that too", unreachable)
	probes := func() (n float64) {
		for i, nd := range c.nodes {
			if nd.cancel != nil {
				n += c.stat(i, "probes")
			}
		}
		return n
	}
	after := probes() + 2 // another round
	until(t, "it is asked again", func() bool { return probes() >= after })
	if st := member(t, cl, m2.m); st.State != membership.Active || st.Member.Epoch != 1 {
		t.Fatalf("%+v", st)
	}
	m2.mute.Store(false)
	until(t, "it is heard again", func() bool { st := member(t, cl, m2.m); return st.Alive && !st.Unreachable })
	if st := member(t, cl, m2.m); st.State != membership.Active || st.Member.Epoch != 1 {
		t.Fatalf("%+v", st)
	}
}

// TestAnEndIsNoticed: a component whose connections end and at whose address nobody listens is dead long before its lease is over,
// and the events tell why, how soon that was known, and how soon its epoch was over. One whose connections end and that lives is not.
func TestAnEndIsNoticed(t *testing.T) {
	t.Parallel()
	for name, addr := range map[string]func() netlayer.Addr{
		"inproc": func() netlayer.Addr { return "inproc:" + netlayer.Addr(t.Name()) },
		"unix":   func() netlayer.Addr { return netlayer.Addr("unix:" + filepath.Join(t.TempDir(), "s")) },
		"tcp":    func() netlayer.Addr { return "tcp:127.0.0.1:0" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, nil) // with a lease of a minute: silence is not seen here
			cl := c.client()
			c.component(cl, scomponent(1, 1<<20)) // who can be asked
			so := netlayer.DefaultServerOptions()
			so.Cluster, so.Role, so.Node, so.DrainMS = "test", wire.RoleMemory, "m1", 0
			l, err := netlayer.Listen(addr())
			if err != nil {
				t.Fatal(err)
			}
			life, end := context.WithCancel(context.Background())
			served := make(chan error, 1)
			go func() { served <- netlayer.NewServer(&component{}, so).Serve(life, l) }()
			m := mcomponent(1, 1<<20)
			m.Addr = string(netlayer.AddrOf(l))
			join := func() *client.Client {
				o := client.DefaultOptions()
				o.Net = netOptions(wire.RoleMemory, "m1")
				for _, p := range c.peers {
					o.Managers = append(o.Managers, client.Manager{ID: p.ID, Addr: p.Addr})
				}
				own, err := client.New(o)
				if err != nil {
					t.Fatal(err)
				}
				return own
			}
			own := join()
			defer func() { own.Close() }()
			if m.Epoch, err = own.Register(within(t), m); err != nil {
				t.Fatal(err)
			}
			probes := func() (n float64) {
				for i := range c.nodes {
					n += c.stat(i, "probes")
				}
				return n
			}
			// Its connections end, all of them, again and again, and it does not.
			for round := range 3 {
				until(t, "every manager hears it", func() bool {
					own.Heartbeat(within(t), m, wire.Load{})
					return c.stat(0, "heartbeats") > 0 && c.stat(1, "heartbeats") > 0 && c.stat(2, "heartbeats") > 0
				})
				before := probes()
				own.Close()
				until(t, "somebody looks whether it lives", func() bool { return probes() >= before+2 })
				if st := member(t, cl, m); st.State != membership.Active {
					t.Fatalf("round %d: %+v after its connections ended", round, st)
				}
				own = join()
			}
			own.Heartbeat(within(t), m, wire.Load{})
			end()
			if err := <-served; err != nil {
				t.Fatal(err)
			}
			own.Close() // as the end of its process closes both
			until(t, "it is dead", func() bool { return member(t, cl, m).State == membership.Dead })
			until(t, "it is told how", func() bool {
				list, _, err := cl.Events(within(t), wire.GMM, 0, 0)
				if err != nil {
					t.Fatal(err)
				}
				dead, fenced := false, false
				for _, e := range list {
					switch d, ok := membership.ParseDeath(e.Reason); {
					case e.Kind == events.Dead && (!ok || d.Cause != membership.CauseRefused || d.Detect > failover):
						t.Fatalf("%+v", e)
					case e.Kind == events.Dead:
						dead = true
					case e.Kind == events.Silent:
						t.Fatalf("%+v within its lease", e)
					case e.Kind == events.Fenced:
						_, fenced = membership.ParseFence(e.Reason)
					}
				}
				return dead && fenced
			})
		})
	}
}

// TestACrashIsDeath: what a dead mComponent held is lost, its heartbeats under the old epoch are answered as fenced, and it
// rejoins under a new one.
func TestACrashIsDeath(t *testing.T) {
	t.Parallel()
	c := startCluster(t, short)
	cl := c.client()
	ctx := within(t)
	c.component(cl, pcomponent(1, 100))
	m1 := c.component(cl, mcomponent(1, 1<<20))
	p, err := cl.Admit(ctx, admission.VNodeSpec{Threads: 1, ExCacheLines: 1})
	if err != nil || p.Home.Node != "m1" {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err := cl.ActivateRegion(ctx, p.PID, 1); err != nil {
		t.Fatal(err)
	}
	m1.stop()
	until(t, "m1 is dead", func() bool { return member(t, cl, m1.m).State == membership.Dead })
	if _, err := cl.ActivateRegion(ctx, p.PID, 1); !errors.Is(err, wire.ErrFailed) || !has(err, "m1 was declared dead") {
		t.Errorf("its vRegion: %v", err)
	}
	if _, err := cl.ActivateRegion(ctx, p.PID, 2); !errors.Is(err, wire.ErrNoRoom) || !has(err, "m1 is dead") {
		t.Errorf("another vRegion: %v", err)
	}
	if err := cl.Drain(ctx, wire.RoleMemory, "m1"); !errors.Is(err, wire.ErrFailed) || !has(err, "m1 is dead (epoch 1)") {
		t.Errorf("drain: %v", err)
	}
	if err := cl.DeclareDead(ctx, wire.Member{ID: "m1", Role: wire.RoleMemory, Epoch: 7}, "no reason", 0); !errors.Is(err, wire.ErrStale) {
		t.Errorf("dead under an epoch that it never had: %v", err)
	}
	until(t, "its heartbeat is answered as fenced", func() bool {
		got, err := cl.Heartbeat(ctx, m1.m, wire.Load{})
		return err == nil && got == wire.StandingFenced
	})
	again := c.component(cl, mcomponent(1, 1<<20))
	if again.m.Epoch != 2 {
		t.Fatalf("rejoined under epoch %d", again.m.Epoch)
	}
	if _, err := cl.ActivateRegion(ctx, p.PID, 2); err != nil {
		t.Errorf("another vRegion after it rejoined: %v", err)
	}
}

// TestAProcessIsLostWithItsComponent: the vNodes of a dead pComponent are ended, and those who hold something for them are
// told.
func TestAProcessIsLostWithItsComponent(t *testing.T) {
	t.Parallel()
	c := startCluster(t, short)
	cl := c.client()
	ctx := within(t)
	p1 := c.component(cl, pcomponent(1, 100))
	m1 := c.component(cl, mcomponent(1, 1<<20))
	s1 := c.component(cl, scomponent(1, 1<<30))
	var p admission.Placement
	until(t, "a vNode with a volume is admitted", func() bool { // whoever leads GSM must know the mComponent
		var err error
		p, err = cl.Admit(ctx, admission.VNodeSpec{Threads: 1, ExCacheLines: 1, MemoryBytes: 1, Volumes: []admission.VolumeSpec{{SizeBytes: 1}}})
		return err == nil
	})
	p1.stop()
	until(t, "its vNode is released", func() bool {
		ps, err := cl.Processes(ctx)
		return err == nil && len(ps) == 0
	})
	if st := member(t, cl, p1.m); st.State != membership.Dead {
		t.Fatalf("%+v", st)
	}
	for _, want := range []struct {
		k  *component
		op wire.Op
	}{{m1, wire.OpProcessExit}, {m1, wire.OpVolumeDetach}, {s1, wire.OpVolumeDelete}} {
		found := false
		for _, op := range want.k.ops() {
			found = found || op == want.op
		}
		if !found {
			t.Errorf("%s was not asked for %v, but %v", want.k.m.ID, want.op, want.k.ops())
		}
	}
	b, err := cl.Books(ctx)
	if err != nil || len(b.Homes) != 0 || len(b.Volumes) != 0 {
		t.Errorf("left: %+v %+v, %v", b.Homes, b.Volumes, err)
	}
	if err := cl.Release(ctx, p.PID); !errors.Is(err, wire.ErrNotFound) || !has(err, "lost with p1: p1 was declared dead") {
		t.Errorf("release: %v", err)
	}
}

// TestDrainAndRemove: what is refused, and what it takes until a component may go.
func TestDrainAndRemove(t *testing.T) {
	t.Parallel()
	c := startCluster(t, nil)
	cl := c.client()
	ctx := within(t)
	c.component(cl, pcomponent(1, 100))
	c.component(cl, mcomponent(1, 1<<20))
	c.component(cl, scomponent(1, 1<<30))
	refused := func(what string, err error, kind *wire.Error, text string) {
		t.Helper()
		if !errors.Is(err, kind) || !has(err, text) {
			t.Errorf("%s: %v, want %v: … %s", what, err, kind, text)
		}
	}
	for role, id := range map[wire.Role]wire.NodeID{wire.RoleCompute: "p1", wire.RoleMemory: "m1", wire.RoleStorage: "s1"} {
		refused("the last one", cl.Drain(ctx, role, id), wire.ErrNoRoom, string(id)+" is the last active "+string(id[0])+"Component: add another first")
		refused("unknown", cl.Drain(ctx, role, "x9"), wire.ErrNotFound, `"x9": there are `+string(id))
		refused("unknown", cl.Undrain(ctx, role, "x9"), wire.ErrNotFound, `"x9": there are `+string(id))
		refused("unknown", cl.Remove(ctx, role, "x9"), wire.ErrNotFound, `"x9": there are `+string(id))
		refused("active", cl.Remove(ctx, role, id), wire.ErrBusy, string(id)+" is active: drain it first")
	}
	refused("a manager", cl.Drain(ctx, wire.RoleManager, "g1"), wire.ErrBadRequest, "no manager registers a manager")

	c.component(cl, pcomponent(2, 100))
	m2 := c.component(cl, mcomponent(2, 1<<20))
	c.component(cl, scomponent(2, 1<<30))
	spec := admission.VNodeSpec{Threads: 1, ExCacheLines: 1, MemoryBytes: 1 << 20, Volumes: []admission.VolumeSpec{{SizeBytes: 1}}}
	var ps []admission.Placement
	until(t, "each component has a part of two vNodes", func() bool { // leaders learn of components one after the other
		p, err := cl.Admit(ctx, spec)
		if err != nil {
			return false
		}
		if ps = append(ps, p); len(ps) < 2 {
			return false
		}
		a, b := ps[0], ps[1]
		if a.Node == b.Node || a.Home.Node == b.Home.Node || a.Volumes[0].Storage == b.Volumes[0].Storage || a.Volumes[0].Cache == b.Volumes[0].Cache {
			for _, p := range ps {
				if err := cl.Release(ctx, p.PID); err != nil {
					t.Fatal(err)
				}
			}
			ps = nil
			return false
		}
		return true
	})
	if _, err := cl.ActivateRegion(ctx, ps[0].PID, 1); err != nil {
		t.Fatal(err)
	}
	for role, id := range map[wire.Role]wire.NodeID{wire.RoleCompute: "p1", wire.RoleMemory: "m1", wire.RoleStorage: "s1"} {
		for range 2 { // again changes nothing
			if err := cl.Drain(ctx, role, id); err != nil {
				t.Fatalf("drain %s: %v", id, err)
			}
		}
		refused("the other one", cl.Drain(ctx, role, id[:1]+"2"), wire.ErrNoRoom, "is the last active")
	}
	refused("with a process", cl.Remove(ctx, wire.RoleCompute, "p1"), wire.ErrBusy, "p1 still has 1 process")
	refused("with a volume", cl.Remove(ctx, wire.RoleStorage, "s1"), wire.ErrBusy, "s1 still has 1 volume of 4096 bytes")
	err := cl.Remove(ctx, wire.RoleMemory, "m1")
	refused("with a home and a buffer cache", err, wire.ErrBusy, "1 home and 1 buffer cache")
	if has(err, "reserved") {
		t.Errorf("what was reserved stays at a component that drains: %v", err)
	}
	p, err := cl.Admit(ctx, spec) // what drains is chosen for nothing
	if err != nil || p.Node != "p2" || p.Home.Node != "m2" || p.Volumes[0].Storage != "s2" || p.Volumes[0].Cache != "m2" {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, p := range append(ps, p) {
		if err := cl.Release(ctx, p.PID); err != nil {
			t.Fatal(err)
		}
	}
	for role, id := range map[wire.Role]wire.NodeID{wire.RoleCompute: "p1", wire.RoleMemory: "m1", wire.RoleStorage: "s1"} {
		if err := cl.Remove(ctx, role, id); err != nil {
			t.Fatalf("remove %s: %v", id, err)
		}
		refused("removed", cl.Remove(ctx, role, id), wire.ErrNotFound, "(it was removed)")
		m := wire.Member{ID: id, Role: role, Epoch: 1}
		until(t, "it is told that it was removed", func() bool {
			got, err := cl.Heartbeat(ctx, m, wire.Load{})
			return err == nil && got == wire.StandingRemoved
		})
	}
	if err := cl.Undrain(ctx, wire.RoleMemory, m2.m.ID); err != nil {
		t.Errorf("undrain of what does not drain: %v", err)
	}
	m1 := mcomponent(1, 1<<20)
	if e, err := cl.Register(ctx, m1); err != nil || e != 2 {
		t.Errorf("m1 returns under epoch %d, %v", e, err)
	}
	if st := member(t, cl, m1); st.State != membership.Active {
		t.Errorf("%+v", st)
	}
	if !strings.Contains(membership.Draining.String(), "drain") {
		t.Error(membership.Draining)
	}
}

package vcluster

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/sim/vtime"
)

// lively is a cluster whose components send heartbeats.
func lively(p, m, s int) Options {
	o := testOptions(p, m, s)
	o.Membership.Lease = membership.DefaultLease
	return o
}

// told is what happened to a component by the books of a manager, in short.
func told(c *Cluster, of wire.Manager, id wire.NodeID) string {
	var out []string
	for _, e := range c.History(of) {
		if e.Node == id && e.PID == 0 {
			out = append(out, fmt.Sprintf("%v %d", e.Kind, e.Epoch))
		}
	}
	return strings.Join(out, ", ")
}

// wear runs a process that faults on all of some pages again and again until it fails.
func (c *Cluster) wear(y *vtime.Proc, name string, pages uint64, think uint64) (admission.Placement, error) {
	const lines = 16
	place, err := c.Admit(y, admission.VNodeSpec{Name: name, Threads: 1, ExCacheLines: lines})
	if err != nil {
		return place, fmt.Errorf("admission: %w", err)
	}
	e := excache.DefaultOptions()
	e.Lines, e.Ways = lines, 0
	p, err := c.Open(y, ProcessOptions{PID: place.PID, Epoch: place.Epoch, Name: name, Node: place.Node, Threads: 1, ExCache: e, Home: wire.Owner{Node: place.Home.Node, Epoch: place.Home.Epoch}})
	if err != nil {
		return place, fmt.Errorf("open: %w", err)
	}
	err = p.Map(y, 1<<30, pages<<12, true, true, "")
	t := p.Thread(0)
	t.Begin(y)
	for i := uint64(0); err == nil; i++ {
		t.Compute(think)
		_, err = t.Access(1<<18+i%pages, i/pages%2 == 0)
	}
	if cerr := p.Close(y); cerr != nil && err == nil {
		err = cerr
	}
	return place, err
}

func TestHeartbeatsKeepEverybodyAMember(t *testing.T) {
	c, err := New(lively(3, 3, 2))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Go("driver", func(y *vtime.Proc) { y.Sleep(30 * time.Second) })
	if err := c.Run(0); err != nil {
		t.Fatal(err)
	}
	if c.Now() != 30*time.Second {
		t.Errorf("the run ended at %v, not with its driver", c.Now())
	}
	for _, k := range groups {
		for _, s := range c.Standings(k) {
			if s.Epoch != 1 || s.State != membership.Active || !s.Alive {
				t.Errorf("%v", s)
			}
			if got := told(c, k, s.ID); got != "registered 1" {
				t.Errorf("%s: %s", s.ID, got)
			}
		}
	}
	if n := c.Events(); n < 30*4*8*3*2 || n > 30*4*8*3*4 {
		t.Errorf("%d events for 30 s of 8 components at 3 managers", n)
	}
}

func TestADeadlockIsToldAmongHeartbeats(t *testing.T) {
	c, err := New(lively(1, 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Go("driver", func(y *vtime.Proc) {
		y.Sleep(time.Second)
		y.Wait(&vtime.Signal{Name: "what nobody brings"})
	})
	var d *vtime.DeadlockError
	if err := c.Run(0); !errors.As(err, &d) || len(d.Waits) != 1 || !strings.Contains(d.Waits[0], "what nobody brings") {
		t.Errorf("%v, want a deadlock", err)
	}
}

// TestMemoryIsKilledAndStartedAgain: its process fails by name, the other one goes on; it is declared dead when nobody reaches it,
// rejoins under another epoch, and serves again.
func TestMemoryIsKilledAndStartedAgain(t *testing.T) {
	o := lively(2, 2, 1)
	o.Fault.PatienceMS = 1000
	o.Faults = []Fault{{At: 5 * time.Second, What: Kill, Node: "m1"}, {At: 20 * time.Second, What: Start, Node: "m1"}}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	failed := map[wire.NodeID]error{}
	stop := false
	for _, name := range []string{"a", "b"} {
		c.Go(name, func(y *vtime.Proc) {
			place, err := c.wear(y, name, 64, 50_000_000)
			failed[place.Home.Node] = err
			if err := c.Release(y, place.PID); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	c.Go("end", func(y *vtime.Proc) {
		y.Sleep(15 * time.Second)
		if got := fmt.Sprint(c.Standings(wire.GMM)); got != "[m1 epoch 1 dead silent m2 epoch 1 active heard]" {
			t.Errorf("at 15 s: %s", got)
		}
		y.Sleep(10 * time.Second)
		if got := fmt.Sprint(c.Standings(wire.GMM)); got != "[m1 epoch 2 active heard m2 epoch 1 active heard]" {
			t.Errorf("at 25 s: %s", got)
		}
		stop = true
		for _, n := range c.compute {
			for _, p := range n.sorted() {
				p.Stop(wire.Errorf(wire.KindFailed, "enough"))
			}
		}
	})
	if err := c.Run(0); err != nil {
		t.Fatal(err)
	}
	if err := failed["m1"]; err == nil || !strings.Contains(err.Error(), "m1 did not answer for 1000 ms") {
		t.Errorf("the process at m1 ended with %v", err)
	}
	if err := failed["m2"]; err == nil || !strings.Contains(err.Error(), "enough") || !stop {
		t.Errorf("the process at m2 ended with %v", err)
	}
	if got := told(c, wire.GMM, "m1"); got != "registered 1, dead 1, fenced 1, rejoined 2" {
		t.Errorf("m1: %s", got)
	}
	noticed(t, c, wire.GMM, "m1", membership.CauseRefused, time.Millisecond) // some round trips
	if err := balanced(c); err != nil {
		t.Error(err)
	}
	if c.Restarts() != 1 {
		t.Errorf("%d restarts", c.Restarts())
	}
}

// noticed checks why a component was declared dead, and how soon that was and its epoch was over.
func noticed(t *testing.T, c *Cluster, of wire.Manager, id wire.NodeID, cause membership.Cause, within time.Duration) {
	t.Helper()
	for _, e := range c.History(of) {
		if d, ok := membership.ParseDeath(e.Reason); e.Node == id && e.Kind == events.Dead && (!ok || d.Cause != cause || d.Detect > within) {
			t.Errorf("%s: %+v, want %v within %v", id, e, cause, within)
		}
		if d, ok := membership.ParseFence(e.Reason); e.Node == id && e.Kind == events.Fenced && (!ok || d > within) {
			t.Errorf("%s: %+v, want it within %v", id, e, within)
		}
	}
}

// endsOf runs processes, one at each of some names, to their end under faults, and returns how they ended, by the pComponent they
// were at, and the cluster.
func endsOf(t *testing.T, o Options, names ...string) (*Cluster, map[wire.NodeID]string) {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ends := map[wire.NodeID]string{}
	for _, name := range names {
		c.Go(name, func(y *vtime.Proc) {
			place, err := c.wear(y, name, 64, 50_000_000)
			ends[place.Node] = fmt.Sprint(err)
			if err := c.Release(y, place.PID); err != nil && wire.KindOf(err) != wire.KindNotFound {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	c.Go("end", func(y *vtime.Proc) {
		y.Sleep(40 * time.Second)
		for _, n := range c.compute {
			for _, p := range n.sorted() {
				p.Stop(wire.Errorf(wire.KindFailed, "enough"))
			}
		}
	})
	if err := c.Run(0); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(c.Now() + time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := balanced(c); err != nil {
		t.Error(err)
	}
	if d := c.Audit(); len(d) > 0 {
		t.Errorf("%+v", d)
	}
	return c, ends
}

// TestAComponentOutOfReachIsFenced: nobody reaches it, so it is declared dead; when it is back it drops what it had, then joins again.
func TestAComponentOutOfReachIsFenced(t *testing.T) {
	o := lively(2, 2, 1)
	o.Membership.Sweep = 5 * time.Second
	o.Faults = []Fault{{At: 5 * time.Second, What: Partition, Node: "p1", For: 12 * time.Second}}
	c, ends := endsOf(t, o, "a", "b")
	if !strings.Contains(ends["p1"], "p1 was declared dead under epoch 1 and is fenced") || !strings.Contains(ends["p2"], "enough") {
		t.Errorf("%v", ends)
	}
	if got := told(c, wire.GPM, "p1"); got != "registered 1, silent 1, dead 1, fenced 1, rejoined 2" {
		t.Errorf("p1: %s", got)
	}
	noticed(t, c, wire.GPM, "p1", membership.CauseSilence, 2*time.Second)
}

// TestSilenceKillsNobody: a component whose way to the leader is cut is reached by others, so it stays, and its process with it; and
// so it is if the managers' leader is cut off, for others lead then.
func TestSilenceKillsNobody(t *testing.T) {
	for node, want := range map[wire.NodeID]string{"p1": "registered 1, silent 1, probed 1, heard 1", "g1": "registered 1"} {
		o := lively(2, 2, 1)
		o.Faults = []Fault{{At: 5 * time.Second, What: Partition, Node: node, For: 12 * time.Second}}
		if node == "p1" {
			o.Faults = []Fault{{At: 5 * time.Second, What: Cut, Node: "p1", To: "g1", For: 12 * time.Second}}
		}
		c, ends := endsOf(t, o, "a", "b")
		if !strings.Contains(ends["p1"], "enough") || !strings.Contains(ends["p2"], "enough") {
			t.Errorf("%s: %v", node, ends)
		}
		if got := told(c, wire.GPM, "p1"); got != want {
			t.Errorf("p1: %s, want %s", got, want)
		}
	}
}

// TestDeadManagersStopNothing: a manager that is killed changes the leader; a majority that is killed has nobody decide anything, and
// processes go on; when it is back, what was asked meanwhile is answered.
func TestDeadManagersStopNothing(t *testing.T) {
	o := lively(2, 2, 1)
	o.Faults = []Fault{
		{At: 4 * time.Second, What: Kill, Node: "g1"}, {At: 8 * time.Second, What: Kill, Node: "g2"},
		{At: 20 * time.Second, What: Start, Node: "g1"}, {At: 25 * time.Second, What: Start, Node: "g2"},
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	at := time.Duration(0)
	c.Go("late", func(y *vtime.Proc) {
		y.Sleep(10 * time.Second)
		p, err := c.Admit(y, admission.VNodeSpec{Name: "late", Threads: 1, ExCacheLines: 16})
		if at = y.Now(); err != nil {
			t.Error(err)
			return
		}
		if err := c.Release(y, p.PID); err != nil {
			t.Error(err)
		}
	})
	c.Go("runs", func(y *vtime.Proc) {
		c.Go("end", func(y *vtime.Proc) {
			y.Sleep(30 * time.Second)
			for _, n := range c.compute {
				for _, p := range n.sorted() {
					p.Stop(wire.Errorf(wire.KindFailed, "enough"))
				}
			}
		})
		place, err := c.wear(y, "runs", 64, 50_000_000)
		if err == nil || !strings.Contains(err.Error(), "enough") {
			t.Errorf("%v, want it to run until it is stopped", err)
		}
		if err := c.Release(y, place.PID); err != nil {
			t.Error(err)
		}
	})
	if err := c.Run(0); err != nil {
		t.Fatal(err)
	}
	if at < 20*time.Second || at > 25*time.Second {
		t.Errorf("the vNode was admitted at %v, want it when two managers ran again", at)
	}
	if c.LeaderChanges() < 2 || c.Restarts() != 2 {
		t.Errorf("%d changes of leaders, %d restarts", c.LeaderChanges(), c.Restarts())
	}
	for _, k := range groups {
		for _, s := range c.Standings(k) {
			if s.Epoch != 1 || s.State != membership.Active {
				t.Errorf("%v", s)
			}
		}
	}
	if err := balanced(c); err != nil {
		t.Error(err)
	}
}

// TestAComponentJoinsLater: it registers when it is started, and is chosen from then on.
func TestAComponentJoinsLater(t *testing.T) {
	o := lively(1, 2, 1)
	for i := range o.Nodes {
		o.Nodes[i].Later = o.Nodes[i].ID == "m2"
	}
	o.Faults = []Fault{{At: 5 * time.Second, What: Start, Node: "m2"}}
	o.Managers.GMMPolicy = "round_robin"
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	homes := map[wire.NodeID]int{}
	c.Go("driver", func(y *vtime.Proc) {
		for i := range 10 {
			y.Sleep(time.Second)
			p, err := c.Admit(y, admission.VNodeSpec{Name: fmt.Sprint("v", i), Threads: 1, ExCacheLines: 16})
			if err != nil {
				t.Error(err)
				return
			}
			if homes[p.Home.Node]++; p.Home.Node == "m2" && y.Now() < 5*time.Second {
				t.Errorf("a home at m2 at %v", y.Now())
			}
			if err := c.Release(y, p.PID); err != nil {
				t.Error(err)
			}
		}
	})
	if err := c.Run(0); err != nil {
		t.Fatal(err)
	}
	if homes["m1"] == 0 || homes["m2"] == 0 {
		t.Errorf("homes %v, want both", homes)
	}
	if got := told(c, wire.GMM, "m2"); got != "registered 1" || c.Restarts() != 0 {
		t.Errorf("m2: %s, %d restarts", got, c.Restarts())
	}
}

// TestFaultsAreOneRun: the same faults under one seed are one run, however many processors there are; another seed is another.
func TestFaultsAreOneRun(t *testing.T) {
	digest := func(seed uint64) uint64 {
		o := lively(2, 2, 1)
		o.Seed, o.Membership.Sweep = seed, 5*time.Second
		o.Faults = []Fault{
			{At: 5 * time.Second, What: Kill, Node: "m1"}, {At: 6 * time.Second, What: Partition, Node: "p2", For: 9 * time.Second}, {At: 7 * time.Second, What: ChangeLeader},
			{At: 8 * time.Second, What: Kill, Node: "g2"}, {At: 12 * time.Second, What: Start, Node: "m1"}, {At: 13 * time.Second, What: Start, Node: "g2"},
		}
		c, _ := endsOf(t, o, "a", "b")
		return c.Digest()
	}
	first := digest(3)
	for _, procs := range []int{1, 4} {
		was := runtime.GOMAXPROCS(procs)
		if again := digest(3); again != first {
			t.Errorf("digest %x on %d processors, before %x", again, procs, first)
		}
		runtime.GOMAXPROCS(was)
	}
	if digest(4) == first {
		t.Error("two seeds are one run")
	}
}

// TestFaultsAreNamed, each by its key.
func TestFaultsAreNamed(t *testing.T) {
	o := lively(1, 1, 1)
	o.Membership.Lease = time.Millisecond
	o.Faults = []Fault{
		{At: -1, What: Kill, Node: "m1"}, {What: Kill, Node: "m9"}, {What: 9, Node: "m1"}, {What: Cut, Node: "m1", To: "m1"}, {What: ChangeLeader, Node: "g1"},
		{What: Kill, Node: "m1", For: 1}, {What: Start, Node: "m1", To: "p1"},
	}
	o.Raft.At = []RaftFault{{0, 9, false}}
	_, err := New(o)
	for _, want := range []string{
		"membership.lease_ms: 1", "faults[0]: at: -1ns", `faults[1]: node: "m9"`, "faults[2]: what: 9", `faults[3]: to: "m1"`, `faults[4]: node: "g1"`, "faults[5]: for: 1ns", `faults[6]: to: "p1"`, "raft.at[0]: command 0, outcome 9",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want a fault that begins with %q", err, want)
		}
	}
	o = testOptions(1, 1, 1)
	o.Faults = []Fault{{What: Kill, Node: "m1"}}
	o.Nodes[4].Later = true
	_, err = New(o)
	for _, want := range []string{`faults[0]: node: "m1" is a component: its death is noticed only with membership.lease`, "nodes.m1.later: want it of a component, with membership.lease"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	c, err := New(lively(1, 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Strike(Fault{What: Kill, Node: "m9"}); err == nil || !strings.Contains(err.Error(), `kill m9: node: "m9", want a node`) {
		t.Errorf("%v", err)
	}
}

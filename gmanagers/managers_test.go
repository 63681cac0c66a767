package gmanagers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"splitkernel/gmanagers"
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

func TestPlacesAndLists(t *testing.T) {
	t.Parallel()
	c := startCluster(t, nil)
	cl := c.client()
	ctx := within(t)
	for i := 1; i <= 2; i++ {
		if e, err := cl.Register(ctx, pcomponent(i, 1000)); err != nil || e != 1 {
			t.Fatalf("register p%d: epoch %d, %v", i, e, err)
		}
	}
	for i := 1; i <= 3; i++ {
		if e, err := cl.Register(ctx, mcomponent(i, 4<<20)); err != nil || e != 1 {
			t.Fatalf("register m%d: epoch %d, %v", i, e, err)
		}
	}
	for i := 1; i <= 2; i++ {
		if e, err := cl.Register(ctx, scomponent(i, 1<<30)); err != nil || e != 1 {
			t.Fatalf("register s%d: epoch %d, %v", i, e, err)
		}
	}

	a, err := cl.Admit(ctx, admission.VNodeSpec{Name: "a", Threads: 2, ExCacheLines: 600})
	if err != nil || a.PID != 1 || a.Node != "p1" || a.Addr != "inproc:p1" || a.Epoch != 1 || a.Home.Node != "m1" || a.Home.Addr != "inproc:m1" || a.Home.RegionBytes != 1<<20 || len(a.Volumes) != 0 {
		t.Fatalf("vNode a: %+v, %v", a, err)
	}
	b, err := cl.Admit(ctx, admission.VNodeSpec{Name: "b", Threads: 1, ExCacheLines: 600, MemoryBytes: 3 << 20, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: 5000}}})
	if err != nil || b.PID != 2 || b.Node != "p2" || b.Home.Node != "m2" || len(b.Volumes) != 1 {
		t.Fatalf("vNode b: %+v, %v", b, err)
	}
	if v := b.Volumes[0]; v.Volume != 1 || v.Storage != "s1" || v.StorageAddr != "inproc:s1" || v.SizeBytes != 8192 || v.Cache != "m1" || v.CacheAddr != "inproc:m1" {
		t.Fatalf("volume: %+v", v)
	}
	_, err = cl.Admit(ctx, admission.VNodeSpec{Name: "c", Threads: 1, ExCacheLines: 600})
	if !errors.Is(err, wire.ErrNoRoom) || !has(err, `excache_lines: vNode "c" wants 600 at one pComponent: p1 has 400 of 1000 free (200 short), p2 has 400 of 1000 free (200 short)`) {
		t.Fatalf("vNode c: %v", err)
	}
	_, err = cl.Admit(ctx, admission.VNodeSpec{Name: "d", Threads: 1, ExCacheLines: 1, MemoryBytes: 100 << 20, Volumes: []admission.VolumeSpec{{Name: "w", SizeBytes: 2 << 30}}})
	for _, want := range []string{
		"memory_bytes: process 3 wants 100 vRegions of 1048576 bytes, 55 short: m1 has 15 of 16 free, m2 has 15 of 16 free, m3 has 15 of 16 free",
		`storage_bytes: volume "w" wants 2147483648 at one sComponent: s1 has 1073733632 of 1073741824 free (1073750016 short), s2 has 1073741824 of 1073741824 free (1073741824 short)`,
	} {
		if !errors.Is(err, wire.ErrNoRoom) || !has(err, want) {
			t.Errorf("vNode d: %v\nwant %s", err, want)
		}
	}
	if err := cl.Release(ctx, a.PID); err != nil {
		t.Fatal(err)
	}
	if err := cl.Release(ctx, a.PID); !errors.Is(err, wire.ErrNotFound) {
		t.Fatalf("released twice: %v", err)
	}
	perNode := map[wire.NodeID]int{} // the reserved vRegions and more
	for r := range wire.RegionNo(9) {
		o, err := cl.ActivateRegion(ctx, b.PID, r)
		if err != nil || o.Region != r || o.Epoch != 1 {
			t.Fatalf("region %d: %+v, %v", r, o, err)
		}
		perNode[o.Node]++
	}
	if perNode["m1"] != 3 || perNode["m2"] != 3 || perNode["m3"] != 3 {
		t.Errorf("regions per mComponent %v, want 3 each", perNode)
	}

	m1 := mcomponent(1, 4<<20)
	m1.Epoch = 1
	if got, err := cl.Heartbeat(ctx, m1, wire.Load{Misses: 7}); err != nil || got != wire.StandingMember {
		t.Fatalf("heartbeat: %v, %v", got, err)
	}
	m1.Epoch = 9
	until(t, "an epoch that nobody gave is unknown", func() bool {
		got, err := cl.Heartbeat(ctx, m1, wire.Load{})
		return err == nil && got == wire.StandingUnknown
	})
	members, err := cl.Members(ctx, wire.GMM)
	if err != nil || len(members) != 3 || members[0].Member.ID != "m1" || members[2].Member.ID != "m3" || !members[1].Alive {
		t.Fatalf("members: %+v, %v", members, err)
	}
	ps, err := cl.Processes(ctx)
	if err != nil || len(ps) != 1 || ps[0].Name != "b" || ps[0].PlacedMS == 0 {
		t.Fatalf("processes: %+v, %v", ps, err)
	}
	rs, err := cl.Regions(ctx, b.PID)
	if err != nil || len(rs) != 1 || len(rs[0].Regions) != 9 {
		t.Fatalf("regions: %+v, %v", rs, err)
	}
	vs, err := cl.Volumes(ctx)
	if err != nil || len(vs) != 1 || vs[0].Name != "v" {
		t.Fatalf("volumes: %+v, %v", vs, err)
	}
	until(t, "all replicas report the leader of all groups", func() bool {
		st, err := cl.Status(ctx)
		if err != nil || len(st) != 3 {
			return false
		}
		for _, g := range st {
			if g.Leader == "" || g.Term == 0 || len(g.Replicas) != 3 {
				return false
			}
			for _, r := range g.Replicas {
				if r.Leader != g.Leader || !r.Ready {
					return false
				}
			}
		}
		return true
	})
}

// TestLeaderStampsChance: under random the leader's chance differs from command to command, or all would land on one.
func TestLeaderStampsChance(t *testing.T) {
	t.Parallel()
	c := startCluster(t, func(o *gmanagers.Options) {
		o.GPMPolicy, o.GMMPolicy, o.GSMPolicy, o.CachePolicy = "random", "random", "random", "random"
	})
	cl := c.client()
	ctx := within(t)
	for i := 1; i <= 4; i++ {
		for _, m := range []wire.Member{pcomponent(i, 1000), mcomponent(i, 64<<20), scomponent(i, 1<<30)} {
			if _, err := cl.Register(ctx, m); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := map[string]map[wire.NodeID]bool{"process": {}, "home": {}, "vRegion": {}, "storage": {}, "cache": {}}
	for i := range 20 { // all on one of four once in 4^19
		p, err := cl.Admit(ctx, admission.VNodeSpec{Name: "a", Threads: 1, ExCacheLines: 1, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: 4096}}})
		if err != nil {
			t.Fatal(err)
		}
		o, err := cl.ActivateRegion(ctx, p.PID, wire.RegionNo(i))
		if err != nil {
			t.Fatal(err)
		}
		home, v := p.Home, p.Volumes[0]
		for what, id := range map[string]wire.NodeID{"process": p.Node, "home": home.Node, "vRegion": o.Node, "storage": v.Storage, "cache": v.Cache} {
			got[what][id] = true
		}
	}
	for what, ids := range got {
		if len(ids) < 2 {
			t.Errorf("20 times a %s, always at %v", what, ids)
		}
	}
}

// TestLeaderEndsWhileActivating: with 32 activations outstanding the leader of GMM ends. Every activation must be
// answered, each region must have one owner, and every replica must agree. Then the node comes back from its folder.
func TestLeaderEndsWhileActivating(t *testing.T) {
	t.Parallel() // it waits for elections most of the time
	c := startCluster(t, nil)
	cl := c.client()
	ctx := within(t)
	for i := 1; i <= 3; i++ {
		if _, err := cl.Register(ctx, mcomponent(i, 64<<20)); err != nil {
			t.Fatal(err)
		}
	}
	const callers, each = 32, 8
	c.homes(cl, callers)
	leader := c.leader(wire.GMM)
	if leader < 0 {
		t.Fatal("nobody leads GMM after it answered")
	}

	owners := make([][each]wire.Owner, callers)
	var out sync.WaitGroup
	half := make(chan struct{}, callers*each)
	for i := range callers {
		out.Add(1)
		go func() {
			defer out.Done()
			for r := range each {
				o, err := cl.ActivateRegion(ctx, wire.PID(i+1), wire.RegionNo(r))
				if err != nil {
					t.Errorf("region %d of process %d: %v", r, i+1, err)
				}
				owners[i][r] = o.Owner
				half <- struct{}{}
			}
		}()
	}
	for range callers { // each caller still has most of its regions to activate: 32 are outstanding
		<-half
	}
	c.stop(leader)
	out.Wait()
	if t.Failed() {
		return
	}
	check := func() error {
		ps, err := cl.Regions(ctx, 0)
		if err != nil {
			return err
		}
		if len(ps) != callers {
			return fmt.Errorf("%d processes, want %d", len(ps), callers)
		}
		for i, p := range ps {
			if len(p.Regions) != each {
				return fmt.Errorf("process %d: %d regions, want %d", p.PID, len(p.Regions), each)
			}
			for r, reg := range p.Regions {
				if o := owners[i][r]; reg.Node != o.Node || reg.Epoch != o.Epoch || reg.Region != o.Region {
					return fmt.Errorf("process %d region %d: state %+v, answered %+v", p.PID, r, reg, o)
				}
			}
		}
		return nil
	}
	if err := check(); err != nil {
		t.Fatal(err)
	}
	for i := range owners { // asked again, the same answer
		o, err := cl.ActivateRegion(ctx, wire.PID(i+1), 0)
		if err != nil || o.Owner != owners[i][0] {
			t.Fatalf("process %d region 0 again: %+v, %v; want %+v", i+1, o, err, owners[i][0])
		}
	}
	c.start(leader)
	until(t, "the node that came back has applied what the others have", func() bool {
		return c.applied(leader, wire.GMM) == c.applied((leader+1)%3, wire.GMM) && c.applied(leader, wire.GMM) > callers*each
	})
	if err := check(); err != nil {
		t.Fatal(err)
	}
}

// TestCrashLosesNothing: the leader ends as kill -9 and a power cut would, with what it synced alone, and comes back;
// then all three end and come back. What was answered is there.
func TestCrashLosesNothing(t *testing.T) {
	t.Parallel() // it waits for elections most of the time
	c := startCluster(t, nil)
	cl := c.client()
	ctx := within(t)
	for i := 1; i <= 3; i++ {
		if _, err := cl.Register(ctx, mcomponent(i, 64<<20)); err != nil {
			t.Fatal(err)
		}
	}
	c.homes(cl, 1)
	owners := map[wire.RegionNo]wire.Owner{}
	activate := func(n int) {
		t.Helper()
		for range n {
			r := wire.RegionNo(len(owners))
			o, err := cl.ActivateRegion(ctx, 1, r)
			if err != nil {
				t.Fatal(err)
			}
			owners[r] = o.Owner
		}
	}
	activate(20)
	leader := c.leader(wire.GMM)
	c.crash(leader)
	activate(20)
	c.start(leader)
	until(t, "the crashed leader catches up", func() bool {
		return c.applied(leader, wire.GMM) == c.applied((leader+1)%3, wire.GMM) && c.applied(leader, wire.GMM) >= 44
	})
	for i := range c.nodes {
		c.crash(i)
	}
	for i := range c.nodes {
		c.start(i)
	}
	activate(5)
	ps, err := cl.Regions(ctx, 1)
	if err != nil || len(ps) != 1 || len(ps[0].Regions) != len(owners) {
		t.Fatalf("%+v, %v", ps, err)
	}
	for _, r := range ps[0].Regions {
		if o := owners[r.Region]; o.Node != r.Node || o.Epoch != r.Epoch {
			t.Errorf("region %d: %+v, answered %+v", r.Region, r, o)
		}
	}
}

// TestCatchesUpBySnapshot: a node that was away for longer than the others' logs reach gets a snapshot over the message
// layer, larger than one frame.
func TestCatchesUpBySnapshot(t *testing.T) {
	t.Parallel()
	c := startCluster(t, func(o *gmanagers.Options) {
		o.LeaseMS, o.SnapshotEntries, o.CompactionEntries = 60_000, 200, 16
	})
	cl := c.client()
	ctx, cancel := context.WithTimeout(context.Background(), 2*failover)
	defer cancel()
	// Long names and addresses make a volume and its remembered result take 1.2 KB, and the state more than wire.MaxBody.
	long, id := strings.Repeat("n", 240), wire.NodeID(strings.Repeat("i", membership.MaxIDBytes))
	m, s := mcomponent(1, 1<<30), scomponent(1, 1<<40)
	m.ID, m.Addr, s.ID, s.Addr = id, "inproc:"+long, id, "inproc:"+long
	for _, member := range []wire.Member{m, s} {
		if _, err := cl.Register(ctx, member); err != nil {
			t.Fatal(err)
		}
	}
	away := (c.leader(wire.GSM) + 1) % 3
	until(t, "every replica knows the mComponent, so that each may lead", func() bool {
		return c.applied(0, wire.GMM) > 0 && c.applied(1, wire.GMM) > 0 && c.applied(2, wire.GMM) > 0
	})
	c.stop(away)
	const callers, each = 32, 30
	var out sync.WaitGroup
	var pids atomic.Uint64
	volume := func(cl *client.Client) (admission.Volume, error) {
		pid := wire.PID(pids.Add(1))
		votes, err := cl.Steps(ctx, wire.GSM, []admission.Step{
			{Verb: admission.Prepare, PID: pid, Volumes: []admission.VolumeSpec{{Name: long, SizeBytes: 1}}}, {Verb: admission.Commit, PID: pid}, // or GPM would have it freed
		})
		if err != nil || len(votes) != 2 || len(votes[0].Volumes) != 1 {
			return admission.Volume{}, fmt.Errorf("%+v, %w", votes, err)
		}
		return votes[0].Volumes[0], nil
	}
	for range callers {
		cl := c.client() // each client is remembered with its own window of results
		out.Add(1)
		go func() {
			defer out.Done()
			for range each {
				if _, err := volume(cl); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	out.Wait()
	if t.Failed() {
		return
	}
	c.start(away)
	until(t, "the node that was away has everything", func() bool {
		n := c.applied((away+1)%3, wire.GSM) // more than was asked for if commands were proposed twice
		return n > callers*each && c.applied(away, wire.GSM) == n
	})
	if n := c.stat(away, "raft_chunks_received"); n == 0 {
		t.Error("no snapshot chunk was received: it caught up from the log, which should not reach so far back")
	}
	// It serves: the other two have no majority without it.
	c.stop((away + 1) % 3)
	if v, err := volume(cl); err != nil || v.Volume != callers*each+1 {
		t.Fatalf("%+v, %v", v, err)
	}
	vs, err := cl.Volumes(ctx)
	if err != nil || len(vs) != callers*each+1 {
		t.Errorf("%d volumes, %v", len(vs), err)
	}
}

// TestSilentComponents: a component without heartbeats stops being a candidate after its lease, but not in the first
// lease of a new leader; with a heartbeat it is one again.
func TestSilentComponents(t *testing.T) {
	t.Parallel()
	c := startCluster(t, func(o *gmanagers.Options) { o.LeaseMS = int(membership.DefaultLease.Milliseconds()) })
	cl := c.client()
	ctx := within(t)
	c.component(cl, mcomponent(1, 1<<20))
	p1 := c.component(cl, pcomponent(1, 1000)) // others reach it, so it does not die
	place := func() error {
		p, err := cl.Admit(ctx, admission.VNodeSpec{Threads: 1, ExCacheLines: 1})
		if err == nil {
			return cl.Release(ctx, p.PID)
		}
		return err
	}
	if err := place(); err != nil {
		t.Fatal(err)
	}
	p1.mute.Store(true)
	until(t, "p1 is silent", func() bool {
		err := place()
		if err != nil && (!errors.Is(err, wire.ErrNoRoom) || !has(err, "p1 is silent")) {
			t.Fatal(err)
		}
		return err != nil
	})
	if ms, err := cl.Members(ctx, wire.GPM); err != nil || len(ms) != 1 || ms[0].Alive || ms[0].AgeMS < membership.DefaultLease.Milliseconds() && ms[0].AgeMS >= 0 {
		t.Errorf("%+v, %v", ms, err)
	}
	p1.mute.Store(false)
	until(t, "p1 is a candidate again", func() bool { return place() == nil })
}

package gmanagers_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"splitkernel/gmanagers"
	"splitkernel/gmanagers/balance"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
)

// TestMoves: a thing of each kind moves to another component by a client's call.
func TestMoves(t *testing.T) {
	t.Parallel()
	c := startCluster(t, nil)
	cl := c.client()
	w := newFakes(t, cl)
	for i := 1; i <= 2; i++ {
		w.add(pcomponent(i, 1<<20))
		w.add(mcomponent(i, 1<<30))
		w.add(scomponent(i, 1<<30))
	}
	pid, things := w.admit(1)
	for _, thing := range things {
		from, _ := w.where(thing)
		id, err := cl.Move(within(t), thing, "")
		if err != nil {
			t.Fatalf("%v: %v", thing, err)
		}
		m := w.ended(id)
		if p, err := cl.Where(within(t), pid); err != nil || !slices.Contains([]wire.NodeID{p.Node, p.Home.Node, p.Volumes[0].Storage, p.Volumes[0].Cache}, m.Req.To) && thing.Kind != wire.MoveRegion {
			t.Errorf("after %v moved to %s: %+v, %v", thing, m.Req.To, p, err)
		}
		to, epoch := w.where(thing)
		if m.State != wire.MoveDone || m.PauseUS != 700 || len(to) != 1 || to[0] != m.Req.To || to[0] == from[0] || epoch != m.Epoch {
			t.Errorf("%v: %+v; served by %v under epoch %d", thing, m, to, epoch)
		}
	}
}

// beating makes heartbeats until the end of the test; load says what each component reports.
func beating(t testing.TB, w *fakes, load func(*fake) wire.Load) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			w.beat(load)
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
}

// quick makes balancing and drains as quick as the options allow.
func quick(o *gmanagers.Options) {
	o.LeaseMS = 3000
	for _, b := range []*balance.Options{&o.Balance.GPM, &o.Balance.GMM, &o.Balance.Homes, &o.Balance.GSM, &o.Balance.Caches} {
		b.IntervalMS, b.SettleMS, b.SmoothingMS, b.CoolDownMS = 100, 0, 200, 1000
		b.MaxMoves, b.MaxComponentMoves = 8, 4
	}
}

// TestDrain: what a component of each role has moves away while it drains; then it can be removed, and not before.
func TestDrain(t *testing.T) {
	t.Parallel()
	c := startCluster(t, quick)
	cl := c.client()
	w := newFakes(t, cl)
	for i := 1; i <= 3; i++ {
		w.add(pcomponent(i, 1<<20))
		w.add(mcomponent(i, 1<<30))
		w.add(scomponent(i, 1<<30))
	}
	beating(t, w, func(*fake) wire.Load { return wire.Load{} })
	for range 4 {
		w.admit(6)
	}
	for _, role := range []wire.Role{wire.RoleCompute, wire.RoleMemory, wire.RoleStorage} {
		id := map[wire.Role]wire.NodeID{wire.RoleCompute: "p1", wire.RoleMemory: "m1", wire.RoleStorage: "s1"}[role]
		if err := cl.Drain(within(t), role, id); err != nil {
			t.Fatal(err)
		}
		if d, err := cl.DrainStatus(within(t), role, id); err != nil || !d.Drains || d.Left == 0 {
			t.Errorf("%s: %+v, %v; want something left", id, d, err)
		}
		if err := cl.Remove(within(t), role, id); !errors.Is(err, wire.ErrBusy) {
			t.Errorf("%s: removed with what it has: %v", id, err)
		}
	}
	for _, role := range []wire.Role{wire.RoleCompute, wire.RoleMemory, wire.RoleStorage} {
		id := map[wire.Role]wire.NodeID{wire.RoleCompute: "p1", wire.RoleMemory: "m1", wire.RoleStorage: "s1"}[role]
		g, _ := membership.ManagerOf(role)
		until(t, string(id)+" is empty, and an event says so", func() bool {
			d, err := cl.DrainStatus(within(t), role, id)
			if err != nil {
				t.Fatal(err)
			}
			page, _, err := cl.Events(within(t), g, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			return d.Left == 0 && slices.ContainsFunc(page, func(e events.Event) bool { return e.Kind == events.Drained && e.Node == id })
		})
		until(t, string(id)+" is removed", func() bool { return cl.Remove(within(t), role, id) == nil })
		w.mu.Lock()
		if n := len(w.nodes[id].holds); n > 0 {
			t.Errorf("%s still holds %d things: %v", id, n, w.nodes[id].holds)
		}
		w.mu.Unlock()
		w.nodes[id].stop()
	}
	w.audit()
}

// TestHeldVNodesLeave: what no process uses, yet or any more, leaves what drains too, in the books, and can be used where it is then; a
// giver that has started again since passes nothing on.
func TestHeldVNodesLeave(t *testing.T) {
	c := startCluster(t, quick)
	cl := c.client()
	w := newFakes(t, cl)
	w.pass = true
	for i := 1; i <= 2; i++ {
		w.add(pcomponent(i, 1<<20))
		w.add(mcomponent(i, 1<<30))
		w.add(scomponent(i, 1<<30))
	}
	beating(t, w, func(*fake) wire.Load { return wire.Load{} })
	pid, things := w.admit(6)
	w.mu.Lock()
	for _, f := range w.nodes { // only the volume is anywhere
		for thing := range f.holds {
			if thing.Kind != wire.MoveVolume {
				delete(f.holds, thing)
			}
		}
	}
	w.mu.Unlock()
	at := func() map[wire.Role][]wire.NodeID {
		p, err := cl.Where(within(t), pid)
		if err != nil {
			t.Fatal(err)
		}
		return map[wire.Role][]wire.NodeID{wire.RoleCompute: {p.Node}, wire.RoleMemory: {p.Home.Node, p.Volumes[0].Cache}, wire.RoleStorage: {p.Volumes[0].Storage}}
	}
	for _, role := range []wire.Role{wire.RoleCompute, wire.RoleMemory, wire.RoleStorage} {
		id := at()[role][0]
		if err := cl.Drain(within(t), role, id); err != nil {
			t.Fatal(err)
		}
		until(t, string(id)+" is removed", func() bool { return cl.Remove(within(t), role, id) == nil })
		w.nodes[id].stop()
		if now := at()[role]; slices.Contains(now, id) {
			t.Errorf("%s was removed, and the books have %v", id, now)
		}
	}
	w.audit()
	p, err := cl.Where(within(t), pid)
	if err != nil || p.Epoch != 2 || p.Home.Epoch != 2 {
		t.Fatalf("%+v, %v; want its process and its home under epoch 2", p, err)
	}
	w.put(p.Node, things[1], p.Epoch)
	w.put(p.Home.Node, things[0], p.Home.Epoch)
	w.put(p.Volumes[0].Cache, things[3], p.Volumes[0].Epoch)
	for r := range wire.RegionNo(6) {
		o, err := cl.ActivateRegion(within(t), pid, r)
		if err != nil || o.Node != p.Home.Node || o.Member != 1 {
			t.Fatalf("vRegion %d: %+v, %v", r, o, err)
		}
		w.put(o.Node, things[4+r], o.Epoch)
	}
	w.audit()

	// A giver that started again may have lost what is not there.
	w.add(mcomponent(3, 1<<30))
	w.mu.Lock()
	giver := w.nodes[p.Home.Node]
	clear(giver.holds)
	w.hold = true
	giver.deaf = true
	w.mu.Unlock()
	id, err := cl.Move(within(t), things[4], "m3")
	if err != nil {
		t.Fatal(err)
	}
	giver.stop()
	giver.start()
	w.mu.Lock()
	giver.deaf = false
	w.mu.Unlock()
	if mv := w.ended(id); mv.State != wire.MoveLost {
		t.Errorf("its giver has started again: %+v", mv)
	}
}

// TestLeftoversAreDropped: what no vNode has at a component is dropped there; what is there by the books, under a newer epoch than
// they have, of an id that was not given yet, or on its way, stays.
func TestLeftoversAreDropped(t *testing.T) {
	c := startCluster(t, func(o *gmanagers.Options) { quick(o); o.SweepMS = 100 })
	cl := c.client()
	w := newFakes(t, cl)
	for i := 1; i <= 2; i++ {
		w.add(pcomponent(i, 1<<20))
		w.add(mcomponent(i, 1<<30))
		w.add(scomponent(i, 1<<30))
	}
	beating(t, w, func(*fake) wire.Load { return wire.Load{} })
	gone, left := w.admit(4)
	pid, things := w.admit(2)
	if err := cl.Release(within(t), gone); err != nil { // the fakes keep it all
		t.Fatal(err)
	}
	at := func(thing movelist.Thing) (out []wire.NodeID) { out, _ = w.where(thing); return out }
	other := func(thing movelist.Thing) wire.NodeID {
		id := string(at(thing)[0])
		return wire.NodeID(id[:1] + string('3'-id[1]+'0'))
	}
	for _, thing := range left {
		until(t, thing.String()+" is dropped", func() bool { return len(at(thing)) == 0 })
	}
	// Older and newer copies of what lives.
	region, process := things[len(things)-1], things[1]
	w.mu.Lock()
	w.hold = true
	w.mu.Unlock()
	id, err := cl.Move(within(t), region, other(region))
	if err != nil {
		t.Fatal(err)
	}
	w.put(other(process), process, 9)
	unknown := movelist.Thing{Kind: wire.MoveVolume, Volume: 1000}
	w.put("s1", unknown, 1)
	marker := movelist.Thing{Kind: wire.MoveRegion, PID: gone, Region: 77}
	for range 3 { // looks go by
		for _, id := range []wire.NodeID{"p1", "p2", "m1", "m2", "s1", "s2"} {
			mark := marker
			switch id[0] {
			case 'p':
				mark = movelist.Thing{Kind: wire.MoveProcess, PID: gone}
			case 's':
				mark = movelist.Thing{Kind: wire.MoveVolume, Volume: left[2].Volume}
			}
			w.put(id, mark, 1)
			until(t, "a look at "+string(id), func() bool { return !slices.Contains(at(mark), id) })
		}
	}
	if len(at(region)) != 1 || len(at(process)) != 2 || len(at(unknown)) != 1 {
		t.Errorf("vRegion at %v, process at %v, a volume of nobody at %v: something was dropped that may not be", at(region), at(process), at(unknown))
	}
	w.mu.Lock()
	w.hold = false
	for _, f := range w.nodes {
		delete(f.holds, unknown)
		if f.holds[process] == 9 {
			delete(f.holds, process)
		}
	}
	w.mu.Unlock()
	if mv := w.ended(id); mv.State != wire.MoveDone {
		t.Errorf("%+v", mv)
	}
	w.put(other(region), region, 1) // the older copy
	until(t, "the older copy is dropped", func() bool { return len(at(region)) == 1 })
	if _, epoch := w.where(region); epoch != 2 {
		t.Errorf("vRegion under epoch %d, want 2", epoch)
	}
	w.audit()
	if err := cl.Release(within(t), pid); err != nil {
		t.Error(err)
	}
	for _, thing := range things {
		until(t, thing.String()+" is dropped", func() bool { return len(at(thing)) == 0 })
	}
	w.audit()
}

// TestBalances: vRegions move from where traffic is to where none is, and then stay; a component that joins gets some.
func TestBalances(t *testing.T) {
	t.Parallel()
	c := startCluster(t, func(o *gmanagers.Options) { quick(o); o.GMMPolicy = "best_fit"; o.Balance.GMM.CoolDownMS = 60_000 })
	cl := c.client()
	w := newFakes(t, cl)
	w.add(pcomponent(1, 1<<20))
	w.add(scomponent(1, 1<<30))
	for i := 1; i <= 2; i++ {
		w.add(mcomponent(i, 1<<30))
	}
	ops := map[wire.NodeID]uint64{}
	var beats sync.Mutex
	beating(t, w, func(f *fake) wire.Load {
		beats.Lock()
		defer beats.Unlock()
		for thing := range f.holds {
			if thing.Kind == wire.MoveRegion {
				ops[f.member.ID] += 1000
			}
		}
		return wire.Load{Misses: ops[f.member.ID]}
	})
	w.admit(12) // best_fit puts them all to one, or most if the first moves began before the last came
	held := func(ids ...wire.NodeID) (out []int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, id := range ids {
			n := 0
			for thing := range w.nodes[id].holds {
				if thing.Kind == wire.MoveRegion {
					n++
				}
			}
			out = append(out, n)
		}
		return out
	}
	if h := held("m1", "m2"); max(h[0], h[1]) <= 8 {
		t.Fatalf("vRegions at first: %v, want most at one", h)
	}
	until(t, "both have about half", func() bool { h := held("m1", "m2"); return h[0] >= 5 && h[1] >= 5 })
	w.add(mcomponent(3, 1<<30))
	until(t, "the third has some", func() bool { return held("m3")[0] >= 2 })
	until(t, "an event says that balancing ended", func() bool {
		page, _, err := cl.Events(within(t), wire.GMM, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(page, func(e events.Event) bool {
			return e.Kind == events.Rebalanced && strings.Contains(e.Reason, " ends after ")
		})
	})
	list, err := cl.Moves(within(t), wire.GMM)
	if err != nil || len(list) > 15 {
		t.Errorf("%d moves, %v: want about 9, each vRegion once or twice", len(list), err)
	}
	for _, m := range list {
		if m.Cause != movelist.Balance || m.Reason == "" {
			t.Errorf("move without a reason: %+v", m)
		}
	}
	w.audit()
}

// TestMoverLeaderCrashes: the leader of GMM ends as kill -9 would, just before each step of a move. The next leader brings the
// move to its end, and the books agree.
func TestMoverLeaderCrashes(t *testing.T) {
	t.Parallel() // it waits for elections most of the time
	var armed atomic.Pointer[string]
	reached := make(chan wire.NodeID, 1)
	c := startCluster(t, func(o *gmanagers.Options) {
		o.ElectionTicks = 20
		id := o.ID
		o.OnStep = func(ctx context.Context, step string) {
			if want := armed.Load(); want != nil && *want == step && armed.CompareAndSwap(want, nil) {
				reached <- id
				<-ctx.Done() // this step and all behind it are never sent
			}
		}
	})
	cl := c.client()
	w := newFakes(t, cl)
	w.add(pcomponent(1, 1<<20))
	w.add(scomponent(1, 1<<30))
	m := map[wire.NodeID]*fake{}
	for i := 1; i <= 3; i++ {
		f := w.add(mcomponent(i, 1<<30))
		m[f.member.ID] = f
	}
	_, things := w.admit(1)
	region := things[len(things)-1]
	for _, step := range []string{"start gmm", "poll gmm", "propose gmm", "forget gmm", "drop gmm"} {
		armed.Store(&step)
		id, err := cl.Move(within(t), region, "")
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		select {
		case dead := <-reached:
			for i, n := range c.nodes {
				if n.id == dead {
					c.crash(i)
					c.start(i)
				}
			}
		case <-within(t).Done():
			t.Fatalf("%s: was not reached", step)
		}
		if mv := w.ended(id); mv.State != wire.MoveDone {
			t.Errorf("%s: %+v", step, mv)
		}
		if at, epoch := w.where(region); len(at) != 1 || epoch == 0 {
			t.Errorf("%s: served by %v", step, at)
		}
		until(t, "the giver has forgotten it", func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, f := range w.nodes {
				if len(f.moves) > 0 {
					return false
				}
			}
			return true
		})
		w.audit()
	}
}

// TestMoveEnds: a giver that starts again in the middle has lost the vRegion; a taker that is gone leaves it where
// it was, under the epoch of the undo, and it can move again; a process that ends in the middle leaves nothing booked.
func TestMoveEnds(t *testing.T) {
	t.Parallel()
	c := startCluster(t, nil)
	cl := c.client()
	w := newFakes(t, cl)
	w.add(pcomponent(1, 1<<20))
	w.add(scomponent(1, 1<<30))
	m := map[wire.NodeID]*fake{}
	for i := 1; i <= 3; i++ {
		f := w.add(mcomponent(i, 1<<30))
		m[f.member.ID] = f
	}
	held := func(on bool) { w.mu.Lock(); w.hold = on; w.mu.Unlock() }
	pid, things := w.admit(1)
	region := things[len(things)-1]
	giver, _ := w.where(region)
	home, _ := w.where(things[0])
	var taker wire.NodeID // whose loss costs the process nothing else
	for id := range m {
		if id != giver[0] && id != home[0] {
			taker = id
		}
	}

	held(true)
	id, err := cl.Move(within(t), region, taker)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		thing movelist.Thing
		to    wire.NodeID
		want  error
	}{
		{region, taker, wire.ErrBusy}, {things[0], "", wire.ErrBusy}, {movelist.Thing{Kind: wire.MoveRegion, PID: pid, Region: 99}, "", wire.ErrNotFound},
		{movelist.Thing{Kind: wire.MoveProcess, PID: pid}, "", wire.ErrNoRoom}, {movelist.Thing{Kind: wire.MoveVolume, Volume: 1}, "s1", wire.ErrExists},
		{movelist.Thing{Kind: wire.MoveVolume, Volume: 1}, "s9", wire.ErrUnavailable}, {movelist.Thing{Kind: wire.MoveVolume, PID: 1, Volume: 1}, "s1", wire.ErrBadRequest},
	} {
		if _, err := cl.Move(within(t), bad.thing, bad.to); !errors.Is(err, bad.want) {
			t.Errorf("%v to %q: %v, want %v", bad.thing, bad.to, err, bad.want)
		}
	}
	until(t, "the giver has the order", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(m[giver[0]].moves) == 1 })
	m[taker].stop()
	held(false)
	if mv := w.ended(id); mv.State != wire.MoveUndone || mv.Epoch != 3 {
		t.Errorf("a taker that is gone: %+v", mv)
	}
	m[taker].start()
	w.audit()

	held(true)
	if id, err = cl.Move(within(t), region, taker); err != nil {
		t.Fatal(err)
	}
	until(t, "the giver has the order", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(m[giver[0]].moves) == 1 })
	if err := cl.Release(within(t), pid); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	for _, f := range w.nodes {
		clear(f.holds)
	}
	w.mu.Unlock()
	m[giver[0]].stop()
	m[giver[0]].start()
	if mv := w.ended(id); mv.State != wire.MoveLost {
		t.Errorf("a process that ended, whose giver started again: %+v", mv)
	}
	held(false)
	w.audit()

	// What its component has ended is not lost when its move begins, for neither component has lost anything.
	pid, things = w.admit(1)
	process, region := things[1], things[len(things)-1]
	w.add(pcomponent(2, 1<<20))
	for _, thing := range []movelist.Thing{process, region} {
		w.mu.Lock()
		for _, f := range w.nodes {
			delete(f.holds, thing)
		}
		w.mu.Unlock()
		if id, err = cl.Move(within(t), thing, ""); err != nil {
			t.Fatal(err)
		}
		if mv := w.ended(id); mv.State != wire.MoveUndone || !strings.Contains(mv.Text, "its process has ended") {
			t.Errorf("%v, which has ended: %+v", thing, mv)
		}
	}
	if err := cl.Release(within(t), pid); err != nil {
		t.Errorf("a process that ended: %v", err)
	}
	w.mu.Lock()
	for _, f := range w.nodes {
		clear(f.holds)
	}
	w.mu.Unlock()
	w.audit()
	page, _, err := cl.Events(within(t), wire.GPM, 0, 0)
	if err != nil || slices.ContainsFunc(page, func(e events.Event) bool { return e.Kind == events.Lost }) {
		t.Errorf("events %+v, %v; want nothing lost", page, err)
	}
	for id := range m {
		if d, err := cl.DrainStatus(within(t), wire.RoleMemory, id); err != nil || d.Left != 0 {
			t.Errorf("%s: %+v, %v; want nothing", id, d, err)
		}
	}
}

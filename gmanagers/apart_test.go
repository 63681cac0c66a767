package gmanagers_test

import (
	"slices"
	"strings"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
)

// racks gives the rack of each component of TestApart.
var racks = map[wire.NodeID]string{}

// TestApart: two vNodes of a group share no rack at any manager, a third is refused and waits, a move cannot put them together, and
// a drain waits until there is a rack for what it must move.
func TestApart(t *testing.T) {
	c := startCluster(t, quick)
	cl := c.client()
	w := newFakes(t, cl)
	add := func(i int, rack string) {
		for _, m := range []wire.Member{pcomponent(i, 1<<20), mcomponent(i, 1<<30), scomponent(i, 1<<30)} {
			m.Rack = rack
			racks[m.ID] = rack
			w.add(m)
		}
	}
	add(1, "r1")
	add(2, "r1")
	add(3, "r2")
	beating(t, w, func(*fake) wire.Load { return wire.Load{} })
	spec := vnode("web", 100, 2, 10)
	spec.Apart = apart.Rule{Group: "web", Level: apart.Rack}
	queued := spec
	queued.IfFull = admission.Queue // GSM's leader may hear a moment later of the last mComponents
	a, _ := w.admitAs(queued, 3)
	b, things := w.admitAs(queued, 3)
	w.apart(a, b)

	const group = `of group "default/web"`
	if _, err := cl.Admit(within(t), spec); wire.KindOf(err) != wire.KindNoRoom || !has(err, "apart: ") || !has(err, group) || !has(err, "is in rack") {
		t.Errorf("a third: %v", err)
	}
	far := map[movelist.Thing]wire.NodeID{} // of b, a component in the rack of a
	for _, thing := range things {
		ids, _ := w.where(thing)
		for id, f := range w.nodes {
			if f.member.Role == w.nodes[ids[0]].member.Role && racks[id] != racks[ids[0]] {
				far[thing] = id
			}
		}
		if _, err := cl.Move(within(t), thing, far[thing]); wire.KindOf(err) != wire.KindNoRoom || !has(err, "is apart from") || !has(err, group) {
			t.Errorf("%v to %s: %v", thing, far[thing], err)
		}
	}
	ids := []struct {
		role wire.Role
		g    wire.Manager
		id   wire.NodeID
	}{{wire.RoleCompute, wire.GPM, "p3"}, {wire.RoleMemory, wire.GMM, "m3"}, {wire.RoleStorage, wire.GSM, "s3"}}
	for _, d := range ids { // r2 has one component of each role; what is there can go nowhere
		switch err := cl.Drain(within(t), d.role, d.id); {
		case err == nil:
		case d.id == "m3" && has(err, "cannot be drained") && has(err, group): // what is reserved there
			continue
		default:
			t.Fatal(err)
		}
		until(t, string(d.id)+" is stuck", func() bool {
			st, err := cl.DrainStatus(within(t), d.role, d.id)
			return err == nil && strings.Contains(strings.Join(st.Stuck, "; "), `is apart from group "default/web" by rack`)
		})
		until(t, "an event says why "+string(d.id)+" is stuck", func() bool {
			page, _, err := cl.Events(within(t), d.g, 0, 0)
			return err == nil && slices.ContainsFunc(page, func(e events.Event) bool {
				return e.Kind == events.Stuck && e.Node == d.id && strings.Contains(e.Reason, "default/web")
			})
		})
	}
	add(4, "r3")
	for _, d := range ids {
		until(t, string(d.id)+" is empty", func() bool {
			if err := cl.Drain(within(t), d.role, d.id); err != nil && d.id != "m3" {
				t.Fatal(err)
			}
			st, err := cl.DrainStatus(within(t), d.role, d.id)
			return err == nil && st.Drains && st.Left == 0
		})
	}
	w.apart(a, b)
	queued.Name = "third"
	third := admit(t, cl, queued)
	until(t, "a third waits", func() bool { return names(t, cl) == "third" })

	if err := cl.Release(within(t), a.PID); err != nil {
		t.Fatal(err)
	}
	w.apart(third.must(t), b)
}

// apart checks that two vNodes share neither a component nor a rack at any manager.
func (w *fakes) apart(a, b admission.Placement) {
	w.t.Helper()
	at := func(p admission.Placement) (ps, ms, ss, cs []wire.NodeID) {
		p, err := w.cl.Where(within(w.t), p.PID)
		if err != nil {
			w.t.Fatal(err)
		}
		homes, err := w.cl.Regions(within(w.t), p.PID)
		if err != nil || len(homes) != 1 {
			w.t.Fatal(homes, err)
		}
		ms = append(ms, homes[0].Home)
		for _, r := range homes[0].Regions {
			ms = append(ms, r.Node)
		}
		for _, r := range homes[0].Reserved {
			ms = append(ms, r.Node)
		}
		return []wire.NodeID{p.Node}, ms, []wire.NodeID{p.Volumes[0].Storage}, []wire.NodeID{p.Volumes[0].Cache}
	}
	pa, ma, sa, ca := at(a)
	pb, mb, sb, cb := at(b)
	for _, pair := range [][2][]wire.NodeID{{pa, pb}, {ma, mb}, {sa, sb}, {ca, cb}} {
		for _, x := range pair[0] {
			for _, y := range pair[1] {
				if x == y || racks[x] == racks[y] {
					w.t.Errorf("%+v and %+v: %s in rack %s, %s in rack %s", a, b, x, racks[x], y, racks[y])
				}
			}
		}
	}
}

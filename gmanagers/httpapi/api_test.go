package httpapi_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/httpapi"
	"splitkernel/netlayer/wire"
)

// TestEveryRouteIsDescribed: the contract has the operations and parameters of the code, and no others.
func TestEveryRouteIsDescribed(t *testing.T) {
	c := readContract(t, httpapi.OpenAPI())
	var served []string
	for _, r := range httpapi.Routes() {
		served = append(served, r.Method+" "+r.Path)
		op, parameters := c.operation(r.Method, r.Path)
		if op == nil {
			continue // told below
		}
		var query, path []string
		for _, p := range parameters {
			name := at(p, "name").(string)
			switch at(p, "in") {
			case "query":
				query = append(query, name)
			case "path":
				path = append(path, name)
				if !strings.Contains(r.Path, "{"+name+"}") || at(p, "required") != true {
					t.Errorf("%s %s: parameter %s of the path is not there or not required", r.Method, r.Path, name)
				}
			}
		}
		slices.Sort(query)
		want := slices.Sorted(slices.Values(r.Query))
		if !slices.Equal(query, want) || len(path) != strings.Count(r.Path, "{") {
			t.Errorf("%s %s: the contract has parameters %v and %v in the path, the code %v", r.Method, r.Path, query, path, want)
		}
		if body := at(op, "requestBody") != nil; body != r.Body {
			t.Errorf("%s %s: body in the contract: %v, in the code: %v", r.Method, r.Path, body, r.Body)
		}
		if at(op, "operationId") == nil || at(op, "summary") == nil || at(op, "responses", "default") == nil {
			t.Errorf("%s %s: no operationId, summary or default response", r.Method, r.Path)
		}
	}
	slices.Sort(served)
	if described := c.operations(); !slices.Equal(served, described) {
		t.Errorf("served %v, described %v", served, described)
	}
}

const one = `{"name": "one", "threads": 2, "excache_lines": 10, "memory_bytes": 3145728, "volumes": [{"name": "disk", "size_bytes": 5000}]}`

// TestTheLifeOfAVNode: created at one manager, seen at the others, deleted at a third; what the components hold follows.
func TestTheLifeOfAVNode(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, "", pcomponent("p1"), mcomponent("m1"), mcomponent("m2"), scomponent("s1"))
	var v httpapi.VNode
	a := c.ok(0, "POST", "/vnodes", one, http.StatusCreated, &v)
	if a.header.Get("Location") != fmt.Sprintf("/api/v1/vnodes/%d", v.PID) || v.Node != "p1" || v.Home == nil || len(v.Volumes) != 1 || v.Volumes[0].Name != "disk" || v.Volumes[0].SizeBytes != 8192 {
		t.Errorf("created %s: %+v", a.header.Get("Location"), v)
	}
	if held := c.parts["s1"].holds.Holds.Volumes; len(held) != 1 || held[0].SizeBytes != 8192 {
		t.Errorf("s1 stores %+v, want the volume", held)
	}
	c.parts["p1"].mu.Lock()
	c.parts["p1"].running[v.PID] = httpapi.Progress{State: "running", References: 7}
	c.parts["p1"].mu.Unlock()
	at := fmt.Sprintf("/vnodes/%d", v.PID)
	eventually(t, "the vNode, which is answered when it is decided, runs", func() bool {
		var d httpapi.VNodeDetail
		c.ok(0, "GET", at, "", http.StatusOK, &d)
		return d.Phase == "running"
	})
	for i := range c.apis { // whoever is asked, a follower too
		var d httpapi.VNodeDetail
		c.ok(i, "GET", at, "", http.StatusOK, &d)
		if d.Progress == nil || d.Progress.References != 7 || reserved(d) != 3 || d.Volumes[0].Name != "disk" || d.Phase != "running" {
			t.Errorf("at g%d: %+v", i+1, d)
		}
		var list httpapi.VNodes
		c.ok(i, "GET", "/vnodes", "", http.StatusOK, &list)
		if len(list.VNodes) != 1 || list.VNodes[0].Volumes[0].Name != "disk" {
			t.Errorf("at g%d: %+v", i+1, list)
		}
	}
	if _, err := c.gm.ActivateRegion(within(t), v.PID, 5); err != nil {
		t.Fatal(err)
	}
	var d httpapi.VNodeDetail
	c.ok(1, "GET", at, "", http.StatusOK, &d)
	if len(d.Regions) != 1 || d.Regions[0].Region != 5 || reserved(d) != 2 {
		t.Errorf("an active vRegion: %+v", d)
	}
	holds := map[string]httpapi.NodeHolds{}
	for _, id := range []string{"p1", "m1", "m2", "s1", "g1"} {
		var n httpapi.NodeDetail
		c.ok(1, "GET", "/nodes/"+id, "", http.StatusOK, &n)
		holds[id] = n.Holds
	}
	if len(holds["p1"].Processes) != 1 || len(holds["s1"].Volumes) != 1 || len(holds["m1"].Homes)+len(holds["m2"].Homes) != 1 ||
		holds["m1"].Regions+holds["m2"].Regions != 1 || holds["m1"].ReservedRegions+holds["m2"].ReservedRegions != 2 || len(holds["m1"].Caches)+len(holds["m2"].Caches) != 1 {
		t.Errorf("nodes hold %+v", holds)
	}
	var rep httpapi.AuditReport
	c.ok(2, "GET", "/audit", "", http.StatusOK, &rep)
	if len(rep.Differences) > 0 || rep.VNodes != 1 || rep.Components != 4 {
		t.Errorf("audit %+v", rep)
	}
	var before httpapi.Events
	c.ok(0, "GET", "/events", "", http.StatusOK, &before)
	var gone httpapi.Deleted
	c.ok(2, "DELETE", at, "", http.StatusOK, &gone)
	c.followsEvents(before)
	p1, s1 := c.parts["p1"], c.parts["s1"]
	if gone.PID != v.PID || !slices.Equal(p1.stopped, []wire.PID{v.PID}) || len(s1.holds.Holds.Volumes) != 0 {
		t.Errorf("deleted %+v; stopped %v, stored %v", gone, p1.stopped, s1.holds.Holds.Volumes)
	}
	c.refused(0, "GET", at, "", http.StatusNotFound, "not_found", "(there is none)")
	c.refused(0, "DELETE", at, "", http.StatusNotFound, "not_found")

	var kept httpapi.VNode
	var found httpapi.VNodeDetail
	c.ok(0, "POST", "/vnodes", `{"threads": 1, "excache_lines": 1, "memory": {"replication": "log", "log_full": "skip"}}`, http.StatusCreated, &kept)
	c.ok(0, "GET", fmt.Sprintf("/vnodes/%d", kept.PID), "", http.StatusOK, &found)
	if m := found.Memory; m == nil || m.Replication != "log" || m.Copies != 1 || m.LogFull != "skip" || m.Backup == "" || m.Backup == kept.Home.Node {
		t.Errorf("memory %+v, asked for a log of one copy that skips; home at %+v", found.Memory, kept.Home)
	}
	c.ok(0, "DELETE", fmt.Sprintf("/vnodes/%d", kept.PID), "", http.StatusOK, nil)
	c.ok(0, "POST", "/vnodes", `{"threads": 1, "excache_lines": 1, "restart": true, "volumes": [{"size_bytes": 4096}]}`, http.StatusCreated, &kept)
	if ps, err := c.gm.Process(within(t), kept.PID); err != nil || len(ps) != 1 || !ps[0].Restart {
		t.Errorf("%+v, %v: want one that goes on from a checkpoint", ps, err)
	}
	c.ok(0, "DELETE", fmt.Sprintf("/vnodes/%d", kept.PID), "", http.StatusOK, nil)

	var st httpapi.Status
	c.ok(0, "GET", "/status", "", http.StatusOK, &st)
	if st.Node != "g1" || len(st.Managers) != 3 || len(st.Managers[0].Replicas) != 3 || len(st.Nodes) != 7 || len(st.Warnings) != 0 {
		t.Errorf("status %+v", st)
	}
	var nodes httpapi.Nodes
	c.ok(0, "GET", "/nodes", "", http.StatusOK, &nodes)
	if len(nodes.Nodes) != 7 || nodes.Nodes[3].ID != "p1" || nodes.Nodes[3].Epoch != 1 {
		t.Errorf("nodes %+v", nodes)
	}
	c.drains()
	c.moves()
	c.ok(0, "GET", "/openapi.json", "", http.StatusOK, nil)
	for _, op := range c.check.operations() {
		if !c.seen[op] {
			t.Errorf("%s was not tried", op)
		}
	}
}

// moves: a home moves by hand, its giver tells how far it is, and how it ended is told; what cannot move is refused.
func (c *cluster) moves() {
	t := c.t
	t.Helper()
	c.join(mcomponent("m5"))
	c.join(mcomponent("m6"))
	var v httpapi.VNode
	c.ok(0, "POST", "/vnodes", `{"threads": 1, "excache_lines": 1}`, http.StatusCreated, &v)
	to := map[bool]string{true: "m6", false: "m5"}[v.Home.Node == "m5"]
	var m httpapi.Move
	a := c.ok(1, "POST", "/moves", fmt.Sprintf(`{"kind": "home", "pid": %d, "to": %q}`, v.PID, to), http.StatusAccepted, &m)
	at := fmt.Sprintf("/moves/gmm/%d", m.Move)
	if m.From != v.Home.Node || m.To != to || m.Cause != "by_hand" || a.header.Get("Location") != "/api/v1"+at {
		t.Errorf("ordered %+v", m)
	}
	c.refused(0, "POST", "/moves", fmt.Sprintf(`{"kind": "home", "pid": %d, "to": %q}`, v.PID, to), http.StatusConflict, "busy")
	eventually(t, "its giver tells how far it is", func() bool {
		c.ok(2, "GET", at, "", http.StatusOK, &m)
		return m.Progress != nil && m.Progress.State == "copying" && m.Progress.TotalBytes == 1000
	})
	var list httpapi.Moves
	c.ok(0, "GET", fmt.Sprintf("/moves?active=true&manager=gmm&pid=%d", v.PID), "", http.StatusOK, &list)
	if len(list.Moves) != 1 || list.Moves[0].State != "under_way" {
		t.Errorf("moves %+v", list)
	}
	giver := c.parts[v.Home.Node]
	giver.mu.Lock()
	giver.moved = true
	giver.mu.Unlock()
	eventually(t, "it has ended", func() bool {
		c.ok(2, "GET", at, "", http.StatusOK, &m)
		return m.Ended != nil
	})
	if m.State != "done" || m.Bytes != 1000 || m.PauseUS != 70 {
		t.Errorf("ended %+v", m)
	}
	var d httpapi.VNodeDetail
	c.ok(0, "GET", fmt.Sprintf("/vnodes/%d", v.PID), "", http.StatusOK, &d)
	c.ok(0, "GET", "/moves?active=true", "", http.StatusOK, &list)
	if d.Home.Node != to || d.Home.Epoch != 2 || len(list.Moves) != 0 {
		t.Errorf("home %+v, want it at %s; moves %+v", d.Home, to, list)
	}
	const bad = http.StatusBadRequest
	c.refused(0, "POST", "/moves", `{"kind": "mountain", "pid": 1}`, bad, "bad_request", "want one of vregion, home, process, volume, buffer_cache")
	c.refused(0, "POST", "/moves", `{"kind": "home", "pid": 1, "vregion": 0}`, bad, "bad_request", "vregion")
	c.refused(0, "POST", "/moves", `{"kind": "vregion", "pid": 1}`, bad, "bad_request", "vregion")
	c.refused(0, "POST", "/moves", `{"kind": "home"}`, bad, "bad_request", "want its own ids")
	c.refused(0, "POST", "/moves", `{"kind": "home", "pid": 999, "to": "m6"}`, http.StatusNotFound, "not_found")
	c.refused(0, "POST", "/moves", fmt.Sprintf(`{"kind": "home", "pid": %d, "to": "m99"}`, v.PID), http.StatusNotFound, "not_found", "m99", "want one of")
	c.refused(0, "GET", "/moves/gmm/99", "", http.StatusNotFound, "not_found")
	c.refused(0, "GET", "/moves/gum/1", "", bad, "bad_request")
	c.refused(0, "GET", "/moves?active=perhaps", "", bad, "bad_request")
	c.ok(0, "DELETE", fmt.Sprintf("/vnodes/%d", v.PID), "", http.StatusOK, nil)
}

// drains: a component is drained, opened, drained and removed; what stands against it is told.
func (c *cluster) drains() {
	t := c.t
	t.Helper()
	var n httpapi.Node
	c.ok(1, "POST", "/nodes/m2/drain", "", http.StatusOK, &n)
	if n.State != "draining" {
		t.Errorf("drained %+v", n)
	}
	c.refused(2, "POST", "/nodes/m1/drain", "", http.StatusUnprocessableEntity, "no_room", "m1 is the last active mComponent")
	var st httpapi.Status
	c.ok(2, "GET", "/status", "", http.StatusOK, &st)
	if !slices.Contains(st.Warnings, "mcomponent m2 is draining: 0 things are left, 0 are moving") {
		t.Errorf("warnings %q", st.Warnings)
	}
	var d httpapi.NodeDetail
	if c.ok(0, "GET", "/nodes/m2", "", http.StatusOK, &d); d.Drain == nil || d.Drain.Left != 0 || len(d.Drain.Things) != 3 {
		t.Errorf("draining %+v", d.Drain)
	}
	c.ok(2, "POST", "/nodes/m2/undrain", "", http.StatusOK, &n)
	if n.State != "active" {
		t.Errorf("undrained %+v", n)
	}
	c.refused(0, "DELETE", "/nodes/m2", "", http.StatusConflict, "busy", "drain it first")
	c.refused(0, "DELETE", "/nodes/g1", "", http.StatusBadRequest, "bad_request", "is a manager")
	c.refused(0, "DELETE", "/nodes/m9", "", http.StatusNotFound, "not_found", "want one of: p1, m1, m2, s1")
	c.refused(0, "POST", "/nodes/s1/drain", "", http.StatusUnprocessableEntity, "no_room")
	var v httpapi.VNode
	c.ok(0, "POST", "/vnodes", `{"threads": 1, "excache_lines": 1}`, http.StatusCreated, &v)
	other := map[string]string{"m1": "m2", "m2": "m1"}[v.Home.Node]
	c.ok(0, "POST", "/nodes/"+v.Home.Node+"/drain", "", http.StatusOK, nil)
	c.refused(0, "DELETE", "/nodes/"+v.Home.Node, "", http.StatusConflict, "busy", "still has")
	c.ok(0, "DELETE", fmt.Sprintf("/vnodes/%d", v.PID), "", http.StatusOK, nil)
	var gone httpapi.RemovedNode
	c.ok(0, "DELETE", "/nodes/"+v.Home.Node, "", http.StatusOK, &gone)
	var nodes httpapi.Nodes
	c.ok(0, "GET", "/nodes", "", http.StatusOK, &nodes)
	if gone.Epoch != 1 || slices.ContainsFunc(nodes.Nodes, func(n httpapi.Node) bool { return n.ID == v.Home.Node }) {
		t.Errorf("removed %+v, left %+v", gone, nodes)
	}
	c.ok(0, "GET", "/nodes/"+other, "", http.StatusOK, nil)
}

// followsEvents: the log tells the life of the vNode, read at once, in small steps, by manager, and from where a reader was.
func (c *cluster) followsEvents(before httpapi.Events) {
	t := c.t
	t.Helper()
	kinds := func(es []httpapi.Event) (out []string) {
		for _, e := range es {
			out = append(out, e.Kind)
		}
		return out
	}
	var all httpapi.Events
	c.ok(1, "GET", "/events?since=0&limit=1000", "", http.StatusOK, &all)
	for _, want := range []string{"registered", "placed_process", "placed_home", "placed_volume", "placed_cache", "placed_vregion", "released"} {
		if !slices.Contains(kinds(all.Events), want) {
			t.Errorf("no event %s in %v", want, kinds(all.Events))
		}
	}
	var stepped []httpapi.Event
	for since := "0"; ; {
		var page httpapi.Events
		c.ok(2, "GET", "/events?limit=2&since="+since, "", http.StatusOK, &page)
		stepped, since = append(stepped, page.Events...), page.Next
		if len(page.Events) == 0 {
			break
		}
	}
	var later httpapi.Events
	c.ok(0, "GET", "/events?since="+before.Next, "", http.StatusOK, &later)
	joined := append(slices.Clone(before.Events), later.Events...)
	by := func(es []httpapi.Event, manager string) (seqs []uint64) {
		for _, e := range es {
			if e.Manager == manager {
				seqs = append(seqs, e.Seq)
			}
		}
		return seqs
	}
	for _, m := range []string{"gpm", "gmm", "gsm"} {
		var own httpapi.Events
		c.ok(0, "GET", "/events?since=0&manager="+m, "", http.StatusOK, &own)
		want := by(own.Events, m)
		if len(want) == 0 || want[0] != 1 || !slices.Equal(want, by(all.Events, m)) || !slices.Equal(want, by(stepped, m)) || !slices.Equal(want, by(joined, m)) {
			t.Errorf("%s has %v; all at once %v, in steps %v, from where a reader was %v", m, want, by(all.Events, m), by(stepped, m), by(joined, m))
		}
	}
	var some httpapi.Events
	c.ok(0, "GET", "/events?kind=placed_process&pid=1", "", http.StatusOK, &some)
	if len(some.Events) != 1 || some.Events[0].Node != "p1" || len(some.Events[0].Candidates) != 1 || some.Events[0].Policy == "" || !strings.Contains(some.Events[0].Text, "p1") {
		t.Errorf("placed: %+v", some.Events)
	}
	c.ok(0, "GET", "/events?limit=1", "", http.StatusOK, &some)
	if len(some.Events) != 1 || some.Events[0].Seq != all.Events[len(all.Events)-1].Seq {
		t.Errorf("the latest: %+v", some.Events)
	}
}

func reserved(d httpapi.VNodeDetail) (n uint64) {
	for _, r := range d.Reserved {
		n += r.Regions
	}
	return n
}

// TestWhatComponentsRefuse: a volume that cannot be made leaves nothing; a delete that cannot be carried out changes nothing
// unless it is forced.
func TestWhatComponentsRefuse(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, "", pcomponent("p1"), mcomponent("m1"), scomponent("s1"))
	refuse := func(id string, op wire.Op, err error) {
		p := c.parts[id]
		p.mu.Lock()
		defer p.mu.Unlock()
		p.refuse[op] = err
	}
	refuse("s1", wire.OpVolumeCreate, wire.Errorf(wire.KindNoSpace, "the disk is full"))
	c.refused(0, "POST", "/vnodes", one, http.StatusUnprocessableEntity, "no_space", `volume "disk" at s1: the disk is full`)
	refuse("s1", wire.OpVolumeCreate, nil)
	var list httpapi.VNodes
	c.ok(0, "GET", "/vnodes", "", http.StatusOK, &list)
	if len(list.VNodes) != 0 {
		t.Errorf("left %+v", list)
	}
	var v httpapi.VNode
	c.ok(0, "POST", "/vnodes", one, http.StatusCreated, &v)
	at := fmt.Sprintf("/vnodes/%d", v.PID)
	refuse("s1", wire.OpVolumeDelete, wire.Errorf(wire.KindInternal, "a read-only disk"))
	c.refused(0, "DELETE", at, "", http.StatusInternalServerError, "internal", "was not released", "a read-only disk", "force=true")
	refuse("p1", wire.OpProcessStop, wire.Errorf(wire.KindInternal, "no"))
	c.refused(0, "DELETE", at, "", http.StatusInternalServerError, "internal", "stop of process 2 at p1")
	c.ok(0, "GET", at, "", http.StatusOK, nil)
	var gone httpapi.Deleted
	c.ok(0, "DELETE", at+"?force=true", "", http.StatusOK, &gone)
	if len(gone.Warnings) != 2 {
		t.Errorf("%+v, want two warnings", gone)
	}
	var rep httpapi.AuditReport
	c.ok(0, "GET", "/audit", "", http.StatusOK, &rep)
	if len(rep.Differences) != 1 || rep.Differences[0].Where != "s1" {
		t.Errorf("audit %+v, want the volume that s1 still stores", rep)
	}
}

// TestAMovingProcessIsStopped: a delete waits while the process switches over.
func TestAMovingProcessIsStopped(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, "", pcomponent("p1"), mcomponent("m1"), scomponent("s1"))
	var v httpapi.VNode
	c.ok(0, "POST", "/vnodes", one, http.StatusCreated, &v)
	p := c.parts["p1"]
	p.mu.Lock()
	p.running[v.PID] = httpapi.Progress{State: "running"}
	p.busy = 3
	p.mu.Unlock()
	c.ok(0, "DELETE", fmt.Sprintf("/vnodes/%d", v.PID), "", http.StatusOK, nil)
	if p.busy != 0 || len(p.stopped) != 1 {
		t.Errorf("busy %d times more, stopped %v", p.busy, p.stopped)
	}
}

// TestAVNodeWaitsForRoom: the request is answered when there is room, or when the wait is over.
func TestAVNodeWaitsForRoom(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, "", pcomponent("p1"), mcomponent("m1"), scomponent("s1"))
	var v httpapi.VNode
	c.ok(0, "POST", "/vnodes", `{"threads": 1, "excache_lines": 900}`, http.StatusCreated, &v)
	c.refused(0, "POST", "/vnodes", `{"threads": 1, "excache_lines": 900, "if_full": "queue", "deadline_ms": 300}`, http.StatusUnprocessableEntity, "no_room")
	c.refused(0, "POST", "/vnodes", `{"threads": 1, "excache_lines": 900, "if_full": "perhaps"}`, http.StatusBadRequest, "bad_request", "if_full")
	c.refused(0, "POST", "/vnodes", `{"threads": 1, "excache_lines": 900, "deadline_ms": 4000000000}`, http.StatusBadRequest, "bad_request", "deadline_ms")
	var asking sync.WaitGroup
	var w httpapi.VNode
	asking.Go(func() {
		c.ok(0, "POST", "/vnodes", `{"threads": 1, "excache_lines": 900, "tenant": "blue", "priority": 7, "if_full": "queue", "deadline_ms": 30000}`, http.StatusCreated, &w)
	})
	eventually(t, "it waits", func() bool {
		var es httpapi.Events
		c.ok(0, "GET", "/events?kind=queued", "", http.StatusOK, &es)
		return len(es.Events) >= 2
	})
	c.ok(0, "DELETE", fmt.Sprintf("/vnodes/%d", v.PID), "", http.StatusOK, nil)
	asking.Wait()
	if w.Tenant != "blue" || w.Priority != 7 {
		t.Errorf("admitted %+v", w)
	}
}

// TestApart: a group is told back, and keeps vNodes and volumes apart.
func TestApart(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, "", pcomponent("p1"), pcomponent("p2"), mcomponent("m1"), mcomponent("m2"), scomponent("s1"), scomponent("s2"))
	body := func(level string) string {
		return fmt.Sprintf(`{"threads": 1, "excache_lines": 9, "apart_from": "web", "apart_level": %q}`, level)
	}
	var v, w httpapi.VNode
	c.ok(0, "POST", "/vnodes", body("component"), http.StatusCreated, &v)
	c.ok(0, "POST", "/vnodes", body(""), http.StatusCreated, &w)
	var d httpapi.VNodeDetail
	c.ok(0, "GET", fmt.Sprintf("/vnodes/%d", w.PID), "", http.StatusOK, &d)
	if v.Node == w.Node || v.Home.Node == w.Home.Node || d.ApartFrom != "web" || d.ApartLevel != "component" || w.ApartFrom != "web" {
		t.Errorf("%+v and %+v, which is shown as %+v", v, w, d)
	}
	c.refused(0, "POST", "/vnodes", body("component"), http.StatusUnprocessableEntity, "no_room", `has process 1 of group "default/web"`)
	c.refused(0, "POST", "/vnodes", body("row"), http.StatusBadRequest, "bad_request", "apart_level", "want component or rack")
	c.refused(0, "POST", "/vnodes", `{"threads": 1, "excache_lines": 9, "apart_from": "a b"}`, http.StatusBadRequest, "bad_request", "apart")
	mirrored := `{"threads": 1, "excache_lines": 9, "volumes": [{"name": "a", "size_bytes": 1, "apart_from": "mirror"}, {"name": "b", "size_bytes": 1, "apart_from": "mirror"}%s]}`
	var x httpapi.VNode
	c.ok(0, "POST", "/vnodes", fmt.Sprintf(mirrored, ""), http.StatusCreated, &x)
	if a, b := x.Volumes[0], x.Volumes[1]; a.Storage == b.Storage || a.Cache == b.Cache || a.ApartFrom != "mirror" || a.ApartLevel != "component" {
		t.Errorf("%+v", x.Volumes)
	}
	c.refused(0, "POST", "/vnodes", fmt.Sprintf(mirrored, `, {"name": "c", "size_bytes": 1, "apart_from": "mirror"}`), http.StatusUnprocessableEntity, "no_room", "apart: ", `of group "default/mirror"`)
}

// TestBadRequests: whatever is wrong, a problem says so and nothing is done.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, "", pcomponent("p1"), mcomponent("m1"), scomponent("s1"))
	const bad = http.StatusBadRequest
	c.refused(0, "POST", "/vnodes", `{"threads": 1, "excache_lines": 1, "colour": "red"}`, bad, "bad_request", `unknown field "colour"`)
	c.refused(0, "POST", "/vnodes", `{"threads": -1}`, bad, "bad_request", "threads: -1 is not an integer from 0 to 4294967295")
	c.refused(0, "POST", "/vnodes", `{"threads": 99999999999}`, bad, "bad_request", "threads: 99999999999 is not an integer from 0 to 4294967295")
	c.refused(0, "POST", "/vnodes", `{"threads": "x"}`, bad, "bad_request", "threads: string is not an integer")
	c.refused(0, "POST", "/moves", `{"kind": "process", "pid": 1, "to": "m1"}`, bad, "bad_request", "to: m1 is no pComponent, want one of p1")
	c.refused(0, "POST", "/vnodes", `{"threads": 0, "excache_lines": 1}`, bad, "bad_request", "threads: 0, want at least 1")
	for _, x := range [][2]string{
		{`{"replication": "perhaps"}`, `memory.replication: "perhaps", want one of erasure, log, none, sync`}, {`{"replication": "sync", "copies": 8}`, "memory.copies: 8, want 1 to 7"},
		{`{"replication": "none", "copies": 1}`, "memory.copies: 1 with replication none"}, {`{"replication": "sync", "log_full": "skip"}`, "memory.log_full: skip with replication sync"},
		{`{"replication": "log", "log_full": "never"}`, `memory.log_full: "never", want block or skip`}, {`{"replication": "log", "data": 1}`, "memory.data: 1"}, {`{"copies": 1}`, "memory.replication"},
	} {
		c.refused(0, "POST", "/vnodes", `{"threads": 1, "excache_lines": 1, "memory": `+x[0]+`}`, bad, "bad_request", x[1])
	}
	c.refused(0, "POST", "/vnodes", `{"threads": 1, "excache_lines": 1, "restart": true}`, bad, "bad_request", "restart: want a volume for its checkpoints")
	c.refused(0, "POST", "/vnodes", `{"threads": 1, "excache_lines": 1} {}`, bad, "bad_request", "more follows")
	c.refused(0, "POST", "/vnodes", `{`, bad, "bad_request")
	c.refused(0, "POST", "/vnodes", `{"name": "`+strings.Repeat("x", httpapi.MaxBodyBytes)+`"}`, http.StatusRequestEntityTooLarge, "too_large")
	c.refused(0, "POST", "/vnodes", `{"threads": 1, "excache_lines": 100000}`, http.StatusUnprocessableEntity, "no_room", "p1 has 1000 of 1000 free (99000 short)")
	c.refused(0, "GET", "/vnodes/0", "", bad, "bad_request", "want a number above 0")
	c.refused(0, "GET", "/vnodes/x", "", bad, "bad_request")
	c.refused(0, "GET", "/vnodes/7", "", http.StatusNotFound, "not_found", "no vNode 7, want one of: (there is none)")
	c.refused(0, "DELETE", "/vnodes/7?force=perhaps", "", bad, "bad_request", "want true or false")
	c.refused(0, "DELETE", "/vnodes/7?force=true&force=true", "", bad, "bad_request", "2 times")
	c.refused(0, "GET", "/vnodes?colour=red", "", bad, "bad_request", "unknown parameter \"colour\", want one of limit, after")
	c.refused(0, "GET", "/vnodes?%zz", "", bad, "bad_request")
	c.refused(0, "GET", "/vnodes?limit=1001", "", bad, "bad_request", "parameter limit: \"1001\", want 1 to 1000")
	c.refused(0, "GET", "/vnodes?after=p1", "", bad, "bad_request", "parameter after")
	for _, after := range []string{"p1", "king:p1"} {
		c.refused(0, "GET", "/nodes?after="+after, "", bad, "bad_request", "want `next` of an answer")
	}
	for _, after := range []string{"1", "1:gpm", "x:gpm:1", "1:gum:1", "1:gpm:x"} {
		c.refused(0, "GET", "/moves?after="+after, "", bad, "bad_request", "want `next` of an answer")
	}
	c.refused(0, "GET", "/nodes/m9", "", http.StatusNotFound, "not_found", `no component "m9", want one of: p1, m1, s1`)
	c.refused(0, "GET", "/events?since=x", "", bad, "bad_request", "want `next` of an answer")
	c.refused(0, "GET", "/events?since=7", "", bad, "bad_request", "a number with manager")
	c.refused(0, "GET", "/events?manager=gpm&since=gpm:1", "", bad, "bad_request")
	c.refused(0, "GET", "/events?limit=1001", "", bad, "bad_request", "want 1 to 1000")
	c.refused(0, "GET", "/events?manager=gum", "", bad, "bad_request", "want one of gpm, gmm, gsm")
	c.refused(0, "GET", "/events?kind=surprise", "", bad, "bad_request", "want one of registered")
	c.refused(0, "GET", "/events?pid=0", "", bad, "bad_request")
	c.refused(0, "GET", "/nonsense", "", http.StatusNotFound, "not_found", "/api/v1/openapi.json")
	a := c.call(0, "PUT", "/vnodes", "")
	c.problem(a, "PUT", http.StatusMethodNotAllowed, "method_not_allowed")
	if a.header.Get("Allow") != "GET, POST" {
		t.Errorf("Allow: %q", a.header.Get("Allow"))
	}
	c.problem(c.call(0, "GET", "/status", "{}"), "GET with a body", bad, "bad_request", "has a body")
	c.problem(c.call(0, "POST", "/vnodes", "{}", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }), "text", http.StatusUnsupportedMediaType, "unsupported_media_type")
	c.problem(c.call(0, "POST", "/vnodes", ""), "no body", http.StatusUnsupportedMediaType, "unsupported_media_type")
	c.problem(c.call(0, "GET", "/status", "", func(r *http.Request) { r.Host = "evil.example:80" }), "a foreign name", http.StatusForbidden, "forbidden", "evil.example")
	var list httpapi.VNodes
	c.ok(0, "GET", "/vnodes", "", http.StatusOK, &list)
	if len(list.VNodes) != 0 {
		t.Errorf("left %+v", list)
	}
}

func TestATokenIsWanted(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, "secret")
	for _, header := range []string{"", "Bearer", "Bearer other", "Basic secret", "secret"} {
		a := c.call(0, "GET", "/status", "", func(r *http.Request) { r.Header.Set("Authorization", header) })
		c.problem(a, header, http.StatusUnauthorized, "unauthorized")
		if a.header.Get("WWW-Authenticate") == "" {
			t.Error("no WWW-Authenticate")
		}
	}
	eventually(t, "answered with the token", func() bool { // the manager may be starting
		a := c.call(0, "GET", "/status", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer secret") })
		return a.status == http.StatusOK
	})
}

// TestWithoutAQuorum: requests end within their time in 503; the status is still told.
func TestWithoutAQuorum(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, "", pcomponent("p1"), mcomponent("m1"), scomponent("s1"))
	var v httpapi.VNode
	c.ok(0, "POST", "/vnodes", one, http.StatusCreated, &v)
	c.stops[1]()
	c.stops[2]()
	var asking sync.WaitGroup
	for _, r := range [][3]string{
		{"GET", "/nodes"}, {"GET", "/nodes/p1"}, {"GET", "/vnodes"}, {"GET", "/vnodes/1"}, {"GET", "/audit"}, {"GET", "/events"}, {"POST", "/nodes/m1/drain"}, {"DELETE", "/nodes/m1"}, {"POST", "/vnodes", one}, {"DELETE", "/vnodes/1"},
	} {
		asking.Go(func() {
			a := c.call(0, r[0], r[1], r[2])
			if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || strings.Contains(string(a.body), "unknown") {
				t.Errorf("%s %s: %d %s, want 503, and nothing unknown", r[0], r[1], a.status, a.body)
			}
		})
	}
	asking.Wait()
	var st httpapi.Status
	c.ok(0, "GET", "/status", "", http.StatusOK, &st)
	for _, w := range []string{"manager g2 does not answer", "manager g3 does not answer", "the components of gmm are not known"} {
		if !slices.ContainsFunc(st.Warnings, func(s string) bool { return strings.HasPrefix(s, w) }) {
			t.Errorf("warnings %q, want %q", st.Warnings, w)
		}
	}
	if len(st.Nodes) != 3 || !st.Nodes[0].Alive || st.Nodes[1].Alive {
		t.Errorf("nodes %+v", st.Nodes)
	}
	if len(c.parts["s1"].holds.Holds.Volumes) != 1 {
		t.Error("a volume was removed by a request that failed")
	}

	// These requests wait, so more than are served at once are refused at once.
	var mu sync.Mutex
	statuses := map[int]int{}
	for range httpapi.MaxRequests + 20 {
		asking.Go(func() {
			a := c.call(0, "GET", "/vnodes", "")
			mu.Lock()
			defer mu.Unlock()
			statuses[a.status]++
		})
	}
	asking.Wait()
	if statuses[http.StatusTooManyRequests] == 0 || statuses[http.StatusServiceUnavailable] < httpapi.MaxRequests || len(statuses) != 2 {
		t.Errorf("statuses %v", statuses)
	}
}

// TestCloseWaitsForNobody: a client that takes nothing of its answer does not hold up the end.
func TestCloseWaitsForNobody(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, "", pcomponent("p1"), mcomponent("m1"), scomponent("s1"))
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.apis[0].URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 500 { // pipelined and never read, more than fits into the buffers of a connection
		if _, err := io.WriteString(conn, "GET "+httpapi.Prefix+"/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	// The clean-up of the cluster closes the API first; it must end, which the test's own time limit holds.
}

// TestTheContractHasEveryKind: of events and of problems.
func TestTheContractHasEveryKind(t *testing.T) {
	c := readContract(t, httpapi.OpenAPI())
	enum := func(schema string) (out []string) {
		for _, v := range at(c.doc, "components", "schemas", schema, "properties", "kind", "enum").([]any) {
			out = append(out, v.(string))
		}
		return out
	}
	if want := events.KindNames(); !slices.Equal(enum("Event"), want) {
		t.Errorf("the contract has events %v, want %v", enum("Event"), want)
	}
	for k := wire.KindInternal; !strings.HasPrefix(k.String(), "kind("); k++ {
		if name := strings.ReplaceAll(k.String(), " ", "_"); !slices.Contains(enum("Problem"), name) {
			t.Errorf("the contract has no problem %s", name)
		}
	}
}

func TestOptions(t *testing.T) {
	_, err := httpapi.New(httpapi.Options{})
	for _, want := range []string{"client: missing", "managers: none", "node: missing", "net: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

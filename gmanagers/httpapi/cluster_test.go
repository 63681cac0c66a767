package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lni/goutils/vfs"
	"go.uber.org/goleak"

	"splitkernel/gmanagers"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/httpapi"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds the waits of these tests; it is no expectation.
const patience = 30 * time.Second

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually polls until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx := within(t)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}

// clusters makes the inproc names of tests differ.
var clusters atomic.Int64

// cluster is managers with their HTTP interface in this process, and components that do what they are told.
type cluster struct {
	t     *testing.T
	id    string
	peers []gmanagers.Peer
	stops []func()
	apis  []*httptest.Server
	gm    *client.Client
	check *contract

	mu    sync.Mutex
	parts map[string]*component
	seen  map[string]bool // operations that were answered well
}

// component answers as a component of its role does.
type component struct {
	mu      sync.Mutex
	holds   wire.HoldingsRep
	stopped []wire.PID
	running map[wire.PID]httpapi.Progress
	refuse  map[wire.Op]error
	busy    int // so often a process cannot be stopped, for it moves
	orders  map[wire.MoveID]wire.MoveReq
	moved   bool // its moves are done
	stop    func()
}

func (c *component) Inline(wire.Op) bool { return true }

func (c *component) Serve(_ context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refuse[req.Op]; err != nil {
		return err
	}
	switch req.Op {
	case wire.OpVolumeCreate:
		var r wire.VolumeCreateReq
		if err := wire.Unmarshal(req.Body, &r); err != nil {
			return err
		}
		if slices.ContainsFunc(c.holds.Holds.Volumes, func(v wire.HeldVolume) bool { return v.Volume == r.Volume }) {
			return nil // again succeeds
		}
		c.holds.Holds.Volumes = append(c.holds.Holds.Volumes, wire.HeldVolume{Volume: r.Volume, Epoch: r.Epoch, SizeBytes: r.SizeBytes})
		return nil
	case wire.OpVolumeDelete:
		var r wire.VolumeRef
		if err := wire.Unmarshal(req.Body, &r); err != nil {
			return err
		}
		before := len(c.holds.Holds.Volumes)
		c.holds.Holds.Volumes = slices.DeleteFunc(c.holds.Holds.Volumes, func(v wire.HeldVolume) bool { return v.Volume == r.Volume })
		if len(c.holds.Holds.Volumes) == before {
			return wire.Errorf(wire.KindNotFound, "no volume %d", r.Volume)
		}
		return nil
	case wire.OpMoveStart:
		var r wire.MoveReq
		if err := wire.Unmarshal(req.Body, &r); err != nil {
			return err
		}
		c.orders[r.Move] = r
		return nil
	case wire.OpMoveStatus, wire.OpMoveForget:
		var r wire.MoveRef
		if err := wire.Unmarshal(req.Body, &r); err != nil {
			return err
		}
		order, ok := c.orders[r.Move]
		if !ok {
			return wire.Errorf(wire.KindNotFound, "no move %v", r.Move)
		}
		if req.Op == wire.OpMoveForget {
			delete(c.orders, r.Move)
			return nil
		}
		st := wire.MoveStatusRep{Move: r.Move, State: wire.MoveCopying, Epoch: order.OldEpoch, Bytes: 10, TotalBytes: 1000, Rounds: 1}
		if c.moved {
			st.State, st.Epoch, st.Bytes, st.DurationUS, st.PauseUS = wire.MoveDone, order.Epoch, 1000, 900, 70
		}
		rep.SetControl(st)
		return nil
	case wire.OpHoldings:
		rep.SetControl(c.holds)
		return nil
	case wire.OpProcessStatus, wire.OpProcessStop:
		var r wire.ProcessRef
		if req.Op == wire.OpProcessStop {
			var stop wire.ProcessStopReq
			if err := wire.Unmarshal(req.Body, &stop); err != nil {
				return err
			}
			r.PID = stop.PID
		} else if err := wire.Unmarshal(req.Body, &r); err != nil {
			return err
		}
		p, ok := c.running[r.PID]
		if !ok {
			return wire.Errorf(wire.KindNotFound, "no process %d", r.PID)
		}
		if req.Op == wire.OpProcessStop && c.busy > 0 {
			c.busy--
			return wire.Errorf(wire.KindBusy, "process %d is moving", r.PID)
		}
		if req.Op == wire.OpProcessStop {
			p.Ended, p.State = true, "failed"
			c.running[r.PID] = p
			c.stopped = append(c.stopped, r.PID)
			return nil
		}
		text, err := json.Marshal(p)
		rep.SetControl(wire.ProcessStatusRep{Status: text})
		return err
	}
	return wire.Errorf(wire.KindBadRequest, "%v is not served", req.Op)
}

func (c *cluster) net(role wire.Role, id wire.NodeID) netlayer.Options {
	o := netlayer.DefaultOptions()
	o.Cluster, o.Role, o.Node = c.id, role, id
	return o
}

// serve runs a handler at an address until the returned function is called.
func (c *cluster) serve(addr netlayer.Addr, role wire.Role, id wire.NodeID, h netlayer.Handler, run func(context.Context) error) (stop func()) {
	c.t.Helper()
	so := netlayer.DefaultServerOptions()
	so.Cluster, so.Role, so.Node, so.Workers = c.id, role, id, gmanagers.MinWorkers
	l, err := netlayer.Listen(addr)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := netlayer.NewServer(h, so).Serve(ctx, l); err != nil {
			c.t.Errorf("%s: %v", id, err)
		}
	})
	if run != nil {
		running.Go(func() {
			if err := run(ctx); err != nil {
				c.t.Errorf("%s: %v", id, err)
			}
		})
	}
	return sync.OnceFunc(func() { cancel(); running.Wait() })
}

// startCluster runs so many managers, each with its interface, and components.
func startCluster(t *testing.T, n int, token string, components ...wire.Member) *cluster {
	t.Helper()
	c := &cluster{t: t, id: fmt.Sprintf("api-%d", clusters.Add(1)), parts: map[string]*component{}, seen: map[string]bool{}, check: readContract(t, httpapi.OpenAPI())}
	co := client.DefaultOptions()
	for i := 1; i <= n; i++ {
		id := wire.NodeID(fmt.Sprintf("g%d", i))
		p := gmanagers.Peer{ID: id, Addr: netlayer.Addr(fmt.Sprintf("inproc:%s-%s", c.id, id)), ReplicaID: uint64(i)}
		c.peers = append(c.peers, p)
		co.Managers = append(co.Managers, client.Manager{ID: id, Addr: p.Addr})
	}
	for _, p := range c.peers {
		o := gmanagers.DefaultOptions()
		o.ID, o.Peers, o.DataDir, o.FS = p.ID, c.peers, "/"+string(p.ID), vfs.NewStrictMem()
		o.ElectionTicks = 50 // a starved replica must not unseat a leader
		o.LeaseMS = 60_000   // these components send no heartbeats
		o.Net = c.net(wire.RoleManager, p.ID)
		m, err := gmanagers.New(o)
		if err != nil {
			t.Fatal(err)
		}
		stop := c.serve(p.Addr, wire.RoleManager, p.ID, m.Handler(), m.Run)
		t.Cleanup(stop)
		c.stops = append(c.stops, stop)
		o2 := co
		o2.Net = c.net(wire.RoleManager, p.ID)
		gm, err := client.New(o2)
		if err != nil {
			t.Fatal(err)
		}
		api, err := httpapi.New(httpapi.Options{
			Client: gm, Managers: co.Managers, Net: o2.Net, Node: p.ID, Cluster: "test", Token: token,
			Progress: func(b []byte) (p httpapi.Progress, err error) { return p, json.Unmarshal(b, &p) },
		})
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(api.Handler())
		c.apis = append(c.apis, srv)
		t.Cleanup(func() { // as a node does: first the requests, then what they use
			api.Close()
			srv.Close()
			gm.Close()
		})
	}
	co.Net = c.net(wire.RoleClient, "test")
	var err error
	if c.gm, err = client.New(co); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.gm.Close() })
	for _, m := range components {
		c.join(m)
	}
	return c
}

// join starts and registers a component.
func (c *cluster) join(m wire.Member) {
	c.t.Helper()
	m.Addr = fmt.Sprintf("inproc:%s-%s", c.id, m.ID)
	p := &component{running: map[wire.PID]httpapi.Progress{}, refuse: map[wire.Op]error{}, orders: map[wire.MoveID]wire.MoveReq{}}
	epoch, err := c.gm.Register(within(c.t), m)
	if err != nil {
		c.t.Fatal(err)
	}
	p.holds = wire.HoldingsRep{Node: m.ID, Role: m.Role, Epoch: epoch}
	p.stop = c.serve(netlayer.Addr(m.Addr), m.Role, m.ID, p, nil)
	c.t.Cleanup(p.stop)
	c.parts[string(m.ID)] = p
}

func pcomponent(id string) wire.Member {
	return wire.Member{ID: wire.NodeID(id), Role: wire.RoleCompute, Rack: "r1", Capacity: wire.Capacity{Cores: 2, ExCacheLines: 1000}}
}

func mcomponent(id string) wire.Member {
	return wire.Member{ID: wire.NodeID(id), Role: wire.RoleMemory, Capacity: wire.Capacity{MemoryBytes: 64 << 20, RegionBytes: 1 << 20}}
}

func scomponent(id string) wire.Member {
	return wire.Member{ID: wire.NodeID(id), Role: wire.RoleStorage, Capacity: wire.Capacity{StorageBytes: 1 << 30}}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
}

// call makes a request of the i-th manager and holds the answer against the contract.
func (c *cluster) call(i int, method, path, body string, edit ...func(*http.Request)) answer {
	c.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(within(c.t), method, c.apis[i].URL+httpapi.Prefix+path, in)
	if err != nil {
		c.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, e := range edit {
		e(r)
	}
	res, err := c.apis[i].Client().Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	a := answer{res.StatusCode, res.Header, text}
	c.holds(method, path, a)
	return a
}

// holds compares an answer with the contract.
func (c *cluster) holds(method, path string, a answer) {
	c.t.Helper()
	var v any
	if err := json.Unmarshal(a.body, &v); err != nil {
		c.t.Errorf("%s %s: %d: the body is no JSON: %s", method, path, a.status, a.body)
		return
	}
	template := c.template(path)
	op, _ := c.check.operation(method, template)
	schema := any(map[string]any{"$ref": "#/components/schemas/Problem"})
	media := "application/problem+json"
	if op != nil {
		r, err := c.check.response(op, a.status)
		if err != nil {
			c.t.Errorf("%s %s: %v", method, path, err)
			return
		}
		if a.status < 400 {
			media = "application/json"
			c.mu.Lock()
			c.seen[method+" "+template] = true
			c.mu.Unlock()
		}
		schema = at(r, "content", media, "schema")
		if a.header.Get("Location") == "" && at(r, "headers", "Location") != nil {
			c.t.Errorf("%s %s: no Location", method, path)
		}
	}
	if got, _, err := mime.ParseMediaType(a.header.Get("Content-Type")); err != nil || got != media || schema == nil {
		c.t.Errorf("%s %s: %d with content type %q (%v), want %s", method, path, a.status, a.header.Get("Content-Type"), err, media)
		return
	}
	for _, f := range append(c.check.check("body", schema, v), c.check.undescribed("body", schema, v)...) {
		c.t.Errorf("%s %s: %d: %s\n%s", method, path, a.status, f, a.body)
	}
	if s := at(v, "status"); a.status >= 400 && s != float64(a.status) {
		c.t.Errorf("%s %s: the problem says status %v, the answer %d", method, path, s, a.status)
	}
}

// template finds the path of the contract that a path is of.
func (c *cluster) template(path string) string {
	path, _, _ = strings.Cut(path, "?")
	for template := range at(c.check.doc, "paths").(map[string]any) {
		ts, ps := strings.Split(template, "/"), strings.Split(path, "/")
		if len(ts) != len(ps) {
			continue
		}
		fits := true
		for i := range ts {
			fits = fits && (ts[i] == ps[i] || strings.HasPrefix(ts[i], "{") && ps[i] != "")
		}
		if fits {
			return template
		}
	}
	return ""
}

// ok makes a request that must be answered well.
func (c *cluster) ok(i int, method, path, body string, status int, v any) answer {
	c.t.Helper()
	a := c.call(i, method, path, body)
	if a.status != status {
		c.t.Fatalf("%s %s: %d %s, want %d", method, path, a.status, a.body, status)
	}
	if v != nil {
		a.into(c.t, v)
	}
	return a
}

// refused makes a request that must be answered with a problem.
func (c *cluster) refused(i int, method, path, body string, status int, kind string, detail ...string) {
	c.t.Helper()
	a := c.call(i, method, path, body)
	c.problem(a, method+" "+path, status, kind, detail...)
}

func (c *cluster) problem(a answer, what string, status int, kind string, detail ...string) {
	c.t.Helper()
	var p httpapi.Problem
	a.into(c.t, &p)
	if a.status != status || p.Kind != kind {
		c.t.Errorf("%s: %d %s, want %d %s", what, a.status, a.body, status, kind)
	}
	for _, d := range detail {
		if !strings.Contains(p.Detail, d) {
			c.t.Errorf("%s: %q does not say %q", what, p.Detail, d)
		}
	}
	if retry := status == 429 || status == 503; retry != (a.header.Get("Retry-After") != "") {
		c.t.Errorf("%s: %d with Retry-After %q", what, status, a.header.Get("Retry-After"))
	}
}

package client

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// many is a cluster's three states with more in each than fits into one message.
type many struct {
	gpm *gpm.State
	gmm *gmm.State
	gsm *gsm.State
	seq uint64
}

// Each vNode has a volume; the last has wide vRegions, more than fit into a message; waits of them wait for room.
const (
	vnodes = 20_000
	wide   = 12_000
	waits  = gpm.MaxQueue
)

func newMany(t *testing.T) *many {
	t.Helper()
	w := &many{gpm: gpm.New(), gmm: gmm.New(), gsm: gsm.New()}
	const addr = "unix:/a/path/of/some/length/so/that/listings/are/not/small/"
	stamp := func(id wire.NodeID, policy string) membership.Stamp {
		w.seq++
		return membership.Stamp{NowMS: 1, Policy: policy, Live: []membership.Live{{ID: id, Epoch: 1, Addr: addr}}}
	}
	compute := func(q gpm.Request) gpm.Result {
		r := w.gpm.Apply(gpm.Command{Stamp: stamp("p1", "fewest_threads"), Client: 1, Seq: w.seq, Request: q})
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		return r
	}
	memory := func(q gmm.Request) {
		if r := w.gmm.Apply(gmm.Command{Stamp: stamp("m1", "least_loaded"), Client: 1, Seq: w.seq, Overcommit: 1000, Request: q}); r.Err() != nil {
			t.Fatal(r.Err())
		}
	}
	storage := func(q gsm.Request) {
		s := stamp("s1", "most_free")
		if r := w.gsm.Apply(gsm.Command{Stamp: s, Client: 1, Seq: w.seq, CachePolicy: "fewest_volumes", Caches: []membership.Live{{ID: "m1", Epoch: 1, Addr: addr}}, Request: q}); r.Err() != nil {
			t.Fatal(r.Err())
		}
	}
	compute(gpm.Request{Op: gpm.OpRegister, Member: wire.Member{ID: "p1", Role: wire.RoleCompute, Addr: addr, Capacity: wire.Capacity{Cores: 1, ExCacheLines: vnodes}}})
	memory(gmm.Request{Op: gmm.OpRegister, Member: wire.Member{ID: "m1", Role: wire.RoleMemory, Addr: addr, Capacity: wire.Capacity{MemoryBytes: 1 << 30, RegionBytes: wire.PageSize}}})
	storage(gsm.Request{Op: gsm.OpRegister, Member: wire.Member{ID: "s1", Role: wire.RoleStorage, Addr: addr, Capacity: wire.Capacity{StorageBytes: 1 << 40}}})
	var changes []admission.Change
	var steps []admission.Step
	for i := range vnodes {
		volumes := []admission.VolumeSpec{{Name: "v", SizeBytes: wire.PageSize}}
		pid := compute(gpm.Request{Op: gpm.OpAdmit, Spec: admission.VNodeSpec{Name: fmt.Sprint("vnode ", i), Threads: 1, ExCacheLines: 1, Volumes: volumes}}).VNode.PID
		changes = append(changes, admission.Change{Verb: admission.DecideCommit, PID: pid, Home: admission.Home{Node: "m1", Addr: addr, Epoch: 1}}, admission.Change{Verb: admission.EndCommit, PID: pid})
		steps = append(steps, admission.Step{Verb: admission.Prepare, PID: pid, Volumes: volumes}, admission.Step{Verb: admission.Commit, PID: pid})
		if len(steps) == admission.MaxBatch || i == vnodes-1 {
			compute(gpm.Request{Op: gpm.OpChanges, Changes: changes})
			memory(gmm.Request{Op: gmm.OpSteps, Steps: steps})
			storage(gsm.Request{Op: gsm.OpSteps, Steps: steps})
			changes, steps = nil, nil
		}
	}
	for r := range wide {
		memory(gmm.Request{Op: gmm.OpActivate, PID: vnodes, Region: wire.RegionNo(r)})
	}
	long := []admission.VolumeSpec{}
	for range admission.MaxVolumes {
		long = append(long, admission.VolumeSpec{Name: strings.Repeat("n", admission.MaxNameBytes), SizeBytes: 1})
	}
	for i := range waits {
		compute(gpm.Request{Op: gpm.OpAdmit, Spec: admission.VNodeSpec{Name: "waits", Threads: 1, ExCacheLines: 2, IfFull: admission.Queue, Priority: uint8(1 + i%9), DeadlineMS: 60_000, Volumes: long}})
	}
	return w
}

// answer is what a manager's shell does with a query. It fails for what would not fit into a message.
func (w *many) answer(q wire.QueryReq) (rep wire.QueryRep, err error) {
	query, err := membership.DecodeQuery(q.Query)
	if err != nil {
		return rep, err
	}
	switch q.Manager {
	case wire.GPM:
		rep.Result, err = w.gpm.Query(query)
	case wire.GMM:
		rep.Result, err = w.gmm.Query(query)
	case wire.GSM:
		rep.Result, err = w.gsm.Query(query)
	}
	if n := len(wire.Marshal(rep)); n > wire.MaxBody {
		return rep, wire.Errorf(wire.KindBadRequest, "an answer of %d bytes", n)
	}
	return rep, err
}

// TestListingsOfMany: whatever there is of, the client has all of it, in order and once, though no message holds it.
func TestListingsOfMany(t *testing.T) {
	w := newMany(t)
	var mu sync.Mutex
	asked := 0
	c := run(t, 1, func(_ *fake, req *netlayer.Request, rep *netlayer.Reply) error {
		var q wire.QueryReq
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		asked++
		a, err := w.answer(q)
		if err == nil {
			rep.SetControl(a)
		}
		return err
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	same := func(what string, got any, err error, want any, least int) { // want has more than one message holds
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if n := reflect.ValueOf(want).Len(); err != nil || n < least || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, the client has %d, the state %d", what, err, reflect.ValueOf(got).Len(), n)
		}
		if body := len(wire.Marshal(wire.QueryRep{Result: membership.EncodeAnswer(want)})); body <= wire.MaxBody || asked < 2 {
			t.Errorf("%s fits into one message of %d bytes, or was asked for %d times: nothing is shown", what, body, asked)
		}
		asked = 0
	}
	ps, err := c.Processes(ctx)
	same("processes", ps, err, w.gpm.Processes(0), vnodes)
	rs, err := c.Regions(ctx, 0)
	mu.Lock()
	if want := w.gmm.Processes(0); err != nil || !reflect.DeepEqual(rs, want) || asked < 3 {
		t.Errorf("homes: %v, the client has %d, the state %d; asked %d times", err, len(rs), len(want), asked)
	}
	asked = 0
	mu.Unlock()
	one, err := c.Regions(ctx, vnodes)
	mu.Lock()
	if want := w.gmm.Processes(vnodes); err != nil || len(one) != 1 || len(one[0].Regions) != wide || !reflect.DeepEqual(one, want) {
		t.Errorf("the vRegions of one process: %v", err)
	}
	mu.Unlock()
	vs, err := c.Volumes(ctx)
	same("volumes", vs, err, w.gsm.Volumes(0), vnodes)
	queue, err := c.Queue(ctx)
	same("queue", queue, err, w.gpm.Queue(0), waits)
	some, err := c.RegionsBetween(ctx, 100, 300)
	if err != nil || len(some) != 201 || some[0].PID != 100 || some[200].PID != 300 {
		t.Errorf("homes from 100 to 300: %v, %d", err, len(some))
	}
	for from, pages := wire.PID(1), 0; ; pages++ {
		p, err := c.ProcessPage(ctx, from, 700)
		if err != nil || len(p.Items) == 0 || len(p.Items) > 700 || p.Items[0].PID != from {
			t.Fatalf("a page of 700 from %d: %v, %d", from, err, len(p.Items))
		}
		if !p.More {
			if pages < vnodes/700 || p.Items[len(p.Items)-1].PID != vnodes {
				t.Errorf("%d pages up to %d", pages, p.Items[len(p.Items)-1].PID)
			}
			break
		}
		from = wire.PID(p.Next.ID)
	}
}

// TestAPageWithoutProgressIsRefused: a manager whose pages do not go on is not asked for ever.
func TestAPageWithoutProgressIsRefused(t *testing.T) {
	c := run(t, 1, func(_ *fake, _ *netlayer.Request, rep *netlayer.Reply) error {
		rep.SetControl(wire.QueryRep{Result: membership.EncodeAnswer(membership.Page[gsm.Volume]{Items: []gsm.Volume{}, More: true, Next: membership.Cursor{ID: 7}})})
		return nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := c.Volumes(ctx); wire.KindOf(err) != wire.KindInternal {
		t.Errorf("%v, want an internal error", err)
	}
}

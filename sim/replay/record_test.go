package replay

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/fault"
	"splitkernel/pcomponent/handover"
	"splitkernel/sim/record"
	"splitkernel/sim/trace"
)

// recordTo has the nodes that start from now on write their tape to a new file.
func (w *world) recordTo() (path string, end func() record.End) {
	w.t.Helper()
	path = filepath.Join(w.t.TempDir(), "p.tape")
	wr, err := record.Create(path, record.Head{Node: "p1"}, record.DefaultMaxBytes)
	if err != nil {
		w.t.Fatal(err)
	}
	w.recorder = wr
	return path, func() record.End {
		e, err := wr.Close()
		if err != nil {
			w.t.Error(err)
		}
		return e
	}
}

// coresOfKind counts the cores of a kind, and their events.
func coresOfKind(r *record.Result, kind string) (cores, events int) {
	for _, c := range r.Cores {
		if c.Kind == kind {
			cores, events = cores+1, events+int(c.Events)
		}
	}
	return cores, events
}

// again re-executes a tape.
func again(t testing.TB, path string) *record.Result {
	t.Helper()
	res, err := record.Execute(context.Background(), path, record.ExecuteOptions{Accesses: tapeAccesses})
	if err != nil {
		t.Fatal(err)
	}
	if res.Ended == nil || res.Ended.Full != "" {
		t.Fatalf("the tape ended with %+v", res.Ended)
	}
	for _, c := range res.Cores {
		if !c.Ended {
			t.Errorf("%s did not come to its end:\n%s", c.Name, c.State)
		}
	}
	return res
}

func tapeAccesses(program []byte) (record.Accesses, error) {
	return NewReferences(program, func(s Spec) (string, error) { return s.Trace, nil })
}

// badNetwork loses one message of memory in n, half of them after they were served.
func (w *world) badNetwork(n int) {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(3, 4))
	lose := hook(func(req *netlayer.Request, serve func() error) error {
		switch req.Op {
		case wire.OpMiss, wire.OpFlush, wire.OpMissFlush:
		default:
			return serve()
		}
		mu.Lock()
		x := rng.IntN(n)
		mu.Unlock()
		switch x {
		case 0:
			return wire.Errorf(wire.KindUnavailable, "the request was lost")
		case 1:
			_ = serve()
			return wire.Errorf(wire.KindTimeout, "the answer was lost")
		}
		return serve()
	})
	for _, m := range w.mem {
		m.hook.Store(&lose)
	}
}

// TestRecordThreads records a real run, its threads racing over a bad network, and re-executes it: each effect is the
// recorded one, and the cache counts at its end what it counted live. Each mechanism and policy, both ways to deal references.
func TestRecordThreads(t *testing.T) {
	w := newWorld(t)
	w.badNetwork(2000)
	path, end := w.recordTo()
	p := w.node("p1", "")
	var hits, misses uint64
	for i, mechanism := range excache.Mechanisms() {
		spec, _ := w.spec([]string{"sort", "wordcount", "sqlite"}[i], func(s *Spec) {
			s.Order, s.Threads, s.Spread, s.Repeat, s.MaxRefs = OrderThreads, 4, i != 1, 2, 10_000
			s.ExCache.Mechanism, s.ExCache.Policy, s.ExCache.Lines, s.ExCache.FlushFrames = mechanism, []string{"lru", "random", "clock"}[i], 128, 8
		})
		r := p.host.Await(spec)
		if r.Error != "" || len(r.Integrity) > 0 {
			t.Fatalf("%s: %s %v", spec.Name, r.Error, r.Integrity)
		}
		hits, misses = hits+r.Counters.Hits, misses+r.Counters.Misses
	}
	p.stop()
	e := end()
	res := again(t, path)
	if len(res.Cores) != 3 || res.Hits != hits || res.Events != e.Records || res.Effects < misses {
		t.Errorf("%d cores, %d hits, %d events, %d effects; live were %d hits, %d misses, %d records", len(res.Cores), res.Hits, res.Events, res.Effects, hits, misses, e.Records)
	}
}

// TestRecordDeadMemory records a process of which one mComponent serves no page any more from the middle on: faults are tried
// again until their patience ends, and the process fails. A real kill -9 is in sim/e2e.
func TestRecordDeadMemory(t *testing.T) {
	w := newWorld(t)
	w.patience = 300
	path, end := w.recordTo()
	p := w.node("p1", "")
	var misses atomic.Int64
	die := hook(func(req *netlayer.Request, serve func() error) error {
		switch req.Op {
		case wire.OpMiss, wire.OpFlush, wire.OpMissFlush:
			if misses.Add(1) >= 500 {
				return wire.Errorf(wire.KindUnavailable, "dead")
			}
		}
		return serve()
	})
	w.mem[1].hook.Store(&die)
	spec, _ := w.spec("sort", func(s *Spec) {
		s.Order, s.Threads, s.Spread, s.ExCache.Lines = OrderThreads, 3, true, 128
	})
	if err := w.control(string(p.addr), wire.OpProcessStart, &wire.ProcessStartReq{PID: spec.PID, Spec: wire.Marshal(&spec)}, nil); err != nil {
		t.Fatal(err)
	}
	if r := w.result(string(p.addr), spec.PID); r.Error == "" || r.Counters.Retries == 0 || len(r.Integrity) > 0 {
		t.Fatalf("%q, %d retries, %v", r.Error, r.Counters.Retries, r.Integrity)
	}
	p.stop()
	end()
	res := again(t, path)
	if len(res.Cores) != 1 || !strings.Contains(res.Cores[0].State, "failed: ") || res.Hits == 0 {
		t.Errorf("%+v", res)
	}
}

// TestRecordMove records a process that goes to another pComponent and back, on one tape each: where it goes on, its core
// begins with what it took along and its accesses where they stood.
func TestRecordMove(t *testing.T) {
	w := newWorld(t)
	path1, end1 := w.recordTo()
	p1 := w.node("p1", "")
	path2, end2 := w.recordTo()
	p2 := w.node("p2", "")
	spec := w.begin(p1, func(s *Spec) {
		few(s)
		s.Order, s.Threads, s.Spread, s.ExCache.Lines = OrderThreads, 2, true, 1024
	})
	if st := w.moved(p1, w.order(spec.PID, 1, p2)); st.State != wire.MoveDone {
		t.Fatalf("%+v", st)
	}
	w.runs(p2, spec.PID)
	if st := w.moved(p2, w.order(spec.PID, 2, p1)); st.State != wire.MoveDone {
		t.Fatalf("%+v", st)
	}
	w.runs(p1, spec.PID)
	w.stopAt(p1, spec.PID)
	p1.stop()
	p2.stop()
	end1()
	end2()
	a, b := again(t, path1), again(t, path2)
	if a.Hits == 0 || b.Hits == 0 {
		t.Errorf("%+v\n%+v", a, b)
	}
	for name, n := range map[string][2]int{fault.TapeKind: {2, 1}, handover.GiverTapeKind: {1, 1}, handover.TakerTapeKind: {1, 1}} {
		for i, r := range []*record.Result{a, b} {
			if cores, events := coresOfKind(r, name); cores != n[i] || events < 3*n[i] {
				t.Errorf("p%d: %d cores %s with %d events, want %d", i+1, cores, name, events, n[i])
			}
		}
	}
}

// TestReferencesAsDealt compares with the lanes of a replay: the same references for each thread, in the same order.
func TestReferencesAsDealt(t *testing.T) {
	w := newWorld(t)
	spec, _ := w.spec("sort", func(s *Spec) { s.Order, s.Threads, s.Spread, s.Repeat, s.MaxRefs = OrderThreads, 3, true, 2, 10_000 })
	want := make([][]trace.Ref, spec.Threads)
	const skip = 777
	n := uint64(0)
	for range spec.Repeat {
		src, err := trace.OpenFormat(spec.Trace, "")
		if err != nil {
			t.Fatal(err)
		}
		for pos := uint64(0); pos < spec.MaxRefs; {
			b, err := src.Next()
			if err != nil {
				t.Fatal(err)
			}
			for i := range b.Refs {
				if pos == spec.MaxRefs {
					break
				}
				if n++; n > skip {
					k := pos / SpreadRun % uint64(spec.Threads)
					want[k] = append(want[k], b.Refs[i])
				}
				pos++
			}
		}
		if err := src.Close(); err != nil {
			t.Fatal(err)
		}
	}
	refs, err := tapeAccesses(wire.Marshal(&recorded{spec, skip}))
	if err != nil {
		t.Fatal(err)
	}
	defer refs.Close()
	for i := 0; ; i++ {
		any := false
		for k := range want {
			if i >= len(want[k]) {
				continue
			}
			any = true
			page, write, err := refs.Next(k)
			if r := &want[k][i]; err != nil || page != r.Page() || write != r.Write() {
				t.Fatalf("reference %d of thread %d: %#x %t %v, want %#x %t", i, k, page, write, err, r.Page(), r.Write())
			}
		}
		if !any {
			break
		}
	}
	if _, _, err := refs.Next(0); err == nil {
		t.Error("a reference after the last")
	}
}

package gmanagers_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"splitkernel/gmanagers"
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/admission/audit"
	"splitkernel/gmanagers/client"
	"splitkernel/netlayer/wire"
)

// registerAll registers two components of each role with much room.
func registerAll(t testing.TB, cl *client.Client) {
	t.Helper()
	for i := 1; i <= 2; i++ {
		for _, m := range []wire.Member{pcomponent(i, 1<<30), mcomponent(i, 1<<40), scomponent(i, 1<<40)} {
			if _, err := cl.Register(context.Background(), m); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// settled waits until the books of the three managers agree and gives them.
func settled(t *testing.T, cl *client.Client) audit.Books {
	t.Helper()
	var b audit.Books
	var diff []audit.Difference
	until(t, "the books agree", func() bool {
		var err error
		if b, err = cl.Books(within(t)); err != nil {
			t.Fatal(err)
		}
		diff = audit.Compare(b)
		return len(diff) == 0
	})
	return b
}

// fits and overfull are admitted and refused whatever else is there; both have a part at each manager.
var (
	fits     = admission.VNodeSpec{Name: "fits", Threads: 1, ExCacheLines: 10, MemoryBytes: 3 << 20, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: 5000}}}
	overfull = admission.VNodeSpec{Name: "overfull", Threads: 1, ExCacheLines: 10, MemoryBytes: 3 << 20, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: 2 << 40}}}
)

// TestLeaderCrashesAtEveryStep: the coordinating leader ends as kill -9 would, just before each step of an admission, of a
// refused admission and of a release. The caller gets a true answer, the books agree in the end, and nothing is left when
// everything is released.
func TestLeaderCrashesAtEveryStep(t *testing.T) {
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
	registerAll(t, cl)
	lives := map[wire.PID]bool{}
	crashAt := func(step string, do func() error) error {
		t.Helper()
		armed.Store(&step)
		done := make(chan error, 1)
		go func() { done <- do() }()
		select { // the last step may come after the answer
		case id := <-reached:
			for i, n := range c.nodes {
				if n.id == id {
					c.crash(i)
					c.start(i)
				}
			}
		case <-within(t).Done():
			t.Fatalf("%s: was not reached", step)
		}
		return <-done
	}
	for _, step := range []string{"prepare gmm", "prepare gsm", "decide commit", "commit gmm", "commit gsm", "end commit"} {
		var p admission.Placement
		err := crashAt(step, func() (err error) { p, err = cl.Admit(within(t), fits); return err })
		if err != nil || p.Home.Node == "" || len(p.Volumes) != 1 {
			t.Fatalf("%s: %+v, %v", step, p, err)
		}
		lives[p.PID] = true
		if b := settled(t, cl); len(b.Processes) != len(lives) {
			t.Fatalf("%s: %d vNodes, want %d: %+v", step, len(b.Processes), len(lives), b.Processes)
		}
	}
	for _, step := range []string{"decide abort", "free gmm", "free gsm", "end free"} {
		err := crashAt(step, func() error { _, err := cl.Admit(within(t), overfull); return err })
		if !errors.Is(err, wire.ErrNoRoom) || !has(err, `storage_bytes: volume "v" wants 2199023255552 at one sComponent: s1 has`) {
			t.Fatalf("%s: %v", step, err)
		}
		if b := settled(t, cl); len(b.Processes) != len(lives) {
			t.Fatalf("%s: %d vNodes, want %d", step, len(b.Processes), len(lives))
		}
	}
	ps, err := cl.Processes(within(t))
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range []string{"free gmm", "free gsm", "end free"} {
		if !lives[ps[i].PID] {
			t.Errorf("vNode %d is there, and nobody was answered so", ps[i].PID)
		}
		// After the end is applied a retry finds nothing: its first answer was lost.
		if err := crashAt(step, func() error { return cl.Release(within(t), ps[i].PID) }); err != nil {
			t.Fatalf("release, %s: %v", step, err)
		}
		settled(t, cl)
	}
	for _, p := range ps[3:] {
		if err := cl.Release(within(t), p.PID); err != nil {
			t.Fatal(err)
		}
	}
	if b := settled(t, cl); len(b.Processes)+len(b.Homes)+len(b.Volumes) != 0 {
		t.Fatalf("left: %+v", b)
	}
}

// TestAdmissionsRace: many at once with less room than they want; as many as fit are admitted, and the room is there again
// when they are released.
func TestAdmissionsRace(t *testing.T) {
	t.Parallel()
	c := startCluster(t, nil)
	cl := c.client()
	ctx := within(t)
	for _, m := range []wire.Member{pcomponent(1, 1000), mcomponent(1, 4<<20), scomponent(1, 64<<12)} {
		if _, err := cl.Register(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		var out sync.WaitGroup
		var mu sync.Mutex
		var pids []wire.PID
		for i := range 64 {
			spec := admission.VNodeSpec{Name: fmt.Sprint(i), Threads: 1, ExCacheLines: 10, Volumes: []admission.VolumeSpec{{Name: "a", SizeBytes: 1 << 12}, {Name: "b", SizeBytes: 1 << 12}}}
			if i%2 == 0 { // can never fit, but holds what does while it is decided
				spec.MemoryBytes = 1 << 30
			}
			out.Go(func() {
				p, err := cl.Admit(ctx, spec)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && i%2 == 1:
					pids = append(pids, p.PID)
				case !errors.Is(err, wire.ErrNoRoom):
					t.Errorf("vNode %d: %v", i, err)
				}
			})
		}
		out.Wait()
		b := settled(t, cl)
		if want := uint64(gmanagers.DefaultOptions().Overcommit * 1000); b.Overcommit != want {
			t.Errorf("the books tell an overcommit of %d thousandths, want %d", b.Overcommit, want)
		}
		if len(b.Processes) != len(pids) || len(b.Volumes) != 2*len(pids) || len(pids) > 32 {
			t.Fatalf("%d vNodes and %d volumes, answered %d", len(b.Processes), len(b.Volumes), len(pids))
		}
		// Those that were refused while others held what they wanted fit now.
		for len(pids) < 32 {
			p, err := cl.Admit(ctx, admission.VNodeSpec{Threads: 1, ExCacheLines: 10, Volumes: []admission.VolumeSpec{{SizeBytes: 1 << 12}, {SizeBytes: 1 << 12}}})
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, p.PID)
		}
		for _, pid := range pids {
			if err := cl.Release(ctx, pid); err != nil {
				t.Fatal(err)
			}
		}
		if b := settled(t, cl); len(b.Processes)+len(b.Homes)+len(b.Volumes) != 0 {
			t.Fatalf("left: %+v", b)
		}
	}
}

// TestNoQuorum: with two managers of three gone an admission is refused within its deadline, and holds nothing when they
// are back.
func TestNoQuorum(t *testing.T) {
	t.Parallel() // it waits for elections most of the time
	c := startCluster(t, nil)
	cl := c.client()
	registerAll(t, cl)
	c.stop(0)
	c.stop(1)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if p, err := cl.Admit(ctx, fits); !errors.Is(err, wire.ErrTimeout) || !has(err, "gpm: no manager of 3 answered in time") {
		t.Fatalf("%+v, %v", p, err)
	}
	c.start(0)
	c.start(1)
	b := settled(t, cl) // a last attempt may have been carried out after all, as a whole
	if n := len(b.Processes); n > 1 || len(b.Homes) != n || len(b.Volumes) != n {
		t.Fatalf("%+v", b)
	}
}

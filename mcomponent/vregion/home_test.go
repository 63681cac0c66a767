package vregion

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

const testRegion = 8 * wire.PageSize // small, so that ranges span vRegions

func testOptions() Options {
	o := DefaultOptions()
	o.RegionBytes, o.PlaceBase = testRegion, 64*testRegion
	return o
}

// world drives a Home and the owner roles of three mComponents, completing effects in an order that the test draws.
type world struct {
	t       *rapid.T
	home    *Home
	owners  map[wire.NodeID]*Owners
	due     []Effect
	replies map[uint64]Effect
	asked   map[string]int
	fail    bool // draw failures of asks and requests
	fenced  wire.NodeID
}

func newWorld(t *rapid.T, o Options) *world {
	w := &world{t: t, home: NewHome(o), owners: map[wire.NodeID]*Owners{}, replies: map[uint64]Effect{}, asked: map[string]int{}}
	for _, n := range []wire.NodeID{"m1", "m2", "m3"} {
		w.owners[n] = NewOwners(o, n, 1000)
	}
	return w
}

func (w *world) take(out []Effect) {
	for _, e := range out {
		if e.Kind != Reply {
			w.due = append(w.due, e)
			continue
		}
		if _, twice := w.replies[e.Call]; twice {
			w.t.Fatalf("call %d was answered twice", e.Call)
		}
		w.replies[e.Call] = e
	}
	if err := w.home.CheckInvariants(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) completeOne() {
	i := rapid.IntRange(0, len(w.due)-1).Draw(w.t, "completed")
	e := w.due[i]
	w.due = append(w.due[:i:i], w.due[i+1:]...)
	w.take(w.home.Done(e.ID, w.perform(e), nil))
}

func (w *world) perform(e Effect) Result {
	if w.fail && e.Kind != ExitAt && rapid.IntRange(0, 5).Draw(w.t, "fails") == 0 {
		return Result{Err: wire.Errorf(wire.KindNoRoom, "drawn")}
	}
	var err error
	switch e.Kind {
	case AskOwner:
		key := fmt.Sprint(e.PID, e.Region)
		w.asked[key]++
		return Result{Owner: wire.Owner{Node: []wire.NodeID{"m1", "m2", "m3"}[uint64(e.Region)%3], Epoch: 1}}
	case MapAt:
		err = w.owners[e.Owner.Node].Map(e.Map)
	case UnmapAt:
		_, _, err = w.owners[e.Owner.Node].Unmap(e.Unmap, e.Owner.Epoch)
	case ExitAt:
		o := w.owners[e.Owner.Node]
		for _, s := range o.Exit(e.Exit.PID, nil) {
			o.Release(s)
		}
	}
	if o := w.owners[e.Owner.Node]; err == nil {
		err = o.CheckInvariants()
	}
	if err != nil && e.Kind == MapAt && e.Owner.Node == w.fenced && wire.KindOf(err) == wire.KindFailed {
		return Result{Err: err}
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return Result{}
}

func (w *world) drain() {
	for len(w.due) > 0 {
		w.completeOne()
	}
}

// served reports whether any owner serves the page; two owners are a broken law.
func (w *world) served(pid wire.PID, addr uint64) bool {
	n := 0
	for _, o := range w.owners {
		if _, v := o.Check(pid, wire.PageNo(addr>>wire.PageShift), 1); v == Serve {
			n++
		}
	}
	if n > 1 {
		w.t.Fatalf("page %#x of process %d has %d owners", addr, pid, n)
	}
	return n == 1
}

// TestOwnersServeExactlyWhatIsMapped: operations one after another, answered in any order of their parts, leave the
// owners serving exactly the pages that a naive set says are mapped, and each vRegion is asked for once.
func TestOwnersServeExactlyWhatIsMapped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, testOptions())
		const pid, pages = 7, 40
		w.home.Open(wire.ProcessOpenReq{PID: pid, Epoch: 1})
		low := map[uint64]bool{}
		high := map[uint64]bool{} // placed by best fit
		var heap uint64
		for call := uint64(1); call < uint64(rapid.IntRange(2, 25).Draw(t, "calls")); call++ {
			lo := rapid.IntRange(0, pages-1).Draw(t, "lo")
			n := rapid.IntRange(1, 20).Draw(t, "pages")
			addr, length := uint64(lo)*wire.PageSize, uint64(n)*wire.PageSize
			kind := rapid.IntRange(0, 3).Draw(t, "op")
			switch kind {
			case 0:
				w.take(w.home.Mmap(call, wire.MmapReq{PID: pid, Epoch: 1, Addr: addr + wire.PageSize, Length: length - 1}, nil))
			case 1:
				w.take(w.home.Mmap(call, wire.MmapReq{PID: pid, Epoch: 1, Length: length, Anon: true}, nil))
			case 2:
				w.take(w.home.Munmap(call, wire.MunmapReq{PID: pid, Epoch: 1, Addr: addr + wire.PageSize, Length: length}, nil))
			case 3:
				w.take(w.home.Brk(call, wire.BrkReq{PID: pid, Epoch: 1, End: uint64(100+lo)*wire.PageSize + 8}, nil))
			}
			w.drain()
			r, ok := w.replies[call]
			if !ok {
				t.Fatalf("call %d was never answered", call)
			}
			for a := addr + wire.PageSize; a < addr+wire.PageSize+length; a += wire.PageSize {
				switch kind {
				case 0:
					low[a] = true
				case 2:
					delete(low, a)
				}
			}
			switch {
			case kind == 3 && heap == 0:
				heap = r.Rep.Addr
			case kind == 1:
				if r.Err != nil || r.Rep.Addr < testOptions().PlaceBase || len(r.Rep.Owners) == 0 {
					t.Fatalf("placed mmap: %+v", r)
				}
				for a := r.Rep.Addr; a < r.Rep.Addr+length; a += wire.PageSize {
					if high[a] {
						t.Fatalf("best fit placed %d pages over %#x, which is mapped", n, a)
					}
					high[a] = true
				}
			}
			if kind != 3 && r.Err != nil {
				t.Fatalf("call %d: %v", call, r.Err)
			}
		}
		for a := uint64(0); a < 70*wire.PageSize; a += wire.PageSize {
			if got := w.served(pid, a); got != low[a] {
				t.Fatalf("page %#x served %v, want %v", a, got, low[a])
			}
		}
		for a := range high {
			if !w.served(pid, a) {
				t.Fatalf("placed page %#x is not served", a)
			}
		}
		for key, n := range w.asked {
			if n != 1 {
				t.Fatalf("vRegion (process region) %s was asked for %d times", key, n)
			}
		}
		w.take(w.home.Exit(1000, wire.ProcessExitReq{PID: pid, Epoch: 1}, nil))
		w.drain()
		for n, o := range w.owners {
			if o.Regions() != 0 || o.MappedBytes() != 0 {
				t.Fatalf("%s still serves %d vRegions after the exit", n, o.Regions())
			}
		}
		if s := w.home.Stats(); s.Processes != 0 || s.Regions != 0 || s.MappedBytes != 0 {
			t.Fatalf("home after the exit: %+v", s)
		}
	})
}

// TestConcurrentCallsAreEachAnsweredOnce: any mixture of overlapping calls, refused asks and failed requests included,
// answers every call exactly once and leaves nothing at the owners after the exit.
func TestConcurrentCallsAreEachAnsweredOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := testOptions()
		o.MaxOutstanding = rapid.IntRange(1, 8).Draw(t, "max_outstanding")
		w := newWorld(t, o)
		w.fail = rapid.Bool().Draw(t, "failures")
		pids := []wire.PID{1, 2}
		for _, p := range pids {
			w.home.Open(wire.ProcessOpenReq{PID: p, Epoch: 1})
		}
		call := uint64(0)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if len(w.due) > 0 && rapid.Bool().Draw(t, "complete") {
				w.completeOne()
				continue
			}
			call++
			pid := rapid.SampledFrom(pids).Draw(t, "pid")
			addr := uint64(rapid.IntRange(1, 30).Draw(t, "page")) * wire.PageSize
			length := uint64(rapid.IntRange(1, 20).Draw(t, "pages")) * wire.PageSize
			switch rapid.IntRange(0, 4).Draw(t, "op") {
			case 0:
				w.take(w.home.Mmap(call, wire.MmapReq{PID: pid, Epoch: 1, Addr: addr, Length: length}, nil))
			case 1:
				w.take(w.home.Mmap(call, wire.MmapReq{PID: pid, Epoch: 1, Length: length}, nil))
			case 2:
				w.take(w.home.Munmap(call, wire.MunmapReq{PID: pid, Epoch: 1, Addr: addr, Length: length}, nil))
			case 3:
				w.take(w.home.Brk(call, wire.BrkReq{PID: pid, Epoch: 1, End: addr + 100*wire.PageSize}, nil))
			case 4:
				w.take(w.home.Owners(call, wire.OwnersReq{PID: pid, Addr: addr, Length: length}, nil))
			}
		}
		for _, p := range pids { // exits queue behind whatever runs; a second one is harmless
			for range 2 {
				call++
				w.take(w.home.Exit(call, wire.ProcessExitReq{PID: p, Epoch: 1}, nil))
			}
		}
		w.drain()
		for c := uint64(1); c <= call; c++ {
			if _, ok := w.replies[c]; !ok {
				t.Fatalf("call %d of %d was never answered", c, call)
			}
		}
		for n, o := range w.owners {
			if o.Regions() != 0 {
				t.Fatalf("%s still serves %d vRegions after the exits", n, o.Regions())
			}
		}
		if s := w.home.Stats(); s.Processes != 0 || s.Regions != 0 || s.MappedBytes != 0 {
			t.Fatalf("home after the exits: %+v", s)
		}
	})
}

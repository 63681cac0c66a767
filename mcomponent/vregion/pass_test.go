package vregion

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

// granted is a world in which GMM grants vRegions to mComponents that are fenced and join again, and moves those of which
// their owner has nothing yet, while each message takes as long as it likes. m1 is the home and is never fenced.
type granted struct {
	t       *rapid.T
	home    *Home
	owners  map[wire.NodeID]*Owners
	epochs  map[wire.NodeID]wire.Epoch // as GMM has registered them
	known   map[wire.NodeID]wire.Epoch // as they know
	books   map[wire.RegionNo]wire.Owner
	moving  map[wire.RegionNo]wire.MoveReq // ended at the giver, not in the books yet
	due     []Effect
	answers []grantAnswer
	replies map[uint64]Effect
	passed  int
	refused int // maps of what was granted under an epoch that is over
}

type grantAnswer struct {
	id  uint64
	res Result
}

var grantNodes = []wire.NodeID{"m1", "m2", "m3"}

func newGranted(t *rapid.T) *granted {
	w := &granted{
		t: t, home: NewHome(testOptions()), owners: map[wire.NodeID]*Owners{}, epochs: map[wire.NodeID]wire.Epoch{}, known: map[wire.NodeID]wire.Epoch{},
		books: map[wire.RegionNo]wire.Owner{}, moving: map[wire.RegionNo]wire.MoveReq{}, replies: map[uint64]Effect{},
	}
	for _, n := range grantNodes {
		w.owners[n] = NewOwners(testOptions(), n, 1000)
		w.epochs[n] = 1
		w.join(n)
	}
	return w
}

func (w *granted) join(n wire.NodeID) {
	w.known[n] = w.epochs[n]
	w.owners[n].Registered(w.epochs[n])
}

func (w *granted) take(out []Effect) {
	for _, e := range out {
		if e.Kind == Reply {
			w.replies[e.Call] = e
		} else {
			w.due = append(w.due, e)
		}
	}
	if err := w.home.CheckInvariants(); err != nil {
		w.t.Fatal(err)
	}
}

// perform does a drawn effect; its answer comes later.
func (w *granted) perform() {
	i := rapid.IntRange(0, len(w.due)-1).Draw(w.t, "effect")
	e := w.due[i]
	w.due = append(w.due[:i:i], w.due[i+1:]...)
	var res Result
	switch e.Kind {
	case AskOwner:
		o, ok := w.books[e.Region]
		if !ok {
			n := rapid.SampledFrom(grantNodes).Draw(w.t, "owner")
			o = wire.Owner{Region: e.Region, Node: n, Epoch: 1, Member: w.epochs[n]}
			w.books[e.Region] = o
		}
		if res.Owner = o; o.Member != w.epochs[o.Node] {
			res = Result{Err: wire.Errorf(wire.KindFailed, "it is lost")}
		}
	case MapAt:
		o := w.owners[e.Owner.Node]
		absent := o.Absent(e.PID, e.Region)
		switch res.Err = o.Map(e.Map); {
		case res.Err == nil && absent && e.Map.Member != w.epochs[e.Owner.Node]:
			w.t.Fatalf("%s, which is registered under epoch %d, begins to serve vRegion %d, which it was given under epoch %d", e.Owner.Node, w.epochs[e.Owner.Node], e.Region, e.Map.Member)
		case errors.Is(res.Err, wire.ErrFailed):
			w.refused++
		}
	case UnmapAt:
		_, _, res.Err = w.owners[e.Owner.Node].Unmap(e.Unmap, e.Owner.Epoch)
	}
	w.answers = append(w.answers, grantAnswer{e.ID, res})
	w.law()
}

// law: one server at most, and it is the one of the books or of the move that they have not heard of.
func (w *granted) law() {
	served := map[wire.RegionNo]wire.NodeID{}
	for _, n := range grantNodes {
		for _, h := range w.owners[n].Holdings() {
			if other := served[h.Region]; other != "" {
				w.t.Fatalf("vRegion %d is served by %s and %s", h.Region, other, n)
			}
			served[h.Region] = n
			if b := w.books[h.Region]; b.Node != n || b.Epoch != h.Epoch || b.Member != w.known[n] {
				w.t.Fatalf("vRegion %d is served by %s (registered as %d) under epoch %d, the books have %+v", h.Region, n, w.known[n], h.Epoch, b)
			}
			if m, ok := w.moving[h.Region]; ok {
				w.t.Fatalf("vRegion %d is served by %s although it was passed to %s", h.Region, n, m.To)
			}
		}
		if err := w.owners[n].CheckInvariants(); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *granted) deliver() {
	i := rapid.IntRange(0, len(w.answers)-1).Draw(w.t, "answer")
	a := w.answers[i]
	w.answers = append(w.answers[:i:i], w.answers[i+1:]...)
	w.take(w.home.Done(a.id, a.res, nil))
}

// pass has GMM order the move of a vRegion; only one of which its owner has nothing is passed.
func (w *granted) pass() {
	r := wire.RegionNo(rapid.IntRange(0, 5).Draw(w.t, "moved"))
	b, ok := w.books[r]
	if _, moves := w.moving[r]; !ok || moves || b.Member != w.epochs[b.Node] {
		return
	}
	to := rapid.SampledFrom(grantNodes).Draw(w.t, "to")
	q := wire.MoveReq{PID: 1, Region: r, OldEpoch: b.Epoch, Epoch: b.Epoch + 1, To: to, FromMember: b.Member, ToMember: w.epochs[to]}
	if to != b.Node && w.owners[b.Node].Pass(q) == nil {
		w.moving[r] = q
		w.passed++
	}
}

// end takes a move into the books.
func (w *granted) end(r wire.RegionNo) {
	q := w.moving[r]
	delete(w.moving, r)
	w.books[r] = wire.Owner{Region: r, Node: q.To, Epoch: q.Epoch, Member: q.ToMember}
}

func (w *granted) fence(n wire.NodeID) {
	for _, s := range w.owners[n].Fence("fenced", nil, nil) {
		w.owners[n].Release(s)
	}
	w.epochs[n]++
	w.known[n] = 0
	w.law()
}

// TestGrantsAndFences: whatever is late, no mComponent takes into use what it was given before it was fenced, a vRegion that
// moves before it is used is served at one place only, and each map is answered, without an error unless something was fenced.
func TestGrantsAndFences(t *testing.T) {
	passed, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w := newGranted(t)
		w.home.Open(wire.ProcessOpenReq{PID: 1, Epoch: 1})
		calls, fenced := uint64(0), false
		for range rapid.IntRange(5, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0, 1:
				calls++
				addr := uint64(rapid.IntRange(1, 47).Draw(t, "page")) * wire.PageSize
				w.take(w.home.Mmap(calls, wire.MmapReq{PID: 1, Epoch: 1, Addr: addr, Length: wire.PageSize}, nil))
			case 2, 3, 4:
				if len(w.due) > 0 {
					w.perform()
				}
			case 5, 6:
				if len(w.answers) > 0 {
					w.deliver()
				}
			case 7:
				w.pass()
			case 8:
				if r := wire.RegionNo(rapid.IntRange(0, 5).Draw(t, "ended")); w.moving[r].Epoch != 0 {
					w.end(r)
				}
			case 9:
				n := rapid.SampledFrom(grantNodes[1:]).Draw(t, "node")
				if w.known[n] == 0 {
					w.join(n)
				} else if rapid.Bool().Draw(t, "fenced") {
					w.fence(n)
					fenced = true
				}
			}
		}
		for _, n := range grantNodes {
			w.join(n)
		}
		for r := range wire.RegionNo(6) {
			if w.moving[r].Epoch != 0 {
				w.end(r)
			}
		}
		for len(w.due)+len(w.answers) > 0 {
			if len(w.due) > 0 {
				w.perform()
			} else {
				w.deliver()
			}
		}
		for c := uint64(1); c <= calls; c++ {
			if r, ok := w.replies[c]; !ok || r.Err != nil && (!fenced || !errors.Is(r.Err, wire.ErrFailed)) {
				t.Fatalf("call %d (fenced: %v): %+v", c, fenced, r)
			}
		}
		passed, refused = passed+w.passed, refused+w.refused
	})
	if passed == 0 || refused == 0 {
		t.Errorf("%d vRegions were passed, %d late grants refused: the test tests nothing", passed, refused)
	}
}

// TestHomesPass: a home of which nothing is here moves; who opens it here under the epoch before is turned away, and it can come
// back. What may have been lost is not passed.
func TestHomesPass(t *testing.T) {
	h := NewHome(testOptions())
	h.Registered(4)
	open := func(pid wire.PID, home wire.Epoch) error {
		return h.Open(wire.ProcessOpenReq{PID: pid, Epoch: 1, Home: home})
	}
	order := func(pid wire.PID, old, member wire.Epoch) wire.MoveReq {
		return wire.MoveReq{Kind: wire.MoveHome, PID: pid, OldEpoch: old, Epoch: old + 1, To: "m2", FromMember: member}
	}
	for member, want := range map[wire.Epoch]error{0: wire.ErrNotOwner, 3: wire.ErrNotOwner, 5: wire.ErrBusy} {
		if err := h.Pass("m1", order(1, 1, member)); !errors.Is(err, want) {
			t.Errorf("member epoch %d: %v, want %v", member, err, want)
		}
	}
	if err := h.Pass("m1", order(1, 1, 4)); err != nil {
		t.Fatal(err)
	}
	for _, e := range []wire.Epoch{0, 1} {
		if err := open(1, e); !errors.Is(err, wire.ErrNotOwner) {
			t.Errorf("opened under epoch %d: %v", e, err)
		}
	}
	out := h.Exit(1, wire.ProcessExitReq{PID: 1, Epoch: 1}, nil)
	if len(out) != 1 || out[0].Err != nil {
		t.Errorf("exit of a process that was never here: %+v", out)
	}
	if err := open(1, 3); err != nil {
		t.Errorf("it has come back: %v", err)
	}
	if err := h.Pass("m1", order(1, 3, 4)); !errors.Is(err, wire.ErrBusy) {
		t.Errorf("passed what lives here: %v", err)
	}
	if err := h.Movable(1, 3); err != nil {
		t.Errorf("it cannot move: %v", err)
	}
	h.Exit(2, wire.ProcessExitReq{PID: 1, Epoch: 1}, nil)
	if err := h.Pass("m1", order(1, 3, 4)); err != nil {
		t.Errorf("an ended one is not passed: %v", err)
	}
	h.Fence("fenced")
	if err := h.Pass("m1", order(2, 1, 4)); !errors.Is(err, wire.ErrNotOwner) {
		t.Errorf("passed after a fence: %v", err)
	}
	if err := h.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

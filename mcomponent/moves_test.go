package mcomponent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// client is a pComponent as far as moves concern it: it hears of new owners and homes, and uses them.
type client struct {
	cl   *cluster
	addr netlayer.Addr

	mu     sync.Mutex
	owners map[wire.RegionNo]wire.Owner
	home   wire.Owner
	refuse error // of a switch
	told   int
}

func newClient(cl *cluster) *client {
	p := &client{cl: cl, owners: map[wire.RegionNo]wire.Owner{}}
	_, addr, stop := serve(cl.t, p, wire.RoleCompute, "p1", inproc())
	p.addr = addr
	cl.t.Cleanup(stop)
	return p
}

func (p *client) Inline(wire.Op) bool { return false }

func (p *client) Serve(_ context.Context, req *netlayer.Request, _ *netlayer.Reply) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse != nil {
		return p.refuse
	}
	p.told++
	switch req.Op {
	case wire.OpRegionSwitch:
		return decoded(req, func(m wire.RegionSwitchReq) error {
			p.set(m.Owner)
			return nil
		})
	case wire.OpHomeSwitch:
		return decoded(req, func(m wire.HomeSwitchReq) error {
			if m.Home.Epoch >= p.home.Epoch {
				p.home = m.Home
			}
			return nil
		})
	}
	return wire.ErrBadRequest
}

func (p *client) set(w wire.Owner) {
	if w.Epoch >= p.owners[w.Region].Epoch {
		p.owners[w.Region] = w
	}
}

// open opens a process at home and maps its vRegion r.
func (p *client) open(home *member, pid wire.PID, r wire.RegionNo, pages uint64) {
	p.cl.t.Helper()
	p.cl.must(home.control(wire.OpProcessOpen, wire.ProcessOpenReq{PID: pid, Epoch: 1, Addr: string(p.addr)}, nil))
	rep := p.cl.mmap(home, pid, uint64(r)*home.o.RegionBytes, pages*wire.PageSize)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range rep.Owners {
		p.set(w)
	}
	p.home = wire.Owner{Node: home.o.Node, Addr: string(home.addr)}
}

func (p *client) owner(r wire.RegionNo) (wire.Owner, *member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.owners[r]
	for _, m := range p.cl.m {
		if m.o.Node == w.Node {
			return w, m
		}
	}
	return w, nil
}

func passing(err error) bool {
	switch wire.KindOf(err) {
	case wire.KindBusy, wire.KindNotOwner, wire.KindStale, wire.KindUnavailable, wire.KindTimeout:
		return true
	}
	return false
}

// miss fetches a page from whoever owns it, as often as need be.
func (p *client) miss(t testing.TB, pid wire.PID, page wire.PageNo) []byte {
	for {
		w, m := p.owner(wire.RegionNo(uint64(page) * wire.PageSize / p.cl.m[0].o.RegionBytes))
		c := netlayer.Call{Op: wire.OpMiss, Epoch: 1, Body: wire.Miss{PID: pid, Page: page, OwnerEpoch: w.Epoch}.Append(nil), Into: make([]byte, wire.PageSize)}
		if err := m.peer.Do(&c); err == nil {
			return c.Into
		} else if !passing(err) {
			t.Errorf("miss of page %d: %v", page, err)
			return nil
		}
	}
}

// flush writes a page to whoever owns it.
func (p *client) flush(t testing.TB, pid wire.PID, page wire.PageNo, version uint64, b []byte) {
	for {
		w, m := p.owner(wire.RegionNo(uint64(page) * wire.PageSize / p.cl.m[0].o.RegionBytes))
		f := wire.Flush{PID: pid, Page: page, OwnerEpoch: w.Epoch, ProcessEpoch: 1, Version: version}
		err := m.peer.Do(&netlayer.Call{Op: wire.OpFlush, Body: f.Append(nil), Page: b})
		if err == nil {
			return
		}
		if !passing(err) {
			t.Errorf("flush of page %d: %v", page, err)
			return
		}
	}
}

var moveNo uint64

// order orders the move of a vRegion from its owner.
func (p *client) order(pid wire.PID, r wire.RegionNo, to, home *member) (wire.MoveReq, *member) {
	w, from := p.owner(r)
	moveNo++
	return wire.MoveReq{
		Move: wire.MoveID{Manager: wire.GMM, No: moveNo}, Kind: wire.MoveRegion, PID: pid, Region: r, OldEpoch: w.Epoch, Epoch: w.Epoch + 1, UndoEpoch: w.Epoch + 2,
		To: to.o.Node, ToAddr: string(to.addr), Via: home.o.Node, ViaAddr: string(home.addr), TimeoutMS: 60_000,
	}, from
}

// move orders a move and waits for its end.
func (cl *cluster) move(from *member, req wire.MoveReq) wire.MoveStatusRep {
	cl.t.Helper()
	cl.must(from.control(wire.OpMoveStart, req, nil))
	cl.must(from.control(wire.OpMoveStart, req, nil)) // again: nothing changes
	var s wire.MoveStatusRep
	eventually(cl.t, "the end of a move", func() bool {
		cl.must(from.control(wire.OpMoveStatus, wire.MoveRef{Move: req.Move}, &s))
		return s.State.Ended()
	})
	cl.must(from.control(wire.OpMoveForget, wire.MoveRef{Move: req.Move}, nil))
	if err := from.control(wire.OpMoveStatus, wire.MoveRef{Move: req.Move}, &s); !errors.Is(err, wire.ErrNotFound) {
		cl.t.Errorf("a forgotten move: %v", err)
	}
	return s
}

// sound checks the cores and that no component holds anything that it does not serve.
func (cl *cluster) sound(regions, pages, homes int) {
	cl.t.Helper()
	var r, p, h, in int
	for _, m := range cl.m {
		m.mu.Lock()
		if err := errors.Join(m.store.CheckInvariants(), m.owners.CheckInvariants(), m.taker.CheckInvariants()); err != nil {
			cl.t.Error(err)
		}
		r, p, in = r+m.owners.Regions(), p+m.store.Stats().Used, in+m.taker.Len()+len(m.giving)
		m.mu.Unlock()
		m.homeMu.Lock()
		if err := errors.Join(m.home.CheckInvariants(), m.homeTaker.CheckInvariants()); err != nil {
			cl.t.Error(err)
		}
		h, in = h+m.home.Stats().Processes, in+m.homeTaker.Len()
		m.homeMu.Unlock()
	}
	if r != regions || p != pages || h != homes || in != 0 {
		cl.t.Errorf("%d vRegions, %d pages, %d homes, %d on their way; want %d, %d, %d, 0", r, p, h, in, regions, pages, homes)
	}
}

// TestARegionMoves: pages, zeros and mappings go along, the old owner turns everybody away, and nothing is left there.
func TestARegionMoves(t *testing.T) {
	for _, home := range []int{0, 1, 2} { // a third, the giver, the taker
		cl := newCluster(t, 3, nil)
		p := newClient(cl)
		const pid, r, first = 7, 1, 16 // owned by m2
		p.open(cl.m[home], pid, r, 12)
		for page := wire.PageNo(first); page < first+8; page++ {
			p.flush(t, pid, page, 1, filled(byte(page)))
		}
		p.miss(t, pid, first+9) // zeros
		req, from := p.order(pid, r, cl.m[2], cl.m[home])
		s := cl.move(from, req)
		if s.State != wire.MoveDone || s.Epoch != 2 || s.Bytes != 8*wire.PageSize || s.PauseUS == 0 {
			t.Fatalf("%+v", s)
		}
		if w, m := p.owner(r); m != cl.m[2] || w.Epoch != 2 || p.told != 1 {
			t.Fatalf("the client knows %+v, told %d times", w, p.told)
		}
		for page := wire.PageNo(first); page < first+12; page++ {
			want := filled(0)
			if page < first+8 {
				want = filled(byte(page))
			}
			if got := p.miss(t, pid, page); !bytes.Equal(got, want) {
				t.Errorf("page %d: %d, want %d", page, got[0], want[0])
			}
		}
		if _, err := from.miss(pid, first); !errors.Is(err, wire.ErrNotOwner) {
			t.Errorf("a miss at the old owner: %v", err)
		}
		if err := from.control(wire.OpRegionMap, wire.RegionMapReq{PID: pid, Region: r, RegionEpoch: 1, Start: first * wire.PageSize, Length: wire.PageSize}, nil); !errors.Is(err, wire.ErrNotOwner) {
			t.Errorf("a late map at the old owner: %v", err)
		}
		cl.mmap(cl.m[home], pid, (first+14)*wire.PageSize, wire.PageSize)
		p.miss(t, pid, first+14)
		cl.sound(1, 13, 1)
		cl.must(cl.m[home].control(wire.OpProcessExit, wire.ProcessExitReq{PID: pid, Epoch: 1}, nil))
		cl.sound(0, 0, 0)
	}
}

// TestNoFlushIsLostWhileARegionMoves: clients flush and miss in a vRegion, map and unmap in it, while it goes from component
// to component. Every miss finds the last acknowledged flush.
func TestNoFlushIsLostWhileARegionMoves(t *testing.T) {
	t.Run("short messages in one process", func(t *testing.T) {
		noFlushIsLost(t, newCluster(t, 3, func(o *Options) {
			o.RegionBytes, o.MemoryBytes = 256*wire.PageSize, 4<<20
			o.Migrate.BatchPages, o.Migrate.FreezePages, o.Migrate.WindowMessages = 8, 4, 3
		}))
	})
	// The kernel reads pages while clients flush them, and writes them where the taker wants them.
	t.Run("long messages over sockets", func(t *testing.T) {
		cl := newCluster(t, 0, nil)
		for i := range 3 {
			id := wire.NodeID(fmt.Sprintf("m%d", i+1))
			cl.m = append(cl.m, cl.start(id, netlayer.Addr("unix:"+filepath.Join(t.TempDir(), "s")), func(o *Options) {
				o.RegionBytes, o.MemoryBytes = 256*wire.PageSize, 216*wire.PageSize // what is used: not every message finds spare frames
				o.Migrate.BatchPages, o.Migrate.FreezePages = 50, 4
			}))
		}
		noFlushIsLost(t, cl)
		if n := cl.m[0].store.Reserved() + cl.m[1].store.Reserved() + cl.m[2].store.Reserved(); n != 0 {
			t.Errorf("%d frames are left reserved", n)
		}
	})
}

// TestARottenPageMoves: a byte changed in the giver's memory. The message in which the page is sent first does not fit its checksum; then it
// goes along as it is, and whoever fetches it finds out, as without a move.
func TestARottenPageMoves(t *testing.T) {
	cl := newCluster(t, 0, nil)
	for i := range 2 {
		id := wire.NodeID(fmt.Sprintf("m%d", i+1))
		cl.m = append(cl.m, cl.start(id, netlayer.Addr("unix:"+filepath.Join(t.TempDir(), "s")), func(o *Options) {
			o.RegionBytes, o.Migrate.FreezePages = 256*wire.PageSize, 4
		}))
	}
	p := newClient(cl)
	const pid, r, first, pages = 7, 1, 256, 200
	p.open(cl.m[0], pid, r, pages)
	for page := wire.PageNo(first); page < first+pages; page++ {
		p.flush(t, pid, page, 1, filled(byte(page)))
	}
	const rotten = first + 70
	req, from := p.order(pid, r, cl.m[0], cl.m[0])
	from.mu.Lock()
	f, _, _ := from.store.Peek(pid, rotten)
	from.pages.Page(f)[9] ^= 1
	from.mu.Unlock()
	s := cl.move(from, req)
	if batch := uint64(from.o.Migrate.BatchPages); s.State != wire.MoveDone || s.Bytes != (pages+min(batch, pages))*wire.PageSize {
		t.Fatalf("%+v, want one message sent twice", s)
	}
	for page := wire.PageNo(first); page < first+pages; page++ {
		w, m := p.owner(r)
		c := netlayer.Call{Op: wire.OpMiss, Epoch: 1, Body: wire.Miss{PID: pid, Page: page, OwnerEpoch: w.Epoch}.Append(nil), Into: make([]byte, wire.PageSize)}
		err := m.peer.Do(&c)
		if page == rotten && !errors.Is(err, wire.ErrCorrupt) || page != rotten && (err != nil || !bytes.Equal(c.Into, filled(byte(page)))) {
			t.Errorf("page %d: %v, %d", page, err, c.Into[0])
		}
	}
}

func noFlushIsLost(t *testing.T, cl *cluster) {
	p := newClient(cl)
	home := cl.m[0]
	const pid, r, first, pages, workers, moves = 7, 1, 256, 200, 4, 15
	p.open(home, pid, r, pages)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for w := range workers { // each has its own pages, and so knows what they hold
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			version, have := uint64(0), map[wire.PageNo]byte{}
			for {
				select {
				case <-stop:
					return
				default:
				}
				page := wire.PageNo(first + w + workers*rng.IntN(pages/workers))
				if rng.IntN(2) == 0 {
					version++
					have[page] = byte(version)
					p.flush(t, pid, page, version, filled(byte(version)))
				} else if got := p.miss(t, pid, page); got == nil || !bytes.Equal(got, filled(have[page])) {
					t.Errorf("page %d: %d, want %d", page, got[0], have[page])
					return
				}
			}
		})
	}
	wg.Go(func() { // beside them pages come and go
		for v := uint64(1); ; v++ {
			select {
			case <-stop:
				return
			default:
			}
			const at, n = first + pages + 8, 16
			cl.mmap(home, pid, at*wire.PageSize, n*wire.PageSize)
			for page := wire.PageNo(at); page < at+n; page++ {
				if got := p.miss(t, pid, page); got == nil || !bytes.Equal(got, filled(0)) {
					t.Errorf("page %d was mapped anew and holds %d", page, got[0])
					return
				}
				p.flush(t, pid, page, v, filled(byte(page)))
			}
			cl.must(home.control(wire.OpMunmap, wire.MunmapReq{PID: pid, Epoch: 1, Addr: at * wire.PageSize, Length: n * wire.PageSize}, nil))
		}
	})
	for i := range moves {
		req, from := p.order(pid, r, cl.m[(i+2)%3], home)
		if s := cl.move(from, req); s.State != wire.MoveDone {
			t.Errorf("move %d: %+v", i, s)
			break
		}
	}
	close(stop)
	wg.Wait()
	cl.must(home.control(wire.OpProcessExit, wire.ProcessExitReq{PID: pid, Epoch: 1}, nil))
	cl.sound(0, 0, 0)
}

// TestAHomeMoves: mappings, the heap and owners go along, the old home turns everybody away, and vRegions can move after it.
func TestAHomeMoves(t *testing.T) {
	cl := newCluster(t, 3, nil)
	p := newClient(cl)
	const pid, r, first = 7, 1, 16
	p.open(cl.m[0], pid, r, 8)
	cl.must(cl.m[0].control(wire.OpBrk, wire.BrkReq{PID: pid, Epoch: 1, End: 40 * testRegion}, nil))
	cl.must(cl.m[0].control(wire.OpBrk, wire.BrkReq{PID: pid, Epoch: 1, End: 41 * testRegion}, nil))
	moveNo++
	req := wire.MoveReq{Move: wire.MoveID{Manager: wire.GMM, No: moveNo}, Kind: wire.MoveHome, PID: pid, OldEpoch: 1, Epoch: 2, UndoEpoch: 3, To: "m2", ToAddr: string(cl.m[1].addr), TimeoutMS: 60_000}
	if s := cl.move(cl.m[0], req); s.State != wire.MoveDone || s.Epoch != 2 {
		t.Fatalf("%+v", s)
	}
	if p.home.Node != "m2" || p.home.Epoch != 2 {
		t.Fatalf("the client knows the home %+v", p.home)
	}
	for op, q := range map[wire.Op]any{
		wire.OpMmap: wire.MmapReq{PID: pid, Epoch: 1, Length: 1}, wire.OpProcessOpen: wire.ProcessOpenReq{PID: pid, Epoch: 1}, wire.OpProcessExit: wire.ProcessExitReq{PID: pid, Epoch: 1},
		wire.OpOwners: wire.OwnersReq{PID: pid, Addr: testRegion, Length: 1},
	} {
		if err := cl.m[0].control(op, q, nil); !errors.Is(err, wire.ErrNotOwner) {
			t.Errorf("%v at the old home: %v", op, err)
		}
	}
	home := cl.m[1]
	var rep wire.MmapRep
	cl.must(home.control(wire.OpBrk, wire.BrkReq{PID: pid, Epoch: 1, End: 42 * testRegion}, &rep))
	if rep.Addr != 42*testRegion {
		t.Errorf("the heap ends at %#x", rep.Addr)
	}
	rm, from := p.order(pid, r, cl.m[2], home)
	if s := cl.move(from, rm); s.State != wire.MoveDone {
		t.Fatalf("%+v", s)
	}
	p.flush(t, pid, first, 1, filled(1))
	cl.sound(3, 1, 1)
	// And back, as an old home must be able to be one again.
	moveNo++
	req.Move.No, req.OldEpoch, req.Epoch, req.UndoEpoch, req.To, req.ToAddr = moveNo, 2, 3, 4, "m1", string(cl.m[0].addr)
	if s := cl.move(home, req); s.State != wire.MoveDone {
		t.Fatalf("%+v", s)
	}
	cl.must(cl.m[0].control(wire.OpProcessExit, wire.ProcessExitReq{PID: pid, Epoch: 1}, nil))
	cl.sound(0, 0, 0)
}

// TestMovesAreUndone: whoever refuses, the giver serves on, under an epoch that says who has heard of what.
func TestMovesAreUndone(t *testing.T) {
	const pid, r, first = 7, 1, 16
	for name, c := range map[string]struct {
		spoil func(*cluster, *client, *wire.MoveReq)
		epoch wire.Epoch
	}{
		"no room": {func(cl *cluster, _ *client, _ *wire.MoveReq) {
			cl.open(cl.m[2], 9)
			cl.mmap(cl.m[2], 9, 2*testRegion, 16*wire.PageSize)
			for page := wire.PageNo(32); page < 48; page++ {
				_, err := cl.m[2].miss(9, page)
				cl.must(err)
			}
		}, 1},
		"nobody there":              {func(_ *cluster, _ *client, q *wire.MoveReq) { q.ToAddr = string(inproc()) }, 1},
		"too late":                  {func(_ *cluster, _ *client, q *wire.MoveReq) { q.TimeoutMS = 0 }, 1},
		"the home does not know it": {func(cl *cluster, _ *client, q *wire.MoveReq) { q.Via, q.ViaAddr = "m3", string(cl.m[2].addr) }, 3},
		"the client does not hear":  {func(_ *cluster, p *client, _ *wire.MoveReq) { p.refuse = wire.Errorf(wire.KindInternal, "deaf") }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			cl := newCluster(t, 3, func(o *Options) {
				o.MemoryBytes, o.Migrate.PatienceMS, o.Migrate.SwitchMS = 20*wire.PageSize, 100, 100
			})
			p := newClient(cl)
			p.open(cl.m[0], pid, r, 8)
			for page := wire.PageNo(first); page < first+8; page++ {
				p.flush(t, pid, page, 1, filled(byte(page)))
			}
			req, from := p.order(pid, r, cl.m[2], cl.m[0])
			c.spoil(cl, p, &req)
			s := cl.move(from, req)
			if s.State != wire.MoveUndone || s.Epoch != c.epoch || s.Text == "" {
				t.Fatalf("%+v", s)
			}
			p.mu.Lock()
			p.refuse = nil
			p.owners[r] = wire.Owner{Region: r, Node: "m2", Addr: string(from.addr), Epoch: c.epoch} // as it would hear from its home
			p.mu.Unlock()
			for page := wire.PageNo(first); page < first+8; page++ {
				if got := p.miss(t, pid, page); !bytes.Equal(got, filled(byte(page))) {
					t.Errorf("page %d holds %d", page, got[0])
				}
			}
			if n := cl.m[2].Stats().OwnedRegions; name != "no room" && n != 0 {
				t.Errorf("the taker has %d vRegions", n)
			}
			// It can move afterwards.
			req, from = p.order(pid, r, cl.m[0], cl.m[0])
			if name != "the home does not know it" { // in truth it had heard nothing, so it believes in epoch 1
				if s := cl.move(from, req); s.State != wire.MoveDone {
					t.Errorf("the next move: %+v", s)
				}
			}
		})
	}
}

// TestAProcessEndsWhileItsRegionMoves: at whatever point, nothing of it is left anywhere.
func TestAProcessEndsWhileItsRegionMoves(t *testing.T) {
	cl := newCluster(t, 3, func(o *Options) {
		o.RegionBytes = 256 * wire.PageSize
		o.Migrate.BatchPages, o.Migrate.FreezePages = 4, 1
	})
	p := newClient(cl)
	home := cl.m[0]
	const first = 256
	for pid := wire.PID(1); pid <= 20; pid++ {
		p.mu.Lock()
		p.owners = map[wire.RegionNo]wire.Owner{}
		p.mu.Unlock()
		p.open(home, pid, 1, 200)
		for page := wire.PageNo(first); page < first+200; page++ {
			p.flush(t, pid, page, 1, filled(1))
		}
		req, from := p.order(pid, 1, cl.m[2], home)
		cl.must(from.control(wire.OpMoveStart, req, nil))
		var s wire.MoveStatusRep
		eventually(t, "some bytes to be sent", func() bool {
			cl.must(from.control(wire.OpMoveStatus, wire.MoveRef{Move: req.Move}, &s))
			return s.Bytes >= uint64(pid)*10*wire.PageSize || s.State.Ended()
		})
		if pid%2 == 0 { // all of it is unmapped
			cl.must(home.control(wire.OpMunmap, wire.MunmapReq{PID: pid, Epoch: 1, Addr: first * wire.PageSize, Length: 200 * wire.PageSize}, nil))
		}
		cl.must(home.control(wire.OpProcessExit, wire.ProcessExitReq{PID: pid, Epoch: 1}, nil))
		eventually(t, "the end of a move", func() bool {
			cl.must(from.control(wire.OpMoveStatus, wire.MoveRef{Move: req.Move}, &s))
			return s.State.Ended()
		})
		if s.State == wire.MoveLost {
			t.Errorf("process %d: %+v", pid, s)
		}
		cl.sound(0, 0, 0)
	}
}

// TestATakerThatGoesAway: before the switch-over the move is undone; a taker that hears nothing more gives its copy up.
func TestATakerGivesUpWhatNobodyEnds(t *testing.T) {
	cl := newCluster(t, 2, func(o *Options) { o.Migrate.IdleMS = 20 })
	to := cl.m[1]
	open := func(no uint64) wire.RegionCopyOpenReq {
		return wire.RegionCopyOpenReq{Move: wire.MoveID{Manager: wire.GMM, No: 1<<40 + no}, Round: 1, PID: 7, Region: wire.RegionNo(no), Epoch: 2, From: "m1", FromAddr: string(cl.m[0].addr)}
	}
	cl.must(to.control(wire.OpRegionCopyOpen, open(1), nil))
	cl.must(to.control(wire.OpRegionCopyOpen, open(2), nil))
	cl.must(to.control(wire.OpRegionCopyEnd, wire.RegionCopyEndReq{Move: open(2).Move, Round: 2, Parts: 1}, nil)) // complete: the giver is asked, and knows nothing
	cl.must(to.control(wire.OpHomeCopy, wire.HomeCopyReq{Move: open(3).Move, Parts: 1, PID: 8, From: "m1", FromAddr: string(cl.m[0].addr)}, nil))
	eventually(t, "the copies are given up", func() bool { return to.tended() == 0 })
	cl.sound(0, 0, 0)
	if err := to.control(wire.OpRegionServe, wire.MoveServeReq{Move: open(2).Move, Epoch: 2}, nil); !errors.Is(err, wire.ErrStale) {
		t.Errorf("serve of what was given up: %v", err)
	}
	if err := to.control(wire.OpRegionCopyOpen, open(1), nil); !errors.Is(err, wire.ErrStale) {
		t.Errorf("a late announcement: %v", err)
	}
	if err := to.control(wire.OpProcessOpen, wire.ProcessOpenReq{PID: 8, Epoch: 1}, nil); err != nil {
		t.Errorf("the process may be at home here now: %v", err)
	}
}

// TestATakerWasChosenForAnotherMembership: what comes for a membership that is over is refused, as the books would not have it here.
func TestATakerWasChosenForAnotherMembership(t *testing.T) {
	cl := newCluster(t, 2, nil)
	to := cl.m[1]
	to.Registered(3)
	for member, want := range map[wire.Epoch]wire.Kind{0: wire.KindNone, 2: wire.KindFailed, 3: wire.KindNone} {
		id := wire.MoveID{Manager: wire.GMM, No: 1<<40 + uint64(member)}
		pid := wire.PID(10 + member)
		for op, q := range map[wire.Op]any{
			wire.OpRegionCopyOpen: wire.RegionCopyOpenReq{Move: id, Round: 1, PID: pid, Region: 1, Epoch: 2, From: "m1", FromAddr: string(cl.m[0].addr), Member: member},
			wire.OpHomeCopy:       wire.HomeCopyReq{Move: id, Parts: 1, PID: pid, From: "m1", FromAddr: string(cl.m[0].addr), Member: member},
		} {
			if err := to.control(op, q, nil); wire.KindOf(err) != want {
				t.Errorf("%v for membership %d: %v, want kind %v", op, member, err, want)
			}
		}
	}
}

func (m *member) tended() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.homeMu.Lock()
	defer m.homeMu.Unlock()
	return m.taker.Len() + m.homeTaker.Len()
}

package mcomponent

import (
	"bytes"
	"context"
	"errors"
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
		c := netlayer.Call{Op: wire.OpMiss, Body: wire.Miss{PID: pid, Page: page, OwnerEpoch: w.Epoch}.Append(nil), Into: make([]byte, wire.PageSize)}
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

package mcomponent

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"splitkernel/mcomponent/cachemove"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// user is the pComponent of a volume, as little of it as moves need: it knows where the buffer cache is.
type user struct {
	addr netlayer.Addr
	m    map[wire.NodeID]*member

	mu     sync.Mutex
	at     *member
	epoch  wire.Epoch
	refuse error
}

func newUser(t testing.TB, cl *cluster) *user {
	u := &user{addr: inproc(), m: map[wire.NodeID]*member{}, at: cl.m[0], epoch: 1}
	for _, m := range cl.m {
		u.m[m.o.Node] = m
	}
	_, _, stop := serve(t, u, wire.RoleCompute, "p1", u.addr)
	t.Cleanup(stop)
	return u
}

func (u *user) Inline(wire.Op) bool { return false }

func (u *user) Serve(_ context.Context, req *netlayer.Request, _ *netlayer.Reply) error {
	var m wire.SwitchReq
	if err := wire.Unmarshal(req.Body, &m); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.refuse != nil {
		return u.refuse
	}
	if m.Epoch > u.epoch {
		u.at, u.epoch = u.m[m.To], m.Epoch
	}
	return nil
}

func (u *user) place() (*member, wire.Epoch) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.at, u.epoch
}

// do performs f where the buffer cache is, and again where it is then while it moves.
func (u *user) do(k wire.Block, f func(m *member, k wire.Block) error) error {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		m, e := u.place()
		k.VolumeEpoch = e
		err := f(m, k)
		switch wire.KindOf(err) {
		case wire.KindBusy:
		case wire.KindNotOwner, wire.KindStale, wire.KindUnavailable:
			if now, ne := u.place(); now == m && ne == e { // it may have gone and come back
				return err
			}
		default:
			return err
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

func (u *user) attach(cl *cluster) error {
	return u.at.control(wire.OpVolumeAttach, wire.VolumeAttachReq{Volume: 1, Epoch: u.epoch, SizeBytes: volumeBytes, Storage: "s1", StorageAddr: string(cl.disk.addr), ClientAddr: string(u.addr)}, nil)
}

func cacheOrder(no uint64, to *member, e wire.Epoch) wire.MoveReq {
	return wire.MoveReq{Move: wire.MoveID{Manager: wire.GSM, No: no}, Kind: wire.MoveCache, Volume: 1, OldEpoch: e, Epoch: e + 1, UndoEpoch: e + 2, To: to.o.Node, ToAddr: string(to.addr), TimeoutMS: 20_000}
}

// ended waits for the end of a move.
func (m *member) ended(t testing.TB, req wire.MoveReq) wire.MoveStatusRep {
	t.Helper()
	var s wire.MoveStatusRep
	eventually(t, "the end of the move", func() bool {
		if err := m.control(wire.OpMoveStatus, wire.MoveRef{Move: req.Move}, &s); err != nil {
			t.Fatal(err)
		}
		return s.State.Ended()
	})
	return s
}

func TestABufferCacheMovesUnderAWriter(t *testing.T) {
	cl := newCluster(t, 2, nil)
	cl.disk.create(1, volumeBytes)
	u := newUser(t, cl)
	cl.must(u.attach(cl))
	quit := make(chan struct{})
	var wg sync.WaitGroup
	const writers = 4
	var last [64]byte
	for w := range writers {
		wg.Go(func() {
			for i := 1; ; i++ {
				select {
				case <-quit:
					return
				default:
				}
				n := (i*7%16)*writers + w
				k := wire.Block{Volume: 1, Version: uint64(i), Offset: uint64(n) * wire.PageSize, Length: wire.PageSize}
				err := u.do(k, func(m *member, k wire.Block) error {
					got, err := m.read(k)
					if err == nil && !bytes.Equal(got, filled(last[n])) {
						t.Errorf("block %d holds %d, want %d", n, got[0], last[n])
					}
					return err
				})
				if err == nil {
					err = u.do(k, func(m *member, k wire.Block) error { return m.write(k, filled(byte(i))) })
					last[n] = byte(i)
				}
				if err == nil && i%16 == 0 {
					err = u.do(k, func(m *member, k wire.Block) error { return m.flush(k) })
				}
				if err != nil {
					t.Errorf("block %d: %v", n, err)
					return
				}
			}
		})
	}
	for i := range uint64(6) {
		from, e := u.place()
		eventually(t, "writes", func() bool { return from.Stats().Blocks.Writes > 20*(i+1) })
		to := cl.m[0]
		if from == to {
			to = cl.m[1]
		}
		req := cacheOrder(i+1, to, e)
		cl.must(from.control(wire.OpMoveStart, req, nil))
		if s := from.ended(t, req); s.State != wire.MoveDone || s.Epoch != e+1 || s.PauseUS == 0 {
			t.Fatalf("move: %+v", s)
		}
		if _, err := from.read(wire.Block{Volume: 1, VolumeEpoch: e, Length: 512}); !errors.Is(err, wire.ErrNotOwner) {
			t.Errorf("a read at the giver after the move: %v", err)
		}
		if err := from.control(wire.OpVolumeAttach, wire.VolumeAttachReq{Volume: 1, Epoch: e, SizeBytes: volumeBytes, Storage: "s1", StorageAddr: string(cl.disk.addr)}, nil); !errors.Is(err, wire.ErrStale) {
			t.Errorf("an attach at the giver under the old epoch: %v", err)
		}
	}
	close(quit)
	wg.Wait()
	cl.must(u.do(wire.Block{Volume: 1}, func(m *member, k wire.Block) error { return m.flush(k) }))
	for n, b := range last {
		if got := cl.disk.vols[1].safe[n*wire.PageSize:][:wire.PageSize]; !bytes.Equal(got, filled(b)) {
			t.Errorf("block %d is %d on the disk, want %d", n, got[0], b)
		}
	}
}

// TestABufferCacheThatCannotMoveStays moves it to an mComponent that is not there.
func TestABufferCacheThatCannotMoveStays(t *testing.T) {
	cl := newCluster(t, 2, func(o *Options) {
		o.CacheMove = cachemove.DefaultOptions()
		o.CacheMove.AttachPatience, o.CacheMove.DetachPatience = 50*time.Millisecond, 20*time.Millisecond
	})
	cl.disk.create(1, volumeBytes)
	u := newUser(t, cl)
	cl.must(u.attach(cl))
	m := cl.m[0]
	k := wire.Block{Volume: 1, VolumeEpoch: 1, Version: 1}
	cl.must(m.write(k, filled(1)))
	cl.m[1].stop()
	req := cacheOrder(1, cl.m[1], 1)
	cl.must(m.control(wire.OpMoveStart, req, nil))
	if s := m.ended(t, req); s.State != wire.MoveUndone || s.Epoch != 3 {
		t.Fatalf("move to a dead mComponent: %+v", s)
	}
	k.Version = 2
	cl.must(m.write(k, filled(2))) // under the epoch that the client knows
	cl.must(m.flush(k))
	if cl.disk.vols[1].safe[0] != 2 {
		t.Error("what was written after the move was undone is not on the disk")
	}
	u.mu.Lock()
	u.refuse = wire.ErrBadRequest
	u.mu.Unlock()
	third := cl.start("m3", inproc(), nil)
	req = cacheOrder(2, third, 3)
	cl.must(m.control(wire.OpMoveStart, req, nil))
	if s := m.ended(t, req); s.State != wire.MoveUndone || s.Epoch != 5 {
		t.Fatalf("move of a volume whose client refuses: %+v", s)
	}
	k.Version = 3
	cl.must(m.write(k, filled(3)))
	cl.must(m.flush(k))
	if err := m.control(wire.OpMoveStart, cacheOrder(3, third, 4), nil); !errors.Is(err, wire.ErrStale) {
		t.Errorf("a move under an old epoch: %v", err)
	}
	cl.must(m.control(wire.OpMoveForget, wire.MoveRef{Move: req.Move}, nil))
}

// TestADeadDiskLeavesWorkersFree fills the places of requests that wait for one volume's sComponent; another volume is served.
func TestADeadDiskLeavesWorkersFree(t *testing.T) {
	cl, m, k := newVolumeCluster(t, func(o *Options) { o.BufferCacheBytes = 1024 * wire.PageSize })
	cl.disk.create(2, volumeBytes)
	cl.must(cl.attach(m, 2, 1, volumeBytes))
	other := wire.Block{Volume: 2, VolumeEpoch: 1, Version: 1}
	cl.must(m.write(other, filled(2)))
	cl.disk.mu.Lock()
	hold := make(chan struct{})
	cl.disk.hold = hold
	cl.disk.mu.Unlock()
	var wg sync.WaitGroup
	var refused, bad int
	var mu sync.Mutex
	for i := range 2 * maxVolumeWaits {
		wg.Go(func() {
			k := k
			k.Offset = uint64(i%64) * wire.PageSize
			_, err := m.read(k)
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, wire.ErrBusy) {
				refused++
			} else if err != nil {
				bad++
			}
		})
	}
	eventually(t, "refusals", func() bool { return m.Stats().BlockRefused == maxVolumeWaits })
	other.Version = 2
	cl.must(m.write(other, filled(3)))
	cl.must(m.flush(other))
	close(hold)
	wg.Wait()
	if refused != maxVolumeWaits || bad != 0 {
		t.Errorf("%d reads were refused, %d failed; want %d and 0", refused, bad, maxVolumeWaits)
	}
}

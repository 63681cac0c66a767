package replay

import (
	"testing"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/pcomponent/excache"
)

// withStore gives a process a checkpoint volume.
func (w *world) withStore(s *Spec, c Checkpoints) {
	w.t.Helper()
	s.Checkpoints = c
	w.vol++
	if err := w.control(string(w.s), wire.OpVolumeCreate, &wire.VolumeCreateReq{Volume: w.vol, Epoch: 1, Name: checkpointsName, SizeBytes: s.Checkpoints.RoomBytes}, nil); err != nil {
		w.t.Fatal(err)
	}
	s.Store = pcomponent.VolumeOptions{ID: w.vol, Epoch: 1, SizeBytes: s.Checkpoints.RoomBytes, Storage: w.sid, StorageAddr: string(w.s), Cache: w.m[0].Node, CacheAddr: w.m[0].Addr}
}

// restartReq is what GPM orders.
func restartReq(s *Spec, epoch wire.Epoch) wire.RestartReq {
	r := wire.RestartReq{PID: s.PID, Epoch: epoch, Home: s.Home}
	for _, v := range append(append([]pcomponent.VolumeOptions{}, s.Volumes...), s.Store) {
		r.Volumes = append(r.Volumes, wire.RestartVolume{Volume: v.ID, Epoch: v.Epoch, SizeBytes: v.SizeBytes, Storage: v.Storage, StorageAddr: v.StorageAddr, Cache: v.Cache, CacheAddr: v.CacheAddr})
	}
	return r
}

// restartAt has a process go on at a node and returns how that ended.
func (w *world) restartAt(n *pnode, r wire.RestartReq) (rep wire.RestartRep) {
	w.t.Helper()
	w.until("the restart", func() bool {
		rep = wire.RestartRep{}
		if err := w.control(string(n.addr), wire.OpProcessRestart, &r, &rep); err != nil {
			w.t.Fatal(err)
		}
		return rep.State != wire.RestartUnder
	})
	return rep
}

// TestRestart has processes go on from their last checkpoints at another pComponent again and again, while the one before lives and goes on
// as if nothing was: nothing that it does afterwards has an effect, no page and no sector is wrong, and each access is counted once.
func TestRestart(t *testing.T) {
	for _, c := range []struct {
		trace, order, mechanism string
		refs, every             uint64
		repeat                  int
	}{
		{"sort", OrderTrace, excache.MechanismList, 80_000, 7_000, 2},
		{"sort", OrderThreads, excache.MechanismWriteProtect, 150_000, 0, 1},
		{"wordcount", OrderThreads, excache.MechanismVictim, 100_000, 20_000, 2},
		{"sqlite", OrderTrace, excache.MechanismVictim, 200_000, 30_000, 1},
	} {
		t.Run(c.trace+"/"+c.order+"/"+c.mechanism, func(t *testing.T) {
			if raceEnabled {
				c.refs, c.every = c.refs/16, c.every/16
			}
			w := newWorld(t)
			nodes := []*pnode{w.node("p1", ""), w.node("p2", ""), w.node("p3", "")}
			change := func(s *Spec) {
				s.Order, s.Repeat, s.MaxRefs, s.ExCache.Mechanism, s.ExCache.Lines = c.order, c.repeat, c.refs, c.mechanism, 128
			}
			undisturbed, _ := w.spec(c.trace, change)
			want := nodes[0].host.Await(undisturbed)
			s, _ := w.spec(c.trace, change)
			w.withStore(&s, Checkpoints{On: true, Every: c.every, RoomBytes: 16 << 20})
			if err := nodes[0].host.Start(s); err != nil {
				t.Fatal(err)
			}
			restarts, total := 0, c.refs*uint64(c.repeat)
			at, epoch := nodes[0], s.Epoch
			for restarts < 4 {
				var st Status
				w.until("progress", func() bool {
					st, _ = w.status(string(at.addr), s.PID)
					return st.Result != nil || st.Done > total*uint64(restarts+1)/6
				})
				if st.Result != nil {
					break
				}
				epoch += 3
				to := nodes[(restarts+1)%len(nodes)]
				rep := w.restartAt(to, restartReq(&s, epoch))
				if rep.State != wire.RestartRunning || rep.Done > st.Done+total {
					t.Fatalf("restart %d: %+v", restarts, rep)
				}
				if c.every > 0 && st.Done > 2*c.every+LockBatch && rep.Done == 0 {
					t.Errorf("restart %d after %d accesses begins at the beginning", restarts, st.Done)
				}
				t.Logf("restart %d after %d accesses: checkpoint %d, %d accesses", restarts, st.Done, rep.Cut.Number, rep.Done)
				restarts, at = restarts+1, to
			}
			if restarts == 0 {
				t.Error("it ended before it could be restarted")
			}
			res := w.result(string(at.addr), s.PID)
			res.Late = want.Late // a vRegion that was activated before a restart is there when it is mapped again
			wantSame(t, res, want)
		})
	}
}

// TestRestartAfterItsEnd has a process end, and its pComponent with it, before anybody has asked for the result: it goes on from its last
// checkpoint elsewhere and ends once more, with the same result. Its memory is kept until it is told to be freed.
func TestRestartAfterItsEnd(t *testing.T) {
	w := newWorld(t)
	p1, p2 := w.node("p1", ""), w.node("p2", "")
	change := func(s *Spec) { s.MaxRefs, s.ExCache.Lines = 30_000, 128 }
	undisturbed, _ := w.spec("sqlite", change)
	want := p1.host.Await(undisturbed)
	s, _ := w.spec("sqlite", change)
	w.withStore(&s, Checkpoints{On: true, Every: 8_000, RoomBytes: 16 << 20})
	wantSame(t, p1.host.Await(s), want)
	pages := func() (n uint64) {
		for _, m := range w.owning {
			n += m.Load().ResidentBytes
		}
		return n
	}
	if pages() == 0 {
		t.Fatal("nothing is kept of its memory")
	}
	p1.stop()
	epoch := s.Epoch + 3
	if rep := w.restartAt(p2, restartReq(&s, epoch)); rep.State != wire.RestartRunning || rep.Done == 0 {
		t.Fatalf("restart: %+v", rep)
	}
	res := w.result(string(p2.addr), s.PID)
	res.Late = want.Late
	wantSame(t, res, want)
	if err := w.control(w.m[0].Addr, wire.OpProcessExit, &wire.ProcessExitReq{PID: s.PID, Epoch: epoch}, nil); err != nil {
		t.Fatal(err)
	}
	if n := pages(); n != 0 {
		t.Errorf("%d bytes are kept of a process that nobody needs any more", n)
	}
}

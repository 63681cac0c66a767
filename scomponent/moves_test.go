package scomponent

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/blockdev"
	"splitkernel/scomponent/migrate"
	"splitkernel/scomponent/volume"
)

// site is an sComponent of a world in which volumes move: it can die and start again with its devices.
type site struct {
	t     testing.TB
	id    wire.NodeID
	addr  netlayer.Addr
	store blockdev.Store
	c     *Component
	peer  *netlayer.Peer
	stop  func()

	options migrate.Options
}

func newSite(t testing.TB, id wire.NodeID, store blockdev.Store) *site {
	s := &site{t: t, id: id, store: store, options: moveOptions(), addr: netlayer.Addr(fmt.Sprintf("inproc:scomponent-move-%d", names.Add(1)))}
	s.peer = netlayer.NewPeer(s.addr, moveNet(wire.RoleMemory, "m1")) // connects again to whoever listens there
	s.start()
	t.Cleanup(func() { s.stop(); s.peer.Close() })
	return s
}

func moveOptions() migrate.Options {
	o := migrate.DefaultOptions()
	o.BatchBlocks, o.SwitchBlocks, o.Pause = 8, 4, time.Millisecond
	return o
}

func moveNet(role wire.Role, id wire.NodeID) netlayer.Options {
	po := netlayer.DefaultOptions()
	po.Cluster, po.Role, po.Node, po.CallTimeoutMS = "test", role, id, 20_000
	return po
}

// serveAt runs a handler and gives what ends it.
func serveAt(t testing.TB, h netlayer.Handler, role wire.Role, id wire.NodeID, addr netlayer.Addr) func() {
	l, err := netlayer.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	so := netlayer.DefaultServerOptions()
	so.Cluster, so.Role, so.Node, so.Workers, so.DrainMS = "test", role, id, 32, 50
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- netlayer.NewServer(h, so).Serve(ctx, l) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func (s *site) start() {
	s.t.Helper()
	o := DefaultOptions()
	o.Node, o.Addr, o.Devices, o.Migrate, o.IncomingTimeout = s.id, string(s.addr), s.store, s.options, 200*time.Millisecond
	o.Net = moveNet(wire.RoleStorage, s.id)
	c, err := New(o)
	if err != nil {
		s.t.Fatal(err)
	}
	end := serveAt(s.t, c.Handler(), wire.RoleStorage, s.id, s.addr)
	s.c = c
	var once sync.Once
	s.stop = func() {
		once.Do(func() {
			c.stop() // as a process that dies: moves go no further
			end()
			if err := c.Close(context.Background()); err != nil {
				s.t.Error(err)
			}
		})
	}
}

func (s *site) control(op wire.Op, req, rep any) error {
	return s.peer.Control(context.Background(), op, 0, req, rep)
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// cache is the buffer cache of one volume, as little of it as moves need: it knows where the volume is.
type cache struct {
	addr netlayer.Addr

	mu     sync.Mutex
	site   *site
	epoch  wire.Epoch
	sites  map[wire.NodeID]*site
	refuse error // of switches
	heard  int
}

func newCache(t testing.TB, sites ...*site) *cache {
	c := &cache{addr: netlayer.Addr(fmt.Sprintf("inproc:scomponent-move-%d", names.Add(1))), site: sites[0], epoch: 1, sites: map[wire.NodeID]*site{}}
	for _, s := range sites {
		c.sites[s.id] = s
	}
	t.Cleanup(serveAt(t, c, wire.RoleMemory, "m1", c.addr))
	return c
}

func (c *cache) Inline(wire.Op) bool { return false }

func (c *cache) Serve(_ context.Context, req *netlayer.Request, _ *netlayer.Reply) error {
	var m wire.SwitchReq
	if err := wire.Unmarshal(req.Body, &m); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse != nil {
		return c.refuse
	}
	c.heard++
	if m.Epoch > c.epoch {
		c.site, c.epoch = c.sites[m.To], m.Epoch
	}
	return nil
}

func (c *cache) place() (*site, wire.Epoch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.site, c.epoch
}

// do performs one request where the volume is, and again where it is then while it moves.
func (c *cache) do(k wire.Block, op wire.Op, page, into []byte) error {
	for deadline := time.Now().Add(20 * time.Second); ; {
		s, e := c.place()
		k.VolumeEpoch = e
		call := netlayer.Call{Op: op, Body: k.Append(nil), Page: page, Into: into}
		err := s.peer.Do(&call)
		switch wire.KindOf(err) {
		case wire.KindBusy, wire.KindUnavailable:
			if time.Now().After(deadline) {
				return err
			}
			time.Sleep(time.Millisecond)
		case wire.KindNotFound, wire.KindStale:
			if now, e2 := c.place(); now == s && e2 == e {
				return err
			}
		default:
			return err
		}
	}
}

var moveNo uint64

func (s *site) order(to *site, via *cache, e wire.Epoch) wire.MoveReq {
	moveNo++
	req := wire.MoveReq{Move: wire.MoveID{Manager: wire.GSM, No: moveNo}, Kind: wire.MoveVolume, Volume: 1, OldEpoch: e, Epoch: e + 1, UndoEpoch: e + 2,
		To: to.id, ToAddr: string(to.addr), TimeoutMS: 20_000}
	if via != nil {
		req.Via, req.ViaAddr = "m1", string(via.addr)
	}
	return req
}

// ended waits for the end of a move.
func (s *site) ended(req wire.MoveReq) wire.MoveStatusRep {
	s.t.Helper()
	var rep wire.MoveStatusRep
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		s.must(s.control(wire.OpMoveStatus, wire.MoveRef{Move: req.Move}, &rep))
		if rep.State.Ended() {
			return rep
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the move is still %v after 20 s: %+v", rep.State, rep)
		}
	}
}

const moveSectors = 64 * wire.SectorsPerPage

// stamp fills a sector so that a wrong, old or torn one is seen.
func stamp(b []byte, n, version uint64) {
	for i := 0; i < len(b); i += 16 {
		binary.LittleEndian.PutUint64(b[i:], n)
		binary.LittleEndian.PutUint64(b[i+8:], version)
	}
}

// write writes and checks every sector until the function that it gives is called, which checks them a last time.
func (c *cache) write(t *testing.T) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	var versions [moveSectors]uint64
	const writers = 4
	for w := range uint64(writers) {
		wg.Go(func() {
			var b, got [wire.SectorSize]byte
			for i := uint64(1); ; i++ {
				select {
				case <-quit:
					return
				default:
				}
				n := (i*7919 + w) % (moveSectors / writers / wire.SectorsPerPage) // a block of this writer
				n = (n*writers+w)*wire.SectorsPerPage + i%wire.SectorsPerPage
				k := wire.Block{Volume: 1, Version: i, Offset: n * wire.SectorSize, Length: wire.SectorSize}
				if versions[n] > 0 {
					if err := c.do(k, wire.OpBlockRead, nil, got[:]); err != nil {
						t.Errorf("read of sector %d: %v", n, err)
						return
					}
					if stamp(b[:], n, versions[n]); got != b {
						t.Errorf("sector %d is not version %d", n, versions[n])
						return
					}
				}
				stamp(b[:], n, i)
				if err := c.do(k, wire.OpBlockWrite, b[:], nil); err != nil {
					t.Errorf("write of sector %d: %v", n, err)
					return
				}
				versions[n] = i
				if i%64 == 0 {
					k.Length = 0
					if err := c.do(k, wire.OpBlockFlush, nil, nil); err != nil {
						t.Errorf("flush: %v", err)
						return
					}
				}
			}
		})
	}
	return func() {
		t.Helper()
		close(quit)
		wg.Wait()
		var b, got [wire.SectorSize]byte
		for n, v := range versions {
			if v == 0 {
				continue
			}
			must(t, c.do(wire.Block{Volume: 1, Offset: uint64(n) * wire.SectorSize, Length: wire.SectorSize}, wire.OpBlockRead, nil, got[:]))
			if stamp(b[:], uint64(n), v); !bytes.Equal(got[:], b[:]) {
				t.Errorf("sector %d is not version %d at the end", n, v)
			}
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestAVolumeMovesUnderAWriter moves a volume back and forth while every sector is written and checked.
func TestAVolumeMovesUnderAWriter(t *testing.T) {
	s1 := newSite(t, "s1", blockdev.NewMemory())
	d, err := blockdev.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s2 := newSite(t, "s2", d)
	c := newCache(t, s1, s2)
	s1.must(s1.control(wire.OpVolumeCreate, wire.VolumeCreateReq{Volume: 1, Epoch: 1, Name: "v", SizeBytes: moveSectors * wire.SectorSize}, nil))
	s1.must(s1.control(wire.OpVolumeAttach, wire.VolumeAttachReq{Volume: 1, Epoch: 1, SizeBytes: moveSectors * wire.SectorSize}, nil))

	stop := c.write(t)
	from, to := s1, s2
	eventually(t, "writes", func() bool { return s1.c.Stats().BlockWrites > 20 })
	for range 6 {
		_, e := c.place()
		req := from.order(to, c, e)
		from.must(from.control(wire.OpMoveStart, req, nil))
		from.must(from.control(wire.OpMoveStart, req, nil)) // again: no effect
		if s := from.ended(req); s.State != wire.MoveDone || s.Epoch != e+1 || s.Bytes == 0 || s.PauseUS == 0 {
			t.Fatalf("move to %s: %+v", to.id, s)
		}
		eventually(t, "the move is over", func() bool { return from.c.Stats().MovesUnderway == 0 })
		if err := from.peer.Do(&netlayer.Call{Op: wire.OpBlockRead, Body: wire.Block{Volume: 1, VolumeEpoch: e, Length: 512}.Append(nil), Into: make([]byte, 512)}); !errors.Is(err, wire.ErrNotFound) {
			t.Errorf("a read at the giver after the move: %v", err)
		}
		if err := from.control(wire.OpVolumeDelete, wire.VolumeRef{Volume: 1, Epoch: e}, nil); !errors.Is(err, wire.ErrNotOwner) {
			t.Errorf("deleted at the giver after the move: %v", err)
		}
		from.must(from.control(wire.OpMoveForget, wire.MoveRef{Move: req.Move}, nil))
		if err := from.control(wire.OpMoveStatus, wire.MoveRef{Move: req.Move}, nil); !errors.Is(err, wire.ErrNotFound) {
			t.Errorf("a forgotten move: %v", err)
		}
		if err := from.control(wire.OpMoveStart, req, nil); !errors.Is(err, wire.ErrStale) {
			t.Errorf("a copy of its order after that: %v", err)
		}
		if l := from.list(); len(l) != 0 {
			t.Errorf("%s keeps %v", from.id, l)
		}
		from, to = to, from
	}
	stop()
	if s := s1.c.Stats(); s.Corrupt > 0 || s.MovesDone != 3 || s.MovesTaken != 3 || s.Incoming != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// eventually polls a condition that another goroutine makes true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about in 20 s", what)
		}
	}
}

// list gives the files of a volume at a site that is down.
// list gives the files of volumes and of their moves.
func (s *site) list() map[string]bool {
	names, err := s.store.List()
	s.must(err)
	has := map[string]bool{}
	for _, n := range names {
		has[n] = n != volume.ForgotName && n != volume.ForgotNewName
	}
	maps.DeleteFunc(has, func(_ string, is bool) bool { return !is })
	return has
}

// TestAMoveSurvivesRestarts kills the giver, the taker or both at some moment of each of many moves, and starts them again.
func TestAMoveSurvivesRestarts(t *testing.T) {
	s1, s2 := newSite(t, "s1", blockdev.NewMemory()), newSite(t, "s2", blockdev.NewMemory())
	c := newCache(t, s1, s2)
	s1.must(s1.control(wire.OpVolumeCreate, wire.VolumeCreateReq{Volume: 1, Epoch: 1, Name: "v", SizeBytes: moveSectors * wire.SectorSize}, nil))
	stop := c.write(t)
	r := rand.New(rand.NewPCG(1, 2))
	ends := map[wire.MoveState]int{}
	e := wire.Epoch(1)
	enough := func() bool { return ends[wire.MoveDone] >= 4 && ends[wire.MoveUndone] >= 2 }
	for n := 0; n < 24 || n < 400 && !enough(); n++ {
		from, _ := c.place()
		to := s1
		if from == s1 {
			to = s2
		}
		req := from.order(to, c, e)
		err := from.control(wire.OpMoveStart, req, nil)
		from.must(err)
		u := r.Float64() // when to kill: any moment will do, most of them early, as a move takes 1 ms or 50
		time.Sleep(time.Duration(u * u * u * u * float64(50*time.Millisecond)))
		victims := [][]*site{{from}, {to}, {from, to}, {}}[r.IntN(4)]
		for _, v := range victims {
			v.stop()
		}
		for _, v := range victims {
			v.start()
		}
		var rep wire.MoveStatusRep
		eventually(t, "the end of the move", func() bool {
			err := from.control(wire.OpMoveStatus, wire.MoveRef{Move: req.Move}, &rep)
			if errors.Is(err, wire.ErrNotFound) { // it was restarted before it noted anything
				rep = wire.MoveStatusRep{State: wire.MoveUndone, Epoch: e}
				err = nil
			}
			from.must(err)
			return rep.State.Ended()
		})
		eventually(t, "the end of all work", func() bool { return from.c.Stats().MovesUnderway == 0 })
		ends[rep.State]++
		if e = rep.Epoch; rep.State == wire.MoveDone {
			if at, _ := c.place(); at != to {
				t.Fatalf("the move is done and the buffer cache looks at %s", at.id)
			}
		}
		from.must(from.control(wire.OpMoveForget, wire.MoveRef{Move: req.Move}, nil))
		// A complete copy that nobody needs is dropped by its taker when it has asked; an incomplete one when nothing comes, or when its giver says so. One that
		// was being opened when its giver was killed may come into the books only now.
		if rep.State == wire.MoveUndone {
			dropped := false
			eventually(t, "that nothing is left of a copy after a move that is undone", func() bool {
				if to.c.Stats().Incoming > 0 && !dropped {
					dropped = true
					e += 3 // GSM has counted on
					to.must(to.control(wire.OpVolumeDrop, wire.VolumeMoveRef{Move: req.Move, Volume: 1}, nil))
				}
				return len(to.list()) == 0
			})
		} else if l := from.list(); len(l) != 0 {
			t.Fatalf("%s keeps %v after a move that is %v", from.id, l, rep.State)
		}
	}
	stop()
	if !enough() || ends[wire.MoveLost] > 0 {
		t.Errorf("ends: %v", ends)
	}
	for _, s := range []*site{s1, s2} {
		if n := s.c.Stats().Corrupt; n != 0 {
			t.Errorf("%d sectors did not fit their checksums at %s", n, s.id)
		}
	}
}

// TestAnIncompleteVolumeIsGivenUp covers a giver that falls silent, and a taker that is restarted meanwhile.
func TestAnIncompleteVolumeIsGivenUp(t *testing.T) {
	s := newSite(t, "s1", blockdev.NewMemory())
	open := wire.VolumeCopyOpenReq{Move: wire.MoveID{Manager: wire.GSM, No: 9}, Volume: 1, Name: "v", SizeBytes: 1 << 16, Epoch: 2, Giver: "s2", GiverAddr: "inproc:nobody"}
	s.must(s.control(wire.OpVolumeCopyOpen, open, nil))
	s.must(s.control(wire.OpVolumeCopyOpen, open, nil))
	if err := s.control(wire.OpVolumeServe, wire.VolumeMoveRef{Move: open.Move, Volume: 1, Epoch: 2}, nil); !errors.Is(err, wire.ErrNotFound) {
		t.Errorf("serve of an incomplete volume: %v", err)
	}
	eventually(t, "the volume is given up", func() bool { return s.c.Stats().Incoming == 0 })
	if l := s.list(); len(l) != 0 {
		t.Errorf("%v is left over", l)
	}
	s.must(s.control(wire.OpVolumeCopyOpen, open, nil))
	s.stop()
	s.start()
	if l := s.list(); len(l) != 0 || s.c.Stats().Incoming != 0 || s.c.Stats().ReservedBytes != 0 {
		t.Errorf("after a restart: %v, %+v", l, s.c.Stats())
	}
	// A complete one is kept over restarts without being served, until its giver says what becomes of it.
	s.must(s.control(wire.OpVolumeCopyOpen, open, nil))
	end := wire.VolumeCopyEndReq{Move: open.Move, Volume: 1, Round: 1, Last: true, Open: 3, Synced: 2}
	s.must(s.control(wire.OpVolumeCopyEnd, end, nil))
	s.must(s.control(wire.OpVolumeCopyEnd, end, nil))
	s.stop()
	s.start()
	read := func() error {
		s.must(s.control(wire.OpVolumeDrop, wire.VolumeMoveRef{Volume: 77}, nil)) // connects again
		return s.peer.Do(&netlayer.Call{Op: wire.OpBlockRead, Body: wire.Block{Volume: 1, VolumeEpoch: 2, Length: 512}.Append(nil), Into: make([]byte, 512)})
	}
	if err := read(); !errors.Is(err, wire.ErrBusy) {
		t.Errorf("read of a volume that is not served yet: %v", err)
	}
	if err := s.c.create(wire.VolumeCreateReq{Volume: 1, Epoch: 1, Name: "v", SizeBytes: 1 << 16}); !errors.Is(err, wire.ErrBusy) {
		t.Errorf("create of a volume that comes: %v", err)
	}
	ref := wire.VolumeMoveRef{Move: open.Move, Volume: 1, Epoch: 2}
	s.must(s.control(wire.OpVolumeServe, ref, nil))
	s.must(s.control(wire.OpVolumeServe, ref, nil))
	s.must(read())
	s.must(s.control(wire.OpVolumeDrop, ref, nil)) // a late duplicate of an undone move: no effect on what is served
	s.must(read())
	if err := s.control(wire.OpVolumeAttach, wire.VolumeAttachReq{Volume: 1, Epoch: 3, SizeBytes: 4096}, nil); !errors.Is(err, wire.ErrFailed) {
		t.Errorf("an attach after a mark that moved with the volume: %v, want failed", err)
	}
}

// TestACompleteCopyIsDroppedWhenItsGiverServes covers a giver that was restarted before it noted the move.
func TestACompleteCopyIsDroppedWhenItsGiverServes(t *testing.T) {
	s1, s2 := newSite(t, "s1", blockdev.NewMemory()), newSite(t, "s2", blockdev.NewMemory())
	open := wire.VolumeCopyOpenReq{Move: wire.MoveID{Manager: wire.GSM, No: 9}, Volume: 1, Name: "v", SizeBytes: 1 << 16, Epoch: 2, Giver: "s2", GiverAddr: string(s2.addr)}
	s1.must(s1.control(wire.OpVolumeCopyOpen, open, nil))
	s1.must(s1.control(wire.OpVolumeCopyEnd, wire.VolumeCopyEndReq{Move: open.Move, Volume: 1, Round: 1, Last: true}, nil))
	for began := time.Now(); time.Since(began) < 2*s1.c.o.IncomingTimeout; time.Sleep(time.Millisecond) {
		if s1.c.Stats().Incoming != 1 {
			t.Fatal("the only copy was dropped")
		}
	}
	s2.must(s2.control(wire.OpVolumeCreate, wire.VolumeCreateReq{Volume: 1, Epoch: 1, Name: "v", SizeBytes: 1 << 16}, nil))
	eventually(t, "the copy is dropped", func() bool { return s1.c.Stats().Incoming == 0 })
	if l := s1.list(); len(l) != 0 {
		t.Errorf("%v is left over", l)
	}
}

func TestAMoveThatCannotBeIsUndone(t *testing.T) {
	fd := blockdev.NewFaulty(blockdev.NewMemory())
	s1, s2 := newSite(t, "s1", fd), newSite(t, "s2", blockdev.NewMemory())
	c := newCache(t, s1, s2)
	s1.must(s1.control(wire.OpVolumeCreate, wire.VolumeCreateReq{Volume: 1, Epoch: 1, Name: "v", SizeBytes: 1 << 16}, nil))
	var b [wire.SectorSize]byte
	stamp(b[:], 1, 1)
	k := wire.Block{Volume: 1, Version: 1, Length: wire.SectorSize}
	must(t, c.do(k, wire.OpBlockWrite, b[:], nil))

	try := func(what string, to *site, e wire.Epoch, epoch wire.Epoch, text string) {
		t.Helper()
		req := s1.order(to, c, e)
		s1.must(s1.control(wire.OpMoveStart, req, nil))
		rep := s1.ended(req)
		eventually(t, "the end of all work", func() bool { return s1.c.Stats().MovesUnderway == 0 })
		if rep.State != wire.MoveUndone || rep.Epoch != epoch || !bytes.Contains([]byte(rep.Text), []byte(text)) {
			t.Errorf("%s: %+v, want undone under epoch %d with %q", what, rep, epoch, text)
		}
		k.Version++
		must(t, c.do(k, wire.OpBlockWrite, b[:], nil))
	}
	fd.Inject(blockdev.Fault{Op: "read", Suffix: ".img", Corrupt: true})
	try("a sector changed on the disk", s2, 1, 1, "its bytes changed on the disk that it comes from")
	fd.Heal()
	s2.must(s2.control(wire.OpVolumeCreate, wire.VolumeCreateReq{Volume: 1, Epoch: 1, Name: "other", SizeBytes: 1 << 16}, nil))
	try("the taker has one of that id", s2, 1, 1, "volume 1 is at s2 already")
	s2.must(s2.control(wire.OpVolumeDelete, wire.VolumeRef{Volume: 1, Epoch: 9}, nil))
	c.mu.Lock()
	c.refuse = wire.Errorf(wire.KindBadRequest, "no")
	c.mu.Unlock()
	req := s1.order(s2, c, 1)
	s1.must(s1.control(wire.OpMoveStart, req, nil))
	if rep := s1.ended(req); rep.State != wire.MoveUndone || rep.Epoch != 3 {
		t.Errorf("a buffer cache that refuses: %+v", rep)
	}
	eventually(t, "the end of all work", func() bool { return s1.c.Stats().MovesUnderway == 0 && s2.c.Stats().Incoming == 0 })
	if err := s1.control(wire.OpMoveStart, s1.order(s2, c, 2), nil); !errors.Is(err, wire.ErrStale) {
		t.Errorf("a move under an old epoch: %v", err)
	}
	s1.stop()
	s1.start()
	if rep := s1.ended(req); rep.State != wire.MoveUndone || rep.Epoch != 3 {
		t.Errorf("after a restart: %+v", rep)
	}
}

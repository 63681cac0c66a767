package gmanagers_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/admission/audit"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// fakes is components that hold things and give them away as wire.MoveReq says, without anything in them. What a move does it
// does at once when it switches over; the tests say when that may be.
type fakes struct {
	t  testing.TB
	cl *client.Client

	mu    sync.Mutex
	nodes map[wire.NodeID]*fake
	hold  bool          // moves stay copying
	pass  bool          // givers pass on what is not there yet, or any more
	copy  time.Duration // how long a move copies
	// unflushed: a buffer cache that died held writes that were not flushed.
	unflushed bool
}

// fake is one of them.
type fake struct {
	w      *fakes
	member wire.Member
	holds  map[movelist.Thing]wire.Epoch
	moves  map[wire.MoveID]*fakeMove
	forgot map[wire.Manager]*wire.Forgotten
	deaf   bool             // it does not answer to moves
	asked  int              // volume_config
	told   []wire.SwitchReq // cache_switch
	cancel context.CancelFunc
	done   chan error
}

type fakeMove struct {
	req   wire.MoveReq
	began time.Time
	rep   wire.MoveStatusRep
}

func newFakes(t testing.TB, cl *client.Client) *fakes {
	w := &fakes{t: t, cl: cl, nodes: map[wire.NodeID]*fake{}, copy: 10 * time.Millisecond}
	t.Cleanup(func() {
		for _, f := range w.nodes {
			f.stop()
		}
	})
	return w
}

// add starts and registers a component at an address of its own.
func (w *fakes) add(m wire.Member) *fake {
	w.t.Helper()
	m.Addr = fmt.Sprintf("inproc:fake-%d-%s", clusters.Add(1), m.ID)
	f := &fake{w: w, member: m}
	w.mu.Lock()
	w.nodes[m.ID] = f
	w.mu.Unlock()
	f.start()
	return f
}

// start begins an incarnation: what a volume is survives, everything else does not.
func (f *fake) start() {
	f.w.t.Helper()
	f.w.mu.Lock()
	holds := map[movelist.Thing]wire.Epoch{}
	for t, e := range f.holds {
		if t.Kind == wire.MoveVolume {
			holds[t] = e
		}
	}
	f.holds, f.moves, f.forgot = holds, map[wire.MoveID]*fakeMove{}, map[wire.Manager]*wire.Forgotten{wire.GPM: {}, wire.GMM: {}, wire.GSM: {}}
	f.member.Epoch = 0 // as of a node that has not registered yet
	f.w.mu.Unlock()
	so := netlayer.DefaultServerOptions()
	so.Cluster, so.Role, so.Node = "test", f.member.Role, f.member.ID
	l, err := netlayer.Listen(netlayer.Addr(f.member.Addr))
	if err != nil {
		f.w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.done = make(chan error, 1)
	go func() { f.done <- netlayer.NewServer(f, so).Serve(ctx, l) }()
	epoch, err := f.w.cl.Register(within(f.w.t), f.member)
	if err != nil {
		f.w.t.Fatal(err)
	}
	f.w.mu.Lock()
	f.cancel, f.member.Epoch = cancel, epoch
	f.w.mu.Unlock()
}

// stop ends an incarnation as kill -9 would.
func (f *fake) stop() {
	f.w.mu.Lock()
	cancel := f.cancel
	f.cancel = nil
	f.w.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	if err := <-f.done; err != nil {
		f.w.t.Errorf("%s: %v", f.member.ID, err)
	}
}

// beat sends a heartbeat of each, as long as they run.
func (w *fakes) beat(load func(*fake) wire.Load) {
	w.mu.Lock()
	var live []wire.Member
	var loads []wire.Load
	for _, f := range w.nodes {
		if f.cancel != nil {
			live, loads = append(live, f.member), append(loads, load(f))
		}
	}
	w.mu.Unlock()
	for i, m := range live {
		w.cl.Heartbeat(context.Background(), m, loads[i])
	}
}

func (*fake) Inline(wire.Op) bool { return false }

// Serve answers the operations of moves and of audits.
func (f *fake) Serve(_ context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	w := f.w
	w.mu.Lock()
	defer w.mu.Unlock()
	f.advance()
	if f.deaf && req.Op != wire.OpHoldings {
		return wire.Errorf(wire.KindUnavailable, "deaf")
	}
	switch req.Op {
	case wire.OpHoldings:
		rep.SetControl(wire.HoldingsRep{Node: f.member.ID, Role: f.member.Role, Epoch: f.member.Epoch, Holds: f.holdings()})
		return nil
	case wire.OpDrop:
		var q wire.DropReq
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		t := movelist.Thing{Kind: q.Kind, PID: q.PID, Region: q.Region, Volume: q.Volume}
		if q.Member != f.member.Epoch || f.holds[t] > q.UpTo {
			return wire.Errorf(wire.KindStale, "%v is here under epoch %d", t, f.holds[t])
		}
		delete(f.holds, t)
		return nil
	case wire.OpMoveStart:
		var q wire.MoveReq
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		return f.begin(q)
	case wire.OpVolumeAttach, wire.OpVolumeConfig, wire.OpVolumeCreate, wire.OpCacheSwitch:
		return f.volume(req, rep)
	case wire.OpRegionRecover, wire.OpRegionConfig, wire.OpHomeRecover, wire.OpHomeConfig:
		return f.redundant(req, rep)
	}
	var ref wire.MoveRef
	if err := wire.Unmarshal(req.Body, &ref); err != nil {
		return err
	}
	m, ok := f.moves[ref.Move]
	switch {
	case req.Op == wire.OpMoveForget && ok && !m.rep.State.Ended():
		return wire.Errorf(wire.KindBusy, "move %d is under way", ref.Move.No)
	case req.Op == wire.OpMoveForget:
		delete(f.moves, ref.Move)
		f.forgot[ref.Move.Manager].Forget(ref.Move.No)
	case req.Op != wire.OpMoveStatus:
		return wire.Errorf(wire.KindBadRequest, "a fake does not serve %v", req.Op)
	case !ok:
		return wire.Errorf(wire.KindNotFound, "no move %d", ref.Move.No)
	default:
		rep.SetControl(m.rep)
	}
	return nil
}

// volume serves what the keeper asks. A copy that fills is in sync when it was asked for three times. w.mu is held.
func (f *fake) volume(req *netlayer.Request, rep *netlayer.Reply) error {
	switch req.Op {
	case wire.OpVolumeAttach:
		var q wire.VolumeAttachReq
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		if f.w.unflushed {
			return wire.Errorf(wire.KindFailed, "volume %d: writes were not flushed", q.Volume)
		}
		t := movelist.Thing{Kind: wire.MoveCache, Volume: q.Volume}
		f.holds[t] = q.Epoch
		f.w.heard(t, q.Epoch)
	case wire.OpVolumeConfig:
		var q wire.VolumeConfigReq
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		f.asked++
		rep.SetControl(wire.VolumeConfigRep{Config: q.Volume.Config, InSync: f.asked >= 3, Done: 1, Blocks: 1})
	case wire.OpVolumeCreate:
		var q wire.VolumeCreateReq
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		f.holds[movelist.Thing{Kind: wire.MoveVolume, Volume: q.Volume}] = q.Epoch
	case wire.OpCacheSwitch:
		var q wire.SwitchReq
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		f.told = append(f.told, q)
	}
	return nil
}

func (f *fake) begin(q wire.MoveReq) error {
	if _, ok := f.moves[q.Move]; ok {
		return nil
	}
	thing := movelist.Thing{Kind: q.Kind, PID: q.PID, Region: q.Region, Volume: q.Volume}
	switch e, ok := f.holds[thing]; {
	case f.forgot[q.Move.Manager].Has(q.Move.No):
		return wire.Errorf(wire.KindStale, "move %d was forgotten", q.Move.No)
	case !ok && f.w.pass && (q.FromMember == f.member.Epoch || q.FromMember == 0 && q.Kind == wire.MoveCache):
		f.moves[q.Move] = &fakeMove{req: q, rep: wire.MoveStatusRep{Move: q.Move, State: wire.MoveDone, Epoch: q.Epoch}}
		f.w.heard(thing, q.Epoch)
		return nil
	case !ok:
		return wire.Errorf(wire.KindNotOwner, "%v is not here", thing)
	case e != q.OldEpoch:
		return wire.Errorf(wire.KindStale, "%v is not here under epoch %d", thing, q.OldEpoch)
	}
	f.moves[q.Move] = &fakeMove{req: q, began: time.Now(), rep: wire.MoveStatusRep{Move: q.Move, State: wire.MoveCopying, TotalBytes: 4096}}
	return nil
}

// advance switches over what has been copied. w.mu is held.
func (f *fake) advance() {
	for _, m := range f.moves {
		if m.rep.State.Ended() || f.w.hold || time.Since(m.began) < f.w.copy {
			continue
		}
		thing := movelist.Thing{Kind: m.req.Kind, PID: m.req.PID, Region: m.req.Region, Volume: m.req.Volume}
		to := f.w.nodes[m.req.To]
		m.rep.DurationUS = uint64(time.Since(m.began).Microseconds())
		if to == nil || to.cancel == nil {
			m.rep.State, m.rep.Epoch, m.rep.Text = wire.MoveUndone, m.req.UndoEpoch, "the taker does not answer"
			f.holds[thing] = m.req.UndoEpoch
			f.w.heard(thing, m.req.UndoEpoch)
			continue
		}
		delete(f.holds, thing)
		to.holds[thing] = m.req.Epoch
		f.w.heard(thing, m.req.Epoch)
		m.rep.State, m.rep.Epoch, m.rep.Bytes, m.rep.PauseUS = wire.MoveDone, m.req.Epoch, 4096, 700
	}
}

// heard tells a volume of the epoch of its buffer cache, and the reverse. w.mu is held.
func (w *fakes) heard(t movelist.Thing, e wire.Epoch) {
	other := t
	switch t.Kind {
	case wire.MoveVolume:
		other.Kind = wire.MoveCache
	case wire.MoveCache:
		other.Kind = wire.MoveVolume
	default:
		return
	}
	for _, f := range w.nodes {
		if _, ok := f.holds[other]; ok {
			f.holds[other] = e
		}
	}
}

// holdings returns what it serves. w.mu is held.
func (f *fake) holdings() (h wire.Holdings) {
	for t, e := range f.holds {
		switch t.Kind {
		case wire.MoveRegion:
			h.Regions = append(h.Regions, wire.HeldRegion{PID: t.PID, Region: t.Region, Epoch: e})
		case wire.MoveHome:
			h.Homes = append(h.Homes, wire.HeldHome{PID: t.PID, Epoch: e})
		case wire.MoveProcess:
			h.Processes = append(h.Processes, wire.HeldProcess{PID: t.PID, Epoch: e, ExCacheLines: fits.ExCacheLines})
		case wire.MoveVolume:
			h.Volumes = append(h.Volumes, wire.HeldVolume{Volume: t.Volume, Epoch: e, SizeBytes: 8192})
		case wire.MoveCache:
			h.Caches = append(h.Caches, wire.HeldVolume{Volume: t.Volume, Epoch: e, SizeBytes: 8192})
		}
	}
	slices.SortFunc(h.Regions, func(a, b wire.HeldRegion) int {
		return cmp.Or(cmp.Compare(a.PID, b.PID), cmp.Compare(a.Region, b.Region))
	})
	return h
}

// put makes a component hold something.
func (w *fakes) put(id wire.NodeID, t movelist.Thing, e wire.Epoch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[id].holds[t] = e
}

// where returns who serves a thing, under which epoch.
func (w *fakes) where(t movelist.Thing) (ids []wire.NodeID, epoch wire.Epoch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, f := range w.nodes {
		if e, ok := f.holds[t]; ok && f.cancel != nil {
			ids, epoch = append(ids, id), e
		}
	}
	slices.Sort(ids)
	return ids, epoch
}

// admit has a vNode admitted and its parts held by the components, with n vRegions.
func (w *fakes) admit(n int) (wire.PID, []movelist.Thing) {
	w.t.Helper()
	p, things := w.admitAs(fits, n)
	return p.PID, things
}

// admitAs does it by a spec with one volume.
func (w *fakes) admitAs(spec admission.VNodeSpec, n int) (admission.Placement, []movelist.Thing) {
	w.t.Helper()
	p, err := w.cl.Admit(within(w.t), spec)
	if err != nil {
		w.t.Fatal(err)
	}
	things := []movelist.Thing{
		{Kind: wire.MoveHome, PID: p.PID}, {Kind: wire.MoveProcess, PID: p.PID},
		{Kind: wire.MoveVolume, Volume: p.Volumes[0].Volume}, {Kind: wire.MoveCache, Volume: p.Volumes[0].Volume},
	}
	for i, id := range []wire.NodeID{p.Home.Node, p.Node, p.Volumes[0].Storage, p.Volumes[0].Cache} {
		w.put(id, things[i], 1)
	}
	for r := range wire.RegionNo(n) {
		o, err := w.cl.ActivateRegion(within(w.t), p.PID, r)
		if err != nil {
			w.t.Fatal(err)
		}
		t := movelist.Thing{Kind: wire.MoveRegion, PID: p.PID, Region: r}
		w.put(o.Node, t, 1)
		things = append(things, t)
	}
	return p, things
}

// ended waits until a move has ended and was forgotten, and returns it.
func (w *fakes) ended(id wire.MoveID) (m movelist.Move) {
	w.t.Helper()
	until(w.t, fmt.Sprintf("move %d of %v ends", id.No, id.Manager), func() bool {
		list, err := w.cl.Moves(within(w.t), id.Manager)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, m = range list {
			if m.Req.Move == id {
				return m.Ended()
			}
		}
		return false
	})
	return m
}

// audit waits until the books agree with each other and with what the components hold.
func (w *fakes) audit() {
	w.t.Helper()
	var diff []audit.Difference
	for deadline := time.Now().Add(failover); ; time.Sleep(20 * time.Millisecond) {
		b, err := w.cl.Books(within(w.t))
		if err != nil {
			w.t.Fatal(err)
		}
		b.Held = []wire.HoldingsRep{}
		w.mu.Lock()
		for _, f := range w.nodes {
			if f.cancel != nil {
				b.Held = append(b.Held, wire.HoldingsRep{Node: f.member.ID, Role: f.member.Role, Epoch: f.member.Epoch, Holds: f.holdings()})
			}
		}
		w.mu.Unlock()
		if diff = audit.Compare(b); len(diff) == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("the books do not agree: %+v", diff)
		}
	}
}

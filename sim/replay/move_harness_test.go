package replay

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"splitkernel/mcomponent"
	"splitkernel/netlayer"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/handover"
	"splitkernel/scomponent"
	"splitkernel/sim/trace"
)

var moveSerial atomic.Uint64

// world is two mComponents, an sComponent and pComponents in one process, without managers.
type world struct {
	t     testing.TB
	peers map[string]*netlayer.Peer
	m     []wire.Owner
	s     netlayer.Addr
	sid   wire.NodeID
	pid   wire.PID
	vol   wire.VolumeID
	moves uint64
	o     handover.Options // of the hosts of nodes that start from now on
	law   *pnode           // where tests of law 1 run

	recorder tape.Recorder // of nodes that start from now on; nil is none
	patience int           // of faults, maps and block requests of nodes that start from now on, in ms; 0 is the default
	mem      []*mnode
	owning   []*mcomponent.Component // of mem
}

// mnode is an mComponent. hook, if set, sees each request before it is served.
type mnode struct {
	netlayer.Handler
	hook atomic.Pointer[hook]
	stop func() // ends its server, as often as one likes: nobody reaches it any more
}

func (m *mnode) Serve(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	if h := m.hook.Load(); h != nil {
		return (*h)(req, func() error { return m.Handler.Serve(ctx, req, rep) })
	}
	return m.Handler.Serve(ctx, req, rep)
}

// pnode is a pComponent with its host. hook, if set, sees each request before it is served.
type pnode struct {
	w    *world
	id   wire.NodeID
	addr netlayer.Addr
	mu   sync.RWMutex // guards comp and host against restart
	comp *pcomponent.Component
	host *Host
	stop func() // ends it, as often as one likes
	hook atomic.Pointer[hook]
}

// hook may change what becomes of a request: serve is the rest.
type hook func(req *netlayer.Request, serve func() error) error

func (p *pnode) Inline(wire.Op) bool { return false }

func (p *pnode) Serve(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	if h := p.hook.Load(); h != nil {
		return (*h)(req, func() error { return p.current().Serve(ctx, req, rep) })
	}
	return p.current().Serve(ctx, req, rep)
}

func (p *pnode) current() *Host {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.host
}

// start makes a component and a host that know nothing, and gives those before.
func (p *pnode) start() (*pcomponent.Component, *Host) {
	o := pcomponent.DefaultOptions()
	o.ID, o.Addr, o.Net = p.id, p.addr, worldNet(wire.RoleCompute, p.id)
	o.Net.DialTimeoutMS, o.Recorder = 200, p.w.recorder
	if p.w.patience > 0 {
		o.Fault.PatienceMS, o.MapPatienceMS, o.BlockPatienceMS = p.w.patience, p.w.patience, p.w.patience
	}
	c, err := pcomponent.New(o)
	if err != nil {
		panic(err) // the options of the tests are in bounds
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	oldC, oldH := p.comp, p.host
	p.comp, p.host = c, NewHost(c, testLog())
	p.host.o = p.w.o
	return oldC, oldH
}

func closeBoth(t testing.TB, c *pcomponent.Component, h *Host) {
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
}

// restart ends what ran here and begins anew with nothing.
func (p *pnode) restart() { c, h := p.start(); closeBoth(p.w.t, c, h) }

func (p *pnode) intercept(h hook) { p.hook.Store(&h) }

// ActivateRegion spreads the vRegions.
func (w *world) ActivateRegion(_ context.Context, _ wire.PID, r wire.RegionNo) (wire.Activated, error) {
	o := w.m[uint64(r)%uint64(len(w.m))]
	return wire.Activated{Owner: wire.Owner{Region: r, Node: o.Node, Addr: o.Addr, Epoch: 1}}, nil
}

// BackupFile gives none.
func (*world) BackupFile(context.Context, wire.FileReq) (f wire.ReplicaFile, err error) {
	return f, wire.Errorf(wire.KindNoRoom, "there are no sComponents")
}

func worldNet(role wire.Role, id wire.NodeID) netlayer.Options {
	o := netlayer.DefaultOptions()
	o.Cluster, o.Role, o.Node = "test", role, id
	return o
}

// runServer serves until the returned function is called.
func runServer(t testing.TB, h netlayer.Handler, role wire.Role, id wire.NodeID, addr netlayer.Addr) func() {
	t.Helper()
	l, err := netlayer.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	so := netlayer.DefaultServerOptions()
	so.Cluster, so.Role, so.Node = "test", role, id
	if role == wire.RoleMemory {
		so.Workers = mcomponent.MinServerWorkers
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- netlayer.NewServer(h, so).Serve(ctx, l) }()
	var once sync.Once
	return func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("server of %s: %v", id, err)
			}
		})
	}
}

const worldRegion = 1 << 20

func newWorld(t testing.TB) *world {
	t.Helper()
	return newRecordedWorld(t, nil)
}

// newRecordedWorld is a world whose mComponents are recorded.
func newRecordedWorld(t testing.TB, recorder tape.Recorder) *world {
	t.Helper()
	w := &world{t: t, peers: map[string]*netlayer.Peer{}, o: quick()}
	t.Cleanup(func() {
		for _, p := range w.peers {
			p.Close()
		}
	})
	n := moveSerial.Add(1)
	so := scomponent.DefaultOptions()
	w.sid = "s1"
	so.Node, so.DataDir, so.BootID = w.sid, t.TempDir(), "boot"
	sc, err := scomponent.New(so)
	if err != nil {
		t.Fatal(err)
	}
	w.s = netlayer.Addr(fmt.Sprintf("inproc:move%d-s1", n))
	stopS := runServer(t, sc.Handler(), wire.RoleStorage, "s1", w.s)
	t.Cleanup(func() {
		stopS()
		if err := sc.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for i := range 2 {
		id := wire.NodeID(fmt.Sprintf("m%d", i+1))
		addr := netlayer.Addr(fmt.Sprintf("inproc:move%d-%s", n, id))
		w.m = append(w.m, wire.Owner{Node: id, Addr: string(addr)})
		o := mcomponent.DefaultOptions()
		o.Node, o.Managers, o.Net, o.RegionBytes, o.MaxRegionsPerProcess = id, w, worldNet(wire.RoleMemory, id), worldRegion, 4096
		o.Recorder = recorder
		mc, err := mcomponent.New(o)
		if err != nil {
			t.Fatal(err)
		}
		m := &mnode{Handler: mc.Handler()}
		m.stop = runServer(t, m, wire.RoleMemory, id, addr)
		w.mem = append(w.mem, m)
		w.owning = append(w.owning, mc)
		t.Cleanup(func() {
			mc.Stop()
			m.stop()
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := mc.Close(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	return w
}

// quick tries again soon, and is as patient as a machine needs that runs much else.
func quick() handover.Options {
	o := handover.DefaultOptions()
	o.Retry, o.MaxRetry, o.AskGiver = time.Millisecond, 20*time.Millisecond, 200*time.Millisecond
	o.Switch, o.Resume, o.Incoming = 20*time.Second, 20*time.Second, 20*time.Second // nothing waits for them: a starved node must not end a move
	return o
}

// node starts a pComponent, at the address of an earlier one if addr is not empty.
func (w *world) node(id wire.NodeID, addr netlayer.Addr) *pnode {
	w.t.Helper()
	if addr == "" {
		addr = netlayer.Addr(fmt.Sprintf("inproc:move%d-%s", moveSerial.Add(1), id))
	}
	p := &pnode{w: w, id: id, addr: addr}
	p.start()
	stopServer := runServer(w.t, p, wire.RoleCompute, id, addr)
	var once sync.Once
	p.stop = func() {
		once.Do(func() {
			stopServer()
			closeBoth(w.t, p.comp, p.host)
		})
	}
	w.t.Cleanup(p.stop)
	return p
}

func (w *world) peer(addr string) *netlayer.Peer {
	if w.peers[addr] == nil {
		w.peers[addr] = netlayer.NewPeer(netlayer.Addr(addr), worldNet(wire.RoleClient, "test"))
	}
	return w.peers[addr]
}

// control asks a node once, without retries that hide what it says.
func (w *world) control(addr string, op wire.Op, req, rep any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return w.peer(addr).Control(ctx, op, 0, req, rep)
}

// spec is a process that replays a bundled trace, with its volumes made.
func (w *world) spec(name string, change func(*Spec)) (Spec, trace.Info) {
	w.t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "configs", "traces", name+".skt"))
	if err != nil {
		w.t.Fatal(err)
	}
	info, err := known(context.Background(), path, "")
	if err != nil {
		w.t.Fatal(err)
	}
	w.pid++
	s := Spec{
		PID: w.pid, Epoch: 1, Name: name, Trace: path, Threads: max(info.Threads, 1), Order: OrderTrace, Repeat: 1, RegionBytes: worldRegion,
		Home: w.m[0], ExCache: excache.DefaultOptions(),
	}
	s.ExCache.Lines, s.ExCache.Ways = 1024, 0
	s.Volumes = w.volumes(info)
	if change != nil {
		change(&s)
	}
	return s, info
}

// volumes makes the volumes of a trace.
func (w *world) volumes(info trace.Info) (out []pcomponent.VolumeOptions) {
	for _, v := range info.Volumes {
		w.vol++
		size := (max(v.SizeBytes, 1) + wire.PageSize - 1) &^ (wire.PageSize - 1) // as GSM rounds
		if err := w.control(string(w.s), wire.OpVolumeCreate, &wire.VolumeCreateReq{Volume: w.vol, Epoch: 1, Name: v.Name, SizeBytes: size}, nil); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, pcomponent.VolumeOptions{
			ID: w.vol, Epoch: 1, SizeBytes: size, Storage: w.sid, StorageAddr: string(w.s), Cache: w.m[1].Node, CacheAddr: w.m[1].Addr,
		})
	}
	return out
}

// order gives the order of a move, under the epochs that follow old.
func (w *world) order(pid wire.PID, old wire.Epoch, to *pnode) wire.MoveReq {
	w.moves++
	return wire.MoveReq{
		Move: wire.MoveID{Manager: wire.GPM, No: w.moves}, Kind: wire.MoveProcess, PID: pid, OldEpoch: old, Epoch: old + 1, UndoEpoch: old + 2,
		To: to.id, ToAddr: string(to.addr), TimeoutMS: 20_000,
	}
}

// until polls until ok or the test's patience is over.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(end) {
			w.t.Fatalf("%s: not after 30 s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// status gives the status of a process where it runs, following it.
func (w *world) status(at string, pid wire.PID) (Status, string) {
	w.t.Helper()
	for {
		var rep wire.ProcessStatusRep
		if err := w.control(at, wire.OpProcessStatus, &wire.ProcessRef{PID: pid}, &rep); err != nil {
			w.t.Fatalf("status of process %d at %s: %v", pid, at, err)
		}
		var st Status
		if err := wire.Unmarshal(rep.Status, &st); err != nil {
			w.t.Fatal(err)
		}
		if st.State != StateMoved {
			return st, at
		}
		at = st.Addr
	}
}

// moved orders a move and waits for its end.
func (w *world) moved(from *pnode, r wire.MoveReq) wire.MoveStatusRep {
	w.t.Helper()
	if err := w.control(string(from.addr), wire.OpMoveStart, &r, nil); err != nil {
		w.t.Fatalf("order: %v", err)
	}
	return w.ended(from, r.Move)
}

func (w *world) ended(from *pnode, id wire.MoveID) (st wire.MoveStatusRep) {
	w.t.Helper()
	w.until("the end of a move", func() bool {
		if err := w.control(string(from.addr), wire.OpMoveStatus, &wire.MoveRef{Move: id}, &st); err != nil {
			w.t.Fatal(err)
		}
		return st.State.Ended()
	})
	return st
}

// result waits for the end of a process, wherever it runs.
func (w *world) result(at string, pid wire.PID) Result {
	w.t.Helper()
	var st Status
	w.until("the end of the process", func() bool {
		st, at = w.status(at, pid)
		return st.Result != nil
	})
	return *st.Result
}

// testLog discards, unless the environment asks for what the hosts say.
func testLog() *slog.Logger {
	if os.Getenv("SPLITKERNEL_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}

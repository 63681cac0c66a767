package gmanagers_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"splitkernel/gmanagers"
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

const (
	// linearFor is how long the clients run, linearClients how many they are.
	linearFor     = 6 * time.Second
	linearClients = 8
	// keyLife is how many operations go by before the clients turn to new components and processes: a key's history stays
	// short, so that checking it is quick.
	keyLife = 120
	// linearWait bounds one operation. It is less than some faults last, so that outcomes stay unknown.
	linearWait = 700 * time.Millisecond
)

// recorder collects the history of clients.
type recorder struct {
	t     testing.TB
	began time.Time
	ops   atomic.Int64 // begun

	mu      sync.Mutex
	history []porcupine.Operation
	told    map[asked]int       // answered, by verb and manager
	lost    int                 // unknown outcomes
	admits  map[string]int      // vNode's name → its operation in history, while its process is not known
	pids    map[string]wire.PID // vNode's name → its process
	vnodes  []wire.PID          // that were answered
	names   map[wire.PID]string // of processes seen
	faults  []string            // what no client may ever see
}

func newRecorder() *recorder {
	return &recorder{
		began: time.Now(), told: map[asked]int{}, admits: map[string]int{}, pids: map[string]wire.PID{}, names: map[wire.PID]string{},
	}
}

func (r *recorder) now() int64 { return int64(time.Since(r.began)) }

// add notes an operation that ended, or whose outcome is unknown.
func (r *recorder) add(who int, call int64, in asked, out answered) int {
	ret := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if out.unknown {
		r.lost++
		ret = math.MaxInt64
	} else {
		r.told[asked{verb: in.verb, manager: in.manager}]++
	}
	r.history = append(r.history, porcupine.Operation{ClientId: who, Input: in, Call: call, Output: out, Return: ret})
	return len(r.history) - 1
}

// seen notes that a process runs a vNode: a vNode is admitted once.
func (r *recorder) seen(name string, pid wire.PID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if was, ok := r.pids[name]; ok && was != pid {
		r.faults = append(r.faults, fmt.Sprintf("vNode %s is process %d and process %d", name, was, pid))
	}
	if was, ok := r.names[pid]; ok && was != name {
		r.faults = append(r.faults, fmt.Sprintf("process %d is vNode %s and vNode %s", pid, was, name))
	}
	r.pids[name], r.names[pid] = pid, name
}

// all reports whether each manager has answered each kind of operation.
func (r *recorder) all() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range groups {
		for _, v := range []verb{register, epoch, place, free, look, activate} {
			if r.told[asked{verb: v, manager: m}] == 0 && (v != activate || m == wire.GMM) {
				return false
			}
		}
	}
	return true
}

// complete gives admissions of unknown outcome the process that was seen for them, and returns the history. Others were
// seen by nobody, so they say nothing.
func (r *recorder) complete() []porcupine.Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	unseen := map[int]bool{}
	for name, i := range r.admits {
		in := r.history[i].Input.(asked)
		pid, ok := r.pids[name]
		in.key, unseen[i] = fmt.Sprint(pid), !ok
		r.history[i].Input = in
	}
	out := make([]porcupine.Operation, 0, len(r.history))
	for i, o := range r.history {
		if !unseen[i] {
			out = append(out, o)
		}
	}
	return out
}

// definite tells whether a manager answered, and with what refusal. All other errors leave the outcome open.
func definite(err error) (wire.Kind, bool) {
	switch k := wire.KindOf(err); {
	case err == nil:
		return wire.KindNone, true
	case k == wire.KindNotFound, k == wire.KindStale, k == wire.KindNoRoom, k == wire.KindFailed, k == wire.KindExists, k == wire.KindBadRequest:
		return k, true
	}
	return 0, false
}

// caller is one client of the test. It asks through a client, and reads at managers of its own choice.
type caller struct {
	id    int
	r     *recorder
	rng   *rand.Rand
	cl    *client.Client
	peers []*netlayer.Peer
	stop  context.Context
}

func (c *cluster) caller(id int, r *recorder, seed uint64, stop context.Context) *caller {
	co := client.DefaultOptions()
	co.CallTimeoutMS = int(linearWait.Milliseconds()) / 3 // so that a manager that was cut off does not take all of an operation
	k := &caller{id: id, r: r, rng: rand.New(rand.NewPCG(seed, uint64(id))), cl: c.clientOf(co), stop: stop}
	o := netOptions(wire.RoleClient, "reader")
	o.RetryAttempts = 1
	for _, p := range c.peers {
		peer := netlayer.NewPeer(p.Addr, o)
		c.t.Cleanup(func() { peer.Close() })
		k.peers = append(k.peers, peer)
	}
	return k
}

// key is a number that all callers choose from for a while.
func (k *caller) key(of int) int { return int(k.r.ops.Load())/keyLife*of + k.rng.IntN(of) }

// query reads at one manager process, which may lead or not, without a second attempt.
func query[T any](ctx context.Context, p *netlayer.Peer, m wire.Manager, stale bool, q membership.Query) (out []T, err error) {
	var rep wire.QueryRep
	if err := p.Control(ctx, wire.OpQuery, 0, &wire.QueryReq{Manager: m, Stale: stale, Query: q.Encode()}, &rep); err != nil {
		return nil, err
	}
	var page membership.Page[T]
	err = membership.DecodeAnswer(rep.Result, &page)
	if page.More {
		return nil, fmt.Errorf("%v answers in pages, and this reads one", m)
	}
	return page.Items, err
}

// run asks until it is told to stop.
func (k *caller) run() {
	for k.stop.Err() == nil {
		k.r.ops.Add(1)
		k.step()
		select { // the machine runs other tests too
		case <-time.After(time.Duration(k.rng.IntN(5)) * time.Millisecond):
		case <-k.stop.Done():
		}
	}
}

func (k *caller) step() {
	ctx, cancel := context.WithTimeout(context.Background(), linearWait)
	defer cancel()
	m := wire.Manager(1 + k.rng.IntN(3))
	at := k.peers[k.rng.IntN(len(k.peers))]
	n := k.rng.IntN(100)
	switch {
	case n < 10:
		k.register(ctx, m, fmt.Sprintf("x%d", k.key(1)))
	case n < 25:
		k.epoch(ctx, m, fmt.Sprintf("x%d", k.key(1)), at, false)
	case m == wire.GPM && n < 55:
		k.admit(ctx)
	case m == wire.GPM:
		k.vnode(ctx, at, n < 80)
	default:
		k.part(ctx, m, n, wire.PID(1<<32+k.key(3)), at)
	}
}

// small is a component that nothing fits into, so that registering it again takes nothing away.
func small(m wire.Manager, id string) wire.Member {
	x := map[wire.Manager]wire.Member{wire.GPM: pcomponent(0, 1), wire.GMM: mcomponent(0, wire.PageSize), wire.GSM: scomponent(0, wire.PageSize)}[m]
	x.ID = wire.NodeID(id)
	return x
}

func (k *caller) register(ctx context.Context, m wire.Manager, id string) {
	call := k.r.now()
	e, err := k.cl.Register(ctx, small(m, id))
	kind, known := definite(err)
	k.r.add(k.id, call, asked{verb: register, manager: m, key: id}, answered{unknown: !known, refused: kind, epoch: e})
}

func (k *caller) epoch(ctx context.Context, m wire.Manager, id string, at *netlayer.Peer, stale bool) {
	call := k.r.now()
	members, err := query[membership.Status](ctx, at, m, stale, membership.Query{Kind: membership.QueryMembers})
	if err != nil {
		return // a read that was not answered says nothing
	}
	var e wire.Epoch
	for _, x := range members {
		if x.Member.ID == wire.NodeID(id) {
			e = x.Member.Epoch
		}
	}
	k.r.add(k.id, call, asked{verb: epoch, manager: m, key: id}, answered{epoch: e})
}

// admit asks for a vNode by a name that no other has. Its process is known from the answer, or when somebody sees it.
func (k *caller) admit(ctx context.Context) {
	name := fmt.Sprintf("%d-%d", k.id, k.rng.Uint64())
	spec := admission.VNodeSpec{Name: name, Threads: 1, ExCacheLines: 2}
	if k.rng.IntN(2) == 0 {
		spec.Volumes = []admission.VolumeSpec{{Name: "v", SizeBytes: 2 * wire.PageSize}}
	}
	call := k.r.now()
	p, err := k.cl.Admit(ctx, spec)
	in := asked{verb: place, manager: wire.GPM, key: fmt.Sprint(p.PID)}
	if err == nil {
		k.r.add(k.id, call, in, answered{at: string(p.Node)})
		k.r.seen(name, p.PID)
		k.r.mu.Lock()
		k.r.vnodes = append(k.r.vnodes, p.PID)
		k.r.mu.Unlock()
		return
	}
	if _, known := definite(err); known {
		return // refused, so nothing may be seen of it: seen would find another process, or look what is not explained
	}
	i := k.r.add(k.id, call, in, answered{unknown: true})
	k.r.mu.Lock()
	k.r.admits[name] = i
	k.r.mu.Unlock()
}

// vnode looks at a process of GPM, or releases it.
func (k *caller) vnode(ctx context.Context, at *netlayer.Peer, looks bool) {
	k.r.mu.Lock()
	var pid wire.PID
	if n := len(k.r.vnodes); n > 0 {
		pid = k.r.vnodes[max(0, n-1-k.rng.IntN(4))] + wire.PID(k.rng.IntN(3)/2) // or the next one, which may be anybody's
	}
	known := k.r.names[pid] != ""
	k.r.mu.Unlock()
	if pid == 0 {
		return
	}
	call := k.r.now()
	if !looks {
		if !known {
			return // its admission may be under way still
		}
		kind, known := definite(k.cl.Release(ctx, pid))
		k.r.add(k.id, call, asked{verb: free, manager: wire.GPM, key: fmt.Sprint(pid)}, answered{unknown: !known, refused: kind})
		return
	}
	k.lookVNode(ctx, pid, at, false)
}

func (k *caller) lookVNode(ctx context.Context, pid wire.PID, at *netlayer.Peer, stale bool) {
	call := k.r.now()
	ps, err := query[gpm.Process](ctx, at, wire.GPM, stale, membership.Query{Kind: membership.QueryListing, ID: uint64(pid)})
	if err != nil {
		return
	}
	var out answered
	for _, p := range ps {
		if p.Phase == admission.Committed || p.Phase == admission.Running {
			out = answered{there: true, at: string(p.Node)}
			k.r.seen(p.Name, p.PID)
		}
	}
	k.r.add(k.id, call, asked{verb: look, manager: wire.GPM, key: fmt.Sprint(pid)}, out)
}

// part asks a participant as a coordinator and a component do, for a process that GPM knows nothing of.
func (k *caller) part(ctx context.Context, m wire.Manager, n int, pid wire.PID, at *netlayer.Peer) {
	in := asked{manager: m, key: fmt.Sprint(pid)}
	call := k.r.now()
	switch {
	case n < 45: // prepared and committed by one command, so that nobody asks GPM about it
		steps := []admission.Step{{Verb: admission.Prepare, PID: pid}, {Verb: admission.Commit, PID: pid}}
		if m == wire.GSM {
			steps[0].Volumes = []admission.VolumeSpec{{Name: "v", SizeBytes: 2 * wire.PageSize}}
		}
		in.verb = place
		votes, err := k.cl.Steps(ctx, m, steps)
		kind, known := definite(err)
		out := answered{unknown: !known, refused: kind}
		if len(votes) == 2 {
			out.refused = votes[0].Kind
			if out.at = homeOf(votes[0].Home.Node, votes[0].Home.Epoch); m == wire.GSM && len(votes[0].Volumes) == 1 {
				v := votes[0].Volumes[0]
				out.at = volumeAt(v.Volume, v.Epoch, v.Storage, v.Cache)
			}
		}
		k.r.add(k.id, call, in, out)
	case n < 50:
		in.verb = free
		_, err := k.cl.Steps(ctx, m, []admission.Step{{Verb: admission.Free, PID: pid}})
		kind, known := definite(err)
		k.r.add(k.id, call, in, answered{unknown: !known, refused: kind})
	case m == wire.GMM && n < 75:
		in.verb, in.region = activate, wire.RegionNo(k.rng.IntN(4))
		o, err := k.cl.ActivateRegion(ctx, pid, in.region)
		kind, known := definite(err)
		k.r.add(k.id, call, in, answered{unknown: !known, refused: kind, at: homeOf(o.Node, o.Epoch)})
	default:
		k.lookPart(ctx, m, pid, at, false)
	}
}

func homeOf(id wire.NodeID, e wire.Epoch) string { return fmt.Sprintf("%s@%d", id, e) }

func volumeAt(v wire.VolumeID, e wire.Epoch, storage, cache wire.NodeID) string {
	return fmt.Sprintf("%d@%d:%s:%s", v, e, storage, cache)
}

func (k *caller) lookPart(ctx context.Context, m wire.Manager, pid wire.PID, at *netlayer.Peer, stale bool) {
	call := k.r.now()
	var out answered
	q := membership.Query{Kind: membership.QueryListing}
	if m == wire.GMM {
		q.ID = uint64(pid)
		ps, err := query[gmm.Process](ctx, at, m, stale, q)
		if err != nil {
			return
		}
		for _, p := range ps {
			var regions []string
			for _, r := range p.Regions {
				regions = append(regions, fmt.Sprintf("%04d=%s", r.Region, homeOf(r.Node, r.Epoch)))
			}
			out = answered{there: true, at: homeOf(p.Home, p.HomeEpoch), regions: strings.Join(regions, " ")}
		}
	} else {
		vs, err := query[gsm.Volume](ctx, at, m, stale, q)
		if err != nil {
			return
		}
		for _, v := range vs {
			if v.PID == pid {
				out = answered{there: true, at: volumeAt(v.Volume, v.Epoch, v.Storage, v.Cache)}
			}
		}
	}
	k.r.add(k.id, call, asked{verb: look, manager: m, key: fmt.Sprint(pid)}, out)
}

// TestLinearizable records what eight clients ask three managers, and what they are told, while leaders crash and return,
// are cut off, and are held up. As far as any client can tell each manager must be one that does one thing after the other.
func TestLinearizable(t *testing.T) {
	t.Parallel() // it waits for elections most of the time
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c, g := startGated(t, func(o *gmanagers.Options) {
		o.ElectionTicks, o.SnapshotEntries, o.CompactionEntries, o.ProposeTimeoutMS = 20, 200, 50, 200
	})
	registerAll(t, c.client())

	r := newRecorder()
	faults, cancel := context.WithTimeout(context.Background(), linearFor)
	defer cancel()
	stop, stopCallers := context.WithCancel(context.Background())
	defer stopCallers()
	var callers sync.WaitGroup
	for id := range linearClients {
		k := c.caller(id, r, seed, stop)
		callers.Go(k.run)
	}
	done := c.disturb(g, rand.New(rand.NewPCG(seed, 1<<32)), faults)
	until(t, "each manager has answered each kind of operation", r.all) // at once, but on a machine that is very busy
	stopCallers()
	callers.Wait()

	// What nobody was told of is looked at once more, and every process that was admitted.
	last := c.caller(linearClients, r, seed, context.Background())
	until(t, "the managers answer again", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), linearWait)
		defer cancel()
		ps, err := query[gpm.Process](ctx, last.peers[0], wire.GPM, false, membership.Query{Kind: membership.QueryListing})
		for _, p := range ps {
			last.lookVNode(within(t), p.PID, last.peers[0], false)
		}
		return err == nil
	})

	history := r.complete()
	t.Logf("%d operations, %d of unknown outcome; %s", len(history), r.lost, strings.Join(done, ", "))
	for _, f := range r.faults {
		t.Errorf("%s (seed %d)", f, seed)
	}
	if len(done) < 2 { // a dozen on an idle machine
		t.Errorf("faults %v: the test shows little", done)
	}
	for _, part := range managerModel.Partition(history) {
		if got := linearizable(part); got != porcupine.Ok {
			in := part[0].Input.(asked)
			t.Errorf("%v, key %s: %s (seed %d)", in.manager, in.key, got, seed)
			for _, o := range part {
				t.Logf("%d..%d client %d %s", o.Call, o.Return, o.ClientId, managerModel.DescribeOperation(o.Input, o.Output))
			}
		}
	}
}

// disturb has one manager after the other crash with what it had synced and return, be cut off, or get all messages late,
// leaders more often than others, until ctx ends. It returns what it did.
func (c *cluster) disturb(g *gates, rng *rand.Rand, ctx context.Context) (done []string) {
	rest := func(least, most int) {
		select {
		case <-time.After(time.Duration(least+rng.IntN(most-least)) * time.Millisecond):
		case <-ctx.Done():
		}
	}
	for ctx.Err() == nil {
		victim := rng.IntN(len(c.nodes))
		if leader := c.leader(groups[rng.IntN(len(groups))]); leader >= 0 && rng.IntN(4) > 0 {
			victim = leader
		}
		id := c.nodes[victim].id
		switch fault := []string{"crash", "cut off", "hold up"}[rng.IntN(3)]; fault {
		case "crash":
			done = append(done, fault+" "+string(id))
			c.crash(victim)
			rest(50, 600)
			c.start(victim)
		default:
			done = append(done, fault+" "+string(id))
			g.shut(id, fault == "cut off")
			rest(50, 900)
			g.open()
		}
		rest(200, 1000)
	}
	return done
}

// groups are the three managers.
var groups = []wire.Manager{wire.GPM, wire.GMM, wire.GSM}

// TestStaleReadsAreCaught: a manager that was cut off answers a stale read with what it knew, and the check above calls that
// history wrong, at each manager; asked for the state as of now it does not answer.
func TestStaleReadsAreCaught(t *testing.T) {
	c, g := startGated(t, nil)
	registerAll(t, c.client())
	for _, m := range groups {
		r := newRecorder()
		k := c.caller(0, r, 0, context.Background())
		k.register(within(t), m, "x")
		leader := -1
		until(t, "somebody leads", func() bool { leader = c.leader(m); return leader >= 0 })
		away := (leader + 1) % len(c.nodes)
		until(t, "the follower knows x", func() bool {
			s, err := query[membership.Status](within(t), k.peers[away], m, true, membership.Query{Kind: membership.QueryMembers})
			return err == nil && len(s) > 0 && s[len(s)-1].Member.ID == "x"
		})
		g.shut(c.nodes[away].id, true)
		k.register(within(t), m, "x")
		ctx, cancel := context.WithTimeout(context.Background(), linearWait)
		k.epoch(ctx, m, "x", k.peers[away], false)
		cancel()
		if len(r.history) != 2 || linearizable(r.history) != porcupine.Ok {
			t.Errorf("%v: before the stale read: %+v", m, r.history)
		}
		k.epoch(within(t), m, "x", k.peers[away], true)
		if len(r.history) != 3 || linearizable(r.history) != porcupine.Illegal {
			t.Errorf("%v: the stale read was not caught: %+v", m, r.history)
		}
		g.open()
	}
}

// TestUnknownIsNotRefused: only what a manager said is an answer.
func TestUnknownIsNotRefused(t *testing.T) {
	for _, err := range []error{wire.ErrTimeout, wire.ErrUnavailable, wire.Errorf(wire.KindUnknownState, ""), context.DeadlineExceeded, errors.New("what")} {
		if _, known := definite(err); known {
			t.Errorf("%v was taken for an answer", err)
		}
	}
}

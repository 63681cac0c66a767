package redundancy_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/placement"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

const regionBytes = 1 << 16

// world is the books of GMM, leaders with their drivers, mComponents that own, hold and recover, clients that write, and a network that loses,
// delays and doubles.
type world struct {
	tapes   tapedtest.Tapes
	rng     *rand.Rand
	now     time.Duration
	events  []event // a heap would be quicker; there are few
	seq     int
	faults  bool
	books   *gmm.State
	client  uint64
	nodes   []*node
	pids    map[wire.PID]wire.MemoryPolicy
	acked   map[redundancy.Part]map[int]bool
	writes  int
	leaders []*leader // the last one leads
	kills   int
	onApply func(redundancy.Change)
	err     error
}

type event struct {
	at  time.Duration
	seq int
	do  func()
}

func (w *world) after(d time.Duration, do func()) {
	w.seq++
	e := event{w.now + d, w.seq, do}
	i, _ := slices.BinarySearchFunc(w.events, e, func(a, b event) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq)) })
	w.events = slices.Insert(w.events, i, e)
}

func (w *world) run(until time.Duration, done func() bool) {
	for w.err == nil && len(w.events) > 0 && w.events[0].at <= until && !done() {
		e := w.events[0]
		w.events = w.events[1:]
		w.now = e.at
		e.do()
	}
}

func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("%v: %s", w.now, fmt.Sprintf(format, args...))
	}
}

func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.rng.Int64N(int64(d) + 1)) }

// owned is a vRegion at its owner; held at a holder; both have the writes that they have.
type owned struct {
	config  wire.RegionConfig
	state   wire.RecoverState // done, unless it recovers
	sources []wire.Holder
	has     map[int]bool
	filled  map[wire.NodeID]uint64 // by holder: the configuration under which it had everything
}

type held struct {
	epoch  wire.Epoch
	config uint64
	has    map[int]bool
}

type node struct {
	w      *world
	id     wire.NodeID
	rack   string
	epoch  wire.Epoch // as it registered
	life   int
	down   bool
	owns   map[redundancy.Part]*owned
	holds  map[redundancy.Part]*held
	homes  map[wire.PID]wire.HomeConfig
	synced map[wire.PID]uint64 // by process whose home it is: the configuration in which its backup has everything
	backs  map[wire.PID]bool
}

func (n *node) empty() {
	n.owns, n.holds = map[redundancy.Part]*owned{}, map[redundancy.Part]*held{}
	n.homes, n.synced, n.backs = map[wire.PID]wire.HomeConfig{}, map[wire.PID]uint64{}, map[wire.PID]bool{}
}

func (w *world) node(id wire.NodeID) *node {
	return w.nodes[slices.IndexFunc(w.nodes, func(n *node) bool { return n.id == id })]
}

// at returns a holder if it can be reached and is the one that was chosen.
func (w *world) at(h wire.Holder) *node {
	if n := w.node(h.Node); !n.down && n.epoch == h.Member {
		return n
	}
	return nil
}

// open tells a holder of a configuration; false if it refuses, or is not there.
func (n *node) open(p redundancy.Part, c wire.RegionConfig, fresh bool) *held {
	if o := n.owns[p]; o != nil && o.config.Epoch > c.Epoch {
		return nil // what it held it owns now
	}
	h := n.holds[p]
	if h == nil {
		h = &held{has: map[int]bool{}}
		n.holds[p] = h
	}
	if c.Epoch < h.epoch || c.Epoch == h.epoch && c.Config < h.config {
		return nil
	}
	if fresh && c.Newer(h.epoch, h.config) {
		h.has = map[int]bool{}
	}
	h.epoch, h.config = c.Epoch, c.Config
	return h
}

// configure is RegionConfig at an owner.
func (n *node) configure(p redundancy.Part, c wire.RegionConfig) (rep wire.RegionConfigRep, err error) {
	o := n.owns[p]
	switch {
	case o == nil:
		return rep, wire.Errorf(wire.KindNotFound, "not here")
	case o.config.Newer(c.Epoch, c.Config):
		return rep, wire.Errorf(wire.KindStale, "has a newer one")
	case o.state < wire.RecoverDone:
		return rep, wire.Errorf(wire.KindBusy, "recovers")
	}
	if c.Newer(o.config.Epoch, o.config.Config) {
		if c.Epoch != o.config.Epoch {
			return rep, wire.Errorf(wire.KindStale, "serves under epoch %d", o.config.Epoch)
		}
		o.config = c
		n.fill(p, o)
	}
	rep.Config = o.config.Config
	for _, h := range c.Holders {
		if !h.Filling || o.filled[h.Node] == c.Config {
			rep.InSync = append(rep.InSync, h.Node)
		}
	}
	rep.Known, rep.Copied = uint64(len(o.has)), uint64(len(o.has)*len(rep.InSync))
	return rep, nil
}

// fill sends the filling holders of a configuration what the owner has, some time later.
func (n *node) fill(p redundancy.Part, o *owned) {
	w, life, config := n.w, n.life, o.config
	for _, h := range config.Holders {
		if !h.Filling {
			continue
		}
		var try func()
		try = func() {
			if n.life != life || n.owns[p] != o || o.config.Config != config.Config || o.config.Epoch != config.Epoch {
				return
			}
			to := w.at(h)
			if to == nil {
				w.after(w.upTo(time.Second), try)
				return
			}
			if x := to.open(p, config, false); x != nil {
				maps.Copy(x.has, o.has)
				o.filled[h.Node] = config.Config
			}
		}
		if x := w.at(h); x != nil {
			x.open(p, config, true)
		}
		w.after(w.upTo(300*time.Millisecond), try)
	}
}

// recover is RegionRecover at the new owner.
func (n *node) recover(p redundancy.Part, q wire.RegionRecoverReq) (rep wire.RegionRecoverRep, err error) {
	if q.Member != n.epoch || q.Self != n.id {
		return rep, wire.Errorf(wire.KindStale, "is epoch %d", n.epoch)
	}
	o := n.owns[p]
	if o != nil && o.config.Newer(q.Config.Epoch, q.Config.Config) {
		return rep, wire.Errorf(wire.KindStale, "has a newer one")
	}
	if o == nil || o.config.Epoch < q.Config.Epoch {
		o = &owned{config: q.Config, state: wire.RecoverFencing, has: map[int]bool{}, filled: map[wire.NodeID]uint64{}}
		n.owns[p] = o
		n.w.after(n.w.upTo(50*time.Millisecond), func() { n.step(p, o, n.life) })
	}
	newer := q.Config.Newer(o.config.Epoch, o.config.Config)
	if o.sources, o.config = q.Sources, q.Config; newer && o.state == wire.RecoverDone {
		n.fill(p, o)
	}
	return wire.RegionRecoverRep{State: o.state, Done: uint64(len(o.has)), Known: uint64(len(n.w.acked[p]))}, nil
}

// step goes on with a recovery.
func (n *node) step(p redundancy.Part, o *owned, life int) {
	w := n.w
	if n.life != life || n.owns[p] != o {
		return
	}
	defer func() {
		if o.state < wire.RecoverDone {
			w.after(w.upTo(100*time.Millisecond), func() { n.step(p, o, life) })
		}
	}()
	var there []*held
	for _, h := range o.sources {
		if s := w.at(h); s != nil {
			if x := s.open(p, o.config, false); x != nil {
				there = append(there, x)
			}
		}
	}
	policy := o.config.Policy
	needs := 1
	if policy.Kind == wire.MemoryErasure {
		needs = int(policy.Data)
	}
	switch o.state {
	case wire.RecoverFencing:
		if len(there) == len(o.sources) { // else the old owner might still have writes acknowledged there
			o.state = wire.RecoverTelling
		}
	case wire.RecoverTelling:
		i := slices.IndexFunc(w.books.Processes(p.PID), func(x gmm.Process) bool { return x.PID == p.PID })
		if i < 0 {
			return
		}
		if home := w.node(w.books.Processes(p.PID)[i].Home); !home.down && home.homes[p.PID].PID != 0 {
			o.state = wire.RecoverServing
		}
	case wire.RecoverServing:
		if len(there) < needs {
			return
		}
		count := map[int]int{}
		for _, x := range there {
			for v := range x.has {
				count[v]++
			}
		}
		for v, k := range count {
			if k >= needs || policy.Kind != wire.MemoryErasure {
				o.has[v] = true
			}
		}
		delete(n.holds, p) // what it held is now what it owns
		o.state = wire.RecoverDone
		o.filled = map[wire.NodeID]uint64{}
		n.fill(p, o)
	}
}

// home is HomeConfig at a home, takeOver is HomeRecover at a backup.
func (n *node) home(c wire.HomeConfig) (rep wire.HomeConfigRep, err error) {
	was, ok := n.homes[c.PID]
	if !ok || was.Epoch > c.Epoch || was.Epoch == c.Epoch && was.Config > c.Config {
		return rep, wire.Errorf(wire.KindStale, "not the home, or a newer one")
	}
	if n.homes[c.PID] = c; was.Config != c.Config {
		life := n.life
		var try func()
		try = func() {
			if n.life != life || n.homes[c.PID] != c || c.Backup.Node == "" {
				return
			}
			if b := n.w.at(c.Backup); b != nil {
				b.backs[c.PID] = true
				n.synced[c.PID] = c.Config
				return
			}
			n.w.after(n.w.upTo(100*time.Millisecond), try)
		}
		n.w.after(n.w.upTo(100*time.Millisecond), try)
	}
	return wire.HomeConfigRep{Config: c.Config, InSync: n.synced[c.PID] == c.Config}, nil
}

func (n *node) takeOver(q wire.HomeRecoverReq) (rep wire.HomeRecoverRep, err error) {
	switch {
	case q.Member != n.epoch:
		return rep, wire.Errorf(wire.KindStale, "is epoch %d", n.epoch)
	case n.homes[q.Config.PID].PID == 0 && !n.backs[q.Config.PID] && q.Config.Config > 2: // the first backup has all that was ever answered, if that is nothing
		return wire.HomeRecoverRep{State: wire.RecoverFailed, Text: "no backup here"}, nil
	}
	delete(n.backs, q.Config.PID)
	if n.homes[q.Config.PID].Epoch < q.Config.Epoch {
		n.homes[q.Config.PID] = q.Config
		n.homes[q.Config.PID] = wire.HomeConfig{PID: q.Config.PID, Epoch: q.Config.Epoch, Config: q.Config.Config - 1}
	}
	return wire.HomeRecoverRep{State: wire.RecoverDone}, nil
}

// apply applies a request to the books, stamped as a leader does.
func (w *world) apply(q gmm.Request) gmm.Result {
	w.client++
	c := gmm.Command{Client: w.client, Seq: 1, Overcommit: 4000, Request: q, Stamp: membership.Stamp{
		NowMS: int64(w.now / time.Millisecond), Policy: placement.Names()[w.rng.IntN(len(placement.Names()))], Chance: w.rng.Uint64(),
	}}
	res := w.books.Apply(c)
	if err := w.books.CheckInvariants(); err != nil {
		w.fail("%v", err)
	}
	for _, ch := range q.Copies {
		if w.onApply != nil {
			w.onApply(ch)
		}
	}
	w.sync()
	return res
}

type leader struct {
	w       *world
	d       *redundancy.Taped
	deposed bool
	tick    time.Duration
}

// lead deposes the leader, who hears of it late, and begins anew.
func (w *world) lead() {
	if n := len(w.leaders); n > 0 {
		old := w.leaders[n-1]
		w.after(w.upTo(time.Second), func() { old.deposed = true })
	}
	l := &leader{w: w, d: &redundancy.Taped{Driver: redundancy.New()}}
	l.d.Record(&w.tapes, l.d.Driver, redundancy.TapeKind, &redundancy.TapeHead{Of: wire.GMM})
	w.leaders = append(w.leaders, l)
	w.sync()
}

func (w *world) sync() {
	if len(w.leaders) == 0 {
		return
	}
	l := w.leaders[len(w.leaders)-1]
	list := w.books.Unsettled()
	w.rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	l.do(l.d.Sync(w.now, list, nil))
}

// do performs effects over the network.
func (l *leader) do(out []redundancy.Effect) {
	w := l.w
	if err := l.d.CheckInvariants(); err != nil {
		w.fail("%v", err)
	}
	for _, e := range out {
		answered := func(rep redundancy.Report, err error) {
			if !l.deposed {
				l.do(l.d.Answered(w.now, e.Part, e.Call, rep, err, nil))
			}
		}
		perform := func() (rep redundancy.Report, err error) { return w.perform(e) }
		out, back := w.upTo(20*time.Millisecond), w.upTo(20*time.Millisecond)
		lost := 0
		if w.faults {
			lost = w.rng.IntN(16)
			if w.rng.IntN(10) == 0 {
				w.after(w.upTo(3*time.Second), func() { perform() }) // comes twice, once late
			}
			if w.rng.IntN(10) == 0 {
				back += w.upTo(25 * time.Second) // later than anybody waits
			}
		}
		switch lost {
		case 1: // on its way there
			w.after(5*time.Second, func() { answered(redundancy.Report{}, wire.Errorf(wire.KindTimeout, "no answer")) })
		case 3: // and nobody says so
		case 2: // the answer
			w.after(out, func() {
				perform()
				w.after(5*time.Second, func() { answered(redundancy.Report{}, wire.Errorf(wire.KindTimeout, "no answer")) })
			})
		default:
			w.after(out, func() {
				rep, err := perform()
				w.after(back, func() {
					answered(rep, err)
					if w.faults && w.rng.IntN(10) == 0 {
						answered(rep, err)
					}
				})
			})
		}
	}
	if next, ok := l.d.Next(); ok && (l.tick <= w.now || next < l.tick) {
		l.tick = max(next, w.now)
		w.after(l.tick-w.now, func() {
			if !l.deposed {
				l.do(l.d.Tick(w.now, nil))
			}
		})
	}
}

// perform is what the other end does.
func (w *world) perform(e redundancy.Effect) (rep redundancy.Report, err error) {
	if e.Kind == redundancy.Propose {
		return rep, w.apply(gmm.Request{Op: gmm.OpCopies, Copies: []redundancy.Change{e.Change}}).Err()
	}
	l := &e.Listed
	n := w.node(l.Node)
	if n.down {
		return rep, wire.Errorf(wire.KindUnavailable, "%s is down", n.id)
	}
	switch {
	case l.Stage == redundancy.Recover && l.Home:
		r, err := n.takeOver(l.HomeRecover())
		return redundancy.HomeRecovering(r), err
	case l.Stage == redundancy.Recover:
		r, err := n.recover(l.Part, l.RegionRecover())
		return redundancy.Recovering(r), err
	case l.Home:
		r, err := n.home(l.HomeConfig())
		return l.HomeConfigured(r), err
	default:
		r, err := n.configure(l.Part, l.RegionConfig())
		return redundancy.ConfiguredAs(r), err
	}
}

// write has an owner, any that thinks it is one, take a write; it is acknowledged if every holder of its configuration takes it too.
func (w *world) write() {
	var at []func()
	for _, n := range w.nodes {
		parts := slices.SortedFunc(maps.Keys(n.owns), func(a, b redundancy.Part) int {
			return cmp.Or(cmp.Compare(a.PID, b.PID), cmp.Compare(a.Region, b.Region))
		})
		for _, p := range parts {
			if o := n.owns[p]; !n.down && o.state >= wire.RecoverServing && o.state != wire.RecoverFailed {
				at = append(at, func() { n.write(p, o) })
			}
		}
	}
	if len(at) > 0 {
		at[w.rng.IntN(len(at))]()
	}
}

func (n *node) write(p redundancy.Part, o *owned) {
	w := n.w
	w.writes++
	v := w.writes
	o.has[v] = true
	for _, h := range o.config.Holders {
		to := w.at(h)
		if to == nil {
			return
		}
		x := to.open(p, o.config, false)
		if x == nil {
			return
		}
		x.has[v] = true
	}
	if w.acked[p] == nil {
		w.acked[p] = map[int]bool{}
	}
	w.acked[p][v] = true
}

// place makes a process with vRegions.
func (w *world) place(pid wire.PID, policy wire.MemoryPolicy, regions int) {
	res := w.apply(gmm.Request{Op: gmm.OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: pid, Memory: policy}, {Verb: admission.Commit, PID: pid}}})
	if res.Votes[0].Kind != wire.KindNone {
		w.fail("process %d: %s", pid, res.Votes[0].Text)
		return
	}
	w.pids[pid] = policy
	home := w.node(res.Votes[0].Home.Node)
	home.homes[pid] = wire.HomeConfig{PID: pid, Epoch: 1}
	for r := range wire.RegionNo(regions) {
		res := w.apply(gmm.Request{Op: gmm.OpActivate, PID: pid, Region: r})
		if res.Err() != nil {
			w.fail("vRegion %d of process %d: %v", r, pid, res.Err())
			return
		}
		p := redundancy.Part{PID: pid, Region: r}
		w.node(res.Owner.Node).owns[p] = &owned{config: res.Config, state: wire.RecoverDone, has: map[int]bool{}, filled: map[wire.NodeID]uint64{}}
	}
}

// kill ends a node, or only has it declared dead; it registers again later, empty.
func (w *world) kill(n *node, alive bool) {
	if n.down {
		return
	}
	w.kills++
	n.down = !alive
	if !alive {
		n.life++
		n.empty()
	}
	epoch := n.epoch
	w.after(w.upTo(500*time.Millisecond), func() {
		w.apply(gmm.Request{Op: gmm.OpDead, Member: wire.Member{ID: n.id, Epoch: epoch}, Text: "a test", SilentMS: 3000})
		w.after(w.upTo(4*time.Second), func() {
			n.down = false
			n.life++
			n.empty()
			w.register(n)
		})
	})
}

func (w *world) register(n *node) {
	res := w.apply(gmm.Request{Op: gmm.OpRegister, Member: wire.Member{
		ID: n.id, Role: wire.RoleMemory, Addr: "inproc:" + string(n.id), Rack: n.rack, Capacity: wire.Capacity{MemoryBytes: 64 * regionBytes, RegionBytes: regionBytes},
	}})
	if res.Err() != nil {
		w.fail("%v", res.Err())
	}
	n.epoch = res.Epoch
}

// check compares the books with what is there once nothing is under way.
func (w *world) check() {
	for _, p := range w.books.Processes(0) {
		for _, r := range p.Regions {
			part := redundancy.Part{PID: p.PID, Region: r.Region}
			if r.Copies == nil {
				continue // lost, and the books say so
			}
			o := w.node(r.Node).owns[part]
			if o == nil || o.config.Epoch != r.Epoch || o.state != wire.RecoverDone {
				w.fail("%v: the books have it at %s under epoch %d, there is %+v", part, r.Node, r.Epoch, o)
				return
			}
			for v := range w.acked[part] {
				if !o.has[v] {
					w.fail("%v at %s has lost write %d, which was acknowledged", part, r.Node, v)
				}
				for _, h := range r.Copies.Holders {
					if x := w.node(h.Node).holds[part]; !h.Filling && (x == nil || !x.has[v]) {
						w.fail("%v: %s is in sync and has not write %d", part, h.Node, v)
					}
				}
			}
			if len(r.Copies.Holders) != w.pids[p.PID].Holders() {
				w.fail("%v has %d holders, want %d", part, len(r.Copies.Holders), w.pids[p.PID].Holders())
			}
		}
	}
}

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 7)), books: gmm.New(), pids: map[wire.PID]wire.MemoryPolicy{}, acked: map[redundancy.Part]map[int]bool{}}
	for i := range 5 + w.rng.IntN(3) {
		n := &node{w: w, id: wire.NodeID(fmt.Sprintf("m%d", i+1)), rack: []string{"", "r1", "r2"}[w.rng.IntN(3)]}
		n.empty()
		w.nodes = append(w.nodes, n)
		w.register(n)
	}
	return w
}

// tell is what the books decided.
func (w *world) tell() (out string) {
	b, _ := w.books.Query(membership.Query{Kind: membership.QueryEvents})
	var page events.Page
	if membership.DecodeAnswer(b, &page) == nil {
		for _, e := range page.Events {
			out += fmt.Sprintf("%d %v\n", e.MS, e)
		}
	}
	return out
}

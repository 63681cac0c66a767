package vcluster

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"splitkernel/netlayer/given"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/fault"
	"splitkernel/pcomponent/policy"
	"splitkernel/sim/hardware/processor"
	"splitkernel/sim/units"
	"splitkernel/sim/vtime"
)

// Stamp is what a page or a sector holds: whatever its driver stamps it with, 16 bytes. Zero is memory that was never written.
type Stamp [16]byte

// compute is a pComponent.
type compute struct {
	c     *Cluster
	o     *Node
	no    int32
	epoch wire.Epoch
	lines uint64 // of the ExCaches open now
	procs map[wire.PID]*Process
	run   int         // threads that run or wait
	slow  units.Ratio // how many times longer they take
	cores int

	revivals map[wire.PID]*revival // processes that were restarted here, or are

	moving *computeMoves   // what moves to and from it; nil if nothing did
	asking []*vtime.Signal // wait for a home, or for news of it
	homes  given.Homes
}

func newCompute(c *Cluster, o *Node, no int32) *compute {
	return &compute{c: c, o: o, no: no, cores: o.Cores, slow: units.One, procs: map[wire.PID]*Process{}}
}

// load is what its heartbeats tell.
func (n *compute) load() wire.Load {
	l := wire.Load{Processes: uint32(len(n.procs)), ReservedBytes: n.lines * wire.PageSize, Threads: uint32(n.run)}
	for _, p := range n.sorted() {
		s, _ := p.Counted()
		l.Misses += s.Misses
		l.Flushes += s.Flushes + s.FinalFlushes
		l.Accesses += s.Accesses
	}
	return l
}

func (n *compute) sorted() []*Process {
	ps := make([]*Process, 0, len(n.procs))
	for _, p := range n.procs {
		if p.n == n { // else it is served elsewhere already, and leaves
			ps = append(ps, p)
		}
	}
	slices.SortFunc(ps, func(a, b *Process) int { return cmp.Compare(a.o.PID, b.o.PID) })
	return ps
}

// ProcessOptions say what a process is. The managers decided PID, Epoch, Node and Home.
type ProcessOptions struct {
	PID     wire.PID
	Epoch   wire.Epoch
	Name    string
	Node    wire.NodeID // its pComponent
	Home    wire.Owner
	Threads int
	ExCache excache.Options
	// Future is what belady knows of the accesses to come, from the first on; nil otherwise. A process that has it does not move.
	Future *policy.Future
	// Local has all memory at the pComponent: nothing is sent, and a page that is missing costs a fault of its operating system.
	// It is what slowdowns are measured against.
	Local bool
	// Carry gives what its driver takes along when the process moves, of which only the size counts; nil is nothing.
	Carry func() []byte
}

// Process is one process. Its methods wait in virtual time and are called from coroutines of its cluster's clock.
type Process struct {
	c        *Cluster
	n        *compute
	o        ProcessOptions
	core     *fault.Core
	frames   []Stamp
	threads  []*Thread
	home     wire.Owner
	heapEnd  uint64
	out      []fault.Effect
	idle     vtime.Signal // a flush was acknowledged, a prefetch answered, or the process failed
	ticking  bool
	volumes  map[wire.VolumeID]*Volume
	lat      Latencies
	traps    *processor.Faults
	first    map[uint64]*vtime.Signal // with FlushFirst: who waits for a flush
	gone     *wire.Error              // its pComponent was killed
	both     map[uint64]*twoAnswers   // with Replication: flushes that wait for two answers
	standing *halt                    // for which it stood still last
	halt     *halt                    // it is to stand still for a move
	closed   bool
	forgot   bool   // forget was called
	past     []Part // at pComponents where it was before
	opened   time.Duration
	waited   time.Duration // of its threads, in faults
	blocked  time.Duration // in block requests
	heat     processHeat
	moved    bool         // since Moved was asked: a vRegion or the home
	owners   []wire.Owner // of one that is brought back, as its home told
}

// Thread makes the accesses of one thread.
type Thread struct {
	p     *Process
	core  *fault.Core
	costs *costs
	n     *compute
	alone bool // the only one of its process
	id    int
	y     *vtime.Proc // who drives it now
	ahead units.Picos // how far it is ahead of the clock
	mail  fault.Effect
	wake  vtime.Signal
	stage stages // of the fetch that was answered last
	spent spent
}

// tabled is how many numbers of instructions have their time in a table: two divisions for each reference cost as much as a hit.
const tabled = 256

// costs are what a reference that hits takes.
type costs struct {
	instructions [tabled]units.Picos
	hit, quantum units.Picos
}

func newCosts(o *Options) *costs {
	k := &costs{hit: o.Hardware.Processor.Hit, quantum: units.Of(o.Quantum)}
	for i := range k.instructions {
		k.instructions[i] = o.instructions(uint64(i))
	}
	return k
}

// instructions is what so many instructions before a reference take, or a reference of a live replay in place of them.
func (o *Options) instructions(n uint64) units.Picos {
	if o.Replayed {
		return o.Hardware.Processor.Reference
	}
	return o.Hardware.Processor.Instructions(n)
}

// Open makes a process at its pComponent and tells its home.
func (c *Cluster) Open(y *vtime.Proc, o ProcessOptions) (*Process, error) {
	n, err := c.startAt(y, &o)
	if err != nil {
		return nil, err
	}
	if c.lives[n.no].down {
		return nil, wire.Errorf(wire.KindUnavailable, "%s: connection refused", o.Node)
	}
	if err := c.gm.ended[o.PID]; err != nil {
		return nil, err // ended for another before it began
	}
	p, err := n.newProcess(o)
	if err != nil {
		return nil, err
	}
	if room := n.o.ExCacheBytes / wire.PageSize; !o.Local && n.lines+uint64(o.ExCache.Lines) > room {
		return nil, wire.Errorf(wire.KindNoRoom, "%s: an ExCache of %d lines for process %s, %d of %d lines are free", n.o.ID, o.ExCache.Lines, o.Name, room-n.lines, room)
	}
	n.lines += uint64(o.ExCache.Lines)
	p.home = n.homes.Newest(o.PID, p.home)
	n.procs[o.PID] = p
	n.running(o.Threads)
	if o.Local {
		return p, nil
	}
	if err := p.openHome(y, n, o.Epoch, &p.home); err != nil {
		p.forget()
		return nil, err
	}
	return p, nil
}

// newProcess makes a process that nobody knows yet.
func (n *compute) newProcess(o ProcessOptions) (*Process, error) {
	c := n.c
	cache, err := excache.NewForeseeing(o.ExCache, o.Future)
	if err != nil {
		return nil, fmt.Errorf("process %s: excache: %w", o.Name, err)
	}
	fo := c.o.Fault
	fo.Threads, fo.RegionBytes = o.Threads, c.o.RegionBytes
	core, err := fault.New(fo, cache)
	if err != nil {
		return nil, fmt.Errorf("process %s: %w", o.Name, err)
	}
	p := &Process{c: c, n: n, o: o, core: core, frames: make([]Stamp, cache.Frames()), home: o.Home, opened: c.clock.Now(), volumes: map[wire.VolumeID]*Volume{}, traps: processor.NewFaults(c.o.Hardware.Processor)}
	p.idle.Name = "an acknowledgement of a flush"
	for i := range o.Threads {
		t := &Thread{p: p, core: core, costs: c.costs, n: n, alone: o.Threads == 1, id: i}
		t.wake.Name = fmt.Sprintf("a page of process %s, thread %d", o.Name, i)
		p.threads = append(p.threads, t)
	}
	return p, nil
}

func (p *Process) forget() {
	if p.forgot {
		return
	}
	p.closed, p.forgot = true, true
	if p.halt != nil {
		p.halt.stopped.Wake()
	}
	p.idle.Broadcast()
	if p.n.procs[p.o.PID] == p { // else it goes on here already
		delete(p.n.procs, p.o.PID)
	}
	p.n.lines -= uint64(p.o.ExCache.Lines)
	p.n.running(-p.o.Threads)
}

// Thread gives thread i. One coroutine drives a thread at a time.
func (p *Process) Thread(i int) *Thread { return p.threads[i] }

// Core is the fault protocol of the process, for its counters.
func (p *Process) Core() *fault.Core { return p.core }

// Regions is how many vRegions it has.
func (p *Process) Regions() int { return p.core.Regions() }

// Begin says which coroutine drives the thread from now on.
func (t *Thread) Begin(y *vtime.Proc) { t.y = y }

// Compute has the thread run for as long as so many instructions take. If more threads run at the pComponent than it has
// processors, each gets its share of them.
func (t *Thread) Compute(instructions uint64) {
	var cost units.Picos
	if instructions < tabled {
		cost = t.costs.instructions[instructions]
	} else {
		cost = t.p.c.o.instructions(instructions)
	}
	if run, cores := t.n.run, t.n.cores; run > cores {
		cost = cost * units.Picos(run) / units.Picos(cores)
	}
	if t.n.slow != units.One {
		cost = t.n.slow.Of(cost)
	}
	t.ahead += cost
}

// Sync waits until the clock is where the thread is.
func (t *Thread) Sync() {
	if host := t.p.c.host; host != nil { // others have work for the processor, too
		if t.ahead > 0 {
			now := t.p.c.clock.Now()
			_, end := host.Serve(now, t.ahead)
			t.ahead = 0
			t.y.Sleep(end - now)
		}
		return
	}
	if d := time.Duration(t.ahead / 1000); d > 0 {
		t.ahead -= units.Picos(d) * 1000
		t.y.Sleep(d)
	}
}

// Access performs one access: the stamp of the page, which is the caller's until it waits. After an error the process serves no
// more accesses.
func (t *Thread) Access(page uint64, write bool) (*Stamp, error) {
	if !t.alone && t.ahead >= t.costs.quantum {
		t.Sync() // others share the ExCache: they go on meanwhile
	}
	frame, ok := t.core.Hit(wire.PageNo(page), write)
	if ok {
		t.ahead += t.costs.hit
	} else {
		var err error
		if frame, err = t.fault(wire.PageNo(page), write); err != nil {
			return nil, err
		}
	}
	return &t.p.frames[frame], nil
}

// fault brings a page.
func (t *Thread) fault(page wire.PageNo, write bool) (frame uint32, err error) {
	p, c := t.p, t.p.c
	t.Sync()
	began := c.clock.Now()
	if c.host != nil {
		t.ahead += c.o.Hardware.Processor.Fault
		t.Sync()
		if frame, ok := p.core.Hit(page, write); ok { // somebody brought it meanwhile
			return frame, nil
		}
	} else if entered := p.traps.Fault(began); entered > began {
		t.y.Sleep(t.n.slowed(entered - began))
		if frame, ok := p.core.Hit(page, write); ok { // somebody brought it meanwhile
			return frame, nil
		}
	}
	t.mail, t.stage, t.spent = fault.Effect{}, stages{}, spent{}
	evicted := p.core.Cache().Stats().Evictions
	p.performFault(t, p.core.Fault(c.clock.Now(), t.id, page, write, p.out[:0]))
	for {
		for t.mail.Kind == 0 {
			t.waits()
		}
		e := t.mail
		t.mail = fault.Effect{}
		switch e.Kind {
		case fault.Done:
			now := c.clock.Now()
			ends := now
			if e.How == fault.PLocal {
				ends = now + p.n.slowed(c.ports[p.n.no].dram.Move(now, wire.PageSize)-now)
			}
			if p.core.Cache().Stats().Evictions > evicted {
				ends += p.n.slowed(c.o.Hardware.Processor.ShootdownOf(len(p.threads) - 1).Duration()) // the thread's own processor needs none
			}
			var out []fault.Effect
			frame, out = p.core.Finish(t.id, p.out[:0])
			p.perform(out)
			t.ahead += units.Of(ends - now) // what waits on this thread begins now; the thread itself still has this to do
			p.waited += ends - began
			p.lat.record(e.How, ends-began, &t.stage)
			if c.slow.Beats(ends-began, true) {
				c.slow.Add(t.explain(page, write, e.How, began, now, ends))
			}
			c.digest.mark(now, markDone, uint64(p.o.PID)<<16|uint64(t.id), uint64(page))
			return frame, nil
		case fault.Fail:
			return 0, e.Err
		case fault.Retry:
			if frame, ok := p.core.Hit(page, write); ok {
				return frame, nil
			}
			p.performFault(t, p.core.Fault(c.clock.Now(), t.id, page, write, p.out[:0]))
		}
	}
}

// performFault does what the core wants of a fault of t. With FlushFirst what t itself goes on with waits for its victim's flush.
func (p *Process) performFault(t *Thread, out []fault.Effect) {
	if !p.c.o.FlushFirst || len(out) == 0 || out[0].Kind != fault.Write {
		p.perform(out)
		return
	}
	var later []fault.Effect
	now := make([]fault.Effect, 0, len(out))
	for _, e := range out {
		if e.Thread == t.id && (e.Kind == fault.Fetch || e.Kind == fault.Done) {
			later = append(later, e)
		} else {
			now = append(now, e)
		}
	}
	if len(later) == 0 { // a mechanism that waits for its acknowledgement anyhow
		p.perform(out)
		return
	}
	acked := &vtime.Signal{Name: fmt.Sprintf("the flush of a victim of process %s, thread %d", p.o.Name, t.id)}
	if p.first == nil {
		p.first = map[uint64]*vtime.Signal{}
	}
	p.first[out[0].Flush.ID] = acked
	p.perform(now)
	t.y.Wait(acked)
	p.perform(later)
}

// perform does what the core wants, in order.
func (p *Process) perform(out []fault.Effect) {
	p.out = out[:0] // its memory is used again by whoever comes next; what is performed here calls no core
	for i := range out {
		e := &out[i]
		switch e.Kind {
		case fault.Zero:
			p.frames[e.Frame] = Stamp{}
		case fault.Copy:
			p.frames[e.Frame] = p.frames[e.From]
		case fault.Fetch:
			if p.gone != nil {
				continue
			}
			if p.o.Local { // the only owner is here, and it has what was never written
				panic("vcluster: a fetch of a process that has all its memory here")
			}
			i := p.c.msgs.take()
			m := p.c.msgs.at(i)
			*m = message{op: wire.OpMiss, from: p.n.no, to: p.c.node(e.Owner.Node), bytes: p.c.o.Sizes.Miss, p: p, thread: int32(e.Thread), page: e.Page, frame: e.Frame, epoch: e.Owner.Epoch}
			if e.Piggyback {
				m.op, m.bytes, m.paired = wire.OpMissFlush, p.c.o.Sizes.MissFlush, true
				m.flush = flushBody{Flush: e.Flush, epoch: e.FlushEpoch, stamp: p.frames[e.Flush.Frame]}
				p.replicate(m.to, e.Flush.ID)
				if p.c.o.Released || p.c.o.Replication != nil {
					p.replicaSent(func() { p.copied(func() { p.c.post(i) }) })
					continue
				}
			}
			p.c.post(i)
		case fault.Prefetch:
			if p.gone != nil {
				continue
			}
			i := p.c.msgs.take()
			*p.c.msgs.at(i) = message{op: wire.OpMiss, from: p.n.no, to: p.c.node(e.Owner.Node), bytes: p.c.o.Sizes.Miss, p: p, ahead: e.On, page: e.Page, frame: e.Frame, epoch: e.Owner.Epoch}
			p.c.post(i)
		case fault.Write:
			if p.gone != nil {
				continue
			}
			i := p.c.msgs.take()
			*p.c.msgs.at(i) = message{
				op: wire.OpFlush, from: p.n.no, to: p.c.node(e.Owner.Node), bytes: p.c.o.Sizes.Flush, p: p, page: e.Page,
				flush: flushBody{Flush: e.Flush, epoch: e.Owner.Epoch, stamp: p.frames[e.Flush.Frame]},
			}
			p.replicate(p.c.node(e.Owner.Node), e.Flush.ID)
			if p.c.o.Released {
				p.copied(func() { p.c.post(i) })
			} else {
				p.c.post(i)
			}
		case fault.AskOwner:
			p.askOwner(e.Page)
		case fault.Done, fault.Retry, fault.Fail:
			if e.Thread >= 0 {
				t := p.threads[e.Thread]
				t.mail = *e
				t.wake.Wake()
			}
			if e.Kind == fault.Fail {
				p.idle.Broadcast()
			}
		}
	}
	if p.core.Pausing() && !p.ticking {
		p.ticking = true
		p.c.after(fault.StewardInterval, p.tick)
	}
}

// tick sends again what has paused long enough.
func (p *Process) tick() {
	if p.ticking = false; p.gone != nil {
		return
	}
	p.perform(p.core.Tick(p.c.clock.Now(), p.out[:0]))
}

// fetched takes the answer to a miss.
func (p *Process) fetched(m *message) {
	if m.paired && p.c.o.Replication.waits() {
		own := *m
		p.arrived(m.flush.ID, func() { p.filled(&own) })
		return
	}
	p.filled(m)
}

func (p *Process) filled(m *message) {
	if m.ahead != 0 {
		if m.err == nil {
			p.frames[m.frame] = m.stamp
		}
		p.perform(p.core.Prefetched(p.c.clock.Now(), m.ahead, m.err, p.out[:0]))
		p.idle.Broadcast()
		return
	}
	t := p.threads[m.thread]
	t.stage = stagesOf(m, p.c.clock.Now())
	t.spent.fetched(m, p.c.o.Nodes[m.to].ID)
	if m.err == nil {
		p.frames[m.frame] = m.stamp
	}
	p.perform(p.core.Fetched(p.c.clock.Now(), int(m.thread), m.err, p.out[:0]))
	if m.paired && !m.flush.later {
		p.acked(m)
	}
}

func (p *Process) flushed(m *message) {
	if p.c.o.Replication == nil {
		p.acked(m)
		return
	}
	own := *m
	if p.c.o.Replication.Wait {
		p.arrived(m.flush.ID, func() { p.acked(&own) })
		return
	}
	p.replicaSent(func() { p.acked(&own) })
}

func (p *Process) acked(m *message) {
	p.perform(p.core.FlushDone(p.c.clock.Now(), m.flush.ID, m.flush.err, p.out[:0]))
	if s := p.first[m.flush.ID]; s != nil {
		delete(p.first, m.flush.ID)
		s.Wake()
	}
	p.idle.Broadcast()
}

// askOwner asks the home for the owner of a page's vRegion.
func (p *Process) askOwner(page wire.PageNo) {
	home := p.home
	to := p.c.node(home.Node)
	control(p.c, wire.OpOwners, p.n.no, to, wire.OwnersReq{PID: p.o.PID, Addr: uint64(page) << wire.PageShift, Length: wire.PageSize}, func(q wire.OwnersReq, done func(wire.MmapRep, error)) {
		p.c.nodes[to].(*memory).whose(q, done)
	}, func(r wire.MmapRep, err error) {
		var owner wire.Owner
		if err == nil && len(r.Owners) > 0 {
			owner = r.Owners[0]
		} else if err == nil {
			err = wire.Errorf(wire.KindNotFound, "home %s knows no owner of page %#x", home.Node, uint64(page))
		}
		p.perform(p.core.OwnerKnown(p.c.clock.Now(), page, owner, asWire(err), p.out[:0]))
	})
}

// asWire gives an error as the cores want it.
func asWire(err error) *wire.Error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*wire.Error); ok {
		return e
	}
	return wire.Errorf(wire.KindOf(err), "%v", err)
}

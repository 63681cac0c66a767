package vcluster

import (
	"fmt"
	"slices"
	"time"

	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/given"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/fault"
	"splitkernel/pcomponent/handover"
	"splitkernel/pcomponent/policy"
	"splitkernel/sim/vtime"
)

// Times of the move of a process, as live.
const (
	// attemptPatience bounds one message of a move; the protocol tries again.
	attemptPatience = 2 * time.Second
	// resumeWait is how long the order to serve waits for the opening before it is answered that it goes on.
	resumeWait = time.Second
	// watchInterval is how often a taker looks whether it waits in vain.
	watchInterval = 100 * time.Millisecond
)

// Bounds of what a pComponent remembers, as live.
const (
	maxComing = 64   // processes on their way to it
	maxOver   = 1024 // moves that are over, and processes that were passed on
	// planBytes is about what says what to make ready for a process: its spec.
	planBytes = 256
)

// halt asks whoever drives a process to stand still where nothing is under way.
type halt struct {
	stands  bool
	at      time.Duration // when it stood still
	stopped vtime.Signal  // it stands, or has ended
	decided bool
	err     error
	verdict vtime.Signal
}

// Halted reports whether the process is to stand still: whoever drives it then calls Stand when no thread is within an access.
func (p *Process) Halted() bool { return p.halt != nil }

// Stand stands still for a move, if one wants that, and returns when the process goes on, here or elsewhere; an error ends it. No
// thread may be within an access.
func (p *Process) Stand(y *vtime.Proc) error {
	h := p.halt
	if h == nil {
		return nil
	}
	p.halt, p.standing = nil, h
	h.stands, h.at = true, p.c.clock.Now()
	h.stopped.Wake()
	for !h.decided {
		y.Wait(&h.verdict)
	}
	return h.err
}

func (h *halt) decide(err error) {
	h.decided, h.err = true, err
	h.verdict.Wake()
}

// computeMoves is what moves to and from a pComponent.
type computeMoves struct {
	book   given.Book[*processMove]
	coming map[wire.MoveID]*arrival
	here   map[wire.PID]*arrival // of coming, those that are not over
	over   map[wire.MoveID]bool  // a late plan of these begins nothing
	order  []wire.MoveID         // of over
	passed map[wire.PID]passedOn
	pids   []wire.PID    // of passed
	done   []wire.MoveID // of coming, those that are over, the first to end first
}

// passedOn says where a process went that did not run.
type passedOn struct {
	to    wire.NodeID
	epoch wire.Epoch
}

func (n *compute) moves() *computeMoves {
	if n.moving == nil {
		n.moving = &computeMoves{coming: map[wire.MoveID]*arrival{}, here: map[wire.PID]*arrival{}, over: map[wire.MoveID]bool{}, passed: map[wire.PID]passedOn{}}
	}
	return n.moving
}

// finish remembers that a move is over.
func (m *computeMoves) finish(id wire.MoveID) {
	if m.over[id] {
		return
	}
	if m.over[id], m.order = true, append(m.order, id); len(m.order) > maxOver {
		delete(m.over, m.order[0])
		m.order = m.order[1:]
	}
}

func (n *compute) member() wire.Epoch { return n.epoch }

func (n *compute) moveStatus(ref wire.MoveRef) (wire.MoveStatusRep, error) {
	return n.moves().book.Status(ref)
}

func (n *compute) moveForget(ref wire.MoveRef) error {
	err := n.moves().book.Forget(ref)
	if err == nil {
		n.moving.finish(ref.Move)
	}
	return err
}

func (n *compute) holdings() wire.Holdings {
	held := []wire.HeldProcess{}
	for _, p := range n.sorted() {
		held = append(held, wire.HeldProcess{PID: p.o.PID, Epoch: p.o.Epoch, ExCacheLines: uint64(p.o.ExCache.Lines)})
	}
	return wire.Holdings{Processes: held}
}

func (n *compute) moveStart(r wire.MoveReq) error {
	if r.Kind != wire.MoveProcess {
		return wire.Errorf(wire.KindBadRequest, "%s is a pComponent and moves processes, no %v", n.o.ID, r.Kind)
	}
	if _, ok := n.c.byID[r.To]; !ok || r.Epoch <= r.OldEpoch || r.UndoEpoch <= r.Epoch || r.To == n.o.ID {
		return wire.Errorf(wire.KindBadRequest, "move of process %d from %s to %q: epochs %d, %d, %d, want three that grow, and a taker", r.PID, n.o.ID, r.To, r.OldEpoch, r.Epoch, r.UndoEpoch)
	}
	return n.moves().book.Start(r, func() (*processMove, error) { return n.giveProcess(r) })
}

// giveProcess begins the move of a process that runs here, or ends that of one that does not.
func (n *compute) giveProcess(r wire.MoveReq) (*processMove, error) {
	m := &processMove{n: n, req: r, p: n.procs[r.PID]}
	switch {
	case m.p == nil:
		return n.passOn(r)
	case m.p.n != n:
		return nil, wire.Errorf(wire.KindNotOwner, "process %d runs at %s", r.PID, m.p.n.o.ID)
	case m.p.o.Epoch != r.OldEpoch:
		return nil, wire.Errorf(wire.KindStale, "process %d runs under epoch %d, not %d", r.PID, m.p.o.Epoch, r.OldEpoch)
	}
	for _, old := range n.moving.book.All() {
		if old.req.PID == r.PID && !old.g.Ended() {
			return nil, wire.Errorf(wire.KindBusy, "process %d is moving to %s", r.PID, old.req.To)
		}
	}
	m.g = handover.NewGiver(handover.DefaultOptions(), r, m.now())
	n.c.goAt(n.no, moveName(r), m.drive)
	return m, nil
}

// passOn ends the move of a process that does not run here: whoever comes to start it under an older epoch is turned away.
func (n *compute) passOn(r wire.MoveReq) (*processMove, error) {
	m := n.moving
	switch {
	case m.here[r.PID] != nil:
		return nil, wire.Errorf(wire.KindBusy, "process %d is on its way here: retry", r.PID)
	case r.FromMember == 0 || n.epoch > r.FromMember:
		return nil, wire.Errorf(wire.KindNotFound, "process %d does not run at %s, and may have been lost", r.PID, n.o.ID)
	case n.epoch != r.FromMember:
		return nil, wire.Errorf(wire.KindBusy, "%s has not heard of epoch %d of its membership: retry", n.o.ID, r.FromMember)
	}
	if _, ok := m.passed[r.PID]; !ok {
		if m.pids = append(m.pids, r.PID); len(m.pids) > maxOver {
			delete(m.passed, m.pids[0])
			m.pids = m.pids[1:]
		}
	}
	m.passed[r.PID] = passedOn{r.To, r.Epoch}
	return &processMove{n: n, req: r, g: handover.Passed(handover.DefaultOptions(), r, n.c.clock.Now()+1)}, nil
}

// startAt finds where a process may start that the managers placed under an epoch: if it was moved before it began, where it is now.
func (c *Cluster) startAt(y *vtime.Proc, o *ProcessOptions) (*compute, error) {
	for deadline := c.clock.Now() + mapPatience; ; {
		n, ok := c.nodes[c.node(o.Node)].(*compute)
		if !ok {
			return nil, wire.Errorf(wire.KindBadRequest, "process %s: %s is no pComponent", o.Name, o.Node)
		}
		if n.moving == nil || o.Epoch >= n.moving.passed[o.PID].epoch {
			return n, nil
		}
		var page membership.Page[gpm.Process]
		if err := c.gm.asked(y, n.no, wire.GPM, uint64(o.PID), &page); err != nil {
			return nil, err
		}
		if len(page.Items) == 0 {
			return nil, wire.Errorf(wire.KindNotFound, "process %d is not placed", o.PID)
		}
		if now := page.Items[0]; now.Epoch > o.Epoch {
			o.Node, o.Epoch = now.Node, now.Epoch
			continue
		}
		if c.clock.Now() >= deadline {
			return nil, wire.Errorf(wire.KindNotOwner, "process %d moved from %s to %s before it began", o.PID, n.o.ID, n.moving.passed[o.PID].to)
		}
		y.Sleep(askInterval)
	}
}

// processMove is a process on its way to another pComponent, as its giver drives it.
type processMove struct {
	n   *compute
	req wire.MoveReq
	p   *Process
	g   *handover.Giver

	halt  *halt // it stands still and waits for its verdict
	state []byte
	sum   uint32
}

func (m *processMove) now() time.Duration { return m.n.c.clock.Now() + 1 }

// Status says how far the move has come.
func (m *processMove) Status() wire.MoveStatusRep { return m.g.Status(m.now()) }

// drive performs the move until it has ended.
func (m *processMove) drive(y *vtime.Proc) {
	for !m.g.Ended() {
		o := m.perform(y, m.g.Next(m.now()))
		m.g.Step(m.now(), o)
	}
}

// tellTaker sends a message to the taker.
func tellTaker[Q, R any](y *vtime.Proc, m *processMove, op wire.Op, q Q, serve func(to *compute, q Q, done func(R, error))) (R, *wire.Error) {
	to := m.n.c.node(m.req.To)
	r, err := tell(y, m.n.c, op, m.n.no, to, attemptPatience, q, func(q Q, done func(R, error)) { serve(m.n.c.nodes[to].(*compute), q, done) })
	return r, asWire(err)
}

// perform does what the core wants.
func (m *processMove) perform(y *vtime.Proc, e handover.Effect) (o handover.Outcome) {
	p, r := m.p, &m.req
	copyReq := wire.ProcessCopyReq{Move: r.Move, PID: r.PID, Epoch: r.Epoch, From: m.n.o.ID, FromAddr: addr(m.n.o.ID)}
	send := func() {
		var rep wire.ProcessCopyRep
		rep, o.Err = tellTaker(y, m, wire.OpProcessCopy, copyReq, func(to *compute, q wire.ProcessCopyReq, done func(wire.ProcessCopyRep, error)) { done(to.take(&q, p)) })
		o.Ready = rep.Ready
	}
	switch e.Kind {
	case handover.Plan, handover.WriteBack, handover.Freeze: // the process runs, and may end
		if p.closed {
			return handover.Outcome{Gone: true}
		}
	}
	switch e.Kind {
	case handover.Wait:
		y.Sleep(e.Until - m.now())
	case handover.Plan:
		copyReq.Plan = make([]byte, planBytes)
		send()
	case handover.WriteBack:
		var err error
		if o.Lines, err = p.writeBack(y); err != nil && !p.closed {
			o.Err = wire.Errorf(wire.KindBusy, "write-back: %v", err)
		}
	case handover.Freeze:
		return m.freeze(y)
	case handover.Send:
		b := m.state[e.Offset : e.Offset+e.Length]
		copyReq.Total, copyReq.StateSum, copyReq.Offset, copyReq.Sum, copyReq.Bytes = uint64(len(m.state)), m.sum, e.Offset, wire.Checksum(b), b
		send()
	case handover.Resume:
		o.Resumed, o.Err = tellTaker(y, m, wire.OpProcessResume, wire.ProcessResumeReq{Move: r.Move, PID: r.PID, Epoch: r.Epoch, Home: p.home},
			func(to *compute, q wire.ProcessResumeReq, done func(wire.ProcessResumeRep, error)) {
				to.resume(q, done)
			})
	case handover.Ask:
		o.Err = asWire(p.askHome(y))
	case handover.Thaw:
		o.Err = asWire(m.thaw(y, e.Epoch))
	case handover.Drop:
		_, o.Err = tellTaker(y, m, wire.OpProcessDrop, wire.MoveRef{Move: r.Move}, func(to *compute, q wire.MoveRef, done func(struct{}, error)) {
			done(struct{}{}, to.dropProcess(q.Move))
		})
	case handover.Leave:
		m.n.left(p)
	case handover.Lose:
		if p.n != m.n { // it runs at the taker, which the giver cannot know
			m.n.left(p)
			break
		}
		p.o.Epoch = max(p.o.Epoch, e.Epoch)
		m.release(e.Err)
	}
	return o
}

// left forgets a process that goes on elsewhere.
func (n *compute) left(p *Process) {
	if n.procs[p.o.PID] == p {
		delete(n.procs, p.o.PID)
		n.lines -= uint64(p.o.ExCache.Lines)
		n.run -= p.o.Threads
	}
}

// release gives whoever drives the process its verdict.
func (m *processMove) release(verdict error) {
	if m.halt != nil {
		m.halt.decide(verdict)
		m.halt, m.state = nil, nil
	}
}

// writeBack writes back the lines that are dirty now, while threads run. It leaves half of the flushing frames to the threads.
func (p *Process) writeBack(y *vtime.Proc) (lines int, err error) {
	window := max(p.o.ExCache.FlushFrames/2, 1)
	for from, done := uint32(0), false; !done && !p.closed; {
		var n int
		if room := window - p.core.Flushing(); room > 0 {
			var out []fault.Effect
			from, n, done, out = p.core.WriteBack(p.c.clock.Now(), from, room, p.out[:0])
			p.perform(out)
			lines += n
		}
		if err := p.core.Err(); err != nil {
			return lines, err
		}
		if p.core.OldestFlush() != 0 {
			y.Wait(&p.idle)
		} else if !done { // all that is dirty is in use
			y.Sleep(fault.StewardInterval)
		}
	}
	return lines, p.core.Err()
}

// processState is what goes over. Of what its driver takes along only the size counts: here the driver is the same.
type processState struct {
	Core    fault.State
	Home    wire.Owner
	HeapEnd uint64
	Volumes []VolumeOptions
	Carried []byte
}

// freeze has the process stand still, drains it and exports its state.
func (m *processMove) freeze(y *vtime.Proc) handover.Outcome {
	p, c := m.p, m.n.c
	patience := handover.DefaultOptions().Switch
	h := &halt{}
	h.stopped.Name, h.verdict.Name = "process "+p.o.Name+" to stand still", "the end of the switch-over of process "+p.o.Name
	p.halt = h
	for deadline := c.clock.Now() + patience; !h.stands && !p.closed && y.WaitFor(&h.stopped, deadline-c.clock.Now()); {
	}
	if !h.stands {
		p.halt = nil
		if p.closed {
			return handover.Outcome{Gone: true}
		}
		return handover.Outcome{Err: wire.Errorf(wire.KindTimeout, "the process did not come to a boundary within %v", patience)}
	}
	m.halt = h
	o := handover.Outcome{StoppedAt: h.at + 1}
	if err := p.drainFor(y, patience); err != nil {
		o.Err = wire.Errorf(wire.KindFailed, "drain of the process: %v", err)
		return o
	}
	core, err := p.core.Export()
	if err != nil {
		o.Err = wire.Errorf(wire.KindInternal, "%v", err)
		return o
	}
	s := processState{Core: core, Home: p.home, HeapEnd: p.heapEnd}
	for _, id := range sorted(p.volumes) {
		s.Volumes = append(s.Volumes, p.volumes[id].o)
	}
	if p.o.Carry != nil {
		s.Carried = p.o.Carry()
	}
	m.state = wire.Marshal(&s)
	m.sum, o.Total = wire.Checksum(m.state), uint64(len(m.state))
	return o
}

// drainFor is Drain for a time.
func (p *Process) drainFor(y *vtime.Proc, patience time.Duration) error {
	for deadline := p.c.clock.Now() + patience; ; {
		p.perform(p.core.Drain(p.c.clock.Now(), p.out[:0]))
		if p.core.Drained() || p.core.Err() != nil {
			return p.core.Err()
		}
		if left := deadline - p.c.clock.Now(); left <= 0 || !y.WaitFor(&p.idle, left) {
			return wire.Errorf(wire.KindTimeout, "flushes were not acknowledged within %v", patience)
		}
	}
}

// askHome asks the home whether it still has the process under the epoch that it has here: an error of KindStale says that it was
// opened under a newer one. It unmaps what is not mapped, since that looks at the epoch.
func (p *Process) askHome(y *vtime.Proc) error {
	q := wire.MunmapReq{PID: p.o.PID, Epoch: p.o.Epoch, Addr: uint64(p.core.FreePage()) << wire.PageShift, Length: wire.PageSize}
	return call(y, p, wire.OpMunmap, q, (*memory).munmap, func(wire.MunmapRep) {})
}

// thaw lets the process go on here. Under another epoch than before it is opened at its home and its volumes are attached first.
func (m *processMove) thaw(y *vtime.Proc, epoch wire.Epoch) error {
	p := m.p
	if epoch != p.o.Epoch {
		if err := p.openHome(y, m.n, epoch, &p.home); err != nil {
			return fmt.Errorf("under epoch %d: %w", epoch, err)
		}
		for _, id := range sorted(p.volumes) {
			if err := p.volumes[id].attach(y, m.n); err != nil {
				return fmt.Errorf("under epoch %d: %w", epoch, err)
			}
		}
		p.o.Epoch, p.moved = epoch, true // a checkpoint of it is under another epoch
	}
	p.core.Undrain()
	m.release(nil)
	return nil
}

// arrival is a process on its way to a pComponent.
type arrival struct {
	n     *compute
	t     *handover.Taker
	from  wire.NodeID
	p     *Process // as it is at the giver
	epoch wire.Epoch
	state []byte
	came  processState
	home  wire.Owner  // as the giver named it last
	core  *fault.Core // once it is being opened
	taken bool        // room is booked
	ended vtime.Signal
	over  bool
}

// take serves a plan or a chunk of a state.
func (n *compute) take(q *wire.ProcessCopyReq, p *Process) (rep wire.ProcessCopyRep, err error) {
	a, err := n.arriving(q, p)
	if err != nil {
		return rep, err
	}
	now := n.c.clock.Now() + 1
	if q.Plan != nil {
		_, werr := a.t.Plan(now)
		if werr != nil {
			return rep, werr
		}
		rep.Ready = true // nothing must be made ready here: whoever drives the process goes along
		return rep, nil
	}
	take, werr := a.t.Chunk(now, q, wire.Checksum(q.Bytes))
	if werr != nil {
		return rep, werr
	}
	if take {
		a.state = append(a.state, q.Bytes...)
	}
	if a.t.Full() {
		err := a.check()
		a.t.Checked(now, err)
		if err != nil {
			a.dispose()
			return rep, err
		}
	}
	rep.Have, rep.Ready = a.t.Have(), a.t.Ready()
	return rep, nil
}

// arriving gives the process on its way that a message is about; the first plan begins it.
func (n *compute) arriving(q *wire.ProcessCopyReq, p *Process) (*arrival, error) {
	m := n.moves()
	if a := m.coming[q.Move]; a != nil {
		return a, nil
	}
	switch {
	case q.Plan == nil:
		return nil, wire.Errorf(wire.KindNotFound, "move %d of process %d is not known at %s, which may have started again", q.Move.No, q.PID, n.o.ID)
	case m.over[q.Move]:
		return nil, wire.Errorf(wire.KindStale, "move %d of process %d is over", q.Move.No, q.PID)
	case m.here[q.PID] != nil:
		return nil, wire.Errorf(wire.KindBusy, "process %d is on its way to %s by another move", q.PID, n.o.ID)
	case n.procs[q.PID] != nil && n.procs[q.PID].n != n: // it is on its way back before all is told here
		return nil, wire.Errorf(wire.KindBusy, "process %d is just leaving %s", q.PID, n.o.ID)
	case n.procs[q.PID] != nil:
		return nil, wire.Errorf(wire.KindExists, "process %d runs at %s already", q.PID, n.o.ID)
	case len(m.here) >= maxComing:
		return nil, wire.Errorf(wire.KindBusy, "%d processes are on their way to %s, the most that may", len(m.here), n.o.ID)
	}
	if p.o.Future != nil { // as live, where nobody here could know the accesses to come
		return nil, wire.Errorf(wire.KindBadRequest, "process %s: excache: policy: %v", p.o.Name, policy.ErrNoFuture)
	}
	if room := n.o.ExCacheBytes / wire.PageSize; n.lines+uint64(p.o.ExCache.Lines) > room {
		return nil, wire.Errorf(wire.KindNoRoom, "%s: an ExCache of %d lines for process %s, %d of %d lines are free", n.o.ID, p.o.ExCache.Lines, p.o.Name, room-n.lines, room)
	}
	n.lines += uint64(p.o.ExCache.Lines)
	a := &arrival{n: n, from: q.From, p: p, epoch: q.Epoch, t: handover.NewTaker(handover.DefaultOptions(), *q, n.c.clock.Now()+1), taken: true}
	a.ended.Name = "the arrival of process " + p.o.Name
	m.coming[q.Move], m.here[q.PID] = a, a
	n.c.goAt(n.no, a.ended.Name, a.watch)
	return a, nil
}

// check takes the complete state apart.
func (a *arrival) check() error {
	if wire.Checksum(a.state) != a.t.Sum() {
		return wire.Errorf(wire.KindFailed, "the state of process %s has a wrong checksum", a.p.o.Name)
	}
	err := wire.Unmarshal(a.state, &a.came)
	if err == nil {
		a.core, err = a.newCore()
	}
	if err != nil {
		return wire.Errorf(wire.KindFailed, "the state of process %s does not fit here: %v", a.p.o.Name, err)
	}
	a.state = nil
	if a.came.Home.Epoch > a.home.Epoch {
		a.home = a.came.Home
	}
	return nil
}

// newCore makes the fault protocol of the process as it goes on here, with an ExCache that is cold.
func (a *arrival) newCore() (*fault.Core, error) {
	cache, err := excache.New(a.p.o.ExCache)
	if err != nil {
		return nil, err
	}
	core, err := fault.New(a.p.core.Options(), cache)
	if err != nil {
		return nil, err
	}
	return core, core.Import(a.came.Core)
}

// resume serves the order to serve.
func (n *compute) resume(q wire.ProcessResumeReq, done func(wire.ProcessResumeRep, error)) {
	a := n.moves().coming[q.Move]
	if a == nil {
		done(wire.ProcessResumeRep{}, wire.Errorf(wire.KindNotFound, "move %d of process %d is not known at %s, which may have started again", q.Move.No, q.PID, n.o.ID))
		return
	}
	if q.Home.Epoch > a.home.Epoch {
		a.home = q.Home
	}
	begin, rep, werr := a.t.Resume(n.c.clock.Now()+1, q)
	if werr != nil || rep.State != wire.ResumeOpening {
		if werr != nil {
			done(rep, werr)
			return
		}
		done(rep, nil)
		return
	}
	if begin {
		n.c.goAt(n.no, "the opening of process "+a.p.o.Name, a.open)
	}
	n.c.goAt(n.no, "the answer to process_resume", func(y *vtime.Proc) {
		for deadline := y.Now() + resumeWait; a.t.Answer().State == wire.ResumeOpening && y.WaitFor(&a.ended, deadline-y.Now()); {
		}
		done(a.t.Answer(), nil)
	})
}

// open makes the process go on here.
func (a *arrival) open(y *vtime.Proc) {
	p, n := a.p, a.n
	err := p.openHome(y, n, a.epoch, &a.home)
	for _, v := range a.came.Volumes {
		if err == nil {
			err = p.volumes[v.ID].attach(y, n)
		}
	}
	a.t.Opened(err)
	if err != nil {
		a.dispose()
		return
	}
	p.past = part(p.past, p.o.Node, p.core)
	failed := p.core.Err()
	p.core, p.frames = a.core, make([]Stamp, a.core.Cache().Frames())
	p.n, p.o.Node, p.o.Epoch, p.moved = n, n.o.ID, a.epoch, true
	if a.home.Epoch > p.home.Epoch {
		p.home = a.home
	}
	for _, t := range p.threads {
		t.core, t.n = a.core, n
	}
	n.procs[p.o.PID] = p
	n.run += p.o.Threads
	a.taken = false
	a.leave()
	if failed != nil { // it was stopped while it moved
		p.perform(p.core.Fail(asWire(failed), nil))
	}
	a.verdict()
}

// verdict has whoever drives the process go on: it is served here.
func (a *arrival) verdict() {
	from := a.n.c.nodes[a.n.c.node(a.from)].(*compute)
	if m, err := from.moves().book.Find(a.t.Move()); err == nil {
		m.release(nil)
	}
}

// dispose gives back what a process that does not come has taken.
func (a *arrival) dispose() {
	if a.taken {
		a.taken = false
		a.n.lines -= uint64(a.p.o.ExCache.Lines)
	}
	a.state, a.core = nil, nil
	a.leave()
}

// leave takes an arrival that is over out of those that are not.
func (a *arrival) leave() {
	if !a.over {
		a.over = true
		delete(a.n.moving.here, a.p.o.PID)
		a.ended.Broadcast()
	}
}

// dropProcess forgets a process that was to come.
func (n *compute) dropProcess(id wire.MoveID) error {
	m := n.moves()
	a := m.coming[id]
	if a == nil {
		m.finish(id) // a plan that is still on its way finds it over
		return nil
	}
	was, err := a.t.Drop("its giver has given it up")
	if err != nil {
		return err
	}
	if was {
		a.dispose()
	}
	return nil
}

// watch gives the process up if it waits in vain, and forgets it some time after it is over.
func (a *arrival) watch(y *vtime.Proc) {
	for !a.over {
		if y.WaitFor(&a.ended, watchInterval) {
			continue
		}
		gaveUp, ask := a.t.Tick(y.Now() + 1)
		if ask {
			from := a.n.c.node(a.from)
			s, err := tell(y, a.n.c, wire.OpMoveStatus, a.n.no, from, attemptPatience, wire.MoveRef{Move: a.t.Move()}, func(q wire.MoveRef, done func(wire.MoveStatusRep, error)) {
				done(a.n.c.nodes[from].(*compute).moveStatus(q))
			})
			gaveUp = a.t.GiverSays(s.State, asWire(err))
		}
		if gaveUp {
			a.dispose()
		}
	}
	m := a.n.moving
	m.done = append(m.done, a.t.Move())
	if len(m.done) > maxOver {
		delete(m.coming, m.done[0])
		m.finish(m.done[0])
		m.done = m.done[1:]
	}
}

// Part is what a process counted at one pComponent.
type Part struct {
	Node  wire.NodeID
	Cache excache.Stats
	Fault fault.Stats
}

// part adds what a core counted at a node.
func part(parts []Part, at wire.NodeID, c *fault.Core) []Part {
	for i := range parts {
		if parts[i].Node == at {
			parts[i].Cache.Add(c.Cache().Stats())
			parts[i].Fault.Add(c.Stats())
			return parts
		}
	}
	return append(parts, Part{at, c.Cache().Stats(), c.Stats()})
}

// Parts is what the process counted at each pComponent, in the order in which it came to them.
func (p *Process) Parts() []Part { return part(slices.Clone(p.past), p.o.Node, p.core) }

// Counted is what the process counted, wherever it was.
func (p *Process) Counted() (cache excache.Stats, f fault.Stats) {
	cache, f = p.core.Cache().Stats(), p.core.Stats()
	for i := range p.past {
		cache.Add(p.past[i].Cache)
		f.Add(p.past[i].Fault)
	}
	return cache, f
}

// Node is the pComponent where the process is.
func (p *Process) Node() wire.NodeID { return p.o.Node }

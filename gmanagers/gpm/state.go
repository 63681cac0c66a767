package gpm

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/internal/dedup"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// MaxProcesses bounds the vNodes that are there at a time, whatever their phase.
const MaxProcesses = 1 << 16

// less as a number of times is minus one.
const less = ^uint64(0)

// MaxRefused bounds the refusals that are remembered for clients that ask again.
const MaxRefused = 1024

// maxTextBytes bounds the reason of a refusal.
const maxTextBytes = 4096

// maxPID bounds process ids: at a million processes a second they last 290 000 years.
const maxPID wire.PID = 1 << 63

// Process is the process of a vNode and how far its transaction is, as listings and snapshots hold it.
type Process struct {
	PID          wire.PID
	Epoch        wire.Epoch
	Name         string
	Threads      uint32
	ExCacheLines uint64
	Node         wire.NodeID
	NodeEpoch    wire.Epoch // of the pComponent when the process was placed
	PlacedMS     int64      // ms since 1970 by the clock of the leader that placed it
	Phase        admission.Phase
	Coordinator  uint64             // the leadership under which it was admitted
	Wants        uint32             // volumes that it asked for
	Home         admission.Home     // as decided; zero before
	Volumes      []admission.Volume // as decided; nil before
	Kind         wire.Kind          // why it was aborted, or evicted
	Text         string
	Tenant       string
	Priority     uint8
	MemoryBytes  uint64   // of the spec, for the quota
	StorageBytes uint64   // of all volumes, for the quota
	Ticket       wire.PID // under which it waited; 0: it did not
	By           wire.PID // the ticket of the vNode for which it is evicted
	Never        bool     // aborted, and would be in an empty cluster too: its vNode waits no more
	Apart        apart.Rule
	Restart      bool   // it goes on from a checkpoint if its pComponent is lost; the last of its volumes has them
	Restarting   bool   // it is being brought back at Node
	LostMS       int64  // when it was found lost, while it is being brought back
	Restarts     uint32 // that succeeded
	NoPlace      string // why no pComponent could take it, when that was tried last
	GaveUp       string // why it does not go on, of one that could have
}

// Groups are its memberships of groups.
func (p *Process) Groups() []apart.Member { return apart.Process(p.Apart, p.PID) }

// Refusal is why a vNode was aborted.
type Refusal struct {
	PID  wire.PID
	Kind wire.Kind
	Text string
}

// used is what the processes take of one pComponent.
type used struct {
	threads uint64
	lines   uint64
}

// State is the replicated state. Make one with New.
type State struct {
	members   *membership.Table
	nextPID   wire.PID
	processes []Process            // ascending by PID
	open      int                  // derived: processes that are not Running
	refused   []Refusal            // the last ones that ended, oldest first, at most MaxRefused
	used      map[wire.NodeID]used // derived; only looked up
	queue     []Waiting            // in the order of their turns
	settled   []Settled            // the tickets that ended last, oldest first, at most MaxRefused
	settings  admission.Settings
	usage     map[string]admission.Amount // derived: of each tenant; only looked up
	room      uint64                      // grows when there may be room for who waits
	counts    Counts
	turn      wire.NodeID // the pComponent that round_robin chose last; empty if none
	sessions  *dedup.Table[Result]
	clockMS   int64 // the latest of any command
	events    *events.Log
	moves     *movelist.List
	note      events.Event  // why the decision at hand was made so, kept for its memory
	apart     *apart.Index  // derived: where the processes of groups are, or are on their way to
	set       placement.Set // derived: the pComponents as candidates
}

// New returns the state of a manager that has seen no command.
func New() *State {
	s := &State{
		members: membership.NewTable(wire.RoleCompute), nextPID: 1,
		used: map[wire.NodeID]used{}, usage: map[string]admission.Amount{}, sessions: dedup.NewTable[Result](), events: &events.Log{}, moves: movelist.New(wire.GPM),
		apart: apart.New(),
	}
	s.set.Index()
	return s
}

// Apply carries out a command once: the same (client, sequence) again changes nothing and has the same result.
func (s *State) Apply(cmd Command) Result {
	return s.sessions.Once(cmd.Client, cmd.Seq, failed, func() Result { return s.apply(cmd) })
}

func (s *State) apply(cmd Command) Result {
	s.clockMS = max(s.clockMS, cmd.Stamp.ClockMS)
	s.members.See(cmd.Stamp.Live, s.refresh)
	q := cmd.Request
	switch q.Op {
	case OpRegister:
		return s.register(q.Member, cmd)
	case OpAdmit:
		return s.admit(q.Spec, cmd)
	case OpRelease:
		return s.release(q.PID, cmd)
	case OpChanges:
		return s.changes(q.Changes, cmd)
	case OpSettings:
		return s.configure(q.Settings, cmd)
	case OpQueue:
		return s.look(cmd)
	case OpPreempt:
		return s.preempt(q.PID, q.Victims, cmd)
	case OpRestart:
		return s.restart(q.PID, q.Epoch, cmd)
	case OpRestarted:
		return s.restarted(q.PID, q.Epoch, q.Failed, q.Text, cmd)
	case OpDead:
		return s.dead(cmd)
	case OpBegin:
		return s.beginMoves(cmd)
	case OpEnd:
		return s.endMoves(cmd)
	case OpNode:
		return s.node(cmd)
	case OpNote:
		return s.noted(cmd)
	}
	return failed(wire.Errorf(wire.KindBadRequest, "gpm operation %d, which there is not", q.Op))
}

func (s *State) register(m wire.Member, cmd Command) Result {
	epoch, err := s.members.Register(m)
	if err != nil {
		return failed(err)
	}
	s.room++
	s.lose(m.ID) // what ran under its older epoch is gone
	s.events.Joined(cmd.Stamp.NowMS, m.ID, epoch)
	return Result{Epoch: epoch}
}

// admit enters an intent, or has the vNode wait if it does not fit and wants that.
func (s *State) admit(spec admission.VNodeSpec, cmd Command) Result {
	if err := spec.Check(); err != nil {
		return failed(err)
	}
	spec = spec.Complete()
	if err := s.settings.Quota(spec.Tenant).Refuses(spec.Tenant, admission.Amount{}, spec.Wants()); err != nil {
		s.tellRefused(events.Refused, 0, spec, err, cmd) // it would never fit
		return failed(err)
	}
	if spec.IfFull != admission.Refuse {
		if err := s.never(&spec); err != nil {
			s.tellRefused(events.Refused, 0, spec, err, cmd)
			return failed(err)
		}
		return s.wait(spec, cmd)
	}
	p, err := s.place(spec, 0, cmd)
	if err != nil {
		if wire.KindOf(err) == wire.KindNoRoom {
			s.tellRefused(events.Refused, 0, spec, err, cmd)
		}
		return failed(err)
	}
	return Result{VNode: s.Placement(p)}
}

// place enters an intent: threads and lines are held from now on. Ticket is that of a vNode in the queue, 0 for another.
func (s *State) place(spec admission.VNodeSpec, ticket wire.PID, cmd Command) (Process, error) {
	if len(s.processes) >= MaxProcesses || s.nextPID >= maxPID {
		return Process{}, wire.Errorf(wire.KindNoRoom, "process table: %d processes, at most %d", len(s.processes), MaxProcesses)
	}
	if _, err := s.held(&spec, cmp.Or(ticket, s.nextPID)); err != nil {
		return Process{}, err
	}
	m, err := s.choose(spec, cmd)
	if err != nil {
		return Process{}, err
	}
	p := Process{
		PID: s.nextPID, Epoch: 1, Name: spec.Name, Threads: spec.Threads, ExCacheLines: spec.ExCacheLines,
		Node: m.ID, NodeEpoch: m.Epoch, PlacedMS: cmd.Stamp.NowMS,
		Phase: admission.Intent, Coordinator: cmd.Coordinator, Wants: uint32(len(spec.Volumes)),
		Tenant: spec.Tenant, Priority: spec.Priority, MemoryBytes: spec.MemoryBytes, StorageBytes: spec.StorageBytes(), Ticket: ticket,
		Apart: spec.Rule(), Restart: spec.Restart,
	}
	if ticket == 0 {
		s.events.Append(s.placedEvent(&p, cmd)) // of one that may wait it is told when it is admitted
	}
	s.nextPID++
	s.processes = append(s.processes, p) // PIDs only grow
	s.open++
	s.take(&p, 1)
	s.charge(&p)
	s.pass(&p)
	return p, nil
}

// placedEvent tells where a process was placed just now. It shares s.note's candidates.
func (s *State) placedEvent(p *Process, cmd Command) events.Event {
	e := s.note
	e.MS, e.Kind, e.PID, e.Node, e.Epoch = cmd.Stamp.NowMS, events.PlacedProcess, p.PID, p.Node, p.NodeEpoch
	return e
}

// choose returns the pComponent for a vNode, and notes why.
func (s *State) choose(spec admission.VNodeSpec, cmd Command) (wire.Member, error) {
	policy, err := placement.New(cmd.Stamp.Policy)
	if err != nil {
		return wire.Member{}, err
	}
	ms := apart.Process(spec.Rule(), s.nextPID)
	ask := placement.Ask{Need: spec.ExCacheLines, Threads: uint64(spec.Threads), Key: placement.Hash(uint64(s.nextPID)), Chance: cmd.Stamp.Chance, After: s.turn}
	ask.Avoid, ask.AvoidRacks = s.apart.Avoid(ms)
	i := placement.Choose(policy, ask, &s.set)
	if i < 0 {
		return wire.Member{}, s.lacks(spec, ms)
	}
	s.note.Explain(policy, ask, &s.set, i)
	m, _ := s.members.Get(s.set.ID(i))
	if policy.Rotates {
		s.turn = m.ID
	}
	return m, nil
}

// lacks says in an error what a vNode that fits at no pComponent lacks, and where.
func (s *State) lacks(spec admission.VNodeSpec, ms []apart.Member) error {
	var lines, threads, near membership.Refusals
	s.refuses(spec, ms, &lines, &threads, &near)
	var said []string
	if near.Any() {
		said = append(said, fmt.Sprintf("apart: vNode %q is apart from %s: %s", spec.Name, apart.Groups(ms), near.String()))
	}
	if text := threads.With("raise manager.threads_per_core or pcomponent.cores"); threads.Any() {
		said = append(said, fmt.Sprintf("threads: vNode %q wants %d at one pComponent: %s", spec.Name, spec.Threads, text))
	}
	if lines.Any() || len(said) == 0 {
		said = append(said, fmt.Sprintf("excache_lines: vNode %q wants %d at one pComponent: %s", spec.Name, spec.ExCacheLines, lines.With("raise pcomponent.excache_bytes")))
	}
	return wire.Errorf(wire.KindNoRoom, "%s", strings.Join(said, "; "))
}

// Placement returns where a process is, with what is decided of its home and volumes.
func (s *State) Placement(p Process) admission.Placement {
	m, _ := s.members.Get(p.Node)
	return admission.Placement{PID: p.PID, Epoch: p.Epoch, Node: p.Node, Addr: m.Addr, Home: p.Home, Volumes: p.Volumes}
}

// refuses says why each pComponent is none for a vNode: in near those that it is apart from, in threads those without room for
// its threads, in lines all others.
func (s *State) refuses(spec admission.VNodeSpec, ms []apart.Member, lines, threads, near *membership.Refusals) {
	members := s.members.View()
	for i := range members {
		m := &members[i]
		if !s.members.Placeable(i) {
			lines.Closed(m.ID, s.members.StateAt(i))
			continue
		}
		if _, ok := s.members.Heard(i); !ok {
			lines.Silent(m.ID)
			continue
		}
		if why := s.apart.Why(ms, m.ID, m.Rack); why != "" {
			near.Apart(m.ID, why)
			continue
		}
		c := s.candidate(i)
		if c.Room < spec.ExCacheLines {
			lines.Short(m.ID, spec.ExCacheLines, c.Room, c.Capacity)
		}
		if c.Spare < uint64(spec.Threads) {
			threads.Short(m.ID, uint64(spec.Threads), c.Spare, s.settings.ThreadsPerCore*uint64(m.Capacity.Cores))
		}
	}
}

// candidate makes the candidate of member i.
func (s *State) candidate(i int) placement.Candidate {
	m := &s.members.View()[i]
	u, capacity, spare := s.used[m.ID], m.Capacity.ExCacheLines, uint64(math.MaxUint64)
	if bound := s.settings.ThreadsPerCore * uint64(m.Capacity.Cores); bound > 0 {
		spare = bound - min(bound, u.threads)
	}
	traffic, heard := s.members.Heard(i)
	return placement.Candidate{
		ID: m.ID, Rack: m.Rack, Room: capacity - u.lines, Reserved: u.lines, Capacity: capacity, Threads: u.threads, Traffic: traffic, Spare: spare,
		Closed: !heard || !s.members.Placeable(i),
	}
}

// refresh brings the candidate of a pComponent in line with the books.
func (s *State) refresh(id wire.NodeID) {
	if i, ok := s.members.Find(id); ok {
		s.set.Put(s.candidate(i))
	} else {
		s.set.Remove(id)
	}
}

// fill makes the candidates anew.
func (s *State) fill() {
	s.set.Reset()
	for i := range s.members.View() {
		s.set.Add(s.candidate(i))
	}
}

// take books what a process takes of its pComponent, as long as that is registered as then: n times, which is 1 or the negative.
func (s *State) take(p *Process, n uint64) {
	s.book(p.Node, p.NodeEpoch, uint64(p.Threads), p.ExCacheLines, p.Groups(), n)
}

func (s *State) book(node wire.NodeID, epoch wire.Epoch, threads, lines uint64, ms []apart.Member, n uint64) {
	if !s.members.Current(node, epoch) {
		return
	}
	u := s.used[node]
	s.used[node] = used{u.threads + n*threads, u.lines + n*lines}
	if len(ms) > 0 {
		m, _ := s.members.Get(node)
		s.apart.Add(ms, node, m.Rack, n)
	}
	s.refresh(node)
}

// lose notes that nothing is at a pComponent any more.
func (s *State) lose(id wire.NodeID) {
	delete(s.used, id)
	s.apart.Forget(id)
	s.refresh(id)
}

func (s *State) find(pid wire.PID) (int, bool) {
	return slices.BinarySearchFunc(s.processes, pid, func(p Process, pid wire.PID) int { return cmp.Compare(p.PID, pid) })
}

// release begins the end of a vNode whose admission is decided, or ends its wait; pid may be a ticket.
func (s *State) release(pid wire.PID, cmd Command) Result {
	i, ok := s.find(pid)
	if !ok {
		became, known, err := s.cancel(pid, cmd)
		switch {
		case err != nil:
			return failed(err)
		case became != 0:
			return s.release(became, cmd)
		case known:
			return Result{}
		}
		if o := s.Outcome(pid); o.Kind != wire.KindNone {
			return failed(wire.Errorf(wire.KindNotFound, "process %d is not placed: %s", pid, o.Text))
		}
		return failed(wire.Errorf(wire.KindNotFound, "process %d is not placed", pid))
	}
	p := &s.processes[i]
	switch p.Phase {
	case admission.Intent:
		return failed(wire.Errorf(wire.KindBusy, "process %d is being admitted: wait for its answer", pid))
	case admission.Running:
		s.open++
	}
	p.Phase = admission.Leaving
	if !s.members.Current(p.Node, p.NodeEpoch) {
		p.Kind, p.Text = wire.KindFailed, s.fate(p)
		s.events.Append(events.Event{MS: cmd.Stamp.NowMS, Kind: events.Lost, PID: pid, Node: p.Node, Epoch: p.NodeEpoch, Reason: p.Text})
	}
	return Result{VNode: s.Placement(*p)}
}

func (s *State) changes(changes []admission.Change, cmd Command) Result {
	if len(changes) > admission.MaxBatch {
		return failed(wire.Errorf(wire.KindBadRequest, "%d changes, at most %d", len(changes), admission.MaxBatch))
	}
	res := Result{Outcomes: make([]admission.Outcome, 0, len(changes))}
	for _, m := range changes {
		s.change(m, cmd)
		res.Outcomes = append(res.Outcomes, s.Outcome(m.PID))
	}
	return res
}

// change carries out one compare-and-set on a phase.
func (s *State) change(m admission.Change, cmd Command) {
	nowMS := cmd.Stamp.NowMS
	i, ok := s.find(m.PID)
	if !ok {
		return
	}
	p := &s.processes[i]
	switch {
	case m.Verb == admission.DecideCommit && p.Phase == admission.Intent && !s.members.Current(p.Node, p.NodeEpoch):
		p.Phase, p.Kind, p.Text = admission.Leaving, wire.KindUnavailable, s.members.Fate(p.Node, p.NodeEpoch)+" before the process was admitted"
		s.events.Append(events.Event{MS: nowMS, Kind: events.Refused, PID: p.PID, Node: p.Node, Reason: p.Text})
	case m.Verb == admission.DecideCommit && p.Phase == admission.Intent:
		p.Phase, p.Home, p.Volumes = admission.Committed, m.Home, m.Volumes
		s.committed(p, nowMS)
		s.events.Append(events.Event{MS: nowMS, Kind: events.Admitted, PID: p.PID, Node: p.Node, Epoch: p.NodeEpoch})
	case m.Verb == admission.DecideAbort && p.Phase == admission.Intent:
		p.Phase, p.Kind, p.Text, p.Never = admission.Leaving, m.Kind, m.Text[:min(len(m.Text), maxTextBytes)], m.Never
		s.abort(p, nowMS)
	case m.Verb == admission.Ask && p.Phase == admission.Intent:
		p.Phase, p.Kind, p.Text = admission.Leaving, wire.KindUnavailable, "a participant waited too long for the decision"
		s.abort(p, nowMS)
	case m.Verb == admission.EndCommit && p.Phase == admission.Committed:
		p.Phase = admission.Running
		s.open--
	case m.Verb == admission.EndFree && p.Phase == admission.Leaving:
		if p.Kind == wire.KindNone {
			s.events.Append(events.Event{MS: nowMS, Kind: events.Released, PID: p.PID, Node: p.Node})
		}
		s.remove(i, cmd)
	case m.Verb == admission.Evicted && p.Phase == admission.Evicting:
		p.Phase = admission.Leaving
	}
}

// abort tells that an intent came to nothing. If it was an attempt of a vNode that waits, that is not refused by it.
func (s *State) abort(p *Process, nowMS int64) {
	s.uncount(p)
	if _, waits := s.waiting(p.Ticket); !waits {
		s.counts.refuse(p.Text)
		s.events.Append(events.Event{MS: nowMS, Kind: events.Refused, PID: p.PID, Node: p.Node, Reason: p.Text})
	}
}

// remove forgets a process; why it was refused, if it was, is remembered a while.
func (s *State) remove(i int, cmd Command) {
	p := s.processes[i]
	s.take(&p, less)
	if p.Kind != wire.KindNone {
		s.refused = append(s.refused, Refusal{p.PID, p.Kind, p.Text})
		if len(s.refused) > MaxRefused {
			s.refused = slices.Delete(s.refused, 0, 1)
		}
	}
	s.processes = slices.Delete(s.processes, i, i+1)
	s.open--
	s.credit(&p)
	s.aborted(&p, cmd)
	if p.Kind == wire.KindNone || p.Home.Node != "" {
		s.room++ // not after an abort: two that do not fit would try in turns without end
	}
}

// Outcome returns the phase of a process, and why it was refused as far as that is remembered.
func (s *State) Outcome(pid wire.PID) admission.Outcome {
	if i, ok := s.find(pid); ok {
		p := s.processes[i]
		return admission.Outcome{PID: pid, Phase: p.Phase, Kind: p.Kind, Text: p.Text}
	}
	for i := len(s.refused) - 1; i >= 0; i-- {
		if r := s.refused[i]; r.PID == pid {
			return admission.Outcome{PID: pid, Kind: r.Kind, Text: r.Text}
		}
	}
	return admission.Outcome{PID: pid}
}

// Open returns at most limit of the transactions that are not ended, ascending by PID.
func (s *State) Open(limit int) []admission.Open {
	limit = min(limit, s.open)
	out := make([]admission.Open, 0, limit)
	for i := 0; i < len(s.processes) && len(out) < limit; i++ {
		if s.processes[i].Phase != admission.Running {
			out = append(out, s.Transaction(s.processes[i]))
		}
	}
	return out
}

// Transaction returns a process as its coordinator sees it.
func (s *State) Transaction(p Process) admission.Open {
	return admission.Open{
		Phase: p.Phase, Coordinator: p.Coordinator, WantsVolumes: p.Wants > 0, Kind: p.Kind, Text: p.Text, Placement: s.Placement(p),
	}
}

// Members returns the pComponents, ascending by id.
func (s *State) Members() []wire.Member { return s.members.Members() }

// AddrOf returns the address of the pComponent of a process that runs, empty if it does not or is lost.
func (s *State) AddrOf(pid wire.PID) string {
	i, ok := s.find(pid)
	if !ok || s.processes[i].Phase != admission.Running {
		return ""
	}
	e, ok := s.members.Entry(s.processes[i].Node)
	if !ok || e.Dead || e.Member.Epoch != s.processes[i].NodeEpoch {
		return ""
	}
	return e.Member.Addr
}

// Processes returns the processes, whatever their phase, ascending by PID; pid selects one, 0 all.
func (s *State) Processes(pid wire.PID) []Process {
	if pid == 0 {
		return append([]Process{}, s.processes...) // never nil: equal states give equal snapshots
	}
	i, ok := s.find(pid)
	if !ok {
		return nil
	}
	return []Process{s.processes[i]}
}

// CheckInvariants returns the first broken rule: order, capacity, and counts that do not fit the processes.
func (s *State) CheckInvariants() error {
	if err := s.members.CheckInvariants(); err != nil {
		return err
	}
	if err := s.sessions.CheckInvariants(); err != nil {
		return err
	}
	if err := s.events.CheckInvariants(); err != nil {
		return err
	}
	if s.nextPID == 0 || s.nextPID > maxPID {
		return fmt.Errorf("gpm: the next process is %d, want 1 to %d", s.nextPID, uint64(maxPID))
	}
	if len(s.processes) > MaxProcesses {
		return fmt.Errorf("gpm: %d processes, at most %d", len(s.processes), MaxProcesses)
	}
	if len(s.refused) > MaxRefused {
		return fmt.Errorf("gpm: %d refusals, at most %d", len(s.refused), MaxRefused)
	}
	if len(s.turn) > membership.MaxIDBytes {
		return fmt.Errorf("gpm: the last turn was that of an id of %d bytes, at most %d", len(s.turn), membership.MaxIDBytes)
	}
	if err := s.checkDerived(); err != nil {
		return err
	}
	sums, open := map[wire.NodeID]used{}, 0
	for i, p := range s.processes {
		m, ok := s.members.Get(p.Node)
		if p.Phase != admission.Running {
			open++
		}
		switch {
		case i > 0 && s.processes[i-1].PID >= p.PID:
			return fmt.Errorf("gpm: process %d is out of order", p.PID)
		case p.PID == 0 || p.PID >= s.nextPID:
			return fmt.Errorf("gpm: process %d, the next is %d", p.PID, s.nextPID)
		case !ok || p.NodeEpoch > m.Epoch || p.NodeEpoch == lostInMove && p.Phase < admission.Running:
			return fmt.Errorf("gpm: process %d is at %q under epoch %d, which never was", p.PID, p.Node, p.NodeEpoch)
		case p.Phase < admission.Intent || p.Phase > admission.Evicting || p.Phase == admission.Intent && (p.Kind != wire.KindNone || p.Home.Node != "") ||
			(p.Phase == admission.Committed || p.Phase == admission.Running) && p.Kind != wire.KindNone:
			return fmt.Errorf("gpm: process %d in phase %d: kind %v, home %q", p.PID, p.Phase, p.Kind, p.Home.Node)
		case s.checkRestart(&p) != nil:
			return s.checkRestart(&p)
		case p.Wants > admission.MaxVolumes || len(p.Text) > maxTextBytes:
			return fmt.Errorf("gpm: process %d wants %d volumes, text of %d bytes", p.PID, p.Wants, len(p.Text))
		case p.Apart.CheckQualified() != nil:
			return fmt.Errorf("gpm: process %d: %w", p.PID, p.Apart.CheckQualified())
		case p.Epoch == 0 || p.Threads == 0 || p.ExCacheLines == 0 || len(p.Name) > admission.MaxNameBytes:
			return fmt.Errorf("gpm: process %d: epoch %d, %d threads, %d lines, name of %d bytes", p.PID, p.Epoch, p.Threads, p.ExCacheLines, len(p.Name))
		case !s.members.Current(p.Node, p.NodeEpoch):
			continue
		}
		u := sums[p.Node]
		if p.ExCacheLines > m.Capacity.ExCacheLines-u.lines {
			return fmt.Errorf("gpm: the processes at %q take more than its %d lines", p.Node, m.Capacity.ExCacheLines)
		}
		sums[p.Node] = used{u.threads + uint64(p.Threads), u.lines + p.ExCacheLines}
	}
	if err := s.checkQueue(); err != nil {
		return err
	}
	if err := s.checkMoves(sums); err != nil {
		return err
	}
	if open != s.open {
		return fmt.Errorf("gpm: counts %d open transactions, has %d", s.open, open)
	}
	for _, m := range s.members.Members() {
		if s.used[m.ID] != sums[m.ID] {
			return fmt.Errorf("gpm: %q counts %+v, its processes take %+v", m.ID, s.used[m.ID], sums[m.ID])
		}
	}
	return nil
}

// checkDerived returns how the candidates and the index of groups differ from what the books say, and who is not apart.
func (s *State) checkDerived() error {
	is := *s
	is.set, is.used, is.apart = placement.Set{}, map[wire.NodeID]used{}, apart.New()
	is.derive()
	if err := s.set.Same(&is.set); err != nil {
		return fmt.Errorf("gpm: %w", err)
	}
	if err := s.apart.Same(is.apart); err != nil {
		return fmt.Errorf("gpm: %w", err)
	}
	if err := s.apart.Check(); err != nil {
		return fmt.Errorf("gpm: %w", err)
	}
	return nil
}

// derive makes what processes and moves take, where groups are, and the candidates.
func (s *State) derive() {
	s.fill()
	for i := range s.processes {
		s.take(&s.processes[i], 1)
	}
	list := s.moves.Moves()
	for i := range list {
		if m := &list[i]; !m.Ended() {
			s.bookMove(m, 1)
		}
	}
}

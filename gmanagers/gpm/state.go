package gpm

import (
	"cmp"
	"fmt"
	"slices"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/internal/dedup"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// MaxProcesses bounds the vNodes that are there at a time, whatever their phase.
const MaxProcesses = 1 << 16

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
	Kind         wire.Kind          // why it was aborted
	Text         string
}

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
	turn      wire.NodeID          // the pComponent that round_robin chose last; empty if none
	sessions  *dedup.Table[Result]
	events    *events.Log
	moves     *movelist.List
	note      events.Event  // why the decision at hand was made so, kept for its memory
	set       placement.Set // of the decision at hand, kept for its memory
}

// New returns the state of a manager that has seen no command.
func New() *State {
	return &State{
		members: membership.NewTable(wire.RoleCompute), nextPID: 1,
		used: map[wire.NodeID]used{}, sessions: dedup.NewTable[Result](), events: &events.Log{}, moves: movelist.New(wire.GPM),
	}
}

// Apply carries out a command once: the same (client, sequence) again changes nothing and has the same result.
func (s *State) Apply(cmd Command) Result {
	return s.sessions.Once(cmd.Client, cmd.Seq, failed, func() Result { return s.apply(cmd) })
}

func (s *State) apply(cmd Command) Result {
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
	delete(s.used, m.ID) // what ran under its older epoch is gone
	s.events.Joined(cmd.Stamp.NowMS, m.ID, epoch)
	return Result{Epoch: epoch}
}

// admit enters an intent: threads and lines are held from now on.
func (s *State) admit(spec admission.VNodeSpec, cmd Command) Result {
	if err := spec.Check(); err != nil {
		return failed(err)
	}
	if len(s.processes) >= MaxProcesses || s.nextPID >= maxPID {
		return failed(wire.Errorf(wire.KindNoRoom, "process table: %d processes, at most %d", len(s.processes), MaxProcesses))
	}
	policy, err := placement.New(cmd.Stamp.Policy)
	if err != nil {
		return failed(err)
	}
	s.candidates(spec, cmd.Stamp.Live, nil)
	ask := placement.Ask{Need: spec.ExCacheLines, Key: placement.Hash(uint64(s.nextPID)), Chance: cmd.Stamp.Chance, After: s.turn}
	i := placement.Choose(policy, ask, &s.set)
	if i < 0 {
		var why membership.Refusals
		s.candidates(spec, cmd.Stamp.Live, &why)
		err := wire.Errorf(wire.KindNoRoom, "excache_lines: vNode %q wants %d at one pComponent: %s", spec.Name, spec.ExCacheLines, why.With("raise pcomponent.excache_bytes"))
		s.events.Append(events.Event{MS: cmd.Stamp.NowMS, Kind: events.Refused, Reason: membership.TextOf(err)})
		return failed(err)
	}
	m, _ := s.members.Get(s.set.ID(i))
	s.note.Explain(policy, ask, &s.set, i)
	e := s.note
	e.MS, e.Kind, e.PID, e.Node, e.Epoch = cmd.Stamp.NowMS, events.PlacedProcess, s.nextPID, m.ID, m.Epoch
	s.events.Append(e)
	if policy.Rotates {
		s.turn = m.ID
	}
	p := Process{
		PID: s.nextPID, Epoch: 1, Name: spec.Name, Threads: spec.Threads, ExCacheLines: spec.ExCacheLines,
		Node: m.ID, NodeEpoch: m.Epoch, PlacedMS: cmd.Stamp.NowMS,
		Phase: admission.Intent, Coordinator: cmd.Coordinator, Wants: uint32(len(spec.Volumes)),
	}
	s.nextPID++
	s.processes = append(s.processes, p) // PIDs only grow
	s.open++
	u := s.used[m.ID]
	s.used[m.ID] = used{u.threads + uint64(p.Threads), u.lines + p.ExCacheLines}
	return Result{VNode: s.Placement(p)}
}

// Placement returns where a process is, with what is decided of its home and volumes.
func (s *State) Placement(p Process) admission.Placement {
	m, _ := s.members.Get(p.Node)
	return admission.Placement{PID: p.PID, Epoch: p.Epoch, Node: p.Node, Addr: m.Addr, Home: p.Home, Volumes: p.Volumes}
}

// candidates fills s.set with those of live that are registered under their epoch, and why, if it is not nil, with what
// keeps the other members and those without room for spec from being chosen.
func (s *State) candidates(spec admission.VNodeSpec, live []membership.Live, why *membership.Refusals) {
	traffic := membership.Traffic(live)
	s.set.Reset()
	members := s.members.View()
	for i := range members {
		m := &members[i]
		t, ok := traffic.Of(m)
		if !s.members.Placeable(i) {
			why.Closed(m.ID, s.members.StateAt(i))
			continue
		}
		if !ok {
			why.Silent(m.ID)
			continue
		}
		u, capacity := s.used[m.ID], m.Capacity.ExCacheLines
		if capacity-u.lines < spec.ExCacheLines {
			why.Short(m.ID, spec.ExCacheLines, capacity-u.lines, capacity)
		}
		s.set.Add(placement.Candidate{
			ID: m.ID, Rack: m.Rack, Room: capacity - u.lines, Reserved: u.lines, Capacity: capacity, Threads: u.threads, Traffic: t,
		})
	}
}

func (s *State) find(pid wire.PID) (int, bool) {
	return slices.BinarySearchFunc(s.processes, pid, func(p Process, pid wire.PID) int { return cmp.Compare(p.PID, pid) })
}

// release begins the end of a vNode whose admission is decided.
func (s *State) release(pid wire.PID, cmd Command) Result {
	i, ok := s.find(pid)
	if !ok {
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
		p.Kind, p.Text = wire.KindFailed, "lost with "+string(p.Node)+": "+s.members.Fate(p.Node, p.NodeEpoch)
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
		s.change(m, cmd.Stamp.NowMS)
		res.Outcomes = append(res.Outcomes, s.Outcome(m.PID))
	}
	return res
}

// change carries out one compare-and-set on a phase.
func (s *State) change(m admission.Change, nowMS int64) {
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
		s.events.Append(events.Event{MS: nowMS, Kind: events.Admitted, PID: p.PID, Node: p.Node, Epoch: p.NodeEpoch})
	case m.Verb == admission.DecideAbort && p.Phase == admission.Intent:
		p.Phase, p.Kind, p.Text = admission.Leaving, m.Kind, m.Text[:min(len(m.Text), maxTextBytes)]
		s.events.Append(events.Event{MS: nowMS, Kind: events.Refused, PID: p.PID, Node: p.Node, Reason: p.Text})
	case m.Verb == admission.Ask && p.Phase == admission.Intent:
		p.Phase, p.Kind, p.Text = admission.Leaving, wire.KindUnavailable, "a participant waited too long for the decision"
		s.events.Append(events.Event{MS: nowMS, Kind: events.Refused, PID: p.PID, Node: p.Node, Reason: p.Text})
	case m.Verb == admission.EndCommit && p.Phase == admission.Committed:
		p.Phase = admission.Running
		s.open--
	case m.Verb == admission.EndFree && p.Phase == admission.Leaving:
		if p.Kind == wire.KindNone {
			s.events.Append(events.Event{MS: nowMS, Kind: events.Released, PID: p.PID, Node: p.Node})
		}
		s.remove(i)
	}
}

// remove forgets a process; why it was refused, if it was, is remembered a while.
func (s *State) remove(i int) {
	p := s.processes[i]
	if s.members.Current(p.Node, p.NodeEpoch) {
		u := s.used[p.Node]
		s.used[p.Node] = used{u.threads - uint64(p.Threads), u.lines - p.ExCacheLines}
	}
	if p.Kind != wire.KindNone {
		s.refused = append(s.refused, Refusal{p.PID, p.Kind, p.Text})
		if len(s.refused) > MaxRefused {
			s.refused = slices.Delete(s.refused, 0, 1)
		}
	}
	s.processes = slices.Delete(s.processes, i, i+1)
	s.open--
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
		case p.Phase < admission.Intent || p.Phase > admission.Leaving || p.Phase == admission.Intent && (p.Kind != wire.KindNone || p.Home.Node != "") ||
			(p.Phase == admission.Committed || p.Phase == admission.Running) && p.Kind != wire.KindNone:
			return fmt.Errorf("gpm: process %d in phase %d: kind %v, home %q", p.PID, p.Phase, p.Kind, p.Home.Node)
		case p.Wants > admission.MaxVolumes || len(p.Text) > maxTextBytes:
			return fmt.Errorf("gpm: process %d wants %d volumes, text of %d bytes", p.PID, p.Wants, len(p.Text))
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

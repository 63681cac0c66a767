package gpm

import (
	"cmp"
	"fmt"
	"slices"

	"splitkernel/gmanagers/internal/dedup"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// MaxProcesses bounds the processes that are placed at a time.
const MaxProcesses = 1 << 16

// maxPID bounds process ids: at a million processes a second they last 290 000 years.
const maxPID wire.PID = 1 << 63

// Process is a placed process, as listings and snapshots hold it.
type Process struct {
	PID          wire.PID
	Epoch        wire.Epoch
	Name         string
	Threads      uint32
	ExCacheLines uint64
	Node         wire.NodeID
	NodeEpoch    wire.Epoch // of the pComponent when the process was placed
	PlacedMS     int64      // ms since 1970 by the clock of the leader that placed it
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
	used      map[wire.NodeID]used // derived; only looked up
	turn      wire.NodeID          // the pComponent that round_robin chose last; empty if none
	sessions  *dedup.Table[Result]
	set       placement.Set // of the decision at hand, kept for its memory
}

// New returns the state of a manager that has seen no command.
func New() *State {
	return &State{
		members: membership.NewTable(wire.RoleCompute), nextPID: 1,
		used: map[wire.NodeID]used{}, sessions: dedup.NewTable[Result](),
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
		return s.register(q.Member)
	case OpPlace:
		return s.place(q.Spec, cmd.Stamp)
	case OpEnd:
		return s.end(q.PID)
	}
	return failed(wire.Errorf(wire.KindBadRequest, "gpm operation %d, want 1 to 3", q.Op))
}

func (s *State) register(m wire.Member) Result {
	epoch, err := s.members.Register(m)
	if err != nil {
		return failed(err)
	}
	delete(s.used, m.ID) // what ran under its older epoch is gone
	return Result{Epoch: epoch}
}

func (s *State) place(spec ProcessSpec, stamp membership.Stamp) Result {
	switch {
	case len(spec.Name) > MaxNameBytes:
		return failed(wire.Errorf(wire.KindBadRequest, "process name of %d bytes, want at most %d", len(spec.Name), MaxNameBytes))
	case spec.Threads == 0:
		return failed(wire.Errorf(wire.KindBadRequest, "process %q: threads: 0, want at least 1", spec.Name))
	case spec.ExCacheLines == 0:
		return failed(wire.Errorf(wire.KindBadRequest, "process %q: excache_lines: 0, want at least 1", spec.Name))
	case len(s.processes) >= MaxProcesses || s.nextPID >= maxPID:
		return failed(wire.Errorf(wire.KindNoRoom, "process table: %d processes, at most %d", len(s.processes), MaxProcesses))
	}
	policy, err := placement.New(stamp.Policy)
	if err != nil {
		return failed(err)
	}
	s.candidates(spec, stamp.Live, nil)
	i := placement.Choose(policy, placement.Ask{
		Need: spec.ExCacheLines, Key: placement.Hash(uint64(s.nextPID)), Chance: stamp.Chance, After: s.turn,
	}, &s.set)
	if i < 0 {
		var why membership.Refusals
		s.candidates(spec, stamp.Live, &why)
		return failed(wire.Errorf(wire.KindNoRoom, "excache_lines: process %q wants %d at one pComponent: %s", spec.Name, spec.ExCacheLines, why.With("raise pcomponent.excache_bytes")))
	}
	m, _ := s.members.Get(s.set.ID(i))
	if policy.Rotates {
		s.turn = m.ID
	}
	p := Process{
		PID: s.nextPID, Epoch: 1, Name: spec.Name, Threads: spec.Threads, ExCacheLines: spec.ExCacheLines,
		Node: m.ID, NodeEpoch: m.Epoch, PlacedMS: stamp.NowMS,
	}
	s.nextPID++
	s.processes = append(s.processes, p) // PIDs only grow
	u := s.used[m.ID]
	s.used[m.ID] = used{u.threads + uint64(p.Threads), u.lines + p.ExCacheLines}
	return Result{Process: ProcessPlacement{PID: p.PID, Epoch: p.Epoch, Node: m.ID, Addr: m.Addr}}
}

// candidates fills s.set with those of live that are registered under their epoch, and why, if it is not nil, with what
// keeps the other members and those without room for spec from being chosen.
func (s *State) candidates(spec ProcessSpec, live []membership.Live, why *membership.Refusals) {
	traffic := membership.Traffic(live)
	s.set.Reset()
	members := s.members.View()
	for i := range members {
		m := &members[i]
		t, ok := traffic.Of(m)
		if !ok {
			why.Silent(m.ID)
			continue
		}
		u, capacity := s.used[m.ID], m.Capacity.ExCacheLines
		if capacity-u.lines < spec.ExCacheLines {
			why.Short(m.ID, capacity-u.lines, capacity)
		}
		s.set.Add(placement.Candidate{
			ID: m.ID, Rack: m.Rack, Room: capacity - u.lines, Reserved: u.lines, Capacity: capacity, Threads: u.threads, Traffic: t,
		})
	}
}

func (s *State) find(pid wire.PID) (int, bool) {
	return slices.BinarySearchFunc(s.processes, pid, func(p Process, pid wire.PID) int { return cmp.Compare(p.PID, pid) })
}

func (s *State) end(pid wire.PID) Result {
	i, ok := s.find(pid)
	if !ok {
		return failed(wire.Errorf(wire.KindNotFound, "process %d is not placed", pid))
	}
	p := s.processes[i]
	if s.members.Current(p.Node, p.NodeEpoch) {
		u := s.used[p.Node]
		s.used[p.Node] = used{u.threads - uint64(p.Threads), u.lines - p.ExCacheLines}
	}
	s.processes = slices.Delete(s.processes, i, i+1)
	return Result{}
}

// Members returns the pComponents, ascending by id.
func (s *State) Members() []wire.Member { return s.members.Members() }

// Processes returns the placed processes, ascending by PID; pid selects one, 0 all.
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
	if s.nextPID == 0 || s.nextPID > maxPID {
		return fmt.Errorf("gpm: the next process is %d, want 1 to %d", s.nextPID, uint64(maxPID))
	}
	if len(s.processes) > MaxProcesses {
		return fmt.Errorf("gpm: %d processes, at most %d", len(s.processes), MaxProcesses)
	}
	if len(s.turn) > membership.MaxIDBytes {
		return fmt.Errorf("gpm: the last turn was that of an id of %d bytes, at most %d", len(s.turn), membership.MaxIDBytes)
	}
	sums := map[wire.NodeID]used{}
	for i, p := range s.processes {
		m, ok := s.members.Get(p.Node)
		switch {
		case i > 0 && s.processes[i-1].PID >= p.PID:
			return fmt.Errorf("gpm: process %d is out of order", p.PID)
		case p.PID == 0 || p.PID >= s.nextPID:
			return fmt.Errorf("gpm: process %d, the next is %d", p.PID, s.nextPID)
		case !ok || p.NodeEpoch == 0 || p.NodeEpoch > m.Epoch:
			return fmt.Errorf("gpm: process %d is at %q under epoch %d, which never was", p.PID, p.Node, p.NodeEpoch)
		case p.Epoch == 0 || p.Threads == 0 || p.ExCacheLines == 0 || len(p.Name) > MaxNameBytes:
			return fmt.Errorf("gpm: process %d: epoch %d, %d threads, %d lines, name of %d bytes", p.PID, p.Epoch, p.Threads, p.ExCacheLines, len(p.Name))
		case p.NodeEpoch != m.Epoch:
			continue
		}
		u := sums[p.Node]
		if p.ExCacheLines > m.Capacity.ExCacheLines-u.lines {
			return fmt.Errorf("gpm: the processes at %q take more than its %d lines", p.Node, m.Capacity.ExCacheLines)
		}
		sums[p.Node] = used{u.threads + uint64(p.Threads), u.lines + p.ExCacheLines}
	}
	for _, m := range s.members.Members() {
		if s.used[m.ID] != sums[m.ID] {
			return fmt.Errorf("gpm: %q counts %+v, its processes take %+v", m.ID, s.used[m.ID], sums[m.ID])
		}
	}
	return nil
}

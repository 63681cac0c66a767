package gmm

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"

	"splitkernel/gmanagers/internal/dedup"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

const (
	// MaxProcesses bounds the processes that have a home at a time.
	MaxProcesses = 1 << 16
	// MaxRegions bounds the active vRegions of all processes together.
	MaxRegions = 1 << 18
	// MinOvercommit and MaxOvercommit bound Command.Overcommit, in thousandths.
	MinOvercommit = 1000
	MaxOvercommit = 1000_000
)

// Region is an active vRegion.
type Region struct {
	Region    wire.RegionNo
	Node      wire.NodeID
	NodeEpoch wire.Epoch // of the mComponent when it became owner
	Epoch     wire.Epoch // of the ownership: 1 at first, more after each move
}

// Process is a process with its home and its active vRegions, as listings and snapshots hold it.
type Process struct {
	PID       wire.PID
	Home      wire.NodeID
	HomeEpoch wire.Epoch // of the home
	NodeEpoch wire.Epoch // of the mComponent when it became the home
	PlacedMS  int64      // ms since 1970 by the clock of the leader that placed it
	Regions   []Region   // ascending by Region
}

// State is the replicated state. Make one with New.
type State struct {
	members     *membership.Table
	regionBytes uint64                 // 0 until the first mComponent registers
	processes   []*Process             // ascending by PID
	regions     int                    // derived: active vRegions, lost ones included
	homes       map[wire.NodeID]uint64 // derived: homes under the mComponent's present epoch; only looked up
	owned       map[wire.NodeID]uint64 // derived: vRegions under the owner's present epoch; only looked up
	homeTurn    wire.NodeID            // the mComponent that round_robin chose last for a home; empty if none
	ownerTurn   wire.NodeID            // the same for a vRegion
	sessions    *dedup.Table[Result]
	set         placement.Set // of the decision at hand, kept for its memory
}

// New returns the state of a manager that has seen no command.
func New() *State {
	return &State{members: membership.NewTable(wire.RoleMemory), owned: map[wire.NodeID]uint64{}, homes: map[wire.NodeID]uint64{}, sessions: dedup.NewTable[Result]()}
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
	case OpPlaceHome:
		return s.placeHome(q.PID, cmd)
	case OpActivate:
		return s.activate(q.PID, q.Region, cmd)
	case OpRelease:
		return s.release(q.PID)
	}
	return failed(wire.Errorf(wire.KindBadRequest, "gmm operation %d, want 1 to 4", q.Op))
}

func (s *State) register(m wire.Member) Result {
	if err := s.members.Check(m); err != nil {
		return failed(err)
	}
	_, again := s.members.Get(m.ID)
	alone := s.members.Len() == 0 || s.members.Len() == 1 && again
	if m.Capacity.RegionBytes != s.regionBytes && s.regionBytes != 0 && (!alone || len(s.processes) > 0) {
		return failed(wire.Errorf(wire.KindExists, "member %q: region_bytes: %d, the cluster's vRegions have %d", m.ID, m.Capacity.RegionBytes, s.regionBytes))
	}
	epoch, err := s.members.Register(m)
	if err != nil {
		return failed(err)
	}
	s.regionBytes = m.Capacity.RegionBytes
	delete(s.homes, m.ID)
	delete(s.owned, m.ID) // what it owned under its older epoch is lost
	return Result{Epoch: epoch}
}

// Room returns how many vRegions of regionBytes an mComponent of memoryBytes may own under an overcommit in thousandths.
func Room(memoryBytes, regionBytes, overcommit uint64) uint64 {
	hi, lo := bits.Mul64(memoryBytes, overcommit)
	if hi >= 1000 {
		hi, lo = 999, ^uint64(0) // more than 2^64 bytes: any bound serves, no cluster has it
	}
	room, _ := bits.Div64(hi, lo, 1000)
	return room / regionBytes
}

func (s *State) placeHome(pid wire.PID, cmd Command) Result {
	if pid == 0 {
		return failed(wire.Errorf(wire.KindBadRequest, "process id 0"))
	}
	i, ok := s.find(pid)
	if !ok {
		if len(s.processes) >= MaxProcesses {
			return failed(wire.Errorf(wire.KindNoRoom, "process table: %d processes, at most %d", len(s.processes), MaxProcesses))
		}
		m, err := s.choose(cmd, func() string { return fmt.Sprintf("a home for process %d", pid) }, placement.Hash(uint64(pid)), s.homes, &s.homeTurn)
		if err != nil {
			return failed(err)
		}
		p := &Process{PID: pid, Home: m.ID, HomeEpoch: 1, NodeEpoch: m.Epoch, PlacedMS: cmd.Stamp.NowMS, Regions: []Region{}}
		s.processes = slices.Insert(s.processes, i, p)
		s.homes[m.ID]++
	}
	p := s.processes[i]
	m, _ := s.members.Get(p.Home)
	if m.Epoch != p.NodeEpoch {
		return failed(lost(fmt.Sprintf("the home of process %d", pid), m, p.NodeEpoch))
	}
	return Result{Home: Home{Node: m.ID, Addr: m.Addr, Epoch: p.HomeEpoch, RegionBytes: s.regionBytes}}
}

// lost is the error of what was granted to an earlier incarnation of m.
func lost(what string, m wire.Member, epoch wire.Epoch) error {
	return wire.Errorf(wire.KindFailed, "%s was %s under epoch %d, which registered again as epoch %d without its pages", what, m.ID, epoch, m.Epoch)
}

func (s *State) activate(pid wire.PID, region wire.RegionNo, cmd Command) Result {
	i, ok := s.find(pid)
	if !ok {
		return failed(wire.Errorf(wire.KindNotFound, "process %d has no home: place it first", pid))
	}
	p := s.processes[i]
	j, ok := slices.BinarySearchFunc(p.Regions, region, func(r Region, no wire.RegionNo) int { return cmp.Compare(r.Region, no) })
	if !ok {
		if s.regions >= MaxRegions {
			return failed(wire.Errorf(wire.KindNoRoom, "vRegion table: %d active, at most %d", s.regions, MaxRegions))
		}
		m, err := s.choose(cmd, func() string { return fmt.Sprintf("vRegion %d of process %d", region, pid) },
			placement.Hash(uint64(pid), uint64(region)), nil, &s.ownerTurn)
		if err != nil {
			return failed(err)
		}
		p.Regions = slices.Insert(p.Regions, j, Region{Region: region, Node: m.ID, NodeEpoch: m.Epoch, Epoch: 1})
		s.regions++
		s.owned[m.ID]++
	}
	r := p.Regions[j]
	m, _ := s.members.Get(r.Node)
	if m.Epoch != r.NodeEpoch {
		return failed(lost(fmt.Sprintf("the owner of vRegion %d of process %d", region, pid), m, r.NodeEpoch))
	}
	return Result{Owner: wire.Owner{Region: region, Node: m.ID, Addr: m.Addr, Epoch: r.Epoch}}
}

// choose returns the mComponent for one more vRegion, or for a home if homes says where those are. What says in an error
// for what, key is that for policies that hash, turn is the one that round_robin chose last for the like.
func (s *State) choose(cmd Command, what func() string, key uint64, homes map[wire.NodeID]uint64, turn *wire.NodeID) (wire.Member, error) {
	policy, err := placement.New(cmd.Stamp.Policy)
	if err != nil {
		return wire.Member{}, err
	}
	if cmd.Overcommit < MinOvercommit || cmd.Overcommit > MaxOvercommit {
		return wire.Member{}, wire.Errorf(wire.KindBadRequest, "overcommit %d thousandths, want %d to %d", cmd.Overcommit, MinOvercommit, MaxOvercommit)
	}
	s.candidates(cmd, homes, nil)
	i := placement.Choose(policy, placement.Ask{Need: s.regionBytes, Key: key, Chance: cmd.Stamp.Chance, After: *turn}, &s.set)
	if i < 0 {
		var why membership.Refusals
		s.candidates(cmd, homes, &why)
		return wire.Member{}, wire.Errorf(wire.KindNoRoom, "vregions: %s wants 1 of %d bytes: %s", what(), s.regionBytes, why.With("raise mcomponent.memory_bytes or manager.overcommit"))
	}
	m, _ := s.members.Get(s.set.ID(i))
	if policy.Rotates {
		*turn = m.ID
	}
	return m, nil
}

// candidates fills s.set with the stamped ones that are registered under their epoch, and why, if it is not nil, with what
// keeps the other members and those without room for a vRegion from being chosen.
func (s *State) candidates(cmd Command, homes map[wire.NodeID]uint64, why *membership.Refusals) {
	live := membership.Traffic(cmd.Stamp.Live)
	s.set.Reset()
	members := s.members.View()
	for i := range members {
		m := &members[i]
		traffic, ok := live.Of(m)
		if !ok {
			why.Silent(m.ID)
			continue
		}
		owned, room := s.owned[m.ID], Room(m.Capacity.MemoryBytes, s.regionBytes, cmd.Overcommit)
		if owned >= room {
			why.Short(m.ID, 0, room)
		}
		s.set.Add(placement.Candidate{
			ID: m.ID, Rack: m.Rack, Room: (room - min(room, owned)) * s.regionBytes, // less than 2^64, as Room sees to
			Reserved: owned * s.regionBytes, Capacity: m.Capacity.MemoryBytes, Homes: homes[m.ID], Traffic: traffic,
		})
	}
}

func (s *State) find(pid wire.PID) (int, bool) {
	return slices.BinarySearchFunc(s.processes, pid, func(p *Process, pid wire.PID) int { return cmp.Compare(p.PID, pid) })
}

func (s *State) release(pid wire.PID) Result {
	i, ok := s.find(pid)
	if !ok {
		return failed(wire.Errorf(wire.KindNotFound, "process %d has no home", pid))
	}
	if p := s.processes[i]; s.members.Current(p.Home, p.NodeEpoch) {
		s.homes[p.Home]--
	}
	for _, r := range s.processes[i].Regions {
		if s.members.Current(r.Node, r.NodeEpoch) {
			s.owned[r.Node]--
		}
	}
	s.regions -= len(s.processes[i].Regions)
	s.processes = slices.Delete(s.processes, i, i+1)
	return Result{}
}

// Members returns the mComponents, ascending by id.
func (s *State) Members() []wire.Member { return s.members.Members() }

// Processes returns the processes with a home, ascending by PID; pid selects one, 0 all. The result shares nothing.
func (s *State) Processes(pid wire.PID) []Process {
	out := []Process{}
	for _, p := range s.processes {
		if pid == 0 || p.PID == pid {
			c := *p
			c.Regions = append([]Region{}, p.Regions...) // never nil: equal states give equal snapshots
			out = append(out, c)
		}
	}
	return out
}

// CheckCapacity returns an error if an mComponent owns more vRegions than overcommit allows. It is apart from
// CheckInvariants because a lower ratio does not take back what was granted under a higher one.
func (s *State) CheckCapacity(overcommit uint64) error {
	for _, m := range s.members.Members() {
		if room := Room(m.Capacity.MemoryBytes, s.regionBytes, overcommit); s.owned[m.ID] > room {
			return fmt.Errorf("gmm: %q owns %d vRegions, has room for %d", m.ID, s.owned[m.ID], room)
		}
	}
	return nil
}

// CheckInvariants returns the first broken rule: order, limits, and counts that do not fit the vRegions.
func (s *State) CheckInvariants() error {
	if err := s.members.CheckInvariants(); err != nil {
		return err
	}
	if err := s.sessions.CheckInvariants(); err != nil {
		return err
	}
	for _, m := range s.members.Members() {
		if m.Capacity.RegionBytes != s.regionBytes {
			return fmt.Errorf("gmm: %q has vRegions of %d bytes, the cluster of %d", m.ID, m.Capacity.RegionBytes, s.regionBytes)
		}
	}
	if s.members.Len() == 0 && (s.regionBytes != 0 || len(s.processes) > 0) {
		return fmt.Errorf("gmm: vRegions of %d bytes and %d processes without a member", s.regionBytes, len(s.processes))
	}
	if n := max(len(s.homeTurn), len(s.ownerTurn)); n > membership.MaxIDBytes {
		return fmt.Errorf("gmm: a last turn was that of an id of %d bytes, at most %d", n, membership.MaxIDBytes)
	}
	was := func(id wire.NodeID, epoch wire.Epoch) bool { // id was registered under epoch at some time
		m, ok := s.members.Get(id)
		return ok && epoch > 0 && epoch <= m.Epoch
	}
	homes, owned, regions := map[wire.NodeID]uint64{}, map[wire.NodeID]uint64{}, 0
	for i, p := range s.processes {
		switch {
		case p.PID == 0 || i > 0 && s.processes[i-1].PID >= p.PID:
			return fmt.Errorf("gmm: process %d is out of order", p.PID)
		case p.HomeEpoch == 0 || !was(p.Home, p.NodeEpoch):
			return fmt.Errorf("gmm: process %d: home %q under epoch %d never was", p.PID, p.Home, p.NodeEpoch)
		}
		if s.members.Current(p.Home, p.NodeEpoch) {
			homes[p.Home]++
		}
		for j, r := range p.Regions {
			switch {
			case j > 0 && p.Regions[j-1].Region >= r.Region:
				return fmt.Errorf("gmm: process %d: vRegion %d is out of order", p.PID, r.Region)
			case r.Epoch == 0 || !was(r.Node, r.NodeEpoch):
				return fmt.Errorf("gmm: process %d: vRegion %d: owner %q under epoch %d never was", p.PID, r.Region, r.Node, r.NodeEpoch)
			case s.members.Current(r.Node, r.NodeEpoch):
				owned[r.Node]++
			}
		}
		regions += len(p.Regions)
	}
	if len(s.processes) > MaxProcesses || regions > MaxRegions || regions != s.regions {
		return fmt.Errorf("gmm: %d processes and %d vRegions (%d counted), at most %d and %d", len(s.processes), regions, s.regions, MaxProcesses, MaxRegions)
	}
	for _, m := range s.members.Members() {
		if s.owned[m.ID] != owned[m.ID] || s.homes[m.ID] != homes[m.ID] {
			return fmt.Errorf("gmm: %q counts %d vRegions and %d homes, has %d and %d", m.ID, s.owned[m.ID], s.homes[m.ID], owned[m.ID], homes[m.ID])
		}
	}
	return nil
}

package gmm

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/internal/dedup"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

const (
	// MaxProcesses bounds the processes that have a home at a time.
	MaxProcesses = 1 << 16
	// MaxRegions bounds the active vRegions of all processes together.
	MaxRegions = 1 << 21
	// MaxReserved bounds the vRegions that one admission reserves, because each is chosen by the policy.
	MaxReserved = 4096
	// MaxReservedEvents bounds the mComponents of one admission whose choice an event tells.
	MaxReservedEvents = 8
	// MaxClosed bounds the vNodes of which is remembered that they were freed, so that a late Prepare holds nothing for
	// them.
	MaxClosed = 1024
	// MinOvercommit and MaxOvercommit bound Command.Overcommit, in thousandths.
	MinOvercommit = 1000
	MaxOvercommit = 1000_000
)

// remedy is what helps when vRegions are short.
const remedy = "raise mcomponent.memory_bytes or manager.overcommit"

// Region is an active vRegion.
type Region struct {
	Region    wire.RegionNo
	Node      wire.NodeID
	NodeEpoch wire.Epoch // of the mComponent when it became owner
	Epoch     wire.Epoch // of the ownership: 1 at first, more after each move
}

// Reserve is room for vRegions at one mComponent that is kept for a process.
type Reserve struct {
	Node      wire.NodeID
	NodeEpoch wire.Epoch // of the mComponent when it was reserved
	Regions   uint64     // above 0
}

// Process is a process with its home and its active vRegions, as listings and snapshots hold it.
type Process struct {
	PID       wire.PID
	Home      wire.NodeID
	HomeEpoch wire.Epoch // of the home
	NodeEpoch wire.Epoch // of the mComponent when it became the home
	PlacedMS  int64      // ms since 1970 by the clock of the leader that placed it
	Prepared  bool       // held for an admission that is not known to be decided: nothing can be activated yet
	Regions   []Region   // ascending by Region
	Reserved  []Reserve  // ascending by Node; the next activations take from it
}

// State is the replicated state. Make one with New.
type State struct {
	members     *membership.Table
	regionBytes uint64                 // 0 until the first mComponent registers
	processes   []*Process             // ascending by PID
	regions     int                    // derived: active and reserved vRegions, lost ones included
	prepared    int                    // derived: processes that are Prepared
	homes       map[wire.NodeID]uint64 // derived: homes under the mComponent's present epoch; only looked up
	owned       map[wire.NodeID]uint64 // derived: vRegions under the owner's present epoch, reserved ones too; only looked up
	closed      []wire.PID             // vNodes freed last, oldest first, at most MaxClosed
	homeTurn    wire.NodeID            // the mComponent that round_robin chose last for a home; empty if none
	ownerTurn   wire.NodeID            // the same for a vRegion
	sessions    *dedup.Table[Result]
	events      *events.Log
	moves       *movelist.List
	note        events.Event  // why the decision at hand was made so, kept for its memory
	set         placement.Set // of the decision at hand, kept for its memory
}

// New returns the state of a manager that has seen no command.
func New() *State {
	return &State{members: membership.NewTable(wire.RoleMemory), owned: map[wire.NodeID]uint64{}, homes: map[wire.NodeID]uint64{}, sessions: dedup.NewTable[Result](), events: &events.Log{}, moves: movelist.New(wire.GMM)}
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
	case OpActivate:
		return s.activate(q.PID, q.Region, cmd)
	case OpSteps:
		return s.steps(cmd)
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
	return failed(wire.Errorf(wire.KindBadRequest, "gmm operation %d, which there is not", q.Op))
}

func (s *State) register(m wire.Member, cmd Command) Result {
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
	s.events.Joined(cmd.Stamp.NowMS, m.ID, epoch)
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

func (s *State) steps(cmd Command) Result {
	steps := cmd.Request.Steps
	if len(steps) > admission.MaxBatch {
		return failed(wire.Errorf(wire.KindBadRequest, "%d steps, at most %d", len(steps), admission.MaxBatch))
	}
	res := Result{Votes: make([]admission.Vote, 0, len(steps))}
	for _, st := range steps {
		v := admission.Vote{PID: st.PID}
		if err := s.step(st, cmd, &v); err != nil {
			v.Kind, v.Text = wire.KindOf(err), membership.TextOf(err)
			if never := s.never(st, cmd); v.Kind == wire.KindNoRoom && never != "" {
				v.Never, v.Text = true, v.Text+"; "+never
			}
		}
		res.Votes = append(res.Votes, v)
	}
	return res
}

// step carries out one step of a vNode's transaction.
func (s *State) step(st admission.Step, cmd Command, v *admission.Vote) error {
	i, ok := s.find(st.PID)
	switch {
	case st.PID == 0:
		return wire.Errorf(wire.KindBadRequest, "process id 0")
	case st.Verb == admission.Free:
		s.free(st.PID, cmd.Stamp.NowMS)
		return nil
	case st.Verb == admission.Prepare && !ok:
		p, err := s.hold(st, cmd)
		if err != nil {
			return err
		}
		s.processes = slices.Insert(s.processes, i, p)
	case st.Verb != admission.Prepare && st.Verb != admission.Commit:
		return wire.Errorf(wire.KindBadRequest, "step %d of process %d, want 1 to 3", st.Verb, st.PID)
	case !ok:
		return wire.Errorf(wire.KindNotFound, "process %d has no home", st.PID)
	}
	p := s.processes[i]
	if st.Verb == admission.Commit {
		if p.Prepared {
			p.Prepared = false
			s.prepared--
		}
		return nil
	}
	if !s.members.Current(p.Home, p.NodeEpoch) {
		return s.lost(fmt.Sprintf("the home of process %d", p.PID), p.Home, p.NodeEpoch)
	}
	m, _ := s.members.Get(p.Home)
	v.Home = admission.Home{Node: m.ID, Addr: m.Addr, Epoch: p.HomeEpoch, RegionBytes: s.regionBytes}
	return nil
}

// hold chooses a home and reserves vRegions for a process, all or nothing. The caller enters it.
func (s *State) hold(st admission.Step, cmd Command) (*Process, error) {
	switch {
	case slices.Contains(s.closed, st.PID):
		return nil, wire.Errorf(wire.KindStale, "process %d was freed before it was prepared", st.PID)
	case len(s.processes) >= MaxProcesses:
		return nil, wire.Errorf(wire.KindNoRoom, "process table: %d processes, at most %d", len(s.processes), MaxProcesses)
	}
	homeTurn, ownerTurn := s.homeTurn, s.ownerTurn
	home, err := s.choose(cmd, func() string { return fmt.Sprintf("a home for process %d", st.PID) }, placement.Hash(uint64(st.PID)), s.homes, &s.homeTurn, &s.note)
	if err != nil {
		return nil, err
	}
	p := &Process{PID: st.PID, Home: home.ID, HomeEpoch: 1, NodeEpoch: home.Epoch, PlacedMS: cmd.Stamp.NowMS, Prepared: true, Regions: []Region{}, Reserved: []Reserve{}}
	want := uint64(0)
	if st.MemoryBytes > 0 {
		want = (st.MemoryBytes-1)/s.regionBytes + 1
	}
	if want > MaxReserved || s.regions+int(want) > MaxRegions {
		s.homeTurn = homeTurn // nothing was placed
		return nil, wire.Errorf(wire.KindNoRoom, "memory_bytes: process %d wants %d vRegions of %d bytes, at most %d can be reserved and %d are left", st.PID, want, s.regionBytes, MaxReserved, MaxRegions-s.regions)
	}
	homeNote := s.note
	s.note.Candidates = nil  // those of the home stay homeNote's
	var notes []events.Event // why each mComponent was chosen first
	for n := range want {
		why := &s.note
		if len(notes) == MaxReservedEvents || len(p.Reserved) == s.members.Len() { // nobody new, or nothing more is told
			why = nil
		}
		m, err := s.choose(cmd, func() string { return "" }, placement.Hash(uint64(st.PID), uint64(n)), nil, &s.ownerTurn, why)
		if err != nil {
			s.homeTurn, s.ownerTurn = homeTurn, ownerTurn // nothing was placed
			for _, r := range p.Reserved {
				s.owned[r.Node] -= r.Regions
			}
			return nil, wire.Errorf(wire.KindNoRoom, "memory_bytes: process %d wants %d vRegions of %d bytes, %d short: %s", st.PID, want, s.regionBytes, want-n, s.rooms(cmd))
		}
		s.owned[m.ID]++
		j, ok := slices.BinarySearchFunc(p.Reserved, m.ID, func(r Reserve, id wire.NodeID) int { return cmp.Compare(r.Node, id) })
		if !ok {
			p.Reserved = slices.Insert(p.Reserved, j, Reserve{Node: m.ID, NodeEpoch: m.Epoch})
		}
		p.Reserved[j].Regions++
		if !ok && len(notes) < MaxReservedEvents {
			note := s.note
			note.Candidates = slices.Clone(note.Candidates)
			note.Node, note.Epoch = m.ID, m.Epoch
			notes = append(notes, note)
		}
	}
	s.regions += int(want)
	s.homes[home.ID]++
	s.prepared++
	e := homeNote
	e.MS, e.Kind, e.PID, e.Node, e.Epoch = cmd.Stamp.NowMS, events.PlacedHome, st.PID, home.ID, home.Epoch
	s.events.Append(e)
	for _, e := range notes {
		j, _ := slices.BinarySearchFunc(p.Reserved, e.Node, func(r Reserve, id wire.NodeID) int { return cmp.Compare(r.Node, id) })
		e.MS, e.Kind, e.PID, e.Amount = cmd.Stamp.NowMS, events.Reserved, st.PID, p.Reserved[j].Regions
		if len(p.Reserved) > len(notes) {
			e.Reason = fmt.Sprintf("%d vRegions at %d mComponents, of which %d are told", want, len(p.Reserved), len(notes))
		}
		s.events.Append(e)
	}
	return p, nil
}

// Prepared returns the processes that are held for an admission that is not known to be decided, ascending.
func (s *State) Prepared() []wire.PID {
	out := make([]wire.PID, 0, s.prepared)
	for i := 0; i < len(s.processes) && len(out) < s.prepared; i++ {
		if s.processes[i].Prepared {
			out = append(out, s.processes[i].PID)
		}
	}
	return out
}

// lost is the error of what was granted to an earlier incarnation of an mComponent, or to one that is dead or removed.
func (s *State) lost(what string, id wire.NodeID, epoch wire.Epoch) error {
	if epoch == lostInMove {
		return wire.Errorf(wire.KindFailed, "%s was lost when it moved from %s", what, id)
	}
	return wire.Errorf(wire.KindFailed, "%s was %s under epoch %d and is lost: %s", what, id, epoch, s.members.Fate(id, epoch))
}

func (s *State) activate(pid wire.PID, region wire.RegionNo, cmd Command) Result {
	i, ok := s.find(pid)
	if !ok {
		return failed(wire.Errorf(wire.KindNotFound, "process %d has no home: place it first", pid))
	}
	p := s.processes[i]
	if p.Prepared {
		return failed(wire.Errorf(wire.KindNotFound, "process %d is being admitted: wait for its answer", pid))
	}
	j, ok := slices.BinarySearchFunc(p.Regions, region, func(r Region, no wire.RegionNo) int { return cmp.Compare(r.Region, no) })
	if !ok {
		m, ok := s.takeReserved(p, region, cmd)
		if !ok {
			if s.regions >= MaxRegions {
				return failed(wire.Errorf(wire.KindNoRoom, "vRegion table: %d active or reserved, at most %d", s.regions, MaxRegions))
			}
			var err error
			if m, err = s.choose(cmd, func() string { return fmt.Sprintf("vRegion %d of process %d", region, pid) }, placement.Hash(uint64(pid), uint64(region)), nil, &s.ownerTurn, &s.note); err != nil {
				s.events.Append(events.Event{MS: cmd.Stamp.NowMS, Kind: events.Refused, PID: pid, Region: region, Reason: membership.TextOf(err)})
				return failed(err)
			}
			s.regions++
			s.owned[m.ID]++
		}
		p.Regions = slices.Insert(p.Regions, j, Region{Region: region, Node: m.ID, NodeEpoch: m.Epoch, Epoch: 1})
		e := s.note
		e.MS, e.Kind, e.PID, e.Region, e.Node, e.Epoch = cmd.Stamp.NowMS, events.PlacedRegion, pid, region, m.ID, m.Epoch
		s.events.Append(e)
	}
	r := p.Regions[j]
	if !s.members.Current(r.Node, r.NodeEpoch) {
		return failed(s.lost(fmt.Sprintf("the owner of vRegion %d of process %d", region, pid), r.Node, r.NodeEpoch))
	}
	m, _ := s.members.Get(r.Node)
	return Result{Owner: wire.Owner{Region: region, Node: m.ID, Addr: m.Addr, Epoch: r.Epoch, Member: r.NodeEpoch}}
}

// choose returns the mComponent for one more vRegion, or for a home if homes says where those are. What says in an error
// for what, key is that for policies that hash, turn is the one that round_robin chose last for the like; note,
// if it is not nil, is told why.
func (s *State) choose(cmd Command, what func() string, key uint64, homes map[wire.NodeID]uint64, turn *wire.NodeID, note *events.Event) (wire.Member, error) {
	policy, err := placement.New(cmd.Stamp.Policy)
	if err != nil {
		return wire.Member{}, err
	}
	if cmd.Overcommit < MinOvercommit || cmd.Overcommit > MaxOvercommit {
		return wire.Member{}, wire.Errorf(wire.KindBadRequest, "overcommit %d thousandths, want %d to %d", cmd.Overcommit, MinOvercommit, MaxOvercommit)
	}
	s.candidates(cmd, homes, nil)
	ask := placement.Ask{Need: s.regionBytes, Key: key, Chance: placement.Hash(cmd.Stamp.Chance, key), After: *turn}
	i := placement.Choose(policy, ask, &s.set)
	if i < 0 {
		var why membership.Refusals
		s.candidates(cmd, homes, &why)
		return wire.Member{}, wire.Errorf(wire.KindNoRoom, "vregions: %s wants 1 of %d bytes: %s", what(), s.regionBytes, why.With(remedy))
	}
	if note != nil {
		note.Explain(policy, ask, &s.set, i)
	}
	m, _ := s.members.Get(s.set.ID(i))
	if policy.Rotates {
		*turn = m.ID
	}
	return m, nil
}

// rooms says in words what room every mComponent has.
func (s *State) rooms(cmd Command) string {
	live := membership.Traffic(cmd.Stamp.Live)
	var out membership.Refusals
	members := s.members.View()
	for i := range members {
		m := &members[i]
		owned, room := s.owned[m.ID], Room(m.Capacity.MemoryBytes, s.regionBytes, cmd.Overcommit)
		if _, ok := live.Of(m); !s.members.Placeable(i) {
			out.Closed(m.ID, s.members.StateAt(i))
		} else if !ok {
			out.Silent(m.ID)
		} else {
			out.Has(m.ID, room-min(owned, room), room)
		}
	}
	return out.With(remedy)
}

// takeReserved takes room for a vRegion out of what was reserved for a process, at the mComponent that the policy puts
// first among those that are alive; false if there is none.
func (s *State) takeReserved(p *Process, region wire.RegionNo, cmd Command) (wire.Member, bool) {
	policy, err := placement.New(cmd.Stamp.Policy)
	if err != nil {
		return wire.Member{}, false
	}
	live := membership.Traffic(cmd.Stamp.Live)
	s.set.Reset()
	for _, r := range p.Reserved {
		m, _ := s.members.Get(r.Node)
		if traffic, ok := live.Of(&m); ok && s.members.Current(r.Node, r.NodeEpoch) {
			s.set.Add(placement.Candidate{
				ID: m.ID, Rack: m.Rack, Room: s.regionBytes, Reserved: s.owned[m.ID] * s.regionBytes, Capacity: m.Capacity.MemoryBytes, Traffic: traffic,
			})
		}
	}
	ask := placement.Ask{Need: s.regionBytes, Key: placement.Hash(uint64(p.PID), uint64(region)), Chance: cmd.Stamp.Chance, After: s.ownerTurn}
	i := placement.Choose(policy, ask, &s.set)
	if i < 0 {
		return wire.Member{}, false
	}
	s.note.Explain(policy, ask, &s.set, i)
	m, _ := s.members.Get(s.set.ID(i))
	if policy.Rotates {
		s.ownerTurn = m.ID
	}
	j := slices.IndexFunc(p.Reserved, func(r Reserve) bool { return r.Node == m.ID })
	if p.Reserved[j].Regions--; p.Reserved[j].Regions == 0 {
		p.Reserved = slices.Delete(p.Reserved, j, j+1)
	}
	return m, true
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
		if !s.members.Placeable(i) {
			why.Closed(m.ID, s.members.StateAt(i))
			continue
		}
		if !ok {
			why.Silent(m.ID)
			continue
		}
		owned, room := s.owned[m.ID], Room(m.Capacity.MemoryBytes, s.regionBytes, cmd.Overcommit)
		if owned >= room {
			why.Short(m.ID, 1, 0, room)
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

// free gives back what a process has, prepared or not, and remembers that it did.
func (s *State) free(pid wire.PID, nowMS int64) {
	if i, ok := s.find(pid); ok {
		p := s.processes[i]
		if s.members.Current(p.Home, p.NodeEpoch) {
			s.homes[p.Home]--
		}
		for _, r := range p.Regions {
			if s.members.Current(r.Node, r.NodeEpoch) {
				s.owned[r.Node]--
			}
		}
		s.regions -= len(p.Regions)
		for _, r := range p.Reserved {
			if s.members.Current(r.Node, r.NodeEpoch) {
				s.owned[r.Node] -= r.Regions
			}
			s.regions -= int(r.Regions)
		}
		if p.Prepared {
			s.prepared--
		}
		s.processes = slices.Delete(s.processes, i, i+1)
		s.events.Append(events.Event{MS: nowMS, Kind: events.Released, PID: pid, Node: p.Home, Amount: uint64(len(p.Regions))})
	}
	if slices.Contains(s.closed, pid) {
		return
	}
	s.closed = append(s.closed, pid)
	if len(s.closed) > MaxClosed {
		s.closed = slices.Delete(s.closed, 0, 1)
	}
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
			c.Reserved = append([]Reserve{}, p.Reserved...)
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
	if err := s.events.CheckInvariants(); err != nil {
		return err
	}
	for _, m := range s.members.Members() {
		if m.Capacity.RegionBytes != s.regionBytes {
			return fmt.Errorf("gmm: %q has vRegions of %d bytes, the cluster of %d", m.ID, m.Capacity.RegionBytes, s.regionBytes)
		}
	}
	if s.regionBytes == 0 && (s.members.Len() > 0 || len(s.processes) > 0) {
		return fmt.Errorf("gmm: %d members and %d processes, and vRegions without a size", s.members.Len(), len(s.processes))
	}
	if n := max(len(s.homeTurn), len(s.ownerTurn)); n > membership.MaxIDBytes {
		return fmt.Errorf("gmm: a last turn was that of an id of %d bytes, at most %d", n, membership.MaxIDBytes)
	}
	was := func(id wire.NodeID, epoch wire.Epoch) bool { return epoch == lostInMove || s.members.Was(id, epoch) }
	homes, owned, regions, prepared := map[wire.NodeID]uint64{}, map[wire.NodeID]uint64{}, 0, 0
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
		for j, r := range p.Reserved {
			if r.Regions == 0 || r.Regions > MaxReserved || !was(r.Node, r.NodeEpoch) || j > 0 && p.Reserved[j-1].Node >= r.Node {
				return fmt.Errorf("gmm: process %d: %d vRegions reserved at %q under epoch %d: none, too many, out of order or never was", p.PID, r.Regions, r.Node, r.NodeEpoch)
			}
			if s.members.Current(r.Node, r.NodeEpoch) {
				owned[r.Node] += r.Regions
			}
			regions += int(r.Regions)
		}
		if p.Prepared {
			prepared++
		}
		if slices.Contains(s.closed, p.PID) {
			return fmt.Errorf("gmm: process %d was freed and has a home", p.PID)
		}
	}
	if err := s.checkMoves(homes, owned); err != nil {
		return err
	}
	if prepared != s.prepared || len(s.closed) > MaxClosed {
		return fmt.Errorf("gmm: counts %d prepared processes, has %d; remembers %d freed ones, at most %d", s.prepared, prepared, len(s.closed), MaxClosed)
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

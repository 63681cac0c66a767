package gmm

import (
	"cmp"
	"fmt"
	"slices"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/apart"
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
	Copies    *Copies    // nil without redundancy, and when it is lost
}

// Reserve is room for vRegions, or for shares of them, at one mComponent that is kept for a process.
type Reserve struct {
	Node      wire.NodeID
	NodeEpoch wire.Epoch // of the mComponent when it was reserved
	Regions   uint64     // above 0; shares of vRegions if its process has those
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
	Apart     apart.Rule
	Memory    wire.MemoryPolicy
	Copies    *Copies // of the home: its backup; nil without redundancy, and when it is lost
	Done      uint64  // pages of what is recovered or filled, as told last; 0 when nothing is
	Pages     uint64  // of how many
}

// Groups are its memberships of groups.
func (p *Process) Groups() []apart.Member { return apart.Process(p.Apart, p.PID) }

// less as a number of times is minus one.
const less = ^uint64(0)

// State is the replicated state. Make one with New.
type State struct {
	members     *membership.Table
	regionBytes uint64                              // 0 until the first mComponent registers
	processes   []*Process                          // ascending by PID
	regions     int                                 // derived: active and reserved vRegions, lost ones included, and copies that take room
	prepared    int                                 // derived: processes that are Prepared
	mentions    map[wire.NodeID]map[wire.PID]uint64 // derived: things of processes with copies under the mComponent's present epoch; sorted before it is ranged over
	keeps       map[wire.NodeID]uint64              // derived: copies under the mComponent's present epoch; only looked up
	open        map[wire.PID]struct{}               // derived: processes of which something is not settled; sorted before it is ranged over
	copyChanges uint64                              // since New or Restore; not replicated
	failures    failures
	holderTurn  wire.NodeID            // the mComponent that round_robin chose last for a copy
	homes       map[wire.NodeID]uint64 // derived: homes under the mComponent's present epoch; only looked up
	owned       map[wire.NodeID]uint64 // derived: the Parts that vRegions, copies and reservations take under the mComponent's present epoch; only looked up
	closed      []wire.PID             // vNodes freed last, oldest first, at most MaxClosed
	homeTurn    wire.NodeID            // the mComponent that round_robin chose last for a home; empty if none
	ownerTurn   wire.NodeID            // the same for a vRegion
	sessions    *dedup.Table[Result]
	events      *events.Log
	untold      events.Pending // of what is Prepared
	moves       *movelist.List
	ratio       uint64        // thousandths: the overcommit under which all that is booked fits; 0 until the first command
	note        events.Event  // why the decision at hand was made so, kept for its memory
	apart       *apart.Index  // derived: where the processes of groups have something, or will
	roomRatio   uint64        // derived: the overcommit of the candidates, that of the last command; 0 before
	forRegions  placement.Set // derived: the mComponents as candidates for vRegions
	forHomes    placement.Set // derived: and for homes, which count those they have
	set         placement.Set // of the decision at hand, kept for its memory
}

// New returns the state of a manager that has seen no command.
func New() *State {
	s := &State{
		members: membership.NewTable(wire.RoleMemory), owned: map[wire.NodeID]uint64{}, homes: map[wire.NodeID]uint64{}, apart: apart.New(),
		mentions: map[wire.NodeID]map[wire.PID]uint64{}, keeps: map[wire.NodeID]uint64{}, open: map[wire.PID]struct{}{},
		sessions: dedup.NewTable[Result](), events: &events.Log{}, moves: movelist.New(wire.GMM),
	}
	s.fill()
	return s
}

// Apply carries out a command once: the same (client, sequence) again changes nothing and has the same result.
func (s *State) Apply(cmd Command) Result {
	return s.sessions.Once(cmd.Client, cmd.Seq, failed, func() Result { return s.apply(cmd) })
}

func (s *State) apply(cmd Command) Result {
	s.members.See(cmd.Stamp.Live, s.refresh)
	if cmd.Overcommit >= MinOvercommit && cmd.Overcommit <= MaxOvercommit {
		s.overcommit(cmd.Overcommit)
	}
	s.follow(cmd.Overcommit)
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
	case OpCopies:
		return s.changed(cmd)
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
	if s.regionBytes != m.Capacity.RegionBytes {
		s.regionBytes = m.Capacity.RegionBytes
		s.fill()
	}
	s.lose(m.ID) // what it owned under its older epoch is lost
	s.events.Joined(cmd.Stamp.NowMS, m.ID, epoch)
	s.fail(m.ID, epoch-1, cmd, "it registered again, and has nothing")
	return Result{Epoch: epoch}
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
			s.untold.Tell(p.PID, s.events)
			s.prepared--
			s.judge(p)
		}
		return nil
	}
	if !s.members.Current(p.Home, p.NodeEpoch) {
		return s.lost(fmt.Sprintf("the home of process %d", p.PID), p.Home, p.NodeEpoch)
	}
	m, _ := s.members.Get(p.Home)
	v.Home = admission.Home{Node: m.ID, Addr: m.Addr, Epoch: p.HomeEpoch, RegionBytes: s.regionBytes, Member: p.HomeMember()}
	return nil
}

// hold chooses a home and reserves vRegions for a process, all or nothing. The caller enters it.
func (s *State) hold(st admission.Step, cmd Command) (*Process, error) {
	switch {
	case slices.Contains(s.closed, st.PID):
		return nil, wire.Errorf(wire.KindStale, "process %d was freed before it was prepared", st.PID)
	case st.Apart.CheckQualified() != nil:
		return nil, st.Apart.CheckQualified()
	case admission.CheckMemory(st.Memory) != nil:
		return nil, admission.CheckMemory(st.Memory)
	case len(s.processes) >= MaxProcesses:
		return nil, wire.Errorf(wire.KindNoRoom, "process table: %d processes, at most %d", len(s.processes), MaxProcesses)
	}
	homeTurn, ownerTurn, holderTurn, ms := s.homeTurn, s.ownerTurn, s.holderTurn, apart.Process(st.Apart, st.PID)
	home, err := s.choose(cmd, func() string { return fmt.Sprintf("a home for process %d", st.PID) }, placement.Hash(uint64(st.PID)), ms, &s.forHomes, &s.homeTurn, &s.note)
	if err != nil {
		return nil, err
	}
	p := &Process{PID: st.PID, Home: home.ID, HomeEpoch: 1, NodeEpoch: home.Epoch, PlacedMS: cmd.Stamp.NowMS, Prepared: true, Regions: []Region{}, Reserved: []Reserve{}, Apart: st.Apart, Memory: st.Memory}
	s.serve(p, new(p.homeSeat()), 1)
	undo := func() { // nothing was placed
		s.homeTurn, s.ownerTurn, s.holderTurn = homeTurn, ownerTurn, holderTurn
		s.serve(p, new(p.homeSeat()), less)
		for _, r := range p.Reserved {
			s.own(r.Node, r.NodeEpoch, ms, -r.Regions, p.Grain())
		}
		for _, h := range p.kept() {
			s.keep(p, h.home, h.Holder, less)
		}
	}
	homeNote := s.note
	s.note.Candidates = nil // those of the home stay homeNote's
	if err := s.backUp(p, cmd); err != nil {
		undo()
		return nil, err
	}
	want := uint64(0)
	if st.MemoryBytes > 0 {
		want = (st.MemoryBytes-1)/s.regionBytes + 1
	}
	each := p.grains()
	if want > MaxReserved/each || s.regions+int(want*each) > MaxRegions {
		undo()
		return nil, wire.Errorf(wire.KindNoRoom, "memory_bytes: process %d wants %d %s, at most %d can be reserved and %d are left", st.PID, want*each, s.grainText(p), MaxReserved, MaxRegions-s.regions)
	}
	var notes []events.Event // why each mComponent was chosen first
	var group []Holder       // of the vRegion at hand: its owner and copies are apart
	for n := range want * each {
		if n%each == 0 {
			group = group[:0]
		}
		why := &s.note
		if len(notes) == MaxReservedEvents || len(p.Reserved) == s.members.Len() { // nobody new, or nothing more is told
			why = nil
		}
		a := asked{key: placement.Hash(uint64(st.PID), uint64(n)), ms: ms, set: &s.forRegions, turn: &s.ownerTurn, note: why, need: s.bytes(p.Grain())}
		for _, h := range group {
			a.avoid, a.turn = append(a.avoid, h.Node), &s.holderTurn
		}
		a.racks = s.racksOf(group)
		m, err := s.pick(cmd, func() string { return "" }, a)
		if err != nil {
			undo()
			return nil, wire.Errorf(wire.KindNoRoom, "memory_bytes: process %d wants %d %s, %d short: %s", st.PID, want*each, s.grainText(p), want*each-n, s.rooms(ms))
		}
		group = append(group, Holder{Node: m.ID})
		s.own(m.ID, m.Epoch, ms, 1, p.Grain())
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
	s.regions += int(want * each)
	s.prepared++
	e := homeNote
	e.MS, e.Kind, e.PID, e.Node, e.Epoch = cmd.Stamp.NowMS, events.PlacedHome, st.PID, home.ID, home.Epoch
	s.untold.Add(e)
	for _, e := range notes {
		j, _ := slices.BinarySearchFunc(p.Reserved, e.Node, func(r Reserve, id wire.NodeID) int { return cmp.Compare(r.Node, id) })
		e.MS, e.Kind, e.PID, e.Amount = cmd.Stamp.NowMS, events.Reserved, st.PID, p.Reserved[j].Regions
		if len(p.Reserved) > len(notes) {
			e.Reason = fmt.Sprintf("%d vRegions at %d mComponents, of which %d are told", want*each, len(p.Reserved), len(notes))
		}
		s.untold.Add(e)
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
	if !ok && p.shares(false) {
		if err := s.activateShares(p, j, region, cmd); err != nil {
			s.events.Append(events.Event{MS: cmd.Stamp.NowMS, Kind: events.Refused, PID: pid, Region: region, Reason: membership.TextOf(err)})
			return failed(err)
		}
	} else if !ok {
		among := s.together(p)
		m, ok := s.takeReserved(p, region, among, cmd)
		if !ok {
			if s.regions >= MaxRegions {
				return failed(wire.Errorf(wire.KindNoRoom, "vRegion table: %d active or reserved, at most %d", s.regions, MaxRegions))
			}
			var err error
			if m, err = s.choose(cmd, func() string { return fmt.Sprintf("vRegion %d of process %d", region, pid) }, placement.Hash(uint64(pid), uint64(region)), p.Groups(), &s.forRegions, &s.ownerTurn, &s.note); err != nil {
				s.events.Append(events.Event{MS: cmd.Stamp.NowMS, Kind: events.Refused, PID: pid, Region: region, Reason: membership.TextOf(err)})
				return failed(err)
			}
			s.regions++
			s.own(m.ID, m.Epoch, p.Groups(), 1, Parts)
		}
		p.Regions = slices.Insert(p.Regions, j, Region{Region: region, Node: m.ID, NodeEpoch: m.Epoch, Epoch: 1})
		e := s.note
		if p.Memory.Kind != wire.MemoryNone {
			e.Candidates = slices.Clone(e.Candidates)
			among = slices.DeleteFunc(among, func(id wire.NodeID) bool { return id == m.ID })
			if err := s.protect(p, j, among, cmd); err != nil {
				p.Regions = slices.Delete(p.Regions, j, j+1)
				s.own(m.ID, m.Epoch, p.Groups(), less, Parts)
				s.regions--
				s.events.Append(events.Event{MS: cmd.Stamp.NowMS, Kind: events.Refused, PID: pid, Region: region, Reason: membership.TextOf(err)})
				return failed(err)
			}
		}
		e.MS, e.Kind, e.PID, e.Region, e.Node, e.Epoch = cmd.Stamp.NowMS, events.PlacedRegion, pid, region, m.ID, m.Epoch
		s.events.Append(e)
	}
	r := p.Regions[j]
	if !s.members.Current(r.Node, r.NodeEpoch) {
		if r.Copies != nil {
			return failed(wire.Errorf(wire.KindBusy, "vRegion %d of process %d has lost its owner %s, and another is not found yet: retry", region, pid, r.Node))
		}
		return failed(s.lost(fmt.Sprintf("the owner of vRegion %d of process %d", region, pid), r.Node, r.NodeEpoch))
	}
	m, _ := s.members.Get(r.Node)
	return Result{Owner: wire.Owner{Region: region, Node: m.ID, Addr: m.Addr, Epoch: r.Epoch, Member: r.NodeEpoch}, Config: s.regionConfig(p, &r), Home: s.homeConfig(p)}
}

// choose returns the mComponent for one more vRegion or home, by which set it asks. What says in an error for what, key is that
// for policies that hash, ms are what it is for, turn is the one that round_robin chose last for the like; note, if it is not nil,
// is told why.
func (s *State) choose(cmd Command, what func() string, key uint64, ms []apart.Member, set *placement.Set, turn *wire.NodeID, note *events.Event) (wire.Member, error) {
	return s.pick(cmd, what, asked{key: key, ms: ms, set: set, turn: turn, note: note, need: s.regionBytes})
}

// refuses says why each mComponent is none for one more vRegion, or for what takes no room. Avoid has other copies of it.
func (s *State) refuses(ms []apart.Member, need uint64, avoid []wire.NodeID) string {
	var why membership.Refusals
	s.each(ms, &why, func(m *wire.Member, free uint64) {
		if slices.Contains(avoid, m.ID) {
			why.Apart(m.ID, "has another copy of it")
		} else if s.bytes(free) < need {
			why.Short(m.ID, 1, 0, Room(m.Capacity.MemoryBytes, s.regionBytes, s.roomRatio))
		}
	})
	return why.With(remedy)
}

// rooms says in words what room every mComponent has.
func (s *State) rooms(ms []apart.Member) string {
	var out membership.Refusals
	s.each(ms, &out, func(m *wire.Member, free uint64) {
		out.Has(m.ID, free/Parts, Room(m.Capacity.MemoryBytes, s.regionBytes, s.roomRatio))
	})
	return out.With(remedy)
}

// each calls do with the mComponents that may have something of ms and the Parts that they have free, and tells why of the others.
func (s *State) each(ms []apart.Member, why *membership.Refusals, do func(m *wire.Member, free uint64)) {
	members := s.members.View()
	for i := range members {
		m := &members[i]
		if _, ok := s.members.Heard(i); !s.members.Placeable(i) {
			why.Closed(m.ID, s.members.StateAt(i))
		} else if !ok {
			why.Silent(m.ID)
		} else if text := s.apart.Why(ms, m.ID, m.Rack); text != "" {
			why.Apart(m.ID, text)
		} else {
			do(m, s.spare(m, s.roomRatio))
		}
	}
}

// takeReserved takes room for a vRegion out of what was reserved for a process, at the mComponent that the policy puts
// first among those that are alive, and among some if that is not nil; false if there is none.
func (s *State) takeReserved(p *Process, region wire.RegionNo, among []wire.NodeID, cmd Command) (wire.Member, bool) {
	policy, err := placement.New(cmd.Stamp.Policy)
	if err != nil {
		return wire.Member{}, false
	}
	s.set.Reset()
	for _, r := range p.Reserved {
		i, ok := s.members.Find(r.Node)
		if !ok || among != nil && !slices.Contains(among, r.Node) {
			continue // removed
		}
		m := s.members.View()[i]
		if traffic, ok := s.members.Heard(i); ok && s.members.Placeable(i) && s.members.Current(r.Node, r.NodeEpoch) {
			s.set.Add(placement.Candidate{
				ID: m.ID, Rack: m.Rack, Room: s.regionBytes, Reserved: s.bytes(s.owned[m.ID]), Capacity: m.Capacity.MemoryBytes, Traffic: traffic,
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
	s.unreserve(p, m.ID)
	return m, true
}

// candidate makes the candidate of member i, for a home or for a vRegion.
func (s *State) candidate(i int, home bool) placement.Candidate {
	m := &s.members.View()[i]
	traffic, heard := s.members.Heard(i)
	c := placement.Candidate{ID: m.ID, Rack: m.Rack, Capacity: m.Capacity.MemoryBytes, Traffic: traffic, Closed: !heard || !s.members.Placeable(i)}
	if s.roomRatio > 0 {
		c.Room, c.Reserved = s.bytes(s.spare(m, s.roomRatio)), s.bytes(s.owned[m.ID]) // less than 2^64, as Room sees to
	}
	if home {
		c.Homes = s.homes[m.ID]
	}
	return c
}

// refresh brings the candidates of an mComponent in line with the books.
func (s *State) refresh(id wire.NodeID) {
	if i, ok := s.members.Find(id); ok {
		s.forRegions.Put(s.candidate(i, false))
		s.forHomes.Put(s.candidate(i, true))
	} else {
		s.forRegions.Remove(id)
		s.forHomes.Remove(id)
	}
}

// fill makes the candidates anew.
func (s *State) fill() {
	s.forRegions.Reset()
	s.forHomes.Reset()
	for i := range s.members.View() {
		s.forRegions.Add(s.candidate(i, false))
		s.forHomes.Add(s.candidate(i, true))
	}
	s.forRegions.Index()
	s.forHomes.Index()
}

// overcommit has the candidates have room under a ratio.
func (s *State) overcommit(ratio uint64) {
	if s.roomRatio != ratio {
		s.roomRatio = ratio
		s.fill()
	}
}

// own and house book n more things that take so many parts of room, or a home, of who has memberships at an mComponent, as long as that is
// registered as then. N is the negative of a number when there are fewer.
func (s *State) own(id wire.NodeID, epoch wire.Epoch, ms []apart.Member, n, parts uint64) {
	s.bookAt(s.owned, id, epoch, ms, n, parts)
}

func (s *State) house(id wire.NodeID, epoch wire.Epoch, ms []apart.Member, n uint64) {
	s.bookAt(s.homes, id, epoch, ms, n, 1)
}

func (s *State) bookAt(held map[wire.NodeID]uint64, id wire.NodeID, epoch wire.Epoch, ms []apart.Member, n, size uint64) {
	if s.count(held, id, epoch, ms, n, size) {
		s.refresh(id)
	}
}

// count books n things of a size without bringing the candidates in line, and reports whether that is to be done.
func (s *State) count(held map[wire.NodeID]uint64, id wire.NodeID, epoch wire.Epoch, ms []apart.Member, n, size uint64) bool {
	if n == 0 || !s.members.Current(id, epoch) {
		return false
	}
	held[id] += n * size
	if len(ms) > 0 {
		m, _ := s.members.Get(id)
		s.apart.Add(ms, id, m.Rack, n)
	}
	return true
}

// countAll books what a process has, n times, without bringing the candidates in line.
func (s *State) countAll(p *Process, n uint64) {
	ms := p.Groups()
	s.count(s.homes, p.Home, p.NodeEpoch, ms, n, 1)
	for _, r := range p.Regions {
		s.count(s.owned, r.Node, r.NodeEpoch, ms, n, p.Serves())
	}
	for _, r := range p.Reserved {
		s.count(s.owned, r.Node, r.NodeEpoch, ms, n*r.Regions, p.Grain())
	}
	if p.Memory.Kind == wire.MemoryNone {
		return
	}
	s.mention(p, p.Home, p.NodeEpoch, n)
	for _, r := range p.Regions {
		s.mention(p, r.Node, r.NodeEpoch, n)
	}
	for _, h := range p.kept() {
		s.countKept(p, h.home, h.Holder, n)
	}
}

// lose notes that nothing is at an mComponent any more.
func (s *State) lose(id wire.NodeID) {
	delete(s.homes, id)
	delete(s.owned, id)
	delete(s.keeps, id)
	s.apart.Forget(id)
	s.refresh(id)
}

func (s *State) find(pid wire.PID) (int, bool) {
	return slices.BinarySearchFunc(s.processes, pid, func(p *Process, pid wire.PID) int { return cmp.Compare(p.PID, pid) })
}

// free gives back what a process has, prepared or not, and remembers that it did.
func (s *State) free(pid wire.PID, nowMS int64) {
	if i, ok := s.find(pid); ok {
		p := s.processes[i]
		s.countAll(p, less)
		nodes := []wire.NodeID{p.Home}
		for _, r := range p.Regions {
			nodes = append(nodes, r.Node)
		}
		for _, r := range p.Reserved {
			nodes = append(nodes, r.Node)
		}
		for _, h := range p.kept() {
			nodes = append(nodes, h.Node)
		}
		s.regions -= p.taken()
		s.forget(p, nowMS)
		slices.Sort(nodes)
		for _, id := range slices.Compact(nodes) {
			s.refresh(id)
		}
		s.processes = slices.Delete(s.processes, i, i+1)
		if p.Prepared { // nothing was told of it
			s.prepared--
			s.untold.Drop(pid)
		} else {
			s.events.Append(events.Event{MS: nowMS, Kind: events.Released, PID: pid, Node: p.Home, Amount: uint64(len(p.Regions))})
		}
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
	if s.ratio != 0 && (s.ratio < MinOvercommit || s.ratio > MaxOvercommit) || s.ratio == 0 && s.regions > 0 {
		return fmt.Errorf("gmm: %d vRegions under an overcommit of %d thousandths, want %d to %d", s.regions, s.ratio, MinOvercommit, MaxOvercommit)
	}
	if n := max(len(s.homeTurn), len(s.ownerTurn), len(s.holderTurn)); n > membership.MaxIDBytes {
		return fmt.Errorf("gmm: a last turn was that of an id of %d bytes, at most %d", n, membership.MaxIDBytes)
	}
	if err := s.checkDerived(); err != nil {
		return err
	}
	was := func(id wire.NodeID, epoch wire.Epoch) bool { return epoch == lostInMove || s.members.Was(id, epoch) }
	homes, owned, keeps, regions, prepared := map[wire.NodeID]uint64{}, map[wire.NodeID]uint64{}, map[wire.NodeID]uint64{}, 0, 0
	for i, p := range s.processes {
		switch {
		case p.PID == 0 || i > 0 && s.processes[i-1].PID >= p.PID:
			return fmt.Errorf("gmm: process %d is out of order", p.PID)
		case p.HomeEpoch == 0 || !was(p.Home, p.NodeEpoch):
			return fmt.Errorf("gmm: process %d: home %q under epoch %d never was", p.PID, p.Home, p.NodeEpoch)
		}
		if err := p.Apart.CheckQualified(); err != nil {
			return fmt.Errorf("gmm: process %d: %w", p.PID, err)
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
				owned[r.Node] += p.Serves()
			}
			if err := s.checkCopies(p, p.seat(j), keeps, owned); err != nil {
				return err
			}
		}
		if err := s.checkCopies(p, p.homeSeat(), keeps, owned); err != nil {
			return err
		}
		for j, r := range p.Reserved {
			if r.Regions == 0 || r.Regions > MaxReserved || !was(r.Node, r.NodeEpoch) || j > 0 && p.Reserved[j-1].Node >= r.Node {
				return fmt.Errorf("gmm: process %d: %d vRegions reserved at %q under epoch %d: none, too many, out of order or never was", p.PID, r.Regions, r.Node, r.NodeEpoch)
			}
			if s.members.Current(r.Node, r.NodeEpoch) {
				owned[r.Node] += r.Regions * p.Grain()
			}
		}
		regions += p.taken()
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
	if err := s.untold.CheckInvariants(func(pid wire.PID) bool {
		i, ok := s.find(pid)
		return ok && s.processes[i].Prepared
	}); err != nil {
		return fmt.Errorf("gmm: %w", err)
	}
	if prepared != s.prepared || len(s.closed) > MaxClosed {
		return fmt.Errorf("gmm: counts %d prepared processes, has %d; remembers %d freed ones, at most %d", s.prepared, prepared, len(s.closed), MaxClosed)
	}
	if len(s.processes) > MaxProcesses || regions > MaxRegions || regions != s.regions {
		return fmt.Errorf("gmm: %d processes and %d vRegions (%d counted), at most %d and %d", len(s.processes), regions, s.regions, MaxProcesses, MaxRegions)
	}
	for _, m := range s.members.Members() {
		if s.owned[m.ID] != owned[m.ID] || s.homes[m.ID] != homes[m.ID] || s.keeps[m.ID] != keeps[m.ID] {
			return fmt.Errorf("gmm: %q counts %d parts of vRegions, %d homes and %d copies, has %d, %d and %d", m.ID, s.owned[m.ID], s.homes[m.ID], s.keeps[m.ID], owned[m.ID], homes[m.ID], keeps[m.ID])
		}
	}
	return s.CheckCapacity(s.ratio)
}

// checkDerived returns how the candidates and the index of groups differ from what the books say, and who is not apart.
func (s *State) checkDerived() error {
	is := *s
	is.forRegions, is.forHomes = placement.Set{}, placement.Set{}
	is.derive()
	if err := s.sameOpen(&is); err != nil {
		return err
	}
	if err := s.apart.Same(is.apart); err != nil {
		return fmt.Errorf("gmm: %w", err)
	}
	if err := s.apart.Check(); err != nil {
		return fmt.Errorf("gmm: %w", err)
	}
	for _, sets := range [][2]*placement.Set{{&s.forRegions, &is.forRegions}, {&s.forHomes, &is.forHomes}} {
		if err := sets[0].Same(sets[1]); err != nil {
			return fmt.Errorf("gmm: %w", err)
		}
	}
	return nil
}

// derive makes what processes and moves take, where groups are, and the candidates.
func (s *State) derive() {
	s.homes, s.owned, s.apart = map[wire.NodeID]uint64{}, map[wire.NodeID]uint64{}, apart.New()
	s.keeps, s.mentions, s.open = map[wire.NodeID]uint64{}, map[wire.NodeID]map[wire.PID]uint64{}, map[wire.PID]struct{}{}
	for _, p := range s.processes {
		s.countAll(p, 1)
	}
	list := s.moves.Moves()
	for i := range list {
		if m := &list[i]; !m.Ended() {
			s.book(m, 1)
		}
	}
	for _, p := range s.processes {
		s.judge(p)
	}
	s.fill()
}

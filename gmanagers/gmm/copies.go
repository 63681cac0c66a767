package gmm

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/netlayer/wire"
)

// Holder is an mComponent that keeps what makes a vRegion, or a memory map, survive the mComponent that serves it.
type Holder struct {
	Node      wire.NodeID
	NodeEpoch wire.Epoch // of the mComponent when it was chosen
	Filling   bool       // it has not got yet what was there before: nothing is recovered from it
	Index     uint32     // of its share
}

// Copies is the redundancy of a vRegion, or of a home, of which the only holder is its backup. It is replaced, never changed: snapshots share
// it.
type Copies struct {
	Holders []Holder // those that leave before those that replace them
	Config  uint64   // 1 at first, one more with every change of the holders, of the sources or of who serves
	Known   bool     // who serves has this configuration
	// The rest is zero while it is whole.
	Short      bool       // it has fewer holders than it should, which was told
	Recovering bool       // who serves it, or will, does not have everything
	Served     bool       // and serves already
	OldEpoch   wire.Epoch // while it recovers: of who served before
	Sources    []Holder   // while it recovers: who has what is missing; of a full copy the one who serves itself
	Failure    uint64     // the Failure after which it is not whole
}

// change returns a copy for a next configuration.
func (c *Copies) change() *Copies {
	n := *c
	n.Holders, n.Sources = slices.Clone(c.Holders), slices.Clone(c.Sources)
	return &n
}

// inSync counts the holders from which something can be recovered.
func (c *Copies) inSync() (n int) {
	for _, h := range c.Holders {
		if !h.Filling {
			n++
		}
	}
	return n
}

// HomeMember is the membership of the home's mComponent under which it was chosen, 0 if the home has no backup. Whoever opens the process there says it:
// one that was started again since knows nothing of the process, and would be a second home beside the backup, which takes over.
func (p *Process) HomeMember() wire.Epoch {
	if p.Copies == nil {
		return 0
	}
	return p.NodeEpoch
}

// wants is how many holders a part of the process should have.
func (p *Process) wants(home bool) int {
	switch {
	case p.Memory.Kind == wire.MemoryNone:
		return 0
	case home:
		return 1
	}
	return p.Memory.Holders()
}

// needs is how many holders in sync suffice to recover a part.
func (p *Process) needs(home bool) int {
	if p.shares(home) {
		return int(p.Memory.Data)
	}
	return 1
}

// shares reports whether the holders of a part have shares of its pages: then who serves it has none.
func (p *Process) shares(home bool) bool { return !home && p.Memory.Kind == wire.MemoryErasure }

// has reports whether a holder of a part, whose copies are c, has everything that was ever answered. A home answers no change of its memory map
// before it has a vRegion, with which it hears of its first backup, and none from then on that this backup does not have. So the first one has everything at any
// time; of a later one it is known only when it is not being filled any more.
func (p *Process) has(home bool, c *Copies, h Holder) bool {
	return !h.Filling || home && c.Config == 1
}

// sources of a full copy are one: whoever serves it then.
func (p *Process) full(home bool) bool { return home || p.Memory.Kind == wire.MemorySync }

// taken is for how many vRegions the process counts in all.
func (p *Process) taken() int {
	n := len(p.Regions)
	for _, r := range p.Reserved {
		n += int(r.Regions)
	}
	if p.takes(false) > 0 {
		for i := range p.Regions {
			if c := p.Regions[i].Copies; c != nil {
				n += len(c.Holders)
			}
		}
	}
	return n
}

// seat is where the books have a part.
type seat struct {
	redundancy.Part
	node      *wire.NodeID
	nodeEpoch *wire.Epoch
	epoch     *wire.Epoch
	copies    **Copies
}

func (p *Process) homeSeat() seat {
	return seat{redundancy.Part{PID: p.PID, Home: true}, &p.Home, &p.NodeEpoch, &p.HomeEpoch, &p.Copies}
}

func (p *Process) seat(i int) seat {
	r := &p.Regions[i]
	return seat{redundancy.Part{PID: p.PID, Region: r.Region}, &r.Node, &r.NodeEpoch, &r.Epoch, &r.Copies}
}

// seatOf finds a part that has copies.
func (p *Process) seatOf(of redundancy.Part) (seat, bool) {
	if of.Home {
		return p.homeSeat(), p.Copies != nil
	}
	i, ok := p.findRegion(of.Region)
	if !ok {
		return seat{}, false
	}
	return p.seat(i), p.Regions[i].Copies != nil
}

// thing is the part as it moves.
func (t *seat) thing() movelist.Thing {
	if t.Home {
		return movelist.Thing{Kind: wire.MoveHome, PID: t.PID}
	}
	return movelist.Thing{Kind: wire.MoveRegion, PID: t.PID, Region: t.Region}
}

// keep books n holders more, or fewer, of a process, as long as the mComponent is registered as then.
func (s *State) keep(p *Process, home bool, h Holder, n uint64) {
	if p.takes(home) > 0 {
		s.regions += int(int64(n))
	}
	if s.countKept(p, home, h, n) {
		s.refresh(h.Node)
	}
}

func (s *State) countKept(p *Process, home bool, h Holder, n uint64) bool {
	s.mention(p, h.Node, h.NodeEpoch, n)
	if p.takes(home) > 0 {
		s.count(s.owned, h.Node, h.NodeEpoch, nil, n, p.takes(home))
	}
	return s.count(s.keeps, h.Node, h.NodeEpoch, p.Groups(), n, 1)
}

// serve books that an mComponent serves a part, or that it does not any more.
func (s *State) serve(p *Process, t *seat, n uint64) {
	if t.Home {
		s.house(*t.node, *t.nodeEpoch, p.Groups(), n)
	} else {
		s.own(*t.node, *t.nodeEpoch, p.Groups(), n, p.Serves())
	}
	s.mention(p, *t.node, *t.nodeEpoch, n)
}

// mention notes that a process with copies has n things more, or fewer, at an mComponent, so that its death finds them.
func (s *State) mention(p *Process, id wire.NodeID, epoch wire.Epoch, n uint64) {
	if p.Memory.Kind == wire.MemoryNone || s.mentions == nil || !s.members.Current(id, epoch) {
		return
	}
	at := s.mentions[id]
	if at == nil {
		at = map[wire.PID]uint64{}
		s.mentions[id] = at
	}
	if at[p.PID] += n; at[p.PID] == 0 {
		if delete(at, p.PID); len(at) == 0 {
			delete(s.mentions, id)
		}
	}
}

// mentioned returns the processes with copies that have something at an mComponent, ascending.
func (s *State) mentioned(id wire.NodeID) []wire.PID {
	return slices.Sorted(maps.Keys(s.mentions[id]))
}

// put replaces the copies of a part. What is whole belongs to no failure any more.
func (s *State) put(p *Process, t *seat, c *Copies) {
	if c != nil && c.Failure != 0 && s.whole(p, t, c) {
		c.Failure = 0
	}
	was := *t.copies
	*t.copies = c
	s.failures.account(was, less)
	s.failures.account(c, 1)
	s.copyChanges++
}

// whole reports whether a part survives what its policy says.
func (s *State) whole(p *Process, t *seat, c *Copies) bool {
	return s.members.Current(*t.node, *t.nodeEpoch) && !c.Recovering && c.inSync() >= p.wants(t.Home)
}

// staying counts the holders that are not to leave: their mComponents do not drain.
func (s *State) staying(c *Copies) (n, inSync int) {
	for _, h := range c.Holders {
		if !s.drains(h.Node) {
			if n++; !h.Filling {
				inSync++
			}
		}
	}
	return n, inSync
}

// stage says what a part needs, 0 if it is settled or must wait for a move of it.
func (s *State) stage(p *Process, t *seat) redundancy.Stage {
	c := *t.copies
	if c == nil || p.Prepared {
		return 0
	}
	if !s.members.Current(*t.node, *t.nodeEpoch) {
		if s.moves.Moving(t.thing()) != nil {
			return 0
		}
		return redundancy.Tend // whoever could serve it has no room yet
	}
	staying, _ := s.staying(c)
	switch {
	case c.Recovering:
		return redundancy.Recover
	case !c.Known || c.inSync() < len(c.Holders):
		return redundancy.Configure
	case staying < p.wants(t.Home) || staying < len(c.Holders) || len(c.Holders) > p.wants(t.Home):
		return redundancy.Tend
	}
	return 0
}

// judge keeps the list of processes of which something is not settled.
func (s *State) judge(p *Process) {
	if s.mentions == nil || p.Memory.Kind == wire.MemoryNone { // asked what if
		return
	}
	s.copyChanges++
	t := p.homeSeat()
	open := s.waits(p, &t)
	for i := 0; i < len(p.Regions) && !open; i++ {
		t := p.seat(i)
		open = s.waits(p, &t)
	}
	if open {
		s.open[p.PID] = struct{}{}
	} else if _, was := s.open[p.PID]; was {
		p.Done, p.Pages = 0, 0
		delete(s.open, p.PID)
	}
}

// waits reports whether a part is not settled, or was lost while it moves and nobody knows yet what becomes of it.
func (s *State) waits(p *Process, t *seat) bool {
	return *t.copies != nil && !p.Prepared && (s.stage(p, t) != 0 || !s.members.Current(*t.node, *t.nodeEpoch))
}

// rejudge looks again at all that have something at an mComponent.
func (s *State) rejudge(id wire.NodeID) {
	for _, pid := range s.mentioned(id) {
		if i, ok := s.find(pid); ok {
			s.judge(s.processes[i])
		}
	}
}

// holders are those of a part as messages have them.
func (s *State) holders(hs []Holder) []wire.Holder {
	out := make([]wire.Holder, 0, len(hs))
	for _, h := range hs {
		m, _ := s.members.Get(h.Node)
		out = append(out, wire.Holder{Node: h.Node, Addr: m.Addr, Member: h.NodeEpoch, Filling: h.Filling, Index: h.Index})
	}
	return out
}

// regionConfig is the configuration of a vRegion; of one without copies the zero value.
func (s *State) regionConfig(p *Process, r *Region) (c wire.RegionConfig) {
	if r.Copies == nil {
		return c
	}
	return wire.RegionConfig{PID: p.PID, Region: r.Region, Epoch: r.Epoch, Config: r.Copies.Config, Policy: p.Memory, Holders: s.holders(r.Copies.Holders)}
}

// homeConfig is who backs up the home of a process; the zero value if nobody should.
func (s *State) homeConfig(p *Process) (c wire.HomeConfig) {
	if p.Copies == nil {
		return c
	}
	c = wire.HomeConfig{PID: p.PID, Epoch: p.HomeEpoch, Config: p.Copies.Config}
	for _, h := range s.holders(p.Copies.Holders) { // there is one at most
		c.Backup = h
	}
	return c
}

// CopyChanges counts what changed copies, so that who reads them can tell whether he must read them again. It is not replicated.
func (s *State) CopyChanges() uint64 { return s.copyChanges }

// MaxListed bounds the parts that Unsettled names; the most urgent ones come first.
const MaxListed = 8192

// Unsettled lists what a redundancy.Driver has to do.
func (s *State) Unsettled() (out []redundancy.Listed) {
	pids := slices.Sorted(maps.Keys(s.open))
	for _, stage := range []redundancy.Stage{redundancy.Recover, redundancy.Configure, redundancy.Tend} {
		for _, pid := range pids {
			i, ok := s.find(pid)
			if !ok {
				continue
			}
			p := s.processes[i]
			list := func(t seat) {
				if len(out) < MaxListed && s.stage(p, &t) == stage && (t.Home || stage != redundancy.Recover || (*t.copies).Served || s.homeServes(p)) {
					out = append(out, s.listed(p, &t, stage))
				}
			}
			list(p.homeSeat())
			for i := range p.Regions {
				list(p.seat(i))
			}
		}
	}
	return out
}

// homeServes reports whether vRegions of a process can begin to be served elsewhere: its home tells who uses them.
func (s *State) homeServes(p *Process) bool {
	return s.members.Current(p.Home, p.NodeEpoch) && (p.Copies == nil || !p.Copies.Recovering || p.Copies.Served) &&
		s.moves.MovingOf(wire.MoveHome, p.PID, 0) == nil
}

func (s *State) listed(p *Process, t *seat, stage redundancy.Stage) redundancy.Listed {
	c := *t.copies
	m, _ := s.members.Get(*t.node)
	l := redundancy.Listed{
		Part: t.Part, Stage: stage, Node: *t.node, Addr: m.Addr, Member: *t.nodeEpoch, Epoch: *t.epoch, Config: c.Config, Policy: p.Memory,
		Holders: s.holders(c.Holders), Known: c.Known, Served: c.Served,
	}
	if stage == redundancy.Recover {
		l.OldEpoch, l.Sources = c.OldEpoch, s.holders(c.Sources)
		if !t.Home {
			home, _ := s.members.Get(p.Home)
			l.Via, l.ViaAddr = home.ID, home.Addr
		}
	}
	return l
}

// movable says why a part must stay where it is.
func (s *State) movable(p *Process, t *seat) error {
	c := *t.copies
	switch {
	case c == nil:
	case c.Recovering:
		return wire.Errorf(wire.KindBusy, "%v is recovered at %s, it stays until then", t.Part, *t.node)
	case !c.Known || c.inSync() < len(c.Holders):
		return wire.Errorf(wire.KindBusy, "the copies of %v are being made, it stays until then", t.Part)
	}
	if t.Home {
		for i := range p.Regions {
			if c := p.Regions[i].Copies; c != nil && c.Recovering {
				return wire.Errorf(wire.KindBusy, "vRegion %d of process %d is recovered, its home stays until then", p.Regions[i].Region, p.PID)
			}
		}
	}
	return nil
}

// Keeps returns the mComponents that must not get a part, as they have a copy of it, ascending.
func (c *Copies) Keeps() (out []wire.NodeID) {
	if c == nil {
		return nil
	}
	for _, h := range c.Holders {
		out = append(out, h.Node)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Survives reports whether a part of a process outlives the mComponent that serves it: enough others have everything of it, and, if that is the
// home, of the home.
func (p *Process) Survives(home bool, region wire.RegionNo) bool {
	serves := p.Home
	if i, ok := p.findRegion(region); ok && !home {
		serves = p.Regions[i].Node
	}
	return p.Outlives(home, region, func(id wire.NodeID) bool { return id == serves })
}

// Outlives is Survives without others that go, too.
func (p *Process) Outlives(home bool, region wire.RegionNo, goes func(wire.NodeID) bool) bool {
	enough := func(c *Copies, owner wire.NodeID, home bool) bool {
		if c == nil {
			return false
		}
		var have []wire.NodeID
		for _, h := range slices.Concat(c.Holders, c.Sources) {
			if p.has(home, c, h) && h.Node != owner && !goes(h.Node) && !slices.Contains(have, h.Node) {
				have = append(have, h.Node)
			}
		}
		return len(have) >= p.needs(home)
	}
	if home {
		return enough(p.Copies, p.Home, true)
	}
	// The home survives if it does not go, or its backup does not.
	if goes(p.Home) && !enough(p.Copies, p.Home, true) {
		return false
	}
	i, ok := p.findRegion(region)
	return ok && enough(p.Regions[i].Copies, p.Regions[i].Node, false)
}

// checkCopies returns the first broken rule of the copies of a part, and counts holders.
func (s *State) checkCopies(p *Process, t seat, keeps, owned map[wire.NodeID]uint64) error {
	c := *t.copies
	bad := func(format string, args ...any) error {
		return fmt.Errorf("gmm: %v: %s", t.Part, fmt.Sprintf(format, args...))
	}
	if c == nil {
		return nil
	}
	current := s.members.Current(*t.node, *t.nodeEpoch)
	switch {
	case p.Memory.Kind == wire.MemoryNone:
		return bad("it has copies, and its process no policy")
	case c.Config == 0 || len(c.Holders) > 2*wire.MaxHolders:
		return bad("configuration %d with %d holders", c.Config, len(c.Holders))
	case !c.Recovering && (c.Served || c.OldEpoch != 0 || len(c.Sources) > 0):
		return bad("it does not recover, and served %t, old epoch %d, %d sources", c.Served, c.OldEpoch, len(c.Sources))
	case c.Recovering && (c.OldEpoch == 0 || c.OldEpoch >= *t.epoch):
		return bad("it recovers from epoch %d under epoch %d", c.OldEpoch, *t.epoch)
	case current && c.Recovering && len(c.Sources) < p.needs(t.Home):
		return bad("it recovers from %d sources, %d are needed", len(c.Sources), p.needs(t.Home))
	case t.Home && len(c.Holders) > 1:
		return bad("it has %d backups", len(c.Holders))
	case c.Failure != 0 && s.whole(p, &t, c):
		return bad("it is whole, and belongs to failure %d", c.Failure)
	}
	staying := 0
	for i, h := range c.Holders {
		switch {
		case !s.members.Current(h.Node, h.NodeEpoch):
			return bad("holder %s under epoch %d is gone", h.Node, h.NodeEpoch)
		case current && h.Node == *t.node:
			return bad("%s serves it and holds a copy", h.Node)
		case slices.ContainsFunc(c.Holders[:i], func(o Holder) bool { return o.Node == h.Node }):
			return bad("%s holds it twice", h.Node)
		case int(h.Index) >= p.wants(t.Home):
			return bad("%s holds share %d of %d", h.Node, h.Index, p.wants(t.Home))
		}
		if !s.drains(h.Node) {
			staying++
		}
		keeps[h.Node]++
		owned[h.Node] += p.takes(t.Home)
	}
	if staying > len(c.Holders) || len(c.Holders) > math.MaxInt32 {
		return bad("%d holders, %d stay", len(c.Holders), staying)
	}
	for _, h := range c.Sources {
		if current && !s.members.Current(h.Node, h.NodeEpoch) {
			return bad("source %s under epoch %d is gone", h.Node, h.NodeEpoch)
		}
	}
	return nil
}

// tell appends an event of a part.
func (s *State) tell(t *seat, nowMS int64, k events.Kind, node wire.NodeID, format string, args ...any) {
	s.events.Append(events.Event{MS: nowMS, Kind: k, PID: t.PID, Region: t.Region, Node: node, Epoch: *t.epoch, Reason: fmt.Sprintf(format, args...)})
}

// byRest orders reservations of which copies are taken: the most first, so that what is left can be taken apart, too.
func byRest(a, b Reserve) int {
	return cmp.Or(cmp.Compare(b.Regions, a.Regions), cmp.Compare(a.Node, b.Node))
}

// kept is a holder of a process, of its home or of a vRegion.
type kept struct {
	Holder
	home bool
}

// kept are all holders of a process.
func (p *Process) kept() (out []kept) {
	if p.Copies != nil {
		for _, h := range p.Copies.Holders {
			out = append(out, kept{h, true})
		}
	}
	if p.Memory.Kind == wire.MemoryNone {
		return out
	}
	for i := range p.Regions {
		if c := p.Regions[i].Copies; c != nil {
			for _, h := range c.Holders {
				out = append(out, kept{h, false})
			}
		}
	}
	return out
}

// forget takes a process that is freed from the failures that wait for it.
func (s *State) forget(p *Process, nowMS int64) {
	if p.Memory.Kind == wire.MemoryNone || s.mentions == nil {
		return
	}
	s.failures.account(p.Copies, less)
	for i := range p.Regions {
		s.failures.account(p.Regions[i].Copies, less)
	}
	s.failures.settle(nowMS, s.events)
	delete(s.open, p.PID)
	s.copyChanges++
}

// sameOpen says how what is not settled, and who is mentioned, differs from what the books say.
func (s *State) sameOpen(is *State) error {
	if !maps.Equal(s.open, is.open) {
		return fmt.Errorf("gmm: %v are not settled, want %v", slices.Sorted(maps.Keys(s.open)), slices.Sorted(maps.Keys(is.open)))
	}
	if !maps.EqualFunc(s.mentions, is.mentions, func(a, b map[wire.PID]uint64) bool { return maps.Equal(a, b) }) {
		return fmt.Errorf("gmm: mentions %v, want %v", s.mentions, is.mentions)
	}
	return s.failures.check(s.processes)
}

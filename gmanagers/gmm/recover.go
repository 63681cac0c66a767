package gmm

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/placement"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/netlayer/wire"
)

// fail gives what an mComponent had, whose epoch is over, to those who have copies of it, and chooses new holders. The member table
// knows already that it is over.
func (s *State) fail(id wire.NodeID, epoch wire.Epoch, cmd Command, cause string) {
	pids := s.mentioned(id)
	delete(s.mentions, id)
	if len(pids) == 0 {
		return
	}
	no := s.failures.begin(Failure{Node: id, Epoch: epoch, MS: cmd.Stamp.NowMS, Cause: cause, SilentMS: cmd.Request.SilentMS})
	for _, pid := range pids {
		i, ok := s.find(pid)
		if !ok {
			continue
		}
		p := s.processes[i]
		s.mend(p, p.homeSeat(), no, cmd) // the home first: without it no vRegion can be recovered
		for j := range p.Regions {
			s.mend(p, p.seat(j), no, cmd)
		}
		s.judge(p)
	}
	f := s.failures.find(no)
	s.events.Append(events.Event{
		MS: cmd.Stamp.NowMS, Kind: events.Recovering, Node: id, Epoch: epoch, Amount: f.Served,
		Reason: fmt.Sprintf("failure %d: %d homes and vRegions are served by others, of %d a copy is made anew, %d are lost", no, f.Served, f.Copies, f.Lost),
	})
	s.failures.settle(cmd.Stamp.NowMS, s.events)
}

// mend brings a part in line with who is a member. No is the failure for which it does.
func (s *State) mend(p *Process, t seat, no uint64, cmd Command) {
	c := *t.copies
	if c == nil {
		return
	}
	next := c.change()
	gone := func(h Holder) bool { return !s.members.Current(h.Node, h.NodeEpoch) }
	for _, h := range c.Holders {
		if gone(h) {
			s.keep(p, t.Home, h, less)
		}
	}
	next.Holders, next.Sources = slices.DeleteFunc(next.Holders, gone), slices.DeleteFunc(next.Sources, gone)
	f := s.failures.find(no)
	switch served := s.members.Current(*t.node, *t.nodeEpoch); {
	case !served && s.moves.Moving(t.thing()) != nil: // the end of the move says who has it
	case !served:
		ok, wait := s.inherit(p, &t, next, cmd)
		if !ok && !wait {
			s.loseCopies(p, &t, next, no, cmd)
			return
		}
		if f != nil && ok {
			f.Served++
		}
	case c.Recovering && (len(next.Sources) < p.needs(t.Home) || !c.Served && !t.Home && s.homeLost(p)):
		s.serve(p, &t, less)
		*t.nodeEpoch = lostInMove
		s.loseCopies(p, &t, next, no, cmd)
		return
	case len(next.Holders) == len(c.Holders) && len(next.Sources) == len(c.Sources):
		return
	case p.shares(t.Home) && next.inSync() < p.needs(false): // who serves it has no pages, and too few shares are left to make them
		s.serve(p, &t, less)
		*t.nodeEpoch = lostInMove
		s.loseCopies(p, &t, next, no, cmd)
		return
	default:
		if f != nil {
			f.Copies++
		}
	}
	next.Config, next.Known = c.Config+1, false
	if no != 0 {
		next.Failure = no
	}
	if s.members.Current(*t.node, *t.nodeEpoch) {
		s.fillUp(p, &t, next, cmd)
	}
	s.put(p, &t, next)
}

// loseCopies gives up a part that nobody has any more, and says so.
func (s *State) loseCopies(p *Process, t *seat, next *Copies, no uint64, cmd Command) {
	for _, h := range next.Holders {
		s.keep(p, t.Home, h, less)
	}
	s.put(p, t, nil)
	if f := s.failures.find(no); f != nil {
		f.Lost++
	}
	s.tell(t, cmd.Stamp.NowMS, events.Lost, *t.node, "%v is lost: %s", t.Part, s.whyLost(p, t, next))
}

func (s *State) whyLost(p *Process, t *seat, c *Copies) string {
	if !t.Home && s.homeLost(p) {
		return fmt.Sprintf("the home of process %d, which would tell its new owner, is lost", p.PID)
	}
	return fmt.Sprintf("with replication %v %d of its copies are left that have everything, %d are needed", p.Memory.Kind, c.inSync(), p.needs(t.Home))
}

// homeLost reports whether nobody is the home of a process any more, or will be: then nobody tells who uses its vRegions of another owner.
func (s *State) homeLost(p *Process) bool {
	return !s.members.Current(p.Home, p.NodeEpoch) && s.moves.MovingOf(wire.MoveHome, p.PID, 0) == nil
}

// inherit names who serves a part whose mComponent is gone. Wait says that it can be recovered, but nobody has room to serve it now.
func (s *State) inherit(p *Process, t *seat, next *Copies, cmd Command) (ok, wait bool) {
	if t.Home && next.Config == 1 {
		// The home maps nothing without an owner that GMM names, and with the first of them it hears of its first backup: from then on that has
		// what it answers. So the backup has all that matters, or there is nothing, whether the home has said so or not.
		for i := range next.Holders {
			next.Holders[i].Filling = false
		}
	}
	var sources []Holder
	for _, h := range next.Holders {
		if p.has(t.Home, *t.copies, h) {
			h.Filling = false
			sources = append(sources, h)
		}
	}
	if len(sources) < p.needs(t.Home) || *t.epoch > math.MaxUint32-6 || !t.Home && s.homeLost(p) {
		return false, false
	}
	heir := slices.IndexFunc(next.Holders, func(h Holder) bool { return p.has(t.Home, *t.copies, h) && !s.drains(h.Node) })
	if heir < 0 {
		heir = slices.IndexFunc(next.Holders, func(h Holder) bool { return p.has(t.Home, *t.copies, h) })
	}
	to := wire.Member{}
	if !p.full(t.Home) { // somebody else serves it, and its holders stay; one of them if nobody else can
		var avoid []wire.NodeID
		for _, h := range next.Holders {
			avoid = append(avoid, h.Node)
		}
		key := placement.Hash(uint64(p.PID), uint64(t.Region), 2)
		m, err := s.pick(cmd, func() string { return t.String() }, asked{key: key, ms: p.Groups(), set: &s.forRegions, turn: &s.ownerTurn, need: s.bytes(p.Serves()), avoid: avoid, racks: s.racksOf(next.Holders)})
		if err == nil {
			to, heir = m, -1
		} else if h := next.Holders[heir]; !s.hasRoom(h.Node) && p.takes(false) == 0 || p.shares(false) && len(sources) <= p.needs(false) {
			return false, true // one that serves has no share: the others must suffice
		}
	}
	if heir >= 0 {
		h := next.Holders[heir]
		to, _ = s.members.Get(h.Node)
		next.Holders = slices.Delete(next.Holders, heir, heir+1)
		s.keep(p, t.Home, h, less)
		h.Filling = false
		if p.full(t.Home) {
			sources = []Holder{h}
		} else if p.shares(false) {
			sources = slices.DeleteFunc(sources, func(o Holder) bool { return o.Node == h.Node })
		}
	}
	next.Recovering, next.Served, next.OldEpoch, next.Sources = true, false, *t.epoch, sources
	*t.node, *t.nodeEpoch, *t.epoch = to.ID, to.Epoch, *t.epoch+3 // a move under way may have used the next two
	s.serve(p, t, 1)
	return true, false
}

// hasRoom reports whether an mComponent has room for one more vRegion.
func (s *State) hasRoom(id wire.NodeID) bool {
	m, ok := s.members.Get(id)
	return ok && s.spare(&m, max(s.roomRatio, MinOvercommit)) >= Parts
}

// asked is for what pick chooses an mComponent.
type asked struct {
	key   uint64         // for policies that hash
	ms    []apart.Member // what it is for
	set   *placement.Set
	turn  *wire.NodeID // the one that round_robin chose last for the like
	note  *events.Event
	need  uint64        // bytes
	avoid []wire.NodeID // that must not get it
	racks []string      // that get it only if no other can
}

// pick chooses an mComponent. What says in an error for what.
func (s *State) pick(cmd Command, what func() string, a asked) (wire.Member, error) {
	policy, err := placement.New(cmd.Stamp.Policy)
	if err != nil {
		return wire.Member{}, err
	}
	if cmd.Overcommit < MinOvercommit || cmd.Overcommit > MaxOvercommit {
		return wire.Member{}, wire.Errorf(wire.KindBadRequest, "overcommit %d thousandths, want %d to %d", cmd.Overcommit, MinOvercommit, MaxOvercommit)
	}
	ask := placement.Ask{Need: a.need, Key: a.key, Chance: placement.Hash(cmd.Stamp.Chance, a.key), After: *a.turn}
	nodes, racks := s.apart.Avoid(a.ms)
	ask.Avoid, ask.AvoidRacks = union(nodes, a.avoid), union(racks, a.racks)
	ask.Within, ask.WithinRacks = s.apart.Own(a.ms)
	i, chosen := placement.ChooseNear(policy, ask, a.set)
	if i < 0 && len(a.racks) > 0 {
		ask.AvoidRacks = racks
		i, chosen = placement.ChooseNear(policy, ask, a.set)
	}
	if i < 0 {
		text := fmt.Sprintf("vregions: %s wants 1 of %d bytes: %s", what(), s.regionBytes, s.refuses(a.ms, a.need, a.avoid))
		if len(a.ms) > 0 {
			text = fmt.Sprintf("apart: it is apart from %s; %s", apart.Groups(a.ms), text)
		}
		return wire.Member{}, wire.Errorf(wire.KindNoRoom, "%s", text)
	}
	if a.note != nil {
		a.note.Explain(policy, chosen, a.set, i)
	}
	m, _ := s.members.Get(a.set.ID(i))
	if policy.Rotates {
		*a.turn = m.ID
	}
	return m, nil
}

// union returns the values of both, ascending.
func union[T cmp.Ordered](a, b []T) []T {
	if len(b) == 0 {
		return a
	}
	out := append(slices.Clone(a), b...)
	slices.Sort(out)
	return slices.Compact(out)
}

// racksOf are the racks of holders.
func (s *State) racksOf(hs []Holder) (out []string) {
	for _, h := range hs {
		if m, ok := s.members.Get(h.Node); ok {
			out = append(out, m.Rack)
		}
	}
	return out
}

// holder chooses one more holder of a part, apart from who serves it and from its other holders.
func (s *State) holder(p *Process, t *seat, next *Copies, cmd Command) (wire.Member, error) {
	avoid := append(next.Keeps(), *t.node)
	for _, h := range next.Sources {
		avoid = append(avoid, h.Node)
	}
	if m := s.moves.Moving(t.thing()); m != nil {
		avoid = append(avoid, m.Req.To)
	}
	owner, _ := s.members.Get(*t.node)
	a := asked{
		key: placement.Hash(uint64(p.PID), uint64(t.Region), 3, next.Config), ms: p.Groups(), set: &s.forRegions, turn: &s.holderTurn,
		need: s.bytes(p.takes(t.Home)), avoid: avoid, racks: append(s.racksOf(next.Holders), owner.Rack),
	}
	return s.pick(cmd, func() string { return "a copy of " + t.String() }, a)
}

// fillUp chooses the holders that a part lacks. They are filled, unless nothing was written to it yet. What cannot be had is told once.
func (s *State) fillUp(p *Process, t *seat, next *Copies, cmd Command) (changed bool) {
	for {
		staying, _ := s.staying(next)
		if staying >= p.wants(t.Home) {
			next.Short = false
			return changed
		}
		m, err := s.holder(p, t, next, cmd)
		if err != nil {
			if !next.Short {
				next.Short, changed = true, true
				s.tell(t, cmd.Stamp.NowMS, events.Unprotected, *t.node, "%v has %d copies of %d: %s", t.Part, staying, p.wants(t.Home), membership.TextOf(err))
			}
			return changed
		}
		h := Holder{Node: m.ID, NodeEpoch: m.Epoch, Filling: true, Index: s.index(p, t, next)}
		s.keep(p, t.Home, h, 1)
		if t.Home { // it has one backup: the one that leaves hears of nothing any more
			for _, old := range next.Holders {
				s.keep(p, true, old, less)
			}
			next.Holders = nil
		}
		next.Holders, changed = append(next.Holders, h), true
	}
}

// index is the first share that nobody has; if each is somewhere, that no holder which stays has: one that drains may have to stay, if nobody comes for it.
func (s *State) index(p *Process, t *seat, c *Copies) uint32 {
	for _, leaving := range []bool{true, false} { // whether those count too
		for i := range uint32(p.wants(t.Home)) {
			if !slices.ContainsFunc(c.Holders, func(h Holder) bool { return h.Index == i && (leaving || !s.drains(h.Node)) }) {
				return i
			}
		}
	}
	return 0
}

// single lets go of two holders with one share the one that is filled, or came later: it came for the other, whose drain has ended since. It may be needed for
// another share.
func (s *State) single(p *Process, t *seat, c *Copies) (changed bool) {
	for i := len(c.Holders) - 1; i > 0; i-- {
		h := c.Holders[i]
		j := slices.IndexFunc(c.Holders[:i], func(o Holder) bool { return o.Index == h.Index })
		if j < 0 || s.drains(h.Node) || s.drains(c.Holders[j].Node) {
			continue
		}
		k := i
		if c.Holders[j].Filling && !h.Filling {
			k = j
		}
		s.keep(p, t.Home, c.Holders[k], less)
		c.Holders, changed = slices.Delete(c.Holders, k, k+1), true
	}
	return changed
}

// tend looks again for what a part lacks, and lets go who drains when nobody depends on it any more.
func (s *State) tend(p *Process, t seat, cmd Command) {
	c := *t.copies
	if c == nil || p.Prepared {
		return
	}
	if !s.members.Current(*t.node, *t.nodeEpoch) {
		s.mend(p, t, c.Failure, cmd)
		return
	}
	next := c.change()
	changed := !next.Recovering && s.single(p, &t, next)
	changed = s.fillUp(p, &t, next, cmd) || changed
	if _, inSync := s.staying(next); inSync >= p.wants(t.Home) && !next.Recovering {
		for _, h := range next.Holders {
			if s.drains(h.Node) {
				s.keep(p, t.Home, h, less)
				changed = true
			}
		}
		next.Holders = slices.DeleteFunc(next.Holders, func(h Holder) bool { return s.drains(h.Node) })
	}
	if !changed {
		return
	}
	if !slices.Equal(next.Holders, c.Holders) {
		next.Config, next.Known = c.Config+1, false
	}
	s.put(p, &t, next)
}

// changed carries out what a redundancy.Driver learned. What is not so any more changes nothing.
func (s *State) changed(cmd Command) Result {
	if n := len(cmd.Request.Copies); n > redundancy.MaxBatch {
		return failed(wire.Errorf(wire.KindBadRequest, "%d changes of copies, at most %d", n, redundancy.MaxBatch))
	}
	for i := range cmd.Request.Copies {
		ch := &cmd.Request.Copies[i]
		j, ok := s.find(ch.Part.PID)
		if !ok {
			continue
		}
		p := s.processes[j]
		if ch.Verb == redundancy.Progress {
			if _, open := s.open[p.PID]; open {
				p.Done, p.Pages = ch.Done, ch.Known
			}
			continue
		}
		if t, ok := p.seatOf(ch.Part); ok {
			s.learn(p, t, ch, cmd)
			s.judge(p)
		}
	}
	s.failures.settle(cmd.Stamp.NowMS, s.events)
	return Result{}
}

func (s *State) learn(p *Process, t seat, ch *redundancy.Change, cmd Command) {
	if ch.Verb == redundancy.Tended {
		s.tend(p, t, cmd)
		return
	}
	c := *t.copies
	if ch.Epoch != *t.epoch || !s.members.Current(*t.node, *t.nodeEpoch) {
		return
	}
	next := c.change()
	switch ch.Verb {
	case redundancy.Configured:
		if ch.Config != c.Config || c.Recovering || ch.Absent && (!t.Home || len(p.Regions) > 0) {
			return
		}
		next.Known = true
		for i := range next.Holders {
			next.Holders[i].Filling = next.Holders[i].Filling && !slices.Contains(ch.InSync, next.Holders[i].Node)
		}
		s.put(p, &t, next)
		s.tend(p, t, cmd)
	case redundancy.Served, redundancy.Recovered:
		if !c.Recovering {
			return
		}
		if f := s.failures.find(c.Failure); f != nil && !c.Served {
			f.FencedMS = max(f.FencedMS, f.since(cmd.Stamp.NowMS-int64(min(ch.FencedMS, math.MaxInt32))))
			if f.FirstMS == 0 {
				f.FirstMS = f.since(cmd.Stamp.NowMS)
			}
		}
		next.Served = true
		if t.Home && !c.Served { // moves under way told the one before
			home, _ := s.members.Get(p.Home)
			s.moves.Redirect(p.PID, home.ID, home.Addr, p.HomeEpoch)
		}
		if ch.Verb == redundancy.Recovered {
			next.Recovering, next.Served, next.OldEpoch, next.Sources = false, false, 0, nil
			if ch.Lost > 0 {
				s.tell(&t, cmd.Stamp.NowMS, events.Lost, *t.node, "%d pages of %v are lost: a full log had skipped them; the first are %v", ch.Lost, t.Part, ch.LostPages)
			}
		}
		s.put(p, &t, next)
	case redundancy.Failed:
		if !c.Recovering {
			return
		}
		s.serve(p, &t, less)
		*t.nodeEpoch = lostInMove
		if len(ch.Text) > 0 {
			s.tell(&t, cmd.Stamp.NowMS, events.Unprotected, *t.node, "%v cannot be recovered: %s", t.Part, ch.Text)
		}
		s.loseCopies(p, &t, next, c.Failure, cmd)
	}
}

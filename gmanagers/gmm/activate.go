package gmm

import (
	"fmt"
	"slices"

	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/placement"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/netlayer/wire"
)

// protect gives a vRegion that was just activated its holders, out of what is reserved for them if there is something. Nothing was written to
// it, so they have everything. If copies find no room it is an error and nothing was booked; if so few mComponents are left that there
// cannot be enough of them, as after a failure, the vRegion is activated with fewer, which is told, and gets the others later.
func (s *State) protect(p *Process, i int, reserved []wire.NodeID, cmd Command) error {
	t := p.seat(i)
	c := &Copies{Config: 1, Known: true}
	s.mention(p, *t.node, *t.nodeEpoch, 1)
	for n := range p.wants(false) {
		h := Holder{Index: uint32(n)}
		if len(reserved) > 0 {
			m, _ := s.members.Get(reserved[0])
			h.Node, h.NodeEpoch, reserved = m.ID, m.Epoch, reserved[1:]
			s.unreserve(p, h.Node)
			s.own(h.Node, h.NodeEpoch, p.Groups(), less, p.Grain())
			s.regions--
		} else if m, err := s.holder(p, &t, c, cmd); err == nil {
			h.Node, h.NodeEpoch = m.ID, m.Epoch
		} else if s.eligible() > p.wants(false) {
			for _, h := range c.Holders {
				s.keep(p, false, h, less)
			}
			s.mention(p, *t.node, *t.nodeEpoch, less)
			return wire.Errorf(wire.KindNoRoom, "memory.copies: %s", membership.TextOf(err))
		} else {
			c.Short = true
			s.tell(&t, cmd.Stamp.NowMS, events.Unprotected, *t.node, "%v has %d copies of %d: %s", t.Part, len(c.Holders), p.wants(false), membership.TextOf(err))
			break
		}
		s.keep(p, false, h, 1)
		c.Holders = append(c.Holders, h)
	}
	s.put(p, &t, c)
	if s.waits(p, &t) {
		s.open[p.PID] = struct{}{}
	}
	return nil
}

// activateShares gives a vRegion whose pages are in shares the mComponents that have them, and one that serves it. Those with shares are chosen
// first, out of what is reserved for them if it makes them all, because only they need room.
func (s *State) activateShares(p *Process, j int, region wire.RegionNo, cmd Command) error {
	if s.regions >= MaxRegions {
		return wire.Errorf(wire.KindNoRoom, "vRegion table: %d active or reserved, at most %d", s.regions, MaxRegions)
	}
	p.Regions = slices.Insert(p.Regions, j, Region{Region: region, Epoch: 1})
	t, c, reserved := p.seat(j), &Copies{Config: 1, Known: true}, s.together(p)
	var short error
	for n := range p.wants(false) {
		var m wire.Member
		if len(reserved) > 0 {
			m, _ = s.members.Get(reserved[n])
		} else if m, short = s.holder(p, &t, c, cmd); short != nil {
			break
		}
		c.Holders = append(c.Holders, Holder{Node: m.ID, NodeEpoch: m.Epoch, Index: uint32(n)})
	}
	a := asked{
		key: placement.Hash(uint64(p.PID), uint64(region)), ms: p.Groups(), set: &s.forRegions, turn: &s.ownerTurn, note: &s.note,
		need: s.bytes(p.Serves()), avoid: c.Keeps(), racks: s.racksOf(c.Holders),
	}
	owner, err := s.pick(cmd, t.String, a)
	few := s.eligible() <= p.wants(false) // as after a failure
	if last := len(c.Holders) - 1; err != nil && few && last >= p.needs(false) && len(reserved) == 0 {
		owner, _ = s.members.Get(c.Holders[last].Node)
		c.Holders, short, err = c.Holders[:last], err, nil
	}
	if err == nil && short != nil && (!few || len(c.Holders) < p.needs(false)) { // of fewer shares no page can be made
		err = wire.Errorf(wire.KindNoRoom, "memory.data: %s", membership.TextOf(short))
	}
	if err != nil {
		p.Regions = slices.Delete(p.Regions, j, j+1)
		return err
	}
	for i := range reserved {
		s.unreserve(p, reserved[i])
		s.own(c.Holders[i].Node, c.Holders[i].NodeEpoch, p.Groups(), less, p.Grain())
		s.regions--
	}
	*t.node, *t.nodeEpoch = owner.ID, owner.Epoch
	s.serve(p, &t, 1)
	s.regions++
	for _, h := range c.Holders {
		s.keep(p, false, h, 1)
	}
	if short != nil {
		c.Short = true
		s.tell(&t, cmd.Stamp.NowMS, events.Unprotected, owner.ID, "%v has %d copies of %d: %s", t.Part, len(c.Holders), p.wants(false), membership.TextOf(short))
	}
	s.put(p, &t, c)
	if s.waits(p, &t) {
		s.open[p.PID] = struct{}{}
	}
	e := s.note
	e.MS, e.Kind, e.PID, e.Region, e.Node, e.Epoch = cmd.Stamp.NowMS, events.PlacedRegion, p.PID, region, owner.ID, owner.Epoch
	s.events.Append(e)
	return nil
}

// eligible counts the mComponents that may get something.
func (s *State) eligible() (n int) {
	for i := range s.members.View() {
		if _, heard := s.members.Heard(i); heard && s.members.Placeable(i) {
			n++
		}
	}
	return n
}

// unreserve takes one vRegion out of what is reserved at an mComponent.
func (s *State) unreserve(p *Process, id wire.NodeID) {
	j := slices.IndexFunc(p.Reserved, func(r Reserve) bool { return r.Node == id })
	p.Reserved = slices.Clone(p.Reserved)
	if p.Reserved[j].Regions--; p.Reserved[j].Regions == 0 {
		p.Reserved = slices.Delete(p.Reserved, j, j+1)
	}
}

// together returns the mComponents of which what is reserved makes one vRegion with its copies: those with most of it first, so that the rest
// makes whole vRegions too, and of equals in racks of their own if there are; nil if that is not to be had.
func (s *State) together(p *Process) (out []wire.NodeID) {
	if p.takes(false) == 0 {
		return nil
	}
	var rest []Reserve
	for _, r := range p.Reserved {
		if i, ok := s.members.Find(r.Node); ok && s.members.Placeable(i) && s.members.Current(r.Node, r.NodeEpoch) {
			if _, heard := s.members.Heard(i); heard {
				rest = append(rest, r)
			}
		}
	}
	if len(rest) < int(p.grains()) {
		return nil
	}
	slices.SortFunc(rest, byRest)
	var racks []string
	for len(out) < int(p.grains()) {
		best := 0
		for i := range rest {
			m, _ := s.members.Get(rest[i].Node)
			if rest[i].Regions == rest[0].Regions && !slices.Contains(racks, m.Rack) {
				best = i
				break
			}
		}
		m, _ := s.members.Get(rest[best].Node)
		out, racks = append(out, m.ID), append(racks, m.Rack)
		rest = slices.Delete(rest, best, best+1)
	}
	return out
}

// backUp gives a home that is about to be prepared its backup.
func (s *State) backUp(p *Process, cmd Command) error {
	if p.Memory.Kind == wire.MemoryNone {
		return nil
	}
	if n := s.eligible(); n <= p.wants(false) {
		return wire.Errorf(wire.KindNoRoom, "memory.replication: %v keeps each vRegion at %d mComponents, %d are alive and do not drain", p.Memory.Kind, p.wants(false)+1, n)
	}
	t := seat{redundancy.Part{PID: p.PID, Home: true}, &p.Home, &p.NodeEpoch, &p.HomeEpoch, &p.Copies}
	c := &Copies{Config: 1}
	m, err := s.holder(p, &t, c, cmd)
	if err != nil {
		return wire.Errorf(wire.KindNoRoom, "memory.replication: %s", fmt.Sprintf("a backup of the home of process %d: %s", p.PID, membership.TextOf(err)))
	}
	h := Holder{Node: m.ID, NodeEpoch: m.Epoch, Filling: true} // until the home has sent it its memory map
	s.keep(p, true, h, 1)
	c.Holders = []Holder{h}
	p.Copies = c
	return nil
}

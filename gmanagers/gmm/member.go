package gmm

import (
	"cmp"
	"fmt"
	"slices"
	"splitkernel/gmanagers/events"

	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// dead declares an mComponent dead: what it held under its epoch is lost, as if it had registered again.
func (s *State) dead(cmd Command) Result {
	m := cmd.Request.Member
	changed, err := s.members.DeclareDead(m.ID, m.Epoch)
	if err != nil {
		return failed(err)
	}
	if changed {
		s.decided(cmd, events.Dead)
		s.lose(m.ID)
		s.fail(m.ID, m.Epoch, cmd, cmd.Request.Text)
	}
	return Result{Epoch: m.Epoch}
}

// node carries out what people want done with an mComponent.
func (s *State) node(cmd Command) Result {
	q := cmd.Request
	id := q.Member.ID
	switch q.Action {
	case membership.Drain:
		if changes, err := s.members.CheckDrain(id, true); err != nil {
			return failed(err)
		} else if changes {
			return s.drain(cmd)
		}
		return Result{}
	case membership.Remove:
		if e, ok := s.members.Entry(id); ok && s.members.CheckRemove(id) == nil && e.Turn != cmd.Cached.Turn {
			return failed(wire.Errorf(wire.KindBusy, "%s changed while it was asked for its buffer caches: try again", id))
		}
	}
	changed, err := s.members.Act(id, q.Action, func() string {
		var has membership.Owned
		regions, reserved := uint64(0), uint64(0)
		for _, p := range s.processes {
			for _, r := range p.Regions {
				if r.Node == id && s.members.Current(r.Node, r.NodeEpoch) {
					regions++
				}
			}
			for _, r := range p.Reserved {
				if r.Node == id && s.members.Current(r.Node, r.NodeEpoch) {
					reserved += r.Regions
				}
			}
		}
		for _, m := range s.moves.Moves() {
			if !m.Ended() && m.Req.Kind == wire.MoveRegion && m.Req.To == id && s.members.Current(id, m.ToEpoch) {
				regions++
			}
		}
		has.Add(regions, "vRegion", "vRegions")
		has.Add(reserved, "reserved vRegion", "reserved vRegions")
		has.Add(s.homes[id], "home", "homes")
		has.Add(s.keeps[id], "copy or backup", "copies and backups")
		has.Add(cmd.Cached.Volumes, "buffer cache", "buffer caches")
		return has.String()
	})
	if err != nil {
		return failed(err)
	}
	if changed {
		s.decided(cmd, events.OfAction(q.Action))
	}
	if q.Action == membership.Remove {
		s.lose(id) // it has nothing
	}
	s.refresh(id)
	s.rejudge(id)
	return Result{}
}

// drain closes an mComponent to everything new. Room that it has reserved holds nothing yet, so it is reserved elsewhere
// at once; if that does not fit the mComponent is not drained.
func (s *State) drain(cmd Command) Result {
	id := cmd.Request.Member.ID
	turn := s.ownerTurn
	type moved struct {
		p  *Process
		n  int                    // of p.Reserved, that of id
		at map[wire.NodeID]uint64 // looked up in the order of members
	}
	var moves []moved
	if _, err := s.members.SetDrain(id, true); err != nil {
		return failed(err)
	}
	s.refresh(id)
	for _, p := range s.processes {
		n := slices.IndexFunc(p.Reserved, func(r Reserve) bool { return r.Node == id && s.members.Current(id, r.NodeEpoch) })
		if n < 0 {
			continue
		}
		moves = append(moves, moved{p, n, map[wire.NodeID]uint64{}})
		for k := range p.Reserved[n].Regions {
			key := placement.Hash(uint64(p.PID), k, 1)
			m, err := s.pick(cmd, func() string { return fmt.Sprintf("a vRegion that is reserved for process %d at %s", p.PID, id) }, asked{key: key, ms: p.Groups(), set: &s.forRegions, turn: &s.ownerTurn, need: s.bytes(p.Grain())})
			if err != nil {
				for _, mv := range moves { // nothing was done
					for _, m := range s.members.View() {
						s.own(m.ID, m.Epoch, mv.p.Groups(), -mv.at[m.ID], mv.p.Grain())
					}
				}
				s.ownerTurn = turn
				s.members.SetDrain(id, false)
				s.refresh(id)
				return failed(wire.Errorf(wire.KindNoRoom, "%s cannot be drained: %s", id, membership.TextOf(err)))
			}
			moves[len(moves)-1].at[m.ID]++
			s.own(m.ID, m.Epoch, p.Groups(), 1, p.Grain())
		}
	}
	s.decided(cmd, events.Draining)
	for _, mv := range moves {
		p := mv.p
		s.own(id, p.Reserved[mv.n].NodeEpoch, p.Groups(), -p.Reserved[mv.n].Regions, p.Grain())
		p.Reserved = slices.Delete(slices.Clone(p.Reserved), mv.n, mv.n+1)
		for _, m := range s.members.View() {
			if mv.at[m.ID] > 0 {
				s.reserve(p, m, mv.at[m.ID])
			}
		}
	}
	s.rejudge(id)
	return Result{}
}

// reserve books n vRegions at m for a process; they are counted already.
func (s *State) reserve(p *Process, m wire.Member, n uint64) {
	// One of an older epoch is lost, and of a node there is but one entry.
	j, ok := slices.BinarySearchFunc(p.Reserved, m.ID, func(r Reserve, id wire.NodeID) int { return cmp.Compare(r.Node, id) })
	switch {
	case !ok:
		p.Reserved = slices.Insert(p.Reserved, j, Reserve{Node: m.ID, NodeEpoch: m.Epoch})
	case p.Reserved[j].NodeEpoch != m.Epoch:
		s.regions -= int(p.Reserved[j].Regions)
		p.Reserved[j] = Reserve{Node: m.ID, NodeEpoch: m.Epoch}
	}
	p.Reserved[j].Regions += n
}

// noted takes down what was seen of an mComponent.
func (s *State) noted(cmd Command) Result {
	if err := s.members.CheckNote(cmd.Request.Member, cmd.Request.Note); err != nil {
		return failed(err)
	}
	s.decided(cmd, events.OfNote(cmd.Request.Note))
	return Result{}
}

// decided takes down a decision about the component that the command names, under the epoch that it has or had last.
func (s *State) decided(cmd Command, k events.Kind) {
	m := cmd.Request.Member
	s.events.Append(events.Event{MS: cmd.Stamp.NowMS, Kind: k, Node: m.ID, Epoch: s.members.LastEpoch(m.ID), Reason: cmd.Request.Text})
}

// Entries returns the mComponents with what was decided about them, ascending by id.
func (s *State) Entries() []membership.Entry { return s.members.Entries() }

// Gone returns the removed mComponents that are remembered.
func (s *State) Gone() []membership.Tombstone { return s.members.Gone() }

// Standing tells what the state has of an mComponent under an epoch.
func (s *State) Standing(id wire.NodeID, epoch wire.Epoch) wire.Standing {
	return s.members.Standing(id, epoch)
}

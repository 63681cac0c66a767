package gpm

import (
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// dead declares a pComponent dead. Its processes are lost: they take no room from now on, and whoever leads ends their
// vNodes (Lost).
func (s *State) dead(cmd Command) Result {
	m := cmd.Request.Member
	changed, err := s.members.DeclareDead(m.ID, m.Epoch)
	if err != nil {
		return failed(err)
	}
	if changed {
		s.decided(cmd, events.Dead)
		s.lose(m.ID)
	}
	return Result{Epoch: m.Epoch}
}

// node carries out what people want done with a pComponent.
func (s *State) node(cmd Command) Result {
	q := cmd.Request
	changed, err := s.members.Act(q.Member.ID, q.Action, func() string {
		var has membership.Owned
		n := uint64(0)
		for i := range s.processes { // lost ones too: each names its pComponent until it is released
			if s.processes[i].Node == q.Member.ID {
				n++
			}
		}
		has.Add(n, "process", "processes")
		has.Add(s.moves.To(q.Member.ID), "process on its way there", "processes on their way there")
		return has.String()
	})
	if err != nil {
		return failed(err)
	}
	if changed {
		s.decided(cmd, events.OfAction(q.Action))
	}
	s.refresh(q.Member.ID)
	s.room++ // it may take new ones again
	return Result{}
}

// noted takes down what was seen of a pComponent.
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

// Lost returns at most limit of the processes that run by the books and cannot: their pComponent was declared dead or
// registered again and they do not go on from checkpoints, or they were lost when they moved. One that is on its way to a pComponent that lives may run there.
// Ascending by PID.
func (s *State) Lost(limit int) []Process {
	var out []Process
	for i := range s.processes {
		if p := &s.processes[i]; p.Phase == admission.Running && !p.Restart && !s.members.Current(p.Node, p.NodeEpoch) && !s.arrives(p.PID) {
			if out = append(out, *p); len(out) == limit {
				break
			}
		}
	}
	return out
}

// Entries returns the pComponents with what was decided about them, ascending by id.
func (s *State) Entries() []membership.Entry { return s.members.Entries() }

// Standing tells what the state has of a pComponent under an epoch.
func (s *State) Standing(id wire.NodeID, epoch wire.Epoch) wire.Standing {
	return s.members.Standing(id, epoch)
}

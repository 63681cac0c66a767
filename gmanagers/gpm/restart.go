package gpm

import (
	"fmt"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// restartStep is how much newer the epoch of a process is after a restart: its last move may have used the two before.
const restartStep = 3

// Stranded returns at most limit of the processes that go on from a checkpoint and do not run: their pComponent was lost, or they are
// being restarted. Ascending by PID.
func (s *State) Stranded(limit int) (out []Process) {
	for i := range s.processes {
		if p := &s.processes[i]; s.stranded(p) {
			if out = append(out, *p); len(out) == limit {
				break
			}
		}
	}
	return out
}

func (s *State) stranded(p *Process) bool {
	return p.Restart && p.Phase == admission.Running && (p.Restarting || !s.members.Current(p.Node, p.NodeEpoch) && !s.arrives(p.PID))
}

// restart gives a process whose pComponent was lost a place at another, as a compare-and-set on its epoch. What it finds there is the work
// of whoever leads.
func (s *State) restart(pid wire.PID, epoch wire.Epoch, cmd Command) Result {
	i, ok := s.find(pid)
	if !ok {
		return failed(wire.Errorf(wire.KindNotFound, "process %d is not placed", pid))
	}
	p := &s.processes[i]
	if p.Epoch != epoch || !s.stranded(p) || s.members.Current(p.Node, p.NodeEpoch) {
		return failed(wire.Errorf(wire.KindStale, "process %d is not to be restarted under epoch %d: it is at %s under epoch %d", pid, epoch, p.Node, p.Epoch))
	}
	policy, err := placement.New(cmd.Stamp.Policy)
	if err != nil {
		return failed(err)
	}
	ask := placement.Ask{Need: p.ExCacheLines, Threads: uint64(p.Threads), Key: placement.Hash(uint64(pid)), Chance: cmd.Stamp.Chance, After: s.turn}
	ask.Avoid, ask.AvoidRacks = s.apart.Avoid(p.Groups())
	at := placement.Choose(policy, ask, &s.set)
	if at < 0 {
		err := s.lacks(admission.VNodeSpec{Name: p.Name, Threads: p.Threads, ExCacheLines: p.ExCacheLines}, p.Groups())
		if p.NoPlace == "" { // it is told once, and tried again
			p.NoPlace = err.Error()
			p.NoPlace = p.NoPlace[:min(len(p.NoPlace), maxTextBytes)]
			s.events.Append(events.Event{MS: cmd.Stamp.NowMS, Kind: events.Stuck, PID: pid, Node: p.Node, Epoch: p.NodeEpoch, Reason: "restart: " + err.Error()})
		}
		return failed(err)
	}
	s.note.Explain(policy, ask, &s.set, at)
	why := s.fate(p)
	m, _ := s.members.Get(s.set.ID(at))
	if policy.Rotates {
		s.turn = m.ID
	}
	if p.LostMS == 0 {
		p.LostMS = cmd.Stamp.NowMS
	}
	from := p.Node
	p.Node, p.NodeEpoch, p.Epoch, p.Restarting, p.NoPlace = m.ID, m.Epoch, p.Epoch+restartStep, true, ""
	s.take(p, 1)
	e := s.placedEvent(p, cmd)
	e.Kind, e.From, e.To, e.Reason = events.Restarting, from, m.ID, why
	s.events.Append(e)
	return Result{Epoch: p.Epoch, VNode: s.Placement(*p)}
}

// restarted takes down how the restart under an epoch ended; text says why it failed, or what is to be known of it.
func (s *State) restarted(pid wire.PID, epoch wire.Epoch, fails bool, text string, cmd Command) Result {
	i, ok := s.find(pid)
	if !ok {
		return failed(wire.Errorf(wire.KindNotFound, "process %d is not placed", pid))
	}
	p := &s.processes[i]
	if p.Epoch != epoch || !p.Restarting {
		return failed(wire.Errorf(wire.KindStale, "process %d is not being restarted under epoch %d", pid, epoch))
	}
	text = text[:min(len(text), maxTextBytes)]
	p.Restarting = false
	e := events.Event{MS: cmd.Stamp.NowMS, PID: pid, Node: p.Node, Epoch: p.Epoch, Amount: uint64(max(cmd.Stamp.NowMS-p.LostMS, 0)), Reason: text}
	p.LostMS = 0
	if fails {
		s.take(p, less)
		p.Restart, p.NodeEpoch, p.GaveUp = false, lostInMove, text
		return Result{} // its end is told when it is ended
	}
	p.Restarts++
	e.Kind = events.Restarted
	s.events.Append(e)
	return Result{}
}

// checkRestart checks what a process says of its restart.
func (s *State) checkRestart(p *Process) error {
	switch {
	case p.Restarting && !p.Restart, p.Restarting && p.LostMS == 0, len(p.GaveUp) > maxTextBytes || len(p.NoPlace) > maxTextBytes:
		return fmt.Errorf("gpm: process %d: restart %t, under way %t, lost at %d", p.PID, p.Restart, p.Restarting, p.LostMS)
	}
	return nil
}

package gsm

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"splitkernel/gmanagers/events"

	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// MaxGates bounds the mComponents that are closed to new buffer caches: as many as GMM registers, and those that it
// remembers as removed. It bounds the gates of one command too.
const MaxGates = membership.MaxMembers + membership.MaxTombstones

// UntilOpened as Gate.Until closes an mComponent whatever its epoch.
const UntilOpened wire.Epoch = math.MaxUint32

// Gate closes an mComponent to new buffer caches: mComponents are GMM's, so GMM's decisions about them come here as gates,
// with the turn of the decision. A gate of an older turn changes nothing, but to end the backup files of memberships that are over.
type Gate struct {
	ID     wire.NodeID
	Turn   uint64
	Until  wire.Epoch // closed under this epoch and those before; 0 opens
	Member wire.Epoch // those before this one are over; 0: not known. It is not kept
}

// over is the last epoch of memberships that are over, 0 if there is none. One that was started again before anybody declared it dead
// is not closed, and has no file of its older membership all the same.
func (g Gate) over() (until wire.Epoch) {
	if g.Member > 0 {
		until = g.Member - 1
	}
	if g.Until != UntilOpened {
		until = max(until, g.Until)
	}
	return until
}

// Cached answers a gate.
type Cached struct {
	Turn    uint64 // of the gate in force; 0 if none is
	Volumes uint64 // whose buffer cache the mComponent is
}

// dead declares an sComponent dead. Its volumes stay: its files outlive it.
func (s *State) dead(cmd Command) Result {
	m := cmd.Request.Member
	changed, err := s.members.DeclareDead(m.ID, m.Epoch)
	if err != nil {
		return failed(err)
	}
	if changed {
		s.decided(cmd, events.Dead)
		s.refresh(m.ID)
		s.broken(cmd.Stamp.NowMS, m.ID)
	}
	return Result{Epoch: m.Epoch}
}

// node carries out what people want done with an sComponent.
func (s *State) node(cmd Command) Result {
	q := cmd.Request
	changed, err := s.members.Act(q.Member.ID, q.Action, func() string {
		var has membership.Owned
		has.Add(s.stored[q.Member.ID], "volume", "volumes")
		has.Add(s.filed[q.Member.ID], "backup file", "backup files")
		if len(has) > 0 {
			has[0] += fmt.Sprintf(" of %d bytes", s.reserved[q.Member.ID])
		}
		return has.String()
	})
	if err != nil {
		return failed(err)
	}
	if changed {
		s.decided(cmd, events.OfAction(q.Action))
		s.refresh(q.Member.ID)
	}
	return Result{}
}

// noted takes down what was seen of an sComponent.
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

func (s *State) findGate(id wire.NodeID) (int, bool) {
	return slices.BinarySearchFunc(s.gates, id, func(g Gate, id wire.NodeID) int { return cmp.Compare(g.ID, id) })
}

// shut reports whether an mComponent gets no buffer cache.
func (s *State) shut(id wire.NodeID, epoch wire.Epoch) bool {
	i, ok := s.findGate(id)
	return ok && epoch <= s.gates[i].Until
}

// setGates takes over what GMM decided of mComponents.
func (s *State) setGates(gates []Gate) Result {
	if len(gates) > MaxGates {
		return failed(wire.Errorf(wire.KindBadRequest, "%d gates, at most %d", len(gates), MaxGates))
	}
	for _, g := range gates {
		if g.ID == "" || len(g.ID) > membership.MaxIDBytes || g.Turn == 0 {
			return failed(wire.Errorf(wire.KindBadRequest, "gate of %.64q with turn %d: want an id of 1 to %d bytes and a turn", g.ID, g.Turn, membership.MaxIDBytes))
		}
	}
	res := Result{Cached: make([]Cached, 0, len(gates))}
	for _, g := range gates {
		i, ok := s.findGate(g.ID)
		over := g.over()
		g.Member = 0
		switch {
		case ok && s.gates[i].Turn >= g.Turn:
		case ok && g.Until == 0:
			s.gates = slices.Delete(s.gates, i, i+1)
		case ok:
			s.gates[i] = g
		case g.Until > 0 && len(s.gates) < MaxGates:
			s.gates = slices.Insert(s.gates, i, g)
		}
		s.refreshCache(g.ID)
		s.dropFiles(g.ID, over)
		c := Cached{Volumes: s.cached[g.ID]}
		if i, ok := s.findGate(g.ID); ok {
			c.Turn = s.gates[i].Turn
		}
		res.Cached = append(res.Cached, c)
	}
	return res
}

// StaleGates returns at most limit of the gates that must be set for this state to agree with what GMM decided.
func (s *State) StaleGates(entries []membership.Entry, gone []membership.Tombstone, limit int) []Gate {
	var out []Gate
	known := map[wire.NodeID]bool{}
	want := func(g Gate) {
		known[g.ID] = true
		i, ok := s.findGate(g.ID)
		if len(out) < limit && (ok && s.gates[i].Turn < g.Turn || !ok && g.Until > 0 || s.hasFile(g.ID, g.over())) {
			out = append(out, g)
		}
	}
	for _, e := range entries {
		want(GateOf(e))
	}
	for _, t := range gone {
		want(Gate{ID: t.ID, Turn: t.Turn, Until: t.Epoch})
	}
	for _, g := range s.gates {
		// GMM has forgotten its tombstone. One that is not known because entries are older than the gate is another matter.
		if !known[g.ID] && len(gone) > 0 && g.Turn < gone[0].Turn && len(out) < limit {
			out = append(out, Gate{ID: g.ID, Turn: g.Turn + 1})
		}
	}
	return out
}

// GateOf returns the gate of an mComponent by what GMM has decided.
func GateOf(e membership.Entry) Gate {
	g := Gate{ID: e.Member.ID, Turn: e.Turn, Member: e.Member.Epoch}
	switch {
	case e.Drain:
		g.Until = UntilOpened
	case e.Dead:
		g.Until = e.Member.Epoch
	}
	return g
}

// Entries returns the sComponents with what was decided about them, ascending by id.
func (s *State) Entries() []membership.Entry { return s.members.Entries() }

// Standing tells what the state has of an sComponent under an epoch.
func (s *State) Standing(id wire.NodeID, epoch wire.Epoch) wire.Standing {
	return s.members.Standing(id, epoch)
}

func (s *State) checkGates() error {
	if len(s.gates) > MaxGates {
		return fmt.Errorf("gsm: %d gates, at most %d", len(s.gates), MaxGates)
	}
	for i, g := range s.gates {
		if g.ID == "" || len(g.ID) > membership.MaxIDBytes || g.Turn == 0 || g.Until == 0 || i > 0 && s.gates[i-1].ID >= g.ID {
			return fmt.Errorf("gsm: gate %+v: no id, no turn, open or out of order", g)
		}
	}
	return nil
}

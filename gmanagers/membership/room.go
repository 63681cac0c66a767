package membership

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"splitkernel/netlayer/wire"
)

// maxNamed bounds the components that one refusal names.
const maxNamed = 16

// LiveSet finds the stamped candidates by id, for members asked in ascending order of ids.
type LiveSet struct {
	live []Live // ascending by ID; of equals the last counts
	next int
}

// Traffic makes the set of the stamped candidates, which are in order if a manager of ours stamped them.
func Traffic(live []Live) *LiveSet {
	order := func(a, b Live) int { return strings.Compare(string(a.ID), string(b.ID)) }
	if !slices.IsSortedFunc(live, order) {
		live = slices.Clone(live)
		slices.SortStableFunc(live, order)
	}
	return &LiveSet{live: live}
}

// Of returns the reported traffic of m, and whether it is a candidate under its present epoch. The id of m must be above
// that of the m before.
func (s *LiveSet) Of(m *wire.Member) (uint64, bool) {
	for s.next < len(s.live) {
		switch strings.Compare(string(s.live[s.next].ID), string(m.ID)) {
		case 1:
			return 0, false
		case 0:
			l := s.live[s.next]
			if s.next++; s.next == len(s.live) || s.live[s.next].ID != m.ID {
				return l.Traffic, l.Epoch == m.Epoch
			}
		case -1:
			s.next++
		}
	}
	return 0, false
}

// Refusals collects in words why components are no candidates, for errors of wire.KindNoRoom. It names a bounded number.
// A nil one collects nothing: most decisions find a component, and nobody reads why others are none.
type Refusals struct {
	said  []string
	more  int
	short bool // a component has too little free
}

func (r *Refusals) add(s string) {
	if len(r.said) == maxNamed {
		r.more++
		return
	}
	r.said = append(r.said, s)
}

// Short notes a component that has less free than is wanted.
func (r *Refusals) Short(id wire.NodeID, want, free, capacity uint64) {
	if r == nil {
		return
	}
	r.short = true
	r.add(fmt.Sprintf("%s has %d of %d free (%d short)", id, free, capacity, want-free))
}

// Closed notes a component that is draining or dead.
func (r *Refusals) Closed(id wire.NodeID, s State) {
	if r == nil {
		return
	}
	r.add(fmt.Sprintf("%s is %v", id, s))
}

// Has notes what a component has free, where several are short together.
func (r *Refusals) Has(id wire.NodeID, free, capacity uint64) {
	if r == nil {
		return
	}
	r.short = true
	r.add(fmt.Sprintf("%s has %d of %d free", id, free, capacity))
}

// Silent notes a component without a heartbeat within the lease.
func (r *Refusals) Silent(id wire.NodeID) {
	if r == nil {
		return
	}
	r.add(fmt.Sprintf("%s is silent", id))
}

// Any reports whether anything was noted.
func (r *Refusals) Any() bool { return len(r.said) > 0 }

func (r *Refusals) String() string {
	switch {
	case len(r.said) == 0:
		return "no component is registered"
	case r.more > 0:
		return fmt.Sprintf("%s and %d more without room", strings.Join(r.said, ", "), r.more)
	}
	return strings.Join(r.said, ", ")
}

// With gives the words and, if room is what is missing, the remedy after them.
func (r *Refusals) With(remedy string) string {
	if !r.short {
		return r.String()
	}
	return r.String() + "; " + remedy
}

// TextOf returns the text of a *wire.Error without its kind, or of any other error as a whole: results carry both apart.
func TextOf(err error) string {
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Text
	}
	return err.Error()
}

// ManagerOf returns the manager that registers components of a role.
func ManagerOf(r wire.Role) (wire.Manager, error) {
	switch r {
	case wire.RoleCompute:
		return wire.GPM, nil
	case wire.RoleMemory:
		return wire.GMM, nil
	case wire.RoleStorage:
		return wire.GSM, nil
	}
	return 0, wire.Errorf(wire.KindBadRequest, "no manager registers a %v", r)
}

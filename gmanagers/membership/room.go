package membership

import (
	"errors"
	"fmt"
	"strings"

	"splitkernel/netlayer/wire"
)

// maxNamed bounds the components that one refusal names.
const maxNamed = 16

// LiveSet finds the stamped candidates by id.
type LiveSet map[wire.NodeID]Live

// Traffic indexes the stamped candidates. It is only looked up, never ranged over.
func Traffic(live []Live) LiveSet {
	out := make(LiveSet, len(live))
	for _, l := range live {
		out[l.ID] = l
	}
	return out
}

// Of returns the reported traffic of m, and whether it is a candidate under its present epoch.
func (s LiveSet) Of(m wire.Member) (uint64, bool) {
	l, ok := s[m.ID]
	return l.Traffic, ok && l.Epoch == m.Epoch
}

// Refusals collects in words why components are no candidates, for errors of wire.KindNoRoom. It names a bounded number.
type Refusals struct {
	said []string
	more int
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
	r.add(fmt.Sprintf("%s has %d of %d free (%d short)", id, free, capacity, want-free))
}

// Has notes what a component has free, where several are short together.
func (r *Refusals) Has(id wire.NodeID, free, capacity uint64) {
	r.add(fmt.Sprintf("%s has %d of %d free", id, free, capacity))
}

// Silent notes a component without a heartbeat within the lease.
func (r *Refusals) Silent(id wire.NodeID) { r.add(fmt.Sprintf("%s is silent", id)) }

func (r *Refusals) String() string {
	switch {
	case len(r.said) == 0:
		return "no component is registered"
	case r.more > 0:
		return fmt.Sprintf("%s and %d more without room", strings.Join(r.said, ", "), r.more)
	}
	return strings.Join(r.said, ", ")
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

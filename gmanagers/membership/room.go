package membership

import (
	"errors"
	"fmt"
	"strings"

	"splitkernel/netlayer/wire"
)

// maxNamed bounds the components that one refusal names.
const maxNamed = 16

// Refusals collects in words why components are no candidates, for errors of wire.KindNoRoom. It names a bounded number.
// A nil one collects nothing: most decisions find a component, and nobody reads why others are none.
type Refusals struct {
	said  []string
	more  int
	short bool // a component has too little free
}

func (r *Refusals) add(format string, args ...any) {
	if len(r.said) == maxNamed {
		r.more++
		return
	}
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

// Short notes a component that has less free than is wanted.
func (r *Refusals) Short(id wire.NodeID, want, free, capacity uint64) {
	if r == nil {
		return
	}
	r.short = true
	r.add("%s has %d of %d free (%d short)", id, free, capacity, want-free)
}

// Closed notes a component that is draining or dead.
func (r *Refusals) Closed(id wire.NodeID, s State) {
	if r == nil {
		return
	}
	r.add("%s is %v", id, s)
}

// Apart notes why a component must not have what is apart from something there; words that follow its name.
func (r *Refusals) Apart(id wire.NodeID, why string) {
	if r == nil {
		return
	}
	r.add("%s %s", id, why)
}

// Has notes what a component has free, where several are short together.
func (r *Refusals) Has(id wire.NodeID, free, capacity uint64) {
	if r == nil {
		return
	}
	r.short = true
	r.add("%s has %d of %d free", id, free, capacity)
}

// Silent notes a component without a heartbeat within the lease.
func (r *Refusals) Silent(id wire.NodeID) {
	if r == nil {
		return
	}
	r.add("%s is silent", id)
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

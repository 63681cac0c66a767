package gmm

import (
	"maps"
	"slices"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// Fits says, as an error, why a home and the vRegions that a vNode wants to reserve could not be held if some processes were
// not there. It does on a copy what a Prepare would do, and changes nothing.
func (s *State) Fits(st admission.Step, without []wire.PID, cmd Command) error {
	try := *s
	try.homes, try.owned, try.keeps = maps.Clone(s.homes), maps.Clone(s.owned), maps.Clone(s.keeps)
	try.mentions = nil // nothing dies there
	try.processes, try.closed = slices.Clone(s.processes), slices.Clone(s.closed)
	try.untold = events.Pending{} // those of s are not touched
	try.events, try.note, try.set = &events.Log{}, events.Event{}, placement.Set{}
	try.forRegions, try.forHomes, try.apart = placement.Set{}, placement.Set{}, s.apart.Only(apart.Process(st.Apart, st.PID))
	try.fill()
	try.overcommit(cmd.Overcommit)
	for _, pid := range without {
		try.free(pid, 0)
	}
	_, err := try.hold(st, cmd)
	return err
}

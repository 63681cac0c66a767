package gsm

import (
	"slices"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/netlayer/wire"
)

// Fits says, as an error, why the volumes of a vNode could not be held if some vNodes were not there. It does on a copy what a
// Prepare would do, and changes nothing.
func (s *State) Fits(st admission.Step, without []wire.PID, cmd Command) error {
	try := *s
	try.volumes, try.closed = slices.Clone(s.volumes), slices.Clone(s.closed)
	try.untold = events.Pending{} // those of s are not touched
	try.events, try.note, try.cacheNote = &events.Log{}, events.Event{}, events.Event{}
	try.derive()
	for _, pid := range without {
		try.free(pid)
	}
	_, err := try.hold(st, cmd)
	return err
}

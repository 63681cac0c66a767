package events

import "splitkernel/gmanagers/membership"

// OfAction returns the kind of what people wanted done with a component.
func OfAction(a membership.Action) Kind {
	switch a {
	case membership.Drain:
		return Draining
	case membership.Undrain:
		return Undrained
	}
	return Removed
}

// OfNote returns the kind of what was seen of a component.
func OfNote(n membership.Note) Kind {
	switch n {
	case membership.NoteSilent:
		return Silent
	case membership.NoteProbed:
		return Probed
	case membership.NoteFenced:
		return Fenced
	}
	return Heard
}

package movelist

import (
	"splitkernel/gmanagers/events"
	"splitkernel/netlayer/wire"
)

// Note is what a leader saw when it looked at the balance, to be taken down as an event.
type Note struct {
	Kind events.Kind // Rebalanced, Drained or Stuck
	Node wire.NodeID // of Drained and Stuck
	Text string
}

// TakeDown makes events of notes. Of a component that drains it is said once that it has nothing left, and what is stuck
// there only when that changes, whichever leader says it.
func TakeDown(notes []Note, nowMS int64, log *events.Log, drains func(wire.NodeID) bool) error {
	if len(notes) > MaxBatch {
		return wire.Errorf(wire.KindBadRequest, "%d notes, at most %d at a time", len(notes), MaxBatch)
	}
	for _, n := range notes {
		if len(n.Node) > maxNameBytes || n.Kind != events.Rebalanced && n.Kind != events.Drained && n.Kind != events.Stuck {
			return wire.Errorf(wire.KindBadRequest, "note %v of a component with an id of %d bytes", n.Kind, len(n.Node))
		}
	}
	for _, n := range notes {
		if n.Kind != events.Rebalanced {
			last, ok := log.LastOf(n.Node, events.Drained, events.Stuck, events.Draining, events.Undrained, events.Registered, events.Removed)
			if !drains(n.Node) || ok && last.Kind == n.Kind && last.Reason == n.Text {
				continue
			}
		}
		log.Append(events.Event{MS: nowMS, Kind: n.Kind, Node: n.Node, Reason: n.Text})
	}
	return nil
}

package membership

import (
	"time"

	"splitkernel/netlayer/wire"
)

// Last returns the load of m under its present epoch and when it was heard; false if nothing was.
func (w *Watch) Last(m wire.Member) (load wire.Load, at time.Duration, ok bool) {
	h, ok := w.known(m)
	return h.load, h.at, ok
}

// Each calls f with the load of every component that was heard of, in no order. What f is given is not to be kept.
func (w *Watch) Each(f func(id wire.NodeID, load *wire.Load, at time.Duration)) {
	for id, h := range w.heard {
		f(id, &h.load, h.at)
	}
}

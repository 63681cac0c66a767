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

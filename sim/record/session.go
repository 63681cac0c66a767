package record

import (
	"fmt"

	"splitkernel/netlayer/session"
)

// newSession makes the table of a node's server: which requests were executed before.
func newSession(head []byte) (core, error) {
	h, err := headed[session.TapeHead](head)
	if err != nil {
		return nil, err
	}
	d, err := h.New()
	return newCalled(fmt.Sprintf("requests of %s that are executed once", h.Node), d, err)
}

package node

import (
	"context"
	"errors"
	"io"
	"time"
)

// shutdownTimeout is when a process that should have ended ends itself, below the launcher's own patience, so that its
// last words are in its log. An orphan has nobody else to end it.
const shutdownTimeout = 3500 * time.Millisecond

// errOrphan is the cause of a stop because the launcher has died.
var errOrphan = errors.New("the launcher has died")

// watchParent cancels when the other end of stdin closes, which only the death of the launcher does. The goroutine lives
// as long as the process: nothing can interrupt a read of stdin, and nothing needs to.
func watchParent(stdin io.Reader, cancel context.CancelCauseFunc) {
	go func() {
		io.Copy(io.Discard, stdin)
		cancel(errOrphan)
	}()
}

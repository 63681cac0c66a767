package vtime

import (
	"fmt"
	"strings"
	"time"
)

// maxWaits bounds the lines of a DeadlockError.
const maxWaits = 32

// DeadlockError says that no event is left while somebody waits.
type DeadlockError struct {
	At    time.Duration
	Waits []string // "who waits for what", the first maxWaits
	More  int      // beyond those
}

func (e *DeadlockError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "vtime: deadlock at %v: no event is left, and", e.At)
	for _, w := range e.Waits {
		b.WriteString("\n  " + w)
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "\n  and %d more", e.More)
	}
	return b.String()
}

// WhoWaits registers a function that names, in an order that does not depend on chance, who of a model waits for what. It is
// called if no event is left, so waiting itself costs nothing. A model in which nothing waits reports nothing.
func (c *Clock) WhoWaits(list func(report func(who, what string))) {
	c.waits = append(c.waits, list)
}

// deadlock is the error of a clock without events, or nil if nobody waits.
func (c *Clock) deadlock() error {
	e := &DeadlockError{At: c.Now()}
	report := func(who, what string) {
		if len(e.Waits) == maxWaits {
			e.More++
			return
		}
		e.Waits = append(e.Waits, who+" waits for "+what)
	}
	c.procs.waiting(report)
	for _, list := range c.waits {
		list(report)
	}
	if len(e.Waits) == 0 {
		return nil
	}
	return e
}

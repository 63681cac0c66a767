package cluster

import "splitkernel/sim/tasks"

// settler is a parser whose events, once they are in order, are looked at again.
type settler interface {
	settle(e tasks.Event, out []tasks.Event) ([]tasks.Event, error)
}

// settle lets a task begin only if it has not begun, and end only if it has.
func (t *google19) settle(e tasks.Event, out []tasks.Event) ([]tasks.Event, error) {
	switch e.Kind {
	case tasks.TaskComes:
		return t.happens(e, t.submit, !t.submit, false, out)
	case tasks.TaskEnds:
		return t.happens(e, false, false, true, out)
	}
	return append(out, e), nil
}

package gmanagers

import (
	"time"

	"splitkernel/gmanagers/gpm"
	"splitkernel/netlayer/wire"
)

// SetPatience makes the ends of lost and preempted vNodes wait less than minutes of tests.
func (o *Options) SetPatience(d time.Duration) { o.patience = d }

// Waiters counts the handlers here that wait for a vNode.
func (m *Managers) Waiters(pid wire.PID) int {
	d, err := m.drives()
	if err != nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waiting[pid])
}

// Driven counts the transactions that are driven here.
func (m *Managers) Driven() int {
	d, err := m.drives()
	if err != nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.core.Driven()
}

// LoseSince has this process remember since when a vNode is lost, as a leader of GPM does.
func (m *Managers) LoseSince(pid wire.PID, since time.Duration) {
	d, err := m.drives()
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lost.Rest()
	d.lost.Look(since, []gpm.Process{{PID: pid}})
	d.lost.Ended(pid)
}

// Loses reports whether this process remembers since when a vNode is lost.
func (m *Managers) Loses(pid wire.PID) bool {
	d, err := m.drives()
	if err != nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.lost.Since(pid)
	return ok
}

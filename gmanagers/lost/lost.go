// Package lost ends vNodes whose pComponent was declared dead or registered again: which of them, when, and what the components
// that have something of one are told. Their memory and volumes are given back by those who hold them, then by the books.
//
// It sends nothing and changes no book. Pure: no goroutines, no locks, no clock, no I/O. Called by the leader of GPM, live (package
// gmanagers) and in virtual time.
//
//	for _, b := range ender.Look(now, gpm.Lost(n)) {        // a few times a second, while it leads
//		go tell all of Calls(b.Process, …), then release it, if all answered or b.Late
//		ender.Ended(b.Process.PID)
//	}
package lost

import (
	"fmt"
	"time"

	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/netlayer/wire"
)

const (
	// MaxEnding bounds the lost vNodes that are ended at a time.
	MaxEnding = 16
	// Patience is how long the end of a lost vNode waits for components that do not answer. What they still hold then is a difference
	// that an audit tells.
	Patience = 10 * time.Second
)

// Ender says which lost vNodes a leader of GPM ends now. Make one with New; it is not safe for concurrent use.
type Ender struct {
	patience time.Duration
	since    map[wire.PID]time.Duration // looked up, and ranged over only to forget
	ending   map[wire.PID]bool
}

// New makes an ender that waits so long for components.
func New(patience time.Duration) *Ender {
	return &Ender{patience: patience, since: map[wire.PID]time.Duration{}, ending: map[wire.PID]bool{}}
}

// Begun is a vNode that is to be ended now. Late, a component that does not answer keeps what it has.
type Begun struct {
	Process gpm.Process
	Late    bool
}

// Rest says that it does not lead: whoever leads is patient anew.
func (e *Ender) Rest() { clear(e.since) }

// Look takes the processes that are lost now, and returns those whose end begins; each is answered with Ended.
func (e *Ender) Look(now time.Duration, lost []gpm.Process) (out []Begun) {
	if len(lost) == 0 {
		clear(e.since)
	}
	for _, p := range lost {
		if len(e.ending) >= MaxEnding {
			break
		}
		if e.ending[p.PID] {
			continue
		}
		began, ok := e.since[p.PID]
		if !ok {
			began = now
			e.since[p.PID] = now
		}
		e.ending[p.PID] = true
		out = append(out, Begun{p, now-began >= e.patience})
	}
	return out
}

// Since is when a vNode was found lost under this leader; false if it was not.
func (e *Ender) Since(pid wire.PID) (time.Duration, bool) {
	at, ok := e.since[pid]
	return at, ok
}

// Ended says that an attempt has ended; if it brought no end there is another.
func (e *Ender) Ended(pid wire.PID) { delete(e.ending, pid) }

// Call is something that a component is told. That it knows nothing of it is an answer, too.
type Call struct {
	Node wire.NodeID
	Op   wire.Op
	Req  any // a pointer to the request of Op
}

// Calls are what the components are told that have something of a lost process, in order: its home frees its memory, and the owners
// do, for a home that has started again knows of none; buffer caches are detached and volumes deleted, where they are now. Those that
// are not alive have lost what they had, or keep it for an audit to tell.
func Calls(p gpm.Process, homes []gmm.Process, volumes []gsm.Volume, alive func(wire.NodeID) bool) (out []Call) {
	call := func(id wire.NodeID, op wire.Op, req any) {
		if alive(id) {
			out = append(out, Call{id, op, req})
		}
	}
	for _, h := range homes {
		call(h.Home, wire.OpProcessExit, &wire.ProcessExitReq{PID: p.PID, Epoch: p.Epoch})
		seen := map[wire.NodeID]bool{}
		for _, r := range h.Regions {
			if !seen[r.Node] {
				seen[r.Node] = true
				call(r.Node, wire.OpProcessExit, &wire.ProcessExitReq{PID: p.PID, Epoch: p.Epoch, Owner: true})
			}
		}
	}
	for _, v := range volumes {
		ref := &wire.VolumeRef{Volume: v.Volume, Epoch: v.Epoch}
		call(v.Cache, wire.OpVolumeDetach, ref)
		for _, id := range v.Stores() {
			call(id, wire.OpVolumeDelete, ref)
		}
	}
	return out
}

// Ends reports whether a vNode is released after an attempt to have everything given back. Only components that do not answer are not
// waited for without end; while it is not known who has what, nothing was given back anywhere.
func (b *Begun) Ends(known, unanswered bool) bool { return known && (!unanswered || b.Late) }

// CheckInvariants returns the first broken rule.
func (e *Ender) CheckInvariants() error {
	if len(e.ending) > MaxEnding {
		return fmt.Errorf("lost: %d vNodes are ended at a time, at most %d", len(e.ending), MaxEnding)
	}
	return nil
}

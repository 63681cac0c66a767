package membership

import (
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
)

// RegisterPause is how long a component waits before it asks again for its registration, which fails only when no manager leads.
const RegisterPause = 100 * time.Millisecond

// Duty is what a component does next to be a member.
type Duty uint8

// The duties.
const (
	Register Duty = 1 // at the manager of its role; answered by Registered
	Beat     Duty = 2 // send a heartbeat to every manager; answered by Beaten
	Inquire  Duty = 3 // ask the manager itself how it stands, as of now; answered by Told
	Rest     Duty = 4 // nothing, until it is started again: people have removed it
)

// When says when a duty is due.
type When uint8

// The moments.
const (
	Now     When = 0
	Shortly When = 1 // after RegisterPause
	OnBeat  When = 2 // at the next heartbeat's time
)

// Next is what a component does next. What it holds is dropped first, if Fence says why: before it registers, so that nothing is
// dropped that it gets under its new epoch.
type Next struct {
	Fence string
	Do    Duty
	When  When
}

// Enrolment keeps one component registered: it registers, then beats. One that the managers gave up drops what it held under its
// epoch, and joins again under a new one; one that people removed does not. Managers that do not answer change nothing: a lease is
// no permission to serve. Make one with NewEnrolment; it is not safe for concurrent use.
type Enrolment struct {
	id    wire.NodeID
	epoch wire.Epoch
}

// NewEnrolment is that of a component that has just started, and what it does first.
func NewEnrolment(id wire.NodeID) (*Enrolment, Next) {
	return &Enrolment{id: id}, Next{Do: Register}
}

// Epoch is the one that it got last; 0 before its first registration.
func (e *Enrolment) Epoch() wire.Epoch { return e.epoch }

// Registered takes the answer to a registration; ok is false if there was none.
func (e *Enrolment) Registered(epoch wire.Epoch, ok bool) Next {
	if !ok {
		return Next{Do: Register, When: Shortly}
	}
	e.epoch = epoch
	return Next{Do: Beat}
}

// Beaten takes what the managers together answered to a heartbeat (Poll); ok is false if none did.
func (e *Enrolment) Beaten(s wire.Standing, ok bool) Next {
	switch {
	case !ok:
	case s == wire.StandingUnknown:
		return Next{Do: Inquire}
	case s == wire.StandingFenced:
		return Next{Fence: fmt.Sprintf("%s was declared dead under epoch %d and is fenced", e.id, e.epoch), Do: Register}
	case s == wire.StandingRemoved:
		return Next{Fence: fmt.Sprintf("%s was removed under epoch %d", e.id, e.epoch), Do: Rest}
	}
	return Next{Do: Beat, When: OnBeat}
}

// Told takes what the manager itself has of it, when replicas did not know it: they may lag, and what they do not know is no reason
// to drop anything. If the manager does not know it either, its state was lost, and with it the books of all that is here: then it
// is dropped, before anything new can come under another epoch. ok is false if nobody leads; a removal is told by the next
// heartbeat.
func (e *Enrolment) Told(s wire.Standing, ok bool) Next {
	if ok && (s == wire.StandingUnknown || s == wire.StandingFenced) {
		return Next{Fence: fmt.Sprintf("%s is not in the books of its manager under epoch %d any more", e.id, e.epoch), Do: Register}
	}
	return Next{Do: Beat, When: OnBeat}
}

// Poll makes one word of what the managers answer to a heartbeat. One's word is enough that a component is a member, fenced or
// removed, for that is decided; that it is unknown must be the word of a majority, since replicas lag. Of is how many managers there
// are.
type Poll struct {
	Of       int
	answered int
	standing wire.Standing
}

// Add takes one answer.
func (p *Poll) Add(s wire.Standing) {
	p.answered++
	p.standing = max(p.standing, s)
}

// Verdict is what they say together; false if nobody has answered.
func (p *Poll) Verdict() (wire.Standing, bool) {
	switch {
	case p.answered == 0:
		return 0, false
	case p.standing <= wire.StandingUnknown && p.answered <= p.Of/2:
		return wire.StandingMember, true // those that did not answer may know it
	}
	return max(p.standing, wire.StandingUnknown), true
}

package admission

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"splitkernel/netlayer/canary"
	"splitkernel/netlayer/wire"
)

// MaxDriven bounds the transactions that one coordinator drives at a time; what it finds beyond waits in the log.
const MaxDriven = 1024

// Open is a transaction that is not ended, as GPM's log has it.
type Open struct {
	Phase        Phase
	Coordinator  uint64 // who may prepare it
	WantsVolumes bool   // GSM takes part
	Kind         wire.Kind
	Text         string // why it was aborted
	Placement    Placement
}

// Effect is what the shell must do: send a step to a participant, send a change to GPM, or answer.
type Effect struct {
	To     wire.Manager // GMM, GSM: Step; GPM: Change; 0: Answer
	Step   Step
	Change Change
	Answer Answer
}

// Answer is for whoever waits for a vNode. A vNode is answered when it is there, or when it is gone.
type Answer struct {
	PID       wire.PID
	Gone      bool      // released, or refused if Kind says why
	Kind      wire.Kind // wire.KindNone: not refused
	Text      string
	Placement Placement // if not Gone
}

// doing is what a transaction waits for.
type doing uint8

const (
	preparing  doing = iota // votes
	deciding                // the outcome of the decision in GPM's log
	committing              // participants to commit
	freeing                 // participants to give back
	ending                  // the end in GPM's log
)

// txn is a transaction under way.
type txn struct {
	open    Open
	doing   doing
	waits   []wire.Manager // participants whose answer is outstanding
	stalled bool           // an answer was lost; Found goes on by what the log says
	never   bool           // a participant refused for good
	gone    bool           // ending ends it, in contrast to letting it run
}

// Coordinator drives transactions. Make one with NewCoordinator; it is not safe for concurrent use.
type Coordinator struct {
	id    uint64
	grace time.Duration
	txns  map[wire.PID]*txn          // ranged over only to forget and to check
	alone map[wire.PID]time.Duration // intents that nobody here drives, and since when
}

// NewCoordinator returns a coordinator of one term of leadership. Only intents that carry its id are prepared; others
// were begun under another term, whose messages may still be on their way, and are aborted. An intent that nobody
// drives is left alone for grace, for it may have been applied just now.
func NewCoordinator(id uint64, grace time.Duration) *Coordinator {
	return &Coordinator{id: id, grace: grace, txns: map[wire.PID]*txn{}, alone: map[wire.PID]time.Duration{}}
}

// ID returns what the intents of this coordinator carry.
func (c *Coordinator) ID() uint64 { return c.id }

// Driven returns how many transactions are under way.
func (c *Coordinator) Driven() int { return len(c.txns) }

// Begin drives a transaction that the log has: an admission just entered, or a release. If it is driven already, its
// answer serves the new caller too. It reports false if MaxDriven are under way.
func (c *Coordinator) Begin(o Open, spec VNodeSpec, out []Effect) ([]Effect, bool) {
	pid := o.Placement.PID
	if c.txns[pid] != nil {
		return out, true
	}
	if len(c.txns) >= MaxDriven {
		return out, false
	}
	if o.Phase != Intent || o.Coordinator != c.id {
		return c.resume(o, out), true
	}
	t := &txn{open: o, doing: preparing}
	c.txns[pid] = t
	delete(c.alone, pid)
	spec = spec.Complete()
	return c.ask(t, spec.Step(pid), out), true
}

// ask sends a step to every participant.
func (c *Coordinator) ask(t *txn, s Step, out []Effect) []Effect {
	t.waits = append(t.waits[:0], wire.GMM)
	gmm := s
	gmm.Volumes = nil
	out = append(out, Effect{To: wire.GMM, Step: gmm})
	if t.open.WantsVolumes {
		t.waits = append(t.waits, wire.GSM)
		s.MemoryBytes = 0
		out = append(out, Effect{To: wire.GSM, Step: s})
	}
	return out
}

// change sends a change to GPM.
func change(m Change, out []Effect) []Effect { return append(out, Effect{To: wire.GPM, Change: m}) }

// resume goes on with a transaction by its phase in the log.
func (c *Coordinator) resume(o Open, out []Effect) []Effect {
	pid := o.Placement.PID
	delete(c.alone, pid)
	if o.Phase == Running || o.Phase == Evicting || o.Phase == 0 { // whoever stops an evicted process ends that phase
		delete(c.txns, pid)
		return out
	}
	t := &txn{open: o}
	c.txns[pid] = t
	if o.Phase == Intent {
		t.doing = deciding
		return change(Change{Verb: DecideAbort, PID: pid, Kind: wire.KindUnavailable, Text: "the manager that coordinated the admission ended before it decided"}, out)
	}
	return c.carryOut(t, Outcome{PID: pid, Phase: o.Phase, Kind: o.Kind, Text: o.Text}, out)
}

// carryOut tells the participants what is decided.
func (c *Coordinator) carryOut(t *txn, o Outcome, out []Effect) []Effect {
	t.open.Phase, t.open.Kind, t.open.Text = o.Phase, o.Kind, o.Text
	switch o.Phase {
	case Committed, Running, Evicting: // evicted already: it was committed before
		if t.open.Placement.Home.Node == "" {
			t.stalled = true // a commit of before won against the abort of now: the log has the votes
			return out
		}
		t.doing = committing
		return c.ask(t, Step{Verb: Commit, PID: o.PID}, out)
	case Intent:
		t.stalled = true // GPM refused a change of this version: nothing to do but to look again
		return out
	}
	t.doing = freeing // also if it is gone: what was prepared for it is an orphan
	return c.ask(t, Step{Verb: Free, PID: o.PID}, out)
}

// verb returns the step whose answers are awaited.
func (t *txn) verb() Verb {
	switch t.doing {
	case preparing:
		return Prepare
	case committing:
		return Commit
	case freeing:
		return Free
	}
	return 0
}

// awaited takes a participant off the list of those that owe an answer to verb; false if it owes none.
func (t *txn) awaited(from wire.Manager, verb Verb) bool {
	i := slices.Index(t.waits, from)
	if t.stalled || i < 0 || t.verb() != verb {
		return false
	}
	t.waits = slices.Delete(t.waits, i, i+1)
	return true
}

// Voted takes a participant's answer to a step. Answers that nobody waits for are ignored.
func (c *Coordinator) Voted(from wire.Manager, verb Verb, v Vote, out []Effect) []Effect {
	t := c.txns[v.PID]
	if t == nil || !t.awaited(from, verb) {
		return out
	}
	switch {
	case verb == Prepare && v.Kind != wire.KindNone:
		t.refuse(v.Kind, v.Text)
		t.never = t.never || v.Never
	case verb == Prepare && from == wire.GMM:
		t.open.Placement.Home = v.Home
	case verb == Prepare:
		t.open.Placement.Volumes = v.Volumes
	case v.Kind != wire.KindNone && v.Kind != wire.KindNotFound: // what is not held any more is done
		return c.stall(t, out)
	}
	return c.next(t, out)
}

// refuse notes why the transaction must be aborted; all reasons are told.
func (t *txn) refuse(kind wire.Kind, text string) {
	if t.open.Kind == wire.KindNone {
		t.open.Kind, t.open.Text = kind, text
		return
	}
	if kind == wire.KindNoRoom {
		t.open.Kind = kind // what is short says more than who did not answer
	}
	t.open.Text += "; " + text
}

// next goes on when every participant has answered.
func (c *Coordinator) next(t *txn, out []Effect) []Effect {
	if len(t.waits) > 0 {
		return out
	}
	pid, p := t.open.Placement.PID, t.open.Placement
	switch t.doing {
	case preparing:
		t.doing = deciding
		if t.open.Kind != wire.KindNone {
			return change(Change{Verb: DecideAbort, PID: pid, Kind: t.open.Kind, Text: t.open.Text, Never: t.never}, out)
		}
		if canary.On(canary.UnloggedDecision) {
			t.doing = committing
			out = c.ask(t, Step{Verb: Commit, PID: pid}, out)
		}
		return change(Change{Verb: DecideCommit, PID: pid, Home: p.Home, Volumes: p.Volumes}, out)
	case committing:
		t.doing = ending
		out = append(out, Effect{Answer: Answer{PID: pid, Placement: p}})
		return change(Change{Verb: EndCommit, PID: pid}, out)
	}
	t.doing, t.gone = ending, true
	return change(Change{Verb: EndFree, PID: pid}, out)
}

// Settled takes GPM's answer to a change.
func (c *Coordinator) Settled(o Outcome, out []Effect) []Effect {
	t := c.txns[o.PID]
	if t == nil || t.stalled {
		return out
	}
	switch {
	case t.doing == deciding:
		return c.carryOut(t, o, out)
	case t.doing != ending:
		return out
	case o.Phase == Leaving && !t.gone: // released before it was known to run
		return c.carryOut(t, o, out)
	case o.Phase == Committed || o.Phase == Leaving || o.Phase == Intent:
		return c.stall(t, out)
	}
	delete(c.txns, o.PID)
	if t.gone {
		out = append(out, Effect{Answer: Answer{PID: o.PID, Gone: true, Kind: t.open.Kind, Text: t.open.Text}})
	}
	return out
}

// Lost tells that nobody knows whether a step or a change was carried out. Before the decision that is a reason to abort;
// after it, the log tells how to go on.
func (c *Coordinator) Lost(to wire.Manager, pid wire.PID, err error, out []Effect) []Effect {
	t := c.txns[pid]
	if t == nil || t.stalled {
		return out
	}
	if t.doing == preparing {
		if t.awaited(to, Prepare) {
			t.refuse(wire.KindUnavailable, fmt.Sprintf("%v does not answer: %v", to, err))
			return c.next(t, out)
		}
		return out
	}
	return c.stall(t, out)
}

// stall leaves a transaction to Found. A refusal that is decided is told nevertheless.
func (c *Coordinator) stall(t *txn, out []Effect) []Effect {
	t.stalled = true
	if t.doing == freeing && t.open.Kind != wire.KindNone {
		out = append(out, Effect{Answer: Answer{PID: t.open.Placement.PID, Gone: true, Kind: t.open.Kind, Text: t.open.Text}})
	}
	return out
}

// Found takes all that is open in GPM's log, ascending by process id, and drives what nobody here drives.
func (c *Coordinator) Found(now time.Duration, open []Open, out []Effect) []Effect {
	listed := func(pid wire.PID) bool {
		_, ok := slices.BinarySearchFunc(open, pid, func(o Open, pid wire.PID) int { return cmp.Compare(o.Placement.PID, pid) })
		return ok
	}
	for pid, t := range c.txns {
		if t.stalled && !listed(pid) {
			delete(c.txns, pid) // another coordinator has ended it
		}
	}
	for pid := range c.alone {
		if !listed(pid) {
			delete(c.alone, pid)
		}
	}
	for _, o := range open {
		pid := o.Placement.PID
		t := c.txns[pid]
		switch {
		case t != nil && t.stalled:
			out = c.resume(o, out)
		case t != nil || o.Phase == Evicting || len(c.txns) >= MaxDriven:
		case o.Phase == Intent && !c.overdue(now, pid):
		default:
			out = c.resume(o, out)
		}
	}
	return out
}

// overdue reports whether an intent has had no driver for the grace.
func (c *Coordinator) overdue(now time.Duration, pid wire.PID) bool {
	since, ok := c.alone[pid]
	if !ok {
		c.alone[pid] = now
		return c.grace == 0
	}
	return now-since >= c.grace
}

// CheckInvariants returns the first broken rule.
func (c *Coordinator) CheckInvariants() error {
	if len(c.txns) > MaxDriven {
		return fmt.Errorf("admission: %d transactions, at most %d", len(c.txns), MaxDriven)
	}
	for pid, t := range c.txns {
		asks := t.verb() != 0
		switch {
		case t.open.Placement.PID != pid:
			return fmt.Errorf("admission: transaction %d under key %d", t.open.Placement.PID, pid)
		case !t.stalled && asks != (len(t.waits) > 0):
			return fmt.Errorf("admission: transaction %d does %d and waits for %v", pid, t.doing, t.waits)
		case t.doing == committing && t.open.Kind != wire.KindNone:
			return fmt.Errorf("admission: transaction %d is refused (%s) and commits", pid, t.open.Text)
		}
	}
	return nil
}

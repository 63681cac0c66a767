package admission

import (
	"splitkernel/gmanagers/apart"
	"splitkernel/netlayer/wire"
)

// Verb is what a participant, GMM or GSM, does with its part of a vNode.
type Verb uint8

// The verbs. Numbers are wire numbers, never reused.
const (
	Prepare Verb = 1 // check the room and hold it; asked again it gives the same vote
	Commit  Verb = 2 // what is held is the vNode's
	Free    Verb = 3 // give back what is held, prepared or committed; of what is not held it is done already
)

func (v Verb) String() string {
	switch v {
	case Prepare:
		return "prepare"
	case Commit:
		return "commit"
	case Free:
		return "free"
	}
	return "unknown verb"
}

// Step is one verb for one vNode at one participant. The vNode's process id is the id of its transaction.
type Step struct {
	Verb        Verb
	PID         wire.PID
	MemoryBytes uint64            // of a Prepare at GMM
	Volumes     []VolumeSpec      // of a Prepare at GSM
	Apart       apart.Rule        // of a Prepare, of the tenant
	Memory      wire.MemoryPolicy // of a Prepare at GMM
}

// Vote is the answer to a step. Kind is wire.KindNone if it was carried out.
type Vote struct {
	PID     wire.PID
	Kind    wire.Kind
	Text    string
	Home    Home     // GMM's vote for a Prepare
	Volumes []Volume // GSM's vote for a Prepare
	Never   bool     // refused, and would be even if the cluster held nothing else: nobody waits for it
}

// Phase is how far a vNode is, in GPM's log.
type Phase uint8

// The phases. Numbers are wire numbers, never reused.
//
//	(none) --admit--> Intent --commit--> Committed --end--> Running --preempt--> Evicting
//	                    |                    |                 |                     |
//	                  abort               release           release         evicted, release
//	                    +---------> Leaving <+-----------------+---------------------+
//	                                   |
//	                                  end --> (none)
//
// Before its intent a vNode may wait in GPM's queue, under a ticket: an attempt that fails there is an intent that is
// aborted, and the vNode waits on.
const (
	Intent    Phase = 1 // threads and lines are held; nothing is decided
	Committed Phase = 2 // decided; the participants may not know it yet
	Running   Phase = 3 // every participant knows it
	Leaving   Phase = 4 // aborted or released; the participants may still hold their parts
	Evicting  Phase = 5 // ended for another vNode; its process may still run
)

func (p Phase) String() string {
	switch p {
	case 0:
		return "gone"
	case Intent:
		return "intent"
	case Committed:
		return "committed"
	case Running:
		return "running"
	case Leaving:
		return "leaving"
	case Evicting:
		return "evicting"
	}
	return "unknown phase"
}

// ChangeVerb is what GPM does with the phase of a vNode. Each is a compare-and-set: in another phase it changes nothing.
type ChangeVerb uint8

// The changes. Numbers are wire numbers, never reused.
const (
	DecideCommit ChangeVerb = 1 // Intent → Committed, with the votes
	DecideAbort  ChangeVerb = 2 // Intent → Leaving, with the reason
	EndCommit    ChangeVerb = 3 // Committed → Running: every participant has committed
	EndFree      ChangeVerb = 4 // Leaving → none: every participant has given back
	Ask          ChangeVerb = 5 // a prepared participant asks: Intent → Leaving, else only the answer
	Evicted      ChangeVerb = 6 // Evicting → Leaving: its process runs no more
)

func (v ChangeVerb) String() string {
	switch v {
	case DecideCommit:
		return "decide commit"
	case DecideAbort:
		return "decide abort"
	case EndCommit:
		return "end commit"
	case EndFree:
		return "end free"
	case Ask:
		return "ask"
	case Evicted:
		return "evicted"
	}
	return "unknown change"
}

// Change is one change of one vNode.
type Change struct {
	Verb    ChangeVerb
	PID     wire.PID
	Home    Home      // of DecideCommit
	Volumes []Volume  // of DecideCommit
	Kind    wire.Kind // of DecideAbort
	Text    string    // of DecideAbort
	Never   bool      // of DecideAbort: a vote said so
}

// Outcome is the answer to a change: the phase after it. Kind and Text tell why, if the vNode was refused.
type Outcome struct {
	PID   wire.PID
	Phase Phase // 0: there is no such vNode any more
	Kind  wire.Kind
	Text  string
}

package events

import (
	"encoding/json"
	"fmt"

	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

const (
	// MaxEvents bounds the events that a manager remembers.
	MaxEvents = 8192
	// MaxPage bounds the events of one answer, so that it fits into a reply however long they are.
	MaxPage = 256
	// MaxCandidates bounds the candidates that an event names.
	MaxCandidates = 8
	// MaxReasonBytes bounds Event.Reason; longer ones are cut.
	MaxReasonBytes = 1024
	// MaxWhyBytes bounds Candidate.Why; longer ones are cut.
	MaxWhyBytes = 64
	// maxNameBytes bounds ids and the names of policies and units, which others bound already.
	maxNameBytes = 64
)

// Kind says what was decided.
type Kind uint8

// The kinds. Numbers are wire numbers: explicit, never reused.
const (
	Registered    Kind = 1  // Node, Epoch
	Rejoined      Kind = 2  // Node registered again, under Epoch
	Silent        Kind = 3  // Node was not heard of within the lease
	Probed        Kind = 4  // others were asked to look whether Node lives; Reason says what they saw
	Dead          Kind = 5  // Node was declared dead; Reason begins with cause and time to detect (membership.Death)
	Draining      Kind = 6  // Node
	Undrained     Kind = 7  // Node
	Removed       Kind = 8  // Node
	Admitted      Kind = 9  // PID runs at Node
	Refused       Kind = 10 // PID, 0 before it had one; Reason
	Queued        Kind = 11 // PID waits; Reason
	Dequeued      Kind = 12 // PID waits no more: it is admitted as By
	Expired       Kind = 13 // PID waited past its deadline; Reason
	Preempted     Kind = 14 // PID was ended for By; Reason
	Released      Kind = 15 // PID
	PlacedProcess Kind = 16 // PID at Node; Policy, Candidates
	PlacedHome    Kind = 17 // PID's home at Node; Policy, Candidates
	PlacedRegion  Kind = 18 // Region of PID at Node; Policy, Candidates
	PlacedVolume  Kind = 19 // Volume of PID at Node; Policy, Candidates
	PlacedCache   Kind = 20 // the buffer cache of Volume at Node; Policy, Candidates
	Reserved      Kind = 21 // room for Amount vRegions at Node for PID; Policy, Candidates when Node was chosen first
	MoveBegun     Kind = 22 // Move, of PID, Region or Volume, From, To; Reason
	MoveEnded     Kind = 23 // Move, From, To; Reason says how
	Rebalanced    Kind = 24 // a round of balancing; Reason
	QuotaSet      Kind = 25 // settings changed; Reason
	Recovered     Kind = 26 // what Node held is served by To again
	Lost          Kind = 27 // what Node held is lost; Reason
	Heard         Kind = 28 // Node is heard of again
	Drained       Kind = 29 // Node, which drains, has nothing left of what this manager places
	Stuck         Kind = 30 // Node, which drains, has something that finds no other place, or PID, which is to go on from a checkpoint, finds none; Reason
	ReplicaFills  Kind = 31 // a copy of Volume at Node fills, in place of that at From; Reason, Policy, Candidates
	ReplicaInSync Kind = 32 // that copy is counted from now on; Amount: ms since the first copy was lost, if none is missing now
	Unprotected   Kind = 33 // Region of PID, or its home, at Node has too few copies, or cannot be recovered; Reason
	Recovering    Kind = 34 // others get what Node served, in number Amount; Reason
	FirstAccess   Kind = 35 // all that Node served is served again; Amount: ms since it was declared dead
	Restored      Kind = 36 // all that Node had is as redundant as before; Amount: ms since it was declared dead
	Fenced        Kind = 37 // Node's Epoch is over for a majority of managers; Reason says how long that took (membership.FenceText)
	Restarting    Kind = 38 // PID, which From had, is to go on from its last checkpoint at To; Policy, Candidates, Reason
	Restarted     Kind = 39 // PID goes on at Node under Epoch, Amount ms after it was found lost; Reason says from where
)

// kindNames are the names of the kinds, by number.
var kindNames = [...]string{
	"none", "registered", "rejoined", "silent", "probed", "dead", "draining", "undrained", "removed", "admitted", "refused", "queued",
	"dequeued", "expired", "preempted", "released", "placed_process", "placed_home", "placed_vregion", "placed_volume", "placed_cache",
	"reserved", "move_begun", "move_ended", "rebalanced", "quota_set", "recovered", "lost", "heard", "drained", "stuck", "replica_fills", "replica_in_sync",
	"unprotected", "recovering", "first_access", "restored", "fenced", "restarting", "restarted",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// KindNames are the names of all kinds, by number from 1.
func KindNames() []string { return append([]string(nil), kindNames[1:]...) }

// MarshalJSON gives the name.
func (k Kind) MarshalJSON() ([]byte, error) { return json.Marshal(k.String()) }

// UnmarshalJSON takes a name.
func (k *Kind) UnmarshalJSON(b []byte) error {
	var name string
	if err := json.Unmarshal(b, &name); err != nil {
		return err
	}
	for i, n := range kindNames {
		if n == name {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("event kind %q is none that there is", name)
}

// Candidate is a component that could have been chosen, or was asked.
type Candidate struct {
	ID    wire.NodeID
	Value uint64 // what the policy compared, in Event.Unit
	Why   string // in words, where no number says it
}

// Event is one decision. Fields that its Kind does not need are zero.
type Event struct {
	Seq        uint64 // given by Append: 1, 2, 3 …
	MS         int64  // ms since 1970 by the clock of the leader that proposed the command
	Kind       Kind
	PID        wire.PID
	By         wire.PID // for whom PID was preempted
	Region     wire.RegionNo
	Volume     wire.VolumeID
	Node       wire.NodeID
	Epoch      wire.Epoch
	From       wire.NodeID
	To         wire.NodeID
	Move       uint64 // wire.MoveID.No
	Amount     uint64
	Policy     string
	Unit       string      // of Candidate.Value: placement.Policy.Measure; empty: the values say nothing
	Candidates []Candidate // the chosen one first, at most MaxCandidates
	Reason     string
}

// Explain fills in Policy, Unit and Candidates: that p chose for a the candidate at position chosen of s. It reuses the
// memory of e.Candidates.
func (e *Event) Explain(p placement.Policy, a placement.Ask, s *placement.Set, chosen int) {
	var weighed [MaxCandidates]placement.Weighed
	e.Policy, e.Unit, e.Candidates = p.Name, p.Measure(), e.Candidates[:0]
	for _, w := range placement.Explain(p, a, s, chosen, MaxCandidates, weighed[:0]) {
		e.Candidates = append(e.Candidates, Candidate{ID: w.ID, Value: w.Value})
	}
}

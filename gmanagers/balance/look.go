package balance

import (
	"cmp"
	"fmt"
	"time"

	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/events"
	"splitkernel/netlayer/wire"
)

// Component is a component of the manager at a look.
type Component struct {
	ID    wire.NodeID
	Epoch wire.Epoch // of its membership: a new one has lost its readings, and has joined
	Rack  string
	// Room is what may still be placed there, Reserved what is, in the unit of the manager, as in placement.Candidate. What
	// is on its way there is reserved already.
	Room, Reserved, Capacity uint64
	Placed                   uint64        // volumes or homes that it has, where the policy counts them
	Power                    float64       // what it can bear in relation to the others: processors, workers, bytes; 0 counts as 1
	Load                     Load          // of all that it does
	At                       time.Duration // when Load was heard
	BooksAt                  time.Duration // when its bytes and threads were read, if not At: they come from books, not from a heartbeat
	Alive                    bool
	Draining                 bool
	Kept                     int // things that it has and that nobody moves: copies, which others make elsewhere
}

// ThingID names what can move.
type ThingID struct {
	Kind   wire.MoveKind
	PID    wire.PID
	Region wire.RegionNo
	Volume wire.VolumeID
}

func (t ThingID) String() string {
	switch t.Kind {
	case wire.MoveRegion:
		return fmt.Sprintf("vRegion %d of process %d", t.Region, t.PID)
	case wire.MoveHome:
		return fmt.Sprintf("the home of process %d", t.PID)
	case wire.MoveProcess:
		return fmt.Sprintf("process %d", t.PID)
	case wire.MoveVolume:
		return fmt.Sprintf("volume %d", t.Volume)
	case wire.MoveCache:
		return fmt.Sprintf("the buffer cache of volume %d", t.Volume)
	}
	return t.Kind.String()
}

func (t ThingID) compare(u ThingID) int {
	return cmp.Or(cmp.Compare(t.Kind, u.Kind), cmp.Compare(t.PID, u.PID), cmp.Compare(t.Region, u.Region), cmp.Compare(t.Volume, u.Volume))
}

// Thing is what a component holds.
type Thing struct {
	ID     ThingID
	Holder wire.NodeID
	To     wire.NodeID // where it is moving to; empty if it is not
	Fixed  string      // why it cannot be moved now; empty if it can
	Size   uint64      // the room that it takes
	// Load is its own, if Measured; else it bears its part, by size, of what its holder bears and no measured thing does.
	Load     Load
	At       time.Duration // when Load was heard
	Measured bool
	Unrated  bool          // though Measured, Load has neither operations nor busy cores
	MovedAt  time.Duration // when its last move ended, however that was
	HasMoved bool
	PlacedAt time.Duration // when it was placed, for Options.SettleMS; also before the clock began
	Placed   bool          // PlacedAt is known
	// Apart are its memberships of groups: things of one group that are not of one member of it are apart.
	Apart []apart.Member
	// Avoid and AvoidRacks, ascending, must not get it: they have what it is apart from.
	Avoid      []wire.NodeID
	AvoidRacks []string
	// Within and WithinRacks, ascending, are where its member has something already: if either is not empty it goes nowhere else
	// for balance, and to leave what drains only if nothing fits there.
	Within      []wire.NodeID
	WithinRacks []string
}

// Move is a move to order.
type Move struct {
	Thing    ThingID
	From, To wire.NodeID
	Drain    bool // the giver drains
	// Before and After are the spread without and with this move, those before it counted as done; equal for a drain, whose
	// giver is not in it.
	Before, After float64
	Reason        string // measure, values and target in words
	Choice
	Considered int // candidates there were
}

// Choice says who chose a taker among whom, as events tell it.
type Choice struct {
	Policy     string             // a placement policy, or PolicyName
	Unit       string             // of the values of the candidates; empty: they say in words what they bear
	Candidates []events.Candidate // that had room and were not to be avoided, the taker first; at most MaxNamed
}

// PolicyName stands for balancing itself, where no placement policy chose.
const PolicyName = "balance"

// Stuck is a thing that cannot leave a component that drains.
type Stuck struct {
	Thing ThingID
	From  wire.NodeID
	Fixed bool   // it cannot be moved now, whoever has room
	Short uint64 // what the component with the most room lacks; 0 if room is not what is missing
	Text  string // which resource is short and by how much, or what else is in the way
}

// Drain is how far a component is with draining.
type Drain struct {
	Node   wire.NodeID
	Left   int // things that it holds, those on their way to and from it included; 0 is drained
	Moving int // of those that it holds on their way
}

// Plan is the outcome of a look.
type Plan struct {
	Moves  []Move
	Drains []Drain // ascending by Node
	Stuck  []Stuck // at most MaxNamed
	// MoreStuck counts those that Stuck has no place for.
	MoreStuck int
	// DrainsOnly says that nothing was planned for balance: the last look that did so was less than QuickLook ago.
	DrainsOnly bool
	// Spread and Jain are of what the components that are alive, known and do not drain bear, what is under way counted
	// where it goes; Spread weighted by power, as it is compared with Options.High and Low. 0 and 1 without any.
	Spread, Jain float64
	Balancing    bool // the spread was above High and has not reached Low since
	Cut          bool // MaxTrials ended the search
}

const (
	// MaxNamed bounds the candidates of a move and the stuck things that a plan names.
	MaxNamed = 16
	// MaxTrials bounds the pairs of thing and taker that one look tries: some tens of ms. Only a manager with hundreds of
	// thousands of things that gain nowhere comes to it.
	MaxTrials = 1 << 21
	// QuickLook is the least time between two looks for balance: over which loads are measured, as before that there are no new figures. A shorter
	// Options.IntervalMS counts.
	QuickLook = wire.LoadMS * time.Millisecond
	// DrainLook is the least time between two looks while something drains, for which no new figures are needed.
	DrainLook = 10 * time.Millisecond
	// RetryPause is how long an order to leave a component that drains rests when it was given and the thing is still there.
	RetryPause = 5 * time.Second
	// FarOff is how far from the mean, in parts of it, what a component bears must be to be noticed alone: the spread of
	// many components hides one. Loads that vary by a fifth or a half do not come to it.
	FarOff = 0.75
	// noiseMargin is how many times the noise of both ends a taker must stay below the giver.
	noiseMargin = 2
)

package movelist

import (
	"fmt"

	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/events"
	"splitkernel/netlayer/wire"
)

const (
	// MaxMoves bounds the moves that are listed: under way, or ended and not yet forgotten by their givers.
	MaxMoves = 1024
	// MaxHistory bounds the moves that are remembered after that, so that the pauses of a run can be told.
	MaxHistory = 1024
	// MaxBatch bounds the orders, ends and numbers of one command.
	MaxBatch = 64
	// MaxReasonBytes bounds Order.Reason; longer ones are cut.
	MaxReasonBytes = 512
	// MaxCandidates bounds Order.Candidates; more are left out.
	MaxCandidates = 8
	// MaxTimeoutMS bounds Order.TimeoutMS: a day.
	MaxTimeoutMS = 86_400_000
	// maxNameBytes bounds ids, which their registration bounds already.
	maxNameBytes = 64
	// maxAddrBytes bounds addresses, which their registration bounds already.
	maxAddrBytes = 256
)

// Cause says who wanted a move.
type Cause uint8

// The causes. Numbers are wire numbers.
const (
	ByHand  Cause = 1
	Balance Cause = 2
	Drain   Cause = 3
)

// causeNames are the names of Cause, by number.
var causeNames = [...]string{"none", "by_hand", "balance", "drain"}

func (c Cause) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return fmt.Sprintf("cause(%d)", uint8(c))
}

// MarshalJSON gives the name.
func (c Cause) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", c.String()), nil }

// Thing names what moves. Fields that its kind does not have are zero.
type Thing struct {
	Kind   wire.MoveKind
	PID    wire.PID
	Region wire.RegionNo
	Volume wire.VolumeID
}

func (t Thing) String() string {
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

// Check says why there is no such thing, as an error of wire.KindBadRequest. Manager is the one that is asked.
func (t Thing) Check(g wire.Manager) error {
	want := Thing{Kind: t.Kind, PID: t.PID}
	of := wire.GMM
	switch t.Kind {
	case wire.MoveRegion:
		want.Region = t.Region
	case wire.MoveHome:
	case wire.MoveProcess:
		of = wire.GPM
	case wire.MoveVolume, wire.MoveCache:
		of, want.PID, want.Volume = wire.GSM, 0, t.Volume
	default:
		return wire.Errorf(wire.KindBadRequest, "move of kind %d, want 1 to 5", t.Kind)
	}
	switch {
	case of != g:
		return wire.Errorf(wire.KindBadRequest, "%v moves by %v, this is %v", t.Kind, of, g)
	case t != want, of == wire.GSM && t.Volume == 0, of != wire.GSM && t.PID == 0:
		return wire.Errorf(wire.KindBadRequest, "move of a %v: process %d, vRegion %d, volume %d: want its own ids and no others", t.Kind, t.PID, t.Region, t.Volume)
	}
	return nil
}

// ManagerOf returns the manager that orders moves of a kind, 0 for a kind that there is not.
func ManagerOf(k wire.MoveKind) wire.Manager {
	switch k {
	case wire.MoveRegion, wire.MoveHome:
		return wire.GMM
	case wire.MoveProcess:
		return wire.GPM
	case wire.MoveVolume, wire.MoveCache:
		return wire.GSM
	}
	return 0
}

// Order asks for one move.
type Order struct {
	Thing  Thing
	From   wire.NodeID // who must hold it now, or the order is refused as stale; empty: whoever does
	To     wire.NodeID // the taker; empty: the placement policy chooses
	Cause  Cause
	Reason string
	// Policy, Unit and Candidates are of whoever chose To, as in an event: at most MaxCandidates are kept.
	Policy     string
	Unit       string
	Candidates []events.Candidate
	TimeoutMS  uint32 // see wire.MoveReq
}

// Check refuses what no manager can carry out.
func (o Order) Check(g wire.Manager) error {
	if err := o.Thing.Check(g); err != nil {
		return err
	}
	switch {
	case len(o.From) > maxNameBytes || len(o.To) > maxNameBytes:
		return wire.Errorf(wire.KindBadRequest, "move of %v: ids of %d and %d bytes, at most %d", o.Thing, len(o.From), len(o.To), maxNameBytes)
	case o.Cause < ByHand || o.Cause > Drain:
		return wire.Errorf(wire.KindBadRequest, "move of %v: cause %d, want 1 to 3", o.Thing, o.Cause)
	case len(o.Policy) > maxNameBytes || len(o.Unit) > maxNameBytes:
		return wire.Errorf(wire.KindBadRequest, "move of %v: names of a policy and a unit of %d and %d bytes, at most %d", o.Thing, len(o.Policy), len(o.Unit), maxNameBytes)
	case o.TimeoutMS == 0 || o.TimeoutMS > MaxTimeoutMS:
		return wire.Errorf(wire.KindBadRequest, "move of %v: timeout_ms: %d, want 1 to %d", o.Thing, o.TimeoutMS, MaxTimeoutMS)
	}
	return nil
}

// Begun is the answer to an order.
type Begun struct {
	No   uint64      // of wire.MoveID; 0 if it was refused
	From wire.NodeID // the giver
	To   wire.NodeID // the taker
	Kind wire.Kind   // why it was refused
	Text string
}

// Err returns the error of a refusal, nil if the move was begun.
func (b Begun) Err() error {
	if b.Kind == wire.KindNone {
		return nil
	}
	return &wire.Error{Kind: b.Kind, Text: b.Text}
}

// Move is a move of the list.
type Move struct {
	Req       wire.MoveReq   // as the giver is ordered
	From      wire.NodeID    // the giver
	FromAddr  string         // as known when it began
	FromEpoch wire.Epoch     // of the giver's membership when it began; 0 of a buffer cache, as GSM does not register mComponents
	ToEpoch   wire.Epoch     // of the taker's
	Threads   uint32         // of a process
	ToRack    string         // of the taker's
	Apart     []apart.Member // what it must be apart from, also at the taker while it is under way
	Size      uint64         // room that is booked at the taker while it is under way, in the unit of the manager
	Cause     Cause
	Reason    string
	BegunMS   int64 // ms since 1970 by the clock of the leader that proposed it
	// The rest is zero while the move is under way.
	EndedMS    int64
	State      wire.MoveState // done, undone or lost
	Epoch      wire.Epoch     // under which it is served since
	Bytes      uint64         // sent
	DurationUS uint64         // since the giver had the order
	PauseUS    uint64         // for which nobody served
	Text       string         // why it was not done
}

// Thing returns what moves.
func (m *Move) Thing() Thing { return thingOf(m.Req) }

func thingOf(r wire.MoveReq) Thing { return Thing{r.Kind, r.PID, r.Region, r.Volume} }

// Ended reports whether it is over.
func (m *Move) Ended() bool { return m.State != 0 }

// Outcome says in words how the move ended.
func (m *Move) Outcome() string {
	s := m.State.String()
	if m.State == wire.MoveDone || m.Bytes > 0 {
		s += fmt.Sprintf(": %d bytes in %.3f s, pause %.3f ms", m.Bytes, float64(m.DurationUS)/1e6, float64(m.PauseUS)/1e3)
	}
	if m.Text != "" {
		s += ": " + m.Text
	}
	return s
}

// check refuses what Begin and End never make.
func (m *Move) check(g wire.Manager) error {
	long := max(len(m.From), len(m.Req.To), len(m.Req.Via), len(m.ToRack))
	addr := max(len(m.FromAddr), len(m.Req.ToAddr), len(m.Req.ViaAddr))
	switch err := m.Thing().Check(g); {
	case err != nil:
		return err
	case m.Req.Move.Manager != g || m.Req.Move.No == 0:
		return fmt.Errorf("move %v of %v", m.Req.Move, g)
	case m.From == "" || m.Req.To == "" || m.From == m.Req.To || long > maxNameBytes || addr > maxAddrBytes:
		return fmt.Errorf("move %d from %.64q to %.64q", m.Req.Move.No, m.From, m.Req.To)
	case m.Req.OldEpoch == 0 || m.Req.Epoch != m.Req.OldEpoch+1 || m.Req.UndoEpoch != m.Req.OldEpoch+2 || m.FromEpoch == 0 && m.Req.Kind != wire.MoveCache || m.ToEpoch == 0:
		return fmt.Errorf("move %d under epochs %d, %d and %d, of members under %d and %d", m.Req.Move.No, m.Req.OldEpoch, m.Req.Epoch, m.Req.UndoEpoch, m.FromEpoch, m.ToEpoch)
	case m.Cause < ByHand || m.Cause > Drain || len(m.Reason) > MaxReasonBytes || len(m.Text) > MaxReasonBytes:
		return fmt.Errorf("move %d: cause %d, texts of %d and %d bytes", m.Req.Move.No, m.Cause, len(m.Reason), len(m.Text))
	case m.State != 0 && !m.State.Ended() || m.State > wire.MoveLost || m.State == 0 && m.Epoch != 0 || (m.State == wire.MoveLost) != (m.State != 0 && m.Epoch == 0):
		return fmt.Errorf("move %d ended as %v under epoch %d", m.Req.Move.No, m.State, m.Epoch)
	}
	return nil
}

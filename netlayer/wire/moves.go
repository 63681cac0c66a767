package wire

import "fmt"

// MoveID names one move. The manager that orders it gives it; it is never reused within that manager, and Manager tells
// the three apart.
type MoveID struct {
	Manager Manager
	No      uint64
}

// MoveKind says what moves from one component to another while it is in use.
type MoveKind uint8

// The kinds. Numbers are wire numbers: explicit, never reused.
const (
	MoveRegion  MoveKind = 1 // a vRegion with its pages, from owner to owner (GMM)
	MoveHome    MoveKind = 2 // the memory map of a process, from home to home (GMM)
	MoveProcess MoveKind = 3 // a process, from pComponent to pComponent (GPM)
	MoveVolume  MoveKind = 4 // a volume with its blocks, from sComponent to sComponent (GSM)
	MoveCache   MoveKind = 5 // the buffer cache of a volume, from mComponent to mComponent (GSM)
)

// moveKindNames are the names of MoveKind, by number.
var moveKindNames = [...]string{"none", "vregion", "home", "process", "volume", "buffer_cache"}

func (k MoveKind) String() string {
	if int(k) < len(moveKindNames) {
		return moveKindNames[k]
	}
	return fmt.Sprintf("move(%d)", uint8(k))
}

// MoveReq orders the component that holds something to move it. The giver drives the move from here on, also when every
// manager is dead: it copies while it serves, stops serving, tells who uses the thing that it is served elsewhere under
// Epoch, and lets the taker serve. If it gives up after anybody may have heard of Epoch it goes on serving under
// UndoEpoch, and tells them. The same order again changes nothing, unless it names a newer ViaEpoch: then somebody else must hear of it
// from now on.
type MoveReq struct {
	Move      MoveID
	Kind      MoveKind
	PID       PID      // of a vRegion, home or process
	Region    RegionNo // of a vRegion
	Volume    VolumeID // of a volume or buffer cache
	OldEpoch  Epoch    // under which the giver serves: another is refused as stale
	Epoch     Epoch    // under which the taker will serve; OldEpoch + 1
	UndoEpoch Epoch    // under which the giver goes on if the move fails late; OldEpoch + 2
	To        NodeID   // the taker
	ToAddr    string
	Via       NodeID // who must hear of it: of a vRegion the process's home, of a volume its buffer cache; empty for the others
	ViaAddr   string
	TimeoutMS uint32 // a move that has not begun to switch over by then is given up
	// FromMember and ToMember are the epochs of the memberships under which giver and taker were chosen; 0 if not known. A giver
	// that is registered under FromMember and has nothing of what moves has lost nothing: no process uses it yet, or any more. It
	// says so by ending the move as done at once, and from then on refuses whoever comes for it under an epoch below Epoch.
	FromMember Epoch
	ToMember   Epoch
	ViaEpoch   Epoch // of the home that Via is, of a vRegion: it grows when another becomes the home while the vRegion moves
}

// MoveState is how far a move has come.
type MoveState uint8

// The states. Numbers are wire numbers.
const (
	MoveCopying   MoveState = 1 // the giver serves
	MoveSwitching MoveState = 2 // nobody serves: the pause
	MoveDone      MoveState = 3 // the taker serves, under Epoch
	MoveUndone    MoveState = 4 // the giver serves as before, under the epoch of the status
	MoveLost      MoveState = 5 // neither can be known to serve: the taker fell silent in the middle of the switch-over
)

// moveStateNames are the names of MoveState, by number.
var moveStateNames = [...]string{"none", "copying", "switching", "done", "undone", "lost"}

func (s MoveState) String() string {
	if int(s) < len(moveStateNames) {
		return moveStateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Ended reports whether the move is over.
func (s MoveState) Ended() bool { return s >= MoveDone }

// MoveRef names a move to its giver.
type MoveRef struct {
	Move MoveID
}

// MoveStatusRep is how far a move has come, and what it cost. A giver that knows no such move answers KindNotFound: it has
// started again since, so it holds nothing of it.
type MoveStatusRep struct {
	Move       MoveID
	State      MoveState
	Epoch      Epoch  // under which it is served: by the giver, or after MoveDone by the taker
	Bytes      uint64 // sent so far, pages and blocks sent twice counted twice
	TotalBytes uint64 // to send, as known now
	Rounds     uint32 // passes over what changed while the passes before them were under way
	DurationUS uint64 // since the order
	PauseUS    uint64 // of the switch-over: from when the giver stopped serving until the taker served
	Text       string // why it was undone or lost
}

// ProbeReq asks a component to look whether another one lives: it connects, or uses the connection that it has, and pings.
type ProbeReq struct {
	Node      NodeID
	Addr      string
	TimeoutMS uint32
}

// ProbeRep says what came of it. Whoever answers under another id than the one asked for is not alive.
type ProbeRep struct {
	Alive bool
	Text  string // why not
	// Refused: the machine at the address says that nobody listens there, so the process that did has ended. Silence says no such thing.
	Refused bool
}

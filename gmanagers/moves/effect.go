package moves

import (
	"time"

	"splitkernel/netlayer/wire"
)

// EffectKind says what an Effect asks for.
type EffectKind uint8

// The effects. All are calls that are answered.
const (
	// Start sends wire.OpMoveStart with Req to Node.
	Start EffectKind = 1
	// Poll sends wire.OpMoveStatus for Move to Node.
	Poll EffectKind = 2
	// Forget sends wire.OpMoveForget for Move to Node.
	Forget EffectKind = 3
	// Look asks Node whether it serves what Req names, and under which epoch (wire.OpHoldings); the answer goes to Seen.
	Look EffectKind = 4
	// Propose proposes End to the replicated state; an answer without error says that it was carried out, not more.
	Propose EffectKind = 5
	// Adopt tells Node, the taker, that the giver is gone (wire.OpMoveAdopt with Req): it serves what it has in full, or drops it.
	Adopt EffectKind = 7
	// Drop proposes to take Move from the list: nobody needs to be told of it any longer.
	Drop EffectKind = 6
)

func (k EffectKind) String() string {
	return [...]string{"none", "start", "poll", "forget", "look", "propose", "drop", "adopt"}[k]
}

// Effect is something that the caller must do. Fields that its kind does not name are zero.
type Effect struct {
	Kind EffectKind
	Call uint64 // to be given back with the answer
	Move wire.MoveID
	Node wire.NodeID
	Addr string
	Req  wire.MoveReq // of Start, Look and Adopt
	End  End          // of Propose
}

// End is how a move ended.
type End struct {
	Move       wire.MoveID
	State      wire.MoveState // done, undone or lost
	Epoch      wire.Epoch     // under which it is served now; 0 if it is lost
	Bytes      uint64
	DurationUS uint64
	PauseUS    uint64
	Text       string // why it was not done, or how the end is known if the giver did not tell it
}

// Party is one end of a move as the members are now.
type Party struct {
	Node  wire.NodeID
	Addr  string
	Epoch wire.Epoch // of its present membership
	Then  wire.Epoch // under which the move was recorded; 0 if that is not known
	Gone  bool       // for good: removed, or declared dead
}

// Listed is a move as the replicated state lists it.
type Listed struct {
	Req          wire.MoveReq
	Giver, Taker Party
	Ended        bool // its end is in the list
}

// Held is what a component answers to Look.
type Held struct {
	Serves bool
	Epoch  wire.Epoch // 0 if the component does not say
	Member wire.Epoch // under which it says that it is registered; 0 if it does not say
}

// over reports whether the incarnation with which the move was recorded is gone, by death or by another registration.
func (p Party) over() bool { return p.Gone || p.Then != 0 && p.Epoch > p.Then }

// lived reports whether what the component answered is of the incarnation with which the move was recorded, which has
// lost nothing since.
func (p Party) lived(h Held) bool {
	return !p.Gone && p.Then != 0 && p.Epoch == p.Then && h.Member == p.Then
}

const (
	// FirstPoll is the time until it is asked how far a move is, after its giver took the order. Each further pause is twice
	// as long, up to PollPause, so that the end of a move is known after twice the time that it took.
	FirstPoll = 5 * time.Millisecond
	// PollPause is the longest time between two such questions. The move's pause does not depend on it: the giver measures
	// that.
	PollPause = 200 * time.Millisecond
	// ProposePause is how long a proposal is waited for before it is repeated: longer than an election.
	ProposePause = time.Second
	// MaxPause is the longest time between two calls of a move, to which it doubles while they fail.
	MaxPause = 5 * time.Second
	// CallPatience is how long an answer is waited for. The caller's deadline is shorter, so this only ends a call that the
	// caller lost.
	CallPatience = 20 * time.Second
	// MaxCalls bounds the calls and proposals under way.
	MaxCalls = 64
	// MaxText bounds the text of an end, which is replicated, in bytes.
	MaxText = 512
)

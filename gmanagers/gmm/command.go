package gmm

import (
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/internal/codec"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/moves"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/netlayer/wire"
)

// FormatVersion is the format version of requests, commands, results and snapshots. Another is refused: 1 and 2 placed
// each thing by itself, without a vNode's transaction.
const FormatVersion uint8 = 3

// Op says what a request asks.
type Op uint8

// The operations. Numbers are wire numbers, never reused; 2 and 4 placed and released a home without the other managers.
const (
	OpRegister Op = 1  // Member → Result.Epoch
	OpActivate Op = 3  // PID, Region → Result.Owner
	OpSteps    Op = 5  // Steps → Result.Votes
	OpDead     Op = 7  // Member.ID, Member.Epoch, Text: declared dead, as a compare-and-set on the epoch
	OpBegin    Op = 8  // Orders, Notes → Result.Begun
	OpEnd      Op = 9  // Ends, Drops
	OpNode     Op = 10 // Member.ID, Action: what people want done with a member
	OpCopies   Op = 14 // Copies: what became of recoveries and copies
	OpNote     Op = 13 // Member.ID, Member.Epoch, Note, Text: what was seen of a member, for the events
)

// Request is what a client asks. Fields that Op does not name are zero.
type Request struct {
	Op     Op
	Member wire.Member
	Action membership.Action
	Note   membership.Note
	Text   string // why, or what was seen
	PID    wire.PID
	Region wire.RegionNo
	Steps  []admission.Step    // at most admission.MaxBatch
	Orders []movelist.Order    // at most movelist.MaxBatch
	Notes  []movelist.Note     // as many
	Ends   []moves.End         // these and Drops together as many
	Drops  []uint64            // numbers of moves that their givers have forgotten
	Copies []redundancy.Change // at most redundancy.MaxBatch
	// SilentMS, of OpDead, is for how long the member had not been heard of; 0 if that is not known.
	SilentMS uint64
}

// Command is a request as replicated: the proposer added who asks and its stamp.
type Command struct {
	Client     uint64
	Seq        uint64
	Stamp      membership.Stamp
	Overcommit uint64 // thousandths: 4000 lets an mComponent own vRegions of 4 times its memory
	Cached     Cached // of a removal: what GSM said
	Request    Request
}

// Cached is what GSM has booked of an mComponent that is to be removed, as the proposer asked it.
type Cached struct {
	Turn    uint64 // of the member when GSM closed it: GSM gives it no buffer cache until a later turn
	Volumes uint64 // whose buffer cache it still is
}

// Result is the answer to a command. Kind is wire.KindNone if it was carried out.
type Result struct {
	Kind  wire.Kind
	Text  string
	Epoch wire.Epoch
	Owner wire.Owner
	Votes []admission.Vote // one for each step
	Begun []movelist.Begun // one for each order
	// Config and Home, of OpActivate, are who makes the vRegion redundant, and who backs up the home of its process; zero if nobody.
	Config wire.RegionConfig
	Home   wire.HomeConfig
}

// Err returns the result's error, nil if the command was carried out.
func (r Result) Err() error {
	if r.Kind == wire.KindNone {
		return nil
	}
	return &wire.Error{Kind: r.Kind, Text: r.Text}
}

// Activated is the answer to OpActivate.
func (r Result) Activated() wire.Activated {
	return wire.Activated{Owner: r.Owner, Config: r.Config, Home: r.Home}
}

// failed makes the result of a refused command.
func failed(err error) Result { return Result{Kind: wire.KindOf(err), Text: membership.TextOf(err)} }

// Encode encodes a request for wire.ProposeReq.Command.
func (q Request) Encode() []byte { return codec.Encode(FormatVersion, q) }

// DecodeRequest decodes a request.
func DecodeRequest(b []byte) (q Request, err error) {
	err = codec.Decode(b, FormatVersion, "gmm request", &q)
	return q, err
}

// Encode encodes a command for the log.
func (c Command) Encode() []byte { return codec.Encode(FormatVersion, c) }

// DecodeCommand decodes a command.
func DecodeCommand(b []byte) (c Command, err error) {
	err = codec.Decode(b, FormatVersion, "gmm command", &c)
	return c, err
}

// Encode encodes a result for wire.ProposeRep.Result.
func (r Result) Encode() []byte { return codec.Encode(FormatVersion, r) }

// DecodeResult decodes a result.
func DecodeResult(b []byte) (r Result, err error) {
	err = codec.Decode(b, FormatVersion, "gmm result", &r)
	return r, err
}

package gpm

import (
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/internal/codec"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/moves"
	"splitkernel/netlayer/wire"
)

// FormatVersion is the format version of requests, commands, results and snapshots. Another is refused: 1 and 2 placed
// each thing by itself, without a vNode's transaction.
const FormatVersion uint8 = 3

// Op says what a request asks.
type Op uint8

// The operations. Numbers are wire numbers, never reused; 2 and 3 placed and ended a process without the other managers.
const (
	OpRegister Op = 1  // Member → Result.Epoch
	OpAdmit    Op = 4  // Spec → Result.VNode
	OpRelease  Op = 5  // PID → Result.VNode
	OpChanges  Op = 6  // Changes → Result.Outcomes
	OpDead     Op = 7  // Member.ID, Member.Epoch, Text: declared dead, as a compare-and-set on the epoch
	OpBegin    Op = 8  // Orders, Notes → Result.Begun
	OpEnd      Op = 9  // Ends, Drops
	OpNode     Op = 10 // Member.ID, Action: what people want done with a member
	OpNote     Op = 13 // Member.ID, Member.Epoch, Note, Text: what was seen of a member, for the events
	OpSettings Op = 11 // Settings; for the managers themselves
	OpQueue    Op = 12 // → Result.Tried; looks whether there is room for who waits; for the managers themselves
	OpPreempt  Op = 14 // PID a ticket, Victims; for the managers themselves

	OpRestart   Op = 15 // PID, Epoch → Result.VNode: a place for a process whose pComponent was lost, as a compare-and-set on its epoch
	OpRestarted Op = 16 // PID, Epoch, Failed, Text: how that ended
)

// Request is what a client asks. Fields that Op does not name are zero.
type Request struct {
	Op       Op
	Member   wire.Member
	Action   membership.Action
	Note     membership.Note
	Text     string // why, or what was seen
	Spec     admission.VNodeSpec
	PID      wire.PID
	Changes  []admission.Change // at most admission.MaxBatch
	Orders   []movelist.Order   // at most movelist.MaxBatch
	Notes    []movelist.Note    // as many
	Ends     []moves.End        // these and Drops together as many
	Drops    []uint64           // numbers of moves that their givers have forgotten
	Settings admission.Settings
	Epoch    wire.Epoch
	Failed   bool
	Victims  []wire.PID // to be ended for a vNode that waits; none: it is refused
}

// Command is a request as replicated: the proposer added who asks and its stamp.
type Command struct {
	Client      uint64
	Seq         uint64
	Stamp       membership.Stamp
	Coordinator uint64 // of OpAdmit and OpQueue: the leadership that may prepare it, see admission.Coordinator
	Request     Request
}

// Result is the answer to a command. Kind is wire.KindNone if it was carried out.
type Result struct {
	Kind     wire.Kind
	Text     string
	Epoch    wire.Epoch
	VNode    admission.Placement // what the log knows when the command is applied; the shell completes it
	Outcomes []admission.Outcome // one for each change
	Begun    []movelist.Begun    // one for each order
	Ticket   wire.PID            // of a vNode that may wait; without VNode it waits
	Tried    []wire.PID          // vNodes from the queue that are to be prepared
}

// Err returns the result's error, nil if the command was carried out.
func (r Result) Err() error {
	if r.Kind == wire.KindNone {
		return nil
	}
	return &wire.Error{Kind: r.Kind, Text: r.Text}
}

// failed makes the result of a refused command.
func failed(err error) Result { return Result{Kind: wire.KindOf(err), Text: membership.TextOf(err)} }

// Encode encodes a request for wire.ProposeReq.Command.
func (q Request) Encode() []byte { return codec.Encode(FormatVersion, q) }

// DecodeRequest decodes a request.
func DecodeRequest(b []byte) (q Request, err error) {
	err = codec.Decode(b, FormatVersion, "gpm request", &q)
	return q, err
}

// Encode encodes a command for the log.
func (c Command) Encode() []byte { return codec.Encode(FormatVersion, c) }

// DecodeCommand decodes a command.
func DecodeCommand(b []byte) (c Command, err error) {
	err = codec.Decode(b, FormatVersion, "gpm command", &c)
	return c, err
}

// Encode encodes a result for wire.ProposeRep.Result.
func (r Result) Encode() []byte { return codec.Encode(FormatVersion, r) }

// DecodeResult decodes a result.
func DecodeResult(b []byte) (r Result, err error) {
	err = codec.Decode(b, FormatVersion, "gpm result", &r)
	return r, err
}

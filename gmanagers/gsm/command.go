package gsm

import (
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/internal/codec"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/moves"
	"splitkernel/gmanagers/repair"
	"splitkernel/netlayer/wire"
)

// FormatVersion is the format version of requests, commands, results and snapshots. Another is refused: 1 and 2 placed
// each thing by itself, without a vNode's transaction.
const FormatVersion uint8 = 3

// Op says what a request asks.
type Op uint8

// The operations. Numbers are wire numbers, never reused; 2 and 3 created and deleted a volume without the other managers.
const (
	OpRegister Op = 1  // Member → Result.Epoch
	OpSteps    Op = 4  // Steps → Result.Votes
	OpDead     Op = 7  // Member.ID, Member.Epoch, Text: declared dead, as a compare-and-set on the epoch
	OpBegin    Op = 8  // Orders, Notes → Result.Begun
	OpEnd      Op = 9  // Ends, Drops
	OpNode     Op = 10 // Member.ID, Action: what people want done with a member
	OpNote     Op = 13 // Member.ID, Member.Epoch, Note, Text: what was seen of a member, for the events
	OpGates    Op = 12 // Gates → Result.Cached
	OpRepair   Op = 14 // Repairs → Result.Repaired
	OpFile     Op = 15 // File → Result.File
)

// Request is what a client asks. Fields that Op does not name are zero.
type Request struct {
	Op     Op
	Member wire.Member
	Action membership.Action
	Note   membership.Note
	Text   string           // why, or what was seen
	Steps  []admission.Step // at most admission.MaxBatch
	Gates  []Gate           // at most MaxGates
	Orders []movelist.Order // at most movelist.MaxBatch
	Notes  []movelist.Note  // as many
	Ends   []moves.End      // these and Drops together as many
	Drops  []uint64         // numbers of moves that their givers have forgotten
	// Repairs change where copies of volumes and their buffer caches are: at most MaxRepairs.
	Repairs []repair.Change
	File    wire.FileReq // of the logs of an mComponent
}

// Command is a request as replicated: the proposer added who asks, its stamp and the candidates for buffer caches.
type Command struct {
	Client      uint64
	Seq         uint64
	Stamp       membership.Stamp // Live: the sComponents
	CachePolicy string
	Caches      []membership.Live // the mComponents alive, ascending by id; empty in commands that place nothing
	Request     Request
}

// Result is the answer to a command. Kind is wire.KindNone if it was carried out.
type Result struct {
	Kind  wire.Kind
	Text  string
	Epoch wire.Epoch
	Votes []admission.Vote // one for each step
	// Cached is, for each gate, the number of volumes whose buffer cache the mComponent is, and the turn of the gate that is
	// in force now.
	Cached   []Cached
	Begun    []movelist.Begun // one for each order
	Repaired []Repaired       // one for each repair
	File     wire.ReplicaFile
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
	err = codec.Decode(b, FormatVersion, "gsm request", &q)
	return q, err
}

// Encode encodes a command for the log.
func (c Command) Encode() []byte { return codec.Encode(FormatVersion, c) }

// DecodeCommand decodes a command.
func DecodeCommand(b []byte) (c Command, err error) {
	err = codec.Decode(b, FormatVersion, "gsm command", &c)
	return c, err
}

// Encode encodes a result for wire.ProposeRep.Result.
func (r Result) Encode() []byte { return codec.Encode(FormatVersion, r) }

// DecodeResult decodes a result.
func DecodeResult(b []byte) (r Result, err error) {
	err = codec.Decode(b, FormatVersion, "gsm result", &r)
	return r, err
}

package gsm

import (
	"splitkernel/gmanagers/internal/codec"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

const (
	// RequestVersion is the format version of requests and results.
	RequestVersion uint8 = 1
	// CommandVersion is the format version of commands. 2 added the stamped chance; 1 is still read, from the logs of
	// earlier releases.
	CommandVersion uint8 = 2
)

// Op says what a request asks.
type Op uint8

// The operations. Numbers are wire numbers, never reused.
const (
	OpRegister Op = 1 // Member → Result.Epoch
	OpCreate   Op = 2 // Spec → Result.Volume
	OpDelete   Op = 3 // Volume
)

// MaxNameBytes bounds the name of a volume.
const MaxNameBytes = 255

// VolumeSpec is what a volume needs.
type VolumeSpec struct {
	Name      string   // for people; need not be unique
	SizeBytes uint64   // above 0; rounded up to wire.PageSize
	PID       wire.PID // the process that it is for; 0 if none
}

// VolumePlacement says where a volume is.
type VolumePlacement struct {
	Volume      wire.VolumeID
	Epoch       wire.Epoch // of the placement: 1 at first, more after each move
	SizeBytes   uint64     // as rounded
	Storage     wire.NodeID
	StorageAddr string
	Cache       wire.NodeID
	CacheAddr   string
}

// Request is what a client asks. Fields that Op does not name are zero.
type Request struct {
	Op     Op
	Member wire.Member
	Spec   VolumeSpec
	Volume wire.VolumeID
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
	Kind   wire.Kind
	Text   string
	Epoch  wire.Epoch
	Volume VolumePlacement
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
func (q Request) Encode() []byte { return codec.Encode(RequestVersion, q) }

// DecodeRequest decodes a request.
func DecodeRequest(b []byte) (q Request, err error) {
	err = codec.Decode(b, RequestVersion, "gsm request", &q)
	return q, err
}

// Encode encodes a command for the log.
func (c Command) Encode() []byte { return codec.Encode(CommandVersion, c) }

// commandV1 is a command of format version 1.
type commandV1 struct {
	Client, Seq uint64
	Stamp       membership.StampV1
	CachePolicy string
	Caches      []membership.Live
	Request     Request
}

// DecodeCommand decodes a command of either version.
func DecodeCommand(b []byte) (c Command, err error) {
	if len(b) > 0 && b[0] == 1 {
		var v commandV1
		err = codec.Decode(b, 1, "gsm command", &v)
		return Command{Client: v.Client, Seq: v.Seq, Stamp: v.Stamp.Stamp(), CachePolicy: v.CachePolicy, Caches: v.Caches, Request: v.Request}, err
	}
	err = codec.Decode(b, CommandVersion, "gsm command", &c)
	return c, err
}

// Encode encodes a result for wire.ProposeRep.Result.
func (r Result) Encode() []byte { return codec.Encode(RequestVersion, r) }

// DecodeResult decodes a result.
func DecodeResult(b []byte) (r Result, err error) {
	err = codec.Decode(b, RequestVersion, "gsm result", &r)
	return r, err
}

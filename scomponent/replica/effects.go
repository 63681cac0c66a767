package replica

import (
	"splitkernel/netlayer/wire"
)

const maxBatch = wire.MaxReplicaVersions

// Kind says what an Effect asks for.
type Kind uint8

// The effects. Numbers are those of tapes: explicit, never reused.
const (
	SendAttach   Kind = 1 // storage_attach with Attach
	SendRead     Kind = 2 // replica_block_read of Block with Flags
	SendWrite    Kind = 3 // replica_block_write of the block of Op to Block under Version, with Flags
	SendMark     Kind = 4 // block_write of length 0: generation Number
	SendFlush    Kind = 5 // block_flush: generation Number
	SendVersions Kind = 6 // replica_versions of Count blocks from Block on, with Flags
	Take         Kind = 7
	Finish       Kind = 8
	Release      Kind = 9
)

var kindNames = []string{"", "attach", "read", "write", "mark", "flush", "versions", "take", "finish", "release"}

func (k Kind) String() string { return kindNames[min(int(k), len(kindNames)-1)] }

// Effect is one thing that the driver of a group must do.
type Effect struct {
	Kind    Kind
	ID      uint64 // of what is sent: given back to Answered; of Take: which answer
	Op      uint64 // as the caller numbered it, or internal from Internal on
	To      wire.NodeID
	Addr    string
	Block   uint64
	Version wire.BlockVersion
	Flags   uint32
	Count   uint32
	Number  uint64
	Mask    uint8 // sectors of the block of Op that stay as they are
	Attach  wire.StorageAttachReq
	Err     error
}

// Internal is the first number of the operations that a group makes for itself.
const Internal = uint64(1) << 63

// Answer is what came of something that was sent: Err, or the field of its kind.
type Answer struct {
	Err    error
	Attach wire.StorageAttachRep
	Copy   wire.BlockCopy   // of a read
	Copies []wire.BlockCopy // of versions
}

// Stats counts what a group did. It is a message, so that tapes may hold it.
type Stats struct {
	Reads, Writes, Flushes uint64 // operations of the buffer cache that were done
	WriteBacks             uint64 // reads that wrote back what they returned
	Repaired               uint64 // blocks written to a copy that was behind
	Corrupt                uint64 // blocks found at a copy whose bytes did not fit their checksums
	Scrubbed               uint64 // blocks compared by walks, all copies together
	Scrubs                 uint64 // scrubs that ended
	Waits                  uint64 // operations that waited for a quorum
	Missed                 uint64 // writes that a copy missed
	CaughtUp               uint64 // copies that were caught up with, or filled
	Unrepaired             uint64 // repairs that found no copy to repair from
}

package buffercache

import (
	"math/bits"

	"splitkernel/netlayer/wire"
)

// Mask is a set of sectors of one block: bit i is the sector at byte i*512.
type Mask uint8

// All is every sector of a block.
const All Mask = 0xff

// MaskOf gives the sectors of a request, whose alignment wire.ParseBlock has checked.
func MaskOf(k wire.Block) Mask {
	first := k.Offset % wire.PageSize / wire.SectorSize
	return Mask((1<<(k.Length/wire.SectorSize) - 1) << first)
}

// Range gives offset and length in bytes of a mask without holes.
func (m Mask) Range() (off, n int) {
	return bits.TrailingZeros8(uint8(m)) * wire.SectorSize, bits.OnesCount8(uint8(m)) * wire.SectorSize
}

// nextRun cuts the lowest run of consecutive sectors off m.
func (m Mask) nextRun() (run, rest Mask) {
	low := uint8(m) & -uint8(m)
	run = m &^ Mask(uint8(m)+low) // adding the lowest bit carries through its run; what it cleared is the run
	return run, m &^ run
}

// EffectKind says what an Effect asks for.
type EffectKind uint8

// The effects.
const (
	AttachStorage EffectKind = 1 // attach the volume at its sComponent with Attach
	MarkStorage   EffectKind = 2 // announce unflushed writes of generation Version
	ReadStorage   EffectKind = 3 // read the whole block
	WriteStorage  EffectKind = 4 // write sectors Mask, of a volume with one copy a run without holes, of Slot under Version
	FlushStorage  EffectKind = 5 // make everything durable that was written; completes generation Version
	CopyIn        EffectKind = 6
	Fill          EffectKind = 7
	CopyOut       EffectKind = 8 // also the reply
	Reply         EffectKind = 9
)

func (k EffectKind) String() string {
	return [...]string{"?", "attach", "mark", "read", "write", "flush", "copy_in", "fill", "copy_out", "reply"}[min(int(k), 9)]
}

// Place is where a volume is served: Again gives the newest for a storage operation that did not reach it.
type Place struct {
	Epoch   wire.Epoch
	Storage wire.NodeID
	Addr    string
}

// Effect is one thing that the driver of the cache must do.
type Effect struct {
	Kind    EffectKind
	ID      uint64 // of a storage operation: given back to Done; of Fill: whose bytes
	Volume  wire.VolumeID
	Place   Place
	Block   uint64 // number of the block in its volume
	Slot    uint32
	Mask    Mask
	Version uint64
	Copies  bool // the volume has several copies: package scomponent/replica does it
	Attach  wire.VolumeAttachReq
	Call    uint64
	Err     error
}

// Stats counts what the cache did since its start.
type Stats struct {
	Capacity, Used, Dirty int // blocks now
	Volumes               int // attached now
	Waiting               int // calls that wait for a block now
	Reads, Writes         uint64
	Flushes               uint64
	Hits                  uint64 // reads served without the sComponent
	Misses                uint64 // reads that made a ReadStorage
	Coalesced             uint64 // reads that waited for the ReadStorage of another
	Evictions             uint64
	StorageReads          uint64
	StorageWrites         uint64
	StorageFlushes        uint64
	Marks                 uint64
	Waits                 uint64 // calls that had to wait for a block
	RefusedBusy           uint64
	OldWrites             uint64 // writes without effect: a newer version was there
	WriteErrors           uint64 // write-backs that failed
	LostBlocks            uint64 // dirty blocks dropped because their volume failed
}

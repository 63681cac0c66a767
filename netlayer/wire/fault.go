package wire

// MaxLinkFaults bounds the links of a FaultReq, so that it fits into a message.
const MaxLinkFaults = 1 << 13

// Million is certain, where shares are in millionths.
const Million = 1_000_000

// FaultReq says all that goes wrong at a node on purpose from now on; what is not said is healed. An older one than the node has is
// ignored.
type FaultReq struct {
	Seq   uint64 // of who injects faults in this cluster; larger is newer
	Seed  uint64 // of the chance by which messages are lost
	Links []LinkFault
	Disk  DiskFault
}

// LinkFault is what happens to the messages that this node sends to another one. Of several that fit all happen.
type LinkFault struct {
	To        NodeID // empty: any other component
	Lose      uint32 // share of the messages, in millionths
	Duplicate uint32
	Reorder   uint32
	DelayNS   int64 // of every message, which stay in order
	JitterNS  int64 // mean of what comes on top, still in order
	LateNS    int64 // of a reordered or doubled message, at most
}

// DiskFault is what happens to the disk of an sComponent.
type DiskFault struct {
	Times uint32 // an operation takes so many thousandths of its time; 0 and 1000 are as ever
	AddNS int64  // and so much more
	Full  bool   // no block can be written
}

// FaultRep counts what was done wrong on purpose since the node started.
type FaultRep struct {
	Lost, Delayed, Duplicated, Reordered uint64 // messages
	Dropped                              uint64 // messages lost because too many waited already
	Slowed, Refused                      uint64 // operations of the disk
}

// CorruptReq changes a byte of a block on the disk of an sComponent.
type CorruptReq struct {
	Volume VolumeID // 0: a block is drawn, among those that were written if there are any
	Block  uint64
	Seed   uint64 // of the draw
}

// CorruptRep says which it was.
type CorruptRep struct {
	Volume VolumeID
	Block  uint64
}

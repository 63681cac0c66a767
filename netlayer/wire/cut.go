package wire

// What survives of a checkpoint with whom: whoever serves, holds or takes over a vRegion keeps the pages that changed since its process's last
// checkpoint as they were then. A holder does so by itself: it knows the checkpoint, each write says its version, and what the checkpoint covers
// is kept when what it does not cover comes. So a checkpoint costs one message to each holder, and no page is sent twice. Where pages are copied (a
// fill, a move, a recovery) those that were kept go along, marked by PageEntry.Pre or ReplicaWrite.Pre. As the mark is the checkpoint's number and what
// a page was at a checkpoint never changes, they may come in any order, often, or too late.
//
// A holder of shares does the same with shares: the rule knows versions and no bytes.

// Pre is how a page as it was at this checkpoint is marked. Numbers are compared for being the same among messages of one move or configuration, so that
// 32 bits suffice.
func (c Cut) Pre() uint32 { return max(uint32(c.Number+1), 1) }

// CutState is what is known of the checkpoints of a process.
type CutState struct {
	Known   bool  // there is one
	Cut     Cut   // the last
	Process Epoch // the newest of the process: older ones are refused
}

// HomeCut is the last checkpoint of a process as its home knows it.
type HomeCut struct {
	Known     bool
	Cut       Cut
	HeapStart uint64
	HeapEnd   uint64
	Mapped    []MappedPart // as it was
}

// After is the checkpoint as it is known after a part of it that came behind another.
func (k HomeCut) After(before HomeCut) HomeCut {
	k.Mapped = append(before.Mapped, k.Mapped...)
	return k
}

// ReplicaCutReq tells a holder of a checkpoint, or has it go back to one. It raises the barrier as an unmap does: what was sent before is refused
// as stale when it comes later.
type ReplicaCutReq struct {
	PID     PID
	Region  RegionNo
	Epoch   Epoch
	Config  uint64
	Barrier uint32
	Back    bool // go back to it
	Cut     Cut
	Process Epoch // of the process
}

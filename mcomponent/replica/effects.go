package replica

import "splitkernel/netlayer/wire"

// EffectKind says what the driver of a Primary must do.
type EffectKind uint8

// The effects. Open, Send, Unmap and Cut are messages to a holder and are answered by Primary.Answered with their ID.
const (
	Open  EffectKind = 1
	Send  EffectKind = 2 // the page as it is now
	Unmap EffectKind = 3
	Drop  EffectKind = 4 // a message that nobody waits for
	List  EffectKind = 5 // the pages of the slot are wanted, by Listed
	Ack   EffectKind = 6 // what Waiter waits for is done
	Fail  EffectKind = 7 // it will not be, because of Err
	Cut   EffectKind = 8 // a checkpoint, or the way back to one
	// Settled says, of an owner that has no pages, that every holder has its share of Write.Page: it is not needed here any more.
	Settled EffectKind = 9
)

func (k EffectKind) String() string {
	return [...]string{"?", "open", "send", "unmap", "drop", "list", "ack", "fail", "cut", "settled"}[min(int(k), 9)]
}

// Effect is one thing that the driver must do. Only the fields of its kind are set; the seldom ones are behind pointers, for each page that is copied to a holder is an
// effect that goes through a queue.
type Effect struct {
	Kind   EffectKind
	ID     uint64
	Slot   uint32
	To     wire.Holder
	Open   *wire.ReplicaOpenReq
	Write  wire.ReplicaWrite // its process epoch, version and sum are the driver's, unless the page is lost
	Unmap  *wire.ReplicaUnmapReq
	Drop   *wire.ReplicaRef
	Cut    *wire.ReplicaCutReq
	Kept   bool // of a Send: what is kept of the page for a checkpoint goes along
	Waiter uint64
	Err    *wire.Error
}

// Answer is what came back for a message.
type Answer struct {
	Err     *wire.Error
	Skipped bool // of a Send: a full log did not take it; of an Open: the holder has pages of which it knows only the version
}

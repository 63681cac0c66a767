package session

// SlotBits is the number of low bits of a call id that hold the slot.
const SlotBits = 16

// MaxSlots bounds the slots of a client: the slot must fit into SlotBits.
const MaxSlots = 1 << SlotBits

// ID is a call id: a sequence number that grows with every call of a session, then the slot in which the client waits
// for the reply. The slot finds the call without a map; the sequence tells a late reply from the one that is waited for.
type ID uint64

// NewID makes the id of the seq-th call (seq starts at 1, so that no call has id 0), which waits in slot.
func NewID(seq uint64, slot int) ID { return ID(seq<<SlotBits | uint64(slot)&(MaxSlots-1)) }

// Slot gives the slot.
func (id ID) Slot() int { return int(id & (MaxSlots - 1)) }

// Seq gives the sequence number.
func (id ID) Seq() uint64 { return uint64(id) >> SlotBits }

package fault

import "splitkernel/netlayer/wire"

// EffectKind says what a shell must do.
type EffectKind uint8

// The effects.
const (
	// Zero fills Frame with zeros. It is performed before anything else of the process.
	Zero EffectKind = 1
	// Copy copies frame From to Frame, likewise at once.
	Copy EffectKind = 2
	// Fetch sends a miss for Page to Owner, the answer goes to Frame and then to Fetched. If Piggyback, Flush travels in
	// the same message, for its own vRegion under FlushEpoch, and is answered by itself, to FlushDone.
	Fetch EffectKind = 3
	// Write sends Flush to Owner; the answer goes to FlushDone.
	Write EffectKind = 4
	// Park makes Thread wait: for the flush or the prefetch On if it is not 0, else for whatever comes.
	Park EffectKind = 5
	// Done says that Thread's access can be performed: Finish.
	Done EffectKind = 6
	// AskOwner asks the process's home mComponent for the owner of the vRegion of Page; the answer goes to OwnerKnown.
	AskOwner EffectKind = 7
	// Fail ends the process with Err. Every waiting thread is told so once.
	Fail EffectKind = 8
	// Retry says that what Thread waited for has come: it begins its access again, with Hit.
	Retry EffectKind = 10
	// Prefetch sends a miss for Page to Owner for which no thread waits, behind all that the threads have sent. The answer goes to Frame
	// and then to Prefetched, under the id On. It may be left out: Prefetched then hears of an error.
	Prefetch EffectKind = 11
	// Damaged reports that a page crossed to or from its owner and its checksum does not fit.
	Damaged EffectKind = 9
)

// Panicked stands on a tape for the effects of an input that made the core panic.
const Panicked EffectKind = 255

// NoThread is the Thread of an effect that concerns none.
const NoThread = -1

// Flush is a page to write back.
type Flush struct {
	ID    uint64 // the version: strictly increasing within a process, 0 is none
	Page  wire.PageNo
	Frame uint32
}

// How says how a fault ended: what its latency counts as.
type How uint8

// The ways of a fault.
const (
	PLocal    How = 1 // filled with zeros, without a message
	Fetched   How = 2 // by the owner
	Coalesced How = 3 // by another thread's fetch
	TakenBack How = 4 // from the victim cache or a flush under way
	Ahead     How = 5 // it had been prefetched: the first use of it
	Late      How = 6 // the same, but it had still to come
)

// Effect is one thing that a shell must do. Which fields are set is said at each kind.
type Effect struct {
	Kind      EffectKind
	Piggyback bool
	How       How // of Done
	Thread    int
	Page      wire.PageNo
	Frame     uint32
	From      uint32
	On        uint64
	Flush     Flush
	Owner     wire.Owner
	Err       *wire.Error

	FlushEpoch wire.Epoch // of a piggybacked flush: under which the owner has its vRegion
}

package buffercache

import (
	"time"

	"splitkernel/netlayer/wire"
)

// Limits of a storage operation that fails.
const (
	// StorageTries bounds how often it is sent to an sComponent that cannot be reached: 5 wait 150 ms in all, the restart of a process.
	StorageTries = 5
	// StoragePause is the first pause before it is sent again; it doubles up to StoragePauseMax.
	StoragePause    = 10 * time.Millisecond
	StoragePauseMax = 80 * time.Millisecond
	// StoragePatience is how long an sComponent is asked that is busy, above all because the volume is moving: longer than the pause of
	// a move, and shorter than the call_timeout_ms of a pComponent's connections, or that would give up just before it hears why.
	StoragePatience = 4 * time.Second
	// StorageResends is how often one is sent again that was not answered before its deadline, as it or the answer was lost: with two, its
	// deadlines stay below the block_patience_ms of a process.
	StorageResends = 2
)

// Again tells whether a storage operation under way is sent again that failed at sent, waited after it began: after pause, to at. If the
// volume has moved meanwhile it goes to the new place at once: what the old one says is then no answer. If it is not sent
// again its error goes to Done. All storage operations are idempotent.
func (c *Cache) Again(id uint64, sent Place, kind wire.Kind, waited time.Duration) (at Place, pause time.Duration, again bool) {
	op, ok := c.inFlight[id]
	if !ok {
		return sent, 0, false
	}
	switch kind {
	case wire.KindBusy, wire.KindUnavailable, wire.KindTimeout, wire.KindStale, wire.KindNotFound, wire.KindNotOwner:
		if op.v.at != sent {
			op.failed, op.lost = 0, 0
			c.inFlight[id] = op
			return op.v.at, 0, true
		}
	}
	again = kind == wire.KindBusy && waited < StoragePatience || kind == wire.KindUnavailable && op.failed+1 < StorageTries
	if kind == wire.KindTimeout && op.lost < StorageResends {
		op.lost++
		again = true
	}
	pause = min(StoragePause<<min(op.failed, StorageTries), StoragePauseMax) // the shift is bounded, attempts at a busy one are not
	op.failed++
	c.inFlight[id] = op
	return sent, pause, again
}

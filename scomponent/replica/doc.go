// Package replica decides how the buffer cache of a volume works with the n copies of it: it is the coordinator, and under an
// epoch of the volume the only one that writes. A Group is a pure core: no goroutines, no locks, no clock and no bytes; the mComponent
// and virtual time perform its effects.
//
// A block has a version (epoch, number). A write is done when w copies have it, a read when r have told their version and the newest
// is here; w > n/2 and w + r > n, so a read meets every write that was done. A read that finds copies that differ writes back what it
// returns before it ends. A copy whose bytes do not fit their checksums is never served, its version counts still. A flush is
// done when w copies, each of which has everything that was written since the flush before, have done their fdatasync.
//
// While a copy is filled that takes the place of another (joint configuration), a write needs w of the old places and w of the new
// ones. A copy that missed writes is caught up with block by block, or by a walk over all versions; so is one that is filled,
// and one whose machine was restarted, or that is made again as it was lost: they count for nothing until then. From time to time a walk reads everything (scrub).
//
// An attach reaches max(r, n/2+1) copies, which refuse older buffer caches from then on. If the newest generation of writes that
// was announced was not completed by a flush, a buffer cache died with writes that it had acknowledged: the attach fails. A volume
// that is written through goes on, unless too many copies were restarted that may have lost what they had not synced. If so many say that they do
// not have the volume that the others are too few, it was deleted, and nobody waits for it.
//
//	out = g.Read(now, op, block, out[:0])   // Attach, Write, Mark, Flush
//	for _, e := range out {
//		switch e.Kind {
//		case replica.Take:    // the block that e.ID brought is that of e.Op, but for the sectors e.Mask, which the caller wrote
//		case replica.Finish:  // e.Op has ended with e.Err; the block of a read is the one taken last
//		case replica.Release: // the block of e.Op is not needed any more; it comes after Finish
//		default:              // send to e.To; later out = g.Answered(now, e.ID, answer, out)
//		}
//	}
//	if at, ok := g.Wake(); ok && now >= at { out = g.Tick(now, out) }
//
// Take is performed before the next event, like the effects of package buffercache.
package replica

// Package recovery is the protocol by which an mComponent becomes the owner of a vRegion whose owner is lost, from what its holders have
// (package replica). It is a pure core: no goroutines, no locks, no clock, no sockets; the shell (package mcomponent) or virtual time calls it.
//
// A Recovery is one such vRegion. It fences the holders, so that the former owner, should it live on, gets no flush acknowledged any more; tells the process's home,
// and by it the pComponent, who owns the vRegion, so that nobody reads from the former one; asks the home for the mapped parts; and serves. A miss of a
// page that is not here yet asks for that page at once and waits for nothing else; all others come in the background. A flush is applied at once: of two versions the
// newer one wins, whichever comes first.
//
// If the new owner was a holder with full copies, everything is here when it serves. So it is if it was a holder of a log that the owner never told so:
// then nothing was acknowledged.
//
// If the holders have shares of pages (package erasure), as many as make a page are fenced, and nothing has to come: the owner has no pages, and reads
// the shares of those that are asked for.
//
// Which pages are stored says pagestore, who is owner vregion.Owners, to whom flushes go from then on replica.Primary. The loop:
//
//	slot from holder.Promote or owners.Recover; the vRegion is arriving: misses, flushes and maps are refused as busy
//	r := recovery.New(o, req, slot, first page, pages).Bare(Promote had nothing); out = r.Begin(now, out)
//	for each effect:
//		Fence:    send replica_open e.Open to e.To (to oneself: done already); later out = r.Answered(now, e.ID, Answer{Err, Pages}, out)
//		Tell:     send region_switch e.Switch to the home;      later out = r.Answered(now, e.ID, Answer{Err}, out)
//		Parts:    send region_parts e.Parts to the home;        later out = r.Answered(now, e.ID, Answer{Err, Parts}, out)
//		Serve:    owners.Serve(slot, e.Mapped); primary.Configure(now, slot, config); store.Cut(slot, e.Kept), and older epochs of the process are refused
//		Pull:     send replica_read e.Read to e.To; when the answer comes, for each entry: as, mark := r.Take(entry, store has it as new or newer)
//		          Page: if lost primary.Lose, else store.Flush(slot, pid, page, its epoch, version, sum) and on Apply copy the bytes;
//		          Kept: if lost primary.LoseKept, else store.Keep(slot, pid, page, content, mark) and on Apply copy the bytes;
//		          then out = r.Answered(now, e.ID, Answer{Err, Next, More, Count}, out)
//		Wake:     serve the miss of e.Waiter as any other
//		Complete: everything is here: holder.Forget, and, unless it is in shares, primary.Listed, if that waits: a holder may have been filled when the owner was lost
//	the same order with a newer configuration, unless it has ended: holder.Promote if it has holders with pages; out = r.Changed(now, order, out);
//	              if it serves, primary.Configure(now, slot, config)
//	a miss:       if waits, out = r.Miss(now, page, call, out); waits { answer it at Wake } else { serve it }
//	an unmap:     r.Unmapped(first, n), besides what replica.Primary does; a checkpoint and the way back: r.Cut, r.Rollback
//	nothing to wait for: at r.Due(), out = r.Tick(now, out)
package recovery

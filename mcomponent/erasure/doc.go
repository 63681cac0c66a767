// Package erasure is the memory of a vRegion in shares: k + m holders have one share of each page, any k of which make it, and the owner has
// no pages but those whose flushes are outstanding. It is a pure core: no goroutines, no locks, no clock, no sockets; the shell (package
// mcomponent) or virtual time calls it. It is the one place of this module that knows the coder, github.com/klauspost/reedsolomon.
//
// A Coordinator is the owner's side of reading, of all such vRegions of one mComponent, by their slots. That a flush reaches all holders before
// it is acknowledged, that a new holder is filled and that an unmap is heard by all is the business of replica.Primary, as with full copies; what
// holders have is that of replica.Holder. A Coordinator knows which pages were ever written, so that the others cost no message, and which version
// was flushed here last, so that a late flush is known as old; a new owner asks a holder for that list, while it serves. And it collects the shares of
// a page that is asked for: from k holders, the data shares first, so that nothing has to be computed while nobody is missing; from another one as
// soon as one of them fails, or is slower than Options.HedgeMS.
//
// Why what it reads is right. An acknowledged flush is at every holder of the configuration, and a holder never goes back to an older version.
// So whatever k holders have of one version is as new as the last acknowledged flush, or newer; and if one that is in sync has nothing of a page,
// no flush of it was ever acknowledged, and the page is zeros. Versions differ between holders only while a flush is outstanding, or was when the owner died.
// Its page is with the owner, or with the pComponent, which keeps it until it hears of the acknowledgement, reads it from nowhere else meanwhile, and
// sends it again to the new owner: so a page of which no version has k shares is nobody's loss, and it is read when that flush has come.
//
//	c.Configure(now, slot, config, first page, pages, nothing was ever written, out)   with every configuration that replica.Primary gets
//	a flush:  switch c.Flushing(slot, page, epoch, version) { case Unknown: busy; case Older: acknowledge, or wait with those that are outstanding
//	          case Newer: store.Flush, c.Flushed, and then as any redundant flush; at replica.Settled the page is removed from the store }
//	a miss:   the page is in the store: serve it; c.Absent: zeros; else out = c.Read(now, slot, page, call, out)
//	for each effect:
//		Ask:      send replica_read e.Read to e.To; later out = c.Answered(now, e.ID, Answer{...}, out)
//		Decode:   make the page of e.Shares and compare it with e.Sum; at once out = c.Decoded(now, e.Slot, e.Page, whether it fits, out):
//		          each Page in what comes out is that page
//		Page:     answer e.Waiter with the page that was just made
//		Again:    look the page of e.Waiter up again: it is zeros, or with the owner, or it was unmapped
//		Fail:     answer e.Waiter with e.Err
//		Whole:    what was written is known: replica.Primary.Listed, if that waits
//	an unmap: freed = c.Unmapped(slot, first, n); out = c.Woken(out)
//	with nothing to wait for: at c.Due(), out = c.Tick(now, out)
//
// Limits: it has about 50 bytes for each page that was written. While a new owner does not know which version of a page was written last, as the list of what was has not come so far, flushes of
// it are refused as busy.
package erasure

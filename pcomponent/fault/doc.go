// Package fault is the protocol of the page faults of one process: what a miss in its ExCache does until the line is
// filled. It decides about p-local fills, fetches, flushes of victims, piggybacks, redirects after a change of owner,
// retries and their patience. It is a pure core: no goroutine, lock, clock or socket. A shell performs its effects, live
// over sockets (package pcomponent) or on an event clock.
//
// It knows addresses, reads, writes and now, and nothing of traces.
//
// The loop of a thread, in a shell:
//
//	if frame, ok := core.Hit(page, write); ok { … }           // no effect, no allocation
//	out = core.Fault(now, thread, page, write, out[:0])       // effects, in order
//	… perform them; feed Fetched, FlushDone, OwnerKnown and Tick as answers arrive …
//	when Retry{thread} came out: begin again with Hit
//	when Done{thread} came out: frame, out = core.Finish(thread, out)
//
// With a prefetcher (excache.Options) each miss, and each first use of a page that was prefetched, may bring more pages, for which no thread
// waits: Prefetch goes out and Prefetched comes back. Which pages these are does not depend on when others came.
//
// Zero, Copy, Write and Fetch are performed before any thread goes on, since another thread may find its page in a frame of
// the same batch. Effects of a thread that another thread's event released carry that thread's number.
package fault

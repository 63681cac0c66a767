// Package prefetch guesses which pages a process will miss next: next-n, stride,
// leap and best-offset, one file each with its paper, chosen by name; and Study,
// which says what such guesses would come to over the references of a trace.
//
// A prefetcher is told of each miss, and of the first use of each page that it had
// brought, and answers with pages. It is clocked by these calls alone, never by
// time or by the arrival of pages, so one order of references gives one order of
// guesses. It keeps a bounded memory, allocates nothing after New, and knows
// neither what is mapped nor what is present: who asks leaves out those pages.
//
// A guard stands before each: when fewer than one in guardShare of the last
// guardIssued pages were used, it guesses nothing for guardPause calls, and then
// tries again.
//
// Its callers are pcomponent/fault, which prefetches for a running process, live
// and in virtual time, and the command `trace prefetch`, by Study. The package is
// pure: no goroutines, no locks.
//
//	p, err := prefetch.New("leap", prefetch.DefaultOptions())
//	for each miss or first use { out = p.Observe(page, useful, out[:0]); p.Brought(bring(out)) }
package prefetch

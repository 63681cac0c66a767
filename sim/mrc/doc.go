// Package mrc computes miss-ratio curves: how many requests of a trace miss in a fully associative cache, by its size and replacement
// policy.
//
// LRU is exact for all sizes in one pass over the trace, or estimated from a sample of the pages (package stack). Other policies are
// simulated, one cache for each size, on all processors at once, by the objects of package policy, with pages numbered densely, so that
// an access is a look into an array. A cache of FIFO or CLOCK has a shorter way, of which a test says that it counts the same.
//
// Each reference to memory is a request for its page, read or write alike; each request of a block trace is one for each 4 KiB block
// that it touches, or one for its offset. All threads share one cache. Maps that come and go change nothing: a page that is unmapped
// stays a page. The package prints nothing; its caller is `splitkernel mrc`.
//
// Goroutines: Run owns one for each processor, and returns after they have ended. No locks are held across packages; what they share
// is handed out by an atomic counter.
//
//	sizes, err := mrc.ParseSizes("100,5%,1MiB")
//	open := func() (trace.Source, error) { return trace.Open("sort.skt") }
//	res, err := mrc.Run(ctx, open, mrc.Options{Policies: []string{"lru", "clock"}, Sizes: sizes})
//	for _, row := range res.Rows {
//		fmt.Println(row.Policy, row.Size, row.MissRatio)
//	}
package mrc

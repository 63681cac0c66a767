// Package pagestore knows which pages an mComponent holds: the index (process, page) -> frame, the version and checksum
// of each page, what is free, and how full it is. It is a pure core: no goroutines, no locks, no clock; it holds no page
// bytes either. The shell (package mcomponent) keeps those in an arena off the Go heap and copies them as told; virtual
// time copies nothing.
//
// A page gets its frame on its first flush or its first fault. A fault of a page that was never flushed finds zeros: the
// frame is allocated and zeroed then, so what was promised to a reader is also reserved. Flushes apply only if their
// (process epoch, version) is newer than the page's (rule 1 of the protocols): an older or equal one is acknowledged
// without effect, so a retry can never put an old page over a new one. The checksum that travelled with a flush is stored
// and sent back with the page; it is never taken again here, so a byte that changed in memory is found by the receiver.
//
// Whether the page may be served at all is decided before, by vregion.Owners.
//
//	frame, sum, what := s.Miss(group, pid, page)
//	switch what {
//	case pagestore.Fresh: // zero the frame, then as Hit
//	case pagestore.Hit:   // copy the frame out, send it with sum
//	case pagestore.Full:  // out of memory
//	}
//	frame, what = s.Flush(group, pid, page, epoch, version, sum)
//	switch what {
//	case pagestore.Apply: // copy the page into the frame
//	case pagestore.Old:   // acknowledge
//	case pagestore.Full:  // out of memory
//	}
//
// A group that moves to another mComponent is watched: every page that changes is marked in a set, from which whoever copies
// takes pages (Watch, Changes). The other store takes them as they are, by Put and Remove, or by Install of a frame that was reserved
// and filled before.
//
// No call allocates, but for the table of groups, which grows by doubling, and in a store of NewGrowing that of the frames.
package pagestore

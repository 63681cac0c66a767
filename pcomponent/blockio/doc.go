// Package blockio decides how a block request of a process is made: into which parts it is split, how many of them are under way at
// once, and whether a part that failed is sent again. It does not know what is read or written, and sends nothing. Package
// pcomponent asks it live, and virtual time the same. Pure: no goroutines, no locks, no clock.
//
//	for left := n; left > 0; offset, left = offset+uint64(part), left-part {
//		part = blockio.Part(offset, left) // at most Window of them under way
//		…
//		pause, again := retry.Failed(kind, waited, patience, moved)
//	}
package blockio

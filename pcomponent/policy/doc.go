// Package policy holds the replacement policies of the ExCache, one file per
// policy, each with its paper, chosen by name: 2q, arc, belady, clock, fifo, lfu,
// lirs, lru, lru-sweep, mru, random, s3-fifo, sieve, w-tinylfu. What each is good
// for, and what it costs, is in docs/policies.md.
//
// A policy orders the lines of each set of a set-associative cache and names
// the next victim of a set: line = set*ways + way, and one set is a fully
// associative cache. It is told which page a line gets, because some policies
// learn from a page that returns soon after it left. It does not know whether a
// line is dirty, or when anything completes: its state changes at accesses only
// (Touch on a hit, Insert on a miss) and when a line leaves (Evict, Remove), so
// the victims are a function of the order of accesses alone.
//
// The package is pure: no goroutines, no locks, no clock, no global chance.
// Its callers are pcomponent/excache, mcomponent/buffercache and the studies of
// miss ratios, which serialise all calls. Some policies remember pages that left,
// as ghosts; their number is bounded, and all memory is allocated by New.
//
// A cache drives it like this:
//
//	if present(page) {
//		p.Touch(line)
//		return
//	}
//	line, free := freeLine(set)
//	if !free {
//		line, ok = p.Victim(set, page, busy) // busy is nil when no line is pinned
//		if !ok {
//			return // every line of the set is pinned: wait, ask again
//		}
//		p.Evict(line)
//	}
//	p.Insert(line, page)
package policy

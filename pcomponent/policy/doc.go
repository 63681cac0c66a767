// Package policy holds the replacement policies of the ExCache, one file per
// policy, chosen by name: clock, fifo, lru, lru-sweep, random.
//
// A policy orders the lines of each set of a set-associative cache and names
// the next victim of a set. It knows lines, not pages: line = set*ways + way,
// and one set is a fully associative cache. It does not know which page a line
// holds, whether it is dirty, or when anything completes: its state changes at
// accesses only (Touch on a hit, Insert on a miss) and when a line leaves
// (Remove), so the victims are a function of the order of accesses alone.
//
// The package is pure: no goroutines, no locks, no clock, no global chance.
// Its caller is pcomponent/excache, which serialises all calls.
//
// A cache drives it like this:
//
//	if present(page) {
//		p.Touch(line)
//		return
//	}
//	line, free := freeLine(set)
//	if !free {
//		line, ok = p.Victim(set, busy) // busy is nil when no line is pinned
//		if !ok {
//			return // every line of the set is pinned: wait, ask again
//		}
//		p.Remove(line)
//	}
//	p.Insert(line)
package policy

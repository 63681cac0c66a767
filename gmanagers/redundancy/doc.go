// Package redundancy is what the leader of GMM does with what its books call not settled: vRegions and homes that somebody else serves
// because their mComponent died, that have too few copies, or copies that are not in sync.
//
// The books decide who owns, who holds and under which (owner epoch, configuration); a new owner recovers, an owner fills its holders. A
// Driver only tells them, asks how far they are, and proposes what they say. It keeps nothing that matters: a new leader makes a new
// Driver, and Sync alone tells it all.
//
//	Recover    order recover … ask … ── serves ──> propose served … ask … ── everything is there ──> propose recovered
//	                                 └─ what is left does not suffice ──> propose failed: it is lost by name
//	Configure  order config … ask … ── it has the configuration, or a holder is in sync ──> propose configured
//	Tend       propose tend: the books look for holders again, now that others may have room
//
// What it does when all does not go well:
//
//   - Orders are questions too: the same one again asks how far it is, and does no harm twice. So lost, doubled and late answers need
//     nothing of their own; each is recognised by its call number, and those of calls that were given up are ignored.
//   - Who cannot be reached is asked again, ever more slowly up to MaxPause. That it is gone is for membership to decide: the books then
//     name another, under a newer epoch or configuration, and what was asked before is void.
//   - Who refuses an order as stale has heard of a newer one, or is registered under another epoch. The list will show it; until then it
//     is asked as one that cannot be reached.
//   - A proposal is repeated until the list shows it. Each is a compare-and-set on epoch or configuration.
//
// What it expects of its caller: answers go to the Driver that made the call; Sync only with a list that was read when this manager led,
// after every command was applied that was committed before. The list holds back what must wait: a vRegion while its home is not served,
// or while a move of it is under way.
//
// Bounds: one call for each listed thing and MaxCalls in all; a thing is asked once in PollPause, or more seldom if there are many. Homes are
// ordered before vRegions, recoveries before what fills, and that before what is tended.
//
// It chooses nobody and declares nobody dead. Pure: no goroutines, no locks, no clock, no chance, no I/O. Called by the shell of the managers
// while it leads, and by the virtual cluster.
//
//	d := redundancy.New()
//	out = d.Sync(now, listed, out[:0])               // whenever the books changed
//	out = d.Tick(now, out[:0])                       // at d.Next()
//	for _, e := range out {                          // perform each without waiting for it; then
//		out = d.Answered(now, e.Part, e.Call, report, err, out[:0])
//	}
package redundancy

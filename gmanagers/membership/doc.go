// Package membership knows the components that registered at a manager, and which of them were heard of lately.
//
// Table is replicated: who registered, with what capacity and under which epoch. Registering again gives the next
// epoch, so an old incarnation can be told from its successor. Watch is soft state that every manager keeps for
// itself: the last heartbeat of each component and the load in it. A leader asks Watch who is alive and stamps the
// answer into a command; the replicas never look at their own clocks.
//
// It does not declare anybody dead, fence or move anything: a silent member is only no candidate for placement.
//
// Pure: no goroutines, no locks, no clock, no I/O. Table is called by the states of gpm, gmm and gsm, Watch by the
// shell gmanagers (which locks it) and by the virtual cluster.
//
//	watch.Heard(now, hb.Member, hb.Load)                 // on each heartbeat, at every manager
//	watch.Lead(wire.GMM, now)                            // when this manager becomes leader
//	stamp.Live = watch.Live(wire.GMM, now, members)      // when it proposes a placement
//	epoch, err := table.Register(member)                 // in Apply, on every replica
package membership

// Package membership knows the components that registered at a manager, and which of them were heard of lately.
//
// Table is replicated: who registered, with what capacity and under which epoch. Registering again gives the next
// epoch, so an old incarnation can be told from its successor. Watch is soft state that every manager keeps for
// itself: the last heartbeat of each component and the load in it. A leader compares what Watch knows with what the table does, and
// stamps the difference into a command (News, See); the replicas never look at their own clocks.
//
// A member is active, draining (chosen for nothing new) or dead (declared; what it held under its epoch is lost). A removed
// one leaves a tombstone, so that it returns under a higher epoch. Silence alone kills nobody, nor does the end of a connection: Prober
// has others look first, while its manager leads, and proposes to declare dead whom nobody reaches, or at whose address nobody listens.
//
// It moves nothing, and fences nobody: components fence themselves when a manager answers how they stand.
//
// Pure: no goroutines, no locks, no clock, no I/O. Table is called by the states of gpm, gmm and gsm, Watch and Prober by
// the shell gmanagers (which locks them) and by the virtual cluster.
//
//	watch.Heard(now, hb.Member, hb.Load)                 // on each heartbeat, at every manager
//	watch.Lead(wire.GMM, now)                            // when this manager becomes leader
//	stamp.Live, until = watch.News(wire.GMM, now, entries) // when it proposes a placement, not each time
//	table.See(stamp.Live, changed)                       // in Apply, on every replica
//	watch.Disconnected(now, id)                          // when a connection of a component ends, at every manager
//	out = prober.Tick(now, doubts, witnesses, out[:0])   // when one ended, at Suspects.Next and Prober.Wake, while it leads
//	epoch, err := table.Register(member)                 // in Apply, on every replica
//	changed, err := table.DeclareDead(id, epoch)
package membership

// Package weigh is what a leader of a manager does to keep loads even and to empty what drains, beside planning, which package balance
// does: it tells a look what there is (the books of GPM, GMM or GSM, joined with the rates that heartbeats told), makes orders of what is
// planned, and says which looks are worth an event.
//
// It proposes nothing and reads no clock: the shell of the managers calls it while it leads, and so does the virtual cluster.
//
//	l := weigh.NewLooker(group, settings, now+lease)     // for each term
//	l.News(now, turn, changes)                           // members or moves have changed, perhaps
//	for _, s := range l.Due(now) {
//		w := l.Begin(s, now, nowMS, state, mcomponents, l.HeatOf(s, heard))     // while nobody changes the state
//		components, things := w.Finish(heard)
//		look := l.Look(s, now, components, things)
//		s.Took(time since now)
//		propose look.Orders and look.Notes
//	}
//	propose l.Drained()                                  // if something was due
//
// Pure: no goroutines, no locks, no clock.
package weigh

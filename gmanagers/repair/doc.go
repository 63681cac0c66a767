// Package repair looks after volumes that need something: another copy in place of one whose sComponent is dead or drains, or another
// buffer cache in place of one that died with its mComponent. The replicated state of GSM decides where; this decides when it is asked
// to, and who is told what in which order:
//
//	a copy is missing     Propose replace → Create at the new sComponent → Config to the buffer cache, again and again, until it says
//	                      that the new copy is in sync → Propose synced → Config → Propose confirmed
//	a copy is lost where  Propose remake: as above if another sComponent has room, else → Config to the buffer cache → Propose confirmed → Create
//	it was                there → Config, until it is in sync → Propose synced → Config → Propose confirmed
//	a copy was never made Config, seldom, until the buffer cache has the volume and every copy, or says which is lost: remake
//	a copy came back      Config, until the buffer cache says that it is not behind → Propose seen; if it has lost the volume: remake
//	the buffer cache died Propose recache → Attach at the new one → Tell the pComponent → Propose told; if the attach says that writes
//	                      died which were not flushed: Tell the pComponent all the same, for the volume fails by name there, and
//	                      Propose lose
//
// An sComponent that is dead is waited for: if it is back within Options.ReplaceAfterMS its copies catch up where they are.
//
// It sends nothing and changes no book. What it knows beside the list is soft: another leader begins anew, and every call and every
// change may be made twice. Pure: no goroutines, no locks, no clock, no I/O. Called by the leader of GSM, live (package gmanagers) and in
// virtual time.
//
//	out = keeper.Sync(now, state.Unsettled(…), out[:0]) // when the list may have changed
//	out = keeper.Tick(now, out)                         // when Next is due
//	for _, e := range out { start it; with its answer: keeper.Answered(now, e.Call, answer, nil) }
package repair

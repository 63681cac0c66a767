// Package handover is the protocol by which a process goes from one pComponent to another while it is in use. Giver decides
// for the pComponent that has it, Taker for the one that gets it. It knows neither what the state of a process is nor how
// it is sent. Pure: no goroutines, no locks, no clock.
//
// The giver does one thing at a time. Its shell performs what Next wants and reports it:
//
//	g := handover.NewGiver(o, req, now)
//	for !g.Ended() {
//		e := g.Next(now)
//		g.Step(now, perform(e))
//	}
//
// The way of a move that succeeds, and what a failure leads to:
//
//	Plan ─ WriteBack … ─ Plan ─ Freeze ─ Send … ─ Resume … ─ Leave       done
//	  └──────┴───────────┴───────┴── Thaw(OldEpoch) ── Drop │            undone, nobody heard of Epoch
//	                                                        ├─ refused ── Thaw(UndoEpoch)              undone
//	                                                        ├─ forgotten ─ Ask ┬ home not told: Thaw(UndoEpoch)
//	                                                        │                  └ home told: Lose       lost
//	                                                        └─ silent until the patience is over: Lose  lost
//
// The home of the process is the arbiter: the taker opens it there under Epoch before it makes an access. A taker that
// answers that it knows nothing has started again, so it makes no access any more; whether it made one before is known by
// whether the home has seen Epoch. If not, the giver's copy is still the newest, and opening the home under UndoEpoch
// keeps out an open of the dead taker that is still on its way.
//
// A taker is asked by many messages that may come twice and late. It takes the chunks of a state in order, once, and keeps
// a complete one until it is told to serve, to drop it, or that its giver knows nothing of the move any more.
package handover

// Package movelist is the moves of one manager as they are replicated: those that were ordered and how those ended that ended
// last. It is part of the states of gpm, gmm and gsm, which are alike in this.
//
//	Begin ──> under way ── End ──> ended ── Drop ──> history, of the last MaxHistory
//
// A move is listed until its giver has forgotten it, because only the list tells the next leader that the giver must be
// told. The state that holds the list checks the order, chooses the taker, books room there, and changes its books when a
// move ends; the list gives numbers, which are never given twice, and keeps what was decided.
//
// Pure: no goroutines, no locks, no clock, no chance, no I/O. Called by the states under the lock of Raft's state machine,
// and read by the shell of the managers.
//
//	m := s.moves.Begin(movelist.Move{Req: …, From: giver, FromEpoch: …, Order: order, BegunMS: now})
//	m, first, err := s.moves.End(now, end)  // first: change the books
//	err = s.moves.Drop(no)
package movelist

// Package migrate is the protocol by which a vRegion, or the memory map of a process, goes from one mComponent to another
// while it is in use. It is a pure core: no goroutines, no locks, no clock, no sockets; the shell (package mcomponent) or
// virtual time calls it. It has both roles:
//
//   - Giver drives one move. It copies the pages that the taker does not know, in rounds, while the vRegion is served; stops
//     serving when little is left; copies that; tells who uses the vRegion (the process's home, and by it the pComponent) that
//     the taker owns it under a newer epoch; and lets the taker serve when that was acknowledged. It decides what is undone,
//     and under which epoch, when a message gets no answer.
//   - Taker knows what is on its way here: which move, which round of it, how much is there. It fences: a message of another
//     move or an older round is refused, so a late one cannot bring a page back that was freed since.
//
// Which pages changed is a pagestore.Changes, which the page store marks; where a vRegion is frozen, thawed or served is
// vregion.Owners. This package says when. It moves no bytes.
//
// Epochs (law 5, no two owners): the giver serves under OldEpoch; the taker under Epoch, and only after everybody acknowledged
// Epoch; if that fails late, the giver again, under UndoEpoch, and only if the taker surely was not told to serve. Every
// request carries the epoch that its sender knows, and an owner refuses another.
//
// The loop of a giver:
//
//	out = g.Begin(now, out[:0])
//	for !g.Ended() {
//		perform each effect in order; for a Copy:
//			for page, ok := g.Take(id); ok && room; page, ok = g.Take(id) { look it up, append it or, unless Exact, point to it }
//			out = g.Filled(now, id, bytes, out)  // nothing was taken: there is no message, and no answer
//		for every message later: out = g.Answered(now, id, err, out)
//		with nothing to wait for: at g.Due(), out = g.Tick(now, held, out)
//	}
package migrate

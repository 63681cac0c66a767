package migrate

import (
	"fmt"
	"time"

	"splitkernel/mcomponent/pagestore"
	"splitkernel/netlayer/wire"
)

// phase is how far a giver has come.
type phase uint8

const (
	opening  phase = iota + 1 // the taker is asked to take
	copying                   // rounds, while it is served
	last                      // rounds, while nobody serves
	closing                   // the taker is told that it has all
	telling                   // who uses it is told: from here on somebody may have heard of Epoch
	serving                   // the taker is told to serve: from here on it may
	untell                    // the giver serves under UndoEpoch, and who uses it is told
	dropping                  // the taker is told to forget
	ended
)

// message is one that was not answered yet.
type message struct {
	id    uint64
	kind  EffectKind
	pages []wire.PageNo // of a copy
}

// Giver is the giving side of one move. Use one goroutine at a time: with the lock under which its pages change.
type Giver struct {
	o       Options
	req     wire.MoveReq
	changes *pagestore.Changes // nil for a memory map, which is copied whole while it is frozen

	phase  phase
	result wire.MoveState
	epoch  wire.Epoch // under which it is served
	text   string
	held   bool // something still changes what is frozen

	round   uint32
	passes  uint32
	cursor  wire.PageNo
	scanned bool        // the round has no more pages
	failed  *wire.Error // a copy of the round failed: another round follows
	sent    []message
	spare   [][]wire.PageNo
	lastID  uint64

	attempts int           // at the message under way
	since    time.Duration // when it was tried first
	waits    bool          // until due
	due      time.Duration

	frozen bool
	told   bool // a Tell was sent
	opened bool // an Open or, of a memory map, a Close

	began, frozenAt, endedAt, pause time.Duration
	bytes                           uint64
}

// NewGiver makes the giver of a move. The changes hold every page of the vRegion; nil is a move of a memory map. The
// options have been validated.
func NewGiver(o Options, req wire.MoveReq, changes *pagestore.Changes) *Giver {
	return &Giver{o: o, req: req, changes: changes, epoch: req.OldEpoch}
}

// Begin begins the move.
func (g *Giver) Begin(now time.Duration, out []Effect) []Effect {
	g.began, g.since = now, now
	if g.changes == nil {
		return g.freeze(now, out)
	}
	g.phase, g.round, g.opened = opening, 1, true
	return g.send(Effect{Kind: Open}, out)
}

// Ended reports whether the giver has nothing to do any more.
func (g *Giver) Ended() bool { return g.phase == ended }

// Frozen reports whether nothing may change what is moved.
func (g *Giver) Frozen() bool { return g.frozen }

// Hold says whether something that began before the freeze still changes what is moved: the last round waits for it.
func (g *Giver) Hold(held bool) { g.held = held }

// Due gives when Tick has something to do; false if it waits for answers only.
func (g *Giver) Due() (time.Duration, bool) { return g.due, g.waits }

func (g *Giver) send(e Effect, out []Effect) []Effect {
	g.lastID++
	e.ID, e.Round = g.lastID, g.round
	e.Exact = e.Kind == Copy && g.passes > 1
	m := message{id: e.ID, kind: e.Kind}
	if n := len(g.spare); e.Kind == Copy && n > 0 {
		m.pages, g.spare = g.spare[n-1], g.spare[:n-1]
	}
	g.sent = append(g.sent, m)
	return append(out, e)
}

func (g *Giver) find(id uint64) int {
	for i := range g.sent {
		if g.sent[i].id == id {
			return i
		}
	}
	return -1
}

// Take gives the next page for the copy id. What the driver then finds under its lock is what it sends.
func (g *Giver) Take(id uint64) (wire.PageNo, bool) {
	i := g.find(id)
	if i < 0 || len(g.sent[i].pages) >= g.o.BatchPages {
		return 0, false
	}
	p, ok := g.changes.Take(g.cursor)
	if !ok {
		return 0, false
	}
	g.cursor = p + 1 // each page at most once in a round: messages of a round may come in any order
	g.sent[i].pages = append(g.sent[i].pages, p)
	return p, true
}

// Filled says that the copy id is full, or that there are no more pages, and how long it is. One without a page is not sent.
func (g *Giver) Filled(now time.Duration, id uint64, bytes int, out []Effect) []Effect {
	i := g.find(id)
	if i < 0 {
		return out
	}
	if len(g.sent[i].pages) == 0 {
		g.forget(i)
		g.scanned = true
		return g.roundOn(now, out)
	}
	g.bytes += uint64(bytes)
	return g.roundOn(now, out)
}

func (g *Giver) forget(i int) {
	if p := g.sent[i].pages; p != nil {
		g.spare = append(g.spare, p[:0])
	}
	g.sent = append(g.sent[:i], g.sent[i+1:]...)
}

// Answered reports the answer to a message: nil, or why it failed.
func (g *Giver) Answered(now time.Duration, id uint64, err *wire.Error, out []Effect) []Effect {
	i := g.find(id)
	if i < 0 {
		return out // of a phase that was given up
	}
	if g.sent[i].kind == Copy {
		return g.copied(now, i, err, out)
	}
	g.forget(i)
	if err == nil {
		g.attempts, g.since = 0, now
	}
	passing := err != nil && mayPass(err.Kind)
	switch g.phase {
	case opening:
		switch {
		case err == nil:
			g.phase = copying
			return g.startRound(now, out)
		case passing && now-g.since < ms(g.o.PatienceMS) && !g.late(now):
			return g.later(now, out)
		}
		return g.undo(now, fmt.Sprintf("%s does not take it: %v", g.req.To, err), out)
	case closing:
		switch {
		case err == nil:
			g.phase, g.told = telling, true
			return g.send(Effect{Kind: Tell, Epoch: g.req.Epoch}, out)
		case passing && now-g.frozenAt < ms(g.o.SwitchMS):
			return g.later(now, out)
		}
		return g.undo(now, fmt.Sprintf("%s did not take the end of the copy: %v", g.req.To, err), out)
	case telling:
		switch {
		case err == nil:
			g.phase = serving
			return g.send(Effect{Kind: Serve, Epoch: g.req.Epoch}, out)
		case err.Kind == wire.KindFailed:
			return g.gone(now, out)
		case passing && now-g.frozenAt < ms(g.o.SwitchMS):
			return g.later(now, out)
		}
		return g.undo(now, fmt.Sprintf("who uses it was not told: %v", err), out)
	case serving:
		switch {
		case err == nil:
			g.pause = now - g.frozenAt
			out = append(out, Effect{Kind: Forget, Epoch: g.req.Epoch})
			g.epoch = g.req.Epoch
			return g.end(now, wire.MoveDone, "", out)
		case err.Kind == wire.KindFailed:
			return g.gone(now, out)
		case err.Kind == wire.KindStale: // it has dropped the copy and never served it
			return g.undo(now, fmt.Sprintf("%s does not serve it: %v", g.req.To, err), out)
		case passing && now-g.since < ms(g.o.ServeMS):
			return g.later(now, out)
		}
		g.pause, g.epoch = now-g.frozenAt, g.req.Epoch
		out = append(out, Effect{Kind: Lose})
		return g.end(now, wire.MoveLost, fmt.Sprintf("%s, which had everything and may serve, is not known to: %v", g.req.To, err), out)
	case untell:
		switch {
		case err == nil || err.Kind == wire.KindNotFound: // who knows no such process has told nobody
			return g.drop(now, out)
		case err.Kind == wire.KindFailed:
			return g.gone(now, out)
		case err.Kind == wire.KindNotOwner && now-g.since >= ms(g.o.PatienceMS):
			return g.drop(now, out) // the home was dropped, since its process has ended: homes do not move while a vRegion of theirs does
		}
		return g.later(now, out) // until it is heard: whoever believes in the taker waits for it in vain
	case dropping:
		if passing && now-g.since < ms(g.o.PatienceMS) {
			return g.later(now, out)
		}
		return g.end(now, wire.MoveUndone, g.text, out) // an unreachable taker gives the copy up by itself
	}
	return out
}

// mayPass reports whether the same message may succeed later. Whether this one was executed is unknown.
func mayPass(k wire.Kind) bool {
	return k == wire.KindUnavailable || k == wire.KindTimeout || k == wire.KindBusy || k == wire.KindCorrupt
}

// late reports that the move has not begun to switch over in time.
func (g *Giver) late(now time.Duration) bool {
	return now-g.began >= time.Duration(g.req.TimeoutMS)*time.Millisecond
}

// later waits before what failed is tried again.
func (g *Giver) later(now time.Duration, out []Effect) []Effect {
	g.attempts++
	g.waits, g.due = true, now+g.o.pause(g.attempts)
	return out
}

// Tick goes on after a pause.
func (g *Giver) Tick(now time.Duration, out []Effect) []Effect {
	if !g.waits || now < g.due {
		return out
	}
	g.waits = false
	switch g.phase {
	case opening:
		return g.send(Effect{Kind: Open}, out)
	case copying:
		return g.startRound(now, out)
	case last:
		if g.changes == nil {
			return g.close(now, out)
		}
		return g.startRound(now, out)
	case closing:
		return g.send(Effect{Kind: Close}, out)
	case telling:
		return g.send(Effect{Kind: Tell, Epoch: g.req.Epoch}, out)
	case serving:
		return g.send(Effect{Kind: Serve, Epoch: g.req.Epoch}, out)
	case untell:
		return g.send(Effect{Kind: Tell, Epoch: g.req.UndoEpoch, Undo: true}, out)
	case dropping:
		return g.send(Effect{Kind: Drop}, out)
	}
	return out
}

// startRound begins a pass over the pages that the taker does not know. Nothing of the round before is unanswered.
func (g *Giver) startRound(now time.Duration, out []Effect) []Effect {
	if g.phase == copying && g.late(now) {
		return g.undo(now, fmt.Sprintf("it did not begin to switch over within %d ms", g.req.TimeoutMS), out)
	}
	g.round++
	g.passes++
	g.cursor, g.scanned, g.failed = 0, false, nil
	return g.send(Effect{Kind: Copy}, out)
}

// copied takes the answer to a copy.
func (g *Giver) copied(now time.Duration, i int, err *wire.Error, out []Effect) []Effect {
	if err != nil {
		for _, p := range g.sent[i].pages { // whether they arrived is unknown
			g.changes.Mark(p)
		}
		if torn := err.Kind == wire.KindCorrupt && g.passes == 1; torn {
			g.attempts, g.since = 0, now // a page changed meanwhile: the next round sends it
		} else if g.failed == nil || !mayPass(err.Kind) {
			g.failed = err
		}
	} else {
		g.attempts, g.since = 0, now
	}
	g.forget(i)
	return g.roundOn(now, out)
}

// roundOn keeps the window full, and ends the round when it is empty.
func (g *Giver) roundOn(now time.Duration, out []Effect) []Effect {
	if !g.scanned && g.failed == nil {
		if len(g.sent) < g.o.WindowMessages {
			return g.send(Effect{Kind: Copy}, out)
		}
		return out
	}
	if len(g.sent) > 0 {
		return out
	}
	if g.failed != nil {
		patient := now-g.since < ms(g.o.PatienceMS)
		if g.phase == last {
			patient = now-g.frozenAt < ms(g.o.SwitchMS)
		}
		if !mayPass(g.failed.Kind) || !patient {
			return g.undo(now, fmt.Sprintf("%s does not take its pages: %v", g.req.To, g.failed), out)
		}
		return g.later(now, out)
	}
	switch {
	case g.phase == copying && (g.changes.Len() <= g.o.FreezePages || int(g.passes) >= g.o.MaxRounds):
		return g.freeze(now, out)
	case g.phase == last && (g.held || g.changes.Len() == 0):
		return g.close(now, out)
	}
	return g.startRound(now, out)
}

// freeze stops serving: the pause begins.
func (g *Giver) freeze(now time.Duration, out []Effect) []Effect {
	g.phase, g.frozen, g.frozenAt, g.since, g.attempts = last, true, now, now, 0
	out = append(out, Effect{Kind: Freeze})
	if g.changes == nil { // the driver says by Hold whether operations run, before the first tick
		g.waits, g.due = true, now
		return out
	}
	return g.startRound(now, out)
}

// close tells the taker that it has all, once nothing changes it any more.
func (g *Giver) close(now time.Duration, out []Effect) []Effect {
	if g.held {
		if now-g.frozenAt >= ms(g.o.SwitchMS) {
			return g.undo(now, fmt.Sprintf("what had begun before the switch-over did not end within %d ms", g.o.SwitchMS), out)
		}
		return g.later(now, out)
	}
	g.phase, g.since, g.attempts, g.opened = closing, now, 0, true
	g.round++
	return g.send(Effect{Kind: Close}, out)
}

// undo serves on. If somebody may have heard of Epoch, then under UndoEpoch, and they hear of that; the taker surely was not
// told to serve.
func (g *Giver) undo(now time.Duration, why string, out []Effect) []Effect {
	g.text = why
	if g.told {
		g.epoch = g.req.UndoEpoch
	}
	if g.frozen {
		g.frozen, g.pause = false, now-g.frozenAt
	}
	out = append(out, Effect{Kind: Thaw, Epoch: g.epoch})
	if g.told {
		g.phase, g.since, g.attempts = untell, now, 0
		return g.send(Effect{Kind: Tell, Epoch: g.req.UndoEpoch, Undo: true}, out)
	}
	return g.drop(now, out)
}

// gone ends the move of a process that has ended: nobody needs anything of it, here or there.
func (g *Giver) gone(now time.Duration, out []Effect) []Effect {
	g.text = "its process has ended"
	return g.drop(now, append(out, Effect{Kind: Forget}))
}

// Cancel ends the move because what is moved has been freed here: its process has ended. Messages under way are not waited
// for, and effects that were not performed yet must not be.
func (g *Giver) Cancel(now time.Duration, out []Effect) []Effect {
	if g.phase == ended {
		return out
	}
	g.text = "its process has ended"
	return g.drop(now, out)
}

// drop tells the taker to forget what it has.
func (g *Giver) drop(now time.Duration, out []Effect) []Effect {
	for len(g.sent) > 0 { // answers to these change nothing any more
		g.forget(len(g.sent) - 1)
	}
	g.waits, g.frozen, g.since, g.attempts = false, false, now, 0
	if !g.opened {
		return g.end(now, wire.MoveUndone, g.text, out)
	}
	g.phase = dropping
	return g.send(Effect{Kind: Drop}, out)
}

func (g *Giver) end(now time.Duration, s wire.MoveState, text string, out []Effect) []Effect {
	g.phase, g.result, g.text, g.endedAt, g.frozen, g.changes = ended, s, text, now, false, nil
	return out
}

// Status says how far the move has come.
func (g *Giver) Status(now time.Duration) wire.MoveStatusRep {
	s := wire.MoveStatusRep{Move: g.req.Move, State: wire.MoveCopying, Epoch: g.epoch, Bytes: g.bytes, TotalBytes: g.bytes, Rounds: g.passes, Text: g.text}
	switch {
	case g.phase == ended:
		s.State, now = g.result, g.endedAt
	case g.frozen:
		s.State = wire.MoveSwitching
	}
	if g.changes != nil && g.phase != ended {
		s.TotalBytes += uint64(g.changes.Len()) * wire.PageSize
	}
	s.DurationUS, s.PauseUS = uint64((now-g.began)/time.Microsecond), uint64(g.pause/time.Microsecond)
	return s
}

// Copied counts bytes of a memory map that were sent.
func (g *Giver) Copied(bytes int) { g.bytes += uint64(bytes) }

// CheckInvariants reports a broken one, for tests.
func (g *Giver) CheckInvariants() error {
	if g.phase == ended && (len(g.sent) > 0 || !g.result.Ended()) {
		return fmt.Errorf("migrate: ended as %v with %d messages under way", g.result, len(g.sent))
	}
	if g.phase != ended && len(g.sent) == 0 && !g.waits {
		return fmt.Errorf("migrate: in phase %d nothing is under way and nothing is waited for", g.phase)
	}
	if len(g.sent) > g.o.WindowMessages {
		return fmt.Errorf("migrate: %d messages under way, at most %d", len(g.sent), g.o.WindowMessages)
	}
	if g.frozen != (g.phase >= last && g.phase <= serving) {
		return fmt.Errorf("migrate: frozen is %v in phase %d", g.frozen, g.phase)
	}
	return nil
}

package handover

import (
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
)

// EffectKind says what the shell of a giver must do next.
type EffectKind uint8

// The effects. Each is answered by one Step.
const (
	// Plan tells the taker what to make ready: Outcome.Err, or Ready.
	Plan EffectKind = 1
	// WriteBack writes dirty lines back while the process runs: Lines written and acknowledged.
	WriteBack EffectKind = 2
	// Freeze stops the process at its next boundary, drains it and exports its state: Total bytes, and StoppedAt, which is 0
	// if it did not stop: then it runs as before.
	Freeze EffectKind = 3
	// Send sends Length bytes of the state from Offset: Ready when the taker holds and has checked all.
	Send EffectKind = 4
	// Resume asks the taker to serve: Resumed, or Err.
	Resume EffectKind = 5
	// Ask asks the home whether it has the process under OldEpoch still: KindStale says that the taker has opened it under
	// Epoch.
	Ask EffectKind = 6
	// Thaw lets the process go on here under Epoch. If that is not OldEpoch its home is opened under it first.
	Thaw EffectKind = 7
	// Drop tells the taker to forget the move.
	Drop EffectKind = 8
	// Leave forgets the process here: the taker serves it.
	Leave EffectKind = 9
	// Lose ends the process here with Err. If Epoch is not 0 it is surely dead at the taker, too, and what is left of it at
	// its home is ended under Epoch; else nobody is told.
	Lose EffectKind = 10
	// Wait does nothing until Until.
	Wait EffectKind = 11
)

// Effect is what to do next.
type Effect struct {
	Kind           EffectKind
	Offset, Length uint64
	Epoch          wire.Epoch
	Until          time.Duration
	Err            *wire.Error
}

// Outcome is what came of an effect. Which fields count is said at each kind.
type Outcome struct {
	Err       *wire.Error
	Gone      bool // the process has ended by itself, or was stopped
	Ready     bool
	Lines     int
	Total     uint64
	StoppedAt time.Duration
	Resumed   wire.ProcessResumeRep
}

// phase is how far a giver is.
type phase uint8

const (
	planning phase = iota
	writing
	freezing
	sending
	resuming
	asking
	thawing
	dropping
	leaving
	losing
	ended
)

// Giver drives the move of one process from its order to its end.
type Giver struct {
	o     Options
	req   wire.MoveReq
	phase phase
	lines bool // the rounds of write-back are over
	waits bool // Next gave Wait

	began, stopped, since, due time.Duration
	attempts                   int
	sent, total                uint64
	final                      wire.MoveState // what it comes to
	fault                      *wire.Error    // why
	dead                       wire.Epoch     // of Lose
	st                         wire.MoveStatusRep
}

// NewGiver begins a move.
func NewGiver(o Options, req wire.MoveReq, now time.Duration) *Giver {
	return &Giver{o: o, req: req, began: now, since: now, st: wire.MoveStatusRep{Move: req.Move, State: wire.MoveCopying, Epoch: req.OldEpoch}}
}

// Passed is a move that ended as it began: the process does not run, so there is nothing to hand over.
func Passed(o Options, req wire.MoveReq, now time.Duration) *Giver {
	g := NewGiver(o, req, now)
	g.phase, g.final = ended, wire.MoveDone
	g.st.State, g.st.Epoch, g.st.Text = wire.MoveDone, req.Epoch, "the process did not run"
	return g
}

// Ended reports whether nothing is left to do.
func (g *Giver) Ended() bool { return g.phase == ended }

// Told reports whether the taker may have been told to serve.
func (g *Giver) Told() bool { return g.phase == resuming || g.phase == asking || g.phase == leaving }

// Status tells how far the move is.
func (g *Giver) Status(now time.Duration) wire.MoveStatusRep {
	st := g.st
	if !st.State.Ended() {
		st.DurationUS = us(now - g.began)
		if st.State == wire.MoveSwitching {
			st.PauseUS = us(now - g.stopped)
		}
	}
	return st
}

func us(d time.Duration) uint64 { return uint64(max(d, 0) / time.Microsecond) }

// Next tells what to do now.
func (g *Giver) Next(now time.Duration) Effect {
	if g.waits = now < g.due; g.waits {
		return Effect{Kind: Wait, Until: g.due}
	}
	switch g.phase {
	case planning:
		return Effect{Kind: Plan}
	case writing:
		return Effect{Kind: WriteBack}
	case freezing:
		return Effect{Kind: Freeze}
	case sending:
		return Effect{Kind: Send, Offset: g.sent, Length: min(ChunkBytes, g.total-g.sent)}
	case resuming:
		return Effect{Kind: Resume}
	case asking:
		return Effect{Kind: Ask, Epoch: g.req.OldEpoch}
	case thawing:
		return Effect{Kind: Thaw, Epoch: g.st.Epoch}
	case dropping:
		return Effect{Kind: Drop}
	case leaving:
		return Effect{Kind: Leave}
	case losing:
		return Effect{Kind: Lose, Err: g.fault, Epoch: g.dead}
	}
	panic("handover: a move that has ended has nothing to do")
}

// Step takes what came of the effect that Next gave.
func (g *Giver) Step(now time.Duration, o Outcome) {
	if g.waits {
		return // what Next gave was Wait, which may also end early
	}
	switch g.phase {
	case planning, writing, freezing:
		g.prepare(now, o)
	case sending:
		g.send(now, o)
	case resuming:
		g.resume(now, o)
	case asking:
		g.asked(now, o.Err)
	case thawing:
		switch {
		case o.Err == nil:
			g.undone(now)
			g.enter(dropping, now)
		case transient(o.Err): // the home must hear of the epoch before anything is done under it
			g.again(now)
		default:
			g.lose(now, wire.Errorf(wire.KindFailed, "the process cannot go on here after its move to %s failed (%s): %s", g.req.To, g.fault.Text, o.Err.Text))
		}
	case dropping:
		if o.Err == nil || o.Err.Kind == wire.KindUnavailable || !transient(o.Err) || // a taker that is dead holds nothing
			g.attempts+1 >= g.o.MaxDropTries {
			g.finish(now)
			return
		}
		g.again(now)
	case leaving, losing:
		g.finish(now)
	}
}

// transient reports whether trying again may help.
func transient(err *wire.Error) bool {
	return err.Kind == wire.KindUnavailable || err.Kind == wire.KindTimeout || err.Kind == wire.KindBusy
}

func (g *Giver) enter(p phase, now time.Duration) {
	g.phase, g.attempts, g.since, g.due = p, 0, now, 0
}

// again has the phase tried again after a pause.
func (g *Giver) again(now time.Duration) {
	g.attempts++
	g.due = now + g.o.pause(g.attempts)
}

// prepare goes from the plan to the frozen process. Until then it runs.
func (g *Giver) prepare(now time.Duration, o Outcome) {
	patience := g.o.Prepare
	if g.req.TimeoutMS > 0 {
		patience = time.Duration(g.req.TimeoutMS) * time.Millisecond
	}
	switch {
	case o.Gone:
		g.fault = wire.Errorf(wire.KindNotFound, "the process has ended")
		g.undone(now)
		g.enter(dropping, now)
	case g.phase == freezing && o.StoppedAt > 0 && o.Err == nil && o.Total > MaxStateBytes:
		g.begunToStop(o)
		g.undo(now, g.req.OldEpoch, wire.Errorf(wire.KindNoRoom, "the state of the process takes %d bytes, at most %d may be moved", o.Total, uint64(MaxStateBytes)))
	case g.phase == freezing && o.StoppedAt > 0 && o.Err == nil:
		g.begunToStop(o)
		g.total = o.Total
		g.st.TotalBytes = g.st.Bytes + o.Total
		g.enter(sending, now)
	case g.phase == freezing && o.StoppedAt > 0:
		g.begunToStop(o)
		g.undo(now, g.req.OldEpoch, o.Err)
	case o.Err != nil && !transient(o.Err):
		g.fault = o.Err
		g.undone(now)
		g.enter(dropping, now)
	case now-g.began > patience:
		g.fault = wire.Errorf(wire.KindTimeout, "it had not begun to switch over after %d ms", patience/time.Millisecond)
		if o.Err != nil {
			g.fault.Text += ": " + o.Err.Text
		}
		g.undone(now)
		g.enter(dropping, now)
	case o.Err != nil:
		g.again(now)
	case g.phase == writing:
		g.st.Rounds++
		g.st.Bytes += uint64(o.Lines) * wire.PageSize
		g.st.TotalBytes = g.st.Bytes
		g.lines = o.Lines <= FewLines || g.st.Rounds >= MaxRounds
		g.enter(planning, now)
	case g.phase == planning && !g.lines:
		g.enter(writing, now)
	case g.phase == planning && !o.Ready: // it skips through the trace, or whatever drives the process there
		g.again(now)
	default:
		g.enter(freezing, now)
	}
}

// begunToStop takes down when the process stopped.
func (g *Giver) begunToStop(o Outcome) {
	g.stopped = o.StoppedAt
	g.st.State = wire.MoveSwitching
}

// send hands the state over. Nobody has heard of the new epoch yet.
func (g *Giver) send(now time.Duration, o Outcome) {
	switch {
	case o.Err == nil && o.Ready:
		g.st.Bytes += g.total - g.sent
		g.sent = g.total
		g.enter(resuming, now)
	case o.Err == nil:
		n := min(ChunkBytes, g.total-g.sent)
		if g.sent+n < g.total { // the last chunk is sent again until the taker is ready
			g.sent += n
			g.st.Bytes += n
			g.attempts, g.due = 0, 0 // the next chunk; the patience is that of the whole state
			return
		}
		g.retrySend(now, wire.Errorf(wire.KindTimeout, "%s holds the state and is not ready", g.req.To))
	case transient(o.Err):
		g.retrySend(now, o.Err)
	case o.Err.Kind == wire.KindCorrupt && g.attempts+1 < g.o.MaxSendFaults:
		g.again(now)
	default:
		g.undo(now, g.req.OldEpoch, o.Err)
	}
}

func (g *Giver) retrySend(now time.Duration, err *wire.Error) {
	if now-g.since > g.o.Switch {
		g.undo(now, g.req.OldEpoch, err)
		return
	}
	g.again(now)
}

// resume takes the taker's answer. From the first question on it may serve.
func (g *Giver) resume(now time.Duration, o Outcome) {
	switch {
	case o.Err == nil && o.Resumed.State == wire.ResumeServing:
		g.final, g.st.Epoch = wire.MoveDone, g.req.Epoch
		g.st.PauseUS = us(now - g.stopped)
		g.enter(leaving, now)
	case o.Err == nil && o.Resumed.State == wire.ResumeRefused:
		g.undo(now, g.req.UndoEpoch, wire.Errorf(wire.KindFailed, "%s did not resume the process: %s", g.req.To, o.Resumed.Text))
	case o.Err != nil && o.Err.Kind == wire.KindNotFound:
		g.fault = wire.Errorf(wire.KindFailed, "%s has started again and knows nothing of the process", g.req.To)
		g.enter(asking, now)
	case now-g.since > g.o.Resume:
		text := "it did not say whether it serves"
		if o.Err != nil {
			text = o.Err.Text
		}
		g.lose(now, wire.Errorf(wire.KindFailed, "the process was handed to %s, which fell silent in the middle: %s", g.req.To, text))
	default:
		g.again(now)
	}
}

// asked takes the home's answer after the taker was lost.
func (g *Giver) asked(now time.Duration, err *wire.Error) {
	switch {
	case err == nil:
		g.undo(now, g.req.UndoEpoch, g.fault)
	case transient(err) && now-g.since <= g.o.Resume:
		g.again(now)
	case err.Kind == wire.KindStale:
		g.dead = g.req.UndoEpoch
		g.lose(now, wire.Errorf(wire.KindFailed, "the process had been resumed at %s and was lost with it: %s", g.req.To, g.fault.Text))
	default:
		g.lose(now, wire.Errorf(wire.KindFailed, "the process was handed to %s (%s), and its home does not tell whether it was resumed: %s", g.req.To, g.fault.Text, err.Text))
	}
}

// undo lets the process go on here under an epoch.
func (g *Giver) undo(now time.Duration, e wire.Epoch, err *wire.Error) {
	g.fault, g.st.Epoch = err, e
	g.enter(thawing, now)
}

// undone takes down that the process goes on here. Whatever is left is to tell the taker.
func (g *Giver) undone(now time.Duration) {
	g.final = wire.MoveUndone
	if g.st.State == wire.MoveSwitching {
		g.st.PauseUS = us(now - g.stopped)
	}
	g.st.State, g.st.Text = wire.MoveCopying, g.fault.Error() // served again; it ends with the drop
}

func (g *Giver) lose(now time.Duration, err *wire.Error) {
	g.fault, g.final = err, wire.MoveLost
	g.st.PauseUS = us(now - g.stopped)
	g.enter(losing, now)
}

func (g *Giver) finish(now time.Duration) {
	g.phase = ended
	g.st.State, g.st.DurationUS = g.final, us(now-g.began)
	if g.fault != nil {
		g.st.Text = g.fault.Error()
	}
}

// CheckInvariants reports a broken one, for tests.
func (g *Giver) CheckInvariants() error {
	if g.sent > g.total || g.st.Bytes > g.st.TotalBytes {
		return fmt.Errorf("%d of %d bytes of the state, %d of %d in all are sent", g.sent, g.total, g.st.Bytes, g.st.TotalBytes)
	}
	if e := g.st.Epoch; e != g.req.OldEpoch && e != g.req.Epoch && e != g.req.UndoEpoch {
		return fmt.Errorf("served under epoch %d, want one of %d, %d, %d", e, g.req.OldEpoch, g.req.Epoch, g.req.UndoEpoch)
	}
	if g.phase == ended && !g.st.State.Ended() {
		return fmt.Errorf("ended in state %v", g.st.State)
	}
	return nil
}

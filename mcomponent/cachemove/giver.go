package cachemove

import (
	"errors"
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
)

// Step says what an Effect asks for.
type Step uint8

// The steps; doc.go says what each is.
const (
	Clean    Step = 1
	Freeze   Step = 2
	Attach   Step = 3
	Tell     Step = 4
	Leave    Step = 5
	Reattach Step = 6
	Thaw     Step = 7
	Detach   Step = 8
	Lose     Step = 9
	Ended    Step = 10
)

func (s Step) String() string {
	return [...]string{"none", "clean", "freeze", "attach", "tell", "leave", "reattach", "thaw", "detach", "lose", "ended"}[min(int(s), 10)]
}

// Effect is one thing that the driver must do, and report with Done. One is under way at a time.
type Effect struct {
	Step  Step
	ID    uint64
	After time.Duration
	Epoch wire.Epoch // of Thaw
}

// Options bound a move.
type Options struct {
	// SwitchBlocks is how few dirty blocks make the giver stop serving and write back the rest.
	SwitchBlocks int
	// MaxRounds is after how many flushes it does so in any case.
	MaxRounds int
	// Pause is the first pause before a step is tried again; it doubles up to 16 times that.
	Pause time.Duration
	// AttachPatience is how long the taker is asked to attach before the giver takes the volume back.
	AttachPatience time.Duration
	// TellPatience is how long the pComponent is told; one that does not answer is dead by then: longer than its block_patience_ms.
	TellPatience time.Duration
	// BackPatience is how long the giver tries to attach again. After it the volume is served by nobody until it is attached anew.
	BackPatience time.Duration
	// DetachPatience is how long the taker of a move that was undone is told to forget the volume.
	DetachPatience time.Duration
}

// DefaultOptions returns the defaults. 256 blocks are 1 MiB, which an fdatasync of some milliseconds covers.
func DefaultOptions() Options {
	return Options{
		SwitchBlocks: 256, MaxRounds: 8, Pause: 10 * time.Millisecond, AttachPatience: 8 * time.Second, TellPatience: 30 * time.Second,
		BackPatience: time.Minute, DetachPatience: 3 * time.Second,
	}
}

// Validate returns every fault.
func (o Options) Validate() error {
	var errs []error
	if o.SwitchBlocks < 0 || o.SwitchBlocks > 1<<20 {
		errs = append(errs, fmt.Errorf("switch_blocks: %d, want 0 to %d", o.SwitchBlocks, 1<<20))
	}
	if o.MaxRounds < 1 || o.MaxRounds > 1<<10 {
		errs = append(errs, fmt.Errorf("max_rounds: %d, want 1 to %d", o.MaxRounds, 1<<10))
	}
	for _, b := range []struct {
		key string
		d   time.Duration
	}{{"pause_ms", o.Pause}, {"attach_patience_ms", o.AttachPatience}, {"tell_patience_ms", o.TellPatience}, {"back_patience_ms", o.BackPatience}, {"detach_patience_ms", o.DetachPatience}} {
		if b.d < time.Millisecond || b.d > time.Hour {
			errs = append(errs, fmt.Errorf("%s: %v, want 1 ms to 1 h", b.key, b.d))
		}
	}
	return errors.Join(errs...)
}

// Giver is the core of one move. Use one goroutine at a time.
type Giver struct {
	o     Options
	req   wire.MoveReq
	began time.Duration

	state    wire.MoveState
	epoch    wire.Epoch
	text     string
	over     bool
	ended    time.Duration // when it was over
	rounds   uint32
	dirty    int
	frozenAt time.Duration
	frozen   bool
	pause    time.Duration
	deadline time.Duration
	unsure   bool // the pComponent may have heard

	now    Effect
	tries  int
	lastID uint64
}

// New makes the giver of a buffer cache that holds so many dirty blocks. opt has been validated.
func New(opt Options, req wire.MoveReq, dirty int) *Giver {
	return &Giver{o: opt, req: req, state: wire.MoveCopying, epoch: req.OldEpoch, dirty: dirty}
}

// Start begins the move.
func (g *Giver) Start(now time.Duration, out []Effect) []Effect {
	g.began = now
	g.deadline = now + time.Duration(g.req.TimeoutMS)*time.Millisecond
	return g.clean(now, out)
}

// Absent ends a move at once whose buffer cache is not in use here: there is nothing to write back and nobody to tell.
func (g *Giver) Absent(now time.Duration, out []Effect) []Effect {
	g.began = now
	g.text = "the volume was not attached here"
	return g.do(Effect{Step: Leave}, out)
}

// Cleaned tells before the Done of a Clean how many blocks are dirty again.
func (g *Giver) Cleaned(dirty int) { g.dirty = dirty }

// Status is how far the move has come; the driver knows the bytes.
func (g *Giver) Status(now time.Duration) wire.MoveStatusRep {
	if g.over {
		now = g.ended
	}
	s := wire.MoveStatusRep{Move: g.req.Move, State: g.state, Epoch: g.epoch, Rounds: g.rounds, DurationUS: uint64((now - g.began) / time.Microsecond),
		PauseUS: uint64(g.pause / time.Microsecond), Text: g.text}
	if g.frozen {
		s.PauseUS = uint64((now - g.frozenAt) / time.Microsecond)
	}
	return s
}

// Over reports whether nothing more comes.
func (g *Giver) Over() bool { return g.over }

func (g *Giver) do(e Effect, out []Effect) []Effect {
	g.lastID++
	e.ID = g.lastID
	g.now, g.tries = e, 0
	return append(out, e)
}

// again gives the effect once more, after a pause.
func (g *Giver) again(out []Effect) []Effect {
	g.lastID++
	g.now.ID = g.lastID
	g.now.After = g.o.Pause << min(g.tries, 4)
	g.tries++
	return append(out, g.now)
}

// uncertain reports whether a request may have been executed, or may be if it is repeated.
func uncertain(err error) bool {
	switch wire.KindOf(err) {
	case wire.KindUnavailable, wire.KindTimeout, wire.KindBusy, wire.KindUnknownState:
		return true
	}
	return false
}

func (g *Giver) clean(now time.Duration, out []Effect) []Effect {
	if g.dirty > g.o.SwitchBlocks && int(g.rounds) < g.o.MaxRounds {
		return g.do(Effect{Step: Clean}, out)
	}
	g.state, g.frozen, g.frozenAt, g.deadline = wire.MoveSwitching, true, now, now+g.o.AttachPatience
	return g.do(Effect{Step: Freeze}, out)
}

// Done reports how the effect ended.
func (g *Giver) Done(now time.Duration, id uint64, err error, out []Effect) []Effect {
	if id != g.now.ID || g.over {
		return out
	}
	g.ended = now
	switch step := g.now.Step; step {
	case Clean:
		g.rounds++
		switch {
		case err != nil:
			return g.end(wire.MoveUndone, fmt.Sprintf("what is dirty cannot be written back: %v", err), out)
		case now >= g.deadline:
			return g.end(wire.MoveUndone, "it took longer than the order allows", out)
		}
		return g.clean(now, out)
	case Freeze:
		g.rounds++
		if err != nil {
			g.text = fmt.Sprintf("the rest cannot be written back: %v", err)
			return g.do(Effect{Step: Thaw, Epoch: g.req.OldEpoch}, out)
		}
		return g.do(Effect{Step: Attach}, out)
	case Attach:
		switch {
		case err == nil:
			g.deadline = now + g.o.TellPatience
			return g.do(Effect{Step: Tell}, out)
		case uncertain(err) && now < g.deadline:
			return g.again(out)
		}
		return g.back(now, fmt.Sprintf("the taker cannot attach the volume: %v", err), out)
	case Tell:
		g.unsure = g.unsure || wire.KindOf(err) != wire.KindBusy && uncertain(err)
		switch {
		case err != nil && now < g.deadline && (uncertain(err) || g.unsure):
			return g.again(out)
		case err != nil && !g.unsure:
			return g.back(now, fmt.Sprintf("the pComponent refuses to go there: %v", err), out)
		case err != nil:
			g.text = fmt.Sprintf("the pComponent was not reached and is given up: %v", err)
		}
		return g.do(Effect{Step: Leave}, out)
	case Leave:
		if g.frozen {
			g.frozen, g.pause = false, now-g.frozenAt
		}
		g.epoch = g.req.Epoch
		return g.end(wire.MoveDone, g.text, out)
	case Reattach:
		switch {
		case err == nil:
			return g.do(Effect{Step: Thaw, Epoch: g.req.UndoEpoch}, out)
		case uncertain(err) && now < g.deadline:
			return g.again(out)
		}
		g.text = fmt.Sprintf("%s; and it cannot be attached here again: %v", g.text, err)
		g.frozen, g.pause = false, now-g.frozenAt
		g.state = wire.MoveLost
		return g.do(Effect{Step: Lose}, out)
	case Thaw:
		g.frozen, g.pause = false, now-g.frozenAt
		g.state, g.epoch = wire.MoveUndone, g.now.Epoch
		if g.now.Epoch == g.req.OldEpoch {
			return g.end(wire.MoveUndone, g.text, out)
		}
		g.deadline = now + g.o.DetachPatience
		return g.do(Effect{Step: Detach}, out)
	case Detach:
		if err != nil && uncertain(err) && now < g.deadline {
			return g.again(out)
		}
		return g.end(wire.MoveUndone, g.text, out) // a taker that was not reached is fenced by the sComponent
	case Lose:
		return g.end(wire.MoveLost, g.text, out)
	}
	return out
}

// back takes the volume back under UndoEpoch. The pComponent has heard of nothing.
func (g *Giver) back(now time.Duration, text string, out []Effect) []Effect {
	g.text = text
	g.deadline = now + g.o.BackPatience
	return g.do(Effect{Step: Reattach}, out)
}

func (g *Giver) end(s wire.MoveState, text string, out []Effect) []Effect {
	g.state, g.text, g.over = s, text, true
	return append(out, Effect{Step: Ended})
}

// CheckInvariants checks that a move that is over says how it ended, and under which epoch.
func (g *Giver) CheckInvariants() error {
	want := map[wire.MoveState]bool{wire.MoveDone: g.epoch == g.req.Epoch, wire.MoveUndone: g.epoch == g.req.OldEpoch || g.epoch == g.req.UndoEpoch}
	switch ok, known := want[g.state]; {
	case g.over && !g.state.Ended():
		return fmt.Errorf("cachemove: over, and %v", g.state)
	case known && !ok:
		return fmt.Errorf("cachemove: %v under epoch %d", g.state, g.epoch)
	case g.over && g.frozen:
		return fmt.Errorf("cachemove: over, and the volume is frozen")
	}
	return nil
}

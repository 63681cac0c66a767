package migrate

import (
	"fmt"
	"slices"
	"time"

	"splitkernel/netlayer/canary"
	"splitkernel/netlayer/wire"
)

// Step says what an Effect asks for. Steps are in the order of a move, then those that undo it.
type Step uint8

// The steps; doc.go says what each is.
const (
	Open   Step = 1
	Copy   Step = 2
	Sync   Step = 3
	Freeze Step = 4
	Finish Step = 5
	Note   Step = 6
	Switch Step = 7
	Serve  Step = 8
	Retire Step = 9
	Recall Step = 10
	Thaw   Step = 11
	Drop   Step = 12
	Fail   Step = 13
	Ended  Step = 14
)

func (s Step) String() string {
	return [...]string{"none", "open", "copy", "sync", "freeze", "finish", "note", "switch", "serve", "retire", "recall", "thaw", "drop", "fail", "ended"}[min(int(s), 14)]
}

// Mark is what a giver notes durably about a move. Numbers are those of the file.
type Mark uint8

// The marks.
const (
	Giving    Mark = 1 // somebody may have heard that the taker serves, and the taker may
	Undoing   Mark = 2 // the taker was surely not told to serve, and will not be
	Given     Mark = 3 // the taker serves: what is here may go
	TakenBack Mark = 4 // the giver serves under UndoEpoch
)

// Effect is one thing that the driver of a giver must do, and report with Done.
type Effect struct {
	Step   Step
	ID     uint64
	After  time.Duration // pause before it
	Round  uint32        // of Copy, Sync and Finish
	Blocks []uint64      // of Copy, ascending
	Mark   Mark          // of Note
	Epoch  wire.Epoch    // of Thaw
}

// underway is an effect that was not reported yet.
type underway struct {
	e     Effect
	tries int
}

// Giver is the side that holds the volume. Use one goroutine at a time.
type Giver struct {
	o      Options
	req    wire.MoveReq
	blocks uint64 // of the volume; 0 after a restart, when none are sent any more
	began  time.Duration

	state   wire.MoveState
	epoch   wire.Epoch
	text    string
	over    bool          // Ended was given
	endedAt time.Duration // when it was over
	resumed bool

	round    uint32
	todo     set // blocks that this round still has to send
	changed  set // blocks written since they were sent
	before   int // blocks that had changed when the round before ended
	sent     uint64
	frozen   bool
	frozenAt time.Duration
	pause    time.Duration
	asked    int // times that the taker was told to serve without a definite answer
	deadline time.Duration

	out    map[uint64]*underway
	lastID uint64
}

// New makes the giver of a volume of so many blocks. opt has been validated.
func New(opt Options, req wire.MoveReq, blocks uint64) *Giver {
	return &Giver{o: opt, req: req, blocks: blocks, state: wire.MoveCopying, epoch: req.OldEpoch, todo: newSet(blocks), changed: newSet(blocks), out: map[uint64]*underway{}}
}

// Resume makes the giver of a move that was noted before a restart. Nothing is served here until it says so.
func Resume(opt Options, req wire.MoveReq, m Mark) *Giver {
	g := New(opt, req, 0)
	g.resumed, g.frozen = true, true
	switch m {
	case Giving:
		g.state, g.asked = wire.MoveSwitching, 1
	case Undoing:
		g.state = wire.MoveSwitching
		g.text = "the giver was restarted while the move was undone"
	case Given:
		g.state, g.epoch = wire.MoveDone, req.Epoch
	case TakenBack:
		g.state, g.epoch, g.frozen = wire.MoveUndone, req.UndoEpoch, false
		g.text = "undone before the giver was restarted"
	}
	return g
}

// Holds tells the giver of a block that was ever written, before Start.
func (g *Giver) Holds(block uint64) { g.changed.add(block) }

// Refuse tells it before Start that the volume cannot be moved.
func (g *Giver) Refuse(err error) { g.text, g.state = err.Error(), wire.MoveUndone }

// Wrote tells it that a block is about to be written. The driver holds what excludes a reading of that block.
func (g *Giver) Wrote(block uint64) {
	if !g.frozen && !g.state.Ended() && !(canary.On(canary.LastRound) && g.todo.n == 0 && len(g.out) > 0) {
		g.changed.add(block)
	}
}

// Status is how far the move has come. The driver fills in what it knows better: bytes.
func (g *Giver) Status(now time.Duration) wire.MoveStatusRep {
	if g.over {
		now = g.endedAt
	}
	s := wire.MoveStatusRep{
		Move: g.req.Move, State: g.state, Epoch: g.epoch, Bytes: g.sent * wire.PageSize, Rounds: g.round,
		TotalBytes: (g.sent + uint64(g.todo.n+g.changed.n+g.copying())) * wire.PageSize,
		DurationUS: uint64((now - g.began) / time.Microsecond), PauseUS: uint64(g.pause / time.Microsecond), Text: g.text,
	}
	if g.frozen && g.state == wire.MoveSwitching {
		s.PauseUS = uint64((now - g.frozenAt) / time.Microsecond)
	}
	return s
}

// copying counts the blocks on their way.
func (g *Giver) copying() int {
	n := 0
	for _, u := range g.out { // a sum: the order does not matter
		n += len(u.e.Blocks)
	}
	return n
}

// Start begins the move, or goes on with one that was noted.
func (g *Giver) Start(now time.Duration, out []Effect) []Effect {
	g.began, g.frozenAt, g.endedAt = now, now, now
	switch {
	case g.state == wire.MoveUndone: // refused, or noted as such
		return g.end(out)
	case !g.resumed:
		g.deadline = now + time.Duration(g.req.TimeoutMS)*time.Millisecond
		return g.do(Effect{Step: Open}, out)
	case g.state == wire.MoveDone:
		return g.do(Effect{Step: Retire}, out)
	case g.asked > 0:
		return g.tell(now, out)
	}
	return g.recall(now, out)
}

// do gives an effect.
func (g *Giver) do(e Effect, out []Effect) []Effect {
	g.lastID++
	e.ID = g.lastID
	g.out[e.ID] = &underway{e: e}
	return append(out, e)
}

// again gives an effect that went wrong once more, after a pause.
func (g *Giver) again(u *underway, out []Effect) []Effect {
	g.lastID++
	u.e.ID = g.lastID
	u.e.After = g.o.Pause << min(u.tries, 4)
	u.tries++
	g.out[u.e.ID] = u
	return append(out, u.e)
}

// uncertain reports whether a request may have been executed, or may be if it is repeated.
func uncertain(err error) bool {
	switch wire.KindOf(err) {
	case wire.KindUnavailable, wire.KindTimeout, wire.KindBusy, wire.KindUnknownState:
		return true
	}
	return false
}

// refused reports whether a taker said that it will not serve: any other error may come after it began to.
func refused(err error) bool {
	switch wire.KindOf(err) {
	case wire.KindNotFound, wire.KindStale, wire.KindBadRequest:
		return true
	}
	return false
}

// Done reports how an effect ended.
func (g *Giver) Done(now time.Duration, id uint64, err error, out []Effect) []Effect {
	u := g.out[id]
	if u == nil {
		return out // of a phase that is over
	}
	delete(g.out, id)
	g.endedAt = now
	if uncertain(err) && (u.e.Step != Serve && now < g.deadline) {
		return g.again(u, out)
	}
	switch u.e.Step {
	case Open:
		if err != nil {
			return g.undo(now, "the taker cannot take it", err, out)
		}
		return g.nextRound(out)
	case Copy:
		if err != nil {
			return g.undo(now, fmt.Sprintf("round %d", g.round), err, out)
		}
		g.sent += uint64(len(u.e.Blocks))
		if !g.frozen && now >= g.deadline {
			return g.undo(now, "it took longer than the order allows", nil, out)
		}
		return g.send(out)
	case Sync:
		if err != nil {
			return g.undo(now, fmt.Sprintf("the sync of round %d", g.round), err, out)
		}
		n := g.changed.n
		slow := g.round >= 3 && n > g.before*3/4
		g.before = n
		if n > g.o.SwitchBlocks && !slow && int(g.round) < g.o.MaxRounds {
			return g.nextRound(out)
		}
		g.state, g.frozenAt, g.deadline = wire.MoveSwitching, now, now+g.o.SwitchPatience
		return g.do(Effect{Step: Freeze}, out)
	case Freeze:
		g.frozen = true // also if it went wrong half way: a thaw changes nothing then
		if err != nil {
			return g.undo(now, "the volume cannot be held still", err, out)
		}
		return g.nextRound(out)
	case Finish:
		if err != nil {
			return g.undo(now, "the taker has not everything on its disk", err, out)
		}
		return g.do(Effect{Step: Note, Mark: Giving}, out)
	case Note:
		return g.noted(now, u, err, out)
	case Switch:
		// After a restart the taker may have been told to serve before: then there is no way back, and the buffer cache has
		// heard of it once.
		if err != nil && g.asked == 0 {
			return g.undoLate(now, "its buffer cache has not heard of it", err, out)
		}
		g.deadline = now + g.o.ServePatience
		return g.do(Effect{Step: Serve}, out)
	case Serve:
		return g.served(now, u, err, out)
	case Retire:
		if err != nil {
			g.text = fmt.Sprintf("files are left over until the next start: %v", err)
		}
		return g.end(out)
	case Recall:
		// Heard, or the buffer cache is gone: then whoever is named next brings a newer epoch.
		return g.do(Effect{Step: Thaw, Epoch: g.epoch}, out)
	case Thaw:
		return g.thawed(now, u, err, out)
	case Drop, Fail:
		return g.end(out)
	}
	return out
}

// nextRound sends what changed since it was sent.
func (g *Giver) nextRound(out []Effect) []Effect {
	g.round++
	g.todo, g.changed = g.changed, g.todo
	return g.send(out)
}

// send keeps up to Window messages under way; the last answer ends the round. So nothing of a round is under way when the next
// begins, save what the network doubled, which the taker refuses by its round.
func (g *Giver) send(out []Effect) []Effect {
	for len(g.out) < g.o.Window && g.todo.n > 0 {
		out = g.do(Effect{Step: Copy, Round: g.round, Blocks: g.todo.take(g.o.BatchBlocks)}, out)
	}
	if len(g.out) > 0 {
		return out
	}
	if g.frozen {
		return g.do(Effect{Step: Finish, Round: g.round}, out)
	}
	return g.do(Effect{Step: Sync, Round: g.round}, out)
}

// tell tells the buffer cache, if there is one, and then the taker.
func (g *Giver) tell(now time.Duration, out []Effect) []Effect {
	g.deadline = now + g.o.SwitchPatience
	if g.req.Via == "" {
		g.deadline = now + g.o.ServePatience
		return g.do(Effect{Step: Serve}, out)
	}
	return g.do(Effect{Step: Switch}, out)
}

func (g *Giver) noted(now time.Duration, u *underway, err error, out []Effect) []Effect {
	switch u.e.Mark {
	case Giving:
		if err != nil {
			return g.undo(now, "it cannot be noted here that the volume is given away", err, out)
		}
		return g.tell(now, out)
	case Undoing:
		if err != nil && now < g.deadline {
			return g.again(u, out)
		}
		if err != nil {
			return g.lose(fmt.Sprintf("%s, and that could not be noted: %v", g.text, err), out)
		}
		return g.recall(now, out)
	case Given:
		if err != nil { // with the note that it is being given, the next start comes to the same end
			g.text = fmt.Sprintf("files are left over until the next start: %v", err)
			return g.end(out)
		}
	}
	return g.do(Effect{Step: Retire}, out)
}

func (g *Giver) served(now time.Duration, u *underway, err error, out []Effect) []Effect {
	switch {
	case err == nil:
		g.state, g.epoch, g.pause = wire.MoveDone, g.req.Epoch, now-g.frozenAt
		return g.do(Effect{Step: Note, Mark: Given}, out)
	case refused(err) && g.asked == 0:
		return g.undoLate(now, "the taker does not serve it", err, out)
	case !refused(err) && now < g.deadline:
		if wire.KindOf(err) != wire.KindBusy { // busy: surely not executed
			g.asked++
		}
		return g.again(u, out)
	}
	return g.lose(fmt.Sprintf("the taker %s may have served it and does not say so: %v", g.req.To, err), out)
}

// undo gives the move up before anybody heard of the new epoch.
func (g *Giver) undo(now time.Duration, what string, err error, out []Effect) []Effect {
	g.text = what
	if err != nil {
		g.text = fmt.Sprintf("%s: %v", what, err)
	}
	clear(g.out)
	if g.frozen || g.state == wire.MoveSwitching {
		g.deadline = now + g.o.ServePatience
		return g.do(Effect{Step: Thaw, Epoch: g.req.OldEpoch}, out)
	}
	g.state = wire.MoveUndone
	return g.drop(now, out)
}

// undoLate gives it up when the buffer cache may have heard of the new epoch and the taker was surely not told to serve.
func (g *Giver) undoLate(now time.Duration, what string, err error, out []Effect) []Effect {
	g.text = fmt.Sprintf("%s: %v", what, err)
	g.deadline = now + g.o.ServePatience
	return g.do(Effect{Step: Note, Mark: Undoing}, out)
}

func (g *Giver) recall(now time.Duration, out []Effect) []Effect {
	g.epoch = g.req.UndoEpoch
	g.deadline = now + g.o.SwitchPatience
	if g.req.Via == "" {
		g.deadline = now + g.o.ServePatience
		return g.do(Effect{Step: Thaw, Epoch: g.epoch}, out)
	}
	return g.do(Effect{Step: Recall}, out)
}

func (g *Giver) thawed(now time.Duration, u *underway, err error, out []Effect) []Effect {
	if err != nil && now < g.deadline {
		return g.again(u, out)
	}
	if err != nil {
		return g.lose(fmt.Sprintf("%s, and it cannot be served here again: %v", g.text, err), out)
	}
	g.frozen = false
	g.state, g.pause = wire.MoveUndone, now-g.frozenAt
	return g.drop(now, out)
}

func (g *Giver) drop(now time.Duration, out []Effect) []Effect {
	g.deadline = now + g.o.DropPatience
	return g.do(Effect{Step: Drop}, out)
}

func (g *Giver) lose(text string, out []Effect) []Effect {
	g.state, g.text = wire.MoveLost, text
	return g.do(Effect{Step: Fail}, out)
}

func (g *Giver) end(out []Effect) []Effect {
	g.over = true
	g.todo, g.changed = set{}, set{}
	return append(out, Effect{Step: Ended})
}

// Over reports whether nothing more comes.
func (g *Giver) Over() bool { return g.over }

// CheckInvariants checks counts, and that what is under way belongs to one phase.
func (g *Giver) CheckInvariants() error {
	if g.todo.n != g.todo.count() || g.changed.n != g.changed.count() {
		return fmt.Errorf("migrate: %d blocks to send and %d changed, counted as %d and %d", g.todo.count(), g.changed.count(), g.todo.n, g.changed.n)
	}
	if len(g.out) > g.o.Window {
		return fmt.Errorf("migrate: %d effects under way, at most window %d", len(g.out), g.o.Window)
	}
	var steps []Step
	for _, u := range g.out { // compared with each other only
		steps = append(steps, u.e.Step)
		if u.e.Step == Copy && u.e.Round != g.round {
			return fmt.Errorf("migrate: blocks of round %d are under way in round %d", u.e.Round, g.round)
		}
	}
	if slices.ContainsFunc(steps, func(s Step) bool { return s != Copy }) && len(steps) > 1 {
		return fmt.Errorf("migrate: steps %v are under way together", steps)
	}
	if g.over != (len(g.out) == 0) && g.began > 0 {
		return fmt.Errorf("migrate: over %v with %d effects under way", g.over, len(g.out))
	}
	return nil
}

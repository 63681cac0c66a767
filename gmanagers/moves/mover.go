package moves

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"splitkernel/netlayer/wire"
)

// phase is what is to be done for a move.
type phase uint8

const (
	starting phase = iota
	polling
	sealing   // it was refused: forget it there before looking who serves
	giverLook // who serves?
	takerLook
	adopting   // by the taker, of a giver that is gone
	ending     // propose the end
	forgetting // the end is in the list
	dropping   // propose to take it from the list
)

// callOf is the effect of each phase.
var callOf = [...]EffectKind{starting: Start, polling: Poll, sealing: Forget, giverLook: Look, takerLook: Look, adopting: Adopt, ending: Propose, forgetting: Forget, dropping: Drop}

// tracked is a move of the list.
type tracked struct {
	Listed
	phase  phase
	why    string        // it was refused, or whom nobody can ask
	absent bool          // it was refused because the thing is not there, so that no copy of the order can have begun either
	lived  bool          // the giver that does not serve it is the one with which the move was recorded
	anew   bool          // another must hear of it than the giver may have been ordered to tell
	end    End           // from ending on
	next   time.Duration // when it is due
	fails  int           // calls in a row
	polls  int           // since the giver took the order
	call   uint64        // under way; 0 if none
	until  time.Duration // call is given up
}

// Stats counts what a Mover did.
type Stats struct {
	Calls  uint64 // effects
	Failed uint64 // calls answered with an error that a repetition may cure
	Late   uint64 // answers to calls that were given up
	Lost   uint64 // calls that were never answered
}

// Mover looks after the moves of one manager while it leads. Make one with New; it is not safe for concurrent use.
type Mover struct {
	moves   []*tracked // ascending by id
	calls   int        // under way
	numbers uint64     // given to calls
	stats   Stats
}

// New returns a Mover that knows no moves.
func New() *Mover { return &Mover{} }

// Stats returns the counts since New.
func (m *Mover) Stats() Stats { return m.stats }

// Calls returns how many calls and proposals are under way.
func (m *Mover) Calls() int { return m.calls }

func compare(a, b wire.MoveID) int {
	return cmp.Or(cmp.Compare(a.Manager, b.Manager), cmp.Compare(a.No, b.No))
}

func (m *Mover) find(id wire.MoveID) (int, bool) {
	return slices.BinarySearchFunc(m.moves, id, func(t *tracked, id wire.MoveID) int { return compare(t.Req.Move, id) })
}

// Sync takes the list as it is replicated now, in any order, each move once.
func (m *Mover) Sync(now time.Duration, list []Listed, out []Effect) []Effect {
	moves := make([]*tracked, 0, len(list))
	m.calls = 0 // those of moves that left the list are forgotten
	for _, l := range list {
		t := &tracked{Listed: l, next: now}
		if i, ok := m.find(l.Req.Move); ok {
			t = m.moves[i]
			if l.Giver.Epoch != t.Giver.Epoch {
				// Whatever the incarnation before still answers is void, unless its end is known already.
				if t.phase < ending || t.phase == forgetting {
					t.call, t.fails, t.next = 0, 0, now
				}
				if t.phase < ending {
					t.phase = starting
				}
			}
			if l.Req.ViaEpoch != t.Req.ViaEpoch {
				t.anew = true
				if t.phase <= polling { // an order under way names the one before, and so does one that was taken
					m.enter(t, now, starting)
				}
			}
			t.Listed = l
		}
		switch {
		case l.Ended && t.phase < forgetting:
			m.enter(t, now, forgetting)
		case !l.Ended && t.phase >= forgetting:
			panic(fmt.Sprintf("moves: %v is in the list without its end, which it had", l.Req.Move))
		}
		switch {
		case !l.Giver.Gone:
		case t.phase < takerLook:
			t.why = fmt.Sprintf("the giver %s is gone", l.Giver.Node)
			m.enter(t, now, takerLook)
		case t.phase == forgetting:
			m.enter(t, now, dropping)
		}
		if (t.phase == takerLook || t.phase == adopting) && l.Taker.Gone {
			m.lost(t, now, fmt.Sprintf("the taker %s is gone", l.Taker.Node))
		}
		if t.call != 0 {
			m.calls++
		}
		moves = append(moves, t)
	}
	slices.SortFunc(moves, func(a, b *tracked) int { return compare(a.Req.Move, b.Req.Move) })
	m.moves = moves
	return m.run(now, out)
}

// enter begins a phase at once. What was asked for the phase before is void.
func (m *Mover) enter(t *tracked, now time.Duration, p phase) {
	t.phase, t.next, t.fails, t.call = p, now, 0, 0
}

// poll begins to ask how far a move is.
func (m *Mover) poll(t *tracked, now time.Duration) {
	t.polls = 0
	m.enter(t, now+FirstPoll, polling)
}

// Next returns when Tick is due; false while there is nothing to do before the next event.
func (m *Mover) Next() (next time.Duration, ok bool) {
	for _, t := range m.moves {
		due := t.next
		switch {
		case t.call != 0:
			due = t.until
		case m.calls >= MaxCalls:
			continue // it waits for an answer
		}
		if !ok || due < next {
			next, ok = due, true
		}
	}
	return next, ok
}

// Tick does what is due.
func (m *Mover) Tick(now time.Duration, out []Effect) []Effect {
	for _, t := range m.moves {
		if t.call != 0 && now >= t.until {
			m.stats.Lost++
			m.ended(t)
			t.again(now)
		}
	}
	return m.run(now, out)
}

// ended takes down that the call of t is over.
func (m *Mover) ended(t *tracked) {
	t.call = 0
	m.calls--
}

// again waits longer with every failure.
func (t *tracked) again(now time.Duration) {
	t.next = now + min(MaxPause, PollPause<<min(t.fails, 10))
	t.fails++
}

// run calls what is due, the longest due first, as far as MaxCalls allows.
func (m *Mover) run(now time.Duration, out []Effect) []Effect {
	if m.calls >= MaxCalls {
		return out
	}
	var due []*tracked // stays ascending by id among equals
	for _, t := range m.moves {
		if t.call == 0 && t.next <= now {
			due = append(due, t)
		}
	}
	slices.SortStableFunc(due, func(a, b *tracked) int { return cmp.Compare(a.next, b.next) })
	for _, t := range due[:min(len(due), MaxCalls-m.calls)] {
		m.numbers++
		m.calls++
		m.stats.Calls++
		t.call, t.until = m.numbers, now+CallPatience
		e := Effect{Kind: callOf[t.phase], Call: t.call, Move: t.Req.Move, Node: t.Giver.Node, Addr: t.Giver.Addr}
		switch t.phase {
		case starting, giverLook:
			e.Req = t.Req
		case takerLook, adopting:
			e.Req, e.Node, e.Addr = t.Req, t.Taker.Node, t.Taker.Addr
		case ending:
			e.Node, e.Addr, e.End = "", "", t.end
		case dropping:
			e.Node, e.Addr = "", ""
		}
		out = append(out, e)
	}
	return out
}

// answered returns the move whose call is answered, which is over now; nil if nobody waits for the answer.
func (m *Mover) answered(id wire.MoveID, call uint64) *tracked {
	i, ok := m.find(id)
	if !ok || call == 0 || m.moves[i].call != call {
		m.stats.Late++
		return nil
	}
	m.ended(m.moves[i])
	return m.moves[i]
}

// transient reports whether the same call may succeed later: nobody decided anything.
func transient(err error) bool {
	switch wire.KindOf(err) {
	case wire.KindInternal, wire.KindUnavailable, wire.KindTimeout, wire.KindBusy, wire.KindHello, wire.KindUnknownState, wire.KindNotLeader:
		return true
	}
	return false
}

// Answered takes the answer to a call of any kind but Look. Rep is that of Poll.
func (m *Mover) Answered(now time.Duration, id wire.MoveID, call uint64, rep wire.MoveStatusRep, err error, out []Effect) []Effect {
	t := m.answered(id, call)
	if t == nil {
		return m.run(now, out)
	}
	kind := wire.KindOf(err)
	// Also a refusal of what cannot be refused for good, of which no way leads on, is tried again.
	failed := err != nil && (transient(err) || t.phase == polling && kind != wire.KindNotFound || t.phase >= ending && kind != wire.KindNotFound)
	switch {
	case t.phase == sealing && kind == wire.KindBusy:
		if t.anew {
			m.enter(t, now, starting)
			break
		}
		m.poll(t, now) // an older copy of the order came through
	case failed:
		m.stats.Failed++
		t.again(now)
	case t.phase == starting && err == nil:
		t.anew = false
		m.poll(t, now)
	case t.phase == starting:
		t.why = fmt.Sprintf("%s refused the order: %v", t.Giver.Node, err)
		t.absent = kind == wire.KindNotFound || kind == wire.KindNotOwner
		m.enter(t, now, sealing)
	case t.phase == polling && err != nil:
		m.enter(t, now, starting)
	case t.phase == polling && rep.Move == id && rep.State.Ended():
		e := End{State: rep.State, Epoch: rep.Epoch, Bytes: rep.Bytes, DurationUS: rep.DurationUS, PauseUS: rep.PauseUS, Text: rep.Text}
		if e.State == wire.MoveLost {
			e.Epoch = 0 // nobody serves it; a giver tells the epoch at which it stopped to
		}
		m.finish(t, now, e)
	case t.phase == polling:
		t.polls++
		t.fails, t.next = 0, now+min(PollPause, FirstPoll<<min(t.polls, 10))
	case t.phase == adopting && err == nil && rep.State == wire.MoveDone:
		m.finish(t, now, End{State: wire.MoveDone, Epoch: rep.Epoch, Text: t.why + "; " + rep.Text})
	case t.phase == adopting && err == nil:
		m.lost(t, now, fmt.Sprintf("%s does not serve it: %s", t.Taker.Node, rep.Text))
	case t.phase == adopting:
		m.lost(t, now, fmt.Sprintf("%s does not serve it: %v", t.Taker.Node, err))
	case t.phase == sealing:
		m.enter(t, now, giverLook)
	case t.phase == forgetting:
		m.enter(t, now, dropping)
	default: // proposed: the list will show it
		t.fails, t.next = 0, now+ProposePause
	}
	return m.run(now, out)
}

// Seen takes the answer to Look.
func (m *Mover) Seen(now time.Duration, id wire.MoveID, call uint64, held Held, err error, out []Effect) []Effect {
	t := m.answered(id, call)
	switch {
	case t == nil:
	case err != nil:
		m.stats.Failed++
		t.again(now)
	case t.phase == giverLook && held.Serves:
		m.finish(t, now, End{State: wire.MoveUndone, Epoch: cmp.Or(held.Epoch, t.Req.OldEpoch), Text: t.why})
	case t.phase == giverLook && t.Taker.Gone:
		m.lost(t, now, fmt.Sprintf("%s does not serve it, the taker %s is gone", t.Giver.Node, t.Taker.Node))
	case t.phase == giverLook:
		t.lived = t.absent && t.Giver.lived(held)
		m.enter(t, now, takerLook)
	case held.Serves && cmp.Or(held.Epoch, t.Req.Epoch) >= t.Req.Epoch:
		m.finish(t, now, End{State: wire.MoveDone, Epoch: cmp.Or(held.Epoch, t.Req.Epoch), Text: t.why + fmt.Sprintf("; %s serves", t.Taker.Node)})
	case t.lived && !t.Giver.Gone && t.Taker.lived(held):
		m.finish(t, now, End{State: wire.MoveUndone, Epoch: t.Req.OldEpoch, Text: notThere + ": " + t.why})
	case t.Giver.over() && t.Req.Kind == wire.MoveRegion:
		m.enter(t, now, adopting) // it may have everything
	default:
		m.lost(t, now, fmt.Sprintf("%s does not serve it either", t.Taker.Node))
	}
	return m.run(now, out)
}

// notThere is why a move of what nobody has, and nobody lost, is undone: a vNode whose process did not start has no home yet.
const notThere = "it is not there, its process has ended or not begun"

// lost ends a move that nobody serves.
func (m *Mover) lost(t *tracked, now time.Duration, why string) {
	m.finish(t, now, End{State: wire.MoveLost, Text: t.why + "; " + why})
}

// finish knows how a move ended.
func (m *Mover) finish(t *tracked, now time.Duration, e End) {
	e.Move = t.Req.Move
	if len(e.Text) > MaxText {
		e.Text = strings.ToValidUTF8(e.Text[:MaxText], "")
	}
	t.end = e
	m.enter(t, now, ending)
}

// CheckInvariants returns the first broken rule.
func (m *Mover) CheckInvariants() error {
	calls := 0
	for i, t := range m.moves {
		if i > 0 && compare(m.moves[i-1].Req.Move, t.Req.Move) >= 0 {
			return fmt.Errorf("moves: %v is out of order", t.Req.Move)
		}
		if t.call != 0 {
			calls++
		}
		if t.call > m.numbers {
			return fmt.Errorf("moves: %v has call %d of %d", t.Req.Move, t.call, m.numbers)
		}
		switch {
		case t.Ended != (t.phase >= forgetting):
			return fmt.Errorf("moves: %v is in phase %d, its end in the list: %v", t.Req.Move, t.phase, t.Ended)
		case t.phase == ending && (!t.end.State.Ended() || t.end.Move != t.Req.Move):
			return fmt.Errorf("moves: %v ends as %+v", t.Req.Move, t.end)
		case t.Giver.Gone && t.phase < takerLook:
			return fmt.Errorf("moves: %v is asked of %s, which is gone", t.Req.Move, t.Giver.Node)
		}
	}
	if calls != m.calls || calls > MaxCalls {
		return fmt.Errorf("moves: %d calls under way, %d counted, at most %d", calls, m.calls, MaxCalls)
	}
	return nil
}

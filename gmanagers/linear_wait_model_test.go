package gmanagers_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/anishathalye/porcupine"

	"splitkernel/netlayer/wire"
)

// What managers do by themselves, whenever they like: a vNode that waits is admitted, or refused as its deadline is over; a
// move that was begun ends. So what follows an operation is a set of states: first whatever may have happened by itself, then it.

// The verbs of vNodes that wait, keyed by name, and of vRegions that move, keyed by process and vRegion.
const (
	ask      verb = "ask"      // that a vNode be admitted, or wait: it is known from now on
	learn    verb = "learn"    // what became of it
	inQueue  verb = "in queue" // whether it waits, read
	running  verb = "running"  // whether it runs, read
	release  verb = "release"  // of what runs
	giveUp   verb = "give up"  // the wait, or what became of it
	begin    verb = "begin"    // a move; to says where to
	owner    verb = "owner"    // of a vRegion, read
	lastMove verb = "last move"
)

// wish is the input of such an operation.
type wish struct {
	verb verb
	key  string
	to   string // of begin
}

// outcomeOf is its output.
type outcomeOf struct {
	unknown bool
	refused wire.Kind
	there   bool       // in queue, running; last move: there is one
	pid     wire.PID   // learn, running
	at      string     // owner
	epoch   wire.Epoch // owner
	move    uint64     // begin, last move: its number
	ended   bool       // last move
	done    bool       // last move that ended: not undone
}

// waits is the state of a vNode that may wait.
type waits struct {
	phase waitPhase
	pid   wire.PID // of one that runs; 0 nobody was told yet
}

type waitPhase uint8

const (
	unasked waitPhase = iota
	waitsNow
	runs
	gone // refused, or released
)

// moving is the state of a vRegion that may move.
type moving struct {
	at    string
	epoch wire.Epoch
	move  uint64 // the last one's number; unnumbered: nobody was told yet
	under bool   // it is under way, to
	to    string
	done  bool
}

const unnumbered = math.MaxUint64

// movesModel and queueModel are what GMM and GPM promise beyond managerModel. A vRegion begins where start says.
func movesModel(start map[string]moving) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{moving{}} },
		Step: func(state, input, output any) (next []any) {
			s, in := state.(moving), input.(wish)
			if s.epoch == 0 {
				s = start[in.key]
			}
			for _, s := range s.meanwhile() {
				for _, n := range s.step(in, output.(outcomeOf)) {
					next = append(next, n)
				}
			}
			return next
		},
	}
	return described(m)
}

func queueModel() porcupine.Model {
	return described(porcupine.NondeterministicModel{
		Init: func() []any { return []any{waits{}} },
		Step: func(state, input, output any) (next []any) {
			for _, s := range state.(waits).meanwhile() {
				for _, n := range s.step(input.(wish), output.(outcomeOf)) {
					next = append(next, n)
				}
			}
			return next
		},
	})
}

func described(m porcupine.NondeterministicModel) porcupine.Model {
	m.Partition = func(history []porcupine.Operation) [][]porcupine.Operation {
		keys := map[string][]porcupine.Operation{}
		for _, o := range history {
			keys[o.Input.(wish).key] = append(keys[o.Input.(wish).key], o)
		}
		var out [][]porcupine.Operation
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			out = append(out, keys[k])
		}
		return out
	}
	m.DescribeOperation = func(in, out any) string { return fmt.Sprintf("%+v → %+v", in, out) }
	return m.ToModel()
}

// meanwhile is what may have happened to a vNode by itself.
func (s waits) meanwhile() []waits {
	if s.phase == waitsNow {
		return []waits{s, {phase: runs}, {phase: gone}}
	}
	return []waits{s}
}

func (s waits) step(in wish, out outcomeOf) []waits {
	is := func(ok bool, next waits) []waits {
		if ok {
			return []waits{next}
		}
		return nil
	}
	same := s.phase == runs && (s.pid == 0 || out.pid == 0 || s.pid == out.pid)
	known := waits{phase: runs, pid: max(s.pid, out.pid)}
	switch in.verb {
	case ask:
		if out.unknown && s.phase != unasked {
			return nil
		}
		return is(s.phase == unasked, waits{phase: waitsNow})
	case learn:
		if out.refused != wire.KindNone {
			return is(s.phase == gone, s)
		}
		return is(same, known)
	case inQueue:
		return is(out.there == (s.phase == waitsNow), s)
	case running:
		if !out.there {
			return is(s.phase != runs, s)
		}
		return is(same, known)
	case release:
		switch {
		case out.unknown && same:
			return []waits{known, {phase: gone}}
		case out.unknown:
			return []waits{s}
		case out.refused == wire.KindNotFound:
			return is(s.phase == gone, s)
		}
		return is(out.refused == wire.KindNone && (same || s.phase == gone), waits{phase: gone}) // again, while it leaves: the same
	case giveUp: // nobody knows how far it came
		if s.phase == unasked {
			return []waits{s}
		}
		return []waits{s, {phase: gone}}
	}
	return nil
}

// meanwhile is what may have happened to a vRegion by itself.
func (s moving) meanwhile() []moving {
	if !s.under {
		return []moving{s}
	}
	done, undone, late := s, s, s
	done.under, done.at, done.epoch, done.done = false, s.to, s.epoch+1, true
	undone.under = false
	late.under, late.epoch = false, s.epoch+2
	return []moving{s, done, undone, late}
}

func (s moving) step(in wish, out outcomeOf) []moving {
	is := func(ok bool, next moving) []moving {
		if ok {
			return []moving{next}
		}
		return nil
	}
	begun := moving{at: s.at, epoch: s.epoch, move: out.move, under: true, to: in.to}
	switch in.verb {
	case begin:
		switch {
		case out.unknown && !s.under && in.to != s.at:
			begun.move = unnumbered
			return []moving{s, begun}
		case out.unknown:
			return []moving{s}
		case out.refused == wire.KindBusy:
			return is(s.under, s)
		case out.refused == wire.KindExists:
			return is(!s.under && s.at == in.to, s)
		}
		return is(out.refused == wire.KindNone && !s.under && s.at != in.to && (out.move > s.move || s.move == unnumbered), begun)
	case owner:
		return is(s.at == out.at && s.epoch == out.epoch, s)
	case lastMove:
		if !out.there {
			return is(s.move == 0, s)
		}
		known := s
		known.move = out.move
		return is((s.move == out.move || s.move == unnumbered) && s.under == !out.ended && (s.under || s.done == out.done), known)
	}
	return nil
}

// TestWaitModelsTellRightFromWrong: the models of the queue and of moves take what may happen and refuse what may not.
func TestWaitModelsTellRightFromWrong(t *testing.T) {
	const ever = math.MaxInt64
	type line struct {
		call, ret int64
		in        verb
		out       outcomeOf
		to        string
	}
	no, yes := outcomeOf{}, outcomeOf{there: true}
	at := func(id string, e wire.Epoch) outcomeOf { return outcomeOf{at: id, epoch: e} }
	nr := func(n uint64) outcomeOf { return outcomeOf{move: n} }
	last := func(n uint64, ended, done bool) outcomeOf {
		return outcomeOf{there: true, move: n, ended: ended, done: done}
	}
	unknown := outcomeOf{unknown: true}
	refused := func(k wire.Kind) outcomeOf { return outcomeOf{refused: k} }
	as := func(pid wire.PID) outcomeOf { return outcomeOf{there: true, pid: pid} }
	queue, moves := queueModel(), movesModel(map[string]moving{"": {at: "m1", epoch: 1}})
	for name, c := range map[string]struct {
		model     porcupine.Model
		good, bad []line
	}{
		"who waits is admitted once": {queue,
			[]line{{1, 9, ask, no, ""}, {1, 9, learn, as(3), ""}, {2, 3, inQueue, yes, ""}, {4, 5, running, as(3), ""}},
			[]line{{1, 9, ask, no, ""}, {1, 9, learn, as(3), ""}, {2, 3, inQueue, yes, ""}, {4, 5, running, as(4), ""}}},
		"who is admitted waits no more": {queue,
			[]line{{1, 3, ask, no, ""}, {1, 3, learn, as(3), ""}, {4, 5, inQueue, no, ""}},
			[]line{{1, 3, ask, no, ""}, {1, 3, learn, as(3), ""}, {4, 5, inQueue, yes, ""}}},
		"who was seen to wait is not forgotten": {queue,
			[]line{{1, 9, ask, no, ""}, {1, 9, learn, refused(wire.KindNoRoom), ""}, {2, 3, inQueue, yes, ""}, {4, 5, inQueue, no, ""}, {6, 7, running, no, ""}},
			[]line{{1, 9, ask, no, ""}, {1, 9, learn, as(3), ""}, {2, 3, inQueue, yes, ""}, {4, 5, inQueue, no, ""}, {6, 7, running, no, ""}}},
		"who is refused does not run": {queue,
			[]line{{1, 2, ask, no, ""}, {1, 2, learn, refused(wire.KindNoRoom), ""}, {3, 4, running, no, ""}},
			[]line{{1, 2, ask, no, ""}, {1, 2, learn, refused(wire.KindNoRoom), ""}, {3, 4, running, as(3), ""}}},
		"who left the queue does not come back": {queue,
			[]line{{1, ever, ask, unknown, ""}, {2, 3, inQueue, no, ""}, {4, 5, inQueue, yes, ""}},
			[]line{{1, ever, ask, unknown, ""}, {2, 3, inQueue, yes, ""}, {4, 5, inQueue, no, ""}, {6, 7, inQueue, yes, ""}}},
		"what is released is gone": {queue,
			[]line{{1, 2, ask, no, ""}, {1, 2, learn, as(3), ""}, {3, 6, release, no, ""}, {4, 5, running, as(3), ""}, {7, 8, running, no, ""}},
			[]line{{1, 2, ask, no, ""}, {1, 2, learn, as(3), ""}, {3, 4, release, no, ""}, {5, 6, running, as(3), ""}}},
		"who gave up may run": {queue,
			[]line{{1, ever, ask, unknown, ""}, {2, ever, giveUp, unknown, ""}, {3, 4, running, as(3), ""}, {5, 6, running, no, ""}},
			[]line{{1, ever, ask, unknown, ""}, {2, ever, giveUp, unknown, ""}, {3, 4, running, as(3), ""}, {5, 6, running, no, ""}, {7, 8, running, as(3), ""}}},
		"a vRegion moves at some time after the order": {moves,
			[]line{{1, 2, begin, nr(1), "m2"}, {3, 4, owner, at("m1", 1), ""}, {5, 6, owner, at("m2", 2), ""}},
			[]line{{1, 2, begin, nr(1), "m2"}, {3, 4, owner, at("m2", 2), ""}, {5, 6, owner, at("m1", 1), ""}}},
		"nobody else owns it": {moves,
			[]line{{1, 2, begin, nr(1), "m2"}, {3, 4, owner, at("m1", 3), ""}},
			[]line{{1, 2, begin, nr(1), "m2"}, {3, 4, owner, at("m3", 2), ""}}},
		"its epoch tells of each owner": {moves,
			[]line{{1, 2, begin, nr(1), "m2"}, {3, 4, begin, nr(2), "m1"}, {5, 6, owner, at("m1", 3), ""}},
			[]line{{1, 2, begin, nr(1), "m2"}, {3, 4, begin, nr(2), "m1"}, {5, 6, owner, at("m1", 1), ""}, {7, 8, owner, at("m2", 2), ""}}},
		"one move at a time": {moves,
			[]line{{1, 2, begin, nr(1), "m2"}, {3, 4, begin, refused(wire.KindBusy), "m3"}, {5, 6, lastMove, last(1, true, true), ""}},
			[]line{{1, 2, begin, nr(1), "m2"}, {3, 4, lastMove, last(1, true, true), ""}, {5, 6, begin, refused(wire.KindBusy), "m3"}}},
		"nothing moves that nobody ordered": {moves,
			[]line{{1, ever, begin, unknown, "m2"}, {2, 3, owner, at("m2", 2), ""}},
			[]line{{1, 2, begin, refused(wire.KindExists), "m1"}, {2, 3, owner, at("m2", 2), ""}}},
		"a move that is done has its taker own it": {moves,
			[]line{{1, 2, begin, nr(1), "m2"}, {3, 4, lastMove, last(1, true, true), ""}, {5, 6, owner, at("m2", 2), ""}},
			[]line{{1, 2, begin, nr(1), "m2"}, {3, 4, lastMove, last(1, true, true), ""}, {5, 6, owner, at("m1", 1), ""}}},
	} {
		for want, lines := range map[porcupine.CheckResult][]line{porcupine.Ok: c.good, porcupine.Illegal: c.bad} {
			var history []porcupine.Operation
			for i, l := range lines {
				history = append(history, porcupine.Operation{ClientId: i, Input: wish{verb: l.in, to: l.to}, Call: l.call, Output: l.out, Return: l.ret})
			}
			if got := porcupine.CheckOperationsTimeout(c.model, history, checkTime); got != want {
				t.Errorf("%s: %s, want %s: %+v", name, got, want, lines)
			}
		}
	}
}

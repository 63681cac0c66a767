package moves

import (
	"fmt"
	"strings"
	"time"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// TapeKind is the kind of a mover's tapes.
const TapeKind = "gmanagers/moves"

// TapeHead says how to make the mover of a tape anew: its head, by wire.Marshal.
type TapeHead struct{ Of wire.Manager }

// The calls of a tape. Numbers are those of the format: explicit, never reused.
const (
	inSync     uint8 = 1
	inTick     uint8 = 2
	inAnswered uint8 = 3
	inSeen     uint8 = 4
)

type (
	synced struct {
		Now  time.Duration
		List []Listed
	}
	ticked struct{ Now time.Duration }
	called struct {
		Now  time.Duration
		Move wire.MoveID
		Call uint64
		Rep  wire.MoveStatusRep // of Answered
		Held Held               // of Seen
		Err  *taped.Error
	}
)

func answer(out []Effect) (a taped.Answer) {
	for i := range out {
		a.Add(uint8(out[i].Kind), &out[i])
	}
	return a
}

var _ taped.Core = (*Mover)(nil)

// EffectName implements taped.Core.
func (m *Mover) EffectName(k uint8) string {
	if k > uint8(Adopt) {
		return fmt.Sprintf("effect %d", k)
	}
	return EffectKind(k).String()
}

// Apply implements taped.Core.
func (m *Mover) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	switch kind {
	case inSync:
		in, err := taped.Read[synced](args)
		if err != nil {
			return a, "sync", err
		}
		return answer(m.Sync(in.Now, in.List, nil)), fmt.Sprintf("sync moves=%d at=%v", len(in.List), in.Now), nil
	case inTick:
		in, err := taped.Read[ticked](args)
		if err != nil {
			return a, "tick", err
		}
		return answer(m.Tick(in.Now, nil)), fmt.Sprintf("tick at=%v", in.Now), nil
	case inAnswered, inSeen:
		in, err := taped.Read[called](args)
		if err != nil {
			return a, "an answer", err
		}
		what = fmt.Sprintf("move=%d call=%d at=%v", in.Move.No, in.Call, in.Now)
		if in.Err != nil {
			what += fmt.Sprintf(" error=%q", in.Err.Text)
		}
		if kind == inSeen {
			return answer(m.Seen(in.Now, in.Move, in.Call, in.Held, in.Err.Err(), nil)), fmt.Sprintf("seen serves=%t ", in.Held.Serves) + what, nil
		}
		return answer(m.Answered(in.Now, in.Move, in.Call, in.Rep, in.Err.Err(), nil)), "answered " + what, nil
	}
	return a, fmt.Sprintf("call %d", kind), taped.ErrKind
}

var phaseNames = []string{"starting", "polling", "sealing", "asking the giver who serves", "asking the taker who serves", "adopting", "ending", "forgetting", "dropping"}

// Show implements taped.Core.
func (m *Mover) Show() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d moves, %d calls under way; %+v\n", len(m.moves), m.calls, m.stats)
	for _, t := range m.moves {
		r := &t.Req
		fmt.Fprintf(&b, "move %d: %v %d, volume %d, from %s to %s: %s, due at %v", r.Move.No, r.Kind, r.PID, r.Volume, t.Giver.Node, t.Taker.Node, phaseNames[t.phase], t.next)
		if t.call != 0 {
			fmt.Fprintf(&b, ", call %d until %v", t.call, t.until)
		}
		if t.why != "" {
			fmt.Fprintf(&b, ", %s", t.why)
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

// maxMoves bounds the moves that a snapshot may name: as many as a list of moves has is far less.
const maxMoves = 1 << 16

// code is the state in a snapshot.
func (m *Mover) code(x *taped.Codec) {
	taped.List(x, &m.moves, maxMoves, func(x *taped.Codec, v **tracked) {
		if x.Reads() {
			*v = &tracked{}
		}
		t := *v
		x.Message(&t.Listed)
		taped.Within(x, &t.phase, dropping)
		taped.Text(x, &t.why)
		x.Bool(&t.absent)
		x.Bool(&t.lived)
		x.Bool(&t.anew)
		x.Message(&t.end)
		taped.Int(x, &t.next)
		taped.Int(x, &t.fails)
		taped.Int(x, &t.polls)
		taped.Uint(x, &t.call)
		taped.Int(x, &t.until)
	})
	taped.Within(x, &m.calls, MaxCalls)
	taped.Uint(x, &m.numbers)
	x.Message(&m.stats)
}

// Snapshot implements taped.Core.
func (m *Mover) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	m.code(x)
	return x.Written()
}

// Restore implements taped.Core.
func (m *Mover) Restore(b []byte) error {
	x := taped.Parse(b)
	if m.code(x); x.End() != nil {
		return x.End()
	}
	return m.CheckInvariants()
}

// Taped is a Mover whose inputs are recorded, if it has a tape.
type Taped struct {
	*Mover
	taped.Log
}

func (t *Taped) Sync(now time.Duration, list []Listed, out []Effect) []Effect {
	n := len(out)
	out = t.Mover.Sync(now, list, out)
	if t.On() {
		t.Put(inSync, answer(out[n:]), &synced{now, list})
	}
	return out
}

// Tick is recorded if something was due: else it changes nothing, and it is called ten times a second and more.
func (t *Taped) Tick(now time.Duration, out []Effect) []Effect {
	n, stats := len(out), t.stats
	out = t.Mover.Tick(now, out)
	if t.On() && t.stats != stats { // a call given up counts there, and one made
		t.Put(inTick, answer(out[n:]), &ticked{now})
	}
	return out
}

func (t *Taped) Answered(now time.Duration, id wire.MoveID, call uint64, rep wire.MoveStatusRep, err error, out []Effect) []Effect {
	n := len(out)
	out = t.Mover.Answered(now, id, call, rep, err, out)
	if t.On() {
		t.Put(inAnswered, answer(out[n:]), &called{Now: now, Move: id, Call: call, Rep: rep, Err: taped.ErrorOf(err)})
	}
	return out
}

func (t *Taped) Seen(now time.Duration, id wire.MoveID, call uint64, held Held, err error, out []Effect) []Effect {
	n := len(out)
	out = t.Mover.Seen(now, id, call, held, err, out)
	if t.On() {
		t.Put(inSeen, answer(out[n:]), &called{Now: now, Move: id, Call: call, Held: held, Err: taped.ErrorOf(err)})
	}
	return out
}

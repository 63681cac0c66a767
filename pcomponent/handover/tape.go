package handover

import (
	"fmt"
	"time"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// GiverTapeKind is the kind of a giver's tapes.
const GiverTapeKind = "pcomponent/handover/giver"

// GiverHead says how to make the giver of a tape anew: its head, by wire.Marshal.
type GiverHead struct {
	Node    wire.NodeID
	Options Options
	Req     wire.MoveReq
	Now     time.Duration
}

// New makes the giver that the tape began with.
func (h *GiverHead) New() *Giver { return NewGiver(h.Options, h.Req, h.Now) }

// The calls of a giver's tape. Numbers are those of the format: explicit, never reused.
const (
	inNext uint8 = 1
	inStep uint8 = 2
)

type (
	nextArgs struct{ Now time.Duration }
	stepArgs struct {
		Now     time.Duration
		Outcome Outcome
	}
)

func answerNext(e *Effect) (a taped.Answer) {
	a.Add(uint8(e.Kind), e)
	return a
}

// answerStep has no effect: it is what the giver says of the move afterwards.
func (g *Giver) answerStep() (a taped.Answer) {
	a.Sum = a.Sum.Uint(uint64(g.phase)).Bytes(wire.Marshal(&g.st))
	return a
}

var _ taped.Core = (*Giver)(nil)

var effectNames = []string{"", "plan", "write_back", "freeze", "send", "resume", "ask", "thaw", "drop", "leave", "lose", "wait"}

// EffectName implements taped.Core.
func (g *Giver) EffectName(k uint8) string { return taped.Name(effectNames, k) }

// Apply implements taped.Core.
func (g *Giver) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	switch kind {
	case inNext:
		in, err := taped.Read[nextArgs](args)
		if err != nil {
			return a, "next", err
		}
		e := g.Next(in.Now)
		return answerNext(&e), fmt.Sprintf("next at=%v", in.Now), nil
	case inStep:
		in, err := taped.Read[stepArgs](args)
		if err != nil {
			return a, "step", err
		}
		what = fmt.Sprintf("step at=%v", in.Now)
		if in.Outcome.Err != nil {
			what += fmt.Sprintf(" error=%q", in.Outcome.Err.Error())
		}
		g.Step(in.Now, in.Outcome)
		return g.answerStep(), what, nil
	}
	return a, fmt.Sprintf("call %d", kind), taped.ErrKind
}

var phaseNames = []string{"planning", "writing", "freezing", "sending", "resuming", "asking", "thawing", "dropping", "leaving", "losing", "ended"}

// Show implements taped.Core.
func (g *Giver) Show() string {
	text := fmt.Sprintf("%s: %v under epoch %d, %d of %d bytes of the state sent, attempt %d\n", phaseNames[g.phase], g.st.State, g.st.Epoch, g.sent, g.total, g.attempts)
	if g.fault != nil {
		text += fmt.Sprintf("why: %v\n", g.fault)
	}
	return text
}

// code is the state in a snapshot.
func (g *Giver) code(x *taped.Codec) {
	taped.Within(x, &g.phase, ended)
	x.Bool(&g.lines)
	x.Bool(&g.waits)
	for _, at := range []*time.Duration{&g.began, &g.stopped, &g.since, &g.due} {
		taped.Int(x, at)
	}
	taped.Int(x, &g.attempts)
	taped.Uint(x, &g.sent)
	taped.Uint(x, &g.total)
	taped.Within(x, &g.final, wire.MoveLost)
	x.Message(&g.fault)
	taped.Uint(x, &g.dead)
	x.Message(&g.st)
}

// Snapshot implements taped.Core.
func (g *Giver) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	g.code(x)
	return x.Written()
}

// Restore implements taped.Core.
func (g *Giver) Restore(b []byte) error {
	x := taped.Parse(b)
	if g.code(x); x.End() != nil {
		return x.End()
	}
	return g.CheckInvariants()
}

// TapedGiver is a Giver whose inputs are recorded, if it has a tape.
type TapedGiver struct {
	*Giver
	taped.Log
}

func (t *TapedGiver) Next(now time.Duration) Effect {
	e := t.Giver.Next(now)
	if t.On() {
		t.Put(inNext, answerNext(&e), &nextArgs{now})
	}
	return e
}

func (t *TapedGiver) Step(now time.Duration, o Outcome) {
	t.Giver.Step(now, o)
	if t.On() {
		t.Put(inStep, t.answerStep(), &stepArgs{now, o})
	}
}

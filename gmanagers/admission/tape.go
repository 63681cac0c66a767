package admission

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// TapeKind is the kind of a coordinator's tapes.
const TapeKind = "gmanagers/admission"

// TapeHead says how to make the coordinator of a tape anew: its head, by wire.Marshal.
type TapeHead struct {
	ID    uint64
	Grace time.Duration
}

// New makes the coordinator that the tape began with.
func (h *TapeHead) New() *Coordinator { return NewCoordinator(h.ID, h.Grace) }

// The calls of a tape. Numbers are those of the format: explicit, never reused.
const (
	inBegin   uint8 = 1
	inVoted   uint8 = 2
	inSettled uint8 = 3
	inLost    uint8 = 4
	inFound   uint8 = 5
)

type (
	begun struct {
		Open Open
		Spec VNodeSpec
	}
	voted struct {
		From wire.Manager
		Verb Verb
		Vote Vote
	}
	lost struct {
		To  wire.Manager
		PID wire.PID
		Err *taped.Error
	}
	found struct {
		Now  time.Duration
		Open []Open
	}
)

// answer is what a record says of effects. Their kind is whom they are for.
func answer(out []Effect) (a taped.Answer) {
	for i := range out {
		a.Add(uint8(out[i].To), &out[i])
	}
	return a
}

func answerBegin(out []Effect, ok bool) taped.Answer {
	a := answer(out)
	a.Sum = a.Sum.Bool(ok)
	return a
}

var _ taped.Core = (*Coordinator)(nil)

// EffectName implements taped.Core.
func (c *Coordinator) EffectName(k uint8) string {
	return taped.Name([]string{"answer", "change at GPM", "step at GMM", "step at GSM"}, k)
}

// Apply implements taped.Core.
func (c *Coordinator) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	switch kind {
	case inBegin:
		in, err := taped.Read[begun](args)
		if err != nil {
			return a, "begin", err
		}
		out, ok := c.Begin(in.Open, in.Spec, nil)
		return answerBegin(out, ok), fmt.Sprintf("begin pid=%d phase=%v", in.Open.Placement.PID, in.Open.Phase), nil
	case inVoted:
		in, err := taped.Read[voted](args)
		if err != nil {
			return a, "voted", err
		}
		return answer(c.Voted(in.From, in.Verb, in.Vote, nil)), fmt.Sprintf("voted from=%v %v pid=%d kind=%q", in.From, in.Verb, in.Vote.PID, in.Vote.Kind), nil
	case inSettled:
		in, err := taped.Read[Outcome](args)
		if err != nil {
			return a, "settled", err
		}
		return answer(c.Settled(in, nil)), fmt.Sprintf("settled pid=%d phase=%v", in.PID, in.Phase), nil
	case inLost:
		in, err := taped.Read[lost](args)
		if err != nil {
			return a, "lost", err
		}
		return answer(c.Lost(in.To, in.PID, in.Err.Err(), nil)), fmt.Sprintf("lost to=%v pid=%d error=%q", in.To, in.PID, in.Err), nil
	case inFound:
		in, err := taped.Read[found](args)
		if err != nil {
			return a, "found", err
		}
		return answer(c.Found(in.Now, in.Open, nil)), fmt.Sprintf("found open=%d at=%v", len(in.Open), in.Now), nil
	}
	return a, fmt.Sprintf("call %d", kind), taped.ErrKind
}

var doingNames = []string{"preparing", "deciding", "committing", "freeing", "ending"}

// Show implements taped.Core.
func (c *Coordinator) Show() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d transactions under way, %d intents without a driver\n", len(c.txns), len(c.alone))
	for _, pid := range slices.Sorted(maps.Keys(c.txns)) {
		t := c.txns[pid]
		fmt.Fprintf(&b, "process %d: %s, in the log %v", pid, doingNames[t.doing], t.open.Phase)
		if len(t.waits) > 0 {
			fmt.Fprintf(&b, ", waits for %v", t.waits)
		}
		if t.stalled {
			fmt.Fprint(&b, ", stalled")
		}
		if t.open.Kind != wire.KindNone {
			fmt.Fprintf(&b, ", refused: %v: %s", t.open.Kind, t.open.Text)
		}
		fmt.Fprintln(&b)
	}
	for _, pid := range slices.Sorted(maps.Keys(c.alone)) {
		fmt.Fprintf(&b, "process %d: nobody drives it since %v\n", pid, c.alone[pid])
	}
	return b.String()
}

// maxAlone bounds the intents without a driver that a snapshot may name: as many as GPM holds.
const maxAlone = 1 << 20

// code is the state in a snapshot.
func (c *Coordinator) code(x *taped.Codec) {
	taped.Map(x, &c.txns, MaxDriven, taped.Uint, func(x *taped.Codec, v **txn) {
		if x.Reads() {
			*v = &txn{}
		}
		t := *v
		x.Message(&t.open)
		taped.Within(x, &t.doing, ending)
		taped.List(x, &t.waits, 2, func(x *taped.Codec, m *wire.Manager) { taped.Within(x, m, wire.GSM) })
		x.Bool(&t.stalled)
		x.Bool(&t.never)
		x.Bool(&t.gone)
	})
	taped.Map(x, &c.alone, maxAlone, taped.Uint, taped.Int)
}

// Snapshot implements taped.Core.
func (c *Coordinator) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	c.code(x)
	return x.Written()
}

// Restore implements taped.Core.
func (c *Coordinator) Restore(b []byte) error {
	x := taped.Parse(b)
	if c.code(x); x.End() != nil {
		return x.End()
	}
	return c.CheckInvariants()
}

// Taped is a Coordinator whose inputs are recorded, if it has a tape.
type Taped struct {
	*Coordinator
	taped.Log
}

func (t *Taped) Begin(o Open, spec VNodeSpec, out []Effect) ([]Effect, bool) {
	n := len(out)
	out, ok := t.Coordinator.Begin(o, spec, out)
	if t.On() {
		t.Put(inBegin, answerBegin(out[n:], ok), &begun{o, spec})
	}
	return out, ok
}

func (t *Taped) Voted(from wire.Manager, verb Verb, v Vote, out []Effect) []Effect {
	n := len(out)
	out = t.Coordinator.Voted(from, verb, v, out)
	if t.On() {
		t.Put(inVoted, answer(out[n:]), &voted{from, verb, v})
	}
	return out
}

func (t *Taped) Settled(o Outcome, out []Effect) []Effect {
	n := len(out)
	out = t.Coordinator.Settled(o, out)
	if t.On() {
		t.Put(inSettled, answer(out[n:]), &o)
	}
	return out
}

func (t *Taped) Lost(to wire.Manager, pid wire.PID, err error, out []Effect) []Effect {
	n := len(out)
	out = t.Coordinator.Lost(to, pid, err, out)
	if t.On() {
		t.Put(inLost, answer(out[n:]), &lost{to, pid, taped.ErrorOf(err)})
	}
	return out
}

// Found is not recorded while nothing is open and nothing was: then it does nothing, and it is called four times a second.
func (t *Taped) Found(now time.Duration, open []Open, out []Effect) []Effect {
	idle := len(open) == 0 && len(t.txns) == 0 && len(t.alone) == 0
	n := len(out)
	out = t.Coordinator.Found(now, open, out)
	if t.On() && !idle {
		t.Put(inFound, answer(out[n:]), &found{now, open})
	}
	return out
}

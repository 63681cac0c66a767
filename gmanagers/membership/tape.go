package membership

import (
	"fmt"
	"strings"
	"time"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// ProberTapeKind is the kind of a prober's tapes.
const ProberTapeKind = "gmanagers/membership/prober"

// ProberHead says how to make the prober of a tape anew: its head, by wire.Marshal.
type ProberHead struct {
	Of              wire.Manager
	Lease, Patience time.Duration
}

// New makes the prober that the tape began with.
func (h *ProberHead) New() *Prober { return NewProber(h.Lease, h.Patience) }

// The calls of a tape. Numbers are those of the format: explicit, never reused.
const (
	inTick     uint8 = 1
	inAnswered uint8 = 2
)

type (
	ticked struct {
		Now       time.Duration
		Doubts    []Doubt
		Witnesses []Witness
	}
	probed struct {
		Now    time.Duration
		Answer ProbeAnswer
	}
)

func answer(out []ProbeEffect) (a taped.Answer) {
	for i := range out {
		a.Add(uint8(out[i].Kind), &out[i])
	}
	return a
}

var _ taped.Core = (*Prober)(nil)

// EffectName implements taped.Core.
func (p *Prober) EffectName(k uint8) string { return ProbeKind(k).String() }

// Apply implements taped.Core.
func (p *Prober) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	switch kind {
	case inTick:
		in, err := taped.Read[ticked](args)
		if err != nil {
			return a, "tick", err
		}
		return answer(p.Tick(in.Now, in.Doubts, in.Witnesses, nil)), fmt.Sprintf("tick doubts=%d at=%v", len(in.Doubts), in.Now), nil
	case inAnswered:
		in, err := taped.Read[probed](args)
		if err != nil {
			return a, "answered", err
		}
		return answer(p.Answered(in.Now, in.Answer, nil)), fmt.Sprintf("answered of=%s by=%q round=%d alive=%t refused=%t at=%v", in.Answer.Of, in.Answer.By, in.Answer.Round, in.Answer.Alive, in.Answer.Refused, in.Now), nil
	}
	return a, fmt.Sprintf("call %d", kind), taped.ErrKind
}

// Show implements taped.Core.
func (p *Prober) Show() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d members in doubt, %d rounds of questions\n", len(p.open), p.rounds)
	for _, q := range p.open {
		fmt.Fprintf(&b, "%s epoch %d since %v, silent %t, broken %t: ", q.of.ID, q.of.Epoch, q.since, q.silent, q.broken)
		if q.round == 0 {
			fmt.Fprintf(&b, "asked again at %v", q.next)
		} else {
			fmt.Fprintf(&b, "round %d until %v, waits for %v", q.round, q.due, q.waits)
		}
		fmt.Fprintf(&b, ", reached %t, refused %d, told: %s\n", q.reached, q.refused, strings.Join(q.told, "; "))
	}
	return b.String()
}

// code is the state in a snapshot.
func (p *Prober) code(x *taped.Codec) {
	taped.Uint(x, &p.rounds)
	taped.List(x, &p.open, MaxSuspects, func(x *taped.Codec, v **inquiry) {
		if x.Reads() {
			*v = &inquiry{}
		}
		q := *v
		x.Message(&q.of)
		taped.Int(x, &q.since)
		x.Bool(&q.silent)
		x.Bool(&q.broken)
		x.Bool(&q.again)
		taped.Uint(x, &q.round)
		taped.Int(x, &q.next)
		taped.Int(x, &q.due)
		taped.List(x, &q.waits, Witnesses, taped.Text)
		x.Bool(&q.alone)
		taped.Int(x, &q.said)
		x.Bool(&q.own)
		x.Bool(&q.ownSaid)
		x.Bool(&q.alive)
		taped.Int(x, &q.refused)
		taped.List(x, &q.told, maxTold, taped.Text)
		x.Bool(&q.reached)
	})
}

// Snapshot implements taped.Core.
func (p *Prober) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	p.code(x)
	return x.Written()
}

// Restore implements taped.Core.
func (p *Prober) Restore(b []byte) error {
	x := taped.Parse(b)
	if p.code(x); x.End() != nil {
		return x.End()
	}
	return p.CheckInvariants()
}

// TapedProber is a Prober whose inputs are recorded, if it has a tape.
type TapedProber struct {
	*Prober
	taped.Log
}

// Tick is not recorded while nobody is in doubt and nobody was: then it does nothing, and it is called four times a second. Who
// can be asked is recorded if somebody is: else it is not looked at, and there may be thousands.
func (t *TapedProber) Tick(now time.Duration, doubts []Doubt, witnesses []Witness, out []ProbeEffect) []ProbeEffect {
	idle := len(doubts) == 0 && len(t.open) == 0
	n, rounds := len(out), t.rounds
	out = t.Prober.Tick(now, doubts, witnesses, out)
	if t.On() && !idle {
		if t.rounds == rounds {
			witnesses = nil
		}
		t.Put(inTick, answer(out[n:]), &ticked{now, doubts, witnesses})
	}
	return out
}

func (t *TapedProber) Answered(now time.Duration, a ProbeAnswer, out []ProbeEffect) []ProbeEffect {
	n := len(out)
	out = t.Prober.Answered(now, a, out)
	if t.On() {
		t.Put(inAnswered, answer(out[n:]), &probed{now, a})
	}
	return out
}

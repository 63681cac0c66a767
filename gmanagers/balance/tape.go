package balance

import (
	"fmt"
	"strings"
	"time"

	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// TapeKind is the kind of a balancer's tapes.
const TapeKind = "gmanagers/balance"

// TapeHead says how to make the balancer of a tape anew: its head, by wire.Marshal.
type TapeHead struct {
	Kind     wire.MoveKind // of what it moves
	Options  Options
	Resource string
	Policy   string // of placement
}

// New makes the balancer that the tape began with.
func (h *TapeHead) New() (*Taped, error) {
	if err := h.Options.Validate(); err != nil {
		return nil, err
	}
	p, err := placement.New(h.Policy)
	if err != nil {
		return nil, err
	}
	return &Taped{Balancer: Placing(h.Options, h.Resource, p)}, nil
}

// The calls of a tape. Numbers are those of the format: explicit, never reused.
const (
	inSoon      uint8 = 1
	inSoonDrain uint8 = 2
	inThings    uint8 = 3 // no call: some of the things of the look that follows
	inLook      uint8 = 4
)

// partThings is how many things one record holds: a look of any number of things stays far below what a record may have.
const partThings = 1 << 12

// maxThings bounds those of a look that a tape may hold: they cost memory.
const maxThings = 1 << 22

type (
	soonArgs struct{ Now time.Duration }
	partArgs struct{ Things []Thing }
	lookArgs struct {
		Now        time.Duration
		Components []Component
		Things     []Thing // the last
	}
)

// The kinds of what comes out of a look.
const (
	outMove  uint8 = 1
	outDrain uint8 = 2
	outStuck uint8 = 3
)

func answerLook(p *Plan) (a taped.Answer) {
	for i := range p.Moves {
		kind := outMove
		if p.Moves[i].Drain {
			kind = outDrain
		}
		a.Kinds = append(a.Kinds, kind)
	}
	for range p.Stuck {
		a.Kinds = append(a.Kinds, outStuck)
	}
	a.Sum = a.Sum.Bytes(wire.Marshal(p))
	return a
}

// Taped is a Balancer whose inputs are recorded, if it has a tape.
type Taped struct {
	*Balancer
	taped.Log
	parts []Thing // of the next look that are on the tape
}

var _ taped.Core = (*Taped)(nil)

func (t *Taped) Soon(now time.Duration) {
	t.Balancer.Soon(now)
	if t.On() {
		t.Put(inSoon, taped.Answer{}, &soonArgs{now})
	}
}

func (t *Taped) SoonDrain(now time.Duration) {
	t.Balancer.SoonDrain(now)
	if t.On() {
		t.Put(inSoonDrain, taped.Answer{}, &soonArgs{now})
	}
}

func (t *Taped) Look(now time.Duration, components []Component, things []Thing) Plan {
	if !t.On() {
		return t.Balancer.Look(now, components, things)
	}
	rest := things
	for len(rest) > partThings { // before the look: a snapshot that follows such a record is of the state before it
		some := rest[:partThings]
		rest = rest[partThings:]
		t.parts = things[:len(things)-len(rest)]
		t.Put(inThings, taped.Answer{}, &partArgs{some})
	}
	plan := t.Balancer.Look(now, components, things)
	t.parts = nil
	t.Put(inLook, answerLook(&plan), &lookArgs{now, components, rest})
	return plan
}

// EffectName implements taped.Core.
func (t *Taped) EffectName(k uint8) string {
	return taped.Name([]string{"", "move", "drain", "stuck"}, k)
}

// Apply implements taped.Core.
func (t *Taped) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	switch kind {
	case inSoon, inSoonDrain:
		in, err := taped.Read[soonArgs](args)
		if err != nil {
			return a, "soon", err
		}
		if kind == inSoon {
			t.Balancer.Soon(in.Now)
			return a, fmt.Sprintf("soon at=%v", in.Now), nil
		}
		t.Balancer.SoonDrain(in.Now)
		return a, fmt.Sprintf("soon_drain at=%v", in.Now), nil
	case inThings:
		in, err := taped.Read[partArgs](args)
		if err == nil && len(t.parts)+len(in.Things) > maxThings {
			err = fmt.Errorf("more than %d things", maxThings)
		}
		if err != nil {
			return a, "things", err
		}
		t.parts = append(t.parts, in.Things...)
		return a, fmt.Sprintf("things=%d", len(in.Things)), nil
	case inLook:
		in, err := taped.Read[lookArgs](args)
		if err != nil {
			return a, "look", err
		}
		things := append(t.parts, in.Things...)
		t.parts = nil
		plan := t.Balancer.Look(in.Now, in.Components, things)
		return answerLook(&plan), fmt.Sprintf("look components=%d things=%d at=%v", len(in.Components), len(things), in.Now), nil
	}
	return a, fmt.Sprintf("call %d", kind), taped.ErrKind
}

// Show implements taped.Core.
func (t *Taped) Show() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: balancing %t, %d things, next look at %v\n", t.Name(), t.balancing, len(t.memories), t.next)
	for i := range t.seats {
		s := &t.seats[i]
		fmt.Fprintf(&b, "%s epoch %d: %s\n", s.id, s.epoch, t.text([2]float64{s.meters[0].value, s.meters[1].value}))
	}
	return b.String()
}

// maxSeats bounds the components that a snapshot may name.
const maxSeats = 1 << 20

func (m *meter) code(x *taped.Codec) {
	x.Float(&m.value)
	x.Float(&m.noise)
	taped.Int(x, &m.readings)
	x.Bool(&m.seen)
	taped.Uint(x, &m.total)
	taped.Int(x, &m.at)
	taped.Int(x, &m.from)
	x.Bool(&m.shifted)
}

// code is the state in a snapshot.
func (b *Balancer) code(x *taped.Codec) {
	taped.Text(x, &b.placer.turn)
	x.Bool(&b.looked)
	taped.Int(x, &b.lookedAt)
	taped.Int(x, &b.weighedAt)
	taped.Int(x, &b.next)
	x.Bool(&b.balancing)
	taped.List(x, &b.seats, maxSeats, func(x *taped.Codec, s *seat) {
		taped.Text(x, &s.id)
		taped.Uint(x, &s.epoch)
		s.meters[0].code(x)
		s.meters[1].code(x)
		s.queue.code(x)
		x.Bool(&s.joined)
		x.Bool(&s.off)
	})
	taped.List(x, &b.memories, maxThings, func(x *taped.Codec, m *memory) {
		taped.Uint(x, &m.id.Kind)
		taped.Uint(x, &m.id.PID)
		taped.Uint(x, &m.id.Region)
		taped.Uint(x, &m.id.Volume)
		taped.Text(x, &m.holder)
		m.meters[0].code(x)
		m.meters[1].code(x)
		x.Float(&m.bears[0])
		x.Float(&m.bears[1])
		x.Bool(&m.ordered)
		taped.Int(x, &m.orderedAt)
	})
}

// Snapshot implements taped.Core.
func (t *Taped) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	t.code(x)
	x.Message(&t.parts)
	return x.Written()
}

// Restore implements taped.Core.
func (t *Taped) Restore(b []byte) error {
	x := taped.Parse(b)
	t.code(x)
	if x.Message(&t.parts); x.End() != nil {
		return x.End()
	}
	return t.CheckInvariants()
}

// CheckInvariants implements taped.Core: what a balancer remembers is in order, each once.
func (b *Balancer) CheckInvariants() error {
	for i := 1; i < len(b.seats); i++ {
		if b.seats[i-1].id >= b.seats[i].id {
			return fmt.Errorf("balance: component %q is out of order", b.seats[i].id)
		}
	}
	for i := 1; i < len(b.memories); i++ {
		if b.memories[i-1].id.compare(b.memories[i].id) >= 0 {
			return fmt.Errorf("balance: %v is out of order", b.memories[i].id)
		}
	}
	return nil
}

package cachemove

import (
	"fmt"
	"time"

	"splitkernel/mcomponent/tapes"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// TapeKind is the kind of this core's tapes: one of each move.
const TapeKind = "mcomponent/cachemove"

// TapeHead says how to make the giver of a tape anew: its head, by wire.Marshal.
type TapeHead struct {
	Node    wire.NodeID
	Options Options
	Move    wire.MoveReq
	Dirty   int
}

// New makes the giver that the tape began with.
func (h *TapeHead) New() (*Giver, error) {
	if err := h.Options.Validate(); err != nil {
		return nil, err
	}
	return New(h.Options, h.Move, h.Dirty), nil
}

// InputKind says which call a record holds. Numbers are those of the format: explicit, never reused.
type InputKind uint8

// The inputs. Status and Over are none: they change nothing.
const (
	InStart   InputKind = 1
	InAbsent  InputKind = 2
	InCleaned InputKind = 3
	InDone    InputKind = 4
)

var inputNames = []string{"", "start", "absent", "cleaned", "done"}

func (k InputKind) String() string {
	if int(k) < len(inputNames) {
		return inputNames[k]
	}
	return fmt.Sprintf("input(%d)", uint8(k))
}

// Input is one call of the core, and what came out of it. Which fields are set depends on the kind, as the parameters of the
// method of that name say.
type Input struct {
	Kind  InputKind
	Now   time.Duration // of all but cleaned
	Dirty int           // of cleaned
	ID    uint64        // of done
	Err   error         // of done

	Steps []Step
	Sum   uint32
}

// String names the input, for people.
func (in *Input) String() string {
	if in.Kind == InCleaned {
		return fmt.Sprintf("%v dirty=%d", in.Kind, in.Dirty)
	}
	s := in.Kind.String()
	if in.Kind == InDone {
		s += fmt.Sprintf(" step=%d", in.ID)
	}
	s += " at=" + in.Now.String()
	if in.Err != nil {
		s += fmt.Sprintf(" error=%q", in.Err.Error())
	}
	return s
}

// code goes over a record: kind byte, the fields of the kind, the steps that are to be done, checksum (4 bytes).
func (in *Input) code(c *tape.Coder) {
	if tape.Num(c, &in.Kind); c.Reads() {
		*in = Input{Kind: in.Kind, Steps: in.Steps[:0]}
	}
	switch in.Kind {
	case InStart, InAbsent:
		tape.Int(c, &in.Now)
	case InCleaned:
		tape.Below(c, &in.Dirty, 1<<31)
	case InDone:
		tape.Int(c, &in.Now)
		tape.Num(c, &in.ID)
		tapes.Error(c, &in.Err)
	default:
		c.Fail("input %d, which this version does not know", in.Kind)
	}
	tapes.Kinds(c, &in.Steps)
	c.Word(&in.Sum)
}

// Read takes a record apart.
func (in *Input) Read(b []byte) error {
	return tape.Decode(b, in.code)
}

// sum adds what came out to in: the steps, and a checksum of all their fields.
func (in *Input) sum(out []Effect) {
	in.Steps = in.Steps[:0]
	s := tape.Sum(0)
	for _, e := range out {
		in.Steps = append(in.Steps, e.Step)
		s = s.Uint(uint64(e.Step) | uint64(e.Epoch)<<32).Uint(e.ID).Uint(uint64(e.After))
	}
	in.Sum = s.Word()
}

// Apply makes the call that in holds, and gives what came out as the record would hold it.
func (g *Giver) Apply(in *Input) (got Input) {
	var out []Effect
	switch in.Kind {
	case InStart:
		out = g.Start(in.Now, nil)
	case InAbsent:
		out = g.Absent(in.Now, nil)
	case InCleaned:
		g.Cleaned(in.Dirty)
	case InDone:
		out = g.Done(in.Now, in.ID, in.Err, nil)
	}
	got.Kind = in.Kind
	got.sum(out)
	return got
}

// Taped is a Giver whose inputs are recorded. Without a tape it is the Giver.
type Taped struct {
	*Giver
	tape tape.Tape // nil: off
	in   Input
	c    tape.Coder
}

// Record begins a tape, before the first input.
func (g *Taped) Record(t tape.Tape) { g.tape = t }

// put records what g.in holds, and out.
func (g *Taped) put(kind InputKind, out []Effect) {
	g.in.Kind = kind
	g.in.sum(out)
	g.c.Write(g.c.Written()[:0])
	g.in.code(&g.c)
	if g.tape.Record(g.c.Written()) {
		g.tape.State(g.AppendState(nil))
	}
	if g.over {
		g.tape.End()
	}
}

func (g *Taped) Start(now time.Duration, out []Effect) []Effect {
	n := len(out)
	out = g.Giver.Start(now, out)
	if g.tape != nil {
		g.in.Now = now
		g.put(InStart, out[n:])
	}
	return out
}

func (g *Taped) Absent(now time.Duration, out []Effect) []Effect {
	n := len(out)
	out = g.Giver.Absent(now, out)
	if g.tape != nil {
		g.in.Now = now
		g.put(InAbsent, out[n:])
	}
	return out
}

func (g *Taped) Cleaned(dirty int) {
	g.Giver.Cleaned(dirty)
	if g.tape != nil {
		g.in.Dirty = dirty
		g.put(InCleaned, nil)
	}
}

func (g *Taped) Done(now time.Duration, id uint64, err error, out []Effect) []Effect {
	n := len(out)
	out = g.Giver.Done(now, id, err, out)
	if g.tape != nil {
		g.in.Now, g.in.ID, g.in.Err = now, id, err
		g.put(InDone, out[n:])
	}
	return out
}

// AppendState appends all that the giver knows, from which ReadState makes it again: what it does then is what this one does. The same
// state has the same bytes.
func (g *Giver) AppendState(b []byte) []byte {
	return tape.Encode(b, g.code)
}

// ReadState makes the giver that AppendState has written. A state that cannot be is an error.
func (h *TapeHead) ReadState(b []byte) (*Giver, error) {
	g, err := h.New()
	if err != nil {
		return nil, err
	}
	if err := tape.Decode(b, g.code); err != nil {
		return nil, err
	}
	return g, g.CheckInvariants()
}

func (g *Giver) code(c *tape.Coder) {
	tape.Int(c, &g.began)
	tape.Int(c, &g.ended)
	tape.Num(c, &g.state)
	tape.Num(c, &g.epoch)
	tape.Text(c, &g.text)
	c.Bool(&g.over)
	tape.Num(c, &g.rounds)
	tape.Below(c, &g.dirty, 1<<31)
	tape.Int(c, &g.frozenAt)
	c.Bool(&g.frozen)
	tape.Int(c, &g.pause)
	tape.Int(c, &g.deadline)
	c.Bool(&g.unsure)
	tape.Below(c, &g.now.Step, uint64(Ended)+1)
	tape.Num(c, &g.now.ID)
	tape.Int(c, &g.now.After)
	tape.Num(c, &g.now.Epoch)
	tape.Below(c, &g.tries, 1<<31)
	tape.Num(c, &g.lastID)
}

// Show describes the giver for people.
func (g *Giver) Show() string {
	text := fmt.Sprintf("%v under epoch %d, %d flushes, %d blocks dirty", g.state, g.epoch, g.rounds, g.dirty)
	if !g.over {
		text += fmt.Sprintf("; does %v, step %d", g.now.Step, g.now.ID)
	}
	for _, s := range []struct {
		is   bool
		what string
	}{{g.frozen, ", frozen"}, {g.unsure, ", the pComponent may have heard"}, {g.over, ", over"}, {g.text != "", ": " + g.text}} {
		if s.is {
			text += s.what
		}
	}
	return text + "\n"
}

package migrate

import (
	"errors"
	"fmt"
	"time"

	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/tapes"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// GiverTapeKind is the kind of the tapes of Giver: one of each move.
const GiverTapeKind = "mcomponent/migrate/giver"

// maxTapePages bounds the pages of a vRegion that a tape may name: they cost memory.
const maxTapePages = 1 << 30

// GiverTapeHead says how to make the giver of a tape anew: its head, by wire.Marshal.
type GiverTapeHead struct {
	Node    wire.NodeID
	Options Options
	Move    wire.MoveReq
	First   wire.PageNo // of the vRegion
	Pages   uint64      // 0: it is the move of a memory map
}

// New makes the giver that the tape began with.
func (h *GiverTapeHead) New() (*Giver, error) {
	err := h.Options.Validate()
	if h.Pages > maxTapePages {
		err = errors.Join(err, fmt.Errorf("a vRegion of %d pages, want at most %d", h.Pages, maxTapePages))
	}
	if err != nil {
		return nil, err
	}
	var changes *pagestore.Changes
	if h.Pages > 0 {
		changes = pagestore.NewChanges(h.First, h.Pages)
	}
	return NewGiver(h.Options, h.Move, changes), nil
}

// GiverInputKind says which call a record holds. Numbers are those of the format: explicit, never reused.
type GiverInputKind uint8

// The inputs. Ended, Frozen, Due and Status are none: they change nothing.
const (
	GiveBegin    GiverInputKind = 1
	GiveTake     GiverInputKind = 2
	GiveFilled   GiverInputKind = 3
	GiveAnswered GiverInputKind = 4
	GiveTick     GiverInputKind = 5
	GiveCancel   GiverInputKind = 6
	GiveHold     GiverInputKind = 7
	GiveCopied   GiverInputKind = 8
	// GiveMarked says which pages the page store has marked as changed since the record before.
	GiveMarked GiverInputKind = 9
)

var giverInputNames = []string{"", "begin", "take", "filled", "answered", "tick", "cancel", "hold", "copied", "marked"}

func (k GiverInputKind) String() string {
	if int(k) < len(giverInputNames) {
		return giverInputNames[k]
	}
	return fmt.Sprintf("input(%d)", uint8(k))
}

// Run is so many neighbouring pages.
type Run struct {
	First wire.PageNo
	Pages uint64
}

// maxRuns bounds the runs of one record.
const maxRuns = 1 << 17

// GiverInput is one call of Giver, and what came out of it. Which fields are set depends on the kind, as the parameters of the
// method of that name say.
type GiverInput struct {
	Kind  GiverInputKind
	Now   time.Duration
	ID    uint64
	N     int // of take: how many at most; of filled and copied: bytes
	Err   *wire.Error
	Held  bool
	Pages []Run

	Effects []EffectKind
	Sum     uint32
}

// String names the input, for people.
func (in *GiverInput) String() string {
	s := in.Kind.String()
	switch in.Kind {
	case GiveTake:
		s += fmt.Sprintf(" message=%d pages=%d", in.ID, in.N)
	case GiveFilled:
		s += fmt.Sprintf(" message=%d bytes=%d", in.ID, in.N)
	case GiveAnswered:
		s += fmt.Sprintf(" message=%d", in.ID)
		if in.Err != nil {
			s += fmt.Sprintf(" error=%q", in.Err.Error())
		}
	case GiveHold:
		s += fmt.Sprintf(" held=%t", in.Held)
	case GiveCopied:
		s += fmt.Sprintf(" bytes=%d", in.N)
	case GiveMarked:
		n := uint64(0)
		for _, r := range in.Pages {
			n += r.Pages
		}
		s += fmt.Sprintf(" pages=%d", n)
	}
	if in.timed() {
		s += " at=" + in.Now.String()
	}
	return s
}

func (in *GiverInput) timed() bool {
	switch in.Kind {
	case GiveBegin, GiveFilled, GiveAnswered, GiveTick, GiveCancel:
		return true
	}
	return false
}

// code goes over a record: kind byte, [now], the fields of the kind, the kinds of the effects, checksum (4 bytes).
func (in *GiverInput) code(c *tape.Coder) {
	if tape.Num(c, &in.Kind); c.Reads() {
		*in = GiverInput{Kind: in.Kind, Effects: in.Effects[:0], Pages: in.Pages[:0]}
	}
	if in.timed() {
		tape.Int(c, &in.Now)
	}
	switch in.Kind {
	case GiveBegin, GiveTick, GiveCancel:
	case GiveTake, GiveFilled:
		tape.Num(c, &in.ID)
		tape.Below(c, &in.N, 1<<31)
	case GiveAnswered:
		tape.Num(c, &in.ID)
		codeError(c, &in.Err)
	case GiveHold:
		c.Bool(&in.Held)
	case GiveCopied:
		tape.Below(c, &in.N, 1<<31)
	case GiveMarked:
		codeRuns(c, &in.Pages, maxRuns)
	default:
		c.Fail("input %d, which this version does not know", in.Kind)
	}
	tapes.Kinds(c, &in.Effects)
	c.Word(&in.Sum)
}

// codeRuns goes over runs, ascending, each by how far it is behind the one before.
func codeRuns(c *tape.Coder, runs *[]Run, limit int) {
	last := wire.PageNo(0)
	tape.List(c, runs, limit, func(r *Run) {
		gap := r.First - last
		tape.Num(c, &gap)
		tape.Num(c, &r.Pages)
		r.First = last + gap
		last = r.First + wire.PageNo(r.Pages)
		if r.Pages == 0 || r.Pages > maxTapePages || last < r.First {
			c.Fail("%d pages from %#x on", r.Pages, uint64(r.First))
		}
	})
}

// Read takes a record apart.
func (in *GiverInput) Read(b []byte) error {
	return tape.Decode(b, in.code)
}

// sum adds what came out to in: the kinds of the effects, and a checksum of all their fields.
func (in *GiverInput) sum(s tape.Sum, out []Effect) {
	in.Effects = in.Effects[:0]
	for i := range out {
		e := &out[i]
		in.Effects = append(in.Effects, e.Kind)
		s = s.Uint(uint64(e.Kind)).Uint(e.ID).Uint(uint64(e.Round) | uint64(e.Epoch)<<32).Bool(e.Undo).Bool(e.Exact)
	}
	in.Sum = s.Word()
}

func sumPages(pages []wire.PageNo) tape.Sum {
	s := tape.Sum(0).Uint(uint64(len(pages)))
	for _, p := range pages {
		s = s.Uint(uint64(p))
	}
	return s
}

// TakeInto is Take of as many pages as into has room for. It gives how many there were.
func (g *Giver) TakeInto(id uint64, into []wire.PageNo) (n int) {
	for n < len(into) {
		p, ok := g.Take(id)
		if !ok {
			break
		}
		into[n] = p
		n++
	}
	return n
}

// Apply makes the call that in holds, and gives what came out as the record would hold it. It panics where the method
// panics: the state does not allow such a call.
func (g *Giver) Apply(in *GiverInput) (got GiverInput) {
	var out []Effect
	s := tape.Sum(0)
	switch in.Kind {
	case GiveBegin:
		out = g.Begin(in.Now, nil)
	case GiveTake:
		into := make([]wire.PageNo, min(in.N, wire.MaxCopyPages))
		s = sumPages(into[:g.TakeInto(in.ID, into)])
	case GiveFilled:
		out = g.Filled(in.Now, in.ID, in.N, nil)
	case GiveAnswered:
		out = g.Answered(in.Now, in.ID, in.Err, nil)
	case GiveTick:
		out = g.Tick(in.Now, nil)
	case GiveCancel:
		out = g.Cancel(in.Now, nil)
	case GiveHold:
		g.Hold(in.Held)
	case GiveCopied:
		g.Copied(in.N)
	case GiveMarked:
		for _, r := range in.Pages {
			g.changes.MarkRun(r.First, r.Pages)
		}
	}
	got.Kind = in.Kind
	got.sum(s, out)
	return got
}

// TapedGiver is a Giver whose inputs are recorded, with what the page store marks between them. Without a tape it is the Giver:
// each input costs one branch more.
type TapedGiver struct {
	*Giver
	tape tape.Tape // nil: off
	in   GiverInput
	c    tape.Coder
}

// TapeHead says how to make the giver anew, whose vRegion has so many pages from first on; none of a memory map.
func (g *TapedGiver) TapeHead(node wire.NodeID, first wire.PageNo, pages uint64) *GiverTapeHead {
	return &GiverTapeHead{Node: node, Options: g.o, Move: g.req, First: first, Pages: pages}
}

// Record begins a tape, before the first input.
func (g *TapedGiver) Record(t tape.Tape) {
	g.tape = t
	g.note(true)
}

func (g *TapedGiver) note(on bool) {
	if g.changes != nil {
		g.changes.Note(on)
	}
}

// before comes before an input that is recorded: what the page store has marked until now is another one, and what the giver marks
// itself is none.
func (g *TapedGiver) before() {
	if g.changes == nil {
		return
	}
	g.in.Pages = g.in.Pages[:0]
	g.changes.Noted(func(first wire.PageNo, pages uint64) {
		if g.in.Pages = append(g.in.Pages, Run{first, pages}); len(g.in.Pages) == maxRuns {
			g.write(GiveMarked, 0, nil)
			g.in.Pages = g.in.Pages[:0]
		}
	})
	if len(g.in.Pages) > 0 {
		g.write(GiveMarked, 0, nil)
	}
	g.changes.Note(false)
}

// put records what g.in holds, and out. Only the fields of the kind are set: the rest is from records before.
func (g *TapedGiver) put(kind GiverInputKind, s tape.Sum, out []Effect) {
	g.write(kind, s, out)
	if g.Ended() {
		g.tape.End()
		g.tape = nil
		return
	}
	g.note(true)
}

func (g *TapedGiver) write(kind GiverInputKind, s tape.Sum, out []Effect) {
	g.in.Kind = kind
	g.in.sum(s, out)
	g.c.Write(g.c.Written()[:0])
	g.in.code(&g.c)
	if g.tape.Record(g.c.Written()) && kind != GiveMarked { // which is a part of what comes next: that is asked again
		g.tape.State(g.AppendState(nil)) // it may be large, and is seldom wanted
	}
}

func (g *TapedGiver) Begin(now time.Duration, out []Effect) []Effect {
	if g.tape == nil {
		return g.Giver.Begin(now, out)
	}
	g.before()
	n := len(out)
	out = g.Giver.Begin(now, out)
	g.in.Now = now
	g.put(GiveBegin, 0, out[n:])
	return out
}

func (g *TapedGiver) TakeInto(id uint64, into []wire.PageNo) (n int) {
	if g.tape == nil {
		return g.Giver.TakeInto(id, into)
	}
	g.before()
	n = g.Giver.TakeInto(id, into)
	g.in.ID, g.in.N = id, len(into)
	g.put(GiveTake, sumPages(into[:n]), nil)
	return n
}

func (g *TapedGiver) Take(id uint64) (wire.PageNo, bool) {
	var into [1]wire.PageNo
	n := g.TakeInto(id, into[:])
	return into[0], n > 0
}

func (g *TapedGiver) Filled(now time.Duration, id uint64, bytes int, out []Effect) []Effect {
	if g.tape == nil {
		return g.Giver.Filled(now, id, bytes, out)
	}
	g.before()
	n := len(out)
	out = g.Giver.Filled(now, id, bytes, out)
	g.in.Now, g.in.ID, g.in.N = now, id, bytes
	g.put(GiveFilled, 0, out[n:])
	return out
}

func (g *TapedGiver) Answered(now time.Duration, id uint64, err *wire.Error, out []Effect) []Effect {
	if g.tape == nil {
		return g.Giver.Answered(now, id, err, out)
	}
	g.before()
	n := len(out)
	out = g.Giver.Answered(now, id, err, out)
	g.in.Now, g.in.ID, g.in.Err = now, id, err
	g.put(GiveAnswered, 0, out[n:])
	return out
}

// Tick is recorded when it was due: else it changes nothing.
func (g *TapedGiver) Tick(now time.Duration, out []Effect) []Effect {
	if g.tape == nil || !g.waits || now < g.due {
		return g.Giver.Tick(now, out)
	}
	g.before()
	n := len(out)
	out = g.Giver.Tick(now, out)
	g.in.Now = now
	g.put(GiveTick, 0, out[n:])
	return out
}

func (g *TapedGiver) Cancel(now time.Duration, out []Effect) []Effect {
	if g.tape == nil {
		return g.Giver.Cancel(now, out)
	}
	g.before()
	n := len(out)
	out = g.Giver.Cancel(now, out)
	g.in.Now = now
	g.put(GiveCancel, 0, out[n:])
	return out
}

// Hold is recorded when it says something new.
func (g *TapedGiver) Hold(held bool) {
	if g.tape == nil || held == g.held {
		g.Giver.Hold(held)
		return
	}
	g.before()
	g.Giver.Hold(held)
	g.in.Held = held
	g.put(GiveHold, 0, nil)
}

func (g *TapedGiver) Copied(bytes int) {
	g.Giver.Copied(bytes)
	if g.tape != nil {
		g.in.N = bytes
		g.put(GiveCopied, 0, nil)
	}
}

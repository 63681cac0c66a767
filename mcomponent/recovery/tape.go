package recovery

import (
	"fmt"
	"time"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// TapeKind is the kind of the tapes of Recovery: one of each.
const TapeKind = "mcomponent/recovery"

// maxTapePages bounds the pages of a vRegion that a tape may name: they cost memory.
const maxTapePages = 1 << 30

// TapeHead says how to make the recovery of a tape anew: its head, by wire.Marshal.
type TapeHead struct {
	Options Options
	Req     wire.RegionRecoverReq
	Slot    uint32
	First   wire.PageNo
	Pages   uint64
	Addr    string
	Bare    bool
}

// New makes the recovery that the tape began with.
func (h *TapeHead) New() (*Recovery, error) {
	if err := h.Options.Validate(); err != nil {
		return nil, err
	}
	if h.Pages < 1 || h.Pages > maxTapePages || len(h.Req.Sources) > wire.MaxHolders {
		return nil, fmt.Errorf("a vRegion of %d pages with %d sources, want 1 to %d and at most %d", h.Pages, len(h.Req.Sources), maxTapePages, wire.MaxHolders)
	}
	return New(h.Options, h.Req, h.Slot, h.First, h.Pages, h.Addr).Bare(h.Bare), nil
}

// The calls of a tape. Numbers are those of the format: explicit, never reused.
const (
	inBegin    uint8 = 1
	inAnswered uint8 = 2
	inTick     uint8 = 3
	inTake     uint8 = 4
	inUnmapped uint8 = 5
	inMiss     uint8 = 6
	inCancel   uint8 = 7
	inCut      uint8 = 8
	inRollback uint8 = 9
	inChanged  uint8 = 10
)

var inputNames = [...]string{"", "begin", "answered", "tick", "take", "unmapped", "miss", "cancel", "cut", "rollback", "changed"}

// input is one call. Which fields are set depends on the kind, as the parameters of the method of that name say.
type input struct {
	Now  time.Duration
	ID   uint64 // of answered the message, of miss the call, of unmapped how many pages
	Page wire.PageNo
	Err  *taped.Error
	// Of answered.
	Pages uint64
	Parts wire.RegionPartsRep
	More  bool
	Count int
	Why   string                // of cancel
	Kept  wire.CutState         // of answered, cut and rollback
	Entry wire.PageEntry        // of take
	Have  bool                  // of take
	Req   wire.RegionRecoverReq // of changed
}

func answer(out []Effect) (a taped.Answer) {
	for i := range out {
		a.Add(uint8(out[i].Kind), &out[i])
	}
	return a
}

func is(yes bool, out []Effect) taped.Answer {
	a := answer(out)
	a.Sum = a.Sum.Bool(yes)
	return a
}

func taken(as As, mark uint32) (a taped.Answer) {
	a.Sum = a.Sum.Uint(uint64(as)).Uint(uint64(mark))
	return a
}

var _ taped.Core = (*Recovery)(nil)

// EffectName implements taped.Core.
func (r *Recovery) EffectName(k uint8) string { return EffectKind(k).String() }

// Apply implements taped.Core.
func (r *Recovery) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	if kind < inBegin || kind > inChanged {
		return a, fmt.Sprintf("call %d", kind), taped.ErrKind
	}
	what = inputNames[kind]
	in, err := taped.Read[input](args)
	if err != nil {
		return a, what, err
	}
	what += fmt.Sprintf(" page=%#x id=%d at=%v", uint64(in.Page), in.ID, in.Now)
	switch kind {
	case inBegin:
		a = answer(r.Begin(in.Now, nil))
	case inAnswered:
		var werr *wire.Error
		if in.Err != nil {
			werr = &wire.Error{Kind: in.Err.Kind, Text: in.Err.Text}
		}
		a = answer(r.Answered(in.Now, in.ID, Answer{Err: werr, Pages: in.Pages, Kept: in.Kept, Parts: in.Parts, Next: in.Page, More: in.More, Count: in.Count}, nil))
	case inTick:
		a = answer(r.Tick(in.Now, nil))
	case inTake:
		a = taken(r.Take(in.Entry, in.Have))
	case inUnmapped:
		if in.ID > r.pages {
			return a, what, fmt.Errorf("%d pages of a vRegion of %d", in.ID, r.pages)
		}
		r.Unmapped(in.Page, in.ID)
	case inMiss:
		waits, out := r.Miss(in.Now, in.Page, in.ID, nil)
		a = is(waits, out)
	case inCancel:
		a = answer(r.Cancel(in.Why, nil))
	case inChanged:
		if len(in.Req.Sources) > wire.MaxHolders {
			return a, what, fmt.Errorf("%d sources, at most %d", len(in.Req.Sources), wire.MaxHolders)
		}
		a = answer(r.Changed(in.Now, in.Req, nil))
	case inCut:
		r.Cut(in.Kept)
	case inRollback:
		r.Rollback(in.Kept)
	}
	return a, what, nil
}

// Show implements taped.Core.
func (r *Recovery) Show() string {
	text := fmt.Sprintf("%v: vRegion %d of process %d under epoch %d in slot %d: %d of %d pages, next %#x, end %t, %d messages under way, %d urgent, %d wait", r.Status(0, nil).State,
		r.req.Config.Region, r.req.Config.PID, r.req.Config.Epoch, r.slot, r.got, r.known, uint64(r.cursor), r.end, len(r.sent), len(r.urgent), len(r.waiters))
	if r.waits {
		text += fmt.Sprintf(", until %v", r.due)
	}
	if r.text != "" {
		text += ": " + r.text
	}
	return text + "\n"
}

// code is the state in a snapshot.
func (r *Recovery) code(x *taped.Codec) {
	x.Message(&r.req)
	taped.Within(x, &r.phase, failed)
	taped.List(x, &r.fenced, wire.MaxHolders, func(x *taped.Codec, b *bool) { x.Bool(b) })
	taped.Int(x, &r.source)
	x.Message(&r.mapped)
	n := len(r.here)
	for _, b := range []*bitmap{&r.here, &r.came, &r.gone} {
		words := []uint64(*b)
		taped.List(x, &words, maxTapePages/64, func(x *taped.Codec, w *uint64) { taped.Uint(x, w) })
		if *b = words; len(words) != n {
			x.Fail("%d words of pages, want %d", len(words), n)
		}
	}
	x.Message(&r.kept)
	x.Message(&r.back)
	taped.Uint(x, &r.process)
	taped.Uint(x, &r.cursor)
	x.Bool(&r.end)
	taped.Uint(x, &r.known)
	taped.Uint(x, &r.got)
	taped.Text(x, &r.text)
	taped.List(x, &r.sent, maxTapePages, func(x *taped.Codec, m *message) {
		taped.Uint(x, &m.id)
		taped.Within(x, &m.kind, Pull)
		taped.Uint(x, &m.from)
		x.Bool(&m.one)
		taped.Within(x, &m.i, wire.MaxHolders)
		if m.kind == Fence && m.i >= len(r.fenced) {
			x.Fail("message %d goes to source %d of %d", m.id, m.i, len(r.fenced))
		}
	})
	page := func(x *taped.Codec, p *wire.PageNo) { taped.Uint(x, p) }
	taped.List(x, &r.urgent, maxTapePages, page)
	taped.List(x, &r.again, maxTapePages, page)
	taped.List(x, &r.waiters, maxTapePages, func(x *taped.Codec, w *waiter) {
		taped.Uint(x, &w.page)
		taped.Uint(x, &w.call)
	})
	taped.Uint(x, &r.lastID)
	taped.Within(x, &r.attempts, maxTapePages)
	x.Bool(&r.waits)
	taped.Int(x, &r.due)
	if x.Reads() && (r.source < -1 || r.source >= max(len(r.req.Sources), 1) || r.phase > 0 && len(r.fenced) != len(r.req.Sources)) {
		x.Fail("source %d of %d", r.source, len(r.req.Sources))
	}
}

// Snapshot implements taped.Core.
func (r *Recovery) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	r.code(x)
	return x.Written()
}

// Restore implements taped.Core.
func (r *Recovery) Restore(b []byte) error {
	x := taped.Parse(b)
	if r.code(x); x.End() != nil {
		return x.End()
	}
	return r.CheckInvariants()
}

// Taped is a Recovery whose inputs are recorded, if it has a tape.
type Taped struct {
	*Recovery
	taped.Log
}

func (t *Taped) Begin(now time.Duration, out []Effect) []Effect {
	n := len(out)
	if out = t.Recovery.Begin(now, out); t.On() {
		t.Put(inBegin, answer(out[n:]), &input{Now: now})
	}
	return out
}

// Changed is recorded if the configuration is newer: else it changes nothing, and the order is given again and again.
func (t *Taped) Changed(now time.Duration, q wire.RegionRecoverReq, out []Effect) []Effect {
	newer := q.Config.Config > t.req.Config.Config
	n := len(out)
	if out = t.Recovery.Changed(now, q, out); t.On() && newer {
		t.Put(inChanged, answer(out[n:]), &input{Now: now, Req: q})
	}
	return out
}

func (t *Taped) Answered(now time.Duration, id uint64, a Answer, out []Effect) []Effect {
	n := len(out)
	if out = t.Recovery.Answered(now, id, a, out); t.On() {
		in := input{Now: now, ID: id, Pages: a.Pages, Kept: a.Kept, Parts: a.Parts, Page: a.Next, More: a.More, Count: a.Count}
		if a.Err != nil {
			in.Err = &taped.Error{Kind: a.Err.Kind, Text: a.Err.Text}
		}
		t.Put(inAnswered, answer(out[n:]), &in)
	}
	return out
}

// Tick is recorded if something was due: else it changes nothing.
func (t *Taped) Tick(now time.Duration, out []Effect) []Effect {
	due, waits := t.Due()
	n := len(out)
	if out = t.Recovery.Tick(now, out); t.On() && waits && now >= due {
		t.Put(inTick, answer(out[n:]), &input{Now: now})
	}
	return out
}

func (t *Taped) Take(e wire.PageEntry, have bool) (as As, mark uint32) {
	if as, mark = t.Recovery.Take(e, have); t.On() {
		t.Put(inTake, taken(as, mark), &input{Entry: e, Have: have})
	}
	return as, mark
}

func (t *Taped) Cut(at wire.CutState) {
	t.Recovery.Cut(at)
	if t.On() {
		t.Put(inCut, taped.Answer{}, &input{Kept: at})
	}
}

func (t *Taped) Rollback(at wire.CutState) {
	t.Recovery.Rollback(at)
	if t.On() {
		t.Put(inRollback, taped.Answer{}, &input{Kept: at})
	}
}

func (t *Taped) Unmapped(page wire.PageNo, n uint64) {
	t.Recovery.Unmapped(page, n)
	if t.On() {
		t.Put(inUnmapped, taped.Answer{}, &input{Page: page, ID: n})
	}
}

func (t *Taped) Miss(now time.Duration, page wire.PageNo, call uint64, out []Effect) (waits bool, _ []Effect) {
	n := len(out)
	if waits, out = t.Recovery.Miss(now, page, call, out); t.On() && waits { // else it changes nothing
		t.Put(inMiss, is(waits, out[n:]), &input{Now: now, Page: page, ID: call})
	}
	return waits, out
}

func (t *Taped) Cancel(why string, out []Effect) []Effect {
	n := len(out)
	if out = t.Recovery.Cancel(why, out); t.On() {
		t.Put(inCancel, answer(out[n:]), &input{Why: why})
	}
	return out
}

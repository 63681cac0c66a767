package erasure

import (
	"fmt"
	"slices"
	"time"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// TapeKind is the kind of the tapes of Coordinator.
const TapeKind = "mcomponent/erasure"

// TapeHead says how to make the owner's side of a tape anew: its head, by wire.Marshal.
type TapeHead struct {
	Node    wire.NodeID
	Options Options
}

// New makes the owner's side that the tape began with.
func (h *TapeHead) New() (*Coordinator, error) {
	if err := h.Options.Validate(); err != nil {
		return nil, err
	}
	return New(h.Options), nil
}

// The calls of a tape. Numbers are those of the format: explicit, never reused.
const (
	inConfigure uint8 = 1
	inFlushed   uint8 = 2
	inUnmapped  uint8 = 3
	inWoken     uint8 = 4
	inRead      uint8 = 5
	inAnswered  uint8 = 6
	inDecoded   uint8 = 7
	inTick      uint8 = 8
	inClose     uint8 = 9
	inSeek      uint8 = 10
	inSynced    uint8 = 11
)

var inputNames = []string{"", "configure", "flushed", "unmapped", "woken", "read", "answered", "decoded", "tick", "close", "seek", "synced"}

// Bounds of what a tape may name.
const (
	maxTapeSlots = 1 << 24
	maxTapePages = 1 << 30
)

// input is one call. Which fields are set depends on the kind, as the parameters of the method of that name say.
type input struct {
	Now     time.Duration
	Slot    uint32
	Config  wire.RegionConfig
	Page    wire.PageNo // of configure the first one; of answered the next one
	N       uint64      // of configure and unmapped pages; of read the call; of answered the message
	Flag    bool        // of configure fresh, of answered more, of decoded whether it fits
	Epoch   wire.Epoch
	Version uint64
	Err     *taped.Error
	Have    bool
	Sum     uint32
	Pages   []wire.PageEntry
	Nodes   []wire.NodeID
}

// answer is what came out of a call. The bytes of shares are on no tape.
func answer(out []Effect) (a taped.Answer) {
	for i := range out {
		e := out[i]
		err := e.Err
		e.Err, e.Shares = nil, nil
		a.Add(uint8(e.Kind), &e)
		if err != nil {
			a.Err(err)
		}
	}
	return a
}

var _ taped.Core = (*Coordinator)(nil)

// EffectName implements taped.Core.
func (c *Coordinator) EffectName(k uint8) string { return EffectKind(k).String() }

// Apply implements taped.Core.
func (c *Coordinator) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	if kind < inConfigure || kind > inSynced {
		return a, fmt.Sprintf("call %d", kind), taped.ErrKind
	}
	what = inputNames[kind]
	in, err := taped.Read[input](args)
	if err != nil {
		return a, what, err
	}
	what += fmt.Sprintf(" slot=%d page=%#x n=%d at=%v", in.Slot, uint64(in.Page), in.N, in.Now)
	if needs := kind == inFlushed || kind == inRead || kind == inDecoded || kind == inSeek; needs && c.regions[in.Slot] == nil {
		return a, what, fmt.Errorf("slot %d has no vRegion in shares", in.Slot)
	}
	switch kind {
	case inConfigure:
		if len(in.Config.Holders) > wire.MaxHolders || in.N > maxTapePages {
			return a, what, fmt.Errorf("%d holders of %d pages, want at most %d and %d", len(in.Config.Holders), in.N, wire.MaxHolders, maxTapePages)
		}
		a = answer(c.Configure(in.Now, in.Slot, in.Config, in.Page, in.N, in.Flag, nil))
	case inFlushed:
		c.Flushed(in.Slot, in.Page, in.Epoch, in.Version)
	case inUnmapped:
		if in.N > maxTapePages {
			return a, what, fmt.Errorf("%d pages are unmapped, at most %d", in.N, maxTapePages)
		}
		a.Sum = a.Sum.Uint(c.Unmapped(in.Slot, in.Page, in.N))
	case inWoken:
		a = answer(c.Woken(nil))
	case inRead:
		a = answer(c.Read(in.Now, in.Slot, in.Page, in.N, nil))
	case inAnswered:
		a = answer(c.Answered(in.Now, in.N, Answer{Err: wireError(in.Err), Have: in.Have, Epoch: in.Epoch, Version: in.Version, Sum: in.Sum, Pages: in.Pages, Next: in.Page, More: in.Flag}, nil))
	case inDecoded:
		g := c.regions[in.Slot].gathers[in.Page]
		if g == nil {
			return a, what, fmt.Errorf("page %#x is not collected", uint64(in.Page))
		}
		if _, ok := c.regions[in.Slot].best(g); !ok {
			return a, what, fmt.Errorf("page %#x cannot be made yet", uint64(in.Page))
		}
		a = answer(c.Decoded(in.Now, in.Slot, in.Page, in.Flag, nil))
	case inTick:
		a = answer(c.Tick(in.Now, nil))
	case inSeek:
		a = answer(c.Seek(in.Slot, in.Page, nil))
	case inSynced:
		a = answer(c.Synced(in.Now, in.Slot, in.Nodes, nil))
	case inClose:
		a = answer(c.Close(in.Slot, wireError(in.Err), nil))
	}
	return a, what, nil
}

func wireError(err *taped.Error) *wire.Error {
	if err == nil {
		return nil
	}
	return &wire.Error{Kind: err.Kind, Text: err.Text}
}

func errorOf(err *wire.Error) *taped.Error {
	if err == nil {
		return nil
	}
	return &taped.Error{Kind: err.Kind, Text: err.Text}
}

func page(x *taped.Codec, p *wire.PageNo) { taped.Uint(x, p) }

func (v *version) code(x *taped.Codec) {
	taped.Uint(x, &v.epoch)
	taped.Uint(x, &v.version)
}

// code is the state in a snapshot, but for the bytes of shares.
func (c *Coordinator) code(x *taped.Codec) {
	taped.Map(x, &c.regions, maxTapeSlots, func(x *taped.Codec, slot *uint32) { taped.Within(x, slot, maxTapeSlots) }, func(x *taped.Codec, v **region) {
		if x.Reads() {
			*v = &region{}
		}
		(*v).code(x)
	})
	taped.Map(x, &c.sent, maxTapePages, func(x *taped.Codec, id *uint64) { taped.Uint(x, id) }, func(x *taped.Codec, m *message) {
		taped.Uint(x, &m.slot)
		page(x, &m.page)
		taped.Within(x, &m.holder, wire.MaxHolders)
		x.Bool(&m.list)
		x.Bool(&m.seek)
	})
	taped.Uint(x, &c.lastID)
	taped.List(x, &c.woken, maxTapePages, func(x *taped.Codec, w *uint64) { taped.Uint(x, w) })
	x.Message(&c.stats)
	if !x.Reads() {
		return
	}
	c.slots = nil
	for slot, r := range c.regions {
		if r.slot != slot {
			x.Fail("slot %d says that it is %d", slot, r.slot)
		}
		c.slots = append(c.slots, slot)
	}
	slices.Sort(c.slots)
	for id, m := range c.sent {
		r := c.regions[m.slot]
		if r == nil || m.holder >= len(r.cfg.Holders) || !m.list && !m.seek && r.gathers[m.page] == nil {
			x.Fail("message %d goes to holder %d of slot %d, which is not there", id, m.holder, m.slot)
		}
	}
}

func (r *region) code(x *taped.Codec) {
	taped.Uint(x, &r.slot)
	x.Message(&r.cfg)
	if x.Reads() {
		if len(r.cfg.Holders) > wire.MaxHolders {
			x.Fail("%d holders, at most %d", len(r.cfg.Holders), wire.MaxHolders)
			return
		}
		r.rank()
	}
	page(x, &r.first)
	taped.Within(x, &r.pages, maxTapePages)
	taped.Map(x, &r.index, maxTapePages, page, func(x *taped.Codec, w *written) {
		w.code(x)
		x.Bool(&w.here)
	})
	x.Bool(&r.whole)
	page(x, &r.cursor)
	taped.Uint(x, &r.listing)
	taped.Within(x, &r.lister, maxTapePages)
	taped.List(x, &r.unmapped, maxTapePages, func(x *taped.Codec, s *span) {
		page(x, &s.first)
		taped.Uint(x, &s.n)
	})
	taped.Map(x, &r.seeks, maxSeeks, page, func(x *taped.Codec, id *uint64) { taped.Uint(x, id) })
	taped.Map(x, &r.gathers, maxTapePages, page, func(x *taped.Codec, v **gather) {
		if x.Reads() {
			*v = &gather{}
		}
		g := *v
		page(x, &g.page)
		taped.List(x, &g.waiters, maxTapePages, func(x *taped.Codec, w *uint64) { taped.Uint(x, w) })
		taped.List(x, &g.asks, wire.MaxHolders, func(x *taped.Codec, a *ask) {
			taped.Within(x, &a.state, lastState)
			taped.Uint(x, &a.id)
			a.version.code(x)
			taped.Uint(x, &a.sum)
		})
		taped.Within(x, &g.attempts, maxTapePages)
		taped.Int(x, &g.due)
		taped.Within(x, &g.without, wire.MaxHolders+1)
	})
	taped.Within(x, &r.attempts, maxTapePages)
	x.Bool(&r.waits)
	taped.Int(x, &r.due)
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

func (t *Taped) Configure(now time.Duration, slot uint32, cfg wire.RegionConfig, first wire.PageNo, pages uint64, fresh bool, out []Effect) []Effect {
	n := len(out)
	if out = t.Coordinator.Configure(now, slot, cfg, first, pages, fresh, out); t.On() {
		t.Put(inConfigure, answer(out[n:]), &input{Now: now, Slot: slot, Config: cfg, Page: first, N: pages, Flag: fresh})
	}
	return out
}

func (t *Taped) Flushed(slot uint32, page wire.PageNo, epoch wire.Epoch, v uint64) {
	t.Coordinator.Flushed(slot, page, epoch, v)
	if t.On() {
		t.Put(inFlushed, taped.Answer{}, &input{Slot: slot, Page: page, Epoch: epoch, Version: v})
	}
}

func (t *Taped) Unmapped(slot uint32, first wire.PageNo, n uint64) (freed uint64) {
	if freed = t.Coordinator.Unmapped(slot, first, n); t.On() {
		var a taped.Answer
		a.Sum = a.Sum.Uint(freed)
		t.Put(inUnmapped, a, &input{Slot: slot, Page: first, N: n})
	}
	return freed
}

func (t *Taped) Woken(out []Effect) []Effect {
	n := len(out)
	if out = t.Coordinator.Woken(out); t.On() && len(out) > n { // else it changes nothing
		t.Put(inWoken, answer(out[n:]), &input{})
	}
	return out
}

func (t *Taped) Read(now time.Duration, slot uint32, page wire.PageNo, call uint64, out []Effect) []Effect {
	n := len(out)
	if out = t.Coordinator.Read(now, slot, page, call, out); t.On() {
		t.Put(inRead, answer(out[n:]), &input{Now: now, Slot: slot, Page: page, N: call})
	}
	return out
}

// Seek is recorded if it asks: else it changes nothing.
func (t *Taped) Seek(slot uint32, page wire.PageNo, out []Effect) []Effect {
	n := len(out)
	if out = t.Coordinator.Seek(slot, page, out); t.On() && len(out) > n {
		t.Put(inSeek, answer(out[n:]), &input{Slot: slot, Page: page})
	}
	return out
}

// Synced is recorded if it changes anything.
func (t *Taped) Synced(now time.Duration, slot uint32, nodes []wire.NodeID, out []Effect) []Effect {
	r := t.regions[slot]
	n, changes := len(out), r != nil && r.fills(nodes)
	if out = t.Coordinator.Synced(now, slot, nodes, out); t.On() && changes {
		t.Put(inSynced, answer(out[n:]), &input{Now: now, Slot: slot, Nodes: nodes})
	}
	return out
}

func (t *Taped) Answered(now time.Duration, id uint64, a Answer, out []Effect) []Effect {
	n := len(out)
	if out = t.Coordinator.Answered(now, id, a, out); t.On() {
		t.Put(inAnswered, answer(out[n:]), &input{Now: now, N: id, Err: errorOf(a.Err), Have: a.Have, Epoch: a.Epoch, Version: a.Version, Sum: a.Sum, Pages: a.Pages, Page: a.Next, Flag: a.More})
	}
	return out
}

func (t *Taped) Decoded(now time.Duration, slot uint32, page wire.PageNo, fits bool, out []Effect) []Effect {
	n := len(out)
	if out = t.Coordinator.Decoded(now, slot, page, fits, out); t.On() {
		t.Put(inDecoded, answer(out[n:]), &input{Now: now, Slot: slot, Page: page, Flag: fits})
	}
	return out
}

// Tick is recorded if something was due: else it changes nothing.
func (t *Taped) Tick(now time.Duration, out []Effect) []Effect {
	due, is := t.Due()
	n := len(out)
	if out = t.Coordinator.Tick(now, out); t.On() && is && now >= due {
		t.Put(inTick, answer(out[n:]), &input{Now: now})
	}
	return out
}

func (t *Taped) Close(slot uint32, why *wire.Error, out []Effect) []Effect {
	n, was := len(out), t.Has(slot)
	if out = t.Coordinator.Close(slot, why, out); t.On() && was {
		t.Put(inClose, answer(out[n:]), &input{Slot: slot, Err: errorOf(why)})
	}
	return out
}

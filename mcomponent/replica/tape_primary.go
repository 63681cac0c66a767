package replica

import (
	"fmt"
	"slices"
	"time"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// PrimaryTapeKind is the kind of the tapes of Primary.
const PrimaryTapeKind = "mcomponent/replica/primary"

// PrimaryTapeHead says how to make the owner's side of a tape anew: its head, by wire.Marshal.
type PrimaryTapeHead struct {
	Node    wire.NodeID
	Options Options
}

// New makes the owner's side that the tape began with.
func (h *PrimaryTapeHead) New() (*Primary, error) {
	if err := h.Options.Validate(); err != nil {
		return nil, err
	}
	return NewPrimary(h.Options), nil
}

// The calls of a tape. Numbers are those of the format: explicit, never reused.
const (
	inConfigure uint8 = 1
	inListed    uint8 = 2
	inWrite     uint8 = 3
	inUnmap     uint8 = 4
	inAnswered  uint8 = 5
	inTick      uint8 = 6
	inClose     uint8 = 7
	inLose      uint8 = 8
	inFlushing  uint8 = 9
	inCut       uint8 = 10
	inRollback  uint8 = 11
	inLoseKept  uint8 = 12
	inKnows     uint8 = 13
	inAgain     uint8 = 14
)

var primaryInputNames = [...]string{"", "configure", "listed", "write", "unmap", "answered", "tick", "close", "lose", "flushing", "cut", "rollback", "lose_kept", "knows", "again"}

// primaryInput is one call of Primary. Which fields are set depends on the kind, as the parameters of the method of that name say.
type primaryInput struct {
	Now     time.Duration
	Slot    uint32
	Config  wire.RegionConfig
	Pages   []wire.PageNo
	Page    wire.PageNo
	Call    uint64 // of answered the message
	Start   uint64
	Length  uint64
	Err     *taped.Error
	Flag    bool       // of answered skipped, of close drop
	Epoch   wire.Epoch // of cut and rollback that of the process
	Version uint64
	Cut     wire.Cut
	Again   wire.ReplicaAgainReq
}

func answer(out []Effect) (a taped.Answer) {
	for i := range out {
		e := out[i]
		err := e.Err
		e.Err = nil
		a.Add(uint8(e.Kind), &e)
		if err != nil {
			a.Err(err)
		}
	}
	return a
}

var _ taped.Core = (*Primary)(nil)

// EffectName implements taped.Core.
func (p *Primary) EffectName(k uint8) string { return EffectKind(k).String() }

// Apply implements taped.Core.
func (p *Primary) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	if kind < inConfigure || kind > inAgain {
		return a, fmt.Sprintf("call %d", kind), taped.ErrKind
	}
	what = primaryInputNames[kind]
	in, err := taped.Read[primaryInput](args)
	if err != nil {
		return a, what, err
	}
	what += fmt.Sprintf(" slot=%d page=%#x call=%d at=%v", in.Slot, uint64(in.Page), in.Call, in.Now)
	switch kind {
	case inConfigure:
		if len(in.Config.Holders) > wire.MaxHolders {
			return a, what, fmt.Errorf("%d holders, want at most %d", len(in.Config.Holders), wire.MaxHolders)
		}
		a = answer(p.Configure(in.Now, in.Slot, in.Config, nil))
	case inListed:
		a = answer(p.Listed(in.Now, in.Slot, in.Pages, nil))
	case inWrite:
		a = answer(p.Write(in.Now, in.Slot, in.Page, in.Call, nil))
	case inUnmap:
		a = answer(p.Unmap(in.Now, in.Slot, in.Start, in.Length, in.Call, nil))
	case inAnswered:
		a = answer(p.Answered(in.Now, in.Call, Answer{Err: wireError(in.Err), Skipped: in.Flag}, nil))
	case inTick:
		a = answer(p.Tick(in.Now, nil))
	case inClose:
		a = answer(p.Close(in.Slot, in.Flag, wireError(in.Err), nil))
	case inLose:
		p.Lose(in.Slot, in.Page, in.Epoch, in.Version)
	case inFlushing:
		a.Sum = a.Sum.Bool(p.Flushing(in.Slot, in.Page, in.Epoch, in.Version))
	case inCut:
		a = answer(p.Cut(in.Now, in.Slot, in.Cut, in.Epoch, in.Call, nil))
	case inRollback:
		a = answer(p.Rollback(in.Now, in.Slot, in.Cut, in.Epoch, in.Call, nil))
	case inLoseKept:
		p.LoseKept(in.Slot, in.Page, in.Epoch, in.Version)
	case inKnows:
		p.Knows(in.Slot, in.Cut)
	case inAgain:
		a = answer(p.Again(in.Now, in.Slot, in.Again, nil))
	}
	return a, what, nil
}

// Bounds of what a snapshot may name.
const (
	maxTapeSlots = 1 << 24
	maxTapePages = 1 << 30
)

func page(x *taped.Codec, p *wire.PageNo) { taped.Uint(x, p) }

func (v *version) code(x *taped.Codec) {
	taped.Uint(x, &v.epoch)
	taped.Uint(x, &v.version)
}

// codeError is an error, or none.
func codeError(x *taped.Codec, err **wire.Error) {
	is := *err != nil
	if x.Bool(&is); !is {
		return
	}
	if x.Reads() {
		*err = &wire.Error{}
	}
	taped.Uint(x, &(*err).Kind)
	taped.Text(x, &(*err).Text)
}

// code is the state in a snapshot.
func (p *Primary) code(x *taped.Codec) {
	taped.Map(x, &p.regions, maxTapeSlots, func(x *taped.Codec, slot *uint32) { taped.Within(x, slot, maxTapeSlots) }, func(x *taped.Codec, v **owned) {
		if x.Reads() {
			*v = &owned{}
		}
		(*v).code(x)
	})
	if x.Reads() {
		p.slots = nil
		for slot, r := range p.regions {
			if r.slot != slot {
				x.Fail("slot %d says that it is %d", slot, r.slot)
			}
			p.slots = append(p.slots, slot)
		}
		slices.Sort(p.slots)
	}
	taped.Map(x, &p.sent, maxTapePages, func(x *taped.Codec, id *uint64) { taped.Uint(x, id) }, func(x *taped.Codec, v **message) {
		if x.Reads() {
			*v = &message{}
		}
		(*v).code(x, p)
	})
	for id, m := range p.sent {
		if m.id != id {
			x.Fail("message %d says that it is %d", id, m.id)
		}
	}
	taped.Uint(x, &p.lastID)
	x.Message(&p.stats)
}

func (m *message) code(x *taped.Codec, p *Primary) {
	taped.Uint(x, &m.id)
	taped.Within(x, &m.kind, Cut)
	slot, i := uint32(0), 0
	if !x.Reads() {
		slot, i = m.r.slot, slices.Index(m.r.links, m.l)
	}
	taped.Uint(x, &slot)
	taped.Within(x, &i, wire.MaxHolders)
	if x.Reads() {
		if m.r = p.regions[slot]; m.r == nil || i >= len(m.r.links) {
			x.Fail("message %d goes to holder %d of slot %d, which is not there", m.id, i, slot)
			m.r = nil
			return
		}
		m.l = m.r.links[i]
	}
	taped.Uint(x, &m.page)
	taped.Uint(x, &m.gen)
	taped.Uint(x, &m.config)
	taped.Uint(x, &m.epoch)
	taped.Uint(x, &m.barrier)
}

func (r *owned) code(x *taped.Codec) {
	taped.Uint(x, &r.slot)
	x.Message(&r.cfg)
	taped.Uint(x, &r.barrier)
	taped.List(x, &r.links, wire.MaxHolders, func(x *taped.Codec, v **link) {
		if x.Reads() {
			*v = &link{}
		}
		(*v).code(x)
	})
	taped.Map(x, &r.writes, maxTapePages, page, func(x *taped.Codec, v **write) {
		if x.Reads() {
			*v = &write{}
		}
		w := *v
		taped.Uint(x, &w.gen)
		taped.List(x, &w.got, wire.MaxHolders, func(x *taped.Codec, g *got) {
			taped.Uint(x, &g.gen)
			x.Bool(&g.queued)
			taped.Uint(x, &g.out)
			x.Bool(&g.fill)
		})
		taped.List(x, &w.waiters, maxTapePages, func(x *taped.Codec, v *waiter) {
			taped.Uint(x, &v.gen)
			taped.Uint(x, &v.call)
		})
	})
	taped.List(x, &r.unmaps, maxTapePages, func(x *taped.Codec, v **unmap) {
		if x.Reads() {
			*v = &unmap{}
		}
		u := *v
		taped.Within(x, &u.is, back)
		x.Message(&u.cut)
		taped.Uint(x, &u.process)
		taped.Uint(x, &u.barrier)
		taped.Uint(x, &u.start)
		taped.Uint(x, &u.length)
		taped.List(x, &u.got, wire.MaxHolders, func(x *taped.Codec, is *bool) { x.Bool(is) })
		taped.Uint(x, &u.call)
	})
	taped.Map(x, &r.lost, maxTapePages, page, func(x *taped.Codec, v *version) { v.code(x) })
	taped.Map(x, &r.skipped, maxTapePages, page, func(x *taped.Codec, v *uint32) { taped.Uint(x, v) })
	codeError(x, &r.deposed)
	x.Bool(&r.lists)
	x.Bool(&r.known)
	x.Message(&r.cut)
	taped.Map(x, &r.preLost, maxTapePages, page, func(x *taped.Codec, v *version) { v.code(x) })
}

func (l *link) code(x *taped.Codec) {
	x.Message(&l.to)
	taped.Uint(x, &l.index)
	for _, b := range []*bool{&l.fresh, &l.opened, &l.opening, &l.filling, &l.listed, &l.unmapping, &l.waits} {
		x.Bool(b)
	}
	taped.Within(x, &l.out, maxTapePages)
	taped.List(x, &l.queue, maxTapePages, page)
	taped.Within(x, &l.next, maxTapePages)
	taped.List(x, &l.fill, maxTapePages, page)
	taped.Within(x, &l.filled, maxTapePages)
	taped.Within(x, &l.underFill, maxTapePages)
	taped.Within(x, &l.attempts, maxTapePages)
	taped.Int(x, &l.due)
	codeError(x, &l.why)
}

// Snapshot implements taped.Core.
func (p *Primary) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	p.code(x)
	return x.Written()
}

// Restore implements taped.Core.
func (p *Primary) Restore(b []byte) error {
	x := taped.Parse(b)
	if p.code(x); x.End() != nil {
		return x.End()
	}
	return p.CheckInvariants()
}

// TapedPrimary is a Primary whose inputs are recorded, if it has a tape.
type TapedPrimary struct {
	*Primary
	taped.Log
}

func (t *TapedPrimary) put(kind uint8, in primaryInput, out []Effect) []Effect {
	t.Put(kind, answer(out), &in)
	return out
}

func (t *TapedPrimary) Configure(now time.Duration, slot uint32, cfg wire.RegionConfig, out []Effect) []Effect {
	n := len(out)
	if out = t.Primary.Configure(now, slot, cfg, out); t.On() {
		t.put(inConfigure, primaryInput{Now: now, Slot: slot, Config: cfg}, out[n:])
	}
	return out
}

func (t *TapedPrimary) Listed(now time.Duration, slot uint32, pages []wire.PageNo, out []Effect) []Effect {
	n := len(out)
	var given []wire.PageNo
	if t.On() {
		given = slices.Clone(pages) // the core sorts them
	}
	if out = t.Primary.Listed(now, slot, pages, out); t.On() {
		t.put(inListed, primaryInput{Now: now, Slot: slot, Pages: given}, out[n:])
	}
	return out
}

func (t *TapedPrimary) Write(now time.Duration, slot uint32, page wire.PageNo, call uint64, out []Effect) []Effect {
	n := len(out)
	if out = t.Primary.Write(now, slot, page, call, out); t.On() {
		t.put(inWrite, primaryInput{Now: now, Slot: slot, Page: page, Call: call}, out[n:])
	}
	return out
}

func (t *TapedPrimary) Unmap(now time.Duration, slot uint32, start, length uint64, call uint64, out []Effect) []Effect {
	n := len(out)
	if out = t.Primary.Unmap(now, slot, start, length, call, out); t.On() {
		t.put(inUnmap, primaryInput{Now: now, Slot: slot, Start: start, Length: length, Call: call}, out[n:])
	}
	return out
}

func (t *TapedPrimary) Answered(now time.Duration, id uint64, a Answer, out []Effect) []Effect {
	n := len(out)
	if out = t.Primary.Answered(now, id, a, out); t.On() {
		t.put(inAnswered, primaryInput{Now: now, Call: id, Err: errorOf(a.Err), Flag: a.Skipped}, out[n:])
	}
	return out
}

// Tick is recorded if something was due: else it changes nothing.
func (t *TapedPrimary) Tick(now time.Duration, out []Effect) []Effect {
	due, is := t.Due()
	n := len(out)
	if out = t.Primary.Tick(now, out); t.On() && is && now >= due {
		t.put(inTick, primaryInput{Now: now}, out[n:])
	}
	return out
}

func (t *TapedPrimary) Close(slot uint32, drop bool, why *wire.Error, out []Effect) []Effect {
	n, was := len(out), t.Redundant(slot)
	if out = t.Primary.Close(slot, drop, why, out); t.On() && was {
		t.put(inClose, primaryInput{Slot: slot, Flag: drop, Err: errorOf(why)}, out[n:])
	}
	return out
}

func (t *TapedPrimary) Lose(slot uint32, page wire.PageNo, epoch wire.Epoch, v uint64) {
	t.Primary.Lose(slot, page, epoch, v)
	if t.On() {
		t.put(inLose, primaryInput{Slot: slot, Page: page, Epoch: epoch, Version: v}, nil)
	}
}

func (t *TapedPrimary) Cut(now time.Duration, slot uint32, at wire.Cut, process wire.Epoch, call uint64, out []Effect) []Effect {
	n := len(out)
	if out = t.Primary.Cut(now, slot, at, process, call, out); t.On() {
		t.put(inCut, primaryInput{Now: now, Slot: slot, Cut: at, Epoch: process, Call: call}, out[n:])
	}
	return out
}

func (t *TapedPrimary) Rollback(now time.Duration, slot uint32, at wire.Cut, process wire.Epoch, call uint64, out []Effect) []Effect {
	n := len(out)
	if out = t.Primary.Rollback(now, slot, at, process, call, out); t.On() {
		t.put(inRollback, primaryInput{Now: now, Slot: slot, Cut: at, Epoch: process, Call: call}, out[n:])
	}
	return out
}

func (t *TapedPrimary) LoseKept(slot uint32, page wire.PageNo, epoch wire.Epoch, v uint64) {
	t.Primary.LoseKept(slot, page, epoch, v)
	if t.On() {
		t.put(inLoseKept, primaryInput{Slot: slot, Page: page, Epoch: epoch, Version: v}, nil)
	}
}

func (t *TapedPrimary) Knows(slot uint32, at wire.Cut) {
	t.Primary.Knows(slot, at)
	if t.On() {
		t.put(inKnows, primaryInput{Slot: slot, Cut: at}, nil)
	}
}

func (t *TapedPrimary) Again(now time.Duration, slot uint32, q wire.ReplicaAgainReq, out []Effect) []Effect {
	n := len(out)
	if out = t.Primary.Again(now, slot, q, out); t.On() {
		t.put(inAgain, primaryInput{Now: now, Slot: slot, Again: q}, out[n:])
	}
	return out
}

// Flushing is recorded if the page is lost: else it changes nothing.
func (t *TapedPrimary) Flushing(slot uint32, page wire.PageNo, epoch wire.Epoch, v uint64) (old bool) {
	was := t.On() && t.Lost(slot, page) != nil
	if old = t.Primary.Flushing(slot, page, epoch, v); was {
		var a taped.Answer
		a.Sum = a.Sum.Bool(old)
		t.Put(inFlushing, a, &primaryInput{Slot: slot, Page: page, Epoch: epoch, Version: v})
	}
	return old
}

// errorOf is an error as it stands on a tape.
func errorOf(err *wire.Error) *taped.Error {
	if err == nil {
		return nil
	}
	return &taped.Error{Kind: err.Kind, Text: err.Text}
}

func wireError(err *taped.Error) *wire.Error {
	if err == nil {
		return nil
	}
	return &wire.Error{Kind: err.Kind, Text: err.Text}
}

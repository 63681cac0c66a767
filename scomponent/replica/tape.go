package replica

import (
	"fmt"
	"time"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// TapeKind is the kind of this core's tapes.
const TapeKind = "scomponent/replica"

// TapeHead says how to make the group of a tape anew: its head, by wire.Marshal.
type TapeHead struct {
	Node     wire.NodeID // of the buffer cache
	Options  Options
	Attach   wire.VolumeAttachReq
	Instance uint64
	First    uint64
	Now      time.Duration
}

// Make makes the group that the tape begins with.
func (h *TapeHead) Make() *Group {
	return New(h.Options, h.Attach, h.Instance, h.First, h.Now)
}

// New makes the group of a tape, which may say anything.
func (h *TapeHead) New() (*Group, error) {
	if err := h.Options.Validate(); err != nil {
		return nil, err
	}
	if err := h.Attach.CheckReplicas(); err != nil {
		return nil, err
	}
	if len(h.Attach.Replicas) == 0 || h.Attach.SizeBytes > maxSize {
		return nil, fmt.Errorf("%d copies of %d bytes, want some and at most %d", len(h.Attach.Replicas), h.Attach.SizeBytes, uint64(maxSize))
	}
	return h.Make(), nil
}

// maxSize bounds the volume of a tape, in bytes, as package volume does.
const maxSize = 1 << 44

// The calls of a tape. Numbers are those of the format: explicit, never reused.
const (
	inAttach    uint8 = 1
	inRead      uint8 = 2
	inWrite     uint8 = 3
	inMark      uint8 = 4
	inFlush     uint8 = 5
	inAnswered  uint8 = 6
	inConfigure uint8 = 7
	inTick      uint8 = 8
	inClose     uint8 = 9
)

var callNames = []string{"", "attach", "read", "write", "mark", "flush", "answered", "configure", "tick", "close"}

// input is the arguments of a call.
type input struct {
	Now    time.Duration
	ID     uint64
	Number uint64 // of a block or generation
	Mask   uint8
	Err    *taped.Error
	Attach wire.StorageAttachRep
	Copy   wire.BlockCopy
	Copies []wire.BlockCopy
	Config wire.VolumeAttachReq
}

// code goes over the arguments of a call of a kind.
func (in *input) code(x *taped.Codec, kind uint8) {
	taped.Int(x, &in.Now)
	switch kind {
	case inAttach:
		taped.Uint(x, &in.ID)
	case inRead, inMark, inFlush, inWrite:
		taped.Uint(x, &in.ID)
		taped.Uint(x, &in.Number)
		if kind == inWrite {
			taped.Uint(x, &in.Mask)
		}
	case inAnswered:
		taped.Uint(x, &in.ID)
		codeError(x, &in.Err)
		x.Message(&in.Attach)
		codeCopy(x, &in.Copy)
		taped.List(x, &in.Copies, maxBatch, codeCopy)
	case inConfigure:
		x.Message(&in.Config)
	case inClose:
		codeError(x, &in.Err)
	}
}

func codeCopy(x *taped.Codec, c *wire.BlockCopy) {
	codeVersion(x, &c.Version)
	taped.Uint(x, &c.Sum)
	taped.Within(x, &c.State, wire.CopyUnknown)
}

func codeVersion(x *taped.Codec, v *wire.BlockVersion) {
	taped.Uint(x, &v.Epoch)
	taped.Uint(x, &v.No)
}

func codeError(x *taped.Codec, e **taped.Error) {
	some := *e != nil
	if x.Bool(&some); !some {
		return
	}
	if *e == nil {
		*e = &taped.Error{}
	}
	taped.Uint(x, &(*e).Kind)
	taped.Text(x, &(*e).Text)
}

// codeErr is codeError of a field that is an error.
func codeErr(x *taped.Codec, e *error) {
	t := taped.ErrorOf(*e)
	if codeError(x, &t); x.Reads() {
		if *e = nil; t != nil {
			*e = t
		}
	}
}

// answer is what a record says of effects. Kinds are made in room.
func answer(room []byte, out []Effect) taped.Answer {
	a := taped.Answer{Kinds: room[:0]}
	for i := range out {
		e := &out[i]
		a.Kinds = append(a.Kinds, uint8(e.Kind))
		a.Sum = a.Sum.Uint(e.ID).Uint(e.Op).String(string(e.To)).String(e.Addr).Uint(e.Block).Uint(uint64(e.Version.Epoch)).Uint(e.Version.No)
		a.Sum = a.Sum.Uint(uint64(e.Flags)).Uint(uint64(e.Count)).Uint(e.Number).Uint(uint64(e.Mask))
		if e.Kind == SendAttach {
			a.Sum = a.Sum.Bytes(wire.Marshal(e.Attach))
		}
		a.Err(e.Err)
	}
	return a
}

var _ taped.Core = (*Group)(nil)

// EffectName implements taped.Core.
func (g *Group) EffectName(k uint8) string { return taped.Name(kindNames, k) }

// Apply implements taped.Core.
func (g *Group) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	what = taped.Name(callNames, kind)
	if kind == 0 || int(kind) >= len(callNames) {
		return a, what, taped.ErrKind
	}
	var in input
	x := taped.Parse(args)
	if in.code(x, kind); x.End() != nil {
		return a, what, x.End()
	}
	var out []Effect
	switch kind {
	case inAttach:
		out = g.Attach(in.Now, in.ID, nil)
	case inRead:
		out = g.Read(in.Now, in.ID, in.Number, nil)
	case inWrite:
		out = g.Write(in.Now, in.ID, in.Number, in.Mask, nil)
	case inMark:
		out = g.Mark(in.Now, in.ID, in.Number, nil)
	case inFlush:
		out = g.Flush(in.Now, in.ID, in.Number, nil)
	case inAnswered:
		out = g.Answered(in.Now, in.ID, in.answer(), nil)
	case inConfigure:
		if err := in.Config.CheckReplicas(); err != nil {
			return a, what, err
		}
		out = g.Configure(in.Now, in.Config, nil)
	case inTick:
		out = g.Tick(in.Now, nil)
	case inClose:
		if in.Err == nil {
			return a, what, fmt.Errorf("a group was closed without a cause")
		}
		out = g.Close(in.Now, in.Err, nil)
	}
	return answer(nil, out), fmt.Sprintf("%s at=%v id=%d number=%d", what, in.Now, in.ID, in.Number), nil
}

func (in *input) answer() Answer {
	a := Answer{Attach: in.Attach, Copy: in.Copy, Copies: in.Copies}
	if in.Err != nil {
		a.Err = in.Err
	}
	return a
}

// maxListed bounds what is listed in a state: operations, messages, blocks that were missed.
const maxListed = 1 << 22

// code is the state in a snapshot.
func (g *Group) code(x *taped.Codec) {
	x.Message(&g.req)
	if err := g.req.CheckReplicas(); x.Reads() && err != nil {
		x.Fail("%v", err)
		return
	}
	for _, n := range []*uint64{&g.instance, &g.base, &g.no, &g.lastSend, &g.lastOwn} {
		taped.Uint(x, n)
	}
	taped.Int(x, &g.now)
	taped.Int(x, &g.scrubAt)
	taped.Int(x, &g.repairs)
	for _, b := range []*bool{&g.ready, &g.settled, &g.strict} {
		x.Bool(b)
	}
	codeErr(x, &g.over)
	taped.List(x, &g.sites, wire.MaxReplicas, func(x *taped.Codec, s **site) {
		if x.Reads() {
			*s = &site{}
		}
		(*s).code(x, g.opt.Missed)
	})
	taped.List(x, &g.order, maxListed, taped.Uint)
	taped.Map(x, &g.ops, maxListed, taped.Uint, func(x *taped.Codec, o **op) {
		if x.Reads() {
			*o = &op{}
		}
		(*o).code(x)
	})
	taped.Map(x, &g.sends, maxListed, taped.Uint, func(x *taped.Codec, s *sent) {
		taped.Within(x, &s.kind, SendVersions)
		taped.Uint(x, &s.op)
		taped.Within(x, &s.site, wire.MaxReplicas)
	})
	g.walk.code(x)
	x.Message(&g.stats)
}

func (s *site) code(x *taped.Codec, most int) {
	x.Message(&s.at)
	for _, b := range []*bool{&s.attached, &s.was, &s.lost, &s.behind, &s.suspect, &s.again} {
		x.Bool(b)
	}
	taped.Uint(x, &s.sending)
	taped.Int(x, &s.tries)
	taped.Int(x, &s.next)
	taped.Int(x, &s.repairAt)
	codeErr(x, &s.cause)
	x.Message(&s.rep)
	taped.Within(x, &s.need, needAll)
	taped.Map(x, &s.missed, most, taped.Uint, codeVersion)
	taped.List(x, &s.order, 2*most+1, taped.Uint)
}

func (o *op) code(x *taped.Codec) {
	taped.Uint(x, &o.id)
	taped.Within(x, &o.kind, opRepair)
	taped.Within(x, &o.phase, phaseOver)
	taped.Uint(x, &o.mask)
	for _, n := range []*uint64{&o.block, &o.number} {
		taped.Uint(x, n)
	}
	codeVersion(x, &o.version)
	codeVersion(x, &o.page)
	taped.Uint(x, &o.sum)
	for _, b := range []*bool{&o.put, &o.hasPage, &o.waited, &o.walks} {
		x.Bool(b)
	}
	taped.Int(x, &o.end)
	taped.Int(x, &o.hedge)
	taped.List(x, &o.seats, wire.MaxReplicas, func(x *taped.Codec, s *seat) {
		taped.Within(x, &s.state, seatBad)
		taped.Uint(x, &s.send)
		taped.Int(x, &s.retry)
		taped.Int(x, &s.tries)
		codeErr(x, &s.err)
		x.Bool(&s.told)
		x.Bool(&s.page)
		codeCopy(x, &s.have)
	})
}

func (w *walk) code(x *taped.Codec) {
	for _, b := range []*bool{&w.active, &w.scrub, &w.verify} {
		x.Bool(b)
	}
	taped.Uint(x, &w.next)
	taped.Int(x, &w.after)
	taped.Int(x, &w.out)
	taped.List(x, &w.among, wire.MaxReplicas, func(x *taped.Codec, i *int) { taped.Within(x, i, wire.MaxReplicas) })
	taped.List(x, &w.copies, wire.MaxReplicas, func(x *taped.Codec, l *[]wire.BlockCopy) { taped.List(x, l, maxBatch, codeCopy) })
	taped.List(x, &w.todo, maxBatch, taped.Uint)
}

// Snapshot implements taped.Core.
func (g *Group) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	g.code(x)
	return x.Written()
}

// Restore implements taped.Core.
func (g *Group) Restore(b []byte) error {
	x := taped.Parse(b)
	if g.code(x); x.End() != nil {
		return x.End()
	}
	if len(g.sites) != len(g.req.Replicas) {
		return fmt.Errorf("%d copies, their list has %d", len(g.sites), len(g.req.Replicas))
	}
	if k := len(g.walk.copies); k > 0 && k != len(g.walk.among) {
		return fmt.Errorf("the versions of %d copies are compared, of %d", k, len(g.walk.among))
	}
	for _, i := range g.walk.among {
		if i >= len(g.sites) {
			return fmt.Errorf("copy %d of %d is compared", i, len(g.sites))
		}
	}
	for _, id := range g.sendIDs() {
		if s := g.sends[id]; s.site >= len(g.sites) || s.op != 0 && g.ops[s.op] == nil {
			return fmt.Errorf("message %d is to copy %d of %d, or of no operation", id, s.site, len(g.sites))
		}
	}
	return g.CheckInvariants()
}

// Taped is a Group whose inputs are recorded, if it has a tape. Without one each costs one branch more.
type Taped struct {
	*Group
	taped.Log
	room []byte
}

// put records a call.
func (t *Taped) put(kind uint8, in *input, out []Effect) {
	a := answer(t.room, out)
	t.room = a.Kinds
	b := t.BeginRecord(kind, a)
	x := taped.Write(b)
	in.code(x, kind)
	t.EndRecord(x.Written())
}

func (t *Taped) Attach(now time.Duration, id uint64, out []Effect) []Effect {
	n := len(out)
	if out = t.Group.Attach(now, id, out); t.On() {
		t.put(inAttach, &input{Now: now, ID: id}, out[n:])
	}
	return out
}

func (t *Taped) Read(now time.Duration, id, block uint64, out []Effect) []Effect {
	n := len(out)
	if out = t.Group.Read(now, id, block, out); t.On() {
		t.put(inRead, &input{Now: now, ID: id, Number: block}, out[n:])
	}
	return out
}

func (t *Taped) Write(now time.Duration, id, block uint64, mask uint8, out []Effect) []Effect {
	n := len(out)
	if out = t.Group.Write(now, id, block, mask, out); t.On() {
		t.put(inWrite, &input{Now: now, ID: id, Number: block, Mask: mask}, out[n:])
	}
	return out
}

func (t *Taped) Mark(now time.Duration, id, generation uint64, out []Effect) []Effect {
	n := len(out)
	if out = t.Group.Mark(now, id, generation, out); t.On() {
		t.put(inMark, &input{Now: now, ID: id, Number: generation}, out[n:])
	}
	return out
}

func (t *Taped) Flush(now time.Duration, id, generation uint64, out []Effect) []Effect {
	n := len(out)
	if out = t.Group.Flush(now, id, generation, out); t.On() {
		t.put(inFlush, &input{Now: now, ID: id, Number: generation}, out[n:])
	}
	return out
}

func (t *Taped) Answered(now time.Duration, id uint64, a Answer, out []Effect) []Effect {
	n := len(out)
	if out = t.Group.Answered(now, id, a, out); t.On() {
		t.put(inAnswered, &input{Now: now, ID: id, Err: taped.ErrorOf(a.Err), Attach: a.Attach, Copy: a.Copy, Copies: a.Copies}, out[n:])
	}
	return out
}

func (t *Taped) Configure(now time.Duration, req wire.VolumeAttachReq, out []Effect) []Effect {
	n := len(out)
	if out = t.Group.Configure(now, req, out); t.On() {
		t.put(inConfigure, &input{Now: now, Config: req}, out[n:])
	}
	return out
}

func (t *Taped) Tick(now time.Duration, out []Effect) []Effect {
	n := len(out)
	if out = t.Group.Tick(now, out); t.On() {
		t.put(inTick, &input{Now: now}, out[n:])
	}
	return out
}

func (t *Taped) Close(now time.Duration, err error, out []Effect) []Effect {
	n := len(out)
	if out = t.Group.Close(now, err, out); t.On() {
		t.put(inClose, &input{Now: now, Err: taped.ErrorOf(err)}, out[n:])
	}
	return out
}

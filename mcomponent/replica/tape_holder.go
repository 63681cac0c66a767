package replica

import (
	"fmt"
	"time"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// HolderTapeKind is the kind of the tapes of Holder.
const HolderTapeKind = "mcomponent/replica/holder"

// HolderTapeHead says how to make the holder's side of a tape anew: its head, by wire.Marshal.
type HolderTapeHead struct {
	Node        wire.NodeID
	RegionBytes uint64
	Options     Options
}

// New makes the holder's side that the tape began with.
func (h *HolderTapeHead) New() (*Holder, error) {
	if err := h.Options.Validate(); err != nil {
		return nil, err
	}
	if h.RegionBytes < wire.PageSize || h.RegionBytes > 1<<46 {
		return nil, fmt.Errorf("vRegions of %d bytes, want %d to %d", h.RegionBytes, wire.PageSize, uint64(1)<<46)
	}
	return NewHolder(h.Options, h.Node, h.RegionBytes), nil
}

// The calls of a tape. Numbers are those of the format: explicit, never reused. Read is none: it changes nothing.
const (
	inRegistered  uint8 = 1
	inOpen        uint8 = 2
	inAdd         uint8 = 3
	inHeldWrite   uint8 = 4
	inHeldUnmap   uint8 = 5
	inForgot      uint8 = 6
	inDrop        uint8 = 7
	inPromote     uint8 = 8
	inForget      uint8 = 9
	inExit        uint8 = 10
	inHeldFence   uint8 = 11
	inNextSave    uint8 = 12
	inSaved       uint8 = 13
	inNextFile    uint8 = 14
	inFileDone    uint8 = 15
	inReopen      uint8 = 16
	inUnread      uint8 = 17
	inHeldCut     uint8 = 18
	inOwn         uint8 = 19
	lastHeldInput       = inOwn
)

var holderInputNames = [...]string{"", "registered", "open", "add", "write", "unmap", "forgot", "drop", "promote", "forget", "exit", "fence", "next_save", "saved", "next_file", "file_done", "reopen", "unread", "cut", "own"}

// holderInput is one call of Holder. Which fields are set depends on the kind, as the parameters of the method of that name say.
type holderInput struct {
	Now   time.Duration
	Open  wire.ReplicaOpenReq
	Slot  uint32
	Write wire.ReplicaWrite
	Room  bool
	Unmap wire.ReplicaUnmapReq
	Page  wire.PageNo
	N     uint64
	Ref   wire.ReplicaRef // of drop and promote; of exit and forget its PID and Region
	Epoch wire.Epoch      // of registered
	Save  Save
	Kind  wire.Kind // of saved and file_done: of the error
	Text  string    // of it
	Step  FileStep
	File  wire.ReplicaFile // of file_done; of reopen its Volume
	Item  Item
	Cut   wire.ReplicaCutReq
	Kept  wire.CutState // of own
	Back  bool          // of own
}

// outcome is the error of saved and file_done.
func (in *holderInput) outcome() error {
	if in.Kind == wire.KindNone {
		return nil
	}
	return &wire.Error{Kind: in.Kind, Text: in.Text}
}

// outcomeOf is an error on the tape: its kind and its text.
func outcomeOf(err error) (wire.Kind, string) {
	if err == nil {
		return wire.KindNone, ""
	}
	if e, ok := err.(*wire.Error); ok {
		return e.Kind, e.Text
	}
	return wire.KindOf(err), err.Error()
}

var _ taped.Core = (*Holder)(nil)

// EffectName implements taped.Core: what comes out of a write is what is done with it.
func (h *Holder) EffectName(k uint8) string { return Action(k).String() }

// given is a checksum of what a call gave.
func given(err error, v any) (a taped.Answer) {
	a.Sum = a.Sum.Bytes(wire.Marshal(v))
	a.Err(err)
	return a
}

// wrote is given of a write.
func wrote(slot uint32, act Action, err error) taped.Answer {
	a := given(err, &slotIs{slot, false, act})
	if err == nil {
		a.Kinds = append(a.Kinds, byte(act))
	}
	return a
}

type slotIs struct {
	Slot uint32
	Is   bool
	Act  Action
}

// Apply implements taped.Core.
func (h *Holder) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	if kind < inRegistered || kind > lastHeldInput {
		return a, fmt.Sprintf("call %d", kind), taped.ErrKind
	}
	what = holderInputNames[kind]
	in, err := taped.Read[holderInput](args)
	if err != nil {
		return a, what, err
	}
	switch kind {
	case inRegistered:
		h.Registered(in.Epoch)
	case inOpen:
		o, err := h.Open(in.Open)
		a = given(err, &o)
	case inAdd:
		if h.regions[key{in.Open.PID, in.Open.Region}] != nil || h.slots[in.Slot] != nil {
			return a, what, fmt.Errorf("vRegion %d of process %d is here, or slot %d is used", in.Open.Region, in.Open.PID, in.Slot)
		}
		h.Add(in.Open, in.Slot)
	case inHeldWrite:
		what += fmt.Sprintf(" pid=%d page=%#x version=%d", in.Write.PID, uint64(in.Write.Page), in.Write.Version)
		slot, act, err := h.Write(in.Write, in.Room)
		a = wrote(slot, act, err)
	case inHeldUnmap:
		slot, ok, err := h.Unmap(in.Unmap)
		a = given(err, &slotIs{slot, ok, 0})
	case inForgot:
		h.Forgot(in.Slot, in.Page, in.N)
	case inDrop:
		slot, ok, err := h.Drop(in.Ref)
		a = given(err, &slotIs{slot, ok, 0})
	case inPromote:
		slot, ok, err := h.Promote(in.Ref.PID, in.Ref.Region, in.Ref.Epoch, in.Ref.Config)
		a = given(err, &slotIs{slot, ok, 0})
	case inForget:
		h.Forget(in.Ref.PID, in.Ref.Region)
	case inExit:
		h.Exit(in.Ref.PID)
	case inHeldFence:
		h.Fence()
	case inNextSave:
		s, ok := h.NextSave(in.Now)
		a = given(nil, &s)
		a.Sum = a.Sum.Bool(ok)
	case inSaved:
		free, kept := h.Saved(in.Now, in.Save, in.outcome())
		a.Sum = a.Sum.Bool(free).Bool(kept)
	case inNextFile:
		s, ok := h.NextFile(in.Now)
		a = given(nil, &s)
		a.Sum = a.Sum.Bool(ok)
	case inFileDone:
		if err := h.checkDone(in.Step, in.File, in.outcome()); err != nil {
			return a, what, err
		}
		h.FileDone(in.Now, in.Step, in.File, in.outcome())
	case inReopen:
		h.Reopen(in.File.Volume)
	case inUnread:
		a.Sum = a.Sum.Bool(h.Unread(in.Ref.PID, in.Ref.Region, in.Item))
	case inHeldCut:
		slot, ok, err := h.Cut(in.Cut)
		a = given(err, &slotIs{slot, ok, 0})
	case inOwn:
		h.Own(in.Slot, in.Kept, in.Back)
	}
	return a, what, nil
}

// checkDone says why a tape cannot be right, whose step is not the one under way.
func (h *Holder) checkDone(s FileStep, got wire.ReplicaFile, err error) error {
	if s.No == h.files.step && (s.Kind == OpenFile && h.file(s.At.Volume) == nil || s.Kind == AskFile && err == nil && got.SizeBytes > MaxFileBytes) {
		return fmt.Errorf("step %v of file %d, which is not here, or one of %d bytes", s.Kind, s.At.Volume, got.SizeBytes)
	}
	return nil
}

func (k *key) code(x *taped.Codec) {
	taped.Uint(x, &k.pid)
	taped.Uint(x, &k.region)
}

func (e *entry) code(x *taped.Codec) {
	e.version.code(x)
	taped.Uint(x, &e.sum)
	taped.Within(x, &e.where, lost)
	taped.Uint(x, &e.file)
	taped.Uint(x, &e.block)
}

// code is the state in a snapshot.
func (h *Holder) code(x *taped.Codec) {
	list := h.sorted()
	taped.List(x, &list, maxTapeSlots, func(x *taped.Codec, v **held) {
		if x.Reads() {
			*v = &held{}
		}
		r := *v
		r.key.code(x)
		taped.Uint(x, &r.epoch)
		taped.Uint(x, &r.config)
		taped.Uint(x, &r.barrier)
		x.Message(&r.policy)
		taped.Uint(x, &r.index)
		taped.Uint(x, &r.slot)
		if x.Reads() {
			r.pages.first = wire.PageNo(uint64(r.region) << h.shift)
			r.pre.first = r.pages.first
		}
		r.pages.code(x, 1<<h.shift)
		x.Bool(&r.promoted)
		taped.Text(x, &r.owner)
		taped.Text(x, &r.addr)
		x.Message(&r.kept)
		r.pre.code(x, 1<<h.shift)
		if x.Reads() {
			h.regions[r.key], h.slots[r.slot] = r, r
			for p := range r.pages.all() {
				h.count(r, p, 1)
			}
		}
	})
	if x.Reads() && len(list) != len(h.regions) {
		x.Fail("%d vRegions are there, %d of them once", len(list), len(h.regions))
	}
	taped.Within(x, &h.logged, maxTapePages)
	place := func(x *taped.Codec, p *savePlace) {
		p.key.code(x)
		taped.Uint(x, &p.page)
	}
	taped.List(x, &h.saves, maxTapePages, place)
	taped.Within(x, &h.next, maxTapePages)
	under := h.underway()
	taped.List(x, &under, maxTapePages, place)
	if x.Reads() {
		for _, p := range under {
			h.saving[p] = true
		}
	}
	taped.Int(x, &h.saveDue)
	taped.Within(x, &h.fails, maxTapePages)
	h.files.code(x)
	taped.Uint(x, &h.now)
	taped.Uint(x, &h.past)
	x.Message(&h.stats)
}

func (s *files) code(x *taped.Codec) {
	taped.List(x, &s.list, maxTapeSlots, func(x *taped.Codec, v **file) {
		if x.Reads() {
			*v = &file{}
		}
		f := *v
		x.Message(&f.at)
		x.Bool(&f.open)
		x.Bool(&f.reopen)
		x.Bool(&f.left)
		x.Bool(&f.broken)
		taped.List(x, &f.taken, maxTapePages, func(x *taped.Codec, w *uint64) { taped.Uint(x, w) })
		taped.Within(x, &f.used, maxTapePages)
		taped.Uint(x, &f.low)
	})
	taped.Uint(x, &s.step)
	taped.Uint(x, &s.last)
	taped.Int(x, &s.due)
	taped.Within(x, &s.fails, maxTapePages)
	x.Bool(&s.doubt)
	x.Bool(&s.given)
	x.Bool(&s.maybe)
	taped.Uint(x, &s.bad)
	taped.Uint(x, &s.seq)
	taped.Text(x, &s.why)
	taped.Int(x, &s.check)
	taped.List(x, &s.again, maxTapeSlots, func(x *taped.Codec, k *key) { k.code(x) })
	taped.Int(x, &s.againDue)
	x.Bool(&s.asked)
}

// Snapshot implements taped.Core.
func (h *Holder) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	h.code(x)
	return x.Written()
}

// Restore implements taped.Core.
func (h *Holder) Restore(b []byte) error {
	x := taped.Parse(b)
	if h.code(x); x.End() != nil {
		return x.End()
	}
	return h.CheckInvariants()
}

// TapedHolder is a Holder whose inputs are recorded, if it has a tape.
type TapedHolder struct {
	*Holder
	taped.Log
}

func (t *TapedHolder) put(kind uint8, a taped.Answer, in holderInput) {
	if t.On() {
		t.Put(kind, a, &in)
	}
}

func (t *TapedHolder) Registered(e wire.Epoch) {
	t.Holder.Registered(e)
	t.put(inRegistered, taped.Answer{}, holderInput{Epoch: e})
}

func (t *TapedHolder) Open(req wire.ReplicaOpenReq) (o Opening, err error) {
	if o, err = t.Holder.Open(req); t.On() {
		t.put(inOpen, given(err, &o), holderInput{Open: req})
	}
	return o, err
}

func (t *TapedHolder) Add(req wire.ReplicaOpenReq, slot uint32) {
	t.Holder.Add(req, slot)
	t.put(inAdd, taped.Answer{}, holderInput{Open: req, Slot: slot})
}

func (t *TapedHolder) Write(w wire.ReplicaWrite, room bool) (slot uint32, a Action, err error) {
	if slot, a, err = t.Holder.Write(w, room); t.On() {
		t.put(inHeldWrite, wrote(slot, a, err), holderInput{Write: w, Room: room})
	}
	return slot, a, err
}

func (t *TapedHolder) Unmap(req wire.ReplicaUnmapReq) (slot uint32, ok bool, err error) {
	if slot, ok, err = t.Holder.Unmap(req); t.On() {
		t.put(inHeldUnmap, given(err, &slotIs{slot, ok, 0}), holderInput{Unmap: req})
	}
	return slot, ok, err
}

func (t *TapedHolder) Forgot(slot uint32, first wire.PageNo, n uint64) {
	t.Holder.Forgot(slot, first, n)
	t.put(inForgot, taped.Answer{}, holderInput{Slot: slot, Page: first, N: n})
}

func (t *TapedHolder) Drop(ref wire.ReplicaRef) (slot uint32, ok bool, err error) {
	if slot, ok, err = t.Holder.Drop(ref); t.On() {
		t.put(inDrop, given(err, &slotIs{slot, ok, 0}), holderInput{Ref: ref})
	}
	return slot, ok, err
}

func (t *TapedHolder) Promote(pid wire.PID, region wire.RegionNo, epoch wire.Epoch, config uint64) (slot uint32, ok bool, err error) {
	if slot, ok, err = t.Holder.Promote(pid, region, epoch, config); t.On() {
		t.put(inPromote, given(err, &slotIs{slot, ok, 0}), holderInput{Ref: wire.ReplicaRef{PID: pid, Region: region, Epoch: epoch, Config: config}})
	}
	return slot, ok, err
}

func (t *TapedHolder) Forget(pid wire.PID, region wire.RegionNo) {
	t.Holder.Forget(pid, region)
	t.put(inForget, taped.Answer{}, holderInput{Ref: wire.ReplicaRef{PID: pid, Region: region}})
}

func (t *TapedHolder) Exit(pid wire.PID) {
	t.Holder.Exit(pid)
	t.put(inExit, taped.Answer{}, holderInput{Ref: wire.ReplicaRef{PID: pid}})
}

func (t *TapedHolder) Fence() {
	t.Holder.Fence()
	t.put(inHeldFence, taped.Answer{}, holderInput{})
}

// NextSave is recorded if it changes anything: places in the queue whose pages are gone are passed over without a word.
func (t *TapedHolder) NextSave(now time.Duration) (Save, bool) {
	before, n := t.next, len(t.saves)
	s, ok := t.Holder.NextSave(now)
	if t.On() && (ok || before != t.next || n != len(t.saves)) {
		a := given(nil, &s)
		a.Sum = a.Sum.Bool(ok)
		t.put(inNextSave, a, holderInput{Now: now})
	}
	return s, ok
}

func (t *TapedHolder) Saved(now time.Duration, s Save, err error) (free, kept bool) {
	if free, kept = t.Holder.Saved(now, s, err); t.On() {
		var a taped.Answer
		a.Sum = a.Sum.Bool(free).Bool(kept)
		kind, text := outcomeOf(err)
		t.put(inSaved, a, holderInput{Now: now, Save: s, Kind: kind, Text: text})
	}
	return free, kept
}

func (t *TapedHolder) Cut(req wire.ReplicaCutReq) (slot uint32, ok bool, err error) {
	if slot, ok, err = t.Holder.Cut(req); t.On() {
		t.put(inHeldCut, given(err, &slotIs{slot, ok, 0}), holderInput{Cut: req})
	}
	return slot, ok, err
}

// Own is recorded if anything of the slot is held: else it changes nothing.
func (t *TapedHolder) Own(slot uint32, at wire.CutState, back bool) {
	t.Holder.Own(slot, at, back)
	if t.slots[slot] != nil {
		t.put(inOwn, taped.Answer{}, holderInput{Slot: slot, Kept: at, Back: back})
	}
}

// NextFile is recorded if it gives a step, or changes what is asked for next.
func (t *TapedHolder) NextFile(now time.Duration) (FileStep, bool) {
	due, n := t.files.againDue, len(t.files.again)
	s, ok := t.Holder.NextFile(now)
	if t.On() && (ok || due != t.files.againDue || n != len(t.files.again)) {
		a := given(nil, &s)
		a.Sum = a.Sum.Bool(ok)
		t.put(inNextFile, a, holderInput{Now: now})
	}
	return s, ok
}

func (t *TapedHolder) FileDone(now time.Duration, s FileStep, got wire.ReplicaFile, err error) {
	t.Holder.FileDone(now, s, got, err)
	kind, text := outcomeOf(err)
	t.put(inFileDone, taped.Answer{}, holderInput{Now: now, Step: s, File: got, Kind: kind, Text: text})
}

func (t *TapedHolder) Reopen(id wire.VolumeID) {
	t.Holder.Reopen(id)
	t.put(inReopen, taped.Answer{}, holderInput{File: wire.ReplicaFile{Volume: id}})
}

func (t *TapedHolder) Unread(pid wire.PID, region wire.RegionNo, it Item) bool {
	lost := t.Holder.Unread(pid, region, it)
	if t.On() {
		var a taped.Answer
		a.Sum = a.Sum.Bool(lost)
		t.put(inUnread, a, holderInput{Ref: wire.ReplicaRef{PID: pid, Region: region}, Item: it})
	}
	return lost
}

package volume

import (
	"encoding/binary"
	"fmt"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// TapeKind is the kind of this core's tapes.
const TapeKind = "scomponent/volume"

// TapeHead says how to make the volume of a tape anew: its head, by wire.Marshal.
type TapeHead struct {
	Node   wire.NodeID
	Meta   Meta
	Boot   BootID
	Synced uint64 // of one that came from another sComponent
}

// Head gives the head of a tape that begins now, before the first request.
func (v *Volume) Head(node wire.NodeID) TapeHead { return TapeHead{node, v.meta, v.boot, v.synced} }

// New makes the volume that the tape began with. Take is asked for the memory of versions before it is taken, in bytes; nil
// allows all.
func (h *TapeHead) New(take func(bytes int64) error) (*Volume, error) {
	if h.Meta.SizeBytes > MaxSize {
		return nil, fmt.Errorf("a volume of %d bytes, want at most %d", h.Meta.SizeBytes, uint64(MaxSize))
	}
	v := New(h.Meta, h.Boot)
	v.synced, v.take = h.Synced, take
	return v, nil
}

// takes asks for the memory of so many chunks of versions in all.
func (v *Volume) takes(chunks int) error {
	if v.take == nil || chunks <= v.taken {
		return nil
	}
	err := v.take(int64(chunks-v.taken) * chunkBlocks * 8)
	v.taken = chunks
	return err
}

// The calls of a tape. Numbers are those of the format: explicit, never reused. NewEpoch and Meta are none: they change nothing.
const (
	inRead    uint8 = 1
	inWrite   uint8 = 2
	inFlush   uint8 = 3
	inFlushed uint8 = 4
	inHeader  uint8 = 5
	inAttach  uint8 = 6
	inFail    uint8 = 7
	inLeave   uint8 = 8
	inArrived uint8 = 9
	inRaise   uint8 = 10

	inCopyAttach uint8 = 11
	inCopyRead   uint8 = 12
	inCopyWrite  uint8 = 13
)

var callNames = []string{"", "read", "write", "flush", "flushed", "header", "attach", "fail", "leave", "arrived", "raise", "copy attach", "copy read", "copy write"}

// The kinds of what comes out of a call, beside those of Persist: 1 and 2.
const (
	outApply  uint8 = 3
	outRefuse uint8 = 4
)

// answer is what a call came to. Kinds are made in room.
func answer(room []byte, p Persist, apply bool, err error) taped.Answer {
	a := taped.Answer{Kinds: room[:0]}
	if p != Nothing {
		a.Kinds = append(a.Kinds, uint8(p))
	}
	if apply {
		a.Kinds = append(a.Kinds, outApply)
	}
	if err != nil {
		a.Kinds = append(a.Kinds, outRefuse)
		a.Err(err)
	}
	a.Sum = a.Sum.Uint(uint64(p)).Bool(apply)
	return a
}

func answerHeader(b []byte, off int64) (a taped.Answer) {
	a.Sum = a.Sum.Bytes(b).Uint(uint64(off))
	return a
}

func answerLeave(end *wire.VolumeCopyEndReq) (a taped.Answer) {
	a.Sum = a.Sum.Uint(end.Open).Uint(end.Synced).String(end.Failure).Bool(end.Rebooted)
	return a
}

func answerAttach(room []byte, rep *wire.StorageAttachRep, p Persist, err error) taped.Answer {
	a := answer(room, p, false, err)
	a.Sum = a.Sum.Bytes(wire.Marshal(rep))
	return a
}

func answerCount(room []byte, n uint64, err error) taped.Answer {
	a := answer(room, Nothing, false, err)
	a.Sum = a.Sum.Uint(n)
	return a
}

// appendCopy appends what a request to one of several copies says, and of a write what was there.
func appendCopy(b []byte, k *wire.ReplicaBlock, there wire.BlockVersion, known bool) []byte {
	u := binary.AppendUvarint
	b = u(u(u(u(u(u(b, k.Block), uint64(k.Epoch)), k.Version.No), uint64(k.Version.Epoch)), uint64(k.Flags)), uint64(k.Count))
	return tape.AppendBool(u(u(b, there.No), uint64(there.Epoch)), known)
}

func readCopy(args []byte) (k wire.ReplicaBlock, there wire.BlockVersion, known bool, err error) {
	r := tape.NewReader(args)
	k.Block, k.Epoch, k.Version.No, k.Version.Epoch = r.Uint(), wire.Epoch(r.Below(1<<32)), r.Uint(), wire.Epoch(r.Below(1<<32))
	k.Flags, k.Count = uint32(r.Below(1<<32)), uint32(r.Below(1<<32))
	there.No, there.Epoch, known = r.Uint(), wire.Epoch(r.Below(1<<32)), r.Bool()
	return k, there, known, r.End()
}

// appendBlock appends what a request says, save which volume it is of: offset, length, version, epoch.
func appendBlock(b []byte, k *wire.Block) []byte {
	u := binary.AppendUvarint
	return u(u(u(u(b, k.Offset), uint64(k.Length)), k.Version), uint64(k.VolumeEpoch))
}

func readBlock(args []byte) (k wire.Block, err error) {
	r := tape.NewReader(args)
	k.Offset, k.Length, k.Version, k.VolumeEpoch = r.Uint(), uint32(r.Below(1<<32)), r.Uint(), wire.Epoch(r.Below(1<<32))
	return k, r.End()
}

var _ taped.Core = (*Volume)(nil)

// EffectName implements taped.Core.
func (v *Volume) EffectName(k uint8) string {
	return taped.Name([]string{"", "header written", "header synced", "apply", "refuse"}, k)
}

// Apply implements taped.Core.
func (v *Volume) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	what = taped.Name(callNames, kind)
	switch kind {
	case inRead, inWrite, inFlush, inFlushed:
		k, err := readBlock(args)
		if err != nil {
			return a, what, err
		}
		var p Persist
		apply := false
		switch kind {
		case inRead:
			p, err = v.Read(k)
		case inWrite:
			if k.Length > 0 && v.versions[k.Offset/wire.PageSize/chunkBlocks] == nil {
				if err := v.takes(len(v.versions) + 1); err != nil {
					return a, what, err
				}
			}
			apply, p, err = v.Write(k)
		case inFlush:
			p, err = v.Flush(k)
		case inFlushed:
			p = v.Flushed(k)
		}
		return answer(nil, p, apply, err), what + fmt.Sprintf(" offset=%d length=%d version=%d epoch=%d", k.Offset, k.Length, k.Version, k.VolumeEpoch), nil
	case inHeader, inLeave, inArrived:
		if err := taped.None(args); err != nil {
			return a, what, err
		}
		switch kind {
		case inHeader:
			a = answerHeader(v.Header())
		case inLeave:
			var end wire.VolumeCopyEndReq
			v.Leave(&end)
			a = answerLeave(&end)
		case inArrived:
			a = answer(nil, v.Arrived(), false, nil)
		}
		return a, what, nil
	case inAttach:
		in, err := taped.Read[wire.VolumeAttachReq](args)
		if err != nil {
			return a, what, err
		}
		p, err := v.Attach(in)
		return answer(nil, p, false, err), what + fmt.Sprintf(" epoch=%d", in.Epoch), nil
	case inFail:
		in, err := taped.Read[string](args)
		if err != nil {
			return a, what, err
		}
		p, err := v.Fail(in)
		return answer(nil, p, false, err), what + fmt.Sprintf(" text=%q", in), nil
	case inRaise:
		in, err := taped.Read[wire.Epoch](args)
		if err != nil {
			return a, what, err
		}
		return answer(nil, v.Raise(in), false, nil), what + fmt.Sprintf(" epoch=%d", in), nil
	case inCopyAttach:
		in, err := taped.Read[wire.StorageAttachReq](args)
		if err != nil {
			return a, what, err
		}
		rep, p, err := v.CopyAttach(in)
		return answerAttach(nil, &rep, p, err), what + fmt.Sprintf(" epoch=%d config=%d", in.Epoch, in.Config), nil
	case inCopyRead, inCopyWrite:
		k, there, known, err := readCopy(args)
		if err != nil {
			return a, what, err
		}
		what += fmt.Sprintf(" block=%d version=%d/%d epoch=%d", k.Block, k.Version.Epoch, k.Version.No, k.Epoch)
		if kind == inCopyRead {
			n, err := v.CopyRead(k)
			return answerCount(nil, n, err), what, nil
		}
		apply, err := v.CopyWrite(k, there, known)
		return answer(nil, Nothing, apply, err), what, nil
	}
	return a, what, taped.ErrKind
}

// Show implements taped.Core.
func (v *Volume) Show() string {
	m, blocks := &v.meta, 0
	for _, c := range v.versions { // a sum: the order does not matter
		for _, n := range c {
			if n > 0 {
				blocks++
			}
		}
	}
	text := fmt.Sprintf("%d bytes under epoch %d, %d blocks written under it; generation %d flushed, %d marked; header %d\n", m.SizeBytes, m.Epoch, blocks, v.synced, m.Open, m.Sequence)
	if m.Failure != "" {
		text += fmt.Sprintf("failed: %s\n", m.Failure)
	}
	return text
}

// code is the state in a snapshot. Versions of neighbours are close: each is its distance from the one before.
func (v *Volume) code(x *taped.Codec) {
	was := v.meta
	x.Message(&v.meta)
	if v.meta.ID != was.ID || v.meta.SizeBytes != was.SizeBytes {
		x.Fail("the state of volume %d with %d bytes, want volume %d with %d", v.meta.ID, v.meta.SizeBytes, was.ID, was.SizeBytes)
	}
	taped.Uint(x, &v.synced)
	chunks := was.SizeBytes/wire.PageSize/chunkBlocks + 1
	key := func(x *taped.Codec, k *uint64) { taped.Within(x, k, chunks-1) }
	taped.Map(x, &v.versions, int(chunks), key, func(x *taped.Codec, c **[chunkBlocks]uint64) {
		if x.Reads() {
			if err := v.takes(len(v.versions) + 1); err != nil {
				x.Fail("%v", err)
			}
			*c = new([chunkBlocks]uint64)
		}
		last := uint64(0)
		for i := range *c {
			d := int64((*c)[i] - last)
			taped.Int(x, &d)
			last += uint64(d)
			(*c)[i] = last
		}
	})
}

// Snapshot implements taped.Core.
func (v *Volume) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	v.code(x)
	return x.Written()
}

// Restore implements taped.Core.
func (v *Volume) Restore(b []byte) error {
	x := taped.Parse(b)
	if v.code(x); x.End() != nil {
		return x.End()
	}
	return v.CheckInvariants()
}

// Taped is a Volume whose inputs are recorded, if it has a tape. Without one each costs one branch more.
type Taped struct {
	*Volume
	taped.Log
	room [3]byte
}

// block records a request.
func (t *Taped) block(kind uint8, k *wire.Block, p Persist, apply bool, err error) {
	t.EndRecord(appendBlock(t.BeginRecord(kind, answer(t.room[:], p, apply, err)), k))
}

func (t *Taped) Read(k wire.Block) (Persist, error) {
	p, err := t.Volume.Read(k)
	if t.On() {
		t.block(inRead, &k, p, false, err)
	}
	return p, err
}

func (t *Taped) Write(k wire.Block) (apply bool, p Persist, err error) {
	apply, p, err = t.Volume.Write(k)
	if t.On() {
		t.block(inWrite, &k, p, apply, err)
	}
	return apply, p, err
}

func (t *Taped) Flush(k wire.Block) (Persist, error) {
	p, err := t.Volume.Flush(k)
	if t.On() {
		t.block(inFlush, &k, p, false, err)
	}
	return p, err
}

func (t *Taped) Flushed(k wire.Block) Persist {
	p := t.Volume.Flushed(k)
	if t.On() {
		t.block(inFlushed, &k, p, false, nil)
	}
	return p
}

func (t *Taped) Header() (b []byte, off int64) {
	b, off = t.Volume.Header()
	if t.On() {
		t.Bare(inHeader, answerHeader(b, off))
	}
	return b, off
}

func (t *Taped) Attach(req wire.VolumeAttachReq) (Persist, error) {
	p, err := t.Volume.Attach(req)
	if t.On() {
		t.Put(inAttach, answer(t.room[:], p, false, err), &req)
	}
	return p, err
}

func (t *Taped) Fail(text string) (Persist, error) {
	p, err := t.Volume.Fail(text)
	if t.On() {
		t.Put(inFail, answer(t.room[:], p, false, err), &text)
	}
	return p, err
}

func (t *Taped) Leave(end *wire.VolumeCopyEndReq) {
	t.Volume.Leave(end)
	if t.On() {
		t.Bare(inLeave, answerLeave(end))
	}
}

func (t *Taped) Arrived() Persist {
	p := t.Volume.Arrived()
	if t.On() {
		t.Bare(inArrived, answer(t.room[:], p, false, nil))
	}
	return p
}

func (t *Taped) Raise(e wire.Epoch) Persist {
	p := t.Volume.Raise(e)
	if t.On() {
		t.Put(inRaise, answer(t.room[:], p, false, nil), &e)
	}
	return p
}

func (t *Taped) CopyAttach(req wire.StorageAttachReq) (wire.StorageAttachRep, Persist, error) {
	rep, p, err := t.Volume.CopyAttach(req)
	if t.On() {
		t.Put(inCopyAttach, answerAttach(t.room[:], &rep, p, err), &req)
	}
	return rep, p, err
}

func (t *Taped) CopyRead(k wire.ReplicaBlock) (uint64, error) {
	n, err := t.Volume.CopyRead(k)
	if t.On() {
		t.EndRecord(appendCopy(t.BeginRecord(inCopyRead, answerCount(t.room[:], n, err)), &k, wire.BlockVersion{}, false))
	}
	return n, err
}

func (t *Taped) CopyWrite(k wire.ReplicaBlock, there wire.BlockVersion, known bool) (bool, error) {
	apply, err := t.Volume.CopyWrite(k, there, known)
	if t.On() {
		t.EndRecord(appendCopy(t.BeginRecord(inCopyWrite, answer(t.room[:], Nothing, apply, err)), &k, there, known))
	}
	return apply, err
}

package migrate

import (
	"fmt"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// TakerTapeKind is the kind of a taker's tapes.
const TakerTapeKind = "scomponent/migrate/taker"

// TakerHead says how to make the taker of a tape anew: its head, by wire.Marshal.
type TakerHead struct {
	Node     wire.NodeID
	Ref      wire.VolumeMoveRef
	Complete bool // before a restart
}

// Head gives the head of a tape that begins now, before the first request.
func (t *Taker) Head(node wire.NodeID) TakerHead { return TakerHead{node, t.Ref(), t.complete} }

// New makes the taker that the tape began with.
func (h *TakerHead) New() *Taker {
	t := Kept(h.Ref)
	t.complete = h.Complete
	return t
}

// The calls of a taker's tape. Numbers are those of the format: explicit, never reused. Check and Newer are none: they change
// nothing.
const (
	inCopy  uint8 = 1
	inEnd   uint8 = 2
	inEnded uint8 = 3
	inServe uint8 = 4
)

type (
	copyArgs struct {
		Move  wire.MoveID
		Round uint32
	}
	endArgs struct {
		Move  wire.MoveID
		Round uint32
		Last  bool
	}
)

// outRefuse is the kind of a refusal.
const outRefuse uint8 = 1

// answer is what a call came to, and where the taker stands after it.
func (t *Taker) answer(again bool, err error) (a taped.Answer) {
	if err != nil {
		a.Kinds = append(a.Kinds, outRefuse)
		a.Err(err)
	}
	a.Sum = a.Sum.Bool(again).Uint(uint64(t.round)).Bool(t.complete)
	return a
}

var _ taped.Core = (*Taker)(nil)

// EffectName implements taped.Core.
func (t *Taker) EffectName(k uint8) string { return taped.Name([]string{"", "refuse"}, k) }

// Apply implements taped.Core.
func (t *Taker) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	switch kind {
	case inCopy:
		in, err := taped.Read[copyArgs](args)
		if err != nil {
			return a, "copy", err
		}
		return t.answer(false, t.Copy(in.Move, in.Round)), fmt.Sprintf("copy round=%d", in.Round), nil
	case inEnd:
		in, err := taped.Read[endArgs](args)
		if err != nil {
			return a, "end", err
		}
		return t.answer(t.End(in.Move, in.Round, in.Last)), fmt.Sprintf("end round=%d last=%t", in.Round, in.Last), nil
	case inEnded:
		if err := taped.None(args); err != nil {
			return a, "ended", err
		}
		t.Ended()
		return t.answer(false, nil), "ended", nil
	case inServe:
		in, err := taped.Read[wire.VolumeMoveRef](args)
		if err != nil {
			return a, "serve", err
		}
		return t.answer(false, t.Serve(in)), fmt.Sprintf("serve epoch=%d", in.Epoch), nil
	}
	return a, fmt.Sprintf("call %d", kind), taped.ErrKind
}

// Show implements taped.Core.
func (t *Taker) Show() string {
	return fmt.Sprintf("volume %d comes under epoch %d with move %d: round %d, complete %t\n", t.volume, t.epoch, t.move.No, t.round, t.complete)
}

// code is the state in a snapshot.
func (t *Taker) code(x *taped.Codec) {
	taped.Uint(x, &t.round)
	x.Bool(&t.complete)
}

// Snapshot implements taped.Core.
func (t *Taker) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	t.code(x)
	return x.Written()
}

// Restore implements taped.Core.
func (t *Taker) Restore(b []byte) error {
	x := taped.Parse(b)
	t.code(x)
	return x.End()
}

// CheckInvariants implements taped.Core: each state of a taker may be.
func (t *Taker) CheckInvariants() error { return nil }

// TapedTaker is a Taker whose inputs are recorded, if it has a tape.
type TapedTaker struct {
	*Taker
	taped.Log
}

func (t *TapedTaker) Copy(m wire.MoveID, round uint32) error {
	err := t.Taker.Copy(m, round)
	if t.On() {
		t.Put(inCopy, t.answer(false, err), &copyArgs{m, round})
	}
	return err
}

func (t *TapedTaker) End(m wire.MoveID, round uint32, last bool) (again bool, err error) {
	again, err = t.Taker.End(m, round, last)
	if t.On() {
		t.Put(inEnd, t.answer(again, err), &endArgs{m, round, last})
	}
	return again, err
}

func (t *TapedTaker) Ended() {
	t.Taker.Ended()
	if t.On() {
		t.Bare(inEnded, t.answer(false, nil))
	}
}

func (t *TapedTaker) Serve(ref wire.VolumeMoveRef) error {
	err := t.Taker.Serve(ref)
	if t.On() {
		t.Put(inServe, t.answer(false, err), &ref)
	}
	return err
}

package iosched

import (
	"encoding/binary"
	"fmt"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// TapeKind is the kind of this core's tapes.
const TapeKind = "scomponent/iosched"

// TapeHead says how to make the scheduler of a tape anew: its head, by wire.Marshal.
type TapeHead struct {
	Node   wire.NodeID
	Volume wire.VolumeID
	Limit  int
}

// maxLimit bounds the flushes that a tape may say that wait: as Options of the sComponent do.
const maxLimit = 1 << 16

// New makes the scheduler that the tape began with.
func (h *TapeHead) New() (*Scheduler, error) {
	if h.Limit < 1 || h.Limit > maxLimit {
		return nil, fmt.Errorf("%d flushes that wait, want 1 to %d", h.Limit, maxLimit)
	}
	return New(h.Limit), nil
}

// The calls of a tape. Numbers are those of the format: explicit, never reused.
const (
	inFlush  uint8 = 1
	inSynced uint8 = 2
)

// answer is what a record says of effects. Kinds are made in room.
func answer(room []byte, out []Effect) taped.Answer {
	a := taped.Answer{Kinds: room[:0]}
	for i := range out {
		e := &out[i]
		a.Kinds = append(a.Kinds, uint8(e.Kind))
		a.Sum = a.Sum.Uint(e.ID)
		a.Err(e.Err)
	}
	return a
}

var _ taped.Core = (*Scheduler)(nil)

// EffectName implements taped.Core.
func (s *Scheduler) EffectName(k uint8) string { return taped.Name([]string{"", "sync", "ack"}, k) }

// Apply implements taped.Core.
func (s *Scheduler) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	switch kind {
	case inFlush:
		r := tape.NewReader(args)
		id := r.Uint()
		if err := r.End(); err != nil {
			return a, "flush", err
		}
		return answer(nil, s.Flush(id, nil)), fmt.Sprintf("flush id=%d", id), nil
	case inSynced:
		if len(args) == 0 {
			return answer(nil, s.Synced(nil, nil)), "synced", nil
		}
		in, err := taped.Read[taped.Error](args)
		if err != nil {
			return a, "synced", err
		}
		return answer(nil, s.Synced(&in, nil)), fmt.Sprintf("synced error=%q", in.Text), nil
	}
	return a, fmt.Sprintf("call %d", kind), taped.ErrKind
}

// Show implements taped.Core.
func (s *Scheduler) Show() string {
	return fmt.Sprintf("running %t: covered %v, waiting %v; %+v\n", s.running, s.covered, s.next, s.stats)
}

// code is the state in a snapshot.
func (s *Scheduler) code(x *taped.Codec) {
	taped.List(x, &s.covered, s.limit, taped.Uint)
	taped.List(x, &s.next, s.limit, taped.Uint)
	x.Bool(&s.running)
	x.Message(&s.stats)
}

// Snapshot implements taped.Core.
func (s *Scheduler) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	s.code(x)
	return x.Written()
}

// Restore implements taped.Core.
func (s *Scheduler) Restore(b []byte) error {
	x := taped.Parse(b)
	if s.code(x); x.End() != nil {
		return x.End()
	}
	return s.CheckInvariants()
}

// Taped is a Scheduler whose inputs are recorded, if it has a tape. Without one each costs one branch more.
type Taped struct {
	*Scheduler
	taped.Log
	room []byte
}

func (t *Taped) Flush(id uint64, out []Effect) []Effect {
	n := len(out)
	out = t.Scheduler.Flush(id, out)
	if t.On() {
		a := answer(t.room, out[n:])
		t.room = a.Kinds
		t.EndRecord(binary.AppendUvarint(t.BeginRecord(inFlush, a), id))
	}
	return out
}

func (t *Taped) Synced(err error, out []Effect) []Effect {
	n := len(out)
	out = t.Scheduler.Synced(err, out)
	if t.On() {
		a := answer(t.room, out[n:])
		if t.room = a.Kinds; err == nil {
			t.Bare(inSynced, a)
		} else {
			t.Put(inSynced, a, taped.ErrorOf(err))
		}
	}
	return out
}

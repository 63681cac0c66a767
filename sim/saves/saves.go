package saves

import (
	"context"
	"errors"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/checkpoint"
)

// MaxRequestBytes is the largest block request that is made here.
const MaxRequestBytes = 1 << 20

// Blocks is a volume.
type Blocks interface {
	Read(ctx context.Context, offset uint64, b []byte) error
	Write(ctx context.Context, offset uint64, b []byte) error
	Flush(ctx context.Context) error
}

// Keeper decides: a checkpoint.Keeper, or one whose inputs are recorded.
type Keeper interface {
	Due(made uint64) bool
	Next(now time.Duration, made uint64) checkpoint.Effect
	Step(now time.Duration, made uint64, o checkpoint.Outcome)
	Guard(volume uint32, first, last uint64) (checkpoint.Guarded, error)
}

// Steps are what a checkpoint is made of, on a process whose threads stand still.
type Steps struct {
	Now    func() time.Duration
	Pause  func(time.Duration)
	Drain  func() (version uint64, err error) // dirty lines are written back; the version of the last flush
	Undo   func()                             // of Drain
	Sync   func() error                       // volumes that were written to are flushed
	Save   func(wire.Cut) error               // the state is written into its slot and flushed
	Tell   func(wire.Cut) error               // the home hears of it
	Failed func(error) *wire.Error            // an error as the keeper knows it
	Making func(on bool)                      // hears when one is begun, and that it has ended; may be nil
}

// Make makes the checkpoint that is due, if one is. An error is the end of the process.
func Make(k Keeper, s Steps, made uint64) error {
	if !k.Due(made) {
		return nil
	}
	if s.Making != nil {
		s.Making(true)
		defer s.Making(false)
	}
	for {
		e := k.Next(s.Now(), made)
		var o checkpoint.Outcome
		var err error
		switch e.Kind {
		case checkpoint.Go:
			if e.Err != nil {
				return e.Err
			}
			s.Undo()
			return nil
		case checkpoint.Pause:
			s.Pause(e.Until - s.Now())
		case checkpoint.Drain:
			o.Version, err = s.Drain()
		case checkpoint.Sync:
			err = s.Sync()
		case checkpoint.Save:
			err = s.Save(e.Cut)
		case checkpoint.Tell:
			err = s.Tell(e.Cut)
		}
		o.Err = s.Failed(err)
		k.Step(s.Now(), made, o)
	}
}

// Write writes a checkpoint into its slot and flushes that.
func Write(ctx context.Context, store Blocks, l checkpoint.Layout, h checkpoint.Head, body []byte) error {
	b, err := l.EncodeSlot(h, body)
	if err != nil {
		return err
	}
	for at := l.Slot(h.Cut.Number); len(b) > 0; {
		n := min(len(b), MaxRequestBytes)
		if err := store.Write(ctx, at, b[:n]); err != nil {
			return err
		}
		at, b = at+uint64(n), b[n:]
	}
	return store.Flush(ctx)
}

func readAll(ctx context.Context, from Blocks, at uint64, b []byte) error {
	for len(b) > 0 {
		n := min(len(b), MaxRequestBytes)
		if err := from.Read(ctx, at, b[:n]); err != nil {
			return err
		}
		at, b = at+uint64(n), b[n:]
	}
	return nil
}

// Guard keeps what a write of [start, end) of a volume will change, if the last checkpoint has it and it was not kept since. first makes a
// checkpoint, when the log has no room. buf is used again by the next.
func Guard(ctx context.Context, k Keeper, l checkpoint.Layout, store, volume Blocks, no uint32, start, end uint64, buf *[]byte, first func() error) error {
	for start < end {
		g, err := k.Guard(no, start/wire.PageSize, (end-1)/wire.PageSize)
		if err != nil {
			return err
		}
		if g.First {
			if err := first(); err != nil {
				return err
			}
			continue
		}
		at := l.Log() + g.At
		for _, u := range g.Undo {
			if need := u.Bytes(); uint64(cap(*buf)) < need {
				*buf = make([]byte, need)
			}
			b := (*buf)[:u.Bytes()]
			clear(b)
			if err := volume.Read(ctx, u.Sector*wire.SectorSize, b[checkpoint.HeadBytes:]); err != nil {
				return err
			}
			checkpoint.EncodeUndo(u, b)
			if err := store.Write(ctx, at, b); err != nil {
				return err
			}
			at += uint64(len(b))
		}
		if len(g.Undo) == 0 {
			return nil
		}
		return store.Flush(ctx) // before the write that could reach the disk first
	}
	return nil
}

// Read reads the newest whole checkpoint of a store; false if there is none.
func Read(ctx context.Context, store Blocks, l checkpoint.Layout) (h checkpoint.Head, body []byte, ok bool, err error) {
	for slot := range uint64(2) {
		head := make([]byte, checkpoint.HeadBytes)
		if err := store.Read(ctx, l.Slot(slot), head); err != nil {
			return h, nil, false, err
		}
		got, is := l.ParseHead(head)
		if !is || ok && got.Cut.Number < h.Cut.Number {
			continue
		}
		b := make([]byte, (got.Body+wire.SectorSize-1)/wire.SectorSize*wire.SectorSize)
		if err := readAll(ctx, store, l.Slot(slot)+checkpoint.HeadBytes, b); err != nil {
			return h, nil, false, err
		}
		if b = b[:got.Body]; got.Holds(b) { // else it was torn
			h, body, ok = got, b, true
		}
	}
	return h, body, ok, nil
}

// Revert writes back what the log of a checkpoint kept, and flushes the volumes.
func Revert(ctx context.Context, store Blocks, l checkpoint.Layout, h checkpoint.Head, volumes []Blocks) (sectors uint64, err error) {
	head := make([]byte, checkpoint.HeadBytes)
	var epoch wire.Epoch
	touched := make([]bool, len(volumes))
	for at, no := l.Log(), uint32(0); at+checkpoint.HeadBytes <= l.Bytes(); no++ {
		if err := store.Read(ctx, at, head); err != nil {
			return sectors, err
		}
		u, sum, ok := checkpoint.ParseUndo(head)
		if no == 0 {
			epoch = u.Epoch
		}
		if !ok || u.Number != h.Cut.Number || u.No != no || u.Epoch != epoch || at+u.Bytes() > l.Bytes() {
			break
		}
		if int(u.Volume) >= len(volumes) {
			return sectors, wire.Errorf(wire.KindCorrupt, "record %d of the checkpoint's log is about volume %d of %d", no, u.Volume, len(volumes))
		}
		b := make([]byte, u.Bytes()-checkpoint.HeadBytes)
		if err := store.Read(ctx, at+checkpoint.HeadBytes, b); err != nil {
			return sectors, err
		}
		if checkpoint.UndoSum(b) != sum {
			break // it was torn: the write that it guards was never begun
		}
		if err := volumes[u.Volume].Write(ctx, u.Sector*wire.SectorSize, b); err != nil {
			return sectors, err
		}
		touched[u.Volume] = true
		sectors += uint64(u.Sectors)
		at += u.Bytes()
	}
	for i, v := range volumes {
		if touched[i] {
			if err := v.Flush(ctx); err != nil {
				return sectors, err
			}
		}
	}
	return sectors, nil
}

// AsError gives an error as the cores know it, or nil.
func AsError(err error) *wire.Error {
	if err == nil {
		return nil
	}
	var e *wire.Error
	if e, ok := err.(*wire.Error); ok {
		return e
	}
	if errors.As(err, &e) {
		return &wire.Error{Kind: e.Kind, Text: err.Error()}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return wire.Errorf(wire.KindTimeout, "%v", err)
	}
	return wire.Errorf(wire.KindInternal, "%v", err)
}

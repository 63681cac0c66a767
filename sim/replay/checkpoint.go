package replay

import (
	"context"
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/checkpoint"
	"splitkernel/sim/trace"
)

// Checkpoints say how a process makes checkpoints.
type Checkpoints struct {
	On        bool
	Every     uint64 // accesses; 0 makes one at the beginning only
	RoomBytes uint64 // of the checkpoint volume
}

// Layout says where in the checkpoint volume what lies.
func (c *Checkpoints) Layout() checkpoint.Layout {
	return checkpoint.LayoutOf(c.RoomBytes)
}

func (c *Checkpoints) options() checkpoint.Options {
	return checkpoint.Options{Every: c.Every, LogBytes: c.Layout().LogBytes, Patience: checkpoint.DefaultPatience, Pause: checkpoint.DefaultPause}
}

// keeping makes the checkpoints of one process, on either engine.
type keeping struct {
	core   *checkpoint.TapedKeeper
	layout checkpoint.Layout
	store  blocks
	buf    []byte // of records of the log

	now    func() time.Duration
	pause  func(time.Duration)
	drain  func() (version uint64, err error)
	undo   func() // of drain
	export func() ([]byte, error)
	tell   func(wire.Cut) error
	epoch  func() wire.Epoch
	moved  func() bool // something that the last checkpoint needs did not stay where it was
	failed func(error) *wire.Error
	made   func(checkpoint.Head) // told of each checkpoint; may be nil
}

// saved is the body of a checkpoint.
type saved struct {
	Spec  Spec
	State []byte // as exportState gives it
}

// upTo is how many of the references up to end may be made before the next checkpoint.
func (j *player) upTo(end int) int {
	if j.keep == nil {
		return end
	}
	return int(min(uint64(end), uint64(j.at.Ref)+j.keep.core.Left(j.issued)))
}

// keepUp makes a checkpoint if one is due. b is the batch at which the replay is, if any of it was made.
func (j *player) keepUp(a accesses, b *trace.Batch) error {
	k := j.keep
	if k == nil {
		return nil
	}
	if k.moved() {
		k.core.Hurry()
		k.core.Moved(k.epoch())
	}
	if !k.core.Due(j.issued) {
		return nil
	}
	if a != nil {
		if err := a.barrier(); err != nil {
			return err
		}
	}
	if j.at.Sum = 0; b != nil && j.at.within() {
		j.at.Sum = batchSum(b)
	}
	for {
		e := k.core.Next(k.now(), j.issued)
		var o checkpoint.Outcome
		var err error
		switch e.Kind {
		case checkpoint.Go:
			if e.Err != nil {
				return e.Err
			}
			k.undo()
			return nil
		case checkpoint.Pause:
			k.pause(e.Until - k.now())
		case checkpoint.Drain:
			o.Version, err = k.drain()
		case checkpoint.Sync:
			for _, v := range j.volumes {
				if err == nil && j.blocks.writes > 0 {
					err = v.Flush(j.ctx)
				}
			}
		case checkpoint.Save:
			err = j.save(e.Cut)
		case checkpoint.Tell:
			err = k.tell(e.Cut)
		}
		o.Err = k.failed(err)
		k.core.Step(k.now(), j.issued, o)
	}
}

// save writes a checkpoint into its slot and flushes it.
func (j *player) save(at wire.Cut) error {
	k := j.keep
	state, err := k.export()
	if err != nil {
		return err
	}
	h := checkpoint.Head{PID: j.spec.PID, Cut: at, Done: j.issued}
	b, err := k.layout.EncodeSlot(h, wire.Marshal(&saved{j.spec, state}))
	if err == nil {
		err = writeAll(j.ctx, k.store, k.layout.Slot(at.Number), b)
	}
	if err == nil {
		err = k.store.Flush(j.ctx)
	}
	if err == nil && k.made != nil {
		k.made(h)
	}
	return err
}

// writeAll writes in requests of at most MaxRequestBytes.
func writeAll(ctx context.Context, to blocks, at uint64, b []byte) error {
	for len(b) > 0 {
		n := min(len(b), MaxRequestBytes)
		if err := to.Write(ctx, at, b[:n]); err != nil {
			return err
		}
		at, b = at+uint64(n), b[n:]
	}
	return nil
}

// readAll is the same for a read.
func readAll(ctx context.Context, from blocks, at uint64, b []byte) error {
	for len(b) > 0 {
		n := min(len(b), MaxRequestBytes)
		if err := from.Read(ctx, at, b[:n]); err != nil {
			return err
		}
		at, b = at+uint64(n), b[n:]
	}
	return nil
}

// guard keeps what a write of [start, end) of a volume will change, if the last checkpoint has it and it was not kept since.
func (j *player) guard(volume uint32, start, end uint64) error {
	k := j.keep
	if k == nil || start == end {
		return nil
	}
	for {
		g, err := k.core.Guard(volume, start/wire.PageSize, (end-1)/wire.PageSize)
		if err != nil {
			return err
		}
		if g.First {
			if err := j.keepUp(j.lane, j.within); err != nil {
				return err
			}
			continue
		}
		at := k.layout.Log() + g.At
		for _, u := range g.Undo {
			if need := u.Bytes(); uint64(cap(k.buf)) < need {
				k.buf = make([]byte, need)
			}
			b := k.buf[:u.Bytes()]
			clear(b)
			if err := j.volumes[volume].Read(j.ctx, u.Sector*wire.SectorSize, b[checkpoint.HeadBytes:]); err != nil {
				return err
			}
			checkpoint.EncodeUndo(u, b)
			if err := k.store.Write(j.ctx, at, b); err != nil {
				return err
			}
			at += uint64(len(b))
		}
		if len(g.Undo) == 0 {
			return nil
		}
		return k.store.Flush(j.ctx) // before the write that could reach the disk first
	}
}

// readCheckpoint reads the newest whole checkpoint of a checkpoint volume; false if there is none.
func readCheckpoint(ctx context.Context, store blocks, l checkpoint.Layout) (h checkpoint.Head, s saved, ok bool, err error) {
	for slot := range uint64(2) {
		head := make([]byte, checkpoint.HeadBytes)
		if err := store.Read(ctx, l.Slot(slot), head); err != nil {
			return h, s, false, err
		}
		got, is := l.ParseHead(head)
		if !is || ok && got.Cut.Number < h.Cut.Number {
			continue
		}
		body := make([]byte, (got.Body+wire.SectorSize-1)/wire.SectorSize*wire.SectorSize)
		if err := readAll(ctx, store, l.Slot(slot)+checkpoint.HeadBytes, body); err != nil {
			return h, s, false, err
		}
		if body = body[:got.Body]; !got.Holds(body) {
			continue // it was torn
		}
		var is2 saved
		if err := wire.Unmarshal(body, &is2); err != nil {
			return h, s, false, err
		}
		h, s, ok = got, is2, true
	}
	return h, s, ok, nil
}

// revert writes back what the log of a checkpoint kept, and flushes the volumes.
func revert(ctx context.Context, store blocks, l checkpoint.Layout, h checkpoint.Head, volumes []blocks) (sectors uint64, err error) {
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

// goTo opens the trace at the place of a checkpoint.
func (j *player) goTo() error {
	if j.at.Batch == 0 && !j.at.within() {
		return nil // once opens it
	}
	src, err := trace.OpenFormat(j.spec.Trace, j.spec.Format)
	if err != nil {
		return err
	}
	j.src = src
	if j.at.Batch > 0 {
		if err := trace.Skip(src, j.at.Batch); err != nil {
			return fmt.Errorf("%s ends before batch %d, at which the checkpoint is: %w", j.spec.Trace, j.at.Batch, err)
		}
	}
	if !j.at.within() {
		return nil
	}
	b, err := src.Next()
	if err != nil {
		return err
	}
	if batchSum(b) != j.at.Sum {
		return fmt.Errorf("batch %d of %s (reference %d on, %d references) is another one than at the checkpoint: it is not the same trace", j.at.Batch, j.spec.Trace, b.First, len(b.Refs))
	}
	j.batch = b
	return nil
}

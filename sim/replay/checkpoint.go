package replay

import (
	"context"
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/checkpoint"
	"splitkernel/sim/saves"
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
	making func(on bool)         // the same, when one begins and ends
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
	}
	k.core.Moved(k.epoch()) // it may have moved itself
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
	sync := func() (err error) {
		for _, v := range j.volumes {
			if err == nil && j.blocks.writes > 0 {
				err = v.Flush(j.ctx)
			}
		}
		return err
	}
	return saves.Make(k.core, saves.Steps{Now: k.now, Pause: k.pause, Drain: k.drain, Undo: k.undo, Sync: sync, Save: j.save, Tell: k.tell, Failed: k.failed, Making: k.making}, j.issued)
}

// save writes a checkpoint into its slot and flushes it.
func (j *player) save(at wire.Cut) error {
	k := j.keep
	state, err := k.export()
	if err != nil {
		return err
	}
	h := checkpoint.Head{PID: j.spec.PID, Cut: at, Done: j.issued}
	err = saves.Write(j.ctx, k.store, k.layout, h, wire.Marshal(&saved{j.spec, state}))
	if err == nil && k.made != nil {
		k.made(h)
	}
	return err
}

// guard keeps what a write of [start, end) of a volume will change, if the last checkpoint has it and it was not kept since.
func (j *player) guard(volume uint32, start, end uint64) error {
	k := j.keep
	if k == nil || start == end {
		return nil
	}
	return saves.Guard(j.ctx, k.core, k.layout, k.store, j.volumes[volume], volume, start, end, &k.buf, func() error { return j.keepUp(j.lane, j.within) })
}

// readCheckpoint reads the newest whole checkpoint of a checkpoint volume; false if there is none.
func readCheckpoint(ctx context.Context, store blocks, l checkpoint.Layout) (h checkpoint.Head, s saved, ok bool, err error) {
	h, body, ok, err := saves.Read(ctx, store, l)
	if ok {
		err = wire.Unmarshal(body, &s)
	}
	return h, s, ok && err == nil, err
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

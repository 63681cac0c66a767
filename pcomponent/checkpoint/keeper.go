package checkpoint

import (
	"fmt"
	"slices"
	"time"

	"splitkernel/netlayer/wire"
)

// Options say how checkpoints are made.
type Options struct {
	Every    uint64        // accesses between two; 0 makes one only at the beginning, and when the log is full
	LogBytes uint64        // of the checkpoint volume
	Patience time.Duration // how long the home and the owners may be out of reach before the process fails
	Pause    time.Duration // before they are asked again
}

// Times of a live cluster: owners that move or are started again take seconds.
const (
	DefaultPatience = 20 * time.Second
	DefaultPause    = 20 * time.Millisecond
)

// EffectKind says what to do next. Each effect is answered by one Step.
type EffectKind uint8

// The effects. The threads stand still for all of them.
const (
	Drain EffectKind = 1 // write every dirty line back and wait for the acknowledgements: Err, and Cut.Version, that of the last flush
	Sync  EffectKind = 2 // flush the volumes that were written to: Err
	Save  EffectKind = 3 // write the state with Cut into its slot, and flush that: Err
	Tell  EffectKind = 4 // tell the home of Cut: Err
	Pause EffectKind = 5 // wait until Until
	Go    EffectKind = 6 // let the threads go on, or fail the process with Err: not answered
)

// Effect is what to do next.
type Effect struct {
	Kind  EffectKind
	Cut   wire.Cut
	Until time.Duration
	Err   *wire.Error
}

// Outcome is what came of an effect.
type Outcome struct {
	Err     *wire.Error
	Version uint64
}

type phase uint8

const (
	idle phase = iota
	draining
	syncing
	saving
	telling
	failed
)

// Keeper makes the checkpoints of one process. Make one with NewKeeper; it is not safe for concurrent use.
type Keeper struct {
	o     Options
	epoch wire.Epoch

	phase  phase
	last   wire.Cut // that everybody knows, if made
	now    wire.Cut // under way
	made   bool     // there is one
	hurry  bool     // the next is made at once
	due    uint64   // accesses at which the next is made
	began  time.Duration
	since  time.Duration // it is told
	wait   time.Duration
	paused bool
	err    *wire.Error

	log   uint64     // bytes of the log
	wrote wire.Epoch // of the process when the log began: what is left of one before has another, so all records have this one, also after a move
	no    uint32     // records in it
	kept  map[blockKey]bool
	early uint64 // checkpoints before their time
	took  time.Duration
}

type blockKey struct {
	volume uint32
	block  uint64
}

// NewKeeper makes the keeper of a process that has not begun: its first checkpoint is the beginning.
func NewKeeper(o Options, epoch wire.Epoch) *Keeper {
	return &Keeper{o: o, epoch: epoch, wrote: epoch, kept: map[blockKey]bool{}}
}

// Again makes the keeper of a process that goes on from a checkpoint under a new epoch.
func Again(o Options, epoch wire.Epoch, from Head) *Keeper {
	k := NewKeeper(o, epoch)
	k.last, k.made = from.Cut, true
	k.due = k.after(from.Done)
	return k
}

// after is when the checkpoint behind so many accesses is made: at the multiples of Every, whatever came between.
func (k *Keeper) after(done uint64) uint64 {
	if k.o.Every == 0 {
		return ^uint64(0)
	}
	return (done/k.o.Every + 1) * k.o.Every
}

// Left is how many accesses may be made before the next checkpoint; at least 1 while none is due.
func (k *Keeper) Left(made uint64) uint64 {
	if k.Due(made) {
		return 0
	}
	return k.due - made
}

// Due reports whether a checkpoint is due, or under way.
func (k *Keeper) Due(made uint64) bool { return k.phase != idle || !k.made || k.hurry || made >= k.due }

// Hurry has the next checkpoint made at once: something that the last one needs is not there any more, or has no room.
func (k *Keeper) Hurry() { k.hurry = true }

// Moved says under which epoch the process goes on after a move.
func (k *Keeper) Moved(epoch wire.Epoch) { k.epoch = epoch }

// Last is the last checkpoint that everybody knows; false if there is none.
func (k *Keeper) Last() (wire.Cut, bool) { return k.last, k.made }

// Stats are the counts of a keeper.
type Stats struct {
	Checkpoints uint64 // the one at the beginning included
	Early       uint64 // made before their time
	Took        time.Duration
}

// Stats gives the counts since it was made.
func (k *Keeper) Stats() Stats { return Stats{Early: k.early, Took: k.took} }

// Next tells what to do for the checkpoint that is due after made accesses.
func (k *Keeper) Next(now time.Duration, made uint64) Effect {
	if k.phase == idle {
		if !k.Due(made) {
			return Effect{Kind: Go}
		}
		if k.hurry && made < k.due {
			k.early++
		}
		number := uint64(0)
		if k.made {
			number = k.last.Number + 1
		}
		k.now = wire.Cut{Number: number, Epoch: k.epoch}
		k.phase, k.began = draining, now
	}
	if k.paused = now < k.wait; k.paused {
		return Effect{Kind: Pause, Until: k.wait}
	}
	kind := map[phase]EffectKind{draining: Drain, syncing: Sync, saving: Save, telling: Tell, failed: Go}[k.phase]
	return Effect{Kind: kind, Cut: k.now, Err: k.err}
}

// Step takes what came of the effect that Next gave. made is how many accesses the checkpoint has.
func (k *Keeper) Step(now time.Duration, made uint64, o Outcome) {
	if k.paused {
		k.paused = false
		return
	}
	if o.Err != nil && k.phase == telling && transient(o.Err) && now-k.since < k.o.Patience {
		k.wait = now + k.o.Pause
		return
	}
	if o.Err != nil {
		// What became of a slot that was not acknowledged nobody knows: if it is there it counts, so nothing may change that
		// it does not have.
		k.err = wire.Errorf(o.Err.Kind, "checkpoint %d: %v: %s", k.now.Number, k.phase, o.Err.Text)
		k.phase = failed
		return
	}
	switch k.phase {
	case draining:
		k.now.Version = o.Version
		k.phase = syncing
	case syncing:
		k.phase = saving
	case saving:
		k.phase, k.since = telling, now
	case telling:
		k.last, k.made, k.hurry = k.now, true, false
		k.phase, k.due = idle, k.after(made)
		k.log, k.no, k.wrote = 0, 0, k.epoch
		clear(k.kept)
		k.took += now - k.began
	}
}

// transient reports whether asking again may help.
func transient(err *wire.Error) bool {
	switch err.Kind {
	case wire.KindUnavailable, wire.KindTimeout, wire.KindBusy, wire.KindNotOwner:
		return true
	}
	return false
}

// Guarded is what must be done before blocks are written.
type Guarded struct {
	First bool   // make a checkpoint first: the log has no room; then ask again
	Undo  []Undo // write these behind each other into the log from At on, with what the sectors hold now, and flush it
	At    uint64 // in the log
}

// Guard says what must be kept of blocks [first, last] of a volume before they are written. What it names it takes for kept.
func (k *Keeper) Guard(volume uint32, first, last uint64) (g Guarded, err error) {
	g.At = k.log
	need := k.log
	for b := first; b <= last; b++ {
		if k.kept[blockKey{volume, b}] {
			continue
		}
		if n := len(g.Undo); n > 0 && g.Undo[n-1].Sector+uint64(g.Undo[n-1].Sectors) == b*wire.SectorsPerPage && g.Undo[n-1].Sectors+wire.SectorsPerPage <= MaxUndoSectors {
			g.Undo[n-1].Sectors += wire.SectorsPerPage
		} else {
			g.Undo = append(g.Undo, Undo{Number: k.last.Number, Epoch: k.wrote, No: k.no + uint32(n), Volume: volume, Sector: b * wire.SectorsPerPage, Sectors: wire.SectorsPerPage})
			need += HeadBytes
		}
		need += wire.PageSize
	}
	switch {
	case need <= k.o.LogBytes:
	case k.log > 0:
		k.Hurry()
		return Guarded{First: true}, nil
	default:
		return g, wire.Errorf(wire.KindNoRoom, "a write of blocks %d to %d needs %d bytes of the checkpoint's log, which has %d: raise checkpoint.room_bytes of the vNode", first, last, need, k.o.LogBytes)
	}
	for b := first; b <= last; b++ {
		k.kept[blockKey{volume, b}] = true
	}
	k.log, k.no = need, k.no+uint32(len(g.Undo))
	return g, nil
}

func (p phase) String() string {
	return [...]string{"idle", "write-back of dirty lines", "flush of the volumes", "save", "telling the home", "failed", "?"}[min(int(p), 6)]
}

// sorted gives the blocks that are kept, in order.
func (k *Keeper) sorted() []blockKey {
	keys := make([]blockKey, 0, len(k.kept))
	for b := range k.kept {
		keys = append(keys, b)
	}
	slices.SortFunc(keys, func(a, b blockKey) int {
		if a.volume != b.volume {
			return int(a.volume) - int(b.volume)
		}
		if a.block < b.block {
			return -1
		}
		return 1
	})
	return keys
}

// CheckInvariants returns the first broken rule.
func (k *Keeper) CheckInvariants() error {
	switch {
	case k.log > k.o.LogBytes:
		return fmt.Errorf("checkpoint: %d bytes of a log of %d", k.log, k.o.LogBytes)
	case uint64(len(k.kept))*wire.PageSize > k.log:
		return fmt.Errorf("checkpoint: %d blocks kept in %d bytes", len(k.kept), k.log)
	case k.phase != idle && k.made && k.now.Number != k.last.Number+1 && k.phase != failed:
		return fmt.Errorf("checkpoint: %d is made after %d", k.now.Number, k.last.Number)
	case (k.phase == failed) != (k.err != nil):
		return fmt.Errorf("checkpoint: %v with error %v", k.phase, k.err)
	}
	return nil
}

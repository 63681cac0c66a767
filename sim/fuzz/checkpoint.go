package fuzz

import (
	"context"
	"fmt"
	"slices"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/checkpoint"
	"splitkernel/pcomponent/fault"
	"splitkernel/sim/check"
	"splitkernel/sim/saves"
	"splitkernel/sim/vcluster"
	"splitkernel/sim/vtime"
)

// restartPatience is how long a process whose pComponent was lost waits for the managers to bring it back.
const restartPatience = time.Minute

// keeping makes the checkpoints of a player; it is its vcluster.Saver.
type keeping struct {
	*player
	core   *checkpoint.Keeper
	layout checkpoint.Layout
	store  *vcluster.Volume
	beside saves.Contents // what the sectors of the store hold
	buf    []byte
	issued uint64 // references
	made   uint64 // checkpoints
	coming *revived
	next   *revived
}

// revived is a process that goes on from a checkpoint.
type revived struct {
	head  checkpoint.Head
	state saved
	as    *vcluster.Process
}

// saved is what a checkpoint has of a player: how far it is, and what every page and sector must hold.
type saved struct {
	Left, Issued uint64
	Core         fault.State
	Pages        []byte
	Sectors      [][]byte
	Open         [][]uint64 // sectors of which nobody knows what they hold, by volume
}

var _ vcluster.Saver = (*keeping)(nil)

func (k *keeping) options() checkpoint.Options {
	return checkpoint.Options{Every: uint64(k.o.Checkpoint), LogBytes: k.layout.LogBytes, Patience: checkpoint.DefaultPatience, Pause: checkpoint.DefaultPause}
}

// volume is a volume as package saves uses it.
type volume struct {
	v *vcluster.Volume
	y *vtime.Proc
}

func (v volume) Read(_ context.Context, offset uint64, b []byte) error {
	return v.v.Read(v.y, offset, b)
}
func (v volume) Write(_ context.Context, offset uint64, b []byte) error {
	return v.v.Write(v.y, offset, b)
}
func (v volume) Flush(context.Context) error { return v.v.Flush(v.y) }

func (k *keeping) whole(y *vtime.Proc, v *vcluster.Volume) saves.Whole {
	return saves.Whole{Volume: v, Proc: func() *vtime.Proc { return y }, Beside: &k.beside}
}

// up makes a checkpoint if one is due; the threads stand still. left is how many references are to be made.
func (k *keeping) up(y *vtime.Proc, left int) error {
	if k == nil {
		return nil
	}
	if k.p.Moved() {
		k.core.Hurry()
	}
	k.core.Moved(k.p.Epoch()) // it may have moved itself
	return saves.Make(k.core, saves.Steps{
		Now: func() time.Duration { return y.Now() + 1 }, Pause: func(d time.Duration) { y.Sleep(d) }, Failed: saves.AsError, Making: k.g.c.Saving,
		Drain: func() (uint64, error) { err := k.p.Drain(y); return k.p.LastFlush(), err },
		Undo:  func() { k.p.Undrain() },
		Sync: func() error {
			for _, d := range k.volumes {
				if err := d.v.Flush(y); err != nil {
					return err
				}
			}
			return nil
		},
		Save: func(at wire.Cut) error { return k.save(y, at, left) },
		Tell: func(at wire.Cut) error { return k.p.Cut(y, at) },
	}, k.issued)
}

func (k *keeping) save(y *vtime.Proc, at wire.Cut, left int) (err error) {
	s := saved{Left: uint64(left), Issued: k.issued, Pages: k.pages.Export(nil)}
	if s.Core, err = k.p.Export(); err != nil {
		return err
	}
	for _, d := range k.volumes {
		open := make([]uint64, 0, len(d.open))
		for n := range d.open {
			open = append(open, n)
		}
		slices.Sort(open)
		s.Sectors, s.Open = append(s.Sectors, d.want.Export(nil)), append(s.Open, open)
	}
	k.made = at.Number + 1 // it may be there from now on
	return saves.Write(context.Background(), k.whole(y, k.store), k.layout, checkpoint.Head{PID: k.place.PID, Cut: at, Done: k.issued}, wire.Marshal(&s))
}

// guard keeps what a write of some sectors will change.
func (k *keeping) guard(y *vtime.Proc, no int, first, n uint64, left int) error {
	if k == nil {
		return nil
	}
	return saves.Guard(context.Background(), k.core, k.layout, k.whole(y, k.store), volume{k.volumes[no].v, y}, uint32(no), first*wire.SectorSize, (first+n)*wire.SectorSize, &k.buf,
		func() error { return k.up(y, left) })
}

// Again implements vcluster.Saver, as do the following.
func (k *keeping) Again() vcluster.ProcessOptions { return k.openOptions() }

func (k *keeping) Volumes(vs []wire.RestartVolume) (out []vcluster.VolumeOptions) {
	for i, v := range vs[:min(len(vs), len(k.open))] { // the others are not made yet
		a := k.place.Volumes[i]
		a.Epoch, a.Storage, a.StorageAddr, a.Cache, a.CacheAddr = v.Epoch, v.Storage, v.StorageAddr, v.Cache, v.CacheAddr
		if v.Config > a.Config {
			a.Replicas, a.Config = v.Replicas, v.Config
		}
		out = append(out, vcluster.VolumeAt(a, k.open[i].Name))
	}
	return out
}

func (k *keeping) storeOf(q *vcluster.Process) *vcluster.Volume {
	return q.Volume(k.open[len(k.open)-1].ID)
}

func (k *keeping) Read(y *vtime.Proc, q *vcluster.Process) (at wire.Cut, done uint64, found bool, err error) {
	h, body, found, err := saves.Read(context.Background(), k.whole(y, k.storeOf(q)), k.layout)
	if err != nil || !found {
		return at, 0, false, err
	}
	k.coming = &revived{head: h}
	return h.Cut, h.Done, true, wire.Unmarshal(body, &k.coming.state)
}

func (k *keeping) Revert(y *vtime.Proc, q *vcluster.Process) error {
	var volumes []saves.Blocks
	for i := range k.o.Volumes {
		volumes = append(volumes, volume{q.Volume(k.open[i].ID), y})
	}
	_, err := saves.Revert(context.Background(), k.whole(y, k.storeOf(q)), k.layout, k.coming.head, volumes)
	return err
}

func (k *keeping) State() fault.State { return k.coming.state.Core }

func (k *keeping) Opened(q *vcluster.Process) {
	k.next, k.coming.as = k.coming, q
	k.coming = nil
	if k.p != nil { // it may go on where nobody hears it, and is refused everywhere
		k.p.Stop(wire.Errorf(wire.KindFailed, "the process goes on from a checkpoint at %s", q.Node()))
	}
}

// awaited waits for the managers to bring the process back; false if they do not. It may come without a checkpoint: then it begins anew.
func (k *keeping) awaited(y *vtime.Proc) bool {
	if k == nil || k.g.failure != nil {
		return false
	}
	for until := y.Now() + restartPatience; y.Now() < until; y.Sleep(nap) {
		if k.next != nil {
			return true
		}
		at, lives, ok := k.g.c.Place(k.place.PID)
		switch {
		case !ok || !at.Restart:
			return false
		case at.Epoch > k.place.Epoch && !at.Restarting && lives && k.made == 0:
			k.place.Node, k.place.Epoch = at.Node, at.Epoch
			return true
		case lives && at.Epoch == k.place.Epoch && (k.p == nil || !k.p.Killed()):
			return false // it failed for another reason
		}
	}
	return false
}

// goOn makes the process what it was at a checkpoint.
func (k *keeping) goOn() (left int, err error) {
	b := k.next
	k.next = nil
	if k.p != nil {
		k.p.Abandon()
	}
	written := k.g.operations // more than the version of any page
	k.p, k.pages, k.issued = b.as, check.NewPages(), b.state.Issued
	k.pages.Above(written)
	if err := k.pages.Import(b.state.Pages); err != nil {
		return 0, err
	}
	for i, s := range b.state.Sectors {
		d := &disk{k.p.Volume(k.open[i].ID), check.NewSectors(k.open[i].ID), map[uint64]bool{}}
		d.want.Above(written)
		if err := d.want.Import(s); err != nil {
			return 0, err
		}
		for _, n := range b.state.Open[i] {
			d.open[n] = true
		}
		k.volumes = append(k.volumes, d)
	}
	if k.store = k.storeOf(k.p); k.store == nil {
		return 0, fmt.Errorf("the checkpoint volume is not attached")
	}
	k.place.Node, k.place.Epoch = k.p.Node(), k.p.Epoch()
	k.core = checkpoint.Again(k.options(), k.place.Epoch, b.head)
	k.g.restarts++
	return int(b.state.Left), nil
}

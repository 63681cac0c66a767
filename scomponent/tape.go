package scomponent

import (
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/iosched"
	"splitkernel/scomponent/migrate"
	"splitkernel/scomponent/volume"
)

// Each core of a volume has a tape if Options.Recorder is set. Records are made under the lock of the core: vol.st, giving.mu,
// taking.mu.

// endTapes says that the volume is here no more. st is held, or nobody knows the volume.
func (v *vol) endTapes() {
	v.sched.End()
	if v.core != nil {
		v.core.End()
	}
}

func (c *Component) volumeCore(v *volume.Volume) *volume.Taped {
	t, head := &volume.Taped{Volume: v}, v.Head(c.o.Node)
	t.Record(c.o.Recorder, v, volume.TapeKind, &head)
	return t
}

func (c *Component) schedCore(id wire.VolumeID) *iosched.Taped {
	t := &iosched.Taped{Scheduler: iosched.New(c.o.FlushQueue)}
	t.Record(c.o.Recorder, t.Scheduler, iosched.TapeKind, &iosched.TapeHead{Node: c.o.Node, Volume: id, Limit: c.o.FlushQueue})
	return t
}

func (c *Component) giverCore(req wire.MoveReq, blocks uint64, resumed migrate.Mark) *migrate.TapedGiver {
	head := migrate.GiverHead{Node: c.o.Node, Options: c.o.Migrate, Req: req, Blocks: blocks, Resumed: resumed}
	t := &migrate.TapedGiver{Giver: head.Make()}
	t.Record(c.o.Recorder, t.Giver, migrate.GiverTapeKind, &head)
	return t
}

func (c *Component) takerCore(k *migrate.Taker) *migrate.TapedTaker {
	t, head := &migrate.TapedTaker{Taker: k}, k.Head(c.o.Node)
	t.Record(c.o.Recorder, k, migrate.TakerTapeKind, &head)
	return t
}

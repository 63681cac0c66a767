package replay

import (
	"context"
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/pcomponent/checkpoint"
	"splitkernel/pcomponent/fault"
	"splitkernel/sim/check"
	"splitkernel/sim/report"
	"splitkernel/sim/saves"
	"splitkernel/sim/vcluster"
	"splitkernel/sim/vtime"
)

// driven is a volume from whichever coroutine uses it.
type driven struct {
	v *vcluster.Volume
	y *vtime.Proc
}

func (v driven) Read(_ context.Context, offset uint64, b []byte) error {
	return v.v.Read(v.y, offset, b)
}
func (v driven) Write(_ context.Context, offset uint64, b []byte) error {
	return v.v.Write(v.y, offset, b)
}
func (v driven) Flush(context.Context) error { return v.v.Flush(v.y) }

// counts are what the driver of a virtual process has counted, in a checkpoint.
type counts struct {
	Checked, Wrong uint64
	Blocks         [6]uint64
	Parts          []vcluster.Part
}

func (p *vprocess) counts() counts {
	b := &p.blocks
	return counts{p.checked, p.wrong, [6]uint64{b.reads, b.writes, b.flushes, b.readBytes, b.writeBytes, b.sectors}, p.p.Parts()}
}

// keepBy has the process make checkpoints in a volume.
func (p *vprocess) keepBy(v *vcluster.Volume, core *checkpoint.Keeper) {
	p.store = v
	p.keep = &keeping{
		core: &checkpoint.TapedKeeper{Keeper: core}, layout: p.spec.Checkpoints.Layout(), store: saves.Whole{Volume: v, Proc: func() *vtime.Proc { return p.y }, Beside: &p.beside},
		now: func() time.Duration { return p.y.Now() + 1 }, pause: func(d time.Duration) { p.y.Sleep(d) },
		epoch: func() wire.Epoch { return p.p.Epoch() }, under: p.spec.Epoch, moved: func() bool { return p.p.Moved() }, undo: func() { p.p.Undrain() }, failed: asError,
		drain:  func() (uint64, error) { err := p.p.Drain(p.y); return p.p.LastFlush(), err },
		export: p.exportState,
		making: p.c.Saving,
		tell:   func(at wire.Cut) error { return p.p.Cut(p.y, at) },
		made:   func(h checkpoint.Head) { p.made = h.Cut.Number + 1 },
	}
}

// exportState gives what a checkpoint has of a process that stands still and is drained.
func (p *vprocess) exportState() ([]byte, error) {
	core, err := p.p.Export()
	if err != nil {
		return nil, err
	}
	c := p.counts()
	return p.encodeState(luggage{
		Proc: pcomponent.State{Core: core}, At: p.at, Brk: p.maps.brk, Done: p.done.Load(), Requests: p.requests.Load(), Began: p.began, Late: p.late, Shown: p.shown,
		Keep: wire.Marshal(&c),
	}), nil
}

// Again implements vcluster.Saver, as do the following.
func (p *vprocess) Again() vcluster.ProcessOptions { return p.openOptions() }

func (p *vprocess) Volumes(vs []wire.RestartVolume) (out []vcluster.VolumeOptions) {
	for i, v := range vs[:min(len(vs), len(p.v.names))] { // the others are not made yet
		a := p.v.volumes[i] // its copies, if it has several: an older list of them than the buffer cache knows is ignored
		a.Epoch, a.Storage, a.StorageAddr, a.Cache, a.CacheAddr = v.Epoch, v.Storage, v.StorageAddr, v.Cache, v.CacheAddr
		if v.Config > a.Config {
			a.Replicas, a.Config = v.Replicas, v.Config
		}
		out = append(out, vcluster.VolumeAt(a, p.v.names[i]))
	}
	return out
}

func (p *vprocess) storeOf(y *vtime.Proc, q *vcluster.Process) saves.Whole {
	return saves.Whole{Volume: q.Volume(p.v.volumes[len(p.v.volumes)-1].Volume), Proc: func() *vtime.Proc { return y }, Beside: &p.beside}
}

func (p *vprocess) Read(y *vtime.Proc, q *vcluster.Process) (at wire.Cut, done uint64, found bool, err error) {
	h, s, found, err := readCheckpoint(p.ctx, p.storeOf(y, q), p.spec.Checkpoints.Layout())
	if err != nil || !found {
		return at, 0, false, err
	}
	b := &brought{head: h}
	if b.state, b.bulk, err = parseState(s.State); err != nil {
		return at, 0, false, err
	}
	p.coming = b
	return h.Cut, h.Done, true, nil
}

func (p *vprocess) Revert(y *vtime.Proc, q *vcluster.Process) error {
	var volumes []blocks
	for i := range p.v.info.Volumes {
		volumes = append(volumes, driven{q.Volume(p.v.volumes[i].Volume), y})
	}
	_, err := saves.Revert(p.ctx, p.storeOf(y, q), p.spec.Checkpoints.Layout(), p.coming.head, volumes)
	return err
}

func (p *vprocess) State() fault.State { return p.coming.state.Proc.Core }

func (p *vprocess) Opened(q *vcluster.Process) {
	if p.retired || p.over { // it had ended before it was lost: nobody drives it
		q.Abandon()
		return
	}
	p.next, p.coming.as, p.coming.at = p.coming, q, q.Now()
	p.coming = nil
	if p.p != nil { // it may go on where nobody hears it, and is refused everywhere
		p.p.Stop(wire.Errorf(wire.KindFailed, "the process goes on from a checkpoint at %s", q.Node()))
	}
}

// brought is a process that goes on from a checkpoint.
type brought struct {
	head  checkpoint.Head
	state luggage
	bulk  []byte
	as    *vcluster.Process
	at    time.Duration
}

// awaited waits for the managers to bring the process back; false if they do not. It may come without a checkpoint: then it begins anew.
func (p *vprocess) awaited() bool {
	lost := p.y.Now()
	p.lostAt = lost
	if p.p != nil {
		p.p.Abandon() // it may go on at the same pComponent, which waits for the end of what ran there before
	}
	for p.y.Now()-lost < RestartPatience {
		if p.next != nil {
			return true
		}
		at, lives, ok := p.c.Place(p.spec.PID)
		switch {
		case !ok || !at.Restart:
			return false
		case at.Epoch > p.spec.Epoch && !at.Restarting && lives && p.made == 0:
			p.v.place.Node, p.spec.Epoch, p.v.spec.Epoch = at.Node, at.Epoch, at.Epoch
			return true
		case lives && at.Epoch == p.spec.Epoch && p.p != nil && !p.p.Killed():
			return false // it failed for another reason
		}
		p.y.Sleep(PollInterval)
	}
	return false
}

// goOn makes the process what it was at a checkpoint.
func (p *vprocess) goOn() error {
	b := p.next
	p.next = nil
	old, was := p.p, p.done.Load()
	wasRequests := p.requests.Load()
	var c counts
	s := &b.state
	if err := wire.Unmarshal(s.Keep, &c); err != nil {
		return err
	}
	if p.src != nil {
		_ = p.src.Close() // it was only read
	}
	p.src, p.batch, p.volumes, p.pages, p.maps = nil, nil, nil, check.NewPages(), mapped{}
	if err := p.pages.Import(b.bulk[:s.Pages]); err != nil {
		return err
	}
	bulk := b.bulk[s.Pages:]
	p.p = b.as
	for i, n := range s.Sectors {
		id := p.v.volumes[i].Volume
		t := check.NewSectors(id)
		if err := t.Import(bulk[:n]); err != nil {
			return err
		}
		bulk = bulk[n:]
		p.volumes = append(p.volumes, &volume{blocks: virtualBlocks{b.as.Volume(id), p}, sectors: t, buf: make([]byte, 0, MaxRequestBytes)})
	}
	for _, m := range s.Maps {
		p.maps.ranges = append(p.maps.ranges, span{m.Addr, m.Length})
	}
	p.maps.brk = s.Brk
	p.at, p.began, p.late, p.shown, p.issued = s.At, s.Began, s.Late, s.Shown, s.Done
	p.done.Store(s.Done)
	p.requests.Store(s.Requests)
	p.checked, p.wrong = c.Checked, c.Wrong+p.wrong-min(p.wrong, c.Wrong) // what was wrong since was seen
	p.blocks = blockCounts{c.Blocks[0], c.Blocks[1], c.Blocks[2], c.Blocks[3], c.Blocks[4], c.Blocks[5]}
	p.p.Past(c.Parts, old)
	p.spec.Epoch = p.p.Epoch()
	p.v.spec.Epoch, p.v.place.Epoch = p.spec.Epoch, p.spec.Epoch
	r := report.Restart{From: p.v.place.Node, To: p.p.Node(), Checkpoint: b.head.Cut.Number, Epoch: p.spec.Epoch, LostAtSeconds: p.lostAt.Seconds(), BackAtSeconds: b.at.Seconds(),
		AccessesRepeated: was - min(was, s.Done), RequestsRepeated: wasRequests - min(wasRequests, s.Requests)}
	p.v.restarts = append(p.v.restarts, r)
	p.v.place.Node = p.p.Node()
	p.v.hosts = append(p.v.hosts, p.p.Node())
	store := p.p.Volume(p.v.volumes[len(p.v.volumes)-1].Volume)
	if store == nil {
		return fmt.Errorf("the checkpoint volume is not attached")
	}
	p.keepBy(store, checkpoint.Again(p.spec.Checkpoints.options(), p.spec.Epoch, b.head))
	if old != nil {
		old.Abandon()
	}
	return p.goTo()
}

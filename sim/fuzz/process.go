package fuzz

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/checkpoint"
	"splitkernel/pcomponent/excache"
	"splitkernel/sim/check"
	"splitkernel/sim/faults"
	"splitkernel/sim/vcluster"
	"splitkernel/sim/vtime"
)

const (
	// nap is how long a process that rests does not look whether it is to stand still.
	nap = 50 * time.Millisecond
	// tries is how often an admission, and what gives a vNode back, is asked for again when nobody knows what became of it.
	tries = 30
	pause = 500 * time.Millisecond
)

// player plays one process of a world.
type player struct {
	g     *game
	o     Process
	rand  *rand.Rand
	p     *vcluster.Process
	lanes []*lane
	busy  int // lanes that work
	idle  vtime.Signal
	keep  *keeping // its checkpoints; nil if it makes none

	pages   *check.Pages
	volumes []*disk
	open    []vcluster.VolumeOptions

	place admission.Placement
	began bool // it has its memory
	err   error
	over  bool
	ended bool // it goes on no more, and gives back what it has
}

// lane is one thread.
type lane struct {
	t    *vcluster.Thread
	left int
	stop bool
	work vtime.Signal
}

// disk is a volume and what is known of it.
type disk struct {
	v    *vcluster.Volume
	want *check.Sectors
	open map[uint64]bool // sectors of which nobody knows what they hold: a write of them failed
}

func newPlayer(g *game, o Process) *player {
	h := fnv.New64a()
	h.Write([]byte(o.Name))
	p := &player{g: g, o: o, rand: rand.New(rand.NewPCG(g.w.Seed, h.Sum64())), pages: check.NewPages()}
	if o.Checkpoint > 0 {
		p.keep = &keeping{player: p, layout: checkpoint.LayoutOf(checkpoint.MinBytes)}
	}
	p.idle.Name = "the threads of process " + o.Name
	return p
}

// run is the life of a vNode, to the end of what it had.
func (p *player) run(y *vtime.Proc) {
	p.err = p.live(y)
	p.dismiss()
	if d := p.g.w.Heal - y.Now(); d > 0 {
		y.Sleep(d)
	}
	if err := p.giveBack(y); err != nil {
		p.g.fail("left", "process %s: %v", p.o.Name, err)
	}
	p.over = true
}

// dismiss ends the threads.
func (p *player) dismiss() {
	for _, l := range p.lanes {
		l.stop = true
		l.work.Broadcast()
	}
	p.lanes = nil
}

// live admits the vNode, has its process run, and closes it.
func (p *player) live(y *vtime.Proc) (err error) {
	c := p.g.c
	y.Sleep(p.o.Begin)
	spec := admission.VNodeSpec{Name: p.o.Name, Threads: uint32(p.o.Threads), ExCacheLines: uint64(p.o.Lines), MemoryBytes: p.o.MemoryBytes, Memory: p.o.memory()}
	for i := range p.o.Volumes {
		spec.Volumes = append(spec.Volumes, admission.VolumeSpec{Name: fmt.Sprint(p.o.Name, i), SizeBytes: uint64(p.o.Sectors) * wire.SectorSize, Copies: p.o.copies()})
	}
	if p.keep != nil {
		spec.Restart = true
		spec.Volumes = append(spec.Volumes, admission.VolumeSpec{Name: p.o.Name + "-checkpoints", SizeBytes: p.keep.layout.Bytes(), Copies: p.o.copies()})
	}
	for i := 0; ; i++ {
		if p.place, err = c.Admit(y, spec); err == nil || i == tries || wire.KindOf(err) != wire.KindNoRoom {
			break
		}
		y.Sleep(pause) // what drains, or was killed, leaves no room for a moment
	}
	if err != nil {
		return fmt.Errorf("admission: %w", err)
	}
	for i, v := range p.place.Volumes {
		if p.open = append(p.open, vcluster.VolumeAt(v, spec.Volumes[i].Name)); v.Copies.Replicated() {
			p.g.copied[v.Volume] = true
		}
	}
	if p.keep != nil {
		c.Saves(p.place.PID, p.keep)
	}
	for _, o := range p.open {
		err := c.CreateVolume(y, p.place.Node, o)
		if err != nil && p.keep != nil && !c.Runs(p.place.Node) { // it was to ask; whoever drives a run asks again
			if err = c.CreateVolume(y, p.place.Node, o); wire.KindOf(err) == wire.KindExists {
				err = nil
			}
		}
		if err != nil {
			return fmt.Errorf("volume %d: %w", o.ID, err)
		}
	}
	for again := true; again; again = err != nil && p.keep.awaited(y) {
		if err = p.again(y); err != nil && p.keep != nil {
			p.dismiss()
		}
	}
	p.ended = true
	if p.p != nil {
		if cerr := p.p.Close(y); err == nil && cerr != nil {
			err = fmt.Errorf("close: %w", cerr)
		}
	}
	return err
}

// again has the process begin, or go on from a checkpoint, and run to its end.
func (p *player) again(y *vtime.Proc) (err error) {
	left := p.o.Refs
	p.err, p.volumes = nil, nil
	if p.keep != nil && p.keep.next != nil {
		left, err = p.keep.goOn()
	} else {
		err = p.begin(y)
	}
	if err != nil {
		return err
	}
	p.began = true
	return p.work(y, left)
}

func (p *player) openOptions() vcluster.ProcessOptions {
	e := excache.DefaultOptions()
	e.Lines, e.Ways, e.Policy, e.Mechanism, e.SweepEvery = p.o.Lines, 0, p.o.Policy, p.o.Mechanism, 64
	e.Prefetcher, e.PrefetchDegree, e.PrefetchInFlight = p.o.Prefetcher, p.o.Degree, p.o.InFlight
	e.FlushFrames = min(e.FlushFrames, p.o.Lines)
	return vcluster.ProcessOptions{
		PID: p.place.PID, Epoch: p.place.Epoch, Name: p.o.Name, Node: p.place.Node, Threads: p.o.Threads, ExCache: e,
		Home: p.place.Home.Owner(),
	}
}

// begin opens the process, maps its memory and attaches its volumes.
func (p *player) begin(y *vtime.Proc) (err error) {
	if p.p != nil {
		p.p.Abandon()
		p.p = nil
	}
	p.pages = check.NewPages()
	p.pages.Above(p.g.operations)
	if p.p, err = p.g.c.Open(y, p.openOptions()); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := p.p.Map(y, mappedAt, uint64(p.o.Pages)*wire.PageSize, true, true, ""); err != nil {
		return fmt.Errorf("map: %w", err)
	}
	for i, o := range p.open {
		v, err := p.p.Attach(y, o)
		if err != nil {
			return fmt.Errorf("attach: %w", err)
		}
		if i == p.o.Volumes {
			p.keep.store, p.keep.core, p.keep.issued = v, checkpoint.NewKeeper(p.keep.options(), p.place.Epoch), 0
			continue
		}
		p.volumes = append(p.volumes, &disk{v, check.NewSectors(o.ID), map[uint64]bool{}})
	}
	return nil
}

// work makes the references, rests between bursts, and when everything has healed looks once more at everything.
func (p *player) work(y *vtime.Proc, left int) error {
	p.busy = 0
	for i := range p.o.Threads {
		l := &lane{t: p.p.Thread(i)}
		l.work.Name = fmt.Sprintf("references for thread %d of process %s", i, p.o.Name)
		p.lanes = append(p.lanes, l)
		if i > 0 {
			p.g.c.Go(fmt.Sprintf("%s, thread %d", p.o.Name, i), func(y *vtime.Proc) { p.serve(y, l) })
		}
	}
	p.lanes[0].t.Begin(y)
	for left > 0 {
		if err := p.keep.up(y, left); err != nil {
			return err
		}
		n := min(p.o.Burst, max(left/len(p.lanes), 1))
		if k := p.keep; k != nil {
			n = min(n, int(max(k.core.Left(k.issued)/uint64(len(p.lanes)), 1)))
			k.issued += uint64(n * len(p.lanes))
		}
		left -= n * len(p.lanes)
		if err := p.burst(y, n); err != nil {
			return err
		}
		for range p.o.Blocks {
			if err := p.block(y, left); err != nil {
				return err
			}
		}
		if p.o.Remaps > 0 && faults.Share(p.rand.Uint32N(uint32(faults.Whole))) < p.o.Remaps {
			if err := p.remap(y); err != nil {
				return err
			}
		}
		if err := p.boundary(y); err != nil {
			return err
		}
		if err := p.rest(y, left); err != nil {
			return err
		}
	}
	for y.Now() < p.g.w.Heal {
		if err := p.doze(y, p.g.w.Heal); err != nil {
			return err
		}
	}
	if err := p.verify(y); err != nil {
		return err
	}
	if err := p.p.Drain(y); err != nil {
		return err
	}
	if err := p.verify(y); err != nil { // what was sent again late must not have put an old page over a new one
		return err
	}
	return p.restored(y)
}

// restored waits until everything of the process survives again what it is to survive.
func (p *player) restored(y *vtime.Proc) error {
	c := p.g.c
	for deadline := max(p.g.w.Heal, y.Now()) + settleMost/2; ; {
		if err := p.p.Drain(y); err != nil {
			return err
		}
		err := c.Restored(p.place.PID)
		if err == nil || wire.KindOf(err) == wire.KindFailed {
			return err // what is lost no process may have looked at
		}
		if y.Now() >= deadline {
			p.g.fail("not redundant", "process %s, %v after everything had healed: %v", p.o.Name, y.Now()-p.g.w.Heal, err)
			return p.g.failed()
		}
		for again := y.Now() + pause; y.Now() < again; {
			if err := p.doze(y, again); err != nil {
				return err
			}
		}
	}
}

// burst has every thread make so many references.
func (p *player) burst(y *vtime.Proc, n int) error {
	for _, l := range p.lanes[1:] {
		p.busy++
		l.left = n
		l.work.Wake()
	}
	err := p.access(p.lanes[0], n)
	p.lanes[0].t.Sync()
	for p.busy > 0 {
		y.Wait(&p.idle)
	}
	if err == nil {
		err = p.err
	}
	return err
}

// serve is a thread beyond the first.
func (p *player) serve(y *vtime.Proc, l *lane) {
	l.t.Begin(y)
	for {
		for l.left == 0 && !l.stop {
			y.Wait(&l.work)
		}
		if l.stop {
			return
		}
		if err := p.access(l, l.left); err != nil && p.err == nil {
			p.err = err
		}
		l.t.Sync()
		l.left = 0
		if p.busy--; p.busy == 0 {
			p.idle.Broadcast()
		}
	}
}

// access makes references of a thread and checks what each page holds.
func (p *player) access(l *lane, n int) error {
	pages, near := uint64(p.o.Pages), uint64(max(p.o.Pages/8, 1))
	for range n {
		r := p.rand.Uint64()
		of := pages
		if faults.Share(r>>32%uint64(faults.Whole)) < p.o.Near {
			of = near
		}
		page := firstPage + r&0xffff*of>>16
		write := faults.Share(r>>16&0xffff*uint64(faults.Whole)>>16) < p.o.Writes
		l.t.Compute(p.o.Think)
		s, err := l.t.Access(page, write)
		if err != nil {
			return fmt.Errorf("page %#x: %w", page, err)
		}
		if !p.right(page, s, write) {
			return p.g.failed()
		}
	}
	return nil
}

// right checks a page and counts; a write stamps it anew.
func (p *player) right(page uint64, s *vcluster.Stamp, write bool) bool {
	p.g.operations++
	ok := false
	if write {
		ok = p.pages.WriteStamp(page, (*check.Stamp)(s))
	} else {
		ok = p.pages.ReadStamp(page, (*check.Stamp)(s))
	}
	if !ok {
		p.g.fail("wrong page", "process %s: %s", p.o.Name, p.pages.DescribeStamp(page, (*check.Stamp)(s)))
	}
	return ok
}

// remap maps some pages anew, which then are zeros.
func (p *player) remap(y *vtime.Proc) error {
	first := uint64(p.rand.IntN(p.o.Pages))
	n := min(uint64(1+p.rand.IntN(32)), uint64(p.o.Pages)-first)
	addr, length := mappedAt+first*wire.PageSize, n*wire.PageSize
	p.g.operations++
	if p.rand.IntN(2) == 0 {
		if err := p.p.Unmap(y, addr, length); err != nil {
			return fmt.Errorf("unmap: %w", err)
		}
	}
	p.pages.Forget(firstPage+first, firstPage+first+n-1)
	if err := p.p.Map(y, addr, length, true, true, ""); err != nil {
		return fmt.Errorf("map: %w", err)
	}
	return nil
}

// block reads, writes or flushes some sectors.
func (p *player) block(y *vtime.Proc, left int) error {
	if len(p.volumes) == 0 {
		return nil
	}
	no := p.rand.IntN(len(p.volumes))
	d := p.volumes[no]
	first := uint64(p.rand.IntN(p.o.Sectors))
	n := min(uint64(1+p.rand.IntN(12)), uint64(p.o.Sectors)-first)
	switch what := p.rand.IntN(10); {
	case what < 3:
		p.g.operations++
		if err := d.v.Flush(y); err != nil && !full(err) {
			return err
		}
		return nil
	case what < 7:
		if err := p.keep.guard(y, no, first, n, left); err != nil {
			return err
		}
		b := make([]byte, n*wire.SectorSize)
		d.want.Stamp(first*wire.SectorSize, b)
		p.g.operations += n
		err := d.v.Write(y, first*wire.SectorSize, b)
		for s := first; s < first+n; s++ {
			if err != nil {
				d.open[s] = true
			} else {
				delete(d.open, s)
			}
		}
		if err != nil && !full(err) {
			return err
		}
		return nil
	}
	return p.read(y, d, first, n)
}

// full reports whether the disk is full, which is the writer's error and nothing else.
func full(err error) bool { return wire.KindOf(err) == wire.KindNoSpace }

// read reads sectors and checks those whose content is known.
func (p *player) read(y *vtime.Proc, d *disk, first, n uint64) error {
	b := make([]byte, n*wire.SectorSize)
	if err := d.v.Read(y, first*wire.SectorSize, b); err != nil {
		return err
	}
	for i := range n {
		p.g.operations++
		if d.open[first+i] {
			continue
		}
		if wrong := d.want.Verify((first+i)*wire.SectorSize, b[i*wire.SectorSize:(i+1)*wire.SectorSize]); wrong != "" {
			p.g.fail("wrong block", "process %s: %s", p.o.Name, wrong)
			return p.g.failed()
		}
	}
	return nil
}

// boundary is where the process may stand still for a move.
func (p *player) boundary(y *vtime.Proc) error {
	if err := p.p.Err(); err != nil {
		return err
	}
	if !p.p.Halted() {
		return nil
	}
	return p.p.Stand(y)
}

// rest spreads the bursts over the time with faults. While something moves nobody rests, and everybody is awake when something is
// ordered: what can go wrong goes wrong in those moments.
func (p *player) rest(y *vtime.Proc, left int) error {
	now := y.Now()
	if now >= p.g.w.Heal || left <= 0 || p.g.c.Doing()[faults.Migrating] {
		return nil
	}
	bursts := max(left/(p.o.Burst*len(p.lanes)), 1)
	until := now + time.Duration(p.rand.ExpFloat64()*float64(p.g.w.Heal-now)/float64(bursts))
	if next := p.g.nextOrder(now); next > 0 {
		until = min(until, next)
	}
	for until = min(until, p.g.w.Heal); y.Now() < until; {
		if err := p.doze(y, until); err != nil {
			return err
		}
	}
	return nil
}

// doze sleeps for a nap, or until a moment if that is sooner.
func (p *player) doze(y *vtime.Proc, until time.Duration) error {
	y.Sleep(min(nap, until-y.Now()))
	return p.boundary(y)
}

// verify looks at every page and sector.
func (p *player) verify(y *vtime.Proc) error {
	t := p.lanes[0].t
	for i := range uint64(p.o.Pages) {
		s, err := t.Access(firstPage+i, false)
		if err != nil {
			return fmt.Errorf("page %#x: %w", firstPage+i, err)
		}
		if !p.right(firstPage+i, s, false) {
			return p.g.failed()
		}
		if i%64 == 63 {
			t.Sync()
			if err := p.boundary(y); err != nil {
				return err
			}
		}
	}
	t.Sync()
	for _, d := range p.volumes {
		for at := uint64(0); at < uint64(p.o.Sectors); at += 64 {
			if err := p.read(y, d, at, min(64, uint64(p.o.Sectors)-at)); err != nil {
				return err
			}
			if err := p.boundary(y); err != nil {
				return err
			}
		}
	}
	return nil
}

// giveBack deletes the volumes and releases the vNode, as whoever drives a run does; of an admission of which nobody knows what became, the
// managers are asked.
func (p *player) giveBack(y *vtime.Proc) error {
	c := p.g.c
	again := func(do func() error) (err error) {
		for range tries {
			if err = do(); err == nil || wire.KindOf(err) == wire.KindNotFound {
				return nil
			}
			y.Sleep(pause)
		}
		return err
	}
	for _, o := range p.open {
		if err := again(func() error { return c.DeleteVolume(y, p.place.Node, o) }); err != nil {
			return fmt.Errorf("volume %d stays: %w", o.ID, err)
		}
	}
	pids := []wire.PID{p.place.PID}
	if p.place.PID == 0 {
		pids = c.Named(p.o.Name)
	}
	for _, pid := range pids {
		if err := again(func() error { return c.Release(y, pid) }); err != nil {
			return fmt.Errorf("release of vNode %d: %w", pid, err)
		}
	}
	return nil
}

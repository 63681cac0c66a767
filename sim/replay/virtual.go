package replay

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"splitkernel/configs"
	"splitkernel/gmanagers/admission"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/checkpoint"
	"splitkernel/pcomponent/fault"
	"splitkernel/sim/check"
	"splitkernel/sim/hardware"
	"splitkernel/sim/report"
	"splitkernel/sim/saves"
	"splitkernel/sim/trace"
	"splitkernel/sim/vcluster"
	"splitkernel/sim/vtime"
)

// StartSpread is within which time the processes of a virtual run start, each at a moment that the seed draws: no two programs
// start at the same nanosecond, and what they then take from each other must not be an accident of one order.
const StartSpread = time.Millisecond

// VirtualOptions say what to run in virtual time, and on what.
type VirtualOptions struct {
	Workload     *configs.Workload
	Cluster      *configs.Cluster
	Hardware     hardware.Hardware
	HardwareName string
	Traces       []Trace  // of its vNodes; nil makes RunVirtual read them
	TempDir      string   // where bundled traces are unpacked
	OutDir       string   // where summary.json, manifest.json and timeline.json go; empty writes none
	Command      []string // of the manifest
	ConfigDigest string
	Config       map[string]any // of the manifest
	Commit       string
	Version      string
	// Placement, if not nil, is where the managers put the vNodes in another run, as its manifest has it.
	Placement []report.Placement
	Replayed  bool // predict a live replay: references cost processor.reference in place of their instructions
	// Faults are what happens to nodes and links while it runs.
	Faults []vcluster.Fault
	// Ended, if not nil, is given the cluster when every process has ended.
	Ended func(*vcluster.Cluster) error
	Local bool // also run each vNode with all memory at hand, for its slowdown
	Log   *slog.Logger
	// Orders are given by hand at their moments.
	Orders []vcluster.Order
	// Progress, if not nil, is told now and then how many accesses and block requests were made, and how many there will be, those of the runs with all
	// memory at hand among them; a process that begins anew makes some twice.
	Progress func(done, total uint64)
}

// tally tells how far a virtual run is.
type tally struct {
	tell              func(done, total uint64)
	done, said, total uint64
}

// tellEvery is after how many accesses a virtual run tells how far it is: some milliseconds of work.
const tellEvery = 1 << 14

func newTally(o *VirtualOptions, vnodes []*vnode) *tally {
	t := &tally{tell: o.Progress}
	for _, v := range vnodes {
		t.total += v.total
	}
	if o.Local {
		t.total *= 2
	}
	return t
}

func (t *tally) add(n uint64) {
	if t.done += n; t.tell != nil && t.done-t.said >= tellEvery {
		t.said = t.done
		t.tell(min(t.done, t.total), t.total)
	}
}

// vprocess is one process of a virtual run.
type vprocess struct {
	player
	v       *vnode
	c       *vcluster.Cluster
	y       *vtime.Proc
	p       *vcluster.Process
	local   bool
	seconds float64
	err     error
	result  bool
	over    bool // nobody drives it any more
	retired bool // it has ended, and its memory is yet to be freed

	store  *vcluster.Volume // of checkpoints
	beside saves.Contents   // what its sectors hold
	made   uint64           // checkpoints
	coming *brought         // a checkpoint that has been read
	next   *brought         // the process goes on as this
	lostAt time.Duration

	warnings []string // of what could not be given back

	series  *report.Series // of the run; nil of one with all memory at hand
	sampled sampled

	answered, started bool // by the managers; by the run
}

// RunVirtual runs a workload in virtual time: the same cores, the same driver, the same report as Run, and modelled times. A
// seed gives one result, byte by byte.
func RunVirtual(ctx context.Context, o VirtualOptions) (*report.Summary, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &controller{o: RunOptions{Workload: o.Workload, Traces: o.Traces, TempDir: o.TempDir, Log: o.Log, Commit: o.Commit, Version: o.Version, ConfigDigest: o.ConfigDigest, Config: o.Config, Command: o.Command}, timeline: newTimeline(virtualFinest)}
	err := r.prepare(ctx)
	if err != nil {
		return nil, err
	}
	r.sum = &report.Summary{
		Schema: report.SchemaSummary, Engine: "virtual", Workload: o.Workload.Name, Cluster: o.Cluster.Name, Seed: o.Workload.Seed, Commit: o.Commit,
		ConfigDigest: o.ConfigDigest, Failed: []string{}, Integrity: []string{}, Warnings: []string{}, Moves: []report.Moves{}, Balance: []report.Balance{},
		Faults: []report.Fault{}, Lost: []string{}, Failures: []report.Failure{},
	}
	vo := virtualCluster(o)
	if vo.Placed, err = placedOf(o.Placement); err != nil {
		return nil, err
	}
	even := &spreads{}
	if vo.Orders = o.Orders; vo.Placed != nil {
		vo.Balance = nil // they decide nothing
	}
	if vo.Balance != nil {
		vo.Heard = even.hear
	}
	c, err := vcluster.New(vo)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	wrong := newVirtualWrongs(c, &o, r.vnodes)
	far := newTally(&o, r.vnodes)
	ps := startVirtual(ctx, c, r.vnodes, o.Workload.Seed, o.Log, wrong, far)
	for _, p := range ps {
		p.series = &r.timeline.Series
	}
	if err := c.Run(0); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r.sum.AddFaults(wrong.end())
	seconds, events := c.Now().Seconds(), c.Events()
	if o.Ended != nil {
		if err := o.Ended(c); err != nil {
			return nil, err
		}
	}
	local := make([]float64, len(ps))
	if o.Local {
		for i := range r.vnodes {
			if ps[i].err != nil {
				continue // nothing to compare with
			}
			if local[i], err = localSeconds(ctx, o, r.vnodes[i], far); err != nil {
				return nil, fmt.Errorf("%s, with all its memory local: %w", r.vnodes[i].v.Name, err)
			}
		}
	}
	r.collectVirtual(o, c, &report.Modelled{Hardware: o.HardwareName, Seconds: seconds, Events: events}, ps, local)
	r.virtualMoves(c, even)
	r.sum.Slowest = &report.Slowest{Schema: report.SchemaSlowest, Engine: "virtual", TimedEvery: 1, Faults: []report.SlowFault{}}
	r.sum.Slowest.AddSlow(c.SlowFaults(wire.MaxSlowFaults), 0, nil, KeptSlow)
	var decided []decision
	forgotten := uint64(0)
	for _, m := range allManagers {
		list := c.History(m)
		r.sum.AddFailures(m, list, 0)
		if len(list) > 0 {
			forgotten += list[0].Seq - 1
		}
		for _, e := range list {
			decided = append(decided, decision{m, e})
		}
	}
	keepEvents(r.timeline, decided, 0, forgotten)
	r.sum.Timeline = r.timeline
	if o.OutDir != "" {
		if err := report.WriteFiles(o.OutDir, r.sum, r.manifest()); err != nil {
			return r.sum, err
		}
	}
	return r.sum, nil
}

// localSeconds is how long a vNode takes alone with all its memory at hand.
func localSeconds(ctx context.Context, o VirtualOptions, v *vnode, far *tally) (float64, error) {
	vo := virtualCluster(o)
	vo.Membership, vo.Faults = vcluster.Membership{}, nil // with all memory at hand it needs nobody
	vo.Balance = nil
	c, err := vcluster.New(vo)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	alone := vnode{v: v.v, spec: v.spec, info: v.info, path: v.path, total: v.total, digest: v.digest, hosts: []wire.NodeID{}}
	alone.spec.Checkpoints = Checkpoints{}
	ps := startVirtual(ctx, c, []*vnode{&alone}, o.Workload.Seed, o.Log, nil, far)
	if err := c.Run(0); err != nil {
		return 0, err
	}
	return ps[0].seconds, ps[0].err
}

// virtualCluster gives the cluster of a file as the virtual one wants it.
func virtualCluster(o VirtualOptions) vcluster.Options {
	c := o.Cluster
	out := vcluster.Options{Seed: o.Workload.Seed, Hardware: o.Hardware, Replayed: o.Replayed, RegionBytes: c.RegionBytes, Fault: c.Pcomponent.Fault,
		BlockPatience: time.Duration(c.Pcomponent.BlockPatienceMS) * time.Millisecond, Faults: o.Faults}
	for i := range c.Nodes {
		n := c.Resolve(c.Nodes[i].ID)
		v := vcluster.Node{ID: n.ID, Role: n.Role, Rack: n.Rack}
		switch {
		case n.Manager != nil:
			m := n.Manager
			out.Managers = vcluster.Managers{
				GPMPolicy: m.GPMPolicy, GMMPolicy: m.GMMPolicy, GSMPolicy: m.GSMPolicy, CachePolicy: m.CachePolicy, Overcommit: uint64(m.Overcommit * 1000), ReplaceAfter: time.Duration(m.ReplaceAfterMS) * time.Millisecond,
				Settings: admission.Settings{ThreadsPerCore: uint64(m.ThreadsPerCore), Quotas: m.Quotas},
			}
			if o.Placement == nil {
				out.Membership = vcluster.Membership{Lease: time.Duration(m.LeaseMS) * time.Millisecond, Probe: time.Duration(m.ProbeMS) * time.Millisecond, Sweep: time.Duration(m.SweepMS) * time.Millisecond}
			}
			moveAs(&out, m)
		case n.Compute != nil:
			v.Cores, v.ExCacheBytes = n.Compute.Cores, n.Compute.ExCacheBytes
		case n.Memory != nil:
			v.MemoryBytes, v.Workers, v.MaxOwnedRegions = n.Memory.MemoryBytes, n.Memory.Workers, n.Memory.MaxOwnedRegions
			v.VRegion, v.BufferCache = n.Memory.Cores()
			v.Replica, v.Erasure = n.Memory.Redundancy()
		case n.Storage != nil:
			v.StorageBytes, v.FlushQueue, v.MaxVolumes = n.Storage.CapacityBytes, n.Storage.FlushQueue, n.Storage.MaxVolumes
			v.Workers = n.Netlayer.Server.Workers
		}
		out.Nodes = append(out.Nodes, v)
	}
	return out
}

// startVirtual has the vNodes admitted in order, as live, and then all run. One that may wait for room is waited for no longer than
// AtOnce; it runs when it has its place. wrong is what goes wrong meanwhile; nil has them run with all memory at hand.
func startVirtual(ctx context.Context, c *vcluster.Cluster, vnodes []*vnode, seed uint64, log *slog.Logger, wrong *virtualWrongs, far *tally) []*vprocess {
	chance := vtime.Stream(seed, "starts", 0)
	ps := make([]*vprocess, len(vnodes))
	for i, v := range vnodes {
		p := &vprocess{v: v, c: c, local: wrong == nil}
		p.progress = far.add
		if wrong != nil {
			p.progress = func(n uint64) {
				far.add(n)
				wrong.step(n)
			}
		}
		p.spec, p.log, p.ctx, p.pages = v.spec, log, ctx, check.NewPages()
		p.boundary = func(a accesses, _ *trace.Batch) error { return p.stand(a) }
		p.reach = func() {}
		p.lanes = func(memory) accesses { return p.accesses() }
		ps[i] = p
	}
	c.Go("run", func(y *vtime.Proc) {
		for _, p := range ps {
			if p.v.wanted().IfFull == admission.Refuse {
				p.placeBy(y)
				continue
			}
			answered := vtime.Signal{Name: "the admission of " + p.spec.Name}
			c.Go("admission of "+p.spec.Name, func(own *vtime.Proc) {
				p.placeBy(own)
				if !answered.Wake() { // the others have begun
					p.start(chance)
				}
			})
			y.WaitFor(&answered, AtOnce)
		}
		if wrong != nil {
			wrong.begin()
		}
		for _, p := range ps {
			if p.answered && !p.started {
				p.start(chance)
			}
		}
	})
	return ps
}

// placeBy is place from within a coroutine.
func (p *vprocess) placeBy(y *vtime.Proc) {
	p.y = y
	p.err = p.place()
	p.answered = true
}

// start has a process run that has its place.
func (p *vprocess) start(chance *rand.Rand) {
	if p.started = true; p.err != nil {
		return
	}
	p.c.Go("process "+p.spec.Name, func(y *vtime.Proc) {
		p.y = y
		y.Sleep(time.Duration(chance.Int64N(int64(StartSpread))))
		p.run()
	})
}

// place has the managers admit the vNode and makes its volumes.
func (p *vprocess) place() error {
	v := p.v
	place, err := p.c.Admit(p.y, v.wanted())
	if err != nil {
		return fmt.Errorf("not admitted: %w", err)
	}
	v.place, v.placed, v.hosts = place, true, []wire.NodeID{place.Node}
	v.spec.PID, v.spec.Epoch, v.spec.RegionBytes = place.PID, place.Epoch, place.Home.RegionBytes
	v.spec.Home = place.Home.Owner()
	p.spec = v.spec
	if p.spec.Checkpoints.On {
		p.beside = saves.Contents{}
		p.c.Saves(p.spec.PID, p)
	}
	for i, vol := range place.Volumes {
		v.volumes, v.names = append(v.volumes, vol), append(v.names, v.volumeName(i))
		make := func() error { return p.c.CreateVolume(p.y, place.Node, p.volumeAt(vol, v.wanted().Volumes[i].Name)) }
		err := make()
		if err != nil && !p.c.Runs(place.Node) { // it was to ask, and live nobody's death keeps the run from asking
			if err = make(); wire.KindOf(err) == wire.KindExists {
				err = nil
			}
		}
		if err != nil {
			return fmt.Errorf("volume %s at %s: %w", v.volumeName(i), vol.Storage, err)
		}
	}
	return nil
}

func (p *vprocess) volumeAt(v admission.Volume, name string) vcluster.VolumeOptions {
	if p.local { // it is at hand, and has no copies
		v.Copies, v.Replicas, v.Config = admission.Copies{}, nil, 0
	}
	return vcluster.VolumeAt(v, name)
}

// notice finds out, as who drives a live run does, that the pComponent has gone.
func (p *vprocess) notice() error {
	node := p.v.place.Node
	for waited := time.Duration(0); waited < NodePatience; waited += PollInterval {
		p.y.Sleep(PollInterval)
		if p.c.Runs(node) {
			return fmt.Errorf("%s was restarted and no longer runs the process", node)
		}
	}
	return fmt.Errorf("%s has not answered for %s: connection refused", node, NodePatience)
}

// run replays the trace and gives back what the vNode took.
func (p *vprocess) run() {
	p.sampled.at = p.y.Now()
	p.err = p.replay()
	p.sample()
	p.over = true
	if p.retired {
		if err := p.p.Exit(p.y); err != nil {
			p.warnings = append(p.warnings, err.Error())
		}
	} else if p.p != nil && p.p.Killed() {
		p.err = p.notice()
	}
	for i, vol := range p.v.volumes {
		if err := p.c.DeleteVolume(p.y, p.v.place.Node, p.volumeAt(vol, p.v.names[i])); err != nil && wire.KindOf(err) != wire.KindNotFound {
			p.warnings = append(p.warnings, fmt.Sprintf("delete volume %s: %v", p.v.names[i], err))
		}
	}
	if err := p.c.Release(p.y, p.spec.PID); err != nil && wire.KindOf(err) != wire.KindNotFound { // not found: it was preempted, or lost
		p.warnings = append(p.warnings, fmt.Sprintf("release vNode %s: %v", p.v.v.Name, err))
	}
}

func (p *vprocess) openOptions() vcluster.ProcessOptions {
	return vcluster.ProcessOptions{
		PID: p.spec.PID, Epoch: p.spec.Epoch, Name: p.spec.Name, Node: p.v.place.Node, Home: p.spec.Home, Threads: p.spec.Threads, ExCache: p.excache(), Local: p.local,
		Carry: p.carry,
	}
}

// begin opens the process and attaches its volumes.
func (p *vprocess) begin() (err error) {
	o := p.openOptions()
	if !p.local {
		if o.Future, err = p.spec.foresee(p.ctx); err != nil {
			return err
		}
	}
	if p.p, err = p.c.Open(p.y, o); err != nil {
		return err
	}
	p.result, p.volumes = true, nil
	for i, vol := range p.v.volumes {
		v, err := p.p.Attach(p.y, p.volumeAt(vol, p.v.names[i]))
		if err != nil {
			return err
		}
		if i == len(p.v.info.Volumes) {
			p.keepBy(v, checkpoint.NewKeeper(p.spec.Checkpoints.options(), p.spec.Epoch))
			continue
		}
		p.volumes = append(p.volumes, &volume{blocks: virtualBlocks{v, p}, sectors: check.NewSectors(vol.Volume), buf: make([]byte, 0, MaxRequestBytes)})
	}
	return nil
}

func (p *vprocess) replay() (err error) {
	began := p.y.Now()
	err = p.begin()
	for again := true; again; {
		for err == nil && p.at.Repeat < p.spec.Repeat {
			err = p.once(virtualMemory{p}, p.at.Repeat == p.spec.Repeat-1)
		}
		if err == nil {
			err = p.p.Drain(p.y)
		}
		if err == nil && p.spec.Checkpoints.On {
			p.seconds = (p.y.Now() - began).Seconds()
			if err = p.retire(); err == nil {
				return nil
			}
		}
		if again = err != nil && p.spec.Checkpoints.On && p.awaited(); !again {
			break
		}
		if p.next != nil {
			err = p.goOn()
			continue
		}
		if p.p != nil {
			p.p.Abandon()
		}
		err = p.begin()
	}
	if p.p == nil {
		return err
	}
	p.seconds = (p.y.Now() - began).Seconds()
	if cerr := p.p.Close(p.y); cerr != nil {
		p.warnings = append(p.warnings, fmt.Sprintf("process %s closed with errors: %v", p.spec.Name, cerr))
		if err == nil && p.blocks.writes > 0 {
			err = cerr // a volume that could not be written back is lost data
		}
	}
	return err
}

// retire ends a process that goes on from checkpoints, and has all its accesses behind it. Until that is done it may be brought back, from
// its last one; from then on the run has what it wants of it, and frees its memory.
func (p *vprocess) retire() error {
	err := p.p.Retire(p.y)
	if p.retired = err == nil || !p.p.Killed() && p.blocks.writes == 0; p.retired && err != nil {
		p.warnings = append(p.warnings, fmt.Sprintf("process %s closed with errors: %v", p.spec.Name, err))
		return nil // a volume that could not be written back is lost data, but nothing was written
	}
	return err
}

// virtualMemory drives a process from within its coroutine.
type virtualMemory struct{ p *vprocess }

func (m virtualMemory) Map(_ context.Context, addr, length uint64, anon, writable bool, name string) error {
	return m.p.p.Map(m.p.y, addr, length, anon, writable, name)
}
func (m virtualMemory) Unmap(_ context.Context, addr, length uint64) error {
	return m.p.p.Unmap(m.p.y, addr, length)
}
func (m virtualMemory) Brk(_ context.Context, end uint64) error { return m.p.p.Brk(m.p.y, end) }
func (m virtualMemory) Regions() int                            { return m.p.p.Regions() }

// virtualBlocks drives a volume.
type virtualBlocks struct {
	v *vcluster.Volume
	p *vprocess
}

func (v virtualBlocks) Read(_ context.Context, offset uint64, b []byte) error {
	return v.v.Read(v.p.y, offset, b)
}
func (v virtualBlocks) Write(_ context.Context, offset uint64, b []byte) error {
	return v.v.Write(v.p.y, offset, b)
}
func (v virtualBlocks) Flush(context.Context) error { return v.v.Flush(v.p.y) }

// virtualCounters gives the counters of a process as a report has them.
func (p *vprocess) counters() (c report.Counters) {
	c = newMerge().counters()
	if p.p == nil {
		return c
	}
	cache, f := p.p.Counted()
	c.SetCache(cache)
	c.Retries, c.Redirects = f.Retries, f.Redirects
	c.PagesChecked, c.SectorsChecked, c.IntegrityErrors = p.checked, p.blocks.sectors, p.wrong
	c.BlockReads, c.BlockWrites, c.BlockFlushes = p.blocks.reads, p.blocks.writes, p.blocks.flushes
	c.BlockReadBytes, c.BlockWriteBytes = p.blocks.readBytes, p.blocks.writeBytes
	return c
}

// merged adds the latencies of a process to m.
func (p *vprocess) merged(m *merge) {
	m.c.Add(p.counters())
	if p.p != nil {
		p.latencies(m)
	}
}

func (p *vprocess) latencies(m *merge) {
	lat := p.p.Latencies()
	for how := range lat.Fault {
		join(m.fault, report.FaultKinds[how], &lat.Fault[how])
	}
	for kind := range lat.Block {
		join(m.block, report.BlockKinds[kind], &lat.Block[kind])
	}
}

func join(to map[string]*hdrhistogram.Histogram, kind string, h *vcluster.Histogram) {
	if h.N() == 0 {
		return
	}
	if to[kind] == nil {
		to[kind] = vcluster.NewLatencies()
	}
	h.Into(to[kind])
}

// The kinds of faults are in the order of fault.How.
var _ = [1]struct{}{}[fault.TakenBack-fault.PLocal-3]

// collectVirtual makes the summary.
func (r *controller) collectVirtual(o VirtualOptions, c *vcluster.Cluster, model *report.Modelled, ps []*vprocess, local []float64) {
	s, total := r.sum, newMerge()
	byNode := map[wire.NodeID]*merge{}
	var stages [7]time.Duration
	var fetches uint64
	for i, p := range ps {
		v, own := p.v, newMerge()
		p.merged(own)
		p.merged(total)
		if p.p != nil {
			p.counted(byNode)
			for k, d := range p.p.Latencies().Stages {
				stages[k] += d
			}
			fetches += p.p.Latencies().N
			s.ProcessesStarted++
		}
		if p.err != nil {
			v.failed = p.err.Error()
			s.Failed = append(s.Failed, v.v.Name+": "+v.failed)
		}
		s.Integrity, s.Warnings = append(s.Integrity, p.shown...), append(s.Warnings, p.warnings...)
		d := v.describe()
		if p.result && p.err == nil {
			d.State = StateDone
		}
		d.Seconds, d.LocalSeconds, d.Late = p.seconds, local[i], p.late
		if p.p != nil {
			d.Activations = uint64(p.p.Regions())
		}
		if local[i] > 0 && p.err == nil {
			d.Slowdown = p.seconds / local[i]
		}
		d.Checkpoints = p.made
		d.Counters = own.counters()
		s.VNodes = append(s.VNodes, d)
	}
	s.Restarts, s.LeaderChanges = c.Restarts(), c.LeaderChanges()
	s.Total = total.counters()
	total.spread(r.timeline)
	s.WallSeconds = model.Seconds // modelled: a seed gives the same report, however fast the machine is
	if s.WallSeconds > 0 {
		s.AccessesPerSecond = float64(s.Total.Accesses) / s.WallSeconds
	}
	for k, name := range vcluster.Stages {
		m := report.Stage{Name: name, TotalSeconds: stages[k].Seconds()}
		if fetches > 0 {
			m.MeanUS = float64(stages[k].Nanoseconds()) / float64(fetches) / 1000
		}
		model.Stages = append(model.Stages, m)
	}
	var served uint64
	for _, x := range c.Components() {
		d := report.Component{ID: x.ID, Role: x.Role.String(), Epoch: x.Epoch, Other: map[string]float64{"busy_seconds": x.Busy.Seconds()}}
		d.Counters = newMerge().counters()
		switch x.Role {
		case wire.RoleCompute:
			d.Counters, d.Other = at(byNode, x.ID).counters(), nil
		default:
			d.Fetches, d.Flushes, d.BlockReads, d.BlockWrites, d.BlockFlushes = x.Fetches, x.Flushes, x.Reads, x.Writes, x.Syncs
			for name, n := range map[string]uint64{
				"replica_sent": x.Copies.Sent, "replica_filled": x.Copies.Filled, "share_reads": x.Shares.Reads, "share_reads_computed": x.Shares.Computed,
				"held_saved": x.Held.Saved, "held_log_full": x.Held.Full, "held_skipped": x.Held.Skipped,
			} {
				if n > 0 {
					d.Other[name] = float64(n)
				}
			}
			d.FetchedBytes, d.FlushedBytes = x.Fetches*wire.PageSize, x.Flushes*wire.PageSize
			served += x.Fetches
		}
		s.Components = append(s.Components, d)
	}
	for i := range s.Components {
		if d := &s.Components[i]; d.Role == wire.RoleMemory.String() && served > 0 {
			d.FetchShare = float64(d.Fetches) / float64(served)
		}
	}
	s.SetRedundancy()
	model.Digest = fmt.Sprintf("%016x", c.Digest())
	s.Modelled = model
}

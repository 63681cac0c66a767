package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"splitkernel/configs"
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/client"
	"splitkernel/netlayer"
	spans "splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/faults"
	"splitkernel/sim/report"
	"splitkernel/sim/trace"
)

// Names of limits.
const (
	// PollInterval is how often progress is asked for.
	PollInterval = 100 * time.Millisecond
	// NodePatience is how long a pComponent may be out of reach before its processes are given up.
	NodePatience = 5 * time.Second
	// SilencePatience is the same for one that can be reached and does not answer: a machine under load, or a process that was
	// stopped for a while, must only cost time.
	SilencePatience = 20 * time.Second
	// AtOnce is how long the start of the others waits for a vNode that may wait for room.
	AtOnce = time.Second
	// CleanupTimeout bounds giving back what a run took of the managers and of the storage components.
	CleanupTimeout = 5 * time.Second
	// StopPatience bounds each of the three steps after a run was told to stop: the end of its processes, their last counters,
	// and giving back what they took. With the stop of the cluster that stays under 5 s unless components hang.
	StopPatience = time.Second
	// KeptSlow is how many of the slowest faults are in slowest.json.
	KeptSlow = 32
)

// Node is a component of the cluster that a run uses.
type Node struct {
	ID   wire.NodeID
	Role wire.Role
	Addr netlayer.Addr
}

// RunOptions say what to run, and where.
type RunOptions struct {
	Workload     *configs.Workload
	Traces       []Trace // of its vNodes; nil makes Run read them
	ClusterName  string
	Nodes        []Node           // every node of the cluster, managers included
	NodesNow     func() []Node    // the same at the end of the run, if nodes come and go; nil: as at the beginning
	Net          netlayer.Options // identity of the caller as a client of the cluster
	TempDir      string           // where bundled traces are unpacked
	OutDir       string           // where summary.json, manifest.json and timeline.json go; empty writes none
	Command      []string         // of the manifest
	ConfigDigest string
	Config       map[string]any // of the manifest
	Commit       string
	Version      string
	Progress     func(Progress) // may be nil; called from Run's goroutine
	OnPlaced     func()         // may be nil; called when every vNode has its place, before any starts
	Restarts     func() int     // of components during the run; may be nil
	// Strike has something go wrong now, if the workload has faults. What it begins and does not end is ended by Heal, when the processes
	// have: what a run made go wrong does not outlive it, but for the dead.
	Strike func(context.Context, faults.Fault) (Struck, error)
	Heal   func(context.Context, []int) error
	Log    *slog.Logger
}

// Progress is how far a run is.
type Progress struct {
	Done, Total    uint64 // references and block requests
	AccessesPerSec float64
	HitRatio       float64
	Running        int // processes
}

// vnode is one vNode of a run.
type vnode struct {
	v       *configs.VNode
	spec    Spec
	info    trace.Info
	path    string
	total   uint64 // references and block requests, of all repetitions
	digest  string
	place   admission.Placement
	peer    *netlayer.Peer
	volumes []admission.Volume // those that are made, or may be
	names   []string
	hosts   []wire.NodeID // the pComponents that it ran at, in the order in which it came to them
	placed  bool
	started bool
	seen    time.Time // last answer of its pComponent
	status  Status
	failed  string
	before  wire.NodeID // its pComponent that answered last
	freed   bool        // its memory, of one that has ended and goes on from checkpoints

	restoredAt wire.Epoch // of the last restart that is in restarts
	restarts   []report.Restart

	sampled sampled // for the series

	admission spans.Context // of the trace of its admission
	told      func(error)   // ends that

	pending chan answer // while the managers are asked for it
}

// answer is what the managers say to an admission.
type answer struct {
	place admission.Placement
	err   error
}

// controller is a run under way.
type controller struct {
	o      RunOptions
	gm     *client.Client
	peers  map[netlayer.Addr]*netlayer.Peer
	vnodes []*vnode
	asking sync.WaitGroup // admissions that may wait
	sum    *report.Summary
	start  time.Time
	began  time.Time // when the processes were started
	wrong  *wrongs   // what is to go wrong

	timeline *report.Timeline
}

// Run places the vNodes of a workload, replays them and reports. The error is for what kept the run from being made or
// from being reported; a vNode that failed is in the summary, whose ExitCode says so. If ctx ends, the processes are
// stopped and what they did so far is reported with the error.
func Run(ctx context.Context, o RunOptions) (*report.Summary, error) {
	r := &controller{o: o, peers: map[netlayer.Addr]*netlayer.Peer{}, start: time.Now(), timeline: newTimeline(PollInterval)}
	r.sum = &report.Summary{
		Schema: report.SchemaSummary, Engine: "live", Workload: o.Workload.Name, Cluster: o.ClusterName, Seed: o.Workload.Seed, Commit: o.Commit,
		ConfigDigest: o.ConfigDigest, Started: r.start.UTC(), Failed: []string{}, Integrity: []string{}, Warnings: []string{}, Moves: []report.Moves{}, Balance: []report.Balance{},
		Faults: []report.Fault{}, Lost: []string{}, Failures: []report.Failure{},
	}
	defer r.close()
	defer r.tell()
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	co := client.DefaultOptions()
	co.Net, co.Seed = o.Net, o.Workload.Seed
	for _, n := range o.Nodes {
		if n.Role == wire.RoleManager {
			co.Managers = append(co.Managers, client.Manager{ID: n.ID, Addr: n.Addr})
		}
	}
	var err error
	if r.gm, err = client.New(co); err != nil {
		return nil, err
	}
	before, leaders, told := r.nodeStats(ctx), r.leaders(ctx), r.told(ctx)
	for _, v := range r.vnodes {
		if err := r.place(ctx, v); err != nil {
			if ctx.Err() != nil {
				r.cleanup(ctx)
				return nil, context.Cause(ctx) // which is why a manager's answer is missing
			}
			v.failed = err.Error()
		}
	}
	if o.OnPlaced != nil {
		o.OnPlaced()
	}
	began := time.Now()
	r.began = began
	even, stop := r.watchSpread(ctx)
	r.wrong = goWrong(ctx, &o, began)
	for _, v := range r.vnodes {
		if v.failed == "" && v.pending == nil {
			r.launch(ctx, v)
		}
	}
	r.follow(ctx)
	r.asking.Wait()
	for _, v := range r.vnodes {
		if v.pending != nil { // the run was told to stop
			a := <-v.pending
			v.pending, v.place, v.placed, v.failed = nil, a.place, a.err == nil, "was stopped while it waited for room"
		}
	}
	r.sum.WallSeconds = time.Since(began).Seconds()
	stop()
	r.sum.AddFaults(r.wrong.end(ctx))
	r.collect(ctx, before, leaders)
	r.collectSlow(ctx)
	r.collectMoves(context.WithoutCancel(ctx), began, even)
	r.collectFailures(context.WithoutCancel(ctx), began, told)
	r.sum.Timeline = r.timeline
	r.cleanup(ctx)
	if o.OutDir != "" {
		if err := report.WriteFiles(o.OutDir, r.sum, r.manifest()); err != nil {
			return r.sum, err
		}
	}
	return r.sum, context.Cause(ctx)
}

func (r *controller) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.o.Log.Warn(text)
	r.sum.Warnings = append(r.sum.Warnings, text)
}

func (r *controller) peer(a netlayer.Addr) *netlayer.Peer {
	if r.peers[a] == nil {
		r.peers[a] = netlayer.NewPeer(a, r.o.Net)
	}
	return r.peers[a]
}

func (r *controller) close() {
	if r.gm != nil {
		_ = r.gm.Close() // only ends its goroutines
	}
	r.asking.Wait()
	for _, p := range r.peers {
		_ = p.Close()
	}
}

// prepare reads what must be known of each trace before its process can be placed.
func (r *controller) prepare(ctx context.Context) error {
	traces := r.o.Traces
	if traces == nil {
		var err error
		if traces, err = ReadTraces(ctx, r.o.Workload, r.o.TempDir); err != nil {
			return err
		}
	}
	var faults []error
	for i := range r.o.Workload.Vnodes {
		v := &vnode{hosts: []wire.NodeID{}, v: &r.o.Workload.Vnodes[i], path: traces[i].Path, digest: traces[i].Digest, info: traces[i].Info}
		refs := v.info.Refs
		if v.v.MaxRefs > 0 {
			refs = min(refs, v.v.MaxRefs)
		}
		v.spec = specOf(v.v, v.path, v.info)
		if err := v.spec.foreseeable(v.info); err != nil {
			faults = append(faults, fmt.Errorf("vnodes.%s.excache.policy: %w", v.v.Name, err))
		}
		v.spec.ExCache.Seed += r.o.Workload.Seed + uint64(i)
		v.total = refs * uint64(v.v.Repeat)
		if v.v.MaxRefs == 0 { // where a trace is cut, nobody knows how many block requests that leaves
			v.total += blockOps(v.info) * uint64(v.v.Repeat)
		}
		r.vnodes = append(r.vnodes, v)
	}
	return errors.Join(faults...)
}

// wanted is what a vNode asks of the managers.
func (v *vnode) wanted() admission.VNodeSpec {
	ifFull, _ := admission.ParseIfFull(v.v.IfFull) // the workload is validated
	want := admission.VNodeSpec{
		Name: v.v.Name, Threads: uint32(v.spec.Threads), ExCacheLines: uint64(v.spec.ExCache.Lines), MemoryBytes: v.v.MemoryBytes,
		Tenant: v.v.Tenant, Priority: uint8(v.v.Priority), IfFull: ifFull, DeadlineMS: uint32(v.v.QueueDeadlineMS),
		Memory: v.v.Memory.Policy(),
	}
	if v.v.ApartFrom != "" {
		level, _ := apart.ParseLevel(v.v.ApartLevel)
		want.Apart = apart.Rule{Group: v.v.ApartFrom, Level: level}
	}
	want.Volumes = volumesOf(v.v, v.info)
	if v.spec.Checkpoints.On {
		want.Restart = true
		want.Volumes = append(want.Volumes, checkpointVolume(v.v, &v.spec))
	}
	return want
}

// checkpointsName is the name of the volume that has the checkpoints, the last one of a vNode.
const checkpointsName = "checkpoints"

// volumeName is the name of a volume of the vNode.
func (v *vnode) volumeName(i int) string {
	if i == len(v.info.Volumes) {
		return checkpointsName
	}
	return v.info.Volumes[i].Name
}

// place has the managers admit a vNode and makes its volumes at their sComponents. One that may wait is asked for beside; if
// it is not answered within AtOnce, follow goes on with it.
func (r *controller) place(ctx context.Context, v *vnode) error {
	ctx, v.told = spans.Begin(ctx, r.o.Net.Spans, "admission", spans.Attr{Key: "vnode", Text: v.v.Name})
	v.admission = spans.Of(ctx)
	want := v.wanted()
	if want.IfFull == admission.Refuse {
		p, err := r.gm.Admit(ctx, want)
		return r.settle(ctx, v, answer{p, err})
	}
	v.pending = make(chan answer, 1)
	r.asking.Go(func() {
		p, err := r.gm.Admit(ctx, want)
		v.pending <- answer{p, err}
	})
	at := time.NewTimer(AtOnce)
	defer at.Stop()
	select {
	case a := <-v.pending:
		return r.settle(ctx, v, a)
	case <-at.C:
		r.o.Log.Info("vNode waits for room", "process", v.v.Name)
		return nil
	}
}

// settle goes on with a vNode whose admission was answered.
func (r *controller) settle(ctx context.Context, v *vnode, a answer) error {
	v.pending = nil
	ctx = spans.With(ctx, v.admission)
	if a.err != nil {
		return fmt.Errorf("not admitted: %w", a.err)
	}
	want := v.wanted()
	v.place, v.placed = a.place, true
	home := v.place.Home
	v.spec.PID, v.spec.Epoch, v.spec.RegionBytes = v.place.PID, v.place.Epoch, home.RegionBytes
	v.spec.Home = home.Owner()
	for i, p := range v.place.Volumes {
		name := v.volumeName(i)
		v.volumes, v.names = append(v.volumes, p), append(v.names, name)
		req := wire.VolumeCreateReq{Volume: p.Volume, Epoch: p.Epoch, Name: want.Volumes[i].Name, SizeBytes: p.SizeBytes, Config: p.Config}
		made, errs := 0, []error(nil)
		for _, at := range p.Places() {
			if err := r.peer(netlayer.Addr(at.Addr)).Control(ctx, wire.OpVolumeCreate, p.Epoch, &req, nil); err != nil {
				errs = append(errs, fmt.Errorf("volume %s at %s: %w", name, at.Node, err))
			} else {
				made++
			}
		}
		if made < p.Copies.Enough() { // of a copy more the managers see that it is there
			return errors.Join(errs...)
		}
		if i == len(v.info.Volumes) {
			v.spec.Store = VolumeOptions(p)
		} else {
			v.spec.Volumes = append(v.spec.Volumes, VolumeOptions(p))
		}
	}
	return nil
}

// tell ends the traces of admissions: a vNode that did not start has them to the end of the run.
func (r *controller) tell() {
	for _, v := range r.vnodes {
		if v.told == nil {
			continue
		}
		var err error
		if v.failed != "" {
			err = errors.New(v.failed)
		}
		v.told(err)
		v.told = nil
	}
}

// launch starts a placed vNode.
func (r *controller) launch(ctx context.Context, v *vnode) {
	at, err := StartAt(spans.With(ctx, v.admission), r.gm, r.peer, v.spec, v.place)
	v.place = at
	if k := wire.KindOf(err); v.spec.Checkpoints.On && (k == wire.KindUnavailable || k == wire.KindTimeout) {
		err = nil // it is brought back, or started anew
	}
	if err != nil {
		v.failed = fmt.Sprintf("start at %s: %v", v.place.Node, err)
		return
	}
	v.told(nil)
	v.told = nil
	v.peer, v.spec.Epoch = r.peer(netlayer.Addr(at.Addr)), at.Epoch
	v.started, v.seen, v.hosts, v.before = true, time.Now(), []wire.NodeID{v.place.Node}, v.place.Node
	r.sum.ProcessesStarted++
	r.o.Log.Info("process started", "process", v.v.Name, "pid", v.spec.PID, "pcomponent", v.place.Node, "home", v.spec.Home.Node)
}

// running reports whether a vNode may still end.
func (v *vnode) running() bool { return v.started && v.failed == "" && v.status.Result == nil }

// follow asks for progress until every process has ended. If ctx ends it stops them and waits a little.
func (r *controller) follow(ctx context.Context) {
	interval := PollInterval
	tick := time.NewTicker(interval)
	defer tick.Stop()
	stop := ctx.Done()
	limit := (<-chan time.Time)(nil)
	last, lastAt := uint64(0), time.Now()
	rate := 0.0
	for {
		running := r.admitted(ctx)
		for _, v := range r.vnodes {
			if v.running() {
				r.poll(context.WithoutCancel(ctx), v)
			}
			if v.running() {
				running++
			}
			if v.holds() {
				if err := r.free(context.WithoutCancel(ctx), v); err != nil {
					r.o.Log.Debug("memory of a process that has ended", "process", v.v.Name, "error", err)
				}
			}
		}
		r.sample()
		if want := r.wrong.interval(r.far()); want != interval {
			interval = want
			tick.Reset(interval)
		}
		if r.o.Progress != nil {
			p := Progress{Running: running}
			var refs, hits uint64
			for _, v := range r.vnodes {
				refs, hits = refs+v.status.Accesses, hits+v.status.Hits
				p.Done, p.Total = p.Done+v.status.Done+v.status.Blocks, p.Total+v.total
			}
			if s := time.Since(lastAt).Seconds(); s >= 0.5 || running == 0 {
				rate, last, lastAt = float64(p.Done-min(last, p.Done))/max(s, 1e-3), p.Done, time.Now()
			}
			p.AccessesPerSec = rate
			if refs > 0 {
				p.HitRatio = float64(hits) / float64(refs)
			}
			r.o.Progress(p)
		}
		if running == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-stop:
			stop = nil
			limit = time.After(StopPatience)
			for _, v := range r.vnodes {
				if v.running() {
					if err := r.stop(context.WithoutCancel(ctx), v); err != nil {
						r.warn("process %s could not be stopped: %v", v.v.Name, err)
					}
				}
			}
		case <-limit:
			for _, v := range r.vnodes {
				if v.running() {
					v.failed = "was stopped and did not end in time"
				}
			}
			return
		}
	}
}

// far is how many references and block requests have been made, of how many.
func (r *controller) far() (done, total uint64) {
	for _, v := range r.vnodes {
		done, total = done+v.status.Done+v.status.Blocks, total+v.total
	}
	return done, total
}

// stop ends a process, where it runs now.
func (r *controller) stop(ctx context.Context, v *vnode) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for {
		err := v.peer.Control(ctx, wire.OpProcessStop, v.spec.Epoch, &wire.ProcessStopReq{PID: v.spec.PID}, nil)
		if !errors.Is(err, wire.ErrNotOwner) || ctx.Err() != nil {
			return err
		}
		was := v.peer
		if r.poll(ctx, v); v.peer == was {
			return err
		}
	}
}

// admitted starts the vNodes that were admitted meanwhile and returns how many still wait. While any do, what has ended gives
// back its room at once.
func (r *controller) admitted(ctx context.Context) (waiting int) {
	for _, v := range r.vnodes {
		if v.pending == nil {
			continue
		}
		select {
		case a := <-v.pending:
			if err := r.settle(ctx, v, a); err != nil {
				v.failed = err.Error()
			} else {
				r.launch(ctx, v)
			}
		default:
			waiting++
		}
	}
	if waiting > 0 {
		r.giveBack(ctx, slices.DeleteFunc(slices.Clone(r.vnodes), func(v *vnode) bool { return !v.placed || v.running() }))
	}
	return waiting
}

// poll asks for one process's progress.
func (r *controller) poll(ctx context.Context, v *vnode) {
	all := ctx
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var rep wire.ProcessStatusRep
	err := v.peer.Control(ctx, wire.OpProcessStatus, v.spec.Epoch, &wire.ProcessRef{PID: v.spec.PID}, &rep)
	var st Status
	if err == nil {
		err = wire.Unmarshal(rep.Status, &st)
	}
	switch {
	case err == nil && st.State == StateMoved:
		r.movedTo(v, st.Node, st.Addr, st.Epoch)
	case err == nil && st.State == StateFailed && r.comesBack(all, v, true):
	case err == nil:
		r.answered(v, st)
	case errors.Is(err, wire.ErrNotFound):
		if v.spec.Checkpoints.On {
			if r.startAnew(all, v); r.comesBack(all, v, false) {
				return
			}
		} else if r.ask(ctx, v) {
			return
		}
		v.failed = gone(v)
	default:
		patience := NodePatience
		if wire.KindOf(err) == wire.KindTimeout {
			patience = SilencePatience
		}
		if v.spec.Checkpoints.On && time.Since(v.seen) > silence && r.comesBack(all, v, false) {
			return
		}
		if time.Since(v.seen) > patience && !r.ask(ctx, v) {
			v.failed = fmt.Sprintf("%s has not answered for %s: %v", v.place.Node, patience, err)
		}
	}
}

// movedTo follows a process.
func (r *controller) movedTo(v *vnode, node wire.NodeID, addr string, epoch wire.Epoch) {
	r.o.Log.Info("process moved", "process", v.v.Name, "pid", v.spec.PID, "from", v.place.Node, "to", node)
	v.place.Node, v.place.Addr, v.place.Epoch, v.spec.Epoch = node, addr, epoch, epoch
	v.peer, v.seen, v.hosts = r.peer(netlayer.Addr(addr)), time.Now(), append(v.hosts, node)
}

// ask asks GPM where a process is that its pComponent no longer tells of: whether it is elsewhere. A pComponent that it left may have
// died before this run heard of the move.
func (r *controller) ask(ctx context.Context, v *vnode) bool {
	ps, err := r.gm.Processes(ctx)
	if err != nil {
		return false
	}
	for _, p := range ps {
		if p.PID != v.spec.PID || p.Node == v.place.Node {
			continue
		}
		r.nodesNow() // it may have gone to one that joined meanwhile
		for _, n := range r.o.Nodes {
			if n.ID == p.Node {
				r.movedTo(v, n.ID, string(n.Addr), p.Epoch)
				return true
			}
		}
	}
	return false
}

// nodesNow looks which nodes there are.
func (r *controller) nodesNow() {
	if r.o.NodesNow != nil {
		r.o.Nodes = r.o.NodesNow()
	}
}

// collect makes the summary.
func (r *controller) collect(ctx context.Context, before map[wire.NodeID]wire.NodeStatsRep, leaders map[wire.Manager]client.GroupStatus) {
	s := r.sum
	total := newMerge()
	byNode := map[wire.NodeID]*merge{}
	for _, v := range r.vnodes {
		d, own := v.describe(), newMerge()
		if v.failed != "" {
			s.Failed = append(s.Failed, v.v.Name+": "+v.failed)
		}
		if res := v.status.Result; res != nil {
			if res.Error != "" {
				s.Failed = append(s.Failed, v.v.Name+": "+res.Error)
			}
			s.Integrity = append(s.Integrity, res.Integrity...)
			for _, m := range []*merge{own, total} {
				if err := m.add(res); err != nil {
					r.warn("%s: %v", v.v.Name, err)
				}
			}
			for i := range res.Parts {
				if err := at(byNode, res.Parts[i].Node).addPart(&res.Parts[i]); err != nil {
					r.warn("%s: %v", v.v.Name, err)
				}
			}
		}
		d.Counters = own.counters()
		s.VNodes = append(s.VNodes, d)
	}
	s.Total = total.counters()
	total.spread(r.timeline)
	if s.WallSeconds > 0 {
		s.AccessesPerSecond = float64(s.Total.Accesses) / s.WallSeconds
	}
	r.nodesNow() // those that joined have counted from 0; those that left are asked no more
	after := r.nodeStats(context.WithoutCancel(ctx))
	var served uint64
	for _, n := range r.o.Nodes {
		c := report.Component{ID: n.ID, Role: n.Role.String()}
		st, ok := after[n.ID]
		if !ok {
			if n.Role != wire.RoleManager {
				r.warn("%s does not answer: its counters are missing", n.ID)
			} else {
				r.warn("manager %s does not answer", n.ID)
			}
		}
		c.Epoch = st.Epoch
		c.Counters, c.Other = counted(before[n.ID].Counters, st.Counters)
		switch {
		case n.Role == wire.RoleCompute:
			c.Counters = at(byNode, n.ID).counters()
		case n.Role == wire.RoleMemory:
			served += c.Fetches
		}
		s.Components = append(s.Components, c)
	}
	for i := range s.Components {
		if c := &s.Components[i]; c.Role == wire.RoleMemory.String() && served > 0 {
			c.FetchShare = float64(c.Fetches) / float64(served)
		}
	}
	s.SetRedundancy()
	for m, g := range r.leaders(ctx) { // an order does not show: they are added up
		s.LeaderChanges += g.ChangesSince(leaders[m])
	}
	if r.o.Restarts != nil {
		s.Restarts = r.o.Restarts()
	}
}

// describe gives the vNode without its counts.
func (v *vnode) describe() report.VNode {
	d := report.VNode{
		Name: v.v.Name, PID: v.spec.PID, State: StateFailed, Error: v.failed, PComponent: v.place.Node, Home: v.spec.Home.Node, Threads: v.spec.Threads, Order: v.spec.Order,
		Restarts: v.restarts, Checkpoints: v.status.Checkpoints, Memory: report.MemoryOf(v.v.Memory.Policy()),
		Policy: v.spec.ExCache.Policy, Mechanism: v.spec.ExCache.Mechanism, Lines: v.spec.ExCache.Lines, Ways: v.spec.ExCache.Ways, Footprint: v.info.FootprintPages,
	}
	if res := v.status.Result; res != nil {
		d.State, d.Seconds, d.Activations, d.Late = v.status.State, res.Seconds, uint64(len(res.Regions)), res.Late
		if res.Error != "" {
			d.Error = res.Error
		}
	}
	return d
}

// manifest says how to repeat the run.
func (r *controller) manifest() *report.Manifest {
	m := &report.Manifest{
		Schema: report.SchemaManifest, Seed: r.o.Workload.Seed, Commit: r.o.Commit, Version: r.o.Version, ConfigDigest: r.o.ConfigDigest, Config: r.o.Config, Command: r.o.Command,
		Host: report.ThisHost(), Started: r.start.UTC(), Traces: []report.Trace{}, Placement: []report.Placement{},
	}
	for _, v := range r.vnodes {
		m.Traces = append(m.Traces, report.Trace{VNode: v.v.Name, Name: filepath.Base(v.path), Format: v.info.Header.Source, SHA256: v.digest, Refs: v.info.Refs})
		if v.place.PID == 0 { // what it had may be given back by now
			continue
		}
		p := report.Placement{VNode: v.v.Name, PID: v.spec.PID, PComponent: v.place.Node, Hosts: v.hosts, Home: v.spec.Home.Node, Regions: []report.Region{}, Volumes: []report.Volume{}}
		if res := v.status.Result; res != nil {
			for _, w := range res.Regions {
				p.Regions = append(p.Regions, report.Region{Number: w.Region, Owner: w.Node, Epoch: w.Epoch})
			}
		}
		for i, vol := range v.volumes {
			p.Volumes = append(p.Volumes, report.Volume{ID: vol.Volume, Name: v.names[i], Storage: vol.Storage, Cache: vol.Cache})
		}
		m.Placement = append(m.Placement, p)
	}
	return m
}

// nodeStats asks every node for its counters; those that do not answer are left out.
func (r *controller) nodeStats(ctx context.Context) map[wire.NodeID]wire.NodeStatsRep {
	ctx, cancel := context.WithTimeout(ctx, StopPatience)
	defer cancel()
	reps := make([]wire.NodeStatsRep, len(r.o.Nodes))
	var wg sync.WaitGroup
	for i, n := range r.o.Nodes {
		p := r.peer(n.Addr)
		wg.Go(func() {
			if err := p.Control(ctx, wire.OpNodeStats, 0, &wire.NodeStatsReq{}, &reps[i]); err != nil {
				reps[i] = wire.NodeStatsRep{}
			}
		})
	}
	wg.Wait()
	out := map[wire.NodeID]wire.NodeStatsRep{}
	for i, n := range r.o.Nodes {
		if reps[i].Node != "" {
			out[n.ID] = reps[i]
		}
	}
	return out
}

// collectSlow asks the pComponents for the slowest faults of the processes of the run. One that is gone takes its own with it.
func (r *controller) collectSlow(ctx context.Context) {
	ours := map[wire.PID]bool{}
	for _, v := range r.vnodes {
		if v.placed {
			ours[v.spec.PID] = true
		}
	}
	s, missing := SlowFaults(context.WithoutCancel(ctx), r.o.Nodes, r.peer, r.began, ours, KeptSlow)
	if len(missing) > 0 {
		r.o.Log.Info("slowest faults are not known of some pComponents", "nodes", fmt.Sprint(missing))
	}
	r.sum.Slowest = s
}

// SlowFaults asks pComponents for the faults that took longest, of the processes in only if that is not nil. Times are since zero. It gives who did not
// answer within StopPatience, too.
func SlowFaults(ctx context.Context, nodes []Node, peer func(netlayer.Addr) *netlayer.Peer, zero time.Time, only map[wire.PID]bool, most int) (s *report.Slowest, missing []wire.NodeID) {
	ctx, cancel := context.WithTimeout(ctx, StopPatience)
	defer cancel()
	reps, errs := make([]wire.SlowFaultsRep, len(nodes)), make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		if n.Role != wire.RoleCompute {
			continue
		}
		p := peer(n.Addr)
		wg.Go(func() { errs[i] = p.Control(ctx, wire.OpSlow, 0, &wire.SlowFaultsReq{}, &reps[i]) })
	}
	wg.Wait()
	s = &report.Slowest{Schema: report.SchemaSlowest, Engine: "live", Faults: []report.SlowFault{}}
	for i := range reps {
		if errs[i] != nil {
			missing = append(missing, nodes[i].ID)
			continue
		}
		s.TimedEvery = max(s.TimedEvery, reps[i].Every)
		s.AddSlow(reps[i].Faults, zero.UnixNano(), only, most)
	}
	return s, missing
}

func (r *controller) leaders(ctx context.Context) map[wire.Manager]client.GroupStatus {
	out := map[wire.Manager]client.GroupStatus{}
	st, err := r.gm.Status(ctx)
	if err != nil && ctx.Err() == nil {
		r.warn("no manager tells its leader: %v", err)
	}
	for _, g := range st {
		out[g.Manager] = g
	}
	return out
}

// cleanup gives back what the vNodes took. The processes have ended, so what fails here loses no result.
func (r *controller) cleanup(ctx context.Context) { r.giveBack(ctx, r.vnodes) }

// giveBack gives back what vNodes took of the managers and of the storage components.
func (r *controller) giveBack(ctx context.Context, vnodes []*vnode) {
	limit := CleanupTimeout
	if ctx.Err() != nil {
		limit = StopPatience
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	try := func(what string, err error) bool {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			r.warn("%s: %v", what, err)
		}
		return err == nil
	}
	r.relocate(ctx)
	silent := map[wire.NodeID]bool{}
	for _, v := range vnodes {
		if v.holds() {
			if err := r.free(ctx, v); !try("free the memory of "+v.v.Name, err) && ctx.Err() != nil {
				return
			}
		}
		for i := range v.volumes {
			err := r.deleteVolume(ctx, &v.volumes[i], silent)
			if !errors.Is(err, wire.ErrNotFound) && !try("delete volume "+v.names[i], err) {
				return
			}
		}
		if !v.placed {
			continue
		}
		err := r.gm.Release(ctx, v.place.PID)
		if !errors.Is(err, wire.ErrNotFound) && !try("release vNode "+v.v.Name, err) { // not found: it was preempted, or lost
			return
		}
		v.placed = false
	}
}

// deleteVolume deletes a volume, after it if it has moved: the managers may learn of that a little later. A sComponent that does
// not have it is believed only if GSM has it there, too, or not at all: else it would stay where it went. silent is of deleteCopies.
func (r *controller) deleteVolume(ctx context.Context, v *admission.Volume, silent map[wire.NodeID]bool) error {
	if v.Copies.Replicated() {
		return r.deleteCopies(ctx, v, silent)
	}
	for {
		err := r.peer(netlayer.Addr(v.StorageAddr)).Control(ctx, wire.OpVolumeDelete, v.Epoch, &wire.VolumeRef{Volume: v.Volume, Epoch: v.Epoch}, nil)
		moved := errors.Is(err, wire.ErrNotOwner) || errors.Is(err, wire.ErrStale) // or its buffer cache has
		if !moved && !errors.Is(err, wire.ErrNotFound) {
			return err
		}
		now, addr, ferr := r.gm.Volume(ctx, v.Volume)
		switch {
		case ferr != nil:
			return ferr
		case addr == "" || !moved && now.Storage == v.Storage:
			return err
		}
		if now.Storage == v.Storage {
			select {
			case <-time.After(relocatePause):
			case <-ctx.Done():
				return err
			}
		}
		v.Epoch, v.Storage, v.StorageAddr = now.Epoch, now.Storage, addr
	}
}

// deleteCopies deletes a volume at every sComponent that has a copy by the books. One that does not answer drops its copy when it is back
// and is asked what it holds: it is silent, and not waited for again, for the time is short in which everything must be given back.
func (r *controller) deleteCopies(ctx context.Context, v *admission.Volume, silent map[wire.NodeID]bool) error {
	now, err := r.gm.VolumeNow(ctx, v.Volume)
	if err != nil {
		return err
	}
	var errs []error
	for _, at := range now.Places() {
		if silent[at.Node] {
			continue
		}
		once, cancel := context.WithTimeout(ctx, deleteTimeout)
		err := r.peer(netlayer.Addr(at.Addr)).Control(once, wire.OpVolumeDelete, now.Epoch, &wire.VolumeRef{Volume: v.Volume, Epoch: now.Epoch}, nil)
		cancel()
		switch wire.KindOf(err) {
		case wire.KindNone, wire.KindNotFound:
		case wire.KindUnavailable, wire.KindTimeout:
			silent[at.Node] = true
		default:
			errs = append(errs, fmt.Errorf("at %s: %w", at.Node, err))
		}
	}
	return errors.Join(errs...)
}

// deleteTimeout is how long an sComponent may take to delete a copy before it is left to drop it by itself. With three copies of which one is
// silent, the rest of CleanupTimeout is for everything else.
const deleteTimeout = 2 * time.Second

// relocatePause is the pause before the managers are asked again where a volume went.
const relocatePause = 50 * time.Millisecond

// merge adds up results.
type merge struct {
	c     report.Counters
	fault map[string]*hdrhistogram.Histogram
	block map[string]*hdrhistogram.Histogram
}

func newMerge() *merge {
	return &merge{fault: map[string]*hdrhistogram.Histogram{}, block: map[string]*hdrhistogram.Histogram{}}
}

// at gives the merge of a node.
func at(m map[wire.NodeID]*merge, n wire.NodeID) *merge {
	if m[n] == nil {
		m[n] = newMerge()
	}
	return m[n]
}

func (m *merge) add(r *Result) error {
	m.c.Add(r.Counters)
	return errors.Join(mergeInto(m.fault, r.Fault), mergeInto(m.block, r.Block))
}

func (m *merge) addPart(p *Part) error {
	m.c.Add(p.Counters)
	return errors.Join(mergeInto(m.fault, p.Fault), mergeInto(m.block, p.Block))
}

func mergeInto(to map[string]*hdrhistogram.Histogram, hs []Histogram) error {
	for _, h := range hs {
		x, err := h.unpack()
		if err != nil {
			return err
		}
		if to[h.Kind] == nil {
			to[h.Kind] = x
		} else {
			to[h.Kind].Merge(x)
		}
	}
	return nil
}

func (m *merge) counters() report.Counters {
	c := m.c
	c.FaultLatency, c.BlockLatency = latencies(m.fault, report.FaultKinds), latencies(m.block, report.BlockKinds)
	return c
}

// latencies sums up the distribution of each kind.
func latencies(m map[string]*hdrhistogram.Histogram, kinds []string) map[string]report.Latency {
	out := map[string]report.Latency{}
	for _, k := range kinds {
		out[k] = report.Latency{}
		if h := m[k]; h != nil && h.TotalCount() > 0 {
			out[k] = latency(h)
		}
	}
	return out
}

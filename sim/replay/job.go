package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	spans "splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/pcomponent/checkpoint"
	"splitkernel/sim/check"
	"splitkernel/sim/report"
)

// Names of limits.
const (
	// LockBatch is how many accesses are made under one taking of a process's lock: a lock per access costs as much as a hit.
	LockBatch = 1024
	// MaxRequestBytes is how much of a block request is moved at a time.
	MaxRequestBytes = 1 << 20
	// closeTimeout bounds the end of a process that ran well: the last write-back of its volumes and the freeing of its memory. Each is a
	// call that is sent again when a message is lost, after netlayer's call_timeout_ms of 5 s. failedTimeout is for one that did not.
	closeTimeout  = 25 * time.Second
	failedTimeout = 5 * time.Second
	// stoppedTimeout is the same for one that was stopped: then its mComponents may be gone, too, and nobody needs its memory
	// so much as an end.
	stoppedTimeout = time.Second
)

// job is the replay of one process.
type job struct {
	player
	comp    *pcomponent.Component
	stop    context.CancelCauseFunc // with the error that it fails with; nil: it was stopped
	proc    atomic.Pointer[pcomponent.Process]
	retired atomic.Pointer[pcomponent.Process] // it has ended, and its memory is at the mComponents until somebody has the result

	ended  chan struct{} // closed once there is a result, or the process runs elsewhere
	mu     sync.Mutex
	result *Result
	moved  *elsewhere // where the process runs now, if it went

	halt    atomic.Pointer[halt] // somebody asks to stop at the next boundary
	kept    atomic.Uint64        // checkpoints that are durable
	reached atomic.Uint64        // place.Batch, for whoever asks meanwhile
	pin     sync.Mutex           // held while lines are written back for a move; the process is closed after it
	epoch   wire.Epoch           // under which the process runs here; guarded by Host.mu
	start   time.Time

	before report.Interval // at other pComponents

	admission spans.Context // the trace in which it was started

	keepState []byte           // of one that came with checkpoints
	from      *checkpoint.Head // of one that goes on from a checkpoint
	restored  *Restored        // the same, for who asks

	// Of the goroutine that replays, and while that stands still of the move:
	ran    float64 // seconds at other pComponents
	parts  []Part  // what was counted there
	events history // with the process's lock held
}

func newJob(ctx context.Context, comp *pcomponent.Component, s Spec, log *slog.Logger) *job {
	j := &job{ended: make(chan struct{}), epoch: s.Epoch, comp: comp}
	j.spec, j.log, j.pages = s, log, check.NewPages()
	j.ctx, j.stop = context.WithCancelCause(ctx)
	j.player.boundary, j.player.reach, j.player.history = j.boundary, j.reach, j.events.of
	j.hold = comp.Hold
	j.lanes = func(p memory) accesses { return j.accesses(p.(*pcomponent.Process)) }
	return j
}

// status tells how far the process is.
func (j *job) status() Status {
	j.mu.Lock()
	r, moved := j.result, j.moved
	j.mu.Unlock()
	st := Status{Checkpoints: j.kept.Load(), State: StateRunning, Done: j.done.Load(), Blocks: j.requests.Load(), Result: r}
	st.Steps, st.Whole = j.far()
	if j.restored != nil {
		st.From, st.Epoch = j.restored, j.spec.Epoch
	}
	switch {
	case moved != nil:
		st.State, st.Node, st.Addr, st.Epoch = StateMoved, moved.node, moved.addr, moved.epoch
	case r != nil && r.Error == "":
		st.State = StateDone
	case r != nil:
		st.State = StateFailed
	}
	did := report.Interval{}
	if r != nil {
		did = intervalOfCounters(&r.Counters)
	} else if p := j.proc.Load(); p != nil {
		did = intervalOf(p.Counters()).Plus(j.before)
	}
	st.Accesses, st.Hits, st.Bytes = did.Accesses, did.Hits, did.Bytes
	return st
}

// gone reports whether the process does not run here any more.
func (j *job) gone() bool {
	select {
	case <-j.ended:
		return true
	default:
		return false
	}
}

// exit frees the memory of a process that has ended and was retired: whoever stops it does not ask for its result any more.
func (j *job) exit(ctx context.Context) {
	p := j.retired.Swap(nil)
	if p == nil {
		return
	}
	if err := p.Exit(ctx); err != nil && wire.KindOf(err) != wire.KindNotFound {
		j.log.Warn("the memory of a process that has ended stays until it is swept", "error", err)
	}
}

// run replays the trace and keeps the result. Who calls it closes ended.
func (j *job) run() {
	defer j.stop(nil)
	j.log.Info("process starts", "trace", j.spec.Trace, "order", j.spec.Order, "threads", j.spec.Threads, "lines", j.spec.ExCache.Lines)
	r := &Result{}
	err := j.replay(r)
	if why := (*wire.Error)(nil); err != nil && err != errMoved && errors.As(context.Cause(j.ctx), &why) {
		err = why // what it met when it was stopped says less
	}
	switch {
	case err == errMoved:
		j.log.Info("process goes on elsewhere", "pcomponent", j.moved.node, "epoch", j.moved.epoch)
		r = nil
	case err != nil:
		r.Error, r.ErrorKind = err.Error(), wire.KindOf(err)
		j.log.Error("process failed", "error", err)
	default:
		j.log.Info("process ended", "seconds", r.Seconds, "accesses", r.Counters.Accesses, "misses", r.Counters.Misses)
	}
	// What made the accesses goes; the result stays to be asked for.
	j.pages, j.events, j.volumes, j.shown, j.maps = nil, history{}, nil, nil, mapped{}
	if j.src != nil {
		_ = j.src.Close() // it was only read
		j.src, j.batch = nil, nil
	}
	if j.keep != nil {
		j.keep.core.End()
	}
	j.proc.Store(nil)
	j.mu.Lock()
	j.result = r
	j.mu.Unlock()
}

// options are those of the process.
func (j *job) options() pcomponent.ProcessOptions {
	return pcomponent.ProcessOptions{
		PID: j.spec.PID, Epoch: j.spec.Epoch, Name: j.spec.Name, Home: j.spec.Home, Threads: j.spec.Threads, ExCache: j.spec.ExCache, RegionBytes: j.spec.RegionBytes,
		Saved: j.spec.Checkpoints.On, OnDamaged: j.damaged, OnEvent: j.events.add, Far: j.far, Program: wire.Marshal(&recorded{j.spec, j.done.Load()}),
	}
}

// replay opens the process unless it came from elsewhere, replays, writes back, closes, and fills r, as far as it came.
func (j *job) replay(r *Result) (err error) {
	p := j.proc.Load()
	fresh := p == nil
	if fresh {
		o := j.options()
		if o.Future, err = j.spec.foresee(j.ctx); err != nil {
			return err
		}
		if p, err = j.comp.Open(spans.With(j.ctx, j.admission), o); err != nil {
			return err
		}
		j.proc.Store(p)
	}
	// A stopped job must not wait for its patience: every access fails at once.
	unwatch := context.AfterFunc(j.ctx, func() {
		p.Stop(wire.Errorf(wire.KindUnavailable, "process %s was stopped", j.spec.Name))
	})
	defer unwatch()
	j.start = time.Now()
	if fresh {
		err = j.attach(p)
	}
	for err == nil && j.at.Repeat < j.spec.Repeat {
		err = j.once(p, j.at.Repeat == j.spec.Repeat-1)
	}
	if err == nil {
		err = p.Drain(j.ctx)
	}
	r.Seconds = j.ran + time.Since(j.start).Seconds()
	j.fill(r, p)
	p.Stop(wire.Errorf(wire.KindFailed, "process %s has ended", j.spec.Name)) // which ends a write-back for a move
	j.pin.Lock()
	defer j.pin.Unlock()
	var left *leaveError
	if err == errMoved || errors.As(err, &left) {
		if lerr := p.Leave(); lerr != nil {
			j.log.Warn("process left with errors", "error", lerr)
		}
		return err
	}
	patience := closeTimeout
	switch {
	case j.ctx.Err() != nil:
		patience = stoppedTimeout
	case err != nil:
		patience = failedTimeout
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(j.ctx), patience)
	defer cancel()
	end := p.Close
	if err == nil && j.spec.Checkpoints.On && j.ctx.Err() == nil {
		end = func(ctx context.Context) error {
			j.retired.Store(p)
			return p.Retire(ctx, j.blocks.writes > 0)
		}
	}
	if cerr := end(ctx); cerr != nil {
		j.log.Warn("process closed with errors", "error", cerr)
		if err == nil && j.blocks.writes > 0 {
			err = cerr // a volume that could not be written back is lost data
		}
	}
	return err
}

// fill takes over what was counted, here and where the process was before.
func (j *job) fill(r *Result, p *pcomponent.Process) {
	r.Parts = addPart(j.parts, j.part(p))
	m := newMerge()
	for i := range r.Parts {
		if err := m.addPart(&r.Parts[i]); err != nil {
			j.log.Warn("the latencies of another pComponent are left out", "error", err)
		}
	}
	r.Counters, r.Fault, r.Block = m.c, packAll(report.FaultKinds, m.fault), packAll(report.BlockKinds, m.block)
	r.Regions, r.Late, r.Integrity = p.Report().Owners, j.late, j.shown
}

// part is what was counted here.
func (j *job) part(p *pcomponent.Process) Part {
	rep := p.Report()
	part := Part{Node: j.comp.ID()}
	c := &part.Counters
	c.SetCache(rep.Counters)
	c.Retries, c.Redirects = rep.Faults.Retries, rep.Faults.Redirects
	c.PagesChecked, c.SectorsChecked, c.IntegrityErrors = j.checked, j.blocks.sectors, j.wrong
	c.BlockReads, c.BlockWrites, c.BlockFlushes = j.blocks.reads, j.blocks.writes, j.blocks.flushes
	c.BlockReadBytes, c.BlockWriteBytes = j.blocks.readBytes, j.blocks.writeBytes
	for _, k := range report.FaultKinds {
		part.Fault = append(part.Fault, pack(k, rep.Fault[k]))
	}
	for _, k := range report.BlockKinds {
		part.Block = append(part.Block, pack(k, rep.Block[k]))
	}
	return part
}

func (j *job) attach(p *pcomponent.Process) error {
	for _, o := range j.spec.Volumes {
		v, err := p.Attach(j.ctx, o)
		if err != nil {
			return err
		}
		j.volumes = append(j.volumes, &volume{blocks: v, sectors: check.NewSectors(o.ID), buf: make([]byte, 0, MaxRequestBytes)})
	}
	if !j.spec.Checkpoints.On {
		return nil
	}
	store, err := p.Attach(j.ctx, j.spec.Store)
	if err != nil {
		return err
	}
	return j.keepBy(p, store, checkpoint.KeeperHead{Epoch: j.spec.Epoch})
}

// keepBy has the process make checkpoints.
func (j *job) keepBy(p *pcomponent.Process, store *pcomponent.Volume, head checkpoint.KeeperHead) error {
	if store == nil {
		return fmt.Errorf("the checkpoint volume %d is not attached", j.spec.Store.ID)
	}
	head.Node, head.PID, head.Options = j.comp.ID(), j.spec.PID, j.spec.Checkpoints.options()
	core, err := head.New()
	if err != nil {
		return err
	}
	t := &checkpoint.TapedKeeper{Keeper: core}
	t.Record(j.comp.Recorder(), core, checkpoint.KeeperTapeKind, &head)
	born := time.Now()
	j.keep = &keeping{
		core: t, layout: j.spec.Checkpoints.Layout(), store: store,
		now: func() time.Duration { return time.Since(born) + 1 }, epoch: p.Epoch, under: j.spec.Epoch, moved: p.Moved, undo: p.Undrain, failed: asError,
		pause: func(d time.Duration) {
			t := time.NewTimer(d)
			defer t.Stop()
			select {
			case <-t.C:
			case <-j.ctx.Done():
			}
		},
		drain:  func() (uint64, error) { err := p.Drain(j.ctx); return p.LastFlush(), err },
		export: func() ([]byte, error) { return j.exportState(p, j.ran+time.Since(j.start).Seconds()) },
		tell:   func(at wire.Cut) error { return p.Cut(j.ctx, at) },
		made: func(h checkpoint.Head) {
			j.kept.Store(h.Cut.Number + 1)
			j.log.Debug("checkpoint", "number", h.Cut.Number, "accesses", h.Done)
		},
	}
	return nil
}

// damaged counts a page that came with a wrong checksum. The process's lock is held.
func (j *job) damaged(page wire.PageNo, owner wire.NodeID, err error) {
	j.sawWrong()
	h := j.events.of(page)
	j.log.Error("damaged page", "page", fmt.Sprintf("%#x", uint64(page)), "owner", owner, "error", err, "history", h)
	if len(j.shown) < IntegrityShown {
		j.shown = append(j.shown, fmt.Sprintf("%s: page %#x from %s: %v; history: %s", j.spec.Name, uint64(page), owner, err, h))
	}
}

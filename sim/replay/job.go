package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/sim/check"
	"splitkernel/sim/report"
	"splitkernel/sim/trace"
)

// Names of limits.
const (
	// LockBatch is how many accesses are made under one taking of a process's lock: a lock per access costs as much as a hit.
	LockBatch = 1024
	// MaxRequestBytes is how much of a block request is moved at a time.
	MaxRequestBytes = 1 << 20
	// closeTimeout bounds the freeing of a process's memory after it has ended.
	closeTimeout = 5 * time.Second
	// stoppedTimeout is the same for one that was stopped: then its mComponents may be gone, too, and nobody needs its memory
	// so much as an end.
	stoppedTimeout = time.Second
)

// job is the replay of one process.
type job struct {
	spec Spec
	comp *pcomponent.Component
	log  *slog.Logger
	ctx  context.Context
	stop context.CancelCauseFunc // with the error that it fails with; nil: it was stopped

	done     atomic.Uint64
	requests atomic.Uint64 // block requests made
	proc     atomic.Pointer[pcomponent.Process]

	ended  chan struct{} // closed once there is a result, or the process runs elsewhere
	mu     sync.Mutex
	result *Result
	moved  *elsewhere // where the process runs now, if it went

	halt    atomic.Pointer[halt] // somebody asks to stop at the next boundary
	reached atomic.Uint64        // place.Batch, for whoever asks meanwhile
	pin     sync.Mutex           // held while lines are written back for a move; the process is closed after it
	epoch   wire.Epoch           // under which the process runs here; guarded by Host.mu
	start   time.Time

	hitsBefore uint64 // at other pComponents

	// Of the goroutine that replays, and while that stands still of the move:
	at    place
	maps  mapped
	ran   float64 // seconds at other pComponents
	parts []Part  // what was counted there
	src   trace.Source
	batch *trace.Batch // the first batch of src, if it was read before

	// With the process's lock held, or before and after all accesses:
	pages   *check.Pages
	events  history
	checked uint64
	wrong   uint64
	shown   []string

	volumes []*volume
	began   bool // an access was made
	late    uint64
	blocks  blockCounts
}

// blockCounts are the block requests of a process.
type blockCounts struct {
	reads, writes, flushes, readBytes, writeBytes, sectors uint64
}

// volume is a volume of the trace, and what its sectors must hold.
type volume struct {
	*pcomponent.Volume
	sectors *check.Sectors
	buf     []byte
}

func newJob(ctx context.Context, comp *pcomponent.Component, s Spec, log *slog.Logger) *job {
	j := &job{ended: make(chan struct{}), spec: s, epoch: s.Epoch, comp: comp, log: log, pages: check.NewPages()}
	j.ctx, j.stop = context.WithCancelCause(ctx)
	return j
}

// status tells how far the process is.
func (j *job) status() Status {
	j.mu.Lock()
	r, moved := j.result, j.moved
	j.mu.Unlock()
	st := Status{State: StateRunning, Done: j.done.Load(), Blocks: j.requests.Load(), Result: r}
	switch {
	case moved != nil:
		st.State, st.Node, st.Addr, st.Epoch = StateMoved, moved.node, moved.addr, moved.epoch
	case r != nil && r.Error == "":
		st.State = StateDone
	case r != nil:
		st.State = StateFailed
	}
	if r != nil {
		st.Hits = r.Counters.Hits
	} else if p := j.proc.Load(); p != nil {
		st.Hits = j.hitsBefore + p.Counters().Hits
	}
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

// run replays the trace and keeps the result.
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
	j.proc.Store(nil)
	j.mu.Lock()
	j.result = r
	j.mu.Unlock()
	close(j.ended)
}

// options are those of the process.
func (j *job) options() pcomponent.ProcessOptions {
	return pcomponent.ProcessOptions{
		PID: j.spec.PID, Epoch: j.spec.Epoch, Name: j.spec.Name, Home: j.spec.Home, Threads: j.spec.Threads, ExCache: j.spec.ExCache, RegionBytes: j.spec.RegionBytes,
		OnDamaged: j.damaged, OnEvent: j.events.add,
	}
}

// replay opens the process unless it came from elsewhere, replays, writes back, closes, and fills r, as far as it came.
func (j *job) replay(r *Result) (err error) {
	p := j.proc.Load()
	fresh := p == nil
	if fresh {
		if p, err = j.comp.Open(j.ctx, j.options()); err != nil {
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
	if j.ctx.Err() != nil {
		patience = stoppedTimeout
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(j.ctx), patience)
	defer cancel()
	if cerr := p.Close(ctx); cerr != nil {
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
		j.volumes = append(j.volumes, &volume{Volume: v, sectors: check.NewSectors(o.ID), buf: make([]byte, 0, MaxRequestBytes)})
	}
	return nil
}

// accesses makes the references of a batch; sequential or by threads.
type accesses interface {
	// refs makes them; it may return before they are made. It takes fewer than all if the process is to stand still.
	refs(rs []trace.Ref, first uint64) (int, error)
	// barrier returns when all are made.
	barrier() error
	// close ends its goroutines.
	close()
}

// once replays the trace one time, from where the replay is. What the trace leaves mapped is unmapped unless this is the
// last time.
func (j *job) once(p *pcomponent.Process, last bool) error {
	if j.src == nil { // else it came from elsewhere, and so far has been skipped
		src, err := trace.OpenFormat(j.spec.Trace, j.spec.Format)
		if err != nil {
			return err
		}
		j.src = src
		j.at = place{Repeat: j.at.Repeat, Left: j.spec.MaxRefs}
	}
	defer func() {
		_ = j.src.Close() // it was only read
		j.src, j.batch = nil, nil
	}()
	var a accesses
	if j.spec.Order == OrderThreads {
		a = newThreaded(j, p)
	} else {
		a = &sequential{j: j, t: p.Thread(0)}
	}
	defer a.close()
	for {
		if err := j.boundary(a, j.batch); err != nil {
			return err
		}
		b := j.batch
		if j.batch = nil; b == nil {
			var err error
			if b, err = j.src.Next(); err == io.EOF {
				break
			} else if err != nil {
				return err
			}
		}
		refs := b.Refs
		if j.spec.MaxRefs > 0 && uint64(len(refs)) > j.at.Left {
			refs = refs[:j.at.Left]
		}
		if err := j.play(p, a, b, refs); err != nil {
			return err
		}
		j.at.Batch, j.at.Ref, j.at.Event = j.at.Batch+1, 0, 0
		j.reach()
		if j.at.Left -= uint64(len(refs)); j.spec.MaxRefs > 0 && j.at.Left == 0 {
			break
		}
	}
	if err := a.barrier(); err != nil {
		return err
	}
	if !last {
		for _, m := range j.maps.ranges {
			if err := j.unmap(p, m.addr, m.length); err != nil {
				return err
			}
		}
	}
	j.maps = mapped{}
	j.at = place{Repeat: j.at.Repeat + 1}
	j.reach()
	return nil
}

// play makes the references and events of a batch, from where the replay is.
func (j *job) play(p *pcomponent.Process, a accesses, b *trace.Batch, refs []trace.Ref) error {
	for {
		end, event := len(refs), (*trace.Event)(nil)
		if i := j.at.Event; i < len(b.Events) && b.Events[i].At <= len(refs) {
			event = &b.Events[i]
			end = event.At
		}
		for j.at.Ref < end {
			n, err := a.refs(refs[j.at.Ref:end], b.First+uint64(j.at.Ref))
			if err != nil {
				return err
			}
			j.at.Ref += n
			if err := j.boundary(a, b); err != nil {
				return err
			}
		}
		if event == nil {
			return nil
		}
		if err := a.barrier(); err != nil {
			return err
		}
		if err := j.event(p, event, &j.maps); err != nil {
			return fmt.Errorf("%s: %s: %w", j.spec.Trace, j.where(b.First+uint64(end)), err)
		}
		j.at.Event++
		if err := j.boundary(a, b); err != nil {
			return err
		}
	}
}

// event changes the memory map or makes a block request.
func (j *job) event(p *pcomponent.Process, e *trace.Event, maps *mapped) error {
	switch e.Kind {
	case trace.Mmap:
		before := p.Regions()
		if err := p.Map(j.ctx, e.Addr, e.Len, e.Anon, e.Writable, e.Name); err != nil {
			return err
		}
		if j.began {
			j.late += uint64(p.Regions() - before)
		}
		first, last := e.Addr>>wire.PageShift, (e.Addr+e.Len-1)>>wire.PageShift
		j.pages.Forget(first, last) // a mapping over an old one is new memory
		maps.add(e.Addr, e.Len)
		return nil
	case trace.Munmap:
		maps.remove(e.Addr, e.Len)
		return j.unmap(p, e.Addr, e.Len)
	case trace.Brk:
		before := p.Regions()
		if err := j.brk(p, e.Addr, maps); err != nil {
			return err
		}
		if j.began {
			j.late += uint64(p.Regions() - before)
		}
		return nil
	}
	return j.block(e)
}

func (j *job) unmap(p *pcomponent.Process, addr, length uint64) error {
	if err := p.Unmap(j.ctx, addr, length); err != nil {
		return err
	}
	j.pages.Forget(addr>>wire.PageShift, (addr+length-1)>>wire.PageShift)
	return nil
}

// wrongPage counts and describes a page that failed its check. The process's lock is held.
func (j *job) wrongPage(page uint64, b *arena.Page, ref uint64) {
	j.wrong++
	if len(j.shown) >= IntegrityShown {
		return
	}
	text := fmt.Sprintf("%s: %s: %s", j.spec.Name, j.where(ref), j.pages.Describe(page, b))
	h := j.events.of(wire.PageNo(page))
	j.log.Error("wrong page", "what", text, "history", h)
	j.shown = append(j.shown, text+"; history: "+h)
}

// damaged counts a page that came with a wrong checksum. The process's lock is held.
func (j *job) damaged(page wire.PageNo, owner wire.NodeID, err error) {
	j.wrong++
	h := j.events.of(page)
	j.log.Error("damaged page", "page", fmt.Sprintf("%#x", uint64(page)), "owner", owner, "error", err, "history", h)
	if len(j.shown) < IntegrityShown {
		j.shown = append(j.shown, fmt.Sprintf("%s: page %#x from %s: %v; history: %s", j.spec.Name, uint64(page), owner, err, h))
	}
}

// sequential makes the accesses one after the other.
type sequential struct {
	j *job
	t *pcomponent.Thread
}

func (s *sequential) barrier() error { return nil }
func (s *sequential) close()         {}

func (s *sequential) refs(rs []trace.Ref, first uint64) (int, error) {
	for at := 0; at < len(rs); {
		n := min(len(rs)-at, LockBatch)
		if err := s.j.access(s.t, rs[at:at+n], first+uint64(at)); err != nil {
			return at, err
		}
		if at += n; s.j.halt.Load() != nil {
			return at, nil
		}
	}
	return len(rs), nil
}

// access makes a few accesses under the process's lock, each checked in the critical section that performs it.
func (j *job) access(t *pcomponent.Thread, rs []trace.Ref, first uint64) error {
	t.Begin()
	defer t.End()
	j.began = true
	for i := range rs {
		r := &rs[i]
		page, write := r.Page(), r.Write()
		b, err := t.Access(page, write)
		if err != nil {
			j.checked += uint64(i)
			j.done.Add(uint64(i))
			return fmt.Errorf("%s: %s: %w", j.spec.Name, j.where(first+uint64(i)), err)
		}
		ok := false
		if write {
			ok = j.pages.Write(page, b)
		} else {
			ok = j.pages.Read(page, b)
		}
		if !ok {
			j.wrongPage(page, b, first+uint64(i))
		}
	}
	j.checked += uint64(len(rs))
	j.done.Add(uint64(len(rs)))
	return nil
}

var errNoVolume = errors.New("the trace's header does not name this volume")

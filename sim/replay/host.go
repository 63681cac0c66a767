package replay

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"splitkernel/netlayer"
	spans "splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/pcomponent/handover"
)

// MaxJobs bounds the processes that a Host remembers. Of those that have ended only the results are kept, and the oldest is
// forgotten when there are more.
const MaxJobs = 1024

// Host replays traces as processes of one pComponent, and moves them to others and from others. It serves Ops.
type Host struct {
	comp *pcomponent.Component
	log  *slog.Logger
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	o    handover.Options
	born time.Time

	mu   sync.Mutex
	jobs map[wire.PID]*job
	done []wire.PID // processes that have ended, the first to end first
	dead bool

	out      map[wire.MoveID]*outgoing // processes that move away, and those moves that have ended and were not forgotten
	outDone  []wire.MoveID             // of them, ended; the first to end first
	in       map[wire.MoveID]*incoming // processes that come; over ones are remembered for late questions
	inDone   []wire.MoveID             // of them, over
	over     map[wire.MoveID]bool      // moves that were forgotten: a late message of one begins nothing
	overList []wire.MoveID             // the same, the first first

	// barred are processes that the managers ended before they were started, the first to be barred first; at most MaxJobs.
	barred []wire.ProcessStopReq

	revivals map[wire.PID]*revival // processes that were restarted here, or are
	revived  []wire.PID            // of them, the first first; at most MaxRestarts

	member wire.Epoch // of the pComponent's membership; 0 while that is not known
	passed []passing  // the first to be passed first; at most MaxJobs
}

// NewHost makes a host for a pComponent. Close it before the component.
func NewHost(comp *pcomponent.Component, log *slog.Logger) *Host {
	h := &Host{
		comp: comp, log: log, o: handover.DefaultOptions(), born: time.Now(), jobs: map[wire.PID]*job{},
		out: map[wire.MoveID]*outgoing{}, in: map[wire.MoveID]*incoming{}, over: map[wire.MoveID]bool{}, revivals: map[wire.PID]*revival{},
	}
	h.ctx, h.stop = context.WithCancel(context.Background())
	return h
}

// Inline implements netlayer.Handler: nothing here is hot.
func (h *Host) Inline(wire.Op) bool { return false }

// Ops are the operations that it serves.
func (h *Host) Ops() []wire.Op {
	return []wire.Op{
		wire.OpProcessStart, wire.OpProcessStatus, wire.OpProcessStop, wire.OpProcessCopy, wire.OpProcessResume, wire.OpProcessDrop,
		wire.OpCacheSwitch, wire.OpMoveStart, wire.OpMoveStatus, wire.OpMoveForget, wire.OpDrop, wire.OpProcessRestart,
	}
}

// Serve implements netlayer.Handler.
func (h *Host) Serve(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	switch req.Op {
	case wire.OpProcessStart:
		var r wire.ProcessStartReq
		if err := wire.Unmarshal(req.Body, &r); err != nil {
			return err
		}
		var s Spec
		if err := wire.Unmarshal(r.Spec, &s); err != nil {
			return err
		}
		return h.start(ctx, s)
	case wire.OpProcessStatus:
		var r wire.ProcessRef
		if err := wire.Unmarshal(req.Body, &r); err != nil {
			return err
		}
		j, err := h.job(r.PID)
		if err != nil {
			return err
		}
		st := j.status()
		rep.SetBody(wire.Marshal(wire.ProcessStatusRep{Status: wire.Marshal(&st)}))
		return nil
	case wire.OpProcessStop:
		var r wire.ProcessStopReq
		if err := wire.Unmarshal(req.Body, &r); err != nil {
			return err
		}
		return h.Stop(ctx, r)
	case wire.OpProcessCopy:
		var r wire.ProcessCopyReq
		if err := wire.Unmarshal(req.Body, &r); err != nil {
			return err
		}
		answer, err := h.take(ctx, &r)
		rep.SetControl(&answer)
		return err
	case wire.OpProcessResume:
		var r wire.ProcessResumeReq
		if err := wire.Unmarshal(req.Body, &r); err != nil {
			return err
		}
		answer, err := h.resume(ctx, r)
		rep.SetControl(&answer)
		return err
	case wire.OpProcessRestart:
		var r wire.RestartReq
		if err := wire.Unmarshal(req.Body, &r); err != nil {
			return err
		}
		answer, err := h.restart(r)
		rep.SetControl(&answer)
		return err
	case wire.OpMoveStart:
		var r wire.MoveReq
		if err := wire.Unmarshal(req.Body, &r); err != nil {
			return err
		}
		return h.moveStart(spans.NewWork(ctx, h.comp.Spans(), spans.Internal, "give "+r.Kind.String(), spans.Moving(&r)...), r)
	case wire.OpProcessDrop, wire.OpMoveStatus, wire.OpMoveForget:
		var r wire.MoveRef
		if err := wire.Unmarshal(req.Body, &r); err != nil {
			return err
		}
		switch req.Op {
		case wire.OpProcessDrop:
			return h.drop(r.Move)
		case wire.OpMoveForget:
			return h.MoveForget(r.Move)
		}
		st, err := h.MoveStatus(r.Move)
		rep.SetControl(&st)
		return err
	case wire.OpDrop:
		var r wire.DropReq
		if err := wire.Unmarshal(req.Body, &r); err != nil {
			return err
		}
		return h.discard(r)
	case wire.OpCacheSwitch:
		var r wire.SwitchReq
		if err := wire.Unmarshal(req.Body, &r); err != nil {
			return err
		}
		return h.comp.SwitchCache(r)
	}
	return h.comp.Switched(req)
}

// bar remembers that a process must not start any more: its start may come later than its end.
func (h *Host) bar(r wire.ProcessStopReq) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.Text == "" || slices.ContainsFunc(h.barred, func(b wire.ProcessStopReq) bool { return b.PID == r.PID }) {
		return
	}
	if h.barred = append(h.barred, r); len(h.barred) > MaxJobs {
		h.barred = slices.Delete(h.barred, 0, 1)
	}
}

func (h *Host) job(pid wire.PID) (*job, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if j := h.jobs[pid]; j != nil {
		return j, nil
	}
	return nil, wire.Errorf(wire.KindNotFound, "process %d was not started here, or has ended long ago", pid)
}

// Stop ends a process and, if that is asked for, waits for its end. One that is switching over is busy, one that went
// elsewhere is stopped there.
func (h *Host) Stop(ctx context.Context, r wire.ProcessStopReq) error {
	j, err := h.job(r.PID)
	if err != nil {
		h.bar(r)
		return err
	}
	h.mu.Lock()
	m := h.moving(r.PID)
	h.mu.Unlock()
	elsewhere := func() error {
		if st := j.status(); st.State == StateMoved {
			return wire.Errorf(wire.KindNotOwner, "process %d runs at %s (%s): stop it there", r.PID, st.Node, st.Addr)
		}
		return nil
	}
	if err := elsewhere(); err != nil {
		return err
	}
	if m != nil && m.status().State == wire.MoveSwitching {
		return wire.Errorf(wire.KindBusy, "process %d is moving to %s", r.PID, m.req.To)
	}
	var why error
	if r.Text != "" {
		why = wire.Errorf(wire.KindFailed, "%s", r.Text)
	}
	j.stop(why)
	if r.WaitMS == 0 {
		if j.gone() {
			j.exit(ctx)
		}
		return nil
	}
	wait := time.NewTimer(time.Duration(r.WaitMS) * time.Millisecond)
	defer wait.Stop()
	select {
	case <-j.ended:
		j.exit(ctx)
		return elsewhere()
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return wire.Errorf(wire.KindBusy, "process %d was told to stop and has not ended within %d ms", r.PID, r.WaitMS)
	}
}

// Await replays a process and returns when it has ended here.
func (h *Host) Await(s Spec) Result {
	if err := h.Start(s); err != nil {
		return Result{Error: err.Error(), ErrorKind: wire.KindOf(err)}
	}
	j, err := h.job(s.PID)
	if err != nil {
		return Result{Error: err.Error(), ErrorKind: wire.KindOf(err)}
	}
	<-j.ended
	st := j.status()
	if st.Result == nil {
		return Result{Error: "the process runs at " + string(st.Node), ErrorKind: wire.KindNotOwner}
	}
	return *st.Result
}

// Start begins the replay of a process. It returns at once; its status tells how it goes.
func (h *Host) Start(s Spec) error { return h.start(context.Background(), s) }

// start is Start for a request: the opening of the process belongs to its trace.
func (h *Host) start(ctx context.Context, s Spec) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead {
		return wire.Errorf(wire.KindUnavailable, "the pComponent is shutting down")
	}
	if i := slices.IndexFunc(h.barred, func(r wire.ProcessStopReq) bool { return r.PID == s.PID }); i >= 0 {
		return wire.Errorf(wire.KindFailed, "%s", h.barred[i].Text)
	}
	if err := h.elsewhere(s.PID, s.Epoch); err != nil {
		return err
	}
	if j := h.jobs[s.PID]; j != nil && j.gone() && s.Epoch > j.epoch {
		h.forgetJob(s.PID) // its vNode has been elsewhere since, and is used again
	}
	if h.jobs[s.PID] != nil {
		return wire.Errorf(wire.KindExists, "process %d was started here before", s.PID)
	}
	coming := 0
	for _, in := range h.in { // the order does not show
		if in.over() {
			continue
		}
		if coming++; in.pid() == s.PID {
			return wire.Errorf(wire.KindExists, "process %d is on its way here", s.PID)
		}
	}
	if err := h.slot(coming); err != nil {
		return err
	}
	if err := s.validate(); err != nil {
		return err
	}
	j := newJob(h.ctx, h.comp, s, h.log.With("process", s.Name, "pid", s.PID, "process_epoch", s.Epoch))
	j.admission = spans.Of(ctx)
	h.begin(j)
	return nil
}

// slot makes room for one more job beside those and the coming ones. h.mu is held.
func (h *Host) slot(coming int) error {
	if len(h.jobs)+coming < MaxJobs {
		return nil
	}
	if len(h.done) == 0 {
		return wire.Errorf(wire.KindBusy, "%d processes run here or come, the most that may", MaxJobs)
	}
	delete(h.jobs, h.done[0])
	h.done = h.done[1:]
	return nil
}

// begin runs a job. h.mu is held.
func (h *Host) begin(j *job) {
	h.jobs[j.spec.PID] = j
	h.wg.Add(1)
	go func() {
		defer h.wg.Done()
		j.run()
		h.mu.Lock()
		if h.jobs[j.spec.PID] == j { // else it has come back already
			h.done = append(h.done, j.spec.PID) // before anybody hears that it has ended, so in that order
		}
		h.mu.Unlock()
		close(j.ended)
	}()
}

// forgetJob forgets a process that was here before and comes back. h.mu is held.
func (h *Host) forgetJob(pid wire.PID) {
	delete(h.jobs, pid)
	for i, d := range h.done {
		if d == pid {
			h.done = append(h.done[:i], h.done[i+1:]...)
			return
		}
	}
}

// Close stops every process and waits for them.
func (h *Host) Close() error {
	h.mu.Lock()
	h.dead = true
	h.mu.Unlock()
	h.stop()
	h.wg.Wait()
	return nil
}

// where names a position in the trace: among concurrent threads, only about where.
func (j *player) where(ref uint64) string {
	if j.spec.Order == OrderThreads {
		return fmt.Sprintf("near reference %d", ref)
	}
	return fmt.Sprintf("reference %d", ref)
}

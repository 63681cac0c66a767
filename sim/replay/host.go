package replay

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
)

// MaxJobs bounds the processes that a Host remembers. Of those that have ended only the results are kept, and the oldest is
// forgotten when there are more.
const MaxJobs = 1024

// Host replays traces as processes of one pComponent. It serves OpProcessStart, OpProcessStatus and OpProcessStop.
type Host struct {
	comp *pcomponent.Component
	log  *slog.Logger
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu   sync.Mutex
	jobs map[wire.PID]*job
	done []wire.PID // processes that have ended, the first to end first
	dead bool
}

// NewHost makes a host for a pComponent. Close it before the component.
func NewHost(comp *pcomponent.Component, log *slog.Logger) *Host {
	h := &Host{comp: comp, log: log, jobs: map[wire.PID]*job{}}
	h.ctx, h.stop = context.WithCancel(context.Background())
	return h
}

// Inline implements netlayer.Handler: nothing here is hot.
func (h *Host) Inline(wire.Op) bool { return false }

// Ops are the operations that it serves.
func (h *Host) Ops() []wire.Op {
	return []wire.Op{wire.OpProcessStart, wire.OpProcessStatus, wire.OpProcessStop, wire.OpCacheSwitch}
}

// Serve implements netlayer.Handler.
func (h *Host) Serve(_ context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
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
		return h.Start(s)
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
		var r wire.ProcessRef
		if err := wire.Unmarshal(req.Body, &r); err != nil {
			return err
		}
		j, err := h.job(r.PID)
		if err != nil {
			return err
		}
		j.stop()
		return nil
	case wire.OpCacheSwitch:
		var r wire.SwitchReq
		if err := wire.Unmarshal(req.Body, &r); err != nil {
			return err
		}
		return h.comp.SwitchCache(r)
	}
	return wire.Errorf(wire.KindBadRequest, "the replay of a pComponent does not serve %s", req.Op)
}

func (h *Host) job(pid wire.PID) (*job, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if j := h.jobs[pid]; j != nil {
		return j, nil
	}
	return nil, wire.Errorf(wire.KindNotFound, "process %d was not started here, or has ended long ago", pid)
}

// Await replays a process and returns when it has ended.
func (h *Host) Await(s Spec) Result {
	if err := h.Start(s); err != nil {
		return Result{Error: err.Error(), ErrorKind: wire.KindOf(err)}
	}
	j, err := h.job(s.PID)
	if err != nil {
		return Result{Error: err.Error(), ErrorKind: wire.KindOf(err)}
	}
	<-j.ended
	return *j.status().Result
}

// Start begins the replay of a process. It returns at once; its status tells how it goes.
func (h *Host) Start(s Spec) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead {
		return wire.Errorf(wire.KindUnavailable, "the pComponent is shutting down")
	}
	if h.jobs[s.PID] != nil {
		return wire.Errorf(wire.KindExists, "process %d was started here before", s.PID)
	}
	if len(h.jobs) >= MaxJobs {
		if len(h.done) == 0 {
			return wire.Errorf(wire.KindBusy, "%d processes run here, the most that may", MaxJobs)
		}
		delete(h.jobs, h.done[0])
		h.done = h.done[1:]
	}
	if s.Order != OrderTrace && s.Order != OrderThreads {
		return wire.Errorf(wire.KindBadRequest, "process %s: order %q, want %s or %s", s.Name, s.Order, OrderTrace, OrderThreads)
	}
	if s.Threads < 1 || s.Repeat < 1 {
		return wire.Errorf(wire.KindBadRequest, "process %s: %d threads, %d repetitions, want at least 1 of each", s.Name, s.Threads, s.Repeat)
	}
	j := newJob(h.ctx, h.comp, s, h.log.With("process", s.Name, "pid", s.PID, "process_epoch", s.Epoch))
	h.jobs[s.PID] = j
	h.wg.Add(1)
	go func() {
		defer h.wg.Done()
		j.run()
		h.mu.Lock()
		h.done = append(h.done, s.PID)
		h.mu.Unlock()
	}()
	return nil
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
func (j *job) where(ref uint64) string {
	if j.spec.Order == OrderThreads {
		return fmt.Sprintf("near reference %d", ref)
	}
	return fmt.Sprintf("reference %d", ref)
}

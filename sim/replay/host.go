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

// MaxJobs bounds the processes that a Host remembers, those that have ended included.
const MaxJobs = 4096

// Host replays traces as processes of one pComponent. It serves OpProcessStart, OpProcessStatus and OpProcessStop.
type Host struct {
	comp *pcomponent.Component
	log  *slog.Logger
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu   sync.Mutex
	jobs map[wire.PID]*job
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
	return []wire.Op{wire.OpProcessStart, wire.OpProcessStatus, wire.OpProcessStop}
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
	}
	return wire.Errorf(wire.KindBadRequest, "the replay of a pComponent does not serve %s", req.Op)
}

func (h *Host) job(pid wire.PID) (*job, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if j := h.jobs[pid]; j != nil {
		return j, nil
	}
	return nil, wire.Errorf(wire.KindNotFound, "process %d was never started here", pid)
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
		return wire.Errorf(wire.KindBusy, "%d processes were started here, the most that are remembered", MaxJobs)
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

// describe names a trace position in an error.
func describe(name string, ref uint64, err error) error {
	return fmt.Errorf("%s: reference %d: %w", name, ref, err)
}

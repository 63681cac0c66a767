package replay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/pcomponent/checkpoint"
	"splitkernel/sim/saves"
)

// MaxRestarts bounds the restarts of processes that a Host remembers after their end.
const MaxRestarts = 1024

// restartAttempt bounds one step of a restart; the protocol tries again.
const restartAttempt = 10 * time.Second

// revival is a process of a pComponent that was lost, which is to go on here.
type revival struct {
	h   *Host
	req wire.RestartReq

	mu sync.Mutex // guards r
	r  *checkpoint.TapedRestorer

	// Of the goroutine that drives it:
	visitor *pcomponent.Process
	store   *pcomponent.Volume
	volumes []blocks
	head    checkpoint.Head
	saved   saved
	home    wire.Owner
	memory  wire.ProcessRollbackRep
}

// restart serves process_restart: it begins the restart, or tells how far it is.
func (h *Host) restart(r wire.RestartReq) (wire.RestartRep, error) {
	if len(r.Volumes) == 0 || r.Epoch == 0 {
		return wire.RestartRep{}, wire.Errorf(wire.KindBadRequest, "restart of process %d under epoch %d with %d volumes: want the one with its checkpoints at least", r.PID, r.Epoch, len(r.Volumes))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead {
		return wire.RestartRep{}, wire.Errorf(wire.KindUnavailable, "the pComponent is shutting down")
	}
	old := h.revivals[r.PID]
	switch {
	case old != nil && r.Epoch == old.req.Epoch:
		return old.status(), nil
	case old != nil && r.Epoch < old.req.Epoch:
		return wire.RestartRep{}, wire.Errorf(wire.KindStale, "process %d is restarted under epoch %d, not %d", r.PID, old.req.Epoch, r.Epoch)
	case old != nil && old.status().State == wire.RestartUnder:
		return wire.RestartRep{}, wire.Errorf(wire.KindBusy, "process %d is being restarted under epoch %d", r.PID, old.req.Epoch)
	}
	if j := h.jobs[r.PID]; j != nil { // what is left of it here was lost, or is about to be fenced
		if j.epoch >= r.Epoch {
			return wire.RestartRep{}, wire.Errorf(wire.KindStale, "process %d runs here under epoch %d, not %d", r.PID, j.epoch, r.Epoch)
		}
		if !j.gone() {
			j.stop(wire.Errorf(wire.KindFailed, "the process goes on from its last checkpoint under epoch %d", r.Epoch))
			return wire.RestartRep{State: wire.RestartUnder, Text: "what ran here before is being ended"}, nil
		}
	}
	if old == nil {
		if len(h.revived) >= MaxRestarts {
			delete(h.revivals, h.revived[0])
			h.revived = h.revived[1:]
		}
		h.revived = append(h.revived, r.PID)
	}
	v := &revival{h: h, req: r}
	head := checkpoint.RestorerHead{Node: h.comp.ID(), PID: r.PID, Epoch: r.Epoch, Options: checkpoint.DefaultRestoreOptions(), Now: h.clock()}
	v.r = &checkpoint.TapedRestorer{Restorer: head.New()}
	v.r.Record(h.comp.Recorder(), v.r.Restorer, checkpoint.RestorerTapeKind, &head)
	h.revivals[r.PID] = v
	h.wg.Add(1)
	go func() {
		defer h.wg.Done()
		v.drive()
	}()
	return v.status(), nil
}

func (v *revival) status() wire.RestartRep {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.r.Status()
}

// drive brings the process back.
func (v *revival) drive() {
	h, log := v.h, v.h.log.With("pid", v.req.PID, "process_epoch", v.req.Epoch)
	log.Info("a process is to be restarted here")
	v.visitor = h.comp.Visitor(pcomponent.ProcessOptions{PID: v.req.PID, Epoch: v.req.Epoch, Name: fmt.Sprint(v.req.PID), Home: v.req.Home})
	defer v.visitor.Depart()
	for h.ctx.Err() == nil {
		v.mu.Lock()
		e := v.r.Next(h.clock())
		if e.Kind == checkpoint.Over {
			v.r.End()
		}
		v.mu.Unlock()
		if e.Kind == checkpoint.Over {
			break
		}
		o := v.perform(e)
		v.mu.Lock()
		v.r.Step(h.clock(), o)
		v.mu.Unlock()
	}
	st := v.status()
	log.Info("restart of a process ended", "state", st.State.String(), "checkpoint", st.Cut.Number, "accesses", st.Done, "text", st.Text)
}

// perform does what the core wants.
func (v *revival) perform(e checkpoint.Restoring) (o checkpoint.Restored) {
	h := v.h
	ctx, cancel := context.WithTimeout(h.ctx, restartAttempt)
	defer cancel()
	var err error
	switch e.Kind {
	case checkpoint.Rest:
		t := time.NewTimer(e.Until - h.clock())
		defer t.Stop()
		select {
		case <-t.C:
		case <-h.ctx.Done():
		}
	case checkpoint.Attach:
		err = v.attach(ctx)
	case checkpoint.Read:
		if v.head, v.saved, o.Found, err = readCheckpoint(ctx, v.store, v.layout()); err == nil && o.Found {
			o.Cut, o.Done = v.head.Cut, v.head.Done
		}
	case checkpoint.Rollback:
		v.home, v.memory, err = v.visitor.Rollback(ctx, e.Cut)
	case checkpoint.Revert:
		_, err = saves.Revert(ctx, v.store, v.layout(), v.head, v.volumes)
	case checkpoint.Open:
		err = v.open(ctx)
	}
	o.Err = asError(err)
	return o
}

// layout says where in the checkpoint volume what lies.
func (v *revival) layout() checkpoint.Layout {
	return checkpoint.LayoutOf(v.req.Volumes[len(v.req.Volumes)-1].SizeBytes)
}

// attach attaches the volumes: whoever ran before writes to them no more.
func (v *revival) attach(ctx context.Context) error {
	if err := v.visitor.Fence(ctx); err != nil { // first: who is refused by a volume ends, and must not take the memory along
		return err
	}
	v.volumes = nil
	for i, w := range v.req.Volumes {
		vol, err := v.visitor.Attach(ctx, pcomponent.VolumeOptions{ID: w.Volume, Epoch: w.Epoch, SizeBytes: w.SizeBytes, Storage: w.Storage, StorageAddr: w.StorageAddr, Cache: w.Cache, CacheAddr: w.CacheAddr,
			Replicas: w.Replicas, Config: w.Config, WriteQuorum: w.WriteQuorum, ReadQuorum: w.ReadQuorum, Through: w.Through})
		if err != nil {
			return err
		}
		vol.Renew()
		if i == len(v.req.Volumes)-1 {
			v.store = vol
		} else {
			v.volumes = append(v.volumes, vol)
		}
	}
	return nil
}

// open makes the process of the checkpoint and lets it run.
func (v *revival) open(ctx context.Context) error {
	h := v.h
	s := v.saved.Spec
	s.Epoch, s.Home = v.req.Epoch, v.home
	state, bulk, err := parseState(v.saved.State)
	if err != nil {
		return err
	}
	state.Proc.Home, state.Proc.HeapEnd, state.Proc.Core.Owners = v.home, v.memory.HeapEnd, v.memory.Owners
	state.Proc.Volumes = v.visitor.State()
	for i, w := range state.Proc.Volumes {
		if w.Options.ID == s.Store.ID {
			s.Store = w.Options
		}
		for k := range s.Volumes {
			if s.Volumes[k].ID == w.Options.ID {
				s.Volumes[k] = state.Proc.Volumes[i].Options
			}
		}
	}
	if err := s.validate(); err != nil {
		return err
	}
	j := newJob(h.ctx, h.comp, s, h.log.With("process", s.Name, "pid", s.PID, "process_epoch", s.Epoch))
	j.from = &v.head
	j.restored = &Restored{Number: v.head.Cut.Number, Done: state.Done, Requests: state.Requests}
	fail := func(err error) error {
		j.stop(nil)
		if j.src != nil {
			_ = j.src.Close() // it was only read
		}
		return err
	}
	if err := j.importState(&state, bulk); err != nil {
		return fail(err)
	}
	j.keepState = nil
	if err := j.goTo(); err != nil {
		return fail(wire.Errorf(wire.KindFailed, "%s cannot replay the trace from the checkpoint: %v", h.comp.ID(), err))
	}
	o := j.options()
	if err := h.comp.Reserve(o); err != nil {
		return fail(err)
	}
	p, err := h.comp.Import(ctx, o, state.Proc)
	if err != nil {
		h.comp.Unreserve(o)
		return fail(err)
	}
	if err := j.adopt(p); err != nil {
		return fail(errors.Join(err, p.Leave()))
	}
	j.kept.Store(v.head.Cut.Number + 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead {
		return fail(errors.Join(wire.Errorf(wire.KindUnavailable, "the pComponent is shutting down"), p.Leave()))
	}
	h.forgetJob(s.PID)
	h.begin(j)
	return nil
}

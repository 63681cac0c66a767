package replay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	spans "splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/handover"
	"splitkernel/sim/saves"
	"splitkernel/sim/trace"
)

// Names of limits.
const (
	// MaxMoves bounds the moves that a Host remembers after their end, those away from it and those to it each.
	MaxMoves = 1024
	// AttemptTimeout bounds one message of a move; the protocol tries again.
	AttemptTimeout = 2 * time.Second
	// dropOnClose bounds telling a taker that the giver closes.
	dropOnClose = 300 * time.Millisecond
	// StopForward bounds how long a stop that came during a move is sent after the process.
	StopForward = 5 * time.Second
)

// errMoved ends the replay of a process that goes on elsewhere.
var errMoved = errors.New("the process runs at another pComponent")

// leaveError ends the replay of a process that was lost, and of which nobody may be told.
type leaveError struct{ err error }

func (e *leaveError) Error() string { return e.err.Error() }
func (e *leaveError) Unwrap() error { return e.err }

// elsewhere is where a process went.
type elsewhere struct {
	node  wire.NodeID
	addr  string
	epoch wire.Epoch
}

// halt asks a job to stand still at its next boundary.
type halt struct {
	stopped chan time.Time // capacity 1: when it stood still
	verdict chan error     // capacity 1: nil lets it go on, an error ends it
}

// boundary is where a process may stand still: nothing is under way. b is the batch at which the replay is, if any of it was
// made.
func (j *job) boundary(a accesses, b *trace.Batch) error {
	h := j.halt.Load()
	if h == nil {
		return nil
	}
	if err := a.barrier(); err != nil {
		return err
	}
	now := time.Now()
	j.at.Sum = 0
	if b != nil && j.at.within() {
		j.at.Sum = batchSum(b)
	}
	j.halt.CompareAndSwap(h, nil)
	h.stopped <- now
	return <-h.verdict
}

// reach tells how far the replay is, for the plans of a move.
func (j *job) reach() { j.reached.Store(j.at.Batch) }

// outgoing is a move away from here.
type outgoing struct {
	h   *Host
	req wire.MoveReq
	j   *job

	work spans.Work

	mu sync.Mutex // guards g
	g  *handover.TapedGiver

	// Of the goroutine that drives it:
	halt  *halt // the job stands still and waits for its verdict
	state []byte
	sum   uint32
}

// clock is the time that the cores of moves go by.
func (h *Host) clock() time.Duration { return time.Since(h.born) + 1 }

// MoveStart begins a move of a process to another pComponent. The same order again changes nothing.
func (h *Host) MoveStart(r wire.MoveReq) error { return h.moveStart(spans.Work{}, r) }

func (h *Host) moveStart(work spans.Work, r wire.MoveReq) error {
	if r.Kind != wire.MoveProcess {
		return wire.Errorf(wire.KindBadRequest, "%s is a pComponent and moves processes, no %s", h.comp.ID(), r.Kind)
	}
	if r.Epoch <= r.OldEpoch || r.UndoEpoch <= r.Epoch || r.To == "" || r.ToAddr == "" {
		return wire.Errorf(wire.KindBadRequest, "move of process %d to %q at %q: epochs %d, %d, %d, want three that grow, and a taker", r.PID, r.To, r.ToAddr, r.OldEpoch, r.Epoch, r.UndoEpoch)
	}
	if r.To == h.comp.ID() {
		return wire.Errorf(wire.KindBadRequest, "process %d runs at %s already", r.PID, r.To)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead {
		return wire.Errorf(wire.KindUnavailable, "the pComponent is shutting down")
	}
	if m := h.out[r.Move]; m != nil {
		if m.req != r {
			return wire.Errorf(wire.KindExists, "move %d of %v is another one", r.Move.No, r.Move.Manager)
		}
		return nil
	}
	if h.over[r.Move] {
		return wire.Errorf(wire.KindStale, "move %d of %v has ended and was forgotten", r.Move.No, r.Move.Manager)
	}
	j := h.jobs[r.PID]
	if j == nil {
		return h.pass(r)
	}
	if m := h.moving(r.PID); m != nil {
		return wire.Errorf(wire.KindBusy, "process %d is moving to %s", r.PID, m.req.To)
	}
	switch st := j.status(); {
	case st.State == StateMoved:
		return wire.Errorf(wire.KindNotOwner, "process %d runs at %s (%s)", r.PID, st.Node, st.Addr)
	case st.State != StateRunning:
		return h.pass(r)
	case j.epoch != r.OldEpoch:
		return wire.Errorf(wire.KindStale, "process %d runs under epoch %d, not %d", r.PID, j.epoch, r.OldEpoch)
	}
	m := &outgoing{h: h, req: r, work: work, j: j, g: h.giverCore(r)}
	h.out[r.Move] = m
	h.wg.Add(1)
	go func() {
		defer h.wg.Done()
		m.drive()
		h.mu.Lock()
		h.outEnded(r.Move)
		h.mu.Unlock()
	}()
	return nil
}

// moving gives the move of a process that is under way, or nil. h.mu is held.
func (h *Host) moving(pid wire.PID) *outgoing {
	for _, m := range h.out { // the order does not show: there is one at most
		if m.req.PID == pid && !m.status().State.Ended() {
			return m
		}
	}
	return nil
}

func (m *outgoing) status() wire.MoveStatusRep {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.g.Status(m.h.clock())
}

// MoveStatus tells how far a move away from here is.
func (h *Host) MoveStatus(id wire.MoveID) (wire.MoveStatusRep, error) {
	h.mu.Lock()
	m := h.out[id]
	h.mu.Unlock()
	if m == nil {
		return wire.MoveStatusRep{}, wire.Errorf(wire.KindNotFound, "move %d of %v is not known here", id.No, id.Manager)
	}
	return m.status(), nil
}

// MoveForget forgets a move that has ended.
func (h *Host) MoveForget(id wire.MoveID) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.out[id]
	if m == nil {
		return nil
	}
	if !m.status().State.Ended() {
		return wire.Errorf(wire.KindBusy, "move %d of process %d is under way", id.No, m.req.PID)
	}
	delete(h.out, id)
	for i, d := range h.outDone {
		if d == id {
			h.outDone = append(h.outDone[:i], h.outDone[i+1:]...)
			break
		}
	}
	h.finished(id)
	return nil
}

// finished remembers that a move is over, so that a late order or plan does not begin it again. h.mu is held.
func (h *Host) finished(id wire.MoveID) {
	if h.over[id] {
		return
	}
	h.over[id] = true
	h.overList = append(h.overList, id)
	if len(h.overList) > MaxMoves {
		delete(h.over, h.overList[0])
		h.overList = h.overList[1:]
	}
}

// drive performs a move until it has ended or the host closes.
func (m *outgoing) drive() {
	h := m.h
	defer func() {
		m.mu.Lock()
		m.g.End()
		m.mu.Unlock()
	}()
	h.log.Info("process is to move", "pid", m.req.PID, "to", m.req.To, "epoch", m.req.Epoch)
	for {
		m.mu.Lock()
		if m.g.Ended() {
			m.mu.Unlock()
			break
		}
		e := m.g.Next(h.clock())
		m.mu.Unlock()
		if h.ctx.Err() != nil {
			m.abandon()
			return
		}
		o := m.perform(e)
		m.mu.Lock()
		m.g.Step(h.clock(), o)
		m.mu.Unlock()
	}
	st := m.status()
	m.work.Moved(st)
	h.comp.Moved(st.State, time.Duration(st.PauseUS)*time.Microsecond)
	h.log.Info("move of a process ended", "pid", m.req.PID, "to", m.req.To, "state", st.State.String(), "epoch", st.Epoch, "pause_us", st.PauseUS,
		"bytes", st.Bytes, "rounds", st.Rounds, "text", st.Text)
}

// abandon leaves a move because the host closes. A process that may run elsewhere by now is left as it is, any other ends
// here.
func (m *outgoing) abandon() {
	if m.halt == nil {
		return
	}
	m.mu.Lock()
	told := m.g.Told()
	m.mu.Unlock()
	var verdict error
	if !told { // the taker need not wait for nothing
		ctx, cancel := context.WithTimeout(context.WithoutCancel(m.h.ctx), dropOnClose)
		_ = m.h.comp.Control(ctx, m.req.ToAddr, wire.OpProcessDrop, m.req.Epoch, &wire.MoveRef{Move: m.req.Move}, nil)
		cancel()
	}
	if told {
		verdict = &leaveError{wire.Errorf(wire.KindUnavailable, "%s closed while process %s moved to %s", m.h.comp.ID(), m.j.spec.Name, m.req.To)}
	}
	m.release(verdict)
}

// release gives the job its verdict.
func (m *outgoing) release(verdict error) {
	m.halt.verdict <- verdict
	m.halt, m.state = nil, nil
}

// asError gives err as the core wants it.
func asError(err error) *wire.Error { return saves.AsError(err) }

// perform does what the core wants.
func (m *outgoing) perform(e handover.Effect) (o handover.Outcome) {
	h, j := m.h, m.j
	switch e.Kind {
	case handover.Plan, handover.WriteBack, handover.Freeze: // the process runs, and may end
		select {
		case <-j.ended:
			return handover.Outcome{Gone: true}
		default:
		}
	}
	switch e.Kind {
	case handover.Wait:
		t := time.NewTimer(e.Until - h.clock())
		defer t.Stop()
		select {
		case <-t.C:
		case <-h.ctx.Done():
		}
	case handover.Plan:
		var rep wire.ProcessCopyRep
		o.Err = m.tell(wire.OpProcessCopy, &wire.ProcessCopyReq{
			Move: m.req.Move, PID: m.req.PID, Epoch: m.req.Epoch, From: h.comp.ID(), FromAddr: h.comp.Addr(),
			Plan: wire.Marshal(&plan{Spec: j.spec, Batch: j.reached.Load()}),
		}, &rep)
		o.Ready = rep.Ready
	case handover.WriteBack:
		if p := j.proc.Load(); p != nil {
			j.pin.Lock() // so that the process is not closed meanwhile
			defer j.pin.Unlock()
			lines, err := p.WriteBack(j.ctx)
			o.Lines = lines
			select {
			case <-j.ctx.Done(): // it ends; the next look sees it
			default:
				if err != nil {
					o.Err = wire.Errorf(wire.KindBusy, "write-back: %v", err)
				}
			}
		}
	case handover.Freeze:
		return m.freeze()
	case handover.Send:
		b := m.state[e.Offset : e.Offset+e.Length]
		var rep wire.ProcessCopyRep
		o.Err = m.tell(wire.OpProcessCopy, &wire.ProcessCopyReq{
			Move: m.req.Move, PID: m.req.PID, Epoch: m.req.Epoch, From: h.comp.ID(), FromAddr: h.comp.Addr(),
			Total: uint64(len(m.state)), StateSum: m.sum, Offset: e.Offset, Sum: wire.Checksum(b), Bytes: b,
		}, &rep)
		o.Ready = rep.Ready
	case handover.Resume:
		o.Err = m.tell(wire.OpProcessResume, &wire.ProcessResumeReq{Move: m.req.Move, PID: m.req.PID, Epoch: m.req.Epoch, Home: j.proc.Load().Home()}, &o.Resumed)
	case handover.Ask:
		ctx, cancel := context.WithTimeout(h.ctx, AttemptTimeout)
		defer cancel()
		o.Err = asError(j.proc.Load().Ask(ctx))
	case handover.Thaw:
		o.Err = m.thaw(e.Epoch)
	case handover.Drop:
		o.Err = m.tell(wire.OpProcessDrop, &wire.MoveRef{Move: m.req.Move}, nil)
	case handover.Leave:
		m.leave()
	case handover.Lose:
		if e.Epoch != 0 {
			j.proc.Load().Supersede(e.Epoch)
			m.release(e.Err)
		} else {
			m.release(&leaveError{e.Err})
		}
	}
	return o
}

// tell sends a message to the taker.
func (m *outgoing) tell(op wire.Op, req, rep any) *wire.Error {
	ctx, cancel := context.WithTimeout(spans.With(m.h.ctx, m.work.Context), AttemptTimeout)
	defer cancel()
	return asError(m.h.comp.Control(ctx, m.req.ToAddr, op, m.req.Epoch, req, rep))
}

// freeze has the job stand still, drains the process and exports its state.
func (m *outgoing) freeze() handover.Outcome {
	h, j := m.h, m.j
	hl := &halt{stopped: make(chan time.Time, 1), verdict: make(chan error, 1)}
	j.halt.Store(hl)
	t := time.NewTimer(h.o.Switch)
	defer t.Stop()
	var at time.Time
	select {
	case at = <-hl.stopped:
	case <-j.ended:
		return handover.Outcome{Gone: true}
	case <-h.ctx.Done():
	case <-t.C:
	}
	if at.IsZero() { // withdrawn; should it stop just now it goes on at once
		j.halt.CompareAndSwap(hl, nil)
		hl.verdict <- nil
		return handover.Outcome{Err: wire.Errorf(wire.KindTimeout, "the process did not come to a boundary within %v", h.o.Switch)}
	}
	m.halt = hl
	o := handover.Outcome{StoppedAt: at.Sub(h.born) + 1}
	ctx, cancel := context.WithTimeout(h.ctx, h.o.Switch)
	defer cancel()
	p := j.proc.Load()
	if err := p.Freeze(ctx); err != nil {
		o.Err = wire.Errorf(wire.KindFailed, "drain of the process: %v", err)
		return o
	}
	state, err := j.exportState(p, j.ran+at.Sub(j.start).Seconds())
	if err != nil {
		o.Err = wire.Errorf(wire.KindInternal, "%v", err)
		return o
	}
	m.state, m.sum, o.Total = state, wire.Checksum(state), uint64(len(state))
	return o
}

// thaw lets the job go on here.
func (m *outgoing) thaw(epoch wire.Epoch) *wire.Error {
	ctx, cancel := context.WithTimeout(m.h.ctx, AttemptTimeout)
	defer cancel()
	if err := m.j.proc.Load().Thaw(ctx, epoch); err != nil {
		return asError(fmt.Errorf("under epoch %d: %w", epoch, err))
	}
	m.h.mu.Lock()
	m.j.epoch = epoch
	m.h.mu.Unlock()
	m.release(nil)
	return nil
}

// leave ends the job here: the process goes on at the taker. A stop that came meanwhile goes after it.
func (m *outgoing) leave() {
	j := m.j
	j.mu.Lock()
	j.moved = &elsewhere{m.req.To, m.req.ToAddr, m.req.Epoch}
	j.mu.Unlock()
	stopped := j.ctx.Err() != nil && m.h.ctx.Err() == nil
	text := ""
	if why := (*wire.Error)(nil); errors.As(context.Cause(j.ctx), &why) {
		text = why.Text // the managers stopped it
	}
	m.release(errMoved)
	<-j.ended
	if stopped {
		ctx, cancel := context.WithTimeout(m.h.ctx, StopForward)
		defer cancel()
		if err := m.h.comp.Control(ctx, m.req.ToAddr, wire.OpProcessStop, m.req.Epoch, &wire.ProcessStopReq{PID: m.req.PID, Text: text}, nil); err != nil {
			m.h.log.Warn("a process was stopped while it moved, and where it is could not be told", "pid", m.req.PID, "pcomponent", m.req.To, "error", err)
		}
	}
}

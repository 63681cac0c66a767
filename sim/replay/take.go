package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/pcomponent/handover"
	"splitkernel/sim/trace"
)

// Names of limits.
const (
	// MaxIncoming bounds the processes that are on their way to a Host; more are refused as busy.
	MaxIncoming = 64
	// ReadyBatches is how far the giver may be ahead when a taker says that it has caught up, however slowly it reads.
	ReadyBatches = 8
	// ReadySkip is the same as the time that the taker takes to read so far, going by how fast it was until now.
	ReadySkip = 20 * time.Millisecond
	// OpenPatience bounds the opening of a process that came, at its home and the buffer caches of its volumes.
	OpenPatience = 10 * time.Second
	// ResumeWait is how long the order to serve waits for the opening before it is answered that it goes on.
	ResumeWait = time.Second
	// watchInterval is how often a taker looks whether it waits in vain.
	watchInterval = 100 * time.Millisecond
	// homePoll is how often a taker looks whether the giver has named the home where a process is that was not at the old one.
	homePoll = 5 * time.Millisecond
)

// incoming is a process on its way here.
type incoming struct {
	h        *Host
	from     wire.NodeID
	fromAddr string
	opened   chan struct{} // closed when the order to serve has come to its end
	homeless chan struct{} // unbuffered: tells who waits for opened that the process is not at the home that was named

	mu       sync.Mutex // guards what follows; h.mu may be taken before it, not after
	t        *handover.TapedTaker
	j        *job // not started before it serves
	state    []byte
	proc     pcomponent.State
	home     wire.Owner // of the process, as the giver named it last
	reserved bool
	want     plan
	batch    uint64 // where src stands: batches passed over
	src      trace.Source
	opens    cost          // what opening the trace cost
	skips    cost          // what passing over a batch cost
	skipping chan struct{} // closed when the skipping that is under way ends; nil if there is none
	failed   error         // of the skipping
}

// cost is what doing something took so far.
type cost struct {
	total time.Duration
	n     uint64
}

func (c *cost) add(d time.Duration, n uint64) { c.total, c.n = c.total+d, c.n+n }

// of estimates what doing it n times takes.
func (c *cost) of(n uint64) time.Duration {
	return time.Duration(float64(c.total) / float64(max(c.n, 1)) * float64(n))
}

// take serves process_copy.
func (h *Host) take(ctx context.Context, r *wire.ProcessCopyReq) (rep wire.ProcessCopyRep, err error) {
	in, err := h.incoming(r)
	if err != nil {
		return rep, err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if r.Plan != nil {
		rep.Ready, err = in.planned(r)
		return rep, err
	}
	take, werr := in.t.Chunk(h.clock(), r, wire.Checksum(r.Bytes))
	if werr != nil {
		return rep, werr
	}
	if take {
		if in.state == nil {
			in.state = make([]byte, 0, min(r.Total, 16<<20)) // grown as it comes: the total is only said
		}
		in.state = append(in.state, r.Bytes...)
	}
	if in.t.Full() {
		if err := in.check(ctx); err != nil {
			if wire.KindOf(err) != wire.KindBusy {
				in.t.Checked(h.clock(), err)
				in.dispose()
			}
			return rep, err
		}
		in.t.Checked(h.clock(), nil)
	}
	rep.Have, rep.Ready = in.t.Have(), in.t.Ready()
	return rep, nil
}

// incoming gives the process on its way that a message is about; the first plan begins it.
func (h *Host) incoming(r *wire.ProcessCopyReq) (*incoming, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if in := h.in[r.Move]; in != nil {
		return in, nil
	}
	if r.Plan == nil {
		return nil, wire.Errorf(wire.KindNotFound, "move %d of process %d is not known at %s, which may have started again", r.Move.No, r.PID, h.comp.ID())
	}
	if h.dead {
		return nil, wire.Errorf(wire.KindUnavailable, "%s is shutting down", h.comp.ID())
	}
	if h.over[r.Move] {
		return nil, wire.Errorf(wire.KindStale, "move %d of process %d is over", r.Move.No, r.PID)
	}
	var p plan
	if err := wire.Unmarshal(r.Plan, &p); err != nil {
		return nil, err
	}
	if p.Spec.PID != r.PID {
		return nil, wire.Errorf(wire.KindBadRequest, "a plan of process %d for a move of process %d", p.Spec.PID, r.PID)
	}
	if err := p.Spec.validate(); err != nil {
		return nil, err
	}
	active := 0
	for _, in := range h.in { // the order does not show
		if !in.over() {
			if active++; in.pid() == r.PID {
				return nil, wire.Errorf(wire.KindBusy, "process %d is on its way to %s by another move", r.PID, h.comp.ID())
			}
		}
	}
	if active >= MaxIncoming {
		return nil, wire.Errorf(wire.KindBusy, "%d processes are on their way to %s, the most that may", active, h.comp.ID())
	}
	if j := h.jobs[r.PID]; j != nil && !j.gone() {
		if m := h.moving(r.PID); m != nil || j.status().State == StateMoved { // it is on its way back before all is told here
			return nil, wire.Errorf(wire.KindBusy, "process %d is just leaving %s", r.PID, h.comp.ID())
		}
		return nil, wire.Errorf(wire.KindExists, "process %d runs at %s already", r.PID, h.comp.ID())
	} else if j == nil {
		if err := h.slot(active); err != nil {
			return nil, err
		}
	}
	p.Spec.Epoch = r.Epoch
	j := newJob(h.ctx, h.comp, p.Spec, h.log.With("process", p.Spec.Name, "pid", p.Spec.PID, "process_epoch", p.Spec.Epoch))
	if err := h.comp.Reserve(j.options()); err != nil {
		j.stop(nil)
		return nil, err
	}
	in := &incoming{h: h, from: r.From, fromAddr: r.FromAddr, opened: make(chan struct{}), homeless: make(chan struct{}), t: h.takerCore(r), j: j, reserved: true}
	h.in[r.Move] = in
	h.wg.Add(1)
	go func() {
		defer h.wg.Done()
		in.watch()
	}()
	return in, nil
}

func (in *incoming) over() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.t.Over()
}

// forget ends the tape of one that nobody asks for any more.
func (in *incoming) forget() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.t.End()
}

func (in *incoming) pid() wire.PID { return in.j.spec.PID }

// planned takes a plan: whether what it says is ready. The lock is held.
func (in *incoming) planned(r *wire.ProcessCopyReq) (bool, error) {
	take, werr := in.t.Plan(in.h.clock())
	if werr != nil {
		return false, werr
	}
	if !take {
		return in.t.Ready(), nil
	}
	if in.failed != nil {
		return false, wire.Errorf(wire.KindFailed, "%s cannot replay the trace: %v", in.h.comp.ID(), in.failed)
	}
	if err := wire.Unmarshal(r.Plan, &in.want); err != nil {
		return false, err
	}
	ready := in.src != nil && in.skipping == nil && in.near(in.want.Batch)
	if in.skipping == nil {
		done := make(chan struct{})
		in.skipping = done
		in.h.wg.Add(1)
		go func() {
			defer in.h.wg.Done()
			defer close(done)
			in.skip()
		}()
	}
	return ready, nil
}

// near reports whether the source comes to a batch soon. The giver goes on meanwhile, and may have replayed the whole trace
// several times since its last plan: what counts is how long the way is, not whether the source stands there. The lock is held.
func (in *incoming) near(batch uint64) bool {
	n, open := batch-in.batch, time.Duration(0)
	if batch < in.batch { // from the beginning of the next repetition
		n, open = batch, in.opens.of(1)
	}
	return n <= ReadyBatches || open+in.skips.of(n) <= ReadySkip
}

// skip passes over what the giver has replayed.
func (in *incoming) skip() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for {
		if in.t.Over() || in.j.ctx.Err() != nil {
			break
		}
		more, err := in.stepTo(in.want.Batch, true)
		if err != nil {
			in.failed = err
		}
		if err != nil || !more {
			break
		}
	}
	in.skipping = nil
}

// skipStep is how many batches are passed over before the taker looks around again.
const skipStep = 64

// stepTo brings the source nearer to a batch: whether there is more to go. All repetitions read the same. The lock is held,
// and if unlock given up while the trace is read.
func (in *incoming) stepTo(batch uint64, unlock bool) (more bool, err error) {
	src, n := in.src, uint64(0)
	fresh := src == nil || in.batch > batch
	if !fresh {
		n = min(batch-in.batch, skipStep)
	}
	if unlock {
		in.mu.Unlock()
	}
	begin := time.Now()
	if fresh {
		if src != nil {
			_ = src.Close() // it was only read
		}
		src, err = trace.OpenFormat(in.j.spec.Trace, in.j.spec.Format)
	} else if n > 0 {
		if err = trace.Skip(src, n); err == io.EOF {
			err = fmt.Errorf("%s ends before batch %d, at which the process is: it is not the trace that it was begun with", in.j.spec.Trace, batch)
		}
	}
	took := time.Since(begin)
	if unlock {
		in.mu.Lock()
	}
	if fresh {
		in.opens.add(took, 1)
		in.src, in.batch = src, 0
		if err != nil {
			in.src = nil
		}
	} else {
		in.skips.add(took, n)
		in.batch += n
	}
	return err == nil && in.batch != batch, err
}

// check takes the complete state apart and makes the job ready to go on. The lock is held.
func (in *incoming) check(ctx context.Context) error {
	if done := in.skipping; done != nil { // it ends when it has come to the last plan
		in.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
		}
		in.mu.Lock()
		if in.skipping != nil || !in.t.Full() {
			return wire.Errorf(wire.KindBusy, "process %d: the taker still reads the trace", in.pid())
		}
	}
	if in.failed != nil {
		return wire.Errorf(wire.KindFailed, "%s cannot replay the trace: %v", in.h.comp.ID(), in.failed)
	}
	if wire.Checksum(in.state) != in.t.Sum() {
		return wire.Errorf(wire.KindFailed, "the state of process %d has a wrong checksum", in.pid())
	}
	s, bulk, err := parseState(in.state)
	if err == nil {
		err = in.j.importState(&s, bulk)
	}
	for more := true; err == nil && more; {
		more, err = in.stepTo(s.At.Batch, false)
	}
	if err == nil && s.At.within() {
		var b *trace.Batch
		if b, err = in.src.Next(); err == nil && batchSum(b) != s.At.Sum {
			err = fmt.Errorf("batch %d of %s at %s (reference %d on, %d references) is another one than where the process came from: it is not the same trace", s.At.Batch, in.j.spec.Trace, in.h.comp.ID(), b.First, len(b.Refs))
		}
		in.j.batch = b
	}
	if err != nil {
		return wire.Errorf(wire.KindFailed, "the state of process %d, at %+v, does not fit here: %v", in.pid(), s.At, err)
	}
	in.j.src, in.src = in.src, nil
	in.proc = s.Proc
	in.state = nil
	return nil
}

// resume serves process_resume.
func (h *Host) resume(ctx context.Context, r wire.ProcessResumeReq) (rep wire.ProcessResumeRep, err error) {
	h.mu.Lock()
	in := h.in[r.Move]
	h.mu.Unlock()
	if in == nil {
		return rep, wire.Errorf(wire.KindNotFound, "move %d of process %d is not known at %s, which may have started again", r.Move.No, r.PID, h.comp.ID())
	}
	in.mu.Lock()
	if r.Home.Epoch > in.home.Epoch {
		in.home = r.Home
	}
	begin, rep, werr := in.t.Resume(h.clock(), r)
	in.mu.Unlock()
	if werr != nil {
		return rep, werr
	}
	if begin {
		h.wg.Add(1)
		go func() {
			defer h.wg.Done()
			in.open()
		}()
	}
	if rep.State == wire.ResumeOpening {
		t := time.NewTimer(ResumeWait)
		defer t.Stop()
		select {
		case <-in.opened:
		case <-in.homeless: // the next order may name the home that is missing
		case <-t.C:
		case <-ctx.Done():
		}
		in.mu.Lock()
		rep = in.t.Answer()
		in.mu.Unlock()
	}
	return rep, nil
}

// open makes the process go on here.
func (in *incoming) open() {
	defer close(in.opened)
	h, j := in.h, in.j
	ctx, cancel := context.WithTimeout(h.ctx, OpenPatience)
	defer cancel()
	p, err := h.comp.Import(ctx, j.options(), in.newest())
	for wire.KindOf(err) == wire.KindNotOwner && in.homeMoved(ctx) { // the home moved since the state was exported
		p, err = h.comp.Import(ctx, j.options(), in.newest())
	}
	if err == nil {
		in.reserved = false
		if err = j.adopt(p); err != nil {
			err = errors.Join(err, p.Leave())
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.t.Opened(err)
	if err != nil {
		h.log.Error("a process that came cannot go on here", "pid", in.pid(), "from", in.from, "error", err)
		in.dispose()
		return
	}
	h.log.Info("process came", "pid", in.pid(), "from", in.from, "epoch", j.spec.Epoch)
	h.forgetJob(j.spec.PID)
	h.begin(j)
}

// newest gives the state with the home that the giver named last.
func (in *incoming) newest() pcomponent.State {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.home.Epoch > in.proc.Home.Epoch {
		in.proc.Home = in.home
	}
	return in.proc
}

// homeMoved waits until the giver, which the home tells of its move and which repeats the order to serve, names a newer home.
func (in *incoming) homeMoved(ctx context.Context) bool {
	tick := time.NewTicker(homePoll)
	defer tick.Stop()
	for {
		in.mu.Lock()
		moved := in.home.Epoch > in.proc.Home.Epoch
		in.mu.Unlock()
		if moved {
			return true
		}
		select {
		case <-tick.C:
			select {
			case in.homeless <- struct{}{}:
			default:
			}
		case <-ctx.Done():
			return false
		}
	}
}

// dispose gives back what a process that does not come has taken. The lock is held.
func (in *incoming) dispose() {
	in.j.stop(nil)
	if in.reserved {
		in.reserved = false
		in.h.comp.Unreserve(in.j.options())
	}
	if in.skipping == nil && in.src != nil { // else watch closes it, when the skipping has ended
		_ = in.src.Close()
		in.src = nil
	}
	if in.j.src != nil {
		_ = in.j.src.Close()
		in.j.src = nil
	}
	in.state = nil
	in.j.pages, in.j.volumes, in.j.batch = nil, nil, nil
}

// drop serves process_drop.
func (h *Host) drop(id wire.MoveID) error {
	h.mu.Lock()
	in := h.in[id]
	if in == nil {
		h.finished(id) // a plan that is still on its way finds it over
	}
	h.mu.Unlock()
	if in == nil {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	was, err := in.t.Drop("its giver has given it up")
	if err != nil {
		return err
	}
	if was {
		in.dispose()
	}
	return nil
}

// watch gives the process up if it waits in vain, and takes it out of the books of the host when it is over.
func (in *incoming) watch() {
	h := in.h
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-h.ctx.Done():
		}
		closing := h.ctx.Err() != nil // looked at once: it may begin meanwhile
		in.mu.Lock()
		if closing {
			if was, _ := in.t.Drop("the pComponent closes"); was {
				in.dispose()
			}
		}
		gaveUp, ask := in.t.Tick(h.clock())
		if gaveUp {
			in.dispose()
		}
		over, skipping := in.t.Over(), in.skipping
		in.mu.Unlock()
		if ask {
			in.askGiver()
		}
		if over {
			if skipping != nil {
				<-skipping
			}
			in.mu.Lock()
			if in.src != nil {
				_ = in.src.Close()
				in.src = nil
			}
			in.mu.Unlock()
			h.mu.Lock()
			h.inDone = append(h.inDone, in.t.Move())
			if len(h.inDone) > MaxMoves {
				h.in[h.inDone[0]].forget()
				delete(h.in, h.inDone[0])
				h.finished(h.inDone[0])
				h.inDone = h.inDone[1:]
			}
			h.mu.Unlock()
			return
		}
		if closing { // it is being opened, which ends soon
			<-in.opened
		}
	}
}

// askGiver asks the giver of a complete copy whether the move is still on.
func (in *incoming) askGiver() {
	ctx, cancel := context.WithTimeout(in.h.ctx, AttemptTimeout)
	defer cancel()
	var st wire.MoveStatusRep
	err := asError(in.h.comp.Control(ctx, in.fromAddr, wire.OpMoveStatus, 0, &wire.MoveRef{Move: in.t.Move()}, &st))
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.t.GiverSays(st.State, err) {
		in.h.log.Warn("a process that was to come does not", "pid", in.pid(), "from", in.from)
		in.dispose()
	}
}

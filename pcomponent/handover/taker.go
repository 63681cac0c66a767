package handover

import (
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
)

// stage is how far a taker is with one process.
type stage uint8

const (
	filling stage = iota // chunks come
	held                 // complete and checked; waits to be told
	opening              // told: the process is opened at its home
	serving
	refused // it could not be opened, and never will be
	dropped // forgotten: nothing of this move is taken any more
)

// Taker decides about one process that comes to a pComponent.
type Taker struct {
	o     Options
	move  wire.MoveID
	pid   wire.PID
	epoch wire.Epoch
	stage stage
	total uint64
	have  uint64
	sum   uint32
	heard time.Duration
	asked time.Duration
	why   string
}

// NewTaker begins with the first plan of a move.
func NewTaker(o Options, req wire.ProcessCopyReq, now time.Duration) *Taker {
	return &Taker{o: o, move: req.Move, pid: req.PID, epoch: req.Epoch, heard: now, asked: now}
}

// Move names the move.
func (t *Taker) Move() wire.MoveID { return t.move }

// Serving reports whether the process runs here, and Over whether nothing of it is held.
func (t *Taker) Serving() bool { return t.stage == serving }

// Over reports whether nothing of the process is held for the move any more.
func (t *Taker) Over() bool { return t.stage >= serving }

// Plan takes a plan: whether what it says is to be made ready.
func (t *Taker) Plan(now time.Duration) (take bool, err *wire.Error) {
	if err := t.refuseOver(); err != nil {
		return false, err
	}
	t.heard = now
	return t.stage == filling && t.total == 0, nil
}

func (t *Taker) refuseOver() *wire.Error {
	if t.stage == dropped || t.stage == refused {
		return wire.Errorf(wire.KindStale, "move %d of process %d is over here: %s", t.move.No, t.pid, t.why)
	}
	return nil
}

// Chunk takes a chunk of the state: whether its bytes are to be put behind those that came before. sum is the checksum of
// the bytes as they came.
func (t *Taker) Chunk(now time.Duration, req *wire.ProcessCopyReq, sum uint32) (take bool, err *wire.Error) {
	if err := t.refuseOver(); err != nil {
		return false, err
	}
	t.heard = now
	if t.total == 0 {
		if req.Total == 0 || req.Total > MaxStateBytes {
			return false, wire.Errorf(wire.KindBadRequest, "process %d: a state of %d bytes, want 1 to %d", t.pid, req.Total, uint64(MaxStateBytes))
		}
		t.total, t.sum = req.Total, req.StateSum
	}
	n := uint64(len(req.Bytes))
	switch {
	case req.Total != t.total || req.StateSum != t.sum:
		return false, wire.Errorf(wire.KindBadRequest, "process %d: a chunk of a state of %d bytes, want one of %d", t.pid, req.Total, t.total)
	case n == 0 || n > ChunkBytes || req.Offset+n > t.total:
		return false, wire.Errorf(wire.KindBadRequest, "process %d: a chunk of %d bytes at %d of %d", t.pid, n, req.Offset, t.total)
	case sum != req.Sum:
		return false, wire.Errorf(wire.KindCorrupt, "process %d: the chunk at %d came with a wrong checksum", t.pid, req.Offset)
	case req.Offset > t.have:
		return false, wire.Errorf(wire.KindBadRequest, "process %d: a chunk at %d, want %d", t.pid, req.Offset, t.have)
	case req.Offset < t.have:
		return false, nil // it came before
	}
	t.have += n
	return true, nil
}

// Have is how many bytes of the state have come.
func (t *Taker) Have() uint64 { return t.have }

// Full reports whether all bytes have come and were not checked yet.
func (t *Taker) Full() bool { return t.stage == filling && t.total > 0 && t.have == t.total }

// Ready reports whether the state is complete and checked.
func (t *Taker) Ready() bool { return t.stage == held || t.stage == opening || t.stage == serving }

// Sum is what the checksum of the whole state must be.
func (t *Taker) Sum() uint32 { return t.sum }

// Checked says what the check of the complete state came to.
func (t *Taker) Checked(now time.Duration, err error) {
	if t.stage != filling || t.have != t.total {
		return
	}
	if err != nil {
		t.stage, t.why = refused, err.Error()
		return
	}
	t.stage, t.heard, t.asked = held, now, now
}

// Resume takes the order to serve: whether the opening begins now, and the answer.
func (t *Taker) Resume(now time.Duration, req wire.ProcessResumeReq) (begin bool, rep wire.ProcessResumeRep, err *wire.Error) {
	if req.PID != t.pid || req.Epoch != t.epoch {
		return false, rep, wire.Errorf(wire.KindBadRequest, "move %d brings process %d under epoch %d, not %d under %d", t.move.No, t.pid, t.epoch, req.PID, req.Epoch)
	}
	t.heard = now
	switch t.stage {
	case filling: // the giver tells only who has said that it is ready
		return false, rep, wire.Errorf(wire.KindBadRequest, "process %d: %d of %d bytes of its state have come", t.pid, t.have, t.total)
	case held:
		t.stage = opening
		begin = true
	}
	return begin, t.Answer(), nil
}

// Answer says how the order to serve goes.
func (t *Taker) Answer() wire.ProcessResumeRep {
	switch t.stage {
	case serving:
		return wire.ProcessResumeRep{State: wire.ResumeServing}
	case refused, dropped:
		return wire.ProcessResumeRep{State: wire.ResumeRefused, Text: t.why}
	}
	return wire.ProcessResumeRep{State: wire.ResumeOpening}
}

// Opened says what the opening came to. With an error the process never runs here by this move.
func (t *Taker) Opened(err error) {
	if t.stage != opening {
		panic(fmt.Sprintf("handover: process %d was opened in stage %d", t.pid, t.stage))
	}
	t.stage = serving
	if err != nil {
		t.stage, t.why = refused, err.Error()
	}
}

// Drop forgets the process: whether something was held. What serves or is about to is not forgotten.
func (t *Taker) Drop(why string) (was bool, err *wire.Error) {
	switch t.stage {
	case opening:
		return false, wire.Errorf(wire.KindBusy, "process %d is being opened at its home", t.pid)
	case serving:
		return false, wire.Errorf(wire.KindExists, "process %d is served here", t.pid)
	case refused, dropped:
		return false, nil
	}
	t.stage, t.why = dropped, why
	return true, nil
}

// Tick gives up a copy of which nothing was heard for long, and says when to ask the giver of a complete one whether the
// move is still on: GiverSays takes the answer.
func (t *Taker) Tick(now time.Duration) (gaveUp, ask bool) {
	switch t.stage {
	case filling:
		if now-t.heard > t.o.Incoming {
			t.stage, t.why = dropped, "nothing was heard of it for too long"
			return true, false
		}
	case held:
		if now-max(t.heard, t.asked) > t.o.AskGiver {
			t.asked = now
			return false, true
		}
	}
	return false, false
}

// GiverSays takes the giver's answer to move_status: whether the copy was given up. A giver that knows nothing of the move
// has started again, or its manager has taken down the end; neither will ever tell this taker to serve.
func (t *Taker) GiverSays(st wire.MoveState, err *wire.Error) (gaveUp bool) {
	if t.stage == held && (err != nil && err.Kind == wire.KindNotFound || err == nil && st.Ended()) {
		t.stage, t.why = dropped, "its giver has given the move up"
		return true
	}
	return false
}

// CheckInvariants reports a broken one, for tests.
func (t *Taker) CheckInvariants() error {
	if t.have > t.total {
		return fmt.Errorf("%d of %d bytes", t.have, t.total)
	}
	if t.Ready() && t.have != t.total {
		return fmt.Errorf("ready with %d of %d bytes", t.have, t.total)
	}
	return nil
}

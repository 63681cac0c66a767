package handover

import (
	"fmt"
	"time"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// TakerTapeKind is the kind of a taker's tapes.
const TakerTapeKind = "pcomponent/handover/taker"

// TakerHead says how to make the taker of a tape anew: its head, by wire.Marshal.
type TakerHead struct {
	Node    wire.NodeID
	Options Options
	Move    wire.MoveID
	PID     wire.PID
	Epoch   wire.Epoch
	Now     time.Duration
}

// New makes the taker that the tape began with.
func (h *TakerHead) New() *Taker {
	return NewTaker(h.Options, wire.ProcessCopyReq{Move: h.Move, PID: h.PID, Epoch: h.Epoch}, h.Now)
}

// The calls of a taker's tape. Numbers are those of the format: explicit, never reused.
const (
	inPlan      uint8 = 1
	inChunk     uint8 = 2
	inChecked   uint8 = 3
	inResume    uint8 = 4
	inOpened    uint8 = 5
	inDrop      uint8 = 6
	inTick      uint8 = 7
	inGiverSays uint8 = 8
)

type (
	planArgs struct{ Now time.Duration }
	// chunkArgs is a chunk without its bytes, of which only their number and checksum decide anything.
	chunkArgs struct {
		Now           time.Duration
		Total         uint64
		StateSum      uint32
		Offset, Bytes uint64
		Sum           uint32 // that came with it
		Came          uint32 // of the bytes as they came
	}
	checkedArgs struct {
		Now time.Duration
		Err *taped.Error
	}
	resumeArgs struct {
		Now time.Duration
		Req wire.ProcessResumeReq
	}
	openedArgs struct{ Err *taped.Error }
	dropArgs   struct{ Why string }
	saysArgs   struct {
		State wire.MoveState
		Err   *wire.Error
	}
)

// noBytes stands for those of chunks that come again, of which only their number is on the tape.
var noBytes [wire.MaxBody]byte

// The kinds of what comes out of a taker.
const (
	outTake   uint8 = 1 // what came is taken
	outBegin  uint8 = 2 // the opening begins
	outDrop   uint8 = 3 // what is held is forgotten
	outAsk    uint8 = 4 // the giver is asked
	outRefuse uint8 = 5
)

// answer is what a call came to, and where the taker stands after it.
func (t *Taker) answer(did bool, kind uint8, err *wire.Error) (a taped.Answer) {
	if did {
		a.Kinds = append(a.Kinds, kind)
	}
	if err != nil {
		a.Kinds = append(a.Kinds, outRefuse)
		a.Err(err)
	}
	a.Sum = a.Sum.Uint(uint64(t.stage)).Uint(t.have).Uint(t.total).String(t.why)
	return a
}

func (t *Taker) answerTick(gaveUp, ask bool) taped.Answer {
	if ask {
		return t.answer(true, outAsk, nil)
	}
	return t.answer(gaveUp, outDrop, nil)
}

func (t *Taker) answerResume(begin bool, rep *wire.ProcessResumeRep, err *wire.Error) taped.Answer {
	a := t.answer(begin, outBegin, err)
	a.Sum = a.Sum.Uint(uint64(rep.State)).String(rep.Text)
	return a
}

var _ taped.Core = (*Taker)(nil)

// EffectName implements taped.Core.
func (t *Taker) EffectName(k uint8) string {
	return taped.Name([]string{"", "take", "begin", "drop", "ask", "refuse"}, k)
}

// Apply implements taped.Core.
func (t *Taker) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	switch kind {
	case inPlan, inTick:
		in, err := taped.Read[planArgs](args)
		if err != nil {
			return a, "plan or tick", err
		}
		if kind == inTick {
			return t.answerTick(t.Tick(in.Now)), fmt.Sprintf("tick at=%v", in.Now), nil
		}
		take, werr := t.Plan(in.Now)
		return t.answer(take, outTake, werr), fmt.Sprintf("plan at=%v", in.Now), nil
	case inChunk:
		in, err := taped.Read[chunkArgs](args)
		if err == nil && in.Bytes > wire.MaxBody {
			err = fmt.Errorf("a chunk of %d bytes, at most %d can come", in.Bytes, wire.MaxBody)
		}
		if err != nil {
			return a, "chunk", err
		}
		req := wire.ProcessCopyReq{Total: in.Total, StateSum: in.StateSum, Offset: in.Offset, Sum: in.Sum, Bytes: noBytes[:in.Bytes]}
		take, werr := t.Chunk(in.Now, &req, in.Came)
		return t.answer(take, outTake, werr), fmt.Sprintf("chunk offset=%d bytes=%d at=%v", in.Offset, in.Bytes, in.Now), nil
	case inChecked:
		in, err := taped.Read[checkedArgs](args)
		if err != nil {
			return a, "checked", err
		}
		t.Checked(in.Now, in.Err.Err())
		return t.answer(false, 0, nil), fmt.Sprintf("checked at=%v error=%q", in.Now, in.Err), nil
	case inResume:
		in, err := taped.Read[resumeArgs](args)
		if err != nil {
			return a, "resume", err
		}
		begin, rep, werr := t.Resume(in.Now, in.Req)
		return t.answerResume(begin, &rep, werr), fmt.Sprintf("resume at=%v", in.Now), nil
	case inOpened:
		in, err := taped.Read[openedArgs](args)
		if err != nil {
			return a, "opened", err
		}
		t.Opened(in.Err.Err())
		return t.answer(false, 0, nil), fmt.Sprintf("opened error=%q", in.Err), nil
	case inDrop:
		in, err := taped.Read[dropArgs](args)
		if err != nil {
			return a, "drop", err
		}
		was, werr := t.Drop(in.Why)
		return t.answer(was, outDrop, werr), fmt.Sprintf("drop why=%q", in.Why), nil
	case inGiverSays:
		in, err := taped.Read[saysArgs](args)
		if err != nil {
			return a, "giver_says", err
		}
		return t.answer(t.GiverSays(in.State, in.Err), outDrop, nil), fmt.Sprintf("giver_says %v", in.State), nil
	}
	return a, fmt.Sprintf("call %d", kind), taped.ErrKind
}

var stageNames = []string{"filling", "held", "opening", "serving", "refused", "dropped"}

// Show implements taped.Core.
func (t *Taker) Show() string {
	return fmt.Sprintf("%s: %d of %d bytes of the state, heard of at %v, asked at %v\n%s", stageNames[t.stage], t.have, t.total, t.heard, t.asked, line("why: ", t.why))
}

func line(name, text string) string {
	if text == "" {
		return ""
	}
	return name + text + "\n"
}

// code is the state in a snapshot.
func (t *Taker) code(x *taped.Codec) {
	taped.Within(x, &t.stage, dropped)
	taped.Uint(x, &t.total)
	taped.Uint(x, &t.have)
	taped.Uint(x, &t.sum)
	taped.Int(x, &t.heard)
	taped.Int(x, &t.asked)
	taped.Text(x, &t.why)
}

// Snapshot implements taped.Core.
func (t *Taker) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	t.code(x)
	return x.Written()
}

// Restore implements taped.Core.
func (t *Taker) Restore(b []byte) error {
	x := taped.Parse(b)
	if t.code(x); x.End() != nil {
		return x.End()
	}
	return t.CheckInvariants()
}

// TapedTaker is a Taker whose inputs are recorded, if it has a tape.
type TapedTaker struct {
	*Taker
	taped.Log
}

func (t *TapedTaker) Plan(now time.Duration) (take bool, err *wire.Error) {
	take, err = t.Taker.Plan(now)
	if t.On() {
		t.Put(inPlan, t.answer(take, outTake, err), &planArgs{now})
	}
	return take, err
}

func (t *TapedTaker) Chunk(now time.Duration, req *wire.ProcessCopyReq, sum uint32) (take bool, err *wire.Error) {
	take, err = t.Taker.Chunk(now, req, sum)
	if t.On() {
		t.Put(inChunk, t.answer(take, outTake, err), &chunkArgs{now, req.Total, req.StateSum, req.Offset, uint64(len(req.Bytes)), req.Sum, sum})
	}
	return take, err
}

func (t *TapedTaker) Checked(now time.Duration, err error) {
	t.Taker.Checked(now, err)
	if t.On() {
		t.Put(inChecked, t.answer(false, 0, nil), &checkedArgs{now, taped.ErrorOf(err)})
	}
}

func (t *TapedTaker) Resume(now time.Duration, req wire.ProcessResumeReq) (begin bool, rep wire.ProcessResumeRep, err *wire.Error) {
	begin, rep, err = t.Taker.Resume(now, req)
	if t.On() {
		t.Put(inResume, t.answerResume(begin, &rep, err), &resumeArgs{now, req})
	}
	return begin, rep, err
}

func (t *TapedTaker) Opened(err error) {
	t.Taker.Opened(err)
	if t.On() {
		t.Put(inOpened, t.answer(false, 0, nil), &openedArgs{taped.ErrorOf(err)})
	}
}

func (t *TapedTaker) Drop(why string) (was bool, err *wire.Error) {
	was, err = t.Taker.Drop(why)
	if t.On() {
		t.Put(inDrop, t.answer(was, outDrop, err), &dropArgs{why})
	}
	return was, err
}

// Tick is recorded if something came of it: else it changes nothing, and it is called ten times a second.
func (t *TapedTaker) Tick(now time.Duration) (gaveUp, ask bool) {
	gaveUp, ask = t.Taker.Tick(now)
	if t.On() && (gaveUp || ask) {
		t.Put(inTick, t.answerTick(gaveUp, ask), &planArgs{now})
	}
	return gaveUp, ask
}

func (t *TapedTaker) GiverSays(st wire.MoveState, err *wire.Error) (gaveUp bool) {
	gaveUp = t.Taker.GiverSays(st, err)
	if t.On() {
		t.Put(inGiverSays, t.answer(gaveUp, outDrop, nil), &saysArgs{st, err})
	}
	return gaveUp
}

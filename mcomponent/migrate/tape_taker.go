package migrate

import (
	"fmt"
	"time"

	"splitkernel/mcomponent/tapes"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// TakerTapeKind is the kind of the tapes of Taker.
const TakerTapeKind = "mcomponent/migrate/taker"

// TakerTapeHead says how to make the taking side of a tape anew: its head, by wire.Marshal.
type TakerTapeHead struct {
	Node    wire.NodeID
	What    string // comes here, for people
	Options Options
}

// New makes the taking side that the tape began with.
func (h *TakerTapeHead) New() (*Taker, error) {
	if err := h.Options.Validate(); err != nil {
		return nil, err
	}
	return NewTaker(h.Options, h.Node), nil
}

// TakerInputKind says which call a record holds. Numbers are those of the format: explicit, never reused.
type TakerInputKind uint8

// The inputs. Len, SlotOf, Older, Idle and what an Incoming tells are none: they change nothing, and what their callers make of their
// answers comes as an input.
const (
	TakeOpen     TakerInputKind = 1
	TakeAdd      TakerInputKind = 2
	TakeCopy     TakerInputKind = 3
	TakeClose    TakerInputKind = 4
	TakeMap      TakerInputKind = 5
	TakeReject   TakerInputKind = 6
	TakeServe    TakerInputKind = 7
	TakeDrop     TakerInputKind = 8
	TakeExit     TakerInputKind = 9
	TakeFence    TakerInputKind = 10
	TakeAsked    TakerInputKind = 11
	TakeAdopting TakerInputKind = 12
	TakeAdopted  TakerInputKind = 13
)

var takerInputNames = []string{"", "open", "add", "copy", "close", "map", "reject", "serve", "drop", "exit", "fence", "asked", "adopting", "adopted"}

func (k TakerInputKind) String() string {
	if int(k) < len(takerInputNames) {
		return takerInputNames[k]
	}
	return fmt.Sprintf("input(%d)", uint8(k))
}

// TakerInput is one call of Taker, and a checksum of its answer. Which fields are set depends on the kind, as the parameters of
// the method of that name say.
type TakerInput struct {
	Kind  TakerInputKind
	Now   time.Duration
	Open  wire.RegionCopyOpenReq
	Add   Incoming
	Move  wire.MoveID // of those that have no message of their own
	Round uint32      // of copy
	Close wire.RegionCopyEndReq
	Held  int   // of close
	Err   error // of close: what the check said, or would have; of asked
	Map   wire.HomeCopyReq
	Serve wire.MoveServeReq
	PID   wire.PID       // of exit
	State wire.MoveState // of asked

	Sum uint32
}

// String names the input, for people.
func (in *TakerInput) String() string {
	s, id := in.Kind.String(), in.Move
	switch in.Kind {
	case TakeExit:
		return s + fmt.Sprintf(" pid=%d", in.PID)
	case TakeFence:
		return s
	case TakeOpen:
		id = in.Open.Move
		s += fmt.Sprintf(" pid=%d region=%d round=%d", in.Open.PID, in.Open.Region, in.Open.Round)
	case TakeAdd:
		id = in.Add.Move
		s += fmt.Sprintf(" pid=%d slot=%d", in.Add.PID, in.Add.Slot)
	case TakeCopy:
		s += fmt.Sprintf(" round=%d", in.Round)
	case TakeClose:
		id = in.Close.Move
		s += fmt.Sprintf(" round=%d part=%d", in.Close.Round, in.Close.Part)
	case TakeMap:
		id = in.Map.Move
		s += fmt.Sprintf(" pid=%d part=%d", in.Map.PID, in.Map.Part)
	case TakeServe:
		id = in.Serve.Move
	}
	return s + fmt.Sprintf(" move=%v/%d", id.Manager, id.No)
}

func codeMove(c *tape.Coder, id *wire.MoveID) {
	tape.Num(c, &id.Manager)
	tape.Num(c, &id.No)
}

// code goes over a record: kind byte, the fields of the kind, checksum (4 bytes).
func (in *TakerInput) code(c *tape.Coder) {
	if tape.Num(c, &in.Kind); c.Reads() {
		*in = TakerInput{Kind: in.Kind}
	}
	switch in.Kind {
	case TakeOpen:
		tape.Int(c, &in.Now)
		tapes.Message(c, &in.Open)
	case TakeAdd:
		in.Add.code(c)
	case TakeCopy:
		tape.Int(c, &in.Now)
		codeMove(c, &in.Move)
		tape.Num(c, &in.Round)
	case TakeClose:
		tape.Int(c, &in.Now)
		tapes.Message(c, &in.Close)
		tape.Below(c, &in.Held, 1<<31)
		tapes.Error(c, &in.Err)
	case TakeMap:
		tape.Int(c, &in.Now)
		tapes.Message(c, &in.Map)
	case TakeServe:
		tapes.Message(c, &in.Serve)
	case TakeExit:
		tape.Num(c, &in.PID)
	case TakeAsked:
		tape.Int(c, &in.Now)
		codeMove(c, &in.Move)
		tape.Num(c, &in.State)
		tapes.Error(c, &in.Err)
	case TakeReject, TakeDrop, TakeAdopting, TakeAdopted:
		codeMove(c, &in.Move)
	case TakeFence:
	default:
		c.Fail("input %d, which this version does not know", in.Kind)
	}
	c.Word(&in.Sum)
}

// Read takes a record apart.
func (in *TakerInput) Read(b []byte) error {
	return tape.Decode(b, in.code)
}

// sum adds what there is of something on its way to a checksum.
func (i *Incoming) sum(s tape.Sum) tape.Sum {
	if i == nil {
		return s.Uint(0)
	}
	s = s.Uint(i.Move.No + 1).Uint(uint64(i.Move.Manager)).Uint(uint64(i.PID)).Uint(uint64(i.Region)).Uint(uint64(i.Epoch) | uint64(i.Slot)<<32)
	s = s.Bool(i.Complete).Bool(i.Gone).Bool(i.adopted).Uint(uint64(i.round) | uint64(i.parts)<<32)
	return s.Uint(uint64(len(i.Mapped)) | uint64(len(i.Owners))<<32)
}

// sumNew is for those that say whether what comes is new.
func sumNew(in *Incoming, is bool, err error) tape.Sum {
	return tapes.SumError(in.sum(0).Bool(is), err)
}

func sumGone(gone []*Incoming) tape.Sum {
	s := tape.Sum(0).Uint(uint64(len(gone)))
	for _, in := range gone {
		s = in.sum(s)
	}
	return s
}

// Apply makes the call that in holds, and gives the checksum of its answer. It panics where the method panics.
func (t *Taker) Apply(in *TakerInput) uint32 {
	s := tape.Sum(0)
	switch in.Kind {
	case TakeOpen:
		s = sumNew(t.Open(in.Now, in.Open))
	case TakeAdd:
		add := in.Add
		t.Add(&add)
	case TakeCopy:
		x, err := t.Copy(in.Now, wire.RegionCopy{Move: in.Move, Round: in.Round})
		s = sumNew(x, false, err)
	case TakeClose:
		s = tapes.SumError(s, t.Close(in.Now, in.Close, in.Held, func([]wire.MappedPart) error { return in.Err }))
	case TakeMap:
		s = sumNew(t.Map(in.Now, in.Map))
	case TakeReject:
		t.Reject(t.find(in.Move))
	case TakeServe:
		x, err := t.Serve(in.Serve)
		s = sumNew(x, false, err)
	case TakeDrop:
		s = t.Drop(in.Move).sum(s)
	case TakeExit:
		s = sumGone(t.Exit(in.PID))
	case TakeFence:
		s = sumGone(t.Fence())
	case TakeAsked:
		s = s.Bool(t.Asked(in.Now, t.find(in.Move), in.State, in.Err))
	case TakeAdopting:
		x, err := t.Adopting(in.Move)
		s = sumNew(x, false, err)
	case TakeAdopted:
		s = t.Adopted(in.Move).sum(s)
	}
	return s.Word()
}

// TapedTaker is a Taker whose inputs are recorded. Without a tape it is the Taker: each input costs one branch more.
type TapedTaker struct {
	*Taker
	tape tape.Tape // nil: off
	in   TakerInput
	c    tape.Coder
}

// Record begins a tape, before the first input.
func (t *TapedTaker) Record(r tape.Tape) { t.tape = r }

// put records what t.in holds. Only the fields of its kind are set: the rest is from records before.
func (t *TapedTaker) put(kind TakerInputKind, now time.Duration, s tape.Sum) {
	t.in.Kind, t.in.Now, t.in.Sum = kind, now, s.Word()
	t.c.Write(t.c.Written()[:0])
	t.in.code(&t.c)
	if t.tape.Record(t.c.Written()) {
		t.tape.State(t.AppendState(nil)) // it may be large, and is seldom wanted
	}
}

func (t *TapedTaker) Open(now time.Duration, req wire.RegionCopyOpenReq) (in *Incoming, isNew bool, err error) {
	in, isNew, err = t.Taker.Open(now, req)
	if t.tape != nil {
		t.in.Open = req
		t.put(TakeOpen, now, sumNew(in, isNew, err))
	}
	return in, isNew, err
}

func (t *TapedTaker) Add(in *Incoming) {
	t.Taker.Add(in)
	if t.tape != nil {
		t.in.Add = *in
		t.put(TakeAdd, 0, 0)
		t.in.Add = Incoming{} // its maps are not kept
	}
}

func (t *TapedTaker) Copy(now time.Duration, c wire.RegionCopy) (*Incoming, error) {
	in, err := t.Taker.Copy(now, c)
	if t.tape != nil {
		t.in.Move, t.in.Round = c.Move, c.Round
		t.put(TakeCopy, now, sumNew(in, false, err))
	}
	return in, err
}

func (t *TapedTaker) Close(now time.Duration, req wire.RegionCopyEndReq, held int, check func([]wire.MappedPart) error) error {
	var checked error
	err := t.Taker.Close(now, req, held, func(mapped []wire.MappedPart) error {
		checked = check(mapped)
		return checked
	})
	if t.tape != nil {
		t.in.Close, t.in.Held, t.in.Err = req, held, checked
		t.put(TakeClose, now, tapes.SumError(0, err))
	}
	return err
}

func (t *TapedTaker) Map(now time.Duration, req wire.HomeCopyReq) (in *Incoming, isNew bool, err error) {
	in, isNew, err = t.Taker.Map(now, req)
	if t.tape != nil {
		t.in.Map = req
		t.put(TakeMap, now, sumNew(in, isNew, err))
	}
	return in, isNew, err
}

func (t *TapedTaker) Reject(in *Incoming) {
	t.Taker.Reject(in)
	t.of(TakeReject, in.Move, 0)
}

// of records an input that has a move only.
func (t *TapedTaker) of(kind TakerInputKind, id wire.MoveID, s tape.Sum) {
	if t.tape != nil {
		t.in.Move = id
		t.put(kind, 0, s)
	}
}

func (t *TapedTaker) Serve(req wire.MoveServeReq) (in *Incoming, err error) {
	in, err = t.Taker.Serve(req)
	if t.tape != nil {
		t.in.Serve = req
		t.put(TakeServe, 0, sumNew(in, false, err))
	}
	return in, err
}

func (t *TapedTaker) Drop(id wire.MoveID) *Incoming {
	in := t.Taker.Drop(id)
	t.of(TakeDrop, id, in.sum(0))
	return in
}

func (t *TapedTaker) Exit(pid wire.PID) (gone []*Incoming) {
	gone = t.Taker.Exit(pid)
	if t.tape != nil {
		t.in.PID = pid
		t.put(TakeExit, 0, sumGone(gone))
	}
	return gone
}

func (t *TapedTaker) Fence() (gone []*Incoming) {
	gone = t.Taker.Fence()
	if t.tape != nil {
		t.put(TakeFence, 0, sumGone(gone))
	}
	return gone
}

func (t *TapedTaker) Asked(now time.Duration, in *Incoming, s wire.MoveState, err error) (drop bool) {
	drop = t.Taker.Asked(now, in, s, err)
	if t.tape != nil {
		t.in.Move, t.in.State, t.in.Err = in.Move, s, err
		t.put(TakeAsked, now, tape.Sum(0).Bool(drop))
	}
	return drop
}

func (t *TapedTaker) Adopting(id wire.MoveID) (in *Incoming, err error) {
	in, err = t.Taker.Adopting(id)
	t.of(TakeAdopting, id, sumNew(in, false, err))
	return in, err
}

func (t *TapedTaker) Adopted(id wire.MoveID) (in *Incoming) {
	in = t.Taker.Adopted(id)
	t.of(TakeAdopted, id, in.sum(0))
	return in
}

package checkpoint

import (
	"fmt"
	"time"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// The kinds of the tapes of these cores.
const (
	KeeperTapeKind   = "pcomponent/checkpoint/keeper"
	RestorerTapeKind = "pcomponent/checkpoint/restorer"
)

// KeeperHead says how to make the keeper of a tape anew: its head, by wire.Marshal.
type KeeperHead struct {
	Node    wire.NodeID
	PID     wire.PID
	Options Options
	Epoch   wire.Epoch
	From    *Head  // of one that goes on from a checkpoint
	State   []byte // of one that came from elsewhere
}

// New makes the keeper that the tape began with.
func (h *KeeperHead) New() (*Keeper, error) {
	if h.From != nil {
		return Again(h.Options, h.Epoch, *h.From), nil
	}
	k := NewKeeper(h.Options, h.Epoch)
	if h.State != nil {
		if err := k.Restore(h.State); err != nil {
			return nil, err
		}
		k.Moved(h.Epoch)
	}
	return k, nil
}

// RestorerHead says how to make the restorer of a tape anew.
type RestorerHead struct {
	Node    wire.NodeID
	PID     wire.PID
	Epoch   wire.Epoch
	Options RestoreOptions
	Now     time.Duration
}

// New makes the restorer that the tape began with.
func (h *RestorerHead) New() *Restorer { return NewRestorer(h.Options, h.Now) }

// The calls of these tapes. Numbers are those of the format: explicit, never reused. Left, Due and Last change nothing.
const (
	inNext  uint8 = 1
	inStep  uint8 = 2
	inGuard uint8 = 3
	inHurry uint8 = 4
	inMoved uint8 = 5
)

type (
	nextArgs struct {
		Now  time.Duration
		Made uint64
	}
	stepArgs struct {
		Now     time.Duration
		Made    uint64
		Outcome Outcome
	}
	guardArgs struct {
		Volume      uint32
		First, Last uint64
	}
	movedArgs    struct{ Epoch wire.Epoch }
	restNextArgs struct{ Now time.Duration }
	restStepArgs struct {
		Now     time.Duration
		Outcome Restored
	}
)

func answerNext(e *Effect) (a taped.Answer) {
	a.Add(uint8(e.Kind), e)
	return a
}

// answerStep has no effect: it is what the keeper comes to.
func (k *Keeper) answerStep() (a taped.Answer) {
	a.Sum = a.Sum.Uint(uint64(k.phase)).Uint(k.last.Number).Uint(k.due)
	return a
}

func answerGuard(g Guarded, err error) (a taped.Answer) {
	a.Sum = a.Sum.Bytes(wire.Marshal(&g))
	a.Err(err)
	return a
}

var _, _ taped.Core = (*Keeper)(nil), (*Restorer)(nil)

var effectNames = []string{"", "drain", "sync", "save", "tell", "pause", "go"}

// EffectName implements taped.Core.
func (k *Keeper) EffectName(e uint8) string { return taped.Name(effectNames, e) }

// Apply implements taped.Core.
func (k *Keeper) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	switch kind {
	case inNext:
		in, err := taped.Read[nextArgs](args)
		if err != nil {
			return a, "next", err
		}
		e := k.Next(in.Now, in.Made)
		return answerNext(&e), fmt.Sprintf("next at=%v accesses=%d", in.Now, in.Made), nil
	case inStep:
		in, err := taped.Read[stepArgs](args)
		if err != nil {
			return a, "step", err
		}
		what = fmt.Sprintf("step at=%v", in.Now)
		if in.Outcome.Err != nil {
			what += fmt.Sprintf(" error=%q", in.Outcome.Err.Error())
		}
		k.Step(in.Now, in.Made, in.Outcome)
		return k.answerStep(), what, nil
	case inGuard:
		in, err := taped.Read[guardArgs](args)
		if err != nil {
			return a, "guard", err
		}
		what = fmt.Sprintf("guard volume=%d blocks=%d to %d", in.Volume, in.First, in.Last)
		if in.Last < in.First || in.Last-in.First >= maxGuarded {
			return a, what, fmt.Errorf("blocks %d to %d are more than a request may have", in.First, in.Last)
		}
		return answerGuard(k.Guard(in.Volume, in.First, in.Last)), what, nil
	case inHurry:
		k.Hurry()
		return k.answerStep(), "hurry", nil
	case inMoved:
		in, err := taped.Read[movedArgs](args)
		if err != nil {
			return a, "moved", err
		}
		k.Moved(in.Epoch)
		return k.answerStep(), fmt.Sprintf("moved epoch=%d", in.Epoch), nil
	}
	return a, fmt.Sprintf("call %d", kind), taped.ErrKind
}

// Show implements taped.Core.
func (k *Keeper) Show() string {
	text := fmt.Sprintf("%v; the last is checkpoint %d, the next after %d accesses; %d blocks in %d bytes of the log\n", k.phase, k.last.Number, k.due, len(k.kept), k.log)
	if k.err != nil {
		text += fmt.Sprintf("why: %v\n", k.err)
	}
	return text
}

// code is the state in a snapshot, but for the options.
func (k *Keeper) code(x *taped.Codec) {
	taped.Within(x, &k.phase, failed)
	x.Message(&k.last)
	x.Message(&k.now)
	for _, b := range []*bool{&k.made, &k.hurry, &k.paused} {
		x.Bool(b)
	}
	taped.Uint(x, &k.epoch)
	taped.Uint(x, &k.wrote)
	taped.Uint(x, &k.due)
	for _, at := range []*time.Duration{&k.began, &k.since, &k.wait, &k.took} {
		taped.Int(x, at)
	}
	x.Message(&k.err)
	taped.Uint(x, &k.log)
	taped.Uint(x, &k.no)
	taped.Uint(x, &k.early)
	var keys [][2]uint64
	for _, b := range k.sorted() {
		keys = append(keys, [2]uint64{uint64(b.volume), b.block})
	}
	x.Message(&keys)
	for _, b := range keys {
		k.kept[blockKey{uint32(b[0]), b[1]}] = true
	}
}

// Snapshot implements taped.Core. It is also what goes along when the process moves.
func (k *Keeper) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	k.code(x)
	return x.Written()
}

// Restore implements taped.Core.
func (k *Keeper) Restore(b []byte) error {
	x := taped.Parse(b)
	if k.code(x); x.End() != nil {
		return x.End()
	}
	return k.CheckInvariants()
}

// TapedKeeper is a Keeper whose inputs are recorded, if it has a tape.
type TapedKeeper struct {
	*Keeper
	taped.Log
}

func (t *TapedKeeper) Next(now time.Duration, made uint64) Effect {
	e := t.Keeper.Next(now, made)
	if t.On() {
		t.Put(inNext, answerNext(&e), &nextArgs{now, made})
	}
	return e
}

func (t *TapedKeeper) Step(now time.Duration, made uint64, o Outcome) {
	t.Keeper.Step(now, made, o)
	if t.On() {
		t.Put(inStep, t.answerStep(), &stepArgs{now, made, o})
	}
}

func (t *TapedKeeper) Guard(volume uint32, first, last uint64) (Guarded, error) {
	g, err := t.Keeper.Guard(volume, first, last)
	if t.On() {
		t.Put(inGuard, answerGuard(g, err), &guardArgs{volume, first, last})
	}
	return g, err
}

func (t *TapedKeeper) Hurry() {
	t.Keeper.Hurry()
	if t.On() {
		t.Bare(inHurry, t.answerStep())
	}
}

func (t *TapedKeeper) Moved(epoch wire.Epoch) {
	if epoch == t.epoch {
		return // it is asked before each checkpoint
	}
	t.Keeper.Moved(epoch)
	if t.On() {
		t.Put(inMoved, t.answerStep(), &movedArgs{epoch})
	}
}

var restoreNames = []string{"", "attach", "read", "rollback", "revert", "open", "rest", "over"}

// EffectName implements taped.Core.
func (r *Restorer) EffectName(e uint8) string { return taped.Name(restoreNames, e) }

func answerRestoring(e *Restoring) (a taped.Answer) {
	a.Add(uint8(e.Kind), e)
	return a
}

// answerStep has no effect: it is what the restorer says afterwards.
func (r *Restorer) answerStep() (a taped.Answer) {
	a.Sum = a.Sum.Uint(uint64(r.kind)).Bytes(wire.Marshal(&r.rep))
	return a
}

// Apply implements taped.Core.
func (r *Restorer) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	switch kind {
	case inNext:
		in, err := taped.Read[restNextArgs](args)
		if err != nil {
			return a, "next", err
		}
		e := r.Next(in.Now)
		return answerRestoring(&e), fmt.Sprintf("next at=%v", in.Now), nil
	case inStep:
		in, err := taped.Read[restStepArgs](args)
		if err != nil {
			return a, "step", err
		}
		what = fmt.Sprintf("step at=%v", in.Now)
		if in.Outcome.Err != nil {
			what += fmt.Sprintf(" error=%q", in.Outcome.Err.Error())
		}
		r.Step(in.Now, in.Outcome)
		return r.answerStep(), what, nil
	}
	return a, fmt.Sprintf("call %d", kind), taped.ErrKind
}

// Show implements taped.Core.
func (r *Restorer) Show() string {
	return fmt.Sprintf("%v: %v, checkpoint %d, %d accesses: %s\n", r.rep.State, r.kind, r.rep.Cut.Number, r.rep.Done, r.rep.Text)
}

func (r *Restorer) code(x *taped.Codec) {
	taped.Within(x, &r.kind, Over)
	x.Bool(&r.rests)
	taped.Int(x, &r.since)
	taped.Int(x, &r.wait)
	x.Message(&r.rep)
}

// Snapshot implements taped.Core.
func (r *Restorer) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	r.code(x)
	return x.Written()
}

// Restore implements taped.Core.
func (r *Restorer) Restore(b []byte) error {
	x := taped.Parse(b)
	if r.code(x); x.End() != nil {
		return x.End()
	}
	return r.CheckInvariants()
}

// TapedRestorer is a Restorer whose inputs are recorded, if it has a tape.
type TapedRestorer struct {
	*Restorer
	taped.Log
}

func (t *TapedRestorer) Next(now time.Duration) Restoring {
	e := t.Restorer.Next(now)
	if t.On() {
		t.Put(inNext, answerRestoring(&e), &restNextArgs{now})
	}
	return e
}

func (t *TapedRestorer) Step(now time.Duration, o Restored) {
	t.Restorer.Step(now, o)
	if t.On() {
		t.Put(inStep, t.answerStep(), &restStepArgs{now, o})
	}
}

// maxGuarded bounds the blocks of one request that a tape may name: 64 GiB.
const maxGuarded = 1 << 24

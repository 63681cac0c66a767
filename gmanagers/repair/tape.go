package repair

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// TapeKind is the kind of a keeper's tapes.
const TapeKind = "gmanagers/repair"

// TapeHead says how to make the keeper of a tape anew: its head, by wire.Marshal.
type TapeHead struct {
	Of           wire.Manager
	ReplaceAfter time.Duration
}

// New makes the keeper.
func (h *TapeHead) New() *Keeper { return New(h.ReplaceAfter) }

// The calls of a tape. Numbers are those of the format: explicit, never reused.
const (
	inSync     uint8 = 1
	inTick     uint8 = 2
	inAnswered uint8 = 3
)

type (
	synced struct {
		Now  time.Duration
		List []Volume
	}
	ticked struct{ Now time.Duration }
	called struct {
		Now    time.Duration
		Volume wire.VolumeID
		Call   uint64
		Rep    wire.VolumeConfigRep
		Err    *taped.Error
	}
)

func answer(out []Effect) (a taped.Answer) {
	for i := range out {
		a.Add(uint8(out[i].Kind), &out[i])
	}
	return a
}

var _ taped.Core = (*Keeper)(nil)

// EffectName implements taped.Core.
func (k *Keeper) EffectName(kind uint8) string {
	if kind > uint8(Tell) {
		return fmt.Sprintf("effect %d", kind)
	}
	return EffectKind(kind).String()
}

// Apply implements taped.Core.
func (k *Keeper) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	switch kind {
	case inSync:
		in, err := taped.Read[synced](args)
		if err != nil {
			return a, "sync", err
		}
		return answer(k.Sync(in.Now, in.List, nil)), fmt.Sprintf("sync volumes=%d at=%v", len(in.List), in.Now), nil
	case inTick:
		in, err := taped.Read[ticked](args)
		if err != nil {
			return a, "tick", err
		}
		return answer(k.Tick(in.Now, nil)), fmt.Sprintf("tick at=%v", in.Now), nil
	case inAnswered:
		in, err := taped.Read[called](args)
		if err != nil {
			return a, "an answer", err
		}
		what = fmt.Sprintf("answered volume=%d call=%d configuration=%d at=%v", in.Volume, in.Call, in.Rep.Config, in.Now)
		if in.Err != nil {
			what += fmt.Sprintf(" error=%q", in.Err.Text)
		}
		return answer(k.Answered(in.Now, in.Volume, in.Call, in.Rep, in.Err.Err(), nil)), what, nil
	}
	return a, fmt.Sprintf("call %d", kind), taped.ErrKind
}

// Show implements taped.Core.
func (k *Keeper) Show() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d volumes, %d calls under way, %d made\n", len(k.volumes), k.calls, k.numbers)
	for _, v := range k.volumes {
		p := &v.Place
		fmt.Fprintf(&b, "volume %d: epoch %d, configuration %d, cached at %s, due at %v", p.Volume, p.Epoch, p.Config, p.Cache, v.next)
		if v.Missing != "" {
			fmt.Fprintf(&b, ", %s is missing", v.Missing)
		}
		if f := v.fills(); f != nil {
			fmt.Fprintf(&b, ", %s fills: %d of %d blocks", f.Node, v.rep.Done, v.rep.Blocks)
		}
		if v.call != 0 {
			fmt.Fprintf(&b, ", %v, call %d until %v", v.kind, v.call, v.until)
		}
		if v.lost != "" {
			fmt.Fprintf(&b, ", %s", v.lost)
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

// maxVolumes bounds the volumes that a snapshot may name: far more than need something.
const maxVolumes = 1 << 20

// code is the state in a snapshot.
func (k *Keeper) code(x *taped.Codec) {
	taped.List(x, &k.volumes, maxVolumes, func(x *taped.Codec, at **kept) {
		if x.Reads() {
			*at = &kept{}
		}
		v := *at
		x.Message(&v.Volume)
		taped.Int(x, &v.since)
		for _, b := range []*bool{&v.created, &v.served, &v.told, &v.heard, &v.absent} {
			x.Bool(b)
		}
		taped.Text(x, &v.lost)
		taped.Int(x, &v.next)
		taped.Within(x, &v.fails, 1<<30)
		taped.Uint(x, &v.call)
		taped.Within(x, &v.kind, Tell)
		taped.Int(x, &v.until)
		x.Message(&v.rep)
	})
	taped.Within(x, &k.calls, MaxCalls)
	taped.Uint(x, &k.numbers)
	taped.Uint(x, &k.touched)
}

// Snapshot implements taped.Core.
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

// Taped is a Keeper whose inputs are recorded, if it has a tape.
type Taped struct {
	*Keeper
	taped.Log
	last []Volume // of Sync
}

// Sync is recorded if the list is another one, or something was due: else it changes nothing, and it is called four times a second and more.
func (t *Taped) Sync(now time.Duration, list []Volume, out []Effect) []Effect {
	n, touched := len(out), t.touched
	out = t.Keeper.Sync(now, list, out)
	if t.On() && (t.touched != touched || !(len(list) == 0 && len(t.last) == 0) && !reflect.DeepEqual(list, t.last)) {
		t.Put(inSync, answer(out[n:]), &synced{now, list})
		t.last = list
	}
	return out
}

// Tick is recorded if something was due: else it changes nothing.
func (t *Taped) Tick(now time.Duration, out []Effect) []Effect {
	n, touched := len(out), t.touched
	out = t.Keeper.Tick(now, out)
	if t.On() && t.touched != touched {
		t.Put(inTick, answer(out[n:]), &ticked{now})
	}
	return out
}

func (t *Taped) Answered(now time.Duration, id wire.VolumeID, call uint64, rep wire.VolumeConfigRep, err error, out []Effect) []Effect {
	n := len(out)
	out = t.Keeper.Answered(now, id, call, rep, err, out)
	if t.On() {
		t.Put(inAnswered, answer(out[n:]), &called{now, id, call, rep, taped.ErrorOf(err)})
	}
	return out
}

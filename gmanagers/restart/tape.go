package restart

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// TapeKind is the kind of a driver's tapes.
const TapeKind = "gmanagers/restart"

// TapeHead says how to make the driver of a tape anew: its head, by wire.Marshal.
type TapeHead struct{ Of wire.Manager }

// The calls of a tape. Numbers are those of the format: explicit, never reused.
const (
	inLook uint8 = 1
	inDone uint8 = 2
)

type (
	looked struct{ Stranded []Stranded }
	done   struct {
		PID  wire.PID
		Call uint64
		Rep  wire.RestartRep
		Err  *taped.Error

		Missing bool
	}
)

func answer(out []Effect) (a taped.Answer) {
	for i := range out {
		a.Add(uint8(out[i].Kind), &out[i])
	}
	return a
}

var _ taped.Core = (*Driver)(nil)

// EffectName implements taped.Core.
func (d *Driver) EffectName(k uint8) string { return Kind(k).String() }

// Apply implements taped.Core.
func (d *Driver) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	switch kind {
	case inLook:
		in, err := taped.Read[looked](args)
		if err != nil {
			return a, "look", err
		}
		return answer(d.Look(in.Stranded)), fmt.Sprintf("look stranded=%d", len(in.Stranded)), nil
	case inDone:
		in, err := taped.Read[done](args)
		if err != nil {
			return a, "done", err
		}
		what = fmt.Sprintf("done process=%d call=%d state=%v", in.PID, in.Call, in.Rep.State)
		if in.Err != nil {
			what += fmt.Sprintf(" error=%q", in.Err.Text)
		}
		return answer(d.Done(in.PID, in.Call, Outcome{in.Err.Err(), in.Rep, in.Missing})), what, nil
	}
	return a, fmt.Sprintf("call %d", kind), taped.ErrKind
}

// Show implements taped.Core.
func (d *Driver) Show() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d processes, %d calls made\n", len(d.under), d.numbers)
	for _, pid := range slices.Sorted(maps.Keys(d.under)) {
		e := d.under[pid]
		fmt.Fprintf(&b, "process %d at %s, epoch %d: %v, call %d", pid, e.Process.Node, e.Process.Epoch, e.Kind, e.Call)
		if e.Text != "" {
			fmt.Fprintf(&b, ", %s", e.Text)
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

// code is the state in a snapshot.
func (d *Driver) code(x *taped.Codec) {
	taped.Map(x, &d.under, MaxUnder, func(x *taped.Codec, pid *wire.PID) { taped.Uint(x, pid) }, func(x *taped.Codec, e *Effect) { x.Message(e) })
	taped.Uint(x, &d.numbers)
}

// Snapshot implements taped.Core.
func (d *Driver) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	d.code(x)
	return x.Written()
}

// Restore implements taped.Core.
func (d *Driver) Restore(b []byte) error {
	x := taped.Parse(b)
	if d.code(x); x.End() != nil {
		return x.End()
	}
	return d.CheckInvariants()
}

// Taped is a Driver whose inputs are recorded, if it has a tape.
type Taped struct {
	*Driver
	taped.Log
}

// Look is recorded if something begins: else it changes nothing, and it is called ten times a second and more.
func (t *Taped) Look(stranded []Stranded) []Effect {
	out := t.Driver.Look(stranded)
	if t.On() && len(out) > 0 {
		t.Put(inLook, answer(out), &looked{stranded})
	}
	return out
}

func (t *Taped) Done(pid wire.PID, call uint64, o Outcome) []Effect {
	out := t.Driver.Done(pid, call, o)
	if t.On() {
		t.Put(inDone, answer(out), &done{pid, call, o.Rep, taped.ErrorOf(o.Err), o.Missing})
	}
	return out
}

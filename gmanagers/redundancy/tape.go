package redundancy

import (
	"fmt"
	"strings"
	"time"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// TapeKind is the kind of a driver's tapes.
const TapeKind = "gmanagers/redundancy"

// TapeHead says how to make the driver of a tape anew: its head, by wire.Marshal.
type TapeHead struct{ Of wire.Manager }

// The calls of a tape. Numbers are those of the format: explicit, never reused.
const (
	inSync     uint8 = 1
	inTick     uint8 = 2
	inAnswered uint8 = 3
)

type (
	synced struct {
		Now  time.Duration
		List []Listed
	}
	ticked struct{ Now time.Duration }
	called struct {
		Now    time.Duration
		Part   Part
		Call   uint64
		Report Report
		Err    *taped.Error
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
func (d *Driver) EffectName(k uint8) string { return taped.Name(effectNames, k) }

// Apply implements taped.Core.
func (d *Driver) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	switch kind {
	case inSync:
		in, err := taped.Read[synced](args)
		if err != nil {
			return a, "sync", err
		}
		for _, l := range in.List {
			if l.Stage < Recover || l.Stage > Tend {
				return a, "sync", fmt.Errorf("%v is in stage %d", l.Part, l.Stage)
			}
		}
		return answer(d.Sync(in.Now, in.List, nil)), fmt.Sprintf("sync parts=%d at=%v", len(in.List), in.Now), nil
	case inTick:
		in, err := taped.Read[ticked](args)
		if err != nil {
			return a, "tick", err
		}
		return answer(d.Tick(in.Now, nil)), fmt.Sprintf("tick at=%v", in.Now), nil
	case inAnswered:
		in, err := taped.Read[called](args)
		if err != nil {
			return a, "an answer", err
		}
		what = fmt.Sprintf("answered %v call=%d state=%v at=%v", in.Part, in.Call, in.Report.State, in.Now)
		if in.Err != nil {
			what += fmt.Sprintf(" error=%q", in.Err.Text)
		}
		return answer(d.Answered(in.Now, in.Part, in.Call, in.Report, in.Err.Err(), nil)), what, nil
	}
	return a, fmt.Sprintf("call %d", kind), taped.ErrKind
}

// Show implements taped.Core.
func (d *Driver) Show() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d parts, %d calls under way; %+v\n", len(d.parts), d.calls, d.stats)
	for _, t := range d.parts {
		fmt.Fprintf(&b, "%v: %v at %s, epoch %d, configuration %d, %d of %d pages, due at %v", t.Part, t.Stage, t.Node, t.Epoch, t.Config, t.done, t.known, t.next)
		if t.change != nil {
			fmt.Fprintf(&b, ", to be told: %v", t.change.Verb)
		}
		if t.call != 0 {
			fmt.Fprintf(&b, ", call %d until %v", t.call, t.until)
		}
		if t.text != "" {
			fmt.Fprintf(&b, ", %s", t.text)
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

// maxParts bounds the parts that a snapshot may name: far more than are listed.
const maxParts = 1 << 16

// code is the state in a snapshot.
func (d *Driver) code(x *taped.Codec) {
	taped.List(x, &d.parts, maxParts, func(x *taped.Codec, v **tracked) {
		if x.Reads() {
			*v = &tracked{}
		}
		t := *v
		x.Message(&t.Listed)
		has := t.change != nil
		if x.Bool(&has); has {
			if x.Reads() {
				t.change = &Change{}
			}
			x.Message(t.change)
		}
		taped.Int(x, &t.next)
		taped.Int(x, &t.fails)
		taped.Int(x, &t.polls)
		taped.Uint(x, &t.call)
		taped.Int(x, &t.until)
		taped.Uint(x, &t.done)
		taped.Uint(x, &t.known)
		taped.Int(x, &t.fenced)
		taped.Text(x, &t.text)
	})
	taped.List(x, &d.processes, maxParts, func(x *taped.Codec, v **process) {
		if x.Reads() {
			*v = &process{}
		}
		p := *v
		taped.Uint(x, &p.pid)
		taped.Int(x, &p.next)
		taped.Uint(x, &p.done)
		taped.Uint(x, &p.known)
		taped.Uint(x, &p.call)
		taped.Int(x, &p.until)
	})
	taped.Within(x, &d.calls, MaxCalls)
	taped.Uint(x, &d.numbers)
	x.Message(&d.stats)
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

func (t *Taped) Sync(now time.Duration, list []Listed, out []Effect) []Effect {
	n := len(out)
	out = t.Driver.Sync(now, list, out)
	if t.On() {
		t.Put(inSync, answer(out[n:]), &synced{now, list})
	}
	return out
}

// Tick is recorded if something was due: else it changes nothing.
func (t *Taped) Tick(now time.Duration, out []Effect) []Effect {
	n, stats := len(out), t.stats
	out = t.Driver.Tick(now, out)
	if t.On() && t.stats != stats { // a call given up counts there, and one made
		t.Put(inTick, answer(out[n:]), &ticked{now})
	}
	return out
}

func (t *Taped) Answered(now time.Duration, part Part, call uint64, rep Report, err error, out []Effect) []Effect {
	n := len(out)
	out = t.Driver.Answered(now, part, call, rep, err, out)
	if t.On() {
		t.Put(inAnswered, answer(out[n:]), &called{now, part, call, rep, taped.ErrorOf(err)})
	}
	return out
}

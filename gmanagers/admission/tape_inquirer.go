package admission

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// InquirerTapeKind is the kind of an inquirer's tapes.
const InquirerTapeKind = "gmanagers/admission/inquirer"

// InquirerHead says how to make the inquirer of a tape anew: its head, by wire.Marshal.
type InquirerHead struct {
	Of       wire.Manager
	Patience time.Duration
}

// New makes the inquirer that the tape began with.
func (h *InquirerHead) New() *Inquirer { return NewInquirer(h.Patience) }

// inDue is the only call of an inquirer. Numbers are those of the format: explicit, never reused.
const inDue uint8 = 1

type dueArgs struct {
	Now      time.Duration
	Prepared []wire.PID
}

func answerDue(changes []Change) (a taped.Answer) {
	for i := range changes {
		a.Add(uint8(changes[i].Verb), &changes[i])
	}
	return a
}

var _ taped.Core = (*Inquirer)(nil)

// EffectName implements taped.Core.
func (q *Inquirer) EffectName(k uint8) string { return ChangeVerb(k).String() }

// Apply implements taped.Core.
func (q *Inquirer) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	if kind != inDue {
		return a, fmt.Sprintf("call %d", kind), taped.ErrKind
	}
	in, err := taped.Read[dueArgs](args)
	if err != nil {
		return a, "due", err
	}
	return answerDue(q.Due(in.Now, in.Prepared)), fmt.Sprintf("due prepared=%d at=%v", len(in.Prepared), in.Now), nil
}

// Show implements taped.Core.
func (q *Inquirer) Show() string {
	text := fmt.Sprintf("%d prepared holds\n", len(q.since))
	for _, pid := range slices.Sorted(maps.Keys(q.since)) {
		text += fmt.Sprintf("process %d: since %v\n", pid, q.since[pid])
	}
	return text
}

// code is the state in a snapshot.
func (q *Inquirer) code(x *taped.Codec) { taped.Map(x, &q.since, maxAlone, taped.Uint, taped.Int) }

// Snapshot implements taped.Core.
func (q *Inquirer) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	q.code(x)
	return x.Written()
}

// Restore implements taped.Core.
func (q *Inquirer) Restore(b []byte) error {
	x := taped.Parse(b)
	q.code(x)
	return x.End()
}

// CheckInvariants implements taped.Core: whatever is in the table may be.
func (q *Inquirer) CheckInvariants() error { return nil }

// TapedInquirer is an Inquirer whose inputs are recorded, if it has a tape.
type TapedInquirer struct {
	*Inquirer
	taped.Log
}

// Due is not recorded while nothing is prepared and nothing was: then it does nothing, and it is called four times a second.
func (t *TapedInquirer) Due(now time.Duration, prepared []wire.PID) []Change {
	idle := len(prepared) == 0 && len(t.since) == 0
	changes := t.Inquirer.Due(now, prepared)
	if t.On() && !idle {
		t.Put(inDue, answerDue(changes), &dueArgs{now, prepared})
	}
	return changes
}

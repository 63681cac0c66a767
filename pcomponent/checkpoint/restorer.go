package checkpoint

import (
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
)

// RestoreKind says what to do next to bring a process back. Each effect is answered by one Step.
type RestoreKind uint8

// The effects.
const (
	Attach   RestoreKind = 1 // attach all volumes under the new epoch, so that who ran before writes to none of them any more: Err
	Read     RestoreKind = 2 // read the two slots: Err; Found with Cut and Done, if one is whole
	Rollback RestoreKind = 3 // have the home go back to Cut: Err
	Revert   RestoreKind = 4 // write the sectors of the log back that are as they were at Cut, and flush the volumes: Err
	Open     RestoreKind = 5 // make the process of the checkpoint and let it run: Err
	Rest     RestoreKind = 6 // wait until Until
	Over     RestoreKind = 7 // nothing is left to do: not answered
)

// Restoring is what to do next.
type Restoring struct {
	Kind  RestoreKind
	Cut   wire.Cut
	Until time.Duration
}

// Restored is what came of an effect.
type Restored struct {
	Err   *wire.Error
	Found bool
	Cut   wire.Cut
	Done  uint64
}

// Restorer brings one process back where its pComponent was lost. The order is what makes it right: nobody of before writes to a volume
// once they are attached; the slots are read after that, so no checkpoint comes behind what is read; no flush of before is taken once the
// home has gone back, so the pages stay as they were.
//
// Each step may be made again, here or elsewhere under a newer epoch.
type Restorer struct {
	o     RestoreOptions
	kind  RestoreKind
	rep   wire.RestartRep
	since time.Duration
	wait  time.Duration
	rests bool
}

// RestoreOptions bound a restart.
type RestoreOptions struct {
	Patience time.Duration // how long a step is tried while somebody is out of reach
	Pause    time.Duration
}

// DefaultRestoreOptions are those of a live cluster. An mComponent that is started again, or a buffer cache that moves, takes seconds.
func DefaultRestoreOptions() RestoreOptions {
	return RestoreOptions{Patience: 30 * time.Second, Pause: 50 * time.Millisecond}
}

// NewRestorer begins.
func NewRestorer(o RestoreOptions, now time.Duration) *Restorer {
	return &Restorer{o: o, kind: Attach, since: now, rep: wire.RestartRep{State: wire.RestartUnder}}
}

// Status is what whoever ordered it is told.
func (r *Restorer) Status() wire.RestartRep { return r.rep }

// Next tells what to do.
func (r *Restorer) Next(now time.Duration) Restoring {
	if r.rests = r.kind != Over && now < r.wait; r.rests {
		return Restoring{Kind: Rest, Until: r.wait}
	}
	return Restoring{Kind: r.kind, Cut: r.rep.Cut}
}

// Step takes what came of the effect that Next gave.
func (r *Restorer) Step(now time.Duration, o Restored) {
	if r.rests || r.kind == Over {
		r.rests = false
		return
	}
	if o.Err != nil && r.kind == Attach && o.Err.Kind == wire.KindNotFound {
		r.end(wire.RestartEmpty, "its volumes were never made: it had not begun")
		return
	}
	if o.Err != nil {
		if transient(o.Err) && now-r.since < r.o.Patience {
			r.wait = now + r.o.Pause
			return
		}
		r.end(wire.RestartFailed, fmt.Sprintf("%v: %s", r.kind, o.Err.Text))
		return
	}
	r.since = now
	switch r.kind {
	case Read:
		if !o.Found {
			r.end(wire.RestartEmpty, "there is no checkpoint: it had not begun")
			return
		}
		r.rep.Cut, r.rep.Done = o.Cut, o.Done
	case Open:
		r.end(wire.RestartRunning, "")
		return
	}
	r.kind++
}

func (r *Restorer) end(s wire.RestartState, text string) {
	r.kind, r.rep.State, r.rep.Text = Over, s, text
}

// CheckInvariants returns the first broken rule.
func (r *Restorer) CheckInvariants() error {
	if (r.kind == Over) != (r.rep.State != wire.RestartUnder) || r.kind < Attach || r.kind > Over {
		return fmt.Errorf("checkpoint: a restart at %v in state %v", r.kind, r.rep.State)
	}
	return nil
}

func (k RestoreKind) String() string {
	return [...]string{"?", "attach of the volumes", "reading the checkpoints", "rollback of the memory", "rollback of the volumes", "opening the process", "rest", "over"}[min(int(k), 7)]
}

package statetest

import (
	"slices"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/netlayer/wire"
)

// Participant is a manager in admissions that others decide.
type Participant[S State[C, R], C any, R Outcome] struct {
	New func() S
	// Register makes the command that registers the only component of the manager's kind, and Step one with a step of an admission.
	Register func(seq uint64) C
	Step     func(seq uint64, v admission.Verb, pid wire.PID) C
	Events   func(s S) *events.Log
	// Told is what one admission tells that is prepared, committed and given back.
	Told []events.Kind
	// Node is where everything is placed; empty if not everything is at one.
	Node wire.NodeID
}

// Outcome is a result that may be an error.
type Outcome interface {
	Command
	Err() error
}

// AttemptsInVainAreNoEvents checks that what is held for an attempt and given back is told nowhere; what is committed is told
// then, once, also by a state that was restored between the two.
func AttemptsInVainAreNoEvents[S State[C, R], C any, R Outcome](t *testing.T, p Participant[S, C, R]) {
	s, seq := p.New(), uint64(0)
	apply := func(c C) {
		t.Helper()
		if err := s.Apply(c).Err(); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
	}
	steps := func(pid wire.PID, verbs ...admission.Verb) {
		t.Helper()
		for _, v := range verbs {
			seq++
			apply(p.Step(seq, v, pid))
		}
	}
	seq++
	apply(p.Register(seq))
	before := p.Events(s).Last()
	for pid := wire.PID(1); pid <= 100; pid++ {
		steps(pid, admission.Prepare, admission.Free)
	}
	if got := p.Events(s).Page(before, 0).Events; len(got) != 0 {
		t.Fatalf("attempts in vain left %v", got)
	}
	steps(200, admission.Prepare, admission.Prepare)
	again := p.New()
	if err := again.Restore(s.Snapshot()); err != nil {
		t.Fatal(err)
	}
	s = again
	steps(200, admission.Commit, admission.Commit, admission.Free)
	var kinds []events.Kind
	for _, e := range p.Events(s).Page(before, 0).Events {
		kinds = append(kinds, e.Kind)
		if e.PID != 200 || p.Node != "" && e.Node != p.Node {
			t.Errorf("%+v", e)
		}
	}
	if !slices.Equal(kinds, p.Told) {
		t.Fatalf("told %v, want %v", kinds, p.Told)
	}
}

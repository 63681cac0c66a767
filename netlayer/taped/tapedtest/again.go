// Package tapedtest is what the tests of recorded cores share: it keeps what cores record, makes them again, and breaks off
// in the middle to go on from a snapshot.
//
// Pure: no goroutines, no locks, no clock. Called by tests only.
package tapedtest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/taped"
)

// T is what is used of a test.
type T interface {
	Fatalf(format string, args ...any)
}

// Tapes keeps the tapes of cores. It implements tape.Recorder, for one goroutine.
type Tapes struct {
	// Scratch names fields of cores that are made anew by each call that uses them, and so are no state.
	Scratch []string

	kept []*history
}

// history is the tape of one core.
type history struct {
	kind    string
	head    []byte
	records [][]byte
	states  [][]byte // after each, if it was asked for
}

// Record implements tape.Tape.
func (h *history) Record(b []byte) (state bool) {
	h.records = append(h.records, bytes.Clone(b))
	h.states = append(h.states, nil)
	return len(h.records)%stateEvery == 0
}

// stateEvery is how many records a core has between two of its states.
const stateEvery = 13

// State implements tape.Tape.
func (h *history) State(b []byte) { h.states[len(h.states)-1] = bytes.Clone(b) }

// End implements tape.Tape.
func (h *history) End() {}

// Open implements tape.Recorder.
func (t *Tapes) Open(kind string, head []byte) tape.Tape {
	h := &history{kind: kind, head: bytes.Clone(head)}
	t.kept = append(t.kept, h)
	return h
}

// Records is how many there are.
func (t *Tapes) Records() (n int) {
	for _, h := range t.kept {
		n += len(h.records)
	}
	return n
}

// Nothing takes records and keeps none.
type Nothing struct{}

// Open implements tape.Recorder.
func (Nothing) Open(string, []byte) tape.Tape { return Nothing{} }

// Record implements tape.Tape.
func (Nothing) Record([]byte) bool { return false }

// State implements tape.Tape.
func (Nothing) State([]byte) {}

// End implements tape.Tape.
func (Nothing) End() {}

// breaks is how many times a history is broken off.
const breaks = 2

// Again makes every core again and has it do the same. A few times on the way it goes on with another core too, which is made of a
// snapshot: that one does the same, too, and both come to equal states. A snapshot that is changed is refused, or makes a core
// whose invariants hold; one that is cut off is refused.
func (t *Tapes) Again(tb T, rng *rand.Rand, makes func(kind string, head []byte) (taped.Core, error)) {
	for i, h := range t.kept {
		fresh := func() taped.Core {
			c, err := makes(h.kind, h.head)
			if err != nil {
				tb.Fatalf("core %d: %s is not made again: %v", i, h.kind, err)
			}
			return c
		}
		var at []int
		for range min(breaks, len(h.records)) {
			at = append(at, rng.IntN(len(h.records)))
		}
		all := []taped.Core{fresh()}
		for n, b := range h.records {
			if slices.Contains(at, n) {
				snapshot := all[0].Snapshot(nil)
				c := fresh()
				if err := errors.Join(all[0].CheckInvariants(), c.Restore(snapshot)); err != nil {
					tb.Fatalf("core %d: %s: its snapshot before record %d is refused: %v\n%s", i, h.kind, n, err, all[0].Show())
				}
				if got := c.Snapshot(nil); !bytes.Equal(got, snapshot) {
					tb.Fatalf("core %d: %s: restored before record %d it is another:\n%swant\n%s", i, h.kind, n, c.Show(), all[0].Show())
				}
				if where := differ(reflect.ValueOf(all[0]), reflect.ValueOf(c), t.Scratch); where != "" {
					tb.Fatalf("core %d: %s: restored before record %d it differs in %s, of which its snapshot says nothing", i, h.kind, n, where)
				}
				spoil(tb, rng, snapshot, fresh, h.kind)
				all = append(all, c)
			}
			for _, c := range all {
				if err := feed(c, b); err != nil {
					tb.Fatalf("core %d: %s: record %d of %d: %v\n%s", i, h.kind, n, len(h.records), err, c.Show())
				}
				if want := h.states[n]; want != nil && !bytes.Equal(c.Snapshot(nil), want) {
					tb.Fatalf("core %d: %s: after record %d it has another state than it had:\n%s", i, h.kind, n, c.Show())
				}
			}
		}
		for _, c := range all[1:] {
			if !bytes.Equal(c.Snapshot(nil), all[0].Snapshot(nil)) || c.Show() != all[0].Show() {
				tb.Fatalf("core %d: %s: one that was restored ends as\n%swant\n%s", i, h.kind, c.Show(), all[0].Show())
			}
		}
	}
}

// feed makes the call of a record and compares.
func feed(c taped.Core, b []byte) error {
	var call taped.Call
	if err := call.Read(b); err != nil {
		return err
	}
	a, what, err := c.Apply(call.Kind, call.Args)
	if err == nil {
		err = call.Differs(a, c.EffectName)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// spoil restores snapshots that no core made.
func spoil(tb T, rng *rand.Rand, snapshot []byte, fresh func() taped.Core, kind string) {
	if len(snapshot) > 0 && fresh().Restore(snapshot[:rng.IntN(len(snapshot))]) == nil {
		tb.Fatalf("%s: a snapshot that is cut off is restored", kind)
	}
	if fresh().Restore(append(bytes.Clone(snapshot), 0)) == nil {
		tb.Fatalf("%s: a snapshot with a byte more is restored", kind)
	}
	for range 4 {
		b := bytes.Clone(snapshot)
		b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		c := fresh()
		if c.Restore(b) != nil {
			continue
		}
		if err := c.CheckInvariants(); err != nil {
			tb.Fatalf("%s: a changed snapshot is restored, and then: %v", kind, err)
		}
		c.Show()
	}
}

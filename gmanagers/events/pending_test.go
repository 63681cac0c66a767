package events

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

// TestPending: what is told is what was added of a vNode, in that order, once; what is dropped is never told; a saved one goes
// on alike and does not see later changes.
func TestPending(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Pending
		var log, want Log
		held := map[wire.PID][]Event{}
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			pid := wire.PID(rapid.Uint64Range(1, 4).Draw(t, "pid"))
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				p.Tell(pid, &log)
				for _, e := range held[pid] {
					want.Append(e)
				}
				delete(held, pid)
			case 1:
				p.Drop(pid)
				delete(held, pid)
			case 2:
				saved := p.Save()
				before := append([]Event{}, saved...)
				p.Add(Event{Kind: Reserved, PID: pid, Amount: 7})
				if !reflect.DeepEqual(saved, before) {
					t.Fatal("a saved one changed")
				}
				p = LoadPending(saved)
			default:
				e := drawEvent(t)
				e.PID = pid
				p.Add(e)
				held[pid] = append(held[pid], e)
			}
			if err := p.CheckInvariants(func(pid wire.PID) bool { return len(held[pid]) > 0 }); err != nil {
				t.Fatal(err)
			}
		}
		for pid := wire.PID(1); pid <= 4; pid++ {
			p.Tell(pid, &log)
			for _, e := range held[pid] {
				want.Append(e)
			}
		}
		if got, want := log.Page(0, 0), want.Page(0, 0); !reflect.DeepEqual(got, want) {
			t.Fatalf("told %+v, want %+v", got, want)
		}
	})
	var p Pending
	p.Add(Event{Kind: Reserved, PID: 3})
	if p.CheckInvariants(func(wire.PID) bool { return false }) == nil {
		t.Error("an event of what is not held was not noticed")
	}
}

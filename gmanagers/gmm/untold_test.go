package gmm

import (
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/internal/statetest"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

func TestAttemptsInVainAreNoEvents(t *testing.T) {
	live := []membership.Live{{ID: "m1", Epoch: 1, Addr: "inproc:m1"}}
	command := func(seq uint64, q Request) Command {
		return Command{Client: 1, Seq: seq, Stamp: membership.Stamp{NowMS: int64(seq), Policy: "least_loaded", Live: live}, Overcommit: 1000, Request: q}
	}
	statetest.AttemptsInVainAreNoEvents(t, statetest.Participant[*State, Command, Result]{
		New: New,
		Register: func(seq uint64) Command {
			return command(seq, Request{Op: OpRegister, Member: wire.Member{ID: "m1", Role: wire.RoleMemory, Addr: "inproc:m1", Capacity: wire.Capacity{MemoryBytes: 8 * wire.PageSize, RegionBytes: wire.PageSize}}})
		},
		Step: func(seq uint64, v admission.Verb, pid wire.PID) Command {
			return command(seq, Request{Op: OpSteps, Steps: []admission.Step{{Verb: v, PID: pid, MemoryBytes: 2 * wire.PageSize}}})
		},
		Events: func(s *State) *events.Log { return s.events },
		Told:   []events.Kind{events.PlacedHome, events.Reserved, events.Released},
		Node:   "m1",
	})
}

package gsm

import (
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/internal/statetest"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

func TestAttemptsInVainAreNoEvents(t *testing.T) {
	live, caches := []membership.Live{{ID: "s1", Epoch: 1, Addr: "inproc:s1"}}, []membership.Live{{ID: "m1", Epoch: 1, Addr: "inproc:m1"}}
	command := func(seq uint64, q Request) Command {
		return Command{Client: 1, Seq: seq, Stamp: membership.Stamp{NowMS: int64(seq), Policy: "most_free", Live: live}, CachePolicy: "fewest_volumes", Caches: caches, Request: q}
	}
	statetest.AttemptsInVainAreNoEvents(t, statetest.Participant[*State, Command, Result]{
		New: New,
		Register: func(seq uint64) Command {
			return command(seq, Request{Op: OpRegister, Member: wire.Member{ID: "s1", Role: wire.RoleStorage, Addr: "inproc:s1", Capacity: wire.Capacity{StorageBytes: 8 * wire.PageSize}}})
		},
		Step: func(seq uint64, v admission.Verb, pid wire.PID) Command {
			return command(seq, Request{Op: OpSteps, Steps: []admission.Step{{Verb: v, PID: pid, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: wire.PageSize}}}}})
		},
		Events: func(s *State) *events.Log { return s.events },
		Told:   []events.Kind{events.PlacedVolume, events.PlacedCache, events.Released},
	})
}

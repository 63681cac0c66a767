package gsm

import (
	"slices"
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

// TestKeptWithout: what one copy holds is lost with it only if too few others are left to be read.
func TestKeptWithout(t *testing.T) {
	three := Volume{Copies: admission.Copies{Replicas: 3, WriteQuorum: 2, ReadQuorum: 2}, Replicas: []Replica{{Node: "s1"}, {Node: "s2"}, {Node: "s3"}}}
	for i := range three.Replicas {
		three.Replicas[i].State = wire.ReplicaInSync
	}
	joint := three
	joint.Replicas = append(slices.Clone(three.Replicas), Replica{Node: "s4", State: wire.ReplicaFilling})
	all := three
	all.Copies.ReadQuorum = 3
	for _, c := range []struct {
		v    Volume
		id   wire.NodeID
		want bool
	}{{three, "s2", true}, {joint, "s4", true}, {all, "s1", false}, {Volume{Storage: "s1"}, "s1", false}} {
		if got := c.v.KeptWithout(c.id); got != c.want {
			t.Errorf("%+v without %s: %v", c.v, c.id, got)
		}
	}
}

package gsm

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

func drawCommand(t *rapid.T, s *State, seqs map[uint64]uint64) Command {
	client := rapid.Uint64Range(1, 3).Draw(t, "client")
	seqs[client]++
	c := Command{Client: client, Seq: seqs[client], Stamp: membership.Stamp{
		Policy: rapid.SampledFrom(append(placement.Names(), "most_free", "none")).Draw(t, "policy"),
		Chance: rapid.Uint64().Draw(t, "chance"),
	}, CachePolicy: rapid.SampledFrom(placement.Names()).Draw(t, "cache policy")}
	for _, m := range s.Members() {
		if rapid.IntRange(0, 9).Draw(t, "alive") > 0 {
			c.Stamp.Live = append(c.Stamp.Live, membership.Live{ID: m.ID, Epoch: m.Epoch})
		}
	}
	for _, id := range []wire.NodeID{"m1", "m2", "m3"} {
		if rapid.IntRange(0, 3).Draw(t, "cache alive") > 0 {
			c.Caches = append(c.Caches, membership.Live{ID: id, Epoch: 1, Addr: "inproc:" + string(id)})
		}
	}
	switch rapid.IntRange(0, 13).Draw(t, "op") {
	case 0:
		// Capacities do not shrink here, so that CheckCapacity must hold.
		c.Request = Request{Op: OpRegister, Member: wire.Member{
			ID: wire.NodeID(rapid.SampledFrom([]string{"s1", "s2", "s3", ""}).Draw(t, "id")), Role: wire.RoleStorage, Addr: "inproc:s",
			Capacity: wire.Capacity{StorageBytes: 30 * 4096},
		}}
	case 4:
		c.Request = Request{Op: Op(rapid.Uint8Range(0, 9).Draw(t, "odd op"))}
	case 10, 11, 12:
		id := wire.NodeID(rapid.SampledFrom([]string{"s1", "s2", "s3", "s9", ""}).Draw(t, "member"))
		c.Request = Request{
			Op: rapid.SampledFrom([]Op{OpDead, OpNode, OpNode, OpNode, OpNote}).Draw(t, "member op"), Member: wire.Member{ID: id, Epoch: s.members.LastEpoch(id)},
			Action: membership.Action(rapid.Uint8Range(0, 4).Draw(t, "action")), Note: membership.Note(rapid.Uint8Range(0, 4).Draw(t, "note")), Text: "seen",
		}
		if rapid.IntRange(0, 4).Draw(t, "another epoch") == 0 {
			c.Request.Member.Epoch++
		}
	case 13:
		c.Request.Op = OpGates
		for range rapid.IntRange(0, 3).Draw(t, "gates") {
			c.Request.Gates = append(c.Request.Gates, Gate{
				ID: wire.NodeID(rapid.SampledFrom([]string{"m1", "m2", "m3", ""}).Draw(t, "gate")), Turn: rapid.Uint64Range(0, 9).Draw(t, "turn"),
				Until: rapid.SampledFrom([]wire.Epoch{0, 0, 1, UntilOpened}).Draw(t, "until"),
			})
		}
	default:
		c.Request.Op = OpSteps
		for range rapid.IntRange(0, 4).Draw(t, "steps") {
			st := admission.Step{
				Verb: admission.Verb(rapid.SampledFrom([]uint8{0, 1, 1, 1, 1, 2, 2, 3, 3, 4}).Draw(t, "verb")), PID: wire.PID(rapid.Uint64Range(0, 30).Draw(t, "pid")),
			}
			for range rapid.IntRange(0, 3).Draw(t, "volumes") {
				st.Volumes = append(st.Volumes, admission.VolumeSpec{Name: "v", SizeBytes: rapid.Uint64Range(0, 10*4096).Draw(t, "size")})
			}
			c.Request.Steps = append(c.Request.Steps, st)
		}
	}
	return c
}

// TestProperties: capacity is never exceeded and counts fit, volume ids are never reused, a repeated command has the
// same result and no effect, two replicas stay equal byte by byte, and a restored one answers alike.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := New(), New()
		seqs, ids := map[uint64]uint64{}, map[wire.VolumeID]wire.PID{}
		var last Command
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			c := drawCommand(t, a, seqs)
			res := a.Apply(c)
			for _, vote := range res.Votes {
				for _, v := range vote.Volumes {
					if pid, ok := ids[v.Volume]; ok && pid != vote.PID {
						t.Fatalf("volume %d was given to %d and to %d", v.Volume, pid, vote.PID)
					}
					ids[v.Volume] = vote.PID
				}
			}
			if got := b.ApplyBytes(c.Encode()); !bytes.Equal(got, res.Encode()) {
				t.Fatalf("%+v: replicas answer %x and %x", c, res.Encode(), got)
			}
			snap := a.Snapshot()
			if again := a.Apply(c); !reflect.DeepEqual(again, res) {
				t.Fatalf("%+v: answered %+v, again %+v", c, res, again)
			}
			if !bytes.Equal(snap, a.Snapshot()) {
				t.Fatalf("%+v had an effect the second time", c)
			}
			if !bytes.Equal(snap, b.Snapshot()) {
				t.Fatalf("after %+v the replicas differ", c)
			}
			if err := a.CheckInvariants(); err != nil {
				t.Fatalf("after %+v: %v", c, err)
			}
			if err := a.CheckCapacity(); err != nil {
				t.Fatalf("after %+v: %v", c, err)
			}
			last = c
			if rapid.IntRange(0, 9).Draw(t, "restore") == 0 {
				n := New()
				if err := n.Restore(snap); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(n.Snapshot(), snap) {
					t.Fatal("a restored state has another snapshot")
				}
				b = n // must keep up from here
			}
		}
		n := New()
		if err := n.Restore(a.Snapshot()); err != nil {
			t.Fatal(err)
		}
		if got, want := n.Apply(last), a.Apply(last); !reflect.DeepEqual(got, want) {
			t.Fatalf("restored: %+v, want %+v", got, want)
		}
		if !reflect.DeepEqual(n.Volumes(0), a.Volumes(0)) || !reflect.DeepEqual(n.Members(), a.Members()) {
			t.Fatal("restored: other listings")
		}
	})
}

func fuzzSeeds() (commands, snapshots [][]byte) {
	s := New()
	snapshots = append(snapshots, s.Snapshot())
	for i, q := range []Request{
		{Op: OpRegister, Member: wire.Member{ID: "s1", Role: wire.RoleStorage, Addr: "inproc:s1", Capacity: wire.Capacity{StorageBytes: 1 << 20}}},
		{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: 1, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: 5000}, {Name: "w", SizeBytes: 1}}}}},
		{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Commit, PID: 1}, {Verb: admission.Free, PID: 1}}},
	} {
		c := Command{
			Client: 1, Seq: uint64(i + 1), Stamp: membership.Stamp{Policy: "most_free", Live: []membership.Live{{ID: "s1", Epoch: 1}}},
			CachePolicy: "fewest_volumes", Caches: []membership.Live{{ID: "m1", Epoch: 1, Addr: "inproc:m1"}}, Request: q,
		}
		commands = append(commands, c.Encode())
		s.Apply(c)
		snapshots = append(snapshots, s.Snapshot())
	}
	return commands, snapshots
}

// FuzzApply: whatever the log holds, Apply answers and the state stays sound.
func FuzzApply(f *testing.F) {
	commands, _ := fuzzSeeds()
	for _, c := range commands {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := New()
		for _, c := range commands[:2] {
			s.ApplyBytes(c)
		}
		if _, err := DecodeResult(s.ApplyBytes(b)); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzRestore: a snapshot that is accepted is sound and is what a snapshot of it says.
func FuzzRestore(f *testing.F) {
	commands, snapshots := fuzzSeeds()
	for _, s := range snapshots {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := New()
		if s.Restore(b) != nil {
			return
		}
		for _, c := range commands {
			s.ApplyBytes(c)
		}
		if err := s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
		n := New()
		if err := n.Restore(s.Snapshot()); err != nil || !bytes.Equal(n.Snapshot(), s.Snapshot()) {
			t.Fatalf("restored again: %v", err)
		}
	})
}

package gpm

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// drawCommand draws a command from small domains, so that commands meet.
func drawCommand(t *rapid.T, s *State, seqs map[uint64]uint64) Command {
	client := rapid.Uint64Range(1, 3).Draw(t, "client")
	seqs[client]++
	c := Command{Client: client, Seq: seqs[client], Stamp: membership.Stamp{
		NowMS: int64(seqs[client]), Policy: rapid.SampledFrom(append(placement.Names(), "fewest_threads", "none")).Draw(t, "policy"),
		Chance: rapid.Uint64().Draw(t, "chance"),
	}}
	for _, m := range s.Members() {
		if rapid.IntRange(0, 9).Draw(t, "alive") > 0 {
			stale := wire.Epoch(rapid.IntRange(0, 9).Draw(t, "stale") / 9)
			c.Stamp.Live = append(c.Stamp.Live, membership.Live{ID: m.ID, Epoch: m.Epoch - stale, Traffic: rapid.Uint64Range(0, 3).Draw(t, "traffic")})
		}
	}
	switch rapid.IntRange(0, 13).Draw(t, "op") {
	case 0:
		c.Request = Request{Op: OpRegister, Member: wire.Member{
			ID: wire.NodeID(rapid.SampledFrom([]string{"p1", "p2", "p3", ""}).Draw(t, "id")), Role: wire.RoleCompute, Addr: "inproc:p",
			Capacity: wire.Capacity{Cores: 1, ExCacheLines: rapid.Uint64Range(0, 40).Draw(t, "capacity")},
		}}
	case 1:
		c.Request = Request{Op: OpRelease, PID: wire.PID(rapid.Uint64Range(0, uint64(s.nextPID)+1).Draw(t, "pid"))}
	case 2, 3, 5, 6:
		c.Request.Op = OpChanges
		for range rapid.IntRange(0, 5).Draw(t, "changes") {
			m := admission.Change{Verb: admission.ChangeVerb(rapid.Uint8Range(0, 6).Draw(t, "verb")), PID: wire.PID(rapid.Uint64Range(0, uint64(s.nextPID)+1).Draw(t, "pid"))}
			switch m.Verb {
			case admission.DecideAbort:
				m.Kind, m.Text = wire.KindNoRoom, "none"
			case admission.DecideCommit:
				m.Home, m.Volumes = admission.Home{Node: "m1", Epoch: 1}, []admission.Volume{{Volume: 1, Storage: "s1"}}
			}
			c.Request.Changes = append(c.Request.Changes, m)
		}
	case 4:
		c.Request = Request{Op: Op(rapid.Uint8Range(0, 9).Draw(t, "odd op"))}
	case 10, 11, 12:
		id := wire.NodeID(rapid.SampledFrom([]string{"p1", "p2", "p3", "p9", ""}).Draw(t, "member"))
		c.Request = Request{
			Op: rapid.SampledFrom([]Op{OpDead, OpNode, OpNode, OpNode, OpNote}).Draw(t, "member op"), Member: wire.Member{ID: id, Epoch: s.members.LastEpoch(id)},
			Action: membership.Action(rapid.Uint8Range(0, 4).Draw(t, "action")), Note: membership.Note(rapid.Uint8Range(0, 4).Draw(t, "note")), Text: "seen",
		}
		if rapid.IntRange(0, 4).Draw(t, "another epoch") == 0 {
			c.Request.Member.Epoch++
		}
	default:
		c.Request = Request{Op: OpAdmit, Spec: admission.VNodeSpec{Name: "x", Threads: rapid.Uint32Range(0, 4).Draw(t, "threads"), ExCacheLines: rapid.Uint64Range(0, 20).Draw(t, "lines")}}
	}
	return c
}

// TestProperties: capacity is never exceeded and counts fit (CheckInvariants), pids are never reused, a repeated command
// has the same result and no effect, two replicas stay equal byte by byte, and a restored one answers alike.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := New(), New()
		seqs, pids := map[uint64]uint64{}, map[wire.PID]bool{}
		var last Command
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			c := drawCommand(t, a, seqs)
			res := a.Apply(c)
			if p := res.VNode.PID; p != 0 && c.Request.Op == OpAdmit {
				if pids[p] {
					t.Fatalf("pid %d was given twice", p)
				}
				pids[p] = true
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
		if !reflect.DeepEqual(n.Processes(0), a.Processes(0)) || !reflect.DeepEqual(n.Members(), a.Members()) {
			t.Fatal("restored: other listings")
		}
	})
}

func TestRefusedRestoreChangesNothing(t *testing.T) {
	s := New()
	s.Apply(Command{Client: 1, Seq: 1, Request: Request{Op: OpRegister, Member: wire.Member{ID: "p1", Role: wire.RoleCompute, Addr: "inproc:p1", Capacity: wire.Capacity{Cores: 1, ExCacheLines: 1}}}})
	was := s.Snapshot()
	for n := range was {
		bad := bytes.Clone(was[:n])
		if s.Restore(bad) == nil {
			t.Fatalf("a snapshot cut to %d of %d bytes was accepted", n, len(was))
		}
	}
	other := bytes.Clone(was)
	other[0]++
	if err := s.Restore(other); err == nil || !bytes.Equal(s.Snapshot(), was) {
		t.Fatalf("another version: %v", err)
	}
}

func fuzzSeeds() (commands, snapshots [][]byte) {
	s := New()
	snapshots = append(snapshots, s.Snapshot())
	live := []membership.Live{{ID: "p1", Epoch: 1}}
	for i, q := range []Request{
		{Op: OpRegister, Member: wire.Member{ID: "p1", Role: wire.RoleCompute, Addr: "inproc:p1", Capacity: wire.Capacity{Cores: 2, ExCacheLines: 100}}},
		{Op: OpAdmit, Spec: admission.VNodeSpec{Name: "a", Threads: 1, ExCacheLines: 10, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: 1}}}},
		{Op: OpChanges, Changes: []admission.Change{{Verb: admission.DecideAbort, PID: 1, Kind: wire.KindNoRoom, Text: "none"}}},
		{Op: OpChanges, Changes: []admission.Change{{Verb: admission.EndFree, PID: 1}}},
		{Op: OpAdmit, Spec: admission.VNodeSpec{Name: "b", Threads: 1, ExCacheLines: 10}},
		{Op: OpChanges, Changes: []admission.Change{{Verb: admission.DecideCommit, PID: 2, Home: admission.Home{Node: "m1"}, Volumes: []admission.Volume{{Volume: 1}}}, {Verb: admission.EndCommit, PID: 2}}},
		{Op: OpRelease, PID: 2},
	} {
		c := Command{Client: 1, Seq: uint64(i + 1), Stamp: membership.Stamp{Policy: "fewest_threads", Live: live}, Request: q}
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

func ExampleState_Apply() {
	s := New()
	s.Apply(Command{Client: 1, Seq: 1, Request: Request{Op: OpRegister, Member: wire.Member{ID: "p1", Role: wire.RoleCompute, Addr: "inproc:p1", Capacity: wire.Capacity{Cores: 2, ExCacheLines: 100}}}})
	stamp := membership.Stamp{Policy: "fewest_threads", Live: []membership.Live{{ID: "p1", Epoch: 1}}}
	res := s.Apply(Command{Client: 1, Seq: 2, Stamp: stamp, Request: Request{Op: OpAdmit, Spec: admission.VNodeSpec{Name: "sort", Threads: 1, ExCacheLines: 64}}})
	fmt.Println(res.VNode.PID, res.VNode.Node, res.Err())
	// Output: 1 p1 <nil>
}

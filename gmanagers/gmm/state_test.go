package gmm

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

// overcommit is the ratio of the property tests, in thousandths.
const overcommit = 1500

func drawCommand(t *rapid.T, s *State, seqs map[uint64]uint64) Command {
	client := rapid.Uint64Range(1, 3).Draw(t, "client")
	seqs[client]++
	c := Command{Client: client, Seq: seqs[client], Overcommit: overcommit, Stamp: membership.Stamp{
		Policy: rapid.SampledFrom(append(placement.Names(), "least_loaded", "none")).Draw(t, "policy"),
		Chance: rapid.Uint64().Draw(t, "chance"),
	}}
	for _, m := range s.Members() {
		if rapid.IntRange(0, 9).Draw(t, "alive") > 0 {
			stale := wire.Epoch(rapid.IntRange(0, 9).Draw(t, "stale") / 9)
			c.Stamp.Live = append(c.Stamp.Live, membership.Live{ID: m.ID, Epoch: m.Epoch - stale, Traffic: rapid.Uint64Range(0, 3).Draw(t, "traffic")})
		}
	}
	pid := wire.PID(rapid.Uint64Range(0, 30).Draw(t, "pid"))
	switch rapid.IntRange(0, 16).Draw(t, "op") {
	case 0:
		c.Request = Request{Op: OpRegister, Member: wire.Member{
			ID: wire.NodeID(rapid.SampledFrom([]string{"m1", "m2", "m3", ""}).Draw(t, "id")), Role: wire.RoleMemory, Addr: "inproc:m",
			Capacity: wire.Capacity{
				MemoryBytes: rapid.Uint64Range(0, 40).Draw(t, "pages") * 4096,
				RegionBytes: rapid.SampledFrom([]uint64{8192, 8192, 8192, 4096, 5000}).Draw(t, "region bytes"),
			},
		}}
	case 1, 2, 3, 5:
		c.Request.Op = OpSteps
		for range rapid.IntRange(0, 4).Draw(t, "steps") {
			c.Request.Steps = append(c.Request.Steps, admission.Step{
				Verb: admission.Verb(rapid.SampledFrom([]uint8{0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 4}).Draw(t, "verb")), PID: wire.PID(rapid.Uint64Range(0, 30).Draw(t, "step pid")),
				MemoryBytes: rapid.SampledFrom([]uint64{0, 0, 1, 8192, 30000, 1 << 62}).Draw(t, "memory"),
			})
		}
	case 4:
		c.Request = Request{Op: Op(rapid.Uint8Range(0, 9).Draw(t, "odd op"))}
	case 13, 14, 15:
		id := wire.NodeID(rapid.SampledFrom([]string{"m1", "m2", "m3", "m9", ""}).Draw(t, "member"))
		c.Request = Request{
			Op: rapid.SampledFrom([]Op{OpDead, OpNode, OpNode, OpNode, OpNote}).Draw(t, "member op"), Member: wire.Member{ID: id, Epoch: s.members.LastEpoch(id)},
			Action: membership.Action(rapid.Uint8Range(0, 4).Draw(t, "action")), Note: membership.Note(rapid.Uint8Range(0, 4).Draw(t, "note")), Text: "seen",
		}
		if rapid.IntRange(0, 4).Draw(t, "another epoch") == 0 {
			c.Request.Member.Epoch++
		}
		if e, ok := s.members.Entry(id); ok {
			c.Cached = Cached{Turn: e.Turn - rapid.Uint64Range(0, 4).Draw(t, "turns ago")/4, Volumes: rapid.Uint64Range(0, 3).Draw(t, "caches") / 3}
		}
	default:
		c.Request = Request{Op: OpActivate, PID: pid, Region: wire.RegionNo(rapid.Uint64Range(0, 20).Draw(t, "region"))}
	}
	return c
}

type place struct {
	pid    wire.PID
	region wire.RegionNo
}

// TestProperties: capacity is never exceeded and counts fit, an active vRegion keeps its owner until its process is
// released, a repeated command has the same result and no effect, two replicas stay equal byte by byte, and a restored
// one answers alike.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := New(), New()
		seqs, owners := map[uint64]uint64{}, map[place]wire.Owner{}
		var last Command
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			c := drawCommand(t, a, seqs)
			res := a.Apply(c)
			q := c.Request
			if res.Kind == wire.KindNone && q.Op == OpActivate {
				at := place{q.PID, q.Region}
				if was, ok := owners[at]; ok && (was.Node != res.Owner.Node || was.Epoch != res.Owner.Epoch) {
					t.Fatalf("vRegion %+v was owned by %+v, now by %+v", at, was, res.Owner)
				}
				owners[at] = res.Owner
			}
			for _, st := range q.Steps {
				for at := range owners {
					if st.Verb == admission.Free && at.pid == st.PID {
						delete(owners, at)
					}
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
			if err := a.CheckCapacity(overcommit); err != nil {
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

func TestRoom(t *testing.T) {
	for _, c := range []struct{ memory, region, overcommit, want uint64 }{
		{64 << 20, 1 << 20, 4000, 256},
		{64 << 20, 1 << 20, 1000, 64},
		{1 << 20, 1 << 30, 4000, 0},
		{1 << 30, 1 << 30, 1999, 1},
		{1 << 30, 1 << 30, 2000, 2},
		{1 << 63, 4096, MaxOvercommit, 1 << 52}, // beyond 2^64 bytes
	} {
		got := Room(c.memory, c.region, c.overcommit)
		if got != c.want && !(c.memory == 1<<63 && got >= 1<<51 && got <= 1<<52) {
			t.Errorf("Room(%d, %d, %d) = %d, want %d", c.memory, c.region, c.overcommit, got, c.want)
		}
	}
}

func fuzzSeeds() (commands, snapshots [][]byte) {
	s := New()
	snapshots = append(snapshots, s.Snapshot())
	live := []membership.Live{{ID: "m1", Epoch: 1}}
	for i, q := range []Request{
		{Op: OpRegister, Member: wire.Member{ID: "m1", Role: wire.RoleMemory, Addr: "inproc:m1", Capacity: wire.Capacity{MemoryBytes: 1 << 20, RegionBytes: 1 << 16}}},
		{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Prepare, PID: 3, MemoryBytes: 1 << 17}, {Verb: admission.Commit, PID: 3}, {Verb: admission.Prepare, PID: 4}}},
		{Op: OpActivate, PID: 3, Region: 7},
		{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Free, PID: 3}}},
	} {
		c := Command{Client: 1, Seq: uint64(i + 1), Overcommit: 4000, Stamp: membership.Stamp{Policy: "least_loaded", Live: live}, Request: q}
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
		for _, c := range commands[:3] {
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

package raftsm

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	sm "github.com/lni/dragonboat/v3/statemachine"

	"splitkernel/gmanagers/gmm"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

func register(id string) []byte {
	m := wire.Member{ID: wire.NodeID(id), Role: wire.RoleMemory, Addr: "inproc:" + id, Capacity: wire.Capacity{MemoryBytes: 1 << 20, RegionBytes: 1 << 16}}
	return gmm.Command{Client: 1, Seq: uint64(len(id)), Request: gmm.Request{Op: gmm.OpRegister, Member: m}}.Encode()
}

func TestMachineSnapshot(t *testing.T) {
	var na, nb atomic.Uint64
	a, b := &machine{state: gmm.New(), applied: &na}, &machine{state: gmm.New(), applied: &nb}
	for _, id := range []string{"m", "mm", "mmm"} {
		if r, err := a.Update([]sm.Entry{{Cmd: register(id)}}); err != nil || len(r) != 1 || len(r[0].Result.Data) == 0 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	want := a.state.Freeze()()
	at, err := a.PrepareSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Update([]sm.Entry{{Cmd: register("late")}}); err != nil { // not in the snapshot
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := a.SaveSnapshot(at, &buf, nil, nil); err != nil {
		t.Fatal(err)
	}
	file := bytes.Clone(buf.Bytes())
	if err := b.RecoverFromSnapshot(&buf, nil, nil); err != nil {
		t.Fatal(err)
	}
	if nb.Load() != 3 || !bytes.Equal(want, b.state.Freeze()()) {
		t.Errorf("restored after %d commands, want 3 and the same state", nb.Load())
	}
	for n := range file {
		if b.RecoverFromSnapshot(bytes.NewReader(file[:n]), nil, nil) == nil {
			t.Fatalf("a snapshot cut to %d of %d bytes was accepted", n, len(file))
		}
	}
	if _, err := a.Lookup("what"); err == nil {
		t.Error("looked up a string")
	}
}

func TestOpenRefusesReplicas(t *testing.T) {
	for _, r := range [][]Replica{nil, {{"g2", 1}}, {{"g1", 0}}, {{"g1", 1}, {"g2", 1}}} {
		if _, err := Open(Config{Self: "g1", Replicas: r, Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), `want "g1" among them`) {
			t.Errorf("%v: %v", r, err)
		}
	}
}

type refuses struct{ err error }

func (r refuses) Send(wire.Op, []byte) error { return r.err }

func TestTransportBeforeStart(t *testing.T) {
	tr := newTransport(func(wire.NodeID) (Sender, error) { return refuses{wire.ErrUnavailable}, nil }, nil, &Stats{})
	if err := tr.deliver("g2", wire.OpRaft, nil); !errors.Is(err, wire.ErrUnavailable) {
		t.Error(err)
	}
	tr.Stop() // never started: nothing to wait for
}

// kept is a tape that keeps its records, and behind the first the state.
type kept struct {
	records [][]byte
	state   []byte
}

func (k *kept) Record(b []byte) bool {
	k.records = append(k.records, slices.Clone(b))
	return len(k.records) == 1
}
func (k *kept) State(b []byte) { k.state = slices.Clone(b) }
func (k *kept) End()           {}

// TestMachineRecords: what a machine applies and restores is on its tape, and makes another state equal; so does a state that the
// tape wanted, with what followed.
func TestMachineRecords(t *testing.T) {
	var k kept
	var na, nb atomic.Uint64
	a, b := &machine{state: gmm.New(), applied: &na}, &machine{state: gmm.New(), applied: &nb, tape: &k}
	update := func(m *machine, id string) {
		t.Helper()
		if _, err := m.Update([]sm.Entry{{Cmd: register(id)}}); err != nil {
			t.Fatal(err)
		}
	}
	update(a, "m1")
	frozen, err := a.PrepareSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := a.SaveSnapshot(frozen, &buf, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.RecoverFromSnapshot(&buf, nil, nil); err != nil {
		t.Fatal(err)
	}
	update(b, "m22")
	again := gmm.New()
	for i, r := range k.records {
		var in tape.Applied
		if err := in.Read(r); err != nil {
			t.Fatal(err)
		}
		if in.Restored {
			if err := again.Restore(in.Command); err != nil {
				t.Fatal(err)
			}
		} else if sum := tape.SumOf(again.ApplyBytes(in.Command)); sum != in.Sum {
			t.Errorf("checksum %x, recorded %x", sum, in.Sum)
		}
		if i == 0 {
			if !bytes.Equal(again.Snapshot(), k.state) {
				t.Error("the state on the tape is another")
			}
			if again = gmm.New(); again.Restore(k.state) != nil {
				t.Error("the state on the tape cannot be restored")
			}
		}
	}
	if len(k.records) != 2 || !bytes.Equal(again.Snapshot(), b.state.(*gmm.State).Snapshot()) {
		t.Errorf("%d records, or another state", len(k.records))
	}
}

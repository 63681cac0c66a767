package record

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"splitkernel/gmanagers/gpm"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// TestState re-executes a replica that applied commands, took over a snapshot and went on; a result, a command and a snapshot
// that are changed are seen.
func TestState(t *testing.T) {
	w, path := create(t, DefaultMaxBytes)
	r := w.Open("gmanagers/gpm", nil)
	live, seq := gpm.New(), uint64(0)
	apply := func(n int) {
		for range n {
			seq++
			m := wire.Member{ID: wire.NodeID(fmt.Sprintf("p%d", seq)), Role: wire.RoleCompute, Addr: fmt.Sprintf("unix:/p%d", seq), Capacity: wire.Capacity{Cores: 2, ExCacheLines: 64}}
			b := gpm.Command{Client: 1, Seq: seq, Request: gpm.Request{Op: gpm.OpRegister, Member: m}}.Encode()
			a := tape.Applied{Command: b, Sum: tape.SumOf(live.ApplyBytes(b))}
			r.Record(a.Append(nil))
		}
	}
	apply(5)
	from := live.Snapshot()
	live = gpm.New()
	if err := live.Restore(from); err != nil {
		t.Fatal(err)
	}
	a := tape.Applied{Restored: true, Command: from}
	r.Record(a.Append(nil))
	apply(5)
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	res, err := Execute(t.Context(), path, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("10 commands, 1 snapshots taken over; encoded %d bytes, checksum %08x\n", len(live.Snapshot()), tape.SumOf(live.Snapshot())); res.Events != 12 || len(live.Members()) != 10 || !strings.HasPrefix(res.Cores[0].State, want) {
		t.Errorf("%+v, want %s", res, want)
	}
	for at := 2; at <= 12; at++ {
		changed := rewrite(t, path, func(n int, r Record) []byte {
			b := bytes.Clone(r.Data)
			if n != at {
				return b
			}
			if at == 7 { // the snapshot
				return (&tape.Applied{Restored: true, Command: from[:len(from)-1]}).Append(nil)
			}
			b[len(b)-1] ^= 1
			return b
		})
		if _, err := Execute(t.Context(), changed, testOptions); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("event %d: core 1: gmanagers/gpm: ", at)) {
			t.Errorf("event %d changed: %v", at, err)
		}
	}
}

package replay

import (
	"testing"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/sim/trace"
)

// wantWhole checks what any number of moves must leave as it is.
func wantWhole(t *testing.T, r Result, info trace.Info, repeat uint64) {
	t.Helper()
	c := r.Counters
	if r.Error != "" || c.IntegrityErrors != 0 {
		t.Fatalf("%s, integrity %v", r.Error, r.Integrity)
	}
	h := info.Header
	if c.Accesses != h.Refs*repeat || c.Reads != h.Reads*repeat || c.Writes != h.Writes*repeat {
		t.Errorf("%d accesses, %d reads, %d writes, want %d times %d, %d, %d", c.Accesses, c.Reads, c.Writes, repeat, h.Refs, h.Reads, h.Writes)
	}
	if c.Accesses != c.Hits+c.Misses || c.Misses != c.PLocal+c.Fetches+c.Coalesced+c.VictimHits || c.PagesChecked != c.Accesses {
		t.Errorf("the counters do not add up: %+v", c)
	}
	if ops := c.BlockReads + c.BlockWrites + c.BlockFlushes; ops != blockOps(info)*repeat {
		t.Errorf("%d block requests, want %d times %d", ops, repeat, blockOps(info))
	}
}

// TestMoveBackAndForth moves a process between two pComponents while it runs, as often as it lasts, in both orders and with
// each mechanism: whatever was counted adds up to what one unmoved run counts, and no page and no sector is wrong.
func TestMoveBackAndForth(t *testing.T) {
	for _, c := range []struct {
		trace, order, mechanism string
		repeat                  int
	}{
		{"sort", OrderTrace, excache.MechanismList, 2},
		{"sort", OrderThreads, excache.MechanismWriteProtect, 2},
		{"wordcount", OrderThreads, excache.MechanismVictim, 1},
		{"sqlite", OrderTrace, excache.MechanismVictim, 1},
	} {
		t.Run(c.trace+"/"+c.order+"/"+c.mechanism, func(t *testing.T) {
			if raceEnabled && c.trace == "sqlite" {
				c.trace = "wordcount"
			}
			w := newWorld(t)
			nodes := []*pnode{w.node("p1", ""), w.node("p2", "")}
			s, info := w.spec(c.trace, func(s *Spec) { s.Order, s.Repeat, s.ExCache.Mechanism = c.order, c.repeat, c.mechanism })
			if err := nodes[0].host.Start(s); err != nil {
				t.Fatal(err)
			}
			moves, last := 0, uint64(0)
			for epoch := s.Epoch; ; epoch++ {
				from, to := nodes[moves%2], nodes[(moves+1)%2]
				var st Status
				w.until("progress", func() bool {
					st, _ = w.status(string(from.addr), s.PID)
					return st.Result != nil || st.Done > last+1000
				})
				if st.Result != nil {
					break
				}
				last = st.Done
				r := w.order(s.PID, epoch, to)
				if err := w.control(string(from.addr), wire.OpMoveStart, &r, nil); err != nil {
					if wire.KindOf(err) == wire.KindNotFound {
						break // it has just ended
					}
					t.Fatal(err)
				}
				ms := w.ended(from, r.Move)
				if ms.State == wire.MoveUndone && ms.Text == "not found: the process has ended" || ms.State == wire.MoveUndone && ms.PauseUS == 0 {
					break
				}
				if ms.State != wire.MoveDone || ms.Epoch != epoch+1 || ms.Bytes == 0 || ms.Bytes != ms.TotalBytes || ms.PauseUS == 0 {
					t.Fatalf("move %d: %+v", moves, ms)
				}
				moves++
			}
			res := w.result(string(nodes[0].addr), s.PID)
			wantWhole(t, res, info, uint64(c.repeat))
			if moves < 2 {
				t.Errorf("%d moves while it ran, want more", moves)
			}
			if len(res.Parts) != 2 {
				t.Errorf("%d parts", len(res.Parts))
			}
			t.Logf("%d moves", moves)
			for _, n := range nodes {
				if l := n.comp.Load(); l.Processes != 0 || l.ReservedBytes != 0 {
					t.Errorf("%s still holds %+v", n.id, l)
				}
			}
		})
	}
}

package replay

import (
	"testing"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/sim/report"
)

// wantSame checks what any number of moves must leave as it is: got ran as want did, but for its moves.
func wantSame(t *testing.T, got, want Result) {
	t.Helper()
	if want.Error != "" {
		t.Fatalf("the unmoved run: %s", want.Error)
	}
	if got.Error != "" || got.Counters.IntegrityErrors != 0 {
		t.Fatalf("%s, integrity %v", got.Error, got.Integrity)
	}
	logical := func(c report.Counters) [10]uint64 {
		return [10]uint64{c.Accesses, c.Reads, c.Writes, c.PagesChecked, c.SectorsChecked, c.BlockReads, c.BlockWrites, c.BlockFlushes, c.BlockReadBytes, c.BlockWriteBytes}
	}
	c := got.Counters
	if g, w := logical(c), logical(want.Counters); g != w {
		t.Errorf("accesses, reads, writes, pages and sectors checked, block requests: %d, unmoved %d", g, w)
	}
	if c.Accesses != c.Hits+c.Misses || c.Misses != c.PLocal+c.Fetches+c.Coalesced+c.VictimHits {
		t.Errorf("the counters do not add up: %+v", c)
	}
	if got.Late != want.Late || len(got.Regions) != len(want.Regions) {
		t.Errorf("%d of %d vRegions activated late, unmoved %d of %d", got.Late, len(got.Regions), want.Late, len(want.Regions))
	}
	var parts report.Counters
	for _, p := range got.Parts {
		parts.Add(p.Counters)
	}
	if parts.Accesses != c.Accesses || parts.Hits != c.Hits || parts.FinalFlushes != c.FinalFlushes {
		t.Errorf("the parts do not add up: %+v, whole %+v", parts, c)
	}
}

// TestMoveBackAndForth moves a process between two pComponents while it runs, as often as it lasts, in both orders and with
// each mechanism: whatever was counted adds up to what one unmoved run counts, and no page and no sector is wrong.
func TestMoveBackAndForth(t *testing.T) {
	for _, c := range []struct {
		trace, order, mechanism string
		refs                    uint64
		repeat                  int
	}{
		{"sort", OrderTrace, excache.MechanismList, 80_000, 3},
		{"sort", OrderThreads, excache.MechanismWriteProtect, 150_000, 1},
		{"wordcount", OrderThreads, excache.MechanismVictim, 100_000, 2},
		{"sqlite", OrderTrace, excache.MechanismVictim, 200_000, 3},
	} {
		t.Run(c.trace+"/"+c.order+"/"+c.mechanism, func(t *testing.T) {
			if raceEnabled {
				c.refs /= 32
			}
			w := newWorld(t)
			nodes := []*pnode{w.node("p1", ""), w.node("p2", "")}
			change := func(s *Spec) {
				s.Order, s.Repeat, s.MaxRefs, s.ExCache.Mechanism, s.ExCache.Lines = c.order, c.repeat, c.refs, c.mechanism, 128
			}
			unmoved, _ := w.spec(c.trace, change)
			want := nodes[0].host.Await(unmoved)
			s, _ := w.spec(c.trace, change)
			if err := nodes[0].host.Start(s); err != nil {
				t.Fatal(err)
			}
			moves, last, step := 0, uint64(0), c.refs*uint64(c.repeat)/25 // so that most of it runs undisturbed
			for epoch := s.Epoch; ; epoch++ {
				from, to := nodes[moves%2], nodes[(moves+1)%2]
				var st Status
				w.until("progress", func() bool {
					st, _ = w.status(string(from.addr), s.PID)
					return st.Result != nil || st.Done > last+step
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
				if ms.State == wire.MoveUndone && ms.Text == "not found: the process has ended" {
					break
				}
				if ms.State != wire.MoveDone || ms.Epoch != epoch+1 || ms.Bytes == 0 || ms.Bytes != ms.TotalBytes || ms.PauseUS == 0 {
					t.Fatalf("move %d: %+v", moves, ms)
				}
				moves++
			}
			res := w.result(string(nodes[0].addr), s.PID)
			wantSame(t, res, want)
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

// TestMoveOfAShortTrace moves a process that replays so short a trace that it is in another repetition whenever its taker has
// come to where it was, and in one that has a large number.
func TestMoveOfAShortTrace(t *testing.T) {
	w := newWorld(t)
	nodes := []*pnode{w.node("p1", ""), w.node("p2", "")}
	s, _ := w.spec("sort", func(s *Spec) { s.MaxRefs, s.Repeat, s.ExCache.Lines = 1, 1<<30, 128 })
	if err := nodes[0].host.Start(s); err != nil {
		t.Fatal(err)
	}
	moves := uint64(4)
	if raceEnabled {
		moves = 2
	}
	for i := range moves {
		from, to := nodes[i%2], nodes[(i+1)%2]
		w.until("progress", func() bool {
			st, _ := w.status(string(from.addr), s.PID)
			return st.Done > 100*(i+1) || st.Result != nil
		})
		if ms := w.moved(from, w.order(s.PID, s.Epoch+wire.Epoch(i), to)); ms.State != wire.MoveDone {
			t.Fatalf("move %d: %+v", i, ms)
		}
	}
	if err := w.control(string(nodes[0].addr), wire.OpProcessStop, &wire.ProcessStopReq{PID: s.PID}, nil); err != nil {
		t.Fatal(err)
	}
	if r := w.result(string(nodes[0].addr), s.PID); r.Counters.IntegrityErrors != 0 {
		t.Error(r.Integrity)
	}
}

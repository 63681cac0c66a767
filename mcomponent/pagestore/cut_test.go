package pagestore

import (
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

// TestRollback has a process of two groups flush, unmap and make checkpoints, at random, with full stores among them, and goes back
// again and again, also to a checkpoint of which a group has not heard: each time the pages are those of the checkpoint.
func TestRollback(t *testing.T) {
	type content struct {
		version uint64
		sum     uint32
	}
	rapid.Check(t, func(t *rapid.T) {
		const pages = 12
		s := New(rapid.IntRange(pages, 2*pages).Draw(t, "capacity"))
		now, then := map[wire.PageNo]content{}, map[wire.PageNo]content{}
		version, epoch, at := uint64(0), wire.Epoch(1), wire.Cut{Epoch: 1}
		group := func(p wire.PageNo) uint32 { return uint32(p) / (pages / 2) }
		check := func(what string) {
			if err := s.CheckInvariants(); err != nil {
				t.Fatalf("after %s: %v", what, err)
			}
			for p := range wire.PageNo(pages) {
				_, c, ok := s.Peek(1, p)
				if want, is := now[p]; is != (ok && c.Flushed) || is && (c.Version != want.version || c.Sum != want.sum) {
					t.Fatalf("after %s: page %d is %+v, %t, want %+v, %t", what, p, c, ok, want, is)
				}
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			p := wire.PageNo(rapid.IntRange(0, pages-1).Draw(t, "page"))
			switch rapid.SampledFrom([]string{"flush", "flush", "flush", "miss", "unmap", "cut", "rollback"}).Draw(t, "what") {
			case "flush":
				version++
				if _, a := s.Flush(group(p), 1, p, epoch, version, uint32(version)*7); a == Apply {
					now[p] = content{version, uint32(version) * 7}
				} else if a != Full || s.Free() > 0 {
					t.Fatalf("a newer flush: action %d with %d frames free", a, s.Free())
				}
			case "miss":
				s.Miss(group(p), 1, p)
			case "unmap":
				n := uint64(rapid.IntRange(1, pages/2-int(p)%(pages/2)).Draw(t, "n"))
				s.Unmap(group(p), 1, p, n)
				for q := p; q < p+wire.PageNo(n); q++ {
					delete(now, q)
				}
			case "cut":
				at = wire.Cut{Number: at.Number + 1, Epoch: epoch, Version: version}
				then = map[wire.PageNo]content{}
				for p, c := range now {
					then[p] = c
				}
				missed := rapid.IntRange(0, 3).Draw(t, "missed") // 0 and 1 are the groups; a cut that one missed is gone back to before it flushes
				for g := range uint32(2) {
					if int(g) != missed {
						s.Cut(g, at)
					}
				}
				if missed > 1 {
					break
				}
				fallthrough
			case "rollback":
				for g := range uint32(2) {
					if at.Number > 1 {
						if _, _, err := s.Rollback(g, wire.Cut{Number: at.Number - 2}); wire.KindOf(err) != wire.KindStale {
							t.Fatalf("a rollback behind the checkpoint before: %v", err)
						}
					}
					if _, _, err := s.Rollback(g, at); err != nil {
						t.Fatal(err)
					}
				}
				epoch++
				now = map[wire.PageNo]content{}
				for p, c := range then {
					now[p] = c
				}
				check("rollback")
			}
			if err := s.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
			newest := [2]wire.Epoch{}
			for p := range now {
				_, c, _ := s.Peek(1, p)
				newest[group(p)] = max(newest[group(p)], c.Epoch)
			}
			for g := range uint32(2) {
				if e := s.NewestEpoch(g); e != newest[g] || e > epoch {
					t.Fatalf("group %d: the newest epoch is %d, want %d", g, e, newest[g])
				}
			}
		}
		check("all")
		for g := range uint32(2) {
			for s.FreeGroup(g, 3) == 3 {
			}
		}
		if st := s.Stats(); st.Used != 0 || st.PreImages != 0 {
			t.Fatalf("%d pages are left, %d of them kept", st.Used, st.PreImages)
		}
	})
}

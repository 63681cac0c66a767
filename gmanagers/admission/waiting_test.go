package admission_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/admission"
	"splitkernel/netlayer/wire"
)

// TestVictims: only lower priorities are ended, that makes room, none of them can be spared, no choice has a lower highest
// priority, and if one is enough there is one.
func TestVictims(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const resources = 3
		var candidates []admission.Victim
		has := map[wire.PID][resources]int{}
		for pid := range wire.PID(rapid.IntRange(0, 9).Draw(t, "candidates")) {
			candidates = append(candidates, admission.Victim{PID: pid + 1, Priority: uint8(rapid.IntRange(1, 9).Draw(t, "priority"))})
			var r [resources]int
			for i := range r {
				r[i] = rapid.IntRange(0, 5).Draw(t, "has")
			}
			has[pid+1] = r
		}
		var want [resources]int
		for i := range want {
			want[i] = rapid.IntRange(0, 12).Draw(t, "want")
		}
		want[0] = max(want[0], 1) // it does not fit as it is
		fits := func(without []wire.PID) bool {
			var sum [resources]int
			for _, pid := range without {
				for i := range sum {
					sum[i] += has[pid][i]
				}
			}
			for i := range sum {
				if sum[i] < want[i] {
					return false
				}
			}
			return true
		}
		of := func(pid wire.PID) uint8 {
			return candidates[slices.IndexFunc(candidates, func(v admission.Victim) bool { return v.PID == pid })].Priority
		}
		top := func(pids []wire.PID) (highest uint8) {
			for _, pid := range pids {
				highest = max(highest, of(pid))
			}
			return highest
		}
		priority := uint8(rapid.IntRange(1, 9).Draw(t, "of"))
		got := admission.Victims(priority, candidates, fits)
		best, fewest := uint8(10), 0 // over all subsets of lower priorities
		for set := range 1 << len(candidates) {
			var pids []wire.PID
			for i, v := range candidates {
				if set>>i&1 == 1 {
					pids = append(pids, v.PID)
				}
			}
			if len(pids) == 0 || top(pids) >= priority || !fits(pids) {
				continue
			}
			if h := top(pids); h < best || h == best && len(pids) < fewest {
				best, fewest = h, len(pids)
			}
		}
		switch {
		case best == 10 && got != nil:
			t.Fatalf("%v are ended, which makes no room or must not be", got)
		case best < 10 && (got == nil || !fits(got) || top(got) != best):
			t.Fatalf("%v are ended up to priority %d, %d would do", got, top(got), best)
		case fewest == 1 && len(got) != 1:
			t.Fatalf("%v are ended, one would do", got)
		}
		for i := range got {
			if fits(slices.Delete(slices.Clone(got), i, i+1)) {
				t.Fatalf("%v are ended, %d can be spared", got, got[i])
			}
		}
	})
}

// TestNewestGoesFirst: among equals the newest is ended.
func TestNewestGoesFirst(t *testing.T) {
	candidates := []admission.Victim{{PID: 1, Priority: 2}, {PID: 2, Priority: 1}, {PID: 3, Priority: 2}, {PID: 4, Priority: 1}}
	for n, want := range [][]wire.PID{nil, {4}, {4, 2}, {4, 2, 3}} {
		if n == 0 {
			continue
		}
		if got := admission.Victims(3, candidates, func(w []wire.PID) bool { return len(w) >= n }); !slices.Equal(got, want) {
			t.Errorf("%d: %v, want %v", n, got, want)
		}
	}
}

func TestQuotaOf(t *testing.T) {
	s := admission.Settings{Quotas: []admission.Quota{{Tenant: "b", VNodes: 2}, {Tenant: admission.EveryTenant, Threads: 3}}}.Sorted()
	if err := s.Check(); err != nil || s.Quota("b").VNodes != 2 || s.Quota("b").Threads != 0 || s.Quota("c").Threads != 3 {
		t.Errorf("%v, %+v", err, s)
	}
	used := admission.Amount{Threads: 2, VNodes: 1 << 63}
	if err := s.Quota("c").Refuses("c", used, admission.Amount{Threads: 1, VNodes: 1}); err != nil {
		t.Error(err)
	}
	if err := s.Quota("c").Refuses("c", used, admission.Amount{Threads: 2, VNodes: 1 << 63}); err == nil ||
		err.Error() != `no room: quota of tenant "c": threads: wants 2, 1 of 3 left (1 short); vnodes: wants 9223372036854775808, 9223372036854775807 of 18446744073709551615 left (1 short)` {
		t.Error(err)
	}
	if (&admission.Settings{Quotas: []admission.Quota{{Tenant: "b"}, {Tenant: "b"}}}).Check() == nil {
		t.Error("two quotas of one tenant")
	}
}

package slowest

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

// TestKeepsTheSlowest: whatever comes, in whatever order, asked by Beats or not, it holds the slowest of all and the slowest that were timed, and no more.
func TestKeepsTheSlowest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 6*Size).Draw(t, "faults")
		var parts [2]Keeper
		var all, timed []wire.SlowFault
		for i := range n {
			f := wire.SlowFault{BeganNS: int64(i), TookNS: rapid.Uint64Range(1, 40).Draw(t, "took"), Timed: rapid.IntRange(0, 3).Draw(t, "timed") == 0}
			all = append(all, f)
			if f.Timed {
				timed = append(timed, f)
			}
			k := &parts[rapid.IntRange(0, 1).Draw(t, "part")]
			if k.Beats(time.Duration(f.TookNS), f.Timed) {
				k.Add(f)
			}
		}
		k := parts[0]
		k.Join(&parts[1])
		k.Join(&parts[1]) // the same again changes nothing
		got := k.Slowest(1 << 20)
		if len(got) > 2*Size {
			t.Fatalf("%d are held, want at most %d", len(got), 2*Size)
		}
		if !slices.IsSortedFunc(got, func(a, b wire.SlowFault) int { return cmp.Compare(b.TookNS, a.TookNS) }) {
			t.Fatalf("not the slowest first: %v", got)
		}
		// Of faults of one time either may be kept: times are compared.
		same := func(what string, of []wire.SlowFault, want []wire.SlowFault) {
			if a, b := times(of), times(want); !slices.Equal(a[:min(len(a), Size)], b[:min(len(b), Size)]) {
				t.Fatalf("%s: %v are held, want %v", what, a, b)
			}
		}
		same("all", got, all)
		same("timed", slices.DeleteFunc(slices.Clone(got), func(f wire.SlowFault) bool { return !f.Timed }), timed)
		if few := k.Slowest(3); len(few) != min(3, len(got)) || len(few) > 0 && few[0] != got[0] {
			t.Fatalf("the first three are %v of %v", few, got)
		}
	})
}

// times gives how long faults took, the longest first.
func times(fs []wire.SlowFault) (out []uint64) {
	for _, f := range fs {
		out = append(out, f.TookNS)
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out
}

package wire

import (
	"testing"

	"pgregory.net/rapid"
)

// TestForgotten: what was forgotten stays so; what was not is told from it as long as no more than MaxForgotten newer ones were.
func TestForgotten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f Forgotten
		told := map[uint64]bool{}
		floor := uint64(0)
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			switch no := rapid.Uint64Range(1, 50).Draw(t, "no"); rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				f.ForgetUpTo(no)
				floor = max(floor, no)
			default:
				f.Forget(no)
				told[no] = true
			}
			for no := uint64(1); no <= 60; no++ {
				if got, want := f.Has(no), told[no] || no <= floor; got != want {
					t.Fatalf("move %d is forgotten: %v, want %v", no, got, want)
				}
			}
		}
	})
	var f Forgotten
	for no := uint64(2); no <= 2*(MaxForgotten+5); no += 2 {
		f.Forget(no)
	}
	if len(f.above) != MaxForgotten || !f.Has(1) || !f.Has(9) || f.Has(11) || !f.Has(12) || f.Has(13) {
		t.Errorf("%d remembered, up to %d", len(f.above), f.floor)
	}
}

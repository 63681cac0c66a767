package tasks

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestBillionths(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": One, "0.06873": 68_730_000, ".5": One / 2, "12.": 12 * One, "0.1234567899": 123_456_789, "9007199": 9007199 * One, "1e-3": One / 1000, "2.5E1": 25 * One,
	} {
		if got, err := Billionths(text); err != nil || got != want {
			t.Errorf("%q is %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", ".", "-1", "x", "NaN", "Inf", "1e300", "0x1p4 ", "99999999", "1,5"} {
		if got, err := Billionths(text); err == nil {
			t.Errorf("%q is %d, want an error", text, got)
		}
	}
}

// TestScaled: as arbitrary precision has it.
func TestScaled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, whole := rapid.Int64Range(0, 1<<40).Draw(t, "n"), rapid.Int64Range(0, MaxAmount).Draw(t, "whole")
		want := new(big.Int).Mul(big.NewInt(n), big.NewInt(whole))
		want.Div(want, big.NewInt(One))
		if !want.IsInt64() {
			want = big.NewInt(1<<63 - 1)
		}
		if got := Scaled(n, whole); got != want.Int64() {
			t.Fatalf("%d of %d is %d, want %d", n, whole, got, want)
		}
	})
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	for _, s := range []Size{{Cores: -1}, {Memory: MaxAmount + 1}, {GPUs: -5}} {
		if s.Check() == nil {
			t.Errorf("%+v is taken", s)
		}
	}
	if err := (Size{1, 2, 3}).Check(); err != nil {
		t.Error(err)
	}
}

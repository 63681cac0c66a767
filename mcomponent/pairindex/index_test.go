package pairindex

import (
	"testing"

	"pgregory.net/rapid"
)

func TestAgreesWithAGoMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := New(rapid.IntRange(0, 40).Draw(t, "capacity"))
		model := map[[2]uint64]uint32{}
		key := rapid.Uint64Range(0, 12)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			a, b := key.Draw(t, "a"), key.Draw(t, "b")
			k := [2]uint64{a, b}
			switch rapid.IntRange(0, 2).Draw(t, "op") {
			case 0:
				v := rapid.Uint32Max(1<<31).Draw(t, "v")
				x.Put(a, b, v)
				model[k] = v
			case 1:
				_, had := model[k]
				if got := x.Delete(a, b); got != had {
					t.Fatalf("Delete(%d, %d) = %v, want %v", a, b, got, had)
				}
				delete(model, k)
			case 2:
				want, had := model[k]
				if got, ok := x.Get(a, b); ok != had || got != want {
					t.Fatalf("Get(%d, %d) = %d, %v, want %d, %v", a, b, got, ok, want, had)
				}
			}
			if x.Len() != len(model) {
				t.Fatalf("Len = %d, want %d", x.Len(), len(model))
			}
		}
		if err := x.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestNeverGrowsBelowItsCapacity(t *testing.T) {
	x := New(1000)
	before := len(x.slots)
	for i := range uint64(1000) {
		x.Put(i%7, i, uint32(i))
	}
	if len(x.slots) != before {
		t.Errorf("grew from %d to %d slots at 1000 entries", before, len(x.slots))
	}
}

func BenchmarkGet(b *testing.B) {
	const n = 100_000
	x := New(n)
	for i := range uint64(n) {
		x.Put(i%4, i, uint32(i))
	}
	b.ReportAllocs()
	var sum uint32
	k := uint64(1)
	for b.Loop() {
		k = k*6364136223846793005 + 1442695040888963407
		p := (k >> 33) % n
		v, _ := x.Get(p%4, p)
		sum += v
	}
	_ = sum
}

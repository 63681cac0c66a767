package trace

import (
	"testing"
)

// TestGeneratorIsASource: its header tells in advance what reading it finds, and reading it twice finds the same.
func TestGeneratorIsASource(t *testing.T) {
	const spec = "generator:sequential?pages=700&refs=1501&writes_percent=40&gap=3&seed=5"
	var digests []uint64
	for range 2 {
		src, err := Open(spec)
		if err != nil {
			t.Fatal(err)
		}
		h := src.Header()
		info, err := Stat(src)
		if err != nil {
			t.Fatal(err)
		}
		if info.Refs != 1501 || info.FootprintPages != 700 || h.Refs != info.Refs || h.FootprintPages != info.FootprintPages || h.Instructions != info.Instructions || h.Maps != 1 || info.Writes < 500 || info.Writes > 700 {
			t.Errorf("header %+v, read %+v", h, info)
		}
		digests = append(digests, info.Writes)
	}
	if digests[0] != digests[1] {
		t.Error("one generator makes two streams")
	}
	a, errA := Digest(t.Context(), spec)
	b, errB := Digest(t.Context(), spec+"1")
	if errA != nil || errB != nil || a == b || len(a) != 64 {
		t.Errorf("digests %s and %s (%v, %v), want two of 64 digits", a, b, errA, errB)
	}
	if _, err := Open("generator:sequential?pages=0"); err == nil {
		t.Error("a bad generator is opened")
	}
}

package arena

import "testing"

func TestPagesAreDistinctAndZero(t *testing.T) {
	a, err := New(3)
	if err != nil {
		t.Fatal(err)
	}
	for i := uint32(0); i < 3; i++ {
		if *a.Page(i) != (Page{}) {
			t.Fatalf("frame %d is not zero", i)
		}
		a.Page(i)[0], a.Page(i)[len(Page{})-1] = byte(i+1), byte(i+1)
	}
	for i := uint32(0); i < 3; i++ {
		if p := a.Page(i); p[0] != byte(i+1) || p[len(p)-1] != byte(i+1) {
			t.Fatalf("frame %d was overwritten by a neighbour", i)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatalf("closed twice: %v", err)
	}
}

func TestBounds(t *testing.T) {
	for _, n := range []int{-1, 0, MaxFrames + 1} {
		if _, err := New(n); err == nil {
			t.Errorf("an arena of %d frames was made", n)
		}
	}
}

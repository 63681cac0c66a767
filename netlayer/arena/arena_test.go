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

func TestPopulateChangesNoByte(t *testing.T) {
	a, err := New(8)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	a.Page(3)[7] = 9
	ok := a.Populate(2, 6)
	if ok && a.Resident() < 4*uint64(len(Page{})) {
		t.Errorf("%d bytes after 4 frames were populated", a.Resident())
	}
	if a.Page(3)[7] != 9 || *a.Page(4) != (Page{}) {
		t.Error("bytes changed")
	}
	a.Populate(8, 8)
}

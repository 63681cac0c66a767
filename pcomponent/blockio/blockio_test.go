package blockio

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

// TestPartsAreTheRequest: the parts are the request, in order, and each lies in one block.
func TestPartsAreTheRequest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 64 * wire.PageSize
		offset := uint64(rapid.IntRange(0, size/wire.SectorSize-1).Draw(t, "sector")) * wire.SectorSize
		n := rapid.IntRange(1, size/wire.SectorSize).Draw(t, "sectors") * wire.SectorSize
		if err := Check(size, offset, n); (err == nil) != (offset+uint64(n) <= size) {
			t.Fatalf("%d bytes at %d of %d: %v", n, offset, size, err)
		}
		at, parts := offset, 0
		for left := n; left > 0; parts++ {
			p := Part(at, left)
			if p < wire.SectorSize || at/wire.PageSize != (at+uint64(p)-1)/wire.PageSize {
				t.Fatalf("part of %d bytes at %d", p, at)
			}
			at, left = at+uint64(p), left-p
		}
		if want := int((offset+uint64(n)-1)/wire.PageSize-offset/wire.PageSize) + 1; at != offset+uint64(n) || parts != want {
			t.Fatalf("%d parts of %d bytes at %d end at %d, want %d", parts, n, offset, at, want)
		}
	})
}

func TestWhatNoVolumeServes(t *testing.T) {
	for _, c := range []struct {
		offset uint64
		n      int
		want   string
	}{
		{0, 0, "0 bytes at 0, want multiples of 512"}, {1, 512, "512 bytes at 1, want multiples of 512"}, {512, 100, "100 bytes at 512, want multiples of 512"},
		{3584, 1024, "1024 bytes at 3584 goes beyond its end at 4096"}, {1<<64 - 512, 1024, "1024 bytes at 18446744073709551104 goes beyond its end at 4096"},
	} {
		if err := Check(4096, c.offset, c.n); err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// TestAgain: what may help another time is sent again with growing pauses until the patience ends, at a new place at once.
func TestAgain(t *testing.T) {
	const patience = 20 * time.Second
	var r Retry
	want := func(kind wire.Kind, waited time.Duration, moved bool, pause time.Duration, again bool) {
		t.Helper()
		if p, a := r.Failed(kind, waited, patience, moved); p != pause || a != again {
			t.Errorf("%v, moved %v: after %v, %v; want %v, %v", kind, moved, p, a, pause, again)
		}
	}
	for i := range 100 {
		want([]wire.Kind{wire.KindBusy, wire.KindUnavailable, wire.KindTimeout, wire.KindNotOwner}[i%4], 0, false, time.Duration(i+1)*Pause, true)
	}
	want(wire.KindBusy, patience, false, PauseMax, true)
	want(wire.KindBusy, patience+1, false, 0, false)
	for _, k := range []wire.Kind{wire.KindStale, wire.KindNotFound} {
		want(k, 0, false, 0, false)
		want(k, 0, true, 0, true)
		want(k, patience+1, true, 0, false)
	}
	want(wire.KindNotOwner, patience+1, false, 0, false)
	want(wire.KindNotOwner, 0, true, 0, true)
	want(wire.KindBusy, 0, false, Pause, true) // at the new place anew
	for _, k := range []wire.Kind{wire.KindInternal, wire.KindFailed, wire.KindCorrupt, wire.KindNoSpace, wire.KindBadRequest} {
		want(k, 0, true, 0, false)
	}
}

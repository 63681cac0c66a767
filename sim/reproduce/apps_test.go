package reproduce

import (
	"slices"
	"testing"

	"splitkernel/sim/units"
)

// TestFileIsWalkedOnce: of an App that maps a file each page of it is visited once, written as ScanWrites says, and every hot page at least once.
func TestFileIsWalkedOnce(t *testing.T) {
	a := App{Name: "file", Threads: 3, WorkingSet: 64 * mib, Touched: 70 * mib, Hot: 16 * mib, Visits: 10, Writes: 0.5, ScanWrites: 1, Instructions: 5000, Once: true}
	o := testOptions(t)
	l := a.layout(&o, TestScale)
	seen := make([]int, l.pages+l.fresh)
	for i := range a.Threads {
		for w := l.walker(&o, i); ; {
			page, write, _, ok := w.next()
			if !ok {
				break
			}
			if seen[page]++; (page < l.cold || page >= l.pages) && !write {
				t.Fatalf("page %d is read, want it written", page)
			}
		}
	}
	for page, n := range seen {
		if hot := page >= l.cold && page < l.pages; n == 0 || !hot && n != 1 {
			t.Errorf("page %d of %d, %d of them in the file, is visited %d times", page, len(seen), l.cold, n)
		}
	}
}

// TestRunsAreWalkedTogether: threads that work together visit the parts of one run, and each is told to wait for the others when it has ended its own.
func TestRunsAreWalkedTogether(t *testing.T) {
	o := testOptions(t)
	l := tiny.layout(&o, TestScale)
	crew := newCrew(&tiny, 0)
	var walkers []*walker
	for i := range tiny.Threads {
		walkers = append(walkers, l.walker(&o, i))
	}
	runs := 0
	for visit := 0; ; visit++ {
		var at []int
		due, ended := 0, true
		for _, w := range walkers {
			if crew.due(w) {
				due++
				w.begun, w.joins = true, false
			}
			page, _, _, ok := w.next()
			if ended = ended && !ok; ok && page < l.pages {
				at = append(at, page/tiny.Run)
			}
		}
		if due != 0 && due != tiny.Threads {
			t.Fatalf("visit %d: %d threads wait for others, want all or none", visit, due)
		}
		if due > 0 {
			runs++
		}
		if ended {
			break
		}
		if len(at) > 0 && slices.Min(at) != slices.Max(at) {
			t.Fatalf("visit %d: threads are at runs %v, want one", visit, at)
		}
	}
	if runs < 100 {
		t.Errorf("threads waited for each other %d times, want it often", runs)
	}
}

// TestThreadsShare: one thread is slowed only by the two that poll, nine fill six cores but for one place.
func TestThreadsShare(t *testing.T) {
	s := threadsShare()
	if len(s) != 9 || !slices.IsSorted(s) {
		t.Fatalf("%v, want nine that do not fall", s)
	}
	for n, want := range map[int]float64{1: 1 / (1 - 2./9*0.35), 9: 1 / (1 - 8./9*0.35)} {
		if got := float64(s[n-1]) / float64(units.One); got < want-1e-4 || got > want+1e-4 {
			t.Errorf("%d threads take %v times as long, want %v", n, got, want)
		}
	}
}

// TestReadAheadByKernel: the window of Linux 4.9 shrinks if nothing of it is used and grows if all is, that of 3.13 stays.
func TestReadAheadByKernel(t *testing.T) {
	for _, c := range []struct {
		adapts bool
		use    bool
		want   int
	}{{true, false, 1}, {true, true, 8}, {false, false, 8}, {false, true, 8}} {
		x := &linux{k: linux49, adapts: c.adapts, hits: firstHits, slots: make([]int32, 1)}
		for n := range 512 {
			x.pages = append(x.pages, linuxPage{slot: int32(n + 1)})
			x.slots = append(x.slots, int32(n)+1)
		}
		for n := 0; n < 512; n += 37 {
			if _, also := x.around(n); c.use {
				x.hits = len(also)
			}
		}
		if x.window != c.want {
			t.Errorf("adapts %v, used %v: a window of %d pages, want %d", c.adapts, c.use, x.window, c.want)
		}
	}
}

package generate

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func fails(t *testing.T, text, want string) {
	t.Helper()
	if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want %s", text, err, want)
	}
}

// sameBlocks: one spec is one sequence, within the volume and in order of time.
func sameBlocks(t *rapid.T, s Spec) {
	a, b := NewBlocks(s), NewBlocks(s)
	last := time.Duration(0)
	for range min(s.IOs, 300) {
		r := a.Next()
		if q := b.Next(); r != q {
			t.Fatal("one spec gives two sequences")
		}
		if r.At < last || r.Offset+r.Length > s.Size || r.Offset%sectorBytes != 0 || r.Op != Flush && r.Length == 0 {
			t.Fatalf("%+v after %v of %+v", r, last, s)
		}
		last = r.At
	}
}

// requests gives the first n requests of a text.
func requests(t *testing.T, text string, n int) (list []Request) {
	t.Helper()
	b := NewBlocks(mustParse(t, Prefix+"block?"+text))
	for range n {
		list = append(list, b.Next())
	}
	return list
}

// TestMixes: shares of reads and of sizes are those of the text, and moments are those of the rate.
func TestMixes(t *testing.T) {
	const n = 50_000
	reads, small := 0, 0
	list := requests(t, "rw=randrw&rwmixread=70&size=1g&bssplit=4k/60:64k/40&number_ios=1&rate_iops=2000&seed=3", n)
	for i, r := range list {
		if r.Op == Read {
			reads++
		}
		if r.Length == 4096 {
			small++
		} else if r.Length != 65536 {
			t.Fatalf("a request of %d bytes", r.Length)
		}
		if want := time.Duration(i) * time.Second / 2000; r.At != want {
			t.Fatalf("request %d is at %v, want %v", i, r.At, want)
		}
	}
	near(t, "reads", reads, n, 0.7)
	near(t, "requests of 4 KiB", small, n, 0.6)
	at := requests(t, "size=1m&number_ios=1&rate_iops=1000&rate_process=poisson&seed=3", n)[n-1].At.Seconds()
	if math.Abs(at-n/1000) > 5*math.Sqrt(n)/1000 {
		t.Errorf("%d requests of a Poisson process take %.2f s, want about %d", n, at, n/1000)
	}
}

// TestInOrder: sequential reads and writes go on where their kind ended, and begin again at the end of the volume; a flush comes after so many writes.
func TestInOrder(t *testing.T) {
	want := []uint64{0, 4096, 8192, 0, 4096}
	for i, r := range requests(t, "rw=read&size=14k&number_ios=1", len(want)) {
		if r.Offset != want[i] || r.Op != Read {
			t.Errorf("request %d: %+v, want offset %d", i, r, want[i])
		}
	}
	ops := ""
	for _, r := range requests(t, "rw=write&size=1m&number_ios=1&fsync=2", 7) {
		ops += []string{"r", "w", "f"}[r.Op]
	}
	if ops != "wwfwwfw" {
		t.Errorf("the operations are %s, want a flush after two writes", ops)
	}
}

// TestRandomIsEachOnce: as with fio's map of what was done, a pass has each block once, and passes differ.
func TestRandomIsEachOnce(t *testing.T) {
	list := requests(t, "rw=randwrite&size=400k&number_ios=1&seed=1", 200)
	seen := map[uint64]int{}
	same := 0
	for i, r := range list {
		seen[r.Offset]++
		if seen[r.Offset] > i/100+1 {
			t.Fatalf("request %d: offset %d comes again before the others", i, r.Offset)
		}
		if i >= 100 && r.Offset == list[i-100].Offset {
			same++
		}
	}
	if len(seen) != 100 || same > 10 {
		t.Errorf("%d blocks, want 100; %d at the same place in the second pass", len(seen), same)
	}
}

// TestWhereRandomGoes: zones and zipf have their shares.
func TestWhereRandomGoes(t *testing.T) {
	const n = 50_000
	first, top := 0, map[uint64]int{}
	for _, r := range requests(t, "size=40m&number_ios=1&random_distribution=zoned:60/10:30/20:10/70&seed=1", n) {
		if r.Offset < 4<<20 {
			first++
		}
	}
	near(t, "requests to the first zone", first, n, 0.6)
	for _, r := range requests(t, "size=400k&number_ios=1&random_distribution=zipf:1.2&seed=1", n) {
		top[r.Offset]++
	}
	most, sum := 0, 0.0
	for k := 1; k <= 100; k++ {
		sum += math.Pow(float64(k), -1.2)
	}
	for _, c := range top {
		most = max(most, c)
	}
	near(t, "requests to the most popular block", most, n, 1/sum)
}

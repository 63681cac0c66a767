package arena

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTouchedPagesAreCounted asks for more pages than are asked for at once, of which few were touched.
func TestTouchedPagesAreCounted(t *testing.T) {
	page := os.Getpagesize()
	b, err := unix.Mmap(-1, 0, (askedPages+10)*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	if err := unix.Madvise(b, unix.MADV_NOHUGEPAGE); err != nil {
		t.Logf("no huge pages here: %v", err)
	}
	if n := touched(b); n != 0 {
		t.Errorf("%d bytes of fresh memory, want 0", n)
	}
	for _, i := range []int{0, 7, askedPages - 1, askedPages, askedPages + 9} {
		b[i*page] = 1
	}
	if n := touched(b); n != uint64(5*page) {
		t.Errorf("%d bytes, want those of 5 pages of %d", n, page)
	}
	if n := touched(nil); n != 0 {
		t.Errorf("%d bytes of nothing", n)
	}
}

func TestResident(t *testing.T) {
	a, err := New(4096)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint32(3) {
		a.Page(i * 1000)[5] = 1
	}
	if n := a.Resident(); n < 3*4096 || n > 4096*4096 {
		t.Errorf("%d bytes, want 3 to 4096 pages", n)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if n := a.Resident(); n != 0 {
		t.Errorf("%d bytes of a closed arena", n)
	}
}

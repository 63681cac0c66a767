package blockdev

import (
	"bytes"
	"errors"
	"io/fs"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestStores is what every store must do.
func TestStores(t *testing.T) {
	dir, err := OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for name, s := range map[string]Store{"dir": dir, "memory": NewMemory(), "faulty without faults": NewFaulty(NewMemory())} {
		t.Run(name, func(t *testing.T) {
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.Open("a"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("open of nothing: %v", err)
			}
			if err := s.Remove("a"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("removal of nothing: %v", err)
			}
			d, err := s.Create("a")
			must(err)
			must(d.Truncate(8192))
			b := make([]byte, 4)
			n, err := d.ReadAt(b, 4096)
			if n != 4 || err != nil || !bytes.Equal(b, make([]byte, 4)) {
				t.Errorf("a hole reads as %v, %d, %v", b, n, err)
			}
			if _, err = d.ReadAt(b, 8190); err == nil {
				t.Error("a read across the end succeeded")
			}
			_, err = d.WriteAt([]byte("page"), 100)
			must(err)
			must(d.Sync())
			if _, err := d.Allocated(); err != nil {
				t.Error(err)
			}
			must(d.Close())
			must(s.Rename("a", "b"))
			must(s.Sync())
			_, err = s.Create("0")
			must(err)
			names, err := s.List()
			if err != nil || !slices.Equal(names, []string{"0", "b"}) {
				t.Errorf("list: %v, %v", names, err)
			}
			d, err = s.Open("b")
			must(err)
			if _, err = d.ReadAt(b, 100); err != nil || string(b) != "page" {
				t.Errorf("after a rename: %q, %v", b, err)
			}
			must(d.Close())
			must(s.Remove("b"))
		})
	}
}

func TestFaults(t *testing.T) {
	f := NewFaulty(NewMemory())
	d, err := f.Create("x.img")
	if err != nil {
		t.Fatal(err)
	}
	read := func() string {
		b := make([]byte, 4)
		d.ReadAt(b, 0)
		return string(b)
	}
	write := func(s string) error { _, err := d.WriteAt([]byte(s), 0); return err }
	write("aaaa")
	f.Inject(Fault{Op: "write", Suffix: ".img", After: 1, Times: 1, TornBytes: 2, Err: unix.EIO})
	f.Inject(Fault{Op: "write", Suffix: ".crc", Err: unix.ENOSPC}) // of another device
	if err := write("bbbb"); err != nil || read() != "bbbb" {
		t.Errorf("before the fault: %v, %s", err, read())
	}
	if err := write("cccc"); !errors.Is(err, unix.EIO) || read() != "ccbb" {
		t.Errorf("a torn write: %v, %s", err, read())
	}
	if err := write("dddd"); err != nil || read() != "dddd" {
		t.Errorf("after the fault: %v, %s", err, read())
	}
	f.Heal()
	f.Inject(Fault{Op: "write"})
	if err := write("eeee"); err != nil || read() != "dddd" {
		t.Errorf("a lost write: %v, %s", err, read())
	}
	f.Heal()
	f.Inject(Fault{Op: "read", Corrupt: true})
	if read() != "eddd" {
		t.Errorf("a corrupt read: %s", read())
	}
	f.Heal()
	f.Inject(Fault{Op: "sync", Err: unix.EIO})
	if err := d.Sync(); !errors.Is(err, unix.EIO) {
		t.Errorf("a sync: %v", err)
	}
}

func TestAPowerCutLosesWhatWasNotSynced(t *testing.T) {
	m := NewMemory()
	d, _ := m.Create("kept")
	d.WriteAt([]byte("old"), 0)
	d.Sync()
	m.Sync()
	d.WriteAt([]byte("new"), 0)
	m.Create("lost")
	m.PowerCut()
	names, _ := m.List()
	d, err := m.Open("kept")
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 3)
	d.ReadAt(b, 0)
	if !slices.Equal(names, []string{"kept"}) || string(b) != "old" {
		t.Errorf("after a power cut: %v, %q", names, b)
	}
}

func TestAnIllDisk(t *testing.T) {
	f := NewFaulty(NewMemory())
	img, err := f.Create("x.img")
	if err != nil {
		t.Fatal(err)
	}
	crc, err := f.Create("x.crc")
	if err != nil {
		t.Fatal(err)
	}
	write := func(d Device) error { _, err := d.WriteAt([]byte("aaaa"), 0); return err }
	f.SetIll(Ill{Full: true, FullSuffix: ".img"})
	if err := write(img); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a write to a full disk: %v", err)
	}
	if err := write(crc); err != nil {
		t.Errorf("a write of what has its place: %v", err)
	}
	if _, err := f.Create("y.img"); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a new device on a full disk: %v", err)
	}
	f.SetIll(Ill{Times: 2, Add: 1})
	if err := errors.Join(write(img), img.Sync()); err != nil {
		t.Errorf("a slow disk: %v", err)
	}
	if _, err := img.ReadAt(make([]byte, 4), 0); err != nil {
		t.Errorf("a slow disk: %v", err)
	}
	f.SetIll(Ill{})
	if err := write(img); err != nil {
		t.Errorf("after it healed: %v", err)
	}
	if slowed, refused := f.Suffered(); slowed != 3 || refused != 2 {
		t.Errorf("%d slowed, %d refused, want 3 and 2", slowed, refused)
	}
}

// TestWhoIsHeldUpGoesOn: once the disk is not slow any more, or is closed.
func TestWhoIsHeldUpGoesOn(t *testing.T) {
	for _, end := range []func(f *Faulty){func(f *Faulty) { f.SetIll(Ill{Times: 2}) }, func(f *Faulty) { f.Close() }} {
		f := NewFaulty(NewMemory())
		d, err := f.Create("x.img")
		if err != nil {
			t.Fatal(err)
		}
		f.SetIll(Ill{Add: time.Hour})
		done := make(chan error, 1)
		go func() { done <- d.Sync() }()
		for {
			if slowed, _ := f.Suffered(); slowed > 0 {
				break
			}
			runtime.Gosched()
		}
		end(f)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

package ledger

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lni/goutils/vfs"
	"pgregory.net/rapid"
)

// diskWorld is a folder on which somebody writes, makes, renames and removes files, and is killed at any moment.
type diskWorld struct {
	t     *rapid.T
	rng   *rand.Rand
	dir   string
	fs    *FS
	files map[string]vfs.File // that are open
	kept  map[string]bool     // files that are kept account of
	n     int
}

func (w *diskWorld) path(name string) string { return filepath.Join(w.dir, name) }

func (w *diskWorld) must(err error) {
	if err != nil {
		w.t.Fatal(err)
	}
}

// some draws one of the kept files.
func (w *diskWorld) some() (string, bool) {
	names := slices.Sorted(maps.Keys(w.kept))
	if len(names) == 0 {
		return "", false
	}
	return names[w.rng.IntN(len(names))], true
}

func (w *diskWorld) bytes() []byte {
	b := make([]byte, w.rng.IntN(2000))
	for i := range b {
		b[i] = byte(w.rng.Uint32())
	}
	return b
}

func (w *diskWorld) opened(name string, f vfs.File, err error) {
	w.must(err)
	if old := w.files[name]; old != nil {
		w.must(old.Close())
	}
	w.files[name], w.kept[name] = f, true
}

func (w *diskWorld) step() {
	switch w.rng.IntN(12) {
	case 0, 1:
		w.n++
		dir := fmt.Sprint("d", w.rng.IntN(3))
		w.must(w.fs.MkdirAll(w.path(dir), 0o700))
		name := filepath.Join(dir, fmt.Sprint("f", w.n%7))
		f, err := w.fs.Create(w.path(name))
		w.opened(name, f, err)
	case 2, 3, 4, 5:
		if name, ok := w.some(); ok && w.files[name] != nil {
			_, err := w.files[name].Write(w.bytes())
			w.must(err)
		}
	case 6:
		if name, ok := w.some(); ok && w.files[name] != nil { // as the head of a snapshot, at the end
			_, err := w.files[name].WriteAt(w.bytes(), 0)
			w.must(err)
			w.must(w.files[name].Close())
			delete(w.files, name)
		}
	case 7:
		if name, ok := w.some(); ok {
			w.close(name)
			w.must(w.fs.Remove(w.path(name)))
			delete(w.kept, name)
		}
	case 8:
		if name, ok := w.some(); ok {
			w.n++
			to := fmt.Sprint("r", w.n%5)
			w.close(name)
			w.close(to)
			w.must(w.fs.Rename(w.path(name), w.path(to)))
			delete(w.kept, name)
			w.kept[to] = true
		}
	case 9: // a folder
		from, to := fmt.Sprint("d", w.rng.IntN(3)), fmt.Sprint("e", w.n)
		if _, err := os.Stat(w.path(from)); err != nil {
			return
		}
		w.n++
		for name := range w.kept {
			if strings.HasPrefix(name, from+"/") {
				w.close(name)
				delete(w.kept, name)
				w.kept[to+strings.TrimPrefix(name, from)] = true
			}
		}
		w.must(w.fs.RemoveAll(w.path(to)))
		w.must(w.fs.Rename(w.path(from), w.path(to)))
	case 10:
		dir := fmt.Sprint("d", w.rng.IntN(3))
		for name := range w.kept {
			if strings.HasPrefix(name, dir+"/") {
				w.close(name)
				delete(w.kept, name)
			}
		}
		w.must(w.fs.RemoveAll(w.path(dir)))
	case 11: // a log that is used again
		if name, ok := w.some(); ok {
			w.n++
			to := fmt.Sprint("log", w.n%5)
			if to == name {
				return
			}
			w.close(name)
			delete(w.kept, name)
			f, err := w.fs.ReuseForWrite(w.path(name), w.path(to))
			w.opened(to, f, err)
		}
	}
}

func (w *diskWorld) close(name string) {
	if f := w.files[name]; f != nil {
		w.must(f.Close())
		delete(w.files, name)
	}
}

// end ends whoever writes: killed, or in order.
func (w *diskWorld) end(killed bool) {
	for _, name := range slices.Sorted(maps.Keys(w.files)) {
		if killed {
			w.must(w.files[name].(*file).File.Close()) // the process has gone, nobody summed anything up
		} else {
			w.must(w.files[name].Close())
		}
	}
	clear(w.files)
	if killed {
		w.must(w.fs.Abandon())
	} else {
		w.must(w.fs.Close())
	}
}

// TestWhatWasWrittenIsThere: whoever writes may be killed at any moment and finds its files as it left them; what is changed meanwhile
// is told, by the name of the file.
func TestWhatWasWrittenIsThere(t *testing.T) {
	found := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "ledger-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		seed := rapid.Uint64().Draw(t, "seed")
		w := &diskWorld{t: t, rng: rand.New(rand.NewPCG(seed, 1)), dir: dir, files: map[string]vfs.File{}, kept: map[string]bool{}}
		for range rapid.IntRange(1, 4).Draw(t, "lives") {
			w.fs, err = Open(dir, fails(t))
			w.must(err)
			for range rapid.IntRange(0, 60).Draw(t, "steps") {
				w.step()
			}
			w.end(w.rng.IntN(2) == 0)
		}
		// What is beyond the account may be torn; what is in it may not be touched.
		list, err := check(dir, bootID())
		w.must(err)
		var full []*account
		for _, a := range list {
			if a.n > 0 && !a.mayLack {
				full = append(full, a)
			}
		}
		if len(full) == 0 {
			return
		}
		a := full[w.rng.IntN(len(full))]
		path := w.path(a.name)
		text, err := os.ReadFile(path)
		w.must(err)
		how := rapid.SampledFrom([]string{"flip", "cut", "gone", "ledger"}).Draw(t, "damage")
		switch how {
		case "flip":
			i := w.rng.IntN(int(a.n))
			text[i] ^= 1 << w.rng.IntN(8)
			w.must(os.WriteFile(path, text, 0o600))
		case "cut":
			w.must(os.Truncate(path, int64(w.rng.IntN(int(a.n)))))
		case "gone":
			w.must(os.Remove(path))
		case "ledger":
			path = w.path(Name)
			text, err := os.ReadFile(path)
			w.must(err)
			text[w.rng.IntN(len(text))] ^= 1 << w.rng.IntN(8)
			w.must(os.WriteFile(path, text, 0o600))
		}
		var d *Damaged
		if _, err := Open(dir, fails(t)); !errors.As(err, &d) || d.File != path {
			t.Fatalf("%s of %s: %v", how, path, err)
		}
		found[how]++
	})
	if len(found) < 4 {
		t.Errorf("found: %v", found)
	}
}

// TestAnotherRunOfTheMachine: what was not synced may be lost then, so the ledger counts only if all was ended in order.
func TestAnotherRunOfTheMachine(t *testing.T) {
	for _, clean := range []bool{false, true} {
		dir := t.TempDir()
		s, err := Open(dir, fails(t))
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.Create(filepath.Join(dir, "x"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("what was written")); err != nil {
			t.Fatal(err)
		}
		end := s.Abandon
		if clean {
			end = s.Close
		}
		if err := errors.Join(f.Close(), end()); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(dir, "x"), 4); err != nil {
			t.Fatal(err)
		}
		_, err = check(dir, "another")
		var d *Damaged
		if errors.As(err, &d) != clean {
			t.Errorf("ended in order %t: %v", clean, err)
		}
	}
}

// fails is told of errors of the disk, of which these tests have none.
func fails(t interface{ Errorf(string, ...any) }) func(error) {
	return func(err error) { t.Errorf("%v", err) }
}

// TestADiskThatFails: whoever reads nothing of what the disk says is told nevertheless.
func TestADiskThatFails(t *testing.T) {
	var told error
	dir := t.TempDir()
	s, err := Open(dir, func(err error) { told = err })
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Create(filepath.Join(dir, "x"))
	if err != nil {
		t.Fatal(err)
	}
	f.(*file).File.Close()
	if _, err := f.Write([]byte("x")); err == nil || told == nil || !errors.Is(told, os.ErrClosed) {
		t.Errorf("%v, told %v", err, told)
	}
	if err := s.Abandon(); err != nil {
		t.Error(err)
	}
}

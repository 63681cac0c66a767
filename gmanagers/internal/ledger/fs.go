package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/lni/goutils/vfs"
)

const (
	// logSuffix is how the names of write-ahead logs end, which are synced at each command.
	logSuffix = ".log"
	// logAhead is how many bytes of a log are allocated before they are written, as zeros: syncing it then changes nothing but data,
	// which took 85 µs where 125 were needed without. It is what fills dragonboat's table in memory.
	logAhead = 4 << 20
)

// FS is the disk with a ledger of one folder. What is outside of that is not kept account of.
type FS struct {
	vfs.FS
	dir  string
	boot string

	mu    sync.Mutex
	f     *os.File
	files map[string]*account // by name in dir
	free  []int               // pages below next
	next  int                 // the first page that was never used
	err   error               // of the ledger: then it is gone, and nothing is kept any more

	fail func(error) // hears that the disk has failed
}

// Open checks the files of a folder, which it makes if it is not there, and begins a new ledger of them. Fail is told when something
// could not be written there, beside whoever wrote it.
func Open(dir string, fail func(error)) (*FS, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, err
	}
	boot := bootID()
	list, err := check(dir, boot)
	if err != nil {
		return nil, err
	}
	s := &FS{FS: vfs.Default, dir: dir, boot: boot, fail: fail, files: map[string]*account{}, next: 1}
	text := head(boot, false)
	for _, a := range list {
		a.page = s.next
		s.next++
		s.files[a.name] = a
		text = append(text, a.put(true)...)
	}
	// The new one takes the place of the old one at once, whole.
	fresh := filepath.Join(dir, Name+".new")
	if err := os.WriteFile(fresh, text, 0o600); err != nil {
		return nil, err
	}
	if s.f, err = os.OpenFile(fresh, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	if err := errors.Join(s.f.Sync(), os.Rename(fresh, filepath.Join(dir, Name))); err != nil {
		return nil, errors.Join(err, s.f.Close())
	}
	return s, nil
}

// check tells of an error of the disk.
func (s *FS) check(err error) {
	if err != nil {
		s.fail(fmt.Errorf("the disk of Raft's log: %w", err))
	}
}

// Close notes that all files are as the ledger says, on the disk too. They are closed already, each with what it has synced.
func (s *FS) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		return s.err
	}
	err := s.f.Sync()
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		err = errors.Join(err, syncFile(filepath.Join(s.dir, name)))
	}
	if err == nil {
		_, err = s.f.WriteAt(head(s.boot, true), 0)
	}
	err = errors.Join(err, s.f.Sync(), s.f.Close())
	s.f = nil
	return err
}

// Abandon ends it as a crash would.
func (s *FS) Abandon() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		return s.err
	}
	err := s.f.Close()
	s.f = nil
	return err
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// in gives the name of a path in the folder.
func (s *FS) in(path string) (string, bool) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", false
	}
	name, err := filepath.Rel(s.dir, abs)
	return name, err == nil && name != "." && !strings.HasPrefix(name, "..")
}

// write puts a page. s.mu is held. A ledger that cannot be written is removed: half of one would tell of damage that there is not.
func (s *FS) write(a *account, used bool) {
	if s.f == nil {
		return
	}
	if _, err := s.f.WriteAt(a.put(used), int64(a.page)*pageBytes); err != nil {
		s.err = fmt.Errorf("ledger of %s: %w", s.dir, errors.Join(err, os.Remove(filepath.Join(s.dir, Name)), s.f.Close()))
		s.f = nil
	}
}

// drop ends the account of a file.
func (s *FS) drop(a *account) {
	delete(s.files, a.name)
	s.write(a, false)
	s.free = append(s.free, a.page)
}

// of gives the account of a name, a new one if there is none; nil if there are too many, or the name is too long.
func (s *FS) of(name string) *account {
	if a := s.files[name]; a != nil {
		return a
	}
	a := &account{name: name}
	switch {
	case !fits(name, ""):
		return nil
	case len(s.free) > 0:
		a.page = s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
	case s.next <= MaxFiles:
		a.page = s.next
		s.next++
	default:
		return nil
	}
	s.files[name] = a
	return a
}

// under gives the accounts of a name and of all that is in it, by name.
func (s *FS) under(name string) (out []*account) {
	for n, a := range s.files {
		if n == name || strings.HasPrefix(n, name+string(filepath.Separator)) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b *account) int { return cmp.Compare(a.name, b.name) })
	return out
}

// losing has the files of a name counted as ones that may lack, until it is known that they do.
func (s *FS) losing(name string) []*account {
	list := s.under(name)
	for _, a := range list {
		a.mayLack = true
		s.write(a, true)
	}
	return list
}

// lost ends the accounts of files that are gone, or goes on with them if they are not.
func (s *FS) lost(list []*account, gone bool) {
	for _, a := range list {
		if gone {
			s.drop(a)
		} else {
			a.mayLack = false
			s.write(a, true)
		}
	}
}

// Create makes a file, or empties it.
func (s *FS) Create(path string) (vfs.File, error) {
	name, ok := s.in(path)
	if !ok {
		return s.FS.Create(path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.losing(name)
	f, err := s.FS.Create(path)
	s.check(err)
	s.lost(list, err == nil)
	if err != nil {
		return nil, err
	}
	return s.begin(name, f), nil
}

// begin keeps account of a file that is written from its start. s.mu is held.
func (s *FS) begin(name string, f vfs.File) *file {
	a := s.of(name)
	if a != nil {
		s.write(a, true)
	}
	if d, ok := f.(*os.File); ok && strings.HasSuffix(name, logSuffix) {
		_ = syscall.Fallocate(int(d.Fd()), 0, 0, logAhead) // where it cannot be, syncing takes longer
	}
	return &file{File: f, s: s, a: a}
}

// ReuseForWrite writes over a file from its start, under another name.
func (s *FS) ReuseForWrite(old, path string) (vfs.File, error) {
	was, ok := s.in(old)
	name, ok2 := s.in(path)
	if !ok || !ok2 {
		return s.FS.ReuseForWrite(old, path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := append(s.losing(was), s.losing(name)...)
	f, err := s.FS.ReuseForWrite(old, path)
	s.lost(list, err == nil)
	if err != nil {
		return nil, err
	}
	return s.begin(name, f), nil
}

// OpenForAppend is not used by those who write here; such a file is not kept account of any more.
func (s *FS) OpenForAppend(path string) (vfs.File, error) {
	if name, ok := s.in(path); ok {
		s.mu.Lock()
		s.lost(s.under(name), true)
		s.mu.Unlock()
	}
	return s.FS.OpenForAppend(path)
}

// Link gives a file another name. The copy is not kept account of: whoever writes to one would write to both.
func (s *FS) Link(old, path string) error { return s.FS.Link(old, path) }

// Remove removes a file or an empty folder.
func (s *FS) Remove(path string) error { return s.remove(path, s.FS.Remove) }

// RemoveAll removes a folder with all that is in it.
func (s *FS) RemoveAll(path string) error { return s.remove(path, s.FS.RemoveAll) }

func (s *FS) remove(path string, how func(string) error) error {
	name, ok := s.in(path)
	if !ok {
		return how(path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.losing(name)
	err := how(path)
	if err != nil { // some of them may be gone
		var gone, stay []*account
		for _, a := range list {
			if _, e := os.Lstat(filepath.Join(s.dir, a.name)); e != nil {
				gone = append(gone, a)
			} else {
				stay = append(stay, a)
			}
		}
		s.lost(gone, true)
		s.lost(stay, false)
		return err
	}
	s.lost(list, true)
	return nil
}

// Rename renames a file or a folder.
func (s *FS) Rename(old, path string) error {
	was, ok := s.in(old)
	name, ok2 := s.in(path)
	if !ok || !ok2 {
		return s.FS.Rename(old, path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	over := s.losing(name)
	list := s.under(was)
	for _, a := range list {
		if a.to = name + strings.TrimPrefix(a.name, was); fits(a.name, a.to) {
			s.write(a, true)
		} else {
			s.drop(a)
		}
	}
	err := s.FS.Rename(old, path)
	s.check(err)
	s.lost(over, err == nil)
	for _, a := range list {
		to := a.to
		if a.to = ""; s.files[a.name] != a {
			continue // its names are too long
		}
		if err == nil {
			delete(s.files, a.name)
			a.name = to
			s.files[a.name] = a
		}
		s.write(a, true)
	}
	return err
}

// file is one that is written. Whoever writes does so from one goroutine at a time.
type file struct {
	vfs.File
	s *FS
	a *account // nil: none is kept

	over bool // it was written over: what it has is summed up when it is closed
}

// mine reports whether the account is still that of this file: it may have been removed, or written anew. s.mu is held.
func (f *file) mine() bool { return f.a != nil && f.s.files[f.a.name] == f.a }

func (f *file) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	f.s.check(err)
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if f.mine() {
		f.a.n, f.a.sum = f.a.n+uint64(n), crc32.Update(f.a.sum, castagnoli, b[:n])
		f.s.write(f.a, true)
	}
	return n, err
}

// Sync syncs what was written, and its length, as far as it has changed.
func (f *file) Sync() (err error) {
	if d, ok := f.File.(*os.File); ok {
		err = syscall.Fdatasync(int(d.Fd()))
	} else {
		err = f.File.Sync()
	}
	f.s.check(err)
	return err
}

// WriteAt writes over what was written: the head of a snapshot, when all else is there.
func (f *file) WriteAt(b []byte, at int64) (int, error) {
	f.s.mu.Lock()
	if f.mine() && !f.over {
		f.over, f.a.mayLack = true, true // it says nothing of the file for now
		f.s.write(f.a, true)
	}
	f.s.mu.Unlock()
	n, err := f.File.WriteAt(b, at)
	f.s.check(err)
	return n, err
}

func (f *file) Close() error {
	if f.over {
		f.again()
	}
	return f.File.Close()
}

// again sums up what the file has.
func (f *file) again() {
	sum := crc32.New(castagnoli)
	n, err := io.Copy(sum, io.NewSectionReader(f.File, 0, 1<<62))
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	switch {
	case !f.mine():
	case err != nil:
		f.s.drop(f.a)
	default:
		f.a.n, f.a.sum, f.a.mayLack = uint64(n), sum.Sum32(), false
		f.s.write(f.a, true)
	}
}

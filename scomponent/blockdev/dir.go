package blockdev

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockName is the file whose lock keeps a second process out of the folder. It ends with the process, however that ends.
const lockName = "lock"

// Dir is a Store of files in one folder.
type Dir struct {
	path string
	dir  *os.File
	lock *os.File
}

// OpenDir makes the folder if need be, checks that it can be written, and locks it.
func OpenDir(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("data folder %s cannot be made: %w", path, err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("data folder %s cannot be written: %w", path, err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("data folder %s is in use by another process; give each sComponent its own data_dir", path)
		}
		return nil, fmt.Errorf("data folder %s cannot be locked: %w", path, err)
	}
	dir, err := os.Open(path)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("data folder %s cannot be read: %w", path, err)
	}
	return &Dir{path, dir, lock}, nil
}

// Place is the folder.
func (d *Dir) Place() string { return d.path }

// Create makes an empty file.
func (d *Dir) Create(name string) (Device, error) {
	f, err := os.OpenFile(filepath.Join(d.path, name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	return &file{f}, nil
}

// Open opens a file.
func (d *Dir) Open(name string) (Device, error) {
	f, err := os.OpenFile(filepath.Join(d.path, name), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &file{f}, nil
}

// Remove deletes a file.
func (d *Dir) Remove(name string) error { return os.Remove(filepath.Join(d.path, name)) }

// Rename renames a file, replacing one of the new name.
func (d *Dir) Rename(from, to string) error {
	return os.Rename(filepath.Join(d.path, from), filepath.Join(d.path, to))
}

// List gives the files without the lock.
func (d *Dir) List() ([]string, error) {
	entries, err := os.ReadDir(d.path) // sorted by name
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && e.Name() != lockName {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Sync makes the entries of the folder durable.
func (d *Dir) Sync() error { return d.dir.Sync() }

// Close gives up the lock. Devices are closed by whoever opened them.
func (d *Dir) Close() error { return errors.Join(d.dir.Close(), d.lock.Close()) }

type file struct{ *os.File }

// Sync is fdatasync: the data and the size, not the times.
func (f *file) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}

// Allocated may be asked while the device is closed: then the answer is an error, and never that of another file with its number.
func (f *file) Allocated() (int64, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var st unix.Stat_t
	if cerr := raw.Control(func(fd uintptr) { err = unix.Fstat(int(fd), &st) }); cerr != nil || err != nil {
		return 0, errors.Join(cerr, err)
	}
	return st.Blocks * 512, nil
}

package launcher

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxSocketPath is what fits in sockaddr_un beside its closing zero on Linux, in bytes.
const maxSocketPath = 107

const lockName = "lock"

// unnamedAge is the age at which a folder that did not get its name yet is taken for a left-over: it gets it at once.
const unnamedAge = time.Minute

// runtimeDir is the private folder of one cluster: sockets, configurations and data.
type runtimeDir struct {
	path string
	lock *os.File // held open, and inherited by every child
}

func runtimePrefix() string { return fmt.Sprintf("sk-%d-", os.Getuid()) }

// runtimeDirs gives the folders of this user's clusters.
func runtimeDirs() ([]string, error) { return prefixed(runtimePrefix(), 0) }

// prefixed gives the temporary folders of at least an age whose names begin so. No pattern is used: TMPDIR may hold its characters.
func prefixed(prefix string, age time.Duration) ([]string, error) {
	entries, err := os.ReadDir(os.TempDir())
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		if age > 0 {
			if info, err := e.Info(); err != nil || time.Since(info.ModTime()) < age {
				continue
			}
		}
		dirs = append(dirs, filepath.Join(os.TempDir(), e.Name()))
	}
	return dirs, nil
}

// newRuntimeDir makes the folder. It gets its final name only after its lock is held, so that a sweep by another
// launcher can never take it for a left-over.
func newRuntimeDir() (*runtimeDir, error) {
	base := os.TempDir()
	hidden, err := os.MkdirTemp(base, "."+runtimePrefix()+"*") // MkdirTemp makes it 0700
	if err != nil {
		return nil, fmt.Errorf("make the cluster's temporary folder in %s (set TMPDIR to a folder that can be written): %w", base, err)
	}
	lock, err := lockFile(filepath.Join(hidden, lockName))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(hidden))
	}
	path := filepath.Join(base, strings.TrimPrefix(filepath.Base(hidden), "."))
	if err := os.Rename(hidden, path); err != nil {
		lock.Close()
		return nil, errors.Join(fmt.Errorf("name the cluster's temporary folder: %w", err), os.RemoveAll(hidden))
	}
	return &runtimeDir{path, lock}, nil
}

// lockFile makes path and locks it. The lock is freed when the last process that inherited the file has ended.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the lock of the temporary folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// socket gives the path of a node's socket, or an error if it is too long for the kernel.
func (r *runtimeDir) socket(id string) (string, error) {
	p := filepath.Join(r.path, id+".sock")
	if len(p) > maxSocketPath {
		return "", fmt.Errorf("socket path %s has %d bytes, at most %d: set TMPDIR to a shorter folder, or use transport: tcp", p, len(p), maxSocketPath)
	}
	return p, nil
}

func (r *runtimeDir) remove() error {
	err := os.RemoveAll(r.path)
	return errors.Join(err, r.lock.Close())
}

// SweepLeftovers removes the folders of clusters of this user of which no process is alive any more. That happens only
// when every process of a cluster was killed with -9, or the launcher before it had started the first.
func SweepLeftovers() {
	dirs, err := runtimeDirs()
	if err != nil {
		return // a TMPDIR that cannot be read is told of by newRuntimeDir
	}
	unnamed, _ := prefixed("."+runtimePrefix(), unnamedAge)
	for _, dir := range unnamed {
		os.RemoveAll(dir)
	}
	for _, dir := range dirs {
		f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
		if err != nil {
			continue // being removed, or not ours
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			os.RemoveAll(dir)
		}
		f.Close()
	}
}

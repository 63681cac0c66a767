package record

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// segmentPath is the file of a segment of the tape path.
func segmentPath(path string, n uint64) string {
	if n == 0 {
		return path
	}
	return fmt.Sprintf("%s.%08d", path, n)
}

// segments gives the numbers of the segments of a tape that are there, ascending. They are without a gap.
func segments(path string) ([]uint64, error) {
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("look for a tape: %w", err)
	}
	var ns []uint64
	for _, f := range files {
		rest, ok := strings.CutPrefix(f.Name(), filepath.Base(path))
		if !ok {
			continue
		}
		if rest == "" {
			ns = append(ns, 0)
		} else if n, err := strconv.ParseUint(strings.TrimPrefix(rest, "."), 10, 64); err == nil && segmentPath(path, n) == path+rest {
			ns = append(ns, n)
		}
	}
	if len(ns) == 0 {
		return nil, fmt.Errorf("open a tape: %w", &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist})
	}
	slices.Sort(ns)
	for i, n := range ns {
		if i > 0 && n != ns[i-1]+1 {
			return nil, fmt.Errorf("%s: the segment after %d is missing, and %s is there", path, ns[i-1], segmentPath(path, n))
		}
	}
	return ns, nil
}

// Tapes gives the tapes of a folder, in the order of their names: a tape is named by its first segment, be it there or not.
func Tapes(dir string) ([]string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look for tapes: %w", err)
	}
	var out []string
	for _, f := range files {
		name := f.Name()
		if i := strings.LastIndex(name, Suffix); i >= 0 && (i+len(Suffix) == len(name) || name[i+len(Suffix)] == '.') {
			out = append(out, filepath.Join(dir, name[:i+len(Suffix)]))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Link makes a tape be in another folder, too, which has none of this name: what is written later on its last segment is there, but no further
// segment; and what is deleted here stays there. It copies where the file system has no links.
func Link(path, dir string) error {
	ns, err := segments(path)
	if err != nil {
		return err
	}
	gone := true // segments are deleted meanwhile, the oldest first
	for _, n := range ns {
		from, to := segmentPath(path, n), segmentPath(filepath.Join(dir, filepath.Base(path)), n)
		err := os.Link(from, to)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrExist) {
			err = copyFile(from, to)
		}
		if errors.Is(err, os.ErrNotExist) && gone {
			continue
		}
		if gone = false; err != nil {
			return fmt.Errorf("keep a tape: %w", err)
		}
	}
	return nil
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

// Remove deletes a tape.
func Remove(path string) error {
	ns, err := segments(path)
	for _, n := range ns {
		err = errors.Join(err, os.Remove(segmentPath(path, n)))
	}
	return err
}

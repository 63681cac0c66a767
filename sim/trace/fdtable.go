package trace

import (
	"os"
	"path/filepath"
	"strings"
)

// openDesc is an open file description: descriptors made by dup share one,
// and with it the offset.
type openDesc struct {
	path   string
	dir    bool
	append bool
	offset uint64
	file   *fileInfo
}

// fileInfo is a file, by path. Its volume is made when it is first read,
// written or flushed.
type fileInfo struct {
	name   string
	size   uint64 // as far as known: from the file system, then by what was written
	volume uint32
	used   bool
}

// fdTable follows a program's descriptors of regular files. Standard input,
// output and error are not followed, unless the program opens them itself.
type fdTable struct {
	dir   string // working directory of the program, for looking at files
	fds   map[uint64]*openDesc
	files map[string]*fileInfo
}

func newFdTable(dir string) *fdTable {
	return &fdTable{dir: dir, fds: map[uint64]*openDesc{}, files: map[string]*fileInfo{}}
}

const (
	openTrunc  = 0o1000
	openAppend = 0o2000
	openDir    = 0o200000
	openPath   = 0o10000000
)

// open records that fd is now path, opened with flags, relative to the
// directory descriptor at (or the working directory).
func (t *fdTable) open(fd, at uint64, path string, flags uint64) {
	delete(t.fds, fd)
	if d := t.fds[at]; d != nil && d.dir && !filepath.IsAbs(path) {
		path = filepath.Join(d.path, path)
	}
	path = filepath.Clean(path)
	for _, p := range []string{"/dev", "/proc", "/sys"} {
		if path == p || strings.HasPrefix(path, p+"/") {
			return
		}
	}
	if flags&openPath != 0 {
		return
	}
	o := &openDesc{path: path, append: flags&openAppend != 0, dir: flags&openDir != 0}
	var size uint64
	real := path
	if !filepath.IsAbs(real) {
		real = filepath.Join(t.dir, real)
	}
	// A file that is gone by now was a regular one: programs open and unlink
	// their temporary files, and nothing else disappears like that.
	if st, err := os.Stat(real); err == nil {
		o.dir = o.dir || st.IsDir()
		if !o.dir && !st.Mode().IsRegular() {
			return
		}
		size = uint64(st.Size())
	}
	if !o.dir {
		f := t.files[path]
		if f == nil {
			f = &fileInfo{name: baseName(path), size: size}
			t.files[path] = f
		}
		if flags&openTrunc != 0 {
			f.size = 0
		}
		o.file = f
	}
	t.fds[fd] = o
}

func (t *fdTable) close(fd uint64) { delete(t.fds, fd) }

func (t *fdTable) dup(from, to uint64) {
	if o := t.fds[from]; o != nil {
		t.fds[to] = o
	} else {
		delete(t.fds, to)
	}
}

// regular returns the file behind fd, nil if it is none.
func (t *fdTable) regular(fd uint64) *openDesc {
	if o := t.fds[fd]; o != nil && o.file != nil {
		return o
	}
	return nil
}

// name returns the base name of the file behind fd, for maps.
func (t *fdTable) name(fd uint64) string {
	if o := t.fds[fd]; o != nil {
		return baseName(o.path)
	}
	return unknownName
}

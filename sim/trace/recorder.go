package trace

import (
	"bufio"
	"bytes"
	"fmt"
	"sort"
	"strings"
)

// recorder turns Valgrind's lines into a trace.
type recorder struct {
	w       *Writer
	thin    thinner
	maps    memMap
	fds     *fdTable
	thread  uint16
	gap     uint32
	instrs  uint64
	seen    uint64 // references before thinning
	page    uint64 // page of the last reference: known to be mapped
	pages   func() ([]segment, error)
	pending map[uint16]syscall // begun, not ended, by thread
	open    uint16             // thread of the call whose line was left open
	strange int                // lines that are nothing known
	lastBad string
}

func newRecorder(w *Writer, thin int, dir string, initial func() ([]segment, error)) *recorder {
	r := &recorder{w: w, fds: newFdTable(dir), pending: map[uint16]syscall{}, page: ^uint64(0), pages: initial}
	r.thin = thinner{n: thin, out: w.Ref}
	r.maps.emit = r.mapEvent
	return r
}

// line takes the next line.
func (r *recorder) line(b []byte) error {
	if a, ok := parseLackey(b); ok {
		if a.op == 'I' {
			r.instrs++
			r.gap += min(1, ^r.gap)
			return nil
		}
		return r.access(a)
	}
	if t, ok := parseSched(b); ok {
		r.thread = t
	}
	switch {
	case bytes.HasPrefix(b, syscallMark):
		l, ok := parseSyscall(b)
		if !ok {
			r.odd(b)
			return nil
		}
		return r.syscall(l)
	case bytes.HasPrefix(b, []byte(" --> ")):
		l := syscallLine{thread: r.open}
		l.parseResult(b)
		return r.syscall(l)
	case !valgrindLine(b):
		r.odd(b)
	}
	return nil
}

// odd counts a line that is nothing known.
func (r *recorder) odd(b []byte) {
	r.strange++
	r.lastBad = clip(string(b))
}

// access takes a load, store or modify.
func (r *recorder) access(a lackeyLine) error {
	if r.pages != nil { // nothing was mapped by system calls yet
		initial, err := r.pages()
		if err != nil {
			return err
		}
		r.maps.initial, r.pages = initial, nil
	}
	gap := r.gap
	r.gap = 0
	for {
		room := PageBytes - a.addr&(PageBytes-1)
		n := min(a.size, room)
		if p := a.addr >> PageShift; p != r.page {
			if err := r.maps.touch(a.addr, r.thread); err != nil {
				return err
			}
			r.page = p
		}
		r.seen++
		err := r.thin.ref(Ref{Addr: a.addr, Gap: gap, Thread: r.thread, Size: uint8(min(n, MaxRefSize)), Flags: a.flags()})
		a.addr, a.size, gap = a.addr+n, a.size-n, 0
		if err != nil || a.size == 0 {
			return err
		}
	}
}

// mapEvent passes on a change of the memory map.
func (r *recorder) mapEvent(e Event) error {
	r.thin.reset()
	r.page = ^uint64(0)
	return r.w.Event(e)
}

// syscall takes what a line says of a system call, and acts when it ended.
func (r *recorder) syscall(l syscallLine) error {
	c := l.call
	if l.begins {
		r.pending[l.thread] = c
		r.open = l.thread
	}
	if !l.ended {
		return nil
	}
	c, ok := r.pending[l.thread]
	delete(r.pending, l.thread)
	if !ok || l.failed {
		return nil
	}
	return r.done(c, l.result, l.thread)
}

// done acts on a system call that succeeded.
func (r *recorder) done(c syscall, result uint64, thread uint16) error {
	switch c.num {
	case sysBrk:
		return r.maps.setBrk(result, thread)
	case sysMmap:
		s := segment{span: span{result, result + c.arg(1)}, writable: c.arg(2)&protWrite != 0, anon: c.arg(3)&mapAnon != 0, name: anonName}
		if !s.anon {
			s.name = r.fds.name(c.arg(4))
		}
		return r.maps.mmap(s, c.arg(2) != 0, thread)
	case sysMunmap:
		return r.maps.munmap(c.arg(0), c.arg(0)+c.arg(1), thread)
	case sysMprotect:
		if c.arg(2) == 0 {
			return nil
		}
		return r.maps.mprotect(c.arg(0), c.arg(0)+c.arg(1), c.arg(2)&protWrite != 0, thread)
	case sysMremap:
		return r.maps.mremap(c.arg(0), c.arg(1), result, c.arg(2), thread)

	case sysOpen:
		r.fds.open(result, ^uint64(0), c.path, c.arg(1))
	case sysCreat:
		r.fds.open(result, ^uint64(0), c.path, openTrunc)
	case sysOpenat:
		r.fds.open(result, c.arg(0), c.path, c.arg(2))
	case sysClose:
		r.fds.close(c.arg(0))
	case sysDup:
		r.fds.dup(c.arg(0), result)
	case sysDup2, sysDup3:
		r.fds.dup(c.arg(0), result)
	case sysFcntl:
		if c.arg(1) == fcntlDup || c.arg(1) == fcntlDupCloexec {
			r.fds.dup(c.arg(0), result)
		}
	default:
		if o := r.fds.regular(c.arg(0)); o != nil {
			return r.fileOp(c, o, result, thread)
		}
	}
	return nil
}

// fileOp acts on a system call on a regular file.
func (r *recorder) fileOp(c syscall, o *openDesc, result uint64, thread uint16) error {
	e := Event{Thread: thread, TimeNs: r.instrs * nsPerInstruction, Length: result}
	own := false // the call moves the file's own offset
	switch c.num {
	case sysLseek:
		o.offset = result
		return nil
	case sysFtruncate:
		o.file.size = c.arg(1)
		return nil
	case sysRead, sysReadv:
		e.Kind, e.Offset, own = BlockRead, o.offset, true
	case sysPread, sysPreadv:
		e.Kind, e.Offset = BlockRead, c.arg(3)
	case sysWrite, sysWritev:
		if o.append {
			o.offset = o.file.size
		}
		e.Kind, e.Offset, own = BlockWrite, o.offset, true
	case sysPwrite, sysPwritev:
		e.Kind, e.Offset = BlockWrite, c.arg(3)
	case sysFsync, sysFdatasync:
		e.Kind, e.Length = BlockFlush, 0
	default:
		return nil
	}
	if own {
		o.offset += result
	}
	if e.Kind != BlockFlush && result == 0 { // the end of the file
		return nil
	}
	if e.Kind == BlockWrite {
		o.file.size = max(o.file.size, e.Offset+e.Length)
	}
	if err := r.volume(o.file); err != nil {
		return err
	}
	e.Volume = o.file.volume
	r.w.SetVolumeSize(e.Volume, max(o.file.size, e.Offset+e.Length))
	return r.w.Event(e)
}

// nsPerInstruction is the clock of captured block events. The wall clock under
// Valgrind is a hundred times too slow, and never the same twice.
const nsPerInstruction = 1

// volume makes sure that a file has one.
func (r *recorder) volume(f *fileInfo) error {
	if f.used {
		return nil
	}
	v, err := r.w.AddVolume(VolumeInfo{Name: uniqueName(r.w.h.Volumes, f.name), SizeBytes: f.size})
	f.volume, f.used = v, true
	return err
}

// parseProcMaps reads /proc/PID/maps of a process under Valgrind, and keeps
// what is the program's.
func parseProcMaps(text string) ([]segment, error) {
	var out []segment
	sc := bufio.NewScanner(strings.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		f := strings.Fields(sc.Text())
		if len(f) < 5 {
			return nil, fmt.Errorf("maps of the program: line %d: %q, expected six fields", n, clip(sc.Text()))
		}
		lo, rest, ok1 := parseHex([]byte(f[0]))
		rest, ok2 := skipByte(rest, '-')
		hi, rest, ok3 := parseHex(rest)
		if !ok1 || !ok2 || !ok3 || len(rest) > 0 || lo >= hi {
			return nil, fmt.Errorf("maps of the program: line %d: %q, expected an address range", n, f[0])
		}
		s := segment{span: span{lo, hi}, anon: len(f) < 6, writable: strings.Contains(f[1], "w"), name: anonName}
		if !s.anon {
			s.name = baseName(f[5])
		}
		switch {
		case !strings.HasPrefix(f[1], "r"): // reserved by Valgrind
			continue
		case lo >= stackTop-stackRoom && hi <= stackTop:
			s.name = stackName
		case hi > toolBase:
			continue
		}
		out = append(out, s)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].lo < out[j].lo })
	return out, sc.Err()
}

package trace

import (
	"path"
	"strconv"
	"strings"
)

// Bounds of what is remembered of a log of strace.
const (
	// MaxStraceProcesses bounds the processes and threads that live at a time.
	MaxStraceProcesses = 1 << 16
	// MaxStraceFds bounds the descriptors of one process.
	MaxStraceFds = 1 << 16
)

// strace reads what `strace -f -ttt -y -e trace=…` writes (straceCalls): `[PID] SECONDS.FRACTION call(arguments) = result`. A file is a
// volume; reads, writes and flushes of regular files are events, at the offsets that the calls before them say. It yields events only.
type strace struct {
	in      *lineReader
	clock   clock
	volumes []VolumeInfo
	taken   map[string]bool // names of volumes
	files   map[string]*straceFile
	tasks   map[uint64]*straceTask
}

// straceTask is a process or a thread.
type straceTask struct {
	fds     *straceFds
	pending string // of a call that has begun: the text until it was interrupted
	number  uint16
}

// straceFds are the descriptors of a process, which its threads share.
type straceFds struct{ open map[uint64]*straceOpen }

// straceOpen is an open file description, shared by duplicates and by the copies of children.
type straceOpen struct {
	path   string
	file   *straceFile // nil = nothing that is recorded: a device, a folder, a stream that the program was started with
	append bool
	stream bool // one that the program was started with
	offset uint64
}

// straceFile is a file, by path.
type straceFile struct {
	name   string
	size   uint64 // as far as the log tells
	volume uint32
	used   bool
}

// straceFormat is the name of the format.
const straceFormat = "strace"

const wantStrace = "`[PID] SECONDS.FRACTION call(arguments) = result`, as strace -f -ttt writes"

func newStrace(in *input) (parser, error) {
	return &strace{in: in.lines(), clock: in.spec.newClock(true), taken: map[string]bool{}, files: map[string]*straceFile{}, tasks: map[uint64]*straceTask{}}, nil
}

func sniffStrace(h *head) bool {
	for _, line := range h.lines {
		if strings.HasPrefix(line, "strace: ") {
			continue
		}
		_, _, rest, ok := straceStart(line)
		if !ok {
			return false
		}
		if strings.HasSuffix(rest, straceBroken) {
			rest = strings.TrimSuffix(rest, straceBroken) + ") = 0"
		}
		_, ok = parseStraceCall(rest)
		return ok
	}
	return false
}

func (p *strace) header(h *Header) {
	h.Granularity = 1
	h.HasWrites = true
	h.Volumes = append([]VolumeInfo(nil), p.volumes...)
	h.DefaultsStated = []string{
		"volume: one a file, by base name; devices, /proc, /sys, pipes, sockets and streams that the program was started with are left out",
		"offset: from the calls in the log; a file whose opening is not in it begins at 0, O_APPEND at the end as far as the log tells",
		"not in it: what goes through mapped memory",
	}
	h.DefaultsStated = p.clock.stated(h.DefaultsStated)
}

func (p *strace) fill(b *Batch) error {
	for !b.full() {
		line, err := p.in.next()
		if err != nil {
			return err
		}
		if err := p.line(b, string(line)); err != nil {
			return err
		}
	}
	return nil
}

const (
	straceBroken  = "<unfinished ...>"
	straceResumed = " resumed>"
)

// line takes the next line.
func (p *strace) line(b *Batch, line string) error {
	if line == "" || strings.HasPrefix(line, "strace: ") {
		return nil
	}
	pid, ns, rest, ok := straceStart(line)
	if !ok {
		return p.in.unlike([]byte(line), wantStrace)
	}
	if strings.HasPrefix(rest, "---") { // a signal
		return nil
	}
	if strings.HasPrefix(rest, "+++") { // its end
		delete(p.tasks, pid)
		return nil
	}
	t, err := p.task(pid)
	if err != nil {
		return err
	}
	if text, ok := strings.CutPrefix(rest, "<... "); ok {
		_, text, ok = strings.Cut(text, straceResumed)
		if t.pending == "" || !ok { // it had begun before the log did
			return nil
		}
		rest, t.pending = t.pending+text, ""
	} else if strings.HasSuffix(rest, straceBroken) {
		t.pending = strings.TrimSuffix(rest, straceBroken)
		return nil
	}
	c, ok := parseStraceCall(rest)
	if !ok {
		return p.in.unlike([]byte(line), wantStrace)
	}
	if !c.done {
		return nil
	}
	at, err := p.clock.at(ns)
	if err != nil {
		return p.in.errorf("%w", err)
	}
	return p.call(b, t, c, at)
}

// task gives the task of a process id. One that is new has the descriptors of whoever is in the middle of making one: its first call may
// stand before the end of that call.
func (p *strace) task(pid uint64) (*straceTask, error) {
	if t := p.tasks[pid]; t != nil {
		return t, nil
	}
	var parent *straceTask
	var least uint64
	for id, t := range p.tasks { // of several the lowest id, so that the order of the map does not matter
		if straceForks(t.pending) && (parent == nil || id < least) {
			parent, least = t, id
		}
	}
	return p.born(pid, parent, parent != nil && strings.Contains(parent.pending, "CLONE_FILES"))
}

func straceForks(call string) bool {
	return strings.HasPrefix(call, "clone") || strings.HasPrefix(call, "fork(") || strings.HasPrefix(call, "vfork(")
}

// born makes a task that shares its parent's descriptors, or has a copy of them.
func (p *strace) born(pid uint64, parent *straceTask, share bool) (*straceTask, error) {
	if t := p.tasks[pid]; t != nil {
		return t, nil
	}
	if len(p.tasks) >= MaxStraceProcesses {
		return nil, p.in.errorf("more than %d processes at a time", MaxStraceProcesses)
	}
	t := &straceTask{fds: &straceFds{open: map[uint64]*straceOpen{}}, number: uint16(len(p.tasks))}
	switch {
	case parent == nil:
	case share:
		t.fds = parent.fds
	default:
		for fd, o := range parent.fds.open {
			t.fds.open[fd] = o
		}
	}
	p.tasks[pid] = t
	return t, nil
}

// set makes fd stand for o.
func (p *strace) set(t *straceTask, fd uint64, o *straceOpen) error {
	if len(t.fds.open) >= MaxStraceFds && t.fds.open[fd] == nil {
		return p.in.errorf("more than %d descriptors of one process", MaxStraceFds)
	}
	t.fds.open[fd] = o
	return nil
}

// opened makes a description of a path.
func (p *strace) opened(name, flags string) *straceOpen {
	o := &straceOpen{path: name, append: strings.Contains(flags, "O_APPEND")}
	for _, not := range []string{"/dev", "/proc", "/sys"} {
		if name == not || strings.HasPrefix(name, not+"/") {
			return o
		}
	}
	if strings.HasPrefix(name, "/memfd:") || strings.Contains(flags, "O_DIRECTORY") || strings.Contains(flags, "O_PATH") {
		return o
	}
	f := p.files[name]
	if f == nil {
		f = &straceFile{name: baseName(name)}
		p.files[name] = f
	}
	if strings.Contains(flags, "O_TRUNC") {
		f.size = 0
	}
	o.file = f
	return o
}

// at gives what a descriptor stands for. Where the log names its path (-y) that is right, whatever is remembered.
func (p *strace) at(t *straceTask, a straceFd) (*straceOpen, error) {
	o := t.fds.open[a.fd]
	named := strings.HasPrefix(a.path, "/")
	switch {
	case !a.ok:
		return nil, nil
	case o == nil && a.fd <= 2:
		o = &straceOpen{stream: true}
	case a.path != "" && !named: // a pipe, a socket
		o = &straceOpen{}
	case named && (o == nil || !o.stream && o.path != a.path):
		o = p.opened(a.path, "")
	default:
		return o, nil
	}
	return o, p.set(t, a.fd, o)
}

// volume makes sure that a file has one.
func (p *strace) volume(f *straceFile) error {
	if f.used {
		return nil
	}
	if len(p.volumes) >= MaxVolumes {
		return p.in.errorf("more than %d files", MaxVolumes)
	}
	name := f.name
	for n := 2; p.taken[name]; n++ {
		name = f.name + "#" + strconv.Itoa(n)
	}
	p.taken[name] = true
	f.volume, f.used = uint32(len(p.volumes)), true
	p.volumes = append(p.volumes, VolumeInfo{Name: name})
	return nil
}

// joined is a path as a call gives it, relative to a directory's.
func joined(dir, name string) string {
	if path.IsAbs(name) || !path.IsAbs(dir) {
		return path.Clean(name)
	}
	return path.Join(dir, name)
}

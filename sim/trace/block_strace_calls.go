package trace

import (
	"strconv"
	"strings"
)

// straceCalls are the calls that a log has to have: those that touch files, and those that say which descriptor is which.
const straceCalls = "read,write,pread64,pwrite64,readv,writev,preadv,pwritev,preadv2,pwritev2,lseek,open,openat,creat,close,dup,dup2,dup3,fcntl," +
	"fsync,fdatasync,ftruncate,sendfile,copy_file_range,clone,clone3,fork,vfork"

// straceCall is a call with its result.
type straceCall struct {
	name   string
	args   []string
	done   bool // it succeeded, with a result
	result straceFd
}

// straceFd is a number, with the path that strace prints beside descriptors.
type straceFd struct {
	fd   uint64
	path string
	ok   bool
}

// straceStart cuts process id and time from a line.
func straceStart(line string) (pid, ns uint64, rest string, ok bool) {
	line = strings.TrimPrefix(line, "[pid ")
	first, rest, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
	if first = strings.TrimSuffix(first, "]"); !strings.Contains(first, ".") {
		var err error
		if pid, err = strconv.ParseUint(first, 10, 32); err != nil {
			return 0, 0, "", false
		}
		first, rest, _ = strings.Cut(strings.TrimLeft(rest, " "), " ")
	}
	sec, frac, dot := strings.Cut(first, ".")
	s, err := strconv.ParseUint(sec, 10, 33)
	if err != nil || !dot || len(frac) == 0 || len(frac) > 9 {
		return 0, 0, "", false
	}
	n, err := strconv.ParseUint((frac + "000000000")[:9], 10, 64)
	return pid, s*1_000_000_000 + n, strings.TrimLeft(rest, " "), err == nil && rest != ""
}

// parseStraceCall reads `name(arguments) = result …`.
func parseStraceCall(text string) (c straceCall, ok bool) {
	open := strings.IndexByte(text, '(')
	if open <= 0 {
		return c, false
	}
	for _, r := range text[:open] {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '?') {
			return c, false
		}
	}
	c.name = text[:open]
	end := -1
	from, depth := open+1, 0
scan:
	for i := open + 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '<': // the path of a descriptor; an arrow within it does not end it
			for i++; i < len(text) && (text[i] != '>' || text[i-1] == '-'); i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '(', '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 0 {
				c.args = append(c.args, strings.TrimSpace(text[from:i]))
				from = i + 1
			}
		case ')':
			if depth == 0 {
				end = i
				break scan
			}
			depth--
		}
	}
	if end < 0 {
		return c, false
	}
	if last := strings.TrimSpace(text[from:end]); last != "" {
		c.args = append(c.args, last)
	}
	result, ok := strings.CutPrefix(strings.TrimLeft(text[end+1:], " "), "= ")
	if !ok || result == "" {
		return c, false
	}
	if strings.HasPrefix(result, "-") || strings.HasPrefix(result, "?") {
		return c, true
	}
	c.result = straceNumber(result)
	c.done = c.result.ok
	return c, c.done
}

// straceNumber reads `3`, `0x3`, `3</path>`, `3 (flags…)`, `AT_FDCWD</path>`, whose number is none.
func straceNumber(text string) (f straceFd) {
	digits := text
	if i := strings.IndexAny(text, "< "); i >= 0 {
		digits = text[:i]
		if text[i] == '<' {
			f.path = text[i+1:]
			if j := strings.LastIndexByte(f.path, '>'); j >= 0 {
				f.path = f.path[:j]
			}
			f.path = strings.TrimSuffix(f.path, " (deleted)")
		}
	}
	n, err := strconv.ParseUint(digits, 0, 64)
	f.fd, f.ok = n, err == nil
	return f
}

// arg is an argument as a number; ok is false where there is none, and for NULL and for negative ones.
func (c *straceCall) arg(i int) straceFd {
	if i >= len(c.args) {
		return straceFd{}
	}
	return straceNumber(c.args[i])
}

// text is an argument as it stands, without quotes.
func (c *straceCall) text(i int) string {
	if i >= len(c.args) {
		return ""
	}
	s := c.args[i]
	if strings.HasPrefix(s, `"`) {
		if t, err := strconv.Unquote(s); err == nil {
			return t
		}
		return strings.Trim(strings.TrimSuffix(s, "..."), `"`)
	}
	return s
}

// pointed is the number behind a pointer, which strace prints as [5].
func (c *straceCall) pointed(i int) (n uint64, given bool) {
	if i >= len(c.args) || !strings.HasPrefix(c.args[i], "[") {
		return 0, false
	}
	number, _, _ := strings.Cut(c.args[i][1:], "]")
	n, err := strconv.ParseUint(number, 10, 64)
	return n, err == nil
}

// call acts on a call that succeeded.
func (p *strace) call(b *Batch, t *straceTask, c straceCall, at uint64) error {
	switch c.name {
	case "open", "openat", "creat":
		return p.open(t, c)
	case "close":
		delete(t.fds.open, c.arg(0).fd)
		return nil
	case "dup", "dup2", "dup3":
		return p.dup(t, c)
	case "fcntl":
		if strings.HasPrefix(c.text(1), "F_DUPFD") {
			return p.dup(t, c)
		}
		return nil
	case "clone", "clone3", "fork", "vfork":
		_, err := p.born(c.result.fd, t, strings.Contains(strings.Join(c.args, ","), "CLONE_FILES"))
		return err
	case "copy_file_range":
		return p.copies(b, t, c, at, 0, 1, 2, 3)
	case "sendfile", "sendfile64":
		return p.copies(b, t, c, at, 1, 2, 0, -1)
	}
	kind, offset := EventKind(0), -1 // which argument is the offset
	switch c.name {
	case "read", "readv":
		kind = BlockRead
	case "write", "writev":
		kind = BlockWrite
	case "pread64", "pread", "preadv", "preadv2":
		kind, offset = BlockRead, 3
	case "pwrite64", "pwrite", "pwritev", "pwritev2":
		kind, offset = BlockWrite, 3
	case "fsync", "fdatasync":
		kind = BlockFlush
	case "lseek", "ftruncate":
	default:
		return nil
	}
	o, err := p.at(t, c.arg(0))
	if err != nil || o == nil || o.file == nil {
		return err
	}
	switch c.name {
	case "lseek":
		o.offset = c.result.fd
		return nil
	case "ftruncate":
		o.file.size = c.arg(1).fd
		return nil
	}
	given, has := uint64(0), false
	if offset >= 0 {
		f := c.arg(offset)
		if given, has = f.fd, f.ok; !has && (offset >= len(c.args) || c.args[offset] != "-1") { // -1 of preadv2 and pwritev2 is the file's own
			return p.in.errorf("%s whose offset cannot be read, expected a number as its argument %d", c.name, offset+1)
		}
	}
	return p.request(b, t, o, kind, c.result.fd, at, given, has)
}

func (p *strace) open(t *straceTask, c straceCall) error {
	name, flags := c.text(0), c.text(1)
	switch c.name {
	case "creat":
		flags = "O_TRUNC"
	case "openat":
		dir := c.arg(0)
		if dir.path == "" && dir.ok {
			if o := t.fds.open[dir.fd]; o != nil {
				dir.path = o.path
			}
		}
		name, flags = joined(dir.path, c.text(1)), c.text(2)
	}
	if c.result.path != "" { // the file that it came to, through links
		name = c.result.path
	}
	return p.set(t, c.result.fd, p.opened(name, flags))
}

func (p *strace) dup(t *straceTask, c straceCall) error {
	o, err := p.at(t, c.arg(0))
	if err != nil {
		return err
	}
	if o == nil {
		delete(t.fds.open, c.result.fd)
		return nil
	}
	return p.set(t, c.result.fd, o)
}

// copies is a call that reads one file and writes another: in and out are its arguments for descriptors, inAt and outAt those for offsets.
func (p *strace) copies(b *Batch, t *straceTask, c straceCall, at uint64, in, inAt, out, outAt int) error {
	for _, side := range []struct {
		fd, offset int
		kind       EventKind
	}{{in, inAt, BlockRead}, {out, outAt, BlockWrite}} {
		o, err := p.at(t, c.arg(side.fd))
		if err != nil {
			return err
		}
		if o == nil || o.file == nil {
			continue
		}
		given, has := uint64(0), false
		if side.offset >= 0 {
			given, has = c.pointed(side.offset)
		}
		if err := p.request(b, t, o, side.kind, c.result.fd, at, given, has); err != nil {
			return err
		}
	}
	return nil
}

// request records a request of length bytes at its offset, which moves if it is the file's own. One at the end of the file is none.
func (p *strace) request(b *Batch, t *straceTask, o *straceOpen, kind EventKind, length, at, given uint64, has bool) error {
	e := Event{At: len(b.Refs), Kind: kind, Thread: t.number, TimeNs: at}
	if kind != BlockFlush {
		if length == 0 {
			return nil
		}
		e.Offset, e.Length = given, length
		if !has {
			if kind == BlockWrite && o.append {
				o.offset = o.file.size
			}
			e.Offset = o.offset
		}
		if e.Offset+length < length {
			return p.in.errorf("%d bytes at offset %d of %s, expected an end below 2^64", length, e.Offset, o.file.name)
		}
		if !has {
			o.offset += length
		}
		if kind == BlockWrite {
			o.file.size = max(o.file.size, e.Offset+length)
		}
	}
	if err := p.volume(o.file); err != nil {
		return err
	}
	e.Volume = o.file.volume
	b.Events = append(b.Events, e)
	return nil
}

package trace

import (
	"bytes"
	"strings"
)

// Numbers of the x86-64 system calls that a capture understands.
const (
	sysRead      = 0
	sysWrite     = 1
	sysOpen      = 2
	sysClose     = 3
	sysLseek     = 8
	sysMmap      = 9
	sysMprotect  = 10
	sysMunmap    = 11
	sysBrk       = 12
	sysPread     = 17
	sysPwrite    = 18
	sysReadv     = 19
	sysWritev    = 20
	sysMremap    = 25
	sysDup       = 32
	sysDup2      = 33
	sysFcntl     = 72
	sysFsync     = 74
	sysFdatasync = 75
	sysFtruncate = 77
	sysCreat     = 85
	sysOpenat    = 257
	sysDup3      = 292
	sysPreadv    = 295
	sysPwritev   = 296

	fcntlDup        = 0
	fcntlDupCloexec = 1030

	protWrite = 2
	mapAnon   = 0x20
)

// syscall is a call as Valgrind prints it, in one line or in two.
type syscall struct {
	num  int
	args []uint64
	path string // the one string argument of open and its kin
}

// syscallLine is what one line says:
//
//	SYSCALL[7060,1](9) sys_mmap ( 0x0, 8192, 3, 34, 4294967295, 0 ) --> [pre-success] Success(0x4835000)
//	SYSCALL[7060,1](257) sys_openat ( 4294967196, 0x4834(/etc/x), 524288 ) --> [async] ...
//	SYSCALL[7060,1](257) ... [async] --> Success(0x3)
//	 --> [pre-fail] Failure(0x26)
type syscallLine struct {
	thread uint16
	call   syscall
	begins bool // call holds name and arguments
	ended  bool // with result, or failed
	failed bool
	result uint64
}

var (
	syscallMark = []byte("SYSCALL[")
	successMark = []byte("Success(0x")
	failureMark = []byte("Failure(0x")
)

// parseSyscall reads a line that begins with SYSCALL[.
func parseSyscall(b []byte) (l syscallLine, ok bool) {
	if !bytes.HasPrefix(b, syscallMark) {
		return l, false
	}
	_, rest, ok1 := parseDec(b[len(syscallMark):])
	rest, ok2 := skipByte(rest, ',')
	tid, rest, ok3 := parseDec(rest)
	rest, ok4 := skipByte(rest, ']')
	rest, ok5 := skipByte(rest, '(')
	num, rest, ok6 := parseDec(rest)
	rest, ok7 := skipByte(rest, ')')
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7) || tid < 1 || tid > 1<<16 || num > 1<<16 {
		return l, false
	}
	l.thread, l.call.num = uint16(tid-1), int(num)
	if !bytes.HasPrefix(rest, []byte(" ... ")) {
		l.begins = true
		rest = l.call.parseArgs(rest)
	}
	l.parseResult(rest)
	return l, true
}

// parseResult looks for the outcome in the rest of a line.
func (l *syscallLine) parseResult(rest []byte) {
	if i := bytes.Index(rest, successMark); i >= 0 {
		l.result, _, l.ended = parseHex(rest[i+len(successMark):])
	} else if bytes.Contains(rest, failureMark) {
		l.ended, l.failed = true, true
	}
}

// maxSyscallArgs is the most arguments that are read.
const maxSyscallArgs = 6

// parseArgs reads ` name ( a, b, c )` and returns what follows.
func (c *syscall) parseArgs(b []byte) []byte {
	i := bytes.Index(b, []byte(" ( "))
	if i < 0 {
		return b
	}
	b = b[i+3:]
	for len(c.args) < maxSyscallArgs {
		v, rest, ok := parseNumber(b)
		if !ok {
			break
		}
		c.args = append(c.args, v)
		b = rest
		if r, ok := skipByte(b, '('); ok { // 0x1234(text)
			end := firstIndex(r, "), ", ") )")
			if end < 0 {
				break
			}
			c.path = string(r[:end])
			b = r[end+1:]
		}
		if r, ok := skipByte(b, ','); ok {
			b, _ = skipBlanks(r)
			continue
		}
		break
	}
	return b
}

func firstIndex(b []byte, marks ...string) int {
	best := -1
	for _, m := range marks {
		if i := bytes.Index(b, []byte(m)); i >= 0 && (best < 0 || i < best) {
			best = i
		}
	}
	return best
}

// parseNumber reads 0x12, 12 or -12, as Valgrind prints arguments.
func parseNumber(b []byte) (v uint64, rest []byte, ok bool) {
	if bytes.HasPrefix(b, []byte("0x")) {
		return parseHex(b[2:])
	}
	if r, neg := skipByte(b, '-'); neg {
		v, rest, ok = parseDec(r)
		return -v, rest, ok
	}
	return parseDec(b)
}

// arg returns argument i, 0 where it was not printed.
func (c *syscall) arg(i int) uint64 {
	if i < len(c.args) {
		return c.args[i]
	}
	return 0
}

// cleanArg strips the directories from an argument for the header: traces
// are published, and where a file lay on one machine means nothing elsewhere.
func cleanArg(arg string) string {
	const most = 1024
	var out strings.Builder
	start := 0
	flush := func(end int) {
		f := arg[start:end]
		if strings.HasPrefix(f, "/") || strings.HasPrefix(f, "~/") {
			f = baseName(f)
		}
		out.WriteString(f)
	}
	for i := 0; i < len(arg); i++ {
		if strings.IndexByte(" \t\n='\":,;", arg[i]) >= 0 {
			flush(i)
			out.WriteByte(arg[i])
			start = i + 1
		}
	}
	flush(len(arg))
	if s := out.String(); len(s) <= most {
		return s
	}
	return out.String()[:most] + "…"
}

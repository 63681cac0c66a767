package trace

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record feeds lines to a recorder and returns the trace as text.
func record(t *testing.T, thin int, initial, lines string) (string, Header) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.skt")
	w, err := Create(path, captureHeader(CaptureOptions{Program: "/bin/p", Thin: thin}))
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder(w, thin, t.TempDir(), func() ([]segment, error) { return parseProcMaps(initial) })
	if _, _, err := r.read(strings.NewReader(lines), &CaptureOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if r.strange > 0 {
		t.Errorf("%d lines were not understood, the last %q", r.strange, r.lastBad)
	}
	src, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	items, err := drain(src)
	if err != nil {
		t.Fatal(err)
	}
	check, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer check.Close()
	checkMaps(t, check)
	return describe(items), src.Header()
}

const procMaps = `00108000-0010b000 r--p 00000000 fe:00 247770                             /usr/bin/sort
00124000-00125000 rw-p 0001c000 fe:00 247770                             /usr/bin/sort
04000000-04001000 r--p 00000000 fe:00 325835                             /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
04035000-04036000 rwxp 00000000 00:00 0 
58000000-58001000 r--p 00000000 fe:00 328502                             /usr/libexec/valgrind/lackey-amd64-linux
1002001000-100278c000 rwxp 00000000 00:00 0 
1ffeffe000-1fff001000 rw-p 00000000 00:00 0 
7ffe3c636000-7ffe3c657000 rw-p 00000000 00:00 0                          [stack]
`

func TestRecorder(t *testing.T) {
	got, h := record(t, 0, procMaps, `==9== Lackey, an example Valgrind tool
--9--   SCHED[1]:  acquired lock (thread_wrapper(starting new thread))
I  0401ab70,3
I  0401ab73,5
 S 1fff000728,8
I  0401ab78,5
 L 04000ffc,8
SYSCALL[9,1](12) sys_brk ( 0x0 ) --> [pre-success] Success(0x4035000) 
SYSCALL[9,1](12) sys_brk ( 0x4037000 ) --> [pre-success] Success(0x4037000) 
 S 04035010,16
SYSCALL[9,1](257) sys_openat ( 4294967196, 0x4835540(/home/me/libc.so.6), 524288 ) --> [async] ... 
--9--   SCHED[1]: releasing lock (VG_(client_syscall)[async]) -> VgTs_WaitSys
--9--   SCHED[1]:  acquired lock (VG_(client_syscall)[async])
SYSCALL[9,1](257) ... [async] --> Success(0x3) 
SYSCALL[9,1](257) sys_openat ( 4294967196, 0x4835540(/dev/tty), 2 ) --> [async] ... 
SYSCALL[9,1](257) ... [async] --> Success(0x4) 
SYSCALL[9,1](9) sys_mmap ( 0x0, 20000, 1, 2050, 3, 0 ) --> [pre-success] Success(0x4845000) 
SYSCALL[9,1](9) sys_mmap ( 0x4846000, 4096, 3, 2066, 3, 4096 ) --> [pre-success] Success(0x4846000) 
SYSCALL[9,1](9) sys_mmap ( 0x0, 65536, 0, 34, 4294967295, 0 ) --> [pre-success] Success(0x5000000) 
SYSCALL[9,1](10) sys_mprotect ( 0x5000000, 8192, 3 )[sync] --> Success(0x0) 
 M 05001ff8,8
SYSCALL[9,1](0) sys_read ( 3, 0x1ffefff948, 832 ) --> [async] ... 
--9--   SCHED[2]:  acquired lock (VG_(scheduler):timeslice)
I  0401ab70,3
 L 1fff000000,8
--9--   SCHED[1]:  acquired lock (VG_(client_syscall)[async])
SYSCALL[9,1](0) ... [async] --> Success(0x340) 
SYSCALL[9,1](0) sys_read ( 4, 0x1ffefff948, 832 ) --> [async] ... 
SYSCALL[9,1](0) ... [async] --> Success(0x10) 
SYSCALL[9,1](17) sys_pread64 ( 3, 0x1ffefff560, 784, 64 ) --> [async] ... 
SYSCALL[9,1](17) ... [async] --> Success(0x310) 
SYSCALL[9,1](33) sys_dup2 ( 3, 7 )[sync] --> Success(0x7) 
SYSCALL[9,1](3) sys_close ( 3 )[sync] --> Success(0x0) 
SYSCALL[9,1](8) sys_lseek ( 7, 10, 1 ) --> [async] ... 
SYSCALL[9,1](8) ... [async] --> Success(0x34a) 
SYSCALL[9,1](1) sys_write ( 7, 0x1ffefff560, 5 ) --> [async] ... 
SYSCALL[9,1](1) ... [async] --> Success(0x5) 
SYSCALL[9,1](74) sys_fsync ( 7 ) --> [async] ... 
SYSCALL[9,1](74) ... [async] --> Success(0x0) 
SYSCALL[9,1](0) sys_read ( 7, 0x1ffefff560, 5 ) --> [async] ... 
SYSCALL[9,1](0) ... [async] --> Failure(0x9) 
SYSCALL[9,1](334) unimplemented (by the kernel) syscall: 334! (ni_syscall)
 --> [pre-fail] Failure(0x26) 
SYSCALL[9,1](25) sys_mremap ( 0x5000000, 8192, 16384, 0x1, 0x0 ) --> [pre-success] Success(0x6000000) 
SYSCALL[9,1](11) sys_munmap ( 0x4845000, 20000 )[sync] --> Success(0x0) 
SYSCALL[9,1](56) sys_clone ( 3d0f00, 0x12c1ef70, 0x12c1f990, 0x12c1f990, 0x12c1f6c0 ) --> [pre-success] Success(0x2169) --9--   SCHED[1]: releasing lock (VG_(vg_yield)) -> VgTs_Yielding

 L 1ffeff8000,8
 L 00124008,8
 S 06003000,8
`)
	want := `mmap t0 0x1ffeffe000+0x3000 anon=true w=true [stack]
W 0x1fff000728 size=8 gap=2 t0
mmap t0 0x4000000+0x1000 anon=false w=false ld-linux-x86-64.so.2
R 0x4000ffc size=4 gap=1 t0
mmap t0 0x4001000+0x1000 anon=true w=true [unknown]
R 0x4001000 size=4 gap=0 t0
brk t0 0x4035000
brk t0 0x4037000
W 0x4035010 size=16 gap=0 t0
mmap t0 0x4845000+0x5000 anon=false w=false libc.so.6
munmap t0 0x4846000+0x1000
mmap t0 0x4846000+0x1000 anon=false w=true libc.so.6
mmap t0 0x5000000+0x2000 anon=true w=true [anon]
W 0x5001ff8 size=8 gap=0 t0
R 0x1fff000000 size=8 gap=1 t1
block-read t0 4ns v0 0+832
block-read t0 4ns v0 64+784
block-write t0 4ns v0 842+5
block-flush t0 4ns v0 0+0
munmap t0 0x5000000+0x2000
mmap t0 0x6000000+0x4000 anon=true w=true [anon]
munmap t0 0x4845000+0x5000
mmap t0 0x1ffeff0000+0xe000 anon=true w=true [stack]
R 0x1ffeff8000 size=8 gap=0 t0
mmap t0 0x124000+0x1000 anon=false w=true sort
R 0x124008 size=8 gap=0 t0
W 0x6003000 size=8 gap=0 t0
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if h.Program != "p" || len(h.Volumes) != 1 || h.Volumes[0] != (VolumeInfo{"libc.so.6", 848}) {
		t.Errorf("header %+v", h)
	}
}

func TestThinner(t *testing.T) {
	var lines strings.Builder
	for _, l := range []string{
		" L 04035000", " L 04036000", // both enter
		" L 04035008", // dropped
		" S 04035010", // first write: kept
		" S 04035018", // dropped
		" L 04037000", // enters, 4036 leaves
		" L 04036000", // enters again
		" S 04036008", // first write since: kept
		" L 04036010", // dropped, the last: kept for its instructions
	} {
		lines.WriteString("I  0401ab70,3\n" + l + ",8\n")
	}
	maps := "04035000-04038000 rw-p 0 0 0 \n"
	got, h := record(t, 2, maps, lines.String())
	want := `mmap t0 0x4035000+0x3000 anon=true w=true [anon]
R 0x4035000 size=8 gap=1 t0
R 0x4036000 size=8 gap=1 t0
W 0x4035010 size=8 gap=2 t0
R 0x4037000 size=8 gap=2 t0
R 0x4036000 size=8 gap=1 t0
W 0x4036008 size=8 gap=1 t0
R 0x4036010 size=8 gap=1 t0
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if !strings.Contains(h.Thinning, "the last 2 distinct pages") || h.Instructions != 9 {
		t.Errorf("header %+v", h)
	}
}

// Thinning a captured trace afterwards gives what thinning while capturing does.
func TestThinAfterwards(t *testing.T) {
	var lines strings.Builder
	x := uint64(1)
	for i := range 3000 {
		x = x*6364136223846793005 + 1442695040888963407
		addr := 0x4035000 + x>>33%(40<<12)&^7
		op := " L "
		if x>>60&1 == 1 {
			op = " S "
		}
		lines.WriteString("I  0401ab70,3\n" + op + hexText(addr) + ",8\n")
		if i%500 == 0 {
			lines.WriteString("--9--   SCHED[" + string(rune('1'+i/500%2)) + "]:  acquired lock (x)\n")
		}
		if i%700 == 0 {
			lines.WriteString("SYSCALL[9,1](9) sys_mmap ( 0x0, 4096, 3, 34, 4294967295, 0 ) --> [pre-success] Success(0x" + hexText(uint64(0x9000000+i<<12)) + ") \n")
		}
	}
	maps := "04035000-0405e000 rw-p 0 0 0 \n"
	want, _ := record(t, 8, maps, lines.String())

	path := filepath.Join(t.TempDir(), "all.skt")
	w, err := Create(path, captureHeader(CaptureOptions{Program: "p"}))
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder(w, 0, "", func() ([]segment, error) { return parseProcMaps(maps) })
	if _, _, err := r.read(strings.NewReader(lines.String()), &CaptureOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	src, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	thin, err := Thin(src, 8)
	if err != nil {
		t.Fatal(err)
	}
	items, err := drain(thin)
	if err != nil {
		t.Fatal(err)
	}
	if got := describe(items); got != want {
		t.Errorf("thinned afterwards:\n%.2000s\nwhile capturing:\n%.2000s", got, want)
	}
	if _, err := Thin(thin, 4); err == nil {
		t.Error("thinned twice: no error")
	}
}

func hexText(v uint64) string {
	const digits = "0123456789abcdef"
	var b []byte
	for i := 28; i >= 0; i -= 4 {
		b = append(b, digits[v>>i&15])
	}
	return string(b)
}

func TestCleanArg(t *testing.T) {
	for in, want := range map[string]string{
		"-n": "-n", "in.txt": "in.txt", "/home/me/in.txt": "in.txt", "--out=/home/me/out": "--out=out",
		".read '/home/me/x.sql'": ".read 'x.sql'", "s/a/b/": "s/a/b/", "~/x/y": "y", "/a/b:/c/d": "b:d", "": "",
	} {
		if got := cleanArg(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestCaptureOptions(t *testing.T) {
	err := CaptureOptions{Thin: -1}.Validate()
	for _, want := range []string{"out: empty", "program: empty", "thin: -1, want 0 to 1024 pages"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestCaptureWithoutValgrind(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Capture(context.Background(), CaptureOptions{Out: filepath.Join(t.TempDir(), "x.skt"), Program: "true"})
	if !errors.Is(err, ErrNoValgrind) || !strings.Contains(err.Error(), "apt-get install valgrind") {
		t.Errorf("got %v", err)
	}
}

func needValgrind(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("valgrind"); err != nil {
		t.Skip("NOT TESTED: capturing real programs, because valgrind is not installed (apt-get install valgrind)")
	}
}

// A real program: its references, its maps, its file operations, its output.
func TestCapture(t *testing.T) {
	needValgrind(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in.txt"), bytes.Repeat([]byte("x"), 10000), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "x.skt")
	var stdout bytes.Buffer
	o := CaptureOptions{Out: out, Program: "cat", Args: []string{filepath.Join(dir, "in.txt")}, Dir: dir, Stdout: &stdout}
	info, err := Capture(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if stdout.Len() != 10000 || info.ExitCode != 0 {
		t.Errorf("%d bytes of output, exit code %d", stdout.Len(), info.ExitCode)
	}
	if info.Refs < 1000 || info.Instructions < info.Refs || info.Writes == 0 || info.Reads == 0 || info.Mmaps == 0 || info.Brks == 0 || info.Threads != 1 {
		t.Errorf("%+v", info)
	}
	if info.Header.Program != "cat" || info.Header.Args[0] != "in.txt" || info.Header.SynthesisedMaps {
		t.Errorf("header %+v", info.Header)
	}
	found := false
	for _, v := range info.Volumes {
		found = found || v == VolumeInfo{"in.txt", 10000}
	}
	if !found {
		t.Errorf("volumes %+v, want in.txt of 10000 bytes", info.Volumes)
	}
	src, err := Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	checkMaps(t, src)
}

func TestCaptureFails(t *testing.T) {
	needValgrind(t)
	dir := t.TempDir()
	out := filepath.Join(dir, "x.skt")
	if _, err := Capture(context.Background(), CaptureOptions{Out: out, Program: "no-such-program"}); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("no program: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Capture(ctx, CaptureOptions{Out: out, Program: "cat"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	ctx, cancel = context.WithCancel(context.Background())
	info, err := Capture(ctx, CaptureOptions{Out: out, Program: "sh", Args: []string{"-c", "while :; do :; done"}, Progress: func(uint64) { cancel() }})
	if !errors.Is(err, context.Canceled) || info.Refs == 0 || !strings.Contains(info.Truncated, "the capture was interrupted") {
		t.Errorf("interrupted: %d references, %q, %v; want those until then", info.Refs, info.Truncated, err)
	}
	src, err := Open(out)
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(src.Header().DefaultsStated, "\n"); !strings.Contains(text, "end: the program was stopped before its end") {
		t.Errorf("interrupted: the trace says %q", text)
	}
	checkMaps(t, src)
	src.Close()
	info, err = Capture(context.Background(), CaptureOptions{Out: out, Program: "false"})
	if err != nil || info.ExitCode != 1 {
		t.Errorf("false: exit code %d, %v", info.ExitCode, err)
	}
	info, err = Capture(context.Background(), CaptureOptions{Out: out, Program: "false", MaxRefs: 5000})
	if err != nil || info.Refs != 5000 {
		t.Errorf("stopped early: %d references, %v", info.Refs, err)
	}
}

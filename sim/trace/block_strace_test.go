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
	"time"
)

// straced reads a log, as a file named s.log.
func straced(t *testing.T, log string) (string, Header, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.log")
	if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := Open(path)
	if err != nil {
		return "", Header{}, err
	}
	defer src.Close()
	items, err := drain(src)
	return describe(items), src.Header(), err
}

// straceSample has each kind of line once.
const straceSample = `strace: Process 9 attached
7 1700000000.000001 openat(AT_FDCWD</home/me>, "in, \"a\" (x).bin", O_RDONLY) = 3</data/in>
7 1700000000.000002 read(3</data/in>, ""..., 4096) = 4096
7 1700000000.000003 read(3</data/in>, ""..., 4096) = 100
7 1700000000.000004 lseek(3</data/in>, 10, SEEK_SET) = 10
7 1700000000.000005 readv(3</data/in>, [{iov_base=""..., iov_len=5}, {iov_base="", iov_len=6}], 2) = 11
7 1700000000.000006 pread64(3</data/in>, ""..., 784, 64) = 700
7 1700000000.000007 dup(3</data/in>) = 4</data/in>
7 1700000000.000008 read(4</data/in>, ""..., 8) = 8
7 1700000000.000009 --- SIGCHLD {si_signo=SIGCHLD} ---
`

func TestStraceLines(t *testing.T) {
	const open = "7 1.5 openat(AT_FDCWD, \"/d/f\", O_RDWR) = 3\n"
	const appended = "7 1.5 openat(AT_FDCWD, \"/d/f\", O_WRONLY|O_APPEND) = 3\n"
	for name, c := range map[string]struct{ log, want string }{
		"offsets go on":            {open + "7 1.5 read(3, \"\"..., 10) = 10\n7 1.6 write(3, \"\"..., 5) = 5\n", "block-read t0 0ns v0 0+10\nblock-write t0 100000000ns v0 10+5\n"},
		"lseek":                    {open + "7 1.5 lseek(3, -5, SEEK_END) = 95\n7 1.5 write(3, \"\"..., 5) = 5\n", "block-write t0 0ns v0 95+5\n"},
		"own offsets":              {open + "7 1.5 pwrite64(3, \"\"..., 5, 100) = 5\n7 1.5 write(3, \"\"..., 5) = 5\n", "block-write t0 0ns v0 100+5\nblock-write t0 0ns v0 0+5\n"},
		"preadv2 at the own":       {open + "7 1.5 preadv2(3, [{iov_base=\"\", iov_len=7}], 1, -1, 0) = 7\n7 1.5 preadv(3, [], 1, 30) = 7\n", "block-read t0 0ns v0 0+7\nblock-read t0 0ns v0 30+7\n"},
		"append":                   {appended + "7 1.5 write(3, \"\"..., 5) = 5\n7 1.5 lseek(3, 0, SEEK_SET) = 0\n7 1.5 write(3, \"\"..., 5) = 5\n", "block-write t0 0ns v0 0+5\nblock-write t0 0ns v0 5+5\n"},
		"flushes":                  {open + "7 1.5 fsync(3) = 0\n7 1.5 fdatasync(3) = 0\n", "block-flush t0 0ns v0 0+0\nblock-flush t0 0ns v0 0+0\n"},
		"failures and ends":        {open + "7 1.5 read(3, \"\", 10) = 0\n7 1.5 read(3, 0x7f, 10) = -1 EIO (Input/output error)\n7 1.5 read(3, <unfinished ...>) = ?\n", ""},
		"interrupted":              {open + "7 1.5 read(3,  <unfinished ...>\n8 1.6 getpid() = 8\n7 1.7 <... read resumed>\"\"..., 10) = 10\n", "block-read t0 200000000ns v0 0+10\n"},
		"a stream of the start":    {"7 1.5 write(1, \"\"..., 5) = 5\n7 1.5 write(2</tmp/err>, \"\"..., 5) = 5\n7 1.5 fcntl(1, F_DUPFD, 10) = 10\n7 1.5 write(10</tmp/out>, \"\"..., 5) = 5\n", ""},
		"a redirection":            {open + "7 1.5 dup2(3, 1) = 1\n7 1.5 close(3) = 0\n7 1.5 write(1, \"\"..., 5) = 5\n7 1.5 write(3, \"\"..., 5) = 5\n", "block-write t0 0ns v0 0+5\n"},
		"devices and folders":      {"7 1.5 openat(AT_FDCWD, \"/dev/zero\", O_RDONLY) = 3\n7 1.5 read(3, \"\"..., 5) = 5\n7 1.5 openat(AT_FDCWD, \"/d\", O_RDONLY|O_DIRECTORY) = 3\n7 1.5 read(3, \"\"..., 5) = 5\n", ""},
		"a name in a folder":       {"7 1.5 open(\"/d\", O_PATH|O_DIRECTORY) = 4\n7 1.5 openat(4, \"f\", O_RDONLY) = 3\n7 1.5 read(3, \"\"..., 5) = 5\n7 1.5 openat(AT_FDCWD, \"/d/f\", O_RDONLY) = 5\n7 1.5 read(5, \"\"..., 6) = 6\n", "block-read t0 0ns v0 0+5\nblock-read t0 0ns v0 0+6\n"},
		"sockets and pipes":        {"7 1.5 read(3<socket:[12]>, \"\"..., 5) = 5\n7 1.5 read(4<TCP:[1.2.3.4:5->6.7.8.9:10]>, \"\"..., 5) = 5\n7 1.5 read(5<pipe:[1]>, \"\"..., 5) = 5\n", ""},
		"a number that was reused": {open + "7 1.5 read(3<socket:[12]>, \"\"..., 5) = 5\n7 1.5 read(3</e/g>, \"\"..., 5) = 5\n", "block-read t0 0ns v0 0+5\n"},
		"opened before the log":    {"7 1.5 read(5</e/g>, \"\"..., 5) = 5\n7 1.5 read(5</e/g>, \"\"..., 5) = 5\n7 1.5 read(6, \"\"..., 5) = 5\n", "block-read t0 0ns v0 0+5\nblock-read t0 0ns v0 5+5\n"},
		"a copy": {open + "7 1.5 openat(AT_FDCWD, \"/d/g\", O_RDWR) = 4\n7 1.5 copy_file_range(3, NULL, 4, [100], 9000, 0) = 900\n7 1.5 sendfile(4, 3, NULL, 50) = 50\n7 1.5 sendfile(9<socket:[1]>, 3, [7] => [12], 5) = 5\n",
			"block-read t0 0ns v0 0+900\nblock-write t0 0ns v1 100+900\nblock-read t0 0ns v0 900+50\nblock-write t0 0ns v1 0+50\nblock-read t0 0ns v0 7+5\n"},
		"a child shares offsets, not numbers": {open + "7 1.5 vfork( <unfinished ...>\n8 1.5 read(3, \"\"..., 5) = 5\n8 1.5 close(3) = 0\n8 1.5 read(3, \"\"..., 5) = 5\n7 1.5 <... vfork resumed>) = 8\n8 1.5 +++ exited with 0 +++\n7 1.5 read(3, \"\"..., 5) = 5\n",
			"block-read t1 0ns v0 0+5\nblock-read t0 0ns v0 5+5\n"},
		"a thread shares both":    {open + "7 1.5 clone3({flags=CLONE_VM|CLONE_FILES|CLONE_THREAD, exit_signal=0}, 88) = 8\n8 1.5 close(3) = 0\n7 1.5 read(3, \"\"..., 5) = 5\n", ""},
		"pid in brackets, no pid": {"[pid     7] 1.5 open(\"/d/f\", O_RDONLY) = 3\n[pid 7] 1.5 read(3, \"\"..., 5) = 5\n1.5 open(\"/d/f\", O_RDONLY) = 3\n1.5 read(3, \"\"..., 5) = 5\n", "block-read t0 0ns v0 0+5\nblock-read t1 0ns v0 0+5\n"},
		"truncation":              {"7 1.5 open(\"/d/f\", O_WRONLY|O_APPEND) = 3\n7 1.5 write(3, \"\"..., 5) = 5\n7 1.5 ftruncate(3, 2) = 0\n7 1.5 write(3, \"\"..., 5) = 5\n", "block-write t0 0ns v0 0+5\nblock-write t0 0ns v0 2+5\n"},
		"a time that runs back":   {open + "7 2.5 read(3, \"\"..., 5) = 5\n7 2.4 read(3, \"\"..., 5) = 5\n7 2.6 read(3, \"\"..., 5) = 5\n", "block-read t0 1000000000ns v0 0+5\nblock-read t0 1000000000ns v0 5+5\nblock-read t0 1100000000ns v0 10+5\n"},
	} {
		got, h, err := straced(t, c.log)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got != c.want {
			t.Errorf("%s:\n%swant\n%s", name, got, c.want)
		}
		if h.Source != straceFormat || len(h.DefaultsStated) < 3 {
			t.Errorf("%s: header %+v", name, h)
		}
	}
	got, h, err := straced(t, straceSample)
	want := "block-read t0 1000ns v0 0+4096\nblock-read t0 2000ns v0 4096+100\nblock-read t0 4000ns v0 10+11\nblock-read t0 5000ns v0 64+700\nblock-read t0 7000ns v0 21+8\n"
	if err != nil || got != want || len(h.Volumes) != 1 || h.Volumes[0].Name != "in" {
		t.Errorf("%v, volumes %v:\n%swant\n%s", err, h.Volumes, got, want)
	}
}

func TestStraceFaults(t *testing.T) {
	const first = "7 1.5 openat(AT_FDCWD, \"/d/f\", O_RDWR) = 3\n"
	for log, want := range map[string]string{
		first + "hello\n":                                                    `s.log: line 2: "hello", expected `,
		first + "7 12:30:00.5 read(3) = 1\n":                                 `s.log: line 2: "7 12:30:00.5 read(3) = 1", expected `,
		first + "7 1.6 read(3, \"\"..., 10\n":                                `line 2: "7 1.6 read(3, \"\"..., 10", expected`,
		first + "7 1.6 read(3, \"\", 10) = x\n":                              `line 2:`,
		first + "7 1.6 pread64(3, \"\"..., 10, x) = 10\n":                    "line 2: pread64 whose offset cannot be read, expected a number as its argument 4",
		first + "7 1.6 pwritev(3, [], 1) = 10\n":                             "line 2: pwritev whose offset cannot be read, expected a number as its argument 4",
		first + "7 1.6 pread64(3, \"\"..., 10, 18446744073709551615) = 10\n": "line 2: 10 bytes at offset 18446744073709551615 of f, expected an end below 2^64",
	} {
		if _, _, err := straced(t, log); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", log, err, want)
		}
	}
}

func FuzzStrace(f *testing.F) {
	f.Add([]byte(straceSample))
	f.Add([]byte("7 1.5 vfork( <unfinished ...>\n8 1.5 read(3</x>, \"\"..., 5) = 5\n7 1.5 <... vfork resumed>) = 8\n7 1.5 copy_file_range(3</a>, [1], 4</b>, [100], 9000, 0) = 900\n"))
	f.Add([]byte("1.5 open(\"/d/f\", O_RDONLY) = 3\n1.5 dup2(3, 18446744073709551615) = 18446744073709551615\n1.5 fsync(3) = 0\n"))
	fuzzText(f, straceFormat)
}

// TestCaptureBlocks: strace of a real program, whose requests are known.
func TestCaptureBlocks(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("NOT TESTED: capturing blocks of real programs, because strace is not installed (apt-get install strace)")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in.bin"), bytes.Repeat([]byte("x"), 20000), 0o600); err != nil {
		t.Fatal(err)
	}
	o := CaptureOptions{Kind: Blocks, Out: filepath.Join(dir, "x.skt"), Program: "sh", Args: []string{"-c", "dd if=in.bin of=out.bin bs=4096 conv=fsync 2>/dev/null; cat < in.bin"}, Dir: dir}
	var stdout bytes.Buffer
	o.Stdout = &stdout
	info, err := Capture(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]uint64{}
	for _, v := range info.Volumes {
		sizes[v.Name] = v.SizeBytes
	}
	if sizes["in.bin"] != 20000 || sizes["out.bin"] != 20000 || info.BlockFlushes != 1 || info.BlockWriteBytes != 20000 || info.BlockReadBytes < 40000 || stdout.Len() != 20000 || info.Truncated != "" {
		t.Errorf("volumes %v, %+v, %d bytes of output", sizes, info, stdout.Len())
	}
	o.MaxRefs = 3
	if info, err = Capture(context.Background(), o); err != nil || info.BlockReads+info.BlockWrites != 3 || !strings.Contains(info.Truncated, "after 3 requests") {
		t.Errorf("stopped after 3: %+v, %v", info, err)
	}
}

// TestCaptureBlocksInterrupted: what was recorded until then is kept; that the log ends within a line is no fault of the program's.
func TestCaptureBlocksInterrupted(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("NOT TESTED: requests to files, because strace is not installed")
	}
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	o := CaptureOptions{Kind: Blocks, Out: filepath.Join(dir, "x.skt"), Program: "dd", Args: []string{"if=/dev/zero", "of=" + filepath.Join(dir, "out"), "bs=512", "conv=notrunc"}}
	o.Progress = func(uint64) { cancel() }
	info, err := Capture(ctx, o)
	if !errors.Is(err, context.Canceled) || info.BlockWrites == 0 || !strings.Contains(info.Truncated, "the capture was interrupted") {
		t.Errorf("%d requests, %q, %v; want those until then", info.BlockWrites, info.Truncated, err)
	}
	if _, err := os.Stat(o.Out); err != nil {
		t.Error(err)
	}
}

// TestCaptureBudget: a program that never ends is stopped when its time is over, what was recorded is there, and the header says so.
func TestCaptureBudget(t *testing.T) {
	for kind, tool := range map[string]string{References: "valgrind", Blocks: "strace", Pages: "sleep"} {
		t.Run("kind "+kind, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(tool); err != nil {
				t.Skipf("NOT TESTED: a time budget, because %s is not installed", tool)
			}
			o := CaptureOptions{Kind: kind, Out: filepath.Join(t.TempDir(), "x.skt"), Program: "sleep", Args: []string{"1000"}, TimeBudget: 2 * time.Second}
			info, err := Capture(context.Background(), o)
			if errors.Is(err, ErrPagesUnsupported) {
				t.Skipf("NOT TESTED: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			stated := strings.Join(info.Header.DefaultsStated, "\n")
			if info.Refs+info.BlockReads == 0 || !strings.Contains(info.Truncated, "its time budget of ") || !strings.Contains(stated, "end: the program was stopped before its end, after ") {
				t.Errorf("%d references, %d reads, truncated: %q, stated: %s", info.Refs, info.BlockReads, info.Truncated, stated)
			}
		})
	}
	o := CaptureOptions{Kind: "x", Thin: 3, TimeBudget: -1, Interval: time.Second, Out: "x", Program: "x"}
	err := o.Validate()
	for _, want := range []string{`kind: "x", want "pages", "blocks" or nothing`, "time budget: -1ns, want 0", "interval: only a capture of pages"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

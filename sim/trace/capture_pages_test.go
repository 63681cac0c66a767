package trace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCapturePages: dd fills a buffer of 8 MiB again and again, so that each sample has its 2048 pages as written.
func TestCapturePages(t *testing.T) {
	if _, err := exec.LookPath("dd"); err != nil {
		t.Skip("NOT TESTED: sampling of pages, because there is no dd")
	}
	const buffer = 8 << 20 >> PageShift
	o := CaptureOptions{Kind: Pages, Out: filepath.Join(t.TempDir(), "x.skt"), Program: "dd", Args: []string{"if=/dev/zero", "of=/dev/null", "bs=8M"}, Interval: 20 * time.Millisecond, MaxRefs: 6 * buffer, TimeBudget: 20 * time.Second}
	info, err := Capture(context.Background(), o)
	if errors.Is(err, ErrPagesUnsupported) {
		t.Skipf("NOT TESTED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if info.Refs < o.MaxRefs || info.WrittenPages < buffer || info.WrittenPages > 2*buffer || info.Writes < 4*buffer || !strings.Contains(info.Truncated, "as many as were asked for") {
		t.Errorf("%d references, %d writes to %d pages, %q; want about 2048 pages written again and again", info.Refs, info.Writes, info.WrittenPages, info.Truncated)
	}
	h := info.Header
	if h.Granularity != PageBytes || h.SynthesisedMaps || info.Instructions == 0 || !strings.Contains(h.Thinning, "sampled every 20ms") || !strings.Contains(strings.Join(h.DefaultsStated, "\n"), "sampling: ") {
		t.Errorf("header %+v, %d instructions", h, info.Instructions)
	}
	src, err := Open(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	checkMaps(t, src)
}

// TestCapturePagesEnds: of a program that ends by itself the code is known; one that becomes another is refused; a user's end keeps what there is.
func TestCapturePagesEnds(t *testing.T) {
	dir := t.TempDir()
	o := CaptureOptions{Kind: Pages, Out: filepath.Join(dir, "x.skt"), Program: "sh", Args: []string{"-c", "exit 3"}}
	info, err := Capture(context.Background(), o)
	if errors.Is(err, ErrPagesUnsupported) {
		t.Skipf("NOT TESTED: %v", err)
	}
	if err != nil || info.ExitCode != 3 || info.Truncated != "" {
		t.Errorf("exit code %d, %q, %v", info.ExitCode, info.Truncated, err)
	}
	os.Remove(o.Out)
	o.Interval = MinInterval
	o.Args = []string{"-c", "exec sleep 1000"}
	if _, err := Capture(context.Background(), o); err == nil || !strings.Contains(err.Error(), "replaced itself by another one (exec), /") {
		t.Errorf("another program: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o.Program, o.Args, o.Interval = "sleep", []string{"1000"}, MinInterval
	o.Progress = func(uint64) { cancel() }
	info, err = Capture(ctx, o)
	if !errors.Is(err, context.Canceled) || info.Refs == 0 || !strings.Contains(info.Truncated, "the capture was interrupted") {
		t.Errorf("interrupted: %d references, %q, %v; want those until then", info.Refs, info.Truncated, err)
	}
}

// TestDotSlash: a program beside the caller is not one of the same name in PATH.
func TestDotSlash(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for text, want := range map[string]string{"./w": filepath.Join(dir, "w"), "w": "w", "a/w": filepath.Join(dir, "a/w"), "/a/w": "/a/w"} {
		if got := (&CaptureOptions{Program: text}).programPath(); got != want {
			t.Errorf("%s is looked for at %s, want %s", text, got, want)
		}
	}
	if got := (&CaptureOptions{Program: "./w", Dir: "/d"}).programPath(); got != "/d/w" {
		t.Errorf("./w in /d is looked for at %s", got)
	}
}

func TestReadProcMaps(t *testing.T) {
	got, err := readProcMaps(`00400000-00401000 r--p 00000000 fe:00 247770                             /usr/bin/my sort
00401000-00402000 rw-s 00001000 fe:00 247770                             /usr/bin/my sort
00403000-00405000 ---p 00000000 00:00 0
01000000-01021000 rw-p 00000000 00:00 0                                  [heap]
7ffe3c6dd000-7ffe3c6df000 r-xp 00000000 00:00 0                          [vdso]
7fff00000000-7fff00001000 rw-p 00000000 00:00 0
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
`)
	want := `[{{4194304 4198400} false false false my} {{4198400 4202496} true true false my} {{16777216 16912384} true false true [heap]} {{140733193388032 140733193392128} true false true [anon]}]`
	if text := fmt.Sprint(got); err != nil || text != want {
		t.Errorf("%v: %s, want %s", err, text, want)
	}
	for _, bad := range []string{"x", "1000-2000 rw-p 0 0 0\nhello world", "1000-0fff rw-p 0 0 0", "1000-2001 rw-p 0 0 0", "1000-2000 rw 0 0 0"} {
		if _, err := readProcMaps(bad); err == nil || !strings.Contains(err.Error(), "maps of the program: line ") {
			t.Errorf("%q: %v, want the line named", bad, err)
		}
	}
}

// BenchmarkCapture reports how much longer sort takes with each kind of capture than alone, in one run: more lines for sampling, which is
// fast, fewer for lackey, which is not.
func BenchmarkCapture(b *testing.B) {
	lines := func(n int) string {
		path := filepath.Join(b.TempDir(), "lines")
		f, err := os.Create(path)
		if err != nil {
			b.Fatal(err)
		}
		for i := range uint64(n) {
			fmt.Fprintln(f, i*0x9e3779b97f4a7c15)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
		return path
	}
	few, many := lines(10_000), lines(1_000_000)
	for _, c := range []struct{ kind, in string }{{Pages, many}, {Blocks, many}, {References, few}} {
		name := c.kind
		if name == References {
			name = "references"
		}
		b.Run(name, func(b *testing.B) {
			var bare, captured time.Duration
			for b.Loop() {
				begun := time.Now()
				cmd := exec.Command("sort", "--parallel=1", "-S", "256M", c.in)
				cmd.Stdout = io.Discard
				if err := cmd.Run(); err != nil {
					b.Fatal(err)
				}
				bare += time.Since(begun)
				begun = time.Now()
				o := CaptureOptions{Kind: c.kind, Out: filepath.Join(b.TempDir(), "x.skt"), Program: "sort", Args: []string{"--parallel=1", "-S", "256M", c.in}, Stdout: io.Discard}
				if _, err := Capture(context.Background(), o); err != nil {
					b.Skip(err)
				}
				captured += time.Since(begun)
			}
			b.ReportMetric(float64(captured)/float64(bare), "x-bare")
		})
	}
}

package trace

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	ossyscall "syscall"
	"time"
)

// CaptureOptions says what to capture.
type CaptureOptions struct {
	Out     string    // path of the .skt
	Program string    // a path or a name to look up in PATH
	Args    []string  //
	Dir     string    // working directory, "" = the caller's
	Env     []string  // environment, nil = the caller's
	Stdin   io.Reader // nil = /dev/null
	Stdout  io.Writer // nil = /dev/null
	Stderr  io.Writer // nil = /dev/null
	Thin    int       // leave out a reference to one of the last Thin pages, 0 = keep all; at most MaxThin
	MaxRefs uint64    // stop the program after this many references, 0 = never
}

// Validate returns all faults.
func (o CaptureOptions) Validate() error {
	var errs []error
	if o.Out == "" {
		errs = append(errs, errors.New("out: empty, want the path of a .skt file"))
	}
	if o.Program == "" {
		errs = append(errs, errors.New("program: empty, want a program to run"))
	}
	if o.Thin < 0 || o.Thin > MaxThin {
		errs = append(errs, fmt.Errorf("thin: %d, want 0 to %d pages", o.Thin, MaxThin))
	}
	return errors.Join(errs...)
}

// ErrNoValgrind is wrapped by the error of Capture where valgrind is missing.
var ErrNoValgrind = errors.New("valgrind is not installed")

const (
	// logFd is where the child finds the pipe: the first of ExtraFiles.
	logFd = "3"
	// pipeLines is the buffer in front of the parser.
	pipeLines = 1 << 20
	// maxStrangeLines is how many lines may be unlike anything known: some
	// system calls print text of the program, in lines of their own.
	maxStrangeLines = 1000
	// killGrace is how long a stopped program has before its pipes are closed.
	killGrace = 5 * time.Second
)

// Capture runs a program under Valgrind's lackey and writes its references,
// memory maps and file operations to a .skt. The trace of lackey comes through
// a pipe and is never stored. It returns when the program has ended; when ctx
// ends it kills the program, writes nothing and returns ctx's error.
//
// A program that exits with a code other than 0 was captured all the same:
// see Info.ExitCode.
func Capture(ctx context.Context, o CaptureOptions) (Info, error) {
	if err := o.Validate(); err != nil {
		return Info{}, fmt.Errorf("capture: %w", err)
	}
	valgrind, err := exec.LookPath("valgrind")
	if err != nil {
		return Info{}, fmt.Errorf("capture: %w: install it with `apt-get install valgrind`", ErrNoValgrind)
	}
	program := o.Program
	if strings.ContainsRune(program, '/') && !filepath.IsAbs(program) {
		program = filepath.Join(o.Dir, program)
	}
	if program, err = exec.LookPath(program); err != nil {
		return Info{}, fmt.Errorf("capture: %w", err)
	}
	w, err := Create(o.Out, captureHeader(o))
	if err != nil {
		return Info{}, fmt.Errorf("capture: %w", err)
	}
	defer w.Abort() // does nothing after Close
	code, err := runLackey(ctx, o, valgrind, program, w)
	if err != nil {
		return Info{}, fmt.Errorf("capture of %s: %w", filepath.Base(program), err)
	}
	if err := w.Close(); err != nil {
		return Info{}, fmt.Errorf("capture of %s: %w", filepath.Base(program), err)
	}
	src, err := Open(o.Out)
	if err != nil {
		return Info{}, err
	}
	defer src.Close()
	info, err := Stat(src)
	info.ExitCode = code
	return info, err
}

func captureHeader(o CaptureOptions) Header {
	h := Header{Program: baseName(o.Program), Source: "capture", Thinning: thinningText(o.Thin), Granularity: 1,
		HasMaps: true, HasGaps: true, HasWrites: true,
		DefaultsStated: []string{
			"time of file operations: instructions executed so far, 1 ns each (the clock under Valgrind is no measure)",
			"volumes: one a file, by base name",
		}}
	for _, a := range o.Args {
		h.Args = append(h.Args, cleanArg(a))
	}
	if o.MaxRefs > 0 {
		h.DefaultsStated = append(h.DefaultsStated, fmt.Sprintf("end: the program was stopped if it came to %d references", o.MaxRefs))
	}
	return h
}

// runLackey runs the program and feeds what lackey prints to a recorder. It
// returns the program's exit code.
func runLackey(ctx context.Context, o CaptureOptions, valgrind, program string, w *Writer) (int, error) {
	pr, pw, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer pr.Close()
	// The child dies with the thread that started it: keep that thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	args := []string{"--tool=lackey", "--trace-mem=yes", "--basic-counts=no", "--trace-syscalls=yes", "--trace-sched=yes",
		"--vgdb=no", "--fair-sched=try", "--child-silent-after-fork=yes", "--log-fd=" + logFd, "--", program}
	cmd := exec.CommandContext(ctx, valgrind, append(args, o.Args...)...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = o.Dir, o.Env, o.Stdin, o.Stdout, o.Stderr
	cmd.ExtraFiles = []*os.File{pw}
	cmd.SysProcAttr = &ossyscall.SysProcAttr{Setpgid: true, Pdeathsig: ossyscall.SIGKILL}
	cmd.Cancel = func() error { return ossyscall.Kill(-cmd.Process.Pid, ossyscall.SIGKILL) }
	cmd.WaitDelay = killGrace
	if err := cmd.Start(); err != nil {
		pw.Close()
		return 0, err
	}
	pw.Close()
	rec := newRecorder(w, o.Thin, o.Dir, func() ([]segment, error) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", cmd.Process.Pid))
		if err != nil {
			return nil, fmt.Errorf("cannot read the maps of the program: %w", err)
		}
		return parseProcMaps(string(text))
	})
	talk, cut, err := rec.read(pr, o.MaxRefs)
	if err != nil || cut {
		cancel()
	}
	waitErr := cmd.Wait()
	if err != nil {
		return 0, err
	}
	if err := context.Cause(ctx); err != nil && !cut {
		return 0, err
	}
	var exit *exec.ExitError
	if waitErr != nil && !cut && !(errors.As(waitErr, &exit) && exit.Exited()) {
		return 0, waitErr
	}
	if rec.seen == 0 {
		return 0, fmt.Errorf("valgrind made no trace (%v); it said: %s", waitErr, talk)
	}
	if rec.strange > maxStrangeLines {
		return 0, fmt.Errorf("%d lines of valgrind were not understood, the last %q", rec.strange, rec.lastBad)
	}
	if cut {
		return 0, nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

// read takes lines until the end, or until there are max references. talk is
// the last that Valgrind said in words.
func (r *recorder) read(in io.Reader, max uint64) (talk string, cut bool, err error) {
	lines := &lineReader{in: bufio.NewReaderSize(in, pipeLines), path: "valgrind"}
	for {
		b, err := lines.next()
		if err == io.EOF {
			return talk, false, r.thin.finish()
		}
		if err != nil {
			return talk, false, err
		}
		if len(b) > 0 && b[0] == '=' || r.seen == 0 && valgrindLine(b) {
			talk = clip(string(b))
		}
		if err := r.line(b); err != nil {
			return talk, false, fmt.Errorf("valgrind's line %d: %w", lines.line, err)
		}
		if max > 0 && r.w.h.Refs >= max {
			return talk, true, nil
		}
	}
}

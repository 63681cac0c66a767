package trace

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	ossyscall "syscall"
)

const (
	// logFd is where the child finds the pipe: the first of ExtraFiles.
	logFd = "3"
	// pipeLines is the buffer in front of the parser.
	pipeLines = 1 << 20
	// maxStrangeLines is how many lines may be unlike anything known: some
	// system calls print text of the program, in lines of their own.
	maxStrangeLines = 1000
	// progressLines is how often Progress is told.
	progressLines = 1 << 18
)

// runLackey runs the program and feeds what lackey prints to a recorder.
func runLackey(outer context.Context, o CaptureOptions, valgrind, program string, w *Writer) (ending, error) {
	pr, pw, err := os.Pipe()
	if err != nil {
		return ending{}, err
	}
	defer pr.Close()
	// The child dies with the thread that started it: keep that thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, over, cancel := o.budget(outer)
	defer cancel()
	args := []string{"--tool=lackey", "--trace-mem=yes", "--basic-counts=no", "--trace-syscalls=yes", "--trace-sched=yes",
		"--vgdb=no", "--fair-sched=try", "--child-silent-after-fork=yes", "--log-fd=" + logFd, "--", program}
	cmd := o.command(ctx, valgrind, append(args, o.Args...)...)
	cmd.ExtraFiles = []*os.File{pw}
	if err := cmd.Start(); err != nil {
		pw.Close()
		return ending{}, err
	}
	pw.Close()
	rec := newRecorder(w, o.Thin, o.Dir, func() ([]segment, error) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", cmd.Process.Pid))
		if err != nil {
			return nil, fmt.Errorf("cannot read the maps of the program: %w", err)
		}
		return parseProcMaps(string(text))
	})
	talk, full, err := rec.read(pr, &o)
	if err != nil || full {
		cancel()
	}
	waitErr := cmd.Wait()
	if err != nil {
		return ending{}, err
	}
	cut := full || over() && waitErr != nil
	if cause := context.Cause(outer); cause != nil && rec.seen == 0 {
		return ending{}, cause
	}
	if rec.seen == 0 && over() {
		return ending{}, fmt.Errorf("the time budget of %v was over before the first reference, want more", o.TimeBudget)
	}
	var exit *exec.ExitError
	if waitErr != nil && !cut && !(errors.As(waitErr, &exit) && exit.Exited()) {
		return ending{}, waitErr
	}
	if rec.seen == 0 {
		return ending{}, fmt.Errorf("valgrind made no trace (%v); it said: %s", waitErr, talk)
	}
	if rec.strange > maxStrangeLines {
		return ending{}, fmt.Errorf("%d lines of valgrind were not understood, the last %q", rec.strange, rec.lastBad)
	}
	if cut {
		return o.cutEnding(outer, full, w.h.Refs, "references"), nil
	}
	return ending{code: cmd.ProcessState.ExitCode()}, nil
}

// command is a program in a group of its own, which dies with ctx and with this process.
func (o *CaptureOptions) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = o.Dir, o.Env, o.Stdin, o.Stdout, o.Stderr
	cmd.SysProcAttr = &ossyscall.SysProcAttr{Setpgid: true, Pdeathsig: ossyscall.SIGKILL}
	cmd.Cancel = func() error { return ossyscall.Kill(-cmd.Process.Pid, ossyscall.SIGKILL) }
	cmd.WaitDelay = killGrace
	return cmd
}

// read takes lines until the end, or until there are MaxRefs references: then it is full. talk is
// the last that Valgrind said in words.
func (r *recorder) read(in io.Reader, o *CaptureOptions) (talk string, full bool, err error) {
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
		if o.MaxRefs > 0 && r.w.h.Refs >= o.MaxRefs {
			return talk, true, nil
		}
		if lines.line%progressLines == 0 {
			o.progress(r.w.h.Refs)
		}
	}
}

package trace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
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
	MaxRefs uint64    // stop the program after this many references (of Blocks: requests), 0 = never

	Kind string // what is recorded, and how: References, the default, Pages or Blocks
	// TimeBudget stops the program after so much time; what was recorded is kept, and the header says so. 0 = never.
	TimeBudget time.Duration
	Interval   time.Duration // of Pages: from one sample to the next; 0 = DefaultInterval
	// Progress, if not nil, is told now and then how many references or requests there are.
	Progress func(n uint64)
}

// Kinds of capture.
const (
	References = ""       // every reference, under Valgrind's lackey
	Pages      = "pages"  // pages touched in each interval, at nearly full speed
	Blocks     = "blocks" // requests to files, by strace
)

// Bounds of an interval.
const (
	DefaultInterval = 100 * time.Millisecond
	MinInterval     = time.Millisecond
	MaxInterval     = time.Minute
)

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
	switch o.Kind {
	case References:
	case Pages, Blocks:
		if o.Thin > 0 {
			errs = append(errs, fmt.Errorf("thin: %d of a capture of %s, want 0: only references are thinned out", o.Thin, o.Kind))
		}
	default:
		errs = append(errs, fmt.Errorf("kind: %q, want %q, %q or nothing", o.Kind, Pages, Blocks))
	}
	if o.TimeBudget < 0 {
		errs = append(errs, fmt.Errorf("time budget: %v, want 0 (none) or more", o.TimeBudget))
	}
	if o.Interval != 0 && (o.Interval < MinInterval || o.Interval > MaxInterval) {
		errs = append(errs, fmt.Errorf("interval: %v, want %v to %v", o.Interval, MinInterval, MaxInterval))
	}
	if o.Interval != 0 && o.Kind != Pages {
		errs = append(errs, fmt.Errorf("interval: only a capture of %s has one", Pages))
	}
	return errors.Join(errs...)
}

// What the errors of Capture wrap where a tool is missing.
var (
	ErrNoValgrind = errors.New("valgrind is not installed")
	ErrNoStrace   = errors.New("strace is not installed")
)

var missing = map[string]error{"valgrind": ErrNoValgrind, "strace": ErrNoStrace}

// killGrace is how long a stopped program has before its pipes are closed.
const killGrace = 5 * time.Second

// Capture runs a program, records what Kind says and writes it to a .skt: its references, memory maps and file operations under Valgrind's
// lackey; or the pages that it touches; or its requests to files. What is recorded comes through a pipe and is never stored. It
// returns when the program has ended, or was stopped by MaxRefs or TimeBudget (then Info.Truncated says so). When ctx ends it kills the
// program, keeps what was recorded, and returns ctx's cause beside an Info with Truncated; without one where nothing was recorded, and
// there is no file.
//
// A program that exits with a code other than 0 was captured all the same: see Info.ExitCode.
func Capture(ctx context.Context, o CaptureOptions) (Info, error) {
	if err := o.Validate(); err != nil {
		return Info{}, fmt.Errorf("capture: %w", err)
	}
	run, tool := runLackey, "valgrind"
	switch o.Kind {
	case Pages:
		run, tool = runPages, ""
	case Blocks:
		run, tool = runStrace, "strace"
	}
	if tool != "" {
		path, err := exec.LookPath(tool)
		if err != nil {
			return Info{}, fmt.Errorf("capture: %w: install it with `apt-get install %s`", missing[tool], tool)
		}
		tool = path
	}
	program, err := exec.LookPath(o.programPath())
	if err != nil {
		return Info{}, fmt.Errorf("capture: %w", err)
	}
	w, err := Create(o.Out, captureHeader(o))
	if err != nil {
		return Info{}, fmt.Errorf("capture: %w", err)
	}
	defer w.Abort() // does nothing after Close
	end, err := run(ctx, o, tool, program, w)
	if err != nil {
		return Info{}, fmt.Errorf("capture of %s: %w", filepath.Base(program), err)
	}
	if end.cut != "" {
		w.h.DefaultsStated = append(w.h.DefaultsStated, "end: "+end.cut)
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
	info.ExitCode, info.Truncated = end.code, end.cut
	return info, errors.Join(err, end.stop)
}

// programPath is where to look for the program: a name in PATH, or an absolute path. `./w` is not w.
func (o *CaptureOptions) programPath() string {
	if !strings.ContainsRune(o.Program, '/') || filepath.IsAbs(o.Program) {
		return o.Program
	}
	if path, err := filepath.Abs(filepath.Join(o.Dir, o.Program)); err == nil {
		return path
	}
	return o.Program
}

// ending is how a captured program ended.
type ending struct {
	code int
	cut  string // why it was stopped before its end, "" = it was not
	stop error  // the caller's cause, if it was the caller
}

// cutEnding is how a program ended that was stopped with n references or requests: full, by the caller, or else because its time was over.
func (o *CaptureOptions) cutEnding(caller context.Context, full bool, n uint64, what string) ending {
	e := ending{}
	why := fmt.Sprintf("its time budget of %v was over", o.TimeBudget)
	switch cause := context.Cause(caller); {
	case full:
		why = fmt.Sprintf("as many as were asked for, %d", o.MaxRefs)
	case cause != nil:
		why, e.stop = "the capture was interrupted", cause
	}
	e.cut = fmt.Sprintf("the program was stopped before its end, after %d %s: %s", n, what, why)
	return e
}

// budget ends a context when the time of a capture is over. over tells an end of it, or of the caller's, from any other end of the program.
func (o *CaptureOptions) budget(ctx context.Context) (_ context.Context, over func() bool, stop func()) {
	caller := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	over = func() bool { return caller.Err() != nil || errors.Is(context.Cause(ctx), errBudget) }
	if o.TimeBudget == 0 {
		return ctx, over, func() { cancel(nil) }
	}
	t := time.AfterFunc(o.TimeBudget, func() { cancel(errBudget) })
	return ctx, over, func() { t.Stop(); cancel(nil) }
}

// errBudget is the cause of a context whose time is over.
var errBudget = errors.New("the time budget is over")

// progress tells how many there are, once in a while.
func (o *CaptureOptions) progress(n uint64) {
	if o.Progress != nil {
		o.Progress(n)
	}
}

func captureHeader(o CaptureOptions) Header {
	h := Header{Program: baseName(o.Program), Source: "capture", Thinning: thinningText(o.Thin), Granularity: 1}
	switch o.Kind {
	case References:
		h.HasMaps, h.HasGaps, h.HasWrites = true, true, true
		h.DefaultsStated = []string{
			"time of file operations: instructions executed so far, 1 ns each (the clock under Valgrind is no measure)",
			"volumes: one a file, by base name",
		}
	case Pages:
		pagesHeader(&h, o.interval())
	case Blocks:
		h.HasWrites = true
	}
	for _, a := range o.Args {
		h.Args = append(h.Args, cleanArg(a))
	}
	return h
}

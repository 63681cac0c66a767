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
)

// logPath is where strace finds the pipe.
const logPath = "/dev/fd/3"

// runStrace runs the program under strace, and records its requests to files.
func runStrace(outer context.Context, o CaptureOptions, tool, program string, w *Writer) (ending, error) {
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
	args := []string{"-f", "-ttt", "-y", "-s", "0", "-e", "trace=" + straceCalls, "-o", logPath, "--", program}
	cmd := o.command(ctx, tool, append(args, o.Args...)...)
	cmd.ExtraFiles = []*os.File{pw}
	if err := cmd.Start(); err != nil {
		pw.Close()
		return ending{}, err
	}
	pw.Close()
	n, full, err := recordStrace(w, pr, &o)
	if full || err != nil {
		cancel()
	}
	waitErr := cmd.Wait()
	cut := full || over() && waitErr != nil
	var bad *BadRecord
	if cut && errors.As(err, &bad) { // the last line, of which only a part was written
		err = nil
	}
	if err != nil {
		return ending{}, err
	}
	if cause := context.Cause(outer); cause != nil && n == 0 {
		return ending{}, cause
	}
	if cut {
		return o.cutEnding(outer, full, n, "requests"), nil
	}
	var exit *exec.ExitError
	if waitErr != nil && !(errors.As(waitErr, &exit) && exit.Exited()) {
		return ending{}, waitErr
	}
	if w.h.BlockOps == 0 && waitErr != nil {
		return ending{}, fmt.Errorf("strace recorded no request (%w); its own words are in what the program printed", waitErr)
	}
	return ending{code: cmd.ProcessState.ExitCode()}, nil
}

// recordStrace writes what a log has, until it ends or there are as many requests as were asked for: then it is full.
func recordStrace(w *Writer, from io.Reader, o *CaptureOptions) (n uint64, full bool, err error) {
	in := &input{Reader: bufio.NewReaderSize(from, pipeLines), path: "strace", stop: func() {}}
	p, err := newStrace(in)
	if err != nil {
		return 0, false, err
	}
	log := p.(*strace)
	stated := w.h.DefaultsStated
	defer func() {
		var h Header
		log.header(&h)
		w.h.DefaultsStated = append(stated, h.DefaultsStated...)
	}()
	var b Batch
	for {
		line, err := log.in.next()
		if err == io.EOF {
			return n, false, nil
		}
		if err == nil {
			b.Events = b.Events[:0]
			err = log.line(&b, string(line))
		}
		if err != nil {
			return n, false, err
		}
		for _, e := range b.Events {
			for _, v := range log.volumes[len(w.h.Volumes):] {
				if _, err := w.AddVolume(v); err != nil {
					return n, false, err
				}
			}
			if err := w.Event(e); err != nil {
				return n, false, err
			}
			w.SetVolumeSize(e.Volume, e.Offset+e.Length)
			if n++; o.MaxRefs > 0 && n >= o.MaxRefs {
				return n, true, nil
			}
			if n%progressRequests == 0 {
				o.progress(n)
			}
		}
	}
}

// progressRequests is how often Progress is told.
const progressRequests = 1 << 10

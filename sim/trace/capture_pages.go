package trace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// ErrPagesUnsupported is wrapped by the error of a capture of pages where the machine cannot do it.
var ErrPagesUnsupported = errors.New("sampling of pages needs Linux 6.7 or newer on x86-64, with userfaultfd")

// seenEvery is of how many intervals one is measured: how much of what is touched is seen.
const seenEvery = 10

// interval is from one sample to the next.
func (o *CaptureOptions) interval() time.Duration {
	if o.Interval == 0 {
		return DefaultInterval
	}
	return o.Interval
}

// pagesHeader says what a sample is.
func pagesHeader(h *Header, interval time.Duration) {
	h.Granularity = PageBytes
	h.HasMaps, h.HasGaps, h.HasWrites = true, true, true
	h.Thinning = fmt.Sprintf("pages, sampled every %v: one write for each page that was written in the interval, however often, in the order of addresses; "+
		"one read for each page that was found there for the first time and was not written; later reads are not seen", interval)
	h.DefaultsStated = []string{
		"instructions: 1 for each ns of processor time, spread evenly over the references of an interval",
		"thread: all references are of thread 0",
		"first reads of files: the kernel may map up to 16 pages around the one that was read",
		"not in it: what other processes do that the program starts, and what happens after the last sample",
	}
}

// runPages runs the program, and samples which of its pages are touched.
func runPages(outer context.Context, o CaptureOptions, _, program string, w *Writer) (ending, error) {
	// Only the thread that started the child may trace it, and the child dies with it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, over, cancel := o.budget(outer)
	defer cancel()
	cmd := o.command(ctx, program, o.Args...)
	cmd.SysProcAttr.Ptrace = true
	if err := cmd.Start(); err != nil {
		return ending{}, err
	}
	ended := make(chan error, 1)
	abandon := func(err error) (ending, error) {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed: that it ended so is no news
		if cause := context.Cause(outer); cause != nil {
			return ending{}, cause
		}
		if over() { // which killed it before it could be sampled
			return o.cutEnding(outer, false, w.h.Refs, "references"), nil
		}
		return ending{}, err
	}
	uffd, err := userfaultfdOf(cmd.Process.Pid)
	if err != nil {
		return abandon(fmt.Errorf("%w: %w", ErrPagesUnsupported, err))
	}
	scanner, err := newPageScanner(cmd.Process.Pid, uffd)
	if err != nil {
		return abandon(err)
	}
	defer scanner.close()
	s := &pageSampler{w: w, pid: cmd.Process.Pid, scanner: scanner}
	if err := s.sample(); err != nil {
		return abandon(err)
	}
	if err := letGo(cmd.Process.Pid); err != nil {
		return abandon(err)
	}
	started := time.Now()
	go func() { ended <- cmd.Wait() }()
	full, err := s.run(&o, ended)
	if err != nil || full {
		cancel()
	}
	if s.waitErr == nil && !s.gone {
		s.waitErr = <-ended
	}
	cut := full || over() && s.waitErr != nil
	if err != nil {
		return ending{}, err
	}
	w.h.DefaultsStated = append(w.h.DefaultsStated, s.seen(time.Since(started)))
	if cut {
		return o.cutEnding(outer, full, w.h.Refs, "references"), nil
	}
	var exit *exec.ExitError
	if s.waitErr != nil && !(errors.As(s.waitErr, &exit) && exit.Exited()) {
		return ending{}, s.waitErr
	}
	return ending{code: cmd.ProcessState.ExitCode()}, nil
}

// pageSampler turns what the scanner finds into a trace.
type pageSampler struct {
	w       *Writer
	pid     int
	scanner *pageScanner
	maps    []procMap
	known   pageSet
	found   []Ref
	cpu     uint64 // ns, of the last sample that had references
	samples int

	longest      time.Duration // from one sample to the next
	measured     bool          // references are counted from the last sample on
	touched      uint64        // pages, of the intervals that are measured
	recorded     uint64        // of them
	gone         bool          // the program has ended
	waitErr      error         // how
	unwatched    uint64        // bytes that the kernel does not watch
	lastSampleAt time.Time
}

// run samples until the program has ended, or there are as many references as were asked for: then it is full.
func (s *pageSampler) run(o *CaptureOptions, ended chan error) (full bool, err error) {
	tick := time.NewTicker(o.interval())
	defer tick.Stop()
	for {
		select {
		case s.waitErr = <-ended:
			s.gone = true
			return false, nil
		case <-tick.C:
		}
		switch err := s.sample(); {
		case errors.Is(err, unix.ESRCH): // it is ending, or its memory is another program's
			if other := programOf(s.pid); other != "" {
				return false, fmt.Errorf("the program replaced itself by another one (exec), %s: name that program, or capture it without --pages", other)
			}
			select {
			case s.waitErr = <-ended:
				s.gone = true
				return false, nil
			case <-time.After(killGrace):
				return false, errors.New("the program has no memory any more and does not end: capture it without --pages")
			}
		case err != nil:
			return false, err
		}
		o.progress(s.w.h.Refs)
		if o.MaxRefs > 0 && s.w.h.Refs >= o.MaxRefs {
			return true, nil
		}
	}
}

// sample takes one sample.
func (s *pageSampler) sample() error {
	now := time.Now()
	if s.samples > 0 {
		s.longest = max(s.longest, now.Sub(s.lastSampleAt))
	}
	s.lastSampleAt = now
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", s.pid))
	if err != nil || len(text) == 0 {
		return unix.ESRCH
	}
	maps, err := readProcMaps(string(text))
	if err != nil {
		return err
	}
	if err := s.remap(maps); err != nil {
		return err
	}
	s.found, s.unwatched = s.found[:0], 0
	for _, m := range maps {
		if err := s.scanner.watch(m.lo, m.hi); errors.Is(err, unix.ESRCH) {
			return err
		} else if err != nil { // not of a kind that can be watched: shared and read-only, or gone by now
			s.unwatched += m.hi - m.lo
		}
		if err := s.scanner.scan(m.lo, m.hi, func(r pageRegion) error { s.region(m, r); return nil }); err != nil {
			return err
		}
	}
	s.measure()
	s.samples++
	return s.write()
}

// programOf is the path of the program that a process is; "" = it has no memory, because it is ending.
func programOf(pid int) string {
	if maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid)); err != nil || len(maps) == 0 {
		return ""
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return ""
	}
	return path
}

// region takes pages that are alike.
func (s *pageSampler) region(m procMap, r pageRegion) {
	wrote := r.categories&pageIsWritten != 0
	if r.categories&pageIsZero != 0 || r.categories&pageIsFile != 0 && !(m.shared && m.writable) {
		wrote = false // a page that was written is the program's own
	}
	for a := r.start; a < r.end; a += PageBytes {
		fresh := s.known.add(a >> PageShift)
		if wrote {
			s.found = append(s.found, Ref{Addr: a, Flags: FlagWrite})
		} else if fresh {
			s.found = append(s.found, Ref{Addr: a})
		}
	}
}

// write writes what was found, and shares the processor time among it.
func (s *pageSampler) write() error {
	n := uint64(len(s.found))
	if n == 0 {
		return nil
	}
	cpu := processorTime(s.pid)
	gap := (max(cpu, s.cpu) - s.cpu) / n
	s.cpu = max(cpu, s.cpu)
	for _, r := range s.found {
		r.Gap = uint32(min(gap, 1<<32-1))
		if err := s.w.Ref(r); err != nil {
			return err
		}
	}
	return nil
}

// processorTime is what a process has used, in ns; 0 if that cannot be told.
func processorTime(pid int) uint64 {
	const scheduled = 2 // CPUCLOCK_SCHED
	var t unix.Timespec
	if unix.ClockGettime(int32(^pid)<<3|scheduled, &t) != nil {
		return 0
	}
	return uint64(t.Nano())
}

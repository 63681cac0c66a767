package calibrate

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// cpu is the processor time that both processes have taken so far.
func (l *Live) cpu() time.Duration { return cpuOf(0) + cpuOf(l.cmd.Process.Pid) }

// cpuOf is that of one process, 0 for this one. The kernel makes the clock of a process from its number (clock_getcpuclockid).
func cpuOf(pid int) time.Duration {
	clock := int32(unix.CLOCK_PROCESS_CPUTIME_ID)
	if pid != 0 {
		clock = int32(^pid<<3 | 2)
	}
	var t unix.Timespec
	if unix.ClockGettime(clock, &t) != nil {
		return 0 // the process is gone; whoever waits for it tells
	}
	return time.Duration(t.Nano())
}

func fdatasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

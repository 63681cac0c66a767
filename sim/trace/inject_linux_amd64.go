package trace

import (
	"fmt"
	ossyscall "syscall"

	"golang.org/x/sys/unix"
)

// Calls that a program is made to make before its first instruction.
const (
	callUserfaultfd = 323
	callPrctl       = 157
	callClose       = 3

	prSetTHPDisable = 41
	uffdUserMode    = 1 // UFFD_USER_MODE_ONLY: needs no privilege
)

// syscallText is the instruction `syscall`.
var syscallText = []byte{0x0f, 0x05}

// userfaultfdOf gives a userfaultfd of the memory of a child that was started with Ptrace and has not run yet: the child is made to open
// one, to close it again after we have a copy, and to do without huge pages. Then it is let go: nothing traces it any more. It
// must be called from the thread that started the child.
func userfaultfdOf(pid int) (fd int, err error) {
	var ws ossyscall.WaitStatus
	if _, err := ossyscall.Wait4(pid, &ws, ossyscall.WALL, nil); err != nil {
		return -1, fmt.Errorf("wait for its start: %w", err)
	}
	if !ws.Stopped() {
		return -1, fmt.Errorf("it ended before its first instruction (%#x)", uint32(ws))
	}
	in, err := newInjector(pid)
	if err != nil {
		return -1, err
	}
	theirs, err := in.call(callUserfaultfd, uffdUserMode|unix.O_CLOEXEC|unix.O_NONBLOCK)
	if err != nil {
		return -1, fmt.Errorf("userfaultfd: %w", err)
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1, fmt.Errorf("pidfd_open: %w", err)
	}
	defer unix.Close(pidfd)
	if fd, err = unix.PidfdGetfd(pidfd, int(theirs), 0); err != nil {
		return -1, fmt.Errorf("pidfd_getfd: %w", err)
	}
	_, errClose := in.call(callClose, theirs)
	_, errHuge := in.call(callPrctl, prSetTHPDisable, 1)
	for _, err := range []error{errClose, errHuge, in.restore()} {
		if err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	return fd, nil
}

// letGo lets a stopped child run, untraced.
func letGo(pid int) error { return unix.PtraceDetach(pid) }

// injector makes a stopped process make system calls.
type injector struct {
	pid  int
	regs unix.PtraceRegs
	text []byte // what was where the instruction is now
}

func newInjector(pid int) (*injector, error) {
	in := &injector{pid: pid, text: make([]byte, len(syscallText))}
	if err := unix.PtraceGetRegs(pid, &in.regs); err != nil {
		return nil, fmt.Errorf("read its registers: %w", err)
	}
	if _, err := unix.PtracePeekText(pid, uintptr(in.regs.Rip), in.text); err != nil {
		return nil, fmt.Errorf("read its first instruction: %w", err)
	}
	if _, err := unix.PtracePokeText(pid, uintptr(in.regs.Rip), syscallText); err != nil {
		return nil, fmt.Errorf("put an instruction before its first: %w", err)
	}
	return in, nil
}

// call makes one call and gives its result.
func (in *injector) call(number uint64, args ...uint64) (uint64, error) {
	r := in.regs
	r.Rax, r.Orig_rax = number, ^uint64(0)
	for i, at := range []*uint64{&r.Rdi, &r.Rsi, &r.Rdx, &r.R10, &r.R8}[:5] {
		if *at = 0; i < len(args) {
			*at = args[i]
		}
	}
	if err := unix.PtraceSetRegs(in.pid, &r); err != nil {
		return 0, fmt.Errorf("set its registers: %w", err)
	}
	if err := unix.PtraceSingleStep(in.pid); err != nil {
		return 0, fmt.Errorf("make it step: %w", err)
	}
	var ws ossyscall.WaitStatus
	if _, err := ossyscall.Wait4(in.pid, &ws, ossyscall.WALL, nil); err != nil {
		return 0, fmt.Errorf("wait for its step: %w", err)
	}
	if !ws.Stopped() || ws.StopSignal() != ossyscall.SIGTRAP {
		return 0, fmt.Errorf("it did not step (%#x)", uint32(ws))
	}
	if err := unix.PtraceGetRegs(in.pid, &r); err != nil {
		return 0, fmt.Errorf("read its registers: %w", err)
	}
	const maxErrno = 4095
	if r.Rax > ^uint64(0)-maxErrno {
		return 0, ossyscall.Errno(-r.Rax)
	}
	return r.Rax, nil
}

// restore puts back what was there.
func (in *injector) restore() error {
	if _, err := unix.PtracePokeText(in.pid, uintptr(in.regs.Rip), in.text); err != nil {
		return fmt.Errorf("put back its first instruction: %w", err)
	}
	if err := unix.PtraceSetRegs(in.pid, &in.regs); err != nil {
		return fmt.Errorf("put back its registers: %w", err)
	}
	return nil
}

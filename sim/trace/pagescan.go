package trace

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the kernel's userfaultfd.h and fs.h say.
const (
	uffdAPI      = 0xc018aa3f // UFFDIO_API
	uffdRegister = 0xc020aa00 // UFFDIO_REGISTER
	uffdVersion  = 0xaa
	uffdModeWP   = 1 << 1

	featureWPUnpopulated = 1 << 13
	featureWPAsync       = 1 << 15

	pagemapScan    = 0xc0606610 // PAGEMAP_SCAN
	scanWPMatching = 1 << 0

	pageIsWritten = 1 << 1
	pageIsFile    = 1 << 2
	pageIsPresent = 1 << 3
	pageIsSwapped = 1 << 4
	pageIsZero    = 1 << 5 // the zero page: read, never written
)

// pageRegion is struct page_region: pages alike.
type pageRegion struct{ start, end, categories uint64 }

// scanRegions is how many regions one call gives.
const scanRegions = 1 << 12

// pageScanner finds what was written in the memory of another process since it looked last. The kernel protects its pages from writing and
// takes the protection away by itself at the first write (asynchronous write protection, Linux 6.7), so the process never waits for us.
type pageScanner struct {
	uffd    int
	pagemap *os.File
	regions []pageRegion
}

// newPageScanner takes over uffd, also if it fails.
func newPageScanner(pid, uffd int) (*pageScanner, error) {
	api := struct{ api, features, ioctls uint64 }{uffdVersion, featureWPUnpopulated | featureWPAsync, 0}
	if err := ioctl(uffd, uffdAPI, unsafe.Pointer(&api)); err != nil {
		unix.Close(uffd)
		return nil, fmt.Errorf("%w: userfaultfd has no asynchronous write protection (%w)", ErrPagesUnsupported, err)
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/pagemap", pid))
	if err != nil {
		unix.Close(uffd)
		return nil, err
	}
	return &pageScanner{uffd: uffd, pagemap: f, regions: make([]pageRegion, scanRegions)}, nil
}

func (s *pageScanner) close() {
	s.pagemap.Close()
	unix.Close(s.uffd)
}

// watch has the writes of lo..hi noticed from now on. It may be called again for what is watched already.
func (s *pageScanner) watch(lo, hi uint64) error {
	r := struct{ start, len, mode, ioctls uint64 }{lo, hi - lo, uffdModeWP, 0}
	return ioctl(s.uffd, uffdRegister, unsafe.Pointer(&r))
}

// scan calls found for the pages of lo..hi that are there, as runs of one kind, and protects those that were written anew.
func (s *pageScanner) scan(lo, hi uint64, found func(r pageRegion) error) error {
	for lo < hi {
		arg := struct {
			size, flags, start, end, walkEnd, vec, vecLen, maxPages, inverted, mask, anyOf, returned uint64
		}{size: 96, flags: scanWPMatching, start: lo, end: hi, vec: uint64(uintptr(unsafe.Pointer(&s.regions[0]))), vecLen: scanRegions,
			anyOf: pageIsPresent | pageIsSwapped, returned: pageIsWritten | pageIsFile | pageIsPresent | pageIsZero}
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, s.pagemap.Fd(), pagemapScan, uintptr(unsafe.Pointer(&arg)))
		if errno == unix.EINTR {
			continue
		}
		if errno == unix.ENOTTY || errno == unix.EINVAL {
			return fmt.Errorf("%w: PAGEMAP_SCAN: %w", ErrPagesUnsupported, errno)
		}
		if errno != 0 {
			return errno
		}
		for _, r := range s.regions[:n] {
			if err := found(r); err != nil {
				return err
			}
		}
		if arg.walkEnd <= lo {
			return errors.New("PAGEMAP_SCAN makes no progress")
		}
		lo = arg.walkEnd
	}
	return nil
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
		if errno == 0 {
			return nil
		}
		if errno != unix.EINTR {
			return errno
		}
	}
}

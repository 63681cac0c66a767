//go:build linux && !race

package arena

import "golang.org/x/sys/unix"

func resident(b []byte) uint64 { return touched(b) }

func allocate(size int, dense bool) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err == nil && dense {
		_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // a kernel without huge pages serves small ones
	}
	return b, err
}

func release(b []byte) error {
	if b == nil {
		return nil
	}
	return unix.Munmap(b)
}

func populate(b []byte) bool {
	return len(b) == 0 || unix.Madvise(b, unix.MADV_POPULATE_WRITE) == nil // Linux 5.14
}

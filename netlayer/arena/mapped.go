//go:build linux && !race

package arena

import "golang.org/x/sys/unix"

func allocate(size int) ([]byte, error) {
	return unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
}

func release(b []byte) error {
	if b == nil {
		return nil
	}
	return unix.Munmap(b)
}

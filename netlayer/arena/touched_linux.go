package arena

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// askedPages is about how many pages the kernel is asked at once: one byte each.
const askedPages = 1 << 16

// touched gives the bytes of mapped memory for which there are pages. What the kernel does not tell counts as touched.
func touched(b []byte) (n uint64) {
	page := os.Getpagesize()
	vec := make([]byte, min(askedPages, (len(b)+page-1)/page))
	for len(b) > 0 {
		part := b[:min(len(b), len(vec)*page)]
		b = b[len(part):]
		pages := (len(part) + page - 1) / page
		// x/sys has the number of mincore but no function.
		_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&part[0])), uintptr(len(part)), uintptr(unsafe.Pointer(&vec[0])))
		if errno != 0 {
			n += uint64(len(part))
			continue
		}
		for _, v := range vec[:pages] {
			n += uint64(v&1) * uint64(page)
		}
	}
	return n
}

//go:build !(linux && amd64)

package trace

// userfaultfdOf needs registers and system calls that it knows.
func userfaultfdOf(int) (int, error) { return -1, ErrPagesUnsupported }

func letGo(int) error { return ErrPagesUnsupported }

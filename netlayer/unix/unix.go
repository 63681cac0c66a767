package unix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// MaxPath is the length of the longest path of a socket in bytes: sun_path has 108, the last is zero (unix(7)).
const MaxPath = 107

// sendBuffer is how many bytes the kernel may hold of what a client wrote and the server has not read, in bytes. A message of a move is
// 256 KiB: with the usual 208 KiB its writer sleeps within every message, and the reader soon after.
const sendBuffer = 1 << 20

// probeTimeout bounds the question whether anybody answers on an old socket file.
const probeTimeout = time.Second

// Listen listens on path. A socket file that nobody answers on any more is removed first; another kind of file never is.
func Listen(path string) (net.Listener, error) {
	if err := check(path); err != nil {
		return nil, fmt.Errorf("listen on unix:%s: %w", path, err)
	}
	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err = removeStale(path); err == nil {
			l, err = net.Listen("unix", path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listen on unix:%s: %w", path, err)
	}
	return l, nil
}

func removeStale(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("the file exists and is no socket; choose another path: %w", syscall.EADDRINUSE)
	}
	c, err := net.DialTimeout("unix", path, probeTimeout)
	if err == nil {
		c.Close()
		return fmt.Errorf("the address is in use: another process answers there: %w", syscall.EADDRINUSE)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the address is in use: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the stale socket: %w", err)
	}
	return nil
}

// Dial connects to path.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	if err := check(path); err != nil {
		return nil, fmt.Errorf("connect to unix:%s: %w", path, err)
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("connect to unix:%s: %w", path, err)
	}
	if u, ok := c.(*net.UnixConn); ok {
		_ = u.SetWriteBuffer(sendBuffer) // a kernel that allows less gives less
	}
	return c, nil
}

func check(path string) error {
	if path == "" {
		return errors.New("the path is empty")
	}
	if len(path) > MaxPath {
		return fmt.Errorf("the path has %d bytes, a socket's path at most %d; use a shorter folder", len(path), MaxPath)
	}
	return nil
}

package unix_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"splitkernel/netlayer/unix"
)

func TestStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as after a kill -9
	l.Close()
	l, err = unix.Listen(path)
	if err != nil {
		t.Fatalf("a socket file that nobody answers on: %v", err)
	}
	if _, err := unix.Listen(path); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "unix:"+path) {
		t.Errorf("a socket on which somebody answers: %v", err)
	}
	if c, err := unix.Dial(context.Background(), path); err != nil {
		t.Errorf("the first listener was disturbed: %v", err)
	} else {
		c.Close()
	}
	l.Close()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket file is left behind")
	}
}

func TestOtherFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Listen(path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file that is no socket: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "data" {
		t.Errorf("the file was changed: %q, %v", b, err)
	}
}

func TestLongPath(t *testing.T) {
	dir := t.TempDir()
	fits := filepath.Join(dir, strings.Repeat("x", unix.MaxPath-len(dir)-1))
	if len(dir) < unix.MaxPath-1 {
		l, err := unix.Listen(fits)
		if err != nil {
			t.Fatalf("a path of %d bytes: %v", len(fits), err)
		}
		l.Close()
	}
	for _, err := range []error{
		func() error { _, err := unix.Listen(fits + "y"); return err }(),
		func() error { _, err := unix.Dial(context.Background(), fits+"y"); return err }(),
	} {
		if err == nil || !strings.Contains(err.Error(), "at most 107") {
			t.Errorf("a path of %d bytes: %v", len(fits)+1, err)
		}
	}
}

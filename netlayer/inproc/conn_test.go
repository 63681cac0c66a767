package inproc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestBytes: what is written in pieces of any size is read in pieces of any size, in order, never more than the buffer.
func TestBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := pair("x")
		defer a.Close()
		defer b.Close()
		var written, read byte
		in := 0
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				n := min(rapid.IntRange(0, 100_000).Draw(t, "n"), bufferBytes-in)
				p := make([]byte, n)
				for i := range p {
					p[i] = written
					written++
				}
				if m, err := a.Write(p); m != n || err != nil {
					t.Fatal(m, err)
				}
				in += n
			},
			"read": func(t *rapid.T) {
				p := make([]byte, rapid.IntRange(1, 100_000).Draw(t, "n"))
				m, err := b.TryRead(p)
				if err != nil || m != min(in, len(p)) {
					t.Fatalf("%d of %d bytes: %v", m, in, err)
				}
				for _, c := range p[:m] {
					if c != read {
						t.Fatal("another byte")
					}
					read++
				}
				in -= m
			},
		})
	})
}

func TestFullWaits(t *testing.T) {
	a, b := pair("x")
	defer a.Close()
	defer b.Close()
	data := bytes.Repeat([]byte("0123456789"), bufferBytes/4)
	done := make(chan error, 1)
	go func() {
		n, err := a.Write(data)
		if n != len(data) && err == nil {
			err = io.ErrShortWrite
		}
		done <- err
	}()
	got := make([]byte, len(data))
	if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%v, or other bytes", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	a.SetWriteDeadline(time.Now().Add(time.Millisecond))
	if n, err := a.Write(make([]byte, bufferBytes+1)); n != bufferBytes || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write beyond the buffer: %d, %v", n, err)
	}
}

func TestDeadlines(t *testing.T) {
	a, b := pair("x")
	defer a.Close()
	defer b.Close()
	one := make([]byte, 1)
	for _, d := range []time.Duration{-time.Second, time.Millisecond} {
		b.SetReadDeadline(time.Now().Add(d))
		if _, err := b.Read(one); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("deadline in %v: %v", d, err)
		}
	}
	// Another deadline that passes while a read waits ends it; taken away, reading goes on.
	b.SetReadDeadline(time.Time{})
	done := make(chan error, 1)
	go func() {
		_, err := b.Read(one)
		done <- err
	}()
	b.SetDeadline(time.Unix(1, 0))
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	b.SetDeadline(time.Time{})
	if n, err := b.TryRead(one); n != 0 || err != nil {
		t.Errorf("nothing there: %d, %v", n, err)
	}
	a.Write([]byte{7})
	if n, err := b.Read(one); n != 1 || err != nil || one[0] != 7 {
		t.Errorf("after the deadline was taken away: %d, %v", n, err)
	}
}

func TestClose(t *testing.T) {
	a, b := pair("x")
	a.Write([]byte("last"))
	a.Close()
	if got, err := io.ReadAll(b); string(got) != "last" || err != nil {
		t.Errorf("after the other end closed: %q, %v", got, err)
	}
	if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a write to a closed end: %v", err)
	}
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read from one's own closed end: %v", err)
	}
	b.Close()
	// A listener that closes also closes what it did not accept.
	l, err := Listen(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	c, err := Dial(context.Background(), t.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l.Close()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a connection that was never accepted: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
	if _, err := Dial(context.Background(), t.Name()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial after close: %v", err)
	}
}

func TestBacklog(t *testing.T) {
	l, err := Listen(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range backlog + 1 {
		c, err := Dial(context.Background(), t.Name())
		if i < backlog && err != nil || i == backlog && err == nil {
			t.Fatalf("connection %d of %d: %v", i+1, backlog, err)
		}
		if err == nil {
			defer c.Close()
		}
	}
}

// TestDeadlinesAgain: a deadline that replaces another one allocates nothing, and the older one, even if it is passing, is not heard.
func TestDeadlinesAgain(t *testing.T) {
	a, b := pair("x")
	defer a.Close()
	defer b.Close()
	one := make([]byte, 1)
	for i := range 500 {
		b.SetReadDeadline(time.Now().Add(time.Duration(i%50) * time.Microsecond))
		b.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := a.Write(one); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Read(one); err != nil {
			t.Fatalf("in turn %d: %v", i, err)
		}
	}
	if n := testing.AllocsPerRun(100, func() { b.SetReadDeadline(time.Now().Add(time.Hour)) }); n != 0 {
		t.Errorf("%v allocations a deadline", n)
	}
	b.SetReadDeadline(time.Now().Add(time.Millisecond)) // the timer still works
	if _, err := b.Read(one); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, want a deadline", err)
	}
}

package inproc

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// bufferBytes bounds the bytes of one direction that were written and not read, as a socket's buffer does.
const bufferBytes = 256 << 10

// conn is one end: it reads from in and writes to out.
type conn struct {
	addr    Addr
	in, out *buffer
}

func pair(addr Addr) (*conn, *conn) {
	x, y := newBuffer(), newBuffer()
	return &conn{addr, x, y}, &conn{addr, y, x}
}

func (c *conn) Read(b []byte) (int, error)  { return c.in.read(b, true) }
func (c *conn) Write(b []byte) (int, error) { return c.out.write(b, true) }

// TryRead reads what is there without waiting: 0 and nil if there is nothing.
func (c *conn) TryRead(b []byte) (int, error) { return c.in.read(b, false) }

// TryWrite writes what there is room for without waiting.
func (c *conn) TryWrite(b []byte) (int, error) { return c.out.write(b, false) }

// Close ends both directions: the other end reads what was written, then io.EOF, and its writes fail.
func (c *conn) Close() error {
	c.in.closeReader()
	c.out.closeWriter()
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return c.addr }
func (c *conn) RemoteAddr() net.Addr { return c.addr }

func (c *conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readLimit, t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeLimit, t)
	return nil
}

// limit is a deadline of one side of a buffer. Its timer is made once: who waits with a deadline sets a new one all the time.
type limit struct {
	timer  *time.Timer
	at     time.Time // by the monotonic clock; zero if there is none: then a timer that goes off is of an older deadline
	passed bool
}

// buffer is a ring of bytes between one writer's end and one reader's end.
type buffer struct {
	mu                    sync.Mutex
	canRead, canWrite     sync.Cond
	ring                  []byte // grows to bufferBytes on demand, so that idle connections are small
	start, n              int
	readLimit, writeLimit limit
	readerGone            bool
	writerGone            bool
}

// firstRing is the size of a ring before it must grow, in bytes.
const firstRing = 4 << 10

func newBuffer() *buffer {
	b := &buffer{ring: make([]byte, firstRing)}
	b.canRead.L, b.canWrite.L = &b.mu, &b.mu
	return b
}

func (b *buffer) read(p []byte, wait bool) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch {
		case b.readerGone:
			return 0, net.ErrClosed
		case b.readLimit.passed:
			return 0, os.ErrDeadlineExceeded
		case b.n > 0 || len(p) == 0:
			total := 0
			for total < len(p) && b.n > 0 {
				k := copy(p[total:], b.ring[b.start:min(b.start+b.n, len(b.ring))])
				total, b.n = total+k, b.n-k
				if b.start += k; b.start == len(b.ring) {
					b.start = 0
				}
			}
			b.canWrite.Broadcast()
			return total, nil
		case b.writerGone:
			return 0, io.EOF
		case !wait:
			return 0, nil
		}
		b.canRead.Wait()
	}
}

func (b *buffer) write(p []byte, wait bool) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	total := 0
	for {
		switch {
		case b.writerGone:
			return total, net.ErrClosed
		case b.readerGone:
			return total, syscall.EPIPE
		case b.writeLimit.passed:
			return total, os.ErrDeadlineExceeded
		case total == len(p):
			return total, nil
		}
		if b.n+len(p)-total > len(b.ring) && len(b.ring) < bufferBytes {
			b.grow(b.n + len(p) - total)
		}
		for total < len(p) && b.n < len(b.ring) {
			end := (b.start + b.n) % len(b.ring)
			k := copy(b.ring[end:min(len(b.ring), end+len(b.ring)-b.n)], p[total:])
			total, b.n = total+k, b.n+k
		}
		b.canRead.Broadcast()
		if total < len(p) {
			if !wait {
				return total, nil
			}
			b.canWrite.Wait()
		}
	}
}

func (b *buffer) grow(want int) {
	size := len(b.ring)
	for size < want && size < bufferBytes {
		size *= 2
	}
	ring := make([]byte, size)
	k := copy(ring, b.ring[b.start:min(b.start+b.n, len(b.ring))])
	copy(ring[k:b.n], b.ring)
	b.ring, b.start = ring, 0
}

func (b *buffer) closeReader() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.readerGone = true
	b.readLimit.stop()
	b.wake()
}

func (b *buffer) closeWriter() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writerGone = true
	b.writeLimit.stop()
	b.wake()
}

func (b *buffer) wake() {
	b.canRead.Broadcast()
	b.canWrite.Broadcast()
}

func (l *limit) stop() {
	if l.timer != nil {
		l.timer.Stop()
	}
	l.at = time.Time{}
}

// setDeadline sets l, one of b's limits; a zero t takes it away.
func (b *buffer) setDeadline(l *limit, t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l.stop()
	l.passed = false
	if t.IsZero() {
		return
	}
	now := time.Now()
	d := t.Sub(now)
	if d <= 0 {
		l.passed = true
		b.wake()
		return
	}
	l.at = now.Add(d)
	if l.timer != nil {
		l.timer.Reset(d)
		return
	}
	l.timer = time.AfterFunc(d, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if !l.at.IsZero() && !time.Now().Before(l.at) {
			l.passed = true
			b.wake()
		}
	})
}

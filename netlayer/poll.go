package netlayer

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// pollWait is how long a poll may wait on a connection that cannot be asked without waiting.
const pollWait = time.Millisecond

// poller reads what a connection has without waiting for more, and writes what it takes at once. It is built once per connection, so that a
// poll allocates nothing. One goroutine may read and one may write.
type poller struct {
	nc      net.Conn
	try     tryer           // inproc
	raw     syscall.RawConn // sockets
	in, out attempt
}

// tryer is a connection that can be asked without waiting.
type tryer interface {
	TryRead([]byte) (int, error)
	TryWrite([]byte) (int, error)
}

// attempt is a system call on a socket that does not wait.
type attempt struct {
	fn  func(fd uintptr) bool
	buf []byte
	n   int
	err error
}

func (a *attempt) prepare(call func(fd int, b []byte) (int, error)) {
	a.fn = func(fd uintptr) bool {
		for {
			a.n, a.err = call(int(fd), a.buf)
			if a.err != syscall.EINTR {
				return true
			}
		}
	}
}

// make makes the call by way of how. It gives 0 and nil if that would have waited.
func (a *attempt) make(how func(func(fd uintptr) bool) error, b []byte) (int, error) {
	a.buf = b
	err := how(a.fn)
	a.buf = nil
	switch {
	case err != nil:
		return 0, err
	case a.err == syscall.EAGAIN:
		return 0, nil
	case a.err != nil:
		return 0, a.err
	}
	return a.n, nil
}

func newPoller(nc net.Conn) *poller {
	p := &poller{nc: nc}
	p.try, _ = nc.(tryer)
	if sc, ok := nc.(syscall.Conn); ok {
		p.raw, _ = sc.SyscallConn()
	}
	p.in.prepare(syscall.Read)
	p.out.prepare(syscall.Write)
	return p
}

// tryRead reads what is there: 0 and nil if there is nothing now, io.EOF at the end.
func (p *poller) tryRead(b []byte) (int, error) {
	switch {
	case len(b) == 0:
		return 0, nil
	case p.try != nil:
		return p.try.TryRead(b)
	case p.raw != nil:
		n, err := p.in.make(p.raw.Read, b)
		if n == 0 && err == nil && p.in.err == nil {
			err = io.EOF
		}
		return n, err
	}
	p.nc.SetReadDeadline(time.Now().Add(pollWait))
	n, err := p.nc.Read(b)
	p.nc.SetReadDeadline(time.Time{})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, err
}

// tryWrite writes what the connection takes now and gives how much that was. One that cannot be asked takes nothing.
func (p *poller) tryWrite(b []byte) (int, error) {
	switch {
	case p.try != nil:
		return p.try.TryWrite(b)
	case p.raw != nil:
		return p.out.make(p.raw.Write, b)
	}
	return 0, nil
}

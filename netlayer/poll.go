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

// poller reads what a connection has without waiting for more. It is built once per connection, so that a poll
// allocates nothing.
type poller struct {
	nc  net.Conn
	try interface{ TryRead([]byte) (int, error) } // inproc
	raw syscall.RawConn                           // sockets
	fn  func(fd uintptr) bool
	buf []byte
	n   int
	err error
}

func newPoller(nc net.Conn) *poller {
	p := &poller{nc: nc}
	p.try, _ = nc.(interface{ TryRead([]byte) (int, error) })
	if sc, ok := nc.(syscall.Conn); ok {
		p.raw, _ = sc.SyscallConn()
	}
	p.fn = func(fd uintptr) bool {
		for {
			p.n, p.err = syscall.Read(int(fd), p.buf)
			if p.err != syscall.EINTR {
				return true
			}
		}
	}
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
		p.buf = b
		err := p.raw.Read(p.fn)
		p.buf = nil
		switch {
		case err != nil:
			return 0, err
		case p.err == syscall.EAGAIN:
			return 0, nil
		case p.err != nil:
			return 0, p.err
		case p.n == 0:
			return 0, io.EOF
		}
		return p.n, nil
	}
	p.nc.SetReadDeadline(time.Now().Add(pollWait))
	n, err := p.nc.Read(b)
	p.nc.SetReadDeadline(time.Time{})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, err
}

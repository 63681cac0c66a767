package netlayer

import (
	"context"
	"fmt"
	"net"
	"strings"

	"splitkernel/netlayer/inproc"
	"splitkernel/netlayer/tcp"
	"splitkernel/netlayer/unix"
)

// Addr is the address of a component: "unix:/path", "tcp:127.0.0.1:7001" or "inproc:name".
type Addr string

// split gives the transport and what it calls an address.
func (a Addr) split() (transport, rest string, err error) {
	transport, rest, ok := strings.Cut(string(a), ":")
	if !ok || rest == "" {
		return "", "", fmt.Errorf("address %q: want unix:/path, tcp:host:port or inproc:name", string(a))
	}
	return transport, rest, nil
}

// Validate reports what is wrong with the form of the address.
func (a Addr) Validate() error {
	transport, rest, err := a.split()
	if err != nil {
		return err
	}
	switch transport {
	case "tcp":
		if _, _, err := net.SplitHostPort(rest); err != nil {
			return fmt.Errorf("address %q: want tcp:host:port: %w", string(a), err)
		}
	case "unix":
		if len(rest) > unix.MaxPath {
			return fmt.Errorf("address %q: the path has %d bytes, a socket's path at most %d; use a shorter folder", string(a), len(rest), unix.MaxPath)
		}
	case "inproc":
	default:
		return fmt.Errorf("address %q: transport %q is unknown, want one of inproc, tcp, unix", string(a), transport)
	}
	return nil
}

// Listen listens on addr. The listener's own address, with the port that was chosen for port 0, is AddrOf(l).
func Listen(addr Addr) (net.Listener, error) {
	if err := addr.Validate(); err != nil {
		return nil, err
	}
	transport, rest, _ := addr.split()
	switch transport {
	case "tcp":
		return tcp.Listen(rest)
	case "unix":
		return unix.Listen(rest)
	}
	return inproc.Listen(rest)
}

// AddrOf gives the address under which peers reach l.
func AddrOf(l net.Listener) Addr {
	return Addr(l.Addr().Network() + ":" + l.Addr().String())
}

// Dial connects to addr. The connection carries no hello yet; Peer does that.
func Dial(ctx context.Context, addr Addr) (net.Conn, error) {
	if err := addr.Validate(); err != nil {
		return nil, err
	}
	transport, rest, _ := addr.split()
	switch transport {
	case "tcp":
		return tcp.Dial(ctx, rest)
	case "unix":
		return unix.Dial(ctx, rest)
	}
	return inproc.Dial(ctx, rest)
}

package tcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen listens on host:port; port 0 takes a free one.
func Listen(hostport string) (net.Listener, error) {
	l, err := net.Listen("tcp", hostport)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on tcp:%s: the port is in use by another process; choose a free one: %w", hostport, err)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on tcp:%s: %w", hostport, err)
	}
	return l, nil
}

// Dial connects to host:port.
func Dial(ctx context.Context, hostport string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", hostport)
	if err != nil {
		return nil, fmt.Errorf("connect to tcp:%s: %w", hostport, err)
	}
	return c, nil
}

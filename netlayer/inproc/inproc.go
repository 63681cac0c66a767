package inproc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// backlog bounds the connections that wait to be accepted.
const backlog = 128

// Addr is the name of a listener.
type Addr string

// Network gives "inproc".
func (Addr) Network() string { return "inproc" }

func (a Addr) String() string { return string(a) }

// registry holds the listeners of this process by name. It is a global because names are the process's, as paths and
// ports are the machine's.
var registry = struct {
	sync.Mutex
	byName map[string]*listener
}{byName: make(map[string]*listener)}

type listener struct {
	name   string
	queue  chan *conn
	closed chan struct{}
	once   sync.Once
}

// Listen listens under a name.
func Listen(name string) (net.Listener, error) {
	if name == "" {
		return nil, errors.New("listen on inproc: the name is empty")
	}
	registry.Lock()
	defer registry.Unlock()
	if registry.byName[name] != nil {
		return nil, fmt.Errorf("listen on inproc:%s: the name is in use in this process: %w", name, syscall.EADDRINUSE)
	}
	l := &listener{name: name, queue: make(chan *conn, backlog), closed: make(chan struct{})}
	registry.byName[name] = l
	return l, nil
}

// Dial connects to the listener of a name.
func Dial(ctx context.Context, name string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("connect to inproc:%s: %w", name, err)
	}
	registry.Lock()
	defer registry.Unlock()
	l := registry.byName[name]
	if l == nil {
		return nil, fmt.Errorf("connect to inproc:%s: nobody listens: %w", name, syscall.ECONNREFUSED)
	}
	a, b := pair(Addr(name))
	select {
	case l.queue <- b:
		return a, nil
	default:
		return nil, fmt.Errorf("connect to inproc:%s: %d connections wait to be accepted: %w", name, backlog, syscall.EAGAIN)
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close gives the name back and closes the connections that nobody accepted.
func (l *listener) Close() error {
	l.once.Do(func() {
		registry.Lock()
		delete(registry.byName, l.name)
		registry.Unlock()
		close(l.closed)
		for {
			select {
			case c := <-l.queue:
				c.Close()
			default:
				return
			}
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return Addr(l.name) }

package gmanagers

import (
	"context"
	"sync"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

const (
	// componentTimeout bounds a call of a manager to a component; less than moves.CallPatience.
	componentTimeout = 5 * time.Second
	// maxComponents bounds the connections to components that are kept. Beyond it calls use one of their own.
	maxComponents = 256
)

// components is the connections of this process to components that move something, kept from call to call because a move
// is asked for several times a second. Safe for concurrent use; lock order: components.mu is taken alone.
type components struct {
	o netlayer.Options

	mu     sync.Mutex
	peers  map[string]*netlayer.Peer // by address
	closed bool
}

func newComponents(o netlayer.Options) *components {
	o.RetryAttempts, o.CallTimeoutMS = 1, int(componentTimeout.Milliseconds()) // whoever calls repeats
	return &components{o: o, peers: map[string]*netlayer.Peer{}}
}

// call makes one call to who listens at addr.
func (c *components) call(ctx context.Context, addr string, op wire.Op, req, rep any) error {
	if err := netlayer.Addr(addr).Validate(); err != nil {
		return wire.Errorf(wire.KindUnavailable, "%v", err) // the component may register again with another
	}
	ctx, cancel := context.WithTimeout(ctx, componentTimeout)
	defer cancel()
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return wire.Errorf(wire.KindUnavailable, "the manager is stopping")
	}
	p := c.peers[addr]
	switch {
	case p != nil:
	case len(c.peers) < maxComponents:
		p = netlayer.NewPeer(netlayer.Addr(addr), c.o)
		c.peers[addr] = p
	default:
		p = netlayer.NewPeer(netlayer.Addr(addr), c.o)
		defer p.Close()
	}
	c.mu.Unlock()
	return p.Control(ctx, op, 0, req, rep)
}

// keep closes the connections to all but the addresses that are used.
func (c *components) keep(used map[string]bool) {
	var idle []*netlayer.Peer
	c.mu.Lock()
	for addr, p := range c.peers {
		if !used[addr] {
			idle = append(idle, p)
			delete(c.peers, addr)
		}
	}
	c.mu.Unlock()
	for _, p := range idle {
		p.Close()
	}
}

// close ends the calls on their way and all connections.
func (c *components) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.keep(nil)
}

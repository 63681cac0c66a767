package netlayer

import (
	"context"
	"errors"
	"io"
	"time"

	"splitkernel/netlayer/wire"
)

// connect makes p.cn, or waits for whoever is making it. The mutex is held, and given up meanwhile. After a failure others
// are told the same for retry_base_ms, so that a crowd of callers does not dial a dead peer one after the other.
func (p *Peer) connect(deadline time.Duration) error {
	if p.dialing {
		n := p.dials
		p.waitRoom()
		if p.dials != n {
			return p.dialErr
		}
		return nil
	}
	if now := p.clock(); p.dialErr != nil && now-p.dialedAt < ms(p.o.RetryBaseMS) {
		return p.dialErr
	}
	p.dialing = true
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(p.ctx, max(deadline-p.clock(), 0))
	cn, err := p.dial(ctx)
	cancel()
	p.mu.Lock()
	p.dialing = false
	p.dials++
	p.dialErr, p.dialedAt = err, p.clock()
	if err == nil && p.closed {
		cn.nc.Close()
		err = wire.Errorf(wire.KindUnavailable, "%s: this side has closed the connection", p.addr)
	}
	if err == nil {
		p.cn = cn
		p.stats.connects++
	} else {
		p.stats.dialFailures++
	}
	p.room.Broadcast()
	return err
}

// dial connects and exchanges hellos. The error is of KindUnavailable or, if a side refuses the other, KindHello.
func (p *Peer) dial(ctx context.Context) (*clientConn, error) {
	dctx, cancel := context.WithTimeout(ctx, ms(p.o.DialTimeoutMS))
	nc, err := Dial(dctx, p.addr)
	cancel()
	if err != nil {
		return nil, wire.Errorf(wire.KindUnavailable, "%v", err)
	}
	hctx, cancel := context.WithTimeout(ctx, ms(p.o.HelloTimeoutMS))
	defer cancel()
	stop := context.AfterFunc(hctx, func() { nc.SetDeadline(longAgo) })
	peer, knows, err := p.hello(nc)
	if !stop() && err == nil {
		err = wire.Errorf(wire.KindUnavailable, "%s: %v during the hello", p.addr, context.Cause(hctx))
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	in := newFrameReader(readBuffer, wire.MaxBody)
	in.places = true
	return &clientConn{nc: nc, poll: newPoller(nc), in: in, peer: peer, trace: knows&wire.KnowsTrace != 0, parked: none}, nil
}

// hello exchanges hellos, and says what else the other side knows.
func (p *Peer) hello(nc io.ReadWriter) (peer wire.Hello, knows wire.Epoch, err error) {
	me := wire.Hello{Protocol: wire.Version, Cluster: p.o.Cluster, Role: p.o.Role, Node: p.o.Node, Session: p.session, Token: p.o.Token}
	frame := helloFrame(me, 0)
	if p.o.Faults.swallows(p.addr, "", 0) {
		// nobody hears us, so nobody answers before the end of hello_timeout_ms
	} else if _, err := nc.Write(frame); err != nil {
		return peer, 0, wire.Errorf(wire.KindUnavailable, "%s: send hello: %v", p.addr, err)
	}
	h, body, err := readHello(nc)
	p.mu.Lock()
	p.stats.out(wire.OpHello, len(frame))
	if err == nil {
		p.stats.in(wire.OpHello, wire.HeaderLen+len(body))
	}
	p.mu.Unlock()
	var bad *wire.FrameError
	switch {
	case errors.As(err, &bad):
		return peer, 0, wire.Errorf(wire.KindHello, "%s: its hello is no frame of this protocol: %v", p.addr, err)
	case err != nil:
		return peer, 0, wire.Errorf(wire.KindUnavailable, "%s: closed the connection before its hello: %v", p.addr, err)
	case h.Flags&wire.FlagError != 0:
		return peer, 0, &wire.Error{Kind: max(h.Status, wire.KindInternal), Text: string(p.addr) + " refuses: " + string(body)}
	}
	if err := wire.Unmarshal(body, &peer); err != nil {
		return peer, 0, wire.Errorf(wire.KindHello, "%s: its hello: %v", p.addr, err)
	}
	if _, text := helloFault(peer, p.o.Cluster, p.o.Token); text != "" {
		return peer, 0, wire.Errorf(wire.KindHello, "%s: its hello: %s", p.addr, text)
	}
	return peer, h.Epoch, nil
}

// Remote gives the hello of the other side; ok is false while there is no connection.
func (p *Peer) Remote() (h wire.Hello, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cn == nil {
		return h, false
	}
	return p.cn.peer, true
}

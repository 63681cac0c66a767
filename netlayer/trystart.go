package netlayer

import (
	"errors"
	"runtime"

	"splitkernel/netlayer/wire"
)

// errWouldWait says that a call would have to wait to be sent.
var errWouldWait = errors.New("the call would wait")

// TryStart is Start for who may not wait, since others wait for a lock that it holds: sent is false, and nothing has happened, while there is no
// connection, no free slot or no room. What the connection does not take at once is written behind it.
func (p *Peer) TryStart(c *Call) (sent bool, err error) {
	if err := c.prepare(); err != nil {
		return true, err
	}
	if err = p.send(c, nil, false); err == errWouldWait {
		return false, nil
	}
	return true, err
}

// Await waits as Start would until a request with bodies and pages of so many bytes may be sent, up to the deadline of a call, and sends nothing.
// Who was refused by TryStart tries again after it: another may have been faster.
func (p *Peer) Await(bytes int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rouse()
	_, err := p.admit(p.clock()+ms(p.o.CallTimeoutMS), 1, wire.HeaderLen+bytes)
	if p.waiters > 0 {
		p.room.Signal() // the word that there is room was for one, and we do not take it
	}
	return err
}

// push is flush for who may not wait: what the connection does not take at once a goroutine of the peer writes.
func (p *Peer) push(cn *clientConn) {
	if cn.flushing {
		return
	}
	cn.flushing = true
	if p.inFlight > 1 {
		p.mu.Unlock()
		runtime.Gosched()
		p.mu.Lock()
	}
	for len(cn.out) > 0 && cn.err == nil {
		if p.writeSome(cn) {
			continue
		}
		p.wg.Add(1) // an open connection is of a peer that is not closed
		go func() {
			defer p.wg.Done()
			p.mu.Lock()
			defer p.mu.Unlock()
			p.writeRest(cn)
		}()
		return
	}
	cn.flushing = false
	p.roomChanged(cn)
}

// writeSome writes what the connection takes of what was appended, and says whether that was all. The mutex is held, and given up while writing.
func (p *Peer) writeSome(cn *clientConn) bool {
	buf := cn.out
	cn.out = cn.spare[:0]
	cn.writes++
	p.stats.writes++
	p.mu.Unlock()
	n, err := cn.poll.tryWrite(buf)
	p.mu.Lock()
	switch {
	case err != nil:
		cn.spare = buf[:0]
		p.fail(cn, err)
	case n < len(buf):
		cn.out, cn.spare = append(buf[n:], cn.out...), nil // what came meanwhile is behind it
		return cn.err != nil
	default:
		if cn.spare = buf[:0]; cap(buf) > keepBuffer {
			cn.spare = nil
		}
	}
	return true
}

package netlayer

import (
	"time"

	"splitkernel/netlayer/wire"
)

// tick is how often a peer with calls in flight looks after deadlines and after calls that nobody waits for.
const tick = 10 * time.Millisecond

// idleTicks is after how many ticks without a call the housekeeper sleeps until the next one: a component with ten idle
// peers should not wake a thousand times a second.
const idleTicks = 100

// rouse starts or wakes the housekeeper. The mutex is held.
func (p *Peer) rouse() {
	if !p.idle || p.closed {
		return
	}
	p.idle = false
	if !p.running {
		p.running = true
		p.wg.Add(1)
		go p.housekeep()
	}
	select {
	case p.wakeup <- struct{}{}:
	default:
	}
	if p.cn != nil && !p.cn.reading {
		// The other side may have gone while nobody looked: better to find out now and connect again than to lose a call.
		cn := p.cn
		p.pollRead(cn)
		p.handOver(cn)
	}
}

func (p *Peer) housekeep() {
	defer p.wg.Done()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	quiet, sent := 0, uint64(0)
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-ticker.C:
		}
		p.mu.Lock()
		now := p.clock()
		p.expire(now)
		p.look(now)
		if n := p.stats.framesOut(); p.inFlight > 0 || p.waiters > 0 || p.dialing || n != sent || p.cn != nil && p.cn.flushing {
			quiet, sent = 0, n
		} else {
			quiet++
		}
		sleep := quiet >= idleTicks
		if sleep {
			p.idle = true
			select {
			case <-p.wakeup: // of the rouse that started this round of ticks
			default:
			}
		}
		p.mu.Unlock()
		if sleep {
			ticker.Stop()
			select {
			case <-p.ctx.Done():
				return
			case <-p.wakeup:
			}
			ticker.Reset(tick)
			quiet = 0
		}
	}
}

// expire ends the calls whose deadline has passed.
func (p *Peer) expire(now time.Duration) {
	for i := range p.slots {
		if s := &p.slots[i]; s.call != nil && s.deadline <= now && !s.filling {
			p.stats.timeouts++
			p.complete(int32(i), wire.Errorf(wire.KindTimeout, "%v to %s: no reply before the deadline", s.call.Op, p.addr))
		}
	}
	p.roomChanged(p.cn) // those who wait look at their deadlines
}

// look calls back a reader whose deadline has passed, closes a connection that takes nothing, and reads for calls that
// nobody waits for.
func (p *Peer) look(now time.Duration) {
	cn := p.cn
	if cn == nil {
		return
	}
	// Ticks are counted, not time: when the whole process was stopped for a while, the writer is not to blame.
	if !cn.flushing || cn.writes != cn.seenWrites {
		cn.seenWrites, cn.stuckTicks = cn.writes, 0
	} else if cn.stuckTicks++; time.Duration(cn.stuckTicks)*tick > ms(p.o.WriteTimeoutMS) {
		p.stats.writeTimeouts++
		p.fail(cn, errWriteTimeout)
		return
	}
	if cn.reading {
		if cn.leaderLimit <= now {
			p.callBack(cn)
		}
		return
	}
	p.pollRead(cn)
	// Somebody writes and nobody reads: if the server cannot write its replies either, only reading on moves both. A tick
	// is spent on it at most, because deadlines wait meanwhile.
	for cn.flushing && !cn.reading && cn.err == nil && p.clock()-now < tick {
		buf := cn.in.space()
		if len(buf) == 0 {
			p.readLong(cn)
			break
		}
		cn.calledBack = true
		cn.nc.SetReadDeadline(time.Now().Add(tick))
		cn.reading, cn.leader, cn.leaderLimit = true, nil, forever
		p.mu.Unlock()
		n, err := cn.nc.Read(buf)
		p.received(cn, n, err, false)
	}
	p.handOver(cn)
}

// readLong has a goroutine of the peer read the rest of a long payload, which may take as long as fillTimeout: the housekeeper, which has no time for
// that, found it and nobody else reads.
func (p *Peer) readLong(cn *clientConn) {
	cn.reading, cn.leader, cn.leaderLimit = true, nil, forever
	p.wg.Add(1) // an open connection is of a peer that is not closed
	go func() {
		defer p.wg.Done()
		p.received(cn, 0, nil, true) // which takes the mutex
		p.handOver(cn)
		p.mu.Unlock()
	}()
}

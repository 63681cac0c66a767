package pcomponent

import (
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/fault"
)

// outbox has the flushes to one peer that the message layer did not take at once, oldest first, because there is no connection yet or no room. They
// are among Process.active, so there are ExCache.FlushFrames of them at most. A goroutine sends them and ends with the last: the process's lock is not
// held while it waits, since hits need that.
type outbox struct {
	peer    *netlayer.Peer
	waiting []*flushCall
}

// write sends a flush by itself, behind those to its owner that wait to be sent. The lock is held.
func (p *Process) write(e *fault.Effect) {
	fc := p.newFlushCall(e.Flush, e.Owner)
	if box := p.outboxes[fc.peer]; box != nil {
		fc.behind = true
		box.waiting = append(box.waiting, fc)
		return
	}
	sent, err := fc.peer.TryStart(&fc.call)
	if fc.failed = err; sent {
		return
	}
	fc.behind = true
	box := &outbox{peer: fc.peer, waiting: []*flushCall{fc}}
	p.outboxes[fc.peer] = box
	p.senders.Add(1)
	go p.empty(box)
}

// empty sends what is in an outbox, when its peer takes it. It ends when nothing is left.
func (p *Process) empty(box *outbox) {
	defer p.senders.Done()
	for {
		err := box.peer.Await(wire.FlushLen + wire.PageSize)
		p.mu.Lock()
		if p.ctx.Err() != nil {
			err = wire.Errorf(wire.KindUnavailable, "process %s is stopped", p.o.Name)
		}
		for len(box.waiting) > 0 {
			fc := box.waiting[0]
			if fc.failed = err; err == nil {
				var sent bool
				if sent, fc.failed = fc.peer.TryStart(&fc.call); !sent {
					break
				}
			}
			fc.behind = false
			box.waiting = box.waiting[1:]
		}
		if len(box.waiting) > 0 {
			p.mu.Unlock()
			continue
		}
		delete(p.outboxes, box.peer)
		if p.ctx.Err() == nil {
			p.settle()
		}
		p.mu.Unlock()
		return
	}
}

// takeBack fails a flush that is in an outbox. The lock is held.
func (p *Process) takeBack(f *flushCall, err error) {
	box := p.outboxes[f.peer]
	for i, fc := range box.waiting {
		if fc == f {
			box.waiting = append(box.waiting[:i:i], box.waiting[i+1:]...)
			break
		}
	}
	f.behind, f.failed = false, err
}

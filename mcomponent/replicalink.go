package mcomponent

import (
	"strings"
	"sync"

	"splitkernel/mcomponent/erasure"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/replica"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// replicaLink is the way to one holder. A goroutine sends what is put there, so that whoever serves a flush waits for no connection, and
// another waits for the answers, which come in the order of the requests. Both end with the component, or when there are many links and this one has nothing to do.
type replicaLink struct {
	c    *Component
	addr string
	quit chan struct{} // closed when the link is given up

	mu        sync.Mutex
	queue     []replica.Effect // not taken by the sender; bounded by the windows of the core
	flying    []*replicaCall   // sent, not taken by who waits for answers
	sending   bool             // the sender has something
	receiving bool             // and who waits for answers
	wake      chan struct{}    // capacity 1: there is something in queue
	sent      chan struct{}    // capacity 1: there is something in flying
	spare     []*replicaCall
	direct    bool // the kernel may read pages where they are
}

// maxReplicaLinks is how many links are kept though they have nothing to do: addresses of holders come and go.
const maxReplicaLinks = 128

// replicaCall is a message under way to a holder.
type replicaCall struct {
	ids   []uint64 // of the effects that it carries
	call  netlayer.Call
	peer  *netlayer.Peer
	start error // it could not be sent
	pages bool  // it carries pages
	body  []byte
	page  []byte
	where [][]byte // of pages that are sent from where they are
}

// replicaAnswer is the answer to one effect.
type replicaAnswer struct {
	id uint64
	replica.Answer
}

// link gives the way to a holder. The lock is held, and until it is given up what is put there keeps the link.
func (c *Component) link(addr string) *replicaLink {
	r := &c.replicas
	if l := r.links[addr]; l != nil {
		return l
	}
	if len(r.links) >= maxReplicaLinks {
		for at, l := range r.links {
			if l.idle() {
				delete(r.links, at)
				close(l.quit)
			}
		}
	}
	// Within one process the bytes would be read by this program, which must not happen while it writes them.
	l := &replicaLink{c: c, addr: addr, quit: make(chan struct{}), direct: !strings.HasPrefix(addr, "inproc:"), wake: make(chan struct{}, 1), sent: make(chan struct{}, 1)}
	r.links[addr] = l
	c.wg.Go(l.send)
	c.wg.Go(l.receive)
	return l
}

// idle reports whether nothing that was put there is under way.
func (l *replicaLink) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) == 0 && len(l.flying) == 0 && !l.sending && !l.receiving
}

// put has an effect sent, once the link is told that there is something. The lock of the component is held.
func (l *replicaLink) put(e replica.Effect) {
	l.mu.Lock()
	l.queue = append(l.queue, e)
	l.mu.Unlock()
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// send is the goroutine that sends.
func (l *replicaLink) send() {
	var taken []replica.Effect
	for {
		select {
		case <-l.c.replicas.ended:
			return
		case <-l.quit:
			return
		case <-l.wake:
		}
		l.mu.Lock()
		taken, l.queue, l.sending = l.queue, taken[:0], true
		l.mu.Unlock()
		for rest := taken; len(rest) > 0; {
			n := 1
			if rest[0].Kind == replica.Send {
				n = run(rest)
			}
			l.message(rest[:n])
			rest = rest[n:]
		}
		clear(taken)
		l.mu.Lock()
		l.sending = false
		l.mu.Unlock()
	}
}

// run is how many effects from the first on may go in one message: pages of one vRegion under one configuration and barrier.
func run(es []replica.Effect) int {
	n, most := 1, wire.MaxReplicaPages
	if es[0].Kept {
		most /= 2 // each may have two entries
	}
	for n < len(es) && n < most && es[n].Kind == replica.Send && es[n].Slot == es[0].Slot && es[n].Kept == es[0].Kept && together(es[n].Write) == together(es[0].Write) {
		n++
	}
	return n
}

// together is what the pages of one message have in common.
func together(w wire.ReplicaWrite) wire.ReplicaWrite {
	w.Page, w.ProcessEpoch, w.Version, w.Sum, w.Pre = 0, 0, 0, 0, 0
	w.Flags &= wire.ReplicaFill
	return w
}

// message sends one message with what effects want, which are of one kind.
func (l *replicaLink) message(es []replica.Effect) {
	m := l.empty()
	e := &es[0]
	switch e.Kind {
	case replica.Open:
		m.call = netlayer.Call{Op: wire.OpReplicaOpen, Epoch: e.Open.Epoch, Body: wire.Marshal(e.Open)}
	case replica.Unmap:
		m.call = netlayer.Call{Op: wire.OpReplicaUnmap, Epoch: e.Unmap.Epoch, Body: wire.Marshal(e.Unmap)}
	case replica.Cut:
		m.call = netlayer.Call{Op: wire.OpReplicaCut, Epoch: e.Cut.Epoch, Body: wire.Marshal(e.Cut)}
	case replica.Drop:
		m.call = netlayer.Call{Op: wire.OpReplicaDrop, Epoch: e.Drop.Epoch, Body: wire.Marshal(e.Drop)}
	case replica.Send:
		if !l.fill(m, es) {
			l.keep(m)
			return
		}
	}
	if e.Kind == replica.Open || e.Kind == replica.Unmap || e.Kind == replica.Cut {
		m.ids = append(m.ids, e.ID)
	}
	m.call.Timeout = sendTimeout
	if m.peer, m.start = l.c.peer(l.addr); m.start == nil {
		m.start = m.peer.Start(&m.call)
	}
	l.mu.Lock()
	l.flying = append(l.flying, m)
	l.mu.Unlock()
	signal(l.sent)
}

// fill puts pages as they are now into a message. What is gone is answered at once; it is false if nothing is left.
func (l *replicaLink) fill(m *replicaCall, es []replica.Effect) bool {
	c := l.c
	w := es[0].Write
	m.pages, m.where = true, m.where[:0]
	// What the holder is filled with is seldom written meanwhile. If it is, the message does not fit the sum, which is joined from those
	// that came with the flushes: the holder refuses it, and it is sent again. What was flushed just now is copied.
	direct := l.direct && len(es) > 1 && w.Flags&wire.ReplicaFill != 0
	var next pagestore.Frame // the neighbour of the last page
	m.body, m.page = wire.ReplicaWrites{PID: w.PID, Config: w.Config, OwnerEpoch: w.OwnerEpoch, Barrier: w.Barrier, Fill: w.Flags&wire.ReplicaFill != 0}.Append(m.body[:0]), m.page[:0]
	var sum uint32
	c.mu.Lock()
	policy := c.replicas.primary.Config(es[0].Slot).Policy
	var coder *erasure.Coder // of shares
	if policy.Kind == wire.MemoryErasure {
		var err error
		if coder, err = c.coder(policy); err != nil {
			for i := range es {
				c.performReplicas(c.replicas.primary.Answered(c.now(), es[i].ID, replica.Answer{Err: wireError(err)}, c.replicas.out[:0]))
			}
			c.mu.Unlock()
			return false
		}
		direct = false
	}
	for i := range es {
		if i%copyBatch == 0 {
			if i > 0 {
				c.mu.Unlock()
				c.mu.Lock()
			}
			for k := i; k < min(i+copyBatch, len(es)); k++ { // brings the index into the cache: see lookUp
				c.store.Peek(es[k].Write.PID, es[k].Write.Page)
			}
		}
		e := &es[i]
		before := len(m.ids)
		add := func(entry wire.PageEntry, f pagestore.Frame) {
			if entry.State == wire.PageFull {
				sum = wire.JoinPage(sum, entry.Sum)
				switch n := len(m.where); {
				case coder != nil:
					m.page = c.appendShare(f, m.page, coder, int(e.To.Index))
				case !direct:
					m.page = c.appendPage(f, m.page)
				case n > 0 && f == next:
					k := len(m.where[n-1]) / wire.PageSize
					m.where[n-1] = c.pages.Run(f-pagestore.Frame(k), k+1)
				default:
					m.where = append(m.where, c.pages.Run(f, 1))
				}
				next = f + 1
			}
			m.body = entry.Append(m.body)
			m.ids = append(m.ids, e.ID)
		}
		if e.Write.Flags&wire.ReplicaLost != 0 {
			add(wire.PageEntry{Page: e.Write.Page, State: wire.PageLost, Epoch: e.Write.ProcessEpoch, Version: e.Write.Version}, 0)
		} else if f, content, ok := c.store.Peek(e.Write.PID, e.Write.Page); ok && content.Flushed {
			add(wire.PageEntry{Page: e.Write.Page, State: wire.PageFull, Epoch: content.Epoch, Version: content.Version, Sum: content.Sum}, f)
		}
		if e.Kept { // behind the page: what the page was answered counts
			c.addKept(e, add)
		}
		if len(m.ids) == before {
			c.performReplicas(c.replicas.primary.Answered(c.now(), e.ID, replica.Answer{}, c.replicas.out[:0]))
		}
	}
	c.mu.Unlock()
	if len(m.ids) == 1 && !direct {
		e := wire.CopyEntry(m.body, 0)
		w.Page, w.ProcessEpoch, w.Version, w.Sum = e.Page, e.Epoch, e.Version, e.Sum
		w.Flags &= wire.ReplicaFill
		w.Pre = e.Pre
		if e.State == wire.PageLost {
			w.Flags |= wire.ReplicaLost
		}
		m.call = netlayer.Call{Op: wire.OpReplicaWrite, Epoch: w.OwnerEpoch, Body: w.Append(m.body[:0]), Page: m.page, PageCRC: sum, HavePageCRC: coder == nil, Reply: m.call.Reply}
		return true
	}
	wire.SetReplicaWrites(m.body, len(m.ids))
	m.call = netlayer.Call{Op: wire.OpReplicaWrites, Epoch: w.OwnerEpoch, Body: m.body, Page: m.page, Pages: m.where, PageCRC: sum, HavePageCRC: coder == nil, Reply: m.call.Reply}
	return len(m.ids) > 0
}

// appendShare appends a share of the page in a frame. The lock is held.
func (c *Component) appendShare(f pagestore.Frame, b []byte, k *erasure.Coder, index int) []byte {
	lock := &c.frames[f%stripes] // an apply that began before may still write
	lock.Lock()
	defer lock.Unlock()
	return k.Share(b, c.pages.Page(f)[:], index)
}

func (l *replicaLink) empty() *replicaCall {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.spare); n > 0 {
		m := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return m
	}
	return &replicaCall{}
}

// keep keeps a message for the next.
func (l *replicaLink) keep(m *replicaCall) {
	m.ids, m.pages, m.start, m.peer = m.ids[:0], false, nil, nil
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.spare) < maxSpareMessages {
		l.spare = append(l.spare, m)
	}
}

// maxSpareMessages bounds the messages that are kept for the next ones to one holder.
const maxSpareMessages = 64

// receive is the goroutine that waits for answers.
func (l *replicaLink) receive() {
	var as []replicaAnswer
	var taken []*replicaCall
	for {
		select {
		case <-l.c.replicas.ended:
			return
		case <-l.quit:
			return
		case <-l.sent:
		}
		l.mu.Lock()
		taken, l.flying, l.receiving = l.flying, taken[:0], true
		l.mu.Unlock()
		for i, m := range taken {
			if m.start == nil {
				_ = m.peer.Wait(&m.call)
			}
			as = m.answers(as)
			// What has been answered meanwhile goes with it.
			if i+1 == len(taken) || taken[i+1].start == nil && !taken[i+1].peer.Done(&taken[i+1].call) || len(as) >= maxAnswers {
				l.c.answeredReplicas(as)
				as = as[:0]
			}
		}
		for _, m := range taken {
			l.keep(m)
		}
		clear(taken)
		l.mu.Lock()
		l.receiving = false
		l.mu.Unlock()
	}
}

// maxAnswers is how many answers are given to the core under one hold of the lock.
const maxAnswers = 64

// answers appends what the message was answered.
func (m *replicaCall) answers(as []replicaAnswer) []replicaAnswer {
	err := m.start
	if err == nil {
		err = m.call.Err
	}
	if err == nil && m.pages && len(m.call.Reply) != 0 && len(m.call.Reply) != len(m.ids) {
		err = wire.Errorf(wire.KindBadRequest, "an answer to %d pages tells of %d", len(m.ids), len(m.call.Reply))
	}
	var opened wire.ReplicaOpenRep
	if err == nil && m.call.Op == wire.OpReplicaOpen {
		err = wire.Unmarshal(m.call.Reply, &opened)
	}
	for i, id := range m.ids {
		a := replica.Answer{Err: wireError(err), Skipped: err == nil && opened.Lost > 0}
		a.Skipped = a.Skipped || err == nil && m.pages && i < len(m.call.Reply) && m.call.Reply[i] != 0
		as = append(as, replicaAnswer{id, a})
	}
	return as
}

package vcluster

import (
	"fmt"
	"math"
	"slices"
	"time"

	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/session"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// Patiences of a process, as live by default.
const (
	// askInterval is the pause before the managers are asked again: the end of a move takes a little until it is in their books.
	askInterval = 50 * time.Millisecond
	// mapPatience bounds a question to the home.
	mapPatience = 20 * time.Second
)

// atHome puts a request to the home of a process as it is known, as live: while the home moves it is busy, and the request is repeated; when it
// has moved, the request goes to the new one, of which the process was told before the old one forgot it, or because the old one is dead.
// One that is not the home any more, or not yet, is waited for. Who opens a process asks the managers for its home, and who ends one has
// nothing to wait for.
func atHome[Q, R any](y *vtime.Proc, p *Process, from int32, known *wire.Owner, op wire.Op, q Q, serve func(m *memory, q Q, done func(R, error))) (r R, home wire.NodeID, err error) {
	deadline := p.c.clock.Now() + mapPatience
	n := p.c.nodes[from].(*compute)
	for {
		at := *known
		moved := func() bool { return known.Epoch > at.Epoch }
		r, err = attempt(y, n, op, p.c.node(at.Node), moved, q, serve)
		if kind := wire.KindOf(err); (kind == wire.KindNotOwner || kind == wire.KindNotFound) && op != wire.OpProcessExit && op != wire.OpProcessOpen {
			limit := p.c.clock.Now() + time.Duration(p.c.o.Fault.PatienceMS)*time.Millisecond
			n.awaits(y, &vtime.Signal{Name: "news of the home of process " + p.o.Name}, limit, func() bool { return moved() || p.core.Err() != nil })
		}
		again := false
		switch wire.KindOf(err) {
		case wire.KindNotOwner, wire.KindNotFound:
			again = known.Epoch > at.Epoch
		case wire.KindBusy, wire.KindUnavailable, wire.KindTimeout:
			again = p.core.Err() == nil // it has answered so, or nobody, for as often as a connection asks
		}
		if !again || p.c.clock.Now() >= deadline {
			return r, at.Node, err
		}
	}
}

// attempt puts a request to a home, which is given up as soon as another is known: the old one may be of no use to anybody any more, and wait
// itself for what does not come.
func attempt[Q, R any](y *vtime.Proc, n *compute, op wire.Op, to int32, moved func() bool, q Q, serve func(m *memory, q Q, done func(R, error))) (r R, err error) {
	c := n.c
	s := vtime.Signal{Name: fmt.Sprintf("%v to be answered by %s", op, c.o.Nodes[to].ID)}
	schedule := session.Backoff{Base: retryBase, Max: retryMax, Attempts: controlAttempts}
	for attempt := 1; ; attempt++ {
		ended, left := false, false
		control(c, op, n.no, to, q, func(q Q, done func(R, error)) { serve(c.nodes[to].(*memory), q, done) }, func(got R, e error) {
			if !left {
				r, err, ended = got, e, true
				s.Wake()
			}
		})
		n.awaits(y, &s, never, func() bool { return ended || moved() })
		if left = !ended; left {
			err = wire.Errorf(wire.KindUnavailable, "%v: %s is not the home any more", op, c.o.Nodes[to].ID)
		}
		if err == nil || !mayRetry(err) || moved() {
			return r, err
		}
		pause, ok := schedule.Delay(attempt, c.retries())
		if !ok {
			return r, err
		}
		n.awaits(y, &s, c.clock.Now()+pause, moved)
	}
}

// never is a moment that does not come.
const never = time.Duration(math.MaxInt64)

// awaits waits until something is so, or until a moment. Whoever hears of homes here wakes it, and who has the signal.
func (n *compute) awaits(y *vtime.Proc, s *vtime.Signal, until time.Duration, so func() bool) {
	n.asking = append(n.asking, s)
	for !so() && n.c.clock.Now() < until {
		if until == never {
			y.Wait(s)
		} else {
			y.WaitFor(s, until-n.c.clock.Now())
		}
	}
	n.asking = slices.DeleteFunc(n.asking, func(o *vtime.Signal) bool { return o == s })
}

// call puts a request to the home of a process and takes the answer.
func call[Q, R any](y *vtime.Proc, p *Process, op wire.Op, q Q, serve func(m *memory, q Q, done func(R, error)), take func(R)) error {
	r, _, err := atHome(y, p, p.n.no, &p.home, op, q, serve)
	if err == nil {
		take(r)
	}
	return err
}

// openHome opens the process at its home, as far as that is known, under an epoch, as one that runs at n. If that is not the home any
// more, it has moved since and is looked for.
func (p *Process) openHome(y *vtime.Proc, n *compute, epoch wire.Epoch, known *wire.Owner) error {
	deadline := p.c.clock.Now() + mapPatience
	for {
		at := *known
		q := wire.ProcessOpenReq{PID: p.o.PID, Epoch: epoch, Addr: addr(n.o.ID), Home: at.Epoch}
		_, home, err := atHome(y, p, n.no, known, wire.OpProcessOpen, q, func(m *memory, q wire.ProcessOpenReq, done func(struct{}, error)) { m.open(q, done) })
		if err == nil {
			return nil
		}
		if wire.KindOf(err) != wire.KindNotOwner || !p.findHome(y, n.no, known, at.Epoch, deadline) {
			return fmt.Errorf("process %s: its home %s: %w", p.o.Name, home, err)
		}
	}
}

// findHome asks the managers for the home until they know of a newer epoch than the one under which it was turned away, or somebody has
// told it meanwhile.
func (p *Process) findHome(y *vtime.Proc, from int32, known *wire.Owner, old wire.Epoch, deadline time.Duration) bool {
	for p.c.clock.Now() < deadline {
		if known.Epoch > old {
			return true
		}
		var page membership.Page[gmm.Process]
		err := p.c.gm.asked(y, from, wire.GMM, uint64(p.o.PID), &page)
		if err == nil && len(page.Items) == 0 {
			return false // it was given back
		}
		if err == nil {
			if h := page.Items[0]; h.HomeEpoch > old && h.HomeEpoch > known.Epoch {
				*known = wire.Owner{Node: h.Home, Addr: addr(h.Home), Epoch: h.HomeEpoch}
				continue
			}
		}
		y.Sleep(askInterval)
	}
	return false
}

// asked has a manager list one thing by its id.
func (g *managers) asked(y *vtime.Proc, from int32, k wire.Manager, id uint64, into any) error {
	q := membership.Query{Kind: membership.QueryListing, ID: id}
	b, err := controlling(y, g.c, wire.OpQuery, from, g.leader, wire.QueryReq{Manager: k, Query: q.Encode()}, func(_ wire.QueryReq, done func([]byte, error)) { done(g.answer(k, q)) })
	if err != nil {
		return err
	}
	return membership.DecodeAnswer(b, into)
}

// regionSwitch tells that a vRegion of a process here has another owner. When it returns nothing that an older owner answered reaches
// the process any more.
func (n *compute) regionSwitch(q wire.RegionSwitchReq) error {
	if p := n.procs[q.PID]; p != nil && p.n == n {
		p.perform(p.core.OwnerMoved(n.c.clock.Now(), q.Owner, p.out[:0]))
		p.moved = true
		return nil
	}
	if a := n.arrives(q.PID); a != nil {
		a.core.OwnerMoved(n.c.clock.Now(), q.Owner, nil) // nothing of it waits for anything yet
		return nil
	}
	return n.unknown(q.PID)
}

// homeSwitch tells that the home of a process here is another mComponent.
func (n *compute) homeSwitch(q wire.HomeSwitchReq) error {
	known := (*wire.Owner)(nil)
	if p := n.procs[q.PID]; p != nil && p.n == n {
		known = &p.home
	} else if a := n.arrives(q.PID); a != nil {
		known = &a.home
	} else {
		n.homes.Heard(q.PID, q.Home) // it may be about to begin
		return n.unknown(q.PID)
	}
	if q.Home.Epoch > known.Epoch {
		*known = q.Home
		for _, s := range n.asking {
			s.Wake()
		}
		if p := n.procs[q.PID]; p != nil {
			p.moved = true
		}
	}
	return nil
}

// arrives gives a process that is on its way here with its state, so that its home may have heard that it is here; nil if none is.
func (n *compute) arrives(pid wire.PID) *arrival {
	if n.moving != nil {
		if a := n.moving.here[pid]; a != nil && a.core != nil {
			return a
		}
	}
	return nil
}

func (n *compute) unknown(pid wire.PID) error {
	return wire.Errorf(wire.KindNotFound, "process %d does not run at %s", pid, n.o.ID)
}

// find asks the managers where a volume is until they know of a newer epoch than the one under which it was not found, or of other copies.
func (v *Volume) find(y *vtime.Proc, old wire.Epoch, config uint64, deadline time.Duration) bool {
	c := v.p.c
	for c.clock.Now() < deadline {
		var page membership.Page[gsm.Volume]
		err := c.gm.asked(y, v.p.n.no, wire.GSM, uint64(v.o.ID), &page)
		if err == nil && len(page.Items) == 0 {
			return false // it was given back
		}
		if err == nil {
			if now := &page.Items[0]; now.Epoch > old || now.Epoch == old && now.Config > config {
				v.o.known(now)
				if now.Epoch > v.o.Epoch {
					v.o.Cache, v.o.Epoch = now.Cache, now.Epoch
				}
				return true
			}
		}
		y.Sleep(askInterval)
	}
	return false
}

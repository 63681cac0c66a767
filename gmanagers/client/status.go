package client

import (
	"context"
	"errors"
	"time"

	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// beatTimeout is how long a manager may take to answer a heartbeat: then it is sent the next one, for this one may have been lost. No
// more than two are missing then, of the four in the default lease.
const beatTimeout = 2 * wire.HeartbeatMS * time.Millisecond

// Heartbeat sends m's load to every manager, as a best effort: each manager keeps loads for itself, so that whoever
// leads next has them. It returns how m stands: fenced or removed if any manager says so, for that is decided and does
// not change; unknown if a majority of the managers answered and none has m under its epoch, though they may lag; a
// member otherwise. The error is not nil if no manager answered within wire.HeartbeatMS.
//
// A manager that has not answered the last heartbeat is not sent another one meanwhile.
func (c *Client) Heartbeat(ctx context.Context, m wire.Member, load wire.Load) (wire.Standing, error) {
	type answer struct {
		standing wire.Standing
		err      error
	}
	answers := make(chan answer, len(c.peers))
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return 0, wire.Errorf(wire.KindUnavailable, "the client is closed")
	}
	sent := 0
	for _, p := range c.peers {
		if !p.beating.CompareAndSwap(false, true) {
			continue
		}
		sent++
		c.wg.Add(1)
		go func() {
			defer c.wg.Done()
			defer p.beating.Store(false)
			// Not under the caller's context: a slow manager may still answer, and count, after the caller went on.
			call, cancel := context.WithTimeout(c.ctx, beatTimeout)
			defer cancel()
			var rep wire.HeartbeatRep
			err := p.Control(call, wire.OpHeartbeat, m.Epoch, &wire.Heartbeat{Member: m, Load: load}, &rep)
			answers <- answer{rep.Standing, err}
		}()
	}
	c.mu.Unlock()
	limit := time.NewTimer(wire.HeartbeatMS * time.Millisecond)
	defer limit.Stop()
	poll := membership.Poll{Of: len(c.peers)}
	last := error(wire.Errorf(wire.KindBusy, "all managers still owe the answer to an earlier heartbeat"))
	for range sent {
		select {
		case a := <-answers:
			if a.err != nil {
				last = a.err
				continue
			}
			poll.Add(a.standing)
			continue
		case <-limit.C:
			last = wire.Errorf(wire.KindTimeout, "no manager answered a heartbeat within %d ms", wire.HeartbeatMS)
		case <-ctx.Done():
			last = ctx.Err()
		}
		break
	}
	standing, ok := poll.Verdict()
	if !ok {
		return 0, last
	}
	return standing, nil
}

// GroupStatus is one manager's Raft group as its replicas see it.
type GroupStatus struct {
	Manager       wire.Manager
	Leader        wire.NodeID // as the replica with the newest term knows it; empty if it knows none
	Term          uint64
	LeaderChanges uint64                   // the most that any replica saw since it started
	Replicas      []membership.GroupStatus // of the manager processes that answered, in the order of Options.Managers
}

// Status asks every manager process for its groups. Those that do not answer within Options.CallTimeoutMS are left out;
// the error is not nil if none answers.
func (c *Client) Status(ctx context.Context) ([]GroupStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, ms(c.o.CallTimeoutMS))
	defer cancel()
	q := membership.Query{Kind: membership.QueryGroup}.Encode()
	replies := make([][]membership.GroupStatus, len(c.peers))
	errs := make([]error, len(c.peers))
	done := make(chan struct{}, len(c.peers))
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, wire.Errorf(wire.KindUnavailable, "the client is closed")
	}
	for i, p := range c.peers {
		c.wg.Add(1)
		go func() {
			defer c.wg.Done()
			defer func() { done <- struct{}{} }()
			for _, m := range []wire.Manager{wire.GPM, wire.GMM, wire.GSM} {
				var rep wire.QueryRep
				err := p.Control(ctx, wire.OpQuery, 0, &wire.QueryReq{Manager: m, Stale: true, Query: q}, &rep)
				var g membership.GroupStatus
				if err == nil {
					err = membership.DecodeAnswer(rep.Result, &g)
				}
				if err != nil {
					errs[i] = err
					return
				}
				replies[i] = append(replies[i], g)
			}
		}()
	}
	c.mu.Unlock()
	for range c.peers {
		<-done // bounded by ctx
	}
	var out []GroupStatus
	for _, m := range []wire.Manager{wire.GPM, wire.GMM, wire.GSM} {
		g := GroupStatus{Manager: m}
		for _, r := range replies {
			for _, st := range r {
				if st.Manager == m {
					g.add(st)
				}
			}
		}
		if len(g.Replicas) > 0 {
			out = append(out, g)
		}
	}
	if len(out) == 0 {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

// ChangesSince is how often the group changed its leader between two statuses: the most that any replica saw. A replica that was started
// again in between has counted from 0. Those that saw none of it are made up for by who leads now.
func (g *GroupStatus) ChangesSince(old GroupStatus) (changes uint64) {
	for _, r := range g.Replicas {
		seen := uint64(0)
		for _, o := range old.Replicas {
			if o.Node == r.Node && o.LeaderChanges <= r.LeaderChanges {
				seen = o.LeaderChanges
			}
		}
		changes = max(changes, r.LeaderChanges-seen)
	}
	if changes == 0 && g.Leader != old.Leader {
		return 1
	}
	return changes
}

func (g *GroupStatus) add(st membership.GroupStatus) {
	g.Replicas = append(g.Replicas, st)
	g.LeaderChanges = max(g.LeaderChanges, st.LeaderChanges)
	if st.Term > g.Term || st.Term == g.Term && g.Leader == "" {
		g.Term, g.Leader = st.Term, st.Leader
	}
}

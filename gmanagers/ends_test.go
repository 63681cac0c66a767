package gmanagers_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"splitkernel/gmanagers"
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// TestAReleaseMeetsItsAdmission: a vNode is released while its admission commits, and all is over before the handler of the
// release, which got the admission's answer, looks again: it finds the end and answers, and does not wait for its time to be up.
func TestAReleaseMeetsItsAdmission(t *testing.T) {
	t.Parallel()
	commit, end := make(chan struct{}), make(chan struct{})
	var armed, met atomic.Bool
	armed.Store(true)
	c := startCluster(t, func(o *gmanagers.Options) {
		o.ProposeTimeoutMS = 20_000
		o.OnStep = func(ctx context.Context, step string) {
			wait := commit
			switch {
			case step == "commit gmm" && armed.CompareAndSwap(true, false):
			case step == "release waits again":
				met.Store(true)
				wait = end
			default:
				return
			}
			select {
			case <-wait:
			case <-ctx.Done():
			}
		}
	})
	o := client.DefaultOptions()
	o.CallTimeoutMS, o.TimeoutMS = 30_000, 30_000 // one attempt, which the managers end
	cl := c.clientOf(o)
	registerAll(t, cl)
	admitted := admit(t, cl, fits)
	var pid wire.PID
	until(t, "the admission is decided", func() bool {
		ps, err := cl.Processes(within(t))
		if err != nil || len(ps) != 1 || ps[0].Phase != admission.Committed {
			return false
		}
		pid = ps[0].PID
		return true
	})
	released := make(chan error, 1)
	go func() { released <- cl.Release(within(t), pid) }()
	leader := c.nodes[c.leader(wire.GPM)]
	until(t, "both wait", func() bool { return leader.m.Waiters(pid) == 2 })
	close(commit)
	until(t, "the vNode has ended, while the handler of its release stands still", func() bool {
		ps, err := cl.Processes(within(t))
		return err == nil && len(ps) == 0 && met.Load() && leader.m.Driven() == 0
	})
	close(end)
	if err := <-released; err != nil {
		t.Errorf("release: %v", err)
	}
	if p := admitted.must(t); p.PID != pid {
		t.Errorf("process %d was admitted, want %d", p.PID, pid)
	}
	for i := range c.nodes {
		if n := c.stat(i, "gpm_proposals_failed"); n != 0 {
			t.Errorf("%s: %g proposals of GPM had no answer in time", c.nodes[i].id, n)
		}
	}
	if n := leader.m.Waiters(pid); n != 0 {
		t.Errorf("%d handlers wait for what has ended", n)
	}
}

// impatient lets components not answer for half a second.
func impatient(o *gmanagers.Options) {
	short(o)
	o.SetPatience(500 * time.Millisecond)
}

// lostVNode gives a cluster in which the pComponent of a vNode has just ended.
func lostVNode(t *testing.T, c *cluster, deaf wire.Op) (cl *client.Client, p admission.Placement, m1 *component) {
	t.Helper()
	cl = c.client()
	p1 := c.component(cl, pcomponent(1, 100))
	m := mcomponent(1, 1<<20)
	m1 = c.component(cl, m)
	m1.deaf = deaf
	until(t, "a vNode is admitted", func() bool {
		var err error
		p, err = cl.Admit(within(t), admission.VNodeSpec{Threads: 1, ExCacheLines: 1, MemoryBytes: 1})
		return err == nil
	})
	p1.stop()
	until(t, "p1 is dead", func() bool { return member(t, cl, p1.m).State == membership.Dead })
	return cl, p, m1
}

func allGone(t *testing.T, cl *client.Client) func() bool {
	return func() bool {
		ps, err := cl.Processes(within(t))
		return err == nil && len(ps) == 0
	}
}

// TestALostVNodeEndsThoughItsHomeDoesNotAnswer: the home that lives and does not answer uses up the time of every attempt; the
// vNode is released nevertheless.
func TestALostVNodeEndsThoughItsHomeDoesNotAnswer(t *testing.T) {
	t.Parallel() // it waits more than it works
	cl, _, m1 := lostVNode(t, startCluster(t, impatient), wire.OpProcessExit)
	until(t, "the vNode is released", allGone(t, cl))
	if !slices.Contains(m1.ops(), wire.OpProcessExit) {
		t.Errorf("its home was asked for %v, want %v", m1.ops(), wire.OpProcessExit)
	}
	if b := settled(t, cl); len(b.Homes) != 0 {
		t.Errorf("left: %+v", b.Homes)
	}
}

// withheld is a manager's handler that does not tell GMM's homes while it is closed.
type withheld struct {
	netlayer.Handler
	closed *atomic.Bool
	asked  *atomic.Int64 // when it was asked last, in ns since 1970
}

func (h withheld) Serve(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	var q wire.QueryReq
	if req.Op == wire.OpQuery && h.closed.Load() && wire.Unmarshal(req.Body, &q) == nil && q.Manager == wire.GMM {
		if query, err := membership.DecodeQuery(q.Query); err == nil && query.Kind == membership.QueryListing {
			h.asked.Store(time.Now().UnixNano())
			return wire.Errorf(wire.KindUnavailable, "withheld")
		}
	}
	return h.Handler.Serve(ctx, req, rep)
}

// TestALostVNodeWaitsForTheBooks: while GMM does not tell who has what of a lost vNode, nobody can give it back, so the vNode
// stays in the books however long that takes.
func TestALostVNodeWaitsForTheBooks(t *testing.T) {
	t.Parallel() // it waits more than it works
	var closed atomic.Bool
	var asked atomic.Int64
	closed.Store(true)
	n := clusters.Add(1)
	c := startClusterOf(&cluster{t: t, edit: impatient, wrap: func(_ int, h netlayer.Handler) netlayer.Handler { return withheld{h, &closed, &asked} }},
		func(id wire.NodeID) netlayer.Addr {
			return netlayer.Addr(fmt.Sprintf("inproc:withheld-%d-%s", n, id))
		})
	cl, _, m1 := lostVNode(t, c, 0)
	until(t, "somebody asks", func() bool { return asked.Load() != 0 })
	first := asked.Load()
	// An attempt takes half a second, and so long patience lasts: the third one begins when the second, an impatient one, has ended.
	until(t, "it is tried a third time", func() bool {
		if allGone(t, cl)() {
			t.Fatalf("the vNode is released, and its home was asked for %v only", m1.ops())
		}
		return asked.Load()-first > int64(1500*time.Millisecond)
	})
	closed.Store(false)
	until(t, "the vNode is released", allGone(t, cl))
	if !slices.Contains(m1.ops(), wire.OpProcessExit) {
		t.Errorf("its home was asked for %v, want %v", m1.ops(), wire.OpProcessExit)
	}
}

// TestPatienceBeginsWithLeadership: who does not lead GPM forgets since when vNodes are lost, so that nobody who leads again counts
// from its time before.
func TestPatienceBeginsWithLeadership(t *testing.T) {
	t.Parallel()
	c := startCluster(t, nil)
	leader := -1
	until(t, "GPM is led", func() bool { leader = c.leader(wire.GPM); return leader >= 0 })
	follower := c.nodes[(leader+1)%len(c.nodes)].m
	until(t, "it runs", func() bool { follower.LoseSince(7, 0); return follower.Loses(7) || c.leader(wire.GPM) != leader })
	until(t, "it has forgotten", func() bool { return !follower.Loses(7) })
}

// TestAPreemptedVNodeEndsThoughItsComponentDoesNotAnswer: a pComponent that lives and does not answer keeps what it runs, and the
// vNode is ended for the other one nevertheless.
func TestAPreemptedVNodeEndsThoughItsComponentDoesNotAnswer(t *testing.T) {
	t.Parallel() // it waits more than it works
	c := startCluster(t, impatient)
	cl := c.client()
	p1 := pcomponent(1, 100)
	c.component(cl, mcomponent(1, 8<<20))
	k := c.component(cl, p1)
	k.deaf = wire.OpProcessStop
	var low admission.Placement
	until(t, "a vNode is admitted", func() bool {
		var err error
		low, err = cl.Admit(within(t), waiting(vnode("low", 60, 0, 0), admission.Refuse, 1))
		return err == nil
	})
	settled(t, cl) // one that is not known to run yet is nobody's victim
	high := admit(t, cl, waiting(vnode("high", 60, 0, 0), admission.Preempt, 9)).must(t)
	if b := settled(t, cl); len(b.Processes) != 1 || b.Processes[0].PID != high.PID || high.PID == low.PID {
		t.Errorf("%+v", b.Processes)
	}
	if !slices.Contains(k.ops(), wire.OpProcessStop) {
		t.Errorf("it was asked for %v, want %v", k.ops(), wire.OpProcessStop)
	}
}

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"splitkernel/gmanagers/client"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/replay"
	"splitkernel/sim/report"
)

// asks makes a client of a cluster's managers.
func (c *cluster) asks(t *testing.T) *client.Client {
	t.Helper()
	o := client.DefaultOptions()
	o.Net = c.net()
	for _, n := range c.Nodes() {
		if n.Role == wire.RoleManager.String() {
			o.Managers = append(o.Managers, client.Manager{ID: wire.NodeID(n.ID), Addr: netlayer.Addr(n.Addr)})
		}
	}
	cl, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cl.Close() })
	return cl
}

// TestQueueAndPreemption: a vNode without room waits for the end of another one and runs then; one of a higher priority ends
// one that runs, which fails by name, and nothing of it is left.
func TestQueueAndPreemption(t *testing.T) {
	t.Parallel()
	path := synthetic(t, "some", 5, 200, 0, 20_000, true)
	c := start(t, onePonem, "nodes.p1.excache_bytes=1MiB")
	s := c.run(workload(t, fmt.Sprintf(`name: queue
seed: 1
vnodes:
  - {name: first, trace: %s, excache: {lines: 200, ways: 0}}
  - {name: second, trace: %s, if_full: queue, excache: {lines: 200, ways: 0}}
`, path, path)), nil)
	ok(t, s)
	if s.VNodes[1].State != replay.StateDone {
		t.Fatalf("%+v", s.VNodes[1])
	}
	low := make(chan *report.Summary, 1)
	go func() {
		low <- c.run(workload(t, fmt.Sprintf(`name: low
seed: 1
vnodes: [{name: low, trace: %s, repeat: 1000000, priority: 2, excache: {lines: 200, ways: 0}}]
`, path)), nil)
	}()
	cl := c.asks(t)
	for limit := time.Now().Add(deadline); ; time.Sleep(20 * time.Millisecond) {
		ps, err := cl.Processes(background(t))
		if err != nil || time.Now().After(limit) {
			t.Fatal("the low one does not run: ", err)
		}
		if len(ps) == 1 && ps[0].Priority == 2 {
			break
		}
	}
	ok(t, c.run(workload(t, fmt.Sprintf(`name: high
seed: 1
vnodes: [{name: high, trace: %s, if_full: preempt, excache: {lines: 200, ways: 0}}]
`, path)), nil))
	s = <-low
	if s.ExitCode() != 1 || len(s.Failed) != 1 || !strings.Contains(s.Failed[0], `low: `) || !strings.Contains(s.Failed[0], `preempted by vNode "high" of tenant "default", priority 5, which is above 2`) {
		t.Fatalf("exit code %d: %q", s.ExitCode(), s.Failed)
	}
	b, err := cl.Books(background(t))
	if err != nil || len(b.Processes)+len(b.Homes)+len(b.Volumes) != 0 {
		t.Fatalf("left: %+v, %v", b, err)
	}
}

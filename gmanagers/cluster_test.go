package gmanagers_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lni/goutils/vfs"

	"splitkernel/gmanagers"
	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/client"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// clusters makes the inproc names of tests differ.
var clusters atomic.Int64

// failover is how long a test waits for managers to agree, and for all that it asks of them under one context. After a
// leader's end that took up to 3.5 s; the rest is for machines that run much else under the race detector: with fifteen
// times as much work as cores, tests were seen to take more than 30 s that take two or three.
const failover = 90 * time.Second

// cluster is three manager processes in this process, over inproc, each on its own memory file system.
type cluster struct {
	t     testing.TB
	peers []gmanagers.Peer
	nodes []*node
	edit  func(*gmanagers.Options)
	wrap  func(node int, h netlayer.Handler) netlayer.Handler // if not nil, what serves a node's requests
}

type node struct {
	id     wire.NodeID
	fs     *vfs.MemFS // strict: knows what was synced
	m      *gmanagers.Managers
	cancel context.CancelFunc
	done   chan error // of Run and of the server
}

func startCluster(t testing.TB, edit func(*gmanagers.Options)) *cluster {
	n := clusters.Add(1)
	return startClusterAt(t, func(id wire.NodeID) netlayer.Addr { return netlayer.Addr(fmt.Sprintf("inproc:managers-%d-%s", n, id)) }, edit)
}

// startClusterAt is startCluster at addresses of the caller's choice.
func startClusterAt(t testing.TB, addr func(wire.NodeID) netlayer.Addr, edit func(*gmanagers.Options)) *cluster {
	return startClusterOf(&cluster{t: t, edit: edit}, addr)
}

// startClusterOf starts the nodes of a cluster that says how.
func startClusterOf(c *cluster, addr func(wire.NodeID) netlayer.Addr) *cluster {
	for i := 1; i <= 3; i++ {
		id := wire.NodeID(fmt.Sprintf("g%d", i))
		c.peers = append(c.peers, gmanagers.Peer{ID: id, Addr: addr(id), ReplicaID: uint64(i)})
		c.nodes = append(c.nodes, &node{id: id, fs: vfs.NewStrictMem()})
	}
	for i := range c.nodes {
		c.start(i)
	}
	c.t.Cleanup(func() {
		for i := range c.nodes {
			c.stop(i)
		}
	})
	return c
}

func netOptions(role wire.Role, id wire.NodeID) netlayer.Options {
	o := netlayer.DefaultOptions()
	o.Cluster, o.Role, o.Node = "test", role, id
	return o
}

// start runs a stopped node on what it has on its file system.
func (c *cluster) start(i int) {
	c.t.Helper()
	n := c.nodes[i]
	o := gmanagers.DefaultOptions()
	o.ID, o.Peers, o.DataDir, o.FS = n.id, c.peers, "/"+string(n.id), n.fs
	o.ElectionTicks = 50 // a starved replica must not unseat a leader: these tests are not about speed
	o.LeaseMS = 60_000   // most tests send no heartbeats
	o.Net = netOptions(wire.RoleManager, n.id)
	if testing.Verbose() {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})).With("node", n.id)
	}
	if c.edit != nil {
		c.edit(&o)
	}
	m, err := gmanagers.New(o)
	if err != nil {
		c.t.Fatal(err)
	}
	so := netlayer.DefaultServerOptions()
	so.Cluster, so.Role, so.Node, so.Workers = "test", wire.RoleManager, n.id, gmanagers.MinWorkers
	so.OnGone = m.Disconnected
	l, err := netlayer.Listen(c.peers[i].Addr)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.m, n.cancel, n.done = m, cancel, make(chan error, 2)
	h := m.Handler()
	if c.wrap != nil {
		h = c.wrap(i, h)
	}
	go func() { n.done <- netlayer.NewServer(h, so).Serve(ctx, l) }()
	go func() { n.done <- m.Run(ctx) }()
}

// stop ends a node as a signal would; what it has on its file system stays.
func (c *cluster) stop(i int) {
	n := c.nodes[i]
	if n.cancel == nil {
		return
	}
	n.cancel()
	n.cancel = nil
	for range 2 {
		if err := <-n.done; err != nil {
			c.t.Errorf("%s: %v", n.id, err)
		}
	}
}

// crash ends a node so that only what it had synced is left. Its syncs are believed until it is silent: a node that went on
// to acknowledge what its disk only pretends to keep would break what Raft builds on (and panic at its next start).
func (c *cluster) crash(i int) {
	c.stop(i)
	c.nodes[i].fs.ResetToSyncedState()
}

// stat returns a counter of a node.
func (c *cluster) stat(i int, name string) float64 {
	c.t.Helper()
	p := netlayer.NewPeer(c.peers[i].Addr, netOptions(wire.RoleClient, "test"))
	defer p.Close()
	var rep wire.NodeStatsRep
	if err := p.Control(within(c.t), wire.OpNodeStats, 0, &wire.NodeStatsReq{}, &rep); err != nil {
		c.t.Fatal(err)
	}
	for _, k := range rep.Counters {
		if k.Name == name {
			return k.Value
		}
	}
	c.t.Fatalf("no counter %s in %+v", name, rep)
	return 0
}

// client makes a client that is closed at the end of the test.
func (c *cluster) client() *client.Client { return c.clientOf(client.DefaultOptions()) }

// clientOf is client with settings.
func (c *cluster) clientOf(o client.Options) *client.Client {
	c.t.Helper()
	o.Net = netOptions(wire.RoleClient, "test")
	for _, p := range c.peers {
		o.Managers = append(o.Managers, client.Manager{ID: p.ID, Addr: p.Addr})
	}
	cl, err := client.New(o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { cl.Close() })
	return cl
}

// until polls a condition that must come true within failover; the last description is printed if it does not.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(failover)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", failover, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// leader returns the index of the node that leads a group by its own word, -1 if none does.
func (c *cluster) leader(g wire.Manager) int {
	for i, n := range c.nodes {
		if n.cancel == nil {
			continue
		}
		for _, s := range n.m.Status() {
			if s.Manager == g && s.Leader == n.id {
				return i
			}
		}
	}
	return -1
}

// applied returns how many commands of a group a node has applied.
func (c *cluster) applied(i int, g wire.Manager) uint64 {
	for _, s := range c.nodes[i].m.Status() {
		if s.Manager == g {
			return s.Applied
		}
	}
	return 0
}

func mcomponent(i int, memory uint64) wire.Member {
	id := fmt.Sprintf("m%d", i)
	return wire.Member{ID: wire.NodeID(id), Role: wire.RoleMemory, Addr: "inproc:" + id, Capacity: wire.Capacity{MemoryBytes: memory, RegionBytes: 1 << 20}}
}

func pcomponent(i int, lines uint64) wire.Member {
	id := fmt.Sprintf("p%d", i)
	return wire.Member{ID: wire.NodeID(id), Role: wire.RoleCompute, Addr: "inproc:" + id, Capacity: wire.Capacity{Cores: 2, ExCacheLines: lines}}
}

func scomponent(i int, bytes uint64) wire.Member {
	id := fmt.Sprintf("s%d", i)
	return wire.Member{ID: wire.NodeID(id), Role: wire.RoleStorage, Addr: "inproc:" + id, Capacity: wire.Capacity{StorageBytes: bytes}}
}

// homes gives the processes 1 to n a home, as admissions do.
func (c *cluster) homes(cl *client.Client, n wire.PID) {
	c.t.Helper()
	for pid := wire.PID(1); pid <= n; pid++ {
		votes, err := cl.Steps(within(c.t), wire.GMM, []admission.Step{{Verb: admission.Prepare, PID: pid}, {Verb: admission.Commit, PID: pid}})
		if err != nil || votes[0].Kind != wire.KindNone || votes[1].Kind != wire.KindNone {
			c.t.Fatalf("process %d: %+v, %v", pid, votes, err)
		}
	}
}

// within is a context for one step of a test.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), failover)
	t.Cleanup(cancel)
	return ctx
}

func has(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

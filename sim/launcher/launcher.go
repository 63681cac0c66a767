package launcher

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"splitkernel/configs"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/node"
)

// Bounds of a start and a stop.
const (
	// StartTimeout is how long the nodes of a cluster may take to become ready. A laptop's ten take under two seconds;
	// the rest is for machines under load.
	StartTimeout = 30 * time.Second
	// StopTimeout is how long a stop may take before what is left is killed.
	StopTimeout = 4 * time.Second
	// phaseTimeout is how long one role may take to stop before the next is told to.
	phaseTimeout = 1200 * time.Millisecond
	// maxDeaths bounds the deaths that nobody has read yet; further ones are only logged.
	maxDeaths = 64
)

// Options say what to start and where its traces stay.
type Options struct {
	Cluster *configs.Cluster
	// Out is the run's folder; logs go to Out/logs/ID.log. It is made if missing.
	Out string
	// Executable is the program that has the command `node`; empty is this very program.
	Executable string
	// Log gets what the launcher does; nil is silence.
	Log *slog.Logger
	// Seed is that of the chance of faults: which messages are lost.
	Seed uint64
	// Record is where the nodes' tapes go; the folder exists. Nil records nothing.
	Record *node.Record
	// Prometheus has the system's Prometheus watch the cluster as long as it runs. Nil: none is started.
	Prometheus *Prometheus
	// LogLevel is that of the nodes' logs when they start; 0 is info.
	LogLevel slog.Level
}

// NodeInfo is a running node.
type NodeInfo struct {
	ID      string `json:"id"`
	Role    string `json:"role"`
	Addr    string `json:"addr"`    // "unix:/path" or "tcp:host:port"
	PID     int    `json:"pid"`     // of the last start
	Metrics string `json:"metrics"` // "127.0.0.1:port": /metrics, /healthz, /readyz, /debug/pprof/
	Alive   bool   `json:"alive"`
	// Of a process that has ended: when that was seen, and how, as in "signal: killed".
	Ended *time.Time `json:"ended,omitempty"`
	How   string     `json:"how,omitempty"`
}

// Death is a process that ended although nobody had stopped it.
type Death struct {
	ID     string
	PID    int
	How    string // "signal: killed"
	Log    string // path of its log
	Tail   string // last lines of its log
	Killed bool   // by Kill
}

// Cluster is a running cluster of processes.
type Cluster struct {
	opts    Options
	id      string
	runtime *runtimeDir

	watchers sync.WaitGroup // one per child
	deaths   chan Death
	changing chan struct{} // holds one token while a node joins or leaves, and once the cluster is being stopped
	quit     chan struct{} // closed when the cluster is being stopped
	striking chan struct{} // holds one token while a fault begins or ends
	healers  sync.WaitGroup
	life     context.Context // ends when the cluster is being stopped
	endLife  context.CancelFunc
	targets  sync.Mutex // held while targets.json is written

	mu         sync.Mutex
	cluster    *configs.Cluster  // as it is now; never changed, but replaced
	addrs      map[string]string // by node id
	used       map[string]bool   // ids of all nodes that there ever were
	children   map[string]*child
	starting   map[string]bool // nodes that are being started again
	stopping   bool
	restarts   int
	replicas   uint64      // the last Raft node id that a manager got; 0: those of the start
	prometheus *prometheus // nil: none

	struck     []*struck // the first first; at most MaxStruck that have ended
	lastStruck int
	faultSeq   uint64
	stopOnce   sync.Once
	stopErr    error
}

// Start starts every node, and a Prometheus if there is to be one, and returns when all are ready. On any fault it stops what it started and leaves nothing.
// Cancelling ctx abandons the start; it does not stop a cluster that has started.
func Start(ctx context.Context, opts Options) (*Cluster, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Executable == "" {
		exe, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find this program's own file: %w", err)
		}
		opts.Executable = exe
	}
	if err := os.MkdirAll(filepath.Join(opts.Out, "logs"), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the logs (want an --out that can be written): %w", err)
	}
	SweepLeftovers()
	dir, err := newRuntimeDir()
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		opts: opts, id: newClusterID(opts.Cluster.Name), runtime: dir, cluster: opts.Cluster, addrs: map[string]string{},
		deaths: make(chan Death, maxDeaths), changing: make(chan struct{}, 1), quit: make(chan struct{}), striking: make(chan struct{}, 1),
		used: map[string]bool{}, children: map[string]*child{},
	}
	c.life, c.endLife = context.WithCancel(context.Background())
	for _, n := range opts.Cluster.Nodes {
		c.used[n.ID] = true
	}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Stop(ctx))
	}
	return c, nil
}

func newClusterID(name string) string {
	var b [6]byte
	rand.Read(b[:])
	return name + "-" + hex.EncodeToString(b[:])
}

func (c *Cluster) start(ctx context.Context) error {
	listeners, err := c.listenAll()
	if err != nil {
		return err
	}
	defer func() { // those that were given to a child are closed already; closing twice only errs
		for _, f := range listeners {
			f.Close()
		}
	}()
	for _, n := range c.opts.Cluster.Nodes {
		if err := c.furnish(c.opts.Cluster, n.ID); err != nil {
			return err
		}
	}
	for _, role := range configs.Roles { // managers first: the others wait for them
		for _, n := range c.opts.Cluster.Nodes {
			if n.Role != role.String() {
				continue
			}
			ch, err := c.spawn(n, listeners[n.ID])
			if err != nil {
				return err
			}
			c.mu.Lock()
			c.children[n.ID] = ch
			c.mu.Unlock()
		}
	}
	waiting, cancel := context.WithTimeoutCause(ctx, StartTimeout, fmt.Errorf("not ready after %s", StartTimeout))
	defer cancel()
	for _, n := range c.opts.Cluster.Nodes {
		if err := c.awaitReady(waiting, c.child(n.ID)); err != nil {
			if ctx.Err() != nil { // the caller's wish, and no fault of a node whose log would tell something
				return fmt.Errorf("the start was abandoned: %w", context.Cause(ctx))
			}
			return err
		}
	}
	if err := errors.Join(c.writePrometheus(), c.writeTargets()); err != nil {
		return err
	}
	if c.opts.Prometheus != nil {
		return c.watch(ctx)
	}
	return nil
}

// furnish makes the data folder and the configuration of a node. The addresses of all nodes are known.
func (c *Cluster) furnish(cluster *configs.Cluster, id string) error {
	var peers []node.Peer
	c.mu.Lock()
	for _, n := range cluster.Nodes {
		role, _ := configs.ParseRole(n.Role)
		peers = append(peers, node.Peer{ID: wire.NodeID(n.ID), Role: role, Addr: c.addrs[n.ID]})
	}
	c.mu.Unlock()
	if err := os.MkdirAll(c.dataPath(id), 0o700); err != nil {
		return fmt.Errorf("make the data folder of node %s: %w", id, err)
	}
	cfg := &node.Config{ClusterID: c.id, Node: cluster.Resolve(id), Peers: peers, DataDir: c.dataPath(id), RuntimeDir: c.runtime.path, Record: c.opts.Record, LogLevel: c.opts.LogLevel, Faults: c.planned(id)}
	return node.WriteConfig(c.configPath(id), cfg)
}

// listenAll opens the sockets of all nodes before any is started, so that every node knows every address.
func (c *Cluster) listenAll() (map[string]*os.File, error) {
	files := map[string]*os.File{}
	for _, n := range c.opts.Cluster.Nodes {
		f, addr, err := c.listen(n)
		if f != nil {
			files[n.ID] = f
		}
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, err
		}
		c.mu.Lock()
		c.addrs[n.ID] = addr
		c.mu.Unlock()
	}
	return files, nil
}

// awaitReady waits for one node. Whichever child dies first is the one to name: the others only wait for it.
func (c *Cluster) awaitReady(ctx context.Context, ch *child) error {
	for {
		select {
		case <-ch.ready:
			return nil
		case d := <-c.deaths:
			return fmt.Errorf("node %s ended while starting (%s); the last lines of %s:\n%s", d.ID, d.How, d.Log, d.Tail)
		case <-ctx.Done():
			return fmt.Errorf("start of node %s: %w; the last lines of %s:\n%s", ch.node.ID, context.Cause(ctx), ch.log, tail(ch.log))
		}
	}
}

func (c *Cluster) child(id string) *child {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.children[id]
}

// ended is called once by the watcher of every child.
func (c *Cluster) ended(ch *child) {
	c.mu.Lock()
	stopping, killed := c.stopping || ch.quiet, ch.killed
	c.mu.Unlock()
	if stopping {
		return
	}
	d := Death{ID: ch.node.ID, PID: ch.cmd.Process.Pid, How: ch.ending(), Log: ch.log, Tail: tail(ch.log), Killed: killed}
	c.opts.Log.Warn("node ended", "node", d.ID, "pid", d.PID, "how", d.How)
	select {
	case c.deaths <- d:
	default:
		c.opts.Log.Warn("too many deaths that nobody has read", "limit", maxDeaths, "node", d.ID)
	}
}

// Config is the cluster as it is now: those that joined are in it, those that left are not.
func (c *Cluster) Config() *configs.Cluster {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cluster
}

// Nodes lists the nodes in the order of the cluster file, those that joined last.
func (c *Cluster) Nodes() []NodeInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	var infos []NodeInfo
	for _, n := range c.cluster.Nodes {
		info := NodeInfo{ID: n.ID, Role: n.Role, Addr: c.addrs[n.ID]}
		if ch := c.children[n.ID]; ch != nil {
			info.PID = ch.cmd.Process.Pid
			select {
			case <-ch.ready:
				info.Metrics = ch.metrics
			default:
			}
			select {
			case <-ch.done:
				info.Ended, info.How = &ch.end, ch.ending()
			default:
				info.Alive = true
			}
		}
		infos = append(infos, info)
	}
	return infos
}

// ID is the cluster's identity, new with every start; the hello frame carries it.
func (c *Cluster) ID() string { return c.id }

// Restarts counts the nodes that were started again.
func (c *Cluster) Restarts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.restarts
}

// Dir is the temporary folder of the cluster.
func (c *Cluster) Dir() string { return c.runtime.path }

// Died gives the processes that ended although nobody stopped the cluster.
func (c *Cluster) Died() <-chan Death { return c.deaths }

// Kill ends a node with SIGKILL and waits until it is gone, for tests of failures.
func (c *Cluster) Kill(id string) error {
	ch := c.child(id)
	if ch == nil {
		return fmt.Errorf("kill node %s: no such node", id)
	}
	c.mu.Lock()
	ch.killed = true
	c.mu.Unlock()
	ch.signal(syscall.SIGKILL)
	<-ch.done
	return nil
}

// Restart starts a node again that has ended, at its old address and with its old data, and waits until it is ready.
func (c *Cluster) Restart(ctx context.Context, id string) error {
	return c.startAgain(ctx, id, func(cfg *node.Config) { cfg.Restarted = true })
}

// claim gives a node that has ended to who starts it again, and to nobody else until release is called: two processes of one node would have one
// address, one folder and one configuration.
func (c *Cluster) claim(id string) (old *child, release func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch old = c.children[id]; {
	case old == nil:
		return nil, nil, fmt.Errorf("restart node %s: no such node", id)
	case c.starting[id]:
		return nil, nil, fmt.Errorf("restart node %s: it is being started already", id)
	}
	select {
	case <-old.done:
	default:
		return nil, nil, fmt.Errorf("restart node %s: it still runs", id)
	}
	if c.starting == nil {
		c.starting = map[string]bool{}
	}
	c.starting[id] = true
	return old, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.starting, id)
	}, nil
}

// startAgain starts a node that has ended, at its old address and with a changed configuration.
func (c *Cluster) startAgain(ctx context.Context, id string, change func(*node.Config)) error {
	old, release, err := c.claim(id)
	if err != nil {
		return err
	}
	defer release()
	return c.startClaimed(ctx, old, change)
}

// startClaimed is startAgain for who has claimed the node.
func (c *Cluster) startClaimed(ctx context.Context, old *child, change func(*node.Config)) error {
	id := old.node.ID
	cfg, err := node.ReadConfig(c.configPath(id))
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	change(cfg)
	cfg.Faults = c.planned(id)
	if err := node.WriteConfig(c.configPath(id), cfg); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	listener, _, err := c.listen(old.node)
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	c.mu.Lock()
	if c.stopping {
		c.mu.Unlock()
		listener.Close()
		return fmt.Errorf("restart node %s: the cluster is being stopped", id)
	}
	ch, err := c.spawn(old.node, listener)
	if err == nil {
		c.children[id] = ch
		c.restarts++
	}
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, StartTimeout)
	defer cancel()
	select {
	case <-ch.ready:
		if err := c.writeTargets(); err != nil { // its metrics have another port now
			return fmt.Errorf("restart: node %s runs, but %w", id, err)
		}
		return nil
	case <-ch.done:
		return fmt.Errorf("restart: node %s ended while starting (%s); the last lines of %s:\n%s", id, ch.ending(), ch.log, tail(ch.log))
	case <-ctx.Done():
		return fmt.Errorf("restart of node %s: %w", id, ctx.Err())
	}
}

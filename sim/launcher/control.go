package launcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"splitkernel/configs"
)

const (
	controlName = "control.sock"
	// controlTimeout bounds a question to a supervisor and its answer.
	controlTimeout = 2 * time.Second
	// downTimeout bounds how long Down waits for the end, above StopTimeout and the clean-up.
	downTimeout = StopTimeout + 2*time.Second
	// maxRequestBytes bounds a request to a supervisor.
	maxRequestBytes = 64
)

// State is what a supervisor says of its cluster.
type State struct {
	Name      string           `json:"name"`
	ClusterID string           `json:"cluster_id"`
	PID       int              `json:"pid"` // of the supervisor
	Started   time.Time        `json:"started"`
	Dir       string           `json:"dir"` // temporary folder
	Out       string           `json:"out"` // logs and Prometheus targets
	Targets   string           `json:"targets"`
	Digest    string           `json:"digest"` // of the cluster's configuration
	Cluster   *configs.Cluster `json:"-"`
	Nodes     []NodeInfo       `json:"nodes"`
	Deaths    int              `json:"deaths"` // of nodes that nobody stopped
}

// reply is the supervisor's answer. The cluster is apart, as the text of its file, because it carries the token, which
// people need not see.
type reply struct {
	State   State
	Cluster string
	Error   string
}

// Supervisor owns a cluster for others: it answers on a socket in the cluster's folder until somebody stops it. There is
// no state on disk that could outlive it.
type Supervisor struct {
	name    string
	started time.Time
	cluster *Cluster
	claim   net.Listener // holds the name
	control net.Listener
	conns   sync.WaitGroup

	mu     sync.Mutex
	deaths int
}

// Supervise starts a cluster under a name and returns when it is ready. Serve must follow.
func Supervise(ctx context.Context, name string, opts Options) (*Supervisor, error) {
	claim, err := claimName(name)
	if err != nil {
		return nil, err
	}
	c, err := Start(ctx, opts)
	if err != nil {
		return nil, errors.Join(err, claim.Close())
	}
	control, err := net.Listen("unix", filepath.Join(c.Dir(), controlName))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for commands: %w", err), c.Stop(ctx), claim.Close())
	}
	s := &Supervisor{name: name, started: time.Now(), cluster: c, claim: claim, control: control}
	if err := WriteTargets(opts.Out, opts.Cluster.Name, c.Nodes()); err != nil {
		return nil, errors.Join(err, control.Close(), c.Stop(ctx), claim.Close())
	}
	return s, nil
}

// claimName takes a name for this user and this TMPDIR as long as the process lives. An abstract socket is the lock,
// because the kernel frees it with the process and it leaves no file.
func claimName(name string) (net.Listener, error) {
	h := fnv.New64a()
	io.WriteString(h, os.TempDir())
	l, err := net.Listen("unix", fmt.Sprintf("@splitkernel-%d-%x-%s", os.Getuid(), h.Sum64(), name))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("a cluster of the name %q is up already: stop it with `splitkernel down %s`, or choose another --name", name, name)
	}
	if err != nil {
		return nil, fmt.Errorf("claim the name %q: %w", name, err)
	}
	return l, nil
}

// State gives what Find and List would give.
func (s *Supervisor) State() State {
	s.mu.Lock()
	deaths := s.deaths
	s.mu.Unlock()
	o := s.cluster.opts
	return State{
		Name: s.name, ClusterID: s.cluster.id, PID: os.Getpid(), Started: s.started.UTC(), Dir: s.cluster.Dir(), Out: o.Out,
		Targets: targetsPath(o.Out), Digest: o.Cluster.Digest(), Cluster: o.Cluster, Nodes: s.cluster.Nodes(), Deaths: deaths,
	}
}

// Serve answers until ctx ends or somebody asks to stop, then stops the cluster.
func (s *Supervisor) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asked := make(chan net.Conn, 1) // who asked to stop first: the connection closes when all is done
	var accepting sync.WaitGroup
	accepting.Go(func() { s.accept(asked) })
	accepting.Go(func() {
		for {
			select {
			case <-s.cluster.Died():
				s.mu.Lock()
				s.deaths++
				s.mu.Unlock()
			case <-ctx.Done():
				return
			}
		}
	})
	var asker net.Conn
	select {
	case <-ctx.Done():
	case asker = <-asked:
	}
	cancel()
	s.control.Close()
	accepting.Wait()
	s.conns.Wait()
	err := s.cluster.Stop(context.WithoutCancel(ctx))
	err = errors.Join(err, s.claim.Close())
	if asker != nil {
		r := reply{}
		if err != nil {
			r.Error = err.Error()
		}
		asker.SetDeadline(time.Now().Add(controlTimeout))
		json.NewEncoder(asker).Encode(r)
		asker.Close()
	}
	return err
}

func (s *Supervisor) accept(asked chan<- net.Conn) {
	for {
		conn, err := s.control.Accept()
		if err != nil {
			return // closed by Serve
		}
		s.conns.Go(func() { s.answer(conn, asked) })
	}
}

func (s *Supervisor) answer(conn net.Conn, asked chan<- net.Conn) {
	conn.SetDeadline(time.Now().Add(controlTimeout))
	var request string
	if json.NewDecoder(io.LimitReader(conn, maxRequestBytes)).Decode(&request) != nil {
		conn.Close()
		return
	}
	switch request {
	case "state":
		st := s.State()
		json.NewEncoder(conn).Encode(reply{State: st, Cluster: string(st.Cluster.YAML())})
	case "stop":
		select {
		case asked <- conn:
			return // Serve answers when all is stopped
		default: // somebody else was first; the end of the connection tells
		}
	}
	conn.Close()
}

// ask sends a request to the supervisor whose folder is dir.
func ask(dir, request string, timeout time.Duration) (*reply, error) {
	conn, err := net.DialTimeout("unix", filepath.Join(dir, controlName), controlTimeout)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(timeout))
	if err := json.NewEncoder(conn).Encode(request); err != nil {
		return nil, err
	}
	var r reply
	if err := json.NewDecoder(conn).Decode(&r); err != nil {
		return nil, err
	}
	if r.Cluster != "" {
		c, err := configs.ParseCluster("cluster "+r.State.Name, []byte(r.Cluster), configs.Overrides{})
		if err != nil {
			return nil, fmt.Errorf("the configuration of a running cluster (is it of another version of this program?): %w", err)
		}
		r.State.Cluster = c
	}
	return &r, nil
}

// List gives the clusters of this user that are up, by name. Folders whose supervisor does not answer are passed over: it
// has died, and its processes are removing them.
func List() ([]State, error) {
	dirs, err := runtimeDirs()
	if err != nil {
		return nil, fmt.Errorf("look for clusters: %w", err)
	}
	var states []State
	for _, d := range dirs {
		if r, err := ask(d, "state", controlTimeout); err == nil {
			states = append(states, r.State)
		}
	}
	sort.Slice(states, func(i, j int) bool { return states[i].Name < states[j].Name })
	return states, nil
}

// Find gives the cluster of a name; with an empty name, the only one that is up.
func Find(name string) (*State, error) {
	states, err := List()
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range states {
		if states[i].Name == name || name == "" && len(states) == 1 {
			return &states[i], nil
		}
		names = append(names, states[i].Name)
	}
	switch {
	case len(states) == 0:
		return nil, errors.New("no cluster is up: start one with `splitkernel up`")
	case name == "":
		return nil, fmt.Errorf("several clusters are up, want one of their names: %s", strings.Join(names, ", "))
	}
	return nil, fmt.Errorf("no cluster %q is up, want one of: %s", name, strings.Join(names, ", "))
}

// Down stops a cluster that Find has found and returns when nothing of it is left.
func Down(st *State) error {
	r, err := ask(st.Dir, "stop", downTimeout)
	if err != nil {
		return fmt.Errorf("stop cluster %s (supervisor %d): %w", st.Name, st.PID, err)
	}
	if r.Error != "" {
		return fmt.Errorf("stop cluster %s: %s", st.Name, r.Error)
	}
	return nil
}

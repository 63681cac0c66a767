package launcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"splitkernel/configs"
	"splitkernel/sim/faults"
)

const (
	controlName = "control.sock"
	// controlTimeout bounds a question to a supervisor and its answer.
	controlTimeout = 2 * time.Second
	// answerTimeout is the same for one that must not be taken for dead, for it may be starting or stopping a node.
	answerTimeout = 20 * time.Second
	// acceptPause is the pause after a question that could not be taken.
	acceptPause = 50 * time.Millisecond
	// downTimeout bounds how long Down waits for the end, above StopTimeout and the clean-up.
	downTimeout = StopTimeout + 2*time.Second
	// growTimeout bounds how long a node may take to join or leave, its turn included.
	growTimeout = 2*StartTimeout + controlTimeout
	// strikeTimeout bounds how long something may take to go wrong on purpose, its turn and starts of nodes included.
	strikeTimeout = 2*StartTimeout + controlTimeout
	// maxRequestBytes bounds a request to a supervisor.
	maxRequestBytes = 64 << 10
)

// Owners of a cluster.
const (
	OwnerUp  = "up"  // a supervisor: `down` stops it
	OwnerRun = "run" // a run: it ends with the run
)

// State is what a supervisor says of its cluster.
type State struct {
	Name       string           `json:"name"`
	Owner      string           `json:"owner"` // "up" or "run"
	ClusterID  string           `json:"cluster_id"`
	PID        int              `json:"pid"` // of the supervisor
	Started    time.Time        `json:"started"`
	Dir        string           `json:"dir"` // temporary folder
	Out        string           `json:"out"` // logs and Prometheus targets
	Targets    string           `json:"targets"`
	Digest     string           `json:"digest"` // of the cluster's configuration
	Cluster    *configs.Cluster `json:"-"`
	Nodes      []NodeInfo       `json:"nodes"`
	Deaths     int              `json:"deaths"`               // of nodes that nobody stopped
	LogLevel   slog.Level       `json:"log_level"`            // of the nodes' logs at their start
	Prometheus *PrometheusInfo  `json:"prometheus,omitempty"` // that watches it
	Dashboard  string           `json:"dashboard,omitempty"`  // URL of its page, with its key if it has control
}

// request is what a supervisor is asked.
type request struct {
	Op    string          // "state", "look", "stop", "add", "remove", "readmit", "fault", "faults" or "heal"
	Node  configs.NewNode // add: what; remove, readmit: the id
	Fault string          // fault: what
	IDs   []int           // heal: which; none is all
}

// reply is the supervisor's answer. The cluster is apart, as the text of its file, because it carries the token, which
// people need not see.
type reply struct {
	State   State
	Cluster string
	Node    *NodeInfo // that was added
	Error   string
	Faults  []string // of the configuration of a node, instead of Error
	Struck  []Struck // faults, look: all; heal: what was ended; fault: this one
}

// Supervisor owns a cluster for others: it answers on a socket in the cluster's folder until somebody stops it. There is
// no state on disk that could outlive it.
type Supervisor struct {
	name    string
	owner   string
	started time.Time
	cluster *Cluster
	claim   net.Listener // holds the name
	control net.Listener
	conns   sync.WaitGroup

	// Stopped is called by Serve when the cluster has stopped, before whoever asked for it is answered; err is how it stopped, and what it
	// gives is how Serve ends. Nil: nothing is done.
	Stopped func(err error) error
	// Dashboard is the URL of the page that shows the cluster, empty if there is none. It is set before Serve or Answer.
	Dashboard string

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
	s, err := attend(name, OwnerUp, c, claim)
	if err != nil {
		return nil, errors.Join(err, c.Stop(ctx), claim.Close())
	}
	return s, nil
}

// Attend makes a cluster that runs already known under a name. Answer must follow.
func Attend(name string, c *Cluster) (*Supervisor, error) {
	claim, err := claimName(name)
	if err != nil {
		return nil, err
	}
	s, err := attend(name, OwnerRun, c, claim)
	if err != nil {
		return nil, errors.Join(err, claim.Close())
	}
	return s, nil
}

func attend(name, owner string, c *Cluster, claim net.Listener) (*Supervisor, error) {
	control, err := net.Listen("unix", filepath.Join(c.Dir(), controlName))
	if err != nil {
		return nil, fmt.Errorf("listen for commands: %w", err)
	}
	return &Supervisor{name: name, owner: owner, started: time.Now(), cluster: c, claim: claim, control: control}, nil
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
	o, now := s.cluster.opts, s.cluster.Config()
	return State{
		Name: s.name, Owner: s.owner, ClusterID: s.cluster.id, PID: os.Getpid(), Started: s.started.UTC(), Dir: s.cluster.Dir(), Out: o.Out,
		Targets: targetsPath(o.Out), Digest: now.Digest(), Cluster: now, Nodes: s.cluster.Nodes(), Deaths: deaths, LogLevel: o.LogLevel, Prometheus: s.cluster.Prometheus(), Dashboard: s.Dashboard,
	}
}

// Serve answers until ctx ends or somebody asks to stop, then stops the cluster.
func (s *Supervisor) Serve(ctx context.Context) error {
	counting, counted := context.WithCancel(ctx)
	var deaths sync.WaitGroup
	deaths.Go(func() {
		for {
			select {
			case <-s.cluster.Died():
				s.mu.Lock()
				s.deaths++
				s.mu.Unlock()
			case <-counting.Done():
				return
			}
		}
	})
	asker := s.answerUntil(ctx)
	counted()
	deaths.Wait()
	err := s.cluster.Stop(context.WithoutCancel(ctx))
	if s.Stopped != nil {
		err = s.Stopped(err)
	}
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

// Answer answers until ctx ends. The cluster is not stopped.
func (s *Supervisor) Answer(ctx context.Context) error {
	s.answerUntil(ctx)
	return s.claim.Close()
}

// answerUntil answers until ctx ends or somebody asks to stop: the connection of that one, who waits for an answer.
func (s *Supervisor) answerUntil(ctx context.Context) (asker net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asked := make(chan net.Conn, 1) // who asked to stop first: the connection closes when all is done
	var accepting sync.WaitGroup
	accepting.Go(func() { s.accept(ctx, asked) })
	select {
	case <-ctx.Done():
	case asker = <-asked:
	}
	cancel()
	s.control.Close()
	accepting.Wait()
	s.conns.Wait()
	return asker
}

func (s *Supervisor) accept(ctx context.Context, asked chan<- net.Conn) {
	for {
		conn, err := s.control.Accept()
		if errors.Is(err, net.ErrClosed) {
			return // by answerUntil
		}
		if err != nil { // out of descriptors, say: whoever asks waits for a while
			s.cluster.opts.Log.Warn("a question to the supervisor could not be taken", "error", err)
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
			}
			continue
		}
		s.conns.Go(func() { s.answer(ctx, conn, asked) })
	}
}

func (s *Supervisor) answer(ctx context.Context, conn net.Conn, asked chan<- net.Conn) {
	conn.SetDeadline(time.Now().Add(controlTimeout))
	var q request
	if json.NewDecoder(io.LimitReader(conn, maxRequestBytes)).Decode(&q) != nil {
		conn.Close()
		return
	}
	var r reply
	switch q.Op {
	case "state":
		st := s.State()
		r = reply{State: st, Cluster: string(st.Cluster.YAML())}
	case "look":
		l := s.Look()
		r = reply{State: l.State, Struck: l.Faults}
	case "stop":
		if s.owner == OwnerRun {
			r.Error = fmt.Sprintf("it belongs to a run, process %d, and ends with it", os.Getpid())
			break
		}
		select {
		case asked <- conn:
			return // Serve answers when all is stopped
		default: // somebody else was first; the end of the connection tells
			conn.Close()
			return
		}
	case "add":
		ctx, cancel := context.WithTimeout(ctx, growTimeout)
		defer cancel()
		node, err := s.cluster.Add(ctx, q.Node)
		r = changed(err)
		r.Node = node
	case "remove":
		ctx, cancel := context.WithTimeout(ctx, growTimeout)
		defer cancel()
		r = changed(s.cluster.Remove(ctx, q.Node.ID))
	case "readmit":
		ctx, cancel := context.WithTimeout(ctx, growTimeout)
		defer cancel()
		r = changed(s.cluster.Readmit(ctx, q.Node.ID))
	case "fault":
		ctx, cancel := context.WithTimeout(ctx, strikeTimeout)
		defer cancel()
		f, err := faults.Parse(q.Fault)
		if err == nil {
			var st Struck
			st, err = s.cluster.Strike(ctx, f)
			r.Struck = []Struck{st}
		}
		r.fail(err)
	case "faults":
		r.Struck = s.cluster.Faults()
	case "heal":
		ctx, cancel := context.WithTimeout(ctx, strikeTimeout)
		defer cancel()
		var err error
		r.Struck, err = s.cluster.Heal(ctx, q.IDs...)
		r.fail(err)
	default:
		r.Error = fmt.Sprintf("unknown request %q (is it of another version of this program?)", q.Op)
	}
	conn.SetDeadline(time.Now().Add(controlTimeout))
	json.NewEncoder(conn).Encode(r) // who asked may have gone
	conn.Close()
}

// changed answers who had the nodes changed.
func changed(err error) (r reply) {
	var faults *configs.FaultsError
	if errors.As(err, &faults) {
		r.Faults = faults.Faults
		return r
	}
	r.fail(err)
	return r
}

// fail notes what did not succeed.
func (r *reply) fail(err error) {
	if err != nil {
		r.Error = err.Error()
	}
}

// StrikeAt has the owner of a cluster that Find has found have something go wrong. What is random was drawn.
func StrikeAt(st *State, f faults.Fault) (Struck, error) {
	list, err := struckBy(st, request{Op: "fault", Fault: f.String()})
	if err != nil || len(list) == 0 {
		return Struck{}, err
	}
	return list[0], nil
}

// FaultsOf lists what was made to go wrong in a cluster that Find has found.
func FaultsOf(st *State) ([]Struck, error) { return struckBy(st, request{Op: "faults"}) }

// HealAt ends what goes wrong on purpose in a cluster that Find has found, all of it without ids, and gives what it ended.
func HealAt(st *State, ids ...int) ([]Struck, error) {
	return struckBy(st, request{Op: "heal", IDs: ids})
}

func struckBy(st *State, q request) ([]Struck, error) {
	r, err := ask(st.Dir, q, strikeTimeout+controlTimeout)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cluster %s (process %d): %w", st.Name, st.PID, err)
	case r.Error != "":
		return r.Struck, fmt.Errorf("cluster %s: %s", st.Name, r.Error)
	}
	return r.Struck, nil
}

// ask sends a request to the supervisor whose folder is dir.
func ask(dir string, q request, timeout time.Duration) (*reply, error) {
	conn, err := net.DialTimeout("unix", filepath.Join(dir, controlName), controlTimeout)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(timeout))
	if err := json.NewEncoder(conn).Encode(q); err != nil {
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

// List gives the clusters of this user that are up, by name. Folders whose supervisor has died are passed over, its processes are
// removing them; and so are those whose supervisor lives and does not answer.
func List() ([]State, error) {
	states, _, err := list()
	return states, err
}

// list is List that also tells the folders whose supervisor lives and does not answer.
func list() (states []State, silent []string, err error) {
	dirs, err := runtimeDirs()
	if err != nil {
		return nil, nil, fmt.Errorf("look for clusters: %w", err)
	}
	for _, d := range dirs {
		r, err := ask(d, request{Op: "state"}, answerTimeout)
		switch {
		case err == nil:
			states = append(states, r.State)
		case errors.Is(err, os.ErrDeadlineExceeded): // who has died has no socket that takes connections
			silent = append(silent, d)
		}
	}
	sort.Slice(states, func(i, j int) bool { return states[i].Name < states[j].Name })
	return states, silent, nil
}

// Find gives the cluster of a name; with an empty name, the only one that is up, or else the only one of a run.
func Find(name string) (*State, error) {
	states, silent, err := list()
	if err != nil {
		return nil, err
	}
	if up := owned(states, OwnerUp); name == "" && len(up) > 0 {
		states = up
	}
	var names []string
	for i := range states {
		if states[i].Name == name || name == "" && len(states) == 1 {
			return &states[i], nil
		}
		names = append(names, states[i].Name)
	}
	switch {
	case len(silent) > 0:
		return nil, fmt.Errorf("the supervisor of the cluster in %s has not answered for %v: try again, or end it with kill", silent[0], answerTimeout)
	case len(states) == 0:
		return nil, errors.New("no cluster is up: start one with `splitkernel up`")
	case name == "":
		return nil, fmt.Errorf("several clusters are up, want one of their names: %s", strings.Join(names, ", "))
	}
	return nil, fmt.Errorf("no cluster %q is up, want one of: %s", name, strings.Join(names, ", "))
}

// owned are the clusters of an owner.
func owned(states []State, owner string) (out []State) {
	for _, st := range states {
		if st.Owner == owner {
			out = append(out, st)
		}
	}
	return out
}

// ListUp gives those that `down` can stop.
func ListUp() ([]State, error) {
	states, err := List()
	return owned(states, OwnerUp), err
}

// Look is what changes of a running cluster: its processes, and what was made to go wrong.
type Look struct {
	State  State // without the configuration
	Faults []Struck
}

// Look gives what LookAt would give.
func (s *Supervisor) Look() Look {
	st := s.State()
	st.Cluster = nil
	return Look{st, s.cluster.Faults()}
}

// LookAt asks the owner of a cluster that Find has found how it is now; it is for those who ask again and again.
func LookAt(st *State) (*Look, error) {
	r, err := ask(st.Dir, request{Op: "look"}, controlTimeout)
	if err != nil {
		return nil, fmt.Errorf("cluster %s (process %d): %w", st.Name, st.PID, err)
	}
	if r.Error != "" {
		return nil, fmt.Errorf("cluster %s: %s", st.Name, r.Error)
	}
	return &Look{r.State, r.Struck}, nil
}

// AddNode has the owner of a cluster that Find has found start one more component, and returns when it is registered.
func AddNode(st *State, n configs.NewNode) (*NodeInfo, error) {
	r, err := ask(st.Dir, request{Op: "add", Node: n}, growTimeout+controlTimeout)
	return r.grown(st, err)
}

// RemoveNode has the owner of a cluster stop a component that the managers have removed, and forget it.
func RemoveNode(st *State, id string) error {
	r, err := ask(st.Dir, request{Op: "remove", Node: configs.NewNode{ID: id}}, growTimeout+controlTimeout)
	_, err = r.grown(st, err)
	return err
}

// ReadmitNode has the owner of a cluster take in a manager again that has lost what it had on its disk.
func ReadmitNode(st *State, id string) error {
	r, err := ask(st.Dir, request{Op: "readmit", Node: configs.NewNode{ID: id}}, growTimeout+controlTimeout)
	_, err = r.grown(st, err)
	return err
}

// grown reads the answer to a change of the nodes.
func (r *reply) grown(st *State, err error) (*NodeInfo, error) {
	switch {
	case err != nil:
		return nil, fmt.Errorf("cluster %s (process %d): %w", st.Name, st.PID, err)
	case len(r.Faults) > 0:
		return nil, &configs.FaultsError{Faults: r.Faults}
	case r.Error != "":
		return nil, fmt.Errorf("cluster %s: %s", st.Name, r.Error)
	}
	return r.Node, nil
}

// Down stops a cluster that Find has found and returns when nothing of it is left.
func Down(st *State) error {
	r, err := ask(st.Dir, request{Op: "stop"}, downTimeout)
	if err != nil {
		return fmt.Errorf("stop cluster %s (supervisor %d): %w", st.Name, st.PID, err)
	}
	if r.Error != "" {
		return fmt.Errorf("stop cluster %s: %s", st.Name, r.Error)
	}
	return nil
}

package launcher

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"splitkernel/configs"
	"splitkernel/sim/node"
)

// tailLines is how many lines of a dead child's log are shown.
const tailLines = 10

// tailBytes bounds how much of a log is read for its tail.
const tailBytes = 16 << 10

// maxReportBytes bounds a line that a child reports.
const maxReportBytes = 64 << 10

// child is one run of one node. A restart makes a new child.
type child struct {
	node  configs.Node
	cmd   *exec.Cmd
	alive *os.File // write end of the child's stdin: closing it tells the child that its launcher is gone
	log   string   // path

	ready chan struct{} // closed when the node reported that it serves
	done  chan struct{} // closed when the process has ended and err is set

	// Under Cluster.mu.
	quiet  bool // its end is no death, for it joins or leaves
	killed bool // by us: who is started again at once is another child, and this one may not have been taken down yet

	metrics string    // set before ready is closed
	failure string    // what the node itself said before it ended; read after done
	err     error     // how the process ended; read after done
	end     time.Time // when it was seen to have ended; read after done
}

// spawn starts a process for n. listener is given away: the caller's copy is closed.
func (c *Cluster) spawn(n configs.Node, listener *os.File) (*child, error) {
	defer listener.Close()
	ch := &child{node: n, log: c.logPath(n.ID), ready: make(chan struct{}), done: make(chan struct{})}
	log, err := os.OpenFile(ch.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log of node %s: %w", n.ID, err)
	}
	defer log.Close()
	stdin, alive, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("pipe to node %s: %w", n.ID, err)
	}
	defer stdin.Close()
	reports, report, err := os.Pipe()
	if err != nil {
		alive.Close()
		return nil, fmt.Errorf("pipe from node %s: %w", n.ID, err)
	}
	defer report.Close()

	cmd := exec.Command(c.opts.Executable, "node", "--config", c.configPath(n.ID))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, log, log
	cmd.ExtraFiles = []*os.File{report, listener, c.runtime.lock} // node.ReportFD, ListenerFD, LockFD
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}         // a Ctrl-C in the terminal is the launcher's to act on
	if err := cmd.Start(); err != nil {
		alive.Close()
		reports.Close()
		return nil, fmt.Errorf("start node %s (%s): %w", n.ID, c.opts.Executable, err)
	}
	ch.cmd, ch.alive = cmd, alive
	c.watchers.Add(1)
	go func() {
		defer c.watchers.Done()
		ch.watch(reports)
		c.ended(ch)
	}()
	return ch, nil
}

// watch reads what the node reports until it ends.
func (ch *child) watch(reports *os.File) {
	defer close(ch.done)
	lines := bufio.NewScanner(reports)
	lines.Buffer(nil, maxReportBytes)
	var once sync.Once
	for lines.Scan() {
		var r node.Report
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			continue // a line cut off by the death of its writer
		}
		switch r.State {
		case node.StateListening:
			ch.metrics = r.Metrics
		case node.StateReady:
			once.Do(func() { close(ch.ready) })
		case node.StateFailed:
			ch.failure = r.Error
		}
	}
	reports.Close()
	ch.err = ch.cmd.Wait()
	ch.end = time.Now().UTC()
	ch.alive.Close()
}

// signal sends sig unless the process has ended.
func (ch *child) signal(sig os.Signal) {
	if err := ch.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		ch.cmd.Process.Kill()
	}
}

// ending says how the process ended, with what it said itself.
func (ch *child) ending() string {
	how := "exit status 0"
	if ch.err != nil {
		how = ch.err.Error()
	}
	if ch.failure != "" {
		how += ": " + ch.failure
	}
	return how
}

// tail gives the last lines of a log, for an error message.
func tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() > tailBytes {
		if _, err := f.Seek(-tailBytes, io.SeekEnd); err != nil {
			return ""
		}
	}
	text, err := io.ReadAll(io.LimitReader(f, tailBytes))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}

// listen opens the socket of a node. The launcher does it, so that a free TCP port cannot be lost between choosing it
// and listening on it.
func (c *Cluster) listen(n configs.Node) (*os.File, string, error) {
	if c.opts.Cluster.Transport == configs.TransportUnix {
		path, err := c.runtime.socket(n.ID)
		if err != nil {
			return nil, "", err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, "", fmt.Errorf("remove the old socket of node %s: %w", n.ID, err)
		}
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			return nil, "", fmt.Errorf("node %s: %w", n.ID, err)
		}
		l.SetUnlinkOnClose(false)
		f, err := l.File()
		return f, "unix:" + path, errors.Join(err, l.Close())
	}
	address, key := "127.0.0.1:0", ""
	if n.Listen != "" {
		address, key = n.Listen, "nodes."+n.ID+".listen: "
	}
	c.mu.Lock()
	old, again := c.addrs[n.ID]
	c.mu.Unlock()
	if again { // a restart: peers know the node by its address
		address = strings.TrimPrefix(old, "tcp:")
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		why := err
		if errors.Is(err, syscall.EADDRINUSE) {
			why = errors.New("the address is in use by another program, want a free one")
		}
		return nil, "", fmt.Errorf("node %s: %s%s: %w", n.ID, key, address, why)
	}
	f, err := l.(*net.TCPListener).File()
	return f, "tcp:" + l.Addr().String(), errors.Join(err, l.Close())
}

func (c *Cluster) logPath(id string) string    { return filepath.Join(c.opts.Out, "logs", id+".log") }
func (c *Cluster) dataPath(id string) string   { return filepath.Join(c.runtime.path, "data", id) }
func (c *Cluster) configPath(id string) string { return filepath.Join(c.runtime.path, id+".json") }

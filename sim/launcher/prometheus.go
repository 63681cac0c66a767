package launcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"splitkernel/configs"
)

// Bounds of the system's Prometheus.
const (
	// DefaultPrometheusAddr is where Prometheus listens unless told otherwise: its own port, on loopback.
	DefaultPrometheusAddr = "127.0.0.1:9090"
	// prometheusTimeout is how long it may take until it answers. It takes under a second.
	prometheusTimeout = 20 * time.Second
	// prometheusRetention bounds the blocks that it keeps; its head, some hours, comes on top.
	prometheusRetention = "1GB"
	// prometheusTries is how often a free port is looked for, as another program may take it before Prometheus does.
	prometheusTries = 3
	// readyPause is the pause between two questions whether it is ready.
	readyPause = 20 * time.Millisecond
)

// Prometheus says how the system's Prometheus is to watch a cluster.
type Prometheus struct {
	Addr     string        // host:port on loopback; port 0 is a free one; empty is DefaultPrometheusAddr
	Interval time.Duration // from scrape to scrape; 0 is that of the bundled prometheus.yml
}

// PrometheusInfo is the Prometheus of a cluster.
type PrometheusInfo struct {
	URL   string `json:"url"`
	PID   int    `json:"pid"`
	Alive bool   `json:"alive"`
	Ended string `json:"ended,omitempty"` // how it ended, if it did
	Log   string `json:"log"`
}

// Check says what is in the way of a Prometheus, before anything is started: the program is missing, or its address is not on loopback or in use.
func (p *Prometheus) Check() error {
	if _, err := prometheusProgram(); err != nil {
		return err
	}
	_, err := p.freeAddr()
	return err
}

func prometheusProgram() (string, error) {
	exe, err := exec.LookPath("prometheus")
	if err != nil {
		return "", errors.New("the program prometheus is not on the PATH: install it with `apt-get install --no-install-recommends prometheus`, " +
			"or leave --prometheus out; targets.json of the cluster's folder is for any other Prometheus of this machine")
	}
	return exe, nil
}

// freeAddr is where Prometheus is to listen: loopback, for nobody is asked for a password, and free.
func (p *Prometheus) freeAddr() (string, error) {
	addr := cmp.Or(p.Addr, DefaultPrometheusAddr)
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("the address %q of Prometheus is none, want as in %s", addr, DefaultPrometheusAddr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", fmt.Errorf("the address %q of Prometheus is not on loopback, want as in %s: it asks nobody for a password", addr, DefaultPrometheusAddr)
	}
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return "", fmt.Errorf("the address %s of Prometheus is in use by another program, want a free one; with port 0 a free one is chosen", addr)
	}
	if err != nil {
		return "", fmt.Errorf("the address of Prometheus: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// prometheus is one run of the program. Its goroutine waits for it.
type prometheus struct {
	url  string
	pid  int
	log  string        // path
	done chan struct{} // closed when it has ended and err is set
	err  error
	kill func(os.Signal) // to the process, unless it has ended
}

// writePrometheus writes the bundled configuration into the cluster's folder, for this Prometheus or any other.
func (c *Cluster) writePrometheus() error {
	var interval time.Duration
	if c.opts.Prometheus != nil {
		interval = c.opts.Prometheus.Interval
	}
	for name, text := range configs.Prometheus(interval) {
		if err := os.WriteFile(filepath.Join(c.opts.Out, name), text, 0o644); err != nil {
			return fmt.Errorf("write the Prometheus configuration: %w", err)
		}
	}
	return nil
}

// watch starts the system's Prometheus and returns when it answers. It ends with the cluster.
func (c *Cluster) watch(ctx context.Context) error {
	exe, err := prometheusProgram()
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		addr, err := c.opts.Prometheus.freeAddr()
		if err != nil {
			return err
		}
		p, err := c.startPrometheus(exe, addr)
		if err != nil {
			return fmt.Errorf("start Prometheus (%s): %w", exe, err)
		}
		err = p.await(ctx)
		if err == nil {
			c.mu.Lock()
			c.prometheus = p
			c.mu.Unlock()
			c.watchers.Go(func() { c.unwatched(p) })
			return nil
		}
		p.kill(syscall.SIGKILL)
		<-p.done
		if try == prometheusTries || ctx.Err() != nil || !strings.Contains(err.Error(), "address already in use") {
			return err
		}
	}
}

// startPrometheus starts the program. Unlike a node it does not notice that the launcher is gone, so the kernel ends it then. The kernel does that when
// the thread ends that started it, so one waits for it.
func (c *Cluster) startPrometheus(exe, addr string) (*prometheus, error) {
	dir, err := filepath.Abs(filepath.Join(c.runtime.path, "prometheus"))
	if err != nil {
		return nil, err
	}
	logPath := c.logPath("prometheus")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(exe, "--config.file=prometheus.yml", "--web.listen-address="+addr, "--storage.tsdb.path="+dir,
		"--storage.tsdb.retention.size="+prometheusRetention)
	cmd.Dir = c.opts.Out // a path in the configuration may hold the characters of patterns
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{c.runtime.lock}                                       // the folder is in use while it lives
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // a Ctrl-C in the terminal is the launcher's to act on
	p := &prometheus{url: "http://" + addr, log: logPath, done: make(chan struct{})}
	started := make(chan error)
	c.watchers.Go(func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this function, and the program has then ended, too
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
			p.kill = func(s os.Signal) { cmd.Process.Signal(s) } // one that has ended is not signalled
		}
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	})
	return p, <-started
}

// await waits until it answers.
func (p *prometheus) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, prometheusTimeout, fmt.Errorf("not ready after %s", prometheusTimeout))
	defer cancel()
	client := http.Client{Timeout: controlTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(readyPause)
	defer tick.Stop()
	for {
		select {
		case <-p.done:
			return fmt.Errorf("Prometheus ended while starting (%s); the last lines of %s:\n%s", p.ending(), p.log, tail(p.log))
		case <-ctx.Done():
			return fmt.Errorf("start of Prometheus: %w; the last lines of %s:\n%s", context.Cause(ctx), p.log, tail(p.log))
		case <-tick.C:
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/-/ready", nil)
			if err != nil {
				return fmt.Errorf("start of Prometheus: %w", err)
			}
			if rep, err := client.Do(req); err == nil {
				rep.Body.Close()
				if rep.StatusCode == http.StatusOK {
					return nil
				}
			}
		}
	}
}

// ending says how it ended.
func (p *prometheus) ending() string {
	if p.err != nil {
		return p.err.Error()
	}
	return "exit status 0"
}

// unwatched waits for the end of a Prometheus and tells of it: nothing else depends on it.
func (c *Cluster) unwatched(p *prometheus) {
	<-p.done
	c.mu.Lock()
	stopping := c.stopping
	c.mu.Unlock()
	if !stopping {
		c.opts.Log.Warn("Prometheus ended: what happens from now on is not kept; the cluster goes on", "pid", p.pid, "how", p.ending(), "log", p.log)
	}
}

// Prometheus is that of the cluster; nil without one.
func (c *Cluster) Prometheus() *PrometheusInfo {
	c.mu.Lock()
	p := c.prometheus
	c.mu.Unlock()
	if p == nil {
		return nil
	}
	info := &PrometheusInfo{URL: p.url, PID: p.pid, Alive: true, Log: p.log}
	select {
	case <-p.done:
		info.Alive, info.Ended = false, p.ending()
	default:
	}
	return info
}

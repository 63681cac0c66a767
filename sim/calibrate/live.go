package calibrate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"splitkernel/configs"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/pcomponent/excache"
	"splitkernel/sim/replay"
)

// Options say how to measure.
type Options struct {
	// Transport is unix or tcp.
	Transport string
	// Dir is a folder for sockets, traces and the file that the disk is measured with.
	Dir string
	// Seconds is how long the measurements last, about; at least MinSeconds.
	Seconds float64
	// Disk is what was measured of the disk before; nil measures it.
	Disk *Disk
	// Executable and Args start Serve as a process; the address follows the arguments.
	Executable string
	Args       []string
}

// Bounds of Options.Seconds.
const (
	MinSeconds = 0.1
	MaxSeconds = 600
)

// Live is a pComponent in this process and an mComponent in another one, both on one processor.
type Live struct {
	o     Options
	unpin func()
	cmd   *exec.Cmd
	alive io.Closer
	home  netlayer.Addr
	comp  *pcomponent.Component
	host  *replay.Host
	aside *netlayer.Peer // for messages that no process sends
	pid   wire.PID
}

// stopTimeout bounds the wait for the other process after it was told to end.
const stopTimeout = 10 * time.Second

// Start pins this process and starts the other. Close must follow.
func Start(ctx context.Context, o Options) (l *Live, err error) {
	if o.Seconds < MinSeconds || o.Seconds > MaxSeconds {
		return nil, fmt.Errorf("seconds: %v, want %v to %v", o.Seconds, MinSeconds, MaxSeconds)
	}
	var addr string
	switch o.Transport {
	case configs.TransportUnix:
		dir, err := os.MkdirTemp(o.Dir, "m") // a name for each: several may follow each other in one folder
		if err != nil {
			return nil, fmt.Errorf("make a folder for the socket: %w", err)
		}
		addr = "unix:" + filepath.Join(dir, "s")
	case configs.TransportTCP:
		addr = "tcp:127.0.0.1:0"
	default:
		return nil, fmt.Errorf("transport: %q, want one of %s, %s", o.Transport, configs.TransportTCP, configs.TransportUnix)
	}
	l = &Live{o: o}
	if l.unpin, err = pin(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
			l = nil
		}
	}()
	if err := l.spawn(addr); err != nil {
		return l, err
	}
	co := pcomponent.DefaultOptions()
	co.ID, co.ExCacheBytes = computeNode, memoryBytes
	co.Net.Cluster, co.Net.Role, co.Net.Node = clusterName, wire.RoleCompute, computeNode
	if l.comp, err = pcomponent.New(co); err != nil {
		return l, err
	}
	l.host = replay.NewHost(l.comp, slog.New(slog.DiscardHandler))
	no := netlayer.DefaultOptions()
	no.Cluster, no.Role, no.Node = clusterName, wire.RoleClient, "calibrate"
	l.aside = netlayer.NewPeer(l.home, no)
	return l, nil
}

// spawn starts the other process and waits until it serves.
func (l *Live) spawn(addr string) error {
	cmd := exec.Command(l.o.Executable, append(append([]string{}, l.o.Args...), addr)...)
	var talk strings.Builder
	cmd.Stderr = &talk
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("pipe to the other process: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("pipe from the other process: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the other process (%s): %w", l.o.Executable, err)
	}
	l.cmd, l.alive = cmd, in
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = in.Close()
		err = cmd.Wait()
		l.cmd = nil
		return fmt.Errorf("the other process ended before it served: %v: %s", err, strings.TrimSpace(talk.String()))
	}
	l.home = netlayer.Addr(strings.TrimSpace(line))
	return nil
}

// Close ends everything and frees the processors again.
func (l *Live) Close() error {
	var errs []error
	ctx := context.Background()
	if l.aside != nil {
		errs = append(errs, l.aside.Close())
	}
	if l.host != nil {
		errs = append(errs, l.host.Close())
	}
	if l.comp != nil {
		errs = append(errs, l.comp.Close(ctx))
	}
	if l.cmd != nil {
		_ = l.alive.Close() // it ends then
		kill := time.AfterFunc(stopTimeout, func() { _ = l.cmd.Process.Kill() })
		if err := l.cmd.Wait(); err != nil {
			errs = append(errs, fmt.Errorf("the other process: %w", err))
		}
		kill.Stop()
	}
	l.unpin()
	return errors.Join(errs...)
}

// owner of everything.
func (l *Live) owner() wire.Owner {
	return wire.Owner{Node: memoryNode, Addr: string(l.home), Epoch: 1}
}

// process opens a process with so many pages of memory from page 1 on.
func (l *Live) process(ctx context.Context, lines int, pages uint64, anon bool) (*pcomponent.Process, error) {
	l.pid++
	x := excache.DefaultOptions()
	x.Lines, x.Ways = lines, 0
	p, err := l.comp.Open(ctx, pcomponent.ProcessOptions{
		PID: l.pid, Epoch: 1, Name: "calibrate", Home: l.owner(), Threads: 1, ExCache: x, RegionBytes: regionBytes,
	})
	if err != nil {
		return nil, err
	}
	if err := p.Map(ctx, wire.PageSize, pages*wire.PageSize, anon, true, "calibrate"); err != nil {
		return nil, errors.Join(err, p.Close(ctx))
	}
	return p, nil
}

// Outcome is a live or virtual run of a trace.
type Outcome struct {
	WallSeconds float64 `json:"wall_seconds"`
	// BusySeconds is what of it the processor worked for the two processes: the time on the clock of a machine with nothing else to do.
	BusySeconds float64 `json:"busy_seconds"`
	// FetchP50US is the median latency of a page fetched from the mComponent, in microseconds; 0 if none was.
	FetchP50US float64 `json:"fetch_p50_us"`
	// ProcessorShare is the second over the first: 1 on a machine with nothing else to do.
	ProcessorShare float64 `json:"processor_share"`
	Fetches        uint64  `json:"fetches"`
}

// fetchKind is the kind of fault that is compared, of report.FaultKinds.
const fetchKind = "fetch"

// Replay replays the trace of a vNode live, as run does, alone.
func (l *Live) Replay(ctx context.Context, v *configs.VNode) (Outcome, error) {
	prog, err := replay.NewProgram(ctx, v)
	if err != nil {
		return Outcome{}, err
	}
	l.pid++
	s := prog.Spec
	s.PID, s.Epoch, s.RegionBytes, s.Home = l.pid, 1, regionBytes, l.owner()
	s.ExCache.Seed++ // as a run with a workload of seed 1 draws
	cpu, began := l.cpu(), time.Now()
	r := l.host.Await(s)
	share := (l.cpu() - cpu).Seconds() / time.Since(began).Seconds()
	if r.Error != "" {
		return Outcome{}, fmt.Errorf("%s: %s", v.Trace, r.Error)
	}
	if n := r.Counters.IntegrityErrors; n > 0 {
		return Outcome{}, fmt.Errorf("%s: %d wrong pages: %s", v.Trace, n, strings.Join(r.Integrity, "; "))
	}
	out := Outcome{WallSeconds: r.Seconds, BusySeconds: r.Seconds * share, ProcessorShare: share, Fetches: r.Counters.Fetches}
	for _, f := range r.Fault {
		if f.Kind == fetchKind {
			lat, err := f.Latency()
			if err != nil {
				return out, err
			}
			out.FetchP50US = lat.P50
		}
	}
	return out, nil
}

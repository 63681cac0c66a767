package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"splitkernel/gmanagers/client"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/blockdev"
)

// maxProbes bounds the probes that a component makes at a time for managers: each holds a worker for up to a lease.
const maxProbes = 2

// closeTimeout bounds how long a component may take to flush and close, within shutdownTimeout.
const closeTimeout = 2 * time.Second

// process is one running node and what it must take down.
type process struct {
	cfg     *Config
	log     *slog.Logger
	epoch   *atomic.Uint32 // of the membership; 0 before the first, and at a manager
	monitor *monitor
	part    *part
	use     *usage
	member  *membership // nil at a manager
	faults  *faults
}

// Run is the life of one process of a cluster: it returns when ctx ends or the launcher has died, after all that it started
// has ended, or with the reason why it could not start.
func Run(ctx context.Context, cfg *Config, in *Inherited, stdin io.Reader, log *slog.Logger) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchParent(stdin, cancel)
	orphaned := func() bool { return errors.Is(context.Cause(ctx), errOrphan) }
	// Whatever hangs, this process ends: a launcher would kill it, an orphan has nobody else.
	context.AfterFunc(ctx, func() {
		time.AfterFunc(shutdownTimeout, func() {
			log.Error("the shut-down hangs", "after", shutdownTimeout.String())
			if orphaned() {
				os.RemoveAll(cfg.RuntimeDir)
			}
			os.Exit(1)
		})
	})

	var epoch atomic.Uint32
	var level slog.LevelVar
	level.Set(cfg.LogLevel)
	log = slog.New(epochHandler{log.Handler(), &epoch, &level}).With("node", cfg.Node.ID, "role", cfg.Node.Role.String())
	err := serve(ctx, cfg, in, &epoch, &level, log)
	if err != nil && ctx.Err() == nil {
		in.Report(Report{State: StateFailed, Error: err.Error()})
	}
	if orphaned() {
		// All orphans do this after their own end. The last one leaves nothing; the others' may fail, for the last ones
		// still write there.
		os.RemoveAll(cfg.RuntimeDir)
		log.Warn("ended, for the launcher has died")
	}
	return err
}

// serve builds the node from the bottom up, runs it, and takes it down from the top.
func serve(ctx context.Context, cfg *Config, in *Inherited, epoch *atomic.Uint32, level *slog.LevelVar, log *slog.Logger) (err error) {
	mon, err := newMonitor(cfg.Node.HTTPListen)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mon.close()) }() // metrics last
	log.Info("starting", "pid", os.Getpid(), "metrics", mon.addr(), "cluster", cfg.ClusterID)

	if cfg.metrics, err = netlayer.NewMetrics(mon.registry); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	if t := cfg.Node.Trace; t.OtlpEndpoint != "" {
		cfg.spans = NewSpans(t.OtlpEndpoint, cfg.ClusterID, string(cfg.Node.ID), cfg.Node.Role.String(), log)
		defer cfg.spans.Close() // after all that tells it of spans
		if err := mon.registry.Register(cfg.spans); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	faults := newFaults(cfg)
	gm, err := client.New(cfg.clientOptions(log))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gm.Close()) }()
	var api http.Handler
	if cfg.Node.Role == wire.RoleManager {
		a, err := newAPI(cfg, gm, mon, log)
		if err != nil {
			return err
		}
		defer a.Close() // before the client and the component that it uses
		api = a.Handler()
	}
	pt, err := newPart(cfg, gm, log)
	if err != nil {
		return err
	}
	if faults.disk = pt.disk; pt.disk != nil { // a node that stops does not wait for its disk to be slow
		defer context.AfterFunc(ctx, func() { pt.disk.SetIll(blockdev.Ill{}) })()
	}
	if err := mon.registry.Register(faults); err != nil {
		return errors.Join(fmt.Errorf("register metrics: %w", err), pt.close(ctx))
	}
	if cfg.Faults != nil {
		faults.set(*cfg.Faults)
	}
	p := &process{cfg: cfg, log: log, epoch: epoch, monitor: mon, part: pt, faults: faults}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		err = errors.Join(err, pt.close(closing))
	}()
	if err := pt.register(mon.registry); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	prober := netlayer.NewProber(cfg.peerOptions(log), maxProbes)
	so := cfg.serverOptions(log)
	so.Recorder, so.OnGone = pt.recorder, pt.gone
	server := netlayer.NewServer(&mux{part: pt, stats: p.stats, holdings: p.holdings, epoch: func() wire.Epoch { return wire.Epoch(epoch.Load()) }, prober: prober, faults: faults}, so)
	pt.waits = func() waited {
		w := waited{}.add(server.QueueWait())
		if pt.waitsInside != nil {
			w = w.add(pt.waitsInside())
		}
		return w
	}
	cfg.metrics.AddServer(server)
	p.use = newUsage(cfg, pt)
	if err := mon.registry.Register(p.use); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	mon.level = logLevels(level, cfg.Node.Token, log)
	mon.serve(pt.health, api, cfg.metrics.Links)
	in.Report(Report{State: StateListening, Metrics: mon.addr()})
	if cfg.Node.Role != wire.RoleManager {
		if p.member, err = newMembership(cfg, pt, gm, p.use, epoch, log); err != nil {
			return err
		}
		if err := mon.registry.Register(p.member); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return p.run(ctx, in, server)
}

// run runs the node's goroutines until ctx ends or one fails. Those that call end before those that are called: the
// membership and the server first, then Raft.
func (p *process) run(ctx context.Context, in *Inherited, server *netlayer.Server) error {
	front, stopFront := context.WithCancel(ctx)
	defer stopFront()
	back, stopBack := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBack()
	var fronts, backs sync.WaitGroup
	failed := make(chan error, 5) // one for each goroutine
	spawn := func(group *sync.WaitGroup, ctx context.Context, what string, run func(context.Context) error) {
		group.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				failed <- fmt.Errorf("%s: %w", what, err)
			}
		})
	}
	if p.part.run != nil {
		spawn(&backs, back, "raft", p.part.run)
	}
	spawn(&fronts, front, "serve", func(ctx context.Context) error { return server.Serve(ctx, in.Listener) })
	spawn(&fronts, front, "watch usage", p.use.run)
	if p.member != nil {
		spawn(&fronts, front, "membership", p.member.run)
	}
	spawn(&fronts, front, "start", func(ctx context.Context) error { return p.announce(ctx, in) })

	var err error
	select {
	case <-ctx.Done():
		p.log.Info("stopping", "why", context.Cause(ctx).Error())
	case err = <-failed:
	}
	p.monitor.ready.Store(false)
	if p.part.stop != nil {
		p.part.stop()
	}
	stopFront()
	fronts.Wait()
	stopBack()
	backs.Wait()
	return err
}

// announce tells the launcher once the node is of use.
func (p *process) announce(ctx context.Context, in *Inherited) error {
	ready := p.part.ready
	if p.member != nil {
		ready = p.member.joined
	}
	if err := ready(ctx); err != nil {
		return err
	}
	p.monitor.ready.Store(true)
	in.Report(Report{State: StateReady})
	p.log.Info("ready")
	return nil
}

func (p *process) stats() wire.NodeStatsRep {
	return wire.NodeStatsRep{Node: p.cfg.Node.ID, Role: p.cfg.Node.Role, Epoch: wire.Epoch(p.epoch.Load()), Counters: append(p.part.counters(), p.faults.counters()...)}
}

func (p *process) holdings(q wire.HoldingsReq) wire.HoldingsRep {
	all := p.part.holdings()
	page, next := all.Page(q.From, q.Limit)
	return wire.HoldingsRep{Node: p.cfg.Node.ID, Role: p.cfg.Node.Role, Epoch: wire.Epoch(p.epoch.Load()), Holds: page, Next: next}
}

// mux answers what every node answers and gives the rest to the component.
type mux struct {
	part     *part
	stats    func() wire.NodeStatsRep
	holdings func(wire.HoldingsReq) wire.HoldingsRep
	epoch    func() wire.Epoch
	prober   *netlayer.Prober
	faults   *faults
}

// Inline implements netlayer.Handler. Counting takes the component's locks, and a probe waits for
// another node, so they go to a worker.
func (m *mux) Inline(op wire.Op) bool {
	return op != wire.OpNodeStats && op != wire.OpHoldings && op != wire.OpProbe && op != wire.OpSlow && op != wire.OpFault && m.part.handler.Inline(op)
}

// Place implements netlayer.Placer: a component that is one takes long payloads into its own memory.
func (m *mux) Place(req *netlayer.Request, n int) [][]byte {
	if p, ok := m.part.handler.(netlayer.Placer); ok {
		return p.Place(req, n)
	}
	return nil
}

// Unplace implements netlayer.Placer.
func (m *mux) Unplace(req *netlayer.Request) { m.part.handler.(netlayer.Placer).Unplace(req) }

// Serve implements netlayer.Handler.
func (m *mux) Serve(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	switch {
	case req.Op == wire.OpFault:
		return m.faults.serve(req, rep)
	case req.Op == wire.OpNodeStats && m.part.counters != nil: // a manager counts by itself
		var q wire.NodeStatsReq
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		rep.SetControl(m.stats())
		return nil
	case req.Op == wire.OpProbe && m.part.counters != nil: // a manager probes by itself
		return m.prober.Serve(ctx, req, rep)
	case req.Op == wire.OpSlow && m.part.slow != nil:
		var q wire.SlowFaultsReq
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		rep.SetControl(m.part.slow(int(q.Limit)))
		return nil
	case req.Op == wire.OpHoldings && m.part.holdings != nil: // a manager has books, and holds nothing
		var q wire.HoldingsReq
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		rep.SetControl(m.holdings(q))
		return nil
	case req.Op == wire.OpDrop && m.part.holdings != nil:
		var q wire.DropReq
		if err := wire.Unmarshal(req.Body, &q); err != nil {
			return err
		}
		if now := m.epoch(); q.Member != now {
			return wire.Errorf(wire.KindStale, "drop under epoch %d of the membership, it is %d", q.Member, now)
		}
	}
	return m.part.handler.Serve(ctx, req, rep)
}

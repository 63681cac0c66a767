package node

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"splitkernel/gmanagers/client"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// registerPause is how long a component waits before it asks again for its registration, which fails only when no manager
// leads.
const registerPause = 100 * time.Millisecond

// membership keeps a component registered at its manager and reports its load.
type membership struct {
	client  *client.Client
	part    *part
	use     *usage
	log     *slog.Logger
	self    wire.Member
	current *atomic.Uint32 // epoch, 0 before the first registration
	first   chan struct{}  // closed by the first registration
}

func newMembership(cfg *Config, pt *part, gm *client.Client, use *usage, epoch *atomic.Uint32, log *slog.Logger) (*membership, error) {
	self, err := cfg.Self()
	if err != nil {
		return nil, err
	}
	return &membership{
		client: gm, part: pt, use: use, log: log, current: epoch, first: make(chan struct{}),
		self: wire.Member{ID: self.ID, Role: self.Role, Addr: self.Addr, Rack: cfg.Node.Rack, Capacity: pt.capacity()},
	}, nil
}

// run registers, then beats until ctx ends. A manager that does not know this component (its state was lost, or it was
// given up) makes it register again, under a new epoch.
func (m *membership) run(ctx context.Context) error {
	beat := time.NewTicker(wire.HeartbeatMS * time.Millisecond)
	defer beat.Stop()
	known, silent := false, false
	for ctx.Err() == nil {
		if !known {
			if err := m.register(ctx); err != nil {
				m.log.Warn("cannot register", "error", err.Error())
				pause(ctx, registerPause)
				continue
			}
			known = true
		}
		load := m.part.load()
		load.BusyCores = m.use.busyCores()
		ok, err := m.client.Heartbeat(ctx, m.self, load)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			known, silent = ok, false
		case !silent: // data paths go on without managers: say it once
			m.log.Warn("no manager answers", "error", err.Error())
			silent = true
		}
		if known {
			select {
			case <-beat.C:
			case <-ctx.Done():
			}
		}
	}
	return nil
}

func (m *membership) register(ctx context.Context) error {
	epoch, err := m.client.Register(ctx, m.self)
	if err != nil {
		return err
	}
	m.self.Epoch = epoch
	if m.current.Swap(uint32(epoch)) == 0 {
		close(m.first)
	}
	m.log.Info("registered")
	return nil
}

// joined waits for the first registration.
func (m *membership) joined(ctx context.Context) error {
	select {
	case <-m.first:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// peerOptions give the identity with which this node calls others.
func (c *Config) peerOptions(log *slog.Logger) netlayer.Options {
	o := c.Node.Netlayer.Peer
	o.Cluster, o.Token, o.Role, o.Node, o.Log, o.Metrics = c.ClusterID, c.Node.Token, c.Node.Role, c.Node.ID, log, c.metrics
	return o
}

// serverOptions give the identity with which this node answers.
func (c *Config) serverOptions(log *slog.Logger) netlayer.ServerOptions {
	o := c.Node.Netlayer.Server
	o.Cluster, o.Token, o.Role, o.Node, o.Log = c.ClusterID, c.Node.Token, c.Node.Role, c.Node.ID, log
	return o
}

// clientOptions are for calls to the managers.
func (c *Config) clientOptions(log *slog.Logger) client.Options {
	o := c.Node.Client
	o.Net = c.peerOptions(log)
	for _, m := range c.Managers() {
		o.Managers = append(o.Managers, client.Manager{ID: m.ID, Addr: netlayer.Addr(m.Addr)})
	}
	return o
}

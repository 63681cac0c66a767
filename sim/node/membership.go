package node

import (
	"context"
	"fmt"
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

// askTimeout bounds the question whether the manager knows this component.
const askTimeout = 3 * time.Second

// membership keeps a component registered at its manager and reports its load.
type membership struct {
	client  *client.Client
	part    *part
	use     *usage
	log     *slog.Logger
	self    wire.Member
	current *atomic.Uint32 // epoch, 0 before the first registration
	first   chan struct{}  // closed by the first registration
	waits   queueWaits
	told    atomic.Pointer[wire.Load] // by the last heartbeat
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

// run registers, then beats until ctx ends. A component that the managers gave up drops what it held under its epoch, and
// joins again under a new one; one that people removed does not, until it is started again.
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
		standing, err := m.client.Heartbeat(ctx, m.self, m.load())
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			if !silent { // data paths go on without managers: say it once
				m.log.Warn("no manager answers", "error", err.Error())
			}
			silent = true
		case standing == wire.StandingUnknown:
			silent = false
			known = m.known(ctx)
		case standing == wire.StandingFenced:
			silent, known = false, false
			m.fence(fmt.Sprintf("%s was declared dead under epoch %d and is fenced", m.self.ID, m.self.Epoch))
		case standing == wire.StandingRemoved:
			m.fence(fmt.Sprintf("%s was removed under epoch %d", m.self.ID, m.self.Epoch))
			m.log.Warn("removed: start this component again to have it back")
			<-ctx.Done()
			return nil
		default:
			silent = false
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

// known asks the manager itself, when replicas do not know this component: they may lag, and what they do not know is no
// reason to drop anything. If the manager does not know it either, its state was lost, and with it the books of all that is
// here: then it is dropped, before anything new can come under another epoch.
func (m *membership) known(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	standing, err := m.client.Standing(ctx, m.self)
	if err != nil {
		return true // nobody leads: dead managers stop nothing
	}
	switch standing {
	case wire.StandingUnknown, wire.StandingFenced:
		m.fence(fmt.Sprintf("%s is not in the books of its manager under epoch %d any more", m.self.ID, m.self.Epoch))
		return false
	}
	return true // the next heartbeat tells of a removal
}

// fence has the component drop what it holds for processes.
func (m *membership) fence(why string) {
	m.log.Warn("fenced", "because", why)
	if m.part.fence != nil {
		m.part.fence(why)
	}
}

// load is what the component does now.
func (m *membership) load() wire.Load {
	load := m.part.load()
	load.BusyCores = m.use.busyCores()
	load.QueueDelayUS = m.waits.since(m.part.waits)
	m.part.hot(&load)
	m.told.Store(&load)
	return load
}

func (m *membership) register(ctx context.Context) error {
	epoch, err := m.client.Register(ctx, m.self)
	if err != nil {
		return err
	}
	m.self.Epoch = epoch
	if m.part.joined != nil {
		m.part.joined(epoch)
	}
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
	o.Faults = c.faults
	return o
}

// serverOptions give the identity with which this node answers.
func (c *Config) serverOptions(log *slog.Logger) netlayer.ServerOptions {
	o := c.Node.Netlayer.Server
	o.Cluster, o.Token, o.Role, o.Node, o.Log = c.ClusterID, c.Node.Token, c.Node.Role, c.Node.ID, log
	o.Faults = c.faults
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

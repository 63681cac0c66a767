package node

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"splitkernel/gmanagers/client"
	enrol "splitkernel/gmanagers/membership"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

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

// run does what the enrolment wants until ctx ends.
func (m *membership) run(ctx context.Context) error {
	beat := time.NewTicker(wire.HeartbeatMS * time.Millisecond)
	defer beat.Stop()
	core, next := enrol.NewEnrolment(m.self.ID)
	for silent := false; ctx.Err() == nil; {
		if next.Fence != "" {
			m.log.Warn("fenced", "because", next.Fence)
			if m.part.fence != nil {
				m.part.fence(next.Fence)
			}
		}
		switch next.When {
		case enrol.Shortly:
			pause(ctx, enrol.RegisterPause)
		case enrol.OnBeat:
			select {
			case <-beat.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			break
		}
		switch next.Do {
		case enrol.Register:
			err := m.register(ctx)
			if err != nil {
				m.log.Warn("cannot register", "error", err.Error())
			}
			next = core.Registered(m.self.Epoch, err == nil)
		case enrol.Beat:
			standing, err := m.client.Heartbeat(ctx, m.self, m.load())
			if ctx.Err() != nil {
				break // it says nothing about the managers
			}
			if err != nil && !silent { // data paths go on without managers: say it once
				m.log.Warn("no manager answers", "error", err.Error())
			}
			silent = err != nil
			next = core.Beaten(standing, err == nil)
		case enrol.Inquire:
			ask, cancel := context.WithTimeout(ctx, askTimeout)
			standing, err := m.client.Standing(ask, m.self)
			cancel()
			if ctx.Err() == nil {
				next = core.Told(standing, err == nil)
			}
		case enrol.Rest:
			m.log.Warn("removed: start this component again to have it back")
			<-ctx.Done()
		}
	}
	return nil
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
	if c.spans != nil {
		o.Spans = c.spans
	}
	return o
}

// serverOptions give the identity with which this node answers.
func (c *Config) serverOptions(log *slog.Logger) netlayer.ServerOptions {
	o := c.Node.Netlayer.Server
	o.Cluster, o.Token, o.Role, o.Node, o.Log = c.ClusterID, c.Node.Token, c.Node.Role, c.Node.ID, log
	o.Faults = c.faults
	if c.spans != nil {
		o.Spans = c.spans
	}
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

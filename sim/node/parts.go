package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"splitkernel/gmanagers"
	"splitkernel/gmanagers/client"
	"splitkernel/mcomponent"
	"splitkernel/netlayer"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/scomponent"
	"splitkernel/scomponent/blockdev"
	"splitkernel/sim/replay"
)

// part is the component of a node as the composition root sees it, whatever its role.
type part struct {
	handler  netlayer.Handler
	register func(registerer) error
	counters func() []wire.Counter // nil if the handler answers OpNodeStats itself
	health   func(io.Writer)       // metrics of another library, appended to /metrics; may be nil
	stop     func()                // ends what requests wait for, so that the server can drain; may be nil
	close    func(context.Context) error

	// What the node's utilisation is measured by; nil is this process and the processors that it may use.
	busy       func() time.Duration
	processors int

	// Of a component that a manager registers.
	capacity func() wire.Capacity
	load     func() wire.Load
	hot      func(*wire.Load) // adds what bears most
	holdings func() wire.Holdings
	fence    func(why string) // drops what it holds for processes; nil if that outlives an epoch
	joined   func(wire.Epoch) // hears under which epoch the component is registered; nil if it need not know
	waits    func() waited    // of requests for a worker; set by the node
	// waitsInside adds the waits that the server does not see; may be nil.
	waitsInside func() (time.Duration, uint64)

	slow     func(limit int) wire.SlowFaultsRep // of a pComponent: its slowest faults
	disk     *blockdev.Faulty                   // of an sComponent
	recorder tape.Recorder                      // of the node; nil if it is not recorded

	// Of a manager.
	gone  func(wire.Hello)            // hears that a connection of somebody ended; may be nil
	run   func(context.Context) error // nil if the part needs no goroutine of its own
	ready func(context.Context) error
}

// newPart builds the component of the node's role. gm is open until the part is closed.
func newPart(cfg *Config, gm *client.Client, log *slog.Logger) (*part, error) {
	switch {
	case cfg.Node.Manager != nil:
		return newManager(cfg, log)
	case cfg.Node.Compute != nil:
		return newCompute(cfg, gm, log)
	case cfg.Node.Memory != nil:
		return newMemory(cfg, gm, log)
	case cfg.Node.Storage != nil:
		return newStorage(cfg, log)
	}
	return nil, fmt.Errorf("the configuration of node %s has no section for its role %s", cfg.Node.ID, cfg.Node.Role)
}

// readyTick is how often a starting manager looks whether its groups have leaders; elections take 200 to 400 ms.
const readyTick = 5 * time.Millisecond

// newManager is the replicas of GPM, GMM and GSM.
func newManager(cfg *Config, log *slog.Logger) (*part, error) {
	if err := hasState(cfg); err != nil {
		return nil, err
	}
	o := *cfg.Node.Manager
	o.ID, o.DataDir, o.Log, o.Net = cfg.Node.ID, cfg.DataDir, log, cfg.peerOptions(log)
	o.Readmitted = cfg.Readmitted
	for i, m := range cfg.Managers() {
		o.Peers = append(o.Peers, gmanagers.Peer{ID: m.ID, Addr: netlayer.Addr(m.Addr), ReplicaID: uint64(i + 1)})
	}
	rec, err := newTape(cfg, log)
	if err != nil {
		return nil, err
	}
	if rec.w != nil {
		o.Recorder = rec.w
	}
	m, err := gmanagers.New(o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("manager: %w", err), rec.close())
	}
	return &part{
		recorder: o.Recorder, handler: m.Handler(), run: m.Run, gone: m.Disconnected, register: func(r registerer) error { return errors.Join(m.RegisterMetrics(r), rec.register(r)) },
		health: gmanagers.WriteHealthMetrics,
		ready: func(ctx context.Context) error {
			tick := time.NewTicker(readyTick)
			defer tick.Stop()
			for !m.Ready() {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		},
		close: func(context.Context) error { return rec.close() }, // Run has closed all else
	}, nil
}

// hasState refuses a replica that ran before and has lost its log: under its old id it could vote against what it had
// acknowledged, and Raft panics at best. Alone it has nobody to disagree with.
func hasState(cfg *Config) error {
	if !cfg.Restarted || len(cfg.Managers()) == 1 {
		return nil
	}
	files, err := os.ReadDir(cfg.DataDir)
	if err != nil {
		return fmt.Errorf("manager %s: %w", cfg.Node.ID, err)
	}
	if len(files) == 0 {
		return fmt.Errorf("manager %s has lost its state: its folder %s is empty, want it as it was; the other managers go on without it. `splitkernel node readmit %s` has them take it in again, empty and under a new Raft node id", cfg.Node.ID, cfg.DataDir, cfg.Node.ID)
	}
	return nil
}

// Home tells where a process is at home.
func (w volumes) Home(ctx context.Context, pid wire.PID) (wire.Owner, error) {
	p, err := w.gm.Where(ctx, pid)
	return p.Home.Owner(), err
}

// volumes finds volumes and homes for a pComponent.
type volumes struct{ gm *client.Client }

func (w volumes) Volume(ctx context.Context, id wire.VolumeID) (o pcomponent.VolumeOptions, err error) {
	v, err := w.gm.VolumeNow(ctx, id)
	if err != nil {
		return o, err
	}
	return replay.VolumeOptions(v), nil
}

// newCompute is a pComponent and the host that drives its processes with traces. It asks GSM for volumes that have moved, and GMM for homes.
func newCompute(cfg *Config, gm *client.Client, log *slog.Logger) (*part, error) {
	self, err := cfg.Self()
	if err != nil {
		return nil, err
	}
	o := *cfg.Node.Compute
	o.Net, o.Addr, o.Managers = cfg.peerOptions(log), netlayer.Addr(self.Addr), volumes{gm}
	o.TraceSample = cfg.Node.Trace.Sample
	rec, err := newTape(cfg, log)
	if err != nil {
		return nil, err
	}
	if rec.w != nil {
		o.Recorder = rec.w
	}
	comp, err := pcomponent.New(o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pcomponent: %w", err), rec.close())
	}
	host := replay.NewHost(comp, log)
	return &part{
		recorder: o.Recorder, handler: host, register: func(r registerer) error { return errors.Join(comp.Register(r), rec.register(r)) }, counters: comp.Counters,
		capacity: comp.Capacity, load: comp.Load, hot: comp.Hot, busy: comp.Busy, processors: o.Cores, holdings: comp.Holdings, fence: host.Fence, joined: host.Registered, slow: comp.SlowFaults,
		close: func(ctx context.Context) error { return errors.Join(host.Close(), comp.Close(ctx), rec.close()) },
	}, nil
}

// newMemory is an mComponent. It asks GMM for the owners of vRegions by itself.
func newMemory(cfg *Config, gm *client.Client, log *slog.Logger) (*part, error) {
	self, err := cfg.Self()
	if err != nil {
		return nil, err
	}
	o := *cfg.Node.Memory
	o.Node, o.Addr, o.Log, o.Net, o.Managers = cfg.Node.ID, netlayer.Addr(self.Addr), log, cfg.peerOptions(log), gm
	rec, err := newTape(cfg, log)
	if err != nil {
		return nil, err
	}
	if rec.w != nil {
		o.Recorder = rec.w
	}
	comp, err := mcomponent.New(o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mcomponent: %w", err), rec.close())
	}
	return &part{
		recorder: o.Recorder, handler: comp.Handler(), register: func(r registerer) error { return errors.Join(comp.Register(r), rec.register(r)) }, counters: comp.Counters,
		capacity: comp.Capacity, load: comp.Load, hot: comp.Hot, holdings: comp.Holdings, stop: comp.Stop,
		close: func(ctx context.Context) error { return errors.Join(comp.Close(ctx), rec.close()) },
		fence: comp.Fence, joined: comp.Registered, waitsInside: comp.WorkerWaits,
	}, nil
}

// newStorage is an sComponent with its volumes in the node's data folder.
func newStorage(cfg *Config, log *slog.Logger) (*part, error) {
	self, err := cfg.Self()
	if err != nil {
		return nil, err
	}
	o := *cfg.Node.Storage
	o.Node, o.DataDir, o.Log = cfg.Node.ID, cfg.DataDir, log
	o.Addr, o.Net = self.Addr, cfg.peerOptions(log)
	rec, err := newTape(cfg, log)
	if err != nil {
		return nil, err
	}
	if rec.w != nil {
		o.Recorder = rec.w
	}
	dir, err := blockdev.OpenDir(o.DataDir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("scomponent: %s: data_dir: %w", o.Node, err), rec.close())
	}
	disk := blockdev.NewFaulty(dir)
	o.Devices = disk // which the component closes
	comp, err := scomponent.New(o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("scomponent: %w", err), rec.close())
	}
	return &part{
		disk:     disk,
		recorder: o.Recorder, handler: comp.Handler(), register: func(r registerer) error { return errors.Join(comp.Register(r), rec.register(r)) }, counters: comp.Counters,
		capacity: comp.Capacity, load: comp.Load, hot: comp.Hot, holdings: comp.Holdings,
		close: func(ctx context.Context) error { return errors.Join(comp.Close(ctx), rec.close()) },
	}, nil
}

package vcluster

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// FaultKind is what happens to a node or a link.
type FaultKind uint8

// The kinds.
const (
	// Kill ends Node as kill -9 does. Its machine goes on: who calls it is refused at once.
	Kill FaultKind = 1
	// Start starts Node again, or for the first time if it is one that comes Later. A component registers and joins.
	Start FaultKind = 2
	// Partition cuts Node off from all others, for For.
	Partition FaultKind = 3
	// Cut loses what Node sends to To, for For; the other direction stays.
	Cut FaultKind = 4
	// ChangeLeader ends the term of the managers' leader: what is not committed has an unknown outcome.
	ChangeLeader FaultKind = 5
)

var faultNames = [...]string{"none", "kill", "start", "partition", "cut", "change_leader"}

func (k FaultKind) String() string {
	if int(k) < len(faultNames) {
		return faultNames[k]
	}
	return fmt.Sprintf("fault(%d)", uint8(k))
}

// MaxFaults bounds Options.Faults.
const MaxFaults = 1 << 16

// Fault is something that happens at a moment. A kill of what does not run and a start of what does change nothing.
type Fault struct {
	At   time.Duration
	What FaultKind
	Node wire.NodeID   // of all but ChangeLeader
	To   wire.NodeID   // of Cut
	For  time.Duration // of Partition and Cut; 0 is for ever
}

func (f Fault) String() string {
	s := fmt.Sprintf("at %v %v", f.At, f.What)
	if f.Node != "" {
		s += " " + string(f.Node)
	}
	if f.To != "" {
		s += " to " + string(f.To)
	}
	if f.For > 0 {
		s += fmt.Sprintf(" for %v", f.For)
	}
	return s
}

// Membership is how components stay members: they send heartbeats to every manager, are probed when they are silent, declared dead,
// fenced, and join again, as live.
type Membership struct {
	// Lease is after how long without a heartbeat a component is silent: the managers' lease. 0 has nobody send heartbeats, and
	// everybody always heard.
	Lease time.Duration
	// Probe is how long a probe may take; 0 is membership.DefaultProbe.
	Probe time.Duration
	// Sweep is how often components are asked for what they hold, to drop what no vNode has there; 0 is never.
	Sweep time.Duration
}

// probe is how long a probe may take.
func (m Membership) probe() time.Duration {
	if m.Probe == 0 {
		return membership.DefaultProbe
	}
	return m.Probe
}

// validate reports what is wrong with f, given the roles of the nodes by id.
func (f Fault) validate(roles map[wire.NodeID]wire.Role, members bool) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	role, known := roles[f.Node]
	if f.At < 0 {
		bad("at: %v, want 0 or more", f.At)
	}
	if f.For < 0 || f.For > 0 && f.What != Partition && f.What != Cut {
		bad("for: %v, want 0, or more of a partition or a cut", f.For)
	}
	switch {
	case f.What < Kill || f.What > ChangeLeader:
		bad("what: %d, want %d to %d", uint8(f.What), uint8(Kill), uint8(ChangeLeader))
	case f.What == ChangeLeader:
		if f.Node != "" {
			bad("node: %q, want none: leaders change together", f.Node)
		}
	case !known:
		bad("node: %q, want a node of the cluster", f.Node)
	case f.What != Cut && role != wire.RoleManager && !members:
		bad("node: %q is a component: its death is noticed only with membership.lease", f.Node)
	}
	if _, known := roles[f.To]; f.What == Cut && (!known || f.To == f.Node) {
		bad("to: %q, want another node of the cluster", f.To)
	} else if f.What != Cut && f.To != "" {
		bad("to: %q, want none", f.To)
	}
	return errors.Join(errs...)
}

// validateFaults reports what is wrong with membership and faults.
func (o *Options) validateFaults() error {
	var errs []error
	if l := o.Membership.Lease; l != 0 {
		if err := membership.CheckLease("membership.lease_ms", l); err != nil {
			errs = append(errs, err)
		}
	}
	if err := membership.CheckProbe("membership.probe_ms", o.Membership.probe()); err != nil {
		errs = append(errs, err)
	}
	if s := o.Membership.Sweep; s < 0 || s > 0 && o.Membership.Lease == 0 {
		errs = append(errs, fmt.Errorf("membership.sweep: %v, want 0, or more with membership.lease", s))
	}
	if o.Membership.Lease != 0 && o.Placed != nil {
		errs = append(errs, fmt.Errorf("membership.lease: %v, want 0 where another run's placement decides", o.Membership.Lease))
	}
	if len(o.Faults) > MaxFaults {
		errs = append(errs, fmt.Errorf("faults: %d, want at most %d", len(o.Faults), MaxFaults))
	}
	roles := o.roles()
	for i, f := range o.Faults {
		if err := f.validate(roles, o.Membership.Lease != 0); err != nil {
			errs = append(errs, fmt.Errorf("faults[%d]: %w", i, err))
		}
	}
	for i := range o.Nodes {
		if n := &o.Nodes[i]; n.Later && (n.Role == wire.RoleManager || o.Membership.Lease == 0) {
			errs = append(errs, fmt.Errorf("nodes.%s.later: want it of a component, with membership.lease", n.ID))
		}
	}
	return errors.Join(errs...)
}

func (o *Options) roles() map[wire.NodeID]wire.Role {
	roles := map[wire.NodeID]wire.Role{}
	for i := range o.Nodes {
		roles[o.Nodes[i].ID] = o.Nodes[i].Role
	}
	return roles
}

// Strike has something happen now, whatever its At says.
func (c *Cluster) Strike(f Fault) error {
	f.At = c.clock.Now()
	if err := f.validate(c.o.roles(), c.o.Membership.Lease != 0); err != nil {
		return fmt.Errorf("%v: %w", f, err)
	}
	c.suffer(f)
	return nil
}

// Restarts is how many nodes were started again, and LeaderChanges how often the managers' leader changed.
func (c *Cluster) Restarts() int { return c.restarts }

// LeaderChanges is how often the managers' leader changed.
func (c *Cluster) LeaderChanges() uint64 { return c.gm.changes }

// strike has Options.Faults happen. They keep no run going that has ended; a driver that waits may wait for one.
func (c *Cluster) strike() {
	list := slices.Clone(c.o.Faults)
	slices.SortStableFunc(list, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	c.clock.Expect(func() bool { return c.due > 0 && c.clock.Procs() > 0 })
	var next func()
	next = func() {
		if len(list) == 0 {
			return
		}
		f := list[0]
		list = list[1:]
		c.inTime(f.At, func() {
			c.suffer(f)
			next()
		})
	}
	next()
}

// inTime does something at a moment that keeps no run going but those that wait.
func (c *Cluster) inTime(t time.Duration, f func()) {
	c.due++
	c.leisurely(t, func() {
		c.due--
		f()
	})
}

// leisurely does f at a moment, in the background.
func (c *Cluster) leisurely(t time.Duration, f func()) {
	i := c.later.take()
	*c.later.at(i) = f
	c.clock.Background(t, c.run, i)
}

// suffer has a fault happen.
func (c *Cluster) suffer(f Fault) {
	c.faulty = true
	c.digest.mark(c.clock.Now(), markFault, uint64(f.What), uint64(f.For))
	no := int32(0)
	if f.What != ChangeLeader {
		no = c.node(f.Node)
	}
	until := func(end func()) {
		if f.For > 0 {
			c.inTime(c.clock.Now()+f.For, end)
		}
	}
	switch f.What {
	case Kill:
		c.kill(no)
	case Start:
		c.start(no)
	case Partition:
		c.isolate(no, true)
		until(func() { c.isolate(no, false) })
	case Cut:
		p := pair{no, c.node(f.To)}
		c.sever(p, true)
		until(func() { c.sever(p, false) })
	case ChangeLeader:
		c.gm.ChangeLeader()
	}
	c.phased()
}

package launcher

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"syscall"
	"time"

	"splitkernel/configs"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/gmm"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/faults"
)

const (
	// faultTimeout bounds a question to a node when something goes wrong on purpose: nobody needs longer who is not in trouble already.
	faultTimeout = 2 * time.Second
	// booksTimeout bounds the question to the managers what others have: if it ends without an answer the worst is said.
	booksTimeout = 10 * time.Second
	// MaxStruck bounds the faults that are remembered; the oldest that have ended are forgotten first.
	MaxStruck = faults.MaxList
)

// Struck is a fault that was injected.
type Struck struct {
	ID    int        `json:"id"`
	Fault string     `json:"fault"` // "partition p1 | m1 for 3s"
	Kind  string     `json:"kind"`  // "partition"
	Nodes []string   `json:"nodes"` // that it happens to; of a link those that send
	Began time.Time  `json:"began"`
	Ended *time.Time `json:"ended,omitempty"` // empty: it goes on
	What  string     `json:"what"`            // "m2 (process 4711) was killed"
	Lost  []string   `json:"lost,omitempty"`  // what nobody has any more: "2 vRegions of process 7 at m2"
	Error string     `json:"error,omitempty"` // of its end
}

// struck is a Struck with what ends it.
type struck struct {
	Struck
	fault  faults.Fault
	end    func(context.Context) error // nil if it has no end
	healed chan struct{}               // closed when it is ended before its time
}

// Strike has something go wrong now; the fault's own moment is not looked at. It returns when it has happened; its end comes by itself, or
// by Heal. What is random must have been drawn (faults.Resolve); leaders are asked for.
func (c *Cluster) Strike(ctx context.Context, f faults.Fault) (Struck, error) {
	f.At = faults.Moment{}
	said := f.String()
	nodes := c.faultNodes()
	if err := faults.Check(f, nodes); err != nil {
		return Struck{}, err
	}
	if f.HasLeader() {
		var err error
		if f, err = c.leaders(ctx, f); err != nil {
			return Struck{}, fmt.Errorf("%q: %w", said, err)
		}
	}
	var lost []string
	if f.Kind == faults.Kill || f.Kind == faults.Restart {
		lost = c.holdings(ctx, f.Node.ID) // others need not wait for one that does not answer
	}
	select {
	case c.striking <- struct{}{}:
	case <-c.quit:
		return Struck{}, fmt.Errorf("%q: the cluster is being stopped", said)
	case <-ctx.Done():
		return Struck{}, context.Cause(ctx)
	}
	defer func() { <-c.striking }()
	s := &struck{Struck: Struck{Fault: said, Kind: f.Kind.String(), Nodes: []string{}, Began: time.Now().UTC()}, fault: f, healed: make(chan struct{})}
	var err error
	switch {
	case f.Kind == faults.CorruptBlock:
		err = c.corrupt(ctx, s)
	case f.Kind.Network(), f.Kind.Disk():
		err = c.disturb(ctx, s, nodes)
	default:
		err = c.hurt(ctx, s, lost)
	}
	if err != nil {
		return s.Struck, fmt.Errorf("%q: %w", said, err)
	}
	c.remember(s)
	return s.Struck, nil
}

// faultNodes are the nodes as faults name them.
func (c *Cluster) faultNodes() (nodes []faults.Node) { return FaultNodes(c.Config()) }

// FaultNodes are the nodes of a cluster as faults name them.
func FaultNodes(c *configs.Cluster) (nodes []faults.Node) {
	for _, n := range c.Nodes {
		role, _ := configs.ParseRole(n.Role)
		nodes = append(nodes, faults.Node{ID: wire.NodeID(n.ID), Role: role})
	}
	return nodes
}

// remember keeps a fault and has it end in its time.
func (c *Cluster) remember(s *struck) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastStruck++
	s.ID = c.lastStruck
	if s.end == nil {
		now := time.Now().UTC()
		s.Ended = &now
	}
	c.struck = append(c.struck, s)
	if len(c.struck) > MaxStruck {
		if i := slices.IndexFunc(c.struck, func(s *struck) bool { return s.Ended != nil }); i >= 0 {
			c.struck = slices.Delete(c.struck, i, i+1)
		}
	}
	if s.end == nil || s.fault.For == 0 || c.stopping {
		return
	}
	c.healers.Go(func() {
		timer := time.NewTimer(s.fault.For)
		defer timer.Stop()
		select {
		case <-timer.C:
			c.heal(c.life, s) // its error is the fault's
		case <-s.healed:
		case <-c.quit:
		}
	})
}

// heal ends a fault, if nobody has.
func (c *Cluster) heal(ctx context.Context, s *struck) error {
	select {
	case c.striking <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c.striking }()
	c.mu.Lock()
	if s.Ended != nil {
		c.mu.Unlock()
		return nil
	}
	now := time.Now().UTC()
	s.Ended = &now // before the plans are made anew
	c.mu.Unlock()
	err := s.end(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		s.Error = err.Error()
		c.opts.Log.Warn("a fault did not end as it should", "fault", s.Fault, "error", err)
	}
	close(s.healed)
	return err
}

// Heal ends what goes wrong on purpose, the latest first: what is paused goes on, what was killed is started again. Without ids it ends
// everything. It returns what it ended.
func (c *Cluster) Heal(ctx context.Context, ids ...int) (healed []Struck, err error) {
	c.mu.Lock()
	open := slices.Clone(c.struck)
	c.mu.Unlock()
	for _, s := range slices.Backward(open) {
		c.mu.Lock()
		ended := s.Ended != nil
		c.mu.Unlock()
		if ended || len(ids) > 0 && !slices.Contains(ids, s.ID) {
			continue
		}
		err = errors.Join(err, c.heal(ctx, s))
		c.mu.Lock()
		healed = append(healed, s.Struck)
		c.mu.Unlock()
	}
	return healed, err
}

// Faults are those that were injected, the first first.
func (c *Cluster) Faults() (list []Struck) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.struck {
		list = append(list, s.Struck)
	}
	return list
}

// hurt is what happens to a process. lost is what it had.
func (c *Cluster) hurt(ctx context.Context, s *struck, lost []string) error {
	id := string(s.fault.Node.ID)
	s.Nodes = append(s.Nodes, id)
	ch := c.child(id)
	if ch == nil {
		return fmt.Errorf("%s is being added or removed", id)
	}
	runs := true
	select {
	case <-ch.done:
		runs = false
	default:
	}
	pid := ch.cmd.Process.Pid
	switch s.fault.Kind {
	case faults.Pause:
		if !runs {
			return fmt.Errorf("%s does not run, it cannot be paused", id)
		}
		ch.signal(syscall.SIGSTOP)
		s.What = fmt.Sprintf("%s (process %d) was stopped", id, pid)
		s.end = func(ctx context.Context) error {
			ch.signal(syscall.SIGCONT)
			return c.push(ctx, []wire.NodeID{s.fault.Node.ID}) // what it slept through
		}
		return nil
	case faults.Kill:
		if !runs {
			return fmt.Errorf("%s does not run, it cannot be killed", id)
		}
		s.end = func(ctx context.Context) error {
			if now := c.child(id); now != ch {
				return nil // somebody has started it, or removed it
			}
			return c.Restart(ctx, id)
		}
	}
	s.What = fmt.Sprintf("%s was started again", id)
	if runs {
		s.Lost = lost
		if err := c.Kill(id); err != nil {
			return err
		}
		if s.What = fmt.Sprintf("%s (process %d) was killed", id, pid); s.fault.Kind == faults.Restart {
			s.What += " and started again"
		}
	}
	if s.fault.Kind == faults.Restart {
		return c.Restart(ctx, id)
	}
	return nil
}

// disturb is what happens to links and disks.
func (c *Cluster) disturb(ctx context.Context, s *struck, nodes []faults.Node) error {
	ids := []wire.NodeID{s.fault.Node.ID}
	if s.fault.Kind.Network() {
		ids = ids[:0]
		for _, p := range s.fault.Pairs(nodes) {
			if !slices.Contains(ids, p.From) {
				ids = append(ids, p.From)
			}
		}
	}
	for _, id := range ids {
		s.Nodes = append(s.Nodes, string(id))
	}
	s.end = func(ctx context.Context) error { return c.push(ctx, ids) }
	s.What = fmt.Sprintf("told to %d components", len(ids))
	if s.fault.Kind.Disk() {
		s.What = fmt.Sprintf("told to %s", ids[0])
	}
	c.mu.Lock()
	c.struck = append(c.struck, s) // so that the plans have it
	c.mu.Unlock()
	err := c.push(ctx, ids)
	c.mu.Lock()
	c.struck = c.struck[:len(c.struck)-1]
	c.mu.Unlock()
	if err != nil {
		err = errors.Join(err, c.push(ctx, ids))
	}
	return err
}

// push tells nodes what goes wrong with them now. Those that do not run, or are paused, hear it when they do again.
func (c *Cluster) push(ctx context.Context, ids []wire.NodeID) error {
	type order struct {
		id   wire.NodeID
		addr netlayer.Addr
		req  wire.FaultReq
	}
	var orders []order
	c.mu.Lock()
	c.faultSeq++
	for _, id := range ids {
		ch := c.children[string(id)]
		if ch == nil || c.paused(id) {
			continue
		}
		select {
		case <-ch.done:
			continue
		default:
		}
		orders = append(orders, order{id, netlayer.Addr(c.addrs[string(id)]), c.plan(id)})
	}
	c.mu.Unlock()
	errs := make(chan error, len(orders))
	for _, o := range orders {
		go func() { // which is waited for below
			if err := c.tell(ctx, o.addr, wire.OpFault, &o.req, nil); err != nil {
				errs <- fmt.Errorf("%s: %w", o.id, err)
				return
			}
			errs <- nil
		}()
	}
	var err error
	for range orders {
		err = errors.Join(err, <-errs)
	}
	return err
}

// paused reports whether a node is stopped by a fault. mu is held.
func (c *Cluster) paused(id wire.NodeID) bool {
	return slices.ContainsFunc(c.struck, func(s *struck) bool {
		return s.Ended == nil && s.fault.Kind == faults.Pause && s.fault.Node.ID == id
	})
}

// plan is all that goes wrong with a node's links and disk. mu is held.
func (c *Cluster) plan(id wire.NodeID) wire.FaultReq {
	h := fnv.New64a()
	h.Write([]byte(id))
	req := wire.FaultReq{Seq: c.faultSeq, Seed: c.opts.Seed ^ h.Sum64()}
	nodes := FaultNodes(c.cluster)
	for _, s := range c.struck {
		f := &s.fault
		switch {
		case s.Ended != nil:
		case f.Kind.Disk() && f.Node.ID != id:
		case f.Kind == faults.SlowDisk:
			req.Disk.Times, req.Disk.AddNS = max(req.Disk.Times, f.Times), max(req.Disk.AddNS, int64(f.By))
		case f.Kind == faults.DiskFull:
			req.Disk.Full = true
		case f.Kind.Network() && f.Link.Everywhere():
			req.Links = append(req.Links, linkOf(f, ""))
		case f.Kind.Network():
			for _, p := range f.Pairs(nodes) {
				if p.From == id {
					req.Links = append(req.Links, linkOf(f, p.To))
				}
			}
		}
	}
	return req
}

// linkOf is what a fault of the network says to a node that sends to another.
func linkOf(f *faults.Fault, to wire.NodeID) wire.LinkFault {
	l := wire.LinkFault{To: to}
	switch f.Kind {
	case faults.Partition:
		l.Lose = wire.Million
	case faults.Delay:
		l.DelayNS, l.JitterNS = int64(f.By), int64(f.Jitter)
	case faults.Lose:
		l.Lose = uint32(f.Part)
	case faults.Duplicate:
		l.Duplicate = uint32(f.Part)
	case faults.Reorder:
		l.Reorder, l.LateNS = uint32(f.Part), int64(f.By)
	}
	return l
}

// planned is what a node that is started hears at once, or nil.
func (c *Cluster) planned(id string) *wire.FaultReq {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.plan(wire.NodeID(id)); len(p.Links) > 0 || p.Disk != (wire.DiskFault{}) {
		return &p
	}
	return nil
}

// corrupt changes a byte on a disk.
func (c *Cluster) corrupt(ctx context.Context, s *struck) error {
	f := &s.fault
	s.Nodes = append(s.Nodes, string(f.Node.ID))
	c.mu.Lock()
	c.faultSeq++
	req, addr := wire.CorruptReq{Volume: f.Volume, Block: f.Block, Seed: c.opts.Seed + c.faultSeq}, netlayer.Addr(c.addrs[string(f.Node.ID)])
	c.mu.Unlock()
	var rep wire.CorruptRep
	if err := c.tell(ctx, addr, wire.OpCorruptBlock, &req, &rep); err != nil {
		return err
	}
	s.What = fmt.Sprintf("a byte of block %d of volume %d at %s was changed", rep.Block, rep.Volume, f.Node.ID)
	if !c.elsewhere(ctx, rep.Volume, f.Node.ID) {
		s.Lost = []string{fmt.Sprintf("block %d of volume %d at %s", rep.Block, rep.Volume, f.Node.ID)}
	}
	return nil
}

// elsewhere asks GSM whether a volume has another copy than that at a node. It knows of none if GSM does not answer.
func (c *Cluster) elsewhere(ctx context.Context, id wire.VolumeID, node wire.NodeID) bool {
	gm, err := c.managersClient()
	if err != nil {
		return false
	}
	defer gm.Close()
	ctx, cancel := context.WithTimeout(ctx, booksTimeout)
	defer cancel()
	v, _, err := gm.Volume(ctx, id)
	return err == nil && v.KeptWithout(node)
}

// tell sends a control message to a node as a client of the cluster.
func (c *Cluster) tell(ctx context.Context, addr netlayer.Addr, op wire.Op, req, rep any) error {
	ctx, cancel := context.WithTimeout(ctx, faultTimeout)
	defer cancel()
	p := netlayer.NewPeer(addr, c.clientOptions())
	defer p.Close()
	return p.Control(ctx, op, 0, req, rep)
}

// clientOptions are the identity of the launcher as a client of its cluster.
func (c *Cluster) clientOptions() netlayer.Options {
	o := netlayer.DefaultOptions()
	o.Cluster, o.Token, o.Role, o.Node = c.id, c.opts.Cluster.Token, wire.RoleClient, "launcher"
	return o
}

// leaders puts who leads now into a fault.
func (c *Cluster) leaders(ctx context.Context, f faults.Fault) (faults.Fault, error) {
	gm, err := c.managersClient()
	if err != nil {
		return f, err
	}
	defer gm.Close()
	st, err := gm.Status(ctx)
	if err != nil {
		return f, fmt.Errorf("ask for leaders: %w", err)
	}
	out := faults.Leads(f, func(m wire.Manager) wire.NodeID {
		for _, g := range st {
			if g.Manager == m && g.Leader != "" {
				return g.Leader
			}
		}
		err = fmt.Errorf("%v has no leader now", m)
		return ""
	})
	return out, err
}

// holdings names what a node has that nobody else has, before it is killed.
func (c *Cluster) holdings(ctx context.Context, id wire.NodeID) (lost []string) {
	role := ""
	addr := netlayer.Addr("")
	for _, n := range c.Nodes() {
		if n.ID == string(id) && n.Alive {
			role, addr = n.Role, netlayer.Addr(n.Addr)
		}
	}
	if role != wire.RoleMemory.String() && role != wire.RoleCompute.String() { // volumes are still on the disk
		return nil
	}
	var all wire.Holdings
	for from := (wire.HeldAt{}); ; {
		var rep wire.HoldingsRep
		if err := c.tell(ctx, addr, wire.OpHoldings, &wire.HoldingsReq{From: from}, &rep); err != nil {
			return []string{fmt.Sprintf("what %s had, which it did not tell any more: %v", id, err)}
		}
		all.Add(rep.Holds)
		if from = rep.Next; from == (wire.HeldAt{}) {
			break
		}
	}
	return faults.Lost(id, all, c.copied(ctx, all))
}

// copied asks GMM of which memory that a node has others have everything. It knows of none if GMM does not answer.
func (c *Cluster) copied(ctx context.Context, had wire.Holdings) faults.Copied {
	pids := map[wire.PID]bool{}
	for _, h := range had.Homes {
		pids[h.PID] = true
	}
	for _, r := range had.Regions {
		pids[r.PID] = true
	}
	if len(pids) == 0 {
		return nil
	}
	gm, err := c.managersClient()
	if err != nil {
		return nil
	}
	defer gm.Close()
	sorted := slices.Sorted(maps.Keys(pids))
	list, err := gm.RegionsBetween(ctx, sorted[0], sorted[len(sorted)-1])
	if err != nil {
		return nil
	}
	books := map[wire.PID]*gmm.Process{}
	for i := range list {
		books[list[i].PID] = &list[i]
	}
	return func(pid wire.PID, home bool, region wire.RegionNo) bool {
		p := books[pid]
		return p != nil && p.Survives(home, region)
	}
}

// managersClient speaks to the managers of the cluster. The caller closes it.
func (c *Cluster) managersClient() (*client.Client, error) {
	o := client.DefaultOptions()
	o.Net = c.clientOptions()
	for _, n := range c.Nodes() {
		if n.Role == wire.RoleManager.String() {
			o.Managers = append(o.Managers, client.Manager{ID: wire.NodeID(n.ID), Addr: netlayer.Addr(n.Addr)})
		}
	}
	return client.New(o)
}

// ease has everybody who is paused go on, so that a stop finds processes that can hear it.
func (c *Cluster) ease() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.struck {
		if s.Ended == nil && s.fault.Kind == faults.Pause {
			if ch := c.children[string(s.fault.Node.ID)]; ch != nil {
				ch.signal(syscall.SIGCONT)
			}
		}
	}
}

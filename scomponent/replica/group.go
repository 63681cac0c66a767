package replica

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"splitkernel/netlayer/wire"
)

// need says what a copy lacks before it has everything.
type need uint8

const (
	needNone need = 0
	needWalk need = 1 // it may have missed what came before this buffer cache: to be compared
	needAll  need = 2 // it lacks what was written under this buffer cache: until it was compared its flushes count for nothing
)

// site is one copy of the volume, as this buffer cache sees it.
type site struct {
	at       wire.VolumeReplica
	attached bool // under this epoch
	was      bool // before, under this epoch
	sending  uint64
	tries    int
	next     time.Duration // not attached: when it is tried again
	cause    error         // why it is not attached
	lost     bool          // it said that it has not the volume, or serves it no more
	behind   bool          // it may have lost what it was sent: counts for nothing until it was compared
	suspect  bool          // slow to bring blocks: asked last
	rep      wire.StorageAttachRep

	need     need
	again    bool // need arose while it was being compared
	missed   map[uint64]wire.BlockVersion
	order    []uint64      // of missed, the first to be missed first; may name blocks that were repaired since
	repairAt time.Duration // not before
}

// places reports whether the copy has a place among the n that count.
func (s *site) places() bool { return s.at.State != wire.ReplicaFilling }

// joins reports whether it has one of the places that will be.
func (s *site) joins() bool { return s.at.State != wire.ReplicaLeaving }

// complete reports whether the copy has everything that was written under this buffer cache.
func (s *site) complete() bool { return s.need != needAll && !s.behind && len(s.missed) == 0 }

// sent is a message under way.
type sent struct {
	kind Kind
	op   uint64 // 0: of no operation
	site int
}

// Group coordinates the copies of one volume. Use one goroutine at a time.
type Group struct {
	opt      Options
	req      wire.VolumeAttachReq
	instance uint64
	base     uint64 // generation g of the buffer cache is base + g
	no       uint64 // of the last version
	now      time.Duration
	ready    bool  // attached
	settled  bool  // all that was written under older buffer caches is at enough copies, or nowhere
	strict   bool  // attached after a buffer cache that left writes which were not synced
	over     error // fenced or closed

	sites    []*site
	ops      map[uint64]*op
	order    []uint64 // of ops, the first to begin first
	sends    map[uint64]sent
	lastSend uint64
	lastOwn  uint64 // internal operation
	repairs  int    // internal operations that are not over
	changed  bool
	walk     walk
	scrubAt  time.Duration
	stats    Stats
}

// New makes the group of a volume for one attachment. The caller has checked opt and the replicas of req. Of one epoch there is one
// instance; first is a number above all that it ever used for this volume under this epoch.
func New(opt Options, req wire.VolumeAttachReq, instance, first uint64, now time.Duration) *Group {
	g := &Group{opt: opt, req: req, instance: instance, base: first, no: first, now: now, ops: map[uint64]*op{}, sends: map[uint64]sent{}, scrubAt: now + opt.ScrubEvery}
	g.req.Replicas = slices.Clone(req.Replicas)
	for _, r := range req.Replicas {
		g.sites = append(g.sites, newSite(r, now))
	}
	return g
}

func newSite(r wire.VolumeReplica, now time.Duration) *site {
	s := &site{at: r, next: now, missed: map[uint64]wire.BlockVersion{}}
	switch r.State {
	case wire.ReplicaFilling:
		s.need = needAll
	case wire.ReplicaRemade:
		s.remade()
	}
	return s
}

// remade has a copy count for nothing until it was compared: it may lack what it once had acknowledged.
func (s *site) remade() { s.behind, s.need, s.again = true, needAll, true }

// Last gives a number above all that the group used: the first of the next group of the same instance.
func (g *Group) Last() uint64 { return g.no + 1 }

// Request gives the attach request with the configuration in force.
func (g *Group) Request() wire.VolumeAttachReq { return g.req }

// Stats returns the counts.
func (g *Group) Stats() Stats { return g.stats }

// Over is why the group does nothing any more; nil while it works.
func (g *Group) Over() error { return g.over }

func (g *Group) blocks() uint64 { return g.req.SizeBytes / wire.PageSize }

// places counts the places of copies.
func (g *Group) places() (n int) {
	for _, s := range g.sites {
		if s.places() {
			n++
		}
	}
	return n
}

// attachQuorum is how many copies an attach must reach: so many that every write and every attach of another buffer cache meets one.
func (g *Group) attachQuorum() int {
	return max(int(g.req.ReadQuorum), g.places()/2+1)
}

// readable reports whether enough copies that count are in has.
func (g *Group) readable(has func(i int) bool) bool {
	n := 0
	for i, s := range g.sites {
		if s.places() && !s.behind && has(i) {
			n++
		}
	}
	return n >= int(g.req.ReadQuorum)
}

// written reports whether enough copies that count are in has: of the places as they are and, while a copy is filled, as they will be.
func (g *Group) written(has func(i int) bool) bool {
	now, then, joint := 0, 0, false
	for i, s := range g.sites {
		joint = joint || s.at.State == wire.ReplicaFilling
		if s.behind || !has(i) {
			continue
		}
		if s.places() {
			now++
		}
		if s.joins() {
			then++
		}
	}
	return now >= int(g.req.WriteQuorum) && (!joint || !g.replaces() || then >= int(g.req.WriteQuorum))
}

// replaces reports whether the copy that is filled takes the place of one that leaves.
func (g *Group) replaces() bool {
	return slices.ContainsFunc(g.sites, func(s *site) bool { return s.at.State == wire.ReplicaLeaving })
}

// Configure takes a list of replicas; one that is not newer than that in force changes nothing. It has been checked.
func (g *Group) Configure(now time.Duration, req wire.VolumeAttachReq, out []Effect) []Effect {
	g.now = now
	if g.over != nil || req.Epoch != g.req.Epoch || req.Config <= g.req.Config {
		return out
	}
	var sites []*site
	var from []int // of each, its place before, or -1
	for _, r := range req.Replicas {
		i := slices.IndexFunc(g.sites, func(s *site) bool { return s.at.Node == r.Node && s.at.Member == r.Member })
		if from = append(from, i); i < 0 {
			s := newSite(r, now)
			if r.State != wire.ReplicaFilling {
				s.need = needAll // it was filled for another buffer cache, or we have not heard of its fill
			}
			sites = append(sites, s)
			continue
		}
		s := g.sites[i]
		if r.State == wire.ReplicaRemade && s.at.State != wire.ReplicaRemade {
			s.remade()
		}
		s.at = r
		sites = append(sites, s)
	}
	to := func(i int) int { return slices.Index(from, i) }
	out = g.forgetSites(to, out)
	g.sites = sites
	for _, id := range g.order {
		o := g.ops[id]
		seats := make([]seat, len(sites))
		for i, f := range from {
			if f >= 0 {
				seats[i] = o.seats[f]
			}
		}
		o.seats = seats
	}
	for _, id := range slices.Clone(g.order) { // what was under way only to a copy that has left
		if o := g.ops[id]; o != nil && o.phase == phaseOver && !o.under() {
			out = g.release(o, out)
		}
	}
	g.stopWalk(now)
	g.req.Config, g.req.WriteQuorum, g.req.ReadQuorum = req.Config, req.WriteQuorum, req.ReadQuorum
	g.req.Replicas = slices.Clone(req.Replicas)
	return g.settle(out)
}

// forgetSites takes note of the new places of copies: what is under way to those that have none is forgotten.
func (g *Group) forgetSites(to func(int) int, out []Effect) []Effect {
	for _, id := range g.sendIDs() {
		s := g.sends[id]
		if s.site = to(s.site); s.site < 0 || s.kind == SendVersions {
			delete(g.sends, id)
			continue
		}
		g.sends[id] = s
	}
	return out
}

func (g *Group) sendIDs() []uint64 {
	ids := make([]uint64, 0, len(g.sends))
	for id := range g.sends {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Status says how far the group is with its configuration.
func (g *Group) Status() wire.VolumeConfigRep {
	rep := wire.VolumeConfigRep{Config: g.req.Config, InSync: true, Blocks: g.blocks(), Done: g.blocks()}
	for i, s := range g.sites {
		switch {
		case s.at.State.Fills():
			rep.InSync = !s.behind && g.ready && s.attached && s.need == needNone && s.complete()
			if !rep.InSync {
				if rep.Done = 0; g.walk.on(i) {
					rep.Done = min(g.walk.next, g.blocks())
				}
			}
		case s.lost:
			rep.Lost = append(rep.Lost, s.at.Node)
		}
		if !s.attached || s.behind {
			rep.Behind = append(rep.Behind, s.at.Node)
		}
	}
	return rep
}

// send sends e to a copy for an operation, or for none.
func (g *Group) send(i int, o *op, e Effect, out []Effect) (uint64, []Effect) {
	g.lastSend++
	e.ID, e.To, e.Addr = g.lastSend, g.sites[i].at.Node, g.sites[i].at.Addr
	s := sent{kind: e.Kind, site: i}
	if o != nil {
		e.Op, s.op = o.id, o.id
	}
	g.sends[e.ID] = s
	return e.ID, append(out, e)
}

// link attaches the copies that are not.
func (g *Group) link(out []Effect) []Effect {
	for i, s := range g.sites {
		if s.attached || s.sending != 0 || g.now < s.next {
			continue
		}
		s.sending, out = g.send(i, nil, Effect{Kind: SendAttach, Attach: wire.StorageAttachReq{Volume: g.req.Volume, Epoch: g.req.Epoch, Config: g.req.Config,
			Instance: g.instance, SizeBytes: g.req.SizeBytes}}, out)
	}
	return out
}

// detach notes that a copy cannot be reached, or must be attached anew.
func (g *Group) detach(s *site, cause error, pause time.Duration) {
	s.cause = cause
	if s.attached {
		s.attached, s.tries = false, 0
	}
	s.next = max(s.next, g.now+pause)
	g.changed = true
}

// linked takes the answer to an attach.
func (g *Group) linked(i int, a Answer, out []Effect) []Effect {
	s := g.sites[i]
	s.sending = 0
	if a.Err == nil && a.Attach.Failure != "" {
		a.Err = wire.Errorf(wire.KindFailed, "%s", a.Attach.Failure)
	}
	if a.Err != nil {
		switch wire.KindOf(a.Err) {
		case wire.KindStale:
			return g.fence(wire.Errorf(wire.KindStale, "volume %d: %s refuses this buffer cache: %v", g.req.Volume, s.at.Node, a.Err), out)
		case wire.KindNotFound, wire.KindFailed, wire.KindCorrupt:
			s.lost = true
		}
		s.cause = a.Err
		s.next = g.now + min(g.opt.RetryMin<<min(s.tries, 16), g.opt.RetryMax)
		s.tries++
		return out
	}
	if s.was && a.Attach.Rebooted || !s.was && g.ready && g.strict && a.Attach.Rebooted || s.lost && s.at.State == wire.ReplicaRemade {
		s.remade()
	}
	if !s.was && g.ready {
		s.need = max(s.need, needWalk)
	}
	s.attached, s.was, s.lost, s.cause, s.tries, s.rep = true, true, false, nil, 0, a.Attach
	g.changed = true
	return out
}

// Attach begins the service of the buffer cache: op ends when enough copies are attached.
func (g *Group) Attach(now time.Duration, id uint64, out []Effect) []Effect {
	g.now = now
	return g.begin(&op{id: id, kind: opAttach}, out)
}

// judgeAttach ends an attach that can be.
func (g *Group) judgeAttach(o *op, out []Effect) []Effect {
	var open, synced wire.BlockVersion
	attached, rebooted, vacant := 0, 0, 0
	for _, s := range g.sites {
		if s.at.State == wire.ReplicaRemade {
			vacant++
		}
		if !s.attached || !s.at.State.Counts() {
			continue
		}
		if attached++; s.rep.Rebooted {
			rebooted++
		}
		open = later(open, wire.BlockVersion{Epoch: s.rep.OpenEpoch, No: s.rep.Open})
		synced = later(synced, wire.BlockVersion{Epoch: s.rep.SyncedEpoch, No: s.rep.Synced})
	}
	q, unsynced := g.attachQuorum(), synced.Less(open)
	switch {
	case attached < q:
		return out
	case unsynced && !g.req.Through:
		return g.close(wire.Errorf(wire.KindFailed, "volume %d: its buffer cache under epoch %d held writes that were not flushed and is gone (epoch %d attaches): they are lost; delete the volume",
			g.req.Volume, open.Epoch, g.req.Epoch), out)
	case unsynced && g.places()-vacant-rebooted < q:
		return g.close(wire.Errorf(wire.KindFailed, "volume %d: the machines of %d of its %d sComponents were restarted before what was written under epoch %d was flushed: it is lost; delete the volume",
			g.req.Volume, rebooted, g.places(), open.Epoch), out)
	case unsynced && attached-rebooted < q:
		return out
	}
	for _, s := range g.sites {
		if s.need = max(s.need, needWalk); unsynced {
			s.need, s.behind = needAll, s.behind || s.attached && s.rep.Rebooted
		}
	}
	g.ready, g.strict = true, unsynced
	return g.finish(o, nil, out)
}

// deleted reports whether so many copies say that they do not have the volume that no attach can succeed.
func (g *Group) deleted() bool {
	n := 0
	for _, s := range g.sites {
		if s.places() && (s.attached || !s.lost || wire.KindOf(s.cause) != wire.KindNotFound) {
			n++
		}
	}
	return n < g.attachQuorum()
}

func later(a, b wire.BlockVersion) wire.BlockVersion {
	if a.Less(b) {
		return b
	}
	return a
}

// fence ends everything: another buffer cache has the volume.
func (g *Group) fence(err error, out []Effect) []Effect { return g.close(err, out) }

// Close ends everything: operations end with err, and nothing more is sent.
func (g *Group) Close(now time.Duration, err error, out []Effect) []Effect {
	g.now = now
	return g.close(err, out)
}

func (g *Group) close(err error, out []Effect) []Effect {
	if g.over != nil {
		return out
	}
	g.over = err
	clear(g.sends)
	for _, id := range slices.Clone(g.order) {
		o := g.ops[id]
		for i := range o.seats {
			if o.seats[i].state == seatSent {
				o.seats[i].state = seatBad
			}
		}
		if o.phase != phaseOver {
			out = g.finish(o, err, out)
		} else {
			out = g.release(o, out)
		}
	}
	return out
}

// Answered takes what came of a message. One that is unknown, or was answered, changes nothing.
func (g *Group) Answered(now time.Duration, id uint64, a Answer, out []Effect) []Effect {
	g.now = now
	s, ok := g.sends[id]
	if !ok {
		return out
	}
	delete(g.sends, id)
	switch s.kind {
	case SendAttach:
		out = g.linked(s.site, a, out)
	case SendVersions:
		g.compared(s.site, a)
	default:
		out = g.seated(g.ops[s.op], s.site, id, a, out)
	}
	return g.settle(out)
}

// Tick does what is due.
func (g *Group) Tick(now time.Duration, out []Effect) []Effect {
	g.now = now
	return g.settle(out)
}

// Wake tells when Tick is due next; ok is false if only an event can change anything.
func (g *Group) Wake() (at time.Duration, ok bool) {
	if g.over != nil {
		return 0, false
	}
	due := func(t time.Duration) {
		if !ok || t < at {
			at, ok = t, true
		}
	}
	for _, s := range g.sites {
		if !s.attached && s.sending == 0 {
			due(s.next)
		}
		if s.attached && len(s.missed) > 0 && s.repairAt > g.now {
			due(s.repairAt)
		}
	}
	for _, id := range g.order {
		o := g.ops[id]
		if o.phase != phaseOver {
			due(o.end)
		}
		if o.phase == phaseGather && o.hedge > g.now {
			due(o.hedge)
		}
		for i := range o.seats {
			if st := &o.seats[i]; st.state == seatIdle && st.retry > g.now {
				due(st.retry)
			}
		}
	}
	if g.ready {
		g.walkDue(due)
	}
	return at, ok
}

// settle does everything that has become possible.
func (g *Group) settle(out []Effect) []Effect {
	for g.over == nil {
		g.changed = false
		for k := 0; k < len(g.order) && g.over == nil; { // finish takes operations out
			o := g.ops[g.order[k]]
			if out = g.push(o, out); k < len(g.order) && g.order[k] == o.id {
				k++
			}
		}
		if g.over == nil && g.ready {
			out = g.pump(out)
		}
		if g.over == nil {
			out = g.link(out)
		}
		if !g.changed {
			break
		}
	}
	return out
}

// missing names the copies that are not in has, for people.
func (g *Group) missing(o *op, has func(i int) bool) string {
	var names []string
	for i, s := range g.sites {
		if has(i) {
			continue
		}
		why := "no answer"
		switch {
		case i < len(o.seats) && o.seats[i].err != nil:
			why = o.seats[i].err.Error()
		case s.cause != nil:
			why = s.cause.Error()
		case s.behind:
			why = "it is catching up"
		}
		names = append(names, fmt.Sprintf("%s: %s", s.at.Node, why))
	}
	return strings.Join(names, "; ")
}

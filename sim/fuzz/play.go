package fuzz

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/faults"
	"splitkernel/sim/vcluster"
	"splitkernel/sim/vtime"
)

const (
	// MaxEvents bounds the events of a world: a hundred times those of a drawn one.
	MaxEvents = 20_000_000
	// settleMost is how long everything has to come to rest after it has healed, beside the patience of whoever waits.
	settleMost = 90 * time.Second
	look       = time.Second // how often it is looked whether it has
)

// Coverage counts faults by their kind and by what the cluster did when they happened.
type Coverage [faults.DiskFull + 1][faults.Phases]uint64

// Add adds those of another world.
func (c *Coverage) Add(o *Coverage) {
	for k := range c {
		for p := range c[k] {
			c[k][p] += o[k][p]
		}
	}
}

// Failure is what did not hold.
type Failure struct {
	What string // in two words: "wrong page"
	Text string
	At   time.Duration
}

func (f *Failure) Error() string { return fmt.Sprintf("%s at %v: %s", f.What, f.At, f.Text) }

// Outcome is what became of a world.
type Outcome struct {
	Failure    *Failure // nil if everything held
	Digest     uint64   // of all that happened
	Operations uint64   // that were checked
	Cluster    time.Duration
	Events     uint64
	Coverage   Coverage
	Moved      uint64   // things
	Skipped    uint64   // pages, by full logs
	Restarts   uint64   // of processes, from checkpoints
	Ended      int      // processes that ended well
	Lost       []string // how the others ended
}

// game is a world that is played.
type game struct {
	w          *World
	c          *vcluster.Cluster
	nodes      []faults.Node
	players    []*player
	law5       law5
	copied     map[wire.VolumeID]bool // volumes that several sComponents serve under one epoch
	failure    *Failure
	operations uint64
	coverage   Coverage
	struck     []string
	restarts   uint64 // of processes, from checkpoints
}

// Play plays a world to its end, or to the first thing that does not hold.
func Play(w *World) (out *Outcome) {
	g := &game{w: w, nodes: w.nodes(), copied: map[wire.VolumeID]bool{}}
	out = &Outcome{}
	defer func() {
		if r := recover(); r != nil { // a broken invariant of a core
			g.fail("panic", "%v\n%s", r, debug.Stack())
			out.Failure = g.failure
		}
	}()
	if err := w.check(); err != nil {
		out.Failure = &Failure{What: "bad world", Text: err.Error()}
		return out
	}
	o := w.options()
	g.law5.last = map[owned]owner{}
	o.Served = func(s vcluster.Served) {
		if s.Thing == wire.MoveVolume && g.copied[s.Volume] {
			return
		}
		if err := g.law5.served(&s); err != nil {
			g.fail("two owners", "%v", err)
		}
	}
	c, err := vcluster.New(o)
	if err != nil {
		out.Failure = &Failure{What: "bad world", Text: err.Error()}
		return out
	}
	defer c.Close()
	g.c = c
	g.run()
	out.Failure, out.Digest, out.Operations, out.Cluster, out.Events, out.Coverage = g.failure, c.Digest(), g.operations, c.Now(), c.Events(), g.coverage
	out.Restarts = g.restarts
	_, out.Skipped = c.Unprotected()
	for _, m := range c.Moves() {
		if m.State == wire.MoveDone {
			out.Moved++
		}
	}
	for _, p := range g.players {
		if p.err == nil {
			out.Ended++
		} else {
			out.Lost = append(out.Lost, fmt.Sprintf("%s: %v", p.o.Name, p.err))
		}
	}
	return out
}

// run has everything happen that the world says.
func (g *game) run() {
	w, c := g.w, g.c
	for _, f := range w.Faults {
		h := fnv.New64a()
		h.Write([]byte(f.String())) // its chance does not change when others are left out
		chance := rand.New(rand.NewPCG(w.Seed, h.Sum64()))
		f = faults.Resolve(f, g.nodes, chance)
		if f.At.Timed() {
			c.Later(f.At.After, func() { g.strike(f, chance) })
		} else {
			c.When(f.At, func() { g.strike(f, chance) })
		}
	}
	c.Later(w.Heal, g.heal)
	for _, o := range w.Processes {
		p := newPlayer(g, o)
		g.players = append(g.players, p)
		c.Go(o.Name, p.run)
	}
	deadline := w.Heal + settleMost + 3*w.Patience
	for until := look; ; until += look {
		if err := c.Limited(vtime.Limits{Until: until, Events: MaxEvents}); err != nil {
			g.fail("stuck", "%v", err)
		}
		if c.Events() >= MaxEvents {
			g.fail("stuck", "%d events and no end", c.Events())
		}
		if g.failure != nil {
			return
		}
		if until < w.Heal {
			continue
		}
		err := g.left()
		if err == nil {
			break
		}
		if until >= deadline {
			g.fail("no end", "%v after everything had healed: %v", until-w.Heal, err)
			return
		}
	}
	if err := c.CheckInvariants(); err != nil {
		g.fail("invariant", "%v", err)
	}
	g.judge()
}

// left says what has not come to its end yet.
func (g *game) left() error {
	for _, p := range g.players {
		if !p.over {
			return fmt.Errorf("process %s is not over", p.o.Name)
		}
	}
	return g.c.Settled()
}

// judge compares how processes ended with what was promised.
func (g *game) judge() {
	for _, p := range g.players {
		if p.err == nil {
			continue
		}
		k := wire.KindOf(p.err)
		switch {
		case k == wire.KindInternal || k == wire.KindNone || k == wire.KindBadRequest || k == wire.KindUnmapped:
			g.fail("bad error", "process %s ended with an error that names no loss: %v", p.o.Name, p.err)
		case !p.began && waits(k): // placement waits for managers, bounded, and may be refused
		case g.w.Kept() == "":
			g.fail("broken promise", "process %s ended with %v, though every fault is one that the cluster outlives", p.o.Name, p.err)
		}
	}
}

// waits reports whether an error is one of a placement that nobody made in time, or that found no room.
func waits(k wire.Kind) bool {
	switch k {
	case wire.KindUnavailable, wire.KindTimeout, wire.KindUnknownState, wire.KindNotLeader, wire.KindBusy, wire.KindNoRoom, wire.KindNoSpace:
		return true
	}
	return false
}

// strike has a fault happen; whatever it begins ends when everything heals.
func (g *game) strike(f faults.Fault, chance *rand.Rand) {
	now := g.c.Now()
	if now >= g.w.Heal || g.failure != nil {
		return
	}
	left := g.w.Heal - now
	if f.For == 0 && f.Kind.Lasts() {
		f.For = left
	}
	f.For = min(f.For, left)
	doing := g.c.Doing()
	what, _, err := g.c.Happen(f, g.nodes, chance)
	if err != nil {
		return // there was nothing that it could have hit
	}
	g.struck = append(g.struck, fmt.Sprintf("%v %v: %s", now, f, what))
	for p, is := range doing {
		if is {
			g.coverage[f.Kind][p]++
		}
	}
	if err := g.c.CheckInvariants(); err != nil {
		g.fail("invariant", "after %v: %v", f, err)
	}
}

// heal has everybody run again, and undoes drains: the order that was to do so may have been lost. All other faults have ended by themselves.
func (g *game) heal() {
	drained := map[wire.NodeID]bool{}
	for i := range g.w.Orders {
		if id := g.w.Orders[i].Node; id != "" && !drained[id] {
			drained[id] = true
			g.c.Go("the end of the drain of "+string(id), func(y *vtime.Proc) {
				for range tries { // who ordered the drain may be trying still
					if g.draining(id) {
						_ = g.c.Act(y, id, membership.Undrain) // again, if it was lost
					}
					y.Sleep(pause)
				}
			})
		}
	}
	for _, n := range g.nodes {
		if g.c.Runs(n.ID) {
			continue
		}
		if err := g.c.Strike(vcluster.Fault{What: vcluster.Start, Node: n.ID}); err != nil {
			g.fail("bad world", "%v", err)
		}
	}
}

// draining reports whether a component is being emptied.
func (g *game) draining(id wire.NodeID) bool {
	for _, k := range []wire.Manager{wire.GPM, wire.GMM, wire.GSM} {
		for _, s := range g.c.Standings(k) {
			if s.ID == id {
				return s.State == membership.Draining
			}
		}
	}
	return false
}

// nextOrder is the moment of the first order after now, or 0.
func (g *game) nextOrder(now time.Duration) (next time.Duration) {
	for i := range g.w.Orders {
		o := &g.w.Orders[i]
		if o.Thing != (movelist.Thing{}) && o.At > now && (next == 0 || o.At < next) {
			next = o.At
		}
	}
	return next
}

// fail notes the first thing that does not hold.
func (g *game) fail(what, format string, args ...any) {
	if g.failure == nil {
		at := time.Duration(0)
		if g.c != nil {
			at = g.c.Now()
		}
		g.failure = &Failure{What: what, Text: fmt.Sprintf(format, args...), At: at}
	}
}

// failed is the error of a process that stops because something does not hold.
func (g *game) failed() error { return wire.Errorf(wire.KindFailed, "%v", g.failure) }

package gmanagers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"splitkernel/gmanagers/balance"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
)

const (
	// balancerInterval is how often a leader looks whether it should look: at once if a component joined or drains. It is woken
	// when a move ended.
	balancerInterval = 250 * time.Millisecond
	// lookShare is how many times as long as a look took none is brought forward, so that a manager of very many things does
	// not look all the time while something drains.
	lookShare = 8
	// quietLooks is after how many looks without an order a round of balancing counts as ended although it did not reach its
	// target.
	quietLooks = 5
	// orderTimeout bounds the proposal of a look's orders. What it did not get through is ordered by a later look.
	orderTimeout = 5 * time.Second
)

// Balance is the balancing of each manager, and how many moves drains make at a time.
type Balance struct {
	GPM    balance.Options `mapstructure:"gpm" yaml:"gpm"`       // processes; threads and busy cores, by cores
	GMM    balance.Options `mapstructure:"gmm" yaml:"gmm"`       // vRegions; misses and flushes a second
	Homes  balance.Options `mapstructure:"homes" yaml:"homes"`   // of processes, by GMM; memory-map calls a second
	GSM    balance.Options `mapstructure:"gsm" yaml:"gsm"`       // volumes; bytes and requests a second, by capacity
	Caches balance.Options `mapstructure:"caches" yaml:"caches"` // buffer caches, by GSM; requests a second
}

// DefaultBalance gives the settings.
func DefaultBalance() Balance {
	o := balance.DefaultOptions()
	b := Balance{GPM: o, GMM: o, Homes: o, GSM: o, Caches: o}
	b.GPM.Measure, b.GSM.Measure = balance.Threads, balance.Bytes
	b.GPM.Second, b.GPM.SecondWeight = balance.BusyCores, 3    // a thread that runs counts as four that wait
	b.GSM.Second, b.GSM.SecondWeight = balance.Rate, 1.0/10000 // so many requests a second count as much as a full sComponent
	for _, waits := range []*balance.Options{&b.GMM, &b.Homes, &b.GSM, &b.Caches} {
		waits.QueueWeight = 0.5 // a component whose requests wait bears half as much again
	}
	b.GSM.QueueFullUS = 10_000                      // disks wait for longer than memory
	b.GPM.MaxDrainMoves, b.GSM.MaxDrainMoves = 4, 4 // they are large: more at a time make each pause longer
	b.GMM.MinLoad, b.Caches.MinLoad = 1000, 1000    // a second: a core serves hundreds of times as many
	b.Homes.MinLoad = 100                           // a second: fewer are nothing
	b.GSM.MinLoad = 0.05                            // of its bytes, or 500 requests a second
	return b
}

// scale is the balancing of one kind of thing.
type scale struct {
	kind wire.MoveKind
	o    balance.Options
	b    *balance.Taped
	// The rest is of the round of balancing under way.
	active bool
	before [2]float64 // spread and Jain's index when it began
	moves  int
	quiet  int                 // looks in a row at which nothing moved and nothing was ordered
	left   map[wire.NodeID]int // by component that drains, at the last look
	rest   time.Duration       // until then no look is brought forward
}

// balanced is what the last look of a leader saw, for metrics.
type balanced struct {
	kind         wire.MoveKind
	spread, jain float64
	balancing    bool
	things       int
	measured     int // of things, by their own load
}

// balancer orders the moves of one group while this process leads it: it tells the pure package balance what there is, and
// proposes what that plans. One goroutine owns it.
type balancer struct {
	m      *Managers
	host   *raftsm.Host
	g      wire.Manager
	client *client.Client
	mover  *mover
	wake   chan struct{}

	term   uint64
	scales []*scale // nil while this process does not lead
	from   time.Duration
	seen   news
	said   map[wire.NodeID]movelist.Note
}

func newBalancer(m *Managers, host *raftsm.Host, g wire.Manager, c *client.Client, mv *mover) *balancer {
	return &balancer{m: m, host: host, g: g, client: c, mover: mv, wake: make(chan struct{}, 1)}
}

// woken has the balancer look for news soon.
func (v *balancer) woken() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

func (v *balancer) run(ctx context.Context) {
	timer := time.NewTimer(balancerInterval)
	defer timer.Stop()
	for {
		select {
		case <-v.wake:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		v.tick(ctx)
		wait := balancerInterval
		for _, s := range v.scales {
			wait = min(wait, s.b.Next()-v.m.now())
		}
		timer.Reset(max(wait, balance.DrainLook))
	}
}

// scalesOf makes the scales of a group.
func (v *balancer) scalesOf() []*scale {
	o := &v.m.o
	weigh := func(k wire.MoveKind, b balance.Options, resource, policy string) *scale {
		return &scale{kind: k, o: b, b: v.m.balancerCore(k, b, resource, policy), left: map[wire.NodeID]int{}}
	}
	switch v.g {
	case wire.GPM:
		return []*scale{weigh(wire.MoveProcess, o.Balance.GPM, "lines of the ExCache", o.GPMPolicy)}
	case wire.GMM:
		return []*scale{
			weigh(wire.MoveRegion, o.Balance.GMM, "bytes for vRegions", o.GMMPolicy),
			weigh(wire.MoveHome, o.Balance.Homes, "bytes for vRegions", o.GMMPolicy),
		}
	}
	return []*scale{
		weigh(wire.MoveVolume, o.Balance.GSM, "bytes of storage", o.GSMPolicy),
		weigh(wire.MoveCache, o.Balance.Caches, "buffer caches", o.CachePolicy),
	}
}

// tick looks, if a look is due.
func (v *balancer) tick(ctx context.Context) {
	leads := v.host.Leader(v.g) == v.m.o.ID
	now := v.m.now()
	v.m.mu.Lock()
	v.m.lead(v.g, leads)
	term := v.m.terms[v.g]
	if !leads {
		v.m.balanced[v.g] = nil
	}
	v.m.mu.Unlock()
	if !leads || v.term != term {
		for _, s := range v.scales {
			s.b.End()
		}
		v.scales = nil
	}
	if !leads {
		return
	}
	if v.scales == nil {
		// For a lease nobody counts as silent, and rates need readings of one manager process.
		v.term, v.scales, v.from, v.said = term, v.scalesOf(), now+ms(v.m.o.LeaseMS), map[wire.NodeID]movelist.Note{}
	}
	if now < v.from {
		return
	}
	fresh, err := newsOf(v.host, v.g)
	if err != nil {
		return // stopping
	}
	var seen []balanced
	for _, s := range v.scales {
		if fresh != v.seen {
			s.b.Soon(now)
		}
		if fresh.turn != v.seen.turn || fresh != v.seen && len(s.left) > 0 {
			s.b.SoonDrain(max(now, s.rest))
		}
		if now >= s.b.Next() {
			if b, ok := v.look(ctx, s); ok {
				seen = append(seen, b)
			}
		}
	}
	v.seen = fresh
	if len(seen) > 0 {
		v.m.mu.Lock()
		for _, b := range seen {
			v.m.saw(v.g, b)
		}
		v.m.mu.Unlock()
		v.drained(ctx)
	}
}

// saw keeps what a look saw. m.mu is held.
func (m *Managers) saw(g wire.Manager, b balanced) {
	for i := range m.balanced[g] {
		if m.balanced[g][i].kind == b.kind {
			m.balanced[g][i] = b
			return
		}
	}
	m.balanced[g] = append(m.balanced[g], b)
}

// look looks once at one kind of thing and orders what it plans.
func (v *balancer) look(ctx context.Context, s *scale) (balanced, bool) {
	began := v.m.now()
	components, things, err := v.weigh(s)
	if err != nil {
		return balanced{}, false
	}
	plan := s.b.Look(v.m.now(), components, things)
	now := v.m.now()
	s.rest = now + lookShare*(now-began)
	moving, measured := 0, 0
	for i := range things {
		if things[i].Measured && !things[i].Unrated {
			measured++
		}
		if things[i].To != "" {
			moving++
		}
	}
	var orders []movelist.Order
	autos := 0
	for _, m := range plan.Moves {
		o := movelist.Order{
			Thing: movelist.Thing(m.Thing), From: m.From, To: m.To, Cause: movelist.Balance, Reason: m.Reason,
			Policy: m.Policy, Unit: m.Unit, Candidates: m.Candidates[:min(len(m.Candidates), movelist.MaxCandidates)],
		}
		if m.Drain {
			o.Cause = movelist.Drain
		} else {
			autos++
		}
		orders = append(orders, o)
	}
	var notes []movelist.Note
	if !plan.DrainsOnly { // else it is told soon
		notes = append(v.stuck(plan), s.round(plan, autos, moving)...)
	}
	v.order(ctx, orders, notes)
	s.left = map[wire.NodeID]int{}
	for _, d := range plan.Drains {
		s.left[d.Node] = d.Left
	}
	return balanced{s.kind, plan.Spread, plan.Jain, plan.Balancing, len(things), measured}, true
}

// round tells when balancing begins and ends, with how even loads were and are.
func (s *scale) round(plan balance.Plan, autos, moving int) []movelist.Note {
	switch {
	case autos > 0 && !s.active:
		s.active, s.before, s.moves = true, [2]float64{plan.Spread, plan.Jain}, autos
		return []movelist.Note{{Kind: events.Rebalanced, Text: fmt.Sprintf("balancing of each %v by %s begins: coefficient of variation %.3f, Jain's index %.3f", s.kind, s.b.Name(), plan.Spread, plan.Jain)}}
	case autos > 0 || moving > 0:
		s.quiet = 0
	case s.active:
		// Low need not be reached: what is left to move may have moved just now, or be too large.
		if s.quiet++; plan.Balancing && s.quiet < quietLooks {
			break
		}
		s.active = false
		return []movelist.Note{{Kind: events.Rebalanced, Text: fmt.Sprintf("balancing of each %v by %s ends after %d moves: coefficient of variation %.3f, before %.3f; Jain's index %.3f, before %.3f",
			s.kind, s.b.Name(), s.moves, plan.Spread, s.before[0], plan.Jain, s.before[1])}}
	}
	s.moves += autos
	return nil
}

// stuck tells what cannot leave what drains, if that is news.
func (v *balancer) stuck(plan balance.Plan) (notes []movelist.Note) {
	count := map[wire.NodeID]int{}
	for _, st := range plan.Stuck {
		if st.Fixed {
			continue // it waits for others
		}
		if count[st.From]++; count[st.From] > 1 || len(notes) == movelist.MaxBatch {
			continue
		}
		if n := (movelist.Note{Kind: events.Stuck, Node: st.From, Text: st.Text}); v.said[st.From] != n {
			v.said[st.From] = n
			notes = append(notes, n)
		}
	}
	return notes
}

// drained tells that a component that drains has nothing left of what this manager moves.
func (v *balancer) drained(ctx context.Context) {
	var notes []movelist.Note
	left := map[wire.NodeID]int{} // of all kinds; an mComponent has no volumes, an sComponent no buffer caches
	for _, s := range v.scales {
		for id, n := range s.left {
			left[id] += n
		}
	}
	for _, id := range slices.Sorted(maps.Keys(left)) {
		empty := left[id] == 0
		n := movelist.Note{Kind: events.Drained, Node: id, Text: "nothing is left that " + v.g.String() + " moves"}
		if empty && v.said[id] != n && len(notes) < movelist.MaxBatch {
			v.said[id] = n
			notes = append(notes, n)
		} else if !empty && v.said[id] == n {
			delete(v.said, id)
		}
	}
	v.order(ctx, nil, notes)
}

// order proposes orders and notes; what is refused is planned again when it still makes sense.
func (v *balancer) order(ctx context.Context, orders []movelist.Order, notes []movelist.Note) {
	for len(orders)+len(notes) > 0 {
		batch := orders[:min(len(orders), movelist.MaxBatch)]
		call, cancel := context.WithTimeout(ctx, orderTimeout)
		begun, err := v.client.BeginMovesNoting(call, v.g, batch, notes)
		cancel()
		if err != nil {
			v.m.log.Warn("moves could not be ordered now", "manager", v.g.String(), "moves", len(batch), "error", err.Error())
			return
		}
		for i, b := range begun {
			if err := b.Err(); err != nil {
				v.m.log.Info("a move was refused", "manager", v.g.String(), "thing", batch[i].Thing.String(), "to", string(batch[i].To), "error", err.Error())
			}
		}
		orders, notes = orders[len(batch):], nil
		v.mover.woken()
	}
}

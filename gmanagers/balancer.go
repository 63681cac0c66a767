package gmanagers

import (
	"context"
	"time"

	"splitkernel/gmanagers/balance"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/weigh"
	"splitkernel/netlayer/wire"
)

const (
	// balancerInterval is how often a leader looks whether it should look: at once if a component joined or drains. It is woken
	// when a move ended.
	balancerInterval = 250 * time.Millisecond
	// orderTimeout bounds the proposal of a look's orders. What it did not get through is ordered by a later look.
	orderTimeout = 5 * time.Second
)

// Balance is the balancing of each manager, and how many moves drains make at a time.
type Balance = weigh.Balance

// DefaultBalance gives the settings.
func DefaultBalance() Balance { return weigh.DefaultBalance() }

// balancer orders the moves of one group while this process leads it: it tells the pure package weigh what there is, and
// proposes what that wants. One goroutine owns it.
type balancer struct {
	m      *Managers
	host   *raftsm.Host
	g      wire.Manager
	client *client.Client
	mover  *mover
	wake   chan struct{}

	term   uint64
	looker *weigh.Looker // nil while this process does not lead
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
		if v.looker != nil {
			wait = min(wait, v.looker.Next()-v.m.now())
		}
		timer.Reset(max(wait, balance.DrainLook))
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
	if v.looker != nil && (!leads || v.term != term) {
		v.looker.End()
		v.looker = nil
	}
	if !leads {
		return
	}
	if o := &v.m.o; v.looker == nil {
		settings := weigh.Settings{Balance: o.Balance, GPMPolicy: o.GPMPolicy, GMMPolicy: o.GMMPolicy, GSMPolicy: o.GSMPolicy, CachePolicy: o.CachePolicy, Overcommit: uint64(o.Overcommit * 1000), Core: v.m.balancerCore}
		v.term, v.looker = term, weigh.NewLooker(v.g, settings, now+ms(o.LeaseMS))
	}
	fresh, err := newsOf(v.host, v.g)
	if err != nil {
		return // stopping
	}
	v.looker.News(now, fresh.turn, fresh.changes)
	var seen []weigh.Look
	for _, s := range v.looker.Due(now) {
		if b, ok := v.look(ctx, s); ok {
			seen = append(seen, b)
		}
	}
	if len(seen) > 0 {
		v.m.mu.Lock()
		for _, b := range seen {
			v.m.saw(v.g, b)
		}
		v.m.mu.Unlock()
		v.order(ctx, nil, v.looker.Drained())
	}
}

// saw keeps what a look saw. m.mu is held.
func (m *Managers) saw(g wire.Manager, b weigh.Look) {
	b.Orders, b.Notes = nil, nil
	for i := range m.balanced[g] {
		if m.balanced[g][i].Kind == b.Kind {
			m.balanced[g][i] = b
			return
		}
	}
	m.balanced[g] = append(m.balanced[g], b)
}

// look looks once at one kind of thing and orders what it plans.
func (v *balancer) look(ctx context.Context, s *weigh.Scale) (weigh.Look, bool) {
	began := v.m.now()
	components, things, err := v.weigh(s, began)
	if err != nil {
		return weigh.Look{}, false
	}
	look := v.looker.Look(s, began, components, things)
	s.Took(v.m.now() - began)
	v.order(ctx, look.Orders, look.Notes)
	return look, true
}

// weigh reads what a look at a kind of thing is told.
func (v *balancer) weigh(s *weigh.Scale, now time.Duration) (components []balance.Component, things []balance.Thing, err error) {
	var caches []membership.Entry
	if s.Kind == wire.MoveCache {
		if err := v.host.Stale(wire.GMM, func(st raftsm.State) { caches = st.Entries() }); err != nil {
			return nil, nil, err
		}
	}
	var w *weigh.Weighing
	heard := heardOf{v.m}
	heat := v.looker.HeatOf(s, heard)
	if err := v.host.Stale(v.g, func(st raftsm.State) {
		w = v.looker.Begin(s, now, v.m.wall().UnixMilli(), st.(weigh.State), caches, heat)
	}); err != nil {
		return nil, nil, err
	}
	components, things = w.Finish(heard)
	return components, things, nil
}

// heardOf is what a manager process has heard, under its lock.
type heardOf struct{ m *Managers }

func (h heardOf) Last(m wire.Member) (wire.Load, time.Duration, bool) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	return h.m.watch.Last(m)
}

func (h heardOf) Alive(g wire.Manager, now time.Duration, m wire.Member) bool {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	return h.m.watch.Alive(g, now, m)
}

func (h heardOf) Each(f func(id wire.NodeID, load *wire.Load, at time.Duration)) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	h.m.watch.Each(f)
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

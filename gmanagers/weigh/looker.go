package weigh

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"splitkernel/gmanagers/balance"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
)

const (
	// lookShare is how many times as long as a look took none is brought forward, so that a manager of very many things does
	// not look all the time while something drains.
	lookShare = 8
	// quietLooks is after how many looks without an order a round of balancing counts as ended although it did not reach its
	// target.
	quietLooks = 5
)

// Settings are those of a leader. The policies place what leaves a component that drains.
type Settings struct {
	Balance                                      Balance
	GPMPolicy, GMMPolicy, GSMPolicy, CachePolicy string
	Overcommit                                   uint64 // thousandths, of memory
	// Core makes what plans for a kind of thing; nil is one that is not recorded.
	Core func(k wire.MoveKind, o balance.Options, resource, policy string) *balance.Taped
}

// untaped makes a Balancer that is not recorded.
func untaped(k wire.MoveKind, o balance.Options, resource, policy string) *balance.Taped {
	head := balance.TapeHead{Kind: k, Options: o, Resource: resource, Policy: policy}
	t, err := head.New()
	if err != nil {
		panic(err) // the settings were validated
	}
	return t
}

// Heard is what was heard of components: a membership.Watch.
type Heard interface {
	// Last returns the load of m under its present epoch and when it was heard; false if nothing was.
	Last(m wire.Member) (load wire.Load, at time.Duration, ok bool)
	// Alive reports whether m counts as heard of.
	Alive(g wire.Manager, now time.Duration, m wire.Member) bool
	// Each calls f with the load of every component that was heard of, in no order. What f is given is not to be kept.
	Each(f func(id wire.NodeID, load *wire.Load, at time.Duration))
}

// Scale is the balancing of one kind of thing.
type Scale struct {
	Kind wire.MoveKind
	o    balance.Options
	b    *balance.Taped
	// The rest is of the round of balancing under way.
	active bool
	before [2]float64 // spread and Jain's index when it began
	moves  int
	quiet  int                 // looks in a row at which nothing moved and nothing was ordered
	left   map[wire.NodeID]int // by component that drains, at the last look
	looked time.Duration
	rest   time.Duration // until then no look is brought forward
}

// Took says how long after now, that of its Look, the look had ended.
func (s *Scale) Took(d time.Duration) { s.rest = s.looked + d + lookShare*d }

// Look is the outcome of a look.
type Look struct {
	Orders []movelist.Order
	Notes  []movelist.Note
	// What it saw, for metrics.
	Kind             wire.MoveKind
	Spread, Jain     float64
	Balancing        bool
	Things, Measured int // Measured by their own load
}

// Looker looks after the balance of one group while its leader leads. Make one with NewLooker for each term; it is not safe for
// concurrent use.
type Looker struct {
	g      wire.Manager
	o      Settings
	scales []*Scale
	from   time.Duration
	turn   uint64 // as of News
	change uint64
	told   bool
	said   map[wire.NodeID]movelist.Note
}

// NewLooker makes the looker of a group. Before from nothing is looked at: for a lease nobody counts as silent, and rates need readings
// of one manager process.
func NewLooker(g wire.Manager, o Settings, from time.Duration) *Looker {
	if o.Core == nil {
		o.Core = untaped
	}
	l := &Looker{g: g, o: o, from: from, said: map[wire.NodeID]movelist.Note{}}
	weigh := func(k wire.MoveKind, b balance.Options, resource, policy string) {
		l.scales = append(l.scales, &Scale{Kind: k, o: b, b: o.Core(k, b, resource, policy), left: map[wire.NodeID]int{}})
	}
	switch g {
	case wire.GPM:
		weigh(wire.MoveProcess, o.Balance.GPM, "lines of the ExCache", o.GPMPolicy)
	case wire.GMM:
		weigh(wire.MoveRegion, o.Balance.GMM, "bytes for vRegions", o.GMMPolicy)
		weigh(wire.MoveHome, o.Balance.Homes, "bytes for vRegions", o.GMMPolicy)
	default:
		weigh(wire.MoveVolume, o.Balance.GSM, "bytes of storage", o.GSMPolicy)
		weigh(wire.MoveCache, o.Balance.Caches, "buffer caches", o.CachePolicy)
	}
	return l
}

// End ends the tapes of what plans.
func (l *Looker) End() {
	for _, s := range l.scales {
		s.b.End()
	}
}

// News tells what counts decisions about members, and changes of the list of moves: what they count may bring looks forward.
func (l *Looker) News(now time.Duration, turn, changes uint64) {
	if now < l.from || l.told && turn == l.turn && changes == l.change {
		return
	}
	for _, s := range l.scales {
		s.b.Soon(now)
		if !l.told || turn != l.turn || len(s.left) > 0 {
			s.b.SoonDrain(max(now, s.rest))
		}
	}
	l.turn, l.change, l.told = turn, changes, true
}

// Next returns when the next look is due.
func (l *Looker) Next() time.Duration {
	next := l.scales[0].b.Next()
	for _, s := range l.scales {
		next = min(next, s.b.Next())
	}
	return max(next, l.from)
}

// Due gives what is to be looked at now.
func (l *Looker) Due(now time.Duration) (due []*Scale) {
	for _, s := range l.scales {
		if now >= l.from && now >= s.b.Next() {
			due = append(due, s)
		}
	}
	return due
}

// Look looks once at one kind of thing and says what to order.
func (l *Looker) Look(s *Scale, now time.Duration, components []balance.Component, things []balance.Thing) (out Look) {
	s.looked, s.rest = now, now
	plan := s.b.Look(now, components, things)
	moving := 0
	out = Look{Kind: s.Kind, Spread: plan.Spread, Jain: plan.Jain, Balancing: plan.Balancing, Things: len(things)}
	for i := range things {
		if things[i].Measured && !things[i].Unrated {
			out.Measured++
		}
		if things[i].To != "" {
			moving++
		}
	}
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
		out.Orders = append(out.Orders, o)
	}
	if !plan.DrainsOnly { // else it is told soon
		out.Notes = append(l.stuck(plan), s.round(plan, autos, moving)...)
	}
	s.left = map[wire.NodeID]int{}
	for _, d := range plan.Drains {
		s.left[d.Node] = d.Left
	}
	for i := range components {
		if c := &components[i]; c.Draining && c.Kept > 0 {
			s.left[c.ID] += c.Kept
		}
	}
	return out
}

// round tells when balancing begins and ends, with how even loads were and are.
func (s *Scale) round(plan balance.Plan, autos, moving int) []movelist.Note {
	switch {
	case autos > 0 && !s.active:
		s.active, s.before, s.moves = true, [2]float64{plan.Spread, plan.Jain}, autos
		return []movelist.Note{{Kind: events.Rebalanced, Text: fmt.Sprintf("balancing of each %v by %s begins: coefficient of variation %.3f, Jain's index %.3f", s.Kind, s.b.Name(), plan.Spread, plan.Jain)}}
	case autos > 0 || moving > 0:
		s.quiet = 0
	case s.active:
		// Low need not be reached: what is left to move may have moved just now, or be too large.
		if s.quiet++; plan.Balancing && s.quiet < quietLooks {
			break
		}
		s.active = false
		return []movelist.Note{{Kind: events.Rebalanced, Text: fmt.Sprintf("balancing of each %v by %s ends after %d moves: coefficient of variation %.3f, before %.3f; Jain's index %.3f, before %.3f",
			s.Kind, s.b.Name(), s.moves, plan.Spread, s.before[0], plan.Jain, s.before[1])}}
	}
	s.moves += autos
	return nil
}

// stuck tells what cannot leave what drains, if that is news.
func (l *Looker) stuck(plan balance.Plan) (notes []movelist.Note) {
	count := map[wire.NodeID]int{}
	for _, st := range plan.Stuck {
		if st.Fixed {
			continue // it waits for others
		}
		if count[st.From]++; count[st.From] > 1 || len(notes) == movelist.MaxBatch {
			continue
		}
		if n := (movelist.Note{Kind: events.Stuck, Node: st.From, Text: st.Text}); l.said[st.From] != n {
			l.said[st.From] = n
			notes = append(notes, n)
		}
	}
	return notes
}

// Drained tells of components that drain and have nothing left of what this manager moves.
func (l *Looker) Drained() (notes []movelist.Note) {
	left := map[wire.NodeID]int{} // of all kinds; an mComponent has no volumes, an sComponent no buffer caches
	for _, s := range l.scales {
		for id, n := range s.left {
			left[id] += n
		}
	}
	for _, id := range slices.Sorted(maps.Keys(left)) {
		empty := left[id] == 0
		n := movelist.Note{Kind: events.Drained, Node: id, Text: "nothing is left that " + l.g.String() + " moves"}
		if empty && l.said[id] != n && len(notes) < movelist.MaxBatch {
			l.said[id] = n
			notes = append(notes, n)
		} else if !empty && l.said[id] == n {
			delete(l.said, id)
		}
	}
	return notes
}

// Draining is how many things are left of what drains, as of the last looks.
func (l *Looker) Draining() (n int) {
	for _, s := range l.scales {
		for _, left := range s.left {
			n += left
		}
	}
	return n
}

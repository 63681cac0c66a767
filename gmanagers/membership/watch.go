package membership

import (
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
)

// DefaultLease is the default of the lease: four heartbeats, so three may be lost or late before a component stops being a
// candidate and is looked for. Together with a probe it is less than two seconds.
const DefaultLease = time.Second

// MinLease is the shortest lease: below two heartbeats a single late one would silence a component.
const MinLease = 2 * wire.HeartbeatMS * time.Millisecond

// MaxLease is the longest lease; above it a silent component would be chosen for minutes.
const MaxLease = 5 * time.Minute

// CheckLease says why d cannot be a lease. Key names the option in the error.
func CheckLease(key string, d time.Duration) error {
	if d < MinLease || d > MaxLease {
		return fmt.Errorf("%s: %d, want %d to %d", key, d.Milliseconds(), MinLease.Milliseconds(), MaxLease.Milliseconds())
	}
	return nil
}

// maxHot bounds the things that are kept of one heartbeat: wire.MaxHot of each kind.
const maxHot = wire.MaxHot * int(wire.MoveCache)

// MaxListedHot bounds the things in all loads of one listing, so that it fits into a reply however many members there are: what
// comes after is left out of it.
const MaxListedHot = 4096

// Live tells in a stamp of one member of which the proposer knows other than the state has.
type Live struct {
	ID      wire.NodeID
	Epoch   wire.Epoch // of a member that registered again since nothing is told
	Addr    string     // this and Rack where the manager does not register the member itself: mComponents at GSM
	Rack    string
	Traffic uint64 // misses + flushes that it reported, cumulative since its start; see Differs
	Silent  bool   // it was not heard of within the lease: it is not chosen
}

// Stamp is what the proposer knows and the replicas must not ask for themselves: the time, the policy, who was heard of, and
// chance. Who was heard of is kept by the states, and a stamp tells what changed.
type Stamp struct {
	NowMS   int64  // ms since 1970 by the clock of the wall, for listings only
	ClockMS int64  // by the clock of the managers (Clock), by which is decided
	Policy  string // name of the placement policy
	Live    []Live // what is news of members, ascending by id; most often nothing
	Chance  uint64 // 64 random bits for the policy; 0 in commands that place nothing
}

// heard is the last sign of life of one component.
type heard struct {
	at    time.Duration
	broke time.Duration // when a connection of it ended after that; 0 if none did
	epoch wire.Epoch
	load  wire.Load
}

// Watch remembers the heartbeats that one manager heard, of all roles. Make one with NewWatch; it is not safe for
// concurrent use.
type Watch struct {
	lease time.Duration
	grace [wire.GSM + 1]time.Duration // by manager: until then nobody is called silent
	heard map[wire.NodeID]heard
	turns uint64
}

// NewWatch returns a watch with a lease, in grace until now + lease: whoever just started has heard nobody.
func NewWatch(lease, now time.Duration) *Watch {
	w := &Watch{lease: lease, heard: map[wire.NodeID]heard{}}
	for g := range w.grace {
		w.grace[g] = now + lease
	}
	return w
}

// Lead begins a new grace for a group: a new leader waits one lease before it calls anybody silent.
func (w *Watch) Lead(group wire.Manager, now time.Duration) {
	w.grace[group] = max(w.grace[group], now+w.lease)
	w.turns++
}

// Heard notes a heartbeat of m under m.Epoch. An older epoch than the one known is ignored: it is a
// previous incarnation. It returns false if it was ignored: for its age, because its id is longer than any
// that registers, or because MaxMembers components of each of the three roles are known already.
func (w *Watch) Heard(now time.Duration, m wire.Member, load wire.Load) bool {
	h, ok := w.heard[m.ID]
	if ok && m.Epoch < h.epoch || !ok && len(w.heard) >= 3*MaxMembers || len(m.ID) > MaxIDBytes {
		return false
	}
	load.Hot = load.Hot[:min(len(load.Hot), maxHot)]
	if !ok || m.Epoch != h.epoch || now-h.at > w.lease {
		w.turns++
	}
	w.heard[m.ID] = heard{at: max(now, h.at), epoch: m.Epoch, load: load}
	return true
}

// Disconnected notes that a connection of a component to this manager has ended. That is no death: connections end for many reasons.
// It is false if nothing was heard of it, or this is known already. What is heard of it later makes it forgotten.
func (w *Watch) Disconnected(now time.Duration, id wire.NodeID) bool {
	h, ok := w.heard[id]
	if !ok || h.broke != 0 {
		return false
	}
	h.broke = max(now, 1)
	w.heard[id] = h
	return true
}

// Registered notes that m has just registered under m.Epoch, which is a sign of life without a load.
func (w *Watch) Registered(now time.Duration, m wire.Member) {
	load := wire.Load{}
	if h, ok := w.known(m); ok {
		load = h.load // a repeated answer to a registration must not take away what was heard since
	}
	w.Heard(now, m, load)
}

// trafficSteps says how far a reported traffic is from what the states have before they are told: by an eighth. It only breaks
// ties, and grows: so a component costs a few entries for each doubling, not one for each heartbeat.
const trafficSteps = 8

// News returns what a stamp must tell so that the states know what the watch does of entries: those that are to be placed at and
// that were heard of within the lease and are called silent, or the reverse, and whose traffic is far from what is known.
// While a grace of the group lasts all count as heard of. Until is when that may change though nothing is heard.
func (w *Watch) News(group wire.Manager, now time.Duration, entries []Entry) (out []Live, until time.Duration) {
	until = now + w.lease
	if g := w.grace[group]; now < g {
		until = g
	}
	for i := range entries {
		e := &entries[i]
		if e.State() != Active {
			continue
		}
		l, ends := w.live(group, now, e.Member)
		if until > ends && !l.Silent {
			until = ends
		}
		if e.Silent != l.Silent || Differs(e.Traffic, l.Traffic) {
			out = append(out, l)
		}
	}
	return out, until
}

// NewsOf returns what a stamp must tell so that a state that does not register entries knows as known, ascending by id, those of
// them that are to be placed at and that were heard of within the lease, and no others. Until is as in News. Ascending by id.
func (w *Watch) NewsOf(group wire.Manager, now time.Duration, entries []Entry, known []Live) (out []Live, until time.Duration) {
	until = now + w.lease
	if g := w.grace[group]; now < g {
		until = g
	}
	gone := func(k Live) { k.Silent = true; out = append(out, k) }
	for i := range entries {
		e := &entries[i]
		for len(known) > 0 && known[0].ID < e.Member.ID {
			gone(known[0])
			known = known[1:]
		}
		l, ends := w.live(group, now, e.Member)
		l.Silent = l.Silent || e.State() != Active
		if until > ends && !l.Silent {
			until = ends
		}
		if len(known) == 0 || known[0].ID != e.Member.ID {
			if !l.Silent {
				out = append(out, l)
			}
			continue
		}
		k := known[0]
		known = known[1:]
		if l.Epoch < k.Epoch {
			continue // entries are older
		}
		if far := Differs(k.Traffic, l.Traffic); !far {
			l.Traffic = k.Traffic
		}
		if l != k {
			out = append(out, l)
		}
	}
	for _, k := range known {
		gone(k)
	}
	return out, until
}

// live tells of m, and when it will be silent if nothing is heard.
func (w *Watch) live(group wire.Manager, now time.Duration, m wire.Member) (Live, time.Duration) {
	h, ok := w.known(m)
	ends := w.grace[group]
	if ok {
		ends = max(ends, h.at+w.lease+1)
	}
	return Live{ID: m.ID, Epoch: m.Epoch, Addr: m.Addr, Rack: m.Rack, Traffic: h.load.Misses + h.load.Flushes, Silent: now >= ends}, ends
}

// Differs reports whether a traffic is far enough from what is known.
func Differs(known, now uint64) bool {
	d := max(known, now) - min(known, now)
	return d > 0 && d >= known/trafficSteps
}

// Turns counts what may make somebody heard of who was silent: whoever is heard of anew, and a grace that begins.
func (w *Watch) Turns() uint64 { return w.turns }

// known returns what was heard of m under its present epoch.
func (w *Watch) known(m wire.Member) (heard, bool) {
	h, ok := w.heard[m.ID]
	if !ok || h.epoch != m.Epoch {
		return heard{}, false
	}
	return h, true
}

// Alive reports whether m counts as heard of: within the lease under its present epoch, or while a grace of the group
// lasts.
func (w *Watch) Alive(group wire.Manager, now time.Duration, m wire.Member) bool {
	h, ok := w.known(m)
	return now < w.grace[group] || ok && now-h.at <= w.lease
}

// Heeded reports whether m was heard of within the lease, whatever grace lasts.
func (w *Watch) Heeded(now time.Duration, m wire.Member) bool {
	h, ok := w.known(m)
	return ok && now-h.at <= w.lease
}

// Silence is for how long m was not heard of under its present epoch; 0 if it never was.
func (w *Watch) Silence(now time.Duration, m wire.Member) time.Duration {
	h, ok := w.known(m)
	if !ok {
		return 0
	}
	return now - h.at
}

// Statuses returns entries with what was heard of their members, in order.
func (w *Watch) Statuses(group wire.Manager, now time.Duration, entries []Entry) []Status {
	out, hot := make([]Status, 0, len(entries)), 0
	for i := range entries {
		m := entries[i].Member
		st := Status{Member: m, AgeMS: -1, State: entries[i].State(), Alive: now < w.grace[group]}
		if h, ok := w.known(m); ok {
			st.Load, st.AgeMS = h.load, (now - h.at).Milliseconds()
			if hot += len(st.Load.Hot); hot > MaxListedHot {
				st.Load.Hot, st.Load.HotAll = nil, nil
			}
			st.Alive = st.Alive || now-h.at <= w.lease
		}
		out = append(out, st)
	}
	return out
}

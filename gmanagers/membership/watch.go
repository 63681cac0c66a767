package membership

import (
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
)

// DefaultLease is the default of Options.Lease: six heartbeats, so five may be lost or late before a component stops
// being a candidate, and a loaded machine does not lose one by accident.
const DefaultLease = 3 * time.Second

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

// Live is a member that may be chosen, as the proposer stamps it into a command.
type Live struct {
	ID      wire.NodeID
	Epoch   wire.Epoch // a member that registered again since is no candidate
	Addr    string     // used where the manager does not register the member itself: buffer caches at GSM
	Traffic uint64     // misses + flushes that it reported, cumulative since its start
}

// Stamp is what the proposer knows and the replicas must not ask for themselves: the time, the policy, who is alive, and
// chance.
type Stamp struct {
	NowMS  int64  // ms since 1970, for listings only
	Policy string // name of the placement policy
	Live   []Live // candidates, ascending by id; empty in commands that place nothing
	Chance uint64 // 64 random bits for the policy; 0 in commands that place nothing
}

// heard is the last sign of life of one component.
type heard struct {
	at    time.Duration
	epoch wire.Epoch
	load  wire.Load
}

// Watch remembers the heartbeats that one manager heard, of all roles. Make one with NewWatch; it is not safe for
// concurrent use.
type Watch struct {
	lease time.Duration
	grace [wire.GSM + 1]time.Duration // by manager: until then nobody is called silent
	heard map[wire.NodeID]heard
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
	w.heard[m.ID] = heard{at: max(now, h.at), epoch: m.Epoch, load: load}
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

// Live returns those of members that were heard of within the lease under their present epoch, or all of them while a
// grace of the group lasts, in the order of members.
func (w *Watch) Live(group wire.Manager, now time.Duration, members []wire.Member) []Live {
	out := make([]Live, 0, len(members))
	for _, m := range members {
		h, ok := w.known(m)
		if now < w.grace[group] || ok && now-h.at <= w.lease {
			out = append(out, Live{ID: m.ID, Epoch: m.Epoch, Addr: m.Addr, Traffic: h.load.Misses + h.load.Flushes})
		}
	}
	return out
}

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

package weigh

import (
	"slices"
	"time"

	"splitkernel/gmanagers/balance"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
)

// blockBytes is how many bytes of block requests count as much as one request: a block, the most that one carries.
const blockBytes = wire.PageSize

// opsOf is what a component has done of what things of a kind make it do, cumulative. So what GMM and GSM move away from an
// mComponent are different parts of its load, and they do not answer the same load twice.
func opsOf(kind wire.MoveKind, l *wire.Load) uint64 {
	switch kind {
	case wire.MoveHome:
		return l.MapOps
	case wire.MoveVolume, wire.MoveCache:
		return l.BlockOps + l.BlockBytes/blockBytes
	case wire.MoveProcess:
		return l.Accesses
	}
	return l.Misses + l.Flushes
}

// rates is what the last heartbeat of a component told of its things of one kind.
type rates struct {
	at     time.Duration
	things map[movelist.Thing]balance.Load
	all    bool // others bear nothing
}

// ratesOf collects what components told of their things of a kind; those of an older epoch are not told of.
func ratesOf(kind wire.MoveKind, heard Heard) map[wire.NodeID]*rates {
	out := map[wire.NodeID]*rates{}
	heard.Each(func(id wire.NodeID, l *wire.Load, at time.Duration) {
		r := &rates{at: at, things: map[movelist.Thing]balance.Load{}, all: slices.Contains(l.HotAll, kind)}
		for _, h := range l.Hot {
			if h.Kind == kind {
				r.things[movelist.Thing{Kind: kind, PID: h.PID, Region: h.Region, Volume: h.Volume}] = balance.Load{
					OpsPerS: float64(h.Ops) + float64(h.Bytes)/blockBytes, BusyCores: float64(h.MilliCPU) / 1000, Rated: true,
				}
			}
		}
		if r.all || len(r.things) > 0 {
			out[id] = r
		}
	})
	return out
}

// hot reports whether a thing is among the hottest of its holder: these few are told of in any case.
func (w *Weighing) hot(holder wire.NodeID, thing movelist.Thing) bool {
	r := w.rates[holder]
	if r == nil {
		return false
	}
	_, ok := r.things[thing]
	return ok
}

// rate adds to a thing what its holder told of it. Bytes and threads are of the books, and always known.
func (w *Weighing) rate(t *balance.Thing, thing movelist.Thing) {
	t.Load.Bytes, t.Measured, t.Unrated, t.At = t.Size, true, true, w.now
	r := w.rates[t.Holder]
	if r == nil {
		return
	}
	l, ok := r.things[thing]
	if !ok && (!r.all || r.at <= t.PlacedAt || t.HasMoved && r.at <= t.MovedAt) {
		return // not among the hottest, or it came after the heartbeat
	}
	t.Load.OpsPerS, t.Load.BusyCores, t.Load.Rated, t.Unrated = l.OpsPerS, l.BusyCores, true, false
}

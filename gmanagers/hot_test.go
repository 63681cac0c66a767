package gmanagers_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"splitkernel/gmanagers"
	"splitkernel/gmanagers/balance"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
)

// heats is what the fakes of a test report: some things do much, and the rest nothing.
type heats struct {
	mu  sync.Mutex
	hot map[movelist.Thing]wire.ThingLoad
	at  map[wire.NodeID]time.Time
	sum map[wire.NodeID]wire.Load
}

// load makes the heartbeat of a fake. Cumulative counters follow what it holds.
func (h *heats) load(f *fake) wire.Load {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	l := h.sum[f.member.ID]
	since, ok := h.began(f.member.ID, now)
	l.Hot, l.HotAll, l.BusyCores = nil, nil, 0
	for k := wire.MoveRegion; k <= wire.MoveCache; k++ {
		l.HotAll = append(l.HotAll, k)
	}
	for thing := range f.holds {
		x, hot := h.hot[thing]
		if !hot {
			continue
		}
		l.Hot = append(l.Hot, x)
		if !ok {
			continue
		}
		n := uint64(float64(x.Ops) * since.Seconds())
		switch thing.Kind {
		case wire.MoveRegion:
			l.Misses += n
		case wire.MoveHome:
			l.MapOps += n
		case wire.MoveProcess:
			l.Accesses += n
			l.BusyCores += float64(x.MilliCPU) / 1000
		default:
			l.BlockOps += n
		}
	}
	h.sum[f.member.ID] = l
	return l
}

// began gives the time since the last heartbeat of a fake. h.mu is held.
func (h *heats) began(id wire.NodeID, now time.Time) (time.Duration, bool) {
	at, ok := h.at[id]
	h.at[id] = now
	return now.Sub(at), ok
}

// TestHotThingsAreBalanced: of things of each kind two are hot, both at one component, and the rest does nothing. One of the two
// moves away, and neither moves again, nor anything that is cold, but for processes, whose threads count too: who bears what is known of each thing, not of components alone.
func TestHotThingsAreBalanced(t *testing.T) {
	c := startCluster(t, func(o *gmanagers.Options) {
		quick(o)
		for _, b := range []*balance.Options{&o.Balance.GPM, &o.Balance.GMM, &o.Balance.Homes, &o.Balance.GSM, &o.Balance.Caches} {
			b.SmoothingMS, b.CoolDownMS = 1000, 60_000
		}
		o.Balance.GSM.MinLoad = 0.01
	})
	cl := c.client()
	w := newFakes(t, cl)
	for i := 1; i <= 2; i++ {
		w.add(pcomponent(i, 1<<20))
		w.add(mcomponent(i, 1<<30))
		w.add(scomponent(i, 1<<30))
	}
	all := map[wire.MoveKind][]movelist.Thing{}
	for range 4 {
		_, things := w.admit(4)
		for _, thing := range things {
			all[thing.Kind] = append(all[thing.Kind], thing)
		}
	}
	// The first two of each kind that are at one place.
	h := &heats{hot: map[movelist.Thing]wire.ThingLoad{}, at: map[wire.NodeID]time.Time{}, sum: map[wire.NodeID]wire.Load{}}
	pairs := map[wire.MoveKind][2]movelist.Thing{}
	for k, things := range all {
		for i := range things {
			for j := range i {
				a, _ := w.where(things[i])
				b, _ := w.where(things[j])
				if _, ok := pairs[k]; !ok && slices.Equal(a, b) {
					pairs[k] = [2]movelist.Thing{things[i], things[j]}
					for _, x := range pairs[k] {
						h.hot[x] = wire.ThingLoad{Kind: k, PID: x.PID, Region: x.Region, Volume: x.Volume, Ops: 20_000, MilliCPU: 900}
					}
				}
			}
		}
	}
	if len(pairs) != 5 {
		t.Fatalf("two things at one place: %v, want a pair of each kind", pairs)
	}
	beating(t, w, h.load)
	for k, pair := range pairs {
		until(t, "the two hot ones of kind "+k.String()+" are apart", func() bool {
			a, _ := w.where(pair[0])
			b, _ := w.where(pair[1])
			return len(a) == 1 && len(b) == 1 && a[0] != b[0]
		})
	}
	measures := map[wire.MoveKind]string{
		wire.MoveRegion: "rate: ", wire.MoveHome: "rate: ", wire.MoveProcess: "threads and busy_cores: ", wire.MoveVolume: "bytes and rate: ", wire.MoveCache: "rate: ",
	}
	for _, g := range []wire.Manager{wire.GPM, wire.GMM, wire.GSM} {
		page, _, err := cl.Events(within(t), g, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			if e.Kind != events.MoveBegun {
				continue
			}
			explained := false
			for k, name := range measures {
				explained = explained || strings.HasPrefix(e.Reason, k.String()+" by balance: "+name)
			}
			if !explained || len(e.Candidates) == 0 || e.Candidates[0].Why == "" {
				t.Errorf("nothing explains %+v", e)
			}
		}
		list, err := cl.Moves(within(t), g)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[movelist.Thing]int{}
		for _, m := range list {
			thing := m.Thing()
			if seen[thing]++; seen[thing] > 1 || m.Cause != movelist.Balance {
				t.Errorf("%v moves once more: %+v", thing, m)
			}
			if _, hot := h.hot[thing]; !hot && thing.Kind != wire.MoveProcess { // one that rests follows for its threads
				t.Errorf("%v is cold and moves: %s", thing, m.Reason)
			}
		}
	}
	w.audit()
}

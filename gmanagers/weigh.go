package gmanagers

import (
	"math"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/balance"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
)

const (
	// maxThings bounds the things that one look is told of: some tens of MiB. What a component holds beyond its part of them
	// is told as one that stays, so that each bears what it does.
	maxThings = 1 << 16
	// minThings is the least part of them.
	minThings = 64
)

// weighing collects what a look at one kind of thing is told, while a state is read.
type weighing struct {
	now     time.Duration
	nowMS   int64
	kind    wire.MoveKind
	entries []membership.Entry // of whoever holds such things
	moving  map[movelist.Thing]*movelist.Move
	ended   map[movelist.Thing]int64 // ms
	rates   map[wire.NodeID]*rates
	part    int // things of one component
	seats   map[wire.NodeID]*weighed
	things  []balance.Thing
}

// weighed is what one component holds of the kind.
type weighed struct {
	room, reserved, capacity uint64
	told                     int    // things
	rest                     uint64 // size of those that are not told
	things, bytes, threads   uint64
}

func newWeighing(now time.Duration, kind wire.MoveKind, entries []membership.Entry, list *movelist.List, rates map[wire.NodeID]*rates) *weighing {
	w := &weighing{
		now: now, nowMS: time.Now().UnixMilli(), kind: kind, entries: entries, moving: map[movelist.Thing]*movelist.Move{}, ended: map[movelist.Thing]int64{}, rates: rates,
		part: max(minThings, maxThings/max(1, len(entries))), seats: make(map[wire.NodeID]*weighed, len(entries)),
	}
	for _, e := range entries {
		w.seats[e.Member.ID] = &weighed{}
	}
	all := list.All() // a copy: it is read after the state
	for i := range all {
		switch m := &all[i]; {
		case m.Ended():
			w.ended[m.Thing()] = max(w.ended[m.Thing()], m.EndedMS)
		default:
			w.moving[m.Thing()] = m
		}
	}
	return w
}

// at is the time of the watch for a time in ms since 1970.
func (w *weighing) at(ms int64) time.Duration {
	return w.now - time.Duration(w.nowMS-ms)*time.Millisecond
}

// add tells of a thing; t.ID.Kind is that of the weighing.
func (w *weighing) add(t balance.Thing, placedMS int64) {
	seat := w.seats[t.Holder]
	if seat == nil {
		return
	}
	seat.things++
	seat.bytes += t.Size
	seat.threads += t.Load.Threads
	thing := movelist.Thing(t.ID)
	m := w.moving[thing]
	if seat.told++; seat.told > w.part && m == nil && !w.hot(t.Holder, thing) {
		seat.rest += t.Size
		return
	}
	if m != nil {
		t.To = m.Req.To
	}
	if ms, ok := w.ended[thing]; ok {
		t.MovedAt, t.HasMoved = w.at(ms), true
	}
	t.PlacedAt, t.Placed = w.at(placedMS), true
	w.rate(&t, thing)
	w.things = append(w.things, t)
}

// finish adds what was not told, and makes the components.
func (w *weighing) finish(m *Managers, g wire.Manager, power func(wire.Member) float64) (components []balance.Component, things []balance.Thing) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, e := range w.entries {
		seat := w.seats[e.Member.ID]
		load, at, heard := m.watch.Last(e.Member)
		if e.Dead || !heard {
			continue // what it does is not known
		}
		c := balance.Component{
			ID: e.Member.ID, Epoch: e.Member.Epoch, Rack: e.Member.Rack, Room: seat.room, Reserved: seat.reserved, Capacity: seat.capacity, Placed: seat.things,
			Power: power(e.Member), At: at, BooksAt: w.now, Alive: m.watch.Alive(g, w.now, e.Member), Draining: e.Drain,
			Load: balance.Load{
				Ops: opsOf(w.kind, &load), QueueUS: float64(load.QueueDelayUS), BusyCores: load.BusyCores,
				Bytes: seat.bytes, Threads: seat.threads,
			},
		}
		components = append(components, c)
		if seat.rest > 0 {
			w.things = append(w.things, balance.Thing{
				ID: balance.ThingID{Kind: w.kind, Region: wire.RegionNo(i), Volume: wire.VolumeID(i)}, Holder: e.Member.ID, Size: seat.rest, Fixed: notTold,
			})
		}
	}
	return components, w.things
}

// notTold is why what stands for many things does not move: others of that component go first.
const notTold = "others are looked at first"

// weigh reads what a look at a kind of thing is told.
func (v *balancer) weigh(s *scale) (components []balance.Component, things []balance.Thing, err error) {
	now := v.m.now()
	var w *weighing
	power := func(wire.Member) float64 { return 1 }
	var caches []membership.Entry
	if s.kind == wire.MoveCache {
		if err := v.host.Stale(wire.GMM, func(st raftsm.State) { caches = st.Entries() }); err != nil {
			return nil, nil, err
		}
	}
	hot := v.rates(s.kind)
	err = v.host.Stale(v.g, func(st raftsm.State) {
		switch st := st.(type) {
		case *gpm.State:
			w = newWeighing(now, s.kind, st.Entries(), st.Moves(), hot)
			weighProcesses(w, st)
		case *gmm.State:
			w = newWeighing(now, s.kind, st.Entries(), st.Moves(), hot)
			weighMemory(w, st, uint64(v.m.o.Overcommit*1000))
		case *gsm.State:
			entries := caches
			if s.kind == wire.MoveVolume {
				entries = st.Entries()
			}
			w = newWeighing(now, s.kind, entries, st.Moves(), hot)
			weighVolumes(w, st)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	switch {
	case v.g == wire.GPM && s.o.Measure == balance.Threads:
		power = func(m wire.Member) float64 { return float64(m.Capacity.Cores) }
	case v.g == wire.GMM && s.o.Measure == balance.Bytes:
		power = func(m wire.Member) float64 { return float64(m.Capacity.MemoryBytes) }
	case v.g == wire.GSM && s.o.Measure == balance.Bytes:
		power = func(m wire.Member) float64 { return float64(m.Capacity.StorageBytes) }
	}
	components, things = w.finish(v.m, v.g, power)
	return components, things, nil
}

func weighProcesses(w *weighing, st *gpm.State) {
	for _, e := range w.entries {
		seat := w.seats[e.Member.ID]
		_, lines := st.Used(e.Member.ID)
		seat.capacity, seat.reserved = e.Member.Capacity.ExCacheLines, lines
		seat.room = seat.capacity - min(seat.capacity, lines)
	}
	st.Each(func(p *gpm.Process) {
		if !st.Current(p.Node, p.NodeEpoch) {
			return // lost
		}
		t := balance.Thing{
			ID: balance.ThingID{Kind: w.kind, PID: p.PID}, Holder: p.Node, Size: p.ExCacheLines, Load: balance.Load{Threads: uint64(p.Threads)},
		}
		if p.Phase != admission.Running {
			t.Fixed = "it is " + p.Phase.String()
		}
		if t.Apart = p.Groups(); len(t.Apart) > 0 {
			t.Avoid, t.AvoidRacks = st.Avoid(t.Apart)
		}
		w.add(t, p.PlacedMS)
	})
}

func weighMemory(w *weighing, st *gmm.State, overcommit uint64) {
	size := st.RegionBytes()
	drains := map[wire.NodeID]bool{}
	for _, e := range w.entries {
		seat := w.seats[e.Member.ID]
		room, owned := gmm.Room(e.Member.Capacity.MemoryBytes, max(1, size), overcommit), st.Owned(e.Member.ID)
		seat.capacity, seat.reserved, seat.room = e.Member.Capacity.MemoryBytes, owned*size, (room-min(room, owned))*size
		drains[e.Member.ID] = e.Drain
	}
	homes, regions := map[wire.PID]bool{}, map[wire.PID]bool{} // that move
	for t := range w.moving {
		if t.Kind == wire.MoveHome {
			homes[t.PID] = true
		} else {
			regions[t.PID] = true
		}
	}
	st.Each(func(p *gmm.Process) {
		fixed, ms := "", p.Groups()
		var avoid []wire.NodeID
		var racks []string
		var within []wire.NodeID
		var withinRacks []string
		if len(ms) > 0 {
			avoid, racks = st.Avoid(ms)
			within, withinRacks = st.Own(ms)
		}
		if p.Prepared {
			fixed = "its process is being admitted"
		}
		if w.kind == wire.MoveHome {
			if !st.Current(p.Home, p.NodeEpoch) {
				return // lost
			}
			if regions[p.PID] {
				fixed = "vRegions of its process move"
			}
			w.add(balance.Thing{ID: balance.ThingID{Kind: w.kind, PID: p.PID}, Holder: p.Home, Size: size, Fixed: fixed, Apart: ms, Avoid: avoid, AvoidRacks: racks, Within: within, WithinRacks: withinRacks}, p.PlacedMS)
			return
		}
		switch {
		case homes[p.PID]:
			fixed = "the home of its process moves"
		case !st.Current(p.Home, p.NodeEpoch):
			fixed = "the home of its process is lost"
		}
		for i := range p.Regions {
			r := &p.Regions[i]
			if !st.Current(r.Node, r.NodeEpoch) {
				continue // lost
			}
			why := fixed
			if why == "" && drains[p.Home] && !drains[r.Node] {
				why = "the home of its process leaves first"
			}
			w.add(balance.Thing{ID: balance.ThingID{Kind: w.kind, PID: p.PID, Region: r.Region}, Holder: r.Node, Size: size, Fixed: why, Apart: ms, Avoid: avoid, AvoidRacks: racks, Within: within, WithinRacks: withinRacks}, p.PlacedMS)
		}
	})
}

func weighVolumes(w *weighing, st *gsm.State) {
	for _, e := range w.entries {
		seat := w.seats[e.Member.ID]
		if w.kind == wire.MoveCache {
			seat.room = math.MaxUint64
			continue
		}
		seat.capacity, seat.reserved = e.Member.Capacity.StorageBytes, st.ReservedBytes(e.Member.ID)
		seat.room = seat.capacity - min(seat.capacity, seat.reserved)
	}
	st.Each(func(v *gsm.Volume) {
		t := balance.Thing{ID: balance.ThingID{Kind: w.kind, Volume: v.Volume}, Holder: v.Storage, Size: v.SizeBytes}
		other := movelist.Thing{Kind: wire.MoveCache, Volume: v.Volume}
		if w.kind == wire.MoveCache {
			t.Holder, t.Size, other.Kind = v.Cache, 1, wire.MoveVolume
		}
		if t.Apart = v.Groups(); len(t.Apart) > 0 {
			if t.Avoid, t.AvoidRacks = st.Avoid(t.Apart); w.kind == wire.MoveCache {
				t.Avoid, t.AvoidRacks = st.AvoidCaches(t.Apart)
			} else if st.Volumed(v.PID) > 1 {
				t.Within, t.WithinRacks = st.Own(t.Apart)
			}
		}
		switch {
		case v.Lost != 0:
			t.Fixed = "the " + v.Lost.String() + " is lost"
		case v.Prepared:
			t.Fixed = "its process is being admitted"
		case w.moving[other] != nil:
			t.Fixed = "its " + other.Kind.String() + " moves"
		}
		w.add(t, v.PlacedMS)
	})
}

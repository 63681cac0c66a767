package weigh

import (
	"math"
	"slices"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/balance"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/netlayer/wire"
)

const (
	// maxThings bounds the things that one look is told of: some tens of MiB. What a component holds beyond its part of them
	// is told as one that stays, so that each bears what it does.
	maxThings = 1 << 16
	// minThings is the least part of them.
	minThings = 64
)

// Weighing collects what a look at one kind of thing is told, while a state is read.
type Weighing struct {
	now     time.Duration
	nowMS   int64
	g       wire.Manager
	kind    wire.MoveKind
	power   func(wire.Member) float64
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
	kept                     int // copies
}

func newWeighing(now time.Duration, nowMS int64, g wire.Manager, kind wire.MoveKind, entries []membership.Entry, list *movelist.List, rates map[wire.NodeID]*rates) *Weighing {
	w := &Weighing{
		now: now, nowMS: nowMS, g: g, kind: kind, entries: entries, moving: map[movelist.Thing]*movelist.Move{}, ended: map[movelist.Thing]int64{}, rates: rates,
		power: func(wire.Member) float64 { return 1 },
		part:  max(minThings, maxThings/max(1, len(entries))), seats: make(map[wire.NodeID]*weighed, len(entries)),
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
func (w *Weighing) at(ms int64) time.Duration {
	return w.now - time.Duration(w.nowMS-ms)*time.Millisecond
}

// add tells of a thing; t.ID.Kind is that of the weighing.
func (w *Weighing) add(t balance.Thing, placedMS int64) {
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

// Finish adds what was not told, and makes the components.
func (w *Weighing) Finish(known Heard) (components []balance.Component, things []balance.Thing) {
	for i, e := range w.entries {
		seat := w.seats[e.Member.ID]
		load, at, heard := known.Last(e.Member)
		if e.Dead || !heard {
			continue // what it does is not known
		}
		c := balance.Component{
			ID: e.Member.ID, Epoch: e.Member.Epoch, Rack: e.Member.Rack, Room: seat.room, Reserved: seat.reserved, Capacity: seat.capacity, Placed: seat.things,
			Power: w.power(e.Member), At: at, BooksAt: w.now, Alive: known.Alive(w.g, w.now, e.Member), Draining: e.Drain, Kept: seat.kept,
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

// State is the state of a manager, as far as moves go.
type State interface {
	Entries() []membership.Entry
	Moves() *movelist.List
	Turn() uint64
}

// Heat is what heartbeats told of the things of a kind.
type Heat map[wire.NodeID]*rates

// HeatOf reads what heartbeats told of the things of a kind.
func (l *Looker) HeatOf(s *Scale, heard Heard) Heat { return ratesOf(s.Kind, heard) }

// Begin reads of a state what a look at a kind of thing is told. Of buffer caches the mComponents are those that hold them.
func (l *Looker) Begin(s *Scale, now time.Duration, nowMS int64, state State, mcomponents []membership.Entry, heat Heat) *Weighing {
	entries := state.Entries()
	if s.Kind == wire.MoveCache {
		entries = mcomponents
	}
	w := newWeighing(now, nowMS, l.g, s.Kind, entries, state.Moves(), heat)
	switch st := state.(type) {
	case *gpm.State:
		weighProcesses(w, st)
	case *gmm.State:
		weighMemory(w, st, l.o.Overcommit)
	case *gsm.State:
		weighVolumes(w, st)
	}
	switch {
	case l.g == wire.GPM && s.o.Measure == balance.Threads:
		w.power = func(m wire.Member) float64 { return float64(m.Capacity.Cores) }
	case l.g == wire.GMM && s.o.Measure == balance.Bytes:
		w.power = func(m wire.Member) float64 { return float64(m.Capacity.MemoryBytes) }
	case l.g == wire.GSM && s.o.Measure == balance.Bytes:
		w.power = func(m wire.Member) float64 { return float64(m.Capacity.StorageBytes) }
	}
	return w
}

func weighProcesses(w *Weighing, st *gpm.State) {
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

func weighMemory(w *Weighing, st *gmm.State, overcommit uint64) {
	size := st.RegionBytes()
	drains := map[wire.NodeID]bool{}
	for _, e := range w.entries {
		seat := w.seats[e.Member.ID]
		room, booked := gmm.Room(e.Member.Capacity.MemoryBytes, max(1, size), overcommit)*size, st.Booked(e.Member.ID)
		seat.capacity, seat.reserved, seat.room = e.Member.Capacity.MemoryBytes, booked, room-min(room, booked)
		drains[e.Member.ID] = e.Drain
		if w.kind == wire.MoveRegion {
			seat.kept = int(st.Kept(e.Member.ID))
		}
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
			} else if err := st.Movable(p, redundancy.Part{PID: p.PID, Home: true}); err != nil && fixed == "" {
				fixed = membership.TextOf(err)
			}
			w.add(balance.Thing{ID: balance.ThingID{Kind: w.kind, PID: p.PID}, Holder: p.Home, Size: size, Fixed: fixed, Apart: ms, Avoid: both(avoid, p.Copies.Keeps()), AvoidRacks: racks, Within: within, WithinRacks: withinRacks}, p.PlacedMS)
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
			if r.Copies != nil && why == "" {
				if err := st.Movable(p, redundancy.Part{PID: p.PID, Region: r.Region}); err != nil {
					why = membership.TextOf(err)
				}
			}
			w.add(balance.Thing{ID: balance.ThingID{Kind: w.kind, PID: p.PID, Region: r.Region}, Holder: r.Node, Size: size / gmm.Parts * p.Serves(), Fixed: why, Apart: ms, Avoid: both(avoid, r.Copies.Keeps()), AvoidRacks: racks, Within: within, WithinRacks: withinRacks}, p.PlacedMS)
		}
	})
}

// both returns the ids of both, ascending: who has a copy of a thing must not get it, as who has what it is apart from.
func both(avoid, keeps []wire.NodeID) []wire.NodeID {
	if len(keeps) == 0 {
		return avoid
	}
	out := append(slices.Clone(avoid), keeps...)
	slices.Sort(out)
	return slices.Compact(out)
}

func weighVolumes(w *Weighing, st *gsm.State) {
	for _, e := range w.entries {
		seat := w.seats[e.Member.ID]
		if w.kind == wire.MoveCache {
			seat.room = math.MaxUint64
			continue
		}
		seat.kept = int(st.Filed(e.Member.ID))
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
		copies := w.kind == wire.MoveVolume && v.Copies.Replicated()
		if copies { // it is one thing, of the sComponent that drains if one does
			for _, id := range v.Stores() {
				if st.Drains(id) {
					t.Holder = id
				}
			}
		}
		switch {
		case copies:
			t.Fixed = "it has copies, which do not move: another is made in the place of one whose sComponent drains"
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

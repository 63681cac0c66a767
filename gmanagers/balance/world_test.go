package balance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// world is components and things with true loads, and moves that take a while.
type world struct {
	o       Options
	what    Measure
	b       *Taped
	now     time.Duration
	rng     *rand.Rand
	noise   float64 // readings vary by so much of the truth
	looks   int     // that a move takes, drawn from 1 to this
	cs      []*wcomp
	ts      []*wthing
	moves   int
	last    Plan
	shuffle bool
	wait    func(*wcomp) float64 // µs that requests wait; nil is by QueueDelay's measure
}

type wcomp struct {
	Component
	room uint64 // of all
	ops  float64
}

type wthing struct {
	Thing
	true  float64
	also  float64 // of the second measure
	ops   float64
	ends  int // looks until its move ends
	moves int
	at    []time.Duration // when it was ordered to move
}

func newWorld(o Options, what Measure, seed uint64) *world {
	p, err := placement.New("worst_fit")
	if err != nil {
		panic(err)
	}
	o.Measure = what
	return &world{o: o, what: what, b: &Taped{Balancer: Placing(o, "bytes of memory", p)}, now: time.Hour, rng: rand.New(rand.NewPCG(seed, 1)), looks: 1}
}

func (w *world) component(room uint64, power float64) *wcomp {
	c := &wcomp{room: room}
	c.ID, c.Epoch, c.Alive, c.Power, c.Capacity = wire.NodeID(fmt.Sprintf("m%02d", len(w.cs))), 1, true, power, room
	w.cs = append(w.cs, c)
	return c
}

func (w *world) thing(holder *wcomp, size uint64, load float64, measured bool) *wthing {
	t := &wthing{true: load}
	t.ID, t.Holder, t.Size, t.Measured = ThingID{Kind: wire.MoveRegion, PID: 1, Region: wire.RegionNo(len(w.ts))}, holder.ID, size, measured
	w.ts = append(w.ts, t)
	return t
}

func (w *world) get(id wire.NodeID) *wcomp {
	i := slices.IndexFunc(w.cs, func(c *wcomp) bool { return c.ID == id })
	if i < 0 {
		return nil
	}
	return w.cs[i]
}

// vary returns a reading of x.
func (w *world) vary(x float64) float64 { return x * (1 + w.noise*(2*w.rng.Float64()-1)) }

// step lets an interval pass, ends moves, looks, and begins what is ordered. It returns a broken law.
func (w *world) step() error {
	dt := ms(w.o.IntervalMS)
	w.now += dt
	for _, c := range w.cs {
		c.Reserved, c.Load, c.At = 0, Load{Ops: c.Load.Ops}, w.now
	}
	for _, t := range w.ts {
		x := w.vary(t.true)
		h := w.get(t.Holder)
		h.ops += x * dt.Seconds()
		t.ops += x * dt.Seconds()
		h.Load.Threads += uint64(x)
		h.Load.Bytes += uint64(x)
		h.Load.BusyCores += x
		h.Load.QueueUS += x
		t.Load, t.At = Load{Ops: uint64(t.ops), Threads: uint64(x), Bytes: uint64(x), BusyCores: x}, w.now
		switch w.o.Second {
		case BusyCores:
			h.Load.BusyCores += t.also - x
			t.Load.BusyCores = t.also
		case Rate: // told as a rate, as real components do
			h.ops += (t.also - x) * dt.Seconds()
			t.Load.OpsPerS, t.Load.Rated = t.also, true
		}
		if t.To != "" {
			if t.ends--; t.ends <= 0 {
				t.Holder, t.To, t.ops, t.HasMoved, t.MovedAt = t.To, "", 0, true, w.now
				t.Load.Ops = 0
			}
		}
	}
	for _, t := range w.ts {
		w.get(t.Holder).Reserved += t.Size
		if t.To != "" {
			w.get(t.To).Reserved += t.Size
		}
	}
	var cs []Component
	for _, c := range w.cs {
		if c.Reserved > c.room {
			return fmt.Errorf("%s has room for %d, %d are reserved", c.ID, c.room, c.Reserved)
		}
		c.Load.Ops = uint64(c.ops)
		if w.wait != nil {
			c.Load.QueueUS = w.wait(c)
		}
		c.Room = c.room - c.Reserved
		cs = append(cs, c.Component)
	}
	var ts []Thing
	for _, t := range w.ts {
		ts = append(ts, t.Thing)
	}
	if w.shuffle {
		w.rng.Shuffle(len(cs), func(i, j int) { cs[i], cs[j] = cs[j], cs[i] })
		w.rng.Shuffle(len(ts), func(i, j int) { ts[i], ts[j] = ts[j], ts[i] })
	}
	w.last = w.b.Look(w.now, cs, ts)
	for _, mv := range w.last.Moves {
		if err := w.begin(mv); err != nil {
			return err
		}
	}
	return w.limits()
}

func (w *world) begin(mv Move) error {
	w.moves++
	i := slices.IndexFunc(w.ts, func(t *wthing) bool { return t.ID == mv.Thing })
	if i < 0 {
		return fmt.Errorf("%v is moved and is nothing", mv.Thing)
	}
	t := w.ts[i]
	giver, taker := w.get(mv.From), w.get(mv.To)
	switch {
	case t.To != "" || t.Fixed != "" || t.Holder != mv.From || mv.From == mv.To:
		return fmt.Errorf("%+v is ordered of %+v", mv, t.Thing)
	case !giver.Alive || !taker.Alive || taker.Draining || mv.Drain != giver.Draining:
		return fmt.Errorf("%+v between %+v and %+v", mv, giver.Component, taker.Component)
	case slices.Contains(t.Avoid, mv.To) || slices.Contains(t.AvoidRacks, taker.Rack):
		return fmt.Errorf("%+v goes where it avoids", mv)
	case mv.Reason == "" || len(mv.Candidates) == 0 || mv.Considered < len(mv.Candidates):
		return fmt.Errorf("%+v has no reason or candidates", mv)
	case !mv.Drain && max(w.under(giver.ID), w.under(taker.ID)) >= w.o.MaxComponentMoves:
		return fmt.Errorf("%+v for balance, %d moves at %s and %d at %s are under way", mv, w.under(giver.ID), giver.ID, w.under(taker.ID), taker.ID)
	case !mv.Drain && w.under("") >= w.o.MaxMoves:
		return fmt.Errorf("%+v for balance, %d moves are under way", mv, w.under(""))
	case !mv.Drain && mv.After >= mv.Before:
		return fmt.Errorf("%+v does not lower the spread", mv)
	case !mv.Drain && len(t.at) > 0 && w.now-t.at[len(t.at)-1] < ms(w.o.CoolDownMS):
		return fmt.Errorf("%v moves after %v again, want at least %d ms", t.ID, w.now-t.at[len(t.at)-1], w.o.CoolDownMS)
	}
	t.To, t.ends = mv.To, 1+w.rng.IntN(w.looks)
	t.at = append(t.at, w.now)
	t.moves++
	return nil
}

// under counts the moves under way from and to a component, "" is all.
func (w *world) under(id wire.NodeID) (n int) {
	for _, t := range w.ts {
		if t.To != "" && (id == "" || id == t.Holder || id == t.To) {
			n++
		}
	}
	return n
}

// limits returns a broken limit on what is under way.
func (w *world) limits() error {
	if all, most := w.under(""), max(w.o.MaxMoves, w.o.MaxDrainMoves); all > most {
		return fmt.Errorf("%d moves under way, at most %d", all, most)
	}
	return nil
}

func (w *world) moving() bool {
	return slices.ContainsFunc(w.ts, func(t *wthing) bool { return t.To != "" })
}

// bears returns the true loads by power of who is alive and does not drain.
func (w *world) bears() (xs []float64) {
	for _, c := range w.cs {
		if c.Alive && !c.Draining {
			xs = append(xs, w.of(c)/c.Power)
		}
	}
	return xs
}

func (w *world) of(c *wcomp) (x float64) {
	for _, t := range w.ts {
		if t.Holder == c.ID {
			x += t.true
		}
	}
	return x
}

// gains reports whether a move would lower the true loads enough by the rules, with slack as a part of the mean.
func (w *world) gains(slack float64) string {
	var sum, power float64
	for _, c := range w.cs {
		if c.Alive && !c.Draining {
			sum, power = sum+w.of(c), power+c.Power
		}
	}
	mean := sum / power
	for _, t := range w.ts {
		giver := w.get(t.Holder)
		for _, to := range w.cs {
			if to == giver || !to.Alive || to.Draining || to.Room < t.Size || slices.Contains(t.Avoid, to.ID) || slices.Contains(t.AvoidRacks, to.Rack) {
				continue
			}
			a, b := w.of(giver), w.of(to)
			high, then := a/giver.Power, max((a-t.true)/giver.Power, (b+t.true)/to.Power)
			lowers := a*a/giver.Power + b*b/to.Power - (a-t.true)*(a-t.true)/giver.Power - (b+t.true)*(b+t.true)/to.Power
			if high > mean*(1+slack) && high-then > (w.o.MinGain+slack)*mean && lowers > slack*mean*mean {
				return fmt.Sprintf("%v from %s with %.1f to %s with %.1f of a mean of %.1f", t.ID, giver.ID, a/giver.Power, to.ID, b/to.Power, mean)
			}
		}
	}
	return ""
}

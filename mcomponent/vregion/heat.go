package vregion

import (
	"time"

	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/wire"
)

// warm is the slots whose meters a reading must look at: those that are new and those that are not cold. Of a million vRegions most
// rest most of the time, and to look at all of them twice a second would keep a processor busy.
type warm struct {
	slots   []uint32
	reading []uint32 // of the reading under way, those before next are read
	next    int
}

// warmed notes a slot that is to be read.
func (o *Owners) warmed(slot uint32) {
	o.slots[slot].warm = true
	o.warm.slots = append(o.warm.slots, slot)
}

// Count counts a miss or a flush that is served in a slot's vRegion.
func (o *Owners) Count(slot uint32) {
	r := &o.slots[slot]
	r.served.Add(1)
	if !r.warm {
		o.warmed(slot)
	}
}

// Heat reads the meters of at most n slots and reports whether there are more; then call it again, with the same dt, the time since the last
// reading. What is counted between two calls is read now or by the next reading.
func (o *Owners) Heat(n int, dt time.Duration, top *heat.Top) (more bool) {
	w := &o.warm
	if w.next == len(w.reading) {
		w.reading, w.slots, w.next = w.slots, w.reading[:0], 0
	}
	end := min(len(w.reading), w.next+n)
	for _, slot := range w.reading[w.next:end] {
		r := &o.slots[slot]
		if !r.used || r.life == leaving {
			r.warm = false
			continue
		}
		ops := r.served.Read(dt)
		top.Offer(wire.ThingLoad{PID: r.pid, Region: r.region, Ops: ops}, r.served.Known())
		if ops == 0 && r.served.Known() {
			r.warm = false
			r.served.Rest()
			continue
		}
		w.slots = append(w.slots, slot)
	}
	w.next = end
	return end < len(w.reading)
}

// Heat reads the meters of the processes whose home is here: calls of their memory maps.
func (h *Home) Heat(dt time.Duration, top *heat.Top) {
	for pid, p := range h.procs { // Top has an order of its own
		top.Offer(wire.ThingLoad{PID: pid, Ops: p.calls.Read(dt)}, p.calls.Known())
	}
}

package replay

import (
	"context"
	"time"

	"splitkernel/gmanagers/events"
	"splitkernel/netlayer/wire"
)

// allManagers are the managers, whose members are pComponents, mComponents and sComponents.
var allManagers = []wire.Manager{wire.GPM, wire.GMM, wire.GSM}

// told is the number of each manager's last event.
func (r *controller) told(ctx context.Context) (last [wire.GSM + 1]uint64) {
	ctx, cancel := context.WithTimeout(ctx, StopPatience)
	defer cancel()
	for _, m := range allManagers {
		if p, err := r.gm.EventPage(ctx, m, 0, 1); err == nil { // else all that it remembers is new; others are warned about
			last[m] = p.Last
		}
	}
	return last
}

// collectFailures adds who was declared dead since the events of those numbers.
func (r *controller) collectFailures(ctx context.Context, began time.Time, since [wire.GSM + 1]uint64) {
	ctx, cancel := context.WithTimeout(ctx, StopPatience)
	defer cancel()
	var decided []decision
	forgotten := uint64(0)
	for _, m := range allManagers {
		var all []events.Event
		for after := since[m]; ; {
			p, err := r.gm.EventPage(ctx, m, after, 0)
			if err != nil {
				r.warn("%v does not tell who failed: %v", m, err)
				break
			}
			if len(p.Events) == 0 {
				break
			}
			if len(all) == 0 && p.Oldest > after+1 {
				forgotten += p.Oldest - after - 1
			}
			all = append(all, p.Events...)
			after = all[len(all)-1].Seq
		}
		r.sum.AddFailures(m, all, began.UnixMilli())
		for _, e := range all {
			decided = append(decided, decision{m, e})
		}
	}
	keepEvents(r.timeline, decided, began.UnixMilli(), forgotten)
}

package replica

import "fmt"

// Show describes the owner's side for people: each vRegion and its holders.
func (p *Primary) Show() string {
	text := fmt.Sprintf("%+v, %d messages under way\n", p.Stats(), len(p.sent))
	for _, slot := range p.slots {
		r := p.regions[slot]
		text += fmt.Sprintf("slot %d: vRegion %d of process %d, epoch %d, configuration %d, %v: %d pages outstanding, %d unmaps, barrier %d", slot, r.cfg.Region, r.cfg.PID, r.cfg.Epoch, r.cfg.Config, r.cfg.Policy.Kind, len(r.writes), len(r.unmaps), r.barrier)
		if r.deposed != nil {
			text += ", deposed: " + r.deposed.Text
		}
		text += "\n"
		for _, l := range r.links {
			text += fmt.Sprintf("  %s: open %t, %d messages with pages, %d wait, filled %d of %d", l.to.Node, l.opened, l.out, len(l.queue)-l.next, l.filled, len(l.fill))
			if l.waits {
				text += fmt.Sprintf(", waits until %v: %v", l.due, l.why)
			}
			text += "\n"
		}
	}
	return text
}

// Show describes the holder's side for people: each vRegion.
func (h *Holder) Show() string {
	text := fmt.Sprintf("%+v\n", h.Stats())
	for _, r := range h.sorted() {
		text += fmt.Sprintf("slot %d: vRegion %d of process %d, epoch %d, configuration %d, barrier %d, %v: %d pages", r.slot, r.region, r.pid, r.epoch, r.config, r.barrier, r.policy.Kind, r.pages.n)
		if r.promoted {
			text += ", owned here now"
		}
		text += "\n"
	}
	return text
}

package erasure

import (
	"fmt"
	"slices"
)

// Show describes the owner's side for people: each vRegion and the pages that are collected.
func (c *Coordinator) Show() string {
	text := fmt.Sprintf("%+v, %d messages under way\n", c.Stats(), len(c.sent))
	for _, slot := range c.slots {
		r := c.regions[slot]
		text += fmt.Sprintf("slot %d: vRegion %d of process %d, epoch %d, configuration %d, %d+%d shares: %d pages written", slot, r.cfg.Region, r.cfg.PID, r.cfg.Epoch, r.cfg.Config, r.cfg.Policy.Data, r.cfg.Policy.Parity, len(r.index))
		if !r.whole {
			text += fmt.Sprintf(", listed up to %#x", uint64(r.cursor))
		}
		text += "\n"
		for _, page := range sorted(r.gathers) {
			g := r.gathers[page]
			text += fmt.Sprintf("  page %#x: %d wait, attempt %d, asked", uint64(page), len(g.waiters), g.attempts+1)
			for i, a := range g.asks {
				if a.state != idle {
					text += fmt.Sprintf(" %s %s", r.cfg.Holders[i].Node, [...]string{"", "under way", "has it", "has not", "failed"}[a.state])
				}
			}
			if slices.ContainsFunc(g.asks, func(a ask) bool { return a.state == has }) {
				text += fmt.Sprintf(", until %v", g.due)
			}
			text += "\n"
		}
	}
	return text
}

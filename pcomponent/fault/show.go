package fault

import (
	"fmt"
	"strings"
)

var stateNames = []string{"idle", "ready", "waits for a flush", "waits for a line", "waits for another thread's fetch", "waits for its victim's flush",
	"waits for the owner's answer", "pauses", "waits for an owner"}

// Show says for people what is under way.
func (c *Core) Show() string {
	var b strings.Builder
	s := c.cache.Stats()
	fmt.Fprintf(&b, "accesses %d, hits %d, misses %d: p_local %d, fetches %d, coalesced %d, victim_hits %d; evictions %d, flushes %d, final_flushes %d\n",
		s.Accesses, s.Hits, s.Misses, s.PLocal, s.Fetches, s.Coalesced, s.VictimHits, s.Evictions, s.Flushes, s.FinalFlushes)
	if c.ahead.guess != nil {
		fmt.Fprintf(&b, "prefetches %d: useful %d, late %d, wasted %d, dropped %d; refused %d\n", s.PrefetchIssued, s.PrefetchUseful, s.PrefetchLate, s.PrefetchWasted, s.PrefetchDropped, s.PrefetchRefused)
	}
	fmt.Fprintf(&b, "retries %d, redirects %d, damaged %d\n", c.stats.Retries, c.stats.Redirects, c.stats.Damaged)
	if c.failed != nil {
		fmt.Fprintf(&b, "failed: %v\n", c.failed)
	}
	for t := range c.threads {
		th := &c.threads[t]
		fmt.Fprintf(&b, "thread %d: %s", t, stateNames[th.state])
		if th.state != idle {
			fmt.Fprintf(&b, ": page %#x, write %t, line %d, frame %d, attempts %d, since %v", uint64(th.page), th.write, th.line, th.frame, th.attempts, th.since)
		}
		if th.state == pausing {
			fmt.Fprintf(&b, ", until %v", th.due)
		}
		if th.state == waitFlush || th.state == waitAck {
			fmt.Fprintf(&b, ", flush %d", th.on)
		}
		b.WriteByte('\n')
	}
	for i := range c.flushes {
		f := &c.flushes[i]
		how := stateNames[f.state]
		fmt.Fprintf(&b, "flush %d: %s: page %#x, frame %d, attempts %d, since %v\n", f.ID, how, uint64(f.Page), f.Frame, f.attempts, f.since)
	}
	for i := range c.ahead.flights {
		f := &c.ahead.flights[i]
		fmt.Fprintf(&b, "prefetch %d: %s: page %#x, line %d, frame %d, awaited: %t\n", f.id&^prefetchID, stateNames[f.state], uint64(f.page), f.line, f.frame, f.used)
	}
	for _, w := range c.Owners() {
		fmt.Fprintf(&b, "vRegion %d: %s under epoch %d\n", w.Region, w.Node, w.Epoch)
	}
	return b.String()
}

package report

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// Prefetcher is who prefetched, or would have, and what it came to.
type Prefetcher struct {
	Name string // of a vNode or a pComponent
	*Counters
}

// Prefetchers lists the vNodes, and behind them the pComponents, that had a prefetcher which guessed something.
func (s *Summary) Prefetchers() (all []Prefetcher) {
	add := func(name string, c *Counters) {
		if c.PrefetchIssued+c.PrefetchRefused > 0 {
			all = append(all, Prefetcher{name, c})
		}
	}
	for i := range s.VNodes {
		add(s.VNodes[i].Name, &s.VNodes[i].Counters)
	}
	for i := range s.Components {
		if c := &s.Components[i]; c.Role == "pcomponent" {
			add(string(c.ID), &c.Counters)
		}
	}
	return all
}

// prefetched prints what prefetching came to.
func prefetched(b *strings.Builder, s *Summary) {
	all := s.Prefetchers()
	if len(all) == 0 {
		return
	}
	tw := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "prefetched by\tissued\tuseful\t%\tof them late\twasted\tdropped\trefused")
	for _, p := range all {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%.1f\t%s\t%s\t%s\t%s\n", p.Name, count(p.PrefetchIssued), count(p.PrefetchUseful), percent(p.PrefetchUseful, p.PrefetchIssued),
			count(p.PrefetchLate), count(p.PrefetchWasted), count(p.PrefetchDropped), count(p.PrefetchRefused))
	}
	tw.Flush()
	b.WriteByte('\n')
}

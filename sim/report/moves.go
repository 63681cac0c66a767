package report

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// Moves is what moved from component to component during the run, of one kind.
type Moves struct {
	Kind   string `json:"kind"` // vregion, home, process, volume, buffer_cache
	Done   int    `json:"done"`
	Undone int    `json:"undone"` // given up: it stayed where it was
	Lost   int    `json:"lost"`   // with the component that was to take it
	Bytes  uint64 `json:"bytes"`  // sent; what was sent twice counts twice
	// Pause is how long nobody served what moved, of those that are done.
	Pause Latency `json:"pause"`
	// Took is from the order to the end, of those that are done.
	Took Latency `json:"took"`
}

// Spread is how evenly something lies on the components of a role.
type Spread struct {
	CoV  float64 `json:"cov"`  // coefficient of variation: 0 if all are equal
	Jain float64 `json:"jain"` // fairness index: 1 if all are equal, 1/n if one of n has all
}

// Balance compares the spread of one measure before anything moved with that after the last move. A run in which nothing
// moved has the same twice: that of the whole run.
type Balance struct {
	Role    string `json:"role"`
	Measure string `json:"measure"`
	Before  Spread `json:"before"`
	After   Spread `json:"after"`
}

// moved prints what moved and how even it became.
func moved(b *strings.Builder, s *Summary) {
	rows := 0
	tw := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, m := range s.Moves {
		if rows++; rows == 1 {
			fmt.Fprintln(tw, "moved\tdone\tundone\tlost\tsent\tpause p50 ms\tp99 ms\tmax ms\ttook p50 ms\tmax ms")
		}
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\n", m.Kind, m.Done, m.Undone, m.Lost, bytes(m.Bytes),
			m.Pause.P50/1e3, m.Pause.P99/1e3, m.Pause.Max/1e3, m.Took.P50/1e3, m.Took.Max/1e3)
	}
	tw.Flush()
	if rows == 0 {
		return
	}
	b.WriteByte('\n')
	tw = tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "balance of\tmeasure\tCoV before\tafter\tJain before\tafter")
	for _, x := range s.Balance {
		fmt.Fprintf(tw, "%s\t%s\t%.2f\t%.2f\t%.2f\t%.2f\n", x.Role, x.Measure, x.Before.CoV, x.After.CoV, x.Before.Jain, x.After.Jain)
	}
	tw.Flush()
	b.WriteByte('\n')
}

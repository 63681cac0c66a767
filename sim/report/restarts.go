package report

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// restarted prints which processes went on from checkpoints.
func restarted(b *strings.Builder, s *Summary) {
	tw := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	rows := 0
	for i := range s.VNodes {
		for _, r := range s.VNodes[i].Restarts {
			if rows++; rows == 1 {
				fmt.Fprintln(tw, "restarted\tfrom\tto\tcheckpoint\tlost at s\tback at s\taccesses repeated\tblock requests repeated")
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t%.2f\t%.2f\t%s\t%s\n", s.VNodes[i].Name, r.From, r.To, r.Checkpoint, r.LostAtSeconds, r.BackAtSeconds, count(r.AccessesRepeated), count(r.RequestsRepeated))
		}
	}
	tw.Flush()
	if rows > 0 {
		b.WriteByte('\n')
	}
}

package report

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// modelled prints what only a virtual run knows.
func modelled(b *strings.Builder, s *Summary) {
	m := s.Modelled
	if m == nil {
		return
	}
	fmt.Fprintf(b, "modelled on %s: %.3f s of virtual time, %s events, digest %s; all times above and below are modelled\n", m.Hardware, m.Seconds, count(m.Events), m.Digest)
	tw := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for i := range s.VNodes {
		if v := &s.VNodes[i]; v.Slowdown > 0 {
			fmt.Fprintf(tw, "%s\t%.3f s,\t%.2f× the %.3f s with all its memory local\n", v.Name, v.Seconds, v.Slowdown, v.LocalSeconds)
		}
	}
	tw.Flush()
	total := 0.0
	for _, x := range m.Stages {
		total += x.TotalSeconds
	}
	if total > 0 {
		b.WriteString("a fetch, by stage (mean µs):")
		for i, x := range m.Stages {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(b, " %s %.2f", strings.ReplaceAll(x.Name, "_", " "), x.MeanUS)
		}
		b.WriteByte('\n')
	}
}

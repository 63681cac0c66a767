package experiment

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Write prints a comparison for people.
func (c *Comparison) Write(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "A: %s\nB: %s\n", c.A, c.B)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if len(c.Config) > 0 {
		fmt.Fprintln(w, "\nconfiguration\tA\tB")
		for _, x := range c.Config {
			fmt.Fprintf(w, "%s\t%s\t%s\n", x.Key, text(x.A), text(x.B))
		}
	} else {
		fmt.Fprintln(w, "\nconfiguration: no difference is known")
	}
	w.Flush()
	if c.Sets != nil {
		c.writeSets(&b)
	} else {
		c.writeRuns(&b)
	}
	for _, n := range c.Notes {
		fmt.Fprintf(&b, "\n%s\n", n)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (c *Comparison) writeRuns(b *strings.Builder) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	if len(c.Runs) > 0 {
		fmt.Fprintln(w, "\nfigure\tA\tB\tB - A\t%")
	}
	for _, f := range c.Runs {
		percent := "-"
		if f.Percent != nil {
			percent = fmt.Sprintf("%+.1f", *f.Percent)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", f.Name, digits(f.A), digits(f.B), signed(f.Difference), percent)
	}
	w.Flush()
	fmt.Fprintf(b, "\n%d figures differ, %d are equal; one run of each, so no confidence interval\n", len(c.Runs), c.Equal)
}

func (c *Comparison) writeSets(b *strings.Builder) {
	count := map[string]int{}
	for _, cell := range c.Sets {
		b.WriteByte('\n')
		var at []string
		for _, kv := range cell.Matrix {
			at = append(at, kv.Key+"="+kv.Value)
		}
		if len(at) > 0 {
			b.WriteString(strings.Join(at, " ") + "\n")
		}
		if len(cell.Figures) == 0 {
			b.WriteString("  equal in every seed\n")
			continue
		}
		w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "  figure\tA\tB\tB - A\t%d %% interval\tn\tdifference\n", Confidence)
		for _, f := range cell.Figures {
			count[f.Verdict]++
			n, interval := fmt.Sprintf("%d and %d", f.NA, f.NB), "-"
			if f.Paired {
				n = fmt.Sprintf("%d pairs", f.NA)
			}
			if f.Low != nil {
				interval = signed(*f.Low) + " to " + signed(*f.High)
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, digits(f.A), digits(f.B), signed(f.Difference), interval, n, f.Verdict)
		}
		w.Flush()
	}
	fmt.Fprintf(b, "\n%d combinations: %d figures differ, %d do not by their intervals (none), %d have one seed and no interval (unknown), %d are equal in every seed\n",
		len(c.Sets), count[VerdictDiffers], count[VerdictNone], count[VerdictUnknown], c.Equal)
}

func signed(v float64) string {
	if v > 0 {
		return "+" + digits(v)
	}
	return digits(v)
}

package reproduce

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"splitkernel/sim/report/plot"
)

// Figures gives the names of the figures in the order of the rows.
func (r *Result) Figures() []string {
	var names []string
	for i := range r.Rows {
		if f := r.Rows[i].Figure; len(names) == 0 || names[len(names)-1] != f {
			seen := false
			for _, n := range names {
				seen = seen || n == f
			}
			if !seen {
				names = append(names, f)
			}
		}
	}
	return names
}

// Table writes the rows, the targets and what was not reached, in Markdown.
func (r *Result) Table(w io.Writer) error {
	var b strings.Builder
	for _, f := range r.Figures() {
		fmt.Fprintf(&b, "### %s\n\n| case | published | ours | error | |\n|---|---:|---:|---:|---|\n", f)
		for i := range r.Rows {
			if x := &r.Rows[i]; x.Figure == f {
				fmt.Fprintf(&b, "| %s, %s | %s | %s | %+.1f %% | %s |\n", x.Case, x.Unit, short(x.Published), short(x.Ours), noZero(100*x.Error), x.Kind)
			}
		}
		b.WriteByte('\n')
	}
	b.WriteString("### Targets\n\n| | target | got | reached |\n|---|---:|---:|---|\n")
	for _, t := range r.Targets {
		reached, sign := "yes", "≤"
		if !t.Reached {
			reached = "**no**"
		}
		if t.AtLeast {
			sign = "≥"
		}
		fmt.Fprintf(&b, "| %s: %s | %s %s | %s | %s |\n", t.Figure, t.What, sign, short(t.Wanted), short(t.Got), reached)
	}
	b.WriteString("\n### Not reached, and why\n\n")
	said := map[string]bool{}
	for _, t := range r.Targets {
		if !t.Reached && !said[t.Reason] {
			said[t.Reason] = true
			fmt.Fprintf(&b, "- %s: %s\n", t.Figure, t.Reason)
		}
	}
	for _, l := range NotModelled {
		fmt.Fprintf(&b, "- %s\n", l)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// short writes a number with four digits.
func short(x float64) string {
	if math.Abs(x) >= 1000 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}

// noZero is x without the sign of what rounds to nothing.
func noZero(x float64) float64 {
	if math.Abs(x) < 0.05 {
		return 0
	}
	return x
}

// Files are table.md, rows.json and a plot of each figure, by name.
func (r *Result) Files() (map[string]string, error) {
	var table strings.Builder
	fmt.Fprintf(&table, "# The figures of the LegoOS paper\n\nHardware %s, seed %d, memory divided by %d.\n\n", r.Hardware, r.Seed, r.Scale)
	if err := r.Table(&table); err != nil {
		return nil, err
	}
	rows, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("rows.json: %w", err)
	}
	files := map[string]string{"table.md": table.String(), "rows.json": string(rows) + "\n"}
	if files["fig-8-messages.svg"], err = r.plot("Fig 8", "×"); err != nil { // a tenth of what is local, so they have a plot of their own
		return nil, err
	}
	for _, f := range r.Figures() {
		svg, err := r.plot(f, "")
		if err != nil {
			return nil, err
		}
		files[strings.ToLower(strings.ReplaceAll(f, " ", "-"))+".svg"] = svg
	}
	return files, nil
}

// plot is published and ours of a figure, beside each other, of cases that have a text in their names; a figure of several units is in its first.
func (r *Result) plot(figure, of string) (string, error) {
	published, ours := plot.Series{Name: "published"}, plot.Series{Name: "ours"}
	var labels []string
	unit := ""
	for i := range r.Rows {
		x := &r.Rows[i]
		if x.Figure != figure || !strings.Contains(x.Case, of) {
			continue
		}
		if unit == "" {
			unit = x.Unit
		}
		if x.Unit == unit {
			labels = append(labels, x.Case)
			published.Y, ours.Y = append(published.Y, x.Published), append(ours.Y, x.Ours)
		}
	}
	axis := map[string]string{"k/s": "thousand operations per second", "µs": "latency, µs", "slowdown": "slowdown (1 is all memory local)", "years": "mean time to failure, years", "ratio": "slowdown with replication, compared with without"}[unit]
	return plot.Bars(plot.Axes{Title: "LegoOS (OSDI'18), " + figure + ": published and ours", X: "case", Y: axis}, labels, []plot.Series{published, ours})
}

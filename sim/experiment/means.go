package experiment

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// maxMeans bounds what is printed for people; the rest is in the files.
const maxMeans = 200

// Objects gives the rows as objects by column, for programs.
func (t *Table) Objects() []map[string]any {
	out := []map[string]any{}
	for _, row := range t.Rows {
		m := map[string]any{}
		for i, c := range t.Columns {
			m[c.Name] = row[i]
		}
		out = append(out, m)
	}
	return out
}

// WriteMeans prints a line for each combination of a sweep: means over its seeds, with 95 % confidence. Cells are separated by tabs.
func WriteMeans(w io.Writer, p *Plan, t *Table) {
	axes := len(p.Sweep.Matrix)
	at := map[string]int{}
	var head []string
	for i, c := range t.Columns {
		at[c.Name] = i
		if i > 0 && i <= axes {
			head = append(head, c.Name)
		}
	}
	metrics := []string{"seconds", "fetches", "fetch_p50_us"}
	for _, v := range p.VNodes {
		metrics = append(metrics, "slowdown."+v)
	}
	fmt.Fprintln(w, strings.Join(append(append(head, "seeds", "failed"), metrics...), "\t"))
	lines := 0
	for first := 0; first < len(t.Rows); lines++ {
		end := first + 1
		for end < len(t.Rows) && sameCombination(t.Rows[first], t.Rows[end], axes) {
			end++
		}
		if lines < maxMeans {
			fmt.Fprintln(w, strings.Join(meansLine(t.Rows[first:end], axes, at, metrics), "\t"))
		}
		first = end
	}
	if lines > maxMeans {
		fmt.Fprintf(w, "… and %d more: see the files\n", lines-maxMeans)
	}
}

func sameCombination(a, b []any, axes int) bool {
	for i := 1; i <= axes; i++ {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// meansLine is the line of the rows of one combination.
func meansLine(rows [][]any, axes int, at map[string]int, metrics []string) (cells []string) {
	for _, cell := range rows[0][1 : axes+1] {
		cells = append(cells, format(cell))
	}
	good := [][]any{}
	for _, row := range rows {
		if row[at[columnExit]] == uint64(exitOK) {
			good = append(good, row)
		}
	}
	cells = append(cells, strconv.Itoa(len(rows)), strconv.Itoa(len(rows)-len(good)))
	for _, m := range metrics {
		var values []float64
		for _, row := range good {
			if v, ok := number(row[at[m]]); ok {
				values = append(values, v)
			}
		}
		cells = append(cells, meanText(values))
	}
	return cells
}

// number gives a cell as a number.
func number(cell any) (float64, bool) {
	switch v := cell.(type) {
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// meanText is a mean with half of its interval, if it has one that is not empty.
func meanText(values []float64) string {
	if len(values) == 0 {
		return "-"
	}
	s := newSample(values)
	if h := s.half(); h > 0 && !math.IsNaN(h) {
		return digits(s.mean) + " ± " + digits(h)
	}
	return digits(s.mean)
}

// digits prints a number for people: whole, or with four digits.
func digits(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	if a := math.Abs(v); a >= 1000 && a < 1e15 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

package top

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"splitkernel/sim/observe"
)

// Run shows snapshots in a terminal until the user quits, updates is closed and the user quits, or ctx ends. The terminal is as it was then.
// color is whether colours may be used.
func Run(ctx context.Context, updates <-chan *observe.Snapshot, in io.Reader, out io.Writer, color bool) error {
	p := tea.NewProgram(New(updates, color), tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithAltScreen(), tea.WithoutSignalHandler())
	_, err := p.Run()
	if ctx.Err() != nil && errors.Is(err, tea.ErrProgramKilled) {
		return nil // somebody wanted it to end
	}
	if err != nil {
		return fmt.Errorf("show the cluster in this terminal: %w", err)
	}
	return nil
}

// textEvents is how many events WriteText prints.
const textEvents = 20

// WriteText prints a snapshot as tables with tabs between the columns, for a tabwriter.
func WriteText(w io.Writer, s *observe.Snapshot) {
	m := Model{snap: s}
	left, end := m.title()
	fmt.Fprintf(w, "%s; %s\n%s\n", left, end, m.totals())
	for _, text := range s.Warnings {
		fmt.Fprintln(w, "! "+clean(text))
	}
	for v := range views {
		rows := rowsOf(v, s)
		if v == events {
			rows = rows[max(0, len(rows)-textEvents):]
		}
		fmt.Fprintln(w)
		var names []string
		for _, c := range columns[v] {
			names = append(names, c.name)
		}
		if v == components {
			names = append(names, "WHY")
		}
		if len(rows) == 0 {
			fmt.Fprintf(w, "no %s\n", viewNames[v])
			continue
		}
		fmt.Fprintln(w, strings.Join(names, "\t"))
		for i, r := range rows {
			var cells []string
			for _, c := range r.cells {
				cells = append(cells, c.text)
			}
			if v == components {
				cells = append(cells, clean(s.Nodes[i].Why))
			}
			fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
		}
	}
}

package top

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"splitkernel/sim/observe"
)

// Lines of a frame beside the rows of the table.
const (
	headLines   = 5 // title, totals, warning, tabs, names of the columns
	detailLines = 7 // with the rule above them
	footLines   = 1 // keys
	minWidth    = 40
	minHeight   = 10
)

// room is how many rows are shown.
func (m *Model) room() int {
	n := m.height - headLines - footLines
	if m.detailed() {
		n -= detailLines
	}
	return max(n, 1)
}

// detailed reports whether details are shown: there must be room for a row beside them.
func (m *Model) detailed() bool {
	return m.details && m.height > headLines+footLines+detailLines
}

// Select Graphic Rendition: the codes of what is shown otherwise.
const (
	bold    = "1"
	dim     = "2"
	inverse = "7"
	red     = "31"
	green   = "32"
	yellow  = "33"
)

// paint puts a text between codes.
func (m *Model) paint(text string, codes ...string) string {
	if !m.color || len(codes) == 0 {
		return text
	}
	return "\x1b[" + strings.Join(codes, ";") + "m" + text + "\x1b[0m"
}

// fit cuts a text, and fills it up, to a width.
func fit(text string, width int, right bool) string {
	text = ansi.Truncate(text, width, "…")
	pad := strings.Repeat(" ", max(0, width-ansi.StringWidth(text)))
	if right {
		return pad + text
	}
	return text + pad
}

// View implements tea.Model.
func (m Model) View() string {
	if m.width < minWidth || m.height < minHeight {
		return ansi.Truncate(fmt.Sprintf("%d×%d: want %d×%d at least", m.width, m.height, minWidth, minHeight), max(m.width, 0), "…")
	}
	if m.snap == nil {
		return "asking the cluster…"
	}
	if m.help {
		return m.helpView()
	}
	lines := make([]string, 0, m.height)
	lines = append(lines, m.titleLine(), fit(m.totals(), m.width, false), m.warning(), m.tabs())
	rows := m.rows()
	t := m.tables[m.view]
	widths := m.widths()
	lines = append(lines, m.paint(m.names(widths), bold))
	at := m.at(rows)
	for i := t.top; i < t.top+m.room(); i++ {
		if i >= len(rows) {
			lines = append(lines, "")
			continue
		}
		lines = append(lines, m.line(rows[i], widths, i == at))
	}
	if len(rows) == 0 {
		lines[headLines] = m.paint(fit("  nothing"+m.ofFilter(), m.width, false), dim)
	}
	if m.detailed() {
		lines = append(lines, m.paint(strings.Repeat("─", m.width), dim))
		var detail []string
		if len(rows) > 0 {
			for _, d := range rows[at].detail {
				detail = append(detail, strings.Split(ansi.Wrap(d, m.width, " /"), "\n")...)
			}
		}
		for i := range detailLines - 1 {
			switch {
			case i >= len(detail):
				lines = append(lines, "")
			case i == detailLines-2 && len(detail) > detailLines-1:
				lines = append(lines, "…")
			default:
				lines = append(lines, ansi.Truncate(detail[i], m.width, "…"))
			}
		}
	}
	lines = append(lines, m.paint(fit(m.keys(), m.width, false), dim))
	return strings.Join(lines, "\n")
}

func (m *Model) ofFilter() string {
	if m.filter == "" {
		return ""
	}
	return " that holds " + fmt.Sprintf("%q", m.filter)
}

// title says which cluster it is, and on the right who leads and when that was.
func (m *Model) title() (left, end string) {
	s := m.snap
	left = fmt.Sprintf("%s (%s) for %s, %d of %d well", clean(s.Cluster), s.Owner, s.Time.Sub(s.Started).Truncate(time.Second), s.Totals.NodesWell, s.Totals.Nodes)
	var right []string
	for _, l := range s.Leaders {
		right = append(right, l.Manager+" "+clean(dash(l.Node)))
	}
	state := clock(s.Time)
	switch {
	case m.ended:
		state = "ended " + state
	case m.still:
		state = "still " + state
	}
	return left, strings.Join(right, " ") + "  " + state
}

func (m *Model) titleLine() string {
	left, end := m.title()
	return m.paint(fit(left, max(0, m.width-ansi.StringWidth(end)-1), false)+" "+ansi.Truncate(end, m.width-1, ""), bold)
}

// totals are the figures of the whole cluster.
func (m *Model) totals() string {
	p := m.snap.Totals
	return fmt.Sprintf("%s faults/s, hit %s, p50 %s, p99 %s, %s/s, %.2f/%.0f cores, %d moving", count(p.FaultsPerSec), maybePercent(p.HitRatio), maybeSeconds(p.FaultP50), maybeSeconds(p.FaultP99),
		sizeOf(p.LinkPerSec), p.BusyCores, p.Processors, p.Moving)
}

// warning is the first one, and how many others there are.
func (m *Model) warning() string {
	w := m.snap.Warnings
	if len(w) == 0 {
		return ""
	}
	more := ""
	if len(w) > 1 {
		more = fmt.Sprintf(" (and %d more)", len(w)-1)
	}
	return m.paint(fit(ansi.Truncate("! "+clean(w[0]), m.width-len(more), "…")+more, m.width, false), yellow)
}

// tabs are the tables, and how the one that is shown is sorted and filtered.
func (m *Model) tabs() string {
	var b strings.Builder
	for v, name := range viewNames {
		if view(v) == m.view {
			b.WriteString(m.paint(fmt.Sprintf("[%d %s]", v+1, name), inverse))
		} else {
			fmt.Fprintf(&b, " %d %s ", v+1, name)
		}
	}
	if f := m.filter; f != "" || m.typing {
		b.WriteString("  /" + f)
		if m.typing {
			b.WriteString("_")
		}
	}
	return ansi.Truncate(b.String(), m.width, "…")
}

// widths gives the columns that there is room for; the last one that fits takes what is left.
func (m *Model) widths() (out []int) {
	left := m.width - 1 // the mark of the selected row
	for i, c := range columns[m.view] {
		if c.width > left {
			break
		}
		out = append(out, c.width)
		left -= c.width + 1
		if i == len(columns[m.view])-1 && !c.right {
			out[i] += max(0, left+1)
		}
	}
	return out
}

func (m *Model) names(widths []int) string {
	o := m.tables[m.view].order
	var b strings.Builder
	b.WriteString(" ")
	for i, w := range widths {
		c := columns[m.view][i]
		name := c.name
		if o.column == i {
			mark := "▲"
			if o.down {
				mark = "▼"
			}
			name = ansi.Truncate(name, w-1, "") + mark
		}
		b.WriteString(fit(name, w, c.right))
		if i < len(widths)-1 {
			b.WriteString(" ")
		}
	}
	return fit(b.String(), m.width, false)
}

func (m *Model) line(r row, widths []int, selected bool) string {
	var b strings.Builder
	mark := " "
	if selected {
		mark = ">"
	}
	b.WriteString(mark)
	for i, w := range widths {
		b.WriteString(fit(r.cells[i].text, w, columns[m.view][i].right))
		if i < len(widths)-1 {
			b.WriteString(" ")
		}
	}
	var codes []string
	switch r.state {
	case observe.Dead, observe.Silent, observe.CutOff:
		codes = append(codes, red)
	case observe.Paused, observe.Draining, observe.Starting:
		codes = append(codes, yellow)
	case observe.Up:
		codes = append(codes, green)
	}
	if selected {
		codes = append(codes, inverse)
	}
	return m.paint(fit(b.String(), m.width, false), codes...)
}

// keys is the line of help.
func (m *Model) keys() string {
	if m.typing {
		return "type what rows must hold; enter keeps it, esc drops it"
	}
	return "q quit  1-4 table  ↑↓ row  enter details  s sort  r turn  / filter  ? help"
}

// helpLines say all the keys.
var helpLines = []string{
	"splitkernel top shows a running cluster once a second and changes nothing.", "",
	"1 2 3 4, tab      components, vNodes, leaders, events",
	"up down, j k      another row; page up and down, home and end",
	"enter             details of the row, or none",
	"s, S              sort by the next column, or the one before",
	"r                 turn the order",
	"/                 only rows that hold a text; esc drops it",
	"space             stand still, or go on",
	"q, ctrl+c         quit", "",
	"CORES are busy ones of all; USED, IN/s and OUT/s are bytes, 19.3M are 19.3 MiB;",
	"FULL is what is used of what there is; OPS/s are accesses at pComponents, pages",
	"and blocks at mComponents, blocks at sComponents, requests at managers.", "",
	"? back",
}

func (m *Model) helpView() string {
	var out []string
	for _, l := range helpLines[:min(len(helpLines), m.height)] {
		out = append(out, ansi.Truncate(l, m.width, "…"))
	}
	return strings.Join(out, "\n")
}

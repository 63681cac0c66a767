package top

import (
	"slices"

	tea "github.com/charmbracelet/bubbletea"

	"splitkernel/sim/observe"
)

// maxFilter bounds the text of a filter, in characters.
const maxFilter = 40

// updateMsg is a new snapshot; endedMsg is that none comes any more.
type (
	updateMsg struct{ s *observe.Snapshot }
	endedMsg  struct{}
)

// Model is the view: what is shown, and how. It implements tea.Model.
type Model struct {
	updates       <-chan *observe.Snapshot
	color         bool
	width, height int

	snap    *observe.Snapshot // that is shown
	waiting *observe.Snapshot // the latest while the view stands still
	still   bool
	ended   bool

	view    view
	tables  [views]table
	filter  string
	typing  bool // the filter is being typed
	details bool
	help    bool
}

// table is how one of the tables is looked at.
type table struct {
	order    order
	selected string // key; empty is the first row
	top      int    // first row that is shown
}

// New makes a view of what an observer publishes. Without color nothing but text is written.
func New(updates <-chan *observe.Snapshot, color bool) Model {
	m := Model{updates: updates, color: color, width: 80, height: 24}
	for v := range m.tables {
		m.tables[v].order = firstSort[v]
	}
	return m
}

// Init implements tea.Model.
func (m Model) Init() tea.Cmd { return m.next }

// next waits for the next snapshot.
func (m Model) next() tea.Msg {
	s, open := <-m.updates
	if !open {
		return endedMsg{}
	}
	return updateMsg{s}
}

// Update implements tea.Model.
func (m Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case updateMsg:
		if m.waiting = msg.s; !m.still {
			m.snap = msg.s
		}
		return m.kept(), m.next
	case endedMsg:
		m.ended = true
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyMsg:
		if msg.Type == tea.KeyCtrlC {
			return m, tea.Quit
		}
		if m.typing {
			m = m.typed(msg)
			break
		}
		var quit bool
		if m, quit = m.key(msg.String()); quit {
			return m, tea.Quit
		}
	}
	return m.kept(), nil
}

// typed takes a key while the filter is typed.
func (m Model) typed(msg tea.KeyMsg) Model {
	switch msg.Type {
	case tea.KeyEnter:
		m.typing = false
	case tea.KeyEsc:
		m.typing, m.filter = false, ""
	case tea.KeyBackspace:
		if r := []rune(m.filter); len(r) > 0 {
			m.filter = string(r[:len(r)-1])
		}
	case tea.KeyRunes, tea.KeySpace:
		r := append([]rune(m.filter), []rune(clean(string(msg.Runes)))...)
		m.filter = string(r[:min(len(r), maxFilter)])
	}
	return m
}

// key does what a key says.
func (m Model) key(k string) (next Model, quit bool) {
	t := &m.tables[m.view]
	switch k {
	case "q":
		return m, true
	case "1", "2", "3", "4":
		m.view = view(k[0] - '1')
	case "tab", "right", "l":
		m.view = (m.view + 1) % views
	case "shift+tab", "left", "h":
		m.view = (m.view + views - 1) % views
	case "down", "j":
		m.move(1)
	case "up", "k":
		m.move(-1)
	case "pgdown", "ctrl+f":
		m.move(m.room())
	case "pgup", "ctrl+b":
		m.move(-m.room())
	case "home", "g":
		m.move(-1 << 30)
	case "end", "G":
		m.move(1 << 30)
	case "s":
		if t.order.column++; t.order.column == len(columns[m.view]) {
			t.order.column = -1
		}
	case "S":
		if t.order.column--; t.order.column < -1 {
			t.order.column = len(columns[m.view]) - 1
		}
	case "r":
		t.order.down = !t.order.down
	case "/":
		m.typing = true
	case "enter":
		m.details = !m.details
	case "esc":
		m.details, m.help, m.filter = false, false, ""
	case " ":
		if m.still = !m.still; !m.still && m.waiting != nil {
			m.snap = m.waiting
		}
	case "?":
		m.help = !m.help
	}
	return m, false
}

// rows are those of the table that is shown.
func (m *Model) rows() []row {
	if m.snap == nil {
		return nil
	}
	return sorted(filtered(rowsOf(m.view, m.snap), m.filter), m.tables[m.view].order)
}

// at finds the selected row: where it is, or the first if it went.
func (m *Model) at(rows []row) int {
	return max(0, slices.IndexFunc(rows, func(r row) bool { return r.key == m.tables[m.view].selected }))
}

// move selects another row.
func (m *Model) move(by int) {
	rows := m.rows()
	if len(rows) == 0 {
		return
	}
	i := min(max(m.at(rows)+by, 0), len(rows)-1)
	t := &m.tables[m.view]
	t.selected = rows[i].key
	if i == 0 {
		t.selected = "" // so that the first stays the first when another comes before it
	}
}

// kept scrolls so that the selected row is seen.
func (m Model) kept() Model {
	rows, room := m.rows(), m.room()
	t := &m.tables[m.view]
	i := m.at(rows)
	t.top = min(t.top, i)
	t.top = max(t.top, i-room+1, 0)
	t.top = min(t.top, max(0, len(rows)-room))
	return m
}

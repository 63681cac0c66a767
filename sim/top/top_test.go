package top

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/observe"
)

var rewrite = flag.Bool("rewrite", false, "write testdata anew")

func TestMain(m *testing.M) {
	time.Local = time.UTC // frames tell the time of the day
	os.Exit(m.Run())
}

func some(v float64) *float64 { return &v }

// cluster is a snapshot with everything in it.
func cluster() *observe.Snapshot {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	load := func(cores, used, in, ops float64) *observe.Load {
		return &observe.Load{Processors: 2, BusyCores: cores, Used: used, Reserved: 2 * used, Capacity: 64 << 20, InPerSec: in, OutPerSec: in / 2, OpsPerSec: ops}
	}
	p1 := load(0.5, 2<<20, 46<<20, 145_000)
	p1.FaultsPerSec, p1.HitRatio, p1.FaultP50, p1.FaultP99 = 12_900, some(0.911), some(37e-6), some(420e-6)
	g1 := load(0.07, 61<<20, 60<<10, 67)
	g1.Capacity, g1.Reserved = 0, 0
	return &observe.Snapshot{
		Seq: 3, Time: at, Cluster: "laptop", Owner: "up", Started: at.Add(-3 * time.Minute),
		Nodes: []observe.Node{
			{ID: "g1", Role: "manager", State: observe.Up, Since: at, Addr: "unix:/g1", HTTP: "127.0.0.1:1", PID: 1, Leads: []string{"gpm", "gmm"}, Load: g1},
			{ID: "p1", Role: "pcomponent", State: observe.Up, Since: at, Addr: "unix:/p1", PID: 2, Epoch: 1, Rack: "r1", Load: p1},
			{ID: "m1", Role: "mcomponent", State: observe.Draining, Why: "it gives away what it has", Since: at, PID: 3, Epoch: 1, Load: load(0.1, 8<<20, 8<<20, 3787)},
			{ID: "m2", Role: "mcomponent", State: observe.Dead, Why: `process 4 ended: signal: killed, by the fault "kill m2"; the managers declared epoch 1 of it dead`, Since: at.Add(-2 * time.Second), PID: 4, Epoch: 1},
			{ID: "s1", Role: "scomponent", State: observe.Paused, Why: `process 5 is stopped by the fault "pause s1"`, Since: at, PID: 5, Epoch: 2},
		},
		Leaders: []observe.Leader{{Manager: "gpm", Node: "g1", Term: 2, Since: at}, {Manager: "gmm", Node: "g1", Term: 3, Since: at, Changes: 1}, {Manager: "gsm", Since: at}},
		VNodes: []observe.VNode{
			{PID: 7, Name: "sort", Phase: "running", State: "running", On: "p1", Home: "m1", Threads: 2, References: 146_400, RefsPerSec: 188_100, Steps: 146_412, StepsTotal: 293_000, Left: new(0.8), Hits: 133_000, Blocks: 12, Regions: 4, Volumes: 1},
			{PID: 12, Name: "evil \x1b[2Jname", Phase: "running", On: "p1", Threads: 1, Lost: []string{"vregion 3"}},
		},
		VNodesTotal: 2,
		Owns:        []observe.Own{{PID: 7, Node: "m1", Home: true, Regions: 3, Caches: 1}, {PID: 7, Node: "m2", Regions: 1}, {PID: 7, Node: "p1", Process: true}},
		Events: []observe.Event{
			{Seq: 1, Time: at.Add(-3 * time.Second), Source: "gmm", Kind: "placed_vregion", Node: "m1", PID: 7, Text: "placed_vregion process=7 vregion=3 node=m1"},
			{Seq: 2, Time: at.Add(-2 * time.Second), Source: "observer", Kind: "node_dead", Node: "m2", Mark: observe.MarkDown, Text: "mcomponent m2 is dead: process 4 ended: signal: killed"},
		},
		Warnings: []string{"mcomponent m2 is dead", "gsm has no leader"},
		Totals: observe.Sample{
			Time: at, HitRatio: some(0.911), FaultsPerSec: 12_900, FaultP50: some(37e-6), FaultP99: some(420e-6), LinkPerSec: 78 << 20, BusyCores: 0.5, Processors: 2, Moving: 1, Nodes: 5, NodesWell: 3,
		},
	}
}

// press gives a model keys: runes, or the names of others.
func press(m tea.Model, keys ...string) tea.Model {
	named := map[string]tea.KeyType{"enter": tea.KeyEnter, "esc": tea.KeyEsc, "down": tea.KeyDown, "up": tea.KeyUp, "tab": tea.KeyTab, "end": tea.KeyEnd, "backspace": tea.KeyBackspace, "space": tea.KeySpace}
	for _, k := range keys {
		msg := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(k)}
		if t, ok := named[k]; ok {
			msg = tea.KeyMsg{Type: t}
			if t == tea.KeySpace {
				msg.Runes = []rune(" ")
			}
		}
		m, _ = m.Update(msg)
	}
	return m
}

func shown(s *observe.Snapshot, color bool) tea.Model {
	m, _ := New(nil, color).Update(updateMsg{s})
	return m
}

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	lines := strings.Split(got, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ") // which fill lines up
	}
	got = strings.Join(lines, "\n")
	if *rewrite {
		if err := os.WriteFile(path, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got+"\n" != string(want) {
		t.Errorf("%s is\n%s\nwant\n%s\n(go test -rewrite writes it anew)", path, got, want)
	}
}

// fits checks that a frame keeps to the terminal.
func fits(t *testing.T, name, frame string, width, height int) {
	t.Helper()
	lines := strings.Split(frame, "\n")
	if len(lines) > height {
		t.Errorf("%s: %d lines, the terminal has %d", name, len(lines), height)
	}
	for _, l := range lines {
		if w := ansi.StringWidth(l); w > width {
			t.Errorf("%s: a line of %d columns, the terminal has %d: %q", name, w, width, l)
		}
	}
}

func TestFrames(t *testing.T) {
	for name, keys := range map[string][]string{
		"components":       nil,
		"components-dead":  {"down", "down", "down", "enter"},
		"components-cores": {"s", "s", "s", "s", "r"},
		"components-mem":   {"/", "m", "c", "o", "m", "x", "backspace", "enter"},
		"vnodes":           {"2", "enter"},
		"vnodes-evil":      {"tab", "end", "enter"},
		"leaders":          {"3"},
		"events":           {"4", "enter"},
		"nothing":          {"/", "x", "y", "z"},
		"help":             {"?"},
	} {
		m := press(shown(cluster(), false), keys...)
		frame := m.View()
		golden(t, name, frame)
		fits(t, name, frame, 80, 24)
		if strings.Contains(frame, "\x1b") {
			t.Errorf("%s: codes for the terminal without colours:\n%q", name, frame)
		}
		for _, size := range [][2]int{{minWidth, minHeight}, {200, 60}, {81, 11}, {20, 5}, {0, 0}} {
			small, _ := m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
			fits(t, name, small.View(), max(size[0], 0), max(size[1], 1))
		}
	}
}

func TestColours(t *testing.T) {
	frame := shown(cluster(), true).View()
	fits(t, "colours", frame, 80, 24)
	for _, want := range []string{"\x1b[32m p1 ", "\x1b[31m m2 ", "\x1b[33m s1 ", "\x1b[32;7m>g1 "} {
		if !strings.Contains(frame, want) {
			t.Errorf("no %q in\n%q", want, frame)
		}
	}
	if plain := ansi.Strip(frame); plain != shown(cluster(), false).View() {
		t.Errorf("colours change more than colours:\n%s", plain)
	}
}

// TestTheSelectedRowStays: it is found again when others come before it, and the first stays the first.
func TestTheSelectedRowStays(t *testing.T) {
	m := press(shown(cluster(), false), "4", "down") // the older event
	s := cluster()
	s.Events = append(s.Events, observe.Event{Seq: 3, Time: s.Time, Source: "gpm", Kind: "admitted", Text: "admitted process=9"})
	m, _ = m.Update(updateMsg{s})
	if frame := m.View(); !strings.Contains(frame, ">11:59:57 gmm") {
		t.Errorf("the selected event went:\n%s", frame)
	}
	m = press(m, "g")
	s2 := *s
	s2.Events = append(s2.Events, observe.Event{Seq: 4, Time: s.Time, Source: "gpm", Kind: "released", Text: "released process=9"})
	m, _ = m.Update(updateMsg{&s2})
	if frame := m.View(); !strings.Contains(frame, ">12:00:00 gpm      released") {
		t.Errorf("the first does not stay the first:\n%s", frame)
	}
}

// TestManyRowsScroll: the selected row is always seen, with details and without.
func TestManyRowsScroll(t *testing.T) {
	s := cluster()
	for i := range 1000 {
		s.VNodes = append(s.VNodes, observe.VNode{PID: wire.PID(1000 + i), Name: "many", On: "p1"})
	}
	m := shown(s, false)
	for _, keys := range [][]string{{"2", "end"}, {"enter"}, {"up", "up"}, {"g"}, {"down"}, {"esc"}, {"G"}} {
		m = press(m, keys...)
		frame := m.View()
		fits(t, "many", frame, 80, 24)
		if !strings.Contains(frame, "\n>") {
			t.Errorf("after %q the selected row is not seen:\n%s", keys, frame)
		}
	}
	if f := m.View(); !strings.Contains(f, ">  1999 many") {
		t.Errorf("the last is not selected:\n%s", f)
	}
}

func TestStandStillAndGoOn(t *testing.T) {
	m := press(shown(cluster(), false), "space")
	s := cluster()
	s.Totals.NodesWell = 5
	m, _ = m.Update(updateMsg{s})
	if f := m.View(); !strings.Contains(f, "3 of 5 well") || !strings.Contains(f, "still 12:00:00") {
		t.Errorf("it does not stand still:\n%s", f)
	}
	m = press(m, "space")
	if f := m.View(); !strings.Contains(f, "5 of 5 well") || strings.Contains(f, "still") {
		t.Errorf("it does not go on:\n%s", f)
	}
	m, _ = m.Update(endedMsg{})
	if f := m.View(); !strings.Contains(f, "ended 12:00:00") {
		t.Errorf("it does not say that nothing comes:\n%s", f)
	}
}

func TestKeysThatQuit(t *testing.T) {
	quits := func(m tea.Model, msg tea.KeyMsg) bool {
		_, cmd := m.Update(msg)
		if cmd == nil {
			return false
		}
		_, quit := cmd().(tea.QuitMsg)
		return quit
	}
	q, ctrlC := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("q")}, tea.KeyMsg{Type: tea.KeyCtrlC}
	m := shown(cluster(), false)
	if !quits(m, q) || !quits(m, ctrlC) {
		t.Error("q or ctrl+c does not quit")
	}
	typing := press(m, "/")
	if quits(typing, q) || !quits(typing, ctrlC) {
		t.Error("while a filter is typed q is a letter and ctrl+c quits")
	}
	if f := press(typing, "q").View(); !strings.Contains(f, "/q_") {
		t.Errorf("the letter is not in the filter:\n%s", f)
	}
}

// TestUpdatesThatEnd: the model reads what it is given until that ends.
func TestUpdatesThatEnd(t *testing.T) {
	ch := make(chan *observe.Snapshot, 1)
	m := New(ch, false)
	if f := m.View(); f != "asking the cluster…" {
		t.Errorf("before the first snapshot: %q", f)
	}
	ch <- cluster()
	if msg, ok := m.Init()().(updateMsg); !ok || msg.s.Cluster != "laptop" {
		t.Errorf("%v", msg)
	}
	close(ch)
	if _, ok := m.next().(endedMsg); !ok {
		t.Error("the end of the updates is not seen")
	}
}

func TestText(t *testing.T) {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	WriteText(w, cluster())
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	golden(t, "text", b.String())
	if strings.Contains(b.String(), "\x1b") {
		t.Error("a name speaks to the terminal")
	}
}

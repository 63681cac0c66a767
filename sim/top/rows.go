package top

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/observe"
)

// view is one of the tables.
type view int

const (
	components view = iota
	vnodes
	leaders
	events
	views // how many there are
)

var viewNames = [views]string{"components", "vNodes", "leaders", "events"}

// column is one of a table.
type column struct {
	name  string
	width int  // at least; the last column takes what is left
	right bool // numbers stand at the right
}

var columns = [views][]column{
	components: {{"NODE", 5, false}, {"ROLE", 10, false}, {"STATE", 8, false}, {"CORES", 8, true}, {"USED", 7, true}, {"FULL", 5, true}, {"IN/s", 7, true}, {"OUT/s", 7, true}, {"OPS/s", 6, true}, {"QUEUE", 5, true}},
	vnodes:     {{"VNODE", 6, true}, {"NAME", 14, false}, {"STATE", 9, false}, {"ON", 5, false}, {"HOME", 5, false}, {"DONE", 5, true}, {"LEFT", 6, true}, {"REFS/s", 8, true}, {"HITS", 6, true}, {"THREADS", 7, true}, {"REFERENCES", 10, true}},
	leaders:    {{"MANAGER", 8, false}, {"LEADER", 8, false}, {"TERM", 6, true}, {"CHANGES", 7, true}, {"SINCE", 8, false}},
	events:     {{"TIME", 8, false}, {"FROM", 8, false}, {"KIND", 14, false}, {"NODE", 5, false}, {"WHAT", 20, false}},
}

// firstSort is by which column a table is sorted at first, and whether from the greatest.
var firstSort = [views]order{components: {-1, false}, vnodes: {0, false}, leaders: {0, false}, events: {-1, true}}

// order is how a table is sorted: by a column, or with -1 as it came.
type order struct {
	column int
	down   bool
}

// cell is one of a row: how it is shown, and how it is sorted.
type cell struct {
	text   string
	number float64 // of numbers, which are sorted as such
	isNum  bool
}

func text(s string) cell { return cell{text: clean(s)} }

func number(v float64, shown string) cell { return cell{shown, v, true} }

// row is one of a table.
type row struct {
	key    string // by which it is found again in the next snapshot
	cells  []cell
	state  observe.State // that colours it
	detail []string      // sentences
}

// clean takes out what a terminal would obey.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
}

// rowsOf makes the rows of a table in the order in which they came.
func rowsOf(v view, s *observe.Snapshot) []row {
	switch v {
	case components:
		return componentRows(s)
	case vnodes:
		return vnodeRows(s)
	case leaders:
		return leaderRows(s)
	}
	return eventRows(s)
}

func componentRows(s *observe.Snapshot) (out []row) {
	for _, n := range s.Nodes {
		r := row{key: n.ID, state: n.State, cells: []cell{text(n.ID), text(n.Role), text(said(n.State))}}
		if l := n.Load; l != nil {
			full := cell{text: "-", number: -1, isNum: true}
			if l.Capacity > 0 {
				full = number(l.Used/l.Capacity, percent(l.Used/l.Capacity))
			}
			r.cells = append(r.cells,
				number(l.BusyCores, fmt.Sprintf("%.2f/%.0f", l.BusyCores, l.Processors)), number(l.Used, shortBytes(l.Used)), full,
				number(l.InPerSec, shortBytes(l.InPerSec)), number(l.OutPerSec, shortBytes(l.OutPerSec)), number(l.OpsPerSec, count(l.OpsPerSec)), number(l.Queue, count(l.Queue)))
		} else {
			for len(r.cells) < len(columns[components]) {
				r.cells = append(r.cells, cell{text: "-", number: -1, isNum: true})
			}
		}
		r.detail = componentDetail(s, &n)
		out = append(out, r)
	}
	return out
}

func componentDetail(s *observe.Snapshot, n *observe.Node) []string {
	d := []string{fmt.Sprintf("%s %s is %s since %s%s", n.Role, n.ID, said(n.State), clock(n.Since), colon(n.Why))}
	d = append(d, fmt.Sprintf("process %d, epoch %d, rack %s, %s, http %s", n.PID, n.Epoch, dash(n.Rack), n.Addr, dash(n.HTTP)))
	if len(n.Leads) > 0 {
		d = append(d, "leads "+strings.Join(n.Leads, ", "))
	}
	if l := n.Load; l != nil && n.Role == wire.RoleCompute.String() {
		d = append(d, fmt.Sprintf("%s faults/s, %s of the accesses hit, a fault takes %s (p50), %s (p99)", count(l.FaultsPerSec), maybePercent(l.HitRatio), maybeSeconds(l.FaultP50), maybeSeconds(l.FaultP99)))
	}
	if l := n.Load; l != nil && l.Capacity > 0 {
		d = append(d, fmt.Sprintf("%s used and %s promised of %s; requests wait %s for a worker", sizeOf(l.Used), sizeOf(l.Reserved), sizeOf(l.Capacity), seconds(l.QueueDelay)))
	}
	var has []string
	for _, o := range s.Owns {
		if o.Node == n.ID {
			has = append(has, ownText(o))
		}
	}
	if len(has) > 0 {
		d = append(d, "has "+strings.Join(has, "; "))
	}
	return cleaned(d)
}

// ownText says what a component has of a vNode.
func ownText(o observe.Own) string {
	var things []string
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			things = append(things, one)
		case n > 1:
			things = append(things, fmt.Sprintf("%d %s", n, many))
		}
	}
	if o.Process {
		things = append(things, "the process")
	}
	if o.Home {
		things = append(things, "the home")
	}
	add(o.Regions, "1 vRegion", "vRegions")
	add(o.Copies, "1 copy", "copies")
	add(o.Caches, "1 buffer cache", "buffer caches")
	add(o.Volumes, "1 volume", "volumes")
	return fmt.Sprintf("%s of vNode %d", strings.Join(things, ", "), o.PID)
}

func vnodeRows(s *observe.Snapshot) (out []row) {
	for _, v := range s.VNodes {
		hits := cell{text: "-", number: -1, isNum: true}
		if v.References > 0 {
			share := float64(v.Hits) / float64(v.References)
			hits = number(share, percent(share))
		}
		r := row{key: strconv.FormatUint(uint64(v.PID), 10), cells: []cell{
			number(float64(v.PID), strconv.FormatUint(uint64(v.PID), 10)), text(v.Name), text(cmp.Or(v.State, v.Phase)), text(dash(v.On)), text(dash(v.Home)),
			doneCell(&v), leftCell(&v), number(v.RefsPerSec, count(v.RefsPerSec)), hits, number(float64(v.Threads), fmt.Sprint(v.Threads)), number(float64(v.References), count(float64(v.References))),
		}}
		r.detail = []string{fmt.Sprintf("vNode %d %s: %s%s%s", v.PID, v.Name, v.Phase, comma(v.Phase, v.State), colon(v.Error))}
		r.detail = append(r.detail, fmt.Sprintf("%d references, %d hits, %d block requests, %d threads, %d vRegions, %d volumes", v.References, v.Hits, v.Blocks, v.Threads, v.Regions, v.Volumes))
		for _, o := range s.Owns {
			if o.PID == v.PID {
				r.detail = append(r.detail, o.Node+" has "+ownText(o))
			}
		}
		if len(v.Lost) > 0 {
			r.state = observe.Dead
			r.detail = append(r.detail, "lost: "+strings.Join(v.Lost, ", "))
		}
		r.detail = cleaned(r.detail)
		out = append(out, r)
	}
	return out
}

// doneCell is how much of its trace a vNode has replayed.
func doneCell(v *observe.VNode) cell {
	if v.StepsTotal == 0 {
		return number(-1, "-")
	}
	share := min(float64(v.Steps)/float64(v.StepsTotal), 1)
	return number(share, percent(math.Floor(share*100)/100)) // 100% is all of it
}

func leftCell(v *observe.VNode) cell {
	if v.Left == nil {
		return number(-1, "-")
	}
	return number(*v.Left, roughly(*v.Left))
}

func leaderRows(s *observe.Snapshot) (out []row) {
	for _, l := range s.Leaders {
		r := row{key: l.Manager, cells: []cell{
			text(l.Manager), text(cmp.Or(l.Node, "none")), number(float64(l.Term), fmt.Sprint(l.Term)), number(float64(l.Changes), fmt.Sprint(l.Changes)), text(clock(l.Since)),
		}}
		r.detail = []string{fmt.Sprintf("%s is led by %s in term %d; %d changes of leader were seen here", l.Manager, cmp.Or(l.Node, "nobody that is known"), l.Term, l.Changes)}
		if l.Node == "" {
			r.state = observe.Silent
		}
		out = append(out, r)
	}
	return out
}

func eventRows(s *observe.Snapshot) (out []row) {
	for _, e := range s.Events {
		r := row{key: strconv.FormatUint(e.Seq, 10), cells: []cell{text(clock(e.Time)), text(e.Source), text(e.Kind), text(dash(e.Node)), text(strings.TrimPrefix(e.Text, e.Kind+" "))}}
		switch e.Mark {
		case observe.MarkDown:
			r.state = observe.Dead
		case observe.MarkFault:
			r.state = observe.Paused
		}
		r.detail = cleaned([]string{e.Text})
		out = append(out, r)
	}
	return out
}

// sorted puts rows into an order; those that are equal stay as they came.
func sorted(rows []row, o order) []row {
	if o.column < 0 {
		if o.down {
			slices.Reverse(rows)
		}
		return rows
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		x, y := a.cells[o.column], b.cells[o.column]
		c := strings.Compare(x.text, y.text)
		if x.isNum || y.isNum {
			c = cmp.Compare(x.number, y.number)
		}
		if o.down {
			return -c
		}
		return c
	})
	return rows
}

// filtered keeps the rows that hold a text somewhere, whatever its case.
func filtered(rows []row, part string) []row {
	if part == "" {
		return rows
	}
	part = strings.ToLower(part)
	return slices.DeleteFunc(rows, func(r row) bool {
		for _, c := range r.cells {
			if strings.Contains(strings.ToLower(c.text), part) {
				return false
			}
		}
		return true
	})
}

func said(s observe.State) string { return strings.ReplaceAll(string(s), "_", " ") }

func cleaned(list []string) []string {
	for i := range list {
		list[i] = clean(list[i])
	}
	return list
}

func colon(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

// comma adds s to what was said, unless it says the same.
func comma(before, s string) string {
	if s == "" || s == before {
		return ""
	}
	return ", its process is " + s
}

func dash(s string) string { return cmp.Or(s, "-") }

func clock(t time.Time) string { return t.Local().Format("15:04:05") }

func percent(v float64) string { return fmt.Sprintf("%.0f%%", 100*v) }

func maybePercent(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100**v)
}

// shortBytes writes a number of bytes in seven characters at most: 19.3M are 19.3 MiB.
func shortBytes(v float64) string {
	text, _, _ := strings.Cut(sizeOf(v), "iB")
	return strings.NewReplacer(" B", "", " ", "").Replace(text)
}

// sizeOf writes a number of bytes in ten characters at most.
func sizeOf(v float64) string {
	for _, u := range []struct {
		name string
		one  float64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if v >= u.one {
			return fmt.Sprintf("%.1f %s", v/u.one, u.name)
		}
	}
	return fmt.Sprintf("%.0f B", v)
}

// count writes a number in six characters at most.
func count(v float64) string {
	for _, u := range []struct {
		name string
		one  float64
	}{{"G", 1e9}, {"M", 1e6}, {"k", 1e3}} {
		if v >= u.one*10 {
			return fmt.Sprintf("%.1f%s", v/u.one, u.name)
		}
	}
	if v > 0 && v < 10 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// roughly writes seconds in six characters at most.
func roughly(s float64) string {
	switch {
	case s < 90:
		return fmt.Sprintf("%.0fs", s)
	case s < 90*60:
		return fmt.Sprintf("%.0fm", s/60)
	case s < 48*3600:
		return fmt.Sprintf("%.0fh", s/3600)
	}
	return fmt.Sprintf("%.0fd", s/86400)
}

func maybeSeconds(v *float64) string {
	if v == nil {
		return "-"
	}
	return seconds(*v)
}

func seconds(v float64) string {
	switch {
	case v >= 1:
		return fmt.Sprintf("%.2f s", v)
	case v >= 1e-3:
		return fmt.Sprintf("%.1f ms", 1e3*v)
	case v >= 1e-6 || v == 0:
		return fmt.Sprintf("%.0f µs", 1e6*v)
	}
	return fmt.Sprintf("%.0f ns", 1e9*v)
}

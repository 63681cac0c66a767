package observe

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"splitkernel/gmanagers/httpapi"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/launcher"
)

// model is what the observer knows. It has no clock and no goroutine: it is told what was answered, and when.
type model struct {
	interval time.Duration
	seq      uint64    // of the last snapshot
	rounded  time.Time // when that was

	look   launcher.Look
	books  Books
	silent [sources]silence
	since  string // of the events

	nodes    map[string]*watched
	leaders  []Leader
	progress map[wire.PID]*progress
	changes  uint64 // of leaders

	events   ring[Event]
	eventSeq uint64
	faults   map[int]bool // by id: whether its end was told
}

// The sources that are not nodes.
const (
	ownerSource = iota
	booksSource
	eventsSource
	sources
)

var sourceNames = [sources]string{"the owner of the cluster does not answer", "the managers do not answer", "the managers' events cannot be read"}

// silence is that a source does not answer.
type silence struct {
	since time.Time // zero: it does
	err   error
}

// watched is a node and its last two answers.
type watched struct {
	was, is  *Reading
	pid      int
	answered time.Time // last, or when its process was first seen
	err      error     // of the last question
	borne    *borne    // nil before the second answer
	verdict
}

// progress is how far a vNode's process is.
type progress struct {
	detail httpapi.VNodeDetail
	at     time.Time
	refs   float64 // per second
	pace   float64 // steps per second, a mean in which what is older than paceTime counts little; 0: not known
}

// paceTime is over which time the pace of a process is a mean: shorter, and the time left would jump with each round.
const paceTime = 10 * time.Second

// since compares with the answer before.
func (p *progress) since(was *progress) {
	if was == nil || was.detail.Progress == nil || p.detail.Progress == nil || !p.at.After(was.at) {
		return
	}
	is, before, took := p.detail.Progress, was.detail.Progress, p.at.Sub(was.at)
	p.refs = max(0, float64(is.References)-float64(before.References)) / took.Seconds()
	if is.Steps < before.Steps || before.StepsTotal != is.StepsTotal {
		return // it went on from a checkpoint, or another runs under its number
	}
	p.pace = float64(is.Steps-before.Steps) / took.Seconds()
	if was.pace > 0 {
		old := math.Exp(-took.Seconds() / paceTime.Seconds())
		p.pace = old*was.pace + (1-old)*p.pace
	}
}

// left is how long the process still takes, in seconds; nil if nobody knows.
func (p *progress) left() *float64 {
	pr := p.detail.Progress
	if pr.StepsTotal == 0 || pr.Ended {
		return nil
	}
	s := 0.0
	if todo := float64(pr.StepsTotal - min(pr.Steps, pr.StepsTotal)); todo > 0 {
		s = todo / p.pace
	}
	if s > maxLeft {
		return nil
	}
	return &s
}

// maxLeft bounds in seconds what is told as the time left: a process that stands still has none.
const maxLeft = 1e8

func newModel(interval time.Duration) *model {
	return &model{
		interval: interval, nodes: map[string]*watched{}, progress: map[wire.PID]*progress{}, faults: map[int]bool{},
		events: ring[Event]{max: MaxEvents},
	}
}

// failed notes whether a source answered.
func (m *model) failed(now time.Time, source int, err error) {
	s := &m.silent[source]
	if err == nil {
		*s = silence{}
		return
	}
	if s.err = err; s.since.IsZero() {
		s.since = now
	}
}

// looked takes the word of the owner. Nodes that are not in it any more are forgotten.
func (m *model) looked(now time.Time, l *launcher.Look, err error) {
	if m.failed(now, ownerSource, err); err != nil {
		return
	}
	first := m.look.State.Name == ""
	m.look = *l
	here := map[string]bool{}
	for _, n := range l.State.Nodes {
		here[n.ID] = true
		w := m.nodes[n.ID]
		if w == nil {
			w = &watched{}
			m.nodes[n.ID] = w
		}
		if w.pid != n.PID || n.Metrics == "" { // another process owes no answer yet
			w.pid, w.answered = n.PID, now
		}
	}
	for id := range m.nodes {
		if !here[id] {
			delete(m.nodes, id)
		}
	}
	m.tellFaults(l.Faults, first)
}

// tellFaults makes events of faults that began or ended.
func (m *model) tellFaults(list []launcher.Struck, first bool) {
	told := m.faults
	m.faults = map[int]bool{}
	for _, f := range list {
		ended, known := told[f.ID]
		node := ""
		if len(f.Nodes) == 1 {
			node = f.Nodes[0]
		}
		if !known && !(first && f.Ended != nil) { // what is over when the observer begins is no news
			m.tell(Event{Time: f.Began, Kind: "fault_began", Node: node, Mark: MarkFault, Text: fmt.Sprintf("fault %d: %s: %s", f.ID, f.Fault, f.What)})
		}
		lasted := f.Ended != nil && f.Ended.Sub(f.Began) > time.Second/10 // one that is over at once has no end to tell
		if known && !ended && lasted {
			m.tell(Event{Time: *f.Ended, Kind: "fault_ended", Node: node, Mark: MarkFault, Text: fmt.Sprintf("fault %d: %s has ended", f.ID, f.Fault)})
		}
		m.faults[f.ID] = f.Ended != nil
	}
}

// tell puts an event of the observer into the log.
func (m *model) tell(e Event) {
	e.Source = observerSource
	m.log(e)
}

const observerSource = "observer"

func (m *model) log(e Event) {
	m.eventSeq++
	e.Seq = m.eventSeq
	m.events.put(e)
}

// markOf says which events of managers belong on charts.
func markOf(kind string) string {
	switch kind {
	case "move_begun", "move_ended":
		return MarkMove
	}
	return ""
}

// heard takes events of the managers.
func (m *model) heard(now time.Time, es *httpapi.Events, err error) {
	if m.failed(now, eventsSource, err); err != nil {
		return
	}
	m.since = es.Next
	for _, e := range es.Events {
		m.log(Event{Time: e.Time, Source: e.Manager, Kind: e.Kind, Node: cmp.Or(e.Node, e.To), PID: e.PID, Mark: markOf(e.Kind), Text: e.Text})
	}
}

// told takes the word of the managers; what they did say beside an error counts.
func (m *model) told(now time.Time, b *Books, err error) {
	if m.failed(now, booksSource, err); err != nil {
		return
	}
	m.books = *b
	here := map[wire.PID]bool{}
	for _, v := range b.VNodes {
		here[v.PID] = true
	}
	for pid := range m.progress {
		if !here[pid] {
			delete(m.progress, pid)
		}
	}
	for _, d := range b.Details {
		if !here[d.PID] {
			continue
		}
		p := &progress{detail: d, at: now}
		p.since(m.progress[d.PID])
		m.progress[d.PID] = p
	}
}

// answered takes the answer of a node, or that there was none.
func (m *model) answered(now time.Time, id string, r *Reading, err error) {
	w := m.nodes[id]
	if w == nil {
		return // it was removed meanwhile
	}
	if w.err = err; err != nil {
		return
	}
	w.was, w.is, w.answered = w.is, r, now
	if s, ok := spanOf(w.was, w.is); ok {
		b := loadOf(m.roleOf(id), &s)
		w.borne = &b
	}
}

func (m *model) roleOf(id string) string {
	for _, n := range m.look.State.Nodes {
		if n.ID == id {
			return n.Role
		}
	}
	return ""
}

// round ends a round: it judges, and makes a point and a snapshot of what is known now.
func (m *model) round(now time.Time) *Snapshot {
	m.seq++
	m.excuse(now)
	st := &m.look.State
	s := &Snapshot{
		Seq: m.seq, Time: now, Cluster: st.Name, ClusterID: st.ClusterID, Owner: st.Owner, Started: st.Started,
		Nodes: m.judged(now), VNodesTotal: m.books.VNodesTotal, Links: m.links(), Owns: m.owns(), Moves: movesOf(m.books.Moves), Faults: faultsOf(m.look.Faults),
		Warnings: m.warnings(),
	}
	s.Leaders = m.lead(now, s.Nodes)
	s.VNodes = m.vnodes()
	s.Totals = m.point(now, s)
	s.Events = m.events.all()
	return s
}

// excuse sees to it that nobody is called silent because the observer itself did not run: the machine was busy, or slept.
func (m *model) excuse(now time.Time) {
	if slept := now.Sub(m.rounded) - m.interval; !m.rounded.IsZero() && slept > m.interval {
		for _, w := range m.nodes {
			if w.answered = w.answered.Add(slept); w.answered.After(now) {
				w.answered = now
			}
		}
	}
	m.rounded = now
}

// judged says how each node is, and notes who has changed.
func (m *model) judged(now time.Time) []Node {
	members := map[string]*httpapi.Node{}
	if m.silent[booksSource].since.IsZero() {
		for i, n := range m.books.Status.Nodes {
			members[n.ID] = &m.books.Status.Nodes[i]
		}
	}
	out := []Node{}
	for _, p := range m.look.State.Nodes {
		w := m.nodes[p.ID]
		e := evidence{now: now, process: p, member: members[p.ID], answered: w.answered, asked: w.err, silence: silentAfter(m.interval)}
		for _, f := range m.look.Faults {
			if slices.Contains(f.Nodes, p.ID) {
				e.faults = append(e.faults, f)
			}
		}
		m.judge(now, p, w, &e)
		n := Node{ID: p.ID, Role: p.Role, State: w.state, Why: w.why, Since: w.since, Addr: p.Addr, HTTP: p.Metrics, PID: p.PID}
		if e.member != nil {
			n.Rack, n.Epoch = e.member.Rack, e.member.Epoch
		}
		if b := w.borne; b != nil && answers(w.state) {
			load := b.Load
			n.Load = &load
		}
		out = append(out, n)
	}
	slices.SortStableFunc(out, func(a, b Node) int {
		return cmp.Or(slices.Index(roles, a.Role)-slices.Index(roles, b.Role), compareIDs(a.ID, b.ID))
	})
	return out
}

// answers reports whether a node in a state tells what it bears.
func answers(s State) bool { return s != Dead && s != Silent && s != Paused && s != Starting }

// compareIDs has p2 before p10.
func compareIDs(a, b string) int {
	x, y := strings.TrimRight(a, "0123456789"), strings.TrimRight(b, "0123456789")
	if x == y && len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// judge judges one node.
func (m *model) judge(now time.Time, p launcher.NodeInfo, w *watched, e *evidence) {
	was, v := w.verdict, judge(e)
	if v.since.IsZero() {
		v.since = now
		if was.state == v.state {
			v.since = was.since
		}
	}
	w.verdict = v
	switch {
	case was.state == v.state:
	case !v.state.Well() && v.state != Starting && (was.state == "" || was.state.Well() || was.state == Starting):
		m.tell(Event{Time: v.since, Kind: "node_" + string(v.state), Node: p.ID, Mark: MarkDown, Text: fmt.Sprintf("%s %s is %s: %s", p.Role, p.ID, said(v.state), v.why)})
	case v.state.Well() && was.state != "" && !was.state.Well():
		m.tell(Event{Time: v.since, Kind: "node_" + string(v.state), Node: p.ID, Mark: MarkUp, Text: fmt.Sprintf("%s %s is %s again", p.Role, p.ID, said(v.state))})
	}
}

func said(s State) string { return strings.ReplaceAll(string(s), "_", " ") }

// warnings says what the managers warn of, and who does not answer.
func (m *model) warnings() []string {
	out := []string{}
	for i, s := range m.silent {
		if !s.since.IsZero() {
			out = append(out, fmt.Sprintf("%s since %s: %v", sourceNames[i], clock(s.since), s.err))
		}
	}
	if m.silent[booksSource].since.IsZero() {
		out = append(out, m.books.Status.Warnings...)
	}
	return out
}

const (
	leadsMetric = "splitkernel_manager_leads"
	termMetric  = "splitkernel_manager_term"
)

// managerNames are the three.
var managerNames = []string{wire.GPM.String(), wire.GMM.String(), wire.GSM.String()}

// lead finds the leaders: those who say so themselves, under the highest term, because the managers answer late while they have none. It notes them
// at the nodes.
func (m *model) lead(now time.Time, nodes []Node) []Leader {
	for i, name := range managerNames {
		label := fmt.Sprintf("manager=%q", name)
		found, heard := Leader{Manager: name}, false
		for _, n := range nodes {
			w := m.nodes[n.ID]
			if n.Role != wire.RoleManager.String() || w.is == nil || !answers(n.State) {
				continue
			}
			heard = true
			if term := uint64(w.is.Metrics.sum(termMetric, label)); w.is.Metrics.sum(leadsMetric, label) > 0 && term >= found.Term {
				found.Node, found.Term = n.ID, term
			}
		}
		if len(m.leaders) <= i {
			m.leaders = append(m.leaders, Leader{Manager: name, Since: now})
		}
		l := &m.leaders[i]
		switch {
		case !heard || found.Node == l.Node:
			l.Term = max(l.Term, found.Term)
		case found.Node == "":
			l.Node, l.Since = "", now
			m.tell(Event{Time: now, Kind: "leader_lost", Mark: MarkLeader, Text: fmt.Sprintf("%s has no leader", name)})
		default:
			if l.Term > 0 { // the first that is seen is no change
				l.Changes++
				m.changes++
				m.tell(Event{Time: now, Kind: "leader_changed", Node: found.Node, Mark: MarkLeader, Text: fmt.Sprintf("%s leads %s in term %d", found.Node, name, found.Term)})
			}
			l.Node, l.Term, l.Since = found.Node, found.Term, now
		}
		for j := range nodes {
			if l.Node != "" && nodes[j].ID == l.Node {
				nodes[j].Leads = append(nodes[j].Leads, name)
			}
		}
	}
	return slices.Clone(m.leaders)
}

func (m *model) vnodes() []VNode {
	out := []VNode{}
	for _, v := range m.books.VNodes[:min(len(m.books.VNodes), MaxVNodes)] {
		n := VNode{PID: v.PID, Name: v.Name, Phase: v.Phase, On: v.Node, Threads: v.Threads, Volumes: len(v.Volumes), Lost: v.Lost}
		if v.Home != nil {
			n.Home = v.Home.Node
		}
		if p := m.progress[v.PID]; p != nil {
			n.Regions, n.Error = len(p.detail.Regions), p.detail.ProgressError
			if pr := p.detail.Progress; pr != nil {
				n.State, n.References, n.RefsPerSec, n.Hits, n.Blocks = pr.State, pr.References, p.refs, pr.Hits, pr.BlockRequests
				n.Steps, n.StepsTotal, n.Left = pr.Steps, pr.StepsTotal, p.left()
				n.Error = cmp.Or(pr.Error, n.Error)
			}
		}
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b VNode) int { return cmp.Compare(a.PID, b.PID) })
	return out
}

// owns says who has what, by vNode and node.
func (m *model) owns() []Own {
	type key struct {
		pid  wire.PID
		node string
	}
	all := map[key]*Own{}
	at := func(pid wire.PID, node string) *Own {
		k := key{pid, node}
		if all[k] == nil {
			all[k] = &Own{PID: pid, Node: node}
		}
		return all[k]
	}
	for _, v := range m.books.VNodes {
		if v.Node != "" {
			at(v.PID, v.Node).Process = true
		}
		if v.Home != nil {
			at(v.PID, v.Home.Node).Home = true
		}
		for _, w := range v.Volumes {
			if w.Cache != "" {
				at(v.PID, w.Cache).Caches++
			}
			if w.Storage != "" && len(w.Replicas) == 0 {
				at(v.PID, w.Storage).Volumes++
			}
			for _, r := range w.Replicas {
				at(v.PID, r.Node).Volumes++
			}
		}
		if p := m.progress[v.PID]; p != nil {
			for _, r := range p.detail.Regions {
				at(v.PID, r.Node).Regions++
				for _, c := range r.Copies {
					at(v.PID, c.Node).Copies++
				}
			}
		}
	}
	out := make([]Own, 0, len(all))
	for _, o := range all {
		out = append(out, *o)
	}
	slices.SortFunc(out, func(a, b Own) int { return cmp.Or(cmp.Compare(a.PID, b.PID), compareIDs(a.Node, b.Node)) })
	return out[:min(len(out), MaxOwns)]
}

// links gives what components send to each other, by those that made the connections.
func (m *model) links() []Link {
	byAddr := map[string]string{}
	for _, n := range m.look.State.Nodes {
		byAddr[n.Addr] = n.ID
	}
	type pair struct{ from, to string }
	all := map[pair]float64{}
	for id, w := range m.nodes {
		s, ok := spanOf(w.was, w.is)
		if !ok || !answers(w.state) {
			continue
		}
		type bytes struct{ in, out uint64 }
		was := map[string]bytes{}
		for _, l := range w.was.Links {
			was[string(l.Addr)] = bytes{l.In, l.Out}
		}
		for _, l := range w.is.Links {
			if to := byAddr[string(l.Addr)]; to != "" && to != id {
				b := was[string(l.Addr)]
				all[pair{id, to}] += s.delta(float64(b.out), float64(l.Out)) / s.seconds
				all[pair{to, id}] += s.delta(float64(b.in), float64(l.In)) / s.seconds
			}
		}
	}
	out := make([]Link, 0, len(all))
	for p, v := range all {
		out = append(out, Link{p.from, p.to, v})
	}
	byEnds := func(a, b Link) int { return cmp.Or(compareIDs(a.From, b.From), compareIDs(a.To, b.To)) }
	slices.SortFunc(out, func(a, b Link) int { return cmp.Or(cmp.Compare(b.BytesPerSec, a.BytesPerSec), byEnds(a, b)) })
	out = out[:min(len(out), MaxLinks)]
	slices.SortFunc(out, byEnds)
	return out
}

func movesOf(ms []httpapi.Move) []Move {
	out := []Move{}
	for _, m := range slices.Backward(ms) {
		what := fmt.Sprintf("%s of vNode %d", m.Kind, m.PID)
		switch {
		case m.Region != nil:
			what = fmt.Sprintf("vregion %d of vNode %d", *m.Region, m.PID)
		case m.Volume != 0:
			what = fmt.Sprintf("%s %d", m.Kind, m.Volume)
		}
		out = append(out, Move{m.Manager, m.Move, what, m.From, m.To, m.State, m.Cause, m.Begun, m.Ended, m.PauseUS})
	}
	return out[:min(len(out), MaxMoves)]
}

func faultsOf(fs []launcher.Struck) []Fault {
	out := []Fault{}
	for _, f := range slices.Backward(fs) {
		out = append(out, Fault{f.ID, f.Fault, f.Kind, f.Nodes, f.Began, f.Ended, f.What})
	}
	return out
}

// movingState is that of a move that has not ended.
const movingState = "under_way"

// point makes a point of the series.
func (m *model) point(now time.Time, s *Snapshot) Sample {
	p := Sample{Time: now, VNodes: s.VNodesTotal, LeaderChanges: m.changes, Nodes: len(s.Nodes)}
	var hits float64
	var latencies [][]bucket
	for _, n := range s.Nodes {
		if n.State.Well() {
			p.NodesWell++
		}
		if n.Load == nil {
			continue
		}
		b := m.nodes[n.ID].borne
		p.add(n.Role, b)
		hits += b.hits
		latencies = append(latencies, b.faults)
	}
	all := mergeBuckets(latencies...)
	p.HitRatio, p.FaultP50, p.FaultP99 = ratio(hits, p.AccessesPerSec), quantile(0.5, all), quantile(0.99, all)
	for _, v := range s.Moves {
		if v.State == movingState {
			p.Moving++
		}
	}
	return p
}

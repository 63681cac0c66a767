package observe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"splitkernel/gmanagers/httpapi"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/launcher"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a cluster of a test: what its source answers.
type world struct {
	mu     sync.Mutex
	look   launcher.Look
	books  Books
	events []httpapi.Event
	nodes  map[string]func(ctx context.Context) (*Reading, error) // by metrics address
	now    time.Time
	err    error // of the managers
}

func newWorld() *world {
	w := &world{now: time.Unix(1_000_000, 0), nodes: map[string]func(context.Context) (*Reading, error){}}
	w.look.State = launcher.State{Name: "laptop", Owner: launcher.OwnerUp, ClusterID: "laptop-1"}
	for i, id := range []string{"g1", "m1", "p1", "p10", "p2", "s1"} {
		role := map[byte]string{'g': "manager", 'm': "mcomponent", 'p': "pcomponent", 's': "scomponent"}[id[0]]
		w.look.State.Nodes = append(w.look.State.Nodes, launcher.NodeInfo{ID: id, Role: role, PID: 100 + i, Addr: "unix:/" + id, Metrics: "at:" + id, Alive: true})
		w.books.Status.Nodes = append(w.books.Status.Nodes, httpapi.Node{ID: id, Role: role, State: "active", Alive: true, Epoch: 1})
	}
	return w
}

func (w *world) source() Source {
	return Source{
		Look: func(context.Context) (*launcher.Look, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			l := w.look
			l.State.Nodes, l.Faults = slices.Clone(l.State.Nodes), slices.Clone(l.Faults)
			return &l, nil
		},
		Books: func(context.Context, int) (*Books, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			b := w.books
			return &b, w.err
		},
		Events: func(_ context.Context, since string) (*httpapi.Events, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			from := 0
			fmt.Sscanf(since, "%d", &from)
			return &httpapi.Events{Events: w.events[from:], Next: fmt.Sprint(len(w.events))}, w.err
		},
		Node: func(ctx context.Context, addr string) (*Reading, error) {
			w.mu.Lock()
			answer := w.nodes[addr]
			w.mu.Unlock()
			if answer == nil {
				return &Reading{At: time.Now(), Metrics: Metrics{}}, nil
			}
			return answer(ctx)
		},
	}
}

// told makes a model that has heard a world.
func told(w *world) *model {
	m := newModel(time.Second)
	m.looked(w.now, &w.look, nil)
	m.told(w.now, &w.books, nil)
	return m
}

func (w *world) find(s *Snapshot, id string) Node {
	for _, n := range s.Nodes {
		if n.ID == id {
			return n
		}
	}
	return Node{}
}

func texts(s *Snapshot) (out []string) {
	for _, e := range s.Events {
		out = append(out, e.Kind+" "+e.Text)
	}
	return out
}

// TestTimeLeft: at a pace that forgets; none of one that stands still, whose length nobody knows, that has just been seen or that has ended. One that goes on
// from a checkpoint has a pace of its own.
func TestTimeLeft(t *testing.T) {
	w := newWorld()
	was := &progress{}
	step := func(after time.Duration, pr *httpapi.Progress) *float64 {
		w.now = w.now.Add(after)
		p := &progress{detail: httpapi.VNodeDetail{Progress: pr}, at: w.now}
		p.since(was)
		was = p
		return p.left()
	}
	at := func(steps, total uint64) *httpapi.Progress { return &httpapi.Progress{Steps: steps, StepsTotal: total} }
	for i, c := range []struct {
		after time.Duration
		is    *httpapi.Progress
		low   float64
		high  float64 // 0: not known
	}{
		{time.Second, at(0, 1000), 0, 0},
		{time.Second, at(100, 1000), 9, 9},
		{time.Second, at(300, 1000), 6, 7},  // mostly the pace before
		{time.Minute, at(900, 1000), 9, 10}, // after a minute only the new one
		{time.Second, at(200, 1000), 0, 0},  // back to a checkpoint
		{time.Second, at(300, 1000), 7, 7},
		{time.Hour, at(300, 1000), 0, 0}, // it stands still
		{time.Second, &httpapi.Progress{References: 5}, 0, 0},
		{time.Second, at(999, 1000), 0, 0},
		{time.Second, at(1000, 1000), 1e-9, 1e-9},
		{time.Second, &httpapi.Progress{Steps: 1000, StepsTotal: 1000, Ended: true}, 0, 0},
	} {
		switch left := step(c.after, c.is); {
		case (left != nil) != (c.high > 0):
			t.Errorf("%d: %v left, want it known: %v", i, left, c.high > 0)
		case left != nil && (*left < c.low-1e-9 || *left > c.high+1e-9):
			t.Errorf("%d: %v s left, want %v to %v", i, *left, c.low, c.high)
		}
	}
}

// TestFiguresOfARound: what nodes count becomes rates and sums; a link is told by whom made it; vNodes have progress and owners.
func TestFiguresOfARound(t *testing.T) {
	w := newWorld()
	w.books.VNodesTotal = 1
	v := httpapi.VNode{PID: 7, Name: "sort", Phase: "running", Node: "p1", Threads: 2, Home: &httpapi.Home{Node: "m1"}, Volumes: []httpapi.Volume{{Volume: 1, Storage: "s1", Cache: "m1"}}}
	detail := func(refs uint64) []httpapi.VNodeDetail {
		return []httpapi.VNodeDetail{{VNode: v, Regions: []httpapi.Region{{Region: 1, Node: "m1", Copies: []httpapi.Copy{{Node: "m2"}}}}, Progress: &httpapi.Progress{State: "running", References: refs, Steps: refs + 10, StepsTotal: 25_010}}}
	}
	w.books.VNodes, w.books.Details = []httpapi.VNode{v}, detail(1000)
	m := told(w)
	p1 := func(accesses, hits, fetched, fast, all, out string) Metrics {
		return metrics(t, `splitkernel_pcomponent_accesses_total{op="read"} `+accesses+`
splitkernel_pcomponent_hits_total `+hits+`
splitkernel_pcomponent_faults_total{kind="fetch"} `+fetched+`
splitkernel_pcomponent_fault_duration_seconds_bucket{kind="fetch",le="0.001"} `+fast+`
splitkernel_pcomponent_fault_duration_seconds_bucket{kind="fetch",le="+Inf"} `+all+`
splitkernel_node_link_transferred_bytes_total{direction="out"} `+out+`
splitkernel_netlayer_server_requests_queued 2
`)
	}
	m.answered(w.now, "p1", &Reading{At: w.now, Metrics: p1("100", "80", "20", "10", "20", "0"), Links: []netlayer.LinkUse{{Addr: "unix:/m1", In: 10, Out: 20}, {Addr: "unix:/nobody", Out: 9}}}, nil)
	s := m.round(w.now)
	if n := w.find(s, "p1"); n.Load != nil || s.Totals.HitRatio != nil {
		t.Errorf("one answer gives no rate: %+v, hit ratio %v", n.Load, s.Totals.HitRatio)
	}
	w.now = w.now.Add(2 * time.Second)
	m.answered(w.now, "p1", &Reading{At: w.now, Metrics: p1("300", "230", "70", "60", "70", "5000"), Links: []netlayer.LinkUse{{Addr: "unix:/m1", In: 4010, Out: 820}, {Addr: "unix:/nobody", Out: 99}}}, nil)
	w.books.Details = detail(5000)
	m.told(w.now, &w.books, nil)
	s = m.round(w.now)
	p := s.Totals
	if p.AccessesPerSec != 100 || *p.HitRatio != 0.75 || p.FaultsPerSec != 25 || p.LinkPerSec != 2500 || p.Queue != 2 || *p.FaultP50 != 0.0005 || p.Nodes != 6 || p.NodesWell != 6 {
		t.Errorf("totals: %+v, hit ratio %v, p50 %v", p, *p.HitRatio, *p.FaultP50)
	}
	if want := []Link{{"m1", "p1", 2000}, {"p1", "m1", 400}}; !slices.Equal(s.Links, want) {
		t.Errorf("links %v, want %v", s.Links, want)
	}
	if got := s.VNodes; len(got) != 1 || got[0].RefsPerSec != 2000 || got[0].References != 5000 || got[0].Regions != 1 || got[0].Home != "m1" || got[0].State != "running" || got[0].Steps != 5010 || got[0].StepsTotal != 25_010 || got[0].Left == nil || *got[0].Left != 10 {
		t.Errorf("vNodes %+v", got)
	}
	want := []Own{{PID: 7, Node: "m1", Home: true, Regions: 1, Caches: 1}, {PID: 7, Node: "m2", Copies: 1}, {PID: 7, Node: "p1", Process: true}, {PID: 7, Node: "s1", Volumes: 1}}
	if !slices.Equal(s.Owns, want) {
		t.Errorf("owns %+v, want %+v", s.Owns, want)
	}
	var ids []string
	for _, n := range s.Nodes {
		ids = append(ids, n.ID)
	}
	if got := strings.Join(ids, " "); got != "g1 p1 p2 p10 m1 s1" {
		t.Errorf("order of nodes: %s", got)
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"moves":[]`, `"faults":[]`, `"events":[]`, `"warnings":[]`} { // lists are never null
		if !strings.Contains(string(text), want) {
			t.Errorf("JSON: no %s in %s", want, text)
		}
	}
}

// TestLeaders: the word of the highest term counts, a change is counted and told, a silent leader leaves none.
func TestLeaders(t *testing.T) {
	w := newWorld()
	w.look.State.Nodes[1].Role, w.look.State.Nodes[1].ID = "manager", "g2"
	m := told(w)
	leads := func(id, leads, term string) {
		m.answered(w.now, id, &Reading{At: w.now, Metrics: metrics(t, `splitkernel_manager_leads{manager="gmm"} `+leads+"\nsplitkernel_manager_term{manager=\"gmm\"} "+term+"\n")}, nil)
	}
	gmm := func(s *Snapshot) Leader { return s.Leaders[1] }
	leads("g1", "1", "2")
	leads("g2", "0", "2")
	s := m.round(w.now)
	if l := gmm(s); l.Manager != "gmm" || l.Node != "g1" || l.Term != 2 || l.Changes != 0 || !slices.Equal(w.find(s, "g1").Leads, []string{"gmm"}) {
		t.Errorf("first: %+v, g1 leads %v", l, w.find(s, "g1").Leads)
	}
	leads("g2", "1", "3") // g1 does not know yet
	s = m.round(w.now)
	if l := gmm(s); l.Node != "g2" || l.Term != 3 || l.Changes != 1 || s.Totals.LeaderChanges != 1 {
		t.Errorf("after a change: %+v, %d changes", l, s.Totals.LeaderChanges)
	}
	leads("g1", "0", "3")
	leads("g2", "0", "4")
	s = m.round(w.now)
	if l := gmm(s); l.Node != "" {
		t.Errorf("nobody says that it leads: %+v", l)
	}
	got := strings.Join(texts(s), "\n")
	for _, want := range []string{"leader_changed g2 leads gmm in term 3", "leader_lost gmm has no leader"} {
		if !strings.Contains(got, want) {
			t.Errorf("events:\n%s\nwant %s", got, want)
		}
	}
}

// TestDownAndUpAreToldOnce: a node that dies and comes back makes one event each, and faults those of theirs.
func TestDownAndUpAreToldOnce(t *testing.T) {
	w := newWorld()
	over := w.now.Add(-time.Minute)
	w.look.Faults = []launcher.Struck{{ID: 1, Fault: "kill s1", Kind: "kill", Nodes: []string{"s1"}, Began: over, Ended: &over}} // before we looked
	m := told(w)
	for _, n := range w.look.State.Nodes {
		m.answered(w.now, n.ID, &Reading{At: w.now, Metrics: Metrics{}}, nil)
	}
	if s := m.round(w.now); len(s.Events) != 0 || s.Totals.NodesWell != 6 {
		t.Errorf("nothing has happened: %v, %d well", texts(s), s.Totals.NodesWell)
	}
	died := w.now.Add(time.Second)
	w.look.State.Nodes[1].Alive, w.look.State.Nodes[1].Ended, w.look.State.Nodes[1].How = false, &died, "signal: killed"
	w.look.Faults = append(w.look.Faults, launcher.Struck{ID: 2, Fault: "kill m1 for 3s", Kind: "kill", Nodes: []string{"m1"}, Began: died, What: "m1 was killed"})
	for range 2 {
		m.looked(died, &w.look, nil)
		m.round(died)
	}
	back := died.Add(3 * time.Second)
	w.look.State.Nodes[1] = launcher.NodeInfo{ID: "m1", Role: "mcomponent", PID: 200, Alive: true, Metrics: "at:m1"}
	w.look.Faults[1].Ended = &back
	for _, n := range w.look.State.Nodes {
		m.answered(back, n.ID, &Reading{At: back, Metrics: Metrics{}}, nil)
	}
	m.looked(back, &w.look, nil)
	s := m.round(back)
	var kinds []string
	for i, e := range s.Events {
		kinds = append(kinds, e.Kind+":"+e.Mark)
		if e.Seq != uint64(i+1) {
			t.Errorf("event %d has number %d", i+1, e.Seq)
		}
	}
	if got := strings.Join(kinds, " "); got != "fault_began:fault node_dead:down fault_ended:fault node_up:up" {
		t.Errorf("events: %s\n%s", got, strings.Join(texts(s), "\n"))
	}
	if len(s.EventsAfter(3)) != 1 || len(s.EventsAfter(4)) != 0 {
		t.Errorf("events after 3: %v", s.EventsAfter(3))
	}
}

func TestWhoDoesNotAnswerIsSaid(t *testing.T) {
	w := newWorld()
	w.books.Status.Warnings = []string{"gmm has no leader"}
	m := told(w)
	if s := m.round(w.now); len(s.Warnings) != 1 || s.Warnings[0] != "gmm has no leader" {
		t.Errorf("warnings: %q", s.Warnings)
	}
	m.told(w.now, &w.books, errors.New("no quorum"))
	m.told(w.now.Add(time.Second), &w.books, errors.New("no manager runs"))
	s := m.round(w.now)
	if want := "the managers do not answer since " + clock(w.now) + ": no manager runs"; len(s.Warnings) != 1 || s.Warnings[0] != want {
		t.Errorf("warnings: %q, want %q", s.Warnings, want)
	}
}

// TestAnObserverThatSleptBlamesNobody: after a pause of the observer nobody is silent; who does not answer from then on is.
func TestAnObserverThatSleptBlamesNobody(t *testing.T) {
	w := newWorld()
	m := told(w)
	for _, c := range []struct {
		after time.Duration
		well  int
	}{{time.Second, 6}, {time.Minute, 6}, {time.Second, 0}} {
		w.now = w.now.Add(c.after)
		if s := m.round(w.now); s.Totals.NodesWell != c.well {
			t.Errorf("%s later: %d well, want %d: %v", c.after, s.Totals.NodesWell, c.well, texts(s))
		}
	}
}

// TestBounds: a thousand vNodes and many events stay within their limits.
func TestBounds(t *testing.T) {
	w := newWorld()
	w.books.VNodesTotal = 10 * MaxVNodes
	for i := range 10 * MaxVNodes {
		w.books.VNodes = append(w.books.VNodes, httpapi.VNode{PID: wire.PID(i + 1), Node: "p1", Home: &httpapi.Home{Node: "m1"}, Volumes: []httpapi.Volume{{Storage: "s1", Cache: "m2"}}})
		w.books.Moves = append(w.books.Moves, httpapi.Move{Move: uint64(i + 1), State: "under_way"})
		w.events = append(w.events, httpapi.Event{Seq: uint64(i + 1)})
	}
	m := told(w)
	m.heard(w.now, &httpapi.Events{Events: w.events, Next: "x"}, nil)
	s := m.round(w.now)
	if len(s.VNodes) != MaxVNodes || s.VNodesTotal != 10*MaxVNodes || len(s.Owns) != MaxOwns || len(s.Moves) != MaxMoves || len(s.Events) != MaxEvents {
		t.Errorf("%d vNodes of %d, %d owns, %d moves, %d events", len(s.VNodes), s.VNodesTotal, len(s.Owns), len(s.Moves), len(s.Events))
	}
	if s.Moves[0].Move != 10*MaxVNodes || s.Events[MaxEvents-1].Seq != 10*MaxVNodes {
		t.Errorf("the last are kept: move %d, event %d", s.Moves[0].Move, s.Events[MaxEvents-1].Seq)
	}
}

// run runs an observer until the test ends.
func run(t *testing.T, w *world) *Observer {
	t.Helper()
	o, err := New(Options{Source: w.source(), Interval: MinInterval})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return o
}

const patience = 20 * time.Second

// await reads snapshots until one is as it should be.
func await(t *testing.T, updates <-chan *Snapshot, what string, ok func(*Snapshot) bool) *Snapshot {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case s, open := <-updates:
			if !open {
				t.Fatalf("%s: the updates have ended", what)
			}
			if ok(s) {
				return s
			}
		case <-limit:
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// TestOneThatHangsDelaysNobody: a node that takes questions and never answers is called silent, while rounds go on and the others are up.
func TestOneThatHangsDelaysNobody(t *testing.T) {
	w := newWorld()
	o := run(t, w)
	updates, cancel, err := o.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	await(t, updates, "all up", func(s *Snapshot) bool { return s.Totals.NodesWell == 6 })
	w.mu.Lock()
	w.nodes["at:m1"] = func(ctx context.Context) (*Reading, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	w.mu.Unlock()
	s := await(t, updates, "m1 silent", func(s *Snapshot) bool { return w.find(s, "m1").State == Silent })
	seq := s.Seq
	s = await(t, updates, "rounds go on", func(s *Snapshot) bool { return s.Seq >= seq+5 && s.Totals.NodesWell == 5 })
	if why := w.find(s, "m1").Why; !strings.Contains(why, "has not answered since") {
		t.Errorf("why: %q", why)
	}
	w.mu.Lock()
	w.nodes["at:m1"] = nil
	w.mu.Unlock()
	await(t, updates, "m1 up again", func(s *Snapshot) bool { return s.Totals.NodesWell == 6 })
	if got := o.Series(); len(got) < 5 || got[len(got)-1].Time.Before(got[0].Time) {
		t.Errorf("%d points", len(got))
	}
}

// TestSubscribers: who does not read holds up nobody and finds the latest; more than the limit are refused; all are closed at the end.
func TestSubscribers(t *testing.T) {
	w := newWorld()
	o := run(t, w)
	lazy, cancelLazy, err := o.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	updates, cancel, err := o.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	s := await(t, updates, "five rounds", func(s *Snapshot) bool { return s.Seq >= 5 })
	if got := <-lazy; got.Seq < s.Seq {
		t.Errorf("a lazy reader finds round %d, the last is %d", got.Seq, s.Seq)
	}
	cancel()
	cancel() // may be said again
	if _, open := <-updates; open {
		if _, open = <-updates; open {
			t.Error("cancel does not close the updates")
		}
	}
	cancelLazy()
	for range MaxSubscribers {
		if _, _, err := o.Subscribe(); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := o.Subscribe(); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v, want %v", err, ErrTooMany)
	}
}

func TestBadOptions(t *testing.T) {
	w := newWorld()
	for want, o := range map[string]Options{
		"want Look, Books, Events and Node": {},
		"interval 1ms, want at least 50ms":  {Source: w.source(), Interval: time.Millisecond},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

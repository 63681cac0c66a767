package membership

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

func memory(id string) wire.Member {
	return wire.Member{ID: wire.NodeID(id), Role: wire.RoleMemory, Addr: "inproc:" + id, Capacity: wire.Capacity{MemoryBytes: 1 << 20, RegionBytes: 1 << 16}}
}

func TestRegisterGivesEpochs(t *testing.T) {
	tab := NewTable(wire.RoleMemory)
	for want := wire.Epoch(1); want <= 3; want++ {
		for _, id := range []string{"m2", "m1"} {
			m := memory(id)
			m.Epoch = 77 // is not read
			if e, err := tab.Register(m); err != nil || e != want {
				t.Fatalf("%s: epoch %d, %v, want %d", id, e, err, want)
			}
			if !tab.Current(m.ID, want) || tab.Current(m.ID, want-1) {
				t.Errorf("%s: not current under %d alone", id, want)
			}
		}
	}
	ms := tab.Members()
	if len(ms) != 2 || ms[0].ID != "m1" || ms[1].ID != "m2" {
		t.Errorf("members %+v, want m1 and m2 in order", ms)
	}
	again, err := Load(wire.RoleMemory, tab.Save())
	if err != nil || !reflect.DeepEqual(again, tab) {
		t.Errorf("restored: %+v, %v", again, err)
	}
	if _, err := Load(wire.RoleStorage, tab.Save()); err == nil {
		t.Error("mComponents were restored at GSM")
	}
}

func TestRegisterRefuses(t *testing.T) {
	for want, edit := range map[string]func(*wire.Member){
		"id of 0 bytes":                   func(m *wire.Member) { m.ID = "" },
		"address of 0 bytes":              func(m *wire.Member) { m.Addr = "" },
		"rack of 65 bytes":                func(m *wire.Member) { m.Rack = strings.Repeat("r", 65) },
		"is a pcomponent":                 func(m *wire.Member) { m.Role = wire.RoleCompute },
		"region_bytes: 65537":             func(m *wire.Member) { m.Capacity.RegionBytes++ },
		"region_bytes: 0":                 func(m *wire.Member) { m.Capacity.RegionBytes = 0 },
		"memory_bytes: 0":                 func(m *wire.Member) { m.Capacity.MemoryBytes = 0 },
		"want a power of two of at least": func(m *wire.Member) { m.Capacity.RegionBytes = 2048 },
	} {
		m := memory("m1")
		edit(&m)
		if _, err := NewTable(wire.RoleMemory).Register(m); !errors.Is(err, wire.ErrBadRequest) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	tab := NewTable(wire.RoleMemory)
	for i := range MaxMembers {
		if _, err := tab.Register(memory(fmt.Sprint("m", i))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tab.Register(memory("one more")); !errors.Is(err, wire.ErrNoRoom) {
		t.Errorf("one more than %d: %v", MaxMembers, err)
	}
	if e, err := tab.Register(memory("m7")); err != nil || e != 2 {
		t.Errorf("m7 again: %d, %v", e, err)
	}
}

func ids(live []Live) string {
	var s []string
	for _, l := range live {
		s = append(s, string(l.ID))
	}
	return strings.Join(s, " ")
}

func TestWatch(t *testing.T) {
	const lease = 3 * time.Second
	a, b := memory("m1"), memory("m2")
	a.Epoch, b.Epoch = 1, 1
	members := []wire.Member{a, b}
	w := NewWatch(lease, 0)
	if got := ids(alive(w, wire.GMM, lease-1, members)); got != "m1 m2" {
		t.Errorf("in the first lease %q are alive, want all", got)
	}
	if got := ids(alive(w, wire.GMM, lease, members)); got != "" {
		t.Errorf("after a silent lease %q are alive, want none", got)
	}
	now := 10 * time.Second
	w.Heard(now, a, wire.Load{Misses: 3, Flushes: 4})
	if got := alive(w, wire.GMM, now+lease, members); len(got) != 1 || got[0] != (Live{ID: "m1", Epoch: 1, Addr: "inproc:m1", Traffic: 7}) {
		t.Errorf("alive: %+v, want m1 with traffic 7", got)
	}
	if got := ids(alive(w, wire.GMM, now+lease+1, members)); got != "" {
		t.Errorf("%q are alive after their lease", got)
	}
	w.Lead(wire.GMM, now+lease)
	if got := ids(alive(w, wire.GMM, now+2*lease-1, members)); got != "m1 m2" {
		t.Errorf("a new leader calls all but %q silent", got)
	}
	if got := ids(alive(w, wire.GSM, now+2*lease-1, members)); got != "" {
		t.Errorf("the grace of GMM's leader covers %q for GSM", got)
	}

	// Another incarnation.
	a.Epoch, now = 2, now+3*lease
	members[0] = a
	w.Heard(now, a, wire.Load{})
	old := a
	old.Epoch = 1
	if w.Heard(now, old, wire.Load{Misses: 99}) {
		t.Error("a heartbeat of an older epoch was heard")
	}
	if got := alive(w, wire.GMM, now, members); len(got) != 1 || got[0].Epoch != 2 || got[0].Traffic != 0 {
		t.Errorf("alive: %+v, want m1 under epoch 2", got)
	}
	members[0].Epoch = 3
	if got := ids(alive(w, wire.GMM, now, members)); got != "" {
		t.Errorf("%q was not heard under its present epoch", got)
	}
	w.Registered(now, members[0])
	st := w.Statuses(wire.GMM, now+time.Second, []Entry{{Member: members[0], Turn: 1}, {Member: members[1], Turn: 2, Drain: true}})
	if len(st) != 2 || !st[0].Alive || st[0].AgeMS != 1000 || st[1].Alive || st[1].AgeMS != -1 || st[0].State != Active || st[1].State != Draining {
		t.Errorf("statuses %+v", st)
	}
}

// TestNews: states that take over the news know what the watch knows, and are told again only what is otherwise. Before the time
// that it names nothing can become silent.
func TestNews(t *testing.T) {
	const lease = 3 * time.Second
	rapid.Check(t, func(t *rapid.T) {
		table, w := NewTable(wire.RoleMemory), NewWatch(lease, 0)
		now, told, until, turns := time.Duration(0), 0, time.Duration(0), uint64(0)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond
			m := memory(rapid.SampledFrom([]string{"m1", "m2", "m3"}).Draw(t, "id"))
			switch known, ok := table.Get(m.ID); {
			case !ok || rapid.IntRange(0, 9).Draw(t, "again") == 0:
				m.Epoch, _ = table.Register(m)
				w.Registered(now, m)
			case rapid.IntRange(0, 9).Draw(t, "leads") == 0:
				w.Lead(wire.GMM, now)
			default:
				w.Heard(now, known, wire.Load{Misses: rapid.Uint64Range(0, 1000).Draw(t, "misses")})
			}
			news, next := w.News(wire.GMM, now, table.Entries())
			if slept := turns == w.Turns() && now < until; slept && slices.ContainsFunc(news, func(l Live) bool { e, _ := table.Entry(l.ID); return e.Silent != l.Silent }) {
				t.Fatalf("at %v news %+v, none was due before %v", now, news, until)
			}
			until, turns = next, w.Turns()
			changed := 0
			table.See(news, func(wire.NodeID) { changed++ })
			if changed != len(news) {
				t.Fatalf("%d of %+v changed anything", changed, news)
			}
			told += changed
			if again, _ := w.News(wire.GMM, now, table.Entries()); len(again) > 0 {
				t.Fatalf("told %+v, and again %+v", news, again)
			}
			for i, m := range table.View() {
				traffic, ok := table.Heard(i)
				load, _, _ := w.Last(m)
				if ok != w.Alive(wire.GMM, now, m) || Differs(traffic, load.Misses) {
					t.Fatalf("%s: heard %v with traffic %d, the watch says %v, %d", m.ID, ok, traffic, w.Alive(wire.GMM, now, m), load.Misses)
				}
			}
		}
	})
}

// TestTrafficIsToldSeldom: a counter that grows with each heartbeat is told a few times for each doubling.
func TestTrafficIsToldSeldom(t *testing.T) {
	table, w := NewTable(wire.RoleMemory), NewWatch(DefaultLease, 0)
	m := memory("m1")
	m.Epoch, _ = table.Register(m)
	told := 0
	for n := range uint64(20_000) {
		w.Heard(time.Duration(n)*time.Millisecond, m, wire.Load{Misses: n})
		news, _ := w.News(wire.GMM, time.Duration(n)*time.Millisecond, table.Entries())
		told += len(news)
		table.See(news, func(wire.NodeID) {})
	}
	if told == 0 || told > 15*6+16 {
		t.Errorf("told %d times", told)
	}
}

// alive returns those of members that the watch says are heard of.
func alive(w *Watch, group wire.Manager, now time.Duration, members []wire.Member) (out []Live) {
	for _, m := range members {
		if l, _ := w.live(group, now, m); !l.Silent {
			out = append(out, l)
		}
	}
	return out
}

func TestCheckLease(t *testing.T) {
	if err := CheckLease("lease_ms", DefaultLease); err != nil {
		t.Error(err)
	}
	if err := CheckLease("lease_ms", time.Millisecond); err == nil || err.Error() != "lease_ms: 1, want 500 to 300000" {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	var r Refusals
	if r.String() != "no component is registered" {
		t.Error(r.String())
	}
	r.Short("m1", 3, 2, 9)
	r.Silent("m2")
	if want := "m1 has 2 of 9 free (1 short), m2 is silent"; r.String() != want {
		t.Errorf("%q, want %q", r.String(), want)
	}
	for range 100 {
		r.Silent("m3")
	}
	if got := r.String(); !strings.HasSuffix(got, "m3 is silent and 86 more without room") {
		t.Error(got)
	}
}

func TestTheRemedyFollowsOnlyAShortage(t *testing.T) {
	var none, silent, short Refusals
	silent.Silent("m1")
	short.Silent("m1")
	short.Short("m2", 3, 1, 4)
	for _, tc := range []struct {
		r    *Refusals
		want string
	}{{&none, "no component is registered"}, {&silent, "m1 is silent"}, {&short, "m1 is silent, m2 has 1 of 4 free (2 short); raise x"}} {
		if got := tc.r.With("raise x"); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

// TestWhatIsHotIsBounded: of one heartbeat, and of a listing.
func TestWhatIsHotIsBounded(t *testing.T) {
	w := NewWatch(DefaultLease, 0)
	var entries []Entry
	for i := range 2 * MaxListedHot / maxHot {
		m := wire.Member{ID: wire.NodeID(fmt.Sprintf("m%03d", i)), Role: wire.RoleMemory, Epoch: 1}
		w.Heard(time.Second, m, wire.Load{Hot: make([]wire.ThingLoad, 3*maxHot), HotAll: []wire.MoveKind{wire.MoveRegion}})
		entries = append(entries, Entry{Member: m})
	}
	if l, _, _ := w.Last(entries[0].Member); len(l.Hot) != maxHot {
		t.Errorf("%d things are kept of one heartbeat, want %d", len(l.Hot), maxHot)
	}
	sum, told := 0, 0
	for _, s := range w.Statuses(wire.GMM, time.Second, entries) {
		if sum += len(s.Load.Hot); len(s.Load.Hot) > 0 {
			told++
		} else if s.Load.HotAll != nil {
			t.Errorf("%s: nothing is told, and that it was all", s.Member.ID)
		}
	}
	if sum > MaxListedHot || told == 0 || told == len(entries) {
		t.Errorf("%d things of %d of %d members are listed, want at most %d", sum, told, len(entries), MaxListedHot)
	}
}

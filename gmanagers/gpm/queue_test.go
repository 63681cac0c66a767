package gpm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// world drives a state as its leader does, with participants that always vote for.
type world struct {
	s    *State
	seq  uint64
	now  int64
	wall int64 // by how much the clock of the wall is wrong
}

func newWorld(lines uint64) *world {
	w := &world{s: New()}
	w.apply(Request{Op: OpRegister, Member: wire.Member{ID: "p1", Role: wire.RoleCompute, Addr: "inproc:p1", Capacity: wire.Capacity{Cores: 1, ExCacheLines: lines}}})
	return w
}

func (w *world) apply(q Request) Result {
	w.seq++
	return w.s.Apply(Command{Client: 1, Seq: w.seq, Stamp: membership.Stamp{NowMS: w.wall + w.now, ClockMS: w.now, Policy: "fewest_threads", Live: []membership.Live{{ID: "p1", Epoch: 1}}}, Request: q})
}

// admit admits a vNode if there is room; its process id or ticket are returned.
func (w *world) admit(s admission.VNodeSpec) (pid, ticket wire.PID, err error) {
	res := w.apply(Request{Op: OpAdmit, Spec: s})
	w.commit(res.VNode.PID)
	return res.VNode.PID, res.Ticket, res.Err()
}

func (w *world) commit(pid wire.PID) {
	if pid != 0 {
		w.apply(Request{Op: OpChanges, Changes: []admission.Change{{Verb: admission.DecideCommit, PID: pid, Home: admission.Home{Node: "m1"}}, {Verb: admission.EndCommit, PID: pid}}})
	}
}

func (w *world) release(pid wire.PID) {
	w.apply(Request{Op: OpRelease, PID: pid})
	w.apply(Request{Op: OpChanges, Changes: []admission.Change{{Verb: admission.EndFree, PID: pid}}})
}

func (w *world) look() {
	for range MaxQueue {
		if !w.s.Due(w.now) {
			return
		}
		for _, pid := range w.apply(Request{Op: OpQueue}).Tried {
			w.commit(pid)
		}
	}
	panic("the queue does not come to rest")
}

func waits(name string, lines uint64, priority uint8) admission.VNodeSpec {
	return admission.VNodeSpec{Name: name, Threads: 1, ExCacheLines: lines, Priority: priority, IfFull: admission.Queue, DeadlineMS: 1_000_000}
}

// TestNobodyStarves: whatever comes and goes, one that waits is passed by at most MaxBypass of its own or a lower priority
// that came later, and then has the room that comes free.
func TestNobodyStarves(t *testing.T) {
	w := newWorld(100)
	var small []wire.PID
	for range 9 {
		pid, _, err := w.admit(waits("small", 10, 5))
		if err != nil || pid == 0 {
			t.Fatal(err)
		}
		small = append(small, pid)
	}
	_, large, err := w.admit(waits("large", 100, 5))
	if err != nil || len(w.s.Queue(large)) != 1 {
		t.Fatalf("%v, %+v", err, w.s.Queue(0))
	}
	passed := 0
	for ; passed < 10*MaxBypass && w.s.Ticket(large).Waiting; passed++ {
		pid, _, err := w.admit(admission.VNodeSpec{Name: "more", Threads: 1, ExCacheLines: 10, Priority: uint8(1 + passed%5)})
		if err == nil {
			small = append(small, pid)
		} else if passed < MaxBypass {
			t.Fatalf("after %d passed: %v", passed, err)
		}
		w.release(small[0])
		if small = small[1:]; len(small) == 0 {
			w.look()
			break
		}
	}
	if got := w.s.Ticket(large); got.Waiting || got.VNode.PID == 0 {
		t.Fatalf("%d came and the large one waits: %+v", passed, got)
	}
	// A higher priority is not held up by it.
	w = newWorld(100)
	hold, _, _ := w.admit(waits("hold", 10, 5))
	w.admit(waits("large", 100, 5))
	for range 2 * MaxBypass {
		pid, _, err := w.admit(admission.VNodeSpec{Name: "high", Threads: 1, ExCacheLines: 10, Priority: 6})
		if err != nil {
			t.Fatal(err)
		}
		w.release(pid)
	}
	w.release(hold)
	w.look()
	if len(w.s.Queue(0)) != 0 {
		t.Fatalf("%+v", w.s.Queue(0))
	}
}

// TestTurns: of equal size, who waits is admitted by priority, then in the order in which they came, whatever is released
// when, and each exactly once; in the end the books are empty.
func TestTurns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(3)
		var running, tickets []wire.PID
		priority := map[wire.PID]uint8{}
		check := func() {
			if err := w.s.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(tickets); i++ {
				st := w.s.Ticket(tickets[i])
				if st.Waiting {
					continue
				}
				if st.VNode.PID == 0 {
					t.Fatalf("%+v", st)
				}
				for _, other := range tickets {
					if priority[other] > priority[tickets[i]] && w.s.Ticket(other).Waiting || priority[other] == priority[tickets[i]] && other < tickets[i] && w.s.Ticket(other).Waiting {
						t.Fatalf("ticket %d has its turn before %d", tickets[i], other)
					}
				}
				running = append(running, st.VNode.PID)
				tickets = slices.Delete(tickets, i, i+1)
				i--
			}
		}
		for n := range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "admit") || len(running) == 0 {
				p := rapid.Uint8Range(1, 3).Draw(t, "priority")
				_, ticket, err := w.admit(waits(fmt.Sprint(n), 1, p))
				if err != nil {
					t.Fatal(err)
				}
				priority[ticket] = p
				tickets = append(tickets, ticket)
			} else {
				i := rapid.IntRange(0, len(running)-1).Draw(t, "released")
				w.release(running[i])
				running = slices.Delete(running, i, i+1)
			}
			w.look()
			check()
		}
		for check(); len(running) > 0; check() {
			w.release(running[0])
			running = running[1:]
			w.look()
		}
		if len(tickets)+len(w.s.Processes(0))+len(w.s.usage) != 0 {
			t.Fatalf("left: tickets %v, %+v", tickets, w.s.Processes(0))
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	w := newWorld(1)
	w.admit(waits("first", 1, 5))
	for range MaxQueue {
		if _, _, err := w.admit(waits("more", 1, 5)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := w.admit(waits("too many", 1, 9)); wire.KindOf(err) != wire.KindNoRoom || err.Error() != "no room: queue: 1024 vNodes wait already, at most 1024" {
		t.Fatal(err)
	}
	w.now = 1_000_000
	w.look()
	if c, n := w.s.Counts(); n != 0 || c.Expired != MaxQueue || c.WaitedMS != MaxQueue*1_000_000 {
		t.Fatalf("%d wait, %+v", n, c)
	}
	if err := w.s.CheckInvariants(); err != nil {
		t.Fatal(err)
	}
}

// TestAttemptFails: an attempt that a participant refuses leaves the vNode in the queue with the reason, to be tried again
// after RetryMS; one that is no matter of room ends the wait.
func TestAttemptFails(t *testing.T) {
	w := newWorld(100)
	abort := func(pid wire.PID, kind wire.Kind) {
		w.apply(Request{Op: OpChanges, Changes: []admission.Change{{Verb: admission.DecideAbort, PID: pid, Kind: kind, Text: "storage_bytes: short"}}})
		w.apply(Request{Op: OpChanges, Changes: []admission.Change{{Verb: admission.EndFree, PID: pid}}})
	}
	res := w.apply(Request{Op: OpAdmit, Spec: waits("a", 10, 5)})
	abort(res.VNode.PID, wire.KindNoRoom)
	if got := w.s.Ticket(res.Ticket); !got.Waiting || got.Text != "storage_bytes: short" || w.s.Due(RetryMS-1) || !w.s.Due(RetryMS) {
		t.Fatalf("%+v", got)
	}
	w.now = RetryMS
	begun := w.apply(Request{Op: OpQueue}).Tried
	if len(begun) != 1 {
		t.Fatalf("%v", begun)
	}
	if spec, ok := w.s.Wanted(begun[0]); !ok || spec.Name != "a" {
		t.Fatalf("%+v", spec)
	}
	if res := w.apply(Request{Op: OpRelease, PID: res.Ticket}); res.Kind != wire.KindBusy {
		t.Fatal(res.Err())
	}
	abort(begun[0], wire.KindBadRequest)
	if got := w.s.Ticket(res.Ticket); got.Waiting || got.Kind != wire.KindBadRequest {
		t.Fatalf("%+v", got)
	}
	if got := w.s.Ticket(99); got.Kind != wire.KindNotFound {
		t.Fatalf("%+v", got)
	}
}

// TestOwnQuota: one that only its own tenant's quota keeps out holds up its own tenant, and nobody else however many pass; when it
// competes with all, it counts who passes it from then on.
func TestOwnQuota(t *testing.T) {
	w := newWorld(1000)
	w.apply(Request{Op: OpSettings, Settings: admission.Settings{Quotas: []admission.Quota{{Tenant: "a", Threads: 4}}}})
	of := func(tenant string, threads uint32, lines uint64) admission.VNodeSpec {
		return admission.VNodeSpec{Name: tenant, Tenant: tenant, Threads: threads, ExCacheLines: lines, Priority: 5, IfFull: admission.Queue, DeadlineMS: 1_000_000}
	}
	first, _, _ := w.admit(of("a", 3, 1))
	_, own, _ := w.admit(of("a", 3, 1000))
	for range MaxBypass { // of its own tenant, until it is passed no more
		pid, _, err := w.admit(of("a", 1, 1))
		if err != nil || pid == 0 {
			t.Fatalf("%d, %v", pid, err)
		}
		w.release(pid)
	}
	_, behind, _ := w.admit(of("a", 1, 1))
	if got := w.s.Ticket(behind); !got.Waiting || !strings.Contains(got.Text, "was passed 32 times") {
		t.Fatalf("%+v", got)
	}
	var others []wire.PID
	for n := range 3 * MaxBypass {
		pid, _, err := w.admit(of("b", 1, 1))
		if err != nil || pid == 0 {
			t.Fatalf("after %d others: process %d, %v; %+v", n, pid, err, w.s.Queue(0))
		}
		others = append(others, pid)
		if err := w.s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
	}
	w.release(first)
	w.look()
	if got := w.s.Queue(own); len(got) != 1 || got[0].Own || got[0].Passed != MaxBypass || !strings.Contains(got[0].Text, "excache_lines") {
		t.Fatalf("%+v", got)
	}
	if pid, _, _ := w.admit(of("b", 1, 1)); pid != 0 {
		t.Fatal("one that waits for room that all compete for was passed more than MaxBypass times")
	}
	for _, pid := range others {
		w.release(pid)
	}
	w.look()
	if got := w.s.Ticket(own); got.VNode.PID == 0 {
		t.Fatalf("%+v", got)
	}
	if err := w.s.CheckInvariants(); err != nil {
		t.Fatal(err)
	}
}

// TestRetriesBackOff: a vNode that participants refuse is tried after 1, 2, 4, 8, 8 … s, at once when GPM knows of room, and then
// after 1 s again; what came to nothing leaves no events but that it waits.
func TestRetriesBackOff(t *testing.T) {
	w := newWorld(100)
	abort := func(pid wire.PID) {
		w.apply(Request{Op: OpChanges, Changes: []admission.Change{{Verb: admission.DecideAbort, PID: pid, Kind: wire.KindNoRoom, Text: "storage_bytes: short"}}})
		w.apply(Request{Op: OpChanges, Changes: []admission.Change{{Verb: admission.EndFree, PID: pid}}})
	}
	other, _, _ := w.admit(admission.VNodeSpec{Name: "other", Threads: 1, ExCacheLines: 1})
	res := w.apply(Request{Op: OpAdmit, Spec: waits("a", 10, 5)})
	abort(res.VNode.PID)
	seq := w.s.events.Page(0, 0).Last
	for n, pause := range []int64{1000, 2000, 4000, 8000, 8000, 0, 1000, 2000} {
		if pause == 0 {
			w.release(other)
			seq += 1 // that it was released
		} else if w.now += pause - 1; w.s.Due(w.now) {
			t.Fatalf("attempt %d comes before %d ms", n, pause)
		} else {
			w.now++
		}
		tried := w.apply(Request{Op: OpQueue}).Tried
		if len(tried) != 1 {
			t.Fatalf("attempt %d does not come", n)
		}
		if again := New(); again.Restore(w.s.Snapshot()) != nil || !slices.Equal(again.Snapshot(), w.s.Snapshot()) {
			t.Fatal("a snapshot with an attempt under way does not restore")
		}
		abort(tried[0])
		if err := w.s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
	}
	if page := w.s.events.Page(seq, 0); len(page.Events) != 0 {
		t.Fatalf("%v", page.Events)
	}
	w.now += 4000
	w.commit(w.apply(Request{Op: OpQueue}).Tried[0])
	var got []string
	for _, e := range w.s.events.Page(seq, 0).Events {
		got = append(got, e.Kind.String())
	}
	if want := []string{"placed_process", "dequeued", "admitted"}; !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
}

// TestTheWallDecidesNothing: whoever waits waits for its deadline by the clock of the managers, however the clock of the wall is set
// meanwhile, and by whichever leader.
func TestTheWallDecidesNothing(t *testing.T) {
	const hour = 3_600_000
	w := newWorld(1)
	w.admit(admission.VNodeSpec{Name: "all", Threads: 1, ExCacheLines: 1, Priority: 5})
	spec := waits("late", 1, 5)
	spec.DeadlineMS = 10_000
	_, ticket, err := w.admit(spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, wall := range []int64{0, hour, -hour, hour} {
		w.wall, w.now = wall, w.now+2_499
		if w.look(); !w.s.Ticket(ticket).Waiting {
			t.Fatalf("after %d ms, by a wall that is %d ms off: %+v", w.now, wall, w.s.Ticket(ticket))
		}
	}
	w.now, w.wall = 10_000, -hour
	if w.look(); w.s.Ticket(ticket).Waiting || !strings.Contains(w.s.Ticket(ticket).Text, "waited 10000 ms, its deadline") {
		t.Errorf("%+v", w.s.Ticket(ticket))
	}
}

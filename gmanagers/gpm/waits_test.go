package gpm

import (
	"strings"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/netlayer/wire"
)

// TestReasonsAreToldOnce: a vNode that waits is told of when it begins to wait and when something else is short for the first
// time, however often it is tried in vain.
func TestReasonsAreToldOnce(t *testing.T) {
	w := newWorld(100)
	hold, _, err := w.admit(waits("hold", 90, 5))
	if err != nil {
		t.Fatal(err)
	}
	_, ticket, err := w.admit(waits("large", 20, 5))
	if err != nil || !w.s.Ticket(ticket).Waiting {
		t.Fatal(err)
	}
	told := func() (out []string) {
		for _, e := range w.s.events.Page(0, 0).Events {
			if e.Kind == events.Queued && e.PID == ticket {
				out = append(out, e.Reason)
			}
		}
		return out
	}
	tries := 0
	try := func(text string) {
		w.now += MaxRetryMS
		for _, pid := range w.apply(Request{Op: OpQueue}).Tried {
			w.apply(Request{Op: OpChanges, Changes: []admission.Change{{Verb: admission.DecideAbort, PID: pid, Kind: wire.KindNoRoom, Text: text}, {Verb: admission.EndFree, PID: pid}}})
			tries++
		}
		if err := w.s.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		try("")
	}
	if got := told(); len(got) != 1 || !strings.Contains(got[0], "excache_lines: ") || tries != 0 {
		t.Fatalf("short of lines %d attempts told %v", tries, got)
	}
	w.release(hold)
	w.now -= MaxRetryMS
	for i, text := range []string{"memory_bytes: 3 short", "memory_bytes: 2 short", "storage_bytes: 9 short", "memory_bytes: 3 short", "storage_bytes: 8 short; memory_bytes: 1 short"} {
		before := tries
		try(text)
		if tries != before+1 {
			t.Fatalf("attempt %d was not made", i)
		}
	}
	got := told()
	if len(got) != 3 || !strings.HasSuffix(got[1], "memory_bytes: 3 short") || !strings.HasSuffix(got[2], "storage_bytes: 9 short") {
		t.Fatalf("told %q", got)
	}
}

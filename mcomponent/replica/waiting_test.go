package replica

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

// TestOneFullLogHoldsUpNoOther: while the first message waits on, those of other vRegions are served, and those of its own stay behind it.
func TestOneFullLogHoldsUpNoOther(t *testing.T) {
	var w Waiting[string]
	for i, m := range []struct {
		region wire.RegionNo
		name   string
	}{{1, "a1"}, {2, "b1"}, {1, "a2"}, {2, "b2"}, {3, "c1"}} {
		w.Add(7, m.region, time.Duration(10+i), 1, m.name)
	}
	var served []string
	retry := func(now time.Duration, full ...string) {
		w.Retry(now, func(what string, last bool) func() {
			if slices.Contains(full, what) && !last {
				return nil
			}
			return func() {
				served = append(served, what)
				if what == "b1" {
					w.Add(7, 2, 20, 1, "b3")
				}
			}
		})
	}
	retry(1, "a1", "c1")
	if want := []string{"b1", "b2", "b3"}; !slices.Equal(served, want) {
		t.Fatalf("served %v, want %v", served, want)
	}
	if at, ok := w.Due(); !ok || at != 10 {
		t.Errorf("due at %v %t, want 10", at, ok)
	}
	retry(10, "a1", "a2", "c1") // the first has waited long enough
	if want := []string{"b1", "b2", "b3", "a1"}; !slices.Equal(served, want) {
		t.Fatalf("served %v, want %v", served, want)
	}
	retry(11)
	if want := []string{"b1", "b2", "b3", "a1", "a2", "c1"}; !slices.Equal(served, want) || w.Len() != 0 || w.pages != 0 {
		t.Fatalf("served %v, want %v; %d wait with %d pages", served, want, w.Len(), w.pages)
	}
}

// TestWaitingMessages: whoever waits is served or refused once, in the order of its vRegion, by its time at the latest, and no more wait than may.
func TestWaitingMessages(t *testing.T) {
	type message struct {
		region wire.RegionNo
		no     int
		until  time.Duration
	}
	rapid.Check(t, func(t *rapid.T) {
		var w Waiting[message]
		now, next, pages := time.Duration(0), 0, map[int]int{}
		ended := map[wire.RegionNo]int{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 5).Draw(t, "time"))
			if rapid.Bool().Draw(t, "add") {
				m := message{wire.RegionNo(rapid.IntRange(1, 3).Draw(t, "region")), next + 1, now + 10}
				n := rapid.IntRange(1, MaxWaitingPages/4).Draw(t, "pages")
				sum := 0
				for _, p := range pages {
					sum += p
				}
				if ok := w.Add(1, m.region, m.until, n, m); ok != (sum+n <= MaxWaitingPages) {
					t.Fatalf("%d more pages than %d: added %t", n, sum, ok)
				} else if ok {
					next++
					pages[m.no] = n
				}
				continue
			}
			room := rapid.IntRange(0, 3).Draw(t, "room")
			w.Retry(now, func(m message, last bool) func() {
				if last != (now >= m.until) {
					t.Fatalf("message %d until %v is the last time at %v: %t", m.no, m.until, now, last)
				}
				if room--; room < 0 && !last {
					return nil
				}
				return func() {
					if m.no <= ended[m.region] || pages[m.no] == 0 {
						t.Fatalf("message %d of vRegion %d ends after %d", m.no, m.region, ended[m.region])
					}
					ended[m.region] = m.no
					delete(pages, m.no)
				}
			})
			if at, ok := w.Due(); ok != (len(pages) > 0) || ok && at <= now {
				t.Fatalf("due at %v %t, now is %v and %d wait", at, ok, now, len(pages))
			}
		}
		w.Drop(func(m message) { delete(pages, m.no) })
		if len(pages) > 0 || w.Len() > 0 {
			t.Fatalf("%d messages are left", len(pages))
		}
	})
}

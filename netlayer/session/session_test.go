package session

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/taped/tapedtest"
)

func TestID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seq, slot := rapid.Uint64Range(1, 1<<48-1).Draw(t, "seq"), rapid.IntRange(0, MaxSlots-1).Draw(t, "slot")
		id := NewID(seq, slot)
		if id.Seq() != seq || id.Slot() != slot || id == 0 {
			t.Fatalf("%d, %d came back as %d, %d", seq, slot, id.Seq(), id.Slot())
		}
		if seq < 1<<48-1 && NewID(seq+1, 0) <= id {
			t.Fatal("ids do not grow with the sequence")
		}
	})
}

func TestBackoff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Backoff{
			Base: time.Duration(rapid.Int64Range(1, 1e9).Draw(t, "base")), Attempts: rapid.IntRange(1, 100).Draw(t, "attempts"),
		}
		b.Max = b.Base * time.Duration(rapid.Int64Range(1, 1000).Draw(t, "factor"))
		seed := rapid.Uint64().Draw(t, "seed")
		one, two := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 1))
		for attempt := 1; ; attempt++ {
			d, ok := b.Delay(attempt, one)
			if again, _ := b.Delay(attempt, two); again != d {
				t.Fatal("one seed, two schedules")
			}
			if !ok {
				if attempt != b.Attempts {
					t.Fatalf("ends before attempt %d of %d", attempt, b.Attempts)
				}
				return
			}
			whole := b.Max
			if attempt < 40 && b.Base<<(attempt-1) > 0 {
				whole = min(whole, b.Base<<(attempt-1))
			}
			if d > whole || d < whole/2 {
				t.Fatalf("attempt %d: pause %v, want %v to %v", attempt, d, whole/2, whole)
			}
		}
	})
}

// TestDedupeNeverTwice: under any order of requests, retries, ends, reconnects and evictions no request is executed twice,
// every replayed reply is the one that was kept, and the bounds hold.
func TestDedupeNeverTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := DedupeOptions{Sessions: rapid.IntRange(1, 4).Draw(t, "sessions"), Window: rapid.IntRange(1, 5).Draw(t, "window"), Bytes: rapid.IntRange(0, 40).Draw(t, "bytes")}
		h, tapes := TapeHead{Node: "m1", Options: o}, tapedtest.Tapes{}
		d := &Taped{Dedupe: NewDedupe(o)}
		d.Record(&tapes, d.Dedupe, TapeKind, &h)
		type key struct {
			s uint64
			c ID
		}
		const sessions = 6
		var (
			conns    [sessions]int
			seq      [sessions]uint64
			sent     [sessions][]ID
			executed = map[key][]byte{} // reply; nil while it runs
			running  []key
		)
		reply := func(k key) []byte { return fmt.Appendf(nil, "%d/%d", k.s, k.c) }
		t.Repeat(map[string]func(*rapid.T){
			"open": func(t *rapid.T) {
				s := rapid.Uint64Range(0, sessions-1).Draw(t, "session")
				if d.Open(s) {
					conns[s]++
				} else if conns[s] > 0 {
					t.Fatal("an open session is refused")
				}
			},
			"close": func(t *rapid.T) {
				s := rapid.Uint64Range(0, sessions-1).Draw(t, "session")
				for _, k := range running {
					if k.s == s && conns[s] == 1 {
						t.Skip("the server closes after its requests have ended")
					}
				}
				if conns[s] == 0 {
					t.Skip("not open")
				}
				conns[s]--
				d.Close(s)
			},
			"request": func(t *rapid.T) {
				s := rapid.Uint64Range(0, sessions-1).Draw(t, "session")
				if conns[s] == 0 {
					t.Skip("not open")
				}
				retry := len(sent[s]) > 0 && rapid.Bool().Draw(t, "retry")
				var id ID
				if retry {
					id = rapid.SampledFrom(sent[s]).Draw(t, "call")
				} else {
					seq[s]++
					id = NewID(seq[s], 3)
					sent[s] = append(sent[s], id)
				}
				k := key{s, id}
				kept, seen := executed[k]
				switch v, got := d.Begin(s, id, retry); v {
				case Execute:
					if seen {
						t.Fatalf("call %d of session %d is executed twice", id, s)
					}
					executed[k] = nil
					running = append(running, k)
				case InProgress:
					if !seen || kept != nil {
						t.Fatalf("call %d of session %d does not run", id, s)
					}
				case Replay:
					if kept == nil || !bytes.Equal(got, kept) {
						t.Fatalf("replayed %q, kept %q", got, kept)
					}
				case TooOld:
					if !retry {
						t.Fatal("a new request is too old")
					}
				case Full:
					if len(running) < o.Window {
						t.Fatalf("full with %d running of %d", len(running), o.Window)
					}
				default:
					t.Fatal(v)
				}
			},
			"end": func(t *rapid.T) {
				if len(running) == 0 {
					t.Skip("nothing runs")
				}
				i := rapid.IntRange(0, len(running)-1).Draw(t, "which")
				k := running[i]
				running = append(running[:i], running[i+1:]...)
				if rapid.IntRange(0, 4).Draw(t, "forget") == 0 {
					delete(executed, k)
					d.Forget(k.s, k.c)
					return
				}
				executed[k] = reply(k)
				d.End(k.s, k.c, reply(k))
			},
			"": func(t *rapid.T) {
				if err := d.CheckInvariants(); err != nil {
					t.Fatal(err)
				}
			},
		})
		tapes.Again(t, rand.New(rand.NewPCG(seq[0], seq[1])), func(_ string, head []byte) (taped.Core, error) {
			h, err := taped.Read[TapeHead](head)
			if err != nil {
				return nil, err
			}
			return h.New()
		})
	})
}

func TestDedupeTooOld(t *testing.T) {
	d := NewDedupe(DedupeOptions{Sessions: 1, Window: 2, Bytes: 100})
	d.Open(1)
	for seq := uint64(1); seq <= 3; seq++ {
		if v, _ := d.Begin(1, NewID(seq, 0), false); v != Execute {
			t.Fatalf("call %d: %v", seq, v)
		}
		d.End(1, NewID(seq, 0), []byte("reply"))
	}
	if v, _ := d.Begin(1, NewID(1, 0), true); v != TooOld {
		t.Errorf("a retry beyond the window: %v, want too old", v)
	}
	if v, b := d.Begin(1, NewID(2, 0), true); v != Replay || string(b) != "reply" {
		t.Errorf("a retry within the window: %v %q", v, b)
	}
	// The session is dropped for another; when it comes back its retries cannot be vouched for.
	d.Close(1)
	if !d.Open(2) {
		t.Fatal("an idle session is not dropped for a new one")
	}
	if d.Open(1) {
		t.Error("a session with a connection is dropped")
	}
	d.Close(2)
	d.Open(1)
	if v, _ := d.Begin(1, NewID(3, 0), true); v != TooOld {
		t.Errorf("a retry of a session that was dropped: %v, want too old", v)
	}
	if v, _ := d.Begin(1, NewID(4, 0), false); v != Execute {
		t.Errorf("a new request of a session that was dropped: %v", v)
	}
	d.End(1, NewID(4, 0), make([]byte, 101)) // too long to keep
	if v, _ := d.Begin(1, NewID(4, 0), true); v != TooOld {
		t.Errorf("a retry whose reply was too long to keep: %v", v)
	}
}

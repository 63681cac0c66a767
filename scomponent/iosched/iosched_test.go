package iosched

import (
	"errors"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/taped/tapedtest"
)

// TestEverySyncCoversWhatCameBeforeIt: each flush is answered once, by a sync that began after it arrived, and syncs never
// outnumber flushes.
func TestEverySyncCoversWhatCameBeforeIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := TapeHead{Node: "s1", Volume: 3, Limit: rapid.IntRange(1, 5).Draw(t, "limit")}
		s, tapes := &Taped{Scheduler: New(h.Limit)}, tapedtest.Tapes{}
		s.Record(&tapes, s.Scheduler, TapeKind, &h)
		arrived := map[uint64]int{} // id -> number of syncs begun before it arrived
		begun, lastID, busy := 0, uint64(0), false
		take := func(out []Effect) {
			// Acks of a finished sync come first: they were covered by sync number `begun`.
			for _, e := range out {
				switch e.Kind {
				case Ack:
					at, ok := arrived[e.ID]
					if !ok {
						t.Fatalf("flush %d answered twice", e.ID)
					}
					if e.Err == nil && at >= begun {
						t.Fatalf("flush %d arrived after sync %d began and was answered by it", e.ID, begun)
					}
					delete(arrived, e.ID)
				case Sync:
					if busy {
						t.Fatal("two syncs at once")
					}
					begun++
					busy = true
				}
			}
			if err := s.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if busy && rapid.Bool().Draw(t, "synced") {
				busy = false
				var err error
				if rapid.IntRange(0, 9).Draw(t, "fails") == 0 {
					err = errors.New("the disk is gone")
				}
				take(s.Synced(err, nil))
			} else {
				lastID++
				arrived[lastID] = begun
				take(s.Flush(lastID, nil))
			}
		}
		for busy {
			busy = false
			take(s.Synced(nil, nil))
		}
		if len(arrived) != 0 {
			t.Fatalf("%d flushes unanswered", len(arrived))
		}
		if st := s.Stats(); st.Syncs > st.Flushes {
			t.Fatalf("%d syncs for %d flushes", st.Syncs, st.Flushes)
		}
		tapes.Again(t, rand.New(rand.NewPCG(lastID, 1)), func(_ string, head []byte) (taped.Core, error) {
			h, err := taped.Read[TapeHead](head)
			if err != nil {
				return nil, err
			}
			return h.New()
		})
	})
}

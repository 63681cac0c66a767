package dedup

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func refuse(err error) string { return err.Error() }

// TestOnce compares the table with a model that forgets nothing: what the table answers must be what was answered
// first, and it may forget only what is below the window or beyond the bounds.
func TestOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab := NewTable[int]()
		type key struct{ client, seq uint64 }
		model, top, n := map[key]int{}, map[uint64]uint64{}, 0
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			k := key{rapid.Uint64Range(0, 3).Draw(t, "client"), rapid.Uint64Range(0, 3*Window).Draw(t, "seq")}
			n++
			ran := false
			got := tab.Once(k.client, k.seq, func(error) int { return -1 }, func() int { ran = true; return n })
			was, known := model[k]
			switch {
			case k.client == 0 || k.seq == 0:
				if ran || got != -1 {
					t.Fatalf("%+v was carried out", k)
				}
				continue
			case known && ran:
				t.Fatalf("%+v was carried out twice", k)
			case k.seq+Window <= top[k.client]:
				if ran || got != -1 {
					t.Fatalf("%+v is below the window of %d and was carried out", k, top[k.client])
				}
				continue
			case known && got != was:
				t.Fatalf("%+v: %d, first answered %d", k, got, was)
			case !known && (!ran || got != n):
				t.Fatalf("%+v is new and was not carried out", k)
			}
			model[k] = got
			top[k.client] = max(top[k.client], k.seq)
			if err := tab.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
		}
		again, err := Load(tab.Save())
		if err != nil || !reflect.DeepEqual(again.Save(), tab.Save()) {
			t.Fatalf("restored: %v", err)
		}
	})
}

func TestForgetsTheOldestClientFirst(t *testing.T) {
	tab := NewTable[string]()
	one := func() string { return "done" }
	for c := uint64(1); c <= MaxClients; c++ {
		tab.Once(c, 1, refuse, one)
	}
	tab.Once(1, 2, refuse, one) // client 2 is now the one used longest ago
	tab.Once(MaxClients+1, 1, refuse, one)
	if clients, results := tab.Len(); clients != MaxClients || results != MaxClients+1 {
		t.Errorf("%d clients and %d results, want %d and %d", clients, results, MaxClients, MaxClients+1)
	}
	if _, out := tab.Lookup(2, 1); out != New {
		t.Errorf("client 2 is still known")
	}
	if _, out := tab.Lookup(1, 1); out != Duplicate {
		t.Errorf("client 1 was forgotten")
	}
}

func TestBoundsResults(t *testing.T) {
	tab := NewTable[string]()
	for c := uint64(1); c <= 2*MaxResults/Window; c++ {
		for s := uint64(1); s <= Window; s++ {
			tab.Once(c, s, refuse, func() string { return "done" })
		}
	}
	if _, results := tab.Len(); results > MaxResults {
		t.Errorf("%d results, at most %d", results, MaxResults)
	}
	if err := tab.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

func TestWindowNearTheEndOfSequences(t *testing.T) {
	tab := NewTable[string]()
	one := func() string { return "done" }
	const last = ^uint64(0)
	for _, s := range []uint64{last - 1, last} {
		if got := tab.Once(1, s, refuse, one); got != "done" {
			t.Errorf("sequence %d: %s", s, got)
		}
	}
	if got := tab.Once(1, 5, refuse, one); got == "done" {
		t.Error("an old sequence was carried out")
	}
}

func TestLoadRefusesWhatIsUnsound(t *testing.T) {
	good := Saved[int]{Clock: 2, Sessions: []Session[int]{
		{Client: 1, Used: 1, MaxSeq: 4, Answers: []Answer[int]{{3, 0}, {4, 0}}},
		{Client: 2, Used: 2, MaxSeq: 1, Answers: []Answer[int]{{1, 0}}},
	}}
	if _, err := Load(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Saved[int]){
		"clock":    func(s *Saved[int]) { s.Clock = 1 },
		"order":    func(s *Saved[int]) { s.Sessions[0].Client = 3 },
		"client 0": func(s *Saved[int]) { s.Sessions[0].Client = 0 },
		"used":     func(s *Saved[int]) { s.Sessions[0].Used = 2 },
		"max":      func(s *Saved[int]) { s.Sessions[0].MaxSeq = 5 },
		"answers":  func(s *Saved[int]) { s.Sessions[0].Answers[0].Seq = 4 },
		"none":     func(s *Saved[int]) { s.Sessions[1].Answers = nil },
	} {
		bad := Saved[int]{Clock: good.Clock}
		for _, s := range good.Sessions {
			s.Answers = append([]Answer[int]{}, s.Answers...)
			bad.Sessions = append(bad.Sessions, s)
		}
		spoil(&bad)
		if _, err := Load(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

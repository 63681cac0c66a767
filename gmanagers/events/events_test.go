package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

func drawEvent(t *rapid.T) Event {
	text := rapid.StringN(0, 8, 40)
	e := Event{
		MS: rapid.Int64().Draw(t, "ms"), Kind: Kind(rapid.Uint8Range(1, 30).Draw(t, "kind")), PID: wire.PID(rapid.Uint64().Draw(t, "pid")),
		Region: wire.RegionNo(rapid.Uint64().Draw(t, "region")), Volume: wire.VolumeID(rapid.Uint32().Draw(t, "volume")),
		Node: wire.NodeID(text.Draw(t, "node")), Epoch: wire.Epoch(rapid.Uint32().Draw(t, "epoch")), From: wire.NodeID(text.Draw(t, "from")),
		Move: rapid.Uint64().Draw(t, "move"), Policy: text.Draw(t, "policy"), Unit: text.Draw(t, "unit"), Reason: text.Draw(t, "reason"),
	}
	for range rapid.IntRange(0, 10).Draw(t, "candidates") {
		e.Candidates = append(e.Candidates, Candidate{ID: wire.NodeID(text.Draw(t, "id")), Value: rapid.Uint64().Draw(t, "value"), Why: text.Draw(t, "why")})
	}
	return e
}

// TestLog: numbers only grow, the last MaxEvents are there as they were appended, and a decoded log is the same log and
// goes on alike.
func TestLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, want := &Log{}, []Event{}
		add := func(e Event) {
			l.Append(e)
			e.Seq = uint64(len(want) + 1)
			e.Candidates = append([]Candidate(nil), e.Candidates[:min(len(e.Candidates), MaxCandidates)]...)
			want = append(want, e)
		}
		for range rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 0, MaxEvents - 5}).Draw(t, "before") {
			add(Event{Kind: Released, PID: 1})
		}
		for range rapid.IntRange(0, 20).Draw(t, "events") {
			add(drawEvent(t))
			if rapid.IntRange(0, 9).Draw(t, "again") == 0 {
				n, err := Decode(l.Encode())
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(n.Encode(), l.Encode()) {
					t.Fatal("a decoded log has other bytes")
				}
				l = n
			}
		}
		if err := l.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
		oldest := max(0, len(want)-MaxEvents)
		if l.Oldest() != uint64(oldest+1) || l.Last() != uint64(len(want)) {
			t.Fatalf("events %d to %d, want %d to %d", l.Oldest(), l.Last(), oldest+1, len(want))
		}
		var got []Event
		for since := uint64(0); ; {
			p := l.Page(since, rapid.Uint64Range(0, 2*MaxPage).Draw(t, "limit"))
			if len(p.Events) == 0 {
				break
			}
			got = append(got, p.Events...)
			since = p.Events[len(p.Events)-1].Seq
		}
		if len(got) != len(want)-oldest || len(got) > 0 && !reflect.DeepEqual(got, want[oldest:]) {
			t.Fatalf("got %+v, want %+v", got, want[oldest:])
		}
	})
}

func TestLongTextIsCut(t *testing.T) {
	var l Log
	l.Append(Event{Kind: Refused, Reason: strings.Repeat("é", MaxReasonBytes), Candidates: []Candidate{{ID: "a", Why: strings.Repeat("x", 100)}}})
	e := l.Page(0, 1).Events[0]
	if len(e.Reason) != MaxReasonBytes || len(e.Candidates[0].Why) != MaxWhyBytes {
		t.Fatalf("reason of %d bytes, why of %d", len(e.Reason), len(e.Candidates[0].Why))
	}
	l.Append(Event{Kind: Refused, Reason: "x" + strings.Repeat("é", MaxReasonBytes)})
	if e := l.Page(1, 1).Events[0]; len(e.Reason) != MaxReasonBytes-1 {
		t.Fatalf("reason of %d bytes: cut within a character", len(e.Reason))
	}
}

// TestExplain: the chosen one comes first, then the best of the others that fitted.
func TestExplain(t *testing.T) {
	var s placement.Set
	for i := range 12 {
		s.Add(placement.Candidate{ID: wire.NodeID(fmt.Sprintf("p%02d", i)), Room: uint64(i), Capacity: 100, Threads: uint64(7 * i % 12)})
	}
	for policy, want := range map[string]string{
		"fewest_threads": "p05 11 p07 1 p02 2 p09 3 p04 4 p11 5 p06 6 p08 8",
		"worst_fit":      "p05 5 p11 11 p10 10 p09 9 p08 8 p07 7 p06 6 p04 4",
		"random":         "p05 0 p02 0 p03 0 p04 0 p06 0 p07 0 p08 0 p09 0",
	} {
		p, err := placement.New(policy)
		if err != nil {
			t.Fatal(err)
		}
		var e Event
		e.Explain(p, placement.Ask{Need: 2}, &s, 5)
		var got []string
		for _, c := range e.Candidates {
			got = append(got, fmt.Sprint(c.ID, " ", c.Value))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s, want %s", policy, s, want)
		}
	}
	p, _ := placement.New("two_choices")
	for chance := range uint64(50) {
		a := placement.Ask{Need: 2, Chance: chance}
		chosen := placement.Choose(p, a, &s)
		var e Event
		e.Explain(p, a, &s, chosen)
		if len(e.Candidates) != 2 || e.Candidates[0].ID != s.ID(chosen) || e.Candidates[1].ID == s.ID(chosen) {
			t.Fatalf("two_choices chose %s among %+v", s.ID(chosen), e.Candidates)
		}
	}
}

func TestText(t *testing.T) {
	e := Event{Kind: PlacedRegion, PID: 3, Node: "m1", Policy: "least_loaded", Unit: "reserved_ppm", Candidates: []Candidate{{ID: "m1", Value: 5}, {ID: "m2", Value: 7, Why: "same rack"}}}
	if got, want := e.String(), "placed_vregion process=3 vregion=0 node=m1 policy=least_loaded among m1 (reserved_ppm 5), m2 (reserved_ppm 7, same rack)"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	b, err := json.Marshal(e)
	var back Event
	if err != nil || !bytes.Contains(b, []byte(`"Kind":"placed_vregion"`)) || json.Unmarshal(b, &back) != nil || !reflect.DeepEqual(back, e) {
		t.Errorf("%s, %v", b, err)
	}
	if Restarted.String() != "restarted" || int(Restarted) != len(kindNames)-1 {
		t.Error("the names of the kinds do not fit their numbers")
	}
}

func FuzzDecode(f *testing.F) {
	var l Log
	f.Add(l.Encode())
	l.Append(Event{Kind: Refused, Reason: "why", Candidates: []Candidate{{ID: "a"}}})
	f.Add(l.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Decode(b)
		if err == nil && !bytes.Equal(l.Encode(), b) {
			t.Fatalf("%x is read as %x", b, l.Encode())
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	var l Log
	e := Event{Kind: PlacedRegion, PID: 1, Region: 2, Node: "m1", Policy: "least_loaded", Unit: "reserved_ppm", Candidates: make([]Candidate, MaxCandidates)}
	for range MaxEvents {
		l.Append(e)
	}
	b.ReportAllocs()
	for b.Loop() {
		l.Append(e)
	}
}

func BenchmarkEncode(b *testing.B) {
	var l Log
	for range MaxEvents {
		l.Append(Event{Kind: PlacedRegion, PID: 1, Region: 2, Node: "m1", Policy: "least_loaded", Unit: "reserved_ppm", Candidates: []Candidate{{ID: "m1"}, {ID: "m2"}, {ID: "m3"}, {ID: "m4"}}})
	}
	buf := l.Encode()
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			l.Encode()
		}
	})
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			if _, err := Decode(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

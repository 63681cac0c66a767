package membership

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/netlayer/wire"
)

func TestEnrolment(t *testing.T) {
	e, next := NewEnrolment("m1")
	steps := []struct {
		do    func() Next
		want  Next
		fence string
	}{
		{func() Next { return next }, Next{Do: Register}, ""},
		{func() Next { return e.Registered(0, false) }, Next{Do: Register, When: Shortly}, ""},
		{func() Next { return e.Registered(4, true) }, Next{Do: Beat}, ""},
		{func() Next { return e.Beaten(0, false) }, Next{Do: Beat, When: OnBeat}, ""},
		{func() Next { return e.Beaten(wire.StandingMember, true) }, Next{Do: Beat, When: OnBeat}, ""},
		{func() Next { return e.Beaten(wire.StandingUnknown, true) }, Next{Do: Inquire}, ""},
		{func() Next { return e.Told(0, false) }, Next{Do: Beat, When: OnBeat}, ""},
		{func() Next { return e.Told(wire.StandingMember, true) }, Next{Do: Beat, When: OnBeat}, ""},
		{func() Next { return e.Told(wire.StandingRemoved, true) }, Next{Do: Beat, When: OnBeat}, ""},
		{func() Next { return e.Told(wire.StandingUnknown, true) }, Next{Do: Register}, "m1 is not in the books of its manager under epoch 4"},
		{func() Next { return e.Registered(5, true) }, Next{Do: Beat}, ""},
		{func() Next { return e.Beaten(wire.StandingFenced, true) }, Next{Do: Register}, "m1 was declared dead under epoch 5"},
		{func() Next { return e.Registered(6, true) }, Next{Do: Beat}, ""},
		{func() Next { return e.Beaten(wire.StandingRemoved, true) }, Next{Do: Rest}, "m1 was removed under epoch 6"},
	}
	for i, s := range steps {
		got := s.do()
		if fence := got.Fence; (fence == "") != (s.fence == "") || !strings.HasPrefix(fence, s.fence) {
			t.Errorf("step %d: fenced because %q, want %q", i, fence, s.fence)
		}
		if got.Fence = ""; got != s.want {
			t.Errorf("step %d: %+v, want %+v", i, got, s.want)
		}
	}
	if e.Epoch() != 6 {
		t.Errorf("epoch %d, want 6", e.Epoch())
	}
}

// TestPoll: whoever says that something is decided is right, however many know nothing; nobody is unknown by the word of a minority.
func TestPoll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Poll{Of: rapid.IntRange(1, 7).Draw(t, "managers")}
		answers := rapid.SliceOfN(rapid.SampledFrom([]wire.Standing{wire.StandingUnknown, wire.StandingMember, wire.StandingFenced, wire.StandingRemoved}), 0, p.Of).Draw(t, "answers")
		want := wire.Standing(0)
		for _, a := range answers {
			p.Add(a)
			want = max(want, a)
		}
		if want == wire.StandingUnknown && 2*len(answers) <= p.Of {
			want = wire.StandingMember
		}
		if got, ok := p.Verdict(); ok != (len(answers) > 0) || got != want {
			t.Fatalf("%v of %d: %v, %v, want %v", answers, p.Of, got, ok, want)
		}
	})
}

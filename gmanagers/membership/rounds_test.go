package membership

import (
	"testing"
	"time"
)

func TestRounds(t *testing.T) {
	r := NewRounds(10 * time.Second)
	m := memory("m1")
	m.Epoch = 1
	for i, s := range []struct {
		at    time.Duration
		epoch uint32
		dead  bool
		heard bool
		again bool
		want  bool
	}{
		{at: 0, epoch: 1, heard: false, want: false},
		{at: 1, epoch: 1, heard: true, want: true}, // it joins
		{at: 2, epoch: 1, heard: true, want: false},
		{at: 3, epoch: 2, heard: true, want: true}, // under another epoch
		{at: 12, epoch: 2, heard: true, want: false},
		{at: 13, epoch: 2, heard: true, want: true},
		{at: 14, epoch: 2, heard: false, want: false},
		{at: 15, epoch: 2, heard: true, want: true}, // after a silence
		{at: 16, epoch: 2, heard: true, dead: true, want: false},
		{at: 17, epoch: 2, heard: true, want: true},
		{at: 18, epoch: 2, heard: true, again: true, want: true}, // there was more
		{at: 19, epoch: 2, heard: true, want: false},
	} {
		if s.again {
			r.Again(m.ID)
		}
		e := Entry{Member: m, Dead: s.dead}
		e.Member.Epoch = 0
		for range s.epoch {
			e.Member.Epoch++
		}
		if got := r.Due(s.at*time.Second, &e, s.heard); got != s.want {
			t.Errorf("step %d: due %v, want %v", i, got, s.want)
		}
	}
}

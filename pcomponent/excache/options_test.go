package excache

import (
	"strings"
	"testing"
)

func TestDefaultsAreValid(t *testing.T) {
	if err := DefaultOptions().Validate(); err != nil {
		t.Fatal(err)
	}
}

// TestValidate: each fault names its key, its value and the bound, and none hides
// another.
func TestValidate(t *testing.T) {
	for _, c := range []struct {
		change func(*Options)
		want   []string
	}{
		{func(o *Options) { o.Lines = 0 }, []string{"lines: 0, want 1..16777214"}},
		{func(o *Options) { o.Lines = MaxLines + 1 }, []string{"lines: 16777215, want 1..16777214"}},
		{func(o *Options) { o.Ways = -1 }, []string{"ways: -1, want 0 (fully associative) or 1..lines"}},
		{func(o *Options) { o.Lines, o.Ways = 4, 8 }, []string{"ways: 8, want at most the 4 lines"}},
		{func(o *Options) { o.Lines, o.Ways = 100, 64 }, []string{"lines: 100, want a multiple of the 64 ways"}},
		{func(o *Options) { o.Lines, o.Ways = 192, 64 }, []string{"ways: 64, which makes 3 sets of 192 lines, want a power of two of sets"}},
		{func(o *Options) { o.Policy = "clok" }, []string{`policy: "clok", want one of 2q, arc, belady, clock, fifo, lfu, lirs, lru, lru-sweep, mru, random, s3-fifo, sieve, w-tinylfu`}},
		{func(o *Options) { o.SweepEvery = 0 }, []string{"sweep_every_accesses: 0, want at least 1"}},
		{func(o *Options) { o.Mechanism = "bitmap" }, []string{`mechanism: "bitmap", want one of list, victim, write-protect`}},
		{func(o *Options) { o.VictimLines = 0 }, []string{"victim_lines: 0, want 1..128"}},
		{func(o *Options) { o.VictimLines = 129 }, []string{"victim_lines: 129, want 1..128"}},
		{func(o *Options) { o.FlushFrames = 0 }, []string{"flush_frames: 0, want 1..1024"}},
		{func(o *Options) { o.FlushFrames = 1025 }, []string{"flush_frames: 1025, want 1..1024"}},
		{func(o *Options) { *o = Options{} }, []string{"lines: 0", `policy: ""`, "sweep_every_accesses: 0", `mechanism: ""`, "victim_lines: 0", "flush_frames: 0", `prefetcher: ""`, "prefetch_degree: 0", "prefetch_in_flight: 0"}},
		{func(o *Options) { o.Prefetcher = "laep" }, []string{`prefetcher: "laep", want one of none, best-offset, leap, next-n, stride`}},
		{func(o *Options) { o.Prefetcher, o.Policy = "leap", "belady" }, []string{`prefetcher: "leap" with the policy belady, want none`}},
		{func(o *Options) { o.Prefetcher, o.PrefetchDegree = "leap", 65 }, []string{"prefetch_degree: 65, want 1..64"}},
		{func(o *Options) { o.Prefetcher, o.PrefetchInFlight = "leap", 257 }, []string{"prefetch_in_flight: 257, want 1..256"}},
	} {
		o := DefaultOptions()
		c.change(&o)
		err := o.Validate()
		if err == nil {
			t.Errorf("%+v is valid, want %q", o, c.want)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(c.want) {
			t.Errorf("%+v: %q, want %d faults", o, lines, len(c.want))
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(lines[i], want) {
				t.Errorf("%+v: fault %q, want %q", o, lines[i], want)
			}
		}
		if _, err := New(o); err == nil {
			t.Errorf("New(%+v) works", o)
		}
	}
}

// TestFrames: the frames are as many as the docs of Options say.
func TestFrames(t *testing.T) {
	o := DefaultOptions()
	o.Lines, o.Ways, o.VictimLines, o.FlushFrames = 128, 64, 8, 16
	for mechanism, want := range map[string]int{MechanismList: 144, MechanismWriteProtect: 144, MechanismVictim: 152} {
		o.Mechanism = mechanism
		if got := mustNew(t, o).Frames(); got != want {
			t.Errorf("%s: %d frames, want %d", mechanism, got, want)
		}
	}
}

package node

import (
	"context"
	"testing"
	"time"

	"splitkernel/netlayer"
)

// load is a node under a known load.
type load struct {
	busy time.Duration
	net  netlayer.Usage
}

func (l *load) usage(processors, link float64) *usage {
	return &usage{
		processors: processors, link: link,
		busy: func() time.Duration { return l.busy }, net: func() netlayer.Usage { return l.net },
	}
}

// TestRatesAreOfTheLastWindow: whatever was before, and however often somebody looks.
func TestRatesAreOfTheLastWindow(t *testing.T) {
	l := load{busy: time.Hour, net: netlayer.Usage{InBytes: 1 << 40, OutBytes: 7, WorkerBusy: time.Minute, Workers: 8}}
	u := l.usage(4, 1e6)
	if r := u.rates(); r != (rates{}) {
		t.Errorf("%+v before the first window", r)
	}
	start := time.Now()
	u.step(start)
	if r := u.rates(); r != (rates{}) {
		t.Errorf("%+v in the first window", r)
	}
	l.busy += time.Second
	l.net.InBytes, l.net.OutBytes, l.net.WorkerBusy = l.net.InBytes+500_000, l.net.OutBytes+1000, l.net.WorkerBusy+3*time.Second
	u.step(start.Add(500 * time.Millisecond))
	want := rates{window: 500 * time.Millisecond, cores: 2, workers: 6, inBytes: 1e6, outBytes: 2000}
	for range 3 { // looking changes nothing
		if r := u.rates(); r != want {
			t.Errorf("%+v, want %+v", r, want)
		}
	}
	if u.busyCores() != 2 {
		t.Errorf("%v busy cores in the heartbeat, want 2", u.busyCores())
	}
	l.busy += 750 * time.Millisecond // a window that was late counts as long as it was
	u.step(start.Add(3500 * time.Millisecond))
	want = rates{window: 3 * time.Second, cores: 0.25}
	if r := u.rates(); r != want {
		t.Errorf("%+v, want %+v", r, want)
	}
	u.step(start.Add(3500 * time.Millisecond)) // no time has passed: nothing to divide by
	if r := u.rates(); r != want {
		t.Errorf("%+v after no time, want %+v", r, want)
	}
}

func TestTheSamplerEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := (&load{}).usage(1, 0).run(ctx); err != nil {
		t.Error(err)
	}
}

// TestProcessTimeGrowsWithWork: a thread that runs is counted, and no more than all processors could run.
func TestProcessTimeGrowsWithWork(t *testing.T) {
	before := processTime()
	for n := 0; processTime() == before; n++ {
		if n == 1<<30 {
			t.Fatal("the time of this process stands still")
		}
	}
}

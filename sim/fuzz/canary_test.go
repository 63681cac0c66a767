//go:build canary

package fuzz

import (
	"context"
	"os"
	"strconv"
	"testing"

	"splitkernel/netlayer/canary"
)

// mostSeeds is within how many seeds every canary must be caught.
const mostSeeds = 10_000

// caughtBy are seeds that caught a canary when worlds were drawn last as they are now: they are played first. What changes the drawing changes
// them; then the search begins at 1, and the log says which seed to put here.
var caughtBy = map[canary.Canary]uint64{
	canary.FlushInFlight: 41, canary.StaleServe: 60, canary.UnloggedDecision: 6, canary.LastRound: 99, canary.RetryTwice: 14,
	canary.ZeroAfterMove: 6, canary.ForgetfulFence: 508, canary.Revive: 43, canary.SilentSkip: 226, canary.StaleHolder: 131,
}

// TestCanaries switches faults on that are put into the cores on purpose. Each must be caught, and without it the seed that caught it must be
// clean. CANARY is the number of the one to try; all are if it is not set; CANARY_SEEDS how many seeds each has beside the one that is known.
func TestCanaries(t *testing.T) {
	only, _ := strconv.Atoi(os.Getenv("CANARY"))
	seeds := uint64(mostSeeds)
	if n, err := strconv.ParseUint(os.Getenv("CANARY_SEEDS"), 10, 64); err == nil {
		seeds = n
	}
	for c := canary.None + 1; int(c) <= len(canary.Names); c++ {
		if only != 0 && int(c) != only {
			continue
		}
		t.Run(canary.Names[c], func(t *testing.T) {
			canary.Switch(c)
			defer canary.Switch(canary.None)
			r := &Report{}
			if known := caughtBy[c]; known > 0 {
				r = Run(context.Background(), RunOptions{First: known, Seeds: 1})
			}
			if r.Failures == 0 {
				r = Run(context.Background(), RunOptions{First: 1, Seeds: seeds, MaxFailures: 1})
			}
			if r.Failures == 0 {
				t.Fatalf("not caught by %d seeds", r.Seeds)
			}
			f := r.FailedSeeds[0]
			t.Logf("caught by seed %d: %.300s", f.Seed, f.Text)
			canary.Switch(canary.None)
			if out := Play(Draw(f.Seed)); out.Failure != nil {
				t.Errorf("without it the seed fails, too: %v", out.Failure)
			}
		})
	}
}

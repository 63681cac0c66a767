package migrate

import (
	"errors"
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
)

// Options are the settings of moves.
type Options struct {
	// BatchPages is how many pages one message carries: at most wire.MaxCopyPages, 128. Messages of more than 64 KiB are read straight into
	// the taker's memory. Longer ones wake both sides less often; 64 pages lie in the processor's cache when their checksum is taken.
	BatchPages int `yaml:"batch_pages"`
	// WindowMessages is how many of them are under way at once: 2 MiB, half of what a connection lets through unanswered.
	WindowMessages int `yaml:"window_messages"`
	// FreezePages: when a round leaves no more pages than this to copy, the vRegion is frozen. 256 are 1 MiB, a millisecond.
	FreezePages int `yaml:"freeze_pages"`
	// MaxRounds: after so many rounds the vRegion is frozen whatever is left. A writer as fast as the copy never leaves less.
	MaxRounds int `yaml:"max_rounds"`
	// PatienceMS is how long the giver tries to reach a taker that does not answer while the giver serves, in ms.
	PatienceMS int `yaml:"patience_ms"`
	// SwitchMS is how long nobody may serve before the giver takes the switch-over back, in ms. It is well below the
	// patience of a fault, 20 s.
	SwitchMS int `yaml:"switch_ms"`
	// ServeMS is how long the giver asks a taker that may serve by now, in ms. After it the move is lost.
	ServeMS int `yaml:"serve_ms"`
	// PauseMS is the pause before a message is sent again, in ms; it doubles up to MaxPauseMS.
	PauseMS int `yaml:"pause_ms"`
	// MaxPauseMS bounds the pause, in ms.
	MaxPauseMS int `yaml:"max_pause_ms"`
	// IdleMS: a taker that has heard nothing of a copy for so long gives it up, or, if it is complete, asks the giver, in ms.
	// It is longer than every patience of a giver.
	IdleMS int `yaml:"idle_ms"`
}

// DefaultOptions returns the defaults.
func DefaultOptions() Options {
	return Options{BatchPages: 64, WindowMessages: 8, FreezePages: 256, MaxRounds: 8, PatienceMS: 10_000, SwitchMS: 5_000, ServeMS: 10_000, PauseMS: 2, MaxPauseMS: 200, IdleMS: 30_000}
}

// maxMS bounds every time: an hour.
const maxMS = 3_600_000

// Validate returns every fault, by key.
func (o Options) Validate() error {
	var errs []error
	for _, b := range []struct {
		key       string
		v, lo, hi int
	}{{"batch_pages", o.BatchPages, 1, wire.MaxCopyPages}, {"window_messages", o.WindowMessages, 1, 64}, {"freeze_pages", o.FreezePages, 0, 1 << 24},
		{"max_rounds", o.MaxRounds, 1, 1000}, {"patience_ms", o.PatienceMS, 1, maxMS}, {"switch_ms", o.SwitchMS, 1, maxMS}, {"serve_ms", o.ServeMS, 1, maxMS},
		{"pause_ms", o.PauseMS, 1, maxMS}, {"max_pause_ms", o.MaxPauseMS, o.PauseMS, maxMS}, {"idle_ms", o.IdleMS, 1, maxMS}} {
		if b.v < b.lo || b.v > b.hi {
			errs = append(errs, fmt.Errorf("%s: %d, want %d to %d", b.key, b.v, b.lo, b.hi))
		}
	}
	return errors.Join(errs...)
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// pause gives the pause before attempt n, from 1.
func (o Options) pause(n int) time.Duration {
	d := ms(o.PauseMS)
	for ; n > 1 && d < ms(o.MaxPauseMS); n-- {
		d *= 2
	}
	return min(d, ms(o.MaxPauseMS))
}

package migrate

import (
	"errors"
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
)

// Options bound a move.
type Options struct {
	// Window is how many volume_copy messages are under way at once.
	Window int
	// BatchBlocks is how many blocks one of them carries at most.
	BatchBlocks int
	// SwitchBlocks is how few changed blocks make the giver stop serving and send the rest.
	SwitchBlocks int
	// MaxRounds is after how many rounds it does so in any case: a writer faster than the copy must not keep a volume.
	MaxRounds int
	// Pause is the first pause before a step is tried again; it doubles up to 16 times that.
	Pause time.Duration
	// SwitchPatience bounds what is sent while nobody serves and the taker is not yet told to: after it the move is undone.
	SwitchPatience time.Duration
	// ServePatience is how long a taker that may serve is asked whether it does. After it the volume is given up as lost.
	ServePatience time.Duration
	// DropPatience is how long a taker is told to drop what it got. After it the taker will ask by itself.
	DropPatience time.Duration
}

// DefaultOptions returns the defaults. 64 blocks in a message are 258 KiB: at that size the cost of a message is a hundredth of
// the cost of its bytes, and four of them fill what a connection lets be in flight. 1 MiB is sent and synced within milliseconds. A
// taker holds the volume on disk, so it is worth waiting ten minutes for its restart.
func DefaultOptions() Options {
	return Options{
		Window: 4, BatchBlocks: 64, SwitchBlocks: 256, MaxRounds: 16, Pause: 10 * time.Millisecond,
		SwitchPatience: 8 * time.Second, ServePatience: 10 * time.Minute, DropPatience: 5 * time.Second,
	}
}

// Validate returns every fault.
func (o Options) Validate() error {
	var errs []error
	for _, b := range []struct {
		key    string
		v, max int
	}{{"window", o.Window, 64}, {"batch_blocks", o.BatchBlocks, wire.MaxCopyBlocks}, {"switch_blocks", o.SwitchBlocks, 1 << 20}, {"max_rounds", o.MaxRounds, 1 << 10}} {
		if b.v < 1 || b.v > b.max {
			errs = append(errs, fmt.Errorf("%s: %d, want 1 to %d", b.key, b.v, b.max))
		}
	}
	for _, b := range []struct {
		key string
		d   time.Duration
	}{{"pause_ms", o.Pause}, {"switch_patience_ms", o.SwitchPatience}, {"serve_patience_ms", o.ServePatience}, {"drop_patience_ms", o.DropPatience}} {
		if b.d < time.Millisecond || b.d > 24*time.Hour {
			errs = append(errs, fmt.Errorf("%s: %v, want 1 ms to 24 h", b.key, b.d))
		}
	}
	return errors.Join(errs...)
}

package iosched

import (
	"fmt"

	"splitkernel/netlayer/wire"
)

// EffectKind says what an Effect asks for.
type EffectKind uint8

// The effects.
const (
	Sync EffectKind = 1 // sync the volume in the name of request ID, then call Synced
	Ack  EffectKind = 2 // answer request ID with Err
)

// Effect is one thing that the driver must do.
type Effect struct {
	Kind EffectKind
	ID   uint64
	Err  error
}

// Stats counts what a scheduler did.
type Stats struct {
	Flushes uint64
	Syncs   uint64
	Refused uint64
	Peak    int // most flushes that ever waited
}

// Scheduler is the core of one volume. Use one goroutine at a time.
type Scheduler struct {
	limit   int
	covered []uint64 // by the sync that runs
	next    []uint64 // by the one after it
	running bool
	stats   Stats
}

// New makes a scheduler where at most limit flushes wait for a sync that has not begun.
func New(limit int) *Scheduler { return &Scheduler{limit: limit} }

// Stats returns the counts.
func (s *Scheduler) Stats() Stats { return s.stats }

// Waiting is the number of flushes that wait for a sync that has not begun.
func (s *Scheduler) Waiting() int { return len(s.next) }

// Flush takes a flush request.
func (s *Scheduler) Flush(id uint64, out []Effect) []Effect {
	s.stats.Flushes++
	if len(s.next) >= s.limit {
		s.stats.Refused++
		return append(out, Effect{Ack, id, wire.Errorf(wire.KindBusy, "%d flushes wait for the disk, at most flush_queue %d", len(s.next), s.limit)})
	}
	s.next = append(s.next, id)
	s.stats.Peak = max(s.stats.Peak, len(s.next))
	return s.begin(out)
}

func (s *Scheduler) begin(out []Effect) []Effect {
	if s.running || len(s.next) == 0 {
		return out
	}
	s.running = true
	s.stats.Syncs++
	s.covered, s.next = s.next, s.covered[:0]
	return append(out, Effect{Kind: Sync, ID: s.covered[0]})
}

// Synced reports the end of the sync that runs.
func (s *Scheduler) Synced(err error, out []Effect) []Effect {
	s.running = false
	for _, id := range s.covered {
		out = append(out, Effect{Ack, id, err})
	}
	s.covered = s.covered[:0]
	return s.begin(out)
}

// CheckInvariants checks that a sync runs exactly while it covers something and that nobody waits without one.
func (s *Scheduler) CheckInvariants() error {
	if s.running != (len(s.covered) > 0) || !s.running && len(s.next) > 0 || len(s.next) > s.limit {
		return fmt.Errorf("iosched: running %v with %d covered and %d of at most %d waiting", s.running, len(s.covered), len(s.next), s.limit)
	}
	return nil
}

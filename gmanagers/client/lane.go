package client

import (
	"context"
	"sync"

	"splitkernel/gmanagers/internal/dedup"
)

// lane hands out the sequences of one manager's commands. It keeps those in use within dedup.Window of each other, so
// that no retry falls below the window that the manager remembers.
type lane struct {
	mu   sync.Mutex
	base uint64             // the smallest sequence in use, or next
	next uint64             // the next sequence
	done [dedup.Window]bool // by sequence modulo Window: in [base, next) and answered
	room chan struct{}      // closed when base moves
}

func newLane() *lane { return &lane{base: 1, next: 1, room: make(chan struct{})} }

// begin takes the next sequence. It waits while the window is full.
func (l *lane) begin(ctx context.Context) (uint64, error) {
	for {
		l.mu.Lock()
		if l.next-l.base < dedup.Window {
			seq := l.next
			l.next++
			l.mu.Unlock()
			return seq, nil
		}
		room := l.room
		l.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// end gives seq back: its command was answered or given up, and will not be sent again.
func (l *lane) end(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done[seq%dedup.Window] = true
	if seq != l.base {
		return
	}
	for l.base < l.next && l.done[l.base%dedup.Window] {
		l.done[l.base%dedup.Window] = false
		l.base++
	}
	close(l.room)
	l.room = make(chan struct{})
}

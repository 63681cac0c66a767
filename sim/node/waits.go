package node

import (
	"time"
)

// waited is how long requests have waited for a worker since the start, in all, and how many requests needed one.
type waited struct {
	time     time.Duration
	requests uint64
}

// add sums two places where requests wait.
func (w waited) add(t time.Duration, requests uint64) waited {
	return waited{w.time + t, w.requests + requests}
}

// queueWaits gives the mean wait between two looks.
type queueWaits struct{ last waited }

// since returns the mean wait per request in µs since it was called before; 0 if there was no request.
func (q *queueWaits) since(now func() waited) uint64 {
	if now == nil {
		return 0
	}
	w := now()
	n, d := w.requests-q.last.requests, w.time-q.last.time
	q.last = w
	if n == 0 || d <= 0 {
		return 0
	}
	return uint64(d.Microseconds()) / n
}

package session

import (
	"math/rand/v2"
	"time"
)

// Backoff is a bounded schedule of retries: exponential, with jitter so that clients that failed together do not come
// back together.
type Backoff struct {
	Base     time.Duration // before the first retry, > 0
	Max      time.Duration // no pause is longer, >= Base
	Attempts int           // how often a call is sent in all, >= 1
}

// Delay gives the pause before attempt number attempt (the first retry is attempt 1): between half and all of
// min(Max, Base·2^(attempt-1)). ok is false if the schedule has ended.
func (b Backoff) Delay(attempt int, rng *rand.Rand) (d time.Duration, ok bool) {
	if attempt < 1 || attempt >= b.Attempts {
		return 0, false
	}
	d = b.Base
	for i := 1; i < attempt && d < b.Max; i++ {
		d *= 2
	}
	d = min(d, b.Max)
	if half := int64(d / 2); half > 0 {
		d = d - time.Duration(half) + time.Duration(rng.Int64N(half+1))
	}
	return d, true
}

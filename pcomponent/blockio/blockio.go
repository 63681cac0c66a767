package blockio

import (
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
)

// Names of limits.
const (
	// Window is how many parts of one block request are under way at once.
	Window = 16
	// DefaultPatienceMS is how long a part is sent again before the request fails, unless the cluster says otherwise, in ms.
	DefaultPatienceMS = 20_000
	// Pause is the pause before a part is sent again for the first time; it grows by as much each time, up to PauseMax.
	Pause    = 10 * time.Millisecond
	PauseMax = time.Second
)

// Check reports a request that no volume of size bytes can serve.
func Check(size, offset uint64, n int) error {
	if offset%wire.SectorSize != 0 || n%wire.SectorSize != 0 || n <= 0 {
		return fmt.Errorf("%d bytes at %d, want multiples of %d", n, offset, wire.SectorSize)
	}
	if offset > size || uint64(n) > size-offset {
		return fmt.Errorf("%d bytes at %d goes beyond its end at %d", n, offset, size)
	}
	return nil
}

// Part is how many bytes the part has that begins at offset, of a request with left bytes from there on: parts end where blocks do.
func Part(offset uint64, left int) int {
	return min(left, wire.PageSize-int(offset%wire.PageSize))
}

// Retry decides whether one part is sent again: block requests are idempotent. The zero value is that of a part that did not fail yet.
type Retry struct{ tries int }

// Failed tells whether a part is sent again that failed with an error of a kind, waited after its first attempt, and after which
// pause. moved says that the buffer cache is elsewhere by now: then what the old place says is no answer.
func (r *Retry) Failed(kind wire.Kind, waited, patience time.Duration, moved bool) (pause time.Duration, again bool) {
	switch kind {
	case wire.KindUnavailable, wire.KindTimeout, wire.KindBusy:
	case wire.KindNotOwner: // its mComponent was started again, and the managers are to name another buffer cache
	case wire.KindStale, wire.KindNotFound:
		if !moved {
			return 0, false
		}
	default:
		return 0, false
	}
	if waited > patience {
		return 0, false
	}
	if moved {
		r.tries = 0
		return 0, true
	}
	r.tries++
	return min(time.Duration(r.tries)*Pause, PauseMax), true
}

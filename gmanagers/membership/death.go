package membership

import (
	"fmt"
	"strings"
	"time"
)

// Cause is why a member was declared dead.
type Cause uint8

// The causes.
const (
	CauseSilence Cause = 1 // not heard of within the lease, and nobody who was asked reached it
	CauseRefused Cause = 2 // nobody listens at its address: its process has ended
)

// causes are the names of the causes, by number.
var causes = [...]string{"none", "silence", "refused"}

func (c Cause) String() string { return causes[min(int(c), len(causes)-1)] }

// Death is how a death was noticed: the beginning of the reason of its event, from where ParseDeath reads it.
type Death struct {
	Cause  Cause
	Detect time.Duration // from the last sign that it lived until it was to be declared dead
}

func (d Death) String() string {
	return fmt.Sprintf("cause=%v detect_ms=%d", d.Cause, d.Detect.Milliseconds())
}

// ParseDeath reads the reason of an event of a death; false if it was declared by hand.
func ParseDeath(reason string) (d Death, ok bool) {
	var cause string
	var ms int64
	if n, _ := fmt.Sscanf(reason, "cause=%s detect_ms=%d", &cause, &ms); n != 2 {
		return d, false
	}
	for i, name := range causes {
		if i > 0 && name == cause {
			return Death{Cause(i), time.Duration(ms) * time.Millisecond}, true
		}
	}
	return d, false
}

// FenceText is the reason of the event that an epoch is over at the managers: so long after the last sign of life a majority of them
// had it. From then on nothing is given to the component under it, and it is told when it asks.
func FenceText(d time.Duration) string { return fmt.Sprintf("fence_ms=%d", d.Milliseconds()) }

// ParseFence reads the reason of such an event.
func ParseFence(reason string) (time.Duration, bool) {
	var ms int64
	rest, ok := strings.CutPrefix(reason, "fence_ms=")
	if !ok {
		return 0, false
	}
	n, _ := fmt.Sscan(rest, &ms)
	return time.Duration(ms) * time.Millisecond, n == 1
}

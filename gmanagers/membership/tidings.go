package membership

import "time"

const (
	// newsPause is how long news that were stamped are not stamped again: as long as the command that carries them may take, so that
	// a burst of placements does not carry them all.
	newsPause = 10 * time.Millisecond
	// newsInterval is how often traffic is looked at, if nobody is silent or heard of anew before.
	newsInterval = time.Second
)

// Tidings is when a leader looks next for what its state does not know of the members that a manager registers (Watch.News, NewsOf).
// Most often there is nothing to look for: the state knows who is heard of, and the leader when that can change. The zero value looks.
type Tidings struct {
	at    time.Duration
	turns [2]uint64 // of the watch, and of who registers the members, at the last look
}

// Due reports whether to look. turn is that of the state that registers the members, if that is another group's.
func (n *Tidings) Due(now time.Duration, w *Watch, turn uint64) bool {
	return now >= n.at || n.turns != [2]uint64{w.Turns(), turn}
}

// Looked notes how much a look has found, and until when nothing can become silent.
func (n *Tidings) Looked(now time.Duration, w *Watch, turn uint64, found int, until time.Duration) {
	n.turns, n.at = [2]uint64{w.Turns(), turn}, min(until, now+newsInterval)
	if found > 0 {
		n.at = now + newsPause // again, until the state has it
	}
}

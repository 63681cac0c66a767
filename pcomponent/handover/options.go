package handover

import "time"

// Names of limits.
const (
	// ChunkBytes is how much of a state one message carries at most: with its other fields it stays below wire.MaxBody.
	ChunkBytes = 1 << 19
	// MaxStateBytes bounds the state of a process: the expected versions of half a billion pages.
	MaxStateBytes = 1 << 30
	// MaxRounds bounds the rounds of write-back while the process runs.
	MaxRounds = 4
	// FewLines ends the rounds: what is dirty after a round that wrote no more is drained in the pause.
	FewLines = 64
)

// Options are the patience of a handover.
type Options struct {
	Retry         time.Duration // the first pause before something is tried again; it doubles up to MaxRetry
	MaxRetry      time.Duration
	Prepare       time.Duration // how long a move may take until the process stops, if its order does not say
	Switch        time.Duration // how long the giver tries to hand the state over before it goes on itself
	Resume        time.Duration // how long it asks a taker that may serve
	Incoming      time.Duration // how long a taker keeps a copy that is not complete and of which it hears nothing
	AskGiver      time.Duration // how often a taker with a complete copy asks the giver whether the move is still on
	MaxDropTries  int           // messages that tell a taker to forget a move; a lost one costs it Incoming or AskGiver
	MaxSendFaults int           // chunks that came damaged, in a row
}

// DefaultOptions are those of a cluster in one room: a switch-over takes milliseconds, and a node on a loaded machine was
// seen to stand still for seconds.
func DefaultOptions() Options {
	return Options{
		Retry: 5 * time.Millisecond, MaxRetry: 250 * time.Millisecond, Prepare: time.Minute, Switch: 5 * time.Second, Resume: time.Minute,
		Incoming: 20 * time.Second, AskGiver: 5 * time.Second, MaxDropTries: 2, MaxSendFaults: 5,
	}
}

// pause gives the pause before attempt n (from 1).
func (o Options) pause(n int) time.Duration {
	d := o.Retry
	for ; n > 1 && d < o.MaxRetry; n-- {
		d *= 2
	}
	return min(d, o.MaxRetry)
}

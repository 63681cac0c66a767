package gmm

import (
	"fmt"
	"slices"

	"splitkernel/gmanagers/events"
	"splitkernel/netlayer/wire"
)

// MaxFailures bounds the failures that are remembered: the oldest is forgotten.
const MaxFailures = 64

// Failure is the end of an mComponent's epoch, and what it took until all that had something there was whole again. Times are ms since MS, at
// least 1, and 0 while it has not come to that.
type Failure struct {
	No       uint64
	Node     wire.NodeID
	Epoch    wire.Epoch
	MS       int64  // when it was decided, ms since 1970 by the clock of the leader that proposed it
	Cause    string // in words
	SilentMS uint64 // for how long it had not been heard of then; 0 if that is not known
	Served   uint64 // homes and vRegions that it served and others serve instead
	Copies   uint64 // of which it only had a copy
	Lost     uint64 // that nobody has any more

	FencedMS    uint64 // everybody who had a copy refuses what comes under the old epochs
	FirstMS     uint64 // the first of Served is served
	ServedMS    uint64 // all are
	RecoveredMS uint64 // and have all their pages
	RestoredMS  uint64 // everything is whole again, as far as no later failure took it over

	ServeLeft, RecoverLeft, RestoreLeft uint64
}

// failures are the last ones, ascending by number.
type failures struct {
	last uint64
	list []Failure
}

func (f *failures) find(no uint64) *Failure {
	i, ok := slices.BinarySearchFunc(f.list, no, func(x Failure, no uint64) int {
		switch {
		case x.No < no:
			return -1
		case x.No > no:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return &f.list[i]
}

// begin notes a failure and returns its number.
func (f *failures) begin(x Failure) uint64 {
	f.last++
	x.No = f.last
	f.list = append(f.list, x)
	if len(f.list) > MaxFailures {
		f.list = slices.Delete(f.list, 0, 1)
	}
	return f.last
}

// account adds what a part is short of to its failure, or takes it away. Settle notes what is over with that.
func (f *failures) account(c *Copies, n uint64) {
	if c == nil || c.Failure == 0 {
		return
	}
	x := f.find(c.Failure)
	if x == nil {
		return
	}
	if c.Recovering {
		x.RecoverLeft += n
		if !c.Served {
			x.ServeLeft += n
		}
	}
	x.RestoreLeft += n
}

// since is a time of a failure.
func (x *Failure) since(nowMS int64) uint64 { return uint64(max(1, nowMS-x.MS)) }

// settle notes what is over.
func (f *failures) settle(nowMS int64, log *events.Log) {
	for i := range f.list {
		x := &f.list[i]
		if x.RestoredMS != 0 {
			continue
		}
		tell := func(k events.Kind, format string, args ...any) {
			log.Append(events.Event{MS: nowMS, Kind: k, Node: x.Node, Epoch: x.Epoch, Amount: x.since(nowMS), Reason: fmt.Sprintf(format, args...)})
		}
		if x.ServeLeft == 0 && x.ServedMS == 0 && x.Served > 0 {
			x.ServedMS = x.since(nowMS)
			tell(events.FirstAccess, "failure %d: all %d homes and vRegions are served again; ms since it was declared dead", x.No, x.Served)
		}
		if x.RecoverLeft == 0 && x.RecoveredMS == 0 && x.Served > 0 {
			x.RecoveredMS = x.since(nowMS)
			tell(events.Recovered, "failure %d: %d homes and vRegions have all their pages; ms since it was declared dead", x.No, x.Served)
		}
		if x.RestoreLeft == 0 {
			x.RestoredMS = x.since(nowMS)
			tell(events.Restored, "failure %d: redundancy is restored, %d homes and vRegions are lost; ms since it was declared dead", x.No, x.Lost)
		}
	}
}

// Failures are the last ones, ascending.
func (s *State) Failures() []Failure { return append([]Failure{}, s.failures.list...) }

func (f *failures) check(processes []*Process) error {
	left := failures{f.last, slices.Clone(f.list)}
	for i := range left.list {
		left.list[i].ServeLeft, left.list[i].RecoverLeft, left.list[i].RestoreLeft = 0, 0, 0
	}
	for _, p := range processes {
		left.account(p.Copies, 1)
		for i := range p.Regions {
			left.account(p.Regions[i].Copies, 1)
		}
	}
	if !slices.Equal(left.list, f.list) {
		return fmt.Errorf("gmm: failures %+v, want %+v", f.list, left.list)
	}
	if len(f.list) > MaxFailures {
		return fmt.Errorf("gmm: %d failures, at most %d", len(f.list), MaxFailures)
	}
	for i, x := range f.list {
		if x.No == 0 || x.No > f.last || i > 0 && f.list[i-1].No >= x.No || len(x.Cause) > events.MaxReasonBytes {
			return fmt.Errorf("gmm: failure %d of %d is out of order", x.No, f.last)
		}
	}
	return nil
}

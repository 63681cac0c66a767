package vcluster

import (
	"errors"
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/device"
)

// Times of a log that goes wrong, as live.
const (
	// ProposeTimeout is after how long a proposer that got no answer gives up: what became of its command is then unknown.
	ProposeTimeout = time.Second
	// ElectionTime is for how long a group commits nothing when its leader has gone.
	ElectionTime = 300 * time.Millisecond
	// lateMost bounds how much later than its timeout a command may still be applied.
	lateMost = 2 * time.Second
)

// RaftFaults are what may go wrong with the managers' logs; the zero value is nothing. What is drawn is drawn from the seed.
type RaftFaults struct {
	// Shares of the commands, together at most 1. Lost ones are never applied, unheard ones are and their proposer is not told,
	// late ones are applied after their proposer has given up, and those that come twice are applied again later.
	Lost, Unheard, Late, Twice float64
	// LeaderChange is the mean time between two changes of the leader of all three groups; 0 is never. What was not committed
	// then is lost, late or unheard.
	LeaderChange time.Duration
	// Until is when nothing goes wrong any more by chance; 0 is never.
	Until time.Duration
	// At is what goes wrong with single commands; at most one with each.
	At []RaftFault
}

// Outcome is what becomes of a command that a majority has.
type Outcome uint8

// The outcomes. Of the middle three its proposer is told that nobody knows.
const (
	Applied Outcome = 0 // and answered
	Lost    Outcome = 1 // never applied
	Unheard Outcome = 2 // applied, not answered
	Late    Outcome = 3 // applied after its proposer has given up
	Twice   Outcome = 4 // applied, answered, and applied again later
)

// RaftFault is what becomes of one command.
type RaftFault struct {
	Command int // by the order in which commands of all groups are committed: 1 is the first
	What    Outcome
	Leader  bool // and the managers' leader changes
}

// any reports whether something may go wrong.
func (f RaftFaults) any() bool {
	return f.Lost+f.Unheard+f.Late+f.Twice > 0 || f.LeaderChange > 0 || len(f.At) > 0
}

// of is what becomes of a command, its number given; draw gives a number from 0 to 1.
func (f RaftFaults) of(command int, now time.Duration, draw func() float64) (what Outcome, leader bool) {
	for _, a := range f.At {
		if a.Command == command {
			return a.What, a.Leader
		}
	}
	if f.Lost+f.Unheard+f.Late+f.Twice == 0 && f.LeaderChange == 0 || f.Until > 0 && now >= f.Until {
		return Applied, false
	}
	x := draw()
	for _, s := range []struct {
		share float64
		what  Outcome
	}{{f.Lost, Lost}, {f.Unheard, Unheard}, {f.Late, Late}, {f.Twice, Twice}} {
		if x < s.share {
			return s.what, false
		}
		x -= s.share
	}
	return Applied, false
}

func (f RaftFaults) validate() error {
	var errs []error
	for _, s := range []struct {
		key   string
		share float64
	}{{"lost", f.Lost}, {"unheard", f.Unheard}, {"late", f.Late}, {"twice", f.Twice}, {"lost + unheard + late + twice", f.Lost + f.Unheard + f.Late + f.Twice}} {
		if !(s.share >= 0 && s.share <= 1) {
			errs = append(errs, fmt.Errorf("raft.%s: %v, want 0 to 1", s.key, s.share))
		}
	}
	if f.LeaderChange < 0 || f.LeaderChange > 0 && f.LeaderChange < ElectionTime {
		errs = append(errs, fmt.Errorf("raft.leader_change: %v, want 0 or at least %v", f.LeaderChange, ElectionTime))
	}
	for i, a := range f.At {
		if a.Command < 1 || a.What > Twice {
			errs = append(errs, fmt.Errorf("raft.at[%d]: command %d, outcome %d, want at least 1, and 0 to %d", i, a.Command, a.What, Twice))
		}
	}
	if f.Until < 0 || f.LeaderChange > 0 && f.Until == 0 {
		errs = append(errs, fmt.Errorf("raft.until: %v, want a moment at which leaders stay", f.Until))
	}
	return errors.Join(errs...)
}

// raft is the log of one group: what is proposed while a batch is on its way to a quorum goes with the next one. A batch is
// committed when a majority of the managers, the leader one of them, has it on its device.
type raft struct {
	g     *managers
	group wire.Manager
	queue []entry
	under []entry // the batch on its way
	busy  bool
	term  int           // of the leader
	from  time.Duration // before then nothing is committed: the group elects
	sent  uint64        // where the batch on its way begins
	log   uint64        // bytes appended: where the next batch goes
}

// entry is a command that is to be committed. apply does so and gives what the proposer does with the answer; lost is called
// instead of that if the proposer gets none.
type entry struct {
	bytes int
	apply func() (answered func())
	lost  func(error)
}

// appendBytes is what a message between managers has beside the commands.
const appendBytes = 64

// propose appends a command. Without a majority of managers it goes nowhere.
func (r *raft) propose(e entry) {
	if !r.g.quorum() {
		r.giveUp(e)
		return
	}
	r.queue = append(r.queue, e)
	if !r.busy {
		r.round()
	}
}

// round sends what is queued to the others.
func (r *raft) round() {
	g, c := r.g, r.g.c
	if len(r.queue) == 0 {
		return
	}
	r.busy = true
	if now := c.clock.Now(); now < r.from {
		term := r.term
		c.at(r.from, func() {
			if r.term == term {
				r.busy = false
				r.round()
			}
		})
		return
	}
	r.under, r.queue = r.queue, nil
	bytes := 0
	for _, e := range r.under {
		bytes += e.bytes
	}
	at, term := r.log, r.term
	r.log += uint64(bytes)
	need, have := len(g.members)/2+1, 0
	vote := func() {
		if have++; have != need || term != r.term {
			return
		}
		batch := r.under
		r.under = nil
		for _, e := range batch {
			r.commit(e)
		}
		r.busy = false
		r.round()
	}
	if c.faulty { // its leader may be cut off from too many, whom others reach
		c.after(ProposeTimeout, func() {
			if term == r.term && at == r.sent && r.under != nil {
				g.ChangeLeader()
			}
		})
	}
	r.sent = at
	for _, m := range g.members {
		if !g.fit(m) {
			continue
		}
		if m == g.leader {
			g.disks[m].save(at, bytes, vote)
			continue
		}
		var send func()
		send = func() {
			c.ask(wire.OpRaft, g.leader, m, appendBytes+bytes, func(done func(int, func())) {
				g.disks[m].save(at, bytes, func() { done(appendBytes, vote) })
			}, func(error) { // the message or its answer was lost
				if have < need && term == r.term && g.fit(m) {
					send()
				}
			}) // later ones bring a follower what it missed
		}
		send()
	}
}

// apply applies a command, now.
func (r *raft) apply(e entry) (answered func()) {
	r.g.c.digest.mark(r.g.c.clock.Now(), markCommand, uint64(r.group), uint64(e.bytes))
	answered = e.apply()
	r.g.applied(r.group)
	return answered
}

// commit applies a command, unless it is to be otherwise.
func (r *raft) commit(e entry) {
	g := r.g
	g.commits++
	what, leader := g.c.o.Raft.of(g.commits, g.c.clock.Now(), g.wrong.Float64)
	switch what {
	case Lost:
		r.giveUp(e)
	case Unheard:
		r.apply(e)
		r.giveUp(e)
	case Late:
		r.giveUp(e)
		r.later(e, ProposeTimeout)
	case Twice:
		answered := r.apply(e)
		r.later(e, 0)
		answered()
	default:
		r.apply(e)()
	}
	if leader {
		g.ChangeLeader()
	}
}

// giveUp tells the proposer, in a while, that nobody knows.
func (r *raft) giveUp(e entry) {
	r.g.c.after(ProposeTimeout, func() {
		e.lost(wire.Errorf(wire.KindTimeout, "%v: no answer within %v; the command may be applied or not", r.group, ProposeTimeout))
	})
}

// later applies a command, for nobody, some time after least.
func (r *raft) later(e entry, least time.Duration) {
	r.g.c.after(least+time.Duration(r.g.wrong.Int64N(int64(lateMost))), func() {
		if !r.g.quorum() {
			return // it went with those who had it
		}
		r.apply(e)
		r.g.look()
	})
}

// depose ends the term of the leader.
func (r *raft) depose() {
	r.term++
	r.from = r.g.c.clock.Now() + ElectionTime
	open := append(r.under, r.queue...)
	r.under, r.queue, r.busy = nil, nil, false
	for _, e := range open {
		r.giveUp(e)
		if r.g.wrong.IntN(2) == 0 { // it had reached a majority, which brings it to the new leader
			r.later(e, ElectionTime)
		}
	}
}

// logDisk is where a manager keeps its logs.
type logDisk struct {
	c   *Cluster
	dev *device.Device
}

// save does f when so many bytes are durable.
func (d *logDisk) save(at uint64, bytes int, f func()) {
	end := d.dev.Do(d.c.clock.Now(), device.Write, at, uint64(bytes))
	d.c.at(end, func() { d.c.at(d.dev.Flush(d.c.clock.Now()), f) })
}

package vcluster

import (
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/device"
)

// raft is the log of one group: what is proposed while a batch is on its way to a quorum goes with the next one. A batch is
// committed when a majority of the managers, the leader one of them, has it on its device.
type raft struct {
	g     *managers
	group wire.Manager
	queue []entry
	busy  bool
	log   uint64 // bytes appended: where the next batch goes
}

// entry is a command that is to be committed.
type entry struct {
	bytes int
	apply func()
}

// appendBytes is what a message between managers has beside the commands.
const appendBytes = 64

// propose appends a command; apply runs, in the order of the log, when it is committed.
func (r *raft) propose(bytes int, apply func()) {
	r.queue = append(r.queue, entry{bytes, apply})
	if !r.busy {
		r.round()
	}
}

// round sends what is queued to the others.
func (r *raft) round() {
	batch := r.queue
	if len(batch) == 0 {
		return
	}
	r.queue, r.busy = nil, true
	bytes := 0
	for _, e := range batch {
		bytes += e.bytes
	}
	g, c := r.g, r.g.c
	at := r.log
	r.log += uint64(bytes)
	need, have := len(g.members)/2+1, 0
	vote := func() {
		if have++; have != need {
			return
		}
		for _, e := range batch {
			c.digest.mark(c.clock.Now(), markCommand, uint64(r.group), uint64(e.bytes))
			e.apply()
		}
		r.busy = false
		r.round()
	}
	for _, m := range g.members {
		if m == g.leader {
			g.disks[m].save(at, bytes, vote)
			continue
		}
		c.ask(wire.OpRaft, g.leader, m, appendBytes+bytes, func(done func(int, func())) {
			g.disks[m].save(at, bytes, func() { done(appendBytes, vote) })
		}, func(error) {}) // a follower that was not reached has no vote; the next batch brings it what it missed
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

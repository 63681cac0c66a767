package vcluster

import (
	"errors"
	"fmt"

	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/device"
)

// Replication is a model of what LegoOS's replication of memory costs: messages, and no second copy that could be read. A flush goes
// also to a second mComponent, which appends it to a log; a full log is sent to an sComponent, and until that has written it what comes is
// not logged.
type Replication struct {
	// EntryBytes is the size of a replica message, and Entries how many fill the log.
	EntryBytes, Entries int
	// LogBytes is the size of a full log on its way to the sComponent.
	LogBytes int
	// Wait is what LegoOS's paper says: the secondary is the mComponent after the primary, a flush and its replica are sent at once, and the
	// flush counts as acknowledged when both have answered. Without it, it is as in LegoOS's released code: the secondary is the mComponent
	// after the home of the process, nobody answers a replica, and its sender goes on when its network card has delivered it: before
	// it sends a miss with the flush, and after the answer to a flush that travels alone. A log counts as written without a flush of the device.
	Wait bool
}

func (r *Replication) waits() bool { return r != nil && r.Wait }

// Operations of the model, which nothing sends live.
const (
	opReplica      wire.Op = 0xfe
	opReplicaFlush wire.Op = 0xff
)

func (r *Replication) validate(nodes []Node) error {
	if r == nil {
		return nil
	}
	var errs []error
	if r.EntryBytes < 1 || r.Entries < 1 || r.LogBytes < 1 {
		errs = append(errs, fmt.Errorf("replication: %+v, want each at least 1", *r))
	}
	memories, storages := 0, 0
	for i := range nodes {
		switch nodes[i].Role {
		case wire.RoleMemory:
			memories++
		case wire.RoleStorage:
			storages++
		}
	}
	if memories < 2 || storages < 1 {
		errs = append(errs, fmt.Errorf("replication: %d mComponents and %d sComponents, want at least 2 and 1", memories, storages))
	}
	return errors.Join(errs...)
}

// twoAnswers is a flush that waits for its primary and its secondary.
type twoAnswers struct {
	left int
	do   func() // what the primary's answer does
}

// replicate sends a flush to the secondary as well. Flushes that are sent again are not.
func (p *Process) replicate(primary int32, flush uint64) {
	if !p.c.o.Replication.waits() {
		return
	}
	if p.both[flush] != nil {
		return
	}
	if p.both == nil {
		p.both = map[uint64]*twoAnswers{}
	}
	p.both[flush] = &twoAnswers{left: 2}
	c := p.c
	to := c.secondary(primary)
	c.send(opReplica, p.n.no, to.no, c.o.Replication.EntryBytes, func(done func(int, func())) {
		to.replica()
		done(int(c.o.Sizes.Ack), func() { p.arrived(flush, nil) })
	}, func(error) { p.arrived(flush, nil) }) // a secondary that does not answer holds nobody up for ever
}

// secondary is the mComponent after the primary.
func (c *Cluster) secondary(primary int32) *memory {
	for i, m := range c.memory {
		if m.no == primary {
			return c.memory[(i+1)%len(c.memory)]
		}
	}
	panic(fmt.Sprintf("vcluster: node %d is no mComponent", primary)) // flushes go to owners
}

// arrived counts an answer to a flush, and does what the primary's does when both are there.
func (p *Process) arrived(flush uint64, do func()) {
	b := p.both[flush]
	if b == nil { // it has had both, and this one came again
		return
	}
	if do != nil {
		b.do = do
	}
	if b.left--; b.left == 0 {
		delete(p.both, flush)
		b.do()
	}
}

// replicaLog is the log of a secondary.
type replicaLog struct {
	entries  int
	at       uint64 // of the sComponent's device
	flushing bool
	skipped  uint64
}

// replica appends to the log.
func (m *memory) replica() {
	l := &m.log
	if l.flushing {
		l.skipped++
		return
	}
	r := m.c.o.Replication
	if l.entries++; l.entries < r.Entries {
		return
	}
	l.flushing = true
	to := m.c.storage[int(m.no)%len(m.c.storage)]
	at := l.at
	l.at += uint64(r.LogBytes)
	empty := func() { l.entries, l.flushing = 0, false }
	m.c.send(opReplicaFlush, m.no, to.no, r.LogBytes, func(done func(int, func())) {
		written := func() { done(int(m.c.o.Sizes.Ack), empty) }
		to.io(device.Write, at, r.LogBytes, func() {
			if r.Wait {
				to.flush(written)
			} else {
				written()
			}
		})
	}, func(error) { empty() })
}

// Skipped is how many replicas were not logged because the log was full.
func (c *Cluster) Skipped() (n uint64) {
	for _, m := range c.memory {
		n += m.log.skipped
	}
	return n
}

package scomponent

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"splitkernel/netlayer"
	"splitkernel/netlayer/latency"
	"splitkernel/netlayer/wire"
)

// counts are updated without a lock.
type counts struct {
	reads, writes, marks, flushes   atomic.Uint64
	readBytes, writtenBytes         atomic.Uint64
	corrupt, noSpace, stale, failed atomic.Uint64
	verified                        atomic.Uint64

	movesStarted, movesDone, movesUndone, movesLost, movesTaken atomic.Uint64
	movedOutBytes, movedInBytes                                 atomic.Uint64
}

func (c *counts) op(req *netlayer.Request, err error) {
	if err != nil {
		c.failed.Add(1)
		switch wire.KindOf(err) {
		case wire.KindCorrupt:
			c.corrupt.Add(1)
		case wire.KindNoSpace:
			c.noSpace.Add(1)
		case wire.KindStale:
			c.stale.Add(1)
		}
		return
	}
	switch req.Op {
	case wire.OpBlockRead:
		c.reads.Add(1)
		if k, ok := wire.ParseBlock(req.Body); ok {
			c.readBytes.Add(uint64(k.Length))
		}
	case wire.OpBlockWrite:
		if len(req.Page) == 0 {
			c.marks.Add(1)
			return
		}
		c.writes.Add(1)
		c.writtenBytes.Add(uint64(len(req.Page)))
	case wire.OpBlockFlush:
		c.flushes.Add(1)
	case wire.OpReplicaBlockRead:
		c.reads.Add(1)
		if k, ok := wire.ParseReplicaBlock(req.Body); ok && k.Flags&wire.ReplicaNoPage == 0 {
			c.readBytes.Add(wire.PageSize)
		}
	case wire.OpReplicaBlockWrite:
		c.writes.Add(1)
		c.writtenBytes.Add(uint64(len(req.Page)))
	}
}

// copied counts what was found of a block of one of several copies.
func (c *counts) copied(b wire.BlockCopy) {
	c.verified.Add(1)
	if b.State != wire.CopyGood {
		c.corrupt.Add(1)
	}
}

// Stats are the numbers of an sComponent; counts are since its start.
type Stats struct {
	Volumes       int
	ReservedBytes uint64 // sum of the sizes of the volumes
	ResidentBytes uint64 // what their files take
	FlushWaiting  int    // flushes that wait for a sync that has not begun
	BlockReads    uint64
	BlockWrites   uint64
	Marks         uint64
	BlockFlushes  uint64
	Syncs         uint64
	FlushRefused  uint64
	ReadBytes     uint64
	WrittenBytes  uint64
	Corrupt       uint64 // reads whose checksum did not fit
	NoSpace       uint64
	Stale         uint64 // refused for their epoch
	Failed        uint64 // all block operations answered with an error
	Verified      uint64 // blocks of copies that were looked at for a buffer cache or a scrub

	MovesUnderway, Incoming                                     int    // volumes that are given away now, and that come
	MovesStarted, MovesDone, MovesUndone, MovesLost, MovesTaken uint64 // started: as giver
	MovedOutBytes, MovedInBytes                                 uint64 // blocks sent twice are counted twice
}

// Stats gives the numbers.
func (c *Component) Stats() Stats {
	n := &c.counts
	s := Stats{
		BlockReads: n.reads.Load(), BlockWrites: n.writes.Load(), Marks: n.marks.Load(), BlockFlushes: n.flushes.Load(),
		ReadBytes: n.readBytes.Load(), WrittenBytes: n.writtenBytes.Load(), Corrupt: n.corrupt.Load(), NoSpace: n.noSpace.Load(),
		Stale: n.stale.Load(), Failed: n.failed.Load(), Verified: n.verified.Load(),
		MovesStarted: n.movesStarted.Load(), MovesDone: n.movesDone.Load(), MovesUndone: n.movesUndone.Load(), MovesLost: n.movesLost.Load(),
		MovesTaken: n.movesTaken.Load(), MovedOutBytes: n.movedOutBytes.Load(), MovedInBytes: n.movedInBytes.Load(),
	}
	c.movesMu.Lock()
	for _, id := range c.moveOrder {
		if !c.moves[id].isOver() {
			s.MovesUnderway++
		}
	}
	c.movesMu.Unlock()
	c.mu.RLock()
	s.Incoming = len(c.incoming)
	s.Volumes, s.ReservedBytes, s.Syncs, s.FlushRefused = len(c.vols), c.reserved, c.pastSyncs, c.pastRefused
	vols := slices.Collect(maps.Values(c.vols))
	c.mu.RUnlock()
	for _, v := range vols { // sums only: no order
		if v.broken != nil {
			continue
		}
		v.st.Lock()
		st := v.sched.Stats()
		s.Syncs += st.Syncs
		s.FlushRefused += st.Refused
		s.FlushWaiting += v.sched.Waiting()
		v.st.Unlock()
		for _, d := range []interface{ Allocated() (int64, error) }{v.img, v.sums} {
			if b, err := d.Allocated(); err == nil {
				s.ResidentBytes += uint64(b)
			}
		}
	}
	return s
}

// Load is what the heartbeat reports.
func (c *Component) Load() wire.Load {
	s := c.Stats()
	return wire.Load{ReservedBytes: s.ReservedBytes, ResidentBytes: s.ResidentBytes, BlockOps: s.BlockReads + s.BlockWrites + s.BlockFlushes,
		BlockBytes: s.ReadBytes + s.WrittenBytes, Volumes: uint32(s.Volumes)}
}

// Capacity is what the component offers.
func (c *Component) Capacity() wire.Capacity { return wire.Capacity{StorageBytes: c.o.CapacityBytes} }

// Counters gives the numbers by name, in order.
func (c *Component) Counters() []wire.Counter {
	s := c.Stats()
	l := []wire.Counter{
		{Name: "block_errors", Value: float64(s.Failed)},
		{Name: "block_flushes", Value: float64(s.BlockFlushes)},
		{Name: "block_marks", Value: float64(s.Marks)},
		{Name: "block_read_bytes", Value: float64(s.ReadBytes)},
		{Name: "block_reads", Value: float64(s.BlockReads)},
		{Name: "block_write_bytes", Value: float64(s.WrittenBytes)},
		{Name: "blocks_verified", Value: float64(s.Verified)},
		{Name: "block_writes", Value: float64(s.BlockWrites)},
		{Name: "flush_refused", Value: float64(s.FlushRefused)},
		{Name: "integrity_errors", Value: float64(s.Corrupt)},
		{Name: "moved_in_bytes", Value: float64(s.MovedInBytes)},
		{Name: "moved_out_bytes", Value: float64(s.MovedOutBytes)},
		{Name: "moves_done", Value: float64(s.MovesDone)},
		{Name: "moves_lost", Value: float64(s.MovesLost)},
		{Name: "moves_taken", Value: float64(s.MovesTaken)},
		{Name: "moves_undone", Value: float64(s.MovesUndone)},
		{Name: "no_space_errors", Value: float64(s.NoSpace)},
		{Name: "reserved_bytes", Value: float64(s.ReservedBytes)},
		{Name: "resident_bytes", Value: float64(s.ResidentBytes)},
		{Name: "stale_refused", Value: float64(s.Stale)},
		{Name: "syncs", Value: float64(s.Syncs)},
		{Name: "volumes", Value: float64(s.Volumes)},
	}
	l = append(l, c.latency.Counters()...)
	slices.SortFunc(l, func(a, b wire.Counter) int { return strings.Compare(a.Name, b.Name) })
	return l
}

// newLatency makes the recorder of block operations, by op - wire.OpBlockRead.
func newLatency() *latency.Recorder { return latency.New("block_read", "block_write", "block_flush") }

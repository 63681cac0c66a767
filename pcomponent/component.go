package pcomponent

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/given"
	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/fault"
	"splitkernel/pcomponent/slowest"
)

// Component is one pComponent. Safe for concurrent use.
type Component struct {
	o Options

	heatMu sync.Mutex // guards what follows; taken before any other lock
	heat   heat.Reader
	began  time.Time // of its clock

	mu    sync.Mutex // guards what follows; taken before no other lock
	peers map[string]*netlayer.Peer
	procs map[wire.PID]*Process
	homes given.Homes
	past  totals         // of processes that were closed
	slow  slowest.Keeper // the same
	lines uint64         // of the ExCaches open now
	dead  bool           // Close has begun: nothing is opened any more
	ended bool           // it has closed the connections
	// fences counts the calls of Fence, fenced is the error of the last: a process that was booked before it and opens after
	// it fails.
	fences uint64
	fenced *wire.Error
	booked map[wire.PID]uint64 // fences when a process was booked

	peersGone  atomic.Uint64 // how often connections were closed that somebody may remember
	metrics    *metrics
	windowFull atomic.Uint64 // parts of block requests that waited for BlockWindow
}

// New makes a pComponent without processes.
func New(o Options) (*Component, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.Net.RetryAttempts = retryAttempts
	return &Component{o: o, peers: map[string]*netlayer.Peer{}, procs: map[wire.PID]*Process{}, booked: map[wire.PID]uint64{}, began: time.Now(), metrics: newMetrics()}, nil
}

// maxPeers bounds the addresses that a pComponent talks to.
const maxPeers = 4096

// peer gives the connection to an address, made at the first call. Nobody keeps it beyond a call: when there are maxPeers those that are not used are closed, for
// addresses come and go. After Close, and while all are used, one is given that does not connect.
func (c *Component) peer(addr string) *netlayer.Peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.peers[addr]; p != nil {
		return p
	}
	if len(c.peers) >= maxPeers {
		c.peersGone.Add(1)
		for at, p := range c.peers {
			if p.Unused() {
				delete(c.peers, at)
				p.Close()
			}
		}
	}
	p := netlayer.NewPeer(netlayer.Addr(addr), c.o.Net)
	if c.ended || len(c.peers) >= maxPeers {
		c.peersGone.Add(1) // nobody remembers it
		p.Close()          // it has no goroutines yet
		return p
	}
	c.peers[addr] = p
	return p
}

// Open makes a process, its page memory and its steward, and tells its home. The error says if the ExCache does not fit.
func (c *Component) Open(ctx context.Context, o ProcessOptions) (*Process, error) {
	cache, err := excache.NewForeseeing(o.ExCache, o.Future)
	if err != nil {
		return nil, fmt.Errorf("process %s: excache: %w", o.Name, err)
	}
	fo := c.o.Fault
	fo.Threads, fo.RegionBytes = o.Threads, o.RegionBytes
	core, err := fault.New(fo, cache)
	if err != nil {
		return nil, fmt.Errorf("process %s: %w", o.Name, err)
	}
	if err := c.reserve(o); err != nil {
		return nil, err
	}
	frames, err := arena.NewDense(cache.Frames())
	if err != nil {
		c.release(o.PID, o.ExCache.Lines, totals{})
		return nil, fmt.Errorf("process %s: %w", o.Name, err)
	}
	p := newProcess(c, o, core, frames)
	err = p.openHome(ctx)
	c.mu.Lock()
	if err == nil && c.dead { // Close does not find it
		err = wire.Errorf(wire.KindUnavailable, "%s is shutting down", c.o.ID)
	}
	if err != nil {
		c.mu.Unlock()
		c.release(o.PID, o.ExCache.Lines, totals{})
		return nil, errors.Join(err, frames.Close())
	}
	c.procs[o.PID] = p
	fenced := c.interrupted(o.PID)
	p.startSteward(p.ctx)
	c.mu.Unlock()
	home := c.homeOf(o) // as of now: what came before was not for it
	p.mu.Lock()
	p.goneHome(home)
	p.mu.Unlock()
	if fenced != nil {
		p.Stop(fenced)
	}
	return p, nil
}

// interrupted returns the error of a process that was booked before the last fence; nil if there was none since. c.mu is held.
func (c *Component) interrupted(pid wire.PID) *wire.Error {
	if c.fences == c.booked[pid] {
		return nil
	}
	return c.fenced
}

// reserve books the lines of a process's ExCache.
func (c *Component) reserve(o ProcessOptions) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return wire.Errorf(wire.KindUnavailable, "%s is shutting down", c.o.ID)
	}
	if _, ok := c.procs[o.PID]; ok {
		return wire.Errorf(wire.KindExists, "process %d runs at %s already", o.PID, c.o.ID)
	}
	room := c.o.ExCacheBytes / wire.PageSize
	if c.lines+uint64(o.ExCache.Lines) > room {
		return wire.Errorf(wire.KindNoRoom, "%s: an ExCache of %d lines for process %s, %d of %d lines are free; raise pcomponent.excache_bytes",
			c.o.ID, o.ExCache.Lines, o.Name, room-c.lines, room)
	}
	c.lines += uint64(o.ExCache.Lines)
	c.procs[o.PID] = nil // reserved
	c.booked[o.PID] = c.fences
	return nil
}

// release takes a process out of the books and keeps its totals.
func (c *Component) release(pid wire.PID, lines int, t totals) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.procs, pid)
	delete(c.booked, pid)
	c.lines -= uint64(lines)
	c.past.add(t)
}

// open gives the processes in the order of their pids.
func (c *Component) open() []*Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	ps := make([]*Process, 0, len(c.procs))
	for _, p := range c.procs {
		if p != nil {
			ps = append(ps, p)
		}
	}
	sort.Slice(ps, func(i, j int) bool { return ps[i].o.PID < ps[j].o.PID })
	return ps
}

// totals are what a component sums over processes, the closed ones included.
type totals struct {
	cache  excache.Stats
	faults fault.Stats
	blocks uint64
	busy   time.Duration // thread time not waiting
}

func (t *totals) add(u totals) {
	t.cache.Add(u.cache)
	t.faults.Add(u.faults)
	t.blocks += u.blocks
	t.busy += u.busy
}

func (c *Component) totals() totals {
	ps := c.open()
	c.mu.Lock()
	t := c.past
	c.mu.Unlock()
	for _, p := range ps {
		t.add(p.totals())
	}
	return t
}

// Hold has the recorder, if it is one that can, keep what led to something wrong that was seen now.
func (c *Component) Hold() {
	if h, ok := c.o.Recorder.(tape.Holder); ok {
		h.Hold()
	}
}

// Capacity is what it offers.
func (c *Component) Capacity() wire.Capacity {
	return wire.Capacity{Cores: uint32(c.o.Cores), ExCacheLines: c.o.ExCacheBytes / wire.PageSize}
}

// Busy is the thread time not waiting so far, of all threads that ever ran, in batches that have ended.
func (c *Component) Busy() time.Duration { return c.totals().busy }

// Load is what it does now, for a heartbeat. BusyCores is left to whoever looks at Busy at intervals.
func (c *Component) Load() wire.Load {
	ps := c.open()
	t := c.totals()
	l := wire.Load{Processes: uint32(len(ps)), Misses: t.cache.Misses, Flushes: t.cache.Flushes + t.cache.FinalFlushes, BlockOps: t.blocks, Accesses: t.cache.Accesses}
	for _, p := range ps {
		l.Threads += uint32(p.o.Threads)
		l.ResidentBytes += p.frames.Resident() // frames of flushes and victims included
	}
	c.mu.Lock()
	l.ReservedBytes = c.lines * wire.PageSize
	c.mu.Unlock()
	return l
}

// Counters gives its counters by the names of the report, sorted.
func (c *Component) Counters() []wire.Counter {
	t := c.totals()
	s := t.cache
	cs := []wire.Counter{
		{Name: "accesses", Value: float64(s.Accesses)}, {Name: "reads", Value: float64(s.Reads)}, {Name: "writes", Value: float64(s.Writes)},
		{Name: "hits", Value: float64(s.Hits)}, {Name: "misses", Value: float64(s.Misses)}, {Name: "p_local", Value: float64(s.PLocal)},
		{Name: "fetches", Value: float64(s.Fetches)}, {Name: "coalesced", Value: float64(s.Coalesced)}, {Name: "victim_hits", Value: float64(s.VictimHits)},
		{Name: "evictions", Value: float64(s.Evictions)}, {Name: "flushes", Value: float64(s.Flushes)}, {Name: "final_flushes", Value: float64(s.FinalFlushes)},
		{Name: "piggybacked", Value: float64(s.Piggybacked)}, {Name: "fetched_bytes", Value: float64(s.Fetched() * wire.PageSize)},
		{Name: "prefetch_issued", Value: float64(s.PrefetchIssued)}, {Name: "prefetch_useful", Value: float64(s.PrefetchUseful)}, {Name: "prefetch_late", Value: float64(s.PrefetchLate)},
		{Name: "prefetch_wasted", Value: float64(s.PrefetchWasted)}, {Name: "prefetch_dropped", Value: float64(s.PrefetchDropped)}, {Name: "prefetch_refused", Value: float64(s.PrefetchRefused)},
		{Name: "flushed_bytes", Value: float64((s.Flushes + s.FinalFlushes) * wire.PageSize)},
		{Name: "retries", Value: float64(t.faults.Retries)}, {Name: "redirects", Value: float64(t.faults.Redirects)},
		{Name: "damaged_pages", Value: float64(t.faults.Damaged)}, {Name: "block_ops", Value: float64(t.blocks)},
		{Name: "stalls_flush_frames", Value: float64(t.faults.StallFlush)}, {Name: "stalls_line", Value: float64(t.faults.StallLine)},
		{Name: "stalls_page_flush", Value: float64(t.faults.StallPage)}, {Name: "stalls_prefetch", Value: float64(t.faults.StallPrefetch)}, {Name: "block_window_full", Value: float64(c.windowFull.Load())},
	}
	sort.Slice(cs, func(i, j int) bool { return cs[i].Name < cs[j].Name })
	return cs
}

// Close ends the processes that still run and closes the connections.
func (c *Component) Close(ctx context.Context) error {
	c.mu.Lock()
	c.dead = true
	c.mu.Unlock()
	var errs []error
	for _, p := range c.open() {
		p.Stop(wire.Errorf(wire.KindUnavailable, "%s is shutting down", c.o.ID))
		errs = append(errs, p.Close(ctx))
	}
	c.mu.Lock()
	peers := c.peers
	c.peers, c.ended = map[string]*netlayer.Peer{}, true
	c.mu.Unlock()
	for _, p := range peers {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

package mcomponent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"splitkernel/mcomponent/buffercache"
	"splitkernel/mcomponent/migrate"
	"splitkernel/mcomponent/pagestore"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/latency"
	"splitkernel/netlayer/wire"
)

// stripes is how many locks the frames share.
const stripes = 64

// maxPeers bounds the other components that this one talks to.
const maxPeers = 4096

// Component is an mComponent.
type Component struct {
	o       Options
	log     *slog.Logger
	metrics *metrics
	latency *latency.Recorder
	counts  counts
	workers *workers

	mu     sync.Mutex
	owners *vregion.TapedOwners
	store  pagestore.Taped
	seen   Inject // how many misses and flushes the test doors have seen; only counted while a door is open
	frames [stripes]sync.Mutex
	pages  *arena.Arena
	taker  *migrate.TapedTaker
	giving map[uint32]*regionMove // by slot
	unmaps map[uint32]int         // by slot: unmaps that gave the lock up in the middle

	replicas   replicas
	recoveries map[uint32]*regionRecovery // by slot, until the slot is given up
	shares     shares

	homeMu    sync.Mutex
	home      *vregion.TapedHome
	homeCalls map[uint64]chan vregion.Effect
	homeCall  uint64
	homeTaker *migrate.TapedTaker
	exits     chan struct{} // holds one per exit that waits; capacity maxHomeExits
	waits     chan struct{} // holds one per memory map that waits; capacity maxHomeWaits
	switches  chan struct{} // holds one per change of owner that waits; capacity maxHomeSwitches

	cacheMu   sync.Mutex
	cache     *buffercache.Taped
	blocks    *arena.Arena
	sums      []uint32 // of the sectors of blocks
	cacheCall uint64
	effects   []buffercache.Effect // of the last event, used again for the next
	calls     map[uint64]*blockCall
	traced    int // of calls, those that are of a trace

	copies copies

	slotsMu sync.Mutex
	slots   int                   // block requests that hold a worker of the server
	slotsOf map[wire.VolumeID]int // of each volume

	moves   moves
	tending atomic.Bool // a goroutine looks after what is on its way here
	t0      time.Time   // of the clocks of moves and of heat

	heatMu sync.Mutex // taken before mu, homeMu and cacheMu
	heat   heat.Reader

	peersMu sync.Mutex
	peers   map[string]*netlayer.Peer
	closed  bool

	ctx  context.Context // ends with Stop: asks and requests of the home
	stop context.CancelFunc
	wg   sync.WaitGroup // goroutines of outstanding requests
}

// New makes an mComponent. It panics if the options are not valid.
func New(o Options) (*Component, error) {
	if err := o.Validate(); err != nil {
		panic("mcomponent: options: " + err.Error())
	}
	pages, err := arena.New(int(o.MemoryBytes / wire.PageSize))
	if err != nil {
		return nil, fmt.Errorf("%s: memory_bytes: %w", o.Node, err)
	}
	blocks, err := arena.New(int(o.BufferCacheBytes / wire.PageSize))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: buffer_cache_bytes: %w", o.Node, err), pages.Close())
	}
	c := &Component{
		o: o, log: o.Log, metrics: newMetrics(), latency: newLatency(), workers: newWorkers(o.Workers),
		owners: &vregion.TapedOwners{Owners: vregion.NewOwners(o.vregion(), o.Node, o.MaxOwnedRegions)}, store: pagestore.Taped{Store: pagestore.New(pages.Frames())}, pages: pages,
		taker: &migrate.TapedTaker{Taker: migrate.NewTaker(o.Migrate, o.Node)}, homeTaker: &migrate.TapedTaker{Taker: migrate.NewTaker(o.Migrate, o.Node)}, giving: map[uint32]*regionMove{}, unmaps: map[uint32]int{}, t0: time.Now(),
		switches: make(chan struct{}, maxHomeSwitches),
		home:     &vregion.TapedHome{Home: vregion.NewHome(o.vregion())}, homeCalls: map[uint64]chan vregion.Effect{}, exits: make(chan struct{}, maxHomeExits), waits: make(chan struct{}, maxHomeWaits),
		cache: &buffercache.Taped{Cache: buffercache.New(o.buffercache())}, blocks: blocks, sums: make([]uint32, blocks.Frames()*wire.SectorsPerPage), calls: map[uint64]*blockCall{}, slotsOf: map[wire.VolumeID]int{},
		peers: map[string]*netlayer.Peer{}, replicas: newReplicas(o), recoveries: map[uint32]*regionRecovery{}, shares: newShares(o),
		copies: copies{groups: map[wire.VolumeID]*group{}, instance: rand.Uint64() | 1},
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.record()
	c.ctx, c.stop = context.WithCancel(context.Background())
	if in := o.Inject; in != (Inject{}) {
		c.log.Warn("this mComponent is wrong on purpose", "flip_byte_at_miss", in.FlipByteAtMiss, "drop_flush_at", in.DropFlushAt)
	}
	return c, nil
}

// peer gives the peer of an address.
func (c *Component) peer(addr string) (*netlayer.Peer, error) {
	c.peersMu.Lock()
	defer c.peersMu.Unlock()
	if p, ok := c.peers[addr]; ok {
		return p, nil
	}
	if c.closed {
		return nil, wire.Errorf(wire.KindUnavailable, "%s stops", c.o.Node)
	}
	if err := netlayer.Addr(addr).Validate(); err != nil {
		return nil, wire.Errorf(wire.KindBadRequest, "%v", err)
	}
	if len(c.peers) >= maxPeers { // addresses come and go
		for at, p := range c.peers {
			if p.Unused() {
				delete(c.peers, at)
				p.Close()
			}
		}
	}
	if len(c.peers) >= maxPeers {
		return nil, wire.Errorf(wire.KindBusy, "%s talks to %d components, at most %d", c.o.Node, len(c.peers), maxPeers)
	}
	p := netlayer.NewPeer(netlayer.Addr(addr), c.o.Net)
	c.peers[addr] = p
	return p, nil
}

// Stop ends what the home has asked of managers and owners, so that the requests that wait for it end, and the server's
// drain with them. Block requests go on.
func (c *Component) Stop() { c.stop() }

// Close writes back and flushes dirty blocks, as long as ctx lasts, and releases everything. Call it after the server has
// ended. It may be called again.
func (c *Component) Close(ctx context.Context) error {
	c.Stop()
	c.peersMu.Lock()
	again := c.closed
	c.closed = true
	c.peersMu.Unlock()
	if again {
		return nil
	}
	err := c.detachAll(ctx)
	c.copies.mu.Lock()
	for _, g := range c.copies.groups {
		c.closeGroup(g, wire.Errorf(wire.KindUnavailable, "%s stops", c.o.Node))
	}
	c.copies.mu.Unlock()
	c.peersMu.Lock()
	for _, p := range c.peers {
		p.Close() // fails what is still under way
	}
	c.peersMu.Unlock()
	close(c.replicas.ended)
	c.wg.Wait()
	return errors.Join(err, c.pages.Close(), c.blocks.Close())
}

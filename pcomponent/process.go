package pcomponent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/fault"
	"splitkernel/pcomponent/slowest"
)

// Process is one process: its ExCache, its threads and what it has under way. Threads are driven by their owner; the
// other methods are safe for concurrent use unless they say otherwise.
type Process struct {
	c      *Component
	o      ProcessOptions
	frames *arena.Arena
	opened time.Time

	mu        sync.Mutex      // guards everything below and all threads' mail
	homeAt    wire.Owner      // it moves: o.Home is where it was first
	homeIs    context.Context // ends when it moves
	disowned  atomic.Bool     // by a fence: what it has at its home is not its own any more
	homeMoved context.CancelFunc
	core      fault.Taped
	threads   []*Thread
	active    []*flushCall // sent and not yet answered, oldest first; at most ExCache.FlushFrames and, with a prefetcher, ExCache.PrefetchInFlight and Threads
	unsent    []*flushCall // of them, prefetches that are to be sent behind what a thread sends
	aheads    int          // of active: prefetches
	spare     []*flushCall
	outboxes  map[*netlayer.Peer]*outbox
	near      string // the address of the peer asked last
	nearest   *netlayer.Peer
	nearAs    uint64        // Component.peersGone as of then
	asks      []wire.PageNo // pages of vRegions whose owner is to be asked for
	asked     chan struct{} // capacity 1: there are asks
	out       []fault.Effect
	faults    [len(faultNames)]*hdrhistogram.Histogram
	blocks    [blockKinds]*hdrhistogram.Histogram
	observe   [len(faultNames)]observer // the component's histograms
	heapEnd   uint64
	volumes   map[wire.VolumeID]*Volume
	busy      time.Duration // thread time not waiting, of batches that have ended
	heat      processHeat
	slow      slowest.Keeper
	fetched   uint64 // messages of faults

	moved        atomic.Bool // since Moved was asked: a vRegion or the home
	nBlocks      atomic.Uint64
	blockRetries atomic.Uint64
	stop         context.CancelFunc
	ctx          context.Context // ends with Stop or Close
	steward      sync.WaitGroup
	senders      sync.WaitGroup // of outboxes
}

// observer takes a latency in seconds.
type observer interface{ Observe(seconds float64) }

// flushCall is a flush or a prefetch under way: its message and what it needs to be sent.
type flushCall struct {
	flush  fault.Flush // of a prefetch: its id, page and frame
	ahead  bool        // it is a prefetch
	peer   *netlayer.Peer
	call   netlayer.Call
	body   [wire.FlushLen]byte
	epoch  wire.Epoch // under which its owner was asked
	waited bool       // a thread waits in the message layer for it
	behind bool       // it is in an outbox: the message layer has not taken it
	unsent bool       // a prefetch that is sent as soon as the miss before it is
	failed error
}

func newProcess(c *Component, o ProcessOptions, core *fault.Core, frames *arena.Arena) *Process {
	home := c.homeOf(o)
	p := &Process{c: c, o: o, homeAt: home, frames: frames, opened: time.Now(), core: fault.Taped{Core: core}, observe: c.metrics.observers(), volumes: map[wire.VolumeID]*Volume{}, asked: make(chan struct{}, 1),
		outboxes: map[*netlayer.Peer]*outbox{}}
	p.homeIs, p.homeMoved = context.WithCancel(context.Background())
	for k := range p.faults {
		p.faults[k] = newHistogram()
	}
	for k := range p.blocks {
		p.blocks[k] = newHistogram()
	}
	for i := range o.Threads {
		p.threads = append(p.threads, &Thread{p: p, id: i, wake: make(chan struct{}, 1)})
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	if r := c.o.Recorder; r != nil {
		head := fault.TapeHead{Node: c.o.ID, PID: o.PID, Epoch: o.Epoch, Name: o.Name, Options: core.Options(), ExCache: o.ExCache, Program: o.Program}
		p.core.Record(r.Open(fault.TapeKind, wire.Marshal(&head)))
	}
	return p
}

// life ends when what runs for the process is to end: with Stop, and with Freeze until Thaw begins another. The lock is not held.
func (p *Process) life() context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ctx
}

// halt ends it. The lock is not held.
func (p *Process) halt() {
	p.mu.Lock()
	stop := p.stop
	p.mu.Unlock()
	stop()
}

func (p *Process) now() time.Duration { return time.Since(p.opened) }

// Thread gives thread i. One goroutine drives a thread at a time.
func (p *Process) Thread(i int) *Thread { return p.threads[i] }

// startSteward starts the goroutine that takes answers nobody waits for and sends again what has paused, and the one that asks for
// owners: a home may be silent, and nothing else should wait for it.
func (p *Process) startSteward(ctx context.Context) {
	p.steward.Add(2)
	go func() {
		defer p.steward.Done()
		for {
			select {
			case <-ctx.Done():
				return
			case <-p.asked:
			}
			p.mu.Lock()
			asks := p.asks
			p.asks = nil
			p.mu.Unlock()
			for _, page := range asks {
				p.askOwner(page)
			}
		}
	}()
	go func() {
		defer p.steward.Done()
		tick := time.NewTicker(fault.StewardInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			p.mu.Lock()
			p.settle()
			p.mu.Unlock()
		}
	}()
}

// settle takes what has been answered and what is due, and performs what follows. The lock is held.
func (p *Process) settle() {
	now := p.now()
	p.out = p.core.Tick(now, p.reap(now, p.out[:0]))
	p.perform(fault.NoThread, p.out)
}

// reap takes the answers of flushes that have come. The lock is held.
func (p *Process) reap(now time.Duration, out []fault.Effect) []fault.Effect {
	kept := p.active[:0]
	for _, f := range p.active {
		if f.waited || f.behind || f.unsent || f.failed == nil && !f.peer.Done(&f.call) {
			kept = append(kept, f)
			continue
		}
		err := f.failed
		if err == nil {
			err = f.call.Err
		}
		if f.ahead {
			if err == nil && f.call.N != wire.PageSize {
				err = notAPage(f.peer, f.call.N)
			}
			out = p.core.Prefetched(now, f.flush.ID, wireError(err), out)
			p.aheads--
			p.spare = append(p.spare, f)
			continue
		}
		if err == nil && p.o.OnEvent != nil {
			p.o.OnEvent(Event{At: now, What: "flush_acked", Page: f.flush.Page, Version: f.flush.ID})
		}
		out = p.core.FlushDone(now, f.flush.ID, wireError(err), out)
		p.spare = append(p.spare, f)
	}
	for i := len(kept); i < len(p.active); i++ {
		p.active[i] = nil
	}
	p.active = kept
	return out
}

// wireError gives err as the core wants it.
func wireError(err error) *wire.Error {
	if err == nil {
		return nil
	}
	var e *wire.Error
	if errors.As(err, &e) {
		return &wire.Error{Kind: e.Kind, Text: err.Error()}
	}
	return wire.Errorf(wire.KindInternal, "%v", err)
}

// perform does what the core wants, in order. Effects that end or change the wait of a thread other than self go to that
// thread's mail; the last one for self is returned (Kind 0: none). The lock is held.
func (p *Process) perform(self int, out []fault.Effect) (own fault.Effect) {
	for i := range out {
		e := &out[i]
		switch e.Kind {
		case fault.Zero:
			clear(p.frames.Page(e.Frame)[:])
			p.event("p_local", e.Page, 0, "")
			continue
		case fault.Copy:
			*p.frames.Page(e.Frame) = *p.frames.Page(e.From)
			p.event("take_back", e.Page, 0, "")
			continue
		case fault.Write:
			p.write(e)
			continue
		case fault.Prefetch:
			p.prefetch(e)
			continue
		case fault.AskOwner:
			p.asks = append(p.asks, e.Page)
			select {
			case p.asked <- struct{}{}:
			default:
			}
			continue
		case fault.Damaged:
			if p.o.OnDamaged != nil {
				p.o.OnDamaged(e.Page, e.Owner.Node, e.Err)
			}
			continue
		}
		if e.Thread == self {
			own = *e
		} else if e.Thread >= 0 {
			p.threads[e.Thread].deliver(*e)
		}
	}
	if len(p.unsent) > 0 && own.Kind != fault.Fetch { // else behind that
		for _, f := range p.unsent {
			f.start()
			f.unsent = false
		}
		p.unsent = p.unsent[:0]
	}
	return own
}

func (p *Process) event(what string, page wire.PageNo, version uint64, node wire.NodeID) {
	if p.o.OnEvent != nil {
		p.o.OnEvent(Event{At: p.now(), What: what, Page: page, Version: version, Node: node})
	}
}

// peer gives the connection to an address; the one asked last costs no lock. The lock is held.
func (p *Process) peer(addr string) *netlayer.Peer {
	if gone := p.c.peersGone.Load(); addr != p.near || p.nearest == nil || gone != p.nearAs {
		p.near, p.nearAs, p.nearest = addr, gone, p.c.peer(addr)
	}
	return p.nearest
}

// newFlushCall prepares the message of a flush. The lock is held.
func (p *Process) newFlushCall(f fault.Flush, owner wire.Owner) *flushCall {
	fc := p.newCall(f, owner)
	body := wire.Flush{PID: p.o.PID, Page: f.Page, OwnerEpoch: owner.Epoch, ProcessEpoch: p.o.Epoch, Version: f.ID}.Append(fc.body[:0])
	fc.call.Op, fc.call.Epoch, fc.call.Body, fc.call.Page = wire.OpFlush, p.o.Epoch, body, p.frames.Page(f.Frame)[:]
	fc.call.HavePageCRC = false
	p.event("flush", f.Page, f.ID, owner.Node)
	return fc
}

// newCall gives an empty message about a page, which is under way from now on. The lock is held.
func (p *Process) newCall(f fault.Flush, owner wire.Owner) *flushCall {
	var fc *flushCall
	if n := len(p.spare); n > 0 {
		fc, p.spare = p.spare[n-1], p.spare[:n-1]
	} else {
		fc = &flushCall{}
	}
	fc.flush, fc.peer, fc.epoch, fc.ahead, fc.waited, fc.behind, fc.unsent, fc.failed = f, p.peer(owner.Addr), owner.Epoch, false, false, false, false, nil
	fc.call.Body, fc.call.Page, fc.call.Into, fc.call.Err = nil, nil, nil, nil
	p.active = append(p.active, fc)
	return fc
}

// prefetch prepares the message of a prefetch. Who performs effects sends it, behind the miss of a thread if there is one. The lock is held.
func (p *Process) prefetch(e *fault.Effect) {
	fc := p.newCall(fault.Flush{ID: e.On, Page: e.Page, Frame: e.Frame}, e.Owner)
	fc.ahead, fc.unsent = true, true
	fc.call.Op, fc.call.Epoch, fc.call.Into = wire.OpMiss, p.o.Epoch, p.frames.Page(e.Frame)[:]
	fc.call.Body = wire.Miss{PID: p.o.PID, Page: e.Page, OwnerEpoch: e.Owner.Epoch}.Append(fc.body[:0])
	p.unsent = append(p.unsent, fc)
	p.aheads++
	p.event("prefetch", e.Page, 0, e.Owner.Node)
}

// start sends a prefetch if the message layer takes it at once: nobody waits for it, so it is left out otherwise. Nobody else looks at it as long as it is
// unsent, so the lock need not be held; it is when the caller then clears that.
func (f *flushCall) start() {
	sent, err := f.peer.TryStart(&f.call)
	if f.failed = err; !sent {
		f.failed = wire.Errorf(wire.KindBusy, "%s: a prefetch was left out, since it would have waited to be sent", f.peer.Addr())
	}
}

// notAPage is the error of an answer to a miss that is something else.
func notAPage(from *netlayer.Peer, n int) error {
	return wire.Errorf(wire.KindBadRequest, "%s answered a miss with %d bytes, want %d", from.Addr(), n, wire.PageSize)
}

// askOwner asks the home for the owner of a page's vRegion. The lock is not held.
func (p *Process) askOwner(page wire.PageNo) {
	ctx, cancel := context.WithTimeout(p.life(), time.Duration(p.c.o.Fault.MaxBackoffMS)*time.Millisecond)
	defer cancel()
	var rep wire.MmapRep
	home, err := p.atHome(ctx, wire.OpOwners, wire.OwnersReq{PID: p.o.PID, Addr: uint64(page) << wire.PageShift, Length: wire.PageSize}, &rep)
	if err == nil && len(rep.Owners) == 0 {
		err = wire.Errorf(wire.KindNotFound, "home %s knows no owner of page %#x", home, uint64(page))
	}
	var owner wire.Owner
	if err == nil {
		owner = rep.Owners[0]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.perform(fault.NoThread, p.core.OwnerKnown(p.now(), page, owner, wireError(err), nil))
}

// patient bounds a question to the home, which may wait for a new leader of GMM.
func (p *Process) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, time.Duration(p.c.o.MapPatienceMS)*time.Millisecond)
}

// MapAnywhere maps length bytes where the home chooses, by best fit, and gives the address.
func (p *Process) MapAnywhere(ctx context.Context, length uint64, anon, writable bool, name string) (uint64, error) {
	return p.mmap(ctx, wire.MmapReq{PID: p.o.PID, Epoch: p.o.Epoch, Length: length, Anon: anon, Writable: writable, Name: name})
}

// Map maps [addr, addr+length). What was mapped there before is replaced.
func (p *Process) Map(ctx context.Context, addr, length uint64, anon, writable bool, name string) error {
	if err := p.forget(ctx, addr, length); err != nil {
		return err
	}
	_, err := p.mmap(ctx, wire.MmapReq{PID: p.o.PID, Epoch: p.o.Epoch, Addr: addr, Length: length, Anon: anon, Writable: writable, Name: name, Fixed: true})
	return err
}

func (p *Process) mmap(ctx context.Context, req wire.MmapReq) (uint64, error) {
	ctx, cancel := p.patient(ctx)
	defer cancel()
	var rep wire.MmapRep
	if home, err := p.atHome(ctx, wire.OpMmap, req, &rep); err != nil {
		return 0, fmt.Errorf("mmap of %d bytes at %#x by home %s: %w", req.Length, req.Addr, home, err)
	}
	first, last := pageRange(rep.Addr, req.Length)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.core.Map(first, last, req.Anon, rep.Owners)
	return rep.Addr, nil
}

// pageRange gives the pages of a non-empty byte range.
func pageRange(addr, length uint64) (first, last wire.PageNo) {
	return wire.PageNo(addr >> wire.PageShift), wire.PageNo((addr + length - 1) >> wire.PageShift)
}

// Unmap unmaps [addr, addr+length): cached pages are dropped, dirty or not. No thread may be within an access.
func (p *Process) Unmap(ctx context.Context, addr, length uint64) error {
	if err := p.forget(ctx, addr, length); err != nil {
		return err
	}
	ctx, cancel := p.patient(ctx)
	defer cancel()
	var rep wire.MunmapRep
	if home, err := p.atHome(ctx, wire.OpMunmap, wire.MunmapReq{PID: p.o.PID, Epoch: p.o.Epoch, Addr: addr, Length: length}, &rep); err != nil {
		return fmt.Errorf("munmap of %d bytes at %#x by home %s: %w", length, addr, home, err)
	}
	return nil
}

// forget drops the cached pages of a range once no flush and no prefetch of them is under way.
func (p *Process) forget(ctx context.Context, addr, length uint64) error {
	first, last := pageRange(addr, length)
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		id := p.core.PendingIn(first, last)
		if id == 0 {
			break
		}
		if err := p.awaitFlush(ctx, id); err != nil {
			return err
		}
	}
	p.core.Unmap(first, last)
	p.event("unmap", first, 0, "")
	return nil
}

// awaitFlush waits until the flush or prefetch id may have been answered: the caller looks again. The lock is held, and released
// while it waits.
func (p *Process) awaitFlush(ctx context.Context, id uint64) error {
	if err := p.core.Err(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if f := p.inFlight(id); f != nil {
		p.waitFor(f)
	} else { // it pauses, or another thread waits for it
		p.mu.Unlock()
		pause(ctx, fault.StewardInterval)
		p.mu.Lock()
	}
	p.settle()
	return nil
}

// inFlight gives the message of a flush or prefetch for which nobody waits, or nil. The lock is held.
func (p *Process) inFlight(id uint64) *flushCall {
	for _, f := range p.active {
		if f.flush.ID == id && !f.waited && !f.behind && !f.unsent && f.failed == nil {
			return f
		}
	}
	return nil
}

// waitFor waits for the answer to a flush or prefetch, the lock released meanwhile.
func (p *Process) waitFor(f *flushCall) {
	f.waited = true
	p.mu.Unlock()
	_ = f.peer.Wait(&f.call) // reap takes the error from the call
	p.mu.Lock()
	f.waited = false
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// Brk sets the end of the heap; the first call sets where it begins.
func (p *Process) Brk(ctx context.Context, end uint64) error {
	p.mu.Lock()
	old := p.heapEnd
	p.mu.Unlock()
	if old != 0 && end < old {
		if from := roundUp(end); from < old {
			if err := p.forget(ctx, from, old-from); err != nil {
				return err
			}
		}
	}
	ctx, cancel := p.patient(ctx)
	defer cancel()
	var rep wire.MmapRep
	if home, err := p.atHome(ctx, wire.OpBrk, wire.BrkReq{PID: p.o.PID, Epoch: p.o.Epoch, End: end, Heap: old}, &rep); err != nil {
		return fmt.Errorf("brk to %#x by home %s: %w", end, home, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if from, to := roundUp(old), roundUp(end); old != 0 && to > from {
		first, last := pageRange(from, to-from)
		p.core.Map(first, last, true, rep.Owners)
	}
	p.heapEnd = end
	return nil
}

func roundUp(a uint64) uint64 { return (a + wire.PageSize - 1) &^ uint64(wire.PageSize-1) }

// Drain writes every dirty line back and waits for all acknowledgements. No thread may be within an access.
func (p *Process) Drain(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		p.perform(fault.NoThread, p.core.Drain(p.now(), nil))
		if p.core.Drained() {
			return p.core.Err()
		}
		id := p.core.Pending()
		if id == 0 {
			return p.core.Err()
		}
		if err := p.awaitFlush(ctx, id); err != nil {
			return err
		}
	}
}

// Stop makes every access of the process fail with err, the waiting ones too.
func (p *Process) Stop(err *wire.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.core.Err() == nil {
		p.perform(fault.NoThread, p.core.Fail(err, nil))
	}
}

// Close ends the process: its volumes are detached, its memory at the mComponents is freed, and its own. The caller has
// ended its threads. Dirty lines are not written back: Drain does that.
func (p *Process) Close(ctx context.Context) error {
	return p.end(ctx, func([]error) bool { return true })
}

// Retire is Close, but the memory at the mComponents stays: if the pComponent is lost before somebody has the result of the process, it can
// still go on from a checkpoint. Who has the result has the home free the memory (process_exit). With wrote a volume that cannot be detached
// makes the process a failed one, which does not go on, and whose memory is freed.
func (p *Process) Retire(ctx context.Context, wrote bool) error {
	return p.end(ctx, func(errs []error) bool { return wrote && len(errs) > 0 })
}

// end ends the process, and frees its memory at the mComponents if exits says so of the errors of its volumes.
func (p *Process) end(ctx context.Context, exits func([]error) bool) error {
	p.Stop(wire.Errorf(wire.KindFailed, "process %s has ended", p.o.Name))
	p.halt()
	p.steward.Wait()
	p.senders.Wait()
	var errs []error
	for _, v := range p.sortedVolumes() {
		if err := v.detach(ctx); err != nil {
			errs = append(errs, fmt.Errorf("process %s: detach of volume %d: %w", p.o.Name, v.id, err))
		}
	}
	p.mu.Lock()
	// A frame may not go while a message that reads it is on its way. What is answered meanwhile may leave the list: an owner may still change.
	for _, f := range slices.Clone(p.active) {
		if f.failed == nil {
			p.waitFor(f)
		}
	}
	p.active = nil
	p.core.End()
	p.mu.Unlock()
	if exits(errs) {
		errs = append(errs, p.Exit(ctx))
	}
	p.leave()
	return errors.Join(append(errs, p.frames.Close())...)
}

// Exit has the home free the memory of a process that was retired. Doing it again changes nothing, and nor does it for one whose home is another's
// by a fence.
func (p *Process) Exit(ctx context.Context) error {
	if p.disowned.Load() {
		return nil
	}
	if home, err := p.atHome(ctx, wire.OpProcessExit, wire.ProcessExitReq{PID: p.o.PID, Epoch: p.o.Epoch}, nil); err != nil {
		return fmt.Errorf("process %s: exit at home %s: %w", p.o.Name, home, err)
	}
	return nil
}

func (p *Process) totals() totals {
	p.mu.Lock()
	defer p.mu.Unlock()
	return totals{cache: p.core.Cache().Stats(), faults: p.stats(), blocks: p.nBlocks.Load(), busy: p.busy}
}

// stats gives the timing counters, those of block requests included. The lock is held.
func (p *Process) stats() fault.Stats {
	s := p.core.Stats()
	s.Retries += p.blockRetries.Load()
	return s
}

// Report is what a process has done so far.
type Report struct {
	Counters CacheStats
	Faults   fault.Stats
	Owners   []wire.Owner                      // of its vRegions, by region
	Fault    map[string]*hdrhistogram.Snapshot // latencies in ns, by fault kind: p_local, fetch, coalesced, victim_hit, prefetched, late
	Block    map[string]*hdrhistogram.Snapshot // latencies in ns, by BlockKind
}

// Report gives the counters and latencies so far.
func (p *Process) Report() Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := Report{
		Counters: p.core.Cache().Stats(), Faults: p.stats(), Owners: p.core.Owners(),
		Fault: map[string]*hdrhistogram.Snapshot{}, Block: map[string]*hdrhistogram.Snapshot{},
	}
	for k, h := range p.faults {
		r.Fault[faultNames[k]] = h.Export()
	}
	for k, h := range p.blocks {
		r.Block[BlockKind(k).String()] = h.Export()
	}
	return r
}

// Counters gives the logical counters so far. The caller may be within Begin and End of no thread.
func (p *Process) Counters() CacheStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.core.Cache().Stats()
}

// Regions is the number of vRegions of which the process knows the owner.
func (p *Process) Regions() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.core.Regions()
}

package pcomponent

import (
	"context"
	"fmt"
	"time"

	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/fault"
)

// State is what a process takes along to another pComponent. The ExCache is not part of it: it was drained.
type State struct {
	Core    fault.State
	Home    wire.Owner
	HeapEnd uint64
	Volumes []VolumeState // by id
}

// VolumeState is an attached volume as it is now, and the version of the last write to it.
type VolumeState struct {
	Options VolumeOptions
	Version uint64
}

// ID is the name of the component's node, and Addr where it is reached.
func (c *Component) ID() wire.NodeID { return c.o.ID }

// Spans gets the spans of what is done here; nil if nobody keeps them.
func (c *Component) Spans() span.Sink { return c.o.Net.Spans }

// Addr is where other components reach this one; empty if they cannot.
func (c *Component) Addr() string { return string(c.o.Addr) }

// Recorder is what Options say: it also gets what the cores of moves are told. Nil is off.
func (c *Component) Recorder() tape.Recorder { return c.o.Recorder }

// Control asks another node, over the connection that the component keeps to it. Retries end with ctx.
func (c *Component) Control(ctx context.Context, addr string, op wire.Op, epoch wire.Epoch, req, rep any) error {
	return c.peer(addr).Control(ctx, op, epoch, req, rep)
}

// Reserve books the ExCache of a process that is to come. Import uses it, Unreserve gives it back.
func (c *Component) Reserve(o ProcessOptions) error {
	if _, err := excache.New(o.ExCache); err != nil {
		return wire.Errorf(wire.KindBadRequest, "process %s: excache: %v", o.Name, err)
	}
	return c.reserve(o)
}

// Unreserve gives back what Reserve booked and Import did not use.
func (c *Component) Unreserve(o ProcessOptions) { c.release(o.PID, o.ExCache.Lines, totals{}) }

// Import makes a process of a state that came from another pComponent, under o.Epoch, and opens it at its home. Reserve
// has booked its ExCache. If it fails the home may have heard of the epoch all the same, the process does not exist here,
// and the booking is as before.
func (c *Component) Import(ctx context.Context, o ProcessOptions, s State) (*Process, error) {
	o.Home = s.Home
	cache, err := excache.New(o.ExCache)
	if err != nil {
		return nil, fmt.Errorf("process %s: excache: %w", o.Name, err)
	}
	fo := c.o.Fault
	fo.Threads, fo.RegionBytes = o.Threads, o.RegionBytes
	core, err := fault.New(fo, cache)
	if err != nil {
		return nil, fmt.Errorf("process %s: %w", o.Name, err)
	}
	frames, err := arena.NewDense(cache.Frames())
	if err != nil {
		return nil, fmt.Errorf("process %s: %w", o.Name, err)
	}
	p := newProcess(c, o, core, frames)
	if err := p.core.Import(s.Core); err != nil {
		_ = frames.Close() // nothing was ever in it
		return nil, fmt.Errorf("process %s: %w", o.Name, err)
	}
	p.heapEnd = s.HeapEnd
	// Before the home and the buffer caches know of it: they may tell it at once that something has moved.
	if err := c.enter(p); err != nil {
		_ = frames.Close() // nothing was ever in it
		return nil, err
	}
	if err = p.openHome(ctx); err == nil {
		err = p.attachAgain(ctx, s.Volumes)
	}
	c.mu.Lock()
	if err == nil && c.dead {
		err = wire.Errorf(wire.KindUnavailable, "%s is shutting down", c.o.ID)
	}
	if fenced := c.interrupted(o.PID); err == nil && fenced != nil {
		err = fenced
	}
	if err != nil {
		c.procs[o.PID] = nil // booked still
	}
	c.mu.Unlock()
	if err != nil {
		_ = frames.Close()
		return nil, err
	}
	p.startSteward(p.life())
	return p, nil
}

// enter makes a process known that was booked.
func (c *Component) enter(p *Process) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return wire.Errorf(wire.KindUnavailable, "%s is shutting down", c.o.ID)
	}
	c.procs[p.o.PID] = p
	return nil
}

// attachAgain attaches volumes that the process used elsewhere. Versions of writes go on.
func (p *Process) attachAgain(ctx context.Context, vs []VolumeState) error {
	for _, s := range vs {
		v, err := p.Attach(ctx, s.Options)
		if err != nil {
			return fmt.Errorf("process %s: %w", p.o.Name, err)
		}
		v.version = max(v.version, s.Version)
	}
	return nil
}

// Volume gives an attached volume, or nil.
func (p *Process) Volume(id wire.VolumeID) *Volume {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.volumes[id]
}

// Epoch is the epoch under which the process runs here.
func (p *Process) Epoch() wire.Epoch {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.o.Epoch
}

// WriteBack writes back the lines that are dirty now, while threads run, and returns how many when their acknowledgements
// have come. It leaves half of the flushing frames to the threads.
func (p *Process) WriteBack(ctx context.Context) (lines int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	window := max(p.o.ExCache.FlushFrames/2, 1)
	for from, done := uint32(0), false; !done; {
		var n int
		p.out = p.out[:0]
		if room := window - p.core.Flushing(); room > 0 {
			from, n, done, p.out = p.core.WriteBack(p.now(), from, room, p.out)
			p.perform(fault.NoThread, p.out)
			lines += n
		}
		if err := p.core.Err(); err != nil {
			return lines, err
		}
		if id := p.core.OldestFlush(); id != 0 {
			if err := p.awaitFlush(ctx, id); err != nil {
				return lines, err
			}
		} else if err := ctx.Err(); err != nil {
			return lines, err
		}
		// Threads that want the lock get it between two lines at the latest.
		p.mu.Unlock()
		p.mu.Lock()
	}
	return lines, nil
}

// Freeze drains the process and stops what runs for it: after it nothing is sent until Thaw. No thread may be within an
// access, and none may begin one.
func (p *Process) Freeze(ctx context.Context) error {
	if err := p.Drain(ctx); err != nil {
		return err
	}
	p.halt()
	p.steward.Wait()
	p.senders.Wait()
	return nil
}

// Export gives the state of a frozen process.
func (p *Process) Export() (State, error) {
	vs := p.sortedVolumes()
	p.mu.Lock()
	defer p.mu.Unlock()
	core, err := p.core.Export()
	if err != nil {
		return State{}, err
	}
	s := State{Core: core, Home: p.homeAt, HeapEnd: p.heapEnd}
	for _, v := range vs {
		s.Volumes = append(s.Volumes, VolumeState{v.options(), v.version})
	}
	return s, nil
}

// Ask asks the home whether it still has the process under the epoch that it has here: an error of KindStale says that it
// was opened under a newer one. It unmaps what is not mapped, since that looks at the epoch and, unlike an open, does not
// make a process anew that has ended meanwhile.
func (p *Process) Ask(ctx context.Context) error {
	p.mu.Lock()
	free := p.core.FreePage()
	p.mu.Unlock()
	var rep wire.MunmapRep
	req := wire.MunmapReq{PID: p.o.PID, Epoch: p.o.Epoch, Addr: uint64(free) << wire.PageShift, Length: wire.PageSize}
	if home, err := p.atHome(ctx, wire.OpMunmap, req, &rep); err != nil {
		return fmt.Errorf("process %s: its home %s: %w", p.o.Name, home, err)
	}
	return nil
}

// Thaw lets a process go on after Freeze, also one that failed. Under another epoch than before it is opened at its home
// and its volumes are attached first, since another pComponent may have done so.
func (p *Process) Thaw(ctx context.Context, epoch wire.Epoch) error {
	p.mu.Lock()
	old := p.o.Epoch
	p.o.Epoch = epoch
	p.mu.Unlock()
	if epoch != old {
		err := p.openHome(ctx)
		for _, v := range p.sortedVolumes() {
			if err == nil {
				err = v.attach(ctx)
			}
		}
		if err != nil {
			p.mu.Lock()
			p.o.Epoch = old
			p.mu.Unlock()
			return err
		}
		p.moved.Store(true) // what it flushes from now on is not in a checkpoint of before
	}
	p.halt() // for one whose Freeze failed: its steward is there still
	p.steward.Wait()
	p.senders.Wait()
	p.mu.Lock()
	p.core.Undrain()
	p.ctx, p.stop = context.WithCancel(context.Background())
	ctx = p.ctx
	p.mu.Unlock()
	p.startSteward(ctx)
	return nil
}

// Supersede has a frozen process end under a newer epoch: whoever was to take it has been lost, and what may be left of
// that at its home is to end with it.
func (p *Process) Supersede(epoch wire.Epoch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.o.Epoch = max(p.o.Epoch, epoch)
}

// Leave forgets a frozen process that goes on elsewhere: nobody is told, since all is as it should be.
func (p *Process) Leave() error {
	p.Stop(wire.Errorf(wire.KindNotOwner, "process %s runs elsewhere", p.o.Name))
	p.halt()
	p.steward.Wait()
	p.senders.Wait()
	p.mu.Lock()
	p.core.End()
	p.mu.Unlock()
	p.leave()
	if err := p.frames.Close(); err != nil {
		return fmt.Errorf("process %s: free its ExCache: %w", p.o.Name, err)
	}
	return nil
}

// Moved counts a move of a process away from here. pause is how long nobody served it.
func (c *Component) Moved(state wire.MoveState, pause time.Duration) {
	c.metrics.moves.WithLabelValues(state.String()).Inc()
	if pause > 0 {
		c.metrics.pause.Observe(pause.Seconds())
	}
}

package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/check"
	"splitkernel/sim/saves"
	"splitkernel/sim/trace"
)

// memory is the process that a trace drives: one of pcomponent, or one of a virtual cluster.
type memory interface {
	Map(ctx context.Context, addr, length uint64, anon, writable bool, name string) error
	Unmap(ctx context.Context, addr, length uint64) error
	Brk(ctx context.Context, end uint64) error
	// Regions is how many vRegions it has.
	Regions() int
}

// blocks is a volume that a trace drives.
type blocks = saves.Blocks

// player makes what a trace says, on either engine, and checks what comes back. It is used by one goroutine; the counters of
// accesses with whatever lock orders these.
type player struct {
	spec Spec
	log  *slog.Logger
	ctx  context.Context

	lanes    func(memory) accesses                      // who makes the accesses of one repetition
	boundary func(a accesses, batch *trace.Batch) error // called where the process may stand still
	reach    func()                                     // told when a batch was made whole
	progress func(n uint64)                             // told of accesses and block requests that were made; may be nil

	keep   *keeping     // nil makes no checkpoints
	issued uint64       // references that were made or handed to threads, of all repetitions
	lane   accesses     // who makes the accesses of this repetition
	within *trace.Batch // of which some was made

	at    place
	maps  mapped
	src   trace.Source
	batch *trace.Batch // the first batch of src, if it was read before

	done     atomic.Uint64
	requests atomic.Uint64          // block requests made
	length   atomic.Pointer[length] // of all repetitions; nil: not known

	// With the process's lock held, or before and after all accesses:
	pages   *check.Pages
	checked uint64
	wrong   uint64
	shown   []string
	history func(wire.PageNo) string // of a page that is wrong; may be nil
	hold    func()                   // told when something is wrong; may be nil

	volumes []*volume
	began   bool // an access was made
	late    uint64
	blocks  blockCounts
}

// blockCounts are the block requests of a process.
type blockCounts struct {
	reads, writes, flushes, readBytes, writeBytes, sectors uint64
}

// volume is a volume of the trace, and what its sectors must hold.
type volume struct {
	blocks
	sectors *check.Sectors
	buf     []byte
}

var errNoVolume = errors.New("the trace's header does not name this volume")

// accesses makes the references of a batch; sequential or by threads.
type accesses interface {
	// refs makes them; it may return before they are made. It takes fewer than all if the process is to stand still.
	refs(rs []trace.Ref, first uint64) (int, error)
	// barrier returns when all are made.
	barrier() error
	// close ends its goroutines.
	close()
}

// once replays the trace one time, from where the replay is. What the trace leaves mapped is unmapped unless this is the
// last time.
func (j *player) once(p memory, last bool) error {
	if j.src == nil { // else it came from elsewhere, and so far has been skipped
		src, err := trace.OpenFormat(j.spec.Trace, j.spec.Format)
		if err != nil {
			return err
		}
		j.src = src
		j.at = place{Repeat: j.at.Repeat, Left: j.spec.MaxRefs}
	}
	defer func() {
		_ = j.src.Close() // it was only read
		j.src, j.batch = nil, nil
	}()
	j.measure()
	a := j.lanes(p)
	j.lane = a
	defer a.close()
	for {
		if err := j.rest(a, j.batch); err != nil {
			return err
		}
		b := j.batch
		if j.batch = nil; b == nil {
			var err error
			if b, err = j.src.Next(); err == io.EOF {
				break
			} else if err != nil {
				return err
			}
		}
		refs := b.Refs
		if j.spec.MaxRefs > 0 && uint64(len(refs)) > j.at.Left {
			refs = refs[:j.at.Left]
		}
		if err := j.play(p, a, b, refs); err != nil {
			return err
		}
		j.at.Batch, j.at.Ref, j.at.Event = j.at.Batch+1, 0, 0
		j.reach()
		if j.at.Left -= uint64(len(refs)); j.spec.MaxRefs > 0 && j.at.Left == 0 {
			break
		}
	}
	if err := a.barrier(); err != nil {
		return err
	}
	if !last {
		for _, m := range j.maps.ranges {
			if err := j.unmap(p, m.addr, m.length); err != nil {
				return err
			}
		}
	}
	j.maps = mapped{}
	j.at = place{Repeat: j.at.Repeat + 1}
	j.learn()
	j.reach()
	return nil
}

// play makes the references and events of a batch, from where the replay is.
func (j *player) play(p memory, a accesses, b *trace.Batch, refs []trace.Ref) error {
	for {
		end, event := len(refs), (*trace.Event)(nil)
		if i := j.at.Event; i < len(b.Events) && b.Events[i].At <= len(refs) {
			event = &b.Events[i]
			end = event.At
		}
		for j.at.Ref < end {
			n, err := a.refs(refs[j.at.Ref:j.upTo(end)], b.First+uint64(j.at.Ref))
			if err != nil {
				return err
			}
			j.at.Ref += n
			j.issued += uint64(n)
			if err := j.rest(a, b); err != nil {
				return err
			}
		}
		if event == nil {
			return nil
		}
		if err := a.barrier(); err != nil {
			return err
		}
		j.within = b
		if err := j.event(p, event, &j.maps); err != nil {
			return fmt.Errorf("%s: %s: %w", j.spec.Trace, j.where(b.First+uint64(end)), err)
		}
		j.at.Event++
		if err := j.rest(a, b); err != nil {
			return err
		}
	}
}

// rest is where the process may stand still, and makes the checkpoint that is due.
func (j *player) rest(a accesses, b *trace.Batch) error {
	if err := j.boundary(a, b); err != nil {
		return err
	}
	return j.keepUp(a, b)
}

// event changes the memory map or makes a block request.
func (j *player) event(p memory, e *trace.Event, maps *mapped) error {
	switch e.Kind {
	case trace.Mmap:
		before := p.Regions()
		if err := p.Map(j.ctx, e.Addr, e.Len, e.Anon, e.Writable, e.Name); err != nil {
			return err
		}
		if j.began {
			j.late += uint64(p.Regions() - before)
		}
		first, last := e.Addr>>wire.PageShift, (e.Addr+e.Len-1)>>wire.PageShift
		j.pages.Forget(first, last) // a mapping over an old one is new memory
		maps.add(e.Addr, e.Len)
		return nil
	case trace.Munmap:
		maps.remove(e.Addr, e.Len)
		return j.unmap(p, e.Addr, e.Len)
	case trace.Brk:
		before := p.Regions()
		if err := j.brk(p, e.Addr, maps); err != nil {
			return err
		}
		if j.began {
			j.late += uint64(p.Regions() - before)
		}
		return nil
	}
	return j.block(e)
}

func (j *player) unmap(p memory, addr, length uint64) error {
	if err := p.Unmap(j.ctx, addr, length); err != nil {
		return err
	}
	j.pages.Forget(addr>>wire.PageShift, (addr+length-1)>>wire.PageShift)
	return nil
}

// sawWrong counts a page or a sector that is wrong.
func (j *player) sawWrong() {
	j.wrong++
	if j.hold != nil {
		j.hold()
	}
}

// wrongPage counts and describes a page that failed its check; what is how it differs. The process's lock is held.
func (j *player) wrongPage(page uint64, what string, ref uint64) {
	j.sawWrong()
	if len(j.shown) >= IntegrityShown {
		return
	}
	text := fmt.Sprintf("%s: %s: %s", j.spec.Name, j.where(ref), what)
	h := ""
	if j.history != nil {
		h = j.history(wire.PageNo(page))
		text += "; history: " + h
	}
	j.log.Error("wrong page", "what", text)
	j.shown = append(j.shown, text)
}

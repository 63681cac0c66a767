package calibrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
)

// Measured are the figures of one calibration. Times are in ns.
type Measured struct {
	Transport string  `json:"transport"`
	Seconds   float64 `json:"seconds"` // that it took

	// Medians of single operations, one at a time.
	Ping       float64 `json:"ping_ns"`        // a message without a body there and back
	PLocal     float64 `json:"p_local_ns"`     // a page fault that needs no message, no line evicted
	Evict      float64 `json:"evict_ns"`       // the same, a clean line evicted
	Fetch      float64 `json:"fetch_ns"`       // a page fault whose page is fetched, a clean line evicted
	FetchDirty float64 `json:"fetch_dirty_ns"` // the same, a dirty line evicted and flushed in the same message

	// Late is the share of fetches that took more than LateFactor times the median, and LateBy by how much processor time of both
	// processes these exceeded it, on the average, so that all together took what they took.
	Late   float64 `json:"late"`
	LateBy float64 `json:"late_by_ns"`

	// Processor time of both processes for each of many.
	Pings   float64 `json:"pings_cpu_ns"`   // as Ping, InFlight at once
	Flushes float64 `json:"flushes_cpu_ns"` // a page written back: the dirty lines of a process when it ends
	Hit     float64 `json:"hit_cpu_ns"`     // a reference to a line of the ExCache, by a loop that does nothing else
	Replays float64 `json:"replays_cpu_ns"` // a reference of a trace that hits, replayed: decoding, locks and checks included

	Share float64 `json:"processor_share"` // of the time on the clock that both processes ran: 1 without other load

	Memory Memory `json:"memory"`
	Disk   Disk   `json:"disk"`
}

// Names of sizes.
const (
	// InFlight is how many messages are under way at once when throughput is measured.
	InFlight = 16
	// smallLines is an ExCache that most accesses of the measurements miss, and manyPages are the pages that they cycle through, fewer
	// if there is less than a second to measure.
	smallLines, manyPages, fewPages = 64, 4096, 512
	// LateFactor tells a fetch that took a longer way (a process had to be woken up that had gone to sleep) from one that did not.
	LateFactor = 1.5
	// turn is how many operations of one kind follow each other before the next kind has its turn, so that all meet the same load.
	turn = 64
)

// samples are durations of one kind, in ns.
type samples []float64

func (s *samples) add(d time.Duration) {
	*s = append(*s, float64(d))
}

// median of what was sampled; 0 of nothing.
func median(s []float64) float64 {
	if len(s) == 0 {
		return 0
	}
	t := slices.Clone(s)
	slices.Sort(t)
	if n := len(t); n%2 == 0 {
		return (t[n/2-1] + t[n/2]) / 2
	}
	return t[len(t)/2]
}

// late gives the share of late ones of kinds of operations, each kind against its own median, and by how much processor time these
// exceed it so that the mean of all is what it is. cpu is the mean of each kind.
func late(kinds []samples, cpu []float64) (share, by float64) {
	n, over, excess := 0, 0, 0.0
	for i, s := range kinds {
		usual := median(s)
		for _, x := range s {
			if x > LateFactor*usual {
				over++
			}
		}
		n += len(s)
		excess += (cpu[i] - usual) * float64(len(s))
	}
	if over == 0 || excess <= 0 {
		return 0, 0
	}
	return float64(over) / float64(n), excess / float64(over)
}

// Measure makes all measurements.
func (l *Live) Measure(ctx context.Context) (m Measured, err error) {
	began, cpu := time.Now(), l.cpu()
	total := time.Duration(l.o.Seconds * float64(time.Second))
	m.Transport = l.o.Transport
	if err := l.faults(ctx, total*4/10, &m); err != nil {
		return m, fmt.Errorf("measure page faults: %w", err)
	}
	if err := l.throughput(ctx, total*2/10, &m); err != nil {
		return m, fmt.Errorf("measure throughput: %w", err)
	}
	if err := l.references(ctx, total*2/10, &m); err != nil {
		return m, fmt.Errorf("measure references: %w", err)
	}
	m.Share = (l.cpu() - cpu).Seconds() / time.Since(began).Seconds()
	m.Memory = measureMemory(total / 10)
	if l.o.Disk != nil {
		m.Disk = *l.o.Disk
	} else if m.Disk, err = measureDisk(l.o.Dir, total/10); err != nil {
		return m, fmt.Errorf("measure the disk of %s: %w", l.o.Dir, err)
	}
	m.Seconds = time.Since(began).Seconds()
	return m, nil
}

// pages is how many pages the measurements touch: a multiple of turn and InFlight.
func (l *Live) pages() uint64 {
	return uint64(min(max(l.o.Seconds*manyPages, fewPages), manyPages)) / turn * turn
}

// loop is a process whose pages are accessed in a circle, so that with few lines each access misses.
type loop struct {
	p     *pcomponent.Process
	pages uint64
	write bool
	page  uint64
	took  samples
	cpu   time.Duration // of both processes, for all that was sampled
}

// mean processor time of an access.
func (o *loop) mean() float64 { return float64(o.cpu) / float64(len(o.took)) }

// run makes a turn, each access measured.
func (o *loop) run(cpu func() time.Duration) error {
	start := cpu()
	defer func() { o.cpu += cpu() - start }()
	t := o.p.Thread(0)
	t.Begin()
	defer t.End()
	for range turn {
		o.page = o.page%o.pages + 1
		began := time.Now()
		if _, err := t.Access(o.page, o.write); err != nil {
			return err
		}
		o.took.add(time.Since(began))
	}
	return nil
}

// faults measures page faults of each kind and round trips, in turns.
func (l *Live) faults(ctx context.Context, limit time.Duration, m *Measured) (err error) {
	pages := l.pages()
	fetch, dirty, evict := &loop{pages: pages}, &loop{pages: pages, write: true}, &loop{pages: pages}
	var open []*pcomponent.Process
	defer func() {
		for _, p := range open {
			err = errors.Join(err, p.Drain(ctx), p.Close(ctx))
		}
	}()
	for _, o := range []*loop{fetch, dirty, evict} {
		if o.p, err = l.process(ctx, smallLines, pages, o == evict); err != nil {
			return err
		}
		open = append(open, o.p)
	}
	for _, o := range []*loop{fetch, dirty} { // every page is at the mComponent before anything counts
		for range 2 * pages / turn {
			if err := o.run(l.cpu); err != nil {
				return err
			}
		}
		o.took, o.cpu = nil, 0
	}
	var pings, local samples
	ping := &netlayer.Call{Op: wire.OpPing}
	for end := time.Now().Add(limit); ctx.Err() == nil && (len(pings) == 0 || time.Now().Before(end)); {
		for _, o := range []*loop{fetch, dirty, evict} {
			if err := o.run(l.cpu); err != nil {
				return err
			}
		}
		for range turn {
			began := time.Now()
			if err := l.aside.Do(ping); err != nil {
				return err
			}
			pings.add(time.Since(began))
		}
		if err := l.firstTouches(ctx, &local); err != nil {
			return err
		}
	}
	m.Late, m.LateBy = late([]samples{fetch.took, dirty.took}, []float64{fetch.mean(), dirty.mean()})
	m.Ping, m.PLocal, m.Evict, m.Fetch, m.FetchDirty = median(pings), median(local), median(evict.took), median(fetch.took), median(dirty.took)
	return ctx.Err()
}

// firstTouches measures faults on memory that nobody has touched, with room for all of it.
func (l *Live) firstTouches(ctx context.Context, took *samples) (err error) {
	p, err := l.process(ctx, 8*turn, 8*turn, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close(ctx)) }()
	t := p.Thread(0)
	t.Begin()
	defer t.End()
	for page := range uint64(8 * turn) {
		began := time.Now()
		if _, err := t.Access(page+1, false); err != nil {
			return err
		}
		took.add(time.Since(began))
	}
	return nil
}

// throughput measures messages in flight at once: without a body, and dirty lines written back.
func (l *Live) throughput(ctx context.Context, limit time.Duration, m *Measured) (err error) {
	calls, pages := make([]netlayer.Call, InFlight), l.pages()
	var pings, flushes samples
	for end := time.Now().Add(limit); ctx.Err() == nil && (len(flushes) == 0 || time.Now().Before(end)); {
		cpu := l.cpu()
		for range pages / InFlight {
			for i := range calls {
				calls[i].Op = wire.OpPing
				if err := l.aside.Start(&calls[i]); err != nil {
					return err
				}
			}
			for i := range calls {
				if err := l.aside.Wait(&calls[i]); err != nil {
					return err
				}
			}
		}
		pings = append(pings, float64(l.cpu()-cpu)/float64(pages))
		each, err := l.writeBack(ctx)
		if err != nil {
			return err
		}
		flushes = append(flushes, each)
	}
	m.Pings, m.Flushes = median(pings), median(flushes)
	return ctx.Err()
}

// writeBack measures each dirty line that is written back at the end of a process.
func (l *Live) writeBack(ctx context.Context) (each float64, err error) {
	pages := l.pages()
	p, err := l.process(ctx, int(pages), pages, true)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.Close(ctx)) }()
	if err := touch(p, pages, true); err != nil {
		return 0, err
	}
	cpu := l.cpu()
	if err := p.Drain(ctx); err != nil {
		return 0, err
	}
	return float64(l.cpu()-cpu) / float64(pages), nil
}

// touch accesses the pages from 1 on, one after the other.
func touch(p *pcomponent.Process, pages uint64, write bool) error {
	t := p.Thread(0)
	t.Begin()
	defer t.End()
	for page := range pages {
		if _, err := t.Access(page+1, write); err != nil {
			return err
		}
	}
	return nil
}

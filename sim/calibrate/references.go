package calibrate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"splitkernel/configs"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/trace"
)

// The generated trace: no bundled one is used to calibrate. As captured traces are, it is thinned out: no reference is to one of the
// pages that were referenced last. It walks through some pages one after the other, then goes on elsewhere, rather among the first.
const (
	traceRefs   = 1 << 18 // for each second of measuring, within bounds
	leastRefs   = 1 << 15
	mostRefs    = 1 << 19
	traceBase   = 1 << 30
	traceLately = 16
)

// generate writes the trace: references of one thread, a third of them writes.
func generate(path string, refs int, pages uint64) (err error) {
	w, err := trace.Create(path, trace.Header{Program: "calibrate", Source: "calibrate", HasMaps: true, HasWrites: true, HasGaps: true})
	if err != nil {
		return err
	}
	if err := w.Event(trace.Event{Kind: trace.Mmap, Addr: traceBase, Len: pages * wire.PageSize, Anon: true, Writable: true, Name: "calibrate"}); err != nil {
		return errors.Join(err, w.Abort())
	}
	chance := rand.New(rand.NewPCG(1, 2)) // the same trace always
	var lately [traceLately]uint64
	page := uint64(0)
	for i := range refs {
		for slices.Contains(lately[:], page) {
			if chance.IntN(2) == 0 {
				page = (page + 1) % pages
			} else { // the lower, the likelier
				page = chance.Uint64N(1 + chance.Uint64N(pages))
			}
		}
		lately[i%traceLately] = page
		r := trace.Ref{Addr: traceBase + page*wire.PageSize + chance.Uint64N(wire.PageSize/8)*8, Gap: 1 + chance.Uint32N(8), Size: 8}
		if chance.IntN(3) == 0 {
			r.Flags = trace.FlagWrite
		}
		if err := w.Ref(r); err != nil {
			return errors.Join(err, w.Abort())
		}
	}
	return w.Close()
}

// references measures what references cost that hit: in a loop, and as a replay makes them.
func (l *Live) references(ctx context.Context, limit time.Duration, m *Measured) (err error) {
	path := filepath.Join(l.o.Dir, "calibrate.skt")
	pages := l.pages()
	refs := int(min(max(l.o.Seconds*traceRefs, leastRefs), mostRefs))
	if err := generate(path, refs, pages); err != nil {
		return fmt.Errorf("generate a trace: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(path)) }()
	v := configs.DefaultVNode()
	v.Name, v.Trace = "calibrate", path
	v.Excache.Lines, v.Excache.Ways = int(pages), 0
	const more = 3 // a replay repeated so often, less one that was not, leaves what is not a reference out
	p, err := l.process(ctx, int(pages), pages, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close(ctx)) }()
	if err := touch(p, pages, false); err != nil {
		return err
	}
	var hits, replays samples
	for end := time.Now().Add(limit); ctx.Err() == nil && (len(replays) == 0 || time.Now().Before(end)); {
		const rounds = 16
		cpu := cpuOf(0)
		for range rounds {
			if err := touch(p, pages, false); err != nil {
				return err
			}
		}
		hits = append(hits, float64(cpuOf(0)-cpu)/float64(rounds*pages))
		var took [2]float64
		for i, repeat := range []int{1, 1 + more} {
			v.Repeat = repeat
			r, err := l.Replay(ctx, &v)
			if err != nil {
				return err
			}
			took[i] = r.BusySeconds
		}
		replays = append(replays, (took[1]-took[0])/float64(more*refs)*1e9)
	}
	m.Hit = median(hits)
	m.Replays = max(median(replays)-m.PLocal*float64(pages)/float64(refs), 0) // each repetition touches its pages for the first time
	return ctx.Err()
}

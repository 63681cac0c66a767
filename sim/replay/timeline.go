package replay

import (
	"cmp"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"splitkernel/gmanagers/events"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/sim/report"
)

// virtualFinest is the shortest interval of the series of a virtual run; that of a live run is PollInterval, for nothing is known between.
const virtualFinest = time.Microsecond

// sampleEvery is after how many accesses it is looked what a virtual process has done: between, it is taken to go evenly.
const sampleEvery = 256

func newTimeline(finest time.Duration) *report.Timeline {
	return &report.Timeline{
		Schema: report.SchemaTimeline, Series: report.NewSeries(finest), Faults: map[string][]report.Bucket{}, Blocks: map[string][]report.Bucket{}, Events: []report.Event{},
	}
}

// sampled is what a process was known to have done at a moment.
type sampled struct {
	at  time.Duration
	did report.Interval
}

// add puts what was done since then into a series.
func (s *sampled) add(to *report.Series, now time.Duration, did report.Interval) {
	to.Add(s.at, now, did.Since(s.did))
	*s = sampled{now, did}
}

// intervalOf takes the counters of an ExCache for a series.
func intervalOf(c excache.Stats) report.Interval {
	return report.Interval{Accesses: c.Accesses, Hits: c.Hits, Faults: c.Misses, Bytes: (c.Fetched() + c.Flushes + c.FinalFlushes) * wire.PageSize}
}

// intervalOfCounters is the same of counters of a report.
func intervalOfCounters(c *report.Counters) report.Interval {
	return report.Interval{Accesses: c.Accesses, Hits: c.Hits, Faults: c.Misses, Bytes: c.FetchedBytes + c.FlushedBytes}
}

// spread gives the distributions of a run.
func (m *merge) spread(t *report.Timeline) {
	for _, of := range []struct {
		kinds []string
		from  map[string]*hdrhistogram.Histogram
		to    map[string][]report.Bucket
	}{{report.FaultKinds, m.fault, t.Faults}, {report.BlockKinds, m.block, t.Blocks}} {
		for _, kind := range of.kinds {
			if h := of.from[kind]; h != nil && h.TotalCount() > 0 {
				of.to[kind] = buckets(h)
			}
		}
	}
}

// buckets makes those of report.Edge of finer ones. One that lies across an edge goes above it, so that no value is said to be smaller than
// it was.
func buckets(h *hdrhistogram.Histogram) (out []report.Bucket) {
	for _, bar := range h.Distribution() {
		if bar.Count == 0 {
			continue
		}
		under := float64(report.Edge(bar.To)) / 1000
		if n := len(out); n > 0 && out[n-1].UnderUS == under {
			out[n-1].Count += uint64(bar.Count)
		} else {
			out = append(out, report.Bucket{UnderUS: under, Count: uint64(bar.Count)})
		}
	}
	return out
}

// decision is an event and who decided it.
type decision struct {
	m wire.Manager
	events.Event
}

// routine are the kinds of events that every run has many of. They are left out first.
var routine = []events.Kind{
	events.Registered, events.Admitted, events.Released, events.PlacedProcess, events.PlacedHome, events.PlacedRegion, events.PlacedVolume, events.PlacedCache, events.Reserved,
}

// keepEvents takes as many events as a timeline may have: all others before those of routine, and of too many the first and the last.
// forgotten are those that the managers did not remember.
func keepEvents(t *report.Timeline, all []decision, startMS int64, forgotten uint64) {
	slices.SortStableFunc(all, func(a, b decision) int {
		return cmp.Or(cmp.Compare(a.MS, b.MS), cmp.Compare(a.m, b.m), cmp.Compare(a.Seq, b.Seq))
	})
	t.LeftOut += forgotten
	if len(all) > report.MaxTimelineEvents {
		room := report.MaxTimelineEvents
		for i := range all {
			if !slices.Contains(routine, all[i].Kind) {
				room--
			}
		}
		before := len(all)
		all = slices.DeleteFunc(all, func(d decision) bool {
			if !slices.Contains(routine, d.Kind) {
				return false
			}
			room--
			return room < 0
		})
		if n := len(all); n > report.MaxTimelineEvents {
			const half = report.MaxTimelineEvents / 2
			all = append(all[:half:half], all[n-half:]...)
		}
		t.LeftOut += uint64(before - len(all))
	}
	for _, d := range all {
		t.Events = append(t.Events, report.Event{AtSeconds: float64(d.MS-startMS) / 1e3, Manager: d.m.String(), Kind: d.Kind.String(), Text: d.String()})
	}
}

// sample takes what the processes of a live run have done by now.
func (r *controller) sample() {
	now := time.Since(r.began)
	for _, v := range r.vnodes {
		did := report.Interval{Accesses: v.status.Accesses, Hits: v.status.Hits, Bytes: v.status.Bytes}
		did.Faults = did.Accesses - min(did.Hits, did.Accesses)
		v.sampled.add(&r.timeline.Series, now, did)
	}
}

// sample takes what a virtual process has done by now.
func (p *vprocess) sample() {
	if p.p == nil || p.series == nil {
		return
	}
	cache, _ := p.p.Counted()
	p.sampled.add(p.series, p.c.Now(), intervalOf(cache))
}

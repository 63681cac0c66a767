package report

import (
	"fmt"
	"math"
	"math/bits"
	"time"
)

// SchemaTimeline names the schema of timeline.json in docs/report.md.
const SchemaTimeline = "splitkernel.timeline/1"

// Bounds of a timeline.
const (
	// MaxIntervals bounds a series: when it is full, each two become one, twice as long.
	MaxIntervals = 600
	// MaxTimelineEvents bounds the events that are kept of a run.
	MaxTimelineEvents = 500
)

// Timeline is timeline.json: how a run went over time, and how its latencies are spread. It is for the page of the run; summary.json has
// what is compared.
type Timeline struct {
	Schema string `json:"schema"`
	Series Series `json:"series"`
	// Faults and Blocks are distributions by FaultKinds and BlockKinds; kinds that did not occur are missing.
	Faults map[string][]Bucket `json:"faults"`
	Blocks map[string][]Bucket `json:"block_requests"`
	Events []Event             `json:"events"` // decisions of the managers, the first first
	// LeftOut counts events that were not kept, those of routine first.
	LeftOut uint64 `json:"events_left_out"`
}

// Event is a decision of a manager.
type Event struct {
	AtSeconds float64 `json:"at_seconds"` // since the start of the run; what came before is below 0
	Manager   string  `json:"manager"`
	Kind      string  `json:"kind"`
	Text      string  `json:"text"`
}

// Interval is what processes did in an interval of a series.
type Interval struct {
	Accesses uint64 `json:"accesses"`
	Hits     uint64 `json:"hits"`
	Faults   uint64 `json:"faults"`
	Bytes    uint64 `json:"bytes"` // of pages, fetched and flushed
}

// Plus adds two up.
func (i Interval) Plus(j Interval) Interval {
	return Interval{i.Accesses + j.Accesses, i.Hits + j.Hits, i.Faults + j.Faults, i.Bytes + j.Bytes}
}

// Since gives what was counted between two states of a process. One that went on from a checkpoint counts on from what that had.
func (i Interval) Since(before Interval) Interval {
	if i.Accesses < before.Accesses || i.Hits < before.Hits || i.Faults < before.Faults || i.Bytes < before.Bytes {
		return Interval{}
	}
	return Interval{i.Accesses - before.Accesses, i.Hits - before.Hits, i.Faults - before.Faults, i.Bytes - before.Bytes}
}

// Series is what happened in intervals of equal length, of wall time in a live run, of virtual time in a virtual one.
type Series struct {
	IntervalSeconds float64    `json:"interval_seconds"`
	Intervals       []Interval `json:"intervals"`
	width           time.Duration
}

// NewSeries makes an empty series whose intervals are not shorter than finest, in whole ns above 0.
func NewSeries(finest time.Duration) Series {
	return Series{IntervalSeconds: finest.Seconds(), Intervals: []Interval{}, width: finest}
}

// Add spreads what happened between two moments evenly over the intervals between them. Nothing is lost by rounding.
func (s *Series) Add(from, to time.Duration, what Interval) {
	if what == (Interval{}) {
		return
	}
	from = max(from, 0)
	to = max(to, from+1)
	for to > s.width*MaxIntervals && s.width < math.MaxInt64/(2*MaxIntervals) {
		s.merge()
	}
	first := min(int(from/s.width), MaxIntervals-1)
	last := min(int((to-1)/s.width), MaxIntervals-1)
	for len(s.Intervals) <= last {
		s.Intervals = append(s.Intervals, Interval{})
	}
	told := Interval{}
	for i := first; i <= last; i++ {
		by := what
		if i < last {
			passed, whole := uint64(s.width*time.Duration(i+1)-from), uint64(to-from)
			by = Interval{share(what.Accesses, passed, whole), share(what.Hits, passed, whole), share(what.Faults, passed, whole), share(what.Bytes, passed, whole)}
			if what.Accesses == what.Hits+what.Faults { // rounded apart, they might not add up
				by.Accesses = by.Hits + by.Faults
			}
		}
		s.Intervals[i] = s.Intervals[i].Plus(by.Since(told))
		told = by
	}
}

// merge makes one of each two intervals.
func (s *Series) merge() {
	half := s.Intervals[:0]
	for i := 0; i < len(s.Intervals); i += 2 {
		x := s.Intervals[i]
		if i+1 < len(s.Intervals) {
			x = x.Plus(s.Intervals[i+1])
		}
		half = append(half, x)
	}
	s.Intervals = half
	s.width *= 2
	s.IntervalSeconds = s.width.Seconds()
}

// Sum is what happened in all intervals.
func (s *Series) Sum() (sum Interval) {
	for _, i := range s.Intervals {
		sum = sum.Plus(i)
	}
	return sum
}

// Check compares a timeline with the totals of its run, and returns what differs. whole is false of a run of which the totals leave out
// something that was done: what a process did that went on from a checkpoint, or whose pComponent was lost.
func (t *Timeline) Check(total *Counters, whole bool) (faults []error) {
	if got, want := t.Series.Sum(), (Interval{total.Accesses, total.Hits, total.Misses, total.FetchedBytes + total.FlushedBytes}); whole && got != want {
		faults = append(faults, fmt.Errorf("the series has %+v, the totals %+v", got, want))
	}
	for _, of := range []struct {
		kinds   []string
		of      map[string]Latency
		buckets map[string][]Bucket
	}{{FaultKinds, total.FaultLatency, t.Faults}, {BlockKinds, total.BlockLatency, t.Blocks}} {
		for _, kind := range of.kinds {
			n, under := uint64(0), 0.0
			for _, b := range of.buckets[kind] {
				if n += b.Count; b.UnderUS <= under || b.Count == 0 {
					faults = append(faults, fmt.Errorf("%s: %+v after one of %v µs", kind, b, under))
				}
				under = b.UnderUS
			}
			if l := of.of[kind]; n != l.Count || n > 0 && under < l.P99 {
				faults = append(faults, fmt.Errorf("%s: %d in buckets up to %v µs, the totals have %+v", kind, n, under, l))
			}
		}
	}
	if len(t.Series.Intervals) > MaxIntervals || len(t.Events) > MaxTimelineEvents {
		faults = append(faults, fmt.Errorf("%d intervals and %d events, want at most %d and %d", len(t.Series.Intervals), len(t.Events), MaxIntervals, MaxTimelineEvents))
	}
	return faults
}

// share is n × part / whole, rounded down; part is at most whole.
func share(n, part, whole uint64) uint64 {
	hi, lo := bits.Mul64(n, part)
	q, _ := bits.Div64(hi, lo, whole)
	return q
}

// Bucket counts what took less than UnderUS, and no less than the UnderUS of a bucket before it.
type Bucket struct {
	UnderUS float64 `json:"under_us"`
	Count   uint64  `json:"count"`
}

// Edge gives the smallest number of two significant digits above ns: the upper edges of buckets, so that what is said of a distribution
// ("92 % in under 14 µs") is true of each value in it.
func Edge(ns int64) int64 {
	unit := int64(1)
	for ns/unit >= 100 {
		unit *= 10
	}
	return (ns/unit + 1) * unit
}

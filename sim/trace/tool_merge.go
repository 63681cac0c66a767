package trace

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// mergeShift is the region in which addresses stay together: 1 GiB.
const mergeShift = 30

// Merge returns one trace of several, which run side by side: what happens next is what happens first by the time of its trace, which
// is that of its block operations, and of references the instructions so far, 1 ns each (1 a reference where the format has none). Each trace
// keeps its own order. Threads are renumbered in the order of their first references, volumes kept apart and named anew where two have one name, and
// addresses kept apart: each region of 1 GiB of each trace gets one of its own, in the order of first use; so heaps become maps, and a
// map may become several. Close closes all.
func Merge(srcs []Source) (Source, error) {
	if len(srcs) < 2 || len(srcs) > MaxMerge {
		return nil, fmt.Errorf("merge: %d traces, want 2 to %d", len(srcs), MaxMerge)
	}
	m := &merged{threads: map[mergeThread]uint16{}, regions: map[mergeRegion]uint64{}}
	for i, s := range srcs {
		m.ins = append(m.ins, &mergeIn{src: s, region: ^uint64(0), number: i, gaps: s.Header().HasGaps})
	}
	return m, nil
}

type mergeThread struct {
	in     int
	thread uint16
}

// mergeRegion is a region of a trace: an address without its lower bits.
type mergeRegion struct {
	in     int
	region uint64
}

type merged struct {
	ins     []*mergeIn
	regions map[mergeRegion]uint64 // number in the merged trace, from 1
	threads map[mergeThread]uint16
	volumes []VolumeInfo
	batch   Batch
	refs    uint64
	err     error
}

// mergeIn is one of the traces, and where it is.
type mergeIn struct {
	src     Source
	number  int
	gaps    bool
	region  uint64 // looked up last
	base    uint64 // of it, in the merged trace
	batch   *Batch
	ref     int // next ones of the batch
	event   int
	time    uint64
	ended   bool
	volumes []uint32 // in the merged trace, by the volume here
	heap    bool
	brk     uint64
	last    uint16 // thread, and its number in the merged trace
	as      uint16
	known   bool
}

// Header implements Source.
func (m *merged) Header() Header {
	h := Header{Source: "merge", Granularity: PageBytes, HasGaps: true, HasWrites: true, Volumes: append([]VolumeInfo(nil), m.volumes...)}
	for i, in := range m.ins {
		s := in.src.Header()
		h.Granularity = min(h.Granularity, s.Granularity)
		h.HasMaps = h.HasMaps || s.HasMaps
		h.SynthesisedMaps = h.SynthesisedMaps || s.SynthesisedMaps
		h.HasGaps = h.HasGaps && s.HasGaps
		h.HasWrites = h.HasWrites && s.HasWrites
		h.Unverified = h.Unverified || s.Unverified
		h.BadRecords += s.BadRecords
		for _, d := range s.DefaultsStated {
			h.DefaultsStated = append(h.DefaultsStated, fmt.Sprintf("trace %d: %s", i, d))
		}
		if s.Thinning != "" {
			thinnedToo(&h, fmt.Sprintf("trace %d: %s", i, s.Thinning))
		}
		h.DefaultsStated = append(h.DefaultsStated, fmt.Sprintf("trace %d: format %s, program %q", i, s.Source, s.Program))
	}
	return h
}

// Next implements Source.
func (m *merged) Next() (*Batch, error) {
	m.refs += uint64(len(m.batch.Refs))
	m.batch = Batch{Refs: m.batch.Refs[:0], Events: m.batch.Events[:0], First: m.refs}
	for m.err == nil && !m.batch.full() {
		m.err = m.step()
	}
	if m.err != nil && (m.err != io.EOF || len(m.batch.Refs)+len(m.batch.Events) == 0) {
		return nil, m.err
	}
	return &m.batch, nil
}

// Close implements Source.
func (m *merged) Close() (err error) {
	for _, in := range m.ins {
		err = errors.Join(err, in.src.Close())
	}
	return err
}

// step takes one record of the trace that is first.
func (m *merged) step() error {
	var first *mergeIn
	at := uint64(math.MaxUint64)
	for _, in := range m.ins {
		if err := in.load(); err != nil {
			return err
		}
		if t := in.nextTime(); !in.ended && (first == nil || t < at) {
			first, at = in, t
		}
	}
	if first == nil {
		return io.EOF
	}
	first.time = at
	return m.take(first)
}

// load makes sure that there is a record, unless the trace has ended.
func (in *mergeIn) load() (err error) {
	for !in.ended && (in.batch == nil || in.ref == len(in.batch.Refs) && in.event == len(in.batch.Events)) {
		if in.batch, err = in.src.Next(); err == io.EOF {
			in.ended = true
		} else if err != nil {
			return err
		}
		in.ref, in.event = 0, 0
	}
	return nil
}

// isEvent says that an event is next.
func (in *mergeIn) isEvent() bool {
	return in.event < len(in.batch.Events) && in.batch.Events[in.event].At <= in.ref
}

// nextTime is when the next record happens.
func (in *mergeIn) nextTime() uint64 {
	if in.ended {
		return math.MaxUint64
	}
	if !in.isEvent() {
		gap := uint64(in.batch.Refs[in.ref].Gap)
		if !in.gaps {
			gap = 1
		}
		return in.time + min(gap, math.MaxUint64-in.time)
	}
	if e := &in.batch.Events[in.event]; e.Kind.IsBlock() {
		return max(in.time, e.TimeNs)
	}
	return in.time
}

func (m *merged) take(in *mergeIn) error {
	if !in.isEvent() {
		r := in.batch.Refs[in.ref]
		in.ref++
		base, err := m.place(in, r.Addr)
		if err != nil {
			return err
		}
		thread, err := m.thread(in, r.Thread)
		if err != nil {
			return err
		}
		r.Thread = thread
		r.Addr = base + r.Addr&(1<<mergeShift-1)
		m.batch.addRef(r)
		return nil
	}
	e := in.batch.Events[in.event]
	in.event++
	thread, err := m.thread(in, e.Thread)
	if err != nil {
		return err
	}
	e.Thread = thread
	if e.Kind.IsBlock() {
		if e.Volume, err = m.volume(in, e.Volume); err != nil {
			return err
		}
		m.batch.addEvent(e)
		return nil
	}
	if e.Kind == Brk {
		return m.brk(in, e)
	}
	return m.mapEvent(in, e)
}

// place is where the region of an address begins in the merged trace.
func (m *merged) place(in *mergeIn, addr uint64) (uint64, error) {
	region := addr >> mergeShift
	if region == in.region {
		return in.base, nil
	}
	key := mergeRegion{in.number, region}
	n, ok := m.regions[key]
	if !ok {
		if n = uint64(len(m.regions)) + 1; n >= MaxMergeRegions {
			return 0, fmt.Errorf("merge: trace %d: address %#x is in another region of %d MiB, expected at most %d of them in all traces (id=dense makes pages of keys dense)",
				in.number, addr, 1<<(mergeShift-20), MaxMergeRegions-1)
		}
		m.regions[key] = n
	}
	in.region, in.base = region, n<<mergeShift
	return in.base, nil
}

// mapEvent passes on a change of maps, cut at the bounds of regions.
func (m *merged) mapEvent(in *mergeIn, e Event) error {
	const size = 1 << mergeShift
	for e.Len > 0 {
		base, err := m.place(in, e.Addr)
		if err != nil {
			return err
		}
		at := e.Addr & (size - 1)
		cut := e
		cut.Addr, cut.Len = base+at, min(e.Len, size-at)
		m.batch.addEvent(cut)
		e.Addr += cut.Len
		e.Len -= cut.Len
	}
	return nil
}

// brk makes maps of a heap: a stream has one heap only.
func (m *merged) brk(in *mergeIn, e Event) (err error) {
	end := pageUp(e.Addr)
	switch {
	case !in.heap:
		in.heap = true
	case end > in.brk:
		err = m.mapEvent(in, Event{Kind: Mmap, Thread: e.Thread, Addr: in.brk, Len: end - in.brk, Anon: true, Writable: true, Name: heapName})
	case end < in.brk:
		err = m.mapEvent(in, Event{Kind: Munmap, Thread: e.Thread, Addr: end, Len: in.brk - end})
	}
	in.brk = end
	return err
}

// thread numbers the threads of all traces.
func (m *merged) thread(in *mergeIn, t uint16) (uint16, error) {
	if in.known && in.last == t {
		return in.as, nil
	}
	key := mergeThread{in.number, t}
	as, ok := m.threads[key]
	if !ok {
		if len(m.threads) > math.MaxUint16 {
			return 0, fmt.Errorf("merge: more than %d threads", math.MaxUint16+1)
		}
		as = uint16(len(m.threads))
		m.threads[key] = as
	}
	in.last, in.as, in.known = t, as, true
	return as, nil
}

// volume numbers the volumes of all traces.
func (m *merged) volume(in *mergeIn, v uint32) (uint32, error) {
	if int(v) < len(in.volumes) {
		return in.volumes[v], nil
	}
	infos := in.src.Header().Volumes
	for int(v) >= len(in.volumes) {
		n := len(in.volumes)
		if n >= len(infos) || len(m.volumes) >= MaxVolumes {
			return 0, fmt.Errorf("merge: trace %d: volume %d of %d, %d in all traces, expected at most %d", in.number, v, len(infos), len(m.volumes), MaxVolumes)
		}
		in.volumes = append(in.volumes, uint32(len(m.volumes)))
		m.volumes = append(m.volumes, VolumeInfo{Name: uniqueName(m.volumes, baseName(infos[n].Name)), SizeBytes: infos[n].SizeBytes})
	}
	return in.volumes[v], nil
}

package trace

import "sort"

// synthShift is the grain of made-up maps: 64 KiB, so that a scattered heap
// does not become one map a page.
const synthShift = 16

// WithMaps makes up map records for a source that has references and no maps:
// writable maps of whole 64 KiB chunks, adjacent ones merged, before the batch
// that touches them first. Nothing is ever unmapped. The memory is anonymous
// where the format tells writes from reads; a list of reads is taken to read
// file memory, for of anonymous memory it could only find zeros. A source that
// has maps of its own, or that is wrapped already, is returned as it is.
func WithMaps(src Source) Source {
	if _, done := src.(*mapsSource); done || src.Header().HasMaps {
		return src
	}
	m := &mapsSource{src: src, seen: map[uint64]struct{}{}}
	for i := range m.recent {
		m.recent[i] = ^uint64(0) // chunk numbers have 48 bits
	}
	return m
}

type mapsSource struct {
	src    Source
	seen   map[uint64]struct{}
	recent [1 << 12]uint64 // direct-mapped: chunks known to be in seen
	fresh  []uint64
	events []Event
	batch  Batch
	any    bool
}

const synthName = "[synthesised]"

func (m *mapsSource) Header() Header {
	h := m.src.Header()
	if h.Refs > 0 || m.any || !m.blockOnly(&h) {
		h.HasMaps, h.SynthesisedMaps = true, true
	}
	return h
}

// blockOnly reports whether the source has events only, so that there is
// nothing to map.
func (m *mapsSource) blockOnly(h *Header) bool {
	if s, ok := m.src.(*parsedSource); ok && s.format.class == BlockClass {
		if id := s.in.spec.Keys[idKey.Name]; id == "" || id == "lba" {
			return true
		}
	}
	return h.Refs == 0 && h.BlockOps > 0
}

func (m *mapsSource) Next() (*Batch, error) {
	b, err := m.src.Next()
	if err != nil {
		return nil, err
	}
	m.fresh = m.fresh[:0]
	for i := range b.Refs {
		c := b.Refs[i].Addr >> synthShift
		if r := &m.recent[c%uint64(len(m.recent))]; *r != c {
			*r = c
			if _, ok := m.seen[c]; !ok {
				m.seen[c] = struct{}{}
				m.fresh = append(m.fresh, c)
			}
		}
	}
	if len(m.fresh) == 0 {
		return b, nil
	}
	m.any = true
	m.batch = Batch{Refs: b.Refs, First: b.First, Events: m.merged(b.Events)}
	return &m.batch, nil
}

// merged returns the maps of the fresh chunks, then the events of the batch.
func (m *mapsSource) merged(after []Event) []Event {
	sort.Slice(m.fresh, func(i, j int) bool { return m.fresh[i] < m.fresh[j] })
	m.events = m.events[:0]
	for i := 0; i < len(m.fresh); {
		j := i + 1
		for j < len(m.fresh) && m.fresh[j] == m.fresh[j-1]+1 {
			j++
		}
		start, n := m.fresh[i]<<synthShift, uint64(j-i)<<synthShift
		if start+n < start { // the last chunk of the address space
			n -= PageBytes
		}
		m.events = append(m.events, Event{Kind: Mmap, Addr: start, Len: n, Anon: m.src.Header().HasWrites, Writable: true, Name: synthName})
		i = j
	}
	m.events = append(m.events, after...)
	return m.events
}

func (m *mapsSource) Close() error { return m.src.Close() }

// SeekRef implements Seeker where the source does.
func (m *mapsSource) SeekRef(n uint64) error {
	s, ok := m.src.(Seeker)
	if !ok {
		return errNoSeek
	}
	return s.SeekRef(n)
}

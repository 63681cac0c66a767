package fault

import (
	"fmt"
	"sort"
	"time"

	"splitkernel/netlayer/canary"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
)

// State is what a process takes along when it goes to another pComponent: what the core knows, but nothing of the ExCache,
// which has been drained and is cold where the process goes on.
type State struct {
	Maps      []Mapping
	Flushed   []PageSpan   // pages that were flushed once: never p-local again (rule 3)
	Owners    []wire.Owner // of its vRegions, by region
	LastFlush uint64       // versions go on behind it
}

// Mapping is a range of pages of one kind.
type Mapping struct {
	First, Last wire.PageNo
	Anon        bool
}

// PageSpan is a range of pages.
type PageSpan struct {
	First, Last wire.PageNo
}

// Export gives the state of a drained process. Nothing may be under way.
func (c *Core) Export() (State, error) {
	if !c.Drained() {
		return State{}, fmt.Errorf("fault: a process with %d flushes under way, or dirty lines, was to be exported", len(c.flushes))
	}
	for t := range c.threads {
		if c.threads[t].state != idle {
			return State{}, fmt.Errorf("fault: a process whose thread %d is within an access was to be exported", t)
		}
	}
	s := State{Flushed: c.sent.spans(), Owners: c.Owners(), LastFlush: c.cache.LastFlush()}
	for _, m := range c.space.maps {
		s.Maps = append(s.Maps, Mapping{m.first, m.last, m.anon})
	}
	return s, nil
}

// Import takes over the state of a process that ran elsewhere, before its first access here.
func (c *Core) Import(s State) error {
	if len(c.space.maps) > 0 || len(c.owners) > 0 {
		return fmt.Errorf("fault: a process that has run was to take over a state")
	}
	for i, m := range s.Maps {
		if m.First > m.Last || i > 0 && m.First <= s.Maps[i-1].Last {
			return wire.Errorf(wire.KindBadRequest, "mapping %d of the process: pages %#x to %#x are out of order", i, uint64(m.First), uint64(m.Last))
		}
		c.space.maps = append(c.space.maps, mapping{m.First, m.Last, m.Anon})
	}
	for _, r := range s.Flushed {
		if r.First > r.Last {
			return wire.Errorf(wire.KindBadRequest, "flushed pages %#x to %#x", uint64(r.First), uint64(r.Last))
		}
		if err := c.within(r); err != nil {
			return err
		}
		if !canary.On(canary.ZeroAfterMove) {
			c.sent.addRange(r.First, r.Last)
		}
	}
	for _, w := range s.Owners {
		c.setOwner(w)
	}
	c.cache.SetLastFlush(s.LastFlush)
	return c.owned()
}

// owned refuses mapped pages of a vRegion without an owner: whoever told the owners is not the home that mapped them, but one that was
// started anew and knows nothing.
func (c *Core) owned() error {
	for _, m := range c.space.maps {
		for r := c.Region(m.first); r <= c.Region(m.last); r++ {
			if _, ok := c.owners[r]; !ok {
				return wire.Errorf(wire.KindFailed, "pages %#x to %#x are mapped, and vRegion %d has no owner: the memory of the process is lost", uint64(m.first), uint64(m.last), r)
			}
		}
	}
	return nil
}

// within refuses a range that lies outside every mapping: pages are forgotten with their mapping, and a range made up could
// take all memory.
func (c *Core) within(r PageSpan) error {
	for p := r.First; ; {
		m := c.space.find(p)
		if m == nil {
			return wire.Errorf(wire.KindBadRequest, "page %#x was flushed and is not mapped", uint64(p))
		}
		if m.last >= r.Last {
			return nil
		}
		p = m.last + 1
	}
}

// Undrain lets accesses go on after Drain: the process was to be moved and stays.
func (c *Core) Undrain() { c.drain, c.clean, c.dirty = false, false, 0 }

// WriteBack starts to write back dirty lines from line from on while threads run, at most n, and says where to go on; done
// means that the last line was reached. Lines in use are passed over, and so is all when the flushing frames are used up.
func (c *Core) WriteBack(now time.Duration, from uint32, n int, out []Effect) (next uint32, written int, done bool, _ []Effect) {
	for c.failed == nil && written < n {
		w := c.cache.NextDirty(from)
		from = w.Next
		switch w.Kind {
		case excache.WritebackFlush:
			out = c.send(c.newFlush(now, w.Flush), out)
			written++
		case excache.WritebackDone:
			return from, written, true, out
		case excache.WritebackStallLine:
			from++
		default:
			return from, written, false, out
		}
	}
	return from, written, c.failed != nil, out
}

// FreePage is a page that no mapping covers.
func (c *Core) FreePage() (free wire.PageNo) {
	for _, m := range c.space.maps {
		if m.first > free {
			break
		}
		free = m.last + 1
	}
	return free
}

// Flushing is the number of flushes that are not acknowledged.
func (c *Core) Flushing() int { return len(c.flushes) }

// spans gives the set as ranges, ascending.
func (s *pageSet) spans() []PageSpan {
	keys := make([]wire.PageNo, 0, len(s.chunks))
	for k := range s.chunks {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i] < keys[j] })
	var out []PageSpan
	for _, k := range keys {
		c := s.chunks[k]
		for w, bits := range c {
			for b := 0; bits != 0; b, bits = b+1, bits>>1 {
				if bits&1 == 0 {
					continue
				}
				p := k*chunkPages + wire.PageNo(w*64+b)
				if n := len(out); n > 0 && out[n-1].Last+1 == p {
					out[n-1].Last = p
				} else {
					out = append(out, PageSpan{p, p})
				}
			}
		}
	}
	return out
}

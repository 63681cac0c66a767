package replica

import (
	"iter"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// chunkPages is how many neighbouring pages of a table lie together.
const chunkPages = 64

// table knows pages of one vRegion by their numbers, in order. Neighbours lie together, since holders are filled and read in order: a page costs
// neither an allocation nor, but for the first of its chunk, a wait for memory, as it would in a map.
type table struct {
	first  wire.PageNo // of the vRegion
	chunks []*chunk    // none where there are no pages
	n      int
}

type chunk struct {
	used    int
	entries [chunkPages]entry // where is 0 if there is none
}

// at gives what is known of a page; nil if nothing is. It stays valid until the page is dropped.
func (t *table) at(page wire.PageNo) *entry {
	i := uint64(page - t.first)
	if i/chunkPages >= uint64(len(t.chunks)) {
		return nil
	}
	if c := t.chunks[i/chunkPages]; c != nil && c.entries[i%chunkPages].where != 0 {
		return &c.entries[i%chunkPages]
	}
	return nil
}

// put sets what is known of a page.
func (t *table) put(page wire.PageNo, to entry) {
	i := uint64(page - t.first)
	for i/chunkPages >= uint64(len(t.chunks)) {
		t.chunks = append(t.chunks, nil)
	}
	c := t.chunks[i/chunkPages]
	if c == nil {
		c = &chunk{}
		t.chunks[i/chunkPages] = c
	}
	if c.entries[i%chunkPages].where == 0 {
		c.used++
		t.n++
	}
	c.entries[i%chunkPages] = to
}

// drop forgets a page that is known.
func (t *table) drop(page wire.PageNo) {
	i := uint64(page - t.first)
	c := t.chunks[i/chunkPages]
	c.entries[i%chunkPages] = entry{}
	t.n--
	if c.used--; c.used > 0 {
		return
	}
	t.chunks[i/chunkPages] = nil
	for n := len(t.chunks); n > 0 && t.chunks[n-1] == nil; n-- {
		t.chunks = t.chunks[:n-1]
	}
}

// next gives the first page from one on that is known.
func (t *table) next(page wire.PageNo) (wire.PageNo, bool) {
	i := uint64(max(page, t.first) - t.first)
	for i/chunkPages < uint64(len(t.chunks)) {
		if c := t.chunks[i/chunkPages]; c != nil {
			for k := i % chunkPages; k < chunkPages; k++ {
				if c.entries[k].where != 0 {
					return t.first + wire.PageNo(i-i%chunkPages+k), true
				}
			}
		}
		i += chunkPages - i%chunkPages
	}
	return 0, false
}

// all gives every page, ascending. A page may be dropped when it comes.
func (t *table) all() iter.Seq2[wire.PageNo, *entry] {
	return func(yield func(wire.PageNo, *entry) bool) {
		for page, ok := t.next(t.first); ok; page, ok = t.next(page + 1) {
			if !yield(page, t.at(page)) {
				return
			}
		}
	}
}

// clear forgets all.
func (t *table) clear() { *t = table{first: t.first} }

// code is a table in a snapshot. A tape that has a page of another vRegion, of which there are pages, or one twice, is refused.
func (t *table) code(x *taped.Codec, pages uint64) {
	list := make([]wire.PageNo, 0, t.n)
	for p := range t.all() {
		list = append(list, p)
	}
	taped.List(x, &list, maxTapePages, func(x *taped.Codec, p *wire.PageNo) {
		page(x, p)
		if !x.Reads() {
			t.at(*p).code(x)
			return
		}
		var e entry
		e.code(x)
		switch {
		case x.Err() != nil:
		case *p < t.first || uint64(*p-t.first) >= pages || e.where == 0:
			x.Fail("page %#x, of which there is nothing, or which is not in the vRegion from page %#x on", uint64(*p), uint64(t.first))
		case t.at(*p) != nil:
			x.Fail("page %#x twice", uint64(*p))
		default:
			t.put(*p, e)
		}
	})
}

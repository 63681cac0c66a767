package check

import (
	"encoding/binary"
	"fmt"
	"sort"

	"splitkernel/netlayer/wire"
)

// chunkPages is how many versions lie side by side.
const chunkPages = 512

// cachedChunks is the size of the direct-mapped table before the map; a power of two.
const cachedChunks = 256

type chunk struct {
	key      uint64 // chunk number + 1
	versions [chunkPages]uint64
}

// Pages knows the version that each page of a process must hold.
type Pages struct {
	chunks map[uint64]*chunk
	near   [cachedChunks]*chunk
	above  uint64
}

// Above has every write from now on make a version above this one. After a process has gone back, what it wrote in the life before must not pass for what it
// writes in this one, whose versions would be the same.
func (p *Pages) Above(version uint64) { p.above = version }

// NewPages makes the table of a process that has written nothing.
func NewPages() *Pages { return &Pages{chunks: map[uint64]*chunk{}} }

// at gives the version of a page, or nil if nothing of its chunk was written and make is false.
func (p *Pages) at(page uint64, create bool) *uint64 {
	k := page / chunkPages
	c := p.near[k%cachedChunks]
	if c == nil || c.key != k+1 {
		if c = p.chunks[k]; c == nil {
			if !create {
				return nil
			}
			c = &chunk{key: k + 1}
			p.chunks[k] = c
		}
		p.near[k%cachedChunks] = c
	}
	return &c.versions[page%chunkPages]
}

// stampAt is the offset of a page's stamp: one of 64, a multiple of 64 bytes.
func stampAt(page uint64) uint64 { return (page * 0x9e3779b97f4a7c15 >> 58) << 6 }

// Stamp is what a page holds of itself where pages have no bytes: in virtual time.
type Stamp = [16]byte

// Write performs a write access to the page whose bytes are b: the version that must be there is checked first, then
// the next one is stamped. It reports whether the old stamp was right.
func (p *Pages) Write(page uint64, b *[wire.PageSize]byte) bool {
	return p.WriteStamp(page, (*Stamp)(b[stampAt(page):]))
}

// WriteStamp is Write for a page that is its stamp.
func (p *Pages) WriteStamp(page uint64, s *Stamp) bool {
	v := p.at(page, true)
	ok := matches(s, page, *v)
	*v = max(*v, p.above) + 1
	binary.LittleEndian.PutUint64(s[:], page)
	binary.LittleEndian.PutUint64(s[8:], *v)
	return ok
}

// Read performs a read access: it reports whether the page holds the last version written.
func (p *Pages) Read(page uint64, b *[wire.PageSize]byte) bool {
	return p.ReadStamp(page, (*Stamp)(b[stampAt(page):]))
}

// ReadStamp is Read for a page that is its stamp.
func (p *Pages) ReadStamp(page uint64, s *Stamp) bool {
	var want uint64
	if v := p.at(page, false); v != nil {
		want = *v
	}
	return matches(s, page, want)
}

func matches(s *Stamp, page, version uint64) bool {
	if version == 0 {
		page = 0
	}
	return binary.LittleEndian.Uint64(s[:]) == page && binary.LittleEndian.Uint64(s[8:]) == version
}

// Want gives the version that a page must hold; 0 is never written.
func (p *Pages) Want(page uint64) uint64 {
	if v := p.at(page, false); v != nil {
		return *v
	}
	return 0
}

// Describe says what a page holds and what it should, for the log.
func (p *Pages) Describe(page uint64, b *[wire.PageSize]byte) string {
	return p.DescribeStamp(page, (*Stamp)(b[stampAt(page):]))
}

// DescribeStamp is Describe for a page that is its stamp.
func (p *Pages) DescribeStamp(page uint64, s *Stamp) string {
	return fmt.Sprintf("page %#x holds stamp (page %#x, version %d), want version %d", page,
		binary.LittleEndian.Uint64(s[:]), binary.LittleEndian.Uint64(s[8:]), p.Want(page))
}

// Forget drops what is known of [first, last]: it was unmapped.
func (p *Pages) Forget(first, last uint64) {
	for _, k := range p.keysIn(first/chunkPages, last/chunkPages) {
		c := p.chunks[k]
		for page := max(first, k*chunkPages); page <= min(last, k*chunkPages+chunkPages-1); page++ {
			c.versions[page%chunkPages] = 0
		}
	}
}

// keysIn gives the chunks in [first, last] that exist, in order.
func (p *Pages) keysIn(first, last uint64) []uint64 {
	var keys []uint64
	if last-first < uint64(len(p.chunks)) {
		for k := first; k <= last; k++ {
			if p.chunks[k] != nil {
				keys = append(keys, k)
			}
		}
		return keys
	}
	for k := range p.chunks {
		if k >= first && k <= last {
			keys = append(keys, k)
		}
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i] < keys[j] })
	return keys
}

package trace

import (
	"errors"
	"fmt"
	"math"
)

// Sample says which records of a trace are kept: those of some pages, or one of some.
type Sample struct {
	Rate  float64 // share of the pages that are kept, all their references; of block operations, those whose first 4 KiB block is
	Every uint64  // one of so many records, the first of each
	Seed  uint64  // another seed keeps other pages
}

// Validate says all that is wrong with it.
func (o Sample) Validate() error {
	switch {
	case (o.Rate != 0) == (o.Every != 0):
		return errors.New("sample: want a rate or one of N, and not both")
	case o.Every == 0 && !(o.Rate > 0 && o.Rate < 1):
		return fmt.Errorf("sample: rate %g, want one between 0 and 1", o.Rate)
	case o.Every == 1:
		return errors.New("sample: one of 1 keeps all, want at least 2")
	}
	return nil
}

// SampleOf returns a sample of src. With a rate it is spatial, as SHARDS has it (Waldspurger et al., FAST '15): a page is in it if
// its hash is below the rate, with all its references, so that reuse is kept and a cache of rate times the size behaves alike. Maps
// and flushes stay; instructions of what is left out count for the next reference kept.
func SampleOf(src Source, o Sample) (Source, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return newEdited(src, &sampler{o: o, below: uint64(o.Rate * math.MaxUint64)}), nil
}

type sampler struct {
	o     Sample
	below uint64
	n     uint64 // records so far
	gap   gapSum
}

func (s *sampler) header(h *Header) {
	if s.o.Every > 0 {
		thinnedToo(h, fmt.Sprintf("a sample: one of %d records; instructions of what is left out count for the next reference kept", s.o.Every))
		return
	}
	thinnedToo(h, fmt.Sprintf("a spatial sample: the records of %g of all pages, by hash (seed %d); instructions of what is left out count for the next reference kept", s.o.Rate, s.o.Seed))
}

// keeps decides about a page or a block.
func (s *sampler) keeps(page, space uint64) bool {
	if s.o.Every > 0 {
		s.n++
		return (s.n-1)%s.o.Every == 0
	}
	return mix64(page+mix64(s.o.Seed+space<<32)) < s.below
}

// mix64 is the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA '14).
func mix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (s *sampler) event(out *Batch, e *Event) error {
	if e.Kind == BlockRead || e.Kind == BlockWrite {
		if !s.keeps(e.Offset>>PageShift, uint64(e.Volume)+1) {
			return nil
		}
	}
	out.addEvent(*e)
	return nil
}

func (s *sampler) ref(out *Batch, r *Ref) error {
	if s.keeps(r.Page(), 0) {
		out.addRef(s.gap.keep(*r))
	} else {
		s.gap.drop(r)
	}
	return nil
}

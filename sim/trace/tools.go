package trace

import (
	"io"
	"math"
)

// The tools on traces are Sources over Sources: they pass on what they keep, in order, and take no memory that grows with the trace.

// each calls event and ref for all that is in the batch, in order.
func (b *Batch) each(event func(*Event) error, ref func(*Ref) error) error {
	next := 0
	for i := range b.Events {
		e := &b.Events[i]
		for ; next < e.At; next++ {
			if err := ref(&b.Refs[next]); err != nil {
				return err
			}
		}
		if err := event(e); err != nil {
			return err
		}
	}
	for ; next < len(b.Refs); next++ {
		if err := ref(&b.Refs[next]); err != nil {
			return err
		}
	}
	return nil
}

// addRef appends a reference.
func (b *Batch) addRef(r Ref) { b.Refs = append(b.Refs, r) }

// addEvent appends an event after the references that are in the batch.
func (b *Batch) addEvent(e Event) {
	e.At = len(b.Refs)
	b.Events = append(b.Events, e)
}

// editor decides about each record of a stream, and appends to out what is to be there instead. io.EOF ends the stream.
type editor interface {
	event(out *Batch, e *Event) error
	ref(out *Batch, r *Ref) error
	// header changes what is said of the source.
	header(h *Header)
}

// edited is a Source over another with an editor between.
type edited struct {
	src   Source
	edit  editor
	batch Batch
	refs  uint64 // handed out
	err   error
}

func newEdited(src Source, e editor) Source { return &edited{src: src, edit: e} }

// Header implements Source. The totals are not known before the end.
func (s *edited) Header() Header {
	h := s.src.Header()
	h.Refs, h.Reads, h.Writes, h.Instructions, h.FootprintPages, h.Threads, h.Maps, h.BlockOps = 0, 0, 0, 0, 0, 0, 0, 0
	s.edit.header(&h)
	return h
}

// Next implements Source.
func (s *edited) Next() (*Batch, error) {
	s.refs += uint64(len(s.batch.Refs))
	s.batch = Batch{Refs: s.batch.Refs[:0], Events: s.batch.Events[:0], First: s.refs}
	for s.err == nil && len(s.batch.Refs)+len(s.batch.Events) == 0 {
		var b *Batch
		if b, s.err = s.src.Next(); s.err == nil {
			s.err = b.each(func(e *Event) error { return s.edit.event(&s.batch, e) }, func(r *Ref) error { return s.edit.ref(&s.batch, r) })
		}
	}
	if s.err != nil && (s.err != io.EOF || len(s.batch.Refs)+len(s.batch.Events) == 0) {
		return nil, s.err
	}
	return &s.batch, nil
}

// Close implements Source.
func (s *edited) Close() error { return s.src.Close() }

// thinnedToo adds a sentence to what a header says of what was left out.
func thinnedToo(h *Header, sentence string) {
	if h.Thinning != "" {
		h.Thinning += "; "
	}
	h.Thinning += sentence
}

// gapSum adds up the instructions of references that are left out, for the next one that is kept.
type gapSum uint64

func (g *gapSum) drop(r *Ref) { *g += gapSum(r.Gap) }

func (g *gapSum) keep(r Ref) Ref {
	r.Gap = uint32(min(uint64(*g)+uint64(r.Gap), math.MaxUint32))
	*g = 0
	return r
}

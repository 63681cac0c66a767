package trace

import (
	"context"
	"fmt"
	"io"
)

// Stoppable makes the reading of a long trace end with ctx, with its cause as the error.
func Stoppable(ctx context.Context, src Source) Source { return &stoppable{src, ctx} }

type stoppable struct {
	Source
	ctx context.Context
}

// Next implements Source.
func (s *stoppable) Next() (*Batch, error) {
	if s.ctx.Err() != nil {
		return nil, context.Cause(s.ctx)
	}
	return s.Source.Next()
}

// Curtail makes a trace end early when ctx ends: what was read until then is all that there is, and its header says so. cut tells whether
// that happened.
func Curtail(ctx context.Context, src Source) (curtailed Source, cut func() bool) {
	s := &curtail{Source: src, ctx: ctx}
	return s, func() bool { return s.cut }
}

type curtail struct {
	Source
	ctx     context.Context
	records uint64
	cut     bool
}

// Next implements Source.
func (s *curtail) Next() (*Batch, error) {
	if s.cut = s.cut || s.ctx.Err() != nil; s.cut {
		return nil, io.EOF
	}
	b, err := s.Source.Next()
	if err == nil {
		s.records += uint64(len(b.Refs) + len(b.Events))
	}
	return b, err
}

// Header implements Source.
func (s *curtail) Header() Header {
	h := s.Source.Header()
	if s.cut { // what a file says of its totals is of the whole
		h.Refs, h.Reads, h.Writes, h.Instructions, h.FootprintPages, h.Threads, h.Maps, h.BlockOps = 0, 0, 0, 0, 0, 0, 0, 0
		h.DefaultsStated = append(h.DefaultsStated[:len(h.DefaultsStated):len(h.DefaultsStated)], fmt.Sprintf("end: it was stopped before the end of the trace, after %d records", s.records))
	}
	return h
}

// stoppableReader is the same for bytes.
type stoppableReader struct {
	ctx context.Context
	io.Reader
}

// Read implements io.Reader.
func (r stoppableReader) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(b)
}

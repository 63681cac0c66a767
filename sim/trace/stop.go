package trace

import (
	"context"
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

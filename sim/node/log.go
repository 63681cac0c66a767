package node

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// epochHandler adds the epoch of the node's membership to every line, because the lines of two incarnations stand in one
// file and look alike. Before the first registration there is none.
type epochHandler struct {
	slog.Handler
	epoch *atomic.Uint32
}

// Handle implements slog.Handler.
func (h epochHandler) Handle(ctx context.Context, r slog.Record) error {
	if e := h.epoch.Load(); e != 0 {
		r = r.Clone()
		r.AddAttrs(slog.Uint64("member_epoch", uint64(e)))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h epochHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return epochHandler{h.Handler.WithAttrs(attrs), h.epoch}
}

// WithGroup implements slog.Handler.
func (h epochHandler) WithGroup(name string) slog.Handler {
	return epochHandler{h.Handler.WithGroup(name), h.epoch}
}

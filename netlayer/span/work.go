package span

import (
	"context"
	"math/rand/v2"
	"time"

	"splitkernel/netlayer/wire"
)

// Work is a span of what may go on after the request that asked for it. The zero value is in no trace and tells nothing.
type Work struct {
	Context // of what is done for it
	to      Sink
	s       Span
}

// NewWork begins a span below the one to which ctx belongs. Without a sink, or where ctx is of no trace, it is the zero value.
func NewWork(ctx context.Context, to Sink, kind Kind, name string, attrs ...Attr) Work {
	in := Of(ctx)
	if to == nil || in.Trace == 0 {
		return Work{}
	}
	return newWork(to, Span{Trace: in.Trace, ID: ID(rand.Uint64() | 1), Parent: in.Span, Kind: kind, Name: name, Attrs: attrs})
}

// NewTrace begins a trace. Without a sink it is the zero value.
func NewTrace(to Sink, name string, attrs ...Attr) Work {
	if to == nil {
		return Work{}
	}
	n := New()
	return newWork(to, Span{Trace: n, ID: Root(n), Kind: Internal, Name: name, Attrs: attrs})
}

func newWork(to Sink, s Span) Work {
	s.Start = time.Now()
	return Work{Context{s.Trace, s.ID}, to, s}
}

// End tells the span, with why it failed, if it did, and what is known only now.
func (w Work) End(failed string, more ...Attr) {
	if w.to == nil {
		return
	}
	w.s.End, w.s.Err, w.s.Attrs = time.Now(), failed, append(w.s.Attrs, more...)
	w.to.Tell(w.s)
}

// Moved ends the span of a move as its giver drove it.
func (w Work) Moved(s wire.MoveStatusRep) {
	failed := ""
	if s.State != wire.MoveDone {
		failed = s.State.String() + ": " + s.Text
	}
	w.End(failed, Attr{Key: "bytes", N: int64(s.Bytes)}, Attr{Key: "rounds", N: int64(s.Rounds)}, Attr{Key: "pause_us", N: int64(s.PauseUS)})
}

// Moving are the attributes of a move.
func Moving(req *wire.MoveReq) []Attr {
	out := []Attr{{Key: "kind", Text: req.Kind.String()}, {Key: "move", N: int64(req.Move.No)}, {Key: "to", Text: string(req.To)}}
	if req.PID != 0 {
		out = append(out, Attr{Key: "pid", N: int64(req.PID)})
	}
	switch req.Kind {
	case wire.MoveRegion:
		out = append(out, Attr{Key: "vregion", N: int64(req.Region)})
	case wire.MoveVolume, wire.MoveCache:
		out = append(out, Attr{Key: "volume", N: int64(req.Volume)})
	}
	return out
}

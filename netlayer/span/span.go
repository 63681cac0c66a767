// Package span is the vocabulary of traces of requests: what a process did for a request, and how the processes that it goes through agree
// on its ids without telling each other more than a number of 32 bits.
//
// A request on its way has the number of its trace (wire.Header.Trace). Who sends it tells a span of the call, whose id follows from the
// session and the call id, which the receiver knows as well: so the receiver's span has it as its parent. Who keeps spans is a Sink;
// without one nothing is numbered, and nothing is told.
//
// No goroutines. Safe for concurrent use, as there is nothing to change.
package span

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"splitkernel/netlayer/wire"
)

// ID is that of a span within its trace; 0 is none.
type ID uint64

// Kind is the side of a call that a span tells of. Numbers are those of OTLP.
type Kind uint8

// The kinds.
const (
	Internal Kind = 1 // of no message
	Server   Kind = 2
	Client   Kind = 3
)

// Attr is something that a span says: text, or if that is empty a number.
type Attr struct {
	Key  string
	Text string
	N    int64
}

// Span is one thing that was done for a request.
type Span struct {
	Trace      uint32 // the number of its trace
	ID, Parent ID
	Kind       Kind
	Name       string
	Start, End time.Time
	Attrs      []Attr
	Err        string // why it failed
}

// Sink takes spans. It must not block.
type Sink interface{ Tell(Span) }

// Context is where in a trace something is done. The zero value is in none.
type Context struct {
	Trace uint32
	Span  ID // the parent of what is done
}

// New gives the number of a new trace, by chance.
func New() uint32 { return wire.FirstTrace + rand.Uint32N(1<<32-1-wire.FirstTrace) }

// The sides of a call, and what is no call, in ids.
const (
	sideRoot   = 1
	sideClient = 2
	sideServer = 3
)

// Root gives the id of the first span of a trace.
func Root(trace uint32) ID { return mix(uint64(trace), 0, sideRoot) }

// Call gives the id of the span of who makes a call.
func Call(session, call uint64) ID { return mix(session, call, sideClient) }

// Served gives the id of the span of who serves it.
func Served(session, call uint64) ID { return mix(session, call, sideServer) }

// mix is two rounds of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
func mix(a, b, side uint64) ID {
	x := splitmix(splitmix(a^side<<61) ^ b)
	return ID(max(x, 1))
}

func splitmix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

type key struct{}

// With gives a context in which calls belong to a trace.
func With(ctx context.Context, c Context) context.Context {
	if c.Trace < wire.FirstTrace {
		return ctx
	}
	return context.WithValue(ctx, key{}, c)
}

// Of gives the trace to which calls in ctx belong.
func Of(ctx context.Context) Context {
	c, _ := ctx.Value(key{}).(Context)
	return c
}

// Begin begins a trace of something that is told as its first span: calls in the context that it gives are below it. The end tells it, with
// the error that it came to. Without a sink nothing is told.
func Begin(ctx context.Context, to Sink, name string, attrs ...Attr) (_ context.Context, end func(error)) {
	if to == nil {
		return ctx, func(error) {}
	}
	s := Span{Trace: New(), Kind: Internal, Name: name, Start: time.Now(), Attrs: attrs}
	s.ID = Root(s.Trace)
	return With(ctx, Context{s.Trace, s.ID}), func(err error) {
		if s.End = time.Now(); err != nil {
			s.Err = err.Error()
		}
		to.Tell(s)
	}
}

// Below begins a span below the one to which ctx belongs, of something that is no call between components: calls in the context that it gives are below it. The end tells
// it, with the error that it came to and what is known only then. Without a sink, or where ctx is of no trace, nothing is told.
func Below(ctx context.Context, to Sink, kind Kind, name string, attrs ...Attr) (_ context.Context, end func(err error, more ...Attr)) {
	w := NewWork(ctx, to, kind, name, attrs...)
	return With(ctx, w.Context), func(err error, more ...Attr) {
		text := ""
		if err != nil {
			text = err.Error()
		}
		w.End(text, more...)
	}
}

// headerLen is the length of a context as text.
const headerLen = 8 + 1 + 16

// String is a context as text, for what is told of it in a header of HTTP: the number of its trace and the span, in hexadecimal.
func (c Context) String() string { return fmt.Sprintf("%08x-%016x", c.Trace, uint64(c.Span)) }

// Parse reads what String has written; false if it is nothing such.
func Parse(text string) (c Context, ok bool) {
	if len(text) != headerLen || text[8] != '-' {
		return c, false
	}
	trace, err1 := strconv.ParseUint(text[:8], 16, 32)
	id, err2 := strconv.ParseUint(text[9:], 16, 64)
	c = Context{uint32(trace), ID(id)}
	return c, err1 == nil && err2 == nil && c.Trace >= wire.FirstTrace && c.Span != 0 && c.String() == text
}

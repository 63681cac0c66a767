package span

import (
	"context"
	"errors"
	"testing"

	"splitkernel/netlayer/wire"
)

type kept []Span

func (k *kept) Tell(s Span) { *k = append(*k, s) }

// TestIDsAreTheSameAtBothEnds: they follow from what both know, differ by side, session and call, and are never 0.
func TestIDsAreTheSameAtBothEnds(t *testing.T) {
	seen := map[ID]bool{}
	for session := range uint64(40) {
		for call := range uint64(40) {
			for _, id := range []ID{Call(session, call<<16), Served(session, call<<16)} {
				if id == 0 || seen[id] {
					t.Fatalf("session %d, call %d: id %x is 0 or another's", session, call, id)
				}
				seen[id] = true
			}
			if again := Call(session, call); again != Call(session, call) {
				t.Fatal("two ids of one call")
			}
		}
	}
	for range 1000 {
		n := New()
		if n < wire.FirstTrace || seen[Root(n)] {
			t.Fatalf("trace %d", n)
		}
	}
}

func TestBegin(t *testing.T) {
	ctx, end := Begin(context.Background(), nil, "nothing")
	if end(nil); Of(ctx) != (Context{}) {
		t.Fatal("without a sink there is a trace")
	}
	var k kept
	ctx, end = Begin(context.Background(), &k, "admit", Attr{Key: "vnode", Text: "a"})
	c := Of(ctx)
	end(errors.New("no room"))
	if len(k) != 1 || k[0].Trace != c.Trace || k[0].ID != c.Span || k[0].Parent != 0 || k[0].Err != "no room" || k[0].End.Before(k[0].Start) {
		t.Fatalf("%+v in %+v", k, c)
	}
	if With(context.Background(), Context{Trace: wire.Timed}) != context.Background() {
		t.Fatal("a timed request is no trace")
	}
}

// TestBelow: what is below a span is told with it as its parent, has an id of its own, and nothing without a trace or a sink.
func TestBelow(t *testing.T) {
	var k kept
	in := With(context.Background(), Context{Trace: wire.FirstTrace, Span: 9})
	for _, ctx := range []context.Context{context.Background(), in} {
		to := Sink(&k)
		if ctx == in {
			to = nil
		}
		below, end := Below(ctx, to, Internal, "move")
		if end(nil); below != ctx || len(k) != 0 {
			t.Fatalf("told without a sink, or of no trace: %+v", k)
		}
	}
	ctx, end := Below(in, &k, Server, "move", Attr{Key: "pid", N: 3})
	end(errors.New("no room"), Attr{Key: "bytes", N: 5})
	c := Of(ctx)
	if len(k) != 1 || k[0].Parent != 9 || k[0].Trace != wire.FirstTrace || k[0].ID != c.Span || c.Span == 9 || c.Span == 0 || k[0].Kind != Server || k[0].Err != "no room" || len(k[0].Attrs) != 2 {
		t.Fatalf("%+v in %+v", k, c)
	}
}

// TestContextAsText: what String writes is read again, and nothing else.
func TestContextAsText(t *testing.T) {
	c := Context{Trace: wire.FirstTrace + 77, Span: 1<<63 | 5}
	if got, ok := Parse(c.String()); !ok || got != c {
		t.Fatalf("%s is read as %+v, %v", c, got, ok)
	}
	for _, text := range []string{"", "-", "00000000-0000000000000005", Context{Trace: wire.Timed, Span: 5}.String(), Context{Trace: c.Trace}.String(), c.String() + "0", c.String()[1:], "+000004d-8000000000000005", "0000004D-8000000000000005", "zzzzzzzz-8000000000000005"} {
		if got, ok := Parse(text); ok {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}

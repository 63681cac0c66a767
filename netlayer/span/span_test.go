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

package movelist_test

import (
	"strings"
	"testing"

	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/moves"
	"splitkernel/netlayer/wire"
)

// TestPagesOfMoves: the pages have each move once, by number, also those that end, and go into the history, between two pages.
func TestPagesOfMoves(t *testing.T) {
	l := movelist.New(wire.GSM)
	const count = 900
	for i := range count {
		l.Begin(movelist.Move{Req: wire.MoveReq{OldEpoch: 4, To: "s2"}, From: "s1"}, movelist.Order{Thing: movelist.Thing{Kind: wire.MoveVolume, Volume: wire.VolumeID(i + 1)}, Reason: strings.Repeat("r", 800)})
	}
	var got []uint64
	q, pages := membership.Query{}, 0
	for ; ; pages++ {
		p := l.Page(q)
		if n := len(wire.Marshal(wire.QueryRep{Result: membership.EncodeAnswer(p)})); n > wire.MaxBody {
			t.Fatalf("a page of %d bytes", n)
		}
		for _, m := range p.Items {
			got = append(got, m.Req.Move.No)
		}
		if !p.More {
			break
		}
		q.From = p.Next
		for no := q.From.ID - 1; no <= q.From.ID+1; no++ { // before, at and after where the next page begins
			if _, err := l.End(1, moves.End{Move: wire.MoveID{Manager: wire.GSM, No: no}, State: wire.MoveUndone, Epoch: 4}); err != nil {
				t.Fatal(err)
			}
			if err := l.Drop(no); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(got) != count || pages < 2 {
		t.Fatalf("%d moves on %d pages, want %d on several", len(got), pages+1, count)
	}
	for i, no := range got {
		if no != uint64(i+1) {
			t.Fatalf("move %d is listed as number %d", no, i+1)
		}
	}
}

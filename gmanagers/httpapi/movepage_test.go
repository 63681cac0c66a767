package httpapi

import (
	"cmp"
	"net/url"
	"slices"
	"testing"
	"time"
)

// TestPagesOfMoves: pages of any size have each move once, in the order of their begins, of equal ones by manager and number.
func TestPagesOfMoves(t *testing.T) {
	var all []Move
	for i, m := range []string{"gsm", "gpm", "gmm", "gpm", "gmm", "gsm", "gpm"} {
		all = append(all, Move{Manager: m, Move: uint64(20 - i), Begun: time.UnixMilli(int64(1000 + i/3))})
	}
	slices.SortFunc(all, orderMoves)
	if !slices.IsSortedFunc(all, func(a, b Move) int { return cmp.Compare(a.Begun.UnixMilli(), b.Begun.UnixMilli()) }) {
		t.Fatalf("%+v", all)
	}
	for limit := 1; limit <= len(all)+1; limit++ {
		var got []Move
		for after, pages := "", 0; ; pages++ {
			q := &request{query: url.Values{"after": {after}}}
			rest, err := q.afterMove(all)
			if err != nil || pages > len(all) {
				t.Fatalf("page %d after %s: %v", pages, after, err)
			}
			page, next := pageOf(rest, limit, func(m Move) string { return m.at() })
			got = append(got, page...)
			if after = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, all) {
			t.Errorf("in pages of %d: %+v, want %+v", limit, got, all)
		}
	}
	q := &request{query: url.Values{"after": {all[2].at()}}}
	if rest, err := q.afterMove(slices.Concat(all[:2], all[3:])); err != nil || !slices.Equal(rest, all[3:]) {
		t.Errorf("after a move that is forgotten: %+v, %v", rest, err)
	}
}

package movelist

import (
	"cmp"
	"slices"

	"splitkernel/gmanagers/membership"
)

// Page is the answer to membership.QueryMoves: the moves that are remembered, ascending by number, so that none that ends
// between two pages is passed over.
func (l *List) Page(q membership.Query) membership.Page[Move] {
	all := l.All()
	slices.SortFunc(all, func(a, b Move) int { return cmp.Compare(a.Req.Move.No, b.Req.Move.No) })
	from, _ := slices.BinarySearchFunc(all, q.From.ID, func(m Move, no uint64) int { return cmp.Compare(m.Req.Move.No, no) })
	bytes := func(m *Move) int { return 512 + len(m.Reason) + len(m.Text) }
	return membership.PageOf(all, from, q.Limit, bytes, func(m *Move) membership.Cursor { return membership.Cursor{ID: m.Req.Move.No} })
}

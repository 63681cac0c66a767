package httpapi

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"splitkernel/netlayer/wire"
)

// limit reads how many things a listing has at most. Without it an answer has as many as one may have.
func (q *request) limit() (int, error) {
	n, err := q.uint("limit", MaxLimit, 1, MaxLimit)
	return int(n), err
}

// pageOf cuts a listing after limit things; next is where the following ones begin, empty if there are none.
func pageOf[T any](list []T, limit int, at func(T) string) (page []T, next string) {
	if len(list) <= limit {
		return list, ""
	}
	return list[:limit], at(list[limit-1])
}

// roles are the roles in the order in which nodes are listed.
var roles = []string{wire.RoleManager.String(), wire.RoleCompute.String(), wire.RoleMemory.String(), wire.RoleStorage.String()}

// at is where a listing of nodes goes on after n.
func (n *Node) at() string { return n.Role + ":" + n.ID }

// afterNode leaves those of nodes that come after a place. One that is gone is a place still.
func (q *request) afterNode(nodes []Node) ([]Node, error) {
	after := q.query.Get("after")
	if after == "" {
		return nodes, nil
	}
	role, id, ok := strings.Cut(after, ":")
	rank := slices.Index(roles, role)
	if !ok || rank < 0 {
		return nil, badRequest("parameter after: %.100q, want `next` of an answer", after)
	}
	i := slices.IndexFunc(nodes, func(n Node) bool {
		if n.Role == wire.RoleManager.String() && role == n.Role { // in the order of the cluster file, and they stay the same
			return false
		}
		return cmp.Or(cmp.Compare(slices.Index(roles, n.Role), rank), cmp.Compare(n.ID, id)) > 0
	})
	if j := slices.IndexFunc(nodes, func(n Node) bool { return n.at() == after }); j >= 0 {
		i = j + 1
	}
	if i < 0 {
		i = len(nodes)
	}
	return nodes[i:], nil
}

// at is where a listing of moves goes on after m.
func (m *Move) at() string { return fmt.Sprintf("%d:%s:%d", m.Begun.UnixMilli(), m.Manager, m.Move) }

// afterMove leaves those of moves, sorted by orderMoves, that come after a place.
func (q *request) afterMove(moves []Move) ([]Move, error) {
	after := q.query.Get("after")
	if after == "" {
		return moves, nil
	}
	parts := strings.Split(after, ":")
	bad := badRequest("parameter after: %.100q, want `next` of an answer", after)
	if len(parts) != 3 {
		return nil, bad
	}
	ms, err1 := strconv.ParseInt(parts[0], 10, 64)
	no, err2 := strconv.ParseUint(parts[2], 10, 64)
	m := managerNamed(parts[1])
	if err1 != nil || err2 != nil || m == 0 {
		return nil, bad
	}
	i := slices.IndexFunc(moves, func(x Move) bool {
		return cmp.Or(cmp.Compare(x.Begun.UnixMilli(), ms), cmp.Compare(managerNamed(x.Manager), m), cmp.Compare(x.Move, no)) > 0
	})
	if i < 0 {
		i = len(moves)
	}
	return moves[i:], nil
}

// orderMoves is the order of a listing of moves: by the time at which they began.
func orderMoves(a, b Move) int {
	return cmp.Or(cmp.Compare(a.Begun.UnixMilli(), b.Begun.UnixMilli()), cmp.Compare(managerNamed(a.Manager), managerNamed(b.Manager)), cmp.Compare(a.Move, b.Move))
}
